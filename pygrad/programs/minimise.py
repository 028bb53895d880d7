"""Training a program's parameters: the loop runs in C, a twentieth of a second at a time, so that Ctrl-C is heard.

The numbers are those of the plain loop: value_and_grad of a batch, then a step of the optimiser, whose rules are those
of pygrad._updates. Which batches there are, and in which order, is decided here.
"""

from __future__ import annotations

import functools
import inspect
import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import _checks, optim, reference
from .._interrupts import Interrupts
from .._updates import RULES
from ..schedules import non_negative
from .arguments import thread_count
from .run import Given, Plan

if TYPE_CHECKING:
    from ..history import History
    from .program import Program

SLICE = 0.05
"""Seconds that C runs before Python looks for a Ctrl-C."""
MOMENT = 0.002
"""Seconds that a training may take before a Ctrl-C is looked after at all."""
MOST_EPOCHS = 1 << 40
"""More than there is memory for losses, and less than overflows."""
SHUFFLED = 1 << 20
"""So many entries of the order of the samples are drawn ahead."""

_KINDS: dict[str, type[optim.Optimizer]] = {
    "sgd": optim.SGD, "adam": optim.Adam, "adamw": optim.AdamW, "rmsprop": optim.RMSprop,
}  # fmt: skip
_CODES = {name: code for code, name in enumerate(RULES)}


class Minimisation:
    """What minimize gives: one loss an epoch.

    losses: array of shape (epochs,): the mean (or sum) of the losses of its samples, each with the parameters of its
    step. seconds: how long it took. learning_rate: of the last step.
    """

    __slots__ = ("learning_rate", "losses", "seconds")

    def __init__(self, losses: NDArray[np.float64], seconds: float, learning_rate: float) -> None:
        self.losses, self.seconds, self.learning_rate = losses, seconds, learning_rate

    @property
    def loss(self) -> float:
        """Of the last epoch; nan if there was none."""
        return float(self.losses[-1]) if len(self.losses) else math.nan

    def __len__(self) -> int:
        return len(self.losses)

    @property
    def history(self) -> History:
        """The losses as Module.fit gives them, to print and to plot."""
        from ..history import History

        history = History()
        history.columns = {"loss": self.losses.tolist()}
        return history

    def __repr__(self) -> str:
        count = len(self.losses)
        return f"<Minimisation: {count} epoch{'s' if count != 1 else ''}, loss={self.loss:.6g}, {self.seconds:.3g} s>"


class Progress(NamedTuple):
    """What a progress callback is told."""

    epoch: int
    """Complete epochs."""
    epochs: int
    loss: float
    """Of the last complete epoch; nan if there is none."""
    seconds: float
    """Since the beginning."""


# ---- the optimiser ----


class _Rule:
    """An optimiser by its name, as C takes it. It starts from nothing, and what it remembers is forgotten."""

    bound = False
    start = 0  # steps that were taken before

    def __init__(self, optimizer: Any) -> None:
        self.optimizer = optimizer
        self.code = _CODES[optimizer._rule]
        self.slots = len(optimizer._slots())
        self.scheduled = callable(optimizer.lr)
        self._numbers: NDArray[np.float64] = np.array(optimizer._numbers(0.0 if self.scheduled else optimizer.lr))

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted from the first of this training."""
        number = self.start + step
        return non_negative(self.optimizer.lr(number), f"the learning rate of step {number}")

    def numbers(self) -> NDArray[np.float64]:
        """The settings of the next step: an array of its own."""
        numbers = np.array(self._numbers)
        if self.scheduled:
            numbers[0] = self.rate(0)
        return numbers

    def memory(self, count: int) -> bytearray:
        """What is remembered of the program's parameters: a copy."""
        return bytearray(8 * self.slots * count)

    def done(self, steps: int, memory: bytearray) -> None:
        """Notes how far it went."""


class _BoundRule(_Rule):
    """An optimiser of pygrad.optim, which goes on from its state. places: where it has the program's parameters."""

    bound = True

    def __init__(self, optimizer: optim.Optimizer, places: NDArray[np.intp] | None) -> None:
        super().__init__(optimizer)
        self.start, self.places = optimizer.steps, places

    def memory(self, count: int) -> bytearray:
        scalars: bytearray = self.optimizer._memory.scalars
        if self.places is None:
            return bytearray(scalars)
        return bytearray(np.frombuffer(scalars).reshape(self.slots, count)[:, self.places].tobytes())

    def done(self, steps: int, memory: bytearray) -> None:
        if self.places is not None:
            mine = np.frombuffer(memory).reshape(self.slots, len(self.places))
            back = np.empty_like(mine)
            back[:, self.places] = mine
            memory = bytearray(back.tobytes())
        self.optimizer._memory.scalars[:] = memory
        self.optimizer._steps += steps


