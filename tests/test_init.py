"""Initialisers: mean, variance, range and shape of what they draw, and where the draws come from.

The bounds are 6 standard deviations of each statistic over N draws, so a right initialiser fails for about one seed in
10**8; the seeds are fixed.
"""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from pygrad import backends, init
from pygrad.nn import MLP, Layer, Neuron

N = 40_000
SIGMAS = 6.0

# name: (shape of the distribution, its variance from nin and nout)
EXPECTED = {
    "uniform": ("uniform", lambda nin, nout: 1 / 3),
    "xavier": ("uniform", lambda nin, nout: 2 / (nin + nout)),
    "xavier_uniform": ("uniform", lambda nin, nout: 2 / (nin + nout)),
    "xavier_normal": ("normal", lambda nin, nout: 2 / (nin + nout)),
    "he": ("normal", lambda nin, nout: 2 / nin),
    "he_uniform": ("uniform", lambda nin, nout: 2 / nin),
    "he_normal": ("normal", lambda nin, nout: 2 / nin),
    "normal": ("normal", lambda nin, nout: 1 / nin),
    "scaled_normal": ("normal", lambda nin, nout: 1 / nin),
}
GENERATORS = [random.Random, np.random.default_rng, np.random.RandomState]


def test_every_initialiser_is_measured():
    assert set(EXPECTED) | {"zeros"} == set(init.INITIALISERS)


@pytest.mark.parametrize("make_rng", GENERATORS, ids=["random", "numpy", "numpy-legacy"])
@pytest.mark.parametrize(("nin", "nout"), [(1, 1), (10, 3), (3, 50)])
@pytest.mark.parametrize("name", EXPECTED)
def test_mean_variance_and_shape(name, nin, nout, make_rng):
    shape, variance_of = EXPECTED[name]
    variance = variance_of(nin, nout)
    rng = make_rng(7)
    draws = np.array([init.INITIALISERS[name](rng, nin, nout) for _ in range(N)])
    # fourth and eighth moments in units of the variance: of U(-a, a) 9/5 and 9, of a normal distribution 3 and 105
    fourth, eighth = (9 / 5, 9.0) if shape == "uniform" else (3.0, 105.0)
    assert abs(draws.mean()) < SIGMAS * math.sqrt(variance / N)
    assert abs((draws**2).mean() - variance) < SIGMAS * variance * math.sqrt((fourth - 1) / N)
    assert abs((draws**4).mean() / variance**2 - fourth) < SIGMAS * math.sqrt((eighth - fourth**2) / N)
    a = math.sqrt(3 * variance)
    if shape == "uniform":
        assert np.abs(draws).max() <= a
        assert min(draws.max(), -draws.min()) > 0.99 * a
    else:
        assert np.abs(draws).max() > a


def test_zeros_draw_nothing():
    rng = random.Random(3)
    before = rng.getstate()
    assert init.zeros(rng, 4, 4) == 0.0
    assert rng.getstate() == before


@pytest.mark.parametrize("name", init.INITIALISERS)
def test_nothing_divides_by_zero(name):
    assert math.isfinite(init.INITIALISERS[name](random.Random(1), 0, 0))


# ---- in networks ----


def numbers(model):
    return [p.data for p in model.parameters()]


@pytest.mark.parametrize("name", init.INITIALISERS)
def test_a_seed_gives_the_same_weights_on_every_backend(name):
    runs = {b: numbers(MLP(3, [4, 2], init=name, bias_init=name, seed=5, backend=b)) for b in backends.NAMES}
    assert runs["c"] == runs["cffi"] == runs["python"]
    assert (len(set(runs["c"])) == 26) == (name != "zeros")


