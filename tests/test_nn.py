"""Networks: shapes, errors, parameters. Their numbers are test_known.py's and test_micrograd.py's subject."""

from __future__ import annotations

import numpy as np
import pytest

from pygrad import backends
from pygrad.demo import learning_rate, train_moons
from pygrad.nn import MLP, Layer, Module, Neuron


def test_inputs_of_every_kind(backend, Value):
    model = MLP(2, [3, 1], backend=backend)
    expected = model([0.5, -1.0]).data
    mixed = [Value(0.5), -1]
    for x in [(0.5, -1.0), np.array([0.5, -1.0]), mixed, [Value(0.5), Value(-1.0)], np.array(mixed)]:
        assert model(x).data == expected
    assert Neuron(2, backend=backend)(i for i in (1, 2)).data >= 0.0


def test_a_number_becomes_one_leaf_a_layer(backend):
    a, b = Layer(2, 2, backend=backend)([1.0, 2.0])
    inputs = [v.operands[0].operands[-1] for v in (a, b)]
    assert inputs[0] is inputs[1]


@pytest.mark.parametrize("kind", [Neuron, lambda n, **k: Layer(n, 3, **k), lambda n, **k: MLP(n, [3, 1], **k)])
def test_a_wrong_count_of_inputs_names_both(backend, kind):
    model = kind(2, backend=backend)
    for x in ([1.0], [1.0, 2.0, 3.0], [], np.zeros(5)):
        with pytest.raises(ValueError, match=rf"Neuron\(2\) takes 2 inputs, but got {len(x)}"):
            model(x)
    with pytest.raises(TypeError, match="takes a sequence of 2 inputs, not float"):
        model(3.0)
    with pytest.raises(TypeError, match="expected a Value or a number, not str"):
        model(["1", 2])
    with pytest.raises(TypeError, match="expected a Value or a number, not None"):
        model([1, None])


def test_values_of_another_backend_are_refused(backend):
    model = MLP(1, [2], backend=backend)
    for name in backends.NAMES:
        if name != backend:
            with pytest.raises(TypeError, match="cannot stand in one expression"):
                model([backends.load(name)(1.0)])


@pytest.mark.parametrize("wrong", [-1, 2.0, "3", None])
def test_sizes_are_checked(backend, wrong):
    for make in [lambda: Neuron(wrong), lambda: Layer(2, wrong), lambda: MLP(2, [3, wrong]), lambda: MLP(wrong, [1])]:
        with pytest.raises((TypeError, ValueError), match="must be"):
            make()


def test_parameters_and_their_order(backend):
    model = MLP(2, [3, 1], backend=backend)
    n = model.layers[0].neurons[1]
    assert model.parameters()[3:6] == [*n.w, n.b]
    assert len(model.parameters()) == 13
    assert Module().parameters() == []
    assert all(-1 <= w.data <= 1 for w in n.w)
    assert n.b.data == 0.0
    for p in model.parameters():
        p.grad = 3.0
    model.zero_grad()
    assert {p.grad for p in model.parameters()} == {0.0}


def test_the_last_layer_is_linear(backend):
    model = MLP(1, [2, 2], backend=backend)
    assert [n.nonlin for layer in model.layers for n in layer.neurons] == [True, True, False, False]
    assert repr(Neuron(1, False, backend=backend)) == "LinearNeuron(1)"


def test_a_replaced_parameter_is_used(backend, Value):
    n = Neuron(1, nonlin=False, backend=backend)
    n.w[0], n.b = Value(2.0), Value(1.0)
    assert n([3.0]).data == 7.0


def test_training_moons_gives_the_same_losses_everywhere():
    runs = {name: train_moons(name, steps=8, samples=30, hidden=(6, 6)) for name in backends.NAMES}
    assert len({tuple(x.hex() for x in run.losses) for run in runs.values()}) == 1
    assert runs["c"].losses[-1] < runs["c"].losses[0]
    assert 0.5 < runs["c"].accuracy <= 1.0


def test_the_whole_demo_learns():
    run = train_moons("c", steps=100)
    assert run.accuracy == 1.0
    assert run.losses[-1] < 0.05


def test_learning_rate():
    assert learning_rate(0, 100) == 1.0
    assert learning_rate(50, 100) == pytest.approx(0.55)
