"""Modules of arrays: Linear against torch and against the layers of neurons, activations and Dropout on arrays, and
training loops on batches of several sizes."""

from __future__ import annotations

import copy
import json
import math
import pickle
import random
import subprocess
import sys

import numpy as np
import pytest

import pygrad
from pygrad import backends, init, losses, nn, no_grad
from pygrad._architecture import describe, shapes
from pygrad.nn import (
    ELU,
    GELU,
    MLP,
    Dropout,
    Flatten,
    Layer,
    LeakyReLU,
    Linear,
    Module,
    ReLU,
    Sequential,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)  # fmt: skip

PLAIN = [ReLU(), Sigmoid(), Tanh(), LeakyReLU(), LeakyReLU(0.2), ELU(), ELU(0.5), SiLU(), GELU(), Softplus()]


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def step(model, rate=0.1):
    for p in model.parameters():
        p.data = p.data - rate * p.grad


# ---- Linear ----


@pytest.mark.parametrize("shape", [(5, 3), (3,), (2, 5, 3), (0, 3), (1, 3)])
@pytest.mark.parametrize("bias", [True, False])
def test_linear_against_torch(Value, backend, shape, bias):
    torch = pytest.importorskip("torch")
    ours = Linear(3, 4, bias, bias_init="uniform", seed=1, backend=backend)
    theirs = torch.nn.Linear(3, 4, bias=bias, dtype=torch.float64)
    with torch.no_grad():
        theirs.weight.copy_(torch.tensor(ours.weight.data.T))
        if bias:
            theirs.bias.copy_(torch.tensor(ours.bias.data))
    X = normal(*shape)
    x, exact = Value(X), torch.tensor(X, requires_grad=True)
    out, expected = ours(x), theirs(exact)
    np.testing.assert_allclose(out.data, expected.detach().numpy(), rtol=1e-13, atol=1e-14)
    (out * out).sum().backward()
    (expected * expected).sum().backward()
    np.testing.assert_allclose(x.grad, exact.grad.numpy(), rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(ours.weight.grad, theirs.weight.grad.numpy().T, rtol=1e-12, atol=1e-13)
    if bias:
        np.testing.assert_allclose(ours.bias.grad, theirs.bias.grad.numpy(), rtol=1e-12, atol=1e-13)
    else:
        assert ours.bias is None
        assert len(ours.parameters()) == 1


def test_linear_of_samples_in_columns(Value, backend):
    """The weight is (nout, nin), the bias is still (nout,): all as with rows, transposed."""
    rows = Linear(3, 4, bias_init="uniform", seed=1, backend=backend)
    columns = Linear(3, 4, bias_init="uniform", axis=0, seed=1, backend=backend)
    np.testing.assert_array_equal(columns.weight.data, rows.weight.data.T)
    np.testing.assert_array_equal(columns.bias.data, rows.bias.data)
    for shape in ((5, 3), (1, 3), (0, 3)):
        x, y = Value(normal(*shape)), Value(normal(*shape).T)
        a, b = rows(x), columns(y)
        np.testing.assert_allclose(b.data, a.data.T, rtol=1e-14)
        (a * a).sum().backward()
        (b * b).sum().backward()
        np.testing.assert_allclose(y.grad, x.grad.T, rtol=1e-13, atol=1e-14)
        np.testing.assert_allclose(columns.weight.grad, rows.weight.grad.T, rtol=1e-12)
        np.testing.assert_allclose(columns.bias.grad, rows.bias.grad, rtol=1e-12)
    np.testing.assert_allclose(columns([1.0, 2.0, 3.0]).data, rows([1.0, 2.0, 3.0]).data, rtol=1e-14)
    many = normal(3, 2, 5)
    np.testing.assert_allclose(columns(many).data[:, 1], columns(many[:, 1]).data, rtol=1e-14)
    assert columns(many).shape == (4, 2, 5)
    without = Linear(3, 4, False, axis=0, seed=1, backend=backend)
    np.testing.assert_array_equal(without(many[:, 0]).data, without.weight.data @ many[:, 0])


def test_what_linear_takes(Value, backend):
    model = Linear(3, 2, seed=1, backend=backend)
    rows = [[1.0, 2.0, 3.0], [0.5, -1.0, 0.0]]
    expected = model(np.array(rows)).data
    values = [[Value(x) for x in row] for row in rows]
    for given in (rows, tuple(map(tuple, rows)), np.array(rows), Value(rows), values):
        np.testing.assert_array_equal(model(given).data, expected)
    assert model([1, 2, 3]).shape == (2,)
    np.testing.assert_array_equal(model(np.array([[1, 2, 3]], np.uint8)).data, model([[1.0, 2.0, 3.0]]).data)
    mixed = [Value(1.0), 2.0, 3]
    out = model(mixed)
    np.testing.assert_array_equal(out.data, expected[0])
    out.sum().backward()
    assert mixed[0].grad == pytest.approx(model.weight.data[0].sum())
    assert Linear(1, 2, seed=1, backend=backend)([Value(1.0)]).shape == (2,)
    for shape, wrong in [((3, 2), (2, 2)), ((3, 2), ()), ((3, 2), (3, 4))]:
        with pytest.raises(ValueError, match=r"Linear\(3, 2\) takes inputs of shape \(\.\.\., 3\), not \("):
            Linear(*shape, backend=backend)(np.zeros(wrong) if wrong else Value(1.0))
    with pytest.raises(ValueError, match=r"Linear\(3, 2, axis=0\) takes inputs of shape \(3, \.\.\.\), not \(2, 3\)"):
        Linear(3, 2, axis=0, backend=backend)(np.zeros((2, 3)))
    with pytest.raises(TypeError, match=r"Linear\(3, 2\): inputs must be real numbers"):
        model("abc")
    with pytest.raises(ValueError, match="differ in length"):
        model([[1.0], [1.0, 2.0]])


def test_arrays_get_no_gradient_and_values_do(Value, backend):
    model = Linear(3, 2, seed=1, backend=backend)
    x = Value(normal(4, 3))
    model(x).sum().backward()
    np.testing.assert_allclose(x.grad, np.broadcast_to(model.weight.data.sum(axis=1), (4, 3)), rtol=1e-14)
    with no_grad():
        assert model(x).operands == ()


def test_a_layer_is_one_node(backend):
    model = Linear(3, 2, seed=1, backend=backend)
    x = normal(4, 3)
    out = model(x)
    assert out.operands[1:] == (model.weight, model.bias)
    assert out._op == "linear"


@pytest.mark.parametrize("initialiser", sorted(init.INITIALISERS))
@pytest.mark.parametrize("bias_init", ["zeros", "uniform", "normal"])
def test_the_draws_are_those_of_a_layer(backend, initialiser, bias_init):
    for options in ({"seed": 5}, {"rng": 5}):
        def generator(options=options):
            return {"rng": np.random.default_rng(5)} if "rng" in options else {"seed": 5}

        layer = Layer(3, 4, init=initialiser, bias_init=bias_init, **generator(), backend=backend)
        model = Linear(3, 4, init=initialiser, bias_init=bias_init, **generator(), backend=backend)
        np.testing.assert_array_equal(model.weight.data.T, [[w.data for w in n.w] for n in layer.neurons])
        np.testing.assert_array_equal(model.bias.data, [n.b.data for n in layer.neurons])


def test_a_network_of_one_generator_is_the_mlp(backend):
    rng = random.Random(3)
    model = Sequential(
        Linear(2, 8, init="he", rng=rng, backend=backend), ReLU(), Linear(8, 1, init="he", rng=rng, backend=backend)
    )
    mlp = MLP(2, [8, 1], init="he", seed=3, backend=backend)
    X = normal(6, 2)
    np.testing.assert_allclose(model(X).data.ravel(), [mlp(row).data for row in X.tolist()], rtol=1e-13)


@pytest.mark.parametrize(
    "make", [lambda: random.Random(7), lambda: np.random.default_rng(7), lambda: np.random.RandomState(7)]
)
def test_many_draws_are_as_many_single_ones(make):
    class Counted:
        """A generator of one's own."""

        def __init__(self):
            self.rng = make()

        def uniform(self, low, high):
            return self.rng.uniform(low, high)

        def gauss(self, mean, deviation):
            return (self.rng.gauss if hasattr(self.rng, "gauss") else self.rng.normal)(mean, deviation)

    for name, function in init.INITIALISERS.items():
        for kind in (make, Counted):
            one, other = kind(), kind()
            expected = [function(one, 3, 4) for _ in range(7)]
            assert init.drawn(function, other, 3, 4, 7).tolist() == expected, name
            assert one.uniform(0, 1) == other.uniform(0, 1)
            assert init.uniforms(one, 5).tolist() == [other.uniform(0.0, 1.0) for _ in range(5)]
            assert init.uniforms(one, 0).tolist() == []
    one, other = make(), make()
    assert init.drawn(lambda rng, nin, nout: rng.uniform(0, nin), one, 3, 4, 3).tolist() == [
        other.uniform(0, 3) for _ in range(3)
    ]


def test_parameters_that_are_given(Value, backend):
    weight, bias = normal(3, 2), [0.5, -0.5]
    model = Linear(3, 2, bias, weight=weight, backend=backend)
    assert model.weight.data.tolist() == weight.tolist()
    assert model.bias.data.tolist() == bias
    weight[0, 0] = 100.0
    assert model.weight.data[0, 0] != 100.0
    own = Value(normal(3, 2))
    assert Linear(3, 2, weight=own, backend=backend).weight is own
    assert Linear(3, 2, Value(bias), weight=own, backend=backend)([0, 0, 0]).data.tolist() == bias
    before = random.getstate()
    Linear(3, 2, False, weight=weight, backend=backend)
    assert random.getstate() == before
    for options, message in [
        ({"weight": np.zeros((2, 3))}, r"weight of Linear\(3, 2\) must have shape \(3, 2\), not \(2, 3\)"),
        ({"weight": Value(np.zeros((2, 3)))}, r"must have shape \(3, 2\), not \(2, 3\)"),
        ({"weight": Value(1.0)}, r"must have shape \(3, 2\), not \(\)"),
        ({"weight": 1.0}, r"must have shape \(3, 2\), not \(\)"),
        ({"bias": np.zeros((2, 1))}, r"bias of Linear\(3, 2\) must have shape \(2,\), not \(2, 1\)"),
        ({"axis": 0, "weight": np.zeros((3, 2))}, r"must have shape \(2, 3\), not \(3, 2\)"),
        ({"axis": 1}, "axis must be -1 .* or 0 .*, not 1"),
        ({"axis": False}, "axis must be -1 .* or 0 .*, not False"),
        ({"dtype": "int32"}, "dtype must be 'float64' or 'float32', not 'int32'"),
        ({"dtype": "nonsense"}, "dtype must be 'float64' or 'float32', not 'nonsense'"),
        ({"init": "nonsense"}, "unknown init='nonsense'"),
        ({"seed": 1, "rng": random}, "seed= or rng=, not both"),
        ({"weight": own, "dtype": "float32"}, "must be float32, not a Value of float64"),
    ]:
        with pytest.raises(ValueError, match=message):
            Linear(3, 2, **options, backend=backend)
    with pytest.raises(TypeError, match="must be real numbers"):
        Linear(3, 2, weight="abc", backend=backend)
    with pytest.raises(ValueError, match="nin must be at least 0"):
        Linear(-1, 2, backend=backend)
    other = backends.load("python" if backend != "python" else "c")
    with pytest.raises(TypeError, match="cannot stand in one expression"):
        Linear(3, 2, weight=other(np.zeros((3, 2))), backend=backend)


def test_float32(backend):
    model = Sequential(Linear(3, 4, dtype="float32", seed=1, backend=backend), Tanh(), Dropout(0.5, seed=1))
    assert all(p.data.dtype == np.float32 for p in model.parameters())
    x = normal(5, 3).astype(np.float32)
    out = model(x)
    assert out.data.dtype == np.float32
    (out * out).mean().backward()
    assert all(p.grad.dtype == np.float32 for p in model.parameters())
    assert model([[1.0, 2.0, 3.0]]).data.dtype == np.float32
    assert Linear(2, 1, weight=np.zeros((2, 1), np.float32), backend=backend).bias.data.dtype == np.float32
    assert repr(model.parts[0]) == "Linear(3, 4, dtype='float32')"


# ---- the other parts ----


@pytest.mark.parametrize("module", PLAIN, ids=repr)
def test_activations_on_everything(Value, module):
    numbers = [[-2.0, -0.5, 0.0], [0.5, 1.0, 3.0]]
    x = Value(numbers)
    out = module(x)
    single = [[module(Value(n)) for n in row] for row in numbers]
    np.testing.assert_allclose(out.data, [[v.data for v in row] for row in single], rtol=1e-14)
    assert [[v.data for v in row] for row in module([[Value(n) for n in row] for row in numbers])] == [
        [v.data for v in row] for row in single
    ]
    np.testing.assert_array_equal(module(np.array(numbers)), out.data)
    assert module(numbers[0]) == [v.data for v in single[0]]
    assert module(2.0) == module(Value(2.0)).data
    objects = module(np.array([Value(1.0), Value(2.0)], dtype=object))
    assert [v.data for v in objects] == [module(1.0), module(2.0)]
    out.sum().backward()
    for row, gradients in zip(numbers, x.grad):
        for n, gradient in zip(row, gradients):
            v = Value(n)
            module(v).backward()
            assert gradient == pytest.approx(v.grad, rel=1e-14)


def test_names_and_constants():
    assert [repr(m) for m in PLAIN[:7]] == [
        "ReLU()", "Sigmoid()", "Tanh()", "LeakyReLU(0.01)", "LeakyReLU(0.2)", "ELU(1.0)", "ELU(0.5)",
    ]  # fmt: skip
    assert set(nn.__all__) >= {type(m).__name__ for m in PLAIN} | {"Linear", "Flatten"}
    with pytest.raises(TypeError, match="alpha must be a number, not str"):
        ELU("1")


def test_softmax_of_arrays(Value):
    x = Value(normal(4, 3))
    out = Softmax()(x)
    for row, logits in zip(out.data, x.data):
        np.testing.assert_allclose(row, [v.data for v in Softmax()([Value(n) for n in logits])], rtol=1e-14)
    np.testing.assert_allclose(Softmax(axis=0)(Value(x.data.T)).data, out.data.T, rtol=1e-15)
    np.testing.assert_array_equal(Softmax()(x.data), out.data)
    rows = [x[i] for i in range(4)]
    np.testing.assert_allclose(Softmax()(rows).data, out.data, rtol=1e-15)
    assert repr(Softmax(axis=0)) == "Softmax(axis=0)"
    with pytest.raises(TypeError, match="axis must be an integer, not 'x'"):
        Softmax("x")


def test_flatten(Value):
    x = Value(normal(4, 2, 3))
    out = Flatten()(x)
    assert out.shape == (4, 6)
    assert Flatten(0)(x).shape == (24,)
    assert Flatten(2)(x) is x
    out[1].sum().backward()
    assert x.grad[1].tolist() == [[1.0] * 3] * 2
    assert x.grad[0].tolist() == [[0.0] * 3] * 2
    assert Flatten()(x.data).shape == (4, 6)
    assert Flatten()(np.zeros((0, 2, 3))).shape == (0, 6)
    assert Flatten()([[[1, 2], [3, 4]]]).tolist() == [[1.0, 2.0, 3.0, 4.0]]
    assert Flatten()([[Value(1.0), Value(2.0)]]).shape == (1, 2)
    assert (repr(Flatten()), repr(Flatten(2))) == ("Flatten()", "Flatten(2)")
    with pytest.raises(ValueError, match=r"Flatten\(\) takes inputs with more than 1 axes, not of shape \(3,\)"):
        Flatten()(np.zeros(3))
    with pytest.raises(ValueError, match="start_axis must be at least 0"):
        Flatten(-1)


@pytest.mark.parametrize("rng", [lambda: random.Random(3), lambda: np.random.default_rng(3)])
def test_dropout_draws_entry_by_entry(Value, rng):
    """The same entries are dropped as of the numbers one by one, and the generator stands where it would."""
    whole, single = Dropout(0.4, rng=rng()), Dropout(0.4, rng=rng())
    for shape in ((5, 4), (3,), (2, 3, 2)):
        x = Value(np.full(shape, 2.0))
        out = whole(x)
        expected = np.array(single([2.0] * x.size)).reshape(shape)
        np.testing.assert_array_equal(out.data, expected)
        out.sum().backward()
        np.testing.assert_array_equal(x.grad, expected / 2.0)
        np.testing.assert_array_equal(whole(x.data), np.array(single([2.0] * x.size)).reshape(shape))
    x = Value([1.0, 2.0])
    assert whole.eval()(x) is x
    assert Dropout(0.0)(x) is x
    rows = Dropout(0.5, seed=2)([Value(np.ones(3)), Value(np.ones(3))])
    np.testing.assert_array_equal([v.data for v in rows], Dropout(0.5, seed=2)(Value(np.ones((2, 3)))).data)


def test_dropout_keeps_the_expectation(Value):
    x = Value(np.full((100, 100), 3.0))
    out = Dropout(0.3, seed=1)(x).data
    dropped = int((out == 0.0).sum())
    assert abs(dropped - 3000) < 6 * math.sqrt(1e4 * 0.3 * 0.7)
    assert np.unique(out).tolist() == [0.0, 3.0 * (1.0 / 0.7)]


# ---- descriptions and copies ----


def network(backend, dtype="float64"):
    return Sequential(
        Flatten(), Linear(6, 4, seed=1, dtype=dtype, backend=backend), LeakyReLU(0.1), Dropout(0.25, seed=1),
        Linear(4, 3, False, seed=2, dtype=dtype, backend=backend), ELU(0.5), Softmax(),
    )  # fmt: skip


def test_architecture_and_summary(backend):
    model = network(backend)
    assert json.loads(json.dumps(model.architecture()))["parts"] == [
        {"type": "Flatten", "start_axis": 1},
        {"type": "Linear", "nin": 6, "nout": 4, "bias": True, "axis": -1, "dtype": "float64"},
        {"type": "LeakyReLU", "negative_slope": 0.1},
        {"type": "Dropout", "p": 0.25},
        {"type": "Linear", "nin": 4, "nout": 3, "bias": False, "axis": -1, "dtype": "float64"},
        {"type": "ELU", "alpha": 0.5},
        {"type": "Softmax"},
    ]
    assert repr(model) == (
        "Sequential(Flatten(), Linear(6, 4), LeakyReLU(0.1), Dropout(0.25), Linear(4, 3, bias=False), ELU(0.5), "
        "Softmax())"
    )
    lines = model.summary().splitlines()
    assert lines[3].split() == ["parts.1", "Linear", "6", "->", "4", "28"]
    assert lines[-1].split() == ["total", "40"]
    assert [name for name, _ in model.named_parameters()] == ["parts.1.weight", "parts.1.bias", "parts.4.weight"]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_saved_and_loaded(backend, path, dtype):
    model = Sequential(
        *network(backend, dtype).parts, Linear(3, 2, axis=0, dtype=dtype, backend=backend),
        Linear(2, 0, backend=backend), Linear(0, 1, backend=backend), Softmax(axis=1), Flatten(2), ReLU(), Sigmoid(),
        Tanh(), SiLU(), GELU(), Softplus(),
    )  # fmt: skip
    model.save(path)
    again = pygrad.load(path, backend=backend)
    assert repr(again) == repr(model)
    assert again.architecture() == model.architecture()
    for p, q in zip(model.parameters(), again.parameters()):
        assert p.data.dtype == q.data.dtype
        np.testing.assert_array_equal(p.data, q.data)


def test_a_model_learns_on_after_it_was_loaded(backend, path):
    model = Sequential(Linear(2, 3, seed=1, backend=backend), Tanh(), Linear(3, 1, seed=2, backend=backend))
    X, y = normal(20, 2), normal(20, seed=1)
    model.fit(X, y, loss="mse", epochs=1)
    model.save(path)
    again = pygrad.load(path, backend=backend)
    assert again.fit(X, y, epochs=1)["loss"] == model.fit(X, y, epochs=1)["loss"]


LINEAR = {"type": "Linear", "nin": 2, "nout": 3, "bias": True, "axis": -1, "dtype": "float64"}


def test_shapes_of_architectures():
    assert shapes(LINEAR) == {"weight": (2, 3), "bias": (3,)}
    assert shapes({**LINEAR, "axis": 0, "bias": False}) == {"weight": (3, 2)}
    for kind in ("ReLU", "Sigmoid", "Tanh", "SiLU", "GELU", "Softplus", "Softmax"):
        assert shapes({"type": kind}) == {}


@pytest.mark.parametrize(
    ("forged", "message"),
    [
        ({**LINEAR, "nin": -1}, "'nin' of Linear must be at least 0"),
        ({**LINEAR, "nin": 2.0}, "'nin' of Linear must be int, not float"),
        ({**LINEAR, "bias": 1}, "'bias' of Linear must be bool, not int"),
        ({**LINEAR, "axis": 1}, "'axis' of Linear must be -1 or 0, not 1"),
        ({**LINEAR, "axis": False}, "'axis' of Linear must be int, not bool"),
        ({**LINEAR, "dtype": "object"}, "'dtype' of Linear must be 'float64' or 'float32', not 'object'"),
        ({**LINEAR, "more": 1}, "Linear must have the fields axis, bias, dtype, nin, nout, type"),
        ({"type": "Linear"}, "Linear must have the fields"),
        ({"type": "ELU"}, "ELU must have the fields alpha, type"),
        ({"type": "ELU", "alpha": "1"}, "'alpha' of ELU must be float, not str"),
        ({"type": "LeakyReLU", "negative_slope": 1}, "'negative_slope' of LeakyReLU must be float, not int"),
        ({"type": "Flatten", "start_axis": -1}, "start_axis must be at least 0, not -1"),
        ({"type": "Softmax", "axis": 1.0}, "'axis' of Softmax must be int, not float"),
        ({"type": "ReLU", "axis": 1}, "ReLU must have the fields type"),
        ({"type": "Activation"}, "unknown module type 'Activation'"),
    ],
)
def test_forged_architectures(forged, message):
    with pytest.raises(ValueError, match=message):
        shapes(forged)


def test_what_cannot_be_described(Value, backend):
    model = Linear(2, 3, backend=backend)
    model.bias = Value(np.zeros(3, np.float32))
    with pytest.raises(TypeError, match="has a bias of float32, which cannot be described"):
        model.architecture()
    shared = Linear(2, 2, backend=backend)
    with pytest.raises(TypeError, match=r"used in several places|cannot be described|other parameters"):
        describe(Sequential(shared, shared), Sequential(shared, shared).state_dict())


def test_summary_of_a_module_of_ones_own(Value):
    class Own(Module):
        def __init__(self):
            self.matrix, self.number, self.numbers = Value(np.zeros((3, 4))), Value(1.0), [Value(1.0), Value(2.0)]

    lines = Own().summary().splitlines()
    assert [line.split() for line in lines[2:5]] == [
        ["matrix", "Value", "(3,", "4)", "12"], ["number", "Value", "1"], ["numbers", "Values", "(2,)", "2"],
    ]  # fmt: skip
    assert lines[-1].split() == ["total", "15"]


def test_importing_nn_does_not_import_numpy():
    program = (
        "import sys, pygrad; from pygrad import nn; from pygrad.nn import Linear, Dropout; "
        "sys.exit('numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


# ---- batches of several sizes, and reuse ----


def test_train_on_five_and_evaluate_four(backend):
    """Of hidden layers in rows and in columns, and a bias of shape (20, 1) written by hand."""
    X, y = normal(5, 7), np.array([0, 1, 1, 0, 1])
    X4, y4 = normal(4, 7, seed=1), np.array([1, 0, 0, 1])
    rows = Sequential(Linear(7, 20, seed=1, backend=backend), ReLU(), Linear(20, 1, seed=2, backend=backend))
    columns = Sequential(
        Linear(7, 20, axis=0, seed=1, backend=backend), ReLU(), Linear(20, 1, axis=0, seed=2, backend=backend)
    )
    Value = backends.load(backend)
    W1, b1 = Value(columns.parts[0].weight.data.copy()), Value(np.zeros((20, 1)))
    W2, b2 = Value(columns.parts[2].weight.data.copy()), Value(np.zeros((1, 1)))

    def by_hand(A):
        return W2 @ pygrad.maximum(W1 @ A + b1, 0.0) + b2

    for _ in range(5):
        a = losses.binary_cross_entropy_with_logits(rows(X), y)
        b = losses.binary_cross_entropy_with_logits(columns(X.T), y, axis=0)
        c = losses.binary_cross_entropy_with_logits(by_hand(X.T), y, axis=0)
        assert a.data == pytest.approx(b.data, rel=1e-12)
        assert a.data == pytest.approx(c.data, rel=1e-12)
        for model, loss in ((rows, a), (columns, b)):
            model.zero_grad()
            loss.backward()
            step(model)
        for p in (W1, b1, W2, b2):
            p.grad = 0.0
        c.backward()
        for p in (W1, b1, W2, b2):
            p.data = p.data - 0.1 * p.grad
    np.testing.assert_allclose(columns.parts[0].bias.data, b1.data.ravel(), rtol=1e-11, atol=1e-14)
    assert rows(X4).shape == (4, 1)
    assert columns(X4.T).shape == by_hand(X4.T).shape == (1, 4)
    np.testing.assert_allclose(rows(X4).data.T, by_hand(X4.T).data, rtol=1e-11)
    assert losses.binary_cross_entropy_with_logits(rows(X4), y4).data == pytest.approx(
        losses.binary_cross_entropy_with_logits(by_hand(X4.T), y4, axis=0).data, rel=1e-12
    )


def test_the_scalar_network_learns_the_same(backend):
    """Ten steps of the same network: neurons one by one, and arrays."""
    X, y = normal(12, 3), (normal(12, seed=2) > 0).astype(int)
    scalars = MLP(3, [5, 2], activation="tanh", init="xavier", seed=4, backend=backend)
    rng = random.Random(4)
    arrays = Sequential(Linear(3, 5, rng=rng, backend=backend), Tanh(), Linear(5, 2, rng=rng, backend=backend))
    for _ in range(10):
        one = losses.cross_entropy([scalars(row) for row in X.tolist()], y.tolist()) + losses.l2_penalty(scalars, 0.01)
        other = losses.cross_entropy(arrays(X), y) + losses.l2_penalty(arrays, 0.01)
        assert other.data == pytest.approx(one.data, rel=1e-12)
        for model, loss in ((scalars, one), (arrays, other)):
            model.zero_grad()
            loss.backward()
            step(model)
    np.testing.assert_allclose(arrays.parts[2].bias.data, [n.b.data for n in scalars.layers[1].neurons], rtol=1e-11)


def test_a_value_used_left_and_right(Value, backend):
    """In one graph the same parameter multiplies from the left and from the right, and is an input as well."""
    torch = pytest.importorskip("torch")
    square = Value(normal(3, 3))
    model = Linear(3, 3, weight=square, backend=backend)
    exact = torch.tensor(square.data, requires_grad=True)
    X = normal(4, 3)
    loss = (model(X) @ square).sum() + (square @ model(square)).sum() - (square * square).mean()
    loss.backward()
    x = torch.tensor(X)
    expected = (x @ exact @ exact).sum() + (exact @ exact @ exact).sum() - (exact * exact).mean()
    expected.backward()
    assert loss.data == pytest.approx(expected.item(), rel=1e-12)
    np.testing.assert_allclose(square.grad, exact.grad.numpy(), rtol=1e-12)


def test_copies_are_independent(backend):
    model = network(backend)
    X = normal(4, 2, 3)
    model.eval()
    for again in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(again(X).data, model(X).data)
        again.parts[1].weight.data[:] = 0.0
        assert model.parts[1].weight.data.any()


def test_numbers_assigned_to_a_parameter_are_its_data(backend):
    linear = nn.Linear(2, 3, seed=1, backend=backend)
    weight, bias = linear.weight, linear.bias
    linear.weight, linear.bias = np.ones((2, 3)), [1, 2, 3]
    assert (linear.weight, linear.bias) == (weight, bias)
    assert linear([[1.0, 1.0]]).data.tolist() == [[3.0, 4.0, 5.0]]
    assert len(linear.parameters()) == 2
    with pytest.raises(ValueError, match=r"shape \(2, 3\), and cannot be set to shape \(3, 2\)"):
        linear.weight = np.ones((3, 2))
    linear.bias = None
    assert linear.parameters() == [weight]
