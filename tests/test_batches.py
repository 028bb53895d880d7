"""Layers and MLPs on whole batches: the arrays they compute, and the gradients that reach their scalar parameters, are
those of the same samples one by one."""

import copy
import pickle

import numpy as np
import pytest

import pygrad
from pygrad import nn

SHAPES = [(2, [16, 16, 1]), (3, [4]), (1, [1]), (5, [4, 3, 2]), (64, [32, 10])]


def samples(n, nin, seed=0):
    return np.random.default_rng(seed).normal(size=(n, nin))


def outputs_of(model, X):
    """One by one, as an array of Values' data."""
    rows = [model(row.tolist()) for row in X]
    return [row if isinstance(row, list) else [row] for row in rows]


def weighted(rows, g):
    return pygrad.dot([v for row in rows for v in row], g.ravel().tolist())


def grads(model):
    return np.array([p.grad for p in model.parameters()])


@pytest.mark.parametrize("activation", nn.ACTIVATIONS)
@pytest.mark.parametrize(("nin", "nouts"), SHAPES[:4], ids=str)
def test_a_batch_is_its_samples(backend, nin, nouts, activation):
    model = nn.MLP(nin, nouts, activation=activation, seed=3, backend=backend)
    X = samples(7, nin)
    g = samples(7, nouts[-1], seed=1)
    rows = outputs_of(model, X)
    weighted(rows, g).backward()
    expected = grads(model)
    model.zero_grad()
    out = model(X)
    assert isinstance(out, backend_value(backend))
    assert out.shape == (7, nouts[-1])
    np.testing.assert_allclose(out.data, [[v.data for v in row] for row in rows], rtol=0, atol=1e-12)
    (out * g).sum().backward()
    np.testing.assert_allclose(grads(model), expected, rtol=0, atol=1e-12)


def backend_value(backend):
    return pygrad.backends.load(backend)


def test_the_gradient_of_the_batch_itself(Value, backend):
    model = nn.MLP(3, [4, 2], activation="tanh", seed=1, backend=backend)
    X = samples(5, 3)
    x = Value(X)
    model(x).sum().backward()
    for row, g in zip(X, x.grad):
        values = [Value(number) for number in row]
        pygrad.sum(model(values)).backward()
        np.testing.assert_allclose(g, [v.grad for v in values], rtol=0, atol=1e-12)


def test_shapes_in_and_out(Value, backend):
    model = nn.MLP(3, [4, 2], seed=1, backend=backend)
    X = samples(6, 3)
    whole = model(X).data
    one = model(Value(X[0]))
    assert one.shape == (2,)
    np.testing.assert_allclose(one.data, whole[0], rtol=0, atol=1e-14)
    assert isinstance(model(X[0]), list)  # a plain array of one dimension is a sample of numbers
    np.testing.assert_array_equal(model(X.reshape(2, 3, 3)).data, whole.reshape(2, 3, 2))
    assert model(np.zeros((0, 3))).shape == (0, 2)
    assert model(X.astype(np.float32)).data.dtype == np.float64
    assert model(X.tolist()[0])[0].data == model(X[0])[0].data


def test_another_batch_size_than_before(backend):
    model = nn.MLP(4, [20, 1], seed=1, backend=backend)
    for n in (5, 4, 1, 9):
        model.zero_grad()
        model(samples(n, 4)).sum().backward()
        assert grads(model).shape == (4 * 20 + 20 + 20 + 1,)
        assert model.layers[-1].bias_grad[0] == n


def test_a_wrong_number_of_features_is_named(Value, backend):
    model = nn.MLP(3, [4, 2], seed=1, backend=backend)
    with pytest.raises(ValueError, match="Layer 3 -> 4, relu takes 3 inputs, but got 2"):
        model(samples(5, 2))
    with pytest.raises(ValueError, match="takes 3 inputs, but got 5"):
        model(Value(np.zeros(5)))


def test_backends_do_not_mix(backend):
    other = "python" if backend != "python" else "c"
    with pytest.raises(TypeError, match="cannot stand in one expression"):
        nn.MLP(3, [4, 2], seed=1, backend=backend)(pygrad.backends.load(other)(samples(5, 3)))


def test_what_is_changed_is_seen(backend):
    model = nn.MLP(2, [3, 1], seed=1, backend=backend)
    X = samples(4, 2)
    model(X)
    model.layers[0].neurons[1].w[0].data = 5.0
    check(model, X)
    model.layers[0].neurons[1] = nn.Neuron(2, activation="relu", seed=9, backend=backend)
    check(model, X)
    model.layers[0].neurons[0].activation = "tanh"
    check(model, X)
    model.layers[0].neurons[2].w = list(model.layers[0].neurons[2].w)  # a list of the user's own
    check(model, X)
    model.layers[0].neurons[2].w[1] = backend_value(backend)(0.25)
    check(model, X)
    model.layers[1] = nn.Layer(3, 2, activation="sigmoid", seed=4, backend=backend)
    check(model, X)


