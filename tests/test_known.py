"""Known answers, each worked out by hand or in plain Python: expressions, gradients, small networks.

The oracle is arithmetic anyone can redo; the numbers of arrays and of whole training loops with tensors are not here.
"""

from __future__ import annotations

import math
import random

import pytest

from pygrad import losses
from pygrad.nn import MLP, Layer, Neuron

from .conftest import bits

approx = pytest.approx


def test_expression_by_hand(Value):
    a, b, c, f = Value(2), Value(-3), Value(10), Value(-2)
    e = a * b
    d = e + c
    L = d * f
    assert (e.data, d.data, L.data) == (-6.0, 4.0, -8.0)
    L.backward()
    assert [v.grad for v in (a, b, c, d, e, f, L)] == [6.0, -4.0, -2.0, -2.0, -2.0, 4.0, 1.0]
    for v in (a, b, c, f):
        v.data += 0.01 * v.grad
    assert ((a * b + c) * f).data == approx(-7.286496, abs=1e-12)


def test_gradients_agree_with_forward_differences(Value):
    def loss(a, b, c, f):
        return (Value(a) * b + c) * f

    point, h = [2.0, -3.0, 10.0, -2.0], 0.001
    base = loss(*point).data
    for i, expected in enumerate([6.0, -4.0, -2.0, 4.0]):
        moved = list(point)
        moved[i] += h
        assert (loss(*moved).data - base) / h == approx(expected, abs=1e-3)


def test_topological_order_is_depth_first(Value):
    from pygrad._graph import topological_order

    a, b, c, f = Value(2), Value(-3), Value(10), Value(-2)
    order = topological_order((a * b + c) * f)
    assert [v.data for v in order] == [2, -3, -6, 10, 4, -2, -8]


def neuron(Value):
    x, w, b = (Value(2.0), Value(0.0)), (Value(-3.0), Value(1.0)), Value(6.8813735870195432)
    n = x[0] * w[0] + x[1] * w[1] + b
    return x, w, n


def test_neuron_with_tanh(Value):
    x, w, n = neuron(Value)
    o = n.tanh()
    assert n.data == approx(0.8813735870195432, abs=1e-15)
    assert o.data == approx(0.7071067811865477, abs=2e-16)
    o.backward()
    assert [n.grad, x[0].grad, w[0].grad, x[1].grad, w[1].grad] == approx([0.5, -1.5, 1.0, 0.5, 0.0], abs=1e-15)


def test_neuron_with_tanh_by_parts(Value):
    x, w, n = neuron(Value)
    e = (2 * n).exp()
    o = (e - 1) / (e + 1)
    o.backward()
    assert o.data == approx(0.7071067811865476, abs=2e-16)
    assert [n.grad, x[0].grad, w[0].grad, x[1].grad, w[1].grad] == approx([0.5, -1.5, 1.0, 0.5, 0.0], abs=1e-15)


def test_a_value_used_twice(Value):
    a = Value(3.0)
    (a + a).backward()
    assert a.grad == 2.0
    a, b = Value(-2.0), Value(3.0)
    d, e = a * b, a + b
    f = d * e
    f.backward()
    assert [v.data for v in (f,)] == [-6.0]
    assert [v.grad for v in (a, b, d, e)] == [-3.0, -8.0, 1.0, -6.0]


def test_simple_results(Value):
    a, b = Value(2.0), Value(4.0)
    assert (a + 1).data == 3.0
    assert (2 * a).data == 4.0
    assert a.exp().data == 7.38905609893065
    assert (a / b).data == 0.5
    assert (a - b).data == -2.0


@pytest.mark.parametrize("swapped", [False, True])
def test_topological_order_matters(Value, swapped):
    a = Value(2.0)
    b = a + a
    c = a * b
    d = b + c if swapped else c + b
    d.backward()
    assert [v.data for v in (d,)] == [12.0]
    assert [v.grad for v in (a, b, c)] == [10.0, 3.0, 1.0]


def test_micrograd_readme(Value):
    a, b = Value(-4.0), Value(2.0)
    c = a + b
    d = a * b + b**3
    c += c + 1
    c += 1 + c + (-a)
    d += d * 2 + (b + a).relu()
    d += 3 * d + (b - a).relu()
    e = c - d
    f = e**2
    g = f / 2.0
    g += 10.0 / f
    assert g.data == approx(24.70408163265306, rel=1e-15)
    g.backward()
    assert a.grad == approx(138.83381924198252, rel=1e-15)
    assert b.grad == approx(645.5772594752187, rel=1e-15)


def test_micrograd_sanity_check(Value):
    x = Value(-4.0)
    z = 2 * x + 2 + x
    q = z.relu() + z * x
    h = (z * z).relu()
    y = h + q + q * x
    y.backward()
    assert (y.data, x.grad) == (-20.0, 46.0)


