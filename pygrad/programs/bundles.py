"""Vector instructions: which instructions of a code run as one, over neighbouring slots.

Dot products with shared weights over the same values become a dense layer, the effects on their weights an outer
product, and the same op on neighbours (the activations of a layer) one instruction. Everything else is a bundle of one.
Nothing is computed differently; only what runs together is decided here. Slots are given out in slots.py.

A member of a bundle has a coordinate, and its members stand in its slots by ascending coordinate. Two instructions go
together if their operands have coordinates one apart in each of their bundles, all in the same direction: so reverse
sweeps, which visit a layer from its last neuron to the first, meet the bundles of the forward sweep.
"""

from __future__ import annotations

import heapq
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from .code import EFFECTS, SHARED, Code

Run = tuple[int, ...]
"""Values that an instruction needs in neighbouring slots, in this order."""


@dataclass
class Bundle:
    """One vector instruction.

    kind: 'load' (inputs, seeds), 'map' (an elementwise op), 'dense', 'outer', 'accumulate', 'sum', 'dot', 'logsumexp', 'pick',
    'dpick'; from arrange(): 'fill', 'copy'.
    """

    kind: str
    op: str
    k: Any = None
    members: list[int | None] = field(default_factory=list)  # what is computed, in slot order
    operands: list[Run] = field(default_factory=list)
    rows: list[Any] = field(default_factory=list)  # dense: (start, weights); outer: places
    last: int = 0  # the last of its instructions in the code


class _Open:
    """A bundle that instructions still join."""

    def __init__(self, kind: str, op: str, k: Any) -> None:
        self.kind, self.op, self.k = kind, op, k
        self.instructions: list[int] = []
        self.step = 0
        self.first_weight = -1


def bundles(code: Code) -> list[Bundle]:
    """The vector instructions of a code, in an order in which they can run; loads first."""
    return _in_order(code, _joined(code))


def _joined(code: Code) -> list[_Open]:
    ops, all_args, ks = code.ops, code.args, code.ks
    opened: list[_Open] = []
    at: dict[int, tuple[int, int]] = {}  # value: bundle, coordinate
    by_key: dict[Any, int] = {}
    targets: dict[int, set[int]] = {}  # places in G of each bundle of accumulates
    scaled = Counter([_scaled(code, args) for op, args in zip(ops, all_args) if op == "mul"])
    factors = Counter([x for op, args in zip(ops, all_args) if op == "outer" and len(args) == 2 for x in args])
    met: Counter[tuple[int, int]] = Counter()  # g, place
    picked: Counter[Any] = Counter()

    def begin(kind: str, op: str, k: Any, i: int) -> int:
        opened.append(_Open(kind, op, k))
        opened[-1].instructions.append(i)
        at[i] = (len(opened) - 1, 0)
        return len(opened) - 1

    for i, op in enumerate(ops):
        if op in SHARED:
            continue
        args = all_args[i]
        if op == "input":
            key = ("input",)
            number = by_key.get(key)
            if number is None:
                by_key[key] = begin("load", op, None, i)
            else:
                opened[number].instructions.append(i)
            at[i] = (by_key[key], ks[i])
        elif op == "seed":
            begin("load", op, ks[i], i)
        elif op == "dot":
            start = len(args) % 2
            if len(args) > 1 and all([ops[x] in SHARED for x in (*args[:start], *args[start::2])]):
                key = ("dense", args[start + 1 :: 2])
                _join_dense(code, opened, at, by_key, begin, key, i, args[start])
            else:
                begin("dot", op, None, i)
        elif op == "mul" and scaled[x := _scaled(code, args)] > 1 and x >= 0:  # a column of weights: a layer on one value
            weight = args[0] if args[1] == x else args[1]
            _join_dense(code, opened, at, by_key, begin, ("dense", (x,)), i, weight)
        elif op == "outer" and len(args) == 2 and factors[args[0]] > factors[args[1]]:  # a row: one g, many x
            (place,) = ks[i]
            key = ("row", args[0], met[args[0], place])
            met[args[0], place] += 1
            number = by_key.get(key)
            if number is None:
                by_key[key] = begin("row", op, None, i)
            else:
                opened[number].instructions.append(i)
        elif op == "outer":
            key = ("outer", args[1:])
            number = by_key.get(key)
            if number is None:
                by_key[key] = begin("outer", op, None, i)
            else:
                opened[number].instructions.append(i)
        elif op == "accumulate":
            where = [at.get(args[0])]
            key = (op, where[0] and where[0][0])
            number = by_key.get(key)
            if number is None or ks[i] in targets[number] or not _next_to(opened[number], all_args, at, i, where):
                number = by_key[key] = begin("accumulate", op, None, i)
                targets[number] = set()
            else:
                at[i] = (number, at[opened[number].instructions[-1]][1] + opened[number].step)
                opened[number].instructions.append(i)
            targets[number].add(ks[i])
        elif op == "dpick":
            column, number_of_class = ks[i]
            key = ("dpick", args, column, picked[args, ks[i]])
            picked[args, ks[i]] += 1
            if key not in by_key:
                by_key[key] = begin("dpick", op, column, i)
            else:
                opened[by_key[key]].instructions.append(i)
            at[i] = (by_key[key], number_of_class)
        elif op in ("sum", "logsumexp", "pick"):
            begin(op, op, ks[i], i)
        else:
            where = [at.get(x) for x in args]
            key = (op, ks[i], *[None if w is None else w[0] for w in where])
            number = by_key.get(key)
            if number is None or not _next_to(opened[number], all_args, at, i, where):
                by_key[key] = begin("map", op, ks[i], i)
            else:
                mine = opened[number]
                at[i] = (number, at[mine.instructions[-1]][1] + mine.step)
                mine.instructions.append(i)
    _close(opened, code, at)
    return opened


