"""Pictures: what is in them, against the graph itself; that the SVG is XML and the DOT is DOT, whatever labels hold.

The SVG is read back with an XML parser and its geometry checked, the DOT with a small parser of graphviz's rules
of quoting. How handsome a picture is no test can say.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import stat
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pygrad
from pygrad import MLP, draw, draw_dot, trace
from pygrad._draw_layout import Size, _Network, layout
from pygrad._draw_text import number, printable, shorten
from pygrad.reference import Value as Reference

SVG = "{http://www.w3.org/2000/svg}"


def expression(Value: Any) -> Any:
    """The expression of micrograd's lecture, after backward()."""
    a, b, c, f = (Value(x, label=name) for x, name in [(2.0, "a"), (-3.0, "b"), (10.0, "c"), (-2.0, "f")])
    e = a * b
    e.label = "e"
    d = e + c
    d.label = "d"
    L = d * f
    L.label = "L"
    L.backward()
    return L


def random_graph(Value: Any, size: int, seed: int) -> Any:
    """A root over a random graph in which Values are used any number of times."""
    rng = random.Random(seed)
    values = [Value(rng.uniform(-1, 1), label=f"x{i}") for i in range(3)]
    for i in range(size):
        a, b = rng.choice(values), rng.choice(values[-4:])
        v = rng.choice([lambda a, b: a + b, lambda a, b: a * b, lambda a, b: b.tanh()])(a, b)
        v.label = f"v{i}"
        values.append(v)
    return Value.sum(values[-3:])


def mlp(backend: str) -> Any:
    random.seed(7)
    return MLP(3, [4, 4, 1], backend=backend)


def read_svg(svg: str) -> tuple[dict[str, list[str]], Counter[tuple[str, str]]]:
    """Of each node its texts, and the edges, out of the XML."""
    root = ET.fromstring(svg)
    nodes, edges = {}, Counter()
    for group in root.iter(f"{SVG}g"):
        if group.get("class") == "edge":
            edges[group.get("data-tail"), group.get("data-head")] += 1
        else:
            nodes[group.get("data-key")] = [text.text for text in group.iter(f"{SVG}text")]
    return nodes, edges


def read_dot(dot: str) -> tuple[dict[str, list[str]], Counter[tuple[str, str]]]:
    """The same out of the DOT, by graphviz's rules: quotes, then backslashes of records or labels, then entities."""
    nodes, edges = {}, Counter()
    for line in dot.splitlines():
        arrow = re.match(r"  (\w+) -> (\w+)", line)
        node = re.match(r'  (n\w+) \[shape=(\w+).*? label="((?:[^"\\]|\\.)*)"', line)
        if arrow:
            edges[arrow.groups()] += 1
        elif node and node[1] != "node":
            text = node[3].replace('\\"', '"')
            if node[2] != "record":
                fields = [text.replace("\\\\", "\\")]
            else:
                text = re.sub(r"^\{ (.*) \}$", r"\1", text)
                fields = [re.sub(r"\\(.)", r"\1", field) for field in re.split(r" (?<!\\)\| ", text)]
            nodes[node[1]] = [field.replace("&#32;", " ").replace("&amp;", "&") for field in fields]
    return nodes, edges


def by_cells(picture: Any) -> dict[str, list[str]]:
    return {node.key: list(node.cells) for node in picture.nodes}


# ---- what is in a picture ----


