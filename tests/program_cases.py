"""What the tests of compiled functions share: a function of two parameters with its data, and a comparison by bits."""

from __future__ import annotations

import numpy as np

from pygrad.programs import compile as compiled

from .conftest import bits


def same(found, expected):
    """Whether two arrays hold the same bits."""
    found, expected = np.asarray(found, dtype=float), np.asarray(expected, dtype=float)
    assert found.shape == expected.shape
    assert [bits(x) for x in found.ravel()] == [bits(x) for x in expected.ravel()]


class Case:
    """A function of two parameters, with its data."""

    def __init__(self, Value, samples=7):
        self.Value = Value
        self.a, self.b = Value(1.5, label="a"), Value(-0.5)
        rng = np.random.default_rng(3)
        self.X, self.y = rng.normal(size=(samples, 2)), rng.normal(size=samples)
        self.compiled = compiled(self.f, exact=True, backend=Value._pygrad_backend)

    def f(self, x, y):
        return (self.a * x[0] + self.b * x[1]).tanh() * y + x[0].exp() * self.a**2

    def sample(self, i):
        """The graph engine's: inputs and output of one sample."""
        x, y = [self.Value(v) for v in self.X[i]], self.Value(self.y[i])
        return x, y, self.f(x, y)

    def total(self):
        """The mean of the losses, as a graph."""
        outputs = [self.sample(i)[2] for i in range(len(self.X))]
        return self.Value.sum(outputs) / len(outputs)

    def reset(self):
        for p in (self.a, self.b):
            p.grad = 0.0
