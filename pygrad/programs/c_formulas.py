"""The formulas of the op table as C text: those of csrc/ops.h, for programs that are written out as C.

x and y are operands, k the constant of an op that has one, z the result, g its derivative. A test compares the texts
with csrc/ops.h; whoever changes a formula there changes it here. Knows nothing of programs.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Formula(NamedTuple):
    """An op's value and its derivatives by the first and the second operand."""

    value: str
    dx: str
    dy: str = ""


FORMULAS = {
    "neg": Formula("-x", "-g"),
    "add": Formula("x + y", "g", "g"),
    "sub": Formula("x - y", "g", "-g"),
    "mul": Formula("x * y", "g * y", "g * x"),
    "div": Formula("x / y", "g / y", "-(g * ((x / y) / y))"),
    "pow_const": Formula("pow(x, k)", "k == 0.0 ? 0.0 : g * (k * pow(x, k - 1.0))"),
    "pow": Formula(
        "pow(x, y)", "y == 0.0 ? 0.0 : g * (y * pow(x, y - 1.0))", "x == 0.0 && y >= 0.0 ? 0.0 : g * (z * log(x))"
    ),
    "exp": Formula("exp(x)", "g * z"),
    "log": Formula("log(x)", "g / x"),
    "sqrt": Formula("sqrt(x)", "g / (2.0 * z)"),
    "sin": Formula("sin(x)", "g * cos(x)"),
    "cos": Formula("cos(x)", "-(g * sin(x))"),
    "tanh": Formula("tanh(x)", "g * (1.0 - z * z)"),
    "sigmoid": Formula("sigmoid(x)", "g * (z * (1.0 - z))"),
    "softplus": Formula("softplus(x)", "g * sigmoid(x)"),
    "relu": Formula("x < 0.0 ? 0.0 : x", "z > 0.0 ? g : 0.0"),
    "leaky_relu": Formula("x > 0.0 ? x : k * x", "x > 0.0 ? g : g * k"),
    "elu": Formula("x > 0.0 ? x : k * expm1(x)", "x > 0.0 ? g : g * (k * exp(x))"),
    "silu": Formula("x * sigmoid(x)", "g * (sigmoid(x) * (1.0 + x * (1.0 - sigmoid(x))))"),
    "gelu": Formula("x * normal_cdf(x)", "g * (normal_cdf(x) + x * normal_pdf(x))"),
    "abs": Formula("fabs(x)", "g * sign(x)"),
    "maximum": Formula(
        "x >= y || isnan(x) ? x : y", "x == y ? 0.5 * g : x < y ? 0.0 : g", "x == y ? 0.5 * g : x > y ? 0.0 : g"
    ),
    "minimum": Formula(
        "x <= y || isnan(x) ? x : y", "x == y ? 0.5 * g : x > y ? 0.0 : g", "x == y ? 0.5 * g : x < y ? 0.0 : g"
    ),
    "logsumexp": Formula("isinf(m) ? m : m + log(s)", "g * exp(x - z)"),
    "erf": Formula("erf(x)", "g * (1.1283791670955126 * exp(-(x * x)))"),
    "erfc": Formula("erfc(x)", "g * (-1.1283791670955126 * exp(-(x * x)))"),
}

HELPERS = {
    "sigmoid": "if (x >= 0.0) return 1.0 / (1.0 + exp(-x)); double e = exp(x); return e / (1.0 + e);",
    "softplus": "return x > 0.0 ? x + log1p(exp(-x)) : log1p(exp(x));",
    "normal_cdf": "return 0.5 * erfc(-x * 0.7071067811865476);",
    "normal_pdf": "return 0.3989422804014327 * exp(-0.5 * (x * x));",
    "sign": "return x > 0.0 ? 1.0 : x < 0.0 ? -1.0 : x;",
}
"""What several formulas share: bodies of functions of x."""

_VARIABLE = re.compile(r"\b[gxykz]\b")
_HELPER = re.compile(rf"\b({'|'.join(HELPERS)})\(")


class Functions:
    """The functions that formulas need in one C file, whose names begin with `prefix`: those that were asked for."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.text: dict[str, str] = {}

    def expression(self, op: str, which: int, operands: dict[str, str]) -> str:
        """The value (0), dx (1) or dy (2) of an op as an expression. operands: what g, x, y, k and z are; primary
        expressions without side effects."""
        formula = FORMULAS[op][which]
        if "?" in formula:
            used = [v for v in "gxykz" if re.search(rf"\b{v}\b", formula)]
            name = f"{self.prefix}_{op}{('', '_dx', '_dy')[which]}"
            if name not in self.text:
                declared = ", ".join(f"double {v}" for v in used)
                self.text[name] = f"static double {name}({declared}) {{ return {self._helped(formula)}; }}"
            return f"{name}({', '.join(operands[v] for v in used)})"
        return _VARIABLE.sub(lambda found: operands[found[0]], self._helped(formula))

    def _helped(self, formula: str) -> str:
        for name in _HELPER.findall(formula):
            body = HELPERS[name]
            self.text.setdefault(f"{self.prefix}_{name}", f"static double {self.prefix}_{name}(double x) {{ {body} }}")
        return _HELPER.sub(rf"{self.prefix}_\1(", formula)
