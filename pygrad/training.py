"""Training a model on samples in batches: `fit`. The loop that everybody writes, with its checks and its records.

The arithmetic is that of the plain loop: outputs = [model(x) for x in batch], or model(batch) on arrays, then the loss,
zero_grad, backward, step; so the same bits on every backend, and no graph outlives its batch. Or a compiled program
does the same but for rounding (_fit_program.py). Which it is, _paths.py decides. What a model gives afterwards is
pygrad.prediction.
"""

from __future__ import annotations

import functools
import math
import random
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from . import _checks, _paths, _samples, losses
from ._fit_data import Both, Data, parted, prepared
from ._interrupts import Interrupts
from ._modes import in_mode, set_mode
from ._progress import Progress
from ._tasks import TASKS, Task
from .callbacks import Callback, Run, as_callbacks
from .history import History, Partial

Loss = str | Callable[[Sequence[Any], Sequence[Any]], Any]

ON_NAN = ("warn", "raise", "ignore")

_EXACT = ("loss", "batch_size", "shuffle", "seed", "samples", "path")
"""The settings that determine the batches of an epoch, and so must stay when one is resumed in its middle."""


# ---- what is given ----


def resolved_loss(given: Any, model: Any) -> tuple[str | None, Callable[[Any, Any], Any]]:
    """(name or None, function) of a loss. None stands for the named one that the model was trained with before.

    Raises ValueError for an unknown name or if there is none, TypeError for what cannot be called.
    """
    if given is None:
        given = getattr(model, "_loss", None)
        if given is None:
            raise ValueError(f"say what to minimise: loss= one of {', '.join(losses.LOSSES)}, or a function")
    if isinstance(given, str):
        if given not in losses.LOSSES:
            raise ValueError(f"unknown loss={given!r}: choose one of {', '.join(losses.LOSSES)}, or give a function")
        return given, losses.LOSSES[given]
    if not callable(given):
        raise TypeError(f"loss must be a name or a function (outputs, targets), not {type(given).__name__}")
    return next((name for name, f in losses.LOSSES.items() if f is given), None), given


def _new_optimizer(given: Any, lr: Any, parameters: list[Any]) -> Any:
    """The optimizer itself, or a new one of a name (None: Adam).

    Raises ValueError for an unknown name, or a learning rate beside an optimizer; TypeError for anything else.
    """
    from . import optim

    names = {"sgd": optim.SGD, "adam": optim.Adam, "adamw": optim.AdamW, "rmsprop": optim.RMSprop}
    if given is None:
        given = "adam"
    if isinstance(given, str):
        if given.lower() not in names:
            raise ValueError(f"unknown optimizer={given!r}: choose one of {', '.join(names)}, or give an optimizer")
        kind: Any = names[given.lower()]
        return kind(parameters) if lr is None else kind(parameters, lr=lr)
    if isinstance(given, type) or not hasattr(given, "step") or not hasattr(given, "zero_grad"):
        raise TypeError(f"optimizer must be a name or an optimizer such as pygrad.optim.SGD(...), not {given!r}")
    if lr is not None:
        raise ValueError("lr= goes with the name of an optimizer: this one has its own, optimizer.lr")
    _check_moves(given, parameters)
    return given


def _check_moves(optimizer: Any, parameters: list[Any]) -> None:
    """Raises ValueError for an optimizer of pygrad's that moves none of the parameters."""
    from . import optim

    own = {id(p) for p in parameters}
    if isinstance(optimizer, optim.Optimizer) and not any(id(p) in own for p in optimizer.parameters):
        raise ValueError("this optimizer moves none of the model's parameters: was it made for another model?")


def _resumed_optimizer(given: Any, lr: Any, parameters: list[Any], history: History) -> Any:
    """The optimizer to go on with: the one given, or that of the history."""
    if given is not None and not isinstance(given, str):
        return _new_optimizer(given, lr, parameters)
    own = history._optimizer
    if own is None:
        if len(history) or history.partial is not None:
            raise ValueError("resume= with a history from a file, or a copy, needs optimizer=, the one it goes with")
        return _new_optimizer(given, lr, parameters)
    _check_moves(own, parameters)
    if isinstance(given, str) and given.lower() != type(own).__name__.lower():
        raise ValueError(f"optimizer={given!r}, but this history was made with {type(own).__name__}")
    if lr is not None:
        own.lr = lr
    return own


