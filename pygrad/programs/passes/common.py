"""Computes once what is computed more than once: the same op on the same operands with the same constant.

Changes the order in which derivatives would be added: for code that is not to be differentiated any more. Does not
know any algebra, but that a + b and a * b are b + a and b * a; a nan's payload may then be the other operand's.
"""

from __future__ import annotations

from typing import Any

from ..code import EFFECTS, Code
from ..flat import kept

_COMMUTATIVE = frozenset({"add", "mul"})


def common_subexpressions(code: Code) -> Code:
    """Each value computed once, where it is computed first. Instructions with effects are all kept."""
    ops, ks = code.ops, code.ks
    same: dict[int, int] = {}  # the value that is used for a value, where that is another
    merged = same.keys()
    seen: dict[Any, int] = {}
    first = seen.setdefault
    for i, args in enumerate(code.args):
        op, k = ops[i], ks[i]
        if not merged.isdisjoint(args):
            args = tuple([same.get(x, x) for x in args])
        if op in _COMMUTATIVE and args[1] < args[0]:
            key: tuple[Any, ...] = (op, args[::-1], k)
        elif op in EFFECTS:
            continue
        elif type(k) is float:
            key = (op, args, k.hex())  # 0.0 == -0.0, but they are two
        else:
            key = (op, args, k)
        found = first(key, i)
        if found != i:
            same[i] = found
    if not same:
        return code.copy()
    keep = bytearray(b"\1") * len(code)
    for i in same:
        keep[i] = 0
    return kept(code, keep, [same.get(i, i) for i in range(len(code))])
