"""Puts lanes and what remains in an order, joins lanes that match, and writes each part's code.

Parts run one after the other; a part depends on earlier ones only. That is settled by levels: even for lanes, odd for
the code of one lane, each higher than the levels of what it depends on; but lanes that read another's results lane by
lane join it, at its level, if nothing else they need is later. What is to become lanes is decided in lanes.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from .code import LEAVES, Code

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass
class Part:
    """One expression, over `lanes` lanes; numbers are those of the code that was split.

    code: of one lane. Its leaves: ("input", k): row k; ("constant", float); ("parameter", its number), the same for
    all lanes; ("shared", n): value n of the original code, computed by an earlier part, the same for all lanes.
    rows: what input k is in each lane: floats (float64, the constants), or numbers (int64) of parameter instructions
    of the original code or of values that earlier parts compute.
    outputs: for each of the code's outputs, the number of the value that it is, of each lane (int64).
    """

    lanes: int
    code: Code
    rows: list[Floats | Integers] = field(default_factory=list)
    outputs: list[Integers] = field(default_factory=list)


@dataclass
class Split:
    """parts: in the order in which they run; those of one lane are what remains between the others, and have no rows.
    outputs: numbers of the original code's outputs; each is an output of one part."""

    parts: list[Part]
    outputs: list[int]

    @property
    def groups(self) -> list[Part]:
        """The parts of many lanes."""
        return [part for part in self.parts if part.lanes > 1]


class Graph:
    """Code as arrays. Operands that are equal leaves have one number in them."""

    def __init__(self, code: Code) -> None:
        self.code = code
        self.arity: Integers = np.fromiter(map(len, code.args), np.int64, len(code))
        self.start: Integers = np.cumsum(self.arity) - self.arity
        total = int(self.arity.sum())
        constants = [i for i, op in enumerate(code.ops) if op == "constant"]
        others = [i for i, op in enumerate(code.ops) if op != "constant" and op in LEAVES]
        self.constant = np.zeros(len(code), bool)
        self.constant[constants] = True
        self.leaf = self.constant.copy()
        self.leaf[others] = True
        self.values = np.zeros(len(code))  # of constants
        self.same = same = np.arange(len(code))  # of equal leaves the first
        self._apart = np.zeros(len(code), np.int64)  # a number above 0 for each leaf that is no constant
        if constants:
            numbers = np.array(constants)
            self.values[numbers] = [code.ks[i] for i in constants]
            _, first, inverse = np.unique(self.values[numbers].view(np.int64), return_index=True, return_inverse=True)
            same[numbers] = numbers[first][inverse.reshape(-1)]
        known: dict[Any, int] = {}
        for i in others:
            same[i] = known.setdefault((code.ops[i], code.ks[i]), i)
            self._apart[i] = same[i] + 1
        self.flat: Integers = same[np.fromiter(chain.from_iterable(code.args), np.int64, total)]

    def leaf_classes(self, apart: bool) -> Integers:
        """A class for each leaf: 0 for constants, for others one, or one each; 0 for all that are no leaves."""
        return self._apart.copy() if apart else np.minimum(self._apart, 1)

    def operands(self, i: int) -> Integers:
        """Of instruction i."""
        return self.flat[self.start[i] : self.start[i] + self.arity[i]]

    def operands_of(self, members: Integers) -> Integers:
        """Of these instructions, one after the other."""
        arity = self.arity[members]
        before = np.cumsum(arity) - arity
        return self.flat[np.repeat(self.start[members] - before, arity) + np.arange(int(arity.sum()))]

    def columns(self, members: Integers) -> Integers:
        """Operands of instructions that have equally many: row j holds operand j of each."""
        return self.flat[self.start[members] + np.arange(self.arity[members[0]])[:, None]]


