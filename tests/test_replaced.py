"""What is replaced in a network after it was called is used from the next call on, however it was replaced.

Networks may keep prepared what they compute with; nothing of that may show. Each call here is compared with the same
network neuron by neuron: outputs and gradients with dot products, outputs also with single products, all in their bits.
"""

from __future__ import annotations

import copy
import random

import numpy as np
import pytest

from pygrad import backends
from pygrad.nn import MLP, Dropout, Layer, Module, Neuron

from .conftest import bits

X = [0.5, -1.25]


def by_products(n, x):
    out = n.b
    for w, v in zip(n.w, x, strict=True):
        out = out + w * v
    return out


def by_dot(n, x):
    return x[0].dot(n.w, x, n.b)


def plainly(model, x, weighted_sum=by_products):
    """The outputs, neuron by neuron: bias + w0 * x0 + w1 * x1 + ..."""
    for layer in model.layers:
        outputs = []
        for n in layer.neurons:
            out = weighted_sum(n, x)
            if callable(n.activation):
                out = n.activation(out)
            elif n.activation != "linear":
                out = getattr(out, n.activation)()
            outputs.append(out)
        x = outputs
    return x


def leaves_of(model, value_type):
    found = [v for layer in model.layers for n in layer.neurons for v in [*n.w, n.b] if isinstance(v, value_type)]
    return list({id(v): v for v in found}.values())


def check(model, value_type):
    """Calls the model three times, and looks at outputs and gradients each time."""
    for _ in range(3):
        results = []
        for call in (model, lambda x: plainly(model, x, by_dot)):
            x = [value_type(v) for v in X]
            for v in leaves_of(model, value_type):
                v.grad = 0.0
            out = call(x)
            out = out if isinstance(out, list) else [out]
            for v in out:
                v.backward()
            data = [bits(v.data) for v in out]
            results.append((data, [bits(v.grad) for v in [*leaves_of(model, value_type), *x]]))
        assert results[0] == results[1]
        assert results[0][0] == [bits(v.data) for v in plainly(model, [value_type(v) for v in X])]
    structure = [v for layer in model.layers for n in layer.neurons for v in [*n.w, n.b]]
    assert [id(v) for v in model.parameters()] == [id(v) for v in structure]


@pytest.fixture
def model(backend):
    return MLP(2, [3, 3, 2], activation="tanh", bias_init="uniform", seed=1, backend=backend)


def first(model):
    return model.layers[0].neurons[0]


def last(model):
    return model.layers[-1].neurons[-1]


def values(Value, *numbers):
    return [Value(x) for x in numbers]


def widen(model, Value, grow):
    """A further neuron in the first layer; grow(w, v) gives every neuron of the second layer a further weight."""
    model.layers[0].neurons.append(Neuron(2, activation="relu", seed=3, backend=Value._pygrad_backend))
    for i, n in enumerate(model.layers[1].neurons):
        grow(n.w, Value(1.5 + i))


def narrow(model, take_weight, take_neuron):
    """A neuron less in the first layer, and a weight less in each of the second."""
    take_neuron(model.layers[0].neurons)
    for n in model.layers[1].neurons:
        take_weight(n.w)


def assign(x, key, item):
    x[key] = item


def extend_in_place(w, v):
    w += [v]


