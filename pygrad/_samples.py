"""Samples and targets as the training loop wants them: floats in lists, or one array, converted and checked once.

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


def items(given: Any, what: str) -> Any:
    """A list of the samples, or an array of them. Raises TypeError for what has no samples."""
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


def are_rows(found: Any) -> bool:
    """Whether samples, from items(), seem to be rows of numbers: neither bare numbers nor tables themselves."""
    first: Any = found[0] if len(found) else None
    return _is_row(first) and not (len(first) and _is_row(first[0]))


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
    found = items(given, what)
    if len(found) == 0:
        raise ValueError(f"{what} has no samples")
    if isinstance(found, np.ndarray):
        if found.ndim > 2:
            raise ValueError(f"{what} must have shape (samples, inputs), not {found.shape}")
        if found.dtype.kind in "fiub":
            rows: list[Row] = found.astype(np.float64).tolist()
            _same_width(rows, what, width)
            return rows
    rows = []
    for i, item in enumerate(found):
        if _is_row(item):
            rows.append(
                [x if type(x) is float else _float(x, f"{what}[{i}][{j}]") for j, x in enumerate(item)]
            )
        else:
            rows.append(_float(item, f"{what}[{i}]"))
    _same_width(rows, what, width)
    return rows


def as_array(given: Any, what: str, dtype: Any, shape: tuple[int, ...] | None = None) -> Any:
    """The samples as one array of a dtype, of shape (samples, ...); the array itself where it is that.

    shape: that of each sample (None: whatever it is). Raises what as_rows raises, naming the sample.
    """
    found = items(given, what)
    try:
        array = np.asarray(found)
    except (TypeError, ValueError):  # array Values, rows of differing lengths
        array = None
    if len(found) == 0 or array is None or array.dtype.kind not in "fiub":
        array = np.array(as_rows(found, what))
    if shape is not None and array.shape[1:] != shape:
        if array.ndim <= 2 and len(shape) <= 1:
            _same_width([array[0].tolist()], what, shape[0] if shape else 0)
        raise ValueError(f"{what} has samples of shape {array.shape[1:]}, but those trained on have {shape}")
    return array.astype(dtype, copy=False)


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
    found = items(given, what)
    if len(found) != samples:
        raise ValueError(f"{of} has {samples} samples, but {what} has {len(found)} targets")
    if isinstance(found, np.ndarray) and found.ndim > 2:
        raise ValueError(f"{what} must have shape (samples,) or (samples, outputs), not {found.shape}")
    targets: list[Any] = []
    for i, item in enumerate(found):
        if isinstance(item, str):
            raise TypeError(f"{what}[{i}] is the text {item!r}: give each class a number, from 0 on")
        if _is_row(item):
            targets.append([_number(x, f"{what}[{i}][{j}]") for j, x in enumerate(item)])
        else:
            targets.append(_number(item, f"{what}[{i}]"))
    return targets


def target_array(targets: list[Any], dtype: Any, keep_integers: bool, what: str) -> Any:
    """Targets as one array: of integers where all are that and they are kept, else of the dtype.

    Raises ValueError for targets that differ in length.
    """
    widths = {len(y) if isinstance(y, list) else None for y in targets}
    if len(widths) > 1:
        raise ValueError(f"{what}: the targets differ in length, which an array cannot: use path='scalars'")
    array = np.array(targets)
    return array if keep_integers and array.dtype.kind == "i" else array.astype(dtype)


def without_columns(targets: list[Any]) -> list[Any]:
    """Targets that stand in a column, as numbers: [[1], [0]] as [1, 0]. Others as they are."""
    if all(isinstance(y, list) and len(y) == 1 for y in targets):
        return [y[0] for y in targets]
    return targets
