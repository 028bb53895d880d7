"""Derivatives by choice: of one Value by some others, of any order, and the matrices of derivatives of a function.

grad leaves every .grad as it is, unlike backward(); jacobian, hessian and hvp differentiate a function at a point.
Knows no formulas: numbers come from the backend's reverse sweep, graphs from _gradient_graph.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import _checks, backends
from ._gradient_graph import gradients
from .arrays import broadcast_to
from .recording import enable_grad

__all__ = ["grad", "hessian", "hvp", "jacobian"]

Array = NDArray[Any]

# ---- grad ----


def grad(
    output: Any,
    inputs: Any,
    grad_output: Any = None,
    *,
    create_graph: bool = False,
    allow_unused: bool = False,
) -> Any:
    """The derivative of a Value by one or several others, any nodes of its graph. No .grad is read or changed.

    output: a scalar or array Value. Of an array, the derivative of the sum of its entries, as backward() takes it.
    inputs: a Value, or a list or tuple of Values, of output's backend.
    grad_output: what the derivative is multiplied by, entry by entry before it is summed: a number, or an array of
        output's shape; 1 by default. It may be a Value, through which create_graph=True can differentiate too.
    create_graph: False: the result is numbers, the very bits of backward() on zeroed gradients. True: Values, whose
        graph can be differentiated again, by backward() or by grad, any number of times.
    allow_unused: whether an input that output does not depend on has derivative 0, and is no error.

    Returns for an input what its grad would be, a float or an array (a Value with create_graph=True); a list of these
    for several inputs.

    Only nodes between inputs and output take part. With create_graph=True, derivatives are operations on Values: where
    one has no finite value, as that of sqrt at 0, they raise what such operations raise, and a user-defined op that
    has a Python closure is a TypeError. At a kink a first derivative is what backward() gives, the others are those of
    the formula that gave it: all derivatives of relu and abs at 0 are 0.

    Raises TypeError for what is no Value of one backend, ValueError for an input that output does not depend on, and
    for a grad_output of another shape.

    >>> from pygrad import Value, grad
    >>> x = Value(2.0)
    >>> dy = grad(x**3, x, create_graph=True)
    >>> dy.data, grad(dy, x)
    (12.0, 12.0)
    """
    if not _checks.is_value(output):
        hint = ": add them up first" if isinstance(output, (list, tuple)) else ""
        raise TypeError(f"grad: output must be a Value, not {type(output).__name__}{hint}")
    value_type = backends.type_of(output)
    single = _checks.is_value(inputs)
    wanted = (inputs,) if single else _as_inputs(inputs)
    for i, x in enumerate(wanted):
        if not isinstance(x, value_type):
            _checks.operand_float(x, value_type)  # a Value of another backend says so itself
            raise TypeError(f"grad: {_name(i, x, single)} must be a Value, not {type(x).__name__}")
    if create_graph:
        with enable_grad():
            found = gradients(output, _seed(output, grad_output, value_type), wanted)
    else:
        number = grad_output.data if isinstance(grad_output, value_type) else grad_output
        found = value_type._gradients(output, _seed(output, number, value_type), wanted)
    for i, (x, g) in enumerate(zip(wanted, found)):
        if g is None:
            if not allow_unused:
                raise ValueError(
                    f"grad: the output does not depend on {_name(i, x, single)}: give allow_unused=True for a 0 "
                    f"(or was it computed within no_grad?)"
                )
            found[i] = value_type(_zeros(x)) if create_graph else _zeros(x)
    if single:
        return found[0]
    if not create_graph and len(set(map(id, wanted))) < len(wanted):
        found = [g if type(g) is float else g.copy() for g in found]  # an input named twice: each its own array
    return found


def _as_inputs(inputs: Any) -> tuple[Any, ...]:
    try:
        return tuple(inputs)
    except TypeError:
        raise TypeError(f"grad: inputs must be a Value or a list of Values, not {type(inputs).__name__}") from None


def _name(i: int, x: Any, single: bool) -> str:
    label = getattr(x, "label", "")
    return ("inputs" if single else f"inputs[{i}]") + (f" ({label!r})" if label else "")


def _zeros(x: Any) -> Any:
    return 0.0 if type(x.data) is float else np.zeros_like(x.data)


def _seed(output: Any, given: Any, value_type: Any) -> Any:
    """The gradient of the output: a float, or an array or Value of its shape."""
    data = output.data
    shape = () if type(data) is float else data.shape
    if isinstance(given, value_type) and shape and not given.shape:
        return broadcast_to(given, shape)
    if isinstance(given, value_type) and given.shape == shape:
        return given
    if _checks.is_value(given) and not isinstance(given, value_type):
        _checks.operand_float(given, value_type)  # which says so
    if type(data) is float:
        return 1.0 if given is None else _checks.as_float(given, "grad_output")
    if given is None:
        return np.ones(shape, data.dtype)  # in C order, as backward(): the last bits of sums depend on strides
    seed = _checks.as_data(given.data if isinstance(given, value_type) else given)
    if type(seed) is float:
        return np.full(shape, seed, data.dtype)
    if seed.shape != shape:
        raise ValueError(f"grad: grad_output has shape {seed.shape}, but the output has shape {shape}")
    return seed.astype(data.dtype, copy=False)


# ---- at a point ----


class _Argument(NamedTuple):
    """An argument of the function that is differentiated."""

    given: Any
    """What the function gets: a Value, or a list of scalar Values."""
    leaves: list[Any]
    """The Values that hold its numbers: one array Value, or scalar Values."""
    shape: tuple[int, ...]
    dtype: Any


def _argument(x: Any, value_type: Any) -> _Argument:
    """Raises TypeError for what holds no real numbers, ValueError for a ragged list."""
    data: Any = _checks.as_data(x.data if _checks.is_value(x) else x)
    if type(data) is float:
        v = value_type(data)
        return _Argument(v, [v], (), np.dtype(np.float64))
    if isinstance(x, (list, tuple)):
        leaves = [value_type(number) for number in data.ravel().tolist()]
        return _Argument(_nested(iter(leaves), data.shape), leaves, data.shape, data.dtype)
    v = value_type(data)
    return _Argument(v, [v], data.shape, data.dtype)


def _nested(leaves: Iterator[Any], shape: tuple[int, ...]) -> Any:
    if not shape:
        return next(leaves)
    return [_nested(leaves, shape[1:]) for _ in range(shape[0])]


def _arguments(x: Any, value_type: Any) -> list[_Argument]:
    if isinstance(x, tuple):
        return [_argument(part, value_type) for part in x]
    return [_argument(x, value_type)]


def _called(f: Callable[..., Any], arguments: list[_Argument], value_type: Any) -> tuple[list[Any], tuple[int, ...]]:
    """f's Values, and the shape they have together: () of one scalar Value."""
    if not callable(f):
        raise TypeError(f"f must be a function of Values, not {type(f).__name__}")
    result = f(*(a.given for a in arguments))
    outputs = list(result.flat) if _is_object_array(result) else result
    outputs = list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]
    for out in outputs:
        if not isinstance(out, value_type):
            _checks.operand_float(out, value_type)  # a Value of another backend says so itself
            raise TypeError(
                f"f must return a Value or a list of Values, but it returned {_described(out, result)}: "
                f"it must compute with the Values it is given, not with their data"
            )
    shapes = {out.shape for out in outputs} or {()}
    if len(shapes) > 1:
        raise ValueError(f"f must return Values of one shape, not of {sorted(shapes)}: return one, or join them")
    (shape,) = shapes
    if _is_object_array(result):
        return outputs, result.shape + shape
    return outputs, (len(outputs), *shape) if isinstance(result, (list, tuple)) else shape


