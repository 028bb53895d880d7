"""Computes while compiling what is computed from constants alone.

By the formulas of the reference engine in IEEE 754 arithmetic: a division by zero is infinite, where Python raises.
What calls the C library (exp, pow, ...) is left alone unless the program does so too: it usually has vector functions
of its own for these, whose last bit may be another. Constants have no gradient, so this may come before derivatives.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ... import _ieee
from ...ops import OPS
from ..code import EFFECTS, LEAVES, Code
from ..flat import flat
from .dead import dead_code


def _sum(xs: list[float]) -> float:
    total = xs[0] if xs else 0.0
    for x in xs[1:]:
        total += x
    return total


def _dot(xs: list[float]) -> float:
    first = len(xs) % 2
    products = [w * x for w, x in zip(xs[first::2], xs[first + 1 :: 2], strict=True)]
    return _sum(xs[:first] + products)


def _logsumexp(xs: list[float]) -> float:
    largest = -math.inf
    for x in xs:
        if not (x <= largest or math.isnan(largest)):
            largest = x
    total = 0.0
    for x in xs:
        total += _ieee.exp(x - largest)
    return largest if math.isinf(largest) else largest + _ieee.log(total)


_NARY: dict[str, Callable[[list[float]], float]] = {"sum": _sum, "dot": _dot, "logsumexp": _logsumexp}
_QUIET: dict[str, Callable[..., float]] = {
    "div": _ieee.divide,
    "pow_const": _ieee.power,
    "pow": _ieee.power,
    "exp": _ieee.exp,
    "log": _ieee.log,
    "sqrt": _ieee.square_root,
    "sin": _ieee.sin,
    "cos": _ieee.cos,
}
"""Ops whose value in the table raises."""

_ARITHMETIC = {"neg", "add", "sub", "mul", "div", "sqrt", "relu", "leaky_relu", "abs", "maximum", "minimum"}
_WITHOUT_LIBRARY = (
    _ARITHMETIC
    | {"sum", "dot"}
    | {f"d0:{op}" for op in _ARITHMETIC | {"exp", "log", "tanh", "sigmoid"}}
    | {f"d1:{op}" for op in _ARITHMETIC}
)
"""Instructions that all programs compute with the same bits, exact or not."""


def _compute(op: str, xs: list[float], k: Any) -> float:
    """The value of an instruction that computes on numbers alone."""
    if op in _NARY:
        return _NARY[op](xs)
    if op == "d0:logsumexp":
        return xs[0] * _ieee.exp(xs[1] - xs[2])
    if ":" in op:
        row = OPS[op[3:]]
        y = k if row.kind == "constant" else xs[2]  # of no meaning in a unary op
        return float(row.derivatives[int(op[1])](_ieee, xs[0], xs[1], y, xs[-1]))
    row = OPS[op]
    value: Callable[..., Any] = _QUIET.get(op, row.value)
    return float(value(*xs, k) if row.kind == "constant" else value(*xs))


def _constants_meet(code: Code) -> bool:
    """Whether an instruction has constant operands only."""
    constant = np.fromiter(map("constant".__eq__, code.ops), np.bool_, len(code))
    operands, widths = flat(code)
    others = np.bincount(np.repeat(np.arange(len(code)), widths), ~constant[operands], len(code))
    return any(code.ops[i] not in LEAVES for i in np.flatnonzero(others == 0).tolist())


def fold_constants(code: Code, exact: bool = False) -> Code:
    """Constants in place of what is computed from them, and no dead code. exact: of library functions too."""
    if not _constants_meet(code):
        return dead_code(code)
    ops, all_args, ks = list(code.ops), list(code.args), list(code.ks)
    constant = bytearray(len(ops))
    for i, op in enumerate(ops):
        if op in LEAVES:
            constant[i] = op == "constant"
            continue
        for a in all_args[i]:
            if not constant[a]:
                break
        else:
            if op in _WITHOUT_LIBRARY or (exact and op not in EFFECTS and op != "pick" and op != "dpick"):
                ks[i] = _compute(op, [ks[a] for a in all_args[i]], ks[i])
                ops[i], all_args[i] = "constant", ()
                constant[i] = 1
    return dead_code(Code(ops, all_args, ks, code.outputs))
