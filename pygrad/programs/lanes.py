"""Finds, in the code of a function without arguments, the parts that are one expression over different leaves.

Such a part becomes a Part of many lanes (the samples of a data set, the pairs of bodies, the terms of a penalty);
what remains becomes parts of one lane. Every instruction lands in exactly one part, with its own operands, so that no
bit of any value changes. Not here: how values move between parts in time (lane_parts.py), and any simplification: run
this before passes that merge or simplify by value, for they make equal expressions look different.

Three rounds of the same search. In the first, parameters are told apart: what is found are samples that share weights.
In the second, all parameters look alike: terms over other parameters each. In the third, what the first left to the
second in vain. In each, the class of an instruction is its expression down to the leaves, constants being alike; a
class is numbered after those of its operands. Classes are taken from the last to the first, so that all users of an
instruction are decided before it is: those of a class still undecided are the roots of lanes, and a value belongs to
its root's lane if nothing undecided uses it but that lane, at the same place in each. Neither the lanes of one class
nor the parts can so depend on each other in a circle.
"""

from __future__ import annotations

from heapq import heappop, heappush
from operator import eq
from typing import NamedTuple

import numpy as np

from . import lane_parts
from .code import LEAVES, Code
from .lane_parts import Graph, Integers, Lanes, Part, Split

__all__ = ["Part", "Split", "find_lanes"]

MIN_LANES = 4
"""Fewer are left in the code of one lane."""

# What things cost, in about nanoseconds: of a VM of one lane, and of many.
_INSTRUCTION, _OPERAND = 3.0, 1.0
_LANE_OPERAND, _ROW, _GATHER, _RESULT, _PART = 0.5, 0.5, 1.5, 1.0, 100.0

_SMALL = 8  # an expression of so few instructions is rather gathered from everywhere than cut up by parameters
_WIDE = 1.5  # a class with so many times the members of the root's spans more than the root's lanes
_WIDE_WORK = 0.6  # so much of the work in such classes is most of it
_LONG = 16  # operands: with more, NumPy is faster at making a key of their classes
_ELSEWHERE = 1 << 40  # uses that are never decided in this round
_FOREIGN = frozenset({"input", "seed", "pick", "dpick", "outer", "accumulate"})


def find_lanes(code: Code) -> Split:
    """The code as parts, in an order in which they can run. What is computed for nothing should be removed before.

    Raises ValueError for an op that has one value a sample, as 'input': there are no samples.
    """
    graph = Graph(code)
    foreign = _FOREIGN.intersection(code.ops)
    if foreign:
        raise ValueError(f"find_lanes takes the code of a function without arguments; this has {min(foreign)!r}")
    free = [i for i, op in enumerate(code.ops) if op not in LEAVES]
    groups: list[Lanes] = []
    alike = _classes(graph, free, graph.leaf_classes(apart=False))
    if alike.largest < MIN_LANES:
        return lane_parts.assemble(graph, groups, free)
    apart = _classes(graph, free, graph.leaf_classes(apart=True))
    found = _round(graph, free, apart, alike, groups)
    if groups:
        alike = _classes(graph, found.rest, _with_results(graph, groups, found.rest, apart=False))
    found = _round(graph, found.rest, alike, None, groups)._replace(left_over=found.left_over)
    if found.left_over:
        apart = _classes(graph, found.rest, _with_results(graph, groups, found.rest, apart=True))
        found = _round(graph, found.rest, apart, None, groups, gather=_ROW)
    return lane_parts.assemble(graph, groups, found.rest)


def _with_results(graph: Graph, groups: list[Lanes], rest: list[int], apart: bool) -> Integers:
    """Classes of leaves, among which are now what groups compute: those of one level alike.

    Groups of one level don't depend on each other, and higher ones depend on lower ones only; that is why nothing
    that a class merges can close a circle with them.
    """
    classes = graph.leaf_classes(apart)
    level = lane_parts.schedule(graph, groups, rest).level
    computed = np.ones(len(classes), bool)
    computed[rest] = False
    computed &= ~graph.leaf
    classes[computed] = classes.max(initial=0) + 1 + level[computed]
    return classes


