"""Text about arrays in pictures: their shape, a short summary of their numbers, the whole of small ones.

Loaded when the first array is drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._draw_text import number

FEW = 6
"""Arrays of up to so many numbers are shown in full."""


def shape_text(array: NDArray[Any]) -> str:
    """The shape; and the dtype, if it is not float64: 'shape (3, 5), float32'."""
    return f"shape {array.shape}" + ("" if array.dtype == np.float64 else f", {array.dtype}")


def summary(array: NDArray[Any], digits: int) -> str:
    """All numbers of a small array, as nested lists; of a larger one the least, the greatest and the mean."""
    if array.size == 0:
        return "empty"
    if array.size <= FEW:
        return _nested(array, digits)
    nan = np.isnan(array)
    numbers = np.asarray(array[~nan], np.float64)
    if numbers.size == 0:
        return "all nan"
    least, greatest = float(numbers.min()), float(numbers.max())
    low, high = number(least, digits), number(greatest, digits)
    spread = low if low == high else f"{low} … {high}"
    if nan.any():
        return f"{np.count_nonzero(nan):,} nan, others {spread}"
    if low == high:
        return f"all {low}"
    with np.errstate(all="ignore"):
        mean = float(numbers.mean())
    if abs(mean) < 1e-12 * max(abs(least), abs(greatest)):  # what rounding left of 0
        mean = 0.0
    return f"{spread}, mean {number(mean, digits)}"


def _nested(array: NDArray[Any], digits: int) -> str:
    if array.ndim == 0:
        return number(array, digits)
    return f"[{', '.join(_nested(part, digits) for part in array)}]"


def grad(v: Any) -> NDArray[Any]:
    """The gradient of an array Value, which does not get an array of zeros by being looked at."""
    kept: NDArray[Any] | None = v._raw_grad
    return np.broadcast_to(np.zeros((), v.data.dtype), v.data.shape) if kept is None else kept


def packed_grad(v: Any, parameters: Sequence[Any]) -> NDArray[Any]:
    """The gradient of the scalars that were packed into an array Value, as it is arranged."""
    shape, transposed = v._record[1]
    grads: NDArray[Any] = np.array([p.grad for p in parameters]).reshape(shape)
    return grads.T if transposed else grads


def in_full(v: Any) -> str:
    """What an array Value holds, to the last digit, in several lines; of many numbers only those at the ends."""
    return f"{shape_text(v.data)}\ndata {_lines(v.data)}\ngrad {_lines(grad(v))}"


def _lines(array: NDArray[Any]) -> str:
    text: str = np.array2string(array, separator=", ", threshold=40, edgeitems=2, floatmode="unique", prefix="data ")
    return text