def test_small_functions(Value):
    a, b = Value(5.0), Value(10.0)
    y = (a + b) ** 2 + a * b + b**3
    y.backward()
    assert (y.data, a.grad, b.grad) == (1275.0, 40.0, 335.0)

    x, y = Value(1.0), Value(-2.0)
    s = (1 + 2 * x + 3 * y).sigmoid()
    s.backward()
    assert [s.data, x.grad, y.grad] == approx([0.04742587317756678, 0.09035331946182426, 0.1355299791927364], rel=1e-15)

    def derivative(f, at):
        x = Value(at)
        z = f(x)
        z.backward()
        return x.grad

    assert derivative(lambda x: 1 / x, 2.0) == -0.25
    assert derivative(lambda x: x**3, 3.0) == 27.0
    assert derivative(lambda x: x.exp(), 6.0) == approx(403.4287934927351, rel=1e-15)
    assert derivative(lambda x: (2 * x + 5) ** 2, 3.0) == 44.0
    assert derivative(lambda x: x.sigmoid(), 2.0) == approx(0.10499358540350662, rel=1e-14)
    assert derivative(lambda x: 2**x, 3.0) == approx(5.545177444479562, rel=1e-15)
    assert (2 ** Value(3.0)).data == 8.0
    assert Value(2.9).tanh().data == approx(0.9939631673505831, rel=1e-15)
    assert Value(10.0).tanh().data == approx(0.9999999958776927, rel=1e-15)


def test_repeated_backward_accumulates(Value):
    a, b = Value(2.0), Value(3.0)
    c = a * b
    d = c + a
    d.backward()
    assert a.grad == 4.0
    d.backward()
    assert a.grad == 11.0

    a = Value(2.0)
    (3 * a).backward()
    (a**2).backward()
    assert a.grad == 7.0

    x = Value(1.0)
    c = x * 2
    d = c * 2
    e = d * 2
    for expected in [(8, 4, 2, 1), (32, 12, 4, 1), (80, 24, 6, 1)]:
        e.backward()
        assert (x.grad, c.grad, d.grad, e.grad) == expected


def test_derivatives_use_the_data_of_now(Value):
    a = Value(2.0)
    c = a**3
    a.data = 10.0
    c.backward()
    assert a.grad == 300.0
    a, b = Value(2.0), Value(3.0)
    c = a * b
    b.data = 100
    c.backward()
    assert a.grad == 100.0


# ---- networks ----


def test_sizes_and_reprs(backend):
    assert len(MLP(3, [4, 4, 1], backend=backend).parameters()) == 41
    assert len(MLP(3, [4, 2], backend=backend).parameters()) == 26
    assert len(MLP(4, 4, 4, 1, backend=backend).parameters()) == 45
    assert len(MLP(2, [16, 16, 1], backend=backend).parameters()) == 337
    assert len(MLP(2, 16, 16, 1, backend=backend).parameters()) == 337
    assert repr(Neuron(2, backend=backend)) == "ReLUNeuron(2)"
    assert repr(Neuron(2, nonlin=False, backend=backend)) == "LinearNeuron(2)"
    assert repr(Layer(2, 2, backend=backend)) == "Layer of [ReLUNeuron(2), ReLUNeuron(2)]"
    assert repr(MLP(2, [1], backend=backend)) == "MLP of [Layer of [LinearNeuron(2)]]"


def test_a_layer_of_one_gives_the_value_itself(backend, Value):
    assert isinstance(Layer(2, 1, backend=backend)([1, 2]), Value)
    assert isinstance(Layer(2, 2, backend=backend)([1, 2]), list)
    assert isinstance(MLP(2, [1, 3, 1], backend=backend)([1.0, 2.0]), Value)


def test_neuron_of_a_seed(backend):
    random.seed(1337)
    n = Neuron(2, backend=backend)
    assert [w.data for w in n.w] == [0.23550571390294128, 0.06653114721000164]
    assert n([1, -2]).data == approx(0.102443419482938, rel=1e-14)


TOY_INPUTS = [[2.0, 3.0, -1.0], [3.0, -1.0, 0.5], [0.5, 1.0, 1.0], [1.0, 1.0, -1.0]]
TOY_TARGETS = [1.0, -1.0, -1.0, 1.0]


def check_toy_training(model, parameters, squared_errors):
    """Four samples, tanh everywhere, sum of squared errors: the losses of the exp-ratio tanh, to about 1e-12."""
    assert model(TOY_INPUTS[0]).data == approx(0.42767811248845455, rel=1e-12)
    found = []
    for _ in range(40):
        loss = squared_errors([model(x) for x in TOY_INPUTS], TOY_TARGETS)
        for p in parameters:
            p.grad = 0.0
        loss.backward()
        for p in parameters:
            p.data -= 0.05 * p.grad
        found.append(loss.data)
    known = {
        0: 6.005402783252284,
        1: 4.448280639552251,
        2: 3.038719710839991,
        9: 0.846993055647186,
        19: 0.05964201764201716,
        39: 0.01722918670374716,
    }
    for k, expected in known.items():
        assert found[k] == approx(expected, rel=1e-10)