def test_the_lecture(Value):
    picture = draw(expression(Value))
    text = {"/".join(node.cells): node.key for node in picture.nodes}
    assert set(text) == {
        "a/data 2.0000/grad 6.0000", "b/data -3.0000/grad -4.0000", "e/data -6.0000/grad -2.0000",
        "c/data 10.0000/grad -2.0000", "d/data 4.0000/grad -2.0000", "f/data -2.0000/grad 4.0000",
        "L/data -8.0000/grad 1.0000", "*", "+",
    }  # fmt: skip
    names = {node.key: node.cells[0] for node in picture.nodes}
    edges = Counter((names[e.tail], names[e.head]) for e in picture.edges)
    assert edges == Counter(
        [("a", "*"), ("b", "*"), ("*", "e"), ("e", "+"), ("c", "+"), ("+", "d"), ("d", "*"), ("f", "*"), ("*", "L")]
    )
    assert [node.cells[0] for node in picture.nodes if node.root] == ["L"]
    assert {node.cells[0] for node in picture.nodes if node.kind == "leaf"} == {"a", "b", "c", "f"}
    assert picture.note == ""


@pytest.mark.parametrize("seed", range(5))
def test_against_the_graph(Value, seed):
    """Every Value, op and operand is there once, in the picture, the SVG and the DOT; compared by label."""
    root = random_graph(Value, 40, seed)
    picture = draw(root, collapse=None, max_nodes=None)
    nodes, _ = trace(root)
    op_of = {e.tail: e.head for e in picture.edges if e.tail.endswith("op")}
    named = {node.key: node.cells[0] for node in picture.nodes}
    boxes = [v.label or f"data {v.data:.4f}" for v in nodes]
    assert Counter(named[n.key] for n in picture.nodes if n.kind != "op") == Counter(boxes)
    assert Counter(named[n.key] for n in picture.nodes if n.kind == "op") == Counter(v._op for v in nodes if v._op)
    drawn = Counter((named[e.tail], named[op_of[e.head]]) for e in picture.edges if e.head in op_of)
    assert drawn == Counter((x.label, v.label or f"data {v.data:.4f}") for v in nodes for x in v.operands)
    for read in (read_svg(picture.svg), read_dot(picture.dot)):
        assert read == (by_cells(picture), Counter((e.tail, e.head) for e in picture.edges))


def test_an_operand_used_twice_has_two_edges(Value):
    a = Value(3.0)
    picture = draw(a + a)
    assert [(e.tail, e.head) for e in picture.edges if e.head == "n0op"] == [("n1", "n0op")] * 2
    ends = re.findall(r'data-tail="n1".*? points="([^ ]+)', picture.svg)
    assert len(set(ends)) == 2, "the two arrows lie on each other"


def test_user_defined_ops(Value):
    a = Value(2.0, label="a")
    out = Value(8.0, (a,), "cube")
    source = Value(1.0, (), "input")
    picture = draw(out * source)
    assert Counter(n.cells[0] for n in picture.nodes if n.kind == "op") == Counter(["*", "cube", "input"])
    assert all(n.kind == "value" for n in picture.nodes if n.cells[0].startswith("data"))


def test_several_roots(Value):
    a = Value(1.0)
    b, c = a + 1, a * 2
    for roots in ([b, c], (b, c, b), np.array([[b], [c]]), iter([b, c])):
        picture = draw(roots)
        assert [node.key for node in picture.nodes if node.root] == ["n0", "n1"]
    layers = draw(MLP(2, [3], backend=a._pygrad_backend)([b, c]), collapse="layer")
    assert [node.kind for node in layers.nodes if node.root] == ["layer"]


def test_a_picture_is_a_snapshot(Value):
    a = Value(1.0)
    picture = draw(a)
    a.data = 2.0
    assert "data 1.0000" in picture.svg
    assert "data 2.0000" in draw(a).dot


def test_trace_is_micrograds(Value):
    L = expression(Value)
    nodes, edges = trace(L)
    assert sorted(v.label for v in nodes) == ["L", "a", "b", "c", "d", "e", "f"]
    assert {(x.label, v.label) for x, v in edges} == {
        ("a", "e"), ("b", "e"), ("e", "d"), ("c", "d"), ("d", "L"), ("f", "L")
    }  # fmt: skip
    assert L in nodes


# ---- numbers and text ----


