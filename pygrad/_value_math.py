"""The mathematics of derivatives on graphs of scalars: what _ieee is for floats, under the same names, where an operand
may be a Value.

Of Values each function is an ordinary operation, so its result can be differentiated again, and where it has no
finite value it raises as operations do. Choices are made at once, by the numbers: only what is chosen is recorded.
Graphs of arrays take _array_math.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from . import _ieee
from ._checks import is_value


def _function(name: str) -> Callable[[Any], Any]:
    of_float = getattr(_ieee, name)
    return lambda x: getattr(x, name)() if is_value(x) else of_float(x)


divide = operator.truediv
power = operator.pow
where = _ieee.where
exp = _function("exp")
log = _function("log")
sin = _function("sin")
cos = _function("cos")
sigmoid = _function("sigmoid")


def _number(x: Any) -> Any:
    return x.data if is_value(x) else x


def equal(x: Any, y: Any) -> bool:
    """Whether x == y."""
    return bool(_number(x) == _number(y))


def sign(x: Any) -> float:
    """1, -1, or x itself if that is 0 or nan: constant wherever it has a derivative."""
    return _ieee.sign(_number(x))


def normal_cdf(x: Any) -> Any:
    """Of the standard normal distribution: erfc(-x / sqrt 2) / 2."""
    return 0.5 * (-x * 0.7071067811865476).erfc()


def normal_pdf(x: Any) -> Any:
    """Of the standard normal distribution: exp(-x**2 / 2) / sqrt(2 pi)."""
    return 0.3989422804014327 * exp(-0.5 * (x * x))
