"""What a picture consists of: nodes with text and edges between them, for the writers of SVG and of DOT.

Says what stands in each box. Knows neither shapes nor places.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ._draw_text import interval, number, printable, shorten
from ._draw_units import Unit, Units, units
from ._lazy import draw_arrays

_TOOLTIP_ITEMS = 12
_OP_COLUMNS = 24  # room for the longest name of a rule


class Node(NamedTuple):
    """A box or an op's ellipse."""

    key: str  # unique in the picture; a name in DOT
    kind: str  # 'leaf', 'constant', 'value', 'dot', 'layer', 'inputs', 'packed', 'op', 'more'
    cells: tuple[str, ...]  # its text, in order; one cell for 'op' and 'more'
    tooltip: str  # in full precision, several lines
    root: bool = False
    shape: tuple[int, ...] | None = None  # of an array Value


class Edge(NamedTuple):
    """From an operand towards a result."""

    tail: str
    head: str
    values: int = 1  # how many Values go along it


class Diagram(NamedTuple):
    """A whole picture, before it has a layout."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    rankdir: str
    title: str
    notes: tuple[str, ...]  # what was left out or folded


def diagram(
    roots: Sequence[Any], *, rankdir: str, max_nodes: int | None, collapse: str, digits: int, title: str
) -> Diagram:
    """The picture of what the roots depend on, with the numbers as they are now."""
    chosen = units(roots, collapse, max_nodes)
    nodes: list[Node] = []
    edges: list[Edge] = []
    for i, unit in enumerate(chosen.shown):
        box = _box(f"n{i}", unit, digits, i < chosen.roots)
        nodes.append(box)
        head = box.key
        op = unit.values[0]._op if unit.kind == "value" else ""
        if op:
            head = f"n{i}op"
            nodes.append(Node(head, "op", (shorten(printable(op), _OP_COLUMNS),), _call(op, unit, digits)))
            edges.append(Edge(head, box.key))
        if unit.missing:
            more = f"n{i}more"
            nodes.append(Node(more, "more", (f"… {unit.missing:,} more",), "operands that are not shown"))
            edges.append(Edge(more, head))
        edges += [Edge(f"n{k}", head, count) for k, count in unit.operands]
    return Diagram(tuple(nodes), tuple(edges), rankdir, printable(title), _notes(chosen, collapse))


def _box(key: str, unit: Unit, digits: int, root: bool) -> Node:
    values = unit.values
    data = values[0].data
    shape = None if type(data) is float else data.shape
    tooltip = "\n".join(map(_full, values[:_TOOLTIP_ITEMS]))
    if len(values) > _TOOLTIP_ITEMS:
        tooltip += f"\n… {len(values) - _TOOLTIP_ITEMS:,} more"
    cells = [shorten(printable(values[0].label))] if len(values) == 1 and values[0].label else []
    kind = unit.kind
    if kind == "value" and not values[0]._op and not values[0].operands:
        kind = "constant" if unit.constant else "leaf"
    elif kind == "dot":
        bias = "" if unit.bias is None else f", bias {number(unit.bias.data, digits)}"
        cells.append(f"dot of {unit.size}{bias}")
        weights = ", ".join(number(w.data, digits) for w in unit.weights[:_TOOLTIP_ITEMS])
        tooltip += f"\nweights: {weights}{', …' if len(unit.weights) > _TOOLTIP_ITEMS else ''}"
    elif kind == "layer":
        activation = f", {shorten(printable(unit.activation), _OP_COLUMNS)}" if unit.activation else ""
        cells.append(f"layer {unit.size} → {len(values)}{activation}")
        cells.append(_parameters(unit.parameters))
    elif kind == "inputs":
        cells.append(f"{len(values):,} inputs")
    elif kind == "packed":
        cells.append(_parameters(len(unit.weights)))
    cells += _numbers(unit, digits)
    return Node(key, kind, tuple(cells), tooltip, root, shape)


def _parameters(count: int) -> str:
    return f"{count:,} parameter{'s' if count != 1 else ''}"


def _numbers(unit: Unit, digits: int) -> list[str]:
    """The last cells: of an array its shape, and then data and gradient."""
    values = unit.values
    data = values[0].data
    if type(data) is float:
        grad = "none" if unit.constant else interval([v.grad for v in values], digits)
        return [f"data {interval([v.data for v in values], digits)}", f"grad {grad}"]
    grad = "none" if unit.constant else draw_arrays.summary(_grad(unit), digits)
    return [draw_arrays.shape_text(data), f"data {draw_arrays.summary(data, digits)}", f"grad {grad}"]


def _grad(unit: Unit) -> Any:
    """The gradient of an array; of a packed one, which hands it on, that of its parameters."""
    v = unit.values[0]
    if unit.kind == "packed":
        return draw_arrays.packed_grad(v, unit.weights)
    return draw_arrays.grad(v)


def _full(v: Any) -> str:
    """Everything a Value says of itself: one line; of an array, cut short where it is large, several."""
    name = f"{printable(v.label)}: " if v.label else ""
    if type(v.data) is not float:
        return f"{name}{draw_arrays.in_full(v)}"
    return f"{name}data {shorten(printable(repr(v.data)), 60)}, grad {shorten(printable(repr(v.grad)), 60)}"


def _call(op: str, unit: Unit, digits: int) -> str:
    """The op with its operands in order, which the picture itself does not show: '-(a, 2.0000)'; and its options."""
    operands, record = unit.values[0].operands, unit.values[0]._record
    named = [printable(x.label) or number(x.data, digits) for x in operands[:_TOOLTIP_ITEMS]]
    call = f"{printable(op)}({', '.join(named)}{', …' if len(operands) > _TOOLTIP_ITEMS else ''})"
    if record is None or record[1] is None or isinstance(record[1], float):
        return call
    return f"{call}\noptions: {shorten(printable(repr(record[1])), 100)}"


def _notes(chosen: Units, collapse: str) -> tuple[str, ...]:
    notes = []
    more_than = "" if chosen.complete else "more than "
    if len(chosen.shown) < chosen.total or not chosen.complete:
        what = "values" if chosen.mode == "none" else "boxes"
        notes.append(
            f"{len(chosen.shown):,} of {more_than}{chosen.total:,} {what} shown, those nearest to the root; "
            f"max_nodes=None shows all"
        )
    if collapse == "auto" and chosen.mode != "none":
        how = "by layer"
        if chosen.mode == "dot":
            arrays = any(unit.kind == "packed" for unit in chosen.shown)
            how = "with parameters in their arrays" if arrays else "weights and biases in their dot products"
        notes.append(f"{more_than}{chosen.values:,} values, drawn {how}; collapse='none' shows each")
    return tuple(notes)