@pytest.mark.parametrize(
    ("x", "digits", "text"),
    [
        (2.0, 4, "2.0000"), (-0.00012, 4, "-0.0001"), (1e-5, 4, "1.000e-05"), (0.0, 4, "0.0000"),
        (1e12, 4, "1.000e+12"),
        (float("nan"), 4, "nan"), (float("-inf"), 4, "-inf"), (1.25, 0, "1"), (0.3, 0, "3e-01"),
        (123456.789, 2, "123456.79"), (np.zeros((2, 3)), 4, "array (2, 3)"),
    ],
)  # fmt: skip
def test_numbers(x, digits, text):
    assert number(x, digits) == text


LABELS = [
    "<b>&amp; \"q\" 'p'", "new\nline\ttab", "{a|b} \\N \\", "a\\", 'a\\"', "日本語 ラベル", "αβγ Ω", "\x00\x1b[0m\x7f",
    "\ud800", "\ufffe\uffff", "😀😀", "]]>", "<!--", "  two  spaces ", "العربية \u202e", "%s %d", "x" * 500, "&lt;",
]  # fmt: skip


@pytest.mark.parametrize("rankdir", ["LR", "TB"])
def test_labels_may_hold_anything(Value, rankdir):
    root = Value(0.0, label=LABELS[0])
    for label in LABELS[1:]:
        root = root + Value(1.0, label=label)
    picture = draw(root, rankdir=rankdir, title="<&\n\x00", collapse="none")
    shown = {node.cells[0] for node in picture.nodes if node.kind == "leaf"}
    assert shown == {shorten(printable(label)) for label in LABELS}
    for read in (read_svg(picture.svg), read_dot(picture.dot)):
        assert read == (by_cells(picture), Counter((e.tail, e.head) for e in picture.edges))
    for name in ("p.svg", "p.dot", "p.html"):
        picture.pipe(name[2:]).decode("utf-8")


@given(st.text(st.characters(), max_size=30))
def test_any_label_is_legal_xml_and_comes_back(label):
    value = Reference(1.0, (), label, label)
    picture = draw(value)
    nodes, _ = read_svg(picture.svg)
    assert nodes == by_cells(picture)
    assert read_dot(picture.dot)[0] == by_cells(picture)
    assert printable(label).startswith(picture.nodes[0].cells[0].rstrip("…")) or not label


def test_printable_is_pythons_escape():
    assert printable("a\nb\x00\u202eé\\") == "a\\nb\\x00\\u202eé\\"
    assert shorten("abc", 3) == "abc"
    assert shorten("abcd", 3) == "ab…"
    assert shorten("日本語", 3) == "…"


# ---- large graphs ----


def test_a_long_chain_is_cut_near_the_root(Value):
    root = Value(0.0)
    for _ in range(102_000):
        root = root + 1.0
    picture = draw(root)
    assert "200 of more than 100,000 values shown" in picture.note
    assert sum(node.kind in ("value", "leaf") for node in picture.nodes) == 200
    assert picture.note in picture.svg
    assert "data 102000.0000" in picture.svg
    ET.fromstring(picture.svg)


def test_a_chain_of_a_million():
    root = pygrad.Value(0.0)
    for _ in range(1_000_000):
        root = root + 1.0
    assert len(draw(root, max_nodes=50).nodes) < 110


def test_the_limit_counts_and_marks_what_is_left_out(Value):
    """Breadth-first from the root; each cut operand is counted in a stub at its op."""
    a, b, c, d = (Value(float(i), label=name) for i, name in enumerate("abcd"))
    root = (a + b) * (c + d)
    picture = draw(root, max_nodes=4)
    assert picture.note.startswith("4 of 7 values shown")
    assert [n.cells[0] for n in picture.nodes if n.kind == "leaf"] == ["a"]
    stubs = {n.key: n.cells[0] for n in picture.nodes if n.kind == "more"}
    assert sorted(stubs.values()) == ["… 1 more", "… 2 more"]
    ops = {e.tail: e.head for e in picture.edges if e.tail in stubs}
    by_key = {n.key: n for n in picture.nodes}
    assert [by_key[head].cells for head in ops.values()] == [("+",), ("+",)]
    assert draw(root, max_nodes=7).note == ""
    assert draw(root, max_nodes=None).note == ""
    assert len(draw(root, max_nodes=1).nodes) == 3


