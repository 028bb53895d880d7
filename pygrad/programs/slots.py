"""Slots: where each value stands while a block of samples is computed.

Every operand of a vector instruction is a run of neighbouring slots. What does not stand so is brought there: shared
values by fills, which run once for all blocks and keep their slots, others by copies. Slots are then given out by
liveness: a bundle's slots are free again after the last bundle that reads them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from .bundles import Bundle, Run
from .code import SHARED, Code

REVERSIBLE = frozenset({"dense"})
"""Kinds whose first operand may stand in descending slots."""


class Place(NamedTuple):
    """Where an operand is: from a position in a bundle's slots on, upwards or downwards."""

    bundle: Bundle
    position: int
    down: bool

    @property
    def slot(self) -> int:
        """The slot of its first value."""
        return self.bundle.slot + self.position


@dataclass
class Layout:
    """Bundles in order, which now have their slots: the fills, which run first and once, and the body. operands: by
    position in body. outputs: where the values that were asked for are at the end. slots: how many there are."""

    prologue: list[Bundle]
    body: list[Bundle]
    operands: list[list[Place]]
    outputs: list[Place]
    slots: int


def lay_out(code: Code, order: list[Bundle], outputs: Iterable[int]) -> Layout:
    """Fills, copies and slots for bundles in order. outputs: values to be found in slots at the end."""
    arranged = _Arranged(code, order)
    ends = [arranged.single(i) for i in outputs]  # may need fills, too
    layout = Layout(arranged.prologue(), arranged.body, arranged.operands, ends, 0)
    _give_slots(layout)
    return layout


class _Arranged:
    """Bundles with the fills and copies that bring their operands together. end is then the last place in body where a
    bundle is read."""

    def __init__(self, code: Code, order: list[Bundle]) -> None:
        self.shared = [op in SHARED for op in code.ops]
        self.code = code
        self.places: list[Place | None] = [None] * len(code)
        self.fills: dict[Run, Bundle] = {}
        self.copies: dict[Run, Bundle] = {}
        self.body: list[Bundle] = []
        self.operands: list[list[Place]] = []
        places, single, run_of = self.places, self.single, self.run
        add, add_operands = self.body.append, self.operands.append
        for bundle in order:
            where: list[Place] = []
            for number, run in enumerate(bundle.operands):
                if len(run) == 1:
                    where.append(places[run[0]] or single(run[0]))
                else:
                    where.append(run_of(run, number == 0 and bundle.kind in REVERSIBLE))
            now = len(self.body)
            for used, _, _ in where:
                used.end = now
            add(bundle)
            add_operands(where)
            for position, i in enumerate(bundle.members):
                if i is not None:
                    places[i] = Place(bundle, position, False)

    def prologue(self) -> list[Bundle]:
        """The fills. Those of one value, which may stand anywhere, by their place in V: so one instruction does for
        neighbours."""
        ops, ks = self.code.ops, self.code.ks

        def place(run: Run) -> tuple[int, int]:
            op, k = ops[run[0]], ks[run[0]]
            if len(run) > 1:
                return 0, 0
            return (3, 0) if op == "constant" else (1 if op == "parameter" else 2, k)

        return [self.fills[run] for run in sorted(self.fills, key=place)]

    def fill(self, run: Run) -> Place:
        if run not in self.fills:
            self.fills[run] = Bundle("fill", "fill", None, list(run), [run])
        return Place(self.fills[run], 0, False)

    def single(self, x: int) -> Place:
        place = self.places[x]
        if place is None:
            assert self.shared[x]
            place = self.places[x] = self.fill((x,))
        return place

    def run(self, run: Run, reversible: bool) -> Place:
        """Where the values of a run stand one behind the other; a fill or a copy if they do not."""
        shared = [self.shared[x] for x in run]
        if all(shared):
            return self.fill(run)
        if run in self.copies:
            return Place(self.copies[run], 0, False)
        if not any(shared):
            bundle, position, _ = self.single(run[0])
            for step in (1, -1) if reversible else (1,):
                for j, x in enumerate(run):
                    other, here, _ = self.single(x)
                    if other is not bundle or here != position + step * j:
                        break
                else:
                    return Place(bundle, position, step < 0)
        copy = self.copies[run] = Bundle("copy", "copy", None, [None] * len(run), [(x,) for x in run])
        where = [self.single(x) for x in run]
        for used, _, _ in where:
            used.end = len(self.body)
        self.body.append(copy)
        self.operands.append(where)
        return Place(copy, 0, False)


def _give_slots(layout: Layout) -> None:
    """Fills keep theirs. Loads, which come first, are all loaded before anything runs."""
    body = layout.body
    operands = layout.operands
    for bundle, _, _ in (*layout.outputs, *(Place(fill, 0, False) for fill in layout.prologue)):
        bundle.end = len(body)
    free = _Free()
    take, give = free.take, free.give
    for bundle in layout.prologue:
        bundle.slot = take(len(bundle.members))
    for now, bundle in enumerate(body):
        count = len(bundle.members)
        if count:
            bundle.slot = take(count)
        for used, _, _ in operands[now]:
            if used.end == now:
                give(used.slot, len(used.members))
                used.end = -1  # given back
        if count and bundle.end == -1:  # nothing reads it
            give(bundle.slot, count)
    layout.slots = free.top


class _Free:
    """Free slots: single ones, and stretches in ascending order."""

    def __init__(self) -> None:
        self.top = 0
        self.singles: list[int] = []
        self.stretches: list[tuple[int, int]] = []  # first, count

    def take(self, n: int) -> int:
        """A single one, or the first stretch that is long enough, or new slots."""
        if n == 1 and self.singles:
            return self.singles.pop()
        for number, (first, count) in enumerate(self.stretches):
            if count >= n:
                if count == n:
                    del self.stretches[number]
                else:
                    self.stretches[number] = (first + n, count - n)
                return first
        self.top += n
        return self.top - n

    def give(self, first: int, n: int) -> None:
        """Back; stretches are joined with their neighbours."""
        if n == 1:
            self.singles.append(first)
            return
        number = 0
        while number < len(self.stretches) and self.stretches[number][0] < first:
            number += 1
        self.stretches.insert(number, (first, n))
        if number + 1 < len(self.stretches) and first + n == self.stretches[number + 1][0]:
            n += self.stretches.pop(number + 1)[1]
            self.stretches[number] = (first, n)
        if number and sum(self.stretches[number - 1]) == first:
            before = self.stretches[number - 1][0]
            self.stretches[number - 1 : number + 1] = [(before, first + n - before)]