REPLACEMENTS = {
    "w[0] =": lambda m, V: assign(first(m).w, 0, V(3.0)),
    "w[-1] =": lambda m, V: assign(first(m).w, -1, V(3.0)),
    "w[:] =": lambda m, V: assign(first(m).w, slice(None), values(V, 3.0, -2.0)),
    "w[0:1] =": lambda m, V: assign(first(m).w, slice(0, 1), values(V, 3.0)),
    "w[::-1] =": lambda m, V: assign(first(m).w, slice(None, None, -1), list(first(m).w)),
    "w[0] = w[1]": lambda m, V: assign(first(m).w, 0, first(m).w[1]),
    "w[0] = computed": lambda m, V: assign(first(m).w, 0, first(m).w[1] * 2),
    "w[0] = another layer's": lambda m, V: assign(first(m).w, 0, m.layers[2].neurons[0].w[0]),
    "w = list": lambda m, V: setattr(first(m), "w", values(V, 3.0, -2.0)),
    "w = tuple": lambda m, V: setattr(first(m), "w", tuple(values(V, 3.0, -2.0))),
    "w = array": lambda m, V: setattr(first(m), "w", np.array(values(V, 3.0, -2.0))),
    "w = another neuron's": lambda m, V: setattr(first(m), "w", m.layers[0].neurons[1].w),
    "w.reverse": lambda m, V: first(m).w.reverse(),
    "w.sort": lambda m, V: first(m).w.sort(key=lambda v: -v.data),
    "w.append": lambda m, V: widen(m, V, lambda w, v: w.append(v)),
    "w.extend": lambda m, V: widen(m, V, lambda w, v: w.extend([v])),
    "w.insert": lambda m, V: widen(m, V, lambda w, v: w.insert(1, v)),
    "w +=": lambda m, V: widen(m, V, extend_in_place),
    "w.pop": lambda m, V: narrow(m, lambda w: w.pop(0), lambda neurons: neurons.pop()),
    "w.remove": lambda m, V: narrow(m, lambda w: w.remove(w[1]), lambda neurons: neurons.remove(neurons[1])),
    "del w[0]": lambda m, V: narrow(m, lambda w: w.__delitem__(0), lambda neurons: neurons.__delitem__(0)),
    "del w[1:]": lambda m, V: narrow(m, lambda w: w.__delitem__(slice(2, None)), lambda neurons: neurons.pop()),
    "w.clear and w.extend": lambda m, V: (first(m).w.clear(), first(m).w.extend(values(V, 3.0, -2.0))),
    "b =": lambda m, V: setattr(first(m), "b", V(3.0)),
    "b = computed": lambda m, V: setattr(first(m), "b", first(m).w[0] * 2),
    "b = another neuron's": lambda m, V: setattr(first(m), "b", m.layers[0].neurons[1].b),
    "activation = a name": lambda m, V: setattr(first(m), "activation", "sigmoid"),
    "activation = a function": lambda m, V: setattr(first(m), "activation", lambda v: v * v + 1),
    "nonlin = False": lambda m, V: setattr(first(m), "nonlin", False),
    "neurons[0] =": lambda m, V: assign(m.layers[0].neurons, 0, Neuron(2, seed=9, backend=V._pygrad_backend)),
    "neurons[0], neurons[1] =": lambda m, V: assign(m.layers[0].neurons, slice(0, 2), m.layers[0].neurons[1::-1]),
    "neurons[0] = neurons[1]": lambda m, V: assign(m.layers[0].neurons, 0, m.layers[0].neurons[1]),
    "neurons.reverse": lambda m, V: m.layers[0].neurons.reverse(),
    "neurons = list": lambda m, V: setattr(m.layers[0], "neurons", m.layers[0].neurons[::-1]),
    "neurons = tuple": lambda m, V: setattr(m.layers[0], "neurons", tuple(m.layers[0].neurons[::-1])),
    "neurons = another layer's": lambda m, V: setattr(m.layers[1], "neurons", [*m.layers[2].neurons, last(m)]),
    "layers[1] =": lambda m, V: assign(m.layers, 1, Layer(3, 3, seed=9, backend=V._pygrad_backend)),
    "layers[2] = layers[1]": lambda m, V: assign(m.layers, 2, m.layers[1]),
    "layers.append": lambda m, V: m.layers.append(Layer(2, 4, seed=9, backend=V._pygrad_backend)),
    "layers.insert": lambda m, V: m.layers.insert(1, Layer(3, 3, seed=9, backend=V._pygrad_backend)),
    "layers.pop": lambda m, V: m.layers.pop(),
    "del layers[1]": lambda m, V: m.layers.__delitem__(1),
    "layers = list": lambda m, V: setattr(m, "layers", [m.layers[0], m.layers[2]]),
    "layers *=": lambda m, V: setattr(m, "layers", [m.layers[0], *[m.layers[1]] * 3]),
    "data": lambda m, V: setattr(first(m).w[0], "data", 7.0),
    "load_state_dict": lambda m, V: m.load_state_dict({k: x * 2 for k, x in m.state_dict().items()}),
}  # fmt: skip


