"""Training a model on samples in batches: `fit`. The loop that everybody writes, with its checks and its records.

The arithmetic is that of the plain loop: outputs = [model(x) for x in batch], the loss, zero_grad, backward, step; so
the same bits on every backend, and no graph outlives its batch. What a model gives afterwards is pygrad.prediction.
"""

from __future__ import annotations

import functools
import math
import random
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from . import _checks, _samples, backends, losses
from ._checks import is_value
from ._interrupts import Interrupts
from ._progress import Progress
from ._tasks import TASKS, Task, correct, plain
from .callbacks import Callback, Run, as_callbacks
from .history import History, Partial

Loss = str | Callable[[Sequence[Any], Sequence[Any]], Any]

ON_NAN = ("warn", "raise", "ignore")

_EXACT = ("loss", "batch_size", "shuffle", "seed", "samples")
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


def outputs_of(model: Any, row: Any, what: str) -> int | None:
    """How many outputs the model gives for a sample, computed once: None for a single one, which is no list.

    Raises the model's own error with the sample's name in front, TypeError if it gives no Values.
    """
    try:
        output = model(row)
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        hint = "" if isinstance(row, list) else "; give one list of inputs a sample, so [[...]] for a single one"
        raise kind(f"{what}: {error}{hint}") from error
    if is_value(output):
        return None
    if not isinstance(output, (str, dict)) and hasattr(output, "__len__") and all(is_value(v) for v in output):
        return len(output)
    raise TypeError(f"{what}: the model must give a Value or a list of Values, not {type(output).__name__}")


def _split(fraction: float, samples: int, seed: int) -> tuple[list[int], list[int]]:
    """The indices to train on and to hold out, drawn by the seed, each in ascending order."""
    if not 0.0 < fraction < 1.0:
        raise ValueError(f"validation must be (X, y), or a fraction between 0 and 1, not {fraction!r}")
    held = round(fraction * samples)
    if not 0 < held < samples:
        raise ValueError(f"validation={fraction!r} of {samples} samples leaves none to hold out or to train on")
    order = list(range(samples))
    random.Random(f"pygrad validation {seed}").shuffle(order)
    return sorted(order[held:]), sorted(order[:held])


def epoch_order(samples: int, seed: int, epoch: int, shuffle: bool) -> list[int]:
    """The order of the samples in an epoch: it depends on nothing else, so an epoch can be resumed."""
    order = list(range(samples))
    if shuffle:
        random.Random(f"pygrad epoch {seed} {epoch}").shuffle(order)
    return order


# ---- modes ----


def _set_mode(modules: list[Any], training: bool) -> None:
    for module in modules:
        if module.training is not training:
            module.training = training


@contextmanager
def in_mode(model: Any, training: bool) -> Iterator[list[Any]]:
    """The model and the modules inside it in training or evaluation mode; each as it was afterwards."""
    modules = model.modules()
    before = [module.training for module in modules]
    try:
        _set_mode(modules, training)
        yield modules
    finally:
        for module, mode in zip(modules, before):
            _set_mode([module], mode)


# ---- the loop ----


def _detached(output: Any) -> Any:
    """New leaves with the numbers of an output, so that nothing holds its graph."""
    if is_value(output):
        return backends.type_of(output)(output.data)
    return [backends.type_of(v)(v.data) for v in output]


