"""Layers computed in one call: what they give against neurons computed one by one, and what they keep alive.

The one-by-one way is `_one_by_one`, and a model of the reference, which knows no other. Also in test_nn.py: that a
replaced parameter is noticed.
"""

from __future__ import annotations

import gc
import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pygrad import backends
from pygrad._ffi import lib
from pygrad.nn import ACTIVATIONS, MLP, Layer

from .conftest import ENGINES, bits

numbers = st.floats(-3.0, 3.0)


def _everything(root, inputs, model):
    """The bits of every number that backward() leaves, and the graph's shape."""
    seen, order, stack = set(), [], [root]
    while stack:
        v = stack.pop()
        if id(v) not in seen:
            seen.add(id(v))
            order.append(v)
            stack += v.operands[::-1]
    shape = [(v._op, bits(v.data), bits(v.grad), len(v.operands)) for v in order]
    return shape, [bits(v.grad) for v in (*inputs, *model.parameters())]


def _run(backend, sizes, activation, points, shared):
    """Two samples through one network, where some inputs are Values (one of them used again and again)."""
    value_type = backends.load(backend)
    model = MLP(*sizes, activation=activation, seed=5, bias_init="uniform", backend=backend)
    kept = [value_type(0.5) for _ in range(2)]
    outs = []
    for point in points:
        x = [kept[0] if shared and i % 3 == 0 else p for i, p in enumerate(point)]
        x = [kept[1] * 2 if shared and i % 5 == 4 else p for i, p in enumerate(x)]
        out = model(x)
        outs += out if isinstance(out, list) else [out]
    root = value_type.sum([v * v + v for v in outs]) + sum(p * p for p in model.parameters())
    root.backward()
    root.backward()  # accumulates
    return _everything(root, kept, model)


@given(
    st.lists(st.integers(1, 9), min_size=2, max_size=4),
    st.sampled_from(ACTIVATIONS),
    st.data(),
    st.booleans(),
)
def test_every_bit_is_that_of_the_reference(sizes, activation, data, shared):
    points = data.draw(st.lists(st.tuples(*[numbers] * sizes[0]), min_size=1, max_size=3))
    expected = _run("python", sizes, activation, points, shared)
    for name in ENGINES:
        assert _run(name, sizes, activation, points, shared) == expected


def _in_one_call(model):
    return model._compute is not None and model._compute.__name__ != "_not_in_one_call"


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_one_call_gives_what_neurons_give(engine_name, engine, activation):
    model = MLP(3, [6, 5, 2], activation=activation, output_activation=activation, seed=1, backend=engine_name)
    x = [0.3, -1.2, 2.0]
    many = model(x)
    assert _in_one_call(model)
    one_by_one = x
    for layer in model.layers:
        one_by_one = [n(one_by_one) for n in layer.neurons]
    assert [bits(v.data) for v in many] == [bits(v.data) for v in one_by_one]
    assert [len(v.operands) for v in many] == [len(v.operands) for v in one_by_one]


def test_ints_are_numbers_too(engine_name, engine):
    model = MLP(3, [4, 2], seed=1, backend=engine_name)
    expected = [bits(v.data) for v in model([1.0, 0.5, -2.0])]
    for x in ([1, 0.5, -2], (1, engine(0.5), -2), [True, 0.5, -2]):
        assert [bits(v.data) for v in model(x)] == expected
    assert model._compute([1, 0.5, -2]) is not NotImplemented
    with pytest.raises(OverflowError):
        model([1, 0.5, -(10**400)])


def test_parameters_in_any_order_in_memory(engine_name, engine):
    """Nodes that do not follow one another: parameters made in shuffled order, and one used twice."""
    rng = random.Random(3)
    made = {i: engine(rng.uniform(-1, 1)) for i in rng.sample(range(4 * 4), 16)}
    weights = [[made[4 * j + i] for i in range(3)] for j in range(4)]
    weights[1][2] = weights[0][0]
    layer = Layer(3, 4, weights=weights, biases=[made[4 * j + 3] for j in range(4)], backend=engine_name)
    x = [made[0], 0.25, engine(0.5) * 3]  # a parameter as an input, too
    out = layer(x)
    assert _in_one_call(layer)
    expected = [(n.b + n.w[0] * x[0] + n.w[1] * x[1] + n.w[2] * x[2]).relu() for n in layer.neurons]
    assert [bits(v.data) for v in out] == [bits(v.data) for v in expected]
    engine.sum(out).backward()
    got = {i: bits(v.grad) for i, v in made.items()}
    for v in made.values():
        v.grad = 0.0
    engine.sum([engine.dot(n.w, x, n.b).relu() for n in layer.neurons]).backward()
    assert {i: bits(v.grad) for i, v in made.items()} == got


