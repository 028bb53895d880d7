"""The mathematics of derivatives on arrays and graphs, and of optimisers' rules on arrays: what _ieee is for floats.

Most names are NumPy's own functions: of ndarrays they give ndarrays, of Values a Value, by NumPy's protocols. The
rest NumPy does not have, or not without overflow; of a Value they are its method. float32 gives float32. In place on
fresh arrays wherever possible: for large arrays a temporary costs more than the arithmetic. Nothing modifies its
arguments.
"""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from ._checks import is_value

divide = np.divide
exp = np.exp
log = np.log
sin = np.sin
cos = np.cos
where = np.where
equal = np.equal
square_root = np.sqrt

power = operator.pow
"""x ** y. The operator, for NumPy has short cuts for small constant exponents, and a graph an op of its own."""


def sign(x: Any) -> Any:
    """1, -1, 0 or nan. Of a Value an array: it is constant wherever it has a derivative."""
    return np.sign(x.data if is_value(x) else x)


def sigmoid(x: Any) -> Any:
    """1 / (1 + e ** -x), as e**x / (1 + e**x); from 40 on that is 1 to the last bit, so nothing overflows."""
    if is_value(x):
        return x.sigmoid()
    e = np.minimum(x, 40.0)
    np.exp(e, e)
    return np.divide(e, 1.0 + e, e)


def softplus(x: Any) -> Any:
    """log(1 + e ** x), as max(x, 0) + log(1 + e ** -|x|)."""
    if is_value(x):
        return x.softplus()
    z = np.absolute(x)
    np.negative(z, z)
    np.exp(z, z)
    np.log1p(z, z)
    return np.add(z, np.maximum(x, 0.0), z)


_erf = np.frompyfunc(math.erf, 1, 1)
_erfc = np.frompyfunc(math.erfc, 1, 1)


def erf(x: Any) -> Any:
    """The error function."""
    return x.erf() if is_value(x) else _erf(x).astype(x.dtype)


def erfc(x: Any) -> Any:
    """1 - erf(x), without cancellation."""
    return x.erfc() if is_value(x) else _erfc(x).astype(x.dtype)


def normal_cdf(x: Any) -> Any:
    """Of the standard normal distribution: erfc(-x / sqrt 2) / 2."""
    return 0.5 * erfc(-x * 0.7071067811865476)


def normal_pdf(x: Any) -> Any:
    """Of the standard normal distribution: exp(-x**2 / 2) / sqrt(2 pi)."""
    return 0.3989422804014327 * exp(-0.5 * (x * x))
