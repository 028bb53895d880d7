"""Callbacks: what `fit` calls after each epoch, and at its beginning and end. Early stopping, and checkpoint files.

A callback is a Callback, or a plain function, which is called after each epoch. Each is given the Run: what is being
trained, and how far it is. Nothing here trains.
"""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from typing import Any

from . import _checks
from ._parameters import data_of, set_data
from .history import History


@dataclass
class Run:
    """A training that is going on, as callbacks see it."""

    model: Any
    optimizer: Any
    history: History
    epochs: int
    """Number of the last epoch that is to be run."""
    epoch: int
    """Number of the epoch that is running or was just completed, from 1."""
    batch: int = 0
    """Number of the batches of it whose step was taken."""
    stop_reason: str = ""

    def stop(self, reason: str = "stopped by a callback") -> None:
        """Ends the training after this epoch; `reason` becomes history.stopped."""
        self.stop_reason = reason


class Callback:
    """Does nothing. Derive from it and define what you need; an exception ends the training.

    A KeyboardInterrupt raised in one interrupts the training as Ctrl-C does.
    """

    def on_train_begin(self, run: Run) -> None:
        """Before the first batch."""

    def on_batch_end(self, run: Run) -> None:
        """After each step; run.batch counts them."""

    def on_epoch_end(self, run: Run) -> None:
        """After each epoch; run.history[-1] is what came of it."""

    def on_train_end(self, run: Run) -> None:
        """After the last epoch, or when the training was stopped or interrupted (run.history.interrupted)."""


def larger_is_better(metric: str) -> bool:
    """Of a column of a History: of a loss the smaller number is better, of all else the larger."""
    return not metric.endswith("loss")


def _column(run: Run, metric: str, who: str) -> list[float]:
    if metric not in run.history:
        hint = ": give fit validation=" if metric.startswith("validation_") else ""
        raise ValueError(f"{who}(metric={metric!r}): training has {', '.join(run.history.columns)}{hint}")
    return run.history.columns[metric]


class _Best:
    """The best number of a column so far, and in which epoch it was (0: none yet)."""

    def __init__(self, metric: str, min_delta: float) -> None:
        self.sign = -1.0 if larger_is_better(metric) else 1.0
        self.min_delta = min_delta
        self.value = float("inf")
        self.epoch = 0

    def improved(self, number: float, epoch: int) -> bool:
        if not self.sign * number < self.value - self.min_delta:
            return False
        self.value, self.epoch = self.sign * number, epoch
        return True


class EarlyStopping(Callback):
    """Ends the training when a metric has not improved for `patience` epochs.

    metric: a column of the History. Of a loss smaller is better, of all else larger. A nan is no improvement.
    min_delta: what is no more than this is no improvement.
    restore_best: whether the parameters of the best epoch are put back at the end, also where all epochs were run; not
    when training is interrupted, so that it can go on where it was. Resumed in another process, those of epochs before
    are not known: if none of them is beaten, nothing is put back, and a RuntimeWarning says so.

    Raises ValueError for a patience below 1 or a negative min_delta; in training, for a metric that there is not.
    """

    def __init__(
        self,
        patience: int = 10,
        min_delta: float = 0.0,
        metric: str = "validation_loss",
        restore_best: bool = True,
    ) -> None:
        self.patience = _checks.size(patience, "patience")
        self.min_delta = _checks.as_float(min_delta, "min_delta")
        self.metric = _checks.text(metric, "metric")
        self.restore_best = bool(restore_best)
        if self.patience < 1:
            raise ValueError(f"patience must be at least 1, not {patience!r}")
        if not self.min_delta >= 0.0:
            raise ValueError(f"min_delta must be at least 0, not {min_delta!r}")
        self._best = _Best(self.metric, self.min_delta)
        self._kept: tuple[int, list[Any]] | None = None

    @property
    def best_epoch(self) -> int:
        """The number of the best epoch so far; 0 before the first."""
        return self._best.epoch

    def on_train_begin(self, run: Run) -> None:
        # what earlier fits of this history saw counts, whoever saw it
        self._best = _Best(self.metric, self.min_delta)
        if not len(run.history):
            self._kept = None
            return
        for i, number in enumerate(_column(run, self.metric, "EarlyStopping")):
            self._best.improved(number, i + 1)
        if run.history.partial is None and self._best.epoch == len(run.history):
            self._keep(run)

    def _keep(self, run: Run) -> None:
        if self.restore_best:
            self._kept = (self._best.epoch, [data_of(p) for p in run.model.parameters()])

    def on_epoch_end(self, run: Run) -> None:
        number = _column(run, self.metric, "EarlyStopping")[-1]
        if self._best.improved(number, run.epoch):
            self._keep(run)
        elif run.epoch - self._best.epoch >= self.patience:
            run.stop(f"stopped early: {self.metric} did not improve after epoch {self._best.epoch}")

    def on_train_end(self, run: Run) -> None:
        if not self.restore_best or run.history.interrupted or self._best.epoch in (0, len(run.history)):
            return
        if self._kept is None or self._kept[0] != self._best.epoch:
            warnings.warn(
                f"EarlyStopping: the parameters of the best epoch, {self._best.epoch}, are not known in this process; "
                f"the model has those of the last epoch",
                RuntimeWarning,
                stacklevel=2,
            )
            return
        for p, data in zip(run.model.parameters(), self._kept[1]):
            set_data(p, data)


