"""Many numbers of array Values at once, in NumPy: an optimiser's step, the norm of gradients, and their clipping.

The rules are those of _updates.py. A step is taken here where C does not take it: on the python backend, for float32,
and for arrays whose numbers do not stand one behind the other. It goes piece by piece: NumPy's temporaries of a large
array cost more than the arithmetic, those of a piece stay in the processor's cache.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _array_math
from ._arrays import quiet
from ._updates import RULES

Array = NDArray[Any]

PIECE = 8192
"""Numbers of an array that are computed at a time."""

LANES = 128
"""The sums in which the squares of an array are added."""


def _overlaps_itself(array: Array) -> bool:
    """Whether two entries may share memory, as in np.broadcast_to(...)."""
    reach = array.itemsize
    for stride, n in sorted((abs(stride), n) for stride, n in zip(array.strides, array.shape)):
        if n > 1:
            if stride < reach:
                return True
            reach += stride * (n - 1)
    return False


def store(v: Any, numbers: Array) -> None:
    """Sets the data of an array Value to numbers, of its shape: in place, so that others who hold the array see it. An
    array that cannot be written is replaced by a new one."""
    data = v.data
    if data.flags.writeable and (data.flags.c_contiguous or not _overlaps_itself(data)):
        np.copyto(data, numbers, casting="same_kind")
    else:
        v.data = np.array(numbers, dtype=data.dtype, order="C")


# ---- a step ----


def zeros(slots: int, v: Any) -> Array:
    """The memory of an array Value before the first step."""
    return np.zeros((slots, v.data.size), v.data.dtype)


def check(v: Any, memory: Array, what: str) -> None:
    """Raises ValueError that names `what` if gradient or state have not the shape of the data, changed in place."""
    data, grad = v.data, v._raw_grad
    if grad is not None and grad.shape != data.shape:
        raise ValueError(f"{what} has data of shape {data.shape}, but a gradient of shape {grad.shape}")
    if memory.shape[1] != data.size or memory.dtype != data.dtype:
        raise ValueError(
            f"{what} has {data.size} numbers of {data.dtype} now, but had {memory.shape[1]} of {memory.dtype} when "
            f"the optimizer was made"
        )


def step(
    quick: Callable[..., list[int]],
    rule: str,
    values: Sequence[Any],
    settings: tuple[float, ...],
    memory: Sequence[Array],
) -> None:
    """A step of array Values, one by one. quick: their backend's _optimise_arrays, which takes those whose gradient is
    all that does not suit it. memory: for each the state, of shape (slots, size), which changes in place."""
    with quiet():
        for v, state in zip(values, memory):
            grad = v._raw_grad
            if grad is not None:
                grad = np.ascontiguousarray(grad)
            if quick(rule, (v,), settings, (state,), (grad,)):
                _step(rule, v, grad, settings, state)


def _step(rule: str, v: Any, grad: Array | None, settings: tuple[float, ...], memory: Array) -> None:
    data = v.data
    in_place = data.flags.c_contiguous and data.flags.writeable
    numbers = data if in_place else np.array(data, order="C")
    x, g = numbers.reshape(-1), None if grad is None else grad.reshape(-1)
    if g is not None and x.size > PIECE and np.may_share_memory(x, g):
        g = g.copy()  # of a piece that was written already, the numbers as they were before
    for start in range(0, x.size, PIECE):
        piece = slice(start, start + PIECE)
        now = [slot[piece] for slot in memory]
        x[piece] = RULES[rule].update(_array_math, x[piece], 0.0 if g is None else g[piece], now, *settings)
        for slot, numbers_now in zip(memory, now):
            slot[piece] = numbers_now
    if not in_place:
        store(v, numbers)


# ---- gradients ----


def sum_of_squares(numbers: Array | None) -> float:
    """Of an array's numbers; None: zeros. In an order that depends on nothing but their count: in C order, the i-th
    square is added to sum i % LANES; then those sums are added, from the first to the last. In float64."""
    if numbers is None:
        return 0.0
    flat = numbers.reshape(-1)
    rows = np.zeros((1 - min(PIECE, flat.size) // -LANES, LANES))  # the sums so far, then a piece of squares
    with quiet():
        for start in range(0, flat.size, PIECE):
            piece = flat[start : start + PIECE]
            squares = rows[1:].reshape(-1)
            np.multiply(piece, piece, out=squares[: piece.size], dtype=np.float64)
            squares[piece.size :] = 0.0
            rows[0] = np.add.reduce(rows, axis=0)
        return left_to_right(rows[0])


def left_to_right(numbers: Array) -> float:
    """The sum from the first to the last; 0.0 of none."""
    return float(np.add.accumulate(numbers)[-1]) if numbers.size else 0.0


def scale_grad(v: Any, factor: float) -> None:
    """Multiplies the gradient."""
    grad = v._raw_grad
    if grad is None:
        if 0.0 <= factor < np.inf:
            return
        grad = np.zeros_like(v.data)
    with quiet():
        v.grad = grad * factor


def clamp_grad(v: Any, limit: float) -> None:
    """Brings the gradient into [-limit, limit]; a nan stays one."""
    grad = v._raw_grad
    if grad is not None:
        with quiet():
            v.grad = np.where(grad > limit, limit, np.where(grad < -limit, -limit, grad))
