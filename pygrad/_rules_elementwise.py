"""The elementwise rules: the rows of the op table on whole arrays, with NumPy's broadcasting.

The derivatives are the table's own. The values are NumPy's, which at the edges of a function's domain gives inf or
nan where a float's raises.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import _array_math
from ._rule import Rule
from .ops import OPS, Op


def _power(x: Any, k: float) -> Any:
    return np.square(x) if k == 2.0 else x**k


def _silu(x: Any, o: None) -> Any:
    s = _array_math.sigmoid(x)
    return np.multiply(x, s, s)


def _gelu(x: Any, o: None) -> Any:
    p = _array_math.normal_cdf(x)
    return np.multiply(x, p, p)


# A ufunc takes the options None for its argument `out`, except that NumPy wants that of maximum and minimum by name.
_VALUES: dict[str, Callable[..., Any]] = {
    "neg": np.negative,
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "pow_const": _power,
    "pow": np.power,
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "sin": np.sin,
    "cos": np.cos,
    "tanh": np.tanh,
    "sigmoid": lambda x, o: _array_math.sigmoid(x),
    "softplus": lambda x, o: _array_math.softplus(x),
    "relu": lambda x, o: np.maximum(x, 0.0),
    "leaky_relu": lambda x, k: np.where(x > 0.0, x, k * x),
    "elu": lambda x, k: np.where(x > 0.0, x, k * np.expm1(np.minimum(x, 0.0))),
    "silu": _silu,
    "gelu": _gelu,
    "abs": np.absolute,
    "maximum": lambda x, y, o: np.maximum(x, y),
    "minimum": lambda x, y, o: np.minimum(x, y),
    "erf": lambda x, o: _array_math.erf(x),
    "erfc": lambda x, o: _array_math.erfc(x),
}


def _on_arrays(op: Op, derivative: Callable[..., Any]) -> Callable[..., Any]:
    if op.kind == "constant":
        return lambda g, x, y, z, k: derivative(_array_math, g, x, k, z)
    return lambda g, x, y, z, o: derivative(_array_math, g, x, y, z)


def _square(g: Any, x: Any, y: Any, z: Any, k: float) -> Any:
    """The derivative of x ** k; of a square, the commonest power, without a multiplication by numbers."""
    return g * (x + x) if k == 2.0 else OPS["pow_const"].derivatives[0](_array_math, g, x, k, z)


def _rule(op: Op) -> Rule:
    derivatives = tuple(_on_arrays(op, d) for d in op.derivatives)
    return Rule(op.name, op.symbol, len(derivatives), _VALUES[op.name], derivatives)


ROWS = [_rule(op)._replace(derivatives=(_square,)) if op.name == "pow_const" else _rule(op) for op in OPS.values()]
