"""Random functions in layers, as networks are, but irregular: weights that are tied, transposed or used twice,
residuals, activations that several read. What runs together in vector instructions depends on such things, no bit may.

Against the eager engine, sample by sample, to the last bit (but for signs of zeros in gradients).
"""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from pygrad.programs import compile as compiled

ACTIVATIONS = ["relu", "tanh", "sigmoid", "exp", "softplus"]


class Layered:
    """A random function of a list of inputs and a target, in a few layers of at most six values."""

    def __init__(self, engine: Any, seed: int) -> None:
        draw = self.draw = random.Random(seed)
        self.engine = engine
        self.parameters = [engine(draw.uniform(-0.7, 0.7)) for _ in range(40)]
        self.inputs = draw.randint(1, 4)
        self.steps: list[Any] = []
        width = self.inputs
        for number in range(draw.randint(2, 7)):
            kind = "dense" if number % 2 else draw.choice(["activation", "sum", "again", "one", "residual", "scaled"])
            outs = draw.randint(1, 6) if kind == "dense" else 1 if kind == "sum" else width
            self.steps.append((kind, draw.choice(ACTIVATIONS), self.weights(width, outs), draw.random() < 0.7))
            width = outs

    def weights(self, ins: int, outs: int) -> list[tuple[list[Any], Any]]:
        """Rows of weights, each with its bias: neighbours as in a network, or the same in several places, or any."""
        draw, parameters = self.draw, self.parameters
        kind = draw.choice(["rows", "rows", "columns", "tied", "any"])
        rows = []
        for r in range(outs):
            at = {"rows": r * (ins + 1), "columns": r, "tied": 0, "any": draw.randrange(40)}[kind]
            step = outs if kind == "columns" else draw.choice([1, 3]) if kind == "any" else 1
            row = [parameters[(at + step * j) % 40] for j in range(ins)]
            rows.append((row, parameters[(at + step * ins) % 40]))
        return rows

    def __call__(self, x: list[Any], y: Any) -> Any:
        Value, values = self.engine, list(x)
        for kind, name, rows, biased in self.steps:
            if kind == "dense":
                values = [Value.dot(row, values, bias) if biased else Value.dot(row, values) for row, bias in rows]
            elif kind == "activation":
                values = [getattr(v, name)() for v in values]
            elif kind == "sum":  # one gradient for all derivatives
                values = [sum((getattr(v, name)() for v in values[1:]), getattr(values[0], name)())]
            elif kind == "again":  # one value for all derivatives
                values = [getattr(values[0], name)() for _ in values]
            elif kind == "one":  # one activation that all read
                one = getattr(values[0], name)()
                values = [one * row[0] + bias for row, bias in rows]
            elif kind == "residual":
                layer = [Value.dot(row, values, bias) for row, bias in rows]
                values = [v + getattr(u, name)() for v, u in zip(values, layer)]
            else:
                values = [v * row[0] for v, (row, _) in zip(values, rows)]
        loss = (values[0] - y) ** 2
        for v in values[1:]:
            loss = loss + v * v if self.inputs % 2 else loss + v.relu()
        return loss


def equal(found: Any, expected: list[float]) -> bool:
    """To the bit, but for signs of zeros; nan is nan."""
    return np.array_equal(np.asarray(found), np.array(expected), equal_nan=True)


@pytest.mark.parametrize("seed", range(150))
def test_values_and_gradients_of_each_sample(engine: Any, seed: int) -> None:
    f = Layered(engine, seed)
    rng = np.random.default_rng(seed)
    X, y = rng.normal(size=(9, f.inputs)), rng.normal(size=9)
    program = compiled(f, exact=True, params=f.parameters, backend=engine._pygrad_backend)
    values, by_parameters = program(X, y), program.sample_gradients(X, y)
    by_x, by_y = program.input_gradients(X, y)
    total, gradient = program.value_and_grad(X, y, reduction="sum")
    assert total == np.add.accumulate(values)[-1]
    np.testing.assert_allclose(gradient, by_parameters.sum(axis=0), rtol=1e-9, atol=1e-9)
    for k in range(9):
        for p in f.parameters:
            p.grad = 0.0
        x, target = [engine(v) for v in X[k]], engine(y[k])
        loss = f(x, target)
        loss.backward()
        assert values[k] == loss.data
        assert equal(by_parameters[k], [p.grad for p in f.parameters])
        assert equal(by_x[k], [v.grad for v in x])
        assert equal(by_y[k], target.grad)
