"""Modules of one's own: which parameters they have, their names, their state, copies of them. What they compute is no
subject here.

A hypothesis test builds trees of modules and containers, and notes while it builds them which Values are parameters.
"""

from __future__ import annotations

import copy
import pickle
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pygrad import backends
from pygrad.nn import MLP, Dropout, Layer, Module, Neuron, Sequential, Softmax

from .conftest import bits


class Box(Module):
    """A module of whatever attributes."""

    def __init__(self, **attributes):
        vars(self).update(attributes)


class Own(Module):
    """A module that defines parameters() itself, as in micrograd: some in no attribute, and not `left_out`."""

    def __init__(self, shown, hidden, left_out):
        self.shown = shown
        self._hidden = hidden
        self.left_out = left_out

    def parameters(self):
        return [*self.shown, *self._hidden]


def same(xs, ys):
    """Whether these are the same objects."""
    return [id(x) for x in xs] == [id(y) for y in ys]


def data_bits(module):
    return [bits(p.data) for p in module.parameters()]


# ---- trees of modules ----

leaf = st.sampled_from(["fresh", "fresh", "shared", "computed", "number", "nothing", "module again"])
own = st.tuples(st.just("own"), st.integers(0, 2), st.integers(0, 2))
trees = st.recursive(
    st.one_of(leaf, own),
    lambda inner: st.tuples(
        st.sampled_from(["module", "module", "list", "tuple", "dict", "array"]),
        st.lists(st.tuples(st.booleans(), inner), max_size=4),
    ),
    max_leaves=12,
)


class Builder:
    """Makes a tree; `expected` are the parameters it should have, in order."""

    def __init__(self, value_type, rng):
        self.value_type, self.rng = value_type, rng
        self.values, self.modules, self.expected = [], [], []

    def fresh(self):
        self.values.append(self.value_type(self.rng.uniform(-9, 9)))
        return self.values[-1]

    def counted(self, v, public):
        if public and not any(v is p for p in self.expected):
            self.expected.append(v)
        return v

    def root(self, tree):
        return self.module([(False, tree)], True)

    def module(self, parts, public):
        box = Box()
        if public:
            self.modules.append(box)
        for i, (private, part) in enumerate(parts):
            setattr(box, f"_p{i}" if private else f"p{i}", self.build(part, public and not private))
        return box

    def build(self, tree, public):
        if tree == "fresh":
            return self.counted(self.fresh(), public)
        if tree == "shared" and self.values:
            return self.counted(self.rng.choice(self.values), public)
        if tree == "computed" and self.values:
            return self.rng.choice(self.values) * 2
        if tree == "module again" and self.modules:  # perhaps one that this is part of
            return self.rng.choice(self.modules)
        if isinstance(tree, str):
            return 1.5 if tree == "number" else None
        if tree[0] == "own":
            _, shown, hidden = tree
            module = Own([self.fresh() for _ in range(shown)], [self.fresh() for _ in range(hidden)], self.fresh())
            for v in module.parameters():
                self.counted(v, public)
            return module
        kind, parts = tree
        if kind == "module":
            return self.module(parts, public)
        items = [self.build(part, public) for _, part in parts]
        if kind == "tuple":
            return tuple(items)
        if kind == "dict":
            return {f"k{i}": item for i, item in enumerate(items)}
        if kind == "array":
            array = np.empty(len(items), dtype=object)
            array[:] = items
            return array
        return items


def resolved(root, path):
    """What stands at a path of attributes, keys and indices."""
    x = root
    for step in path.split("."):
        x = getattr(x, step) if isinstance(x, Module) else x[step if isinstance(x, dict) else int(step)]
    return x


@given(tree=trees, seed=st.integers(0, 2**32))
def test_parameters_of_any_tree(backend, tree, seed):
    builder = Builder(backends.load(backend), random.Random(seed))
    root = builder.root(tree)
    assert same(root.parameters(), builder.expected)
    named = root.named_parameters()
    assert same([p for _, p in named], builder.expected)
    names = [name for name, _ in named]
    assert len(set(names)) == len(names)
    for name, p in named:
        if "parameters" not in name:
            assert resolved(root, name) is p
        else:
            owner, place = name.split(".parameters.")
            assert resolved(root, owner).parameters()[int(place)] is p
    assert [name for name, _ in root.named_parameters("model")] == [f"model.{name}" for name in names]


