"""Words of a program, read back as lists: what encode.py wrote, as csrc/program.h describes it. Checks nothing."""

from __future__ import annotations

from dataclasses import dataclass

from .encode import Encoded


@dataclass
class StageWords:
    """One stage. Moves have 6 words, instructions 8; the rows are its own constants, one number a lane."""

    lanes: int
    slots: int
    inputs: list[list[int]]
    prologue: list[list[int]]
    instructions: list[list[int]]
    outputs: list[list[int]]
    pool: list[int]
    rows: list[float]


@dataclass
class Words:
    """A program: V is [parameters | computed | constants], G has gradients of the first two."""

    parameters: int
    computed: int
    constants: list[float]
    bounds: list[int]
    groups: list[int]
    loss: int
    stages: list[StageWords]


def read(encoded: Encoded) -> Words:
    """The program in its parts."""
    words: list[int] = encoded.words.tolist()
    numbers: list[float] = encoded.constants.tolist()
    at = 12
    _, _, parameters, computed, constants, arguments, indices, groups, stages, loss = words[:10]

    def take(n: int) -> list[int]:
        nonlocal at
        at += n
        return words[at - n : at]

    def take_each(n: int, size: int) -> list[list[int]]:
        return [take(size) for _ in range(n)]

    take(arguments)
    program = Words(parameters, computed, numbers[:constants], take(indices), take(groups), loss, [])
    behind = constants
    for _ in range(stages):
        lanes, slots, inputs, prologue, instructions, outputs, pool, rows, _ = take(9)
        parts = take_each(inputs, 6), take_each(prologue, 8), take_each(instructions, 8), take_each(outputs, 6)
        program.stages.append(StageWords(lanes, slots, *parts, take(pool), numbers[behind : behind + rows]))
        behind += rows
    return program