class _Loop:
    """One call of fit, after everything was checked."""

    def __init__(self, run: Run, rows: list[Any], targets: list[Any], loss: Callable[[Any, Any], Any]) -> None:
        self.run, self.rows, self.targets, self.loss = run, rows, targets, loss
        self.held: tuple[list[Any], list[Any]] | None = None
        self.task: Task | None = None
        self.penalty: Callable[[Any], Any] | None = None
        self.clip: list[Callable[[], Any]] = []
        self.on_nan = "warn"
        self.warned = False
        self.callbacks: list[Callback] = []
        self.size = len(rows)
        self.shuffle, self.seed = True, 0
        self.interrupts = Interrupts()
        self.modules: list[Any] = []

    @property
    def batches(self) -> int:
        return -(-len(self.rows) // self.size)

    def epoch(self, epoch: int, progress: Progress) -> None:
        """Runs an epoch, or the rest of one that was interrupted, and adds its row to the history."""
        run, history = self.run, self.run.history
        run.epoch = epoch
        partial = history.partial = history.partial or Partial(0, 0.0, 0, 0.0, math.nan)
        run.batch = partial.batches
        order = epoch_order(len(self.rows), self.seed, epoch, self.shuffle)
        on_batch_end = [c for c in self.callbacks if type(c).on_batch_end is not Callback.on_batch_end]
        progress.epoch_begins(epoch)
        start = time.perf_counter() - partial.seconds
        try:
            for batch in range(partial.batches, self.batches):
                self.step(order[batch * self.size : (batch + 1) * self.size], partial)
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

    def step(self, chosen: list[int], partial: Partial) -> None:
        """One batch: outputs, loss, gradients, step. Its graph is gone afterwards."""
        run, model = self.run, self.run.model
        targets = [self.targets[i] for i in chosen]
        try:
            outputs = [model(self.rows[i]) for i in chosen]
            total = self.loss(outputs, targets)
        except OverflowError as error:
            raise FloatingPointError(f"{self.where(partial)}: training diverges: {error}") from error
        if not is_value(total):
            raise TypeError(f"the loss must give a Value, not {type(total).__name__}")
        if self.penalty is not None:
            total = total + self.penalty(model)
        number = total.data
        if not math.isfinite(number):
            data = [[self.rows[i] for i in chosen], targets]
            self.not_finite(number, self.where(partial), _samples.finite(data))
        right = 0
        if self.task is not None:
            for output, target in zip(outputs, targets):
                right += correct(self.task, plain(output), target)
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
            partial.loss += number * (len(chosen) / len(self.rows))
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
            row["accuracy"] = partial.correct / len(self.rows)
        if self.held is not None:
            _set_mode(self.modules, False)
            try:
                row.update(self.validate(*self.held))
            finally:
                _set_mode(self.modules, True)
        row["learning_rate"] = partial.learning_rate
        return row

    def validate(self, rows: list[Any], targets: list[Any]) -> dict[str, float]:
        """Loss (without the penalty) and accuracy on samples that are not trained on, in batches of the same size."""
        loss, right = 0.0, 0
        for start in range(0, len(rows), self.size):
            wanted = targets[start : start + self.size]
            try:
                outputs = [_detached(self.run.model(x)) for x in rows[start : start + self.size]]
                total = self.loss(outputs, wanted)
            except OverflowError as error:
                raise FloatingPointError(f"epoch {self.run.epoch}, validation: training diverges: {error}") from error
            loss += total.data * (len(wanted) / len(rows))
            if self.task is not None:
                for output, target in zip(outputs, wanted):
                    right += correct(self.task, plain(output), target)
        row = {"validation_loss": loss}
        if self.task is not None:
            row["validation_accuracy"] = right / len(rows)
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
) -> History:
    """Trains a model; see Module.fit, which is this function with `model` as self, and says what the defaults are."""
    if loss is None and isinstance(resume, History):
        loss = resume.settings.get("loss")
    loss_name, loss_function = resolved_loss(loss, model)
    last = _checks.size(epochs, "epochs")
    if on_nan not in ON_NAN:
        raise ValueError(f"on_nan must be one of {', '.join(map(repr, ON_NAN))}, not {on_nan!r}")
    if resume is not None and not isinstance(resume, History):
        raise TypeError(f"resume must be the History of an earlier fit, not {type(resume).__name__}")
    history = History() if resume is None else resume
    seed = _resolved_seed(seed, history)
    hooks = as_callbacks(callbacks)

    rows = _samples.as_rows(X, "X")
    targets = _samples.as_targets(y, len(rows), "y", "X")
    parameters = model.parameters()
    if not parameters:
        raise ValueError(f"{type(model).__name__} has no parameters to train")
    with in_mode(model, False):
        outputs = outputs_of(model, rows[0], "X[0]")
    targets = checked_targets(loss_name, targets, outputs, "y")
    held = None
    if isinstance(validation, (list, tuple)) and len(validation) == 2:
        their_rows = _samples.as_rows(validation[0], "validation X", _samples.width_of(rows[0]) or 0)
        theirs = _samples.as_targets(validation[1], len(their_rows), "validation y", "validation X")
        held = (their_rows, checked_targets(loss_name, theirs, outputs, "validation y"))
    elif validation is not None:
        if isinstance(validation, str) or not hasattr(type(validation), "__float__"):
            raise TypeError(f"validation must be (X, y), or a fraction between 0 and 1, not {validation!r:.100}")
        train, test = _split(_checks.as_float(validation, "validation"), len(rows), seed)
        held = ([rows[i] for i in test], [targets[i] for i in test])
        rows, targets = [rows[i] for i in train], [targets[i] for i in train]

    size = len(rows) if batch_size is None else min(_checks.size(batch_size, "batch_size"), len(rows))
    if size < 1:
        raise ValueError(f"batch_size must be at least 1, or None for all samples, not {batch_size!r}")
    settings = {
        "loss": loss_name, "batch_size": size, "shuffle": bool(shuffle), "seed": seed, "samples": len(rows),
    }  # fmt: skip
    if history.partial is not None:
        for name in _EXACT:
            if history.settings.get(name) != settings[name]:
                raise ValueError(
                    f"resume= stands in the middle of an epoch with {name}={history.settings.get(name)!r}: "
                    f"it cannot go on with {settings[name]!r}"
                )
    if resume is None:
        stepper = _new_optimizer(optimizer, lr, parameters)
    else:
        stepper = _resumed_optimizer(optimizer, lr, parameters, history)

    run = Run(model, stepper, history, last, len(history))
    loop = _Loop(run, rows, targets, loss_function)
    loop.held, loop.size, loop.seed, loop.shuffle = held, size, seed, bool(shuffle)
    loop.on_nan, loop.callbacks = on_nan, hooks
    task = TASKS.get(loss_name or "")
    loop.task = task if task is not None and task.label is not None else None
    loop.penalty = _penalty(penalty, parameters)
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


def checked_targets(loss: str | None, targets: list[Any], outputs: int | None, what: str) -> list[Any]:
    """The targets as a named loss takes them; those of a function of the user's as they are.

    Raises TypeError or ValueError naming the first sample whose target does not fit.
    """
    if loss is None:
        return targets
    task = TASKS[loss]
    if outputs is None or task.of_classes:
        targets = _samples.without_columns(targets)
    elif outputs == 1:
        targets = [y if isinstance(y, list) else [y] for y in targets]
    for i, y in enumerate(targets):
        task.check(y, outputs, f"{what}[{i}]")
    return targets


def _penalty(given: Any, parameters: list[Any]) -> Callable[[Any], Any] | None:
    """The penalty as a function of the model. A number is the weight of the sum of the parameters' squares."""
    if given is None or callable(given):
        function: Callable[[Any], Any] | None = given
        return function
    if isinstance(given, str):
        raise TypeError(f"penalty must be a number, or a function of the model, not {given!r}")
    weight = _checks.as_float(given, "penalty")
    if not weight >= 0.0:
        raise ValueError(f"penalty must be at least 0, or a function of the model, not {given!r}")
    return (lambda model: losses.l2_penalty(parameters, weight)) if weight else None


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
