"""Vector instructions: which instructions of a code run as one, over neighbouring slots.

Dot products with shared weights over the same values become a dense layer, the effects on their weights an outer
product, and the same op on neighbours (the activations of a layer) one instruction. Everything else is a bundle of one.
Nothing is computed differently; only what runs together is decided here. Slots are given out in slots.py.

A value has a coordinate in its bundle, and stands in the bundle's slots by ascending coordinate. Two instructions go
together if their operands are the same, or have coordinates one apart in each of their bundles, all in the same
direction: so reverse sweeps, which visit a layer from its last neuron to the first, meet the bundles of the forward
sweep.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Sequence
from itertools import chain
from operator import attrgetter
from typing import Any

import numpy as np

from .code import SHARED, Code
from .flat import flat

Run = tuple[int, ...]
"""Values that an instruction needs in neighbouring slots, in this order."""


class Bundle:
    """One vector instruction.

    kind: 'load' (inputs, seeds), 'map' (an elementwise op), 'dense', 'outer', 'accumulate', 'sum', 'dot', 'logsumexp',
    'pick', 'dpick'; and from slots.py 'fill' and 'copy'. members: what is computed, in slot order; None where nothing
    asks for it. operands: the runs it reads. rows: of a dense bundle (start or None, weights), of an outer product the
    places in G, of accumulates their places. k: of fused ones what fuse.py says. repeat: bit j: operand j is one value
    for all members. last: the last of its instructions in the code. slot, end: set by slots.py.
    """

    __slots__ = ("end", "k", "kind", "last", "members", "op", "operands", "place", "repeat", "rows", "slot", "step")

    def __init__(self, kind: str, op: str, k: Any, members: list[Any], operands: Any = (), rows: Any = ()) -> None:
        self.kind, self.op, self.k = kind, op, k
        self.members, self.operands, self.rows = members, operands, rows
        self.last = 0
        self.repeat = 0
        self.step = 0  # while it is open: the direction of its coordinates, 0 before its second instruction
        self.place = -1  # while a dense bundle is open: of its first weight, in V
        self.slot = self.end = -1


def bundles(code: Code) -> list[Bundle]:
    """The vector instructions of a code, in an order in which they can run; loads first."""
    joiner = _Joiner(code)
    return _in_order(joiner, joiner.closed())


class _Joiner:
    """Goes through the code once; members are instructions, in the order in which they came, until closed()."""

    def __init__(self, code: Code) -> None:
        self.code = code
        self.ops, self.args, self.ks = code.ops, code.args, code.ks
        self.shared = [op in SHARED for op in code.ops]
        self.opened: list[Bundle] = []
        self.owner = [-1] * len(code)  # number of the bundle; -1: a shared leaf
        self.owner_of = self.owner.__getitem__
        self.last = list(range(len(code)))  # of an instruction: of its bundle, once that is closed
        self.coordinate = [0] * len(code)
        self.by_key: dict[Any, int] = {}
        self.targets: dict[int, set[int]] = {}  # places in G of each bundle of accumulates
        self.met: Counter[Any] = Counter()  # what must not be twice in a bundle
        ops, all_args, shared = code.ops, code.args, self.shared
        # how often a value is scaled by shared leaves, and what effects of one factor have in common
        self.scaled = Counter([_scaled(shared, args) for op, args in zip(ops, all_args) if op == "mul"])
        self.factors = Counter([x for op, args in zip(ops, all_args) if op == "outer" and len(args) == 2 for x in args])
        special = {
            "input": self.input, "dot": self.dot, "mul": self.mul, "outer": self.outer, "accumulate": self.accumulate,
            "dpick": self.dpick, "seed": self.alone, "sum": self.alone, "logsumexp": self.alone, "pick": self.alone,
        }  # fmt: skip
        elementwise = self.map
        for i, op in enumerate(ops):
            if not shared[i]:
                special.get(op, elementwise)(i)

    def begin(self, kind: str, i: int) -> int:
        """A new bundle with its first instruction."""
        opened = self.opened
        number = self.owner[i] = len(opened)
        opened.append(Bundle(kind, self.ops[i], self.ks[i], [i]))
        return number

    def join(self, kind: str, key: Any, i: int, coordinate: int = 0) -> None:
        """Into the bundle of this key, whatever the place."""
        number = self.by_key.get(key)
        if number is None:
            self.by_key[key] = self.begin(kind, i)
        else:
            self.opened[number].members.append(i)
            self.owner[i] = number
        self.coordinate[i] = coordinate

    def follow(self, number: int, i: int) -> None:
        """Into a bundle as the next in its direction."""
        mine = self.opened[number]
        self.owner[i] = number
        self.coordinate[i] = self.coordinate[mine.members[-1]] + mine.step
        mine.members.append(i)

    def is_next(self, number: int, args: tuple[int, ...]) -> bool:
        """Whether an instruction on these operands continues the bundle; its second one sets direction and repeats."""
        mine = self.opened[number]
        step, coordinate, owner = mine.step, self.coordinate, self.owner
        repeat = 0
        for j, (before, x) in enumerate(zip(self.args[mine.members[-1]], args)):
            if owner[x] < 0:
                continue
            if x == before:
                repeat |= 1 << j
                continue
            here = coordinate[x] - coordinate[before]
            if here not in (1, -1) or (step and here != step):
                return False
            step = here
        if len(mine.members) == 1:
            mine.step, mine.repeat = step or 1, repeat
        return repeat == mine.repeat

    # ---- by op ----

    def alone(self, i: int) -> None:
        self.begin("load" if self.ops[i] == "seed" else self.ops[i], i)

    def input(self, i: int) -> None:
        self.join("load", "input", i, self.ks[i])

    def map(self, i: int) -> None:
        """An elementwise op."""
        args = self.args[i]
        k = self.ks[i]
        if type(k) is float:
            k = k.hex()  # 0.0 == -0.0, but they are two
        key = (self.ops[i], k, *map(self.owner_of, args))
        number = self.by_key.get(key)
        if number is not None and self.is_next(number, args):
            self.follow(number, i)
        else:
            self.by_key[key] = self.begin("map", i)

    def mul(self, i: int) -> None:
        """Several products of one value and shared leaves are a layer with one input."""
        args = self.args[i]
        x = _scaled(self.shared, args)
        if x >= 0 and self.scaled[x] > 1:
            self.row(("dense", (x,)), args[0] if args[1] == x else args[1], i)
        else:
            self.map(i)

    def dot(self, i: int) -> None:
        """A row of a layer, if its weights and start are shared."""
        args = self.args[i]
        start = len(args) % 2
        shared = len(args) > 1
        for x in (*args[:start], *args[start::2]):
            if self.owner[x] >= 0:
                shared = False
                break
        if shared:
            self.row(("dense", args[start + 1 :: 2]), args[start], i)
        else:
            self.begin("dot", i)

    def row(self, key: Any, weight: int, i: int) -> None:
        """Of a layer. Coordinates follow the places of the weights."""
        place = -1 if self.ops[weight] == "constant" else self.ks[weight]
        number = self.by_key.get(key)
        if number is None:
            number = self.by_key[key] = self.begin("dense", i)
            self.opened[number].place = place
            return
        mine = self.opened[number]
        if mine.step == 0:
            mine.step = -1 if place < mine.place else 1
        self.follow(number, i)

    def outer(self, i: int) -> None:
        """With all of the same x; of a single x, rather with all of the same g."""
        args, places = self.args[i], self.ks[i]
        if len(args) == 2 and self.factors[args[0]] > self.factors[args[1]]:
            self.join("row", ("row", args[0], self.times((args[0], places[0]))), i)
        else:
            self.join("outer", ("outer", args[1:]), i)

    def accumulate(self, i: int) -> None:
        """With those of its neighbours, at other places."""
        args, place = self.args[i], self.ks[i]
        key = ("accumulate", self.owner[args[0]])
        number = self.by_key.get(key)
        again = number is not None and args == self.args[self.opened[number].members[-1]]
        if number is not None and not again and place not in self.targets[number] and self.is_next(number, args):
            self.follow(number, i)
        else:
            number = self.by_key[key] = self.begin("accumulate", i)
            self.targets[number] = set()
        self.targets[number].add(place)

    def dpick(self, i: int) -> None:
        """All classes of one pick."""
        args, (column, number_of_class) = self.args[i], self.ks[i]
        self.join("dpick", ("dpick", args, column, self.times((args, number_of_class, column))), i, number_of_class)

    def times(self, what: Any) -> int:
        """How often this was asked before: each time is another bundle's."""
        self.met[what] += 1
        return self.met[what] - 1

    # ---- at the end ----

    def closed(self) -> list[Bundle]:
        """The bundles, with members by ascending coordinate, their operands and rows."""
        self.by_key.clear()
        made: list[Bundle] = []
        all_args = self.args
        single = [(x,) for x in range(len(all_args))].__getitem__  # runs of one
        for mine in self.opened:
            instructions = mine.members
            kind = mine.kind
            if len(instructions) == 1:
                mine.last = i = instructions[0]
                if kind == "map":
                    mine.operands = list(map(single, all_args[i]))
                    made.append(mine)
                    continue
            else:
                self.end(mine, instructions)
                if mine.step < 0 or mine.op == "input":
                    instructions.sort(key=self.coordinate.__getitem__)
            if kind == "map":
                runs = zip(*[all_args[i] for i in instructions])
                mine.operands = [run[:1] if mine.repeat >> j & 1 else run for j, run in enumerate(runs)]
            elif kind == "outer":
                made += self.outer_products(mine)
                continue
            elif kind != "load":
                getattr(self, f"close_{kind}")(mine, instructions)
            made.append(mine)
        return made

    def end(self, mine: Bundle, instructions: list[int]) -> None:
        """Notes which of these instructions of a bundle is the last."""
        mine.last = max(instructions)
        for i in instructions:
            self.last[i] = mine.last

    def close_terms(self, mine: Bundle, instructions: list[int]) -> None:
        mine.operands = [(x,) for x in self.args[instructions[0]]]

    close_sum = close_dot = close_logsumexp = close_terms

    def close_pick(self, mine: Bundle, instructions: list[int]) -> None:
        mine.operands = [self.args[instructions[0]]]

    def close_dense(self, mine: Bundle, instructions: list[int]) -> None:
        mine.rows = []
        for i in instructions:
            args = self.args[i]
            start = len(args) % 2
            if self.ops[i] == "mul" and self.owner[args[0]] >= 0:
                args = args[::-1]
            mine.rows.append((args[0] if start else None, args[start::2]))
        mine.operands = [args[start + 1 :: 2]]

    def close_dpick(self, mine: Bundle, instructions: list[int]) -> None:
        """A slot for every class up to the last."""
        classes = [self.ks[i][1] for i in instructions]
        members: list[int | None] = [None] * (1 + max(classes))
        for i, number in zip(instructions, classes):
            members[number] = i
        mine.k, mine.members, mine.operands = mine.k[0], members, [self.args[instructions[0]]]

    def close_accumulate(self, mine: Bundle, instructions: list[int]) -> None:
        mine.operands = [tuple([self.args[i][0] for i in instructions])]
        mine.rows = [self.ks[i] for i in instructions]
        mine.members = []

    def close_row(self, mine: Bundle, instructions: list[int]) -> None:
        """An outer product with one g."""
        instructions.sort(key=self.ks.__getitem__)
        xs = tuple([self.args[i][1] for i in instructions])
        mine.kind, mine.k, mine.operands = "outer", None, [self.args[instructions[0]][:1], xs]
        mine.rows = [[self.ks[i][0] for i in instructions]]
        mine.members = []

    def outer_products(self, mine: Bundle) -> list[Bundle]:
        """As one if the places in G are all different and lie in rows and columns: place = row + column; else row by
        row, and a row with a place twice number by number."""
        ks, all_args = self.ks, self.args
        instructions = sorted(mine.members, key=ks.__getitem__)
        places = [ks[i] for i in instructions]
        first, xs = places[0], all_args[instructions[0]][1:]
        offsets = [p - first[0] for p in first]
        regular = all(tuple([row[0] + o for o in offsets]) == row for row in places)
        groups: list[tuple[list[int], Run, list[Run]]] = []
        if regular and len({p for row in places for p in row}) == len(places) * len(first):
            groups.append((instructions, xs, places))
        else:
            for i, row in zip(instructions, places):
                if len(set(row)) == len(row):
                    groups.append(([i], xs, [row]))
                else:
                    groups += [([i], (x,), [(place,)]) for x, place in zip(xs, row)]
        made = []
        for some, across, rows in groups:
            made.append(Bundle("outer", "outer", None, [], [tuple([all_args[i][0] for i in some]), across], rows))
            self.end(made[-1], some)
        return made