def _is_object_array(x: Any) -> bool:
    return isinstance(x, np.ndarray) and x.dtype == object


def _described(out: Any, result: Any) -> str:
    name = "a plain number" if isinstance(out, (int, float)) else f"{type(out).__name__}"
    return name if out is result else f"{name} among {type(result).__name__} entries"


def _one_output(f: Callable[..., Any], arguments: list[_Argument], value_type: Any) -> Any:
    """f's only number, as a scalar Value. Raises ValueError if it returns several."""
    outputs, shape = _called(f, arguments, value_type)
    if math.prod(shape) != 1:
        raise ValueError(f"f must return one scalar Value here, not {math.prod(shape)} in shape {shape}: add them up")
    return outputs[0].reshape(()) if outputs[0].shape else outputs[0]


def _numbers_of(values: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
    """Every number that Values hold, as a Value and the grad_output that picks the number from it."""
    for v in values:
        if not v.shape:
            yield v, 1.0
            continue
        for i in range(v.size):
            one = np.zeros(v.size)
            one[i] = 1.0
            yield v, one.reshape(v.shape)


def _rows(values: Iterable[Any], arguments: list[_Argument]) -> list[Array]:
    """The derivatives of every number that the Values hold: for each argument an array (numbers, *its shape)."""
    leaves = [leaf for a in arguments for leaf in a.leaves]
    rows: list[list[Array]] = [[] for _ in arguments]
    for v, one in _numbers_of(values):
        found = grad(v, leaves, one, allow_unused=True)
        for row, part in zip(rows, _parts(found, arguments)):
            row.append(part)
    return [np.array(row, a.dtype).reshape((len(row), *a.shape)) for row, a in zip(rows, arguments)]


def _parts(found: list[Any], arguments: list[_Argument]) -> Iterator[Array]:
    """The derivatives by all leaves, as one array for each argument."""
    start = 0
    for a in arguments:
        part = found[start : start + len(a.leaves)]
        start += len(a.leaves)
        yield np.array(part, a.dtype).reshape(a.shape)


def jacobian(f: Callable[..., Any], x: Any, *, backend: str | None = None) -> Any:
    """The matrix of first derivatives of a function at a point.

    f: takes Values, returns a scalar Value, an array Value, or a list of Values of one shape. Called once.
    x: the point. For a number f gets a scalar Value, for an ndarray an array Value, for a list of numbers a list of
        scalar Values (nested as it is). For a tuple of these f gets as many arguments. A Value stands for its data.
    backend: of the Values; by default the one in use.

    Returns an ndarray of shape (shape of f's result, *shape of x), a list counting as an axis; for a tuple x, a tuple
    of them. Takes one reverse sweep for every number that f returns. What f's result does not depend on has derivative
    0.

    Raises TypeError if f returns plain numbers, for it must compute with the Values it is given; ValueError if its
    Values have several shapes.

    >>> from pygrad import jacobian
    >>> jacobian(lambda x: [x[0] * x[1], x[0] + 3 * x[1]], [2.0, 5.0])
    array([[5., 2.],
           [1., 3.]])
    """
    value_type = backends.value_type(backend)
    arguments = _arguments(x, value_type)
    with enable_grad():
        outputs, shape = _called(f, arguments, value_type)
        rows = _rows(outputs, arguments)
    result = tuple(row.reshape(shape + a.shape) for row, a in zip(rows, arguments))
    return result if isinstance(x, tuple) else result[0]


def hessian(f: Callable[..., Any], x: Any, *, backend: str | None = None) -> Any:
    """The matrix of second derivatives of a function with one number as its result, at a point.

    f, x, backend: as for jacobian; f must return one number.

    Returns an ndarray of shape (*shape of x, *shape of x), symmetric but for rounding; for a tuple x, a tuple of tuples
    of them: [i][j] the derivatives by argument i and then by argument j. Takes a sweep for every number in x: for a
    product with a vector alone, see hvp.

    Raises TypeError and ValueError as jacobian, and ValueError if f returns several numbers.

    >>> from pygrad import hessian
    >>> hessian(lambda x: x[0] ** 2 * x[1], [3.0, 5.0])
    array([[10.,  6.],
           [ 6.,  0.]])
    """
    value_type = backends.value_type(backend)
    arguments = _arguments(x, value_type)
    with enable_grad():
        first = _first_derivatives(f, arguments, value_type)
        blocks = []
        for a, of_a in zip(arguments, first):
            rows = _rows(of_a, arguments)
            blocks.append(tuple(row.reshape(a.shape + b.shape) for row, b in zip(rows, arguments)))
    return tuple(blocks) if isinstance(x, tuple) else blocks[0][0]


def hvp(f: Callable[..., Any], x: Any, v: Any, *, backend: str | None = None) -> Any:
    """The product of the Hessian of a function at a point with a vector, without the Hessian: it costs a few times f.

    f, x, backend: as for hessian. v: numbers of x's shape; for a tuple x a tuple.

    Returns an ndarray of x's shape; for a tuple x, a tuple of them. It is the gradient of (gradient of f) . v
    (Pearlmutter, Fast exact multiplication by the Hessian, Neural Computation 6, 1994).

    Raises TypeError and ValueError as hessian, and ValueError for a v of another shape.

    >>> from pygrad import hvp
    >>> hvp(lambda x: x[0] ** 2 * x[1], [3.0, 5.0], [1.0, 10.0])
    array([70.,  6.])
    """
    value_type = backends.value_type(backend)
    arguments = _arguments(x, value_type)
    vectors = _vectors(v, arguments, isinstance(x, tuple))
    with enable_grad():
        first = _first_derivatives(f, arguments, value_type)
        total = value_type.sum([_product(of_a, vector, value_type) for of_a, vector in zip(first, vectors)])
        found = grad(total, [leaf for a in arguments for leaf in a.leaves], allow_unused=True)
    result = tuple(_parts(found, arguments))
    return result if isinstance(x, tuple) else result[0]


def _first_derivatives(f: Callable[..., Any], arguments: list[_Argument], value_type: Any) -> list[list[Any]]:
    """The gradient of f as a graph: for each argument the Values that belong to its leaves."""
    leaves = [leaf for a in arguments for leaf in a.leaves]
    found = iter(grad(_one_output(f, arguments, value_type), leaves, create_graph=True, allow_unused=True))
    return [[next(found) for _ in a.leaves] for a in arguments]


def _vectors(v: Any, arguments: list[_Argument], several: bool) -> list[Array]:
    parts = v if several else (v,)
    if several and (not isinstance(v, tuple) or len(v) != len(arguments)):
        raise ValueError(f"hvp: v must be a tuple of {len(arguments)}, as x is")
    vectors = [np.asarray(_checks.as_data(part)) for part in parts]
    for vector, a in zip(vectors, arguments):
        if vector.shape != a.shape:
            raise ValueError(f"hvp: v has shape {vector.shape}, but x has shape {a.shape}")
    return vectors


def _product(gradient: list[Any], vector: Array, value_type: Any) -> Any:
    """The scalar product of a gradient and a vector, as a scalar Value."""
    if len(gradient) == 1 and gradient[0].shape:
        return (gradient[0] * vector).sum()
    return value_type.dot(gradient, vector.ravel().tolist())