def _rule(program: Program, given: Any, settings: dict[str, Any]) -> _Rule:
    """Raises TypeError or ValueError as making an optimiser does, and for one that does not fit the program."""
    if isinstance(given, optim.Optimizer):
        _check_options(type(given), type(given).__name__, settings)
        if settings:
            raise ValueError(f"{', '.join(settings)}= goes with the name of an optimizer: this one has its own")
        return _BoundRule(given, _places(program, given))
    if not isinstance(given, str):
        raise TypeError(f"optimizer must be a name or an optimizer such as pygrad.optim.SGD(...), not {given!r}")
    try:
        return _named(given, *settings.items())
    except TypeError:  # a setting that can't be hashed, as a list of betas; or a wrong one, which is refused again
        return _named.__wrapped__(given, *settings.items())


@functools.lru_cache(maxsize=64, typed=True)
def _named(name: str, *settings: tuple[str, Any]) -> _Rule:
    """The rule of an optimiser that is made for the sake of its settings: what it moves is nobody's."""
    if name.lower() not in _KINDS:
        raise ValueError(f"unknown optimizer={name!r}: choose one of {', '.join(_KINDS)}, or give an optimizer")
    kind: Any = _KINDS[name.lower()]
    _check_options(kind, repr(name), dict(settings))
    return _Rule(kind([reference.Value(0.0)], **dict(settings)))


def _check_options(kind: type[optim.Optimizer], name: str, settings: dict[str, Any]) -> None:
    """Raises TypeError naming an option that neither minimize nor the optimiser has."""
    if not settings:
        return
    own = [x for x in inspect.signature(kind).parameters if x != "parameters"]
    unknown = [x for x in settings if x not in own]
    if unknown:
        others = list(inspect.signature(minimise).parameters)[2:-1]
        raise TypeError(
            f"minimize: unknown option {unknown[0]}=: there are {', '.join(others)}, and for {name} {', '.join(own)}"
        )


def check_positions(arrays: tuple[Any, ...]) -> None:
    """Raises TypeError if one of what should be arrays is an option instead."""
    for x in arrays:
        if x is None or callable(x) or isinstance(x, (str, int, float, optim.Optimizer)):
            what = x if isinstance(x, (str, int, float)) or x is None else type(x)
            raise TypeError(
                f"minimize: {what!r} is no array of samples, and options go by keyword: optimizer='adam', epochs=100"
            )


def _places(program: Program, optimizer: optim.Optimizer) -> NDArray[np.intp] | None:
    """Where each of the program's parameters stands in the optimiser; None if they are in the same order.

    Raises ValueError unless both have the same parameters.
    """
    own, its = program.parameters, optimizer.parameters
    if len(own) == len(its) and all(a is b for a, b in zip(own, its)):
        return None
    at = {id(v): i for i, v in enumerate(its)}
    if len(own) != len(its) or any(id(v) not in at for v in own):
        raise ValueError(
            f"the parameters of this optimizer ({len(its)}) are not those of the program ({len(own)}): make it for "
            f"program.parameters"
        )
    return np.array([at[id(v)] for v in own])


# ---- the loop ----


def minimise(
    program: Program,
    given: Given,
    optimizer: Any = "sgd",
    epochs: int = 1,
    batch_size: int | None = None,
    shuffle: bool = True,
    seed: Any = None,
    reduction: str = "mean",
    progress: Callable[[Progress], object] | None = None,
    every: float = 100.0,
    threads: int | None = None,
    **settings: Any,
) -> Minimisation:
    """See Program.minimize, which says what the options are."""
    started = time.perf_counter()
    program.check_reduction(reduction, given.samples, "minimize")
    if given.samples == 0:
        raise ValueError("minimize: there are no samples")
    if not program.parameter_count:
        raise ValueError(f"minimize: {program.name} has no parameters")
    epochs = _checks.size(epochs, "epochs")
    if epochs > MOST_EPOCHS:
        raise ValueError(f"epochs must be at most {MOST_EPOCHS}, for there is a loss of each, not {epochs}")
    batch = _checks.batch(batch_size, given.samples)
    if progress is not None and not callable(progress):
        raise TypeError(f"progress must be a function, which is given a Progress, not {progress!r}")
    program.check_classes(given)
    every = _positive(every, "every") / 1000.0
    rule = _rule(program, optimizer, settings)
    most = program.threads if threads is None else thread_count(threads)
    loop = _Loop(program, given, rule, epochs, batch, reduction == "mean", most)
    if shuffle and batch < given.samples:
        loop.generator = _generator(seed)
    loop.run(progress, every, started)
    return Minimisation(loop.losses, time.perf_counter() - started, loop.rate)


