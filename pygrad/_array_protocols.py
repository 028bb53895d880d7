"""What NumPy asks of Values: its ufuncs and functions, called with them, give Values, numbers, or an error.

Two rules. Of array Values a ufunc or function of the tables below is pygrad's own, with its gradient; what looks only
at numbers (comparisons, argmax, shape) gives what NumPy gives for the data; everything else is a TypeError that names
it. Scalar Values alone are treated likewise, but beside arrays they are objects, as any Python object to NumPy:
np.array([1, 2]) * v is an object array of Values.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import numpy as np

from . import _arrays, arrays, backends
from ._checks import is_value, operand_float

# ---- ufuncs ----


def _binary(name: str) -> Callable[[Any, Any], Any]:
    """Of two operands, one of them an array Value."""

    def applied(x: Any, y: Any) -> Any:
        result = _arrays.binary(name, x, y)
        if result is NotImplemented:
            return _arrays.apply(name, (x, y))  # which says what is wrong
        return result

    return applied


def _power(x: Any, y: Any) -> Any:
    result = _arrays.power(x, y) if is_value(x) else NotImplemented
    return _binary("pow")(x, y) if result is NotImplemented else result


# ufunc: what it is of operands one of which is an array Value, and of scalar Values and floats.
_UFUNCS: dict[Any, tuple[Callable[..., Any], Callable[..., Any]]] = {
    np.add: (_binary("add"), operator.add),
    np.subtract: (_binary("sub"), operator.sub),
    np.multiply: (_binary("mul"), operator.mul),
    np.divide: (_binary("div"), operator.truediv),
    np.power: (_power, operator.pow),
    np.float_power: (_power, operator.pow),
    np.maximum: (_binary("maximum"), lambda x, y: x.maximum(y) if is_value(x) else y.maximum(x)),
    np.minimum: (_binary("minimum"), lambda x, y: x.minimum(y) if is_value(x) else y.minimum(x)),
    np.matmul: (_binary("matmul"), operator.matmul),
}

# The same of either: of one operand.
_UNARY: dict[Any, Callable[[Any], Any]] = {
    np.negative: operator.neg,
    np.positive: operator.pos,
    np.absolute: abs,
    np.fabs: abs,
    np.exp: operator.methodcaller("exp"),
    np.log: operator.methodcaller("log"),
    np.sqrt: operator.methodcaller("sqrt"),
    np.sin: operator.methodcaller("sin"),
    np.cos: operator.methodcaller("cos"),
    np.tanh: operator.methodcaller("tanh"),
    np.square: lambda x: x**2,
    np.reciprocal: lambda x: 1.0 / x,
    np.exp2: lambda x: 2.0**x,
    np.log2: lambda x: x.log() / math.log(2.0),
    np.log10: lambda x: x.log() / math.log(10.0),
}
_UFUNCS.update({ufunc: (f, f) for ufunc, f in _UNARY.items()})

# Those that look at the numbers: of the data, without a gradient.
_OF_DATA = {
    np.equal, np.not_equal, np.less, np.less_equal, np.greater, np.greater_equal,
    np.isnan, np.isfinite, np.isinf, np.sign, np.signbit, np.logical_and, np.logical_or, np.logical_not,
}  # fmt: skip


def ufunc(value: Any, function: Any, method: str, inputs: Sequence[Any], options: dict[str, Any]) -> Any:
    """Value.__array_ufunc__; value: the first Value among the inputs."""
    if method == "__call__" and not options:  # the usual cases, quickly
        if value._holds_array:
            if function in _UFUNCS:
                return _UFUNCS[function][0](*inputs)
        elif len(inputs) == 2:
            x, y = inputs
            other = y if x is value else x
            if type(other) is np.ndarray and other.ndim:
                return function(_boxed(x), y) if x is value else function(x, _boxed(y))
            if isinstance(other, float) and function in _UFUNCS:
                return _UFUNCS[function][1](x, float(y)) if x is value else _UFUNCS[function][1](float(x), y)
    if any(map(_is_array_value, inputs)):
        return _ufunc_of_arrays(function, method, inputs, options)
    if method == "__call__" and not options and (function in _UFUNCS or function in _OF_DATA):
        value_type = backends.type_of(value)
        operands = [_scalar(x, value_type) for x in inputs]
        if NotImplemented not in operands:
            return function(*map(_numbers, operands)) if function in _OF_DATA else _UFUNCS[function][1](*operands)
    if any(map(is_value, options.get("out", ()))):
        raise TypeError(f"np.{function.__name__}: a Value cannot be written into: out= must be an array")
    return getattr(function, method)(*map(_object, inputs), **options)


def _is_array_value(x: Any) -> bool:
    return is_value(x) and x._holds_array


def _scalar(x: Any, value_type: Any) -> Any:
    """A scalar Value or the float of a number; NotImplemented for anything else, such as an array."""
    if type(x) is np.ndarray and x.ndim:
        return NotImplemented
    return x if isinstance(x, value_type) else operand_float(x, value_type)


def _ufunc_of_arrays(function: Any, method: str, inputs: Sequence[Any], options: dict[str, Any]) -> Any:
    name = f"np.{function.__name__}"
    if method != "__call__":
        instead = {np.add: "np.sum", np.multiply: "np.prod", np.maximum: "np.max", np.minimum: "np.min"}
        hint = f"use {instead[function]}" if method == "reduce" and function in instead else "use .data for its numbers"
        raise TypeError(f"{name}.{method} does not support array Values: {hint}")
    for option in options:
        hint = ": an array in a graph is not written into" if option == "out" else ""
        raise TypeError(f"{name}: the option {option}= is not supported for array Values{hint}")
    if function in _UFUNCS:
        return _UFUNCS[function][0](*inputs)
    if function in _OF_DATA:
        return function(*map(_numbers, inputs))
    raise _unsupported(name)


def _numbers(x: Any) -> Any:
    return x.data if is_value(x) else x


def _object(x: Any) -> Any:
    return _boxed(x) if is_value(x) else x


def _boxed(v: Any) -> Any:
    """A scalar Value as NumPy sees any Python object: an object array without dimensions."""
    box = np.empty((), dtype=object)
    box[()] = v
    return box


def _unsupported(name: str) -> TypeError:
    return TypeError(
        f"{name} does not support array Values: see pygrad.arrays for what does; for the numbers alone, without a "
        f"gradient, use .data"
    )


# ---- functions ----


def _norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:  # noqa: A002  # as NumPy's
    return arrays.norm(x, ord, axis, keepdims=keepdims)


_FUNCTIONS: dict[Any, Callable[..., Any]] = {
    np.linalg.norm: _norm,
    np.amax: arrays.max,
    np.amin: arrays.min,
    **{
        getattr(np, name): getattr(arrays, name)
        for name in [
            "broadcast_to", "clip", "concatenate", "cumsum", "dot", "einsum", "expand_dims", "flip", "hstack", "max",
            "mean", "min", "moveaxis", "pad", "prod", "ravel", "reshape", "squeeze", "stack", "std", "sum", "swapaxes",
            "take_along_axis", "transpose", "var", "vstack", "where",
        ]
    },
}  # fmt: skip

# Those that look at the numbers or the shape: what NumPy gives for the data.
_FUNCTIONS_OF_DATA = {
    getattr(np, name)
    for name in [
        "all", "allclose", "any", "argmax", "argmin", "argsort", "array_equal", "count_nonzero", "empty_like",
        "full_like", "isclose", "ndim", "nonzero", "ones_like", "result_type", "shape", "size", "zeros_like",
    ]
}  # fmt: skip


def function(function: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """Value.__array_function__."""
    first = args[0] if args else None  # often a list: of np.concatenate, np.stack
    if function in _FUNCTIONS and any(map(_is_array_value, first if type(first) is list else args)):
        return _FUNCTIONS[function](*args, **kwargs)
    found = [*_leaves(args), *_leaves(list(kwargs.values()))]
    has_arrays = any(map(_is_array_value, found))
    known = function in _FUNCTIONS or function in _FUNCTIONS_OF_DATA
    if not has_arrays and (not known or any(isinstance(x, np.ndarray) and x.dtype == object for x in found)):
        return function(*_each(_object, args), **_each(_object, kwargs))
    if function in _FUNCTIONS:
        return _FUNCTIONS[function](*args, **kwargs)
    if function in _FUNCTIONS_OF_DATA:
        return function(*_each(_numbers, args), **_each(_numbers, kwargs))
    raise _unsupported(f"{function.__module__.replace('numpy', 'np', 1)}.{function.__name__}")


def _leaves(x: Any) -> list[Any]:
    """What stands in nested lists and tuples."""
    return [leaf for item in x for leaf in _leaves(item)] if isinstance(x, (list, tuple)) else [x]


def _each(f: Callable[[Any], Any], x: Any) -> Any:
    """x with f applied to what stands in nested lists, tuples and dicts."""
    if isinstance(x, dict):
        return {name: _each(f, item) for name, item in x.items()}
    return type(x)([_each(f, item) for item in x]) if type(x) in (list, tuple) else f(x)


# ---- conversion ----


def refuse_conversion(*args: Any, **options: Any) -> NoReturn:
    """Value.__array__ of an array Value."""
    raise TypeError(
        "an array Value is not turned into an ndarray, since that would lose its graph: use .data for its numbers, "
        "and pygrad's functions (pygrad.stack, pygrad.concatenate ...) to compute with it"
    )