# ---- dot products and layers ----


def test_none_draws_every_value(backend):
    model = mlp(backend)
    y = model([1.0, 2.0, 3.0])
    picture = draw(y, collapse="none")
    assert sum(n.kind == "leaf" for n in picture.nodes) == 3 + len(model.parameters())
    assert Counter(n.cells[0] for n in picture.nodes if n.kind == "op") == Counter(dot=9, ReLU=8)


def test_dot_folds_weights_and_bias(backend):
    model = mlp(backend)
    model.layers[0].neurons[1].b.data = 0.5
    y = model([1.0, 2.0, 3.0])
    y.backward()
    picture = draw(y, collapse="dot")
    dots = [n for n in picture.nodes if n.kind == "dot"]
    assert Counter(n.cells[0] for n in dots) == Counter(
        {"dot of 4, bias 0.0000": 5, "dot of 3, bias 0.0000": 3, "dot of 3, bias 0.5000": 1}
    )
    assert dots[0].root
    assert dots[0].cells[1:] == (f"data {number(y.data, 4)}", "grad 1.0000")
    assert sum(n.kind == "leaf" for n in picture.nodes) == 3
    arriving = Counter(e.head for e in picture.edges)
    assert sorted(arriving[n.key] for n in dots) == [3] * 4 + [4] * 5


def test_dot_keeps_computed_weights(Value):
    w, x = Value(2.0, label="w"), Value(3.0, label="x")
    squared = w * w
    squared.label = "squared"
    picture = draw(Value.dot([squared, w], [x, x]), collapse="dot")
    named = {n.key: n.cells[0] for n in picture.nodes}
    assert sorted(named[e.tail] for e in picture.edges if e.head == "n0") == ["squared", "x", "x"]
    assert "dot of 2" in picture.nodes[0].cells
    layered = draw(Value.dot([squared, w], [x, x]), collapse="layer")
    assert [n.kind for n in layered.nodes].count("layer") == 0


def test_a_user_op_called_dot_is_no_dot_product(Value):
    a, b = Value(1.0), Value(2.0)
    picture = draw(Value(2.0, (a, b), "dot"), collapse="dot")
    assert sorted(n.kind for n in picture.nodes) == ["leaf", "leaf", "op", "value"]


def test_layers(backend):
    y = mlp(backend)([1.0, 2.0, -3.0])
    y.backward()
    picture = draw(y, collapse="layer")
    assert [n.cells[:2] for n in picture.nodes] == [
        ("layer 4 → 1", "5 parameters"), ("layer 4 → 4, ReLU", "20 parameters"), ("layer 3 → 4, ReLU", "16 parameters"),
        ("3 inputs", "data -3.0000 … 2.0000"),
    ]  # fmt: skip
    assert [(e.tail, e.head, e.values) for e in picture.edges] == [("n1", "n0", 4), ("n2", "n1", 4), ("n3", "n2", 3)]


def test_layers_keep_labelled_inputs_and_inputs_used_elsewhere(Value):
    x = [Value(1.0, label="x1"), Value(2.0), Value(3.0), Value(4.0)]
    out = MLP(4, [2, 2], backend=x[0]._pygrad_backend)(x)
    picture = draw(out[0] * out[1] + x[1], collapse="layer")
    assert Counter(n.kind for n in picture.nodes) == Counter(layer=2, inputs=1, leaf=2, value=2, op=2)
    assert [n.cells[0] for n in picture.nodes if n.kind == "inputs"] == ["2 inputs"]
    product = next(e.head for e in picture.edges if e.values == 2 and e.head.endswith("op"))
    assert next(n.cells for n in picture.nodes if n.key == product) == ("*",)


