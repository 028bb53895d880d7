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


def _operand_given_back(op: str, args: tuple[int, ...], k: Any, code: Code, all_args: list[tuple[int, ...]]) -> int:
    """The operand that the instruction always equals, or -1."""
    ops, ks = code.ops, code.ks
    x, y = args[0], args[-1]
    second = ks[y] if ops[y] == "constant" else None
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
    same = list(range(len(code)))  # the value that is used for a value
    place = same.__getitem__
    all_args: list[tuple[int, ...]] = []
    add_args = all_args.append
    ks = code.ks
    for i, (op, old) in enumerate(zip(code.ops, code.args, strict=True)):
        args = tuple(map(place, old))
        add_args(args)
        if op in _OPS and args:
            x = _operand_given_back(op, args, ks[i], code, all_args)
            if x >= 0:
                same[i] = x
    return dead_code(Code(code.ops, all_args, ks, [same[i] for i in code.outputs]))
