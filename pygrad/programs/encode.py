"""The words of a program, as csrc/program.h describes them: from stages of code to what C runs.

Decides nothing: bundles.py chose the instructions, slots.py their slots.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._ffi import OP_CODES
from .bundles import Bundle, bundles, offsets
from .code import EFFECTS, Code
from .fuse import fuse
from .slots import Layout, Place, lay_out

# csrc/program.h
MAGIC, VERSION = 0x50475047, 1
NO_SLOT = 0xFFFFFFFF
MOVES = {
    "argument": 1, "output": 2, "seed": 3, "rows": 4, "gather": 5, "gather_g": 6, "scatter": 7, "add_g": 8,
}  # fmt: skip
OTHER = {
    "fill": 1, "copy": 2, "sum": 3, "dot": 4, "logsumexp": 5, "pick": 6, "dpick": 7, "dense": 8, "outer": 9,
    "accumulate": 10, "dense_down": 11,
}  # fmt: skip
VALUE, DX, DY, REST = 0, 1 << 8, 2 << 8, 3 << 8
_NONE = (0, 0, 0, 0)
"""Slots of operands that there are none of."""


@dataclass
class Stage:
    """Code with where its inputs come from and where its outputs go.

    lanes: 0 for the samples of the call. sources: for each input column ('argument', number, position), ('rows',
    numbers of each lane), ('gather', places in V of each lane), ('gather_g', places in G). targets: for each output
    that is a value, ('output', group, position), ('scatter', first place in V), ('add_g', places in G).
    """

    name: str
    code: Code
    lanes: int = 0
    sources: Sequence[tuple[Any, ...]] = ()
    targets: Sequence[tuple[Any, ...]] = ()


@dataclass
class Shape:
    """What a program takes and gives."""

    parameters: int
    computed: int = 0
    arguments: Sequence[int] = ()  # widths
    indices: Sequence[int] = ()  # bounds
    outputs: Sequence[int] = ()  # widths of the groups
    loss: int = 0  # output group + 1


def output_targets(groups: Sequence[int]) -> list[tuple[str, int, int]]:
    """Targets of a stage that gives the output groups, one behind the other."""
    return [("output", group, i) for group, width in enumerate(groups) for i in range(width)]


@dataclass
class Encoded:
    """A program for C, with the stages it was made from."""

    words: NDArray[np.uint32]
    constants: NDArray[np.float64]
    stages: list[Stage]
    layouts: list[Layout] = field(default_factory=list)


def encode(shape: Shape, stages: Sequence[Stage]) -> Encoded:
    """The program that runs the stages in order."""
    constants = _Constants(shape.parameters, shape.computed)
    chunks: list[Sequence[int]] = []
    rows: list[float] = []
    layouts = []
    for stage in stages:
        written = _StageWriter(stage, shape.parameters, constants)
        chunks.append(written.words)
        rows += written.rows
        layouts.append(written.layout)
    header = [
        MAGIC, VERSION, shape.parameters, shape.computed, len(constants.numbers), len(shape.arguments),
        len(shape.indices), len(shape.outputs), len(stages), shape.loss, 0, 0,
    ]  # fmt: skip
    head = [*header, *shape.arguments, *shape.indices, *shape.outputs]
    words = np.concatenate([np.array(part, np.uint32) for part in (head, *chunks)])
    return Encoded(words, np.array([*constants.numbers, *rows], np.float64), list(stages), layouts)


class _Constants:
    """The constants of V, each bit pattern once."""

    def __init__(self, parameters: int, computed: int) -> None:
        self.first = parameters + computed
        self.numbers: list[float] = []
        self.places: dict[bytes, int] = {}

    def place(self, number: float) -> int:
        key = struct.pack("d", number)
        if key not in self.places:
            self.places[key] = self.first + len(self.numbers)
            self.numbers.append(number)
        return self.places[key]


class _StageWriter:
    """One stage's words."""

    def __init__(self, stage: Stage, parameters: int, constants: _Constants) -> None:
        self.code, self.parameters, self.constants = stage.code, parameters, constants
        self.pool = array("I")
        self.rows: list[float] = []
        self.instructions = array("I")
        values = [i for i in stage.code.outputs if stage.code.ops[i] not in EFFECTS]
        self.layout = layout = lay_out(stage.code, fuse(bundles(stage.code), values), values)
        inputs: list[int] = []
        self.fill(layout.prologue)
        prologue = len(self.instructions) // 8
        write = {
            "map": self.map, "dense": self.dense, "outer": self.outer, "accumulate": self.accumulate, "copy": self.copy,
            "sum": self.terms, "logsumexp": self.terms, "dot": self.dot, "pick": self.pick, "dpick": self.dpick,
        }  # fmt: skip
        for bundle, operands in zip(layout.body, layout.operands):
            if bundle.kind == "load":
                inputs += self.loads(stage, bundle)
            else:
                write[bundle.kind](bundle, operands)
        outputs = self.stores(stage, [place.slot for place in layout.outputs])
        counts = (
            stage.lanes, layout.slots, len(inputs) // 6, prologue, len(self.instructions) // 8 - prologue,
            len(outputs) // 6, len(self.pool), len(self.rows), 0,
        )  # fmt: skip
        self.words = array("I", [*counts, *inputs]) + self.instructions + array("I", outputs) + self.pool

    def place(self, x: int) -> int:
        """Where a shared leaf stands in V."""
        op, k = self.code.ops[x], self.code.ks[x]
        return self.constants.place(k) if op == "constant" else k if op == "parameter" else self.parameters + k

    def pooled(self, numbers: Any) -> int:
        at = len(self.pool)
        self.pool.extend(numbers)
        return at

    def emit(
        self, op: int, z: int, a: int = 0, b: int = 0, c: int = 0, d: int = 0, width: int = 1, at: int = 0
    ) -> None:
        self.instructions.extend((op, z, a, b, c, d, width, at))

    # ---- moves ----

    def loads(self, stage: Stage, bundle: Bundle) -> list[int]:
        if bundle.op == "seed":
            return [MOVES["seed"], bundle.slot, 1, 0, 0, 0]
        moves: list[int] = []
        for slot, x in enumerate(bundle.members, bundle.slot):
            kind, *source = stage.sources[self.code.ks[x]]
            if kind == "argument":
                number, position = source
                if moves[-6:-5] == [MOVES[kind]] and moves[-3] == number and moves[-2] + moves[-4] == position:
                    moves[-4] += 1
                else:
                    moves += (MOVES[kind], slot, 1, number, position, 0)
            elif kind == "rows":
                moves += (MOVES[kind], slot, 1, 0, len(self.rows) // stage.lanes, 0)
                self.rows += source[0]
            else:
                moves += (MOVES[kind], slot, 1, 0, self.pooled(source[0]), 0)
        return moves

    def stores(self, stage: Stage, slots: list[int]) -> list[int]:
        moves: list[int] = []
        for slot, (kind, *target) in zip(slots, stage.targets):
            if kind == "output":
                group, position = target
                if moves[-6:-5] == [MOVES[kind]] and moves[-5] + moves[-4] == slot and moves[-3:-1] == [
                    group, position - moves[-4],
                ]:  # fmt: skip
                    moves[-4] += 1
                else:
                    moves += (MOVES[kind], slot, 1, group, position, 0)
            elif kind == "scatter":
                moves += (MOVES[kind], slot, 1, 0, target[0], 0)
            else:
                moves += (MOVES[kind], slot, 1, 0, self.pooled(target[0]), 0)
        return moves

    # ---- instructions, by kind of bundle ----

    def fill(self, prologue: list[Bundle]) -> None:
        """The first slots, one behind the other."""
        self.move("fill", 0, [self.place(x) for bundle in prologue for x in bundle.operands[0]])

    def copy(self, bundle: Bundle, operands: list[Place]) -> None:
        self.move("copy", bundle.slot, [place.slot for place in operands])

    def move(self, kind: str, first: int, places: list[int]) -> None:
        """To neighbouring slots: neighbours with one instruction."""
        begin = 0
        for end in range(1, len(places) + 1):
            if end == len(places) or places[end] != places[end - 1] + 1:
                self.emit(REST | OTHER[kind], first + begin, places[begin], width=end - begin)
                begin = end

    def map(self, bundle: Bundle, operands: list[Place]) -> None:
        slots = [first.slot + position for first, position, _ in operands]
        k = 0 if bundle.k is None else self.constants.place(bundle.k)
        code, repeat = _code_of(bundle.op), bundle.repeat
        if len(slots) == 3 and code >= DX:  # g, x, z
            slots.insert(2, 0)
            repeat = repeat & 3 | (repeat & 4) << 1
        slots += _NONE[len(slots) :]
        self.instructions.extend((code | repeat << 16, bundle.slot, *slots, len(bundle.members), k))

    def terms(self, bundle: Bundle, operands: list[Place]) -> None:
        """A sum, or logsumexp."""
        at = self.pooled([place.slot for place in operands])
        self.emit(REST | OTHER[bundle.kind], bundle.slot, c=len(operands), at=at)

    def dot(self, bundle: Bundle, operands: list[Place]) -> None:
        slots = [place.slot for place in operands]
        start = slots.pop(0) if len(slots) % 2 else NO_SLOT
        self.emit(REST | OTHER["dot"], bundle.slot, start, c=len(slots) // 2, at=self.pooled(slots))

    def pick(self, bundle: Bundle, operands: list[Place]) -> None:
        self.emit(REST | OTHER["pick"], bundle.slot, operands[0].slot, bundle.k, len(bundle.operands[0]))

    def dpick(self, bundle: Bundle, operands: list[Place]) -> None:
        self.emit(REST | OTHER["dpick"], bundle.slot, operands[0].slot, bundle.k, width=len(bundle.members))

    def dense(self, bundle: Bundle, operands: list[Place]) -> None:
        """A product that starts from nothing starts from -0.0, which every sum leaves as it is."""
        x, *values = operands
        places = [[self.place(w) for w in weights] for _, weights in bundle.rows]
        starts = [self.constants.place(-0.0) if s is None else self.place(s) for s, _ in bundle.rows]
        op = REST | OTHER["dense_down" if x.down else "dense"]
        form, _, name = (bundle.k or "").rpartition(":")
        d = OP_CODES[name] | (DX if form else VALUE) if name else 0
        b = values[0].slot if values else bundle.slot if d else 0
        regular = offsets(places)
        if regular is not None:
            rows, cols = regular
            at = self.pooled([*rows, *cols, *starts])
            self.emit(op, bundle.slot, x.slot, b, len(cols), d, len(rows), at)
            return
        for r, (row, start) in enumerate(zip(places, starts)):
            at = self.pooled([0, *row, start])
            self.emit(op, bundle.slot + r, x.slot, b + r if d else 0, len(row), d, at=at)

    def outer(self, bundle: Bundle, operands: list[Place]) -> None:
        g, x = operands
        regular = offsets(bundle.rows)
        assert regular is not None  # bundles.py and fuse.py saw to that
        rows, cols = regular
        ones = 1 if bundle.k else 0
        at = self.pooled([*rows, *cols])
        self.emit(REST | OTHER["outer"], 0, g.slot, x.slot, len(cols) - ones, ones, len(rows), at)

    def accumulate(self, bundle: Bundle, operands: list[Place]) -> None:
        at = self.pooled(bundle.rows)
        self.emit(REST | OTHER["accumulate"], 0, operands[0].slot, width=len(bundle.rows), at=at)


@cache
def _code_of(op: str) -> int:
    """The op's code and form."""
    form, _, name = op.rpartition(":")
    return int(OP_CODES[name]) | (DX if form == "d0" else DY if form else VALUE)
