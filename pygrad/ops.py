"""The op table: every operation on scalars, its value and its derivatives, to be checked against a calculus book.

Values are of floats, and raise what Python's own arithmetic raises. A derivative is written once for all that it is
used on, by taking the mathematics `m` that it needs: `_ieee` for floats, as the reference does; `_array_math` for
arrays, and for Values, where its result is a graph that can be differentiated again.

To add an op: one row here, one row in csrc/ops.h; the tests find it in both tables. Both must do the same
floating-point operations in the same order, for they give the same bits. What only arrays have is in array_rules.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from . import _checks, _ieee, _tracing
from ._checks import Status


class Op(NamedTuple):
    """An operation: its value, and what it adds to its operands' gradients.

    value(x), value(x, y), or value(x, k) of the operands' data, raising what Python's own arithmetic raises.
    derivatives: one function an operand, d(m, g, x, y, z), gives that operand's contribution from the result's
    gradient g, the operands' data x and y (y is the constant k of an op that has one, and means nothing in a unary
    one) and the result's data z, all as of the time of the call.
    """

    name: str
    symbol: str
    kind: str  # 'unary', 'constant', 'binary'
    value: Callable[..., Any]
    derivatives: tuple[Callable[..., Any], ...]
    parameter: str = ""  # of kind 'constant': what the constant is called
    constant: float = 0.0  # and its default


# ---- derivatives too long for a row ----
#
# m.where computes both of its branches, so what the branch not taken is computed from is replaced by a harmless
# number: a Value raises where it is undefined, and an inf times the 0 that it gets as its gradient would be nan.


def _power_by_base(m: Any, g: Any, x: Any, y: Any, z: Any) -> Any:
    """y * x ** (y - 1); 0 where y is."""
    constant = m.equal(y, 0.0)
    return m.where(constant, 0.0, g * (y * m.power(x, m.where(constant, 0.0, y - 1.0))))


def _power_by_exponent(m: Any, g: Any, x: Any, y: Any, z: Any) -> Any:
    """x ** y * log(x), nan for a negative x; 0 at the base 0, whose powers are all 0."""
    constant = m.equal(x, 0.0) & (y >= 0.0)
    base = m.where(x < 0.0, math.nan, m.where(constant, 1.0, x))
    return m.where(constant, 0.0, g * (z * m.log(base)))


def _elu(m: Any, g: Any, x: Any, k: Any, z: Any) -> Any:
    return m.where(x > 0.0, g, g * (k * m.exp(m.where(x > 0.0, 0.0, x))))


def _silu(m: Any, g: Any, x: Any, y: Any, z: Any) -> Any:
    s = m.sigmoid(x)
    return g * (s * (1.0 + x * (1.0 - s)))


# ---- the table ----

OPS: dict[str, Op] = {
    op.name: op
    for op in [
        Op("neg", "neg", "unary", lambda x: -x, (lambda m, g, x, y, z: -g,)),
        Op("add", "+", "binary", lambda x, y: x + y, (lambda m, g, x, y, z: g, lambda m, g, x, y, z: g)),
        Op("sub", "-", "binary", lambda x, y: x - y, (lambda m, g, x, y, z: g, lambda m, g, x, y, z: -g)),
        Op("mul", "*", "binary", lambda x, y: x * y, (lambda m, g, x, y, z: g * y, lambda m, g, x, y, z: g * x)),
        Op(
            "div", "/", "binary",
            lambda x, y: x / y,
            (
                lambda m, g, x, y, z: m.divide(g, y),
                lambda m, g, x, y, z: -(g * m.divide(m.divide(x, y), y)),
            ),
        ),
        Op(
            "pow_const", "**", "constant",
            lambda x, k: x**k,
            (lambda m, g, x, k, z: 0.0 if k == 0.0 else g * (k * m.power(x, k - 1.0)),),
            "exponent", 1.0,
        ),
        Op("pow", "**", "binary", lambda x, y: x**y, (_power_by_base, _power_by_exponent)),
        Op("exp", "exp", "unary", math.exp, (lambda m, g, x, y, z: g * z,)),
        Op("log", "log", "unary", math.log, (lambda m, g, x, y, z: m.divide(g, x),)),
        Op("sqrt", "sqrt", "unary", math.sqrt, (lambda m, g, x, y, z: m.divide(g, 2.0 * z),)),
        Op("sin", "sin", "unary", math.sin, (lambda m, g, x, y, z: g * m.cos(x),)),
        Op("cos", "cos", "unary", math.cos, (lambda m, g, x, y, z: -(g * m.sin(x)),)),
        Op("tanh", "tanh", "unary", math.tanh, (lambda m, g, x, y, z: g * (1.0 - z * z),)),
        Op("sigmoid", "sigmoid", "unary", _ieee.sigmoid, (lambda m, g, x, y, z: g * (z * (1.0 - z)),)),
        Op("softplus", "softplus", "unary", _ieee.softplus, (lambda m, g, x, y, z: g * m.sigmoid(x),)),
        Op(
            "relu", "ReLU", "unary",
            lambda x: 0.0 if x < 0.0 else x,
            (lambda m, g, x, y, z: m.where(z > 0.0, g, 0.0),),
        ),
        Op(
            "leaky_relu", "leaky_relu", "constant",
            lambda x, k: x if x > 0.0 else k * x,
            (lambda m, g, x, k, z: m.where(x > 0.0, g, g * k),),
            "negative_slope", 0.01,
        ),
        Op("elu", "elu", "constant", lambda x, k: x if x > 0.0 else k * math.expm1(x), (_elu,), "alpha", 1.0),
        Op("silu", "silu", "unary", lambda x: x * _ieee.sigmoid(x), (_silu,)),
        Op(
            "gelu", "gelu", "unary",
            lambda x: x * _ieee.normal_cdf(x),
            (lambda m, g, x, y, z: g * (m.normal_cdf(x) + x * m.normal_pdf(x)),),
        ),
        Op("abs", "abs", "unary", abs, (lambda m, g, x, y, z: g * m.sign(x),)),
        Op(
            "maximum", "maximum", "binary",
            lambda x, y: x if x >= y or math.isnan(x) else y,
            (
                lambda m, g, x, y, z: m.where(m.equal(x, y), 0.5 * g, m.where(x < y, 0.0, g)),
                lambda m, g, x, y, z: m.where(m.equal(x, y), 0.5 * g, m.where(x > y, 0.0, g)),
            ),
        ),
        Op(
            "minimum", "minimum", "binary",
            lambda x, y: x if x <= y or math.isnan(x) else y,
            (
                lambda m, g, x, y, z: m.where(m.equal(x, y), 0.5 * g, m.where(x > y, 0.0, g)),
                lambda m, g, x, y, z: m.where(m.equal(x, y), 0.5 * g, m.where(x < y, 0.0, g)),
            ),
        ),
        Op("erf", "erf", "unary", math.erf, (lambda m, g, x, y, z: g * (1.1283791670955126 * m.exp(-(x * x))),)),
        Op("erfc", "erfc", "unary", math.erfc, (lambda m, g, x, y, z: g * (-1.1283791670955126 * m.exp(-(x * x))),)),
    ]
}  # fmt: skip

# Not in the table, because they take any number of operands: 'sum', 'logsumexp' and 'dot', see the reference's Value.
# 'leaf' has no operands; 'user' is a user-defined op.

_STATUS = {ZeroDivisionError: Status.ZERO_DIVISION, OverflowError: Status.OVERFLOW, ValueError: Status.DOMAIN}


_IEEE: dict[str, Callable[..., float]] = {
    "div": _ieee.divide,
    "pow": _ieee.power,
    "pow_const": _ieee.power,
    "exp": _ieee.exp,
    "log": _ieee.log,
    "sqrt": _ieee.square_root,
    "sin": _ieee.sin,
    "cos": _ieee.cos,
}
"""The values of the ops that may raise, as IEEE 754 has them."""


def evaluate(op: Op, x: float, y: float, of_node: bool = False) -> float:
    """The op's value at x (and y, or its constant). Raises as Python's own arithmetic, in pygrad's words; of a
    node, while a function is recorded for a program, inf or nan instead."""
    if op.symbol == "**" and _ieee.is_complex_power(x, y):
        if of_node and _tracing.here():
            return math.nan
        raise _checks.op_error(op.name, Status.COMPLEX, x, y)
    try:
        return float(op.value(x) if op.kind == "unary" else op.value(x, y))
    except (ZeroDivisionError, OverflowError, ValueError) as error:
        if of_node and _tracing.here():
            return _IEEE[op.name](x) if op.kind == "unary" else _IEEE[op.name](x, y)
        raise _checks.op_error(op.name, _STATUS[type(error)], x, y) from None