def test_an_activation_used_or_drawn_by_itself_is_not_folded(Value):
    x, w = Value(1.0), Value(2.0)
    d = Value.dot([w], [x])
    assert [n.kind for n in draw(d.relu() + d, collapse="layer").nodes].count("op") == 2
    assert [n.kind for n in draw([d.relu(), d], collapse="layer").nodes].count("op") == 1
    assert [n.kind for n in draw(d**2, collapse="layer").nodes].count("op") == 1
    assert [n.kind for n in draw(d.tanh(), collapse="layer").nodes].count("op") == 0
    assert [n.kind for n in draw(d.relu() * d.tanh(), collapse="layer").nodes].count("op") == 3


def test_auto_draws_small_graphs_whole_and_large_ones_folded(backend):
    small = MLP(2, [2, 1], backend=backend)([1.0, 2.0])
    assert draw(small).nodes == draw(small, collapse="none").nodes
    middle = mlp(backend)([1.0, 2.0, 3.0])
    assert draw(middle).nodes == draw(middle, collapse="dot").nodes
    assert "collapse='none' shows each" in draw(middle).note
    large = MLP(3, [30, 30, 1], backend=backend)([1.0, 2.0, 3.0])
    assert draw(large).nodes == draw(large, collapse="layer").nodes
    assert "by layer" in draw(large).note
    assert draw(large, collapse="layer").note == ""


# ---- geometry ----


def boxes_of(svg: str) -> dict[str, tuple[float, float, float, float]]:
    """Left, top, right, bottom of each node."""
    found = {}
    for group in ET.fromstring(svg).iter(f"{SVG}g"):
        rect, ellipse = group.find(f"{SVG}rect"), group.find(f"{SVG}ellipse")
        if rect is not None:
            x, y, w, h = (float(rect.get(k)) for k in ("x", "y", "width", "height"))
            found[group.get("data-key")] = (x, y, x + w, y + h)
        elif ellipse is not None:
            x, y, rx, ry = (float(ellipse.get(k)) for k in ("cx", "cy", "rx", "ry"))
            found[group.get("data-key")] = (x - rx, y - ry, x + rx, y + ry)
    return found


def points_of(path: str) -> list[tuple[float, float]]:
    """Points along an SVG path of M, L and C."""
    tokens = re.findall(r"[MLC]|-?\d+\.\d+", path)
    points: list[tuple[float, float]] = []
    while tokens:
        command = tokens.pop(0)
        n = 6 if command == "C" else 2
        numbers, tokens = [float(t) for t in tokens[:n]], tokens[n:]
        corners = list(zip(numbers[::2], numbers[1::2]))
        if command != "M":
            a = points[-1]
            b, c, d = corners if command == "C" else (a, corners[0], corners[0])
            for t in np.linspace(0.05, 0.95, 19).tolist():
                s = 1 - t
                weights = (s**3, 3 * s * s * t, 3 * s * t * t, t**3)
                points.append(tuple(np.dot(weights, [p[i] for p in (a, b, c, d)]).item() for i in (0, 1)))
        points.append(corners[-1])
    return points


