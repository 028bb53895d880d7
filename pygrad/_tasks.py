"""What each named loss means for its user: which targets it takes, the labels and probabilities of its outputs.

An output here is a float, or a list of floats where the model gives several (see plain); of a whole batch an array, of
shape (samples,) or (samples, outputs). The losses themselves are pygrad.losses; a loss of the user's own has no entry
here, so its outputs have no labels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from . import functions
from ._checks import as_class, is_value
from .nn import Softmax

Output = Any
"""A float, or a list of floats."""


def plain(output: Any) -> Output:
    """The numbers of what a model gave: of a Value, or of a list of them. Of an array Value of one entry its number."""
    if not is_value(output):
        return [v.data for v in output]
    return output.data if type(output.data) is float else output.item() if output.size == 1 else output.data.tolist()


def _argmax(scores: list[float]) -> int:
    """The index of the largest; of the first of several."""
    best = 0
    for i, score in enumerate(scores):
        if score > scores[best]:
            best = i
    return best


def _each(f: Callable[[float], Any], output: Output) -> Any:
    return [f(x) for x in output] if isinstance(output, list) else f(output)


def _above_half(output: Output) -> Any:
    return _each(lambda p: int(p > 0.5), output)


def _positive(output: Output) -> Any:
    return _each(lambda x: int(x > 0.0), output)


def _sign(output: Output) -> Any:
    return _each(lambda x: 1 if x > 0.0 else -1, output)


# ---- the same of batches: arrays of int64 ----


def _above_half_all(outputs: Any) -> Any:
    return (outputs > 0.5).astype(np.int64)


def _positive_all(outputs: Any) -> Any:
    return (outputs > 0.0).astype(np.int64)


def _sign_all(outputs: Any) -> Any:
    return np.where(outputs > 0.0, 1, -1)


def _argmax_all(outputs: Any) -> Any:
    return np.argmax(outputs, axis=1)


# ---- targets ----


def _real(y: Any, what: str) -> None:
    if not isinstance(y, (int, float)):
        raise TypeError(f"{what} must be a number, not {y!r}")


def _fraction(y: Any, what: str) -> None:
    _real(y, what)
    if not 0.0 <= y <= 1.0:
        raise ValueError(f"{what} must be between 0 and 1, not {y!r} (labels -1 and 1: loss='hinge')")


def _sign_target(y: Any, what: str) -> None:
    _real(y, what)
    if y not in (-1, 1):
        raise ValueError(f"{what} must be -1 or 1, not {y!r} (labels 0 and 1: 'binary_cross_entropy_with_logits')")


def _counted(n: int, what: str) -> str:
    return f"{n} {what}{'s' if n != 1 else ''}"


def _one_a_number(check: Callable[[Any, str], None], y: Any, outputs: int | None, what: str) -> None:
    """One target an output."""
    if outputs is None:
        if isinstance(y, list):
            raise ValueError(f"{what} has {_counted(len(y), 'target')}, but the model gives one output")
        check(y, what)
        return
    if not isinstance(y, list) or len(y) != outputs:
        count = _counted(len(y), "target") if isinstance(y, list) else "one target"
        raise ValueError(f"{what} has {count}, but the model gives {_counted(outputs, 'output')}")
    for j, number in enumerate(y):
        check(number, f"{what}[{j}]")


def _real_targets(y: Any, outputs: int | None, what: str) -> None:
    _one_a_number(_real, y, outputs, what)


def _fraction_targets(y: Any, outputs: int | None, what: str) -> None:
    _one_a_number(_fraction, y, outputs, what)


def _sign_targets(y: Any, outputs: int | None, what: str) -> None:
    _one_a_number(_sign_target, y, outputs, what)


def _class_target(y: Any, outputs: int | None, what: str) -> None:
    if outputs is None:
        raise ValueError("this loss needs a model with one output a class, but this one gives a single output")
    index = as_class(y, what)
    if not 0 <= index < outputs:
        raise ValueError(f"{what} is {index}, but the model's {outputs} outputs are for the classes 0 to {outputs - 1}")


class Task(NamedTuple):
    """What a named loss means."""

    check: Callable[[Any, int | None, str], None]
    """check(target, outputs, what): raises TypeError or ValueError naming `what` for a target that does not fit a model
    with that many outputs (None: a single one, which is no list)."""

    label: Callable[[Output], Any] | None = None
    """The label of an output; None for regression."""

    probability: Callable[[Output], Any] | None = None
    """The probability (or the list of them) of an output; None where there is none."""

    of_classes: bool = False
    """Whether a target is an integer class, and there is one output a class."""

    labels: Callable[[Any], Any] | None = None
    """label, of an array of outputs."""

    probabilities: Callable[[Any], Any] | None = None
    """probability, of an array of outputs."""


def _same(output: Output) -> Output:
    return output


def _sigmoid(output: Output) -> Output:
    return _each(functions.sigmoid, output)


TASKS: dict[str, Task] = {
    "mse": Task(_real_targets),
    "sse": Task(_real_targets),
    "binary_cross_entropy": Task(
        _fraction_targets, _above_half, _same, labels=_above_half_all, probabilities=_same
    ),
    "binary_cross_entropy_with_logits": Task(
        _fraction_targets, _positive, _sigmoid, labels=_positive_all, probabilities=functions.sigmoid
    ),
    "cross_entropy": Task(_class_target, _argmax, Softmax(), True, _argmax_all, Softmax()),
    "hinge": Task(_sign_targets, _sign, labels=_sign_all),
    "multiclass_hinge": Task(_class_target, _argmax, None, True, _argmax_all),
}
"""By the names of pygrad.losses.LOSSES."""


def correct(task: Task, output: Output, target: Any) -> bool:
    """Whether the label of an output is its target; of several outputs, whether all are."""
    assert task.label is not None
    return bool(task.label(output) == target)
