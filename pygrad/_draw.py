"""Pictures of graphs: draw, micrograd's draw_dot and trace, and the Picture that a notebook shows or save() writes.

Needs no graphviz: pygrad lays the graph out and writes SVG, HTML and DOT itself. A picture is a snapshot; it does
not follow the graph afterwards.
"""

from __future__ import annotations

import html
import os
import webbrowser
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

from . import _checks, _draw_dot, _draw_svg
from ._draw_nodes import Diagram, Edge, Node, diagram
from ._draw_units import MODES
from ._graph import topological_order

_RANKDIRS = ("LR", "TB", "RL", "BT")
_SUFFIXES = {"gv": "dot", "htm": "html"}
_FORMATS = ("svg", "html", "dot", "png", "pdf")


class Picture:
    """A picture of a graph, as draw() makes it. A notebook shows it; save() writes it.

    nodes and edges: what is in it (each node with key, kind and cells; each edge with the keys tail and head).
    note: what was left out or folded, '' if nothing. Also usable as graphviz.Digraph is in micrograd's notebook:
    source, format, render(), pipe().
    """

    def __init__(self, of: Diagram, form: str = "svg") -> None:
        self._diagram = of
        self.format = _format(form)

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The boxes and ellipses."""
        return self._diagram.nodes

    @property
    def edges(self) -> tuple[Edge, ...]:
        """The arrows, from operand to result."""
        return self._diagram.edges

    @property
    def note(self) -> str:
        """What was left out or folded, as it stands under the picture."""
        return "\n".join(self._diagram.notes)

    @cached_property
    def svg(self) -> str:
        """The picture as SVG."""
        return _draw_svg.svg(self._diagram)

    @cached_property
    def dot(self) -> str:
        """The picture in DOT, the language of graphviz."""
        return _draw_dot.dot(self._diagram)

    @property
    def source(self) -> str:
        """The same as dot, under graphviz's name."""
        return self.dot

    @property
    def html(self) -> str:
        """A page with the picture."""
        title = html.escape(self._diagram.title or "pygrad")
        return (
            f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title></head>\n'
            f'<body style="margin: 0; background: white">\n{self.svg}</body></html>\n'
        )

    def pipe(self, format: str | None = None) -> bytes:  # noqa: A002  # graphviz's name
        """The picture as the bytes of a file; format is 'svg', 'html', 'dot', 'png' or 'pdf'.

        Raises ValueError for another format; RuntimeError for png and pdf if graphviz is not installed.
        """
        form = _format(self.format if format is None else format)
        if form in ("png", "pdf"):
            return _draw_dot.run(self.dot, form)
        return (self.svg if form == "svg" else self.html if form == "html" else self.dot).encode()

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Writes the picture to a file whose suffix says what to write: .svg, .html, .dot or .gv, .png, .pdf.

        Returns the path. Raises ValueError for another suffix; RuntimeError for .png and .pdf if graphviz is not
        installed.
        """
        path = Path(path)
        if not path.suffix:
            raise ValueError(f"{str(path)!r} has no suffix to say what to write: use .svg, .html, .dot, .png or .pdf")
        path.write_bytes(self.pipe(path.suffix[1:]))
        return path

    def render(
        self,
        filename: str | os.PathLike[str] | None = None,
        directory: str | os.PathLike[str] | None = None,
        view: bool = False,
        cleanup: bool = False,
        *,
        format: str | None = None,  # noqa: A002  # graphviz's name
    ) -> str:
        """As graphviz.Digraph.render: writes the DOT to filename and the picture to filename.format.

        filename: 'Digraph.gv' if not given. view opens the picture; cleanup removes the DOT again. Returns the
        path of the picture. Raises as pipe() does.
        """
        form = _format(self.format if format is None else format)
        source = Path(directory or ".") / Path("Digraph.gv" if filename is None else filename)
        content = self.pipe(form)
        source.parent.mkdir(parents=True, exist_ok=True)
        source.write_text(self.dot, encoding="utf-8")
        picture = source.with_name(f"{source.name}.{form}")
        picture.write_bytes(content)
        if cleanup:
            source.unlink()
        if view:
            webbrowser.open(picture.resolve().as_uri())
        return str(picture)

    def _repr_svg_(self) -> str:
        return self.svg

    def __str__(self) -> str:
        return self.dot

    def __repr__(self) -> str:
        return f"<Picture of {len(self.nodes)} nodes and {len(self.edges)} edges>"


def _format(form: str) -> str:
    known = _SUFFIXES.get(form.lower(), form.lower())
    if known not in _FORMATS:
        raise ValueError(f"pygrad draws {', '.join(_FORMATS)}, not {form!r}")
    return known


def draw(
    root: Any,
    *,
    rankdir: str = "LR",
    max_nodes: int | None = 200,
    collapse: str | None = "auto",
    digits: int = 4,
    title: str = "",
) -> Picture:
    """A picture of the graph under a Value, or under several: label, data, grad and op of each.

    rankdir: where results are seen from their operands: 'LR' (to the right), 'TB' (below), 'RL', 'BT'.
    max_nodes: how many boxes at most, those nearest to the root; None for all. What is left out is noted.
    collapse: 'none' (or None) draws each Value; 'dot' folds weights and biases into their dot products, and the
    parameters of a layer on batches into the arrays that they enter it as; 'layer' also gathers dot products of the
    same inputs, with their activation, into one box, and a layer's unlabelled inputs into another; 'auto' takes the
    first of the three that is readable.
    digits: decimals of data and grad; full precision is in the tooltips.

    An array Value shows its shape (and its dtype, if not float64), and of its numbers all, if they are few, or the
    least, the greatest and the mean. A number or array that stands beside array Values is a constant without a
    gradient, drawn in grey.

    A notebook shows the picture; `draw(loss).save("loss.svg")` writes it (.svg, .html, .dot; with graphviz also
    .png and .pdf). Raises TypeError if root is neither a Value nor an iterable of them, ValueError for an option
    that is none of the above.

    >>> from pygrad import Value
    >>> a = Value(2.0, label="a")
    >>> picture = draw(a * a)
    >>> picture
    <Picture of 3 nodes and 3 edges>
    >>> picture.nodes[-1].cells
    ('a', 'data 2.0000', 'grad 0.0000')
    """
    return Picture(_drawn(root, rankdir, max_nodes, collapse, digits, title))


def draw_dot(
    root: Any,
    format: str = "svg",  # noqa: A002  # micrograd's name
    rankdir: str = "LR",
    *,
    max_nodes: int | None = 200,
    collapse: str | None = "auto",
) -> Picture:
    """As in micrograd's notebook: a picture of the graph under root, with source, format, render() and pipe().

    format: what render() writes. The other arguments, and what is raised, are those of draw().
    """
    return Picture(_drawn(root, rankdir, max_nodes, collapse, 4, ""), format)


def trace(root: Any) -> tuple[set[Any], set[tuple[Any, Any]]]:
    """As in micrograd's notebook: the set of all Values under root, and the set of edges (operand, result).

    Raises TypeError if root is no Value.
    """
    if not _checks.is_value(root):
        raise TypeError(f"trace takes a Value, not {type(root).__name__}")
    nodes = topological_order(root)
    return set(nodes), {(operand, v) for v in nodes for operand in v.operands}


def _drawn(
    root: Any, rankdir: str, max_nodes: int | None, collapse: str | None, digits: int, title: str
) -> Diagram:
    """Checks the arguments, and makes the diagram."""
    mode = "none" if collapse is None else collapse
    if rankdir not in _RANKDIRS:
        raise ValueError(f"rankdir must be one of {', '.join(_RANKDIRS)}, not {rankdir!r}")
    if mode not in MODES:
        raise ValueError(f"collapse must be one of {', '.join(MODES)}, not {collapse!r}")
    if max_nodes is not None and _checks.size(max_nodes, "max_nodes") < 1:
        raise ValueError("max_nodes must be at least 1, or None for all")
    return diagram(
        _roots(root),
        rankdir=rankdir,
        max_nodes=max_nodes,
        collapse=mode,
        digits=_checks.size(digits, "digits"),
        title=_checks.text(title, "title"),
    )


def _roots(root: Any) -> list[Any]:
    if _checks.is_value(root):
        return [root]
    if not isinstance(root, Iterable):
        raise TypeError(f"draw takes a Value or several of them, not {type(root).__name__}")
    roots = list(getattr(root, "flat", root))  # of an object array every element
    for v in roots:
        if not _checks.is_value(v):
            raise TypeError(f"draw takes a Value or several of them, not a {type(root).__name__} with {v!r} in it")
    if not roots:
        raise ValueError(f"there is nothing to draw in an empty {type(root).__name__}")
    return roots
