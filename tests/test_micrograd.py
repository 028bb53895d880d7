"""micrograd itself as a second oracle: the same expressions, networks and scripts, to 1e-9 relative.

micrograd visits a set and rounds a / b twice, so the last bits may differ; the bits are test_differential.py's.
"""

from __future__ import annotations

import random
import sys

import micrograd.engine
import micrograd.nn
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pygrad.nn
from pygrad import backends
from pygrad.data import make_moons
from pygrad.demo import moons_loss

approx = pytest.approx

steps = st.lists(
    st.tuples(
        st.sampled_from(["+", "-", "*", "/", "relu", "neg", "square", "right", "left"]),
        st.integers(0, 50),
        st.integers(0, 50),
        st.floats(0.5, 2.0),
    ),
    min_size=5,
    max_size=60,
)


def expression(value_type, program):
    """A value and its leaves, computed only with what micrograd has."""
    leaves = [value_type(x) for x in (0.7, -1.3, 2.1)]
    values = list(leaves)
    for op, i, j, number in program:
        x, y = values[i % len(values)], values[j % len(values)]
        if op == "+":
            z = x + y
        elif op == "-":
            z = x - y
        elif op == "*":
            z = x * y
        elif op == "/":
            z = x / (y * y + 1.0)
        elif op == "relu":
            z = x.relu()
        elif op == "neg":
            z = -x
        elif op == "square":
            z = x**2
        elif op == "right":
            z = x * number - number
        else:
            z = number / (1 + x * x)
        values.append(z * 0.5)
    out = values[0]
    for v in values[1:]:
        out = out + v
    return out, leaves


@given(steps)
@settings(max_examples=60)
def test_expressions(program):
    expected, expected_leaves = expression(micrograd.engine.Value, program)
    expected.backward()
    for name in backends.NAMES:
        got, leaves = expression(backends.load(name), program)
        got.backward()
        scale = max(1.0, *(abs(v.grad) for v in expected_leaves))
        assert got.data == approx(expected.data, rel=1e-9, abs=1e-9)
        assert [v.grad for v in leaves] == approx([v.grad for v in expected_leaves], rel=1e-9, abs=1e-9 * scale)


def copied(model, other):
    """Gives `other` the parameters of `model`."""
    for p, q in zip(model.parameters(), other.parameters(), strict=True):
        q.data = float(p.data)


def test_the_same_seed_gives_the_same_network(backend):
    random.seed(5)
    theirs = micrograd.nn.MLP(3, [4, 2])
    random.seed(5)
    ours = pygrad.nn.MLP(3, [4, 2], backend=backend)
    assert [p.data for p in ours.parameters()] == [p.data for p in theirs.parameters()]
    assert repr(ours) == repr(theirs)
    assert repr(pygrad.nn.Layer(2, 3, nonlin=False, backend=backend)) == repr(micrograd.nn.Layer(2, 3, nonlin=False))


def test_moons_step(backend):
    X, y = make_moons(20)
    theirs, ours = micrograd.nn.MLP(2, [8, 8, 1]), pygrad.nn.MLP(2, [8, 8, 1], backend=backend)
    copied(theirs, ours)
    for _ in range(3):
        expected, _ = moons_loss(theirs, X, y)
        got, _ = moons_loss(ours, X, y)
        for model, loss in ((theirs, expected), (ours, got)):
            model.zero_grad()
            loss.backward()
            for p in model.parameters():
                p.data -= 0.5 * p.grad
        assert got.data == approx(expected.data, rel=1e-9)
        assert [p.grad for p in ours.parameters()] == approx([p.grad for p in theirs.parameters()], rel=1e-9, abs=1e-12)


def micrograds_nn_on(value_type):
    """micrograd's own nn.py, with value_type as its Value."""
    import importlib.util
    from unittest import mock

    engine = type(sys)("micrograd.engine")
    engine.Value = value_type
    spec = importlib.util.find_spec("micrograd.nn")
    module = importlib.util.module_from_spec(spec)
    with mock.patch.dict(sys.modules, {"micrograd.engine": engine}):
        spec.loader.exec_module(module)
    return module


def test_micrograds_own_nn_gives_the_bits_of_ours(Value, backend):
    """A neuron as one dot node adds in the same order as one as a chain of additions."""
    nn = micrograds_nn_on(Value)
    theirs, ours = nn.MLP(2, [6, 6, 1]), pygrad.nn.MLP(2, [6, 6, 1], backend=backend)
    copied(theirs, ours)
    X, y = make_moons(15)
    results = []
    for model in (theirs, ours):
        loss, _ = moons_loss(model, X, y)
        loss.backward()
        results.append([loss.data.hex(), *(p.grad.hex() for p in model.parameters())])
    assert results[0] == results[1]