def epoch_order(samples: int, seed: int, epoch: int, shuffle: bool) -> list[int]:
    """The order of the samples in an epoch: it depends on nothing else, so an epoch can be resumed."""
    order = list(range(samples))
    if shuffle:
        bits = random.Random(f"pygrad epoch {seed} {epoch}").getrandbits
        for i in range(samples - 1, 0, -1):  # random.shuffle, without two calls for each sample
            width = (i + 1).bit_length()
            j = bits(width)
            while j > i:
                j = bits(width)
            order[i], order[j] = order[j], order[i]
    return order


# ---- the loop ----


class _Loop:
    """One call of fit, after everything was checked."""

    def __init__(self, run: Run, data: Data, held: Data | None, loss: Callable[[Any, Any], Any]) -> None:
        self.run, self.data, self.held, self.loss = run, data, held, loss
        self.task: Task | None = None
        self.penalty: Callable[[Any], Any] | None = None
        self.otherwise: Callable[[], None] | None = None  # takes an ordinary path, where no program was asked for
        self.clip: list[Callable[[], Any]] = []
        self.on_nan = "warn"
        self.warned = False
        self.callbacks: list[Callback] = []
        self.size = len(data)
        self.shuffle, self.seed = True, 0
        self.interrupts = Interrupts()
        self.modules: list[Any] = []

    @property
    def batches(self) -> int:
        return -(-len(self.data) // self.size)

    def epoch(self, epoch: int, progress: Progress) -> None:
        """Runs an epoch, or the rest of one that was interrupted, and adds its row to the history."""
        run, history = self.run, self.run.history
        run.epoch = epoch
        self.renew()
        partial = history.partial = history.partial or Partial(0, 0.0, 0, 0.0, math.nan)
        run.batch = partial.batches
        shuffled = self.shuffle and not (self.batches == 1 and self.data.path == "program")  # for rounding only
        order = self.data.order(epoch_order(len(self.data), self.seed, epoch, True) if shuffled else None)
        on_batch_end = [c for c in self.callbacks if type(c).on_batch_end is not Callback.on_batch_end]
        progress.epoch_begins(epoch, self.data.path)
        start = time.perf_counter() - partial.seconds
        try:
            for batch in range(partial.batches, self.batches):
                self.step(*self.data.batch(order, batch * self.size, (batch + 1) * self.size), partial)
                progress.batch_done()
                for callback in on_batch_end:
                    callback.on_batch_end(run)
            row = self.row(partial)
        finally:
            partial.seconds = time.perf_counter() - start
        row["seconds"] = partial.seconds
        with self.interrupts:
            history.append(row)
            history.partial = None
            progress.epoch_done(row)
            for callback in self.callbacks:
                callback.on_epoch_end(run)

    def renew(self) -> None:
        """What a callback has made of the model may be no program any more: then on along an ordinary path."""
        try:
            self.data.renew()
        except Exception:  # as when the fit begins
            if self.otherwise is None:
                raise
            self.otherwise()

    def step(self, rows: Any, targets: Any, partial: Partial) -> None:
        """One batch: outputs, loss, gradients, step. Its graph is gone afterwards."""
        run, model = self.run, self.run.model
        try:
            with np.errstate(all="ignore"):  # on_nan says what to do
                outputs, total = self.data.computed(model, self.loss, rows, targets)
        except OverflowError as error:
            raise FloatingPointError(f"{self.where(partial)}: training diverges: {error}") from error
        if self.penalty is not None:
            total = total + self.penalty(model)
        number = total.data
        if not math.isfinite(number):
            self.not_finite(number, self.where(partial), self.data.finite(rows, targets))
        right = 0 if self.task is None else self.data.correct(self.task, outputs, targets)
        run.optimizer.zero_grad()
        total.backward()
        with self.interrupts:
            for clip in self.clip:
                clip()
            rate = getattr(run.optimizer, "learning_rate", math.nan)
            run.optimizer.step()
            partial.learning_rate = float(rate)
            partial.batches += 1
            # weights that add up to 1: with a single batch the epoch's loss is its loss, to the last bit
            partial.loss += number * (len(targets) / len(self.data))
            partial.correct += right
            run.batch = partial.batches

    def where(self, partial: Partial) -> str:
        return f"epoch {self.run.epoch}, batch {partial.batches + 1} of {self.batches}"

    def not_finite(self, number: float, where: str, finite: bool) -> None:
        """Warns or raises as on_nan says. finite: whether the batch's samples and targets are."""
        message = f"{where}: the loss is {number!r}"
        if self.on_nan == "raise":
            raise FloatingPointError(f"{message}; the parameters are those before this batch")
        if self.on_nan == "warn" and not self.warned:
            self.warned = True
            # the frames between: step, epoch, all, fit, Module.fit
            advice = "a smaller learning rate, or clip_norm=, may help" if finite else "some of the data are not finite"
            warnings.warn(f"{message}; {advice}", RuntimeWarning, stacklevel=7)

    def row(self, partial: Partial) -> dict[str, float]:
        """What there is to say of an epoch whose batches are done."""
        row = {"loss": partial.loss}
        if self.task is not None:
            row["accuracy"] = partial.correct / len(self.data)
        if self.held is not None:
            set_mode(self.modules, False)
            try:
                row.update(self.validate(self.held))
            finally:
                set_mode(self.modules, True)
        row["learning_rate"] = partial.learning_rate
        return row

    def validate(self, held: Data) -> dict[str, float]:
        """Loss (without the penalty) and accuracy on samples that are not trained on, in batches of the same size."""
        loss, right, order = 0.0, 0, held.order(None)
        for start in range(0, len(held), self.size):
            rows, targets = held.batch(order, start, start + self.size)
            try:
                with np.errstate(all="ignore"):
                    outputs, number = held.evaluated(self.run.model, self.loss, rows, targets)
            except OverflowError as error:
                raise FloatingPointError(f"epoch {self.run.epoch}, validation: training diverges: {error}") from error
            loss += number * (len(targets) / len(held))
            if self.task is not None:
                right += held.correct(self.task, outputs, targets)
        row = {"validation_loss": loss}
        if self.task is not None:
            row["validation_accuracy"] = right / len(held)
        return row

    def all(self, first: int, progress: Progress) -> None:
        """All epochs that are left, and the callbacks about them."""
        run, history = self.run, self.run.history
        self.interrupts.install()
        try:
            try:
                for callback in self.callbacks:
                    callback.on_train_begin(run)
                for epoch in range(first, run.epochs + 1):
                    self.epoch(epoch, progress)
                    if run.stop_reason:
                        history.stopped = run.stop_reason
                        break
            except KeyboardInterrupt:
                self.note_interrupt()
            with self.interrupts:
                for callback in self.callbacks:
                    callback.on_train_end(run)
        except KeyboardInterrupt:
            self.note_interrupt()
        finally:
            self.interrupts.remove()
            progress.close()

    def note_interrupt(self) -> None:
        history = self.run.history
        history.interrupted = True
        history.stopped = f"interrupted after {len(history)} of {self.run.epochs} epochs"
        if history.partial is not None and history.partial.batches == 0:
            history.partial = None  # nothing of it is done, so nothing binds
        if history.partial is not None:
            history.stopped += f" and {history.partial.batches} of {self.batches} batches"


# ---- fit ----


def fit(
    model: Any,
    X: Any,
    y: Any,
    *,
    loss: Loss | None,
    optimizer: Any,
    lr: Any,
    epochs: int,
    batch_size: int | None,
    shuffle: bool,
    seed: int | None,
    validation: Any,
    callbacks: Any,
    progress: bool | None,
    penalty: Any,
    clip_value: float | None,
    clip_norm: float | None,
    on_nan: str,
    resume: History | None,
    path: str = "auto",
    compile: bool | None = None,  # noqa: A002  # as pygrad.compile
) -> History:
    """Trains a model; see Module.fit, which is this function with `model` as self, and says what the defaults are."""
    if loss is None and isinstance(resume, History):
        loss = resume.settings.get("loss")
    loss_name, loss_function = resolved_loss(loss, model)
    last = _checks.size(epochs, "epochs")
    if on_nan not in ON_NAN:
        raise ValueError(f"on_nan must be one of {', '.join(map(repr, ON_NAN))}, not {on_nan!r}")
    path = _paths.asked(path, compile)
    if resume is not None and not isinstance(resume, History):
        raise TypeError(f"resume must be the History of an earlier fit, not {type(resume).__name__}")
    history = History() if resume is None else resume
    seed = _resolved_seed(seed, history)
    hooks = as_callbacks(callbacks)

    X = _samples.items(X, "X")
    if len(X) == 0:
        raise ValueError("X has no samples")
    targets = _samples.as_targets(y, len(X), "y", "X")
    parameters = model.parameters()
    if not parameters:
        raise ValueError(f"{type(model).__name__} has no parameters to train")
    parts = parted(validation, len(X), seed)
    samples = len(X) if parts is None else len(parts[0])
    size = _checks.batch(batch_size, samples)
    earlier = history.path if len(history) or history.partial is not None else None
    binding = history.partial is not None and compile is not False  # for a program; other paths always are
    if path == "auto" and earlier is not None and (earlier != "program" or binding):
        path = earlier
    ordinary = loss_name is not None and _samples.are_rows(X)
    steps = (last - len(history)) * -(-samples // size)
    pays = ordinary and (earlier == "program" or _paths.program_pays(model, steps, size))
    programs = compile is not False and pays
    (data, held), again = prepared(path, model, loss_name, X, targets, validation, parts, size, programs, bool(hooks))
    path = data.path
    settings = {
        "loss": loss_name, "batch_size": size, "shuffle": bool(shuffle), "seed": seed, "samples": samples, "path": path,
    }  # fmt: skip
    if history.partial is not None:
        for name in _EXACT:
            before = history.path if name == "path" else history.settings.get(name)
            if before != settings[name]:
                raise ValueError(
                    f"resume= stands in the middle of an epoch with {name}={before!r}: "
                    f"it cannot go on with {settings[name]!r}"
                )
    if resume is None:
        stepper = _new_optimizer(optimizer, lr, parameters)
    else:
        stepper = _resumed_optimizer(optimizer, lr, parameters, history)

    run = Run(model, stepper, history, last, len(history))
    loop = _Loop(run, data, held, loss_function)
    loop.size, loop.seed, loop.shuffle = size, seed, bool(shuffle)
    loop.on_nan, loop.callbacks = on_nan, hooks
    task = TASKS.get(loss_name or "")
    loop.task = task if task is not None and task.label is not None else None
    loop.penalty = _penalty(penalty, parameters, path)
    loop.otherwise = None if again is None else functools.partial(_go_on, loop, again, penalty, parameters)
    loop.clip = _clipping(stepper, parameters, clip_value, clip_norm)
    done = len(history) * loop.batches + (history.partial.batches if history.partial else 0)
    history._check_columns(loop.task is not None, held is not None)
    bar = Progress(progress, last, loop.batches, done)

    history.settings, history.interrupted, history.stopped, history._optimizer = settings, False, "", stepper
    model._loss = loss_name
    with in_mode(model, True) as loop.modules:
        loop.all(len(history) + 1, bar)
    return history


def _resolved_seed(seed: Any, history: History) -> int:
    """The seed as an int; for None that of the history, or a new one."""
    if seed is None:
        return int(history.settings.get("seed", random.SystemRandom().getrandbits(32)))
    if isinstance(seed, bool) or not hasattr(type(seed), "__index__"):
        raise TypeError(f"seed must be an integer or None, not {type(seed).__name__}")
    return int(seed)


def _penalty(given: Any, parameters: list[Any], path: str) -> Callable[[Any], Any] | None:
    """The penalty as a function of the model. A number is the weight of the sum of the parameters' squares."""
    if given is None or callable(given):
        function: Callable[[Any], Any] | None = given
        return function
    if isinstance(given, str):
        raise TypeError(f"penalty must be a number, or a function of the model, not {given!r}")
    weight = _checks.as_float(given, "penalty")
    if not weight >= 0.0:
        raise ValueError(f"penalty must be at least 0, or a function of the model, not {given!r}")
    if weight and path == "program":
        from ._fit_program import squares

        return squares(parameters, weight)
    return (lambda model: losses.l2_penalty(parameters, weight)) if weight else None


def _go_on(loop: _Loop, again: Callable[[], Both], penalty: Any, parameters: list[Any]) -> None:
    """Along an ordinary path, from the epoch on that begins."""
    loop.data, loop.held = again()
    loop.penalty = _penalty(penalty, parameters, loop.data.path)
    loop.run.history.settings["path"] = loop.data.path


def _clipping(optimizer: Any, parameters: list[Any], value: Any, norm: Any) -> list[Callable[[], Any]]:
    """What is done to the gradients before a step: first their values are limited, then their norm."""
    if value is None and norm is None:
        return []
    from . import optim

    moved = optimizer if isinstance(optimizer, optim.Optimizer) else parameters
    clip: list[Callable[[], Any]] = []
    for given, name, function in (
        (value, "clip_value", optim.clip_grad_value),
        (norm, "clip_norm", optim.clip_grad_norm),
    ):
        if given is not None:
            limit = _checks.as_float(given, name)
            if not limit > 0.0:
                raise ValueError(f"{name} must be above 0, not {given!r}")
            clip.append(functools.partial(function, moved, limit))
    return clip