def _scaled(code: Code, args: tuple[int, ...]) -> int:
    """The value in a product of one and a shared leaf; -1 if it is none."""
    x, y = args
    one, other = code.ops[x] in SHARED, code.ops[y] in SHARED
    return -1 if one == other else y if one else x


def _join_dense(
    code: Code, opened: list[_Open], at: dict[int, tuple[int, int]], by_key: dict[Any, int], begin: Any, key: Any, i: int,
    weight: int,
) -> None:  # fmt: skip
    """A row of a dense layer. Coordinates follow the places of the weights."""
    place = code.ks[weight] if code.ops[weight] != "constant" else -1
    number = by_key.get(key)
    if number is None:
        number = by_key[key] = begin("dense", "dot", None, i)
        opened[number].first_weight = place
        return
    mine = opened[number]
    if mine.step == 0:
        mine.step = -1 if place < mine.first_weight else 1
    at[i] = (number, at[mine.instructions[-1]][1] + mine.step)
    mine.instructions.append(i)


def _next_to(
    mine: _Open, all_args: list[tuple[int, ...]], at: dict[int, tuple[int, int]], i: int, where: list[tuple[int, int] | None]
) -> bool:
    """Whether instruction i continues the bundle: sets the bundle's direction with its second instruction."""
    step = mine.step
    for before, now in zip(all_args[mine.instructions[-1]], where):
        if now is None:
            continue
        here = now[1] - at[before][1]
        if here not in (1, -1) or (step and here != step):
            return False
        step = here
    mine.step = step or 1
    return True


def _close(opened: list[_Open], code: Code, at: dict[int, tuple[int, int]]) -> None:
    """Instructions by ascending coordinate; the targets of an outer product all different and in rows and columns."""
    for mine in opened:
        if mine.step < 0 or mine.kind == "load":
            mine.instructions.sort(key=lambda i: at[i][1])
        elif mine.kind in ("outer", "row"):
            mine.instructions.sort(key=lambda i: code.ks[i])