def check(model, X):
    rows = [[v.data for v in row] for row in outputs_of(model, X)]
    np.testing.assert_allclose(model(X).data, rows, rtol=0, atol=1e-13)


def test_neurons_of_the_users_own(Value, backend):
    class Twice(nn.Neuron):
        def __call__(self, x):
            return super().__call__(x) * 2

    model = nn.MLP(2, [3, 1], seed=1, backend=backend)
    model.layers[0].neurons[1] = Twice(2, seed=2, backend=backend)
    X = samples(4, 2)
    check(model, X)
    x = Value(X)
    model(x).sum().backward()
    expected = grads(model)
    model.zero_grad()
    pygrad.sum([v for row in outputs_of(model, X) for v in row]).backward()
    np.testing.assert_allclose(grads(model), expected, rtol=0, atol=1e-13)


def test_an_activation_of_the_users_own(backend):
    model = nn.MLP(2, [3, 1], activation=lambda v: v.tanh() * 0.5, seed=1, backend=backend)
    check(model, samples(4, 2))


def test_data_changed_between_forward_and_backward(backend):
    """Derivatives use the data of the time of backward(), as those of scalars do."""
    batched, scalar = (nn.MLP(2, [3, 1], activation="linear", seed=1, backend=backend) for _ in range(2))
    X = samples(4, 2)
    out, rows = batched(X).sum(), pygrad.sum([v for row in outputs_of(scalar, X) for v in row])
    for model in (batched, scalar):
        model.layers[1].neurons[0].w[0].data = 7.0
    batched(X)  # reads the parameters again
    out.backward()
    rows.backward()
    np.testing.assert_allclose(grads(batched), grads(scalar), rtol=0, atol=1e-13)


def test_gradients_accumulate_as_those_of_scalars(backend):
    batched, scalar = (nn.MLP(2, [3, 1], activation="tanh", seed=1, backend=backend) for _ in range(2))
    X, Y = samples(4, 2), samples(3, 2, seed=5)
    first, second = batched(X).sum(), batched(Y).sum()
    first.backward()
    second.backward()
    (batched(X).sum() + batched(Y).sum() * 2).backward()
    for Z, factor in ((X, 1), (Y, 1), (X, 1), (Y, 2)):
        (pygrad.sum([v for row in outputs_of(scalar, Z) for v in row]) * factor).backward()
    np.testing.assert_allclose(grads(batched), grads(scalar), rtol=0, atol=1e-12)


def test_a_view_per_layer_and_one_per_neuron_agree(Value, backend):
    layer = nn.Layer(3, 2, activation="tanh", seed=1, backend=backend)
    layer(samples(5, 3)).sum().backward()
    assert layer.weight.shape == (2, 3)
    assert layer.bias.shape == (2,)
    for i, n in enumerate(layer.neurons):
        assert layer.weight.data[i].tolist() == [w.data for w in n.w]
        assert layer.weight_grad[i].tolist() == [w.grad for w in n.w]
        assert layer.bias.data[i] == n.b.data
        assert layer.bias_grad[i] == n.b.grad
    layer.weight = np.arange(6.0).reshape(2, 3)
    layer.bias = [7, 8]
    assert [w.data for n in layer.neurons for w in n.w] == [0, 1, 2, 3, 4, 5]
    assert [n.b.data for n in layer.neurons] == [7, 8]
    for n in layer.neurons:
        n.w[0].grad = 0.0
    (layer.weight * [[2.0, 0, 0], [3.0, 0, 0]]).sum().backward()
    assert [n.w[0].grad for n in layer.neurons] == [2.0, 3.0]
    with pytest.raises(ValueError, match=r"shape \(2, 3\) is needed, not \(3, 2\)"):
        layer.weight = np.zeros((3, 2))


def test_dropout_and_no_grad(backend):
    model = nn.MLP(2, [16, 1], seed=1, backend=backend)
    with pygrad.no_grad():
        out = model(samples(4, 2))
    assert out.operands == ()
    assert out.shape == (4, 1)
    model(samples(4, 2)).sum().backward()
    assert np.any(grads(model) != 0)


def test_copies_do_not_share(backend):
    model = nn.MLP(2, [3, 1], seed=1, backend=backend)
    X = samples(4, 2)
    model(X)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        other.layers[0].neurons[0].w[0].data += 1.0
        check(other, X)
        check(model, X)
        other(X).sum().backward()
    assert not np.any(grads(model))