def _generator(seed: Any) -> np.random.Generator:
    try:
        return np.random.default_rng(seed)
    except (TypeError, ValueError) as error:
        raise type(error)(f"seed: {error}") from None


def _positive(x: Any, what: str) -> float:
    number = x if type(x) is float else _checks.as_float(x, what)
    if not number > 0.0:
        raise ValueError(f"{what} must be above 0, not {number!r}")
    return number


class _Loop:
    """One call of minimise, after everything was checked. The parameters are in an array until they are stored."""

    generator: np.random.Generator | None = None  # draws the order of the samples

    def __init__(
        self, program: Program, given: Given, rule: _Rule, epochs: int, batch: int, mean: bool, threads: int
    ) -> None:
        self.program, self.given, self.rule, self.epochs, self.batch = program, given, rule, epochs, batch
        self.mean, self.threads = mean, threads
        self.machine = program.trainer()
        numbers = program.source.numbers()
        self.parameters = bytearray(numbers)
        del self.parameters[8 * program.parameter_count :]
        self.settings = rule.numbers()
        self.rate: float = self.settings.item(0)
        self.state = rule.memory(program.parameter_count)
        self.losses = np.empty(epochs)
        self.batches = -(-given.samples // batch)
        self.steps = 0  # that were taken
        self.stored = 0  # of which the optimiser knows

    def run(self, progress: Callable[[Progress], object] | None, every: float, started: float) -> None:
        """All epochs. However it ends, what the steps did that were taken is stored.

        A training of a few milliseconds is done before Ctrl-C is looked after. If it comes just then, all is stored or
        nothing; an optimiser that keeps its state could be left with half of it, and is looked after from the first.
        """
        if progress is None and not self.rule.bound and self.batches == 1 and self.at_once():
            return
        interrupts = Interrupts()
        interrupts.install()
        try:
            try:
                self.all(interrupts, progress, every, started)
            finally:
                with interrupts:
                    self.store()
        finally:
            interrupts.remove()

    def at_once(self) -> bool:
        """Goes on for a moment; whether that was all."""
        if self.epochs:
            training = self.training(0, self.epochs)
            self.steps = training.run(MOMENT, self.epochs)
            training.close()
        if self.steps == self.epochs:
            self.store()
        return self.steps == self.epochs

    def all(
        self, interrupts: Interrupts, progress: Callable[[Progress], object] | None, every: float, started: float
    ) -> None:
        """All epochs, as many at a time as an order of the samples is drawn for."""
        most = self.epochs if self.generator is None else max(1, SHUFFLED // self.given.samples)
        seconds = SLICE if progress is None else min(SLICE, every)
        due = started + every
        while self.steps < self.epochs * self.batches:
            first = self.steps
            epochs = min(most, self.epochs - first // self.batches)
            training = self.training(first // self.batches, epochs)
            while self.steps - first < epochs * self.batches:
                with interrupts:
                    self.steps = first + self.advance(training, first, epochs * self.batches, seconds)
                if progress is not None and (now := time.perf_counter()) >= due:
                    with interrupts:
                        self.store()
                    progress(self.report(now - started))
                    due = time.perf_counter() + every
            training.close()

    def training(self, first: int, epochs: int) -> Any:
        """The steps of the epochs from the first on."""
        order = rates = None
        samples = self.given.samples
        if self.generator is not None:
            rows = np.broadcast_to(np.arange(samples, dtype=np.int64), (epochs, samples))
            order = self.generator.permuted(rows, axis=1).reshape(-1)
        if self.batches == 1 and self.rule.scheduled:
            rates = np.array([self.rule.rate(first + epoch) for epoch in range(epochs)])
            self.rate = float(rates[-1])
        losses = self.losses[first : first + epochs]
        plan = Plan(
            epochs, self.batch, self.mean, self.rule.code, self.settings, self.state, losses, order, rates, self.threads
        )
        return self.machine.training(self.given, self.parameters, plan)

    def advance(self, training: Any, first: int, steps: int, seconds: float) -> int:
        """Goes on for so many seconds; how many of the training's steps are done then."""
        if self.batches == 1 or not self.rule.scheduled:
            return int(training.run(seconds, steps))
        end = time.perf_counter() + seconds
        done = self.steps - first
        while done < steps and time.perf_counter() < end:
            self.settings[0] = self.rate = self.rule.rate(first + done)
            done = training.run(0.0, 1)
        return done

    def store(self) -> None:
        """Puts the parameters and the optimiser's memory where they belong."""
        self.program.source.put(self.parameters)
        self.rule.done(self.steps - self.stored, self.state)
        self.stored = self.steps

    def report(self, seconds: float) -> Progress:
        """What there is to say."""
        epoch = self.steps // self.batches
        return Progress(epoch, self.epochs, float(self.losses[epoch - 1]) if epoch else math.nan, seconds)
