"""Learning rates that change with the step: constant, linear, step and cosine, for the lr of pygrad.optim.

A schedule is called with the number of the step, from 0, and gives the rate; it holds nothing else, so that it can be
asked for any step, compared, copied and saved (`config`). Any function of the step does as well, but cannot be saved.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from . import _checks

__all__ = ["Schedule", "constant", "cosine", "from_config", "linear", "step"]


class Schedule:
    """A learning rate as a function of the step. Made by constant, linear, step, cosine or from_config.

    >>> rate = linear(1.0, 0.1, 100)
    >>> rate(0), rate(50), rate(1000)
    (1.0, 0.55, 0.1)
    >>> rate
    linear(start=1.0, end=0.1, steps=100)
    """

    __slots__ = ("_name", "_settings")

    def __init__(self, name: str, settings: dict[str, Any]) -> None:
        self._name = name
        self._settings = settings

    def __call__(self, step: int) -> float:
        """The rate of step 0, 1, 2, ... Raises TypeError if step is no integer, ValueError if it is negative."""
        rate: float = _FORMULAS[self._name](_checks.size(step, "step"), **self._settings)
        return rate

    def config(self) -> dict[str, Any]:
        """What from_config makes it from: a dict of str and numbers."""
        return {"schedule": self._name, **self._settings}

    def __repr__(self) -> str:
        return f"{self._name}({', '.join(f'{name}={x!r}' for name, x in self._settings.items())})"

    def __eq__(self, other: object) -> bool:
        return self.config() == other.config() if isinstance(other, Schedule) else NotImplemented

    def __hash__(self) -> int:
        return hash((self._name, *self._settings.values()))

    def __reduce__(self) -> tuple[Any, ...]:
        return from_config, (self.config(),)


# ---- the formulas ----


def _constant(k: int, lr: float) -> float:
    return lr


def _linear(k: int, start: float, end: float, steps: int) -> float:
    return start - (start - end) * k / steps if k < steps else end


def _step(k: int, lr: float, every: int, factor: float) -> float:
    return float(lr * factor ** (k // every))


def _cosine(k: int, lr: float, steps: int, minimum: float, warmup: int) -> float:
    if k < warmup:
        return lr * (k + 1) / warmup
    if k >= steps:
        return minimum
    return minimum + (lr - minimum) * (1.0 + math.cos(math.pi * (k - warmup) / (steps - warmup))) / 2.0


_FORMULAS: dict[str, Callable[..., float]] = {
    "constant": _constant,
    "linear": _linear,
    "step": _step,
    "cosine": _cosine,
}

# ---- making one ----


def non_negative(x: Any, what: str) -> float:
    """x as a float. Raises TypeError if it is no number, ValueError unless it is finite and at least 0."""
    number = _checks.as_float(x, what)
    if not (math.isfinite(number) and number >= 0.0):
        raise ValueError(f"{what} must be a finite number of at least 0, not {number!r}")
    return number


def _positive_count(n: Any, what: str) -> int:
    count = _checks.size(n, what)
    if count == 0:
        raise ValueError(f"{what} must be at least 1, not 0")
    return count


def constant(lr: float) -> Schedule:
    """lr at every step. Raises TypeError or ValueError unless it is a finite number of at least 0."""
    return Schedule("constant", {"lr": non_negative(lr, "lr")})


def linear(start: float, end: float, steps: int) -> Schedule:
    """start - (start - end) k / steps at step k; end from step `steps` on.

    linear(1.0, 0.1, 100) is the 1.0 - 0.9 * k / 100 of micrograd's demo, bit for bit.

    Raises TypeError or ValueError unless the rates are finite numbers of at least 0, and steps a positive integer.
    """
    settings = {"start": non_negative(start, "start"), "end": non_negative(end, "end")}
    return Schedule("linear", {**settings, "steps": _positive_count(steps, "steps")})


def step(lr: float, every: int, factor: float = 0.1) -> Schedule:
    """lr factor**(k // every) at step k: multiplied by factor after every so many steps (torch's StepLR).

    Raises TypeError or ValueError unless lr is a finite number of at least 0, factor one of 0 to 1, and every a
    positive integer.
    """
    settings = {"lr": non_negative(lr, "lr"), "every": _positive_count(every, "every")}
    number = non_negative(factor, "factor")
    if number > 1.0:
        raise ValueError(f"factor must be at most 1, not {number!r}")
    return Schedule("step", {**settings, "factor": number})


def cosine(lr: float, steps: int, minimum: float = 0.0, warmup: int = 0) -> Schedule:
    """From lr down to minimum along half a cosine (Loshchilov and Hutter, SGDR, 2017; torch's CosineAnnealingLR).

    With warmup, lr (k + 1) / warmup at its first steps. minimum from step `steps` on, which counts the warm-up.

    Raises TypeError or ValueError unless the rates are finite numbers of at least 0, and the counts integers with
    0 <= warmup < steps.
    """
    settings = {"lr": non_negative(lr, "lr"), "steps": _positive_count(steps, "steps")}
    count = _checks.size(warmup, "warmup")
    if count >= settings["steps"]:
        raise ValueError(f"warmup must be shorter than all {settings['steps']} steps, not {count}")
    return Schedule("cosine", {**settings, "minimum": non_negative(minimum, "minimum"), "warmup": count})


_MAKERS: dict[str, Callable[..., Schedule]] = {
    "constant": constant,
    "linear": linear,
    "step": step,
    "cosine": cosine,
}


def from_config(config: Mapping[str, Any]) -> Schedule:
    """The schedule that Schedule.config describes. Raises ValueError or TypeError, naming what does not fit."""
    settings = dict(config)
    name = settings.pop("schedule", None)
    if not isinstance(name, str) or name not in _MAKERS:
        raise ValueError(f"unknown schedule {name!r}: it must be one of {', '.join(map(repr, _MAKERS))}")
    try:
        return _MAKERS[name](**settings)
    except TypeError as error:
        raise TypeError(f"schedule {name!r}: {error}") from None
