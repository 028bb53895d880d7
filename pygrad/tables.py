"""Models of a table's columns: what `python -m pygrad train` saved, used from Python on rows of raw numbers.

The file says which columns the model takes, how they are scaled and what its classes are called; that is applied here.
Trains nothing, and reads no CSV files: that is the command line's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from . import _checks, saving
from ._modes import in_mode
from ._recipe import Recipe
from ._tasks import plain

if TYPE_CHECKING:
    import numpy as np


class TableModel:
    """A model together with the columns it was trained on. Made by load_table.

    model: the network, which takes scaled numbers. features: the names of the columns, in order. target: the name of
    the column it predicts. classes: their names; empty for regression.
    """

    def __init__(self, model: Any, recipe: Recipe) -> None:
        self.model, self._recipe = model, recipe
        self.features, self.target, self.classes = recipe.features, recipe.target, recipe.classes

    def _outputs(self, rows: Any) -> list[Any]:
        with in_mode(self.model, False):
            return [plain(self.model(self._recipe.scaled(self._row(row, i)))) for i, row in enumerate(rows)]

    def _row(self, row: Any, i: int) -> list[float]:
        if isinstance(row, Mapping):
            missing = [name for name in self.features if name not in row]
            if missing:
                raise KeyError(f"row {i} has no {', '.join(map(repr, missing))}")
            row = [row[name] for name in self.features]
        if isinstance(row, str) or not hasattr(row, "__len__"):
            raise TypeError(f"row {i} must be a sequence of numbers or a mapping, not {type(row).__name__}")
        if len(row) != len(self.features):
            names = ", ".join(map(repr, self.features))
            raise ValueError(f"row {i} has {len(row)} numbers, but the model takes {len(self.features)}: {names}")
        return [_checks.as_float(x, f"row {i}, {name!r}") for name, x in zip(self.features, row)]

    def predict(self, rows: Sequence[Any]) -> list[Any]:
        """For each row the name of its class; for regression the number.

        rows: raw numbers, as they stand in the table: sequences in the order of `features`, or mappings by name.

        Raises ValueError for a row of another length, KeyError for a missing name, TypeError for what is no number.
        """
        return [self._recipe.target_from(output) for output in self._outputs(rows)]

    def predict_proba(self, rows: Sequence[Any]) -> np.ndarray[Any, Any]:
        """The probability of each class, an array of shape (rows, classes). Raises ValueError where there are none."""
        import numpy as np

        found = [self._recipe.probabilities(output) for output in self._outputs(rows)]
        return np.array(found, dtype=np.float64).reshape(-1, len(self.classes))

    def __repr__(self) -> str:
        return f"TableModel({self.target!r} from {', '.join(map(repr, self.features))})"


def load_table(path: saving.Path, *, backend: str | None = None) -> TableModel:
    """The model that `python -m pygrad train --save` wrote, with its columns.

    backend: as for pygrad.load. Raises what pygrad.load raises, and ValueError for a model without columns.
    """
    saved = saving.read(path)
    try:
        recipe = Recipe.from_dict(saved.extra)
    except ValueError as error:
        raise ValueError(f"{saved.path}: {error}") from None
    return TableModel(saved.model(backend=backend), recipe)