def test_seed_and_rng_are_the_same_stream(backend):
    expected = numbers(MLP(3, [4, 2], seed=5, backend=backend))
    assert numbers(MLP(3, [4, 2], rng=random.Random(5), backend=backend)) == expected
    assert numbers(MLP(3, [4, 2], seed=6, backend=backend)) != expected
    random.seed(5)
    assert numbers(MLP(3, [4, 2], backend=backend)) == expected
    layers = MLP(3, [4, 2], seed=5, backend=backend).layers
    assert numbers(layers[0]) == numbers(Layer(3, 4, seed=5, backend=backend))
    assert numbers(layers[0].neurons[0]) == numbers(Neuron(3, seed=5, backend=backend))


def test_a_seed_leaves_pythons_own_generator_alone(backend):
    before = random.getstate()
    MLP(3, [4, 2], seed=5, dropout=0.5, backend=backend)
    assert random.getstate() == before


def test_a_numpy_generator_goes_on(backend):
    rng = np.random.default_rng(2)
    first, second = (numbers(Neuron(3, rng=rng, backend=backend)) for _ in range(2))
    again = np.random.default_rng(2).uniform(-1, 1, size=6).tolist()
    assert [first[:3], second[:3]] == [again[:3], again[3:]]


def test_each_neuron_draws_its_weights_and_then_its_bias(backend):
    rng = random.Random(9)
    expected = [rng.uniform(-1, 1) for _ in range(13)]
    assert numbers(MLP(2, [3, 1], bias_init="uniform", seed=9, backend=backend)) == expected
    assert numbers(Neuron(2, bias_init="uniform", seed=9, backend=backend)) == expected[:3]


def test_an_initialiser_of_ones_own_is_told_the_layers_shape(backend):
    asked = []

    def counting(rng, nin, nout):
        asked.append((nin, nout))
        return float(len(asked))

    model = MLP(3, [5, 2], init=counting, bias_init=lambda rng, nin, nout: -nin, backend=backend)
    assert asked == [(3, 5)] * 15 + [(5, 2)] * 10
    assert [w.data for w in model.layers[1].neurons[1].w] == [21.0, 22.0, 23.0, 24.0, 25.0]
    assert [n.b.data for layer in model.layers for n in layer.neurons] == [-3.0] * 5 + [-5.0] * 2


def test_scaled_draws_follow_the_layers_shape(backend):
    """Over the 100 * 50 weights of a layer, as over single draws."""
    model = MLP(100, [50, 1], init="xavier_normal", seed=1, backend=backend)
    weights = np.array([w.data for n in model.layers[0].neurons for w in n.w])
    variance = 2 / 150
    assert abs((weights**2).mean() - variance) < SIGMAS * variance * math.sqrt(2 / weights.size)


def test_given_weights_draw_nothing(backend):
    rng = random.Random(3)
    before = rng.getstate()
    MLP(2, [1], weights=[[[1, 2]]], biases=[[3]], bias_init="uniform", rng=rng, backend=backend)
    assert rng.getstate() == before


MAKERS = [lambda **k: Neuron(2, **k), lambda **k: Layer(2, 2, **k), lambda **k: MLP(2, [2], **k)]


@pytest.mark.parametrize("make", MAKERS, ids=["Neuron", "Layer", "MLP"])
def test_errors(backend, make):
    with pytest.raises(ValueError, match=r"unknown init=.glorot.: choose one of uniform, .*, or give a function"):
        make(init="glorot", backend=backend)
    with pytest.raises(ValueError, match="unknown bias_init='ones'"):
        make(bias_init="ones", backend=backend)
    with pytest.raises(TypeError, match=r"init must be a name or a function \(rng, nin, nout\), not int"):
        make(init=3, backend=backend)
    with pytest.raises(ValueError, match="give seed= or rng=, not both"):
        make(seed=1, rng=random.Random(1), backend=backend)
    with pytest.raises(TypeError, match=r"rng must be a random.Random or a numpy.random.Generator, not int"):
        make(rng=1, backend=backend)
    with pytest.raises(TypeError, match="weights: expected a Value or a number, not NoneType"):
        make(init=lambda rng, nin, nout: None, backend=backend)
