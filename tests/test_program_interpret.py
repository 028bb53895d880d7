"""The interpreter of programs: each op's value and derivatives against the graph engine's, and what it adds to G."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from pygrad import _ieee
from pygrad.ops import OPS
from pygrad.programs.code import Code
from pygrad.programs.interpret import run

from .conftest import bits

POINTS = [
    0.0, -0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5, 3.0, 0.1, -0.7, 1e-300, -1e-300, 1e300, -1e300, 40.0, -40.0, 800.0,
    -800.0, math.inf, -math.inf, math.nan,
]  # fmt: skip
CONSTANTS = [0.0, 1.0, 2.0, -1.0, 0.5, -1.5, 3.0, 0.01]
G = 1.25


def _eager(Value, name, x, y, k):
    """(value, gradients) of one op in the graph engine; None where that raises."""
    a, b = Value(x), Value(y)
    try:
        if OPS[name].kind == "unary":
            z = getattr(a, name)()
        elif OPS[name].kind == "constant":
            z = a**k if name == "pow_const" else getattr(a, name)(k)
        else:
            operators = {"add": "__add__", "sub": "__sub__", "mul": "__mul__", "div": "__truediv__", "pow": "__pow__"}
            z = getattr(a, operators.get(name, name))(b)
    except (ZeroDivisionError, OverflowError, ValueError):
        return None
    a.grad = b.grad = 0.0
    z.grad = G
    z._backward()
    return z.data, a.grad, b.grad


def _op_code(name, k):
    code = Code()
    op = OPS[name]
    operands = tuple(code.add("input", (), i) for i in range(2 if op.kind == "binary" else 1))
    z = code.add(name, operands, k)
    g = code.add("seed")
    derivatives = [code.add(f"d{i}:{name}", (g, *operands, z), k) for i in range(len(operands))]
    code.outputs = [z, *derivatives]
    return code


@pytest.mark.parametrize("name", OPS)
def test_every_op_has_the_bits_of_the_graph_engine(engine, name):
    kind = OPS[name].kind
    points = list(itertools.product(POINTS, POINTS)) if kind == "binary" else [(x, 0.0) for x in POINTS]
    compared = 0
    for k in CONSTANTS if kind == "constant" else [None]:
        columns = np.array(points).T
        outputs, _ = run(_op_code(name, k), columns, seed=G)
        for s, (x, y) in enumerate(points):
            expected = _eager(engine, name, x, y, k)
            if expected is not None:
                got = [column[s] for column in outputs]
                # a gradient starts from +0.0, so the engine's is never -0.0
                assert bits(got[0]) == bits(expected[0]), (name, x, y, k)
                for have, want in zip(got[1:], expected[1:]):
                    assert bits(have + 0.0) == bits(want), (name, x, y, k)
                compared += 1
    assert compared > len(points) // 3


def test_where_python_raises_ieee_goes_on():
    cases = {
        ("div", 1.0, 0.0): math.inf, ("div", -1.0, 0.0): -math.inf, ("div", 0.0, 0.0): math.nan,
        ("exp", 1000.0): math.inf, ("log", 0.0): -math.inf, ("log", -1.0): math.nan, ("sqrt", -1.0): math.nan,
        ("sin", math.inf): math.nan, ("pow", 0.0, -1.0): math.inf, ("pow", -2.0, 0.5): math.nan,
        ("pow", 2.0, 5000.0): math.inf, ("pow", -2.0, 5001.0): -math.inf,
    }  # fmt: skip
    for (name, *operands), expected in cases.items():
        outputs, _ = run(_op_code(name, None), [[x] for x in operands])
        assert bits(outputs[0][0]) == bits(expected), (name, operands)


@pytest.mark.parametrize("name", ["sum", "dot", "logsumexp"])
@pytest.mark.parametrize("count", [0, 1, 2, 3, 7])
def test_ops_of_many_operands(engine, name, count):
    rng = np.random.default_rng(count)
    columns = rng.normal(size=(count, 5)) * 10.0 ** rng.integers(-3, 4, (count, 5))
    code = Code()
    operands = tuple(code.add("input", (), i) for i in range(count))
    code.outputs = [code.add(name, operands)]
    (found,), _ = run(code, columns, samples=5)
    for s in range(5):
        values = [engine(x) for x in columns[:, s]]
        if name == "dot":
            start = values[: count % 2]
            expected = engine.dot(values[count % 2 :: 2], values[count % 2 + 1 :: 2], *start)
        else:
            expected = getattr(engine, name)(values)
        assert bits(found[s]) == bits(expected.data)


def test_the_derivative_of_logsumexp_is_a_softmax():
    code = Code()
    x, y = code.add("input", (), 0), code.add("input", (), 1)
    z, g = code.add("logsumexp", (x, y)), code.add("seed")
    code.outputs = [code.add("d0:logsumexp", (g, x, z)), code.add("d0:logsumexp", (g, y, z))]
    outputs, _ = run(code, [[1.0, 800.0], [2.0, -800.0]], seed=[2.0, 3.0])
    z0 = 2.0 + math.log(math.exp(-1.0) + 1.0)
    assert [bits(v) for v in outputs[0]] == [bits(2.0 * _ieee.exp(1.0 - z0)), bits(3.0)]
    assert outputs[1][1] == 0.0


def test_leaves_and_picking():
    code = Code()
    a, p = code.add("input", (), 1), code.add("parameter", (), 0)
    c, s = code.add("constant", (), 0.5), code.add("shared", (), 1)
    z = code.add("pick", (a, p, c, s), 0)
    g = code.add("seed")
    code.outputs = [z, code.add("dpick", (g,), (0, 1)), s]
    outputs, _ = run(code, [[0] * 4, [9, 8, 7, 6]], [3.0], [4.0, 5.0], [[0, 1, 2, 3]], [1, 2, 3, 4])
    assert [column.tolist() for column in outputs] == [[9.0, 3.0, 0.5, 5.0], [0.0, 2.0, 0.0, 0.0], [5.0] * 4]


def test_an_index_out_of_range_names_its_sample():
    code = Code()
    x = code.add("input", (), 0)
    code.outputs = [code.add("pick", (x, x), 0)]
    with pytest.raises(IndexError, match="sample 2: 5 is not one of 0 to 1"):
        run(code, [[1.0, 2.0, 3.0]], indices=[[0, 1, 5]])
    with pytest.raises(IndexError, match="sample 0: -1"):
        run(code, [[1.0]], indices=[[-1]])


def test_effects_add_sample_after_sample():
    code = Code()
    x, y, g = code.add("input", (), 0), code.add("input", (), 1), code.add("seed")
    outer = code.add("outer", (g, x, y), (2, 0))
    once = code.add("accumulate", (x,), 1)
    code.outputs = [x, outer, once]
    columns = np.array([[1e16, 1.0, -1e16], [0.1, 0.2, 0.3]])
    outputs, gradient = run(code, columns, np.zeros(3), seed=2.0)
    assert len(outputs) == 1
    assert gradient.tolist() == [0.0 + 2.0 * 0.1 + 2.0 * 0.2 + 2.0 * 0.3, 0.0 + 1e16 + 1.0 - 1e16, 0.0]
    again = run(code, columns, np.zeros(3), seed=2.0, gradient=[1.0, 0.0, 0.0])[1]
    assert again[0] == 1.0 + 2.0 * 0.1 + 2.0 * 0.2 + 2.0 * 0.3


def test_columns_must_have_as_many_samples():
    with pytest.raises(ValueError, match=r"\[2, 3\] samples"):
        run(Code(), [[1.0, 2.0], [1.0, 2.0, 3.0]])


def test_no_samples():
    code = Code()
    x = code.add("input", (), 0)
    z = code.add("exp", (x,))
    code.outputs = [z, code.add("accumulate", (z,), 0)]
    outputs, gradient = run(code, [[]], [1.0])
    assert outputs[0].shape == (0,)
    assert gradient.tolist() == [0.0]