def _scaled(shared: list[bool], args: tuple[int, ...]) -> int:
    """The value in a product of one and a shared leaf; -1 if it is none."""
    x, y = args
    return -1 if shared[x] == shared[y] else y if shared[x] else x


def offsets(places: Sequence[Sequence[int]]) -> tuple[list[int], list[int]] | None:
    """rows, cols with places[r][j] == rows[r] + cols[j], all of them >= 0; None where there are none."""
    table = np.array(places, np.int64)
    least = table[0].min()
    cols = table[0] - least
    rows = table[:, 0] - cols[0]
    if rows.min() < 0 or (rows[:, None] + cols != table).any():
        return None
    return rows.tolist(), cols.tolist()


# ---- order ----


def _in_order(joiner: _Joiner, made: list[Bundle]) -> list[Bundle]:
    """Each after those it needs, loads first, otherwise in the order of the code."""
    loads = [bundle for bundle in made if bundle.kind == "load"]
    others = [bundle for bundle in made if bundle.kind != "load"]
    others.sort(key=attrgetter("last"))
    last = np.array(joiner.last)
    for bundle in loads:
        last[bundle.members] = -1
    operands, widths = flat(joiner.code)
    users = np.repeat(last, widths)
    return loads + (_by_need(others, loads, joiner) if (last[operands] >= users).any() else others)


def _by_need(others: list[Bundle], loads: list[Bundle], joiner: _Joiner) -> list[Bundle]:
    """Of those whose operands are there, always the one that ends first in the code."""
    owner, all_args = joiner.owner, joiner.args
    there = bytearray(joiner.shared)  # which values are
    for bundle in loads:
        for i in bundle.members:
            there[i] = 1
    needs = [
        all_args[bundle.last] if len(bundle.members) == 1 else tuple(chain.from_iterable(bundle.operands))
        for bundle in others
    ]
    waiting: dict[int, list[int]] = {}  # by bundle those that need a value of it, and were not looked at any further
    order: list[Bundle] = []
    for number in range(len(others)):
        ready = [number]  # or so it may be
        while ready:
            number = heapq.heappop(ready)
            for x in needs[number]:
                if not there[x]:
                    waiting.setdefault(owner[x], []).append(number)
                    break
            else:
                bundle = others[number]
                order.append(bundle)
                for i in bundle.members:
                    if i is not None:
                        there[i] = 1
                for other in waiting.pop(owner[bundle.last], ()):
                    heapq.heappush(ready, other)
    return order
