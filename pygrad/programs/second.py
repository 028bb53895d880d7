"""Derivatives of derivatives: makes reverse code something that can be differentiated again, and tangents of code.

A derivative instruction (d0:tanh, ...) of a smooth op is written out in arithmetic, by its formula in the op table;
those of piecewise linear ops stay, for they are linear in g and constant in everything else (differentiate.py knows).
At the few points where the op table takes a limit (0 ** y, say) the written-out form gives nan.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..ops import OPS
from .code import Code
from .differentiate import PIECEWISE, derivative


class _Symbol:
    """A value of a code under construction, with the operators that the formulas of the op table use."""

    def __init__(self, code: Code, number: int) -> None:
        self.code, self.number = code, number

    def _with(self, op: str, *operands: Any) -> _Symbol:
        return _Symbol(self.code, self.code.add(op, tuple([self._number(x) for x in operands])))

    def _number(self, x: Any) -> int:
        return x.number if isinstance(x, _Symbol) else self.code.add("constant", (), float(x))

    def __neg__(self) -> _Symbol:
        return self._with("neg", self)

    def __add__(self, other: Any) -> _Symbol:
        return self._with("add", self, other)

    def __radd__(self, other: Any) -> _Symbol:
        return self._with("add", other, self)

    def __sub__(self, other: Any) -> _Symbol:
        return self._with("sub", self, other)

    def __rsub__(self, other: Any) -> _Symbol:
        return self._with("sub", other, self)

    def __mul__(self, other: Any) -> _Symbol:
        return self._with("mul", self, other)

    def __rmul__(self, other: Any) -> _Symbol:
        return self._with("mul", other, self)


class _Mathematics:
    """The `m` of the op table's derivatives, for symbols."""

    @staticmethod
    def divide(x: _Symbol, y: Any) -> _Symbol:
        return x._with("div", x, y)

    @staticmethod
    def power(x: _Symbol, y: Any) -> _Symbol:
        if isinstance(y, _Symbol):
            return x._with("pow", x, y)
        return _Symbol(x.code, x.code.add("pow_const", (x.number,), y))

    @staticmethod
    def normal_cdf(x: _Symbol) -> _Symbol:
        """Of the standard normal distribution: erfc(-x / sqrt 2) / 2."""
        scaled = -x * 0.7071067811865476
        return 0.5 * scaled._with("erfc", scaled)

    @staticmethod
    def normal_pdf(x: _Symbol) -> _Symbol:
        """Of the standard normal distribution: exp(-x**2 / 2) / sqrt(2 pi)."""
        square = -0.5 * (x * x)
        return 0.3989422804014327 * square._with("exp", square)

    def __getattr__(self, name: str) -> Any:
        return lambda x: x._with(name, x)


_M = _Mathematics()


def _power_by_base(m: Any, g: Any, x: Any, y: Any, z: Any) -> Any:
    return g * (y * m.power(x, y - 1.0))


def _power_by_exponent(m: Any, g: Any, x: Any, y: Any, z: Any) -> Any:
    return g * (z * m.log(x))


_FORMULAS: dict[str, Any] = {
    **{f"d{i}:{name}": d for name, op in OPS.items() for i, d in enumerate(op.derivatives) if name not in PIECEWISE},
    "d0:pow": _power_by_base,
    "d1:pow": _power_by_exponent,
    "d0:logsumexp": lambda m, g, x, y, z: g * m.exp(x - z),
}


def written_out(code: Code) -> tuple[Code, list[int]]:
    """The code with smooth derivatives in plain arithmetic, and where each old value is in it."""
    new = Code()
    at: list[int] = []
    for op, args, k in zip(code.ops, code.args, code.ks):
        operands = tuple([at[x] for x in args])
        formula = _FORMULAS.get(op)
        if op == "d0:elu":
            at.append(_elu(new, operands, k))
        elif formula is None:
            at.append(new.add(op, operands, k))
        else:
            g, x, *rest = [_Symbol(new, i) for i in operands]
            y = rest[0] if len(rest) == 2 else k
            result = formula(_M, g, x, y, rest[-1])
            at.append(result.number if isinstance(result, _Symbol) else new.add("constant", (), float(result)))
    new.outputs = [at[i] for i in code.outputs]
    return new, at


def _elu(new: Code, operands: tuple[int, ...], k: float) -> int:
    """g where x > 0, else g * k * exp(x): with x' = min(x, 0), (g where x > 0) + (g where x' is x) * k * exp(x')."""
    g, x, _ = operands
    zero = new.add("constant", (), 0.0)
    positive = new.add("d0:relu", (g, x, new.add("relu", (x,))))
    below = new.add("minimum", (x, zero))
    factor = new.add("mul", (new.add("constant", (), k), new.add("exp", (below,))))
    return new.add("add", (positive, new.add("mul", (new.add("sub", (g, positive)), factor))))


def tangents(code: Code, seeds: Mapping[int, int]) -> list[int | None]:
    """Appends the directional derivatives of the outputs. seeds: by leaf, its tangent's value. None where it is 0.

    Every derivative is linear in g: with an operand's tangent in place of g it gives what that adds to the result's.
    """
    found: dict[int, int] = dict(seeds)
    for i in range(len(code)):
        op, args, k = code.ops[i], code.args[i], code.ks[i]
        if i in found or not any(x in found for x in args):
            continue
        total: int | None = None
        for term in _terms(code, op, args, i, k, found):
            total = term if total is None else code.add("add", (total, term))
        if total is not None:
            found[i] = total
    return [found.get(i) for i in code.outputs]


def _terms(code: Code, op: str, args: tuple[int, ...], i: int, k: Any, found: Mapping[int, int]) -> list[int]:
    """What each operand's tangent adds to the result's."""
    if op == "pick":  # of tangents; 0 for those that have none
        zero = code.add("constant", (), 0.0)
        return [code.add("pick", tuple([found.get(x, zero) for x in args]), k)]
    if op in ("add", "sum"):
        return [found[x] for x in args if x in found]
    if op in ("mul", "dot"):
        start = len(args) % 2
        terms = [found[x] for x in args[:start] if x in found]
        for w, x in zip(args[start::2], args[start + 1 :: 2]):
            if w in found:
                terms.append(code.add("mul", (found[w], x)))
            if x in found:
                terms.append(code.add("mul", (w, found[x])))
        return terms
    return [derivative(code, op, number, found[x], args, i, k) for number, x in enumerate(args) if x in found]