def _in_order(code: Code, opened: list[_Open]) -> list[Bundle]:
    """Each after those it needs, otherwise in the order of the code."""
    made: list[Bundle] = []
    owner: dict[int, int] = {}
    for mine in opened:
        for bundle in _finished(code, mine):
            for i in bundle.members:
                if i is not None:
                    owner[i] = len(made)
            made.append(bundle)
    waiting = [0] * len(made)
    users: list[list[int]] = [[] for _ in made]
    for number, bundle in enumerate(made):
        needed = {owner[x] for run in bundle.operands for x in run if x in owner}
        waiting[number] = len(needed)
        for other in needed:
            users[other].append(number)
    ready = [(-1 if b.kind == "load" else b.last, number) for number, b in enumerate(made) if not waiting[number]]
    heapq.heapify(ready)
    order = []
    while ready:
        _, number = heapq.heappop(ready)
        order.append(made[number])
        for other in users[number]:
            waiting[other] -= 1
            if not waiting[other]:
                heapq.heappush(ready, (made[other].last, other))
    return order


def _finished(code: Code, mine: _Open) -> list[Bundle]:
    """The bundle, or the bundles where its effects do not fit into one."""
    instructions, all_args, ks = mine.instructions, code.args, code.ks
    bundle = Bundle(mine.kind, mine.op, mine.k, last=max(instructions))
    if mine.kind == "load":
        bundle.members = list(instructions)
    elif mine.kind == "map":
        bundle.members = list(instructions)
        bundle.operands = list(zip(*[all_args[i] for i in instructions]))
    elif mine.kind == "dense":
        bundle.members = list(instructions)
        for i in instructions:
            args = all_args[i]
            start = len(args) % 2
            if code.ops[i] == "mul":
                x = _scaled(code, args)
                args = (args[0] if args[1] == x else args[1], x)
            bundle.rows.append((args[0] if start else None, args[start::2]))
        bundle.operands = [args[start + 1 :: 2]]
    elif mine.kind == "dpick":
        members: list[int | None] = [None] * (1 + max(ks[i][1] for i in instructions))
        for i in instructions:
            members[ks[i][1]] = i
        bundle.members, bundle.operands = members, [all_args[instructions[0]]]
    elif mine.kind == "outer":
        return _outer_products(code, instructions)
    elif mine.kind == "row":
        places = [ks[i][0] for i in instructions]
        xs = tuple([all_args[i][1] for i in instructions])
        bundle.kind, bundle.operands, bundle.rows = "outer", [all_args[instructions[0]][:1], xs], [places]
    elif mine.kind == "accumulate":
        bundle.operands = [tuple([all_args[i][0] for i in instructions])]
        bundle.rows = [ks[i] for i in instructions]
    else:  # one instruction
        (i,) = instructions
        args = all_args[i]
        bundle.members = [i]
        bundle.operands = [args] if mine.kind == "pick" else [(x,) for x in args]
    return [bundle]


def _outer_products(code: Code, instructions: list[int]) -> list[Bundle]:
    """As one if the places in G are all different and lie in rows and columns: place = row + column; else row by row,
    and a row with a place twice number by number."""
    places = [code.ks[i] for i in instructions]
    first = places[0]
    offsets = [p - first[0] for p in first]
    regular = all([all([p - row[0] == o for p, o in zip(row, offsets)]) for row in places])
    if regular and len({p for row in places for p in row}) == len(places) * len(first):
        groups = [(instructions, code.args[instructions[0]][1:], places)]
    else:
        groups = []
        for i, row in zip(instructions, places):
            xs = code.args[i][1:]
            if len(set(row)) == len(row):
                groups.append(([i], xs, [row]))
            else:
                groups += [([i], (x,), [(place,)]) for x, place in zip(xs, row)]
    return [
        Bundle("outer", "outer", operands=[tuple([code.args[i][0] for i in some]), xs], rows=rows, last=max(some))
        for some, xs, rows in groups
    ]


def effects(code: Code) -> set[int]:
    """The outputs of a code that are no values."""
    return {i for i in code.outputs if code.ops[i] in EFFECTS}