@given(tree=trees, seed=st.integers(0, 2**32), other=st.integers(0, 2**32))
def test_state_round_trips(backend, tree, seed, other):
    first, second = (Builder(backends.load(backend), random.Random(seed)) for _ in range(2))
    one, two = first.root(tree), second.root(tree)
    for i, p in enumerate(one.parameters()):
        p.data = random.Random(other + i).uniform(-9, 9)
    untouched = [v for v in second.values if not any(v is p for p in second.expected)]
    before = [v.data for v in untouched]
    state = one.state_dict()
    assert all(array.dtype == np.float64 for array in state.values())
    two.load_state_dict(state)
    assert data_bits(two) == data_bits(one)
    assert [v.data for v in untouched] == before
    # the state is a copy, and each parameter is in it
    again = one.state_dict()
    for p in one.parameters():
        p.data += 1
    assert all((state[name] == again[name]).all() for name in state)
    assert sorted({x for array in state.values() for x in array.ravel()}) == sorted(
        {p.data for p in two.parameters()}
    )


@given(tree=trees, seed=st.integers(0, 2**32))
def test_copies_of_any_tree(backend, tree, seed):
    builder = Builder(backends.load(backend), random.Random(seed))
    root = builder.root(tree)
    for twin in (copy.deepcopy(root), pickle.loads(pickle.dumps(root))):
        assert data_bits(twin) == data_bits(root)
        assert [name for name, _ in twin.named_parameters()] == [name for name, _ in root.named_parameters()]
        assert not {id(p) for p in twin.parameters()} & {id(v) for v in builder.values}
    assert len(root.modules()) == len({id(m) for m in root.modules()})
    root.eval()
    assert not any(m.training for m in root.modules())


# ---- what counts ----


def test_what_counts(Value):
    a, b, c, d, e, f = (Value(float(i)) for i in range(6))
    box = Box(
        a=a, numbers=[1.0, None, "x"], _private=Value(9), b=[b, (c, {"k": d})], computed=a * 2, again=[a, b],
        inner=Box(e=e, a=a), array=np.array([1.0, 2.0]), objects=np.array([[f, a]]),
    )  # fmt: skip
    assert same(box.parameters(), [a, b, c, d, e, f])
    assert [name for name, _ in box.named_parameters()] == ["a", "b.0", "b.1.0", "b.1.1.k", "inner.e", "objects.0.0"]
    assert {name: array.tolist() for name, array in box.state_dict().items()} == {
        "a": 0.0, "b.0": 1.0, "b.1.0": 2.0, "b.1.1.k": 3.0, "inner.e": 4.0, "objects": [[5.0, 0.0]],
    }  # fmt: skip
    for p in box.parameters():
        p.grad = 2.0
    box.zero_grad()
    assert [p.grad for p in (a, b, c, d, e, f)] == [0.0] * 6


def test_modules_that_refer_to_each_other(backend):
    """A child that knows its parent, whether or not they define parameters() themselves."""
    model = MLP(2, [2, 1], seed=1, backend=backend)
    for layer in model.layers:
        layer.parent = model
        for n in layer.neurons:
            n.layer = layer
    whole = Box(model=model)
    model.whole = whole
    whole.itself = whole
    assert same(whole.parameters(), model.parameters())
    names = [name for name, _ in whole.named_parameters()]
    assert names[1:3] == ["model.layers.0.neurons.0.w.1", "model.layers.0.neurons.0.b"]
    assert list(whole.state_dict()) == [f"model.layers.{i}.{what}" for i in (0, 1) for what in ("weight", "bias")]
    assert len(whole.modules()) == 1 + 1 + 2 + 3
    assert "13" not in whole.summary()
    twin = copy.deepcopy(whole)
    assert twin.model.layers[0].parent is twin.model
    assert data_bits(twin) == data_bits(whole)


