"""The rules of losses: each one node from a batch of outputs to one number, with targets and divisor as options.

The divisor is the number of terms for a mean, 1 for a sum. Targets are arrays of the outputs' shape and dtype. The
formulas are those of losses.py, where they are explained; whether targets fit is for the caller to check.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import _array_math
from ._rule import Rule, call, data_of, scaled
from ._rules_reductions import LOGSUMEXP, SOFTMAX

# ---- squares ----


def _squared_error(x: Any, y: Any, divisor: int) -> Any:
    d = x - y
    return np.vdot(d, d) / divisor


def _sum_squares(xs: Any, o: None) -> Any:
    total = 0.0
    for x in xs:
        total = total + (x * x if type(x) is float else np.vdot(x, x))
    return total


# ---- labels 0 and 1 ----


def _binary_cross_entropy(p: Any, o: tuple[Any, float, int]) -> Any:
    """Options: the targets, the least probability of which a logarithm is taken, the divisor."""
    y, least, divisor = o
    logs = y * np.log(np.maximum(p, least))
    logs += (1.0 - y) * np.log(np.maximum(1.0 - p, least))
    return -np.add.reduce(logs, None) / divisor


def _binary_cross_entropy_derivative(g: Any, p: Any, _: Any, z: Any, o: tuple[Any, float, int]) -> Any:
    """-y / p + (1 - y) / (1 - p), each 0 where its logarithm is cut off."""
    y, least, divisor = o
    return (_inverse(1.0 - p, 1.0 - y, least) - _inverse(p, y, least)) * (g / divisor)


def _inverse(p: Any, weight: Any, least: float) -> Any:
    """weight / p, and 0 where p is at most `least`; so in all derivatives."""
    cut = data_of(p) <= least
    return np.where(cut, 0.0, weight) / np.where(cut, 1.0, p)


def _with_logits(x: Any, o: tuple[Any, Any, int]) -> Any:
    """Options: the sign, -1 where the target is 1, else 1; the targets strictly between 0 and 1, and 0 elsewhere, or
    None if there are none; the divisor. log(1 + e ** (sign x)) - soft x."""
    sign, soft, divisor = o
    terms = _array_math.softplus(sign * x)
    if soft is not None:
        terms -= soft * x
    return np.add.reduce(terms, None) / divisor


def _with_logits_derivative(g: Any, x: Any, _: Any, z: Any, o: tuple[Any, Any, int]) -> Any:
    sign, soft, divisor = o
    slope = sign * _array_math.sigmoid(sign * x)
    return (slope if soft is None else slope - soft) * (g / divisor)


# ---- labels -1 and 1. Options: the targets, the margin, the divisor ----


def _hinge(x: Any, o: tuple[Any, float, int]) -> Any:
    y, margin, divisor = o
    return np.add.reduce(np.maximum(margin - y * x, 0.0), None) / divisor


def _hinge_derivative(g: Any, x: Any, _: Any, z: Any, o: tuple[Any, float, int]) -> Any:
    y, margin, divisor = o
    return scaled(np.where(margin - y * data_of(x) > 0.0, -y, 0.0), g / divisor)


# ---- classes. Options: the place of each sample's own entry in the flattened outputs, the axis of the classes ... ----


def _cross_entropy(x: Any, o: tuple[Any, int, int]) -> Any:
    """... and the divisor."""
    own, axis, divisor = o
    terms = LOGSUMEXP.value(x, ((axis,), False))
    return np.add.reduce(terms - x.take(own.reshape(terms.shape)), None) / divisor


def _cross_entropy_derivative(g: Any, x: Any, _: Any, z: Any, o: tuple[Any, int, int]) -> Any:
    """Of each sample's logits: their softmax, less 1 at its class."""
    own, axis, divisor = o
    if type(x) is np.ndarray and type(g) is float:
        slope = SOFTMAX.value(x, axis)
        slope.put(own, slope.take(own) - 1.0)
        return np.multiply(slope, g / divisor, slope)
    ones = np.zeros(x.shape, x.dtype)
    ones.put(own, 1.0)
    return (call(SOFTMAX, (x,), axis) - ones) * (g / divisor)


def _multiclass_hinge(x: Any, o: tuple[Any, int, float, int]) -> Any:
    """... the margin, and the divisor."""
    own, _, _, divisor = o
    terms = np.maximum(_margins(x, o), 0.0)
    terms.put(own, 0.0)
    return np.add.reduce(terms, None) / divisor


def _margins(x: Any, o: tuple[Any, int, float, int]) -> Any:
    """By how much each class's score lacks of being the margin below the sample's own."""
    own, axis, margin, _ = o
    shape = [1 if i == axis else n for i, n in enumerate(x.shape)]
    return x - x.take(own).reshape(shape) + margin


def _multiclass_hinge_derivative(g: Any, x: Any, _: Any, z: Any, o: tuple[Any, int, float, int]) -> Any:
    own, axis, _, divisor = o
    numbers = data_of(x)
    slope = (_margins(numbers, o) > 0.0).astype(numbers.dtype)
    slope.put(own, 0.0)
    slope.put(own, -np.add.reduce(slope, axis))
    return scaled(slope, g / divisor)


ROWS = [
    Rule(
        "squared_error", "squared_error", 2, _squared_error,  # the option is the divisor
        (lambda g, x, y, z, o: (x - y) * (g * (2.0 / o)), lambda g, x, y, z, o: (y - x) * (g * (2.0 / o))),
    ),
    Rule("sum_squares", "sum_squares", -1, _sum_squares, (lambda g, xs, i, z, o: xs[i] * (2.0 * g),)),
    Rule(
        "binary_cross_entropy", "binary_cross_entropy", 1, _binary_cross_entropy, (_binary_cross_entropy_derivative,)
    ),
    Rule("binary_cross_entropy_with_logits", "binary_cross_entropy", 1, _with_logits, (_with_logits_derivative,)),
    Rule("hinge", "hinge", 1, _hinge, (_hinge_derivative,)),
    Rule("cross_entropy", "cross_entropy", 1, _cross_entropy, (_cross_entropy_derivative,)),
    Rule("multiclass_hinge", "hinge", 1, _multiclass_hinge, (_multiclass_hinge_derivative,)),
]  # fmt: skip
