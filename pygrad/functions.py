"""The ops as functions: of Values, or of plain numbers, which give a plain float.

pygrad.exp(v) is v.exp(); pygrad.exp(1.0) is the float that a Value of 1.0 would hold. Errors are those of the methods.
No formulas: those of plain numbers are the op table's.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from . import _checks, backends
from .ops import OPS, evaluate


def _unary(name: str, x: Any) -> Any:
    return getattr(x, name)() if _checks.is_value(x) else evaluate(OPS[name], _checks.as_float(x, name), 0.0)


def _constant(name: str, x: Any, k: Any) -> Any:
    if _checks.is_value(x):
        return getattr(x, name)(k)
    return evaluate(OPS[name], _checks.as_float(x, name), _checks.as_float(k, OPS[name].parameter))


def _binary(name: str, x: Any, y: Any) -> Any:
    if _checks.is_value(x):
        return getattr(x, name)(y)
    if _checks.is_value(y):
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
    """The Value type of the first Value among them; the reference's if all are numbers."""
    return next((backends.type_of(x) for x in operands if _checks.is_value(x)), backends.load("python"))


def _result(value: Any, operands: Iterable[Any]) -> Any:
    return value if any(map(_checks.is_value, operands)) else value.data


def sum(values: Iterable[Any]) -> Any:
    """x0 + x1 + ..., left to right: one node, where Python's sum makes one an addition."""
    x = list(values)
    return _result(_engine_of(x)._sum(x), x)


def logsumexp(values: Iterable[Any]) -> Any:
    """log(e ** x0 + e ** x1 + ...), without overflow, as one node; no values: -inf."""
    x = list(values)
    return _result(_engine_of(x)._logsumexp(x), x)


def dot(weights: Iterable[Any], inputs: Iterable[Any], bias: Any = None) -> Any:
    """bias + w0 * x0 + w1 * x1 + ..., left to right, as one node; without a bias, from w0 * x0 on."""
    w, x = list(weights), list(inputs)
    operands = [*w, *x, bias]
    return _result(_engine_of(operands)._dot(w, x, bias), operands)