def test_a_class_that_defines_parameters_itself(Value):
    a, b, c = Value(1.0), Value(2.0), Value(3.0)
    own = Own([a], [b], c)
    assert own.named_parameters() == [("shown.0", a), ("parameters.1", b)]
    assert {name: x.tolist() for name, x in own.state_dict().items()} == {"shown": [1.0], "parameters": [2.0]}
    own.load_state_dict({"shown": [5], "parameters": [6]})
    assert (a.data, b.data, c.data) == (5.0, 6.0, 3.0)
    box = Box(x=own, y=Value(4.0))
    assert [name for name, _ in box.named_parameters()] == ["x.shown.0", "x.parameters.1", "y"]
    assert list(box.state_dict()) == ["x.shown", "x.parameters", "y"]


def test_super_parameters_may_be_extended(Value):
    class More(Box):
        def parameters(self):
            return [*super().parameters(), *self._more]

    more = More(a=Value(1.0), _more=[Value(2.0)])
    assert [name for name, _ in more.named_parameters()] == ["a", "parameters.1"]
    assert list(Box(inner=more).state_dict()) == ["inner.a", "inner.parameters"]


def test_neurons_with_parameters_of_their_own(backend, Value):
    class Scaled(Neuron):
        def __init__(self, nin):
            super().__init__(nin, backend=backend)
            self.scale = Value(2.0)

        def parameters(self):
            return [*super().parameters(), self.scale]

    layer = Layer(2, 2, backend=backend)
    layer.neurons[1] = Scaled(2)
    assert [name for name, _ in layer.named_parameters()][-1] == "neurons.1.scale"
    state = layer.state_dict()
    assert {name: x.shape for name, x in state.items()} == {"weight": (2, 2), "bias": (2,), "neurons.1.scale": ()}
    layer.load_state_dict({**state, "neurons.1.scale": 7.0})
    assert layer.neurons[1].scale.data == 7.0


def test_a_computed_weight(backend, Value):
    """As micrograd's parameters() gives it, so does the state."""
    n = Neuron(2, seed=1, backend=backend)
    base = Value(3.0)
    n.w[1] = base * 2
    assert n.state_dict()["weight"].tolist() == [n.w[0].data, 6.0]
    assert same(n.parameters(), [*n.w, n.b])
    assert [name for name, _ in n.named_parameters()] == ["w.0", "parameters.1", "b"]


def test_names_that_cannot_be_told_apart(Value):
    box = Box(d={1: Value(1.0), "1": Value(2.0)})
    assert len(box.parameters()) == 2
    with pytest.raises(ValueError, match=r"two parameters are called 'd.1', which a state cannot tell apart"):
        box.state_dict()


def test_names_in_networks(backend):
    model = Sequential(Layer(2, 2, backend=backend), Softmax(), MLP(2, [1], dropout=0.5, backend=backend))
    assert [name for name, _ in model.named_parameters()] == [
        "parts.0.neurons.0.w.0", "parts.0.neurons.0.w.1", "parts.0.neurons.0.b",
        "parts.0.neurons.1.w.0", "parts.0.neurons.1.w.1", "parts.0.neurons.1.b",
        "parts.2.layers.0.neurons.0.w.0", "parts.2.layers.0.neurons.0.w.1", "parts.2.layers.0.neurons.0.b",
    ]  # fmt: skip
    assert {name: x.shape for name, x in model.state_dict().items()} == {
        "parts.0.weight": (2, 2), "parts.0.bias": (2,),
        "parts.2.layers.0.weight": (1, 2), "parts.2.layers.0.bias": (1,),
    }  # fmt: skip


def test_the_state_of_networks_without_anything(backend):
    networks = [MLP(2, nouts, backend=backend) for nouts in ([], [0])]
    for model in (*networks, Softmax(), Dropout(), Sequential(), Module()):
        assert model.state_dict() == {}
        model.load_state_dict({})
    shapes = {name: x.shape for name, x in MLP(0, [3, 0, 2], backend=backend).state_dict().items()}
    assert shapes == {"layers.0.bias": (3,), "layers.2.bias": (2,)}


