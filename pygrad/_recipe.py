"""From the columns of a CSV file to the numbers a model takes and gives, and back: the recipe saved with a model.

Which columns, how they are scaled, what the classes are called. Decides what kind of task a target column is. Reads
rows from _csv.py; trains nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ._csv import CsvFile, DataError, Row, as_number, delimiter
from ._tasks import TASKS

MOST_CLASSES = 10
"""A target column of whole numbers with more different ones than this is not taken for classes by itself."""

CLASSIFICATION = tuple(name for name, task in TASKS.items() if task.label is not None)
REGRESSION = tuple(name for name, task in TASKS.items() if task.label is None)


@dataclass
class Recipe:
    """What has to be known of the data to use the model: numbers and text that JSON can hold."""

    features: list[str]
    """The names of the columns that are inputs, in order."""
    positions: list[int]
    """Their indices in the file that was trained on."""
    columns: int
    """How many columns that file had."""
    header: bool
    delimiter: str
    target: str
    loss: str
    classes: list[str]
    """The names of the classes; empty for regression."""
    means: list[float]
    """An input is (cell - mean) / scale."""
    scales: list[float]
    target_mean: float
    """A target of regression likewise."""
    target_scale: float

    def to_dict(self) -> dict[str, Any]:
        """What a file can keep."""
        return {"recipe": 1, **asdict(self)}

    @classmethod
    def from_dict(cls, given: Any) -> Recipe:
        """The recipe that to_dict described. Raises ValueError for anything else."""
        wrong = ValueError("it has no description of its columns: `python -m pygrad train` did not make it")
        if not isinstance(given, Mapping) or given.get("recipe") != 1:
            raise wrong
        try:
            recipe = cls(**{name: item for name, item in given.items() if name != "recipe"})
            count = len(recipe.features)
            sizes = {count, len(recipe.positions), len(recipe.means), len(recipe.scales)}
            numbers = [*recipe.means, *recipe.scales, recipe.target_mean, recipe.target_scale]
            fits = (
                sizes == {count}
                and all(isinstance(x, float) for x in numbers)
                and all(isinstance(x, str) for x in (*recipe.features, *recipe.classes, recipe.target))
                and all(isinstance(x, int) and 0 <= x < recipe.columns for x in recipe.positions)
                and delimiter(recipe.delimiter) == recipe.delimiter
                and all(scale > 0.0 for scale in recipe.scales)
                and bool(recipe.classes) == (recipe.loss in CLASSIFICATION)
                and recipe.loss in TASKS
            )
        except (TypeError, ValueError, AttributeError):
            fits = False
        if not fits:
            raise wrong
        return recipe

    # ---- between cells and numbers ----

    @property
    def outputs(self) -> int:
        """How many outputs the model has."""
        return len(self.classes) if TASKS[self.loss].of_classes else 1

    def scaled(self, inputs: Sequence[float]) -> list[float]:
        """A row of cells as the model's inputs."""
        return [(x - mean) / scale for x, mean, scale in zip(inputs, self.means, self.scales)]

    def target_of(self, index: int) -> int:
        """The target that the loss wants for the class of an index."""
        return 2 * index - 1 if self.loss == "hinge" else index

    def class_of(self, label: int) -> str:
        """The name of the class that a label stands for."""
        return self.classes[(label + 1) // 2 if self.loss == "hinge" else label]

    def target_from(self, output: Any) -> Any:
        """What an output says of the target column: the name of a class; for regression the number."""
        task = TASKS[self.loss]
        if task.label is None:
            return output * self.target_scale + self.target_mean
        return self.class_of(task.label(output))

    def probabilities(self, output: Any) -> list[float]:
        """The probability of each class. Raises ValueError where the loss gives none."""
        task = TASKS[self.loss]
        if task.probability is None:
            raise ValueError(f"a model trained with {self.loss} gives no probabilities")
        p = task.probability(output)
        return p if isinstance(p, list) else [1.0 - p, p]

    def prediction_header(self) -> list[str]:
        """The names of the columns of predictions."""
        known = self.classes if TASKS[self.loss].probability is not None else []
        return ["prediction", *(f"probability of {name}" for name in known)]

    def prediction(self, output: Any) -> list[str]:
        """A row of predictions, from what the model gave."""
        found = self.target_from(output)
        if not self.classes:
            return [repr(found)]
        probabilities = self.probabilities(output) if TASKS[self.loss].probability is not None else []
        return [found, *map(repr, probabilities)]


def columns_in(file: CsvFile, recipe: Recipe) -> list[int]:
    """The indices of a recipe's inputs in a file. Raises DataError for one that there is not."""
    if recipe.header and file.header:
        indices = []
        for name in recipe.features:
            if name not in file.columns:
                raise file.missing(name, "an input of the model")
            indices.append(file.columns.index(name))
        return indices
    if len(file.columns) == len(recipe.features):
        return list(range(len(recipe.features)))
    if len(file.columns) == recipe.columns:
        return recipe.positions
    raise DataError(
        f"{file.path}, line {file.first_line}: {len(file.columns)} columns without names, but the model has "
        f"{len(recipe.features)} inputs, from a file with {recipe.columns} columns"
    )


# ---- the target column ----


class Target:
    """The cells of a target column, and what they are taken for.

    task: 'auto', 'classification' or 'regression'. 'auto' is classification if no cell is a number, or if all are whole
    numbers, at most MOST_CLASSES different ones and each twice on the average; otherwise regression.
    """

    def __init__(self, file: CsvFile, column: int, task: str) -> None:
        self.file, self.column, self.task = file, column, task
        self.cells: list[str] = []
        self.lines: list[int] = []

    def add(self, row: Row) -> None:
        """Adds the cell of a row. Raises DataError for an empty one."""
        cell = row.cells[self.column].strip()
        if not cell:
            raise DataError(f"{self.file.where(row.line, self.column)}: the target is empty")
        self.cells.append(cell)
        self.lines.append(row.line)

    def decided(self) -> tuple[list[str], list[Any]]:
        """(names of the classes, index of the class a row); for regression ([], number a row).

        Raises DataError for text among numbers, or fewer than two classes.
        """
        numbers = [as_number(cell) for cell in self.cells]
        known = {x for x in numbers if x is not None}
        task = self.task
        if task == "auto":
            self._check_not_mixed(numbers)
            whole = all(x.is_integer() for x in known)
            few = len(known) <= MOST_CLASSES and 2 * len(known) <= len(numbers)
            task = "classification" if not known or (whole and few) else "regression"
        if task == "regression":
            for i, x in enumerate(numbers):
                if x is None:
                    raise DataError(f"{self._where(i)}: {self.cells[i]!r} is not a finite number")
            return [], numbers
        # 1 and 1.0 are one class
        if None in numbers:
            names = self.cells
            classes = sorted(set(names))
        else:
            names = [_written(x) for x in numbers if x is not None]
            classes = [_written(x) for x in sorted(known)]
        if len(classes) < 2:
            raise DataError(f"{self._where(0)}: every row has the same target, {self.cells[0]!r}: nothing to learn")
        if len(classes) == len(names) > 2:
            raise DataError(f"{self._where(0)}: every row has a target of its own, so these are no classes")
        index = {name: i for i, name in enumerate(classes)}
        return classes, [index[name] for name in names]

    def _where(self, i: int) -> str:
        return self.file.where(self.lines[i], self.column)

    def _check_not_mixed(self, numbers: list[float | None]) -> None:
        text = [i for i, x in enumerate(numbers) if x is None]
        if text and len(text) < len(numbers):
            other = next(i for i, x in enumerate(numbers) if x is not None)
            raise DataError(
                f"{self._where(text[0])}: {self.cells[text[0]]!r} is not a finite number, but line "
                f"{self.lines[other]} has {self.cells[other]!r}; if these are names of classes, give --task "
                f"classification"
            )


def _written(x: float) -> str:
    return str(int(x)) if x.is_integer() else repr(x)


def mean_and_scale(numbers: Sequence[float]) -> tuple[float, float]:
    """The mean and the standard deviation (of the population); 1 instead of a deviation of 0."""
    count = len(numbers)
    mean = square = 0.0
    for x in numbers:
        mean += x / count
    for x in numbers:
        square += (x - mean) * (x - mean) / count
    scale = math.sqrt(square)
    # rounding of the mean leaves a trace where all numbers are equal
    return mean, scale if scale > 1e-12 * abs(mean) and math.isfinite(scale) else 1.0