class Lanes:
    """Instructions to run as lanes. A place in them is named by the number of the value that stands there in all
    lanes, or, where values differ, by the bytes of the vector of their numbers."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.vectors: dict[bytes, Integers] = {}
        self.uses: dict[bytes, int] = {}  # of each vector, within the lanes
        self.shared: dict[int, int] = {}  # values that are the same in all lanes, and their uses
        self.interior: dict[bytes, list[bytes | int]] = {}  # what is computed here, and its operands
        self.level = 0

    def rows(self) -> Iterator[tuple[bytes, Integers]]:
        """What differs and is not computed here: leaves, and results of others."""
        return ((key, v) for key, v in self.vectors.items() if key not in self.interior)

    def members(self) -> Integers:
        """All instructions of all lanes."""
        return np.concatenate([self.vectors[key] for key in self.interior])

    def join(self, other: Lanes) -> None:
        """Takes in lanes of the same count."""
        self.vectors.update(other.vectors)
        self.shared.update(other.shared)
        self.interior.update(other.interior)


# ---- order ----

_UNKNOWN, _LEAF = -2, -1


class Schedule:
    """Levels of values (leaves: -1), and the groups after joining."""

    def __init__(self, level: Integers, groups: list[Lanes]) -> None:
        self.level, self.groups = level, groups


def schedule(graph: Graph, groups: list[Lanes], rest: list[int]) -> Schedule:
    """Levels for all, in one walk from operands to users without recursion."""
    args, leaf = graph.code.args, graph.leaf
    levels: list[int] = np.where(leaf, _LEAF, _UNKNOWN).tolist()
    home = np.full(len(graph.code), -1)
    for number, lanes in enumerate(groups):
        home[lanes.members()] = number
    homes: list[int] = home.tolist()
    joined = _Joined(leaf, groups)
    most = 1 + 2 * len(graph.flat)  # of a stack: all operands, of the groups too
    for first in chain(rest, [-1 - number for number in range(len(groups))]):
        if first >= 0 and levels[first] != _UNKNOWN:
            continue
        stack = [first]  # an instruction, or -1 - the number of a group
        while stack:
            unit = stack[-1]
            if unit >= 0:
                highest = _LEAF
                waiting = False
                for x in args[unit]:
                    at = levels[x]
                    if at == _UNKNOWN:
                        stack.append(x if homes[x] < 0 else -1 - homes[x])
                        waiting = True
                    elif at > highest:
                        highest = at
                if waiting:
                    assert len(stack) <= most, "parts depend on each other in a circle"
                    continue
                levels[unit] = highest | 1
                joined.level[unit] = highest | 1
            elif not joined.done[-1 - unit]:
                missing = joined.missing(-1 - unit)
                if missing:
                    stack.extend(x if homes[x] < 0 else -1 - homes[x] for x in missing)
                    assert len(stack) <= most, "parts depend on each other in a circle"
                    continue
                members, at = joined.place(-1 - unit)
                for x in members.tolist():
                    levels[x] = at
            stack.pop()
    return Schedule(joined.level, joined.result)


class _Joined:
    """Lanes that have a level, joined where they match."""

    def __init__(self, leaf: npt.NDArray[np.bool_], groups: list[Lanes]) -> None:
        self.groups = groups
        self.done = [False] * len(groups)
        self.level = np.where(leaf, _LEAF, _UNKNOWN)
        self.result: list[Lanes] = []
        self._producer: dict[bytes, Lanes] = {}
        self._reader: dict[tuple[int, bytes], Lanes] = {}

    def missing(self, number: int) -> list[int]:
        """Values that the group reads and that have no level yet."""
        lanes = self.groups[number]
        read = [np.fromiter(lanes.shared, np.int64, len(lanes.shared)), *[v for _, v in lanes.rows()]]
        return list(dict.fromkeys(x for v in read for x in v[self.level[v] == _UNKNOWN].tolist()))

    def place(self, number: int) -> tuple[Integers, int]:
        """Gives the group a level; its members, with it."""
        lanes = self.groups[number]
        self.done[number] = True
        needs = {key: int(self.level[v].max()) for key, v in lanes.rows()}
        shared = np.fromiter(lanes.shared, np.int64, len(lanes.shared))
        highest = int(self.level[shared].max(initial=_LEAF))
        target = self._fed(needs, highest)
        if target is None:
            highest = max(highest, *needs.values()) if needs else highest
            level = highest + 2 - highest % 2 if highest >= 0 else 0
            same_rows = (self._reader.get((level, key)) for key in needs)
            target = next((reader for reader in same_rows if reader is not None), None)
            if target is None:
                target = Lanes(lanes.count)
                target.level = level
                self.result.append(target)
        target.join(lanes)
        for key in needs:
            self._reader.setdefault((target.level, key), target)
        self._producer.update(dict.fromkeys(lanes.interior, target))
        members = lanes.members()
        self.level[members] = target.level
        return members, target.level

    def _fed(self, needs: dict[bytes, int], highest: int) -> Lanes | None:
        """Lanes that compute some of these rows lane by lane, and run after what else is needed."""
        producers = {id(p): p for p in map(self._producer.get, needs) if p is not None}
        for producer in sorted(producers.values(), key=lambda p: -p.level):
            if highest < producer.level and all(
                at < producer.level or self._producer.get(key) is producer for key, at in needs.items()
            ):
                return producer
        return None


# ---- code ----


def assemble(graph: Graph, groups: list[Lanes], rest: list[int]) -> Split:
    """The parts' codes, in order."""
    code = graph.code
    outputs = list(dict.fromkeys(code.outputs))
    if not groups:
        whole = Code(list(code.ops), list(code.args), list(code.ks), outputs)
        return Split([Part(1, whole, [], [np.array([i]) for i in outputs])] if len(code) else [], list(code.outputs))
    planned = schedule(graph, groups, rest)
    needed = np.zeros(len(code), bool)
    needed[code.outputs] = True
    for lanes in planned.groups:
        needed[list(lanes.shared)] = True
        for _, v in lanes.rows():
            needed[v] = True
    by_level: dict[int, list[int]] = {}
    levels = planned.level.tolist()
    for i in rest:
        by_level.setdefault(levels[i], []).append(i)
    written = [i for i in outputs if graph.leaf[i]]
    if written:
        by_level.setdefault(_LEAF, [])
    for members in by_level.values():
        operands = graph.operands_of(np.array(members, np.int64))
        at = planned.level[operands]
        needed[operands[at != planned.level[members[:1]]]] = True
    parts: list[tuple[int, Part]] = []
    for level, members in by_level.items():
        parts.append((level, _one_lane(graph, members, needed, written if level == _LEAF else [])))
    for lanes in planned.groups:
        parts.append((lanes.level, _many_lanes(graph, lanes, needed)))
    parts.sort(key=lambda part: part[0])
    return Split([part for _, part in parts], list(code.outputs))