def test_a_layer_of_modules_that_are_no_neurons(backend, Value):
    layer = Layer(2, 2, backend=backend)
    layer.neurons[0] = Box(gain=Value(4.0))
    names = [name for name, _ in layer.named_parameters()]
    assert names == ["neurons.0.gain", "neurons.1.w.0", "neurons.1.w.1", "neurons.1.b"]
    shapes = {name: x.shape for name, x in layer.state_dict().items()}
    assert shapes == {"neurons.0.gain": (), "neurons.1.weight": (2,), "neurons.1.bias": ()}


def test_a_layer_of_neurons_with_different_inputs(backend):
    layer = Layer(2, 2, backend=backend)
    layer.neurons[1] = Neuron(3, backend=backend)
    shapes = {name: x.shape for name, x in layer.state_dict().items()}
    assert shapes == {"bias": (2,), "neurons.0.weight": (2,), "neurons.1.weight": (3,)}


# ---- loading ----


def test_loading_takes_any_numbers(backend):
    model = MLP(2, [1], backend=backend)
    model.load_state_dict({"layers.0.weight": [[1, 2]], "layers.0.bias": np.array([True])})
    assert [p.data for p in model.parameters()] == [1.0, 2.0, 1.0]
    model.load_state_dict({"layers.0.weight": np.float32([[0.5, 0.1]]), "layers.0.bias": (3,)})
    assert [p.data for p in model.parameters()] == [0.5, float(np.float32(0.1)), 3.0]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"layers.0.bias": None}, TypeError, "layers.0.bias must be numbers, not an array of object"),
        ({"layers.1.weight": [["a", "b"]]}, TypeError, "layers.1.weight must be numbers, not an array of <U1"),
        ({"layers.1.weight": [1, 2]}, ValueError, r"layers.1.weight must have shape \(1, 2\), not \(2,\)"),
        ({"layers.0.bias": 1.0}, ValueError, r"layers.0.bias must have shape \(2,\), not \(\)"),
        ({"layers.2.bias": 1.0, 3: 1}, KeyError, "does not fit MLP; not known: layers.2.bias, 3"),
        ({"layers.0.bias": ...}, KeyError, "does not fit MLP; missing: layers.0.bias"),
        ({"layers.0.bias": ..., "b": 1}, KeyError, "missing: layers.0.bias; not known: b"),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(backend, change, error, message):
    model = MLP(2, [2, 1], backend=backend)
    before = data_bits(model)
    state = {name: x + 1 for name, x in model.state_dict().items()}
    state = {name: x for name, x in {**state, **change}.items() if x is not ...}
    with pytest.raises(error, match=message):
        model.load_state_dict(state)
    assert data_bits(model) == before


# ---- modes ----


def test_modes_reach_modules_inside(backend):
    dropout = Dropout(0.5)
    model = Box(parts=[{"d": dropout}], net=MLP(1, [2, 1], dropout=0.5, backend=backend))
    assert model.training
    assert model.eval() is model
    assert [m.training for m in model.modules()] == [False] * 9
    assert model.net.train() is model.net
    assert model.net.dropout.training
    assert (dropout.training, model.training) == (False, False)


# ---- copies ----


def trained(model):
    for _ in range(3):
        model.zero_grad()
        out = model([0.5, -1.0])
        out.backward()
        for p in model.parameters():
            p.data -= 0.1 * p.grad
    return model


COPIES = [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m)), lambda m: pickle.loads(pickle.dumps(m, 0))]


@pytest.mark.parametrize("copied", COPIES, ids=["deepcopy", "pickle", "pickle0"])
def test_a_copy_of_a_trained_network(backend, copied):
    model = trained(MLP(2, [3, 3, 1], activation="tanh", dropout=0.4, seed=3, backend=backend))
    model.label = "mine"
    twin = copied(model)
    assert type(twin) is MLP
    assert twin.label == "mine"
    assert repr(twin) == repr(model)
    assert data_bits(twin) == data_bits(model)
    assert [bits(p.grad) for p in twin.parameters()] == [bits(p.grad) for p in model.parameters()]
    # the generator of the dropout is copied with its state
    assert [twin([1, 2]).data for _ in range(5)] == [model([1, 2]).data for _ in range(5)]
    # and from here on they are independent
    kept = data_bits(model)
    trained(twin)
    twin.eval()
    assert data_bits(model) == kept
    assert model.training
    assert model.dropout.training
    value_type = backends.load(backend)
    twin.layers[0].neurons[0].w[0] = value_type(100.0)
    twin.layers[2].neurons[0].b = value_type(100.0)
    assert data_bits(model) == kept
    model.eval()
    assert twin([1, 2]).data > model([1, 2]).data + 50


