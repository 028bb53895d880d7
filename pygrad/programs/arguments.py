"""The arrays that a program is called with: turned into float64 or classes, checked against each other.

The sample axis is the first of each. What is not float64 in C order already is converted, where that is exact; nothing
is ever rounded. Knows nothing of programs: whether classes are in range, the C machine checks.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import _tracing
from .._checks import is_value, size
from .listing import counted

Shape = tuple[int, ...]

_DOUBLE = np.dtype(np.float64)
_INT = 2**31 - 1  # the most that a C int holds
_EXACT = 2**53
"""Up to here every integer is a float64."""
NUMBERS = "biuf"
"""Kinds of dtypes that can become float64."""


class Column(NamedTuple):
    """A column of an argument that is used as classes."""

    argument: int
    column: int
    """Where in a sample's numbers, flat in C order; 0 for a scalar."""
    bound: int
    """Classes are 0 <= class < bound."""


class Layout(NamedTuple):
    """What the arguments of a recorded function are."""

    names: tuple[str, ...]
    shapes: tuple[Shape, ...]
    """Of one sample: () for a number."""
    numbers: tuple[bool, ...]
    """Whether the argument is used as numbers; if not, all that is used of it are classes."""
    classes: tuple[Column, ...]

    @property
    def widths(self) -> tuple[int, ...]:
        """How many numbers a sample has of each."""
        return tuple(int(np.prod(shape)) for shape in self.shapes)


# ---- one argument ----

_NESTED = 64  # as many axes as arrays have


def holds_values(x: Any, depth: int = _NESTED) -> bool:
    """Whether x is a scalar Value, or a (nested) list, tuple or array with one in it."""
    if is_value(x):
        return not x._holds_array
    if isinstance(x, np.ndarray):
        return x.dtype.kind == "O" and holds_values(x.reshape(-1).tolist(), 1)
    if not isinstance(x, (list, tuple)) or not depth:
        return False
    kinds = set(map(type, x))
    return not kinds <= _NUMBERS and any(holds_values(item, depth - 1) for item in x if type(item) not in _NUMBERS)


_NUMBERS = {float, int, bool}

def raw(x: Any, name: str) -> NDArray[Any]:
    """x as an array of whatever it holds, with a sample axis.

    Raises TypeError naming the argument if that can't become float64; ValueError for a single number, or lists
    whose lengths differ.
    """
    if _tracing.here():
        raise _tracing.error(_tracing.COMPILED)
    if is_value(x):
        kind = "an array Value" if x._holds_array else "a Value"
        raise TypeError(f"{name} must be an array of numbers, not {kind}: use .data for what it holds")
    try:
        array = np.asarray(x)
    except ValueError:
        raise ValueError(f"{name}: lists in it differ in length") from None
    if array.dtype.kind not in NUMBERS:
        raise TypeError(
            f"{name} must be an array that can become float64 exactly, not one of dtype {array.dtype}{_hint(array)}"
        )
    if np.ma.is_masked(x):
        raise TypeError(f"{name} has masked entries: fill them first, with x.filled(number)")
    if array.ndim == 0:
        raise ValueError(f"{name} must be an array whose first axis is the samples, not the number {array.item()!r}")
    return array


def _hint(array: NDArray[Any]) -> str:
    if array.dtype.kind != "O":
        return ""
    kinds = sorted({type(x).__name__ for x in array.reshape(-1)[:1000]})
    return f" (of {', '.join(kinds)})" if kinds else ""


def numbers(x: Any, name: str) -> NDArray[np.float64]:
    """x as float64 in C order: itself, if it is that, or a converted copy.

    Raises as raw does, and ValueError naming an integer, or a longer float, that is no float64.
    """
    if type(x) is np.ndarray and x.dtype is _DOUBLE and x.ndim and x.flags.c_contiguous and x.flags.aligned:
        return x
    array = raw(x, name)
    converted = np.require(array, np.float64, ["C", "A"])
    if array.dtype.itemsize >= 8 and array.dtype.kind in "iuf" and array.dtype != np.float64:
        _check_exact(array, converted, name)
    elif isinstance(x, (list, tuple)) and (np.abs(converted) >= _EXACT).any():
        _check_exact(np.asarray(x, object), converted, name)  # of integers among floats NumPy made floats
    return converted


def _check_exact(array: NDArray[Any], converted: NDArray[np.float64], name: str) -> None:
    if array.dtype.kind == "f":
        wrong = (converted != array) & (array == array)
    else:
        wrong = np.zeros(array.shape, dtype=bool)
        for at in zip(*np.nonzero(np.abs(converted) >= _EXACT)):
            wrong[at] = array.item(at) != converted.item(at)  # Python's numbers, which compare exactly
    if wrong.any():
        at = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise ValueError(f"{name}: {array[at]!s}, at {list(at)}, is no float64: the nearest is {converted.item(at)!r}")


def classes(x: Any, name: str, column: int) -> NDArray[np.int64]:
    """One column of x as classes, shape (samples,). Raises as raw does; ValueError naming the sample if it is no whole
    number."""
    array = raw(x, name)
    of_sample = array.reshape(len(array), -1)[:, column] if array.size else np.zeros(0)
    if of_sample.dtype == np.int64:
        return np.require(of_sample, np.int64, ["C", "A"])
    with np.errstate(invalid="ignore"):
        whole = of_sample.astype(np.int64)
    wrong = np.flatnonzero(whole != of_sample)
    if wrong.size:
        s = int(wrong[0])
        raise ValueError(f"{name}: sample {s} has {of_sample[s].item()!r}: classes are whole numbers")
    return whole


# ---- all arguments ----


def said(shape: Shape) -> str:
    """A shape of samples in words: (N, 3)."""
    return "(N,)" if not shape else f"(N, {', '.join(map(str, shape))})"


def described(names: tuple[str, ...], shapes: tuple[Shape, ...]) -> str:
    """All arguments in words: (x: (N, 3), y: (N,))."""
    return f"({', '.join(f'{name}: {said(shape)}' for name, shape in zip(names, shapes))})"


def check_count(arrays: tuple[Any, ...], names: tuple[str, ...]) -> None:
    """Raises TypeError unless there are as many as the function has."""
    if len(arrays) != len(names):
        listed = ", ".join(names) or "none"
        raise TypeError(f"expected {counted(len(names), 'array')} ({listed}), but got {len(arrays)}")


def samples(arrays: tuple[Any, ...], layout: Layout) -> int:
    """How many samples they have. Raises ValueError naming two that differ, or a shape that is not the layout's."""
    n = len(arrays[0])
    for array, shape, name in zip(arrays, layout.shapes, layout.names):
        if len(array) != n:
            raise ValueError(
                f"{layout.names[0]} has {counted(n, 'sample')}, but {name} has {len(array)}: the first axis of all is "
                f"the samples"
            )
        if array.shape[1:] != shape:
            raise ValueError(f"{name} has shape {array.shape}, but this program was recorded for {said(shape)}")
    return n


def out_of_range(array: NDArray[np.int64], sample: int, column: Column, layout: Layout) -> IndexError:
    """The error for a class that is none."""
    name = layout.names[column.argument]
    where = f", column {column.column}," if layout.shapes[column.argument] else ""
    return IndexError(
        f"{name}: sample {sample}{where} has class {int(array[sample])}, which is not one of 0 to {column.bound - 1}"
    )


def thread_count(threads: Any) -> int:
    """How many threads at most, as a C int; None: 0, as many as pay off. Raises TypeError or ValueError unless it is a
    positive integer."""
    if threads is None:
        return 0
    return min(size(threads, "threads", 1, ", or None for as many as pay off"), _INT)
