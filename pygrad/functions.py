"""The ops as functions: of Values, or of plain numbers and arrays, which give a plain float or array.

pygrad.exp(v) is v.exp(); pygrad.exp(1.0) is the float that a Value of 1.0 would hold. Errors are those of the methods.
No formulas: those of plain numbers are the op table's. The functions that only arrays have stand in pygrad.arrays.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from . import _checks, _tracing, backends
from ._lazy import array_functions
from .ops import OPS, evaluate


def _is_ndarray(x: Any) -> bool:
    """Whether x is an array with axes, not a Value."""
    kind = type(x)
    return hasattr(kind, "__array__") and not _checks.is_value(x) and getattr(x, "ndim", 0) > 0


def _unary(name: str, x: Any) -> Any:
    if _checks.is_value(x):
        return getattr(x, name)()
    return array_functions.apply(name, (x,)) if _is_ndarray(x) else evaluate(OPS[name], _checks.as_float(x, name), 0.0)


def _constant(name: str, x: Any, k: Any) -> Any:
    if _checks.is_value(x):
        return getattr(x, name)(k)
    number = _checks.as_float(k, OPS[name].parameter)
    if _is_ndarray(x):
        return array_functions.apply(name, (x,), number)
    return evaluate(OPS[name], _checks.as_float(x, name), number)


def _binary(name: str, x: Any, y: Any) -> Any:
    if _is_ndarray(x) or _is_ndarray(y):
        return array_functions.apply(name, (x, y))
    if _checks.is_value(x):
        return getattr(x, name)(y)
    if _checks.is_value(y):
        if y.ndim:
            return array_functions.apply(name, (x, y))
        return getattr(backends.type_of(y)(_checks.as_float(x, name)), name)(y)
    return evaluate(OPS[name], _checks.as_float(x, name), _checks.as_float(y, name))


def neg(x: Any) -> Any:
    """-x."""
    return _unary("neg", x)


def exp(x: Any) -> Any:
    """e ** x."""
    return _unary("exp", x)


def log(x: Any) -> Any:
    """Natural logarithm."""
    return _unary("log", x)


def sqrt(x: Any) -> Any:
    """Square root."""
    return _unary("sqrt", x)


def sin(x: Any) -> Any:
    """Sine, x in radians."""
    return _unary("sin", x)


def cos(x: Any) -> Any:
    """Cosine, x in radians."""
    return _unary("cos", x)


def tanh(x: Any) -> Any:
    """Hyperbolic tangent."""
    return _unary("tanh", x)


def sigmoid(x: Any) -> Any:
    """1 / (1 + e ** -x)."""
    return _unary("sigmoid", x)


def softplus(x: Any) -> Any:
    """log(1 + e ** x)."""
    return _unary("softplus", x)


def relu(x: Any) -> Any:
    """max(x, 0)."""
    return _unary("relu", x)


def silu(x: Any) -> Any:
    """x * sigmoid(x)."""
    return _unary("silu", x)


def gelu(x: Any) -> Any:
    """x * Phi(x), Phi the standard normal distribution function."""
    return _unary("gelu", x)


def erf(x: Any) -> Any:
    """The error function."""
    return _unary("erf", x)


def erfc(x: Any) -> Any:
    """1 - erf(x), without cancellation."""
    return _unary("erfc", x)


def abs(x: Any) -> Any:
    """Absolute value."""
    return _unary("abs", x)


def leaky_relu(x: Any, negative_slope: float = 0.01) -> Any:
    """x where x > 0, else negative_slope * x."""
    return _constant("leaky_relu", x, negative_slope)


def elu(x: Any, alpha: float = 1.0) -> Any:
    """x where x > 0, else alpha * (e ** x - 1)."""
    return _constant("elu", x, alpha)


def add(x: Any, y: Any) -> Any:
    """x + y."""
    return _binary("add", x, y)


def sub(x: Any, y: Any) -> Any:
    """x - y."""
    return _binary("sub", x, y)


def mul(x: Any, y: Any) -> Any:
    """x * y."""
    return _binary("mul", x, y)


def div(x: Any, y: Any) -> Any:
    """x / y."""
    return _binary("div", x, y)


def pow(x: Any, y: Any) -> Any:
    """x ** y."""
    return _binary("pow", x, y)


def maximum(x: Any, y: Any) -> Any:
    """The larger of both; a nan wins."""
    return _binary("maximum", x, y)


def minimum(x: Any, y: Any) -> Any:
    """The smaller of both; a nan wins."""
    return _binary("minimum", x, y)


def _engine_of(operands: Iterable[Any]) -> Any:
    """The Value type of the first Value among them. If all are numbers the reference's, or that of what this thread
    records: their result is a constant there, whose number may be looked at."""
    trace = _tracing.current()
    numbers = backends.load("python") if trace is None else trace.value_type
    return next((backends.type_of(x) for x in operands if _checks.is_value(x)), numbers)


def _result(value: Any, operands: Iterable[Any]) -> Any:
    return value if any(map(_checks.is_value, operands)) else value.data


def _of_arrays(name: str, values: Any, axis: Any, keepdims: bool) -> bool:
    """Whether a sum is that of an array over axes, not of several Values."""
    if _checks.is_value(values) or (_is_ndarray(values) and (values.ndim > 1 or axis is not None)):
        return True
    if axis is not None or keepdims:
        raise TypeError(f"{name}: axis= and keepdims= are for arrays: pygrad.stack makes one array of several Values")
    return False


def sum(values: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    """Of a sequence x0 + x1 + ..., left to right: one node, where Python's sum makes one an addition.

    Of an array Value the sum over an axis, several, or all, as pygrad.arrays.sum.
    """
    if _of_arrays("sum", values, axis, keepdims):
        return array_functions.sum(values, axis, keepdims=keepdims)
    x = list(values)
    return _result(_engine_of(x)._sum(x), x)


def logsumexp(values: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    """Of a sequence log(e ** x0 + e ** x1 + ...), without overflow, as one node; no values: -inf.

    Of an array Value the same over an axis, several, or all, as pygrad.arrays.logsumexp.
    """
    if _of_arrays("logsumexp", values, axis, keepdims):
        return array_functions.logsumexp(values, axis, keepdims=keepdims)
    x = list(values)
    return _result(_engine_of(x)._logsumexp(x), x)


def dot(weights: Any, inputs: Any, bias: Any = None) -> Any:
    """Of sequences bias + w0 * x0 + w1 * x1 + ..., left to right, as one node; without a bias, from w0 * x0 on.

    Of array Values the dot product as np.dot, plus the bias.
    """
    if _checks.is_value(weights) or _checks.is_value(inputs):
        product = array_functions.dot(weights, inputs)
        return product if bias is None else product + bias
    w, x = list(weights), list(inputs)
    operands = [*w, *x, bias]
    return _result(_engine_of(operands)._dot(w, x, bias), operands)


def pick(values: Sequence[Any], index: Any) -> Any:
    """values[index], index an integer from 0 on, or a whole number in a float or Value.

    In a function that pygrad.compile records, index may be one of its arguments: then each sample picks by its own.

    Raises IndexError naming the index and the length where it is out of range, TypeError for one that is not whole.
    """
    if _tracing.is_variable(index):
        return _recorded_pick(values, index)
    i = _checks.as_class(index.data if _checks.is_value(index) else index, "pick: the index")
    count = len(values)
    if not 0 <= i < count:
        raise IndexError(f"pick: the index is {i}, but there are {count} values, counted from 0")
    return values[i]


def _recorded_pick(values: Iterable[Any], index: Any) -> Any:
    """A node that record() makes the instruction of; the index is its last operand."""
    trace = _tracing.current()
    assert trace is not None
    column = trace.columns.get(id(index))
    if column is None:
        raise _tracing.error("the index of pick must be an argument of the recorded function, as it is, or an int")
    operands = trace.value_type._as_operands("pick", values)
    if not operands:
        raise IndexError("pick: there are no values to pick from")
    node = trace.value_type(math.nan, (*operands, index), "pick")
    trace.picks[id(node)] = node, column
    return node
