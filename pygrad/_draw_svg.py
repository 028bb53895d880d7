"""Writes a picture as SVG, with its own layout: boxes, ellipses, curved edges with arrows, tooltips.

Plain shapes and text on a white ground, no script, no style sheet and no ids, so that several pictures can stand in
one page, dark or light.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from xml.sax.saxutils import escape, quoteattr

from ._draw_layout import Layout, Point, Size, layout
from ._draw_nodes import Diagram, Node
from ._draw_text import FONT_SIZE, width

FONTS = "'DejaVu Sans Mono', Menlo, Consolas, 'Liberation Mono', monospace"

COLOURS = {  # of each kind of node: ground, line
    "leaf": ("#e6f0fb", "#4a78b0"),
    "inputs": ("#e6f0fb", "#4a78b0"),
    "packed": ("#e6f0fb", "#4a78b0"),
    "constant": ("#eef1f4", "#7d8792"),
    "value": ("#ffffff", "#59636f"),
    "dot": ("#f1ecfa", "#7759a6"),
    "layer": ("#f1ecfa", "#7759a6"),
    "op": ("#fdf2d4", "#b08a2a"),
    "more": ("#f6f6f6", "#8a8f96"),
}
TEXT, LABEL, GRADIENT, EDGE, NOTE = "#1d2630", "#0b3a6e", "#a3391b", "#6b7480", "#8a5a00"
SHAPE = "#4d5a68"

_ROW = 24.0  # the height of a line of text in a box
_PADDING = 9.0  # beside a cell's text
_MARGIN = 14.0  # around the picture
_ARROW = 7.0

_Turn = Callable[[Point], tuple[float, float]]


def stacked(node: Node, rankdir: str) -> bool:
    """Whether the cells of a node stand below each other, not side by side."""
    return rankdir in ("TB", "BT") or node.kind in ("layer", "inputs") or node.shape is not None


def svg(diagram: Diagram) -> str:
    """The picture as an SVG document, without an XML declaration, so that it can stand in HTML too."""
    upright = diagram.rankdir in ("TB", "BT")
    extents = [_extent(node, diagram.rankdir) for node in diagram.nodes]
    sizes = [
        Size(h if upright else w, w if upright else h, node.kind == "op")
        for node, (w, h) in zip(diagram.nodes, extents)
    ]
    position = {node.key: i for i, node in enumerate(diagram.nodes)}
    placed = layout(sizes, [(position[e.tail], position[e.head]) for e in diagram.edges])
    top = _MARGIN + (_ROW if diagram.title else 0.0)
    turn = _turn(diagram.rankdir, placed.size, top)
    w, h = (placed.size.across, placed.size.along) if upright else (placed.size.along, placed.size.across)
    w = max([w, *(width(text) for text in [diagram.title, *diagram.notes])]) + 2 * _MARGIN
    bottom = top + h + _MARGIN
    h = bottom + _ROW * len(diagram.notes)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{w:.0f}" height="{h:.0f}" viewBox="0 0 {w:.0f} {h:.0f}" '
        f'role="img" aria-label={_attribute(diagram.title or "graph of Values")} '
        f'font-family="{FONTS}" font-size="{FONT_SIZE:g}" xml:space="preserve">',
        f'<rect class="ground" width="{w:.0f}" height="{h:.0f}" fill="white"/>',
    ]
    if diagram.title:
        lines.append(_text(_MARGIN, _MARGIN + _ROW / 2, diagram.title, TEXT, "title", "start", bold=True))
    lines += _edges(diagram, placed, turn)
    for node, (nw, nh), centre in zip(diagram.nodes, extents, placed.centres):
        x, y = turn(centre)
        lines += _node(node, x, y, nw, nh, stacked(node, diagram.rankdir))
    for i, note in enumerate(diagram.notes):
        lines.append(_text(_MARGIN, bottom + _ROW * (i + 0.3), note, NOTE, "note", "start"))
    lines.append("</svg>")
    return "\n".join(lines) + "\n"


def _attribute(text: str) -> str:
    return quoteattr(text, {"\n": "&#10;"})


def _extent(node: Node, rankdir: str) -> tuple[float, float]:
    """The width and the height of a node."""
    widths = [width(cell) + 2 * _PADDING for cell in node.cells]
    if node.kind == "op":
        return max(30.0, widths[0]), 30.0
    if stacked(node, rankdir):
        return max(widths), _ROW * len(widths)
    total = 0.0
    for cell in widths:
        total += cell
    return total, _ROW + 2


def _turn(rankdir: str, size: Point, top: float) -> _Turn:
    """From the layout's coordinates to those of the picture."""
    if rankdir == "LR":
        return lambda p: (_MARGIN + p.along, top + p.across)
    if rankdir == "RL":
        return lambda p: (_MARGIN + size.along - p.along, top + p.across)
    if rankdir == "TB":
        return lambda p: (_MARGIN + p.across, top + p.along)
    return lambda p: (_MARGIN + p.across, top + size.along - p.along)


