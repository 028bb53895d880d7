"""History: what happened in training, epoch by epoch, and where it stood when it was interrupted.

Plain numbers that JSON can hold (to_dict, from_dict), so that a checkpoint file can carry it; knows no model. The
optimizer that made it is remembered only within the process.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass
class Partial:
    """An epoch that was interrupted: what of it is done."""

    batches: int
    """Number of batches whose step was taken."""
    loss: float
    """The part of the epoch's loss that they contributed."""
    correct: int
    """Samples whose label was right, where there are labels."""
    seconds: float
    learning_rate: float
    """Of the last of those steps."""


class History:
    """What `fit` gives: one row an epoch.

    history['loss'] is a list of one number an epoch, history[-1] the last epoch as a dict, len(history) the number of
    epochs, and print(history) a table. The columns are 'loss', 'accuracy' where the loss has labels, both again with
    'validation_' in front where there is validation data, 'learning_rate' (at the epoch's last step) and 'seconds'.
    """

    def __init__(self) -> None:
        self.columns: dict[str, list[float]] = {}
        self.interrupted: bool = False
        """Whether the last fit was interrupted, by Ctrl-C or a KeyboardInterrupt."""
        self.stopped: str = ""
        """Why the last fit ended before its last epoch; empty if it did not."""
        self.partial: Partial | None = None
        """The epoch in which it was interrupted; None between epochs."""
        self.settings: dict[str, Any] = {}
        """What determines the batches: loss, batch_size, shuffle, seed, samples; and the path on which they were
        computed."""
        self._optimizer: Any = None

    @property
    def path(self) -> str | None:
        """How the batches were computed: as 'arrays' (each at once), by a compiled 'program', or as 'scalars' (sample
        by sample). None before a fit."""
        return str(self.settings.get("path", "scalars")) if self.settings else None  # files of old have no path

    # ---- reading ----

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    @property
    def epochs(self) -> list[int]:
        """The numbers of the complete epochs: 1, 2, ..."""
        return list(range(1, len(self) + 1))

    def __getitem__(self, key: str | int) -> Any:
        """The column of a name, or the row of an index (from 0; -1 is the last) as a dict.

        Raises KeyError naming the columns there are, IndexError, or TypeError for anything else.
        """
        if isinstance(key, str):
            if key not in self.columns:
                raise KeyError(f"no column {key!r}: there are {', '.join(self.columns) or 'none yet'}")
            return self.columns[key]
        if not hasattr(type(key), "__index__"):
            raise TypeError(f"a History takes the name of a column or the index of an epoch, not {key!r}")
        count = len(self)
        if not -count <= key < count:
            raise IndexError(f"no epoch at index {key}: there are {count}")
        return {name: column[key] for name, column in self.columns.items()}

    def __contains__(self, name: object) -> bool:
        return name in self.columns

    def __iter__(self) -> Iterator[dict[str, float]]:
        return (self[i] for i in range(len(self)))

    # ---- writing ----

    def _check_columns(self, labelled: bool, validated: bool) -> None:
        """Raises ValueError if epochs of a training with labels, and with validation, have other columns than these."""
        wanted = {"accuracy": labelled, "validation_loss": validated, "validation_accuracy": labelled and validated}
        for name, there in wanted.items():
            if self.columns and (name in self.columns) != there:
                raise ValueError(
                    f"resume= has epochs {'without' if there else 'with'} {name!r}, but those to come would have "
                    f"{'it' if there else 'none'}: give validation= and a loss as for the fit before"
                )

    def append(self, row: Mapping[str, float]) -> None:
        """Adds an epoch. Raises ValueError if its columns are not those of the epochs before."""
        if self.columns and list(row) != list(self.columns):
            raise ValueError(f"an epoch with {', '.join(row)} after epochs with {', '.join(self.columns)}")
        for name, number in row.items():
            self.columns.setdefault(name, []).append(number)

    def to_dict(self) -> dict[str, Any]:
        """Everything but the optimizer, in dicts, lists, numbers and text: what JSON can hold."""
        return {
            "columns": {name: list(column) for name, column in self.columns.items()},
            "interrupted": self.interrupted,
            "stopped": self.stopped,
            "partial": None if self.partial is None else asdict(self.partial),
            "settings": dict(self.settings),
        }

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> History:
        """The history that to_dict described. Raises ValueError for anything else."""
        history = cls()
        try:
            history.columns = {str(name): [float(x) for x in column] for name, column in given["columns"].items()}
            history.interrupted = bool(given["interrupted"])
            history.stopped = str(given["stopped"])
            if given["partial"] is not None:
                kinds = {"batches": int, "loss": float, "correct": int, "seconds": float, "learning_rate": float}
                history.partial = Partial(**{name: kinds[name](x) for name, x in given["partial"].items()})
            history.settings = dict(given["settings"])
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a history as History.to_dict gives it: {error!r}") from None
        if len({len(column) for column in history.columns.values()}) > 1:
            raise ValueError("not a history as History.to_dict gives it: its columns differ in length")
        return history

    # ---- showing ----

    def plot(self, ax: Any = None) -> Any:
        """Draws the losses and the other metrics by epoch with matplotlib (see pygrad.plot.loss_curves)."""
        from . import plot

        return plot.loss_curves(self, ax=ax)

    def __str__(self) -> str:
        """A table; of a long history the first and last epochs."""
        if not self.columns:
            return "no complete epoch"
        names = ["epoch", *self.columns]
        rows = [[str(i + 1), *(f"{x:.6g}" for x in row.values())] for i, row in enumerate(self)]
        if len(rows) > 20:
            rows = [*rows[:10], ["..."] * len(names), *rows[-9:]]
        widths = [max(map(len, column)) for column in zip(names, *rows)]
        return "\n".join("  ".join(f"{x:>{w}}" for x, w in zip(row, widths)) for row in [names, *rows])

    def __repr__(self) -> str:
        count = len(self)
        parts = [f"{count} epoch{'s' if count != 1 else ''}"]
        if count:
            parts += [f"{k}={v:.6g}" for k, v in self[-1].items() if k not in ("seconds", "learning_rate")]
            seconds = 0.0
            for x in self.columns.get("seconds", ()):
                seconds += x
            parts.append(f"{seconds:.3g} s")
            parts += [f"path={self.path!r}"] if self.path else []
        if self.stopped:
            parts.append(self.stopped)
        return f"<History: {', '.join(parts)}>"

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_optimizer": None}
