"""What of a graph is drawn: a breadth-first walk from the roots, dot products, layers and packed parameters folded, a
limit on boxes.

Turns Values into units, each of which becomes one box. Nothing here knows how a box looks. No recursion, and no walk
through more of the graph than is needed to say what was left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

WALK_LIMIT = 100_000
"""How many Values are looked at when only some are to be drawn."""

SMALL = 60
"""A graph of up to so many Values is drawn whole by collapse='auto'; otherwise so many boxes at most as dots."""

MISSING = -1
"""Stands for an operand that the walk did not reach."""

MODES = ("auto", "none", "dot", "layer")

ACTIVATIONS = frozenset({"relu", "leaky_relu", "elu", "silu", "gelu", "tanh", "sigmoid", "softplus"})
"""Ops that belong to the layer before them."""


class Walk(NamedTuple):
    """Part of a graph, nearest to the roots first."""

    values: list[Any]
    operands: list[tuple[int, ...]]  # of each value: positions in `values`, or MISSING
    complete: bool


@dataclass
class Unit:
    """What becomes one box: a Value, a dot product with its weights and bias, a layer, a layer's inputs, or an array
    with the scalars that were packed into it."""

    kind: str  # 'value', 'dot', 'layer', 'inputs', 'packed'
    values: list[Any]  # whose data and grad it shows: several for a layer and for inputs
    weights: list[Any] = field(default_factory=list)  # of a dot: those that are leaves, and so have no box; packed: all
    bias: Any = None  # of a dot, likewise
    size: int = 0  # of a dot and a layer: the number of inputs
    parameters: int = 0  # of a layer
    activation: str = ""  # of a layer: the op's symbol
    operands: list[tuple[int, int]] = field(default_factory=list)  # (position among the units, number of values)
    missing: int = 0  # how many operands have no box
    constant: bool = False  # a leaf whose gradient nothing asks for: a number or an array beside array Values


class Units(NamedTuple):
    """The units to draw, nearest to the roots first, and how much there is beside them."""

    shown: list[Unit]
    roots: int  # the first so many are the roots
    total: int  # units, shown or not
    values: int  # Values looked at
    complete: bool  # whether those were all
    mode: str  # 'none', 'dot' or 'layer'


def walk(roots: Iterable[Any], limit: int | None) -> Walk:
    """The roots and what they depend on, breadth-first, operands left to right; at most `limit` Values."""
    values: list[Any] = []
    position: dict[int, int] = {}  # by identity: a subclass may compare and hash as it likes
    rows: list[tuple[int, ...]] = []
    complete = True
    for v in roots:
        if id(v) not in position:
            position[id(v)] = len(values)
            values.append(v)
    i = 0
    while i < len(values):
        row = []
        for x in values[i].operands:
            k = position.get(id(x), MISSING)
            if k == MISSING and (limit is None or len(values) < limit):
                k = position[id(x)] = len(values)
                values.append(x)
            complete = complete and k != MISSING
            row.append(k)
        rows.append(tuple(row))
        i += 1
    return Walk(values, rows, complete)


def units(roots: Sequence[Any], collapse: str, max_nodes: int | None) -> Units:
    """The units to draw. collapse is one of MODES; max_nodes is how many boxes there may be, None for all."""
    graph = walk(roots, None if max_nodes is None else max(WALK_LIMIT, max_nodes))
    count = len({id(v) for v in roots})
    mode = collapse
    if collapse == "auto":
        mode = _choose(graph, count)
    found = _fold(graph, count, mode)
    ids = {id(v) for v in roots}
    heads = sum(any(id(v) in ids for v in unit.values) for unit in found[:count])
    shown = found if max_nodes is None else found[:max_nodes]
    for unit in shown:
        cut = [k for k, _ in unit.operands if k >= len(shown)]
        unit.missing += len(set(cut))
        unit.operands = [(k, n) for k, n in unit.operands if k < len(shown)]
    return Units(shown, heads, len(found), len(graph.values), graph.complete, mode)


def _choose(graph: Walk, roots: int) -> str:
    everything = range(len(graph.values))
    packed = any(_is_packed(graph, i) for i in everything)
    if not packed and (len(graph.values) <= SMALL or not any(_is_dot(graph, i) for i in everything)):
        return "none"
    return "dot" if len(_fold(graph, roots, "dot")) <= SMALL else "layer"


def _is_dot(graph: Walk, i: int) -> bool:
    row = graph.operands[i]
    if not row or MISSING in row:
        return False
    v = graph.values[i]
    return v._state()[0] == "dot" and v._record is None  # two arrays have another op of that name


def _is_packed(graph: Walk, i: int) -> bool:
    """Whether it is an array that scalar leaves were packed into."""
    row = graph.operands[i]
    if not row or MISSING in row or any(graph.operands[k] for k in row):
        return False
    record = graph.values[i]._record
    return record is not None and record[0].name == "pack"


def _constants(graph: Walk, roots: int) -> set[int]:
    """The leaves that no op asks a gradient for. None if some ops were not looked at."""
    if not graph.complete:
        return set()
    used: set[int] = set()
    wanted = set(range(roots))
    for v, row in zip(graph.values, graph.operands):
        used.update(row)
        record = v._record
        wanted.update(row if record is None else (k for k, w in zip(row, record[2]) if w))
    return {k for k in used - wanted if not graph.operands[k] and not graph.values[k]._op}


def _parts(row: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """The weights, the bias (or nothing) and the inputs of a dot product."""
    n = len(row) // 2
    return row[:n], row[n : len(row) - n], row[len(row) - n :]


def _fold(graph: Walk, roots: int, mode: str) -> list[Unit]:
    """All units of the graph, breadth-first, in the given mode."""
    rows = list(graph.operands)
    constants = _constants(graph, roots)
    dots: set[int] = set()
    packed: set[int] = set()
    if mode != "none":
        packed = {i for i in range(len(rows)) if _is_packed(graph, i)}
        for i in packed:
            rows[i] = ()
        dots = {i for i in range(len(rows)) if _is_dot(graph, i)}
        for i in dots:
            weights, bias, inputs = _parts(rows[i])
            rows[i] = tuple(k for k in weights + bias if rows[k]) + inputs  # leaves among the parameters are folded
    stands_for = list(range(len(rows)))  # the Value whose position is that of the unit
    layers: dict[int, Unit] = {}
    if mode == "layer":
        layers = _layers(graph, rows, dots, roots, stands_for)
    made: list[Unit] = []
    position: dict[int, int] = {}
    order: list[int] = []
    for i in range(roots):
        if stands_for[i] not in position:
            position[stands_for[i]] = len(order)
            order.append(stands_for[i])
    at = 0
    while at < len(order):
        i = order[at]
        unit = layers.get(i) or _single(graph, i, i in dots, i in packed)
        unit.constant = i in constants
        tails: dict[int, int] = {}
        for k in rows[i]:
            if k == MISSING:
                unit.missing += 1
                continue
            k = stands_for[k]
            if k not in position:
                position[k] = len(order)
                order.append(k)
            if k in layers:
                tails[k] = tails.get(k, 0) + 1
            else:
                unit.operands.append((position[k], 1))
        unit.operands += [(position[k], n) for k, n in tails.items()]
        made.append(unit)
        at += 1
    return made


def _single(graph: Walk, i: int, is_dot: bool, is_packed: bool) -> Unit:
    if is_packed:
        return Unit("packed", [graph.values[i]], [graph.values[k] for k in graph.operands[i]])
    if not is_dot:
        return Unit("value", [graph.values[i]])
    weights, bias, inputs = _parts(graph.operands[i])
    folded = [graph.values[k] for k in weights if not graph.operands[k]]
    start = [graph.values[k] for k in bias if not graph.operands[k]]
    return Unit("dot", [graph.values[i]], folded, start[0] if start else None, len(inputs))


def _layers(
    graph: Walk, rows: list[tuple[int, ...]], dots: set[int], roots: int, stands_for: list[int]
) -> dict[int, Unit]:
    """Groups dot products of the same inputs, with their activation, and the unlabelled leaves that only they use.

    Returns the groups by the position that stands for each; enters it in stands_for, and their operands in rows.
    """
    consumers: list[list[int]] = [[] for _ in rows]
    for i, row in enumerate(rows):
        for k in row:
            if k != MISSING:
                consumers[k].append(i)
    groups: dict[tuple[tuple[int, ...], str], list[tuple[int, int]]] = {}
    for i in sorted(dots):
        weights, bias, inputs = _parts(graph.operands[i])
        if any(graph.operands[k] for k in weights + bias):
            continue  # a weight that is itself computed
        out, activation = i, ""
        if i >= roots and len(consumers[i]) == 1 and graph.values[consumers[i][0]]._state()[0] in ACTIVATIONS:
            out = consumers[i][0]
            activation = graph.values[out]._op
        groups.setdefault((inputs, activation), []).append((i, out))
    found: dict[int, Unit] = {}
    for (inputs, activation), members in groups.items():
        first = min(out for _, out in members)  # the roots come first
        parameters = {k for i, _ in members for part in _parts(graph.operands[i])[:2] for k in part}
        outputs = [graph.values[out] for _, out in members]
        found[first] = Unit(
            "layer", outputs, size=len(inputs), parameters=len(parameters), activation=activation
        )
        rows[first] = inputs
        for i, out in members:
            stands_for[i] = stands_for[out] = first
    for first in list(found):
        leaves = [
            k
            for k in dict.fromkeys(rows[first])
            if k >= roots
            and not rows[k]
            and not graph.values[k].label
            and not graph.values[k]._op
            and all(stands_for[c] == first for c in consumers[k])
        ]
        if len(leaves) > 1:
            found[leaves[0]] = Unit("inputs", [graph.values[k] for k in leaves])
            for k in leaves:
                stands_for[k] = leaves[0]
    return found