@pytest.mark.parametrize("name", REPLACEMENTS)
def test_replaced(model, Value, name):
    check(model, Value)
    REPLACEMENTS[name](model, Value)
    check(model, Value)
    # what stands there now can be replaced in turn
    first(model).b = Value(-0.5)
    check(model, Value)
    if not isinstance(first(model).w, tuple):
        first(model).w[1] = Value(0.75)
        check(model, Value)
    if not isinstance(model.layers[0].neurons, tuple):
        model.layers[0].neurons[0] = Neuron(2, activation="elu", seed=8, backend=Value._pygrad_backend)
        check(model, Value)
    model.layers[0] = Layer(2, len(model.layers[0].neurons), seed=7, backend=Value._pygrad_backend)
    check(model, Value)


def test_any_sequence_of_replacements(backend):
    """Many at random, each after calls."""
    value_type = backends.load(backend)
    rng = random.Random(5)
    harmless = ("w[", "b ", "activation", "nonlin", "neurons[", "neurons.", "data", "load", "w.reverse", "w = list")
    keeping_shape = [name for name in REPLACEMENTS if name.startswith(harmless)]
    for seed in range(15):
        model = MLP(2, [3, 3, 2], activation="tanh", seed=seed, backend=backend)
        for _ in range(8):
            REPLACEMENTS[rng.choice(keeping_shape)](model, value_type)
            check(model, value_type)


def test_a_plain_number_among_the_weights(model, Value):
    """As in micrograd."""
    check(model, Value)
    first(model).w[0] = 2.0
    expected = [v.data for v in plainly(model, values(Value, *X))]
    for _ in range(3):
        assert [v.data for v in model(X)] == expected


def test_a_list_of_ones_own_stays_shared(model, Value):
    """The neuron has the very list that was assigned, as with any Python object."""
    mine = values(Value, 1.0, 2.0)
    first(model).w = mine
    check(model, Value)
    mine[0] = Value(-5.0)
    check(model, Value)
    mine[:] = values(Value, 3.0, 4.0)
    check(model, Value)
    assert first(model).w is mine


def test_a_layer_in_two_networks(model, Value):
    other = MLP(2, [3, 1], seed=2, backend=Value._pygrad_backend)
    other.layers[0] = model.layers[0]
    for m in (model, other):
        check(m, Value)
    other.layers[0].neurons[1].w[1] = Value(4.0)
    for m in (model, other):
        check(m, Value)
    model.layers[0].neurons[2] = Neuron(2, seed=6, backend=Value._pygrad_backend)
    for m in (other, model):
        check(m, Value)


def test_a_layer_alone(model, Value):
    layer = model.layers[0]
    alone = MLP(2, [], backend=Value._pygrad_backend)
    alone.layers = [layer]
    for change in (lambda: None, lambda: assign(layer.neurons[2].w, 0, Value(9.0)), lambda: layer.neurons.pop()):
        change()
        for _ in range(3):
            assert [v.data for v in layer(X)] == [v.data for v in plainly(alone, values(Value, *X))]


def test_copies_do_not_hear_of_each_other(model, Value):
    check(model, Value)
    twin = copy.deepcopy(model)
    check(twin, Value)
    first(twin).w[0] = Value(50.0)
    for m in (model, twin):
        check(m, Value)
    first(model).activation = "relu"
    for m in (twin, model):
        check(m, Value)
    shallow = copy.copy(model)
    check(shallow, Value)
    shallow.layers = list(model.layers[:1])
    for m in (model, shallow):
        check(m, Value)


def test_a_wrong_width_is_an_error_after_all(model, Value):
    """Not a result from what was there before, nor from beyond the end of anything."""
    check(model, Value)
    last = model.layers[0].neurons.pop()
    with pytest.raises(ValueError, match=r"TanhNeuron\(3\) takes 3 inputs, but got 2"):
        model(X)
    model.layers[0].neurons.append(last)
    check(model, Value)
    model.layers[1].neurons[2].w.append(Value(1.0))
    with pytest.raises(ValueError, match=r"TanhNeuron\(4\) takes 4 inputs, but got 3"):
        model(X)
    model.layers[1].neurons[2].w.pop()
    check(model, Value)
    for x in ([1.0], [1.0, 2.0, 3.0]):
        with pytest.raises(ValueError, match=rf"TanhNeuron\(2\) takes 2 inputs, but got {len(x)}"):
            model(x)


