r"""Writes a picture in DOT, the language of graphviz, and has graphviz draw it where it is installed.

DOT needs no graphviz to be written. Only formats that pygrad does not write itself (PNG, PDF) are left to it.
"""

from __future__ import annotations

import re
import shutil
import subprocess

from ._draw_nodes import Diagram, Node
from ._draw_svg import COLOURS, EDGE, stacked

# the sides at which an edge leaves and enters
_PORTS = {"LR": ("e", "w"), "RL": ("w", "e"), "TB": ("s", "n"), "BT": ("n", "s")}


def dot(diagram: Diagram) -> str:
    """The picture as a DOT document."""
    caption = "".join(rf"{_escape(text)}\l" for text in (diagram.title, *diagram.notes) if text)
    leaves, enters = _PORTS[diagram.rankdir]
    lines = [
        "digraph pygrad {",
        f'  graph [rankdir={diagram.rankdir}, bgcolor=white, fontname="monospace", fontsize=12, '
        f'label="{caption}", labeljust=l]',
        '  node [fontname="monospace", fontsize=11, style=filled, height=0.3]',
        f'  edge [color="{EDGE}", arrowsize=0.7, tailport={leaves}, headport={enters}]',
    ]
    lines += [f"  {node.key} [{_attributes(node, diagram.rankdir)}]" for node in diagram.nodes]
    for edge in diagram.edges:
        style = " [penwidth=2.5]" if edge.values > 1 else " [style=dashed]" if edge.tail.endswith("more") else ""
        lines.append(f"  {edge.tail} -> {edge.head}{style}")
    return "\n".join([*lines, "}"]) + "\n"


def _attributes(node: Node, rankdir: str) -> str:
    ground, line = COLOURS[node.kind]
    common = f'fillcolor="{ground}", color="{line}", tooltip="{_escape(node.tooltip)}"'
    if node.root:
        common += ", penwidth=2"
    if node.kind == "op":
        return f'shape=ellipse, width=0.4, label="{_escape(node.cells[0])}", {common}'
    if node.kind == "more":
        return f'shape=box, style="filled,dashed", label="{_escape(node.cells[0])}", {common}'
    label = " | ".join(_escape_field(cell) for cell in node.cells)
    if stacked(node, rankdir) == (rankdir in ("TB", "BT")):
        label = f"{{ {label} }}"  # in graphviz a record's fields follow rankdir only inside braces
    return f'shape=record, label="{label}", {common}'


def _escape(text: str) -> str:
    r"""Text inside double quotes. graphviz would take \N for the node's name and &lt; for <."""
    text = text.replace("\\", "\\\\").replace('"', '\\"').replace("&", "&amp;")
    return text.replace("\n", "\\n")


def _escape_field(text: str) -> str:
    """Text in a field of a record, where braces, bars and angle brackets mean something.

    graphviz drops spaces, too: at the ends, in runs, and beside letters that are not ASCII.
    """
    text = re.sub(r"([{}|<>])", r"\\\1", _escape(text))
    return re.sub(r"(?<![!-~]) | (?![!-~])", "&#32;", text)


def run(source: str, form: str) -> bytes:
    """What graphviz makes of a DOT document; form is one of its output formats, 'png' or 'pdf'.

    Raises RuntimeError if graphviz's program `dot` is not there, or fails.
    """
    program = shutil.which("dot")
    if program is None:
        raise RuntimeError(
            f"to make .{form} pygrad needs graphviz's program dot, which is not on the PATH: install graphviz "
            f"(apt install graphviz, brew install graphviz), or save as .svg, .html or .dot, which need nothing"
        )
    done = subprocess.run([program, f"-T{form}"], input=source.encode(), capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(f"graphviz's dot failed: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout
