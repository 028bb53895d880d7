"""Computes once what is computed more than once: the same op on the same operands with the same constant.

Changes the order in which derivatives would be added: for code that is not to be differentiated any more. Does not
know any algebra, but that a + b and a * b are b + a and b * a; a nan's payload may then be the other operand's.
"""

from __future__ import annotations

from typing import Any

from ..code import EFFECTS, Code

_COMMUTATIVE = frozenset({"add", "mul"})


def common_subexpressions(code: Code) -> Code:
    """Each value computed once, where it is computed first. Instructions with effects are all kept."""
    new = Code()
    ops, ks = code.ops, code.ks
    add_op, add_args, add_k = new.ops.append, new.args.append, new.ks.append
    number: list[int] = []  # new numbers of the old
    place, add_number = number.__getitem__, number.append
    seen: dict[Any, int] = {}
    count = 0
    for i, old in enumerate(code.args):
        op, k = ops[i], ks[i]
        args = tuple(map(place, old))
        if op in _COMMUTATIVE and args[1] < args[0]:
            key: tuple[Any, ...] = (op, args[::-1], k)
        elif type(k) is float:
            key = (op, args, k.hex())  # 0.0 == -0.0, but they are two
        else:
            key = (op, args, k)
        found = count if op in EFFECTS else seen.setdefault(key, count)
        add_number(found)
        if found == count:
            add_op(op)
            add_args(args)
            add_k(k)
            count += 1
    new.outputs = [number[i] for i in code.outputs]
    return new