class Checkpoint(Callback):
    """Saves model, optimizer and history to a file (see pygrad.saving), from which training can be resumed:

        model, optimizer, history = pygrad.load("run.npz", ...)
        model.fit(..., optimizer=optimizer, resume=history)

    path: of the file, which is overwritten; '{epoch}' in it becomes the epoch's number.
    every: saves after each epoch whose number is a multiple of this; and when training is interrupted.
    best_only: saves after each epoch that is the best so far by `metric` (see EarlyStopping), and no other.

    Raises ValueError for an `every` below 1; in training, for a metric that there is not, and before the first step
    what saving raises for a path or an optimizer that cannot be saved.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        every: int = 1,
        best_only: bool = False,
        metric: str = "validation_loss",
    ) -> None:
        self.path = os.fspath(path)
        self.every = _checks.size(every, "every")
        self.best_only = bool(best_only)
        self.metric = _checks.text(metric, "metric")
        if self.every < 1:
            raise ValueError(f"every must be at least 1, not {every!r}")
        self._best = _Best(self.metric, 0.0)

    def on_train_begin(self, run: Run) -> None:
        self._best = _Best(self.metric, 0.0)
        if self.best_only and len(run.history):
            for i, number in enumerate(_column(run, self.metric, "Checkpoint")):
                self._best.improved(number, i + 1)
        from . import saving

        # noticed now, and not after an epoch's work
        saving.check(self.path, run.model, run.optimizer)

    def on_epoch_end(self, run: Run) -> None:
        if self.best_only:
            wanted = self._best.improved(_column(run, self.metric, "Checkpoint")[-1], run.epoch)
        else:
            wanted = run.epoch % self.every == 0
        if wanted:
            self._save(run)

    def on_train_end(self, run: Run) -> None:
        if run.history.interrupted and not self.best_only:
            self._save(run)

    def _save(self, run: Run) -> None:
        from . import saving

        path = self.path.replace("{epoch}", str(run.epoch))
        saving.save(run.model, path, optimizer=run.optimizer, history=run.history)


class _Function(Callback):
    """A plain function as a callback."""

    def __init__(self, function: Any) -> None:
        self.function = function

    def on_epoch_end(self, run: Run) -> None:
        self.function(run)


def as_callbacks(given: Any) -> list[Callback]:
    """The callbacks in a sequence of Callbacks and functions. Raises TypeError for anything else."""
    if isinstance(given, Callback) or callable(given):
        given = [given]
    if not hasattr(given, "__iter__"):
        raise TypeError(f"callbacks must be a list of Callbacks and functions of the Run, not {type(given).__name__}")
    callbacks: list[Callback] = []
    for item in given:
        if isinstance(item, type):
            raise TypeError(f"a callback must be an object: {item.__name__}(...), not the class")
        if not isinstance(item, Callback) and not callable(item):
            raise TypeError(f"a callback must be a Callback or a function of the Run, not {type(item).__name__}")
        callbacks.append(item if isinstance(item, Callback) else _Function(item))
    return callbacks
