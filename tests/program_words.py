"""Programs written by hand as words, and a slow machine for them: what csrc/program.h says, in NumPy, to compare with.

The machine keeps all lanes of a stage at once and knows no blocks, no threads and no instruction sets. Formulas are
those of the op table, number by number with `math`: the bits of the C machine with exact=1. Checks nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pygrad import _ieee
from pygrad._ffi import OP_CODES, OP_NAMES
from pygrad.ops import OPS

Array = np.ndarray[Any, Any]

MAGIC, VERSION, NO_SLOT = 0x50475047, 1, 0xFFFFFFFF
ARGUMENT, OUTPUT, SEED, ROWS, GATHER, GATHER_G, SCATTER, ADD_G = range(1, 9)
VALUE, DX, DY, OTHER = range(4)
FILL, COPY, SUM, DOT, LOGSUMEXP, PICK, PICK_DX, DENSE, OUTER, ACCUMULATE, DENSE_DOWN = range(1, 12)
TASKS, TASK_SAMPLES, LANES = 16, 512, 8


@dataclass
class Stage:
    """A stage under construction; `lanes` 0: over the samples."""

    lanes: int = 0
    slots: int = 0
    inputs: list[list[int]] = field(default_factory=list)
    prologue: list[list[int]] = field(default_factory=list)
    instructions: list[list[int]] = field(default_factory=list)
    outputs: list[list[int]] = field(default_factory=list)
    pool: list[int] = field(default_factory=list)
    rows: list[Array] = field(default_factory=list)

    def new(self, n: int = 1) -> int:
        """n fresh neighbouring slots; the first."""
        self.slots += n
        return self.slots - n

    def pooled(self, *lists: Sequence[int]) -> int:
        """Where the lists now stand in the pool."""
        at = len(self.pool)
        for items in lists:
            self.pool += [int(i) for i in items]
        return at

    def load(self, kind: int, slot: int, count: int = 1, source: int = 0, at: int = 0) -> int:
        self.inputs.append([kind, slot, count, source, at, 0])
        return slot

    def store(self, kind: int, slot: int, count: int = 1, source: int = 0, at: int = 0) -> None:
        self.outputs.append([kind, slot, count, source, at, 0])

    def do(self, code: int, form: int = OTHER, z: int | None = None, a: int = 0, b: int = 0, c: int = 0, d: int = 0,
           width: int = 1, at: int = 0, prologue: bool = False) -> int:  # fmt: skip
        """An instruction; z None: as many fresh slots as it is wide. Gives z."""
        if z is None:
            z = self.new(width)
        (self.prologue if prologue else self.instructions).append([code | form << 8, z, a, b, c, d, width, at])
        return z

    def value(self, name: str, a: int, b: int = NO_SLOT, width: int = 1, at: int = 0) -> int:
        return self.do(OP_CODES[name], VALUE, a=a, b=b, c=NO_SLOT, d=NO_SLOT, width=width, at=at)

    def derivative(
        self, name: str, g: int, x: int, z: int, y: int = NO_SLOT, by: int = DX, width: int = 1, at: int = 0
    ) -> int:
        return self.do(OP_CODES[name], by, a=g, b=x, c=y, d=z, width=width, at=at)

    def words(self) -> list[int]:
        head = [self.lanes, self.slots, len(self.inputs), len(self.prologue), len(self.instructions),
                len(self.outputs), len(self.pool), sum(len(row) for row in self.rows), 0]  # fmt: skip
        lists = [*self.inputs, *self.prologue, *self.instructions, *self.outputs]
        return head + [word for words in lists for word in words] + self.pool


def assemble(parameters: int, stages: Sequence[Stage], *, computed: int = 0, constants: Sequence[float] = (),
             arguments: Sequence[int] = (), indices: Sequence[int] = (), outputs: Sequence[int] = (),
             loss: int = 0) -> tuple[Array, Array]:  # fmt: skip
    """The words and the constants of a program."""
    head = [MAGIC, VERSION, parameters, computed, len(constants), len(arguments), len(indices), len(outputs),
            len(stages), loss, 0, 0]  # fmt: skip
    words = [*head, *arguments, *indices, *outputs]
    rows: list[Array] = [np.asarray(constants, np.float64)]
    for stage in stages:
        words += stage.words()
        rows += stage.rows
    return np.array(words, np.uint32), np.concatenate(rows).astype(np.float64)


class _Mathematics:
    divide = staticmethod(np.divide)
    where = staticmethod(np.where)
    equal = staticmethod(np.equal)

    def __getattr__(self, name: str) -> Callable[..., Array]:
        return _each(getattr(_ieee, name))


def _each(f: Callable[..., float]) -> Callable[..., Array]:
    def lanes(*operands: Any) -> Array:
        columns = [column.tolist() for column in np.broadcast_arrays(*operands)]
        return np.array([float(f(*xs)) for xs in zip(*columns)], np.float64)

    return lanes


def formula(form: int, code: int, a: Array, b: Array, c: Array, d: Array, k: float) -> Array:
    """Of one slot; those of a, b, c, d that the op has not may be anything."""
    name = OP_NAMES[code]
    if name == "logsumexp":  # its dx
        return a * _each(math.exp)(b - d)
    op = OPS[name]
    if form == VALUE:
        return _each(op.value)(*{"unary": [a], "constant": [a, np.full_like(a, k)], "binary": [a, b]}[op.kind])
    y: Any = k if op.kind == "constant" else c
    return np.broadcast_to(op.derivatives[form - DX](_Mathematics(), a, b, y, d), a.shape).astype(np.float64)


def add_in_order(start: float, terms: Array) -> float:
    """start + terms[0] + terms[1] + ..., left to right."""
    return float(np.add.accumulate(np.concatenate([[start], terms]))[-1])


class Machine:
    """One run of a program over arrays; see pg_call."""

    def __init__(self, words: Array, constants: Array, parameters: Array, samples: int, arguments: Sequence[Array] = (),
                 indices: Sequence[Array] = (), order: Array | None = None, seeds: Any = 1.0) -> None:  # fmt: skip
        self.words, self.at = words.tolist(), 0
        self.samples = samples
        rows = np.arange(samples) if order is None else order
        self.arguments = [x[rows] for x in arguments]
        self.indices = [i[rows] for i in indices]
        self.seeds = np.broadcast_to(np.asarray(seeds, np.float64), (samples,))
        head = self._take(12)
        n_parameters, computed, n_constants = head[2:5]
        self._take(head[5] + head[6])
        self.outputs = [np.full((samples, width), np.nan) for width in self._take(head[7])]
        self.v = np.concatenate([parameters, np.zeros(computed), constants[:n_constants]])
        self.g = np.zeros(n_parameters + computed)
        self.rows = constants[n_constants:]
        for _ in range(head[8]):
            self._stage()
        self.loss = 0.0
        if head[9] and samples:
            losses = self.outputs[head[9] - 1][:, 0]
            self.loss = add_in_order(losses[0], losses[1:])
        self.gradient = self.g[:n_parameters]

    def _take(self, n: int) -> list[int]:
        self.at += n
        return self.words[self.at - n : self.at]

    def _stage(self) -> None:
        lanes, slots, n_inputs, n_prologue, n_instructions, n_outputs, n_pool, n_rows, _ = self._take(9)
        inputs = [self._take(6) for _ in range(n_inputs)]
        instructions = [self._take(8) for _ in range(n_prologue + n_instructions)]
        outputs = [self._take(6) for _ in range(n_outputs)]
        self.pool = self._take(n_pool)
        own, self.rows = self.rows[:n_rows].reshape(-1, lanes or 1), self.rows[n_rows:]
        n = lanes or self.samples
        tasks = 1 if lanes else min(TASKS, max(1, n // TASK_SAMPLES))
        size = n if tasks == 1 else math.ceil(math.ceil(n / tasks) / LANES) * LANES
        block = np.zeros((slots, n))
        for move in inputs:
            self._input(block, own, move)
        sinks = [w for w in instructions if w[0] >> 8 & 255 == OTHER and w[0] & 255 in (OUTER, ACCUMULATE)]
        for words in instructions:
            if words not in sinks:
                self._instruction(block, words)
        starts = range(0, n, size) if n else []
        for start in starts:
            target = self.g if tasks == 1 else np.zeros_like(self.g)
            for words in sinks:
                self._sink(block[:, start : start + size], target, words)
            if tasks > 1:
                self.g = self.g + target
        self._outputs(block, outputs)

    def _input(self, block: Array, own: Array, move: list[int]) -> None:
        kind, slot, count, source, at, _ = move
        n = block.shape[1]
        if kind == ARGUMENT:
            block[slot : slot + count] = self.arguments[source][:, at : at + count].T
        elif kind == SEED:
            block[slot] = self.seeds
        elif kind == ROWS:
            block[slot : slot + count] = own[at : at + count]
        else:
            block[slot] = (self.v if kind == GATHER else self.g)[self.pool[at : at + n]]

    def _outputs(self, block: Array, moves: list[list[int]]) -> None:
        for kind, slot, count, source, at, _ in moves:
            if kind == OUTPUT:
                self.outputs[source][:, at : at + count] = block[slot : slot + count].T
            elif kind == SCATTER:
                self.v[at : at + block.shape[1]] = block[slot]
        for lane in range(block.shape[1]):
            for kind, slot, _, _, at, _ in moves:
                if kind == ADD_G:
                    self.g[self.pool[at + lane]] += block[slot, lane]

    def _instruction(self, block: Array, words: list[int]) -> None:
        code, z, a, b, c, d, width, at = words
        repeat, form, code = code >> 16, code >> 8 & 255, code & 255
        if form == OTHER:
            block[z : z + width] = self._other(block, words)
            return
        k = self.v[at] if OP_NAMES[code] in OPS and OPS[OP_NAMES[code]].kind == "constant" else 0.0
        for i in range(width):
            steps = [0 if repeat >> j & 1 else i for j in range(4)]
            operands = [block[x + s if x != NO_SLOT else a + steps[0]] for x, s in zip((a, b, c, d), steps)]
            block[z + i] = formula(form, code, *operands, k)

    def _other(self, block: Array, words: list[int]) -> Any:
        code, _, a, b, c, d, width, at = words
        pool, code = self.pool, code & 255
        if code == FILL:
            return self.v[a : a + width, None]
        if code == COPY:
            return block[a : a + width].copy()
        if code == SUM:
            return np.add.accumulate(block[pool[at : at + c]], axis=0)[-1] if c else 0.0
        if code == DOT:
            terms = [block[pool[at + 2 * i]] * block[pool[at + 2 * i + 1]] for i in range(c)]
            terms = terms if a == NO_SLOT else [block[a], *terms]
            return np.add.accumulate(terms, axis=0)[-1] if terms else 0.0
        if code == LOGSUMEXP:
            x = block[pool[at : at + c]]
            m = x.max(axis=0)
            total = np.add.accumulate(np.stack([_each(math.exp)(xi - m) for xi in x]), axis=0)[-1]
            return m + _each(math.log)(total)
        if code == PICK:
            return block[a + self.indices[b], np.arange(block.shape[1])]
        if code == PICK_DX:
            return np.where(self.indices[b] == np.arange(width)[:, None], block[a], 0.0)
        row, col = pool[at : at + width], pool[at + width : at + width + c]
        start = pool[at + width + c : at + 2 * width + c]
        x = block[a : a + c] if code == DENSE else block[a - c + 1 : a + 1][::-1]
        z = np.stack([self._row(x, start[r], [row[r] + j for j in col]) for r in range(width)])
        if d >> 8 or b == words[1]:
            for r in range(width if d else 0):
                h = block[b + r] if d >> 8 else z[r]
                z[r] = formula(d >> 8, d & 255, z[r], h, h, h, 0.0)
        elif d:
            for r in range(width):
                block[b + r] = formula(VALUE, d, z[r], z[r], z[r], z[r], 0.0)
        return z

    def _row(self, x: Array, start: int, places: list[int]) -> Array:
        terms = [np.full(x.shape[1], self.v[start]), *(self.v[p] * xi for p, xi in zip(places, x))]
        return np.add.accumulate(terms, axis=0)[-1]

    def _sink(self, block: Array, g: Array, words: list[int]) -> None:
        code, _, a, b, c, d, width, at = words
        if code & 255 == ACCUMULATE:
            for i in range(width):
                place = self.pool[at + i]
                g[place] = add_in_order(g[place], block[a + i])
            return
        for r in range(width):
            for j in range(c + d):
                place = self.pool[at + r] + self.pool[at + width + j]
                g[place] = add_in_order(g[place], block[a + r] * (block[b + j] if j < c else 1.0))