@pytest.mark.parametrize("rankdir", ["LR", "RL", "TB", "BT"])
@pytest.mark.parametrize("collapse", ["none", "dot", "layer"])
def test_nothing_overlaps(rankdir, collapse):
    model = mlp("python")
    xs = [[0.1, 0.2, 0.3], [0.3, -0.2, 0.1]]
    loss = sum((model(x) - 1) ** 2 for x in xs) + 0.1 * sum(p * p for p in model.parameters()[:9])
    svg = draw(loss, rankdir=rankdir, collapse=collapse, max_nodes=100).svg
    root = ET.fromstring(svg)
    boxes = boxes_of(svg)
    keys = sorted(boxes)
    for i, k in enumerate(keys):
        assert boxes[k][0] > 0
        assert boxes[k][1] > 0
        assert boxes[k][2] < float(root.get("width"))
        assert boxes[k][3] < float(root.get("height"))
        for other in keys[i + 1 :]:
            a, b = boxes[k], boxes[other]
            assert a[2] < b[0] or b[2] < a[0] or a[3] < b[1] or b[3] < a[1], f"{k} lies on {other}"
    axis, sign = (0 if rankdir in ("LR", "RL") else 1), (1 if rankdir in ("LR", "TB") else -1)
    for group in root.iter(f"{SVG}g"):
        if group.get("class") != "edge":
            continue
        tail, head = group.get("data-tail"), group.get("data-head")
        assert sign * (boxes[head][axis] - boxes[tail][axis]) > 0, "an edge runs backwards"
        for x, y in points_of(group.find(f"{SVG}path").get("d")):
            for key in keys:
                left, top, right, bottom = boxes[key]
                inside = left + 1 < x < right - 1 and top + 1 < y < bottom - 1
                assert not inside or key in (tail, head), f"the edge {tail} -> {head} crosses {key}"


def test_text_fits_its_box():
    """Measured with a real monospace font, one of the widest."""
    font = pytest.importorskip("matplotlib.font_manager")
    path = pytest.importorskip("matplotlib.textpath")
    roots = [Reference(x, label=label) for x, label in [(1.0, "W" * 60), (-1e-9, "αβγ Ω"), (123456.7, "a b")]]
    model = mlp("python")
    arrays = [Reference([1.0, -2.5], label="w"), Reference(np.linspace(-1e9, 1.0, 99).astype(np.float32))]
    pictures = [draw(roots), draw(roots, rankdir="TB"), draw(model([1.0, 2.0, 3.0]), collapse="layer"), draw(arrays)]
    for picture in pictures:
        boxes = boxes_of(picture.svg)
        for group in ET.fromstring(picture.svg).iter(f"{SVG}g"):
            for text in group.iter(f"{SVG}text"):
                weight = text.get("font-weight") or "normal"
                properties = font.FontProperties(family="DejaVu Sans Mono", weight=weight)
                box = path.TextPath((0, 0), text.text, size=12, prop=properties).get_extents()
                left, _, right, _ = boxes[group.get("data-key")]
                x = float(text.get("x"))
                assert left + 2 < x - box.width / 2
                assert x + box.width / 2 < right - 2


@given(st.integers(1, 12).flatmap(lambda n: st.tuples(st.just(n), st.lists(st.tuples(*[st.integers(0, n - 1)] * 2)))))
def test_layout_of_any_acyclic_graph(graph):
    """Boxes keep apart, heads lie behind their tails, edges end at their boxes."""
    n, pairs = graph
    edges = [(max(pair), min(pair)) for pair in pairs if pair[0] != pair[1]]
    sizes = [Size(20.0 + 7 * i, 10.0 + 5 * (i % 3), i % 2 == 1) for i in range(n)]
    placed = layout(sizes, edges)
    for i, (p, s) in enumerate(zip(placed.centres, sizes)):
        assert p.along - s.along / 2 >= -1e-6
        assert p.along + s.along / 2 <= placed.size.along + 1e-6
        assert p.across - s.across / 2 >= -1e-6
        assert p.across + s.across / 2 <= placed.size.across + 1e-6
        for q, t in list(zip(placed.centres, sizes))[:i]:
            apart_along = abs(p.along - q.along) >= (s.along + t.along) / 2 + 10
            assert apart_along or abs(p.across - q.across) >= (s.across + t.across) / 2 + 10
    for (tail, head), route in zip(edges, placed.routes):
        along = [p.along for p in route]
        assert along == sorted(along)
        assert route[0].along == placed.centres[tail].along + sizes[tail].along / 2
        assert abs(route[-1].across - placed.centres[head].across) <= sizes[head].across / 2