def test_what_is_no_number_is_an_error_after_all(model, Value):
    check(model, Value)
    kept = first(model).w[0]
    for wrong in (None, "1", [1.0]):
        first(model).w[0] = wrong
        with pytest.raises(TypeError, match="expected a Value or a number, not"):
            model(X)
    for name in backends.NAMES:
        if name != Value._pygrad_backend:
            first(model).w[0] = backends.load(name)(1.0)
            with pytest.raises(TypeError, match="cannot stand in one expression"):
                model(X)
    first(model).w[0] = kept
    check(model, Value)


def test_dropout_that_comes_and_goes(model, Value):
    check(model, Value)
    model.dropout = Dropout(0.5, seed=1)
    results = [tuple(v.data for v in model(X)) for _ in range(20)]
    assert len(set(results)) > 5
    model.dropout.p = 0.0
    check_outputs(model, Value)
    model.dropout.p = 0.5
    assert len({tuple(v.data for v in model(X)) for _ in range(20)}) > 5
    model.dropout.eval()
    check_outputs(model, Value)
    model.dropout.training = True
    assert len({tuple(v.data for v in model(X)) for _ in range(20)}) > 5
    model.eval()
    check_outputs(model, Value)
    model.train()
    assert len({tuple(v.data for v in model(X)) for _ in range(20)}) > 5
    model.dropout = None
    check(model, Value)


def check_outputs(model, value_type):
    expected = [v.data for v in plainly(model, values(value_type, *X))]
    assert all([v.data for v in model(X)] == expected for _ in range(3))


class Negated(Neuron):
    def __call__(self, x):
        return -super().__call__(x)


class Summed(Layer):
    def __call__(self, x):
        out = super().__call__(x)
        return [v + 1 for v in out]


class Third(Module):
    def __call__(self, x):
        return [x[0] * 1, x[1] * 1, x[0] + x[1]]


def test_neurons_and_layers_of_ones_own(model, Value):
    """Put into a network that was called before, and taken out again."""
    check(model, Value)
    layer, backend = model.layers[0], Value._pygrad_backend
    before = [v.data for v in layer(X)]
    kept = layer.neurons[1]
    layer.neurons[1] = own = Negated(2, backend=backend)
    own.w, own.b, own.activation = kept.w, kept.b, kept.activation
    for _ in range(3):
        assert [v.data for v in layer(X)] == [before[0], -before[1], before[2]]
        expected = plainly(tail(model), layer(X))
        assert [v.data for v in model(X)] == [v.data for v in expected]
    layer.neurons[1] = kept
    check(model, Value)
    own = Summed(2, 0, backend=backend)
    own.neurons = layer.neurons
    model.layers[0] = own
    for _ in range(3):
        expected = plainly(tail(model), [Value(v + 1) for v in before])
        assert [v.data for v in model(X)] == [v.data for v in expected]
    model.layers[0] = Third()
    for _ in range(3):
        expected = plainly(tail(model), values(Value, X[0], X[1], X[0] + X[1]))
        assert [v.data for v in model(X)] == [v.data for v in expected]
    model.layers[0] = layer
    check(model, Value)


def tail(model):
    """The network without its first layer."""
    rest = copy.copy(model)
    rest.layers = model.layers[1:]
    return rest


def test_a_method_replaced_on_the_class(model, Value, monkeypatch):
    check(model, Value)
    before = [v.data for v in model.layers[0](X)]
    call = Neuron.__call__
    monkeypatch.setattr(Neuron, "__call__", lambda self, x: call(self, x) * 2)
    assert [v.data for v in model.layers[0](X)] == [2 * v for v in before]
    monkeypatch.undo()
    assert [v.data for v in model.layers[0](X)] == before
    layer_call = Layer.__call__
    monkeypatch.setattr(Layer, "__call__", lambda self, x: [v * 2 for v in layer_call(self, x)])
    first_layer = MLP(2, [], backend=Value._pygrad_backend)
    first_layer.layers = model.layers[:1]
    assert [v.data for v in first_layer(X)] == [2 * v for v in before]
    monkeypatch.undo()
    check(model, Value)
