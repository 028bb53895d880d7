"""Softmax, Dropout, sequences of modules, and how modules describe themselves."""

from __future__ import annotations

import json
import math
import random

import numpy as np
import pytest

from pygrad.nn import MLP, Dropout, Layer, Module, Neuron, Sequential, Softmax


def square(v):
    return v * v


class Foreign(Module):
    """A module of one's own."""



# ---- softmax, dropout, sequences ----


def test_softmax_against_torch(Value):
    torch = pytest.importorskip("torch")
    for logits in ([0.5, -1.0, 2.0], [1000.0, 999.0, -1000.0], [3.0], [-1000.0, -1000.0]):
        x = torch.tensor(logits, dtype=torch.float64, requires_grad=True)
        values = [Value(v) for v in logits]
        expected, found = torch.softmax(x, 0), Softmax()(values)
        (expected * torch.arange(1.0, len(logits) + 1, dtype=torch.float64)).sum().backward()
        sum(v * (i + 1) for i, v in enumerate(found)).backward()
        np.testing.assert_allclose([v.data for v in found], expected.tolist(), rtol=1e-12, atol=1e-300)
        np.testing.assert_allclose([v.grad for v in values], x.grad.tolist(), rtol=1e-12, atol=1e-14)
        assert Softmax()(logits) == [v.data for v in found]
    assert Softmax()([]) == []
    assert repr(Softmax()) == "Softmax()"


def test_dropout_in_training(Value):
    """About p of n are 0 (within 6 standard deviations of the binomial distribution), the others scaled."""
    n, p = 4000, 0.3
    values = [Value(2.0) for _ in range(n)]
    out = Dropout(p, seed=1)(values)
    dropped = [v.data == 0.0 for v in out]
    assert abs(sum(dropped) - n * p) < 6 * math.sqrt(n * p * (1 - p))
    assert {v.data for v in out} == {0.0, 2.0 * (1.0 / (1.0 - p))}
    Value.sum(out).backward()
    assert [v.grad for v in values] == [0.0 if d else 1.0 / (1.0 - p) for d in dropped]


def test_dropout_otherwise(Value):
    v = Value(2.0)
    x = [v, v]
    assert Dropout(0.5).eval()(x) is x
    assert Dropout(0.0)(x) is x
    dropout = Dropout(0.5, seed=3)
    singles = {dropout(v).data for _ in range(50)}
    assert singles == {0.0, 4.0}
    assert set(Dropout(0.5, seed=3)([1.0] * 50)) == {0.0, 2.0}
    assert repr(Dropout(0.25)) == "Dropout(0.25)"


def test_dropout_in_a_network(backend):
    """After every hidden layer and not after the last; the same draws on every backend."""
    weights, biases = [[[1.0]] * 8, [[1.0] * 8] * 2], [[0.0] * 8, [5.0, 5.0]]
    model = MLP(1, [8, 2], weights=weights, biases=biases, dropout=0.5, seed=1, backend=backend)
    rng = random.Random(1)
    for _ in range(10):
        kept = sum(rng.uniform(0.0, 1.0) >= 0.5 for _ in range(8))
        assert [v.data for v in model([1.0])] == [5.0 + 2.0 * kept] * 2
    model.dropout.eval()
    assert model([1.0])[0].data == 13.0
    model.train()
    assert len({model([1.0])[0].data for _ in range(20)}) > 1
    model.eval()
    assert model([1.0])[0].data == 13.0
    model.train().dropout = None
    assert model([1.0])[0].data == 13.0
    assert MLP(1, [1], backend=backend).dropout is None


def test_sequences(backend):
    first, last = Layer(2, 3, seed=1, backend=backend), Layer(3, 2, seed=2, backend=backend)
    model = Sequential(first, lambda x: [v.tanh() for v in x], last, Softmax())
    assert len(model.parameters()) == 17
    expected = Softmax()(last([v.tanh() for v in first([1, 2])]))
    assert [v.data for v in model([1, 2])] == [v.data for v in expected]
    assert Sequential()(3) == 3
    assert repr(Sequential(Dropout(0.5), Softmax())) == "Sequential(Dropout(0.5), Softmax())"


# ---- descriptions ----


def test_architectures_are_json(backend):
    model = Sequential(
        MLP(2, [2, 1], activation="tanh", dropout=0.25, backend=backend), Layer(1, 0, backend=backend), Softmax(),
        Dropout(0.5), Neuron(3, False, backend=backend),
    )  # fmt: skip
    assert json.loads(json.dumps(model.architecture())) == {
        "type": "Sequential",
        "parts": [
            {
                "type": "MLP",
                "layers": [
                    {"type": "Layer", "nin": 2, "nout": 2, "activations": ["tanh", "tanh"]},
                    {"type": "Layer", "nin": 2, "nout": 1, "activations": ["linear"]},
                ],
                "dropout": 0.25,
            },
            {"type": "Layer", "nin": 0, "nout": 0, "activations": []},
            {"type": "Softmax"},
            {"type": "Dropout", "p": 0.5},
            {"type": "Neuron", "nin": 3, "activation": "linear"},
        ],
    }


def test_what_has_no_architecture(backend):
    layer = Layer(2, 1, backend=backend)
    layer.neurons.append(Neuron(3, backend=backend))
    for module, message in [
        (layer, "neurons that differ in their inputs, which cannot be described"),
        (Neuron(1, activation=square, backend=backend), r"squareNeuron\(1\) has an activation of your own"),
        (Foreign(), "Foreign is a Module of your own: pygrad can save its parameters, but not its code"),
        (Sequential(square), "Sequential has a function of your own"),
    ]:
        with pytest.raises(TypeError, match=message):
            module.architecture()