def test_layout_of_a_tree_has_no_crossing_and_a_chain_is_straight():
    tree = [(i, (i - 1) // 2) for i in range(1, 31)]
    placed = layout([Size(10.0, 10.0)] * 31, tree)
    for first in (1, 3, 7, 15):
        level = [placed.centres[i].across for i in range(first, 2 * first + 1)]
        assert level == sorted(level)
    chain = [(i + 1, i) for i in range(20)] + [(21 + i, i) for i in range(20)]  # with a constant at each step
    placed = layout([Size(10.0, 10.0)] * 41, chain)
    across = [placed.centres[i].across for i in range(20)]
    assert max(across) - min(across) < 1.0


@pytest.mark.parametrize("seed", range(20))
def test_layout_finds_the_order_without_crossings(seed):
    """A zigzag between two layers, its vertices and edges shuffled."""
    rng = random.Random(seed)
    n = 8
    names = rng.sample(range(n), n)
    edges = [(n + i, names[i]) for i in range(n)] + [(n + i, names[i + 1]) for i in range(n - 1)]
    rng.shuffle(edges)
    across = [p.across for p in layout([Size(10.0, 10.0)] * 2 * n, edges).centres]
    for a, b in edges:
        for c, d in edges:
            assert (across[a] - across[c]) * (across[b] - across[d]) >= 0


def test_layout_settles_at_the_least_squares():
    """Three boxes that want to be at 0, 0 and 100 and must keep 26 apart: by hand, -13, 13 and 100."""
    net = _Network([Size(10.0, 10.0)] * 6, [(3, 0), (4, 1), (5, 2)])
    net.across = [0.0, 0.0, 100.0, 0.0, 0.0, 0.0]
    net._settle([3, 4, 5], [net.heads])
    assert net.across[3:] == pytest.approx([-13.0, 13.0, 100.0])
    net.across[:3] = [30.0, 0.0, 0.0]
    net._settle([3, 4, 5], [net.heads])
    assert net.across[3:] == pytest.approx([10.0 - 26, 10.0, 10.0 + 26])


def test_layout_of_nothing():
    assert layout([], []).routes == []


# ---- files ----


def test_notebook_and_text(Value):
    picture = draw(expression(Value))
    assert picture._repr_svg_() == picture.svg
    assert str(picture) == picture.dot == picture.source
    assert repr(picture) == "<Picture of 10 nodes and 9 edges>"
    assert ET.fromstring(picture.svg)[0].get("fill") == "white"
    assert " id=" not in picture.svg, "ids of two pictures in one page would clash"


def test_save(Value, tmp_path):
    picture = draw(expression(Value), title="a & b")
    assert picture.save(tmp_path / "p.svg").read_text(encoding="utf-8") == picture.svg
    assert picture.save(str(tmp_path / "p.DOT")).read_text(encoding="utf-8") == picture.dot
    assert picture.save(tmp_path / "p.gv").read_text(encoding="utf-8") == picture.dot
    page = picture.save(tmp_path / "p.html").read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>")
    assert "<title>a &amp; b</title>" in page
    assert picture.svg in page
    with pytest.raises(ValueError, match="not 'txt'"):
        picture.save(tmp_path / "p.txt")
    with pytest.raises(ValueError, match="no suffix"):
        picture.save(tmp_path / "p")
    assert not (tmp_path / "p.txt").exists()


def test_render_is_graphvizs(Value, tmp_path, monkeypatch):
    dot = draw_dot(expression(Value))
    assert dot.format == "svg"
    path = dot.render(tmp_path / "sub" / "gout")
    assert path == str(tmp_path / "sub" / "gout.svg")
    assert Path(path).read_text(encoding="utf-8") == dot.svg
    assert (tmp_path / "sub" / "gout").read_text(encoding="utf-8") == dot.source
    assert dot.render("x", tmp_path, cleanup=True, format="html") == str(tmp_path / "x.html")
    assert not (tmp_path / "x").exists()
    opened = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    monkeypatch.chdir(tmp_path)
    assert dot.render(view=True) == "Digraph.gv.svg"
    assert opened == [(tmp_path / "Digraph.gv.svg").as_uri()]
    assert "rankdir=TB" in draw_dot(expression(Value), rankdir="TB").source
    with pytest.raises(ValueError, match="not 'jpeg'"):
        draw_dot(expression(Value), format="jpeg")


def test_without_graphviz_png_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RuntimeError, match=r"install graphviz .* or save as \.svg"):
        draw(Reference(1.0)).save(tmp_path / "p.png")
    assert not (tmp_path / "p.png").exists()
    draw(Reference(1.0)).save(tmp_path / "p.svg")


@pytest.mark.skipif(os.name == "nt", reason="the stand-in for graphviz is a shell script")
def test_png_and_pdf_come_from_graphviz(tmp_path, monkeypatch):
    program = tmp_path / "dot"
    program.write_text('#!/bin/sh\necho "drawn $1"\ncat\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path) + os.pathsep + os.environ["PATH"])
    picture = draw(Reference(1.0, label="é"))
    assert picture.save(tmp_path / "p.pdf").read_text(encoding="utf-8") == "drawn -Tpdf\n" + picture.dot
    program.write_text("#!/bin/sh\necho broken >&2\nexit 1\n")
    with pytest.raises(RuntimeError, match="graphviz's dot failed: broken"):
        picture.pipe("png")


@pytest.mark.skipif(shutil.which("dot") is None, reason="graphviz is not installed")
@pytest.mark.parametrize("rankdir", ["LR", "TB"])
def test_graphviz_reads_the_dot(rankdir):
    """graphviz's own SVG of the DOT shows the same texts and as many edges."""
    root = Reference(0.0, label=LABELS[0])
    for label in LABELS[1:]:
        root = root + Reference(1.0, label=label)
    picture = draw(root, rankdir=rankdir)
    done = subprocess.run(["dot", "-Tsvg"], input=picture.dot.encode(), capture_output=True, check=True)
    svg = ET.fromstring(done.stdout)
    shown = Counter(text.text.replace("\xa0", " ") for text in svg.iter(f"{SVG}text"))
    assert shown == Counter(cell for node in picture.nodes for cell in node.cells)
    assert sum(group.get("class") == "edge" for group in svg.iter(f"{SVG}g")) == len(picture.edges)


# ---- errors ----


def test_errors(Value):
    v = Value(1.0)
    with pytest.raises(TypeError, match="not float"):
        draw(1.0)
    with pytest.raises(TypeError, match=r"a list with 2\.0 in it"):
        draw([v, 2.0])
    with pytest.raises(ValueError, match="empty list"):
        draw([])
    with pytest.raises(ValueError, match="one of LR, TB, RL, BT, not 'lr'"):
        draw(v, rankdir="lr")
    with pytest.raises(ValueError, match="one of auto, none, dot, layer, not 'all'"):
        draw(v, collapse="all")
    with pytest.raises(ValueError, match="at least 1"):
        draw(v, max_nodes=0)
    with pytest.raises(TypeError, match="max_nodes must be an integer"):
        draw(v, max_nodes=1.5)
    with pytest.raises(TypeError, match="title must be a str"):
        draw(v, title=None)
    with pytest.raises(TypeError, match="trace takes a Value, not list"):
        trace([v])


def test_importing_pygrad_loads_neither_pictures_nor_matplotlib():
    code = (
        "import sys, pygrad; bad = {'pygrad._draw', 'pygrad.plot', 'matplotlib', 'webbrowser'} & set(sys.modules);"
        "assert not bad, bad; from pygrad import draw, plot; assert callable(draw);"
        "assert 'matplotlib' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        pygrad.nothing  # noqa: B018
