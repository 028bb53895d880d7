"""Drops the instructions that no output needs.

Does not look at what an instruction computes: what is done for its effect stands among the outputs, and is kept.
"""

from __future__ import annotations

from ..code import Code


def dead_code(code: Code) -> Code:
    """The instructions that outputs depend on, in their order; the outputs as they are, repeats too."""
    n, args = len(code.ops), code.args
    needed = bytearray(n)
    for i in code.outputs:
        needed[i] = 1
    for i in range(n - 1, -1, -1):
        if needed[i]:
            for a in args[i]:
                needed[a] = 1
    first = needed.find(0)
    if first < 0:
        return code.copy()
    ops, ks = code.ops, code.ks
    new = Code(ops[:first], args[:first], ks[:first])
    add_op, add_args, add_k = new.ops.append, new.args.append, new.ks.append
    number = list(range(n))  # new numbers of the old
    place = number.__getitem__
    count = first
    for i in range(first, n):
        if needed[i]:
            number[i] = count
            count += 1
            add_op(ops[i])
            add_args(tuple(map(place, args[i])))
            add_k(ks[i])
    new.outputs = [number[i] for i in code.outputs]
    return new
