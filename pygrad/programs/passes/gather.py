"""Gathers chains: ((a + b) + c) + ... becomes one sum, (b + w0 * x0) + w1 * x1 ... one dot product.

Both add from the left to the right, so values stay as they are; and derivatives, which are taken later, must too. The
reverse sweep visits instructions from the last to the first, and a value's gradient is the sum of what its uses add to
it, in that order. A gathered instruction stands where the last addition of its chain did: there its operands are used
now, and not where the chain's other parts were. That changes no gradient if

  - between the place where the chain used an operand and its new one, nothing else uses that operand;
  - uses of one operand by one gathered instruction stay in their order, or add the same. The sweep met the chain's
    later parts first; it meets a dot product's weights first, then its start, then its inputs (_WEIGHT < ...).

Constants have no gradient, and no order. Absorbed are only values that nothing else uses, outputs least of all.
Chains are followed through the code from its first instruction on: a chain that can't be prolonged ends, and the
next one starts with it. Does not change the association of additions: a + (b + c) stays.
"""

from __future__ import annotations

from ..code import LEAVES, SHARED, Code
from ._users import only_users
from .dead import dead_code

_WEIGHT, _START, _INPUT = 0, 1, 2
"""Which operands of a dot product the reverse sweep meets first. All of a sum's add the same: they have no order."""


def gather_sums(code: Code, shortest: int = 3) -> Code:
    """Chains of additions with at least `shortest` operands as 'sum' instructions, and no dead code.

    What a chain's operands compute stays, be it a product: gather_products should come before.
    """
    ops, all_args = list(code.ops), list(code.args)
    n = len(ops)
    user = only_users(code)
    user_chain: list[int] = [n] * (n + 1)  # the last instruction that used a value: its chain; n: none
    ended = bytearray(n + 1)  # chains that can't be prolonged: something else used an operand
    chain_to = [n] * n  # the chain whose last addition this is
    chains: dict[int, list[int]] = {}
    last: dict[int, int] = {}  # where a chain is
    for i, op in enumerate(ops):
        args = all_args[i]
        if op != "add":
            for a in args:
                ended[user_chain[a]] = 1
            continue
        x, y = args
        chain, added = chain_to[x], y
        if chain == n or user[x] != i or ended[chain]:
            chain, added = chain_to[y], x
            if chain == n or user[y] != i or ended[chain]:
                chain, added = i, y
                chains[i] = [x]
                ended[user_chain[x]] = 1
                if ops[x] != "constant":
                    user_chain[x] = i
        chains[chain].append(added)
        last[chain] = i
        chain_to[i] = chain
        if user_chain[added] != chain:
            ended[user_chain[added]] = 1
        if ops[added] != "constant":
            user_chain[added] = chain
    for chain, operands in chains.items():
        if len(operands) >= shortest and len(operands) > 2:
            ops[last[chain]] = "sum"
            all_args[last[chain]] = tuple(operands)
    return dead_code(Code(ops, all_args, code.ks, code.outputs))


def _keep_order(earlier: int, later: int) -> bool:
    """Whether one dot product may hold an operand of two parts of a chain: of an earlier one in the role `earlier`,
    of a later one in the role `later`. The sweep met the later part first, and must meet its role first."""
    return later < earlier


def gather_products(code: Code, shortest: int = 2) -> Code:
    """Sums of products with at least `shortest` of these as 'dot' instructions, and no dead code.

    The sum is a chain of additions or a 'sum' instruction; its first operand need not be a product. A product's weight
    is its operand that all samples share, if one only is that; else its first operand.
    """
    ops, all_args = list(code.ops), list(code.args)
    n = len(ops)
    user = only_users(code)
    # A group is a product that may become part of a chain, or a chain; its number is that of its first instruction.
    group = list(range(n + 1))  # of an instruction
    last = list(range(n + 1))  # instruction of a group
    ended = bytearray(n + 1)  # groups that can't become more: something else used an operand
    holder = [n] * (n + 1)  # the last instruction that used a value, if its group may become more; n: none
    role = bytearray(n + 1)  # as what that one used it
    shared = bytearray(n)  # the same for all samples
    products: dict[int, tuple[int, int]] = {}
    chains: dict[int, list[int]] = {}
    for i, op in enumerate(ops):
        args = all_args[i]
        if op in LEAVES:
            shared[i] = op in SHARED
            continue
        if len(args) == 2:
            x, y = args
            shared[i] = shared[x] & shared[y]
        else:
            shared[i] = all(map(shared.__getitem__, args))
        parts: tuple[int, ...] = ()  # products that become part of a chain here
        if op == "mul":
            to = user[i]
            if to >= 0 and (ops[to] == "add" or ops[to] == "sum"):
                if shared[y] > shared[x]:
                    x, y = y, x
                products[i] = x, y
                for a, its in ((y, _INPUT), (x, _WEIGHT)):
                    owner = group[holder[a]]
                    if user[last[owner]] != to or not _keep_order(role[a], its):
                        ended[owner] = 1
                    if ops[a] != "constant":
                        holder[a] = i
                        role[a] = its
                continue
        elif op == "add":
            if y not in products:
                x, y = y, x
            chain = group[x]
            if y in products and not ended[y]:
                if chain in chains and last[chain] == x and user[x] == i and not ended[chain]:
                    chains[chain] += products[y]
                    group[y] = group[i] = chain
                    last[chain] = i
                    continue
                start, parts = (-1, args) if x in products else (x, (y,))
        elif op == "sum":
            start, parts = (-1, args) if args and args[0] in products else (args[0], args[1:]) if args else (-1, ())
        elif op == "pick" or op == "dpick":
            shared[i] = 0
        if parts and all(part in products and not ended[part] for part in parts):
            operands: list[int] = []
            follows = True
            if start >= 0:
                operands.append(start)
                owner = group[holder[start]]
                if user[last[owner]] != i:
                    ended[owner] = 1
                else:
                    follows = _keep_order(role[start], _START)
                if follows and ops[start] != "constant":
                    holder[start] = i
                    role[start] = _START
            if follows:
                for part in parts:
                    operands += products[part]
                    group[part] = i
                chains[i] = operands
                continue
        for a in args:
            ended[group[holder[a]]] = 1
    for chain, operands in chains.items():
        if len(operands) >= 2 * shortest:
            ops[last[chain]] = "dot"
            all_args[last[chain]] = tuple(operands)
    return dead_code(Code(ops, all_args, code.ks, code.outputs))
