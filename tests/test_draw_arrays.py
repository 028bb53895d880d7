"""Pictures of array Values: shapes, summaries of numbers against NumPy, constants, packed parameters, symbols."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections import Counter
from typing import Any

import numpy as np
import pytest

from pygrad import MLP, _arrays, draw
from pygrad._draw_text import number
from pygrad.array_rules import RULES

from .test_array_rules import CASES
from .test_draw import boxes_of, by_cells, read_dot, read_svg


def cells_of(picture: Any, kind: str) -> list[tuple[str, ...]]:
    return [node.cells for node in picture.nodes if node.kind == kind]


def test_small_arrays_show_all_their_numbers(Value):
    a, s = Value([[1.0, -2.0], [0.5, 3e-7]], label="a"), Value(2.0, label="s")
    total = (a * s).sum()
    total.backward()
    picture = draw(total)
    data, grad = "data [[1.0000, -2.0000], [0.5000, 3.000e-07]]", "grad [[2.0000, 2.0000], [2.0000, 2.0000]]"
    assert cells_of(picture, "leaf") == [
        ("a", "shape (2, 2)", data, grad),
        ("s", "data 2.0000", "grad -0.5000"),
    ]  # fmt: skip
    assert [n.cells[0] for n in picture.nodes if n.kind == "op"] == ["sum", "*"]
    assert [n.shape for n in picture.nodes if n.kind != "op"] == [None, (2, 2), (2, 2), None]
    for read in (read_svg(picture.svg), read_dot(picture.dot)):
        assert read == (by_cells(picture), Counter((e.tail, e.head) for e in picture.edges))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_large_arrays_show_their_extent_and_mean(Value, dtype):
    numbers = np.random.default_rng(0).normal(size=(100, 16)).astype(dtype)
    v = Value(numbers)
    (cells,) = cells_of(draw(v, digits=3), "leaf")
    assert cells[0] == "shape (100, 16)" + (", float32" if dtype == np.float32 else "")
    mean = numbers.mean(dtype=np.float64)
    assert cells[1] == f"data {numbers.min():.3f} … {numbers.max():.3f}, mean {number(mean, 3)}"
    assert cells[2] == "grad all 0.000"
    assert v._raw_grad is None, "looking at a gradient of zeros has made one"


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        (np.zeros((3, 0)), "empty"), (np.full(9, 2.5), "all 2.50"), (np.full(9, np.nan), "all nan"),
        ([np.nan] * 2 + list(range(7)), "2 nan, others 0.00 … 6.00"), ([np.nan] + [1.0] * 7, "1 nan, others 1.00"),
        ([-1.0, 1.0] * 5, "-1.00 … 1.00, mean 0.00"), ([0.1, 0.2, -0.3] * 9, "-0.30 … 0.20, mean 0.00"),
        ([np.inf, -np.inf] * 4, "-inf … inf, mean nan"), ([1e300] * 9 + [1e-300], "1.0e-300 … 1.0e+300, mean 9.0e+299"),
        ([1.7e308] * 8 + [1.0], "1.00 … 1.7e+308, mean inf"),
        ([[[1.0], [2.0]]], "[[[1.00], [2.00]]]"), ([np.nan], "[nan]"),
    ],
)  # fmt: skip
def test_summaries(Value, numbers, text):
    (cells,) = cells_of(draw(Value(numbers), digits=2), "leaf")
    assert cells[1] == f"data {text}"


def test_constants_are_leaves_without_a_gradient(Value):
    x, w = Value([1.0, 2.0], label="x"), Value([3.0, 4.0], label="w")
    total = (x * np.array([5.0, 6.0]) + 7.0 + np.array([1.0, 1.0]) * w).sum() + 8.0
    picture = draw([total, x])
    assert cells_of(picture, "constant") == [
        ("data 7.0000", "grad none"),
        ("shape (2,)", "data [1.0000, 1.0000]", "grad none"), ("shape (2,)", "data [5.0000, 6.0000]", "grad none"),
    ]  # fmt: skip
    leaves = [cells[0] for cells in cells_of(picture, "leaf")]
    assert sorted(leaves) == ["data 8.0000", "w", "x"]  # a number beside scalars is a leaf with a gradient
    constant = (x * 2.0).operands[1]
    assert [n.kind for n in draw([x * constant, constant * Value(1.0)]).nodes].count("constant") == 0
    cut = draw(((x * 2.0) * 3.0).sum(), max_nodes=4)
    assert cells_of(cut, "constant") == [("data 3.0000", "grad none")], "the whole graph was looked at"


def test_every_rule_has_its_symbol(Value):
    for name, operands, options, _ in CASES:
        v = _arrays.apply(name, [Value(x) for x in operands], options)
        picture = draw(v, collapse="none")
        op = next(node for node in picture.nodes if node.kind == "op")
        assert op.cells[0] == v._op
        assert v._op == RULES[name].symbol or name == "pow_const"
        assert ("options: " in op.tooltip) == (not isinstance(options, (float, type(None))))
        ET.fromstring(picture.svg)


def test_the_product_of_two_arrays_is_no_dot_product_of_scalars(Value):
    a, b = Value([1.0, 2.0], label="a"), Value([3.0, 4.0], label="b")
    for collapse in ("dot", "layer"):
        picture = draw(a.dot(b), collapse=collapse)
        assert sorted(n.cells[0] for n in picture.nodes) == ["a", "b", "data 11.0000", "dot"]


def test_parameters_are_drawn_in_the_arrays_of_a_batch(backend):
    model = MLP(3, [4, 2], backend=backend, seed=1)
    loss = model(np.linspace(-1.0, 1.0, 15).reshape(5, 3)).sum()
    loss.backward()
    picture = draw(loss)
    packed = cells_of(picture, "packed")
    assert [cells[:2] for cells in packed] == [
        ("8 parameters", "shape (4, 2)"), ("2 parameters", "shape (2,)"), ("12 parameters", "shape (3, 4)"),
        ("4 parameters", "shape (4,)"),
    ]  # fmt: skip
    grads = [p.grad for p in model.layers[1].neurons[0].parameters()]
    assert packed[1][3] == f"grad [{grads[-1]:.4f}, {grads[-1]:.4f}]"
    assert packed[0][3].startswith(f"grad {min(grads[:-1]):.4f} … {max(grads[:-1]):.4f}, mean ")
    assert Counter(n.cells[0] for n in picture.nodes if n.kind == "op") == Counter(linear=2, ReLU=1, sum=1)
    assert picture.note == "35 values, drawn with parameters in their arrays; collapse='none' shows each"
    everything = draw(loss, collapse="none")
    assert len(cells_of(everything, "leaf")) == len(model.parameters())
    assert sum(n.cells == ("pack",) for n in everything.nodes) == 4


def test_tooltips_of_arrays_are_in_full(Value):
    v = Value(np.array([1.0 / 3.0, 1.0]), label="v")
    large = Value(np.arange(1000.0))
    tips = [node.tooltip for node in draw([v[::-1], v, large]).nodes]
    assert "v: shape (2,)\ndata [0.3333333333333333, 1.                ]\ngrad [0., 0.]" in tips
    assert "index(v)\noptions: (slice(None, None, -1),)" in tips
    assert max(map(len, tips)) < 300


def test_arrays_in_every_direction(Value):
    v = (Value([1.0, 2.0], label="v") * 3.0).sum()
    for rankdir in ("LR", "RL", "TB", "BT"):
        picture = draw(v, rankdir=rankdir)
        for read in (read_svg(picture.svg), read_dot(picture.dot)):
            assert read == (by_cells(picture), Counter((e.tail, e.head) for e in picture.edges))
        left, top, right, bottom = boxes_of(picture.svg)["n1"]
        assert bottom - top == pytest.approx(3 * 24, abs=3), "the cells do not stand below each other"
        assert right - left > 100
