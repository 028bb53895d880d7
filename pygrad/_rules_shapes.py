"""The rules of ops that move numbers without arithmetic: shapes, indexing, joining, choosing.

Most come in pairs, each the derivative of the other (index and scatter, pad and index), so that derivatives of every
order are graphs. Values are views where NumPy's are.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ._rule import Rule, call, inverse, shape_of

# ---- shapes ----


def _reshape(x: Any, shape: tuple[int, ...]) -> Any:
    return np.asarray(x).reshape(shape)


def _reshape_derivative(g: Any, x: Any, y: Any, z: Any, shape: tuple[int, ...]) -> Any:
    return g.reshape(shape_of(x)) if shape else g


def _transpose(x: Any, axes: tuple[int, ...]) -> Any:
    return x.transpose(axes)


def _transpose_derivative(g: Any, x: Any, y: Any, z: Any, axes: tuple[int, ...]) -> Any:
    return g.transpose(axes if len(axes) == 2 else inverse(axes))


# ---- indexing ----
#
# A key is what stands in brackets: ints, slices, None, Ellipsis, integer and boolean arrays, or a tuple of these.


def _is_unique(key: Any) -> bool:
    """Whether a key names no element twice for sure: it has no integer array."""
    for part in key if isinstance(key, tuple) else (key,):
        if isinstance(part, (list, np.ndarray)) and np.asarray(part).dtype != np.bool_:
            return False
    return True


def _scatter(x: Any, o: tuple[tuple[int, ...], Any]) -> Any:
    """Zeros of the shape, with x added at the key."""
    shape, key = o
    dtype = getattr(x, "dtype", np.float64)
    if not _is_unique(key) and np.size(x) > max(1000, math.prod(shape) // 4):
        return _counted(x, shape, key).astype(dtype, copy=False)
    z = np.zeros(shape, dtype)
    if _is_unique(key):
        z[key] = x
    else:
        np.add.at(z, key, x)
    return z


def _counted(x: Any, shape: tuple[int, ...], key: Any) -> Any:
    """The same by a weighted count of the elements' numbers: for many elements several times faster than add.at."""
    size = math.prod(shape)
    numbers = np.arange(size).reshape(shape)[key]
    return np.bincount(numbers.ravel(), x.ravel(), size).reshape(shape)


def _index_derivative(g: Any, x: Any, y: Any, z: Any, key: Any) -> Any:
    return call(SCATTER, (g,), (x.shape, key))


def _along_key(shape: tuple[int, ...], o: tuple[Any, int]) -> tuple[Any, ...]:
    """The key of np.take_along_axis: the indices for its axis, each position for the others."""
    indices, axis = o
    last = len(shape) - 1
    return tuple(indices if i == axis else np.arange(n).reshape((n,) + (1,) * (last - i)) for i, n in enumerate(shape))


def _take_along(x: Any, o: tuple[Any, int]) -> Any:
    return x[_along_key(x.shape, o)]


def _take_along_derivative(g: Any, x: Any, y: Any, z: Any, o: tuple[Any, int]) -> Any:
    return call(SCATTER, (g,), (x.shape, _along_key(x.shape, o)))


def _pad(x: Any, o: tuple[tuple[tuple[int, int], ...], float]) -> Any:
    """Options: for each axis how much before and after, and the number to fill with."""
    width, number = o
    z = np.full([before + n + after for n, (before, after) in zip(x.shape, width)], number, x.dtype)
    z[_inside(x.shape, width)] = x
    return z


def _pad_derivative(g: Any, x: Any, y: Any, z: Any, o: tuple[tuple[tuple[int, int], ...], float]) -> Any:
    return g[_inside(x.shape, o[0])]


def _inside(shape: tuple[int, ...], width: tuple[tuple[int, int], ...]) -> tuple[slice, ...]:
    return tuple(slice(before, before + n) for n, (before, _) in zip(shape, width))


# ---- joining: the option is the axis ----


def _concatenate_derivative(g: Any, xs: tuple[Any, ...], i: int, z: Any, axis: int) -> Any:
    start = 0
    for x in xs[:i]:
        start += x.shape[axis]
    return g[(slice(None),) * axis + (slice(start, start + xs[i].shape[axis]),)]


def _stack_derivative(g: Any, xs: tuple[Any, ...], i: int, z: Any, axis: int) -> Any:
    return g[(slice(None),) * axis + (i,)]


# ---- packing: many scalars, row after row, as one array. Options: the shape, and whether it is transposed then ----


def _pack(xs: tuple[float, ...], o: tuple[tuple[int, ...], bool]) -> Any:
    z = np.array(xs, np.float64).reshape(o[0])
    return z.T if o[1] else z


def unpacked(g: Any, o: tuple[tuple[int, ...], bool]) -> Any:
    """The gradient of packed scalars, one after the other: a float64 array in C order."""
    return np.ascontiguousarray(g.T if o[1] else g, np.float64)


def _pack_derivative(g: Any, xs: tuple[Any, ...], i: int, z: Any, o: tuple[tuple[int, ...], bool]) -> Any:
    return (np.transpose(g) if o[1] else g).reshape((-1,))[i]


# ---- choosing ----


def _clip(x: Any, o: tuple[Any, Any]) -> Any:
    """Options: the bounds, numbers or arrays; None for none."""
    low, high = o
    z = x if low is None else np.maximum(x, low)
    return +z if high is None else np.minimum(z, high)


def _clip_derivative(g: Any, x: Any, y: Any, z: Any, o: tuple[Any, Any]) -> Any:
    """Passes within the bounds and on them."""
    low, high = o
    if low is None or high is None:
        return np.where(x >= low if high is None else x <= high, g, 0.0) if low is not high else g
    return np.where((x >= low) & (x <= high), g, 0.0)


SCATTER = Rule("scatter", "scatter", 1, _scatter, (lambda g, x, y, z, o: g[o[1]],))

ROWS = [
    Rule("reshape", "reshape", 1, _reshape, (_reshape_derivative,)),
    Rule("transpose", "transpose", 1, _transpose, (_transpose_derivative,)),
    Rule("broadcast_to", "broadcast_to", 1, np.broadcast_to, (lambda g, x, y, z, o: g,)),
    Rule("index", "index", 1, lambda x, key: x[key], (_index_derivative,)),
    SCATTER,  # options: the result's shape, and the key
    Rule("take_along", "take_along", 1, _take_along, (_take_along_derivative,)),  # options: the indices, and the axis
    Rule("pad", "pad", 1, _pad, (_pad_derivative,)),
    Rule("concatenate", "concatenate", -1, np.concatenate, (_concatenate_derivative,)),
    Rule("stack", "stack", -1, np.stack, (_stack_derivative,)),
    Rule("pack", "pack", -1, _pack, (_pack_derivative,)),
    Rule(
        "where", "where", 2,  # options: the condition, a boolean array
        lambda x, y, condition: np.where(condition, x, y),
        (lambda g, x, y, z, o: np.where(o, g, 0.0), lambda g, x, y, z, o: np.where(o, 0.0, g)),
    ),
    Rule("clip", "clip", 1, _clip, (_clip_derivative,)),
    Rule("cast", "cast", 1, lambda x, dtype: x.astype(dtype), (lambda g, x, y, z, o: g,)),  # option: a dtype's name
]  # fmt: skip
