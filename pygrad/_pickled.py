"""Checks of what a pickle says about a node of arrays: its rule, options, data and gradient.

Everything in a pickle may be damaged or hostile. What is accepted here are plain numbers and arrays of them, copied;
nothing that the pickle brought along is called. Whether shapes fit each other is not looked at: a derivative that
cannot be computed raises, as it does when shapes were changed by hand.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ._arrays import Array, Record
from .array_rules import RULES

_PLAIN = (type(None), bool, int, float, str, type(Ellipsis))
_MOST_OPTIONS = 100_000


def data(x: Any) -> Array:
    """A copy of an array of float64 or float32 with at least one dimension. Raises ValueError for anything else."""
    if type(x) is not np.ndarray or x.ndim == 0 or x.dtype.kind != "f" or x.dtype.itemsize not in (4, 8):
        raise ValueError("not a pickle of a pygrad Value: its data are neither a float nor an array of floats")
    return np.array(x, np.float32 if x.dtype.itemsize == 4 else np.float64, order="K")


def grad(x: Any, of: Array) -> Array | None:
    """A copy of a gradient of `of`; None stands for zeros. Raises ValueError for another shape or dtype."""
    if x is None:
        return None
    array = data(x)
    if array.shape != of.shape or array.dtype != of.dtype:
        raise ValueError(
            f"a pickle gives data of {of.dtype} and shape {of.shape} "
            f"a gradient of {array.dtype} and shape {array.shape}"
        )
    return array


def record(name: str, count: int, rule: Any, constant: float) -> Record:
    """The record of a node that the rule `name` computed from `count` operands. rule: (options, wanted).

    constant: of a row of the op table that has one, in place of the options. Raises ValueError for an unknown rule,
    another number of operands, options that are not plain.
    """
    if name not in RULES:
        raise ValueError(f"a pickle names the op {name!r} of arrays, which this version of pygrad does not know")
    known = RULES[name]
    if count != known.arity and (known.arity >= 0 or count == 0):
        raise ValueError(f"a pickle gives the op {name!r} {count} operands")
    if type(rule) is not tuple or len(rule) != 2 or type(rule[1]) is not tuple:
        raise ValueError("not a pickle of a pygrad Value: its fields have the wrong types")
    options, wanted = rule
    if len(wanted) != count or not all(type(w) is bool for w in wanted):
        raise ValueError(f"a pickle does not say of each operand of {name!r} whether it wants a gradient")
    _check_plain(options)
    return known, constant if constant == constant else options, wanted


def _check_plain(options: Any) -> None:
    """Raises ValueError for options that are not plain values, slices, arrays, or tuples and lists of these."""
    left, looked_at = [options], 0
    while left:
        x = left.pop()
        looked_at += 1
        if looked_at > _MOST_OPTIONS:  # a list may hold itself, a tuple of tuples the same one very often
            raise ValueError(f"a pickle gives an op more than {_MOST_OPTIONS:,} options")
        if type(x) is tuple or type(x) is list:
            left.extend(x)
        elif type(x) is slice:
            left.extend((x.start, x.stop, x.step))
        elif type(x) not in _PLAIN and not _is_plain_array(x):
            raise ValueError(f"a pickle gives an op an option of type {type(x).__name__}, which no op has")


def _is_plain_array(x: Any) -> bool:
    """An array, or one of NumPy's scalars, of numbers or bools."""
    if type(x) is not np.ndarray and not (isinstance(x, np.generic) and type(x) is x.dtype.type):
        return False
    kind: str = x.dtype.kind
    return kind in "biuf"