# ---- classes ----


class _Classes(NamedTuple):
    of: list[int]  # of each value
    order: Integers  # the free instructions by class, in one class by number
    bounds: Integers  # where each class starts there, and the end
    sizes: list[int]  # how many members: of each value's class; 0 for a leaf
    largest: int


def _classes(graph: Graph, free: list[int], leaves: Integers) -> _Classes:
    """Which of the free instructions are the same expression over leaves of the same classes."""
    ops, args, ks = graph.code.ops, graph.code.args, graph.code.ks
    of = leaves.tolist()
    array = leaves.copy()
    long = int(graph.arity.max(initial=0)) > _LONG
    number = int(leaves.max(initial=0)) + 1
    numbers: dict[object, int] = {}
    for i in free:
        a = args[i]
        k = ks[i]
        if k is not None and not k:
            k = repr(k)  # 0.0 is not -0.0
        key: object
        if len(a) == 2:
            key = (ops[i], k, of[a[0]], of[a[1]])
        elif len(a) == 1:
            key = (ops[i], k, of[a[0]])
        elif len(a) <= _LONG:
            key = (ops[i], k, *[of[x] for x in a])
        else:
            key = (ops[i], k, array[graph.operands(i)].tobytes())
        c = numbers.setdefault(key, number)
        if c == number:
            number += 1
        of[i] = c
        if long:
            array[i] = c
    array = np.array(of, np.int64)
    chosen = np.array(free, np.int64)
    order = chosen[np.argsort(array[chosen], kind="stable")]
    sorted_classes = array[order]
    bounds = np.append(np.flatnonzero(np.diff(sorted_classes, prepend=-1)), len(order))
    counts = np.diff(bounds)
    sizes = np.zeros(len(array), np.int64)
    sizes[order] = np.repeat(counts, counts)
    return _Classes(of, order, bounds, sizes.tolist(), int(counts.max(initial=0)))


# ---- a round ----


class _Found(NamedTuple):
    rest: list[int]  # what is in no group, by number
    left_over: bool  # whether there were groups left to a later round


def _round(
    graph: Graph,
    free: list[int],
    classes: _Classes,
    alike: _Classes | None,
    groups: list[Lanes],
    gather: float = _GATHER,
) -> _Found:
    """Appends to groups what pays of the free instructions. alike: the coarser classes of the next round, if any."""
    if classes.largest < MIN_LANES:
        return _Found(free, False)
    search = _Search(graph, free, classes)
    decided, grouped = np.zeros(len(graph.code), bool), np.zeros(len(graph.code), bool)
    left_over = False
    order, bounds = classes.order, classes.bounds
    repeated = np.flatnonzero(np.diff(bounds) >= MIN_LANES)
    end = int(bounds[-1])
    for low, high in zip(bounds[repeated][::-1].tolist(), bounds[repeated + 1][::-1].tolist()):
        search.leave(order[high:end])
        end = low
        members = order[low:high]
        if search.whole[int(members[0])]:
            continue
        roots = members[~decided[members]]
        if len(roots) < MIN_LANES:
            search.leave(roots)
            continue
        lanes = search.grow(roots, narrow=False, stop_if_wide=alike is not None)
        if lanes is None:
            lanes = search.grow(roots, narrow=True)
        assert lanes is not None
        pays = search.pays(lanes, _ROW if alike is not None else gather)
        if pays and alike is not None and len(lanes.interior) <= _SMALL:
            pays = 2 * lanes.count >= alike.sizes[roots[0]]
            left_over |= not pays
        inside = lanes.members()
        decided[inside] = True
        grouped[inside] = pays
        search.settle(lanes)
        if pays:
            groups.append(lanes)
    return _Found([i for i in free if not grouped[i]] if grouped.any() else free, left_over)


