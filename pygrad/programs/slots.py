"""Slots: where each value stands while a block of samples is computed.

Every operand of a vector instruction is a run of neighbouring slots. What does not stand so is brought there: shared
values by fills, which run once for all blocks and keep their slots, others by copies. Slots are then given out by
liveness: a bundle's slots are free again after the last bundle that reads them.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable
from typing import NamedTuple

from .bundles import Bundle, Run
from .code import SHARED, Code

REVERSIBLE = frozenset({"dense"})
"""Kinds whose operand may stand in descending slots."""


class Layout(NamedTuple):
    """Bundles in order with their slots.

    prologue: the fills. first: by position in body (and in prologue), the first of a bundle's slots. operands: by position
    in body, the first slot of each operand, and whether it descends from there.
    """

    prologue: list[Bundle]
    prologue_first: list[int]
    body: list[Bundle]
    first: list[int]
    operands: list[list[tuple[int, bool]]]
    outputs: list[int]
    slots: int


def lay_out(code: Code, order: list[Bundle], outputs: Iterable[int]) -> Layout:
    """Fills, copies and slots for bundles in order. outputs: values to be found in slots at the end."""
    place: dict[int, tuple[Bundle, int]] = {}  # value: bundle, position in it
    fills: dict[Run, Bundle] = {}
    copies: dict[Run, Bundle] = {}
    body: list[Bundle] = []
    found: list[list[tuple[Bundle, int, bool]]] = []
    ops = code.ops

    def fill(run: Run) -> Bundle:
        if run not in fills:
            fills[run] = Bundle("fill", "fill", members=list(run), operands=[run])
        return fills[run]

    def single(x: int) -> tuple[Bundle, int, bool]:
        if ops[x] in SHARED:
            return fill((x,)), 0, False
        bundle, position = place[x]
        return bundle, position, False

    def locate(run: Run, reversible: bool) -> tuple[Bundle, int, bool]:
        if len(run) == 1:
            return single(run[0])
        shared = [ops[x] in SHARED for x in run]
        if all(shared):
            return fill(run), 0, False
        if run in copies:
            return copies[run], 0, False
        if not any(shared):
            bundle, position = place[run[0]]
            for step in (1, -1) if reversible else (1,):
                for j, x in enumerate(run):
                    other, here = place[x]
                    if other is not bundle or here != position + step * j:
                        break
                else:
                    return bundle, position, step < 0
        copy = copies[run] = Bundle("copy", "copy", members=[None] * len(run), operands=[(x,) for x in run])
        body.append(copy)
        found.append([single(x) for x in run])
        return copy, 0, False

    for bundle in order:
        where = [locate(run, bundle.kind in REVERSIBLE) for run in bundle.operands]
        body.append(bundle)
        found.append(where)
        for position, i in enumerate(bundle.members):
            if i is not None:
                place[i] = (bundle, position)
    ends = [single(i) for i in outputs]
    return _with_slots(list(fills.values()), body, found, ends)


def _with_slots(
    prologue: list[Bundle], body: list[Bundle], found: list[list[tuple[Bundle, int, bool]]],
    ends: list[tuple[Bundle, int, bool]],
) -> Layout:  # fmt: skip
    last: dict[int, int] = {}
    for now, where in enumerate(found):
        for bundle, _, _ in where:
            last[id(bundle)] = now
    for bundle, _, _ in ends:
        last[id(bundle)] = len(body)
    free = _Free()
    first: dict[int, int] = {}
    for bundle in prologue:
        first[id(bundle)] = free.take(len(bundle.members))
    for now, bundle in enumerate(body):  # loads are first, and all loaded before anything runs
        first[id(bundle)] = free.take(len(bundle.members)) if bundle.members else 0
        if id(bundle) not in last:
            last[id(bundle)] = now
        done = {id(b): b for b, _, _ in found[now] if last[id(b)] == now and b.kind != "fill"}
        if last[id(bundle)] == now:
            done[id(bundle)] = bundle
        for b in done.values():
            if b.members:
                free.give(first[id(b)], len(b.members))
    return Layout(
        prologue,
        [first[id(b)] for b in prologue],
        body,
        [first[id(b)] for b in body],
        [[(first[id(b)] + position, down) for b, position, down in where] for where in found],
        [first[id(b)] + position for b, position, _ in ends],
        free.top,
    )


class _Free:
    """Free slots, as stretches in ascending order."""

    def __init__(self) -> None:
        self.top = 0
        self.stretches: list[tuple[int, int]] = []  # first, count

    def take(self, n: int) -> int:
        """The first stretch that is long enough, or new slots."""
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
        """Back, joined with its neighbours."""
        insort(self.stretches, (first, n))
        number = self.stretches.index((first, n))
        if number + 1 < len(self.stretches) and first + n == self.stretches[number + 1][0]:
            n += self.stretches.pop(number + 1)[1]
            self.stretches[number] = (first, n)
        if number and sum(self.stretches[number - 1]) == first:
            before = self.stretches[number - 1][0]
            self.stretches[number - 1 : number + 1] = [(before, first + n - before)]