@pytest.mark.parametrize("copied", COPIES, ids=["deepcopy", "pickle", "pickle0"])
def test_a_copy_of_a_dropout(copied):
    """Whether it has a generator of its own, or uses Python's."""
    for make in (lambda: Dropout(0.5, seed=1), lambda: Dropout(0.5, rng=np.random.default_rng(1))):
        dropout = make()
        dropout([1.0] * 10)
        twin = copied(dropout)
        assert twin([1.0] * 20) == dropout([1.0] * 20)
    twin = copied(Dropout(0.25).eval())
    assert (twin.p, twin.training) == (0.25, False)
    twin.train()
    random.seed(4)
    first = twin([1.0] * 20)
    random.seed(4)
    assert Dropout(0.25)([1.0] * 20) == first


def test_shared_generators_and_modules_stay_shared(backend):
    rng = random.Random(1)
    shared = Layer(2, 2, rng=rng, backend=backend)
    model = Sequential(shared, Dropout(0.5, rng=rng), shared, Dropout(0.5, rng=rng))
    twin = copy.deepcopy(model)
    assert twin.parts[0] is twin.parts[2]
    assert twin.parts[1]._rng is twin.parts[3]._rng
    assert len(twin.parameters()) == 6
    assert [v.data for v in twin([1, 2])] == [v.data for v in model([1, 2])]


def test_a_shallow_copy_shares_its_parameters(backend):
    model = MLP(2, [1], backend=backend)
    assert same(copy.copy(model).parameters(), model.parameters())


# ---- descriptions ----


def test_summary(backend, Value):
    model = MLP(3, [4, 1], activation="tanh", dropout=0.1, backend=backend)
    assert model.summary().splitlines() == [
        "          MLP                   parameters",
        "------------------------------------------",
        "layers.0  Layer 3 -> 4, tanh            16",
        "layers.1  Layer 4 -> 1, linear           5",
        "dropout   Dropout                        0",
        "------------------------------------------",
        "total                                   21",
    ]
    box = Box(net=MLP(1, [1500], backend=backend), w=[[Value(1.0), Value(2.0)]], b=Value(3.0), mixed=[Value(1.0), 2])
    rows = [line.split() for line in box.summary().splitlines()]
    assert ["net", "MLP", "3,000"] in rows
    assert ["w", "Values", "(1,", "2)", "2"] in rows
    assert ["b", "Value", "1"] in rows
    assert ["mixed", "Value", "1"] in rows
    assert rows[-1] == ["total", "3,004"]
    assert Module().summary().splitlines()[-1].split() == ["total", "0"]


def test_summary_of_layers(backend):
    layer = Layer(2, 2, activation=max, backend=backend)
    layer.neurons[0].activation = "relu"
    own = Layer(2, 1, backend=backend)
    own.neurons[0] = Box()
    text = Sequential(layer, Layer(2, 0, backend=backend), own).summary()
    assert "Layer 2 -> 2, max, relu" in text
    assert "Layer without neurons" in text
    assert "Layer of 1" in text


def test_a_state_that_is_none_says_so(backend):
    model = MLP(2, 2, 1, backend=backend)
    with pytest.raises(TypeError, match="a state is a dict of arrays by name, not NoneType"):
        model.load_state_dict(None)
    with pytest.raises(ValueError, match=r"layers.0.weight must have shape \(2, 2\), but its rows differ in length"):
        model.load_state_dict({**model.state_dict(), "layers.0.weight": [[1, 2], [1]]})