def _leaf(graph: Graph, new: Code, x: int) -> int:
    """The leaf by which new code reads a value."""
    code = graph.code
    return new.add(code.ops[x], (), code.ks[x]) if graph.leaf[x] else new.add("shared", (), x)


def _one_lane(graph: Graph, members: list[int], needed: npt.NDArray[np.bool_], leaves: list[int]) -> Part:
    """Instructions as they stood. leaves: that are outputs themselves."""
    code = graph.code
    new = Code()
    place: dict[int, int] = {}
    ops, args, ks = code.ops, code.args, code.ks
    for i in members:
        for x in args[i]:
            if x not in place:
                same = int(graph.same[x])
                if same not in place:
                    place[same] = _leaf(graph, new, same)
                place[x] = place[same]
        place[i] = len(new.ops)
        new.ops.append(ops[i])
        new.args.append(tuple([place[x] for x in args[i]]))
        new.ks.append(ks[i])
    for x in leaves:
        if x not in place:
            place[x] = _leaf(graph, new, x)
    wanted = [i for i in members if needed[i]] + leaves
    new.outputs = [place[i] for i in wanted]
    return Part(1, new, [], [np.array([i]) for i in wanted])


def _many_lanes(graph: Graph, lanes: Lanes, needed: npt.NDArray[np.bool_]) -> Part:
    """One lane's code, in the order of the first lane's instructions."""
    code = graph.code
    part = Part(lanes.count, Code())
    new = part.code
    place: dict[bytes | int, int] = {}
    for key in sorted(lanes.interior, key=lambda key: int(lanes.vectors[key][0])):
        operands = []
        for name in lanes.interior[key]:
            at = place.get(name)
            if at is None:
                if isinstance(name, int):
                    at = _leaf(graph, new, name)
                else:
                    v = lanes.vectors[name]
                    at = new.add("input", (), len(part.rows))
                    part.rows.append(graph.values[v] if graph.constant[v[0]] else v)
                place[name] = at
            operands.append(at)
        i = int(lanes.vectors[key][0])
        place[key] = new.add(code.ops[i], tuple(operands), code.ks[i])
        if needed[lanes.vectors[key]].any():
            new.outputs.append(place[key])
            part.outputs.append(lanes.vectors[key])
    return part
