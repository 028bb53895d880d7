"""The functions of arrays, with NumPy's names: sum, matmul, concatenate ... of Values, a Value.

Operands are Values, array or scalar (an array of shape ()), numbers and array-likes; without any Value among them,
the result is a plain array, or a float. Options are checked here, and what an operand's shape decides; the values
and derivatives stand in array_rules.

What NumPy has and array Values do not (dtype=, out=, where=, initial= ...) is a TypeError that names it. Axes that
do not exist are NumPy's AxisError, shapes that do not fit its ValueError.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from . import _array_arguments as given
from . import _arrays
from ._array_arguments import Shape
from ._checks import as_float, is_value
from .array_rules import RULES

__all__ = [
    "broadcast_to",
    "clip",
    "concatenate",
    "cumsum",
    "dot",
    "einsum",
    "expand_dims",
    "flip",
    "hstack",
    "linear",
    "log_softmax",
    "logsumexp",
    "matmul",
    "max",
    "mean",
    "min",
    "moveaxis",
    "norm",
    "pad",
    "prod",
    "ravel",
    "reshape",
    "softmax",
    "squeeze",
    "stack",
    "std",
    "sum",
    "swapaxes",
    "take_along_axis",
    "transpose",
    "var",
    "vstack",
    "where",
]


_apply = _arrays.apply


def apply(name: str, operands: tuple[Any, ...], options: Any = None) -> Any:
    """A rule of array_rules: a node; without a Value among the operands, what it computes."""
    for x in operands:
        if type(x) is not np.ndarray and is_value(x):
            return _apply(name, operands, options)
    rule = RULES[name]
    arrays = tuple(_arrays.as_array(x, f"{name}: an operand") for x in operands)
    z = rule.value(arrays, options) if rule.arity < 0 else rule.value(*arrays, options)
    return z if isinstance(z, np.ndarray) and z.ndim else float(z)


def _shape(x: Any) -> Shape:
    array = x if type(x) is np.ndarray else x.data if is_value(x) else x
    shape: Shape = array.shape if type(array) is np.ndarray else np.shape(array)
    return shape


# ---- reductions ----


def reduced(name: str, a: Any, axis: Any, keepdims: Any, refused: dict[str, Any], *options: Any) -> Any:
    """A reduction by name. refused: what else was given; options: those of the rule behind axes and keepdims."""
    if refused:
        given.refuse(name, refused)
    if type(keepdims) is not bool:
        keepdims = keepdims is not np._NoValue and bool(keepdims)
    array = a.data if type(a) is not np.ndarray and is_value(a) else None
    if type(array) is np.ndarray:
        if axis is not None:
            axis = given.axes(name, axis, array.shape)
        return _apply(name, (a,), (axis, keepdims, *options) if options else (axis, keepdims))
    shape = _shape(a)
    axis = given.axes(name, axis, shape)
    if not shape:  # to the rules an array with one entry
        a, axis, keepdims = reshape(a, (1,)), None, False
    return apply(name, (a,), (axis, keepdims, *options))


def sum(a: Any, axis: Any = None, *, keepdims: bool = False, **options: Any) -> Any:  # noqa: A001  # as NumPy's
    """The sum over an axis, several, or all. Of nothing 0.

    axis: an int, a tuple of ints, or None for all. keepdims: whether the axes stay, of length 1. So in all reductions.
    """
    return reduced("sum", a, axis, keepdims, options)


def mean(a: Any, axis: Any = None, *, keepdims: bool = False, **options: Any) -> Any:
    """The mean over an axis, several, or all."""
    return reduced("mean", a, axis, keepdims, options)


def prod(a: Any, axis: Any = None, *, keepdims: bool = False, **options: Any) -> Any:
    """The product over an axis, several, or all. The gradient is right also where factors are 0."""
    return reduced("prod", a, axis, keepdims, options)


def max(a: Any, axis: Any = None, *, keepdims: bool = False, **options: Any) -> Any:  # noqa: A001  # as NumPy's
    """The largest entry along an axis, several, or all; a nan wins. Entries that tie share the gradient evenly."""
    return reduced("max", a, axis, keepdims, options)


def min(a: Any, axis: Any = None, *, keepdims: bool = False, **options: Any) -> Any:  # noqa: A001  # as NumPy's
    """The smallest entry along an axis, several, or all; a nan wins. Entries that tie share the gradient evenly."""
    return reduced("min", a, axis, keepdims, options)


def var(a: Any, axis: Any = None, *, ddof: float = 0, keepdims: bool = False, **options: Any) -> Any:
    """The variance: the sum of squared distances from the mean divided by n - ddof. (torch's default is ddof=1.)"""
    return reduced("var", a, axis, keepdims, options, as_float(ddof, "ddof"))


def std(a: Any, axis: Any = None, *, ddof: float = 0, keepdims: bool = False, **options: Any) -> Any:
    """The standard deviation, the root of var. The gradient where it is 0 is 0."""
    return reduced("std", a, axis, keepdims, options, as_float(ddof, "ddof"))


def logsumexp(a: Any, axis: Any = None, *, keepdims: bool = False, **options: Any) -> Any:
    """log(sum(e ** a)) over an axis, several, or all, without overflow. Of nothing -inf."""
    return reduced("logsumexp", a, axis, keepdims, options)


def norm(x: Any, ord: Any = None, axis: Any = None, *, keepdims: bool = False) -> Any:  # noqa: A002  # as NumPy's
    """The norm of all entries, of the vectors along an axis, or of the matrices in two axes.

    ord: None for the root of the sum of squares ('fro' for matrices, 2 for vectors); for vectors also 1, the sum of
    absolute values, and inf and -inf, the largest and the smallest of them. The gradient of the root at 0 is 0.

    Raises ValueError for another `ord`.
    """
    shape = _shape(x)
    axes = given.axes("norm", axis, shape)
    count = len(shape) if axes is None else len(axes)
    if ord is None or (count == 1 and ord == 2) or (count == 2 and ord == "fro"):
        return reduced("norm", x, axes, keepdims, {})
    if count == 1 and ord in (1, np.inf, -np.inf):
        reduction = {1: "sum", np.inf: "max", -np.inf: "min"}[ord]
        return reduced(reduction, apply("abs", (x,)), axes, keepdims, {})
    allowed = "None, 1, 2, inf or -inf" if count == 1 else "None or 'fro'" if count == 2 else "None"
    raise ValueError(f"norm: ord={ord!r} is not supported over {count} axes of shape {shape}: take {allowed}")


# ---- along one axis ----


def softmax(x: Any, axis: Any = -1) -> Any:
    """e ** x divided by its sum along the axis, without overflow. axis=None: over all entries."""
    return _along("softmax", x, axis)


def log_softmax(x: Any, axis: Any = -1) -> Any:
    """log(softmax(x)), which is more accurate and never log 0. axis=None: over all entries."""
    return _along("log_softmax", x, axis)


def cumsum(a: Any, axis: Any = None, **options: Any) -> Any:
    """The sums of all entries so far along an axis; of the flattened array for None."""
    given.refuse("cumsum", options)
    return ravel(a) if not _shape(a) else _along("cumsum", ravel(a) if axis is None else a, 0 if axis is None else axis)


def _along(name: str, x: Any, axis: Any) -> Any:
    shape = _shape(x)
    if axis is None and len(shape) != 1:
        return reshape(_along(name, ravel(x), 0), shape)
    return apply(name, (x,), given.axis(name, 0 if axis is None else axis, shape))


# ---- products ----


def matmul(x1: Any, x2: Any, /) -> Any:
    """x1 @ x2: matrices in the last two axes, stacks of them in the others, with broadcasting; vectors if 1-d."""
    return apply("matmul", (x1, x2))


def dot(a: Any, b: Any, **options: Any) -> Any:
    """As np.dot: of vectors the inner product, of matrices a @ b, with a scalar a * b; else the sum over the last axis
    of a and the last but one of b."""
    given.refuse("dot", options)
    return apply("dot", (a, b))


def linear(x: Any, weight: Any, bias: Any = None) -> Any:
    """x @ weight + bias, a layer as one node. x: (..., nin), rows are samples; weight: (nin, nout); bias: (nout,).

    Raises ValueError naming the shapes if they do not fit.
    """
    try:
        return apply("linear", (x, weight) if bias is None else (x, weight, bias))
    except (ValueError, IndexError, AttributeError):
        pass  # what NumPy says of the shapes is less; a number has no axes at all
    shapes = f"inputs of shape {_shape(x)} and weights of shape {_shape(weight)}" + (
        "" if bias is None else f" and a bias of shape {_shape(bias)}"
    )
    raise ValueError(f"linear: {shapes} do not fit: they must be (..., nin), (nin, nout) and (nout,)")


def einsum(subscripts: str, /, *operands: Any, **options: Any) -> Any:
    """Sums of products in Einstein's notation, as np.einsum: einsum('ij,jk->ik', a, b). One or two operands.

    Raises ValueError for subscripts that are wrong or do not fit the shapes.
    """
    options.pop("optimize", None)  # it has no effect on two operands
    given.refuse("einsum", options)
    if not isinstance(subscripts, str):
        raise TypeError(f"einsum: the subscripts must be a str such as 'ij,jk->ik', not {type(subscripts).__name__}")
    if not 1 <= len(operands) <= 2:
        raise ValueError(f"einsum takes one or two operands, not {len(operands)}: multiply them pair by pair")
    return apply("einsum", operands, given.subscripts(subscripts, tuple(map(_shape, operands))))


# ---- shapes ----


def reshape(a: Any, /, shape: Any, **options: Any) -> Any:
    """The same entries, in the same order, in another shape: an int or a tuple; one -1 is worked out."""
    if options:
        given.refuse("reshape", options)
    wanted = shape if type(shape) is tuple else (shape,) if type(shape) is int else given.shape_to("reshape", shape)
    try:
        return apply("reshape", (a,), wanted)
    except ValueError:
        raise ValueError(f"reshape: an array of shape {_shape(a)} cannot have the shape {wanted}") from None


def ravel(a: Any, **options: Any) -> Any:
    """With one axis."""
    return reshape(a, (-1,), **options)


def transpose(a: Any, axes: Any = None) -> Any:
    """With the axes in another order; reversed for None."""
    if not _shape(a) and not axes:
        return a
    return apply("transpose", (a,), given.order_of_axes(axes, _shape(a)))


def swapaxes(a: Any, axis1: Any, axis2: Any) -> Any:
    """With two axes exchanged."""
    shape = _shape(a)
    order = list(range(len(shape)))
    i, j = given.axis("swapaxes", axis1, shape), given.axis("swapaxes", axis2, shape)
    order[i], order[j] = j, i
    return apply("transpose", (a,), tuple(order))


def moveaxis(a: Any, source: Any, destination: Any) -> Any:
    """With axes moved to other places, the rest in their order."""
    shape = _shape(a)
    sources = given.axes("moveaxis", () if source is None else source, shape) or ()
    places = given.axes("moveaxis", () if destination is None else destination, shape) or ()
    if len(sources) != len(places):
        raise ValueError(f"moveaxis: {len(sources)} axes, but {len(places)} destinations")
    order = [i for i in range(len(shape)) if i not in sources]
    for place, i in sorted(zip(places, sources)):
        order.insert(place, i)
    return apply("transpose", (a,), tuple(order))


def squeeze(a: Any, axis: Any = None) -> Any:
    """Without an axis of length 1, several of them, or all."""
    return apply("reshape", (a,), given.squeezed(axis, _shape(a)))


def expand_dims(a: Any, axis: Any) -> Any:
    """With new axes of length 1 at the places `axis` of the result."""
    return apply("reshape", (a,), given.expanded(axis, _shape(a)))


def broadcast_to(array: Any, shape: Any, **options: Any) -> Any:
    """Repeated to a larger shape, as NumPy broadcasts; the gradient is summed back."""
    given.refuse("broadcast_to", options)
    wanted = given.shape_to("broadcast_to", shape)
    try:
        return apply("broadcast_to", (array,), wanted)
    except ValueError:
        raise ValueError(f"broadcast_to: an array of shape {_shape(array)} does not fit the shape {wanted}") from None


# ---- several into one ----


def concatenate(arrays: Iterable[Any], /, axis: Any = 0, **options: Any) -> Any:
    """Joined along an axis that is there; flattened and joined for None."""
    given.refuse("concatenate", options)
    parts = tuple(arrays)
    if axis is None:
        parts, axis = tuple(map(ravel, parts)), 0
    if not parts:
        raise ValueError("concatenate: there is nothing to join")
    return apply("concatenate", parts, given.axis("concatenate", axis, _shape(parts[0])))


def stack(arrays: Iterable[Any], axis: Any = 0, **options: Any) -> Any:
    """Joined along a new axis. Of scalar Values and numbers, an array Value with one axis."""
    given.refuse("stack", options)
    parts = tuple(arrays)
    if not parts:
        raise ValueError("stack: there is nothing to join")
    return apply("stack", parts, given.axis("stack", axis, (len(parts), *_shape(parts[0]))))


def vstack(tup: Iterable[Any], **options: Any) -> Any:
    """Joined along the first axis; vectors are rows."""
    return concatenate([reshape(x, (1, -1)) if len(_shape(x)) < 2 else x for x in tup], 0, **options)


def hstack(tup: Iterable[Any], **options: Any) -> Any:
    """Joined along the second axis; vectors along the first."""
    parts = [x if _shape(x) else ravel(x) for x in tup]
    return concatenate(parts, 1 if parts and len(_shape(parts[0])) > 1 else 0, **options)


# ---- selection ----


def where(condition: Any, /, *operands: Any) -> Any:
    """where(condition, x, y): x where the condition is true, else y, with broadcasting.

    condition: bools or an array-like of them, no Value: x > 0 of an array Value x is an array of bools.
    """
    if len(operands) != 2:
        raise TypeError(f"where takes a condition and two operands with array Values, not {len(operands)} operands")
    condition = given.condition(condition)
    return _apply("where", operands, condition) if is_value(operands[0]) else apply("where", operands, condition)


def clip(a: Any, a_min: Any = None, a_max: Any = None, **options: Any) -> Any:
    """clip(a, min, max): with entries below min raised to it, those above max lowered to it. None: no bound.

    Within the bounds, and on them, the gradient is 1. Bounds that are Values get gradients themselves, and then a tie
    shares it, as in maximum and minimum.
    """
    low, high = options.pop("min", a_min), options.pop("max", a_max)
    low, high = (None if bound is np._NoValue else bound for bound in (low, high))
    given.refuse("clip", options)
    if not is_value(low) and not is_value(high):
        return apply("clip", (a,), (_bound(low, a, "min"), _bound(high, a, "max")))
    if low is not None:
        a = apply("maximum", (a, low))
    return a if high is None else apply("minimum", (a, high))


def _bound(given: Any, a: Any, what: str) -> Any:
    """A bound of clip as the node keeps it: None, a float, or a copy of an array."""
    if given is None or type(given) is float:
        return given
    if np.ndim(given) == 0:
        return as_float(given, f"clip: {what}")
    return np.array(_arrays.as_constant(given, f"clip: {what}", _arrays.common_dtype((a,))))


def getitem(a: Any, key: Any) -> Any:
    """a[key]: ints, slices, None, Ellipsis, arrays of integers or bools, tuples of them. An entry is a scalar Value.

    What is chosen several times gets the sum of the gradients. Raises IndexError as NumPy does.
    """
    shape = _shape(a)
    if not shape:
        raise TypeError("a scalar Value has no entries to index: its number is .data")
    return apply("index", (a,), given.key(key))


def take_along_axis(arr: Any, indices: Any, axis: Any = -1) -> Any:
    """For every place along the other axes, the entries at `indices` along one, as np.take_along_axis: with indices of
    shape (samples, 1) and axis=1 one entry a row. axis=None: of the flattened array."""
    if axis is None:
        arr, axis = ravel(arr), 0
    shape = _shape(arr)
    along = given.axis("take_along_axis", axis, shape)
    return apply("take_along", (arr,), (given.indices_along(indices, along, shape), along))


def flip(m: Any, axis: Any = None) -> Any:
    """With the entries in reverse order along an axis, several, or all."""
    shape = _shape(m)
    axes = given.axes("flip", axis, shape)
    if not shape:
        return m
    reverse = slice(None, None, -1)
    return apply("index", (m,), tuple(reverse if axes is None or i in axes else slice(None) for i in range(len(shape))))


def pad(array: Any, pad_width: Any, mode: str = "constant", *, constant_values: Any = 0.0, **options: Any) -> Any:
    """With `constant_values`, a number, around it. pad_width: (before, after) for each axis, one pair, or one int, as
    np.pad. Raises ValueError for another mode than 'constant'."""
    given.refuse("pad", options)
    if mode != "constant":
        raise ValueError(f"pad: the mode {mode!r} is not supported for array Values, only 'constant'")
    number = as_float(constant_values, "pad: constant_values")
    shape = _shape(array)
    return apply("pad", (array,), (given.paddings(pad_width, shape), number)) if shape else array


# ---- numbers ----


def item(data: Any, index: Sequence[Any]) -> float:
    """The number in a Value's data, at an index if it holds several."""
    return float(np.asarray(data).item(*index))
