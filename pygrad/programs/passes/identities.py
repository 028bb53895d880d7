"""Drops operations that give back their operand to the last bit, whatever it is: signed zeros, infinities and nans.

x * 1, x / 1, x ** 1, -(-x), x - 0.0, x + -0.0, a sum of one operand, the derivatives g of x + y and of x - y by x.
Not x + 0.0 nor x - -0.0, which are 0.0 for x = -0.0; nor x * 0, x - x, x / x. It moves uses of an operand to other
places, and with them derivatives: for code that is not to be differentiated any more.
"""

from __future__ import annotations

from math import copysign
from typing import Any

from ..code import Code
from .dead import dead_code

_ITS_GRADIENT = frozenset({"d0:add", "d1:add", "d0:sub"})
_BY_A_CONSTANT = frozenset({"mul", "add", "sub", "div", "pow"})


def _operand_given_back(op: str, args: tuple[int, ...], k: Any, code: Code, all_args: list[tuple[int, ...]]) -> int:
    """The operand that the instruction always equals, or -1."""
    ops, ks = code.ops, code.ks
    x, y = args[0], args[-1]
    second = ks[y] if ops[y] == "constant" else None
    if second is None and op in _BY_A_CONSTANT and ops[x] != "constant":
        return -1
    if op == "mul":
        if second == 1.0:
            return x
        return y if ops[x] == "constant" and ks[x] == 1.0 else -1
    if op == "add":
        if second == 0.0 and copysign(1.0, second) < 0.0:
            return x
        return y if ops[x] == "constant" and ks[x] == 0.0 and copysign(1.0, ks[x]) < 0.0 else -1
    if op == "sub":
        return x if second == 0.0 and copysign(1.0, second) > 0.0 else -1
    if op == "div":
        return x if second == 1.0 else -1
    if op == "pow":
        return x if second == 1.0 else -1
    if op == "pow_const":
        return x if k == 1.0 else -1
    if op == "neg":
        return all_args[x][0] if ops[x] == "neg" else -1
    if op == "sum":
        return x if len(args) == 1 else -1
    return x if op in _ITS_GRADIENT else -1


_OPS = frozenset({"mul", "add", "sub", "div", "pow", "pow_const", "neg", "sum"}) | _ITS_GRADIENT


def drop_identities(code: Code) -> Code:
    """Operands in place of what equals them, and no dead code."""
    ops, ks = code.ops, code.ks
    same: dict[int, int] = {}  # the value that is used for a value, where that is another
    changed = same.keys()
    all_args = list(code.args)
    for i, args in enumerate(code.args):
        if not changed.isdisjoint(args):
            args = all_args[i] = tuple([same.get(x, x) for x in args])
        if ops[i] in _OPS and args:
            x = _operand_given_back(ops[i], args, ks[i], code, all_args)
            if x >= 0:
                same[i] = x
    return dead_code(Code(ops, all_args, ks, [same.get(i, i) for i in code.outputs]))