def test_toy_training_without_nn(Value):
    random.seed(1337)

    def layer(nin, nout):
        return [([Value(random.uniform(-1, 1)) for _ in range(nin)], Value(random.uniform(-1, 1))) for _ in range(nout)]

    layers = [layer(3, 4), layer(4, 4), layer(4, 1)]
    parameters = [p for neurons in layers for w, b in neurons for p in [*w, b]]

    def model(x):
        for neurons in layers:
            x = [sum((wi * xi for wi, xi in zip(w, x)), b).tanh() for w, b in neurons]
        return x[0]

    check_toy_training(model, parameters, lambda outputs, ys: sum((x - y) ** 2 for x, y in zip(outputs, ys)))


@pytest.mark.parametrize("seed", [None, 1337], ids=["random", "seed"])
def test_toy_training(backend, seed):
    random.seed(1337)
    model = MLP(
        3, [4, 4, 1], activation="tanh", output_activation="tanh", bias_init="uniform", seed=seed, backend=backend
    )
    check_toy_training(model, model.parameters(), losses.sse)


def test_relu_layer_on_xor_inputs(backend):
    layer = Layer(2, 2, weights=[[1, 0], [0, 1]], biases=[1, 0], backend=backend)
    outputs = [layer(x) for x in [(0, 0), (0, 1), (1, 0), (1, 1)]]
    assert [[v.data for v in out] for out in outputs] == [[1, 0], [1, 1], [2, 0], [2, 1]]
    total = sum(v for out in outputs for v in out)
    total.backward()
    assert [[n.w[i].grad for n in layer.neurons] for i in range(2)] == [[2, 1], [2, 2]]  # a row an input
    assert [n.b.grad for n in layer.neurons] == [4, 2]


def test_xor_by_linear_regression(Value):
    w, b = [Value(0.0), Value(0.0)], Value(0.0)
    xs, ys = [(0, 0), (0, 1), (1, 0), (1, 1)], [0, 1, 1, 0]

    def mean_squared_error():
        return sum((w[0] * x[0] + w[1] * x[1] + b - y) ** 2 for x, y in zip(xs, ys)) / 4

    assert mean_squared_error().data == 0.5
    for _ in range(1000):
        for p in (*w, b):
            p.grad = 0.0
        mean_squared_error().backward()
        for p in (*w, b):
            p.data -= 0.01 * p.grad
    assert b.data == approx(0.49109442668900566, rel=1e-12)
    assert [v.data for v in w] == approx([0.00750802463741372] * 2, rel=1e-12)
    assert mean_squared_error().data == approx(0.250030138359273, rel=1e-12)


def test_xor_by_a_linear_neuron(backend):
    """The same with pygrad's neuron and loss."""
    n = Neuron(2, nonlin=False, init="zeros", backend=backend)
    xs, ys = [(0, 0), (0, 1), (1, 0), (1, 1)], [0, 1, 1, 0]
    for _ in range(1000):
        n.zero_grad()
        losses.mse([n(x) for x in xs], ys).backward()
        for p in n.parameters():
            p.data -= 0.01 * p.grad
    assert [p.data for p in n.parameters()] == approx([0.00750802463741372] * 2 + [0.49109442668900566], rel=1e-12)
    assert losses.mse([n(x) for x in xs], ys).data == approx(0.250030138359273, rel=1e-12)


def test_xor_by_goodfellows_relu_net(backend, Value):
    """Deep Learning (Goodfellow, Bengio, Courville), section 6.1: f(x) = w . relu(W'x + c)."""
    model = MLP(2, [2, 1], weights=[[[1, 1], [1, 1]], [[1, -2]]], biases=[[0, -1], [0]], backend=backend)
    for x, expected in [((0, 0), 0.0), ((0, 1), 1.0), ((1, 0), 1.0), ((1, 1), 0.0)]:
        hidden = [Value.dot([1, 1], x, 0.0).relu(), Value.dot([1, 1], x, -1.0).relu()]
        assert Value.dot([1, -2], hidden).data == model(x).data == expected


def test_mean_binary_cross_entropy(Value):
    def by_hand(p, y):
        return -sum(pi.log() if yi else (1 - pi).log() for yi, pi in zip(y, p)) / 4

    for loss_of in (by_hand, losses.binary_cross_entropy):
        y, p = (1, 0, 1, 1), [Value(v) for v in (0.9, 0.2, 0.7, 0.4)]
        loss = loss_of(p, y)
        loss.backward()
        assert loss.data == approx(0.4003674, abs=1e-7)
        assert [v.grad for v in p] == approx([-1 / 0.9 / 4, 1.25 / 4, -1 / 0.7 / 4, -2.5 / 4], rel=1e-14)


def test_division_is_correctly_rounded(Value):
    """a / b is one rounding; micrograd's a * b**-1 is two, and differs for about a quarter of all pairs."""
    rng = random.Random(1)
    pairs = [(rng.uniform(-10, 10), rng.uniform(-10, 10)) for _ in range(1000)]
    assert all(bits((Value(a) / Value(b)).data) == bits(a / b) for a, b in pairs)
    differing = sum(a * b**-1 != a / b for a, b in pairs)
    assert 150 < differing < 350
    assert math.isclose(differing / 1000, 0.25, abs_tol=0.1)
