"""What the functions of pygrad.arrays are given, checked and normalised: axes, shapes, indices, paddings, subscripts.

Options become plain values that a node can keep and a copy can pickle: axes are non-negative ints, arrays are copies.
Errors are those of NumPy, and name the function and the shape. No graph, no arithmetic.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ._checks import is_value

Shape = tuple[int, ...]

AxisError: Any = getattr(np, "exceptions", np).AxisError  # in np itself before NumPy 1.25
_BOOL = np.dtype(bool)
_NO_VALUE = np._NoValue  # what NumPy's own functions take for an option that was not given


def refuse(function: str, options: Mapping[str, Any]) -> None:
    """Raises TypeError naming the first option that was given; None, and what NumPy takes for nothing, count as not."""
    for name, x in options.items():
        if x is None or x is _NO_VALUE or (name == "where" and x is True) or (name == "order" and x == "C"):
            continue
        raise TypeError(f"{function}: the option {name}= is not supported for array Values")


# ---- axes ----


def axis(function: str, given: Any, shape: Shape) -> int:
    """An axis as a non-negative int. Raises AxisError naming the axis and the shape, TypeError for no integer."""
    ndim = len(shape)
    try:
        number = operator.index(given)
    except TypeError:
        raise TypeError(f"{function}: an axis must be an integer, not {given!r}") from None
    if not -ndim <= number < ndim:
        raise AxisError(f"{function}: axis {number} is out of bounds for an array of shape {shape}")
    return number + ndim if number < 0 else number


def axes(function: str, given: Any, shape: Shape) -> Shape | None:
    """Axes to reduce, as a tuple; None for all. Raises as axis() does, ValueError for an axis given twice."""
    if type(given) is int and 0 <= given < len(shape):
        return (given,)
    if given is None:
        return None
    if not isinstance(given, (tuple, list)):
        return (axis(function, given, shape),)
    found = tuple(axis(function, a, shape) for a in given)
    if len(set(found)) < len(found):
        raise ValueError(f"{function}: an axis is named twice in {tuple(given)}")
    return found


def order_of_axes(given: Any, shape: Shape) -> Shape:
    """The order for transpose; reversed for None. Raises ValueError unless every axis is there once."""
    if given is None:
        return tuple(range(len(shape) - 1, -1, -1))
    found = axes("transpose", tuple(given) if isinstance(given, Iterable) else (given,), shape)
    assert found is not None
    if len(found) != len(shape):
        raise ValueError(f"transpose: axes {found} do not name every axis of an array of shape {shape} once")
    return found


# ---- shapes ----


def shape_to(function: str, given: Any) -> Shape:
    """A shape: a tuple for an int, tuple or list. Raises TypeError for what is none of these."""
    items = given if isinstance(given, (tuple, list, np.ndarray)) else (given,)
    try:
        return tuple(map(operator.index, items))
    except TypeError:
        raise TypeError(f"{function}: a shape must be integers, not {given!r}") from None


def squeezed(given: Any, shape: Shape) -> Shape:
    """The shape without axes of length 1. Raises ValueError if an axis that is named is longer."""
    if given is None:
        return tuple(n for n in shape if n != 1)
    gone = axes("squeeze", given, shape) or ()
    for a in gone:
        if shape[a] != 1:
            raise ValueError(f"squeeze: axis {a} of an array of shape {shape} has not length 1")
    return tuple(n for i, n in enumerate(shape) if i not in gone)


def expanded(given: Any, shape: Shape) -> Shape:
    """The shape with new axes of length 1, counted in the result."""
    places = tuple(given) if isinstance(given, (tuple, list)) else (given,)
    ndim = len(shape) + len(places)
    new = axes("expand_dims", places, (1,) * ndim) or ()
    old = iter(shape)
    return tuple(1 if i in new else next(old) for i in range(ndim))


# ---- indices ----


def key(given: Any) -> tuple[Any, ...]:
    """An index as a tuple of ints, slices, None, Ellipsis, and copies of integer and bool arrays.

    Raises IndexError for anything else, as NumPy does.
    """
    return tuple(map(_key_part, given)) if type(given) is tuple else (_key_part(given),)


def _key_part(given: Any) -> Any:
    if type(given) is int or given is None or given is Ellipsis:
        return given
    if isinstance(given, slice):
        if {type(given.start), type(given.stop), type(given.step)} <= _PLAIN_BOUNDS:
            return given
        return slice(*(None if n is None else _bound(n) for n in (given.start, given.stop, given.step)))
    if isinstance(given, (bool, np.bool_)):
        return np.array(given)
    if hasattr(type(given), "__index__") and not isinstance(given, np.ndarray):
        return operator.index(given)
    array = None if is_value(given) else np.array(given)
    if array is not None and array.size == 0 and not isinstance(given, np.ndarray):
        array = array.astype(np.intp)  # of [], which NumPy makes floats
    if array is None or array.dtype.kind not in "iub":
        what = "a Value" if is_value(given) else repr(given)
        raise IndexError(f"an index must be integers, slices, ..., None, or arrays of integers or bools, not {what}")
    return array


_PLAIN_BOUNDS = {int, type(None)}


def _bound(n: Any) -> int:
    try:
        return operator.index(n)
    except TypeError:
        raise IndexError(f"the bounds of a slice must be integers, not {n!r}") from None


def indices_along(given: Any, along: int, shape: Shape) -> Any:
    """The integers to take along one axis, a copy. Raises IndexError or ValueError as np.take_along_axis does."""
    indices = None if is_value(given) else np.array(given)
    if indices is None or indices.dtype.kind not in "iu":
        raise IndexError(f"take_along_axis: indices must be integers, not {type(given).__name__}")
    if indices.ndim != len(shape):
        raise ValueError(f"take_along_axis: indices of shape {indices.shape} have not as many axes as shape {shape}")
    return indices


# ---- conditions and paddings ----


def condition(given: Any) -> Any:
    """A condition as an array of bools, a copy. Raises TypeError for a Value."""
    if type(given) is np.ndarray and given.dtype is _BOOL:
        return given.copy()
    if is_value(given):
        raise TypeError("where: the condition must be bools, not a Value: compare it first, as in where(x > 0, x, 0)")
    return np.array(given, dtype=bool)


def paddings(given: Any, shape: Shape) -> tuple[tuple[int, int], ...]:
    """(before, after) of every axis, from the forms that np.pad takes. Raises TypeError or ValueError as it does."""
    if isinstance(given, Mapping):
        pairs: list[Any] = [(0, 0)] * len(shape)
        for a, pair in given.items():
            pairs[axis("pad", a, shape)] = pair if isinstance(pair, (tuple, list)) else (pair, pair)
        given = pairs
    widths = np.asarray(given)
    if widths.dtype.kind not in "iu" and widths.size:
        raise TypeError(f"pad: pad_width must be integers, not {given!r}")
    try:
        widths = np.broadcast_to(widths, (len(shape), 2))
    except ValueError:
        raise ValueError(f"pad: pad_width {given!r} does not fit an array of shape {shape}") from None
    if (widths < 0).any():
        raise ValueError(f"pad: pad_width must not be negative, but is {given!r}")
    return tuple((int(before), int(after)) for before, after in widths)


# ---- einsum ----

_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


@functools.lru_cache(maxsize=256)
def subscripts(given: str, shapes: tuple[Shape, ...]) -> str:
    """Subscripts with an explicit output, without spaces and ellipses: 'ij,jk' as 'ij,jk->ik'.

    Raises ValueError that names them if they are wrong, or do not fit the shapes.
    """
    text = given.replace(" ", "")
    inputs, arrow, output = text.partition("->")
    terms = inputs.split(",")
    if len(terms) != len(shapes):
        raise ValueError(f"einsum: {given!r} is for {len(terms)} operands, but {len(shapes)} were given")
    unused = [letter for letter in _LETTERS if letter not in text]
    covered = [len(shape) - len(term.replace("...", "")) for term, shape in zip(terms, shapes) if "..." in term]
    hidden = unused[: max(covered, default=0)]
    terms = [_without_ellipsis(term, shape, hidden, given) for term, shape in zip(terms, shapes)]
    if arrow:
        if hidden and "..." not in output:
            raise ValueError(f"einsum: the output of {given!r} must have the '...' of its operands")
        output = output.replace("...", "".join(hidden))
    else:
        letters = [letter for term in terms for letter in term if letter not in hidden]
        once = sorted(letter for letter in set(letters) if letters.count(letter) == 1)
        output = "".join([*hidden, *once])
    _check_output(output, terms, given)
    _check_lengths(terms, shapes, given)
    return f"{','.join(terms)}->{output}"


def _without_ellipsis(term: str, shape: Shape, hidden: Sequence[str], given: str) -> str:
    named = term.replace("...", "", 1)
    if not all(letter in _LETTERS for letter in named):
        raise ValueError(f"einsum: {given!r} may hold letters, commas, '...' and '->' only")
    count = len(shape) - len(named)
    if count < 0 or (count > 0 and "..." not in term):
        raise ValueError(f"einsum: {term!r} in {given!r} does not fit an operand of shape {shape}")
    return term.replace("...", "".join(hidden[len(hidden) - count :]))


def _check_output(output: str, terms: Iterable[str], given: str) -> None:
    if len(set(output)) < len(output) or not set(output) <= set("".join(terms)):
        raise ValueError(f"einsum: the output of {given!r} must name axes of its operands, each once")


def _check_lengths(terms: Iterable[str], shapes: Iterable[Shape], given: str) -> None:
    lengths: dict[str, int] = {}
    for term, shape in zip(terms, shapes):
        for letter, n in zip(term, shape):
            if lengths.setdefault(letter, n) not in (n, 1) and n != 1:
                raise ValueError(f"einsum: an axis of {given!r} has length {lengths[letter]} and {n}")
            if lengths[letter] == 1:
                lengths[letter] = n
