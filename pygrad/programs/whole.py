"""Programs of functions without arguments, such as a loss that goes through its data set itself.

lanes.py finds the parts that are one expression over other leaves, the samples of a data set say; each part becomes a
stage over its lanes, what is left one of one lane, and the last one gives the outputs. For gradients the parts are gone
through backwards. Parts whose gradient is known before they have run, as that of the terms of a sum, run once only,
forwards and backwards together; any other is computed again on the way back.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .code import Code
from .differentiate import depends, differentiate
from .encode import Encoded, Shape, Stage, encode, output_targets
from .lane_parts import Part, Split
from .lanes import find_lanes
from .listing import counted
from .pipeline import Passes, Signature, prepared, tidied, trained_leaves


@dataclass
class _Plan:
    """Parts with the places of their values in V."""

    parts: list[Part]
    final: Code
    base: list[list[int]] = field(default_factory=list)  # of each output of each part: the place of its first lane
    computed: int = 0


def build_whole(code: Code, signature: Signature, what: str, exact: bool, passes: Passes) -> Encoded:
    """The program for 'value' or 'gradient', as one run of one sample without arguments."""
    plan = _planned(code, find_lanes(code), signature, exact, passes)
    if what == "value":
        stages = [_forward(plan, number) for number in range(len(plan.parts))]
        stages.append(_last(tidied(plan.final), signature.groups))
        groups, loss = signature.groups, int(signature.groups[0] == 1)
    else:
        stages = _with_gradient(plan, signature, passes)
        groups, loss = [1], 1
    shape = Shape(signature.parameters, plan.computed, (), (), groups, loss)
    return encode(shape, stages)


def _planned(code: Code, split: Split, signature: Signature, exact: bool, passes: Passes) -> _Plan:
    """Places for all results, and leaves that name them."""
    plan = _Plan([], Code())
    place: dict[int, int] = {i: k for i, (op, k) in enumerate(zip(code.ops, code.ks)) if op == "parameter"}
    for part in split.parts:
        base = []
        for numbers in part.outputs:
            first = signature.parameters + plan.computed
            base.append(first)
            place.update(zip(numbers.tolist(), range(first, first + part.lanes)))
            plan.computed += part.lanes
        plan.base.append(base)
    for number, part in enumerate(split.parts):
        local = part.code.copy()
        local.ks = [
            place[k] - signature.parameters if op == "shared" else k for op, k in zip(local.ops, local.ks)
        ]
        local = prepared(local, exact, passes, f"part {number + 1}, {counted(part.lanes, 'lane')}: ")
        rows = [row if row.dtype.kind == "f" else np.array([place[i] for i in row.tolist()]) for row in part.rows]
        plan.parts.append(Part(part.lanes, local, rows, part.outputs))
    if plan.parts and plan.parts[-1].lanes == 1:  # it gives the outputs itself
        last = plan.parts.pop()
        base = plan.base.pop()
        plan.computed -= len(base)
        plan.final = last.code
        at = {int(numbers[0]): value for numbers, value in zip(last.outputs, last.code.outputs)}
    else:
        at = {}
    plan.final.outputs = [
        at[i] if i in at else _leaf(plan.final, code, i, place, signature.parameters) for i in split.outputs
    ]
    passes.add("the last part", plan.final)
    return plan


def _leaf(final: Code, code: Code, i: int, place: dict[int, int], parameters: int) -> int:
    """An output that is a result of another part, or a leaf itself."""
    if code.ops[i] in ("constant", "parameter"):
        return final.add(code.ops[i], (), code.ks[i])
    return final.add("shared", (), place[i] - parameters)


def _sources(part: Part) -> list[tuple[Any, ...]]:
    return [("rows" if row.dtype.kind == "f" else "gather", row.tolist()) for row in part.rows]


def _forward(plan: _Plan, number: int) -> Stage:
    part = plan.parts[number]
    targets = [("scatter", base) for base in plan.base[number]]
    return Stage(f"part {number + 1}", tidied(part.code), part.lanes, _sources(part), targets)


def _last(code: Code, groups: list[int]) -> Stage:
    return Stage("last part", code, 0, (), output_targets(groups))


# ---- gradients ----


def _with_gradient(plan: _Plan, signature: Signature, passes: Passes) -> list[Stage]:
    """Forwards through the parts, backwards through those that could not do both at once."""
    final = plan.final.copy()
    final.outputs = final.outputs[:1]
    wanted: dict[int, int | None] = {
        i: signature.parameters + k for i, (op, k) in enumerate(zip(final.ops, final.ks)) if op == "shared"
    }
    differentiate(
        final, {final.outputs[0]: final.add("constant", (), 1.0)}, {**wanted, **trained_leaves(final, signature)}
    )
    final = tidied(final)
    used_by_parts = _used_by_parts(plan, signature)
    effects = _effects_by_place(final)
    later = depends(final, [i for i, op in enumerate(final.ops) if op == "shared"])
    stages: list[Stage] = []
    backwards: list[int] = []
    dropped: set[int] = set()
    for number, part in enumerate(plan.parts):
        places = {base + lane for base in plan.base[number] for lane in range(part.lanes)}
        early = None if used_by_parts & places else _known_before(final, places, effects, later)
        if early is None:
            stages.append(_forward(plan, number))
            backwards.append(number)
            continue
        seeds = _seeds(plan, number, early, final)
        if seeds is None:  # they differ from lane to lane: through G
            stages.append(Stage("gradient of the last part", _only(final, early), 1))
        dropped.update(early)
        stages.append(_both(plan, number, signature, seeds, forward=True))
        passes.add(f"part {number + 1}, differentiated", stages[-1].code)
    if dropped:
        final.outputs = [i for i in final.outputs if i not in dropped]
        final = tidied(final)
    passes.add("the last part, differentiated", final)
    stages.append(_last(final, [1]))
    for number in reversed(backwards):
        stages.append(_both(plan, number, signature, None, forward=False))
        passes.add(f"part {number + 1}, backwards", stages[-1].code)
    return stages


def _used_by_parts(plan: _Plan, signature: Signature) -> set[int]:
    """Places in V that parts read of each other."""
    used: set[int] = set()
    for part in plan.parts:
        used.update(signature.parameters + k for op, k in zip(part.code.ops, part.code.ks) if op == "shared")
        for row in part.rows:
            if row.dtype.kind == "i":
                used.update(row.tolist())
    return used


def _effects_by_place(final: Code) -> dict[int, list[int]]:
    """By place in G the effects on it."""
    effects: dict[int, list[int]] = {}
    for i in final.outputs:
        op, k = final.ops[i], final.ks[i]
        for place in (k,) if op == "accumulate" else k if op == "outer" else ():
            effects.setdefault(place, []).append(i)
    return effects


def _known_before(
    final: Code, places: set[int], effects: dict[int, list[int]], later: list[bool]
) -> list[int] | None:
    """The effects on these places in G, if all are known before any part has run. later: which values are not."""
    found = sorted({i for place in places for i in effects.get(place, ())})
    for i in found:
        if later[i] or (final.ops[i] == "outer" and not places.issuperset(final.ks[i])):
            return None
    return found


def _seeds(plan: _Plan, number: int, effects: list[int], final: Code) -> list[float | None] | None:
    """Of each output the constant that its gradient is in all lanes, None for one without; None if one is otherwise."""
    given: dict[int, list[int]] = {}
    for i in effects:
        if final.ops[i] != "accumulate":
            return None
        given.setdefault(final.ks[i], []).append(final.args[i][0])
    seeds: list[float | None] = []
    for base in plan.base[number]:
        lanes = [given.get(base + lane, []) for lane in range(plan.parts[number].lanes)]
        if not any(lanes):
            seeds.append(None)
            continue
        first = lanes[0]
        if len(first) != 1 or final.ops[first[0]] != "constant" or any(lane != first for lane in lanes):
            return None
        seeds.append(final.ks[first[0]])
    return seeds


def _only(final: Code, effects: list[int]) -> Code:
    code = final.copy()
    code.outputs = list(effects)
    return tidied(code)


def _both(
    plan: _Plan, number: int, signature: Signature, constants: list[float | None] | None, forward: bool
) -> Stage:
    """A part with its gradient. constants: what the gradients of its outputs start from; None: from G."""
    part = plan.parts[number]
    code = part.code.copy()
    values = list(code.outputs)
    sources = _sources(part)
    wanted: dict[int, int | None] = {**trained_leaves(code, signature)}
    columns: dict[int, Any] = {}
    for i, (op, k) in enumerate(zip(code.ops, code.ks)):
        if op == "shared":
            wanted[i] = signature.parameters + k
        elif op == "input" and part.rows[k].dtype.kind == "i":
            wanted[i] = None
            columns[i] = part.rows[k].tolist()
    seeds: dict[int, int] = {}
    for j, value in enumerate(values):
        if constants is None:
            base = plan.base[number][j]
            seeds[value] = code.add("input", (), len(sources))
            sources.append(("gather_g", list(range(base, base + part.lanes))))
        elif (seed := constants[j]) is not None:
            seeds[value] = code.add("constant", (), seed)
    if not forward:
        code.outputs = []
    found = differentiate(code, seeds, wanted)
    targets: list[tuple[Any, ...]] = [("scatter", base) for base in plan.base[number]] if forward else []
    added = [(derivative, columns[i]) for i, derivative in found.items() if derivative is not None]
    for derivative, places in _from_the_last_place(added):
        code.outputs.append(derivative)
        targets.append(("add_g", places))
    name = f"part {number + 1}" if forward else f"part {number + 1}, backwards"
    return Stage(name, tidied(code), part.lanes, sources, targets)


def _from_the_last_place(added: list[tuple[int, list[int]]]) -> list[tuple[int, list[int]]]:
    """Values with their places in G for each lane, by descending place where all are neighbours from lane to lane. Done
    one after the other, these add to a place in the order of the lanes: csrc/program_run.c does so."""
    if any(places != list(range(places[0], places[0] + len(places))) for _, places in added):
        return added
    return sorted(added, key=lambda pair: -pair[1][0])