def _text(x: float, y: float, text: str, colour: str, kind: str, anchor: str = "middle", bold: bool = False) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return (
        f'<text class="{kind}" x="{x:.1f}" y="{y + 0.35 * FONT_SIZE:.1f}" text-anchor="{anchor}" '
        f'fill="{colour}"{weight}>{escape(text)}</text>'
    )


def _node(node: Node, x: float, y: float, w: float, h: float, below: bool) -> list[str]:
    """A node with its middle at (x, y)."""
    ground, line = COLOURS[node.kind]
    heavy = 2.4 if node.root else 1.2
    lines = [f'<g class="node {node.kind}" data-key="{node.key}">', f"<title>{escape(node.tooltip)}</title>"]
    left, top = x - w / 2, y - h / 2
    style = f'fill="{ground}" stroke="{line}" stroke-width="{heavy}"'
    if node.kind == "op":
        lines.append(f'<ellipse cx="{x:.1f}" cy="{y:.1f}" rx="{w / 2:.1f}" ry="{h / 2:.1f}" {style}/>')
        return [*lines, _text(x, y, node.cells[0], TEXT, "op", bold=True), "</g>"]
    dashes = ' stroke-dasharray="3 3"' if node.kind == "more" else ""
    lines.append(
        f'<rect x="{left:.1f}" y="{top:.1f}" width="{w:.1f}" height="{h:.1f}" rx="5" {style}{dashes}/>'
    )
    at = top if below else left
    for i, cell in enumerate(node.cells):
        step = h / len(node.cells) if below else width(cell) + 2 * _PADDING
        if i:
            ends = (left, at, left + w, at) if below else (at, top, at, top + h)
            lines.append(
                '<line x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}" '.format(*ends)
                + f'stroke="{line}" stroke-width="0.7"/>'
            )
        kind = _cell_kind(node, i)
        colour = {"label": LABEL, "grad": GRADIENT, "shape": SHAPE}.get(kind, TEXT)
        cx, cy = (x, at + step / 2) if below else (at + step / 2, y)
        lines.append(_text(cx, cy, cell, colour, kind, bold=kind in ("label", "head")))
        at += step
    return [*lines, "</g>"]


def _cell_kind(node: Node, i: int) -> str:
    """'data' and 'grad' come last, after the shape of an array; before them a label, or what a dot product, a layer or
    packed parameters say of themselves."""
    if node.kind == "more":
        return "more"
    from_end = len(node.cells) - i
    if from_end <= 2:
        return "grad" if from_end == 1 else "data"
    if from_end == 3 and node.shape is not None:
        return "shape"
    if node.kind in ("leaf", "constant", "value"):
        return "label"
    return "head" if i == 0 else "about"


def _edges(diagram: Diagram, placed: Layout, turn: _Turn) -> list[str]:
    lines = []
    for edge, route in zip(diagram.edges, placed.routes):
        thick = 2.6 if edge.values > 1 else 1.2
        size = _ARROW * (1.5 if edge.values > 1 else 1.0)
        tip = route[-1]
        base = Point(tip.along - size, tip.across)
        points = [p for p in route[:-1] if p.along < base.along or p.across != tip.across] + [base]
        path = "M{:.1f} {:.1f}".format(*turn(points[0]))
        for p, q in pairwise(points):
            if p.across == q.across:
                path += " L{:.1f} {:.1f}".format(*turn(q))
            else:
                middle = (p.along + q.along) / 2
                curve = [turn(Point(middle, p.across)), turn(Point(middle, q.across)), turn(q)]
                path += " C" + " ".join(f"{x:.1f} {y:.1f}" for x, y in curve)
        corners = [tip, Point(base.along, tip.across - size * 0.42), Point(base.along, tip.across + size * 0.42)]
        arrow = " ".join("{:.1f},{:.1f}".format(*turn(p)) for p in corners)
        dashes = ' stroke-dasharray="3 3"' if edge.tail.endswith("more") else ""
        title = f"<title>{edge.values:,} values</title>" if edge.values > 1 else ""
        lines.append(
            f'<g class="edge" data-tail="{edge.tail}" data-head="{edge.head}">{title}'
            f'<path d="{path}" fill="none" stroke="{EDGE}" stroke-width="{thick}"{dashes}/>'
            f'<polygon points="{arrow}" fill="{EDGE}"/></g>'
        )
    return lines