def test_computed_parameters(engine_name, engine):
    """Weights that depend on others: the search must go into them, once."""
    base = [engine(0.5), engine(-0.25)]
    rows = [[2 * base[0], base[1].tanh()], [base[0] * base[1], 3 + base[0]]]
    layer = Layer(2, 2, activation="tanh", weights=rows, backend=engine_name)

    def gradients(out):
        for v in (*base, *itertools.chain(*rows)):
            v.grad = 0.0
        (out[0] * out[1]).backward()
        return [bits(v.grad) for v in base]

    for scale in (1.0, 2.0):
        x = [scale, -1.5]
        one_by_one = [engine.dot(n.w, x, n.b).tanh() for n in layer.neurons]
        assert gradients(layer(x)) == gradients(one_by_one)
        assert _in_one_call(layer)


def test_user_defined_inputs_and_parameters(backend, Value):
    """What stands downstream of a closure is computed neuron by neuron, so that every handle lives."""

    def doubled(x):
        out = Value(x.data * 2, (x,), "doubled")

        def _backward():
            x.grad += 2 * out.grad

        out._backward = _backward
        return out

    a = Value(0.75)
    model = MLP(2, [3, 1], activation="tanh", seed=2, backend=backend)
    model([1.0, 2.0])
    y = model([doubled(a), 0.5])
    gc.collect()
    y.backward()
    h = 1e-6
    slope = (model([2 * (0.75 + h), 0.5]).data - model([2 * (0.75 - h), 0.5]).data) / (2 * h)
    assert a.grad == pytest.approx(slope, rel=1e-6)
    # a closure that a parameter gets later
    called = []
    w = model.layers[0].neurons[0].w[0]
    w._backward = lambda: called.append(w.grad)
    y = model([1.0, 2.0])
    gc.collect()
    y.backward()
    assert len(called) == 1
    del w._backward


def test_nothing_outlives_its_use(engine_name, live):
    model = MLP(4, [5, 5, 2], seed=1, backend=engine_name)
    size = len(model.parameters())
    assert live() == size
    for _ in range(3):
        out = model([1.0, 2.0, 3.0, 4.0])
        out[0].backward()
        # inputs, dot products and activations; the last layer has no activation
        assert live() == size + 4 + 2 * (5 + 5) + 2
        del out
        assert live() == size
    for wrong in ([1.0], [1.0, "2", 3.0, 4.0], [1.0, None, 3.0, 4.0], [10**400, 1, 2, 3]):
        with pytest.raises((TypeError, ValueError, OverflowError)):
            model(wrong)
    assert live() == size
    del model


def test_a_prepared_layer_keeps_what_it_needs(engine_name, engine, live):
    """The function holds its parameters, whatever happens to the Values and to operand lists meanwhile."""
    model = MLP(3, [4, 2], seed=1, backend=engine_name)
    first = [v.data for v in model([0.1, 0.2, 0.3])]
    compute = model._compute
    many = [engine.sum([1.0] * 400) for _ in range(400)]
    root = engine.sum(many[::50])
    del many
    engine._trim()
    assert [v.data for v in compute([0.1, 0.2, 0.3])] == first
    del root
    engine._trim()
    del model
    gc.collect()
    assert [v.data for v in compute([0.1, 0.2, 0.3])] == first
    out = compute([0.1, 0.2, 0.3])
    out[0].backward()
    del out, compute


def test_every_allocation_may_fail(engine_name, engine, live):
    model = MLP(3, [300, 3], activation="elu", seed=1, backend=engine_name)  # wider than what stands on the stack
    x = [engine(0.5), 0.25, 0.125]
    expected = [v.data for v in model(x)]
    model.layers[0].neurons[0].b = engine(0.0)  # to be prepared again
    nodes = live()
    failures = 0
    for n in itertools.count(1):
        engine._trim()
        lib.pg_fail_allocation(n)
        try:
            out = model(x)
            out[0].backward()
        except MemoryError:
            failures += 1
            out = None
            assert live() == nodes
            continue
        finally:
            lib.pg_fail_allocation(0)
        break
    assert failures > 2
    assert [v.data for v in out] == expected
    del out, x, model


def test_many_sweeps(engine_name, engine):
    """The marks of the search are 16 bits wide, also those of the lists that neurons share."""
    layer = Layer(2, 3, seed=1, activation="tanh", backend=engine_name)
    x = [engine(0.5), engine(0.25)]
    old = engine.sum(layer(x))
    old.backward()
    expected = [v.grad for v in x]
    small = engine(1.0) + 1
    for _ in range(65535):
        small.backward()
    for v in x:
        v.grad = 0.0
    old.backward()
    # 3 times: the activations add 1 to their 1, the dot products 2 to theirs
    assert [v.grad for v in x] == pytest.approx([3 * g for g in expected])
