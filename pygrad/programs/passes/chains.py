"""Chains of subtractions: ((a - b) - c) + ... becomes ((a + -b) + -c) + ..., which is the same to the last bit.

IEEE 754 defines x - y as x + (-y). Where many terms are subtracted one after the other they become a sum, and the
negations one of many like them. Short chains stay as they are, for a negation costs an instruction.
"""

from __future__ import annotations

from ..code import Code
from ._users import only_users


def add_negated(code: Code, shortest: int = 4) -> Code:
    """Chains of additions and subtractions with at least `shortest` operands, with additions only."""
    user = only_users(code)
    ops, all_args = code.ops, code.args
    length = [0] * len(code)  # of the chain that ends here; of the whole chain, after the second loop
    for i, op in enumerate(ops):
        if op in ("add", "sub"):
            x = all_args[i][0]
            length[i] = 1 + (length[x] if user[x] == i else 0)
    for i in range(len(code) - 1, -1, -1):
        if length[i] > 1:
            x = all_args[i][0]
            if user[x] == i and length[x]:
                length[x] = length[i]
    new = Code()
    at: list[int] = []
    for i, (op, args, k) in enumerate(zip(ops, all_args, code.ks)):
        operands = tuple([at[x] for x in args])
        if op == "sub" and length[i] >= shortest - 1:
            op, operands = "add", (operands[0], new.add("neg", operands[1:]))
        at.append(new.add(op, operands, k))
    new.outputs = [at[i] for i in code.outputs]
    return new