class _Search:
    """Grows lanes from roots; keeps how many undecided uses each value has."""

    def __init__(self, graph: Graph, free: list[int], classes: _Classes) -> None:
        self.graph, self.classes = graph, classes
        self.free = np.zeros(len(graph.code), bool)
        self.free[free] = True
        self.whole = bytearray(len(graph.code))  # by the first member of a class: whether all are decided
        by_free = np.repeat(self.free, graph.arity)
        count = len(graph.code)
        self.undecided = np.bincount(graph.flat[by_free], minlength=count)
        self.undecided[graph.flat[~by_free]] += _ELSEWHERE

    def leave(self, members: Integers) -> None:
        """Decides that these are in no lanes."""
        if len(members) <= 8:
            for i in members.tolist():
                for x in self.graph.code.args[i]:
                    self.undecided[x] -= 1
        else:
            np.subtract.at(self.undecided, self.graph.operands_of(members), 1)

    def settle(self, lanes: Lanes) -> None:
        """Decides the uses that the lanes make of what is not in them."""
        for x, uses in lanes.shared.items():
            self.undecided[x] -= uses * lanes.count
        for key, v in lanes.rows():
            if self.free[v[0]]:
                np.subtract.at(self.undecided, v, lanes.uses[key])
        sizes = self.classes.sizes
        for key in lanes.interior:
            first = int(lanes.vectors[key].min())
            if sizes[first] == lanes.count:
                self.whole[first] = 1

    def grow(self, roots: Integers, narrow: bool, stop_if_wide: bool = False) -> Lanes | None:
        """All that can be in the lanes of these roots, which are of one class.

        narrow: but no class that is wide. stop_if_wide: None as soon as most of the work is in wide ones: a net whose
        outputs are used in several ways, say. It is then better to have its lanes whole, and those of each use on top.

        A place in the lanes is the vector of the values that stand there. Users come before their operands, as
        classes are taken from the last on: when a place is looked at, all its uses within the lanes are known.
        """
        graph, of, sizes, free = self.graph, self.classes.of, self.classes.sizes, self.free
        args = graph.code.args
        lanes = Lanes(len(roots))
        vectors, uses, interior, shared = lanes.vectors, lanes.uses, lanes.interior, lanes.shared
        work = wide = 0
        widest = _WIDE * lanes.count
        first = int(roots[0])
        name = roots.tobytes()
        vectors[name], uses[name] = roots, 0
        heap = [(-of[first], name, first)]
        while heap:
            _, key, x = heappop(heap)
            v = vectors[key]
            if x != first:  # others are of lower classes
                if (narrow and sizes[x] > widest) or not (self.undecided[v] == uses[key]).all():
                    continue
                if sizes[x] > widest:
                    wide += len(args[x])
            work += len(args[x])
            if stop_if_wide and wide > _WIDE_WORK * work + 16:
                return None
            columns = graph.columns(v)
            numbers = columns[:, 0].tolist()
            same = list(map(eq, numbers, columns[:, -1].tolist()))
            if True in same:  # only then look at those between
                same = (columns == columns[:, :1]).all(axis=1).tolist()
            operands: list[bytes | int] = []
            for j, x in enumerate(numbers):
                if same[j]:
                    shared[x] = shared.get(x, 0) + 1
                    operands.append(x)
                    continue
                column = columns[j]
                name = column.tobytes()
                if name in uses:
                    uses[name] += 1
                else:
                    vectors[name], uses[name] = column, 1
                    if free[x]:
                        heappush(heap, (-of[x], name, x))
                operands.append(name)
            interior[key] = operands
        return None if stop_if_wide and wide > _WIDE_WORK * work else lanes

    def pays(self, lanes: Lanes, gather: float) -> bool:
        """Whether lanes are likely faster than the same instructions one by one."""
        alone = 0.0
        together = _RESULT
        for operands in lanes.interior.values():
            alone += _INSTRUCTION + _OPERAND * len(operands)
            together += _LANE_OPERAND * len(operands)
        for _, v in lanes.rows():
            together += _ROW if self.graph.constant[v[0]] else gather
        return lanes.count * alone > _PART + lanes.count * together
