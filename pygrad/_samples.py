"""Samples and targets as the training loop wants them: plain floats in lists, converted and checked once.

From lists, tuples, arrays, and whatever NumPy takes for an array (data frames, tensors). Knows no model and no loss;
errors name the sample.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from . import _checks
from ._checks import is_value

Row = Any
"""A list of floats, or a float where a sample is one number."""


def _items(given: Any, what: str) -> Any:
    """A list of the samples, or an array of numbers. Raises TypeError for what has no samples."""
    if isinstance(given, (list, tuple)):
        return given
    if is_value(given) or isinstance(given, (str, bytes, dict, set, frozenset)) or np.isscalar(given):
        raise TypeError(f"{what} must be a sequence with one entry a sample, not {type(given).__name__}")
    if hasattr(type(given), "__array__"):
        array = np.asarray(given)
        if array.ndim == 0:
            raise TypeError(f"{what} must be a sequence with one entry a sample, not an array without dimensions")
        return array
    try:
        return list(given)
    except TypeError:
        raise TypeError(f"{what} must be a sequence with one entry a sample, not {type(given).__name__}") from None


def _is_row(x: Any) -> bool:
    if is_value(x) or isinstance(x, (str, bytes, dict, set, frozenset)):
        return False
    return hasattr(x, "__len__") and getattr(x, "ndim", 1) != 0


def _float(x: Any, what: str) -> float:
    """x as a float. Raises TypeError naming `what` for no number, ValueError for an int beyond the floats."""
    try:
        return _checks.as_float(x, what)
    except OverflowError:
        raise ValueError(f"{what} is too large for a float") from None


def finite(data: Any) -> bool:
    """Whether all numbers in nested lists are finite."""
    return all(map(finite, data)) if isinstance(data, list) else math.isfinite(data)


def _number(x: Any, what: str) -> Any:
    """x as a Python int or float; a class stays an int."""
    if type(x) is float:
        return x
    number = _float(x, what)
    return int(x) if isinstance(x, (int, np.bool_, np.integer)) else number


def as_rows(given: Any, what: str, width: int | None = None) -> list[Row]:
    """The samples as lists of floats, all of one length; or as floats, where each is one number.

    what: the name in errors. width: the length they must have (None: that of the first).

    Raises TypeError naming the sample for what is no number, ValueError for one of another length or if there is none.
    """
    items = _items(given, what)
    if len(items) == 0:
        raise ValueError(f"{what} has no samples")
    if isinstance(items, np.ndarray):
        if items.ndim > 2:
            raise ValueError(f"{what} must have shape (samples, inputs), not {items.shape}")
        if items.dtype.kind in "fiub":
            rows: list[Row] = items.astype(np.float64).tolist()
            _same_width(rows, what, width)
            return rows
    rows = []
    for i, item in enumerate(items):
        if _is_row(item):
            rows.append(
                [x if type(x) is float else _float(x, f"{what}[{i}][{j}]") for j, x in enumerate(item)]
            )
        else:
            rows.append(_float(item, f"{what}[{i}]"))
    _same_width(rows, what, width)
    return rows


def width_of(row: Row) -> int | None:
    """The number of inputs of a sample; None for a bare number."""
    return len(row) if isinstance(row, list) else None


def _same_width(rows: list[Row], what: str, width: int | None) -> None:
    first = width_of(rows[0]) if width is None else width
    for i, row in enumerate(rows):
        if width_of(row) != first:
            own, other = (
                "one number" if n is None else f"{n} input{'s' if n != 1 else ''}" for n in (width_of(row), first)
            )
            where = f"{what}[0] has" if width is None else "those trained on have"
            raise ValueError(f"{what}[{i}] has {own}, but {where} {other}")


def as_targets(given: Any, samples: int, what: str, of: str) -> list[Any]:
    """The targets, one a sample: an int or float, or a list of them.

    samples: how many there must be; `of`: the name of what has so many.

    Raises TypeError naming the sample for what is no number, ValueError for another count, stating both.
    """
    items = _items(given, what)
    if len(items) != samples:
        raise ValueError(f"{of} has {samples} samples, but {what} has {len(items)} targets")
    if isinstance(items, np.ndarray) and items.ndim > 2:
        raise ValueError(f"{what} must have shape (samples,) or (samples, outputs), not {items.shape}")
    targets: list[Any] = []
    for i, item in enumerate(items):
        if isinstance(item, str):
            raise TypeError(f"{what}[{i}] is the text {item!r}: give each class a number, from 0 on")
        if _is_row(item):
            targets.append([_number(x, f"{what}[{i}][{j}]") for j, x in enumerate(item)])
        else:
            targets.append(_number(item, f"{what}[{i}]"))
    return targets


def without_columns(targets: list[Any]) -> list[Any]:
    """Targets that stand in a column, as numbers: [[1], [0]] as [1, 0]. Others as they are."""
    if all(isinstance(y, list) and len(y) == 1 for y in targets):
        return [y[0] for y in targets]
    return targets
