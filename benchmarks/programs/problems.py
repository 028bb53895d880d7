"""What compiled programs are measured on, written once: networks with their training data, and scalar functions.

Everything is drawn from fixed seeds. Imports no engine and takes no time. The scalar functions are one source text for
every engine that has scalars; engines of arrays have their own in functions.py.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Net:
    """A multi-layer perceptron and how it is trained: full-batch gradient descent on `samples` samples.

    sizes: of the layers, inputs first, two or three layers. activation: of the hidden layers, 'relu' or 'tanh'.
    loss: the mean over the samples of 'hinge', max(0, 1 - label * score); 'cross_entropy', log(sum of e ** score) -
    score[label]; or 'squares', (score - label) ** 2. penalty: weight of the sum of squared parameters.
    steps: what one entry of the tables counts. Weights are uniform, divided by the root of the number of inputs where
    `scaled`, and biases small, so that no sum is exactly 0, where derivatives of relu differ.
    """

    name: str
    title: str
    sizes: tuple[int, ...]
    samples: int
    activation: str
    loss: str
    penalty: float
    rate: float
    steps: int = 1
    scaled: bool = True

    @property
    def count(self) -> int:
        """How many parameters there are."""
        return sum(nout * (nin + 1) for nin, nout in zip(self.sizes, self.sizes[1:]))

    @property
    def flops(self) -> int:
        """Of the matrix products of one gradient: forward, by the weights, and by the inputs but the first layer's."""
        products = [nin * nout for nin, nout in zip(self.sizes, self.sizes[1:])]
        return 2 * self.samples * (3 * sum(products) - products[0])

    def of_samples(self, samples: int) -> Net:
        return replace(self, samples=samples)

    def layers(self) -> list[tuple[list[list[float]], list[float]]]:
        """For each layer its first weights, (nout, nin), and biases, (nout,)."""
        draw = random.Random(1337)
        out = []
        for nin, nout in zip(self.sizes, self.sizes[1:]):
            scale = nin**-0.5 if self.scaled else 1.0
            weights = [[scale * draw.uniform(-1, 1) for _ in range(nin)] for _ in range(nout)]
            out.append((weights, [0.1 * draw.uniform(-1, 1) for _ in range(nout)]))
        return out

    def flat(self) -> Any:
        """The same as one array, in micrograd's order: for each neuron its weights, then its bias."""
        import numpy as np

        return np.array([x for rows, biases in self.layers() for row, b in zip(rows, biases) for x in (*row, b)])

    def data(self) -> tuple[Any, Any]:
        """Inputs, (samples, nin), and labels, (samples,): -1 and 1; for cross-entropy, classes as integers."""
        import numpy as np

        draw = np.random.default_rng(1337)
        X = draw.uniform(-1.0, 1.0, (self.samples, self.sizes[0]))
        if self.loss == "cross_entropy":
            return X, draw.integers(0, self.sizes[-1], self.samples)
        return X, np.where(np.sin(3 * X[:, 0]) > X[:, 1], 1.0, -1.0)


MOONS = Net(
    "moons", "2-16-16-1 relu, 100 samples, max-margin loss + L2", (2, 16, 16, 1), 100, "relu", "hinge", 1e-4, 0.1
)

CLASSES = "cross_entropy"

NETS = {
    net.name: net
    for net in (
        MOONS,
        replace(MOONS, name="tanh", title="2-16-16-1 tanh, 100 samples, max-margin loss + L2", activation="tanh"),
        Net("digits", "64-32-10 relu, batch 32, softmax cross-entropy", (64, 32, 10), 32, "relu", CLASSES, 0.0, 0.05),
        Net("wide", "784-128-10 relu, batch 64, softmax cross-entropy", (784, 128, 10), 64, "relu", CLASSES, 0.0, 0.05),
        Net("tiny", "3-4-4-1 tanh, 4 samples, squares", (3, 4, 4, 1), 4, "tanh", "squares", 0.0, 0.2, 20, False),
    )
}  # fmt: skip


# ---- scalar functions ----


def rosenbrock(x: Sequence[Any]) -> Any:
    """Rosenbrock's function of len(x) variables."""
    total: Any = 0.0
    for i in range(len(x) - 1):
        a, b = x[i], x[i + 1]
        total = total + 100.0 * (b - a**2) ** 2 + (1.0 - a) ** 2
    return total


def bodies(x: Sequence[Any]) -> Any:
    """The gravitational energy of len(x) / 3 bodies: minus the sum over pairs of both masses by their distance."""
    masses = masses_of(len(x) // 3)
    total: Any = 0.0
    for i in range(len(masses)):
        for j in range(i + 1, len(masses)):
            dx, dy, dz = (x[3 * i + k] - x[3 * j + k] for k in range(3))
            total = total - masses[i] * masses[j] * (dx * dx + dy * dy + dz * dz) ** -0.5
    return total


def masses_of(count: int) -> list[float]:
    return [1.0 + 0.05 * i for i in range(count)]


@dataclass(frozen=True)
class Function:
    """A function of many scalars, by its source: what is asked for is the value and the gradient."""

    name: str
    title: str
    source: Callable[[Sequence[Any]], Any]
    variables: int

    def start(self) -> list[float]:
        draw = random.Random(20)
        return [draw.uniform(-1.5, 1.5) for _ in range(self.variables)]


FUNCTIONS = {
    f.name: f
    for f in (
        Function("rosenbrock", "Rosenbrock's function of 1,000 variables", rosenbrock, 1000),
        Function("bodies", "gravitational energy of 20 bodies, 60 variables", bodies, 60),
    )
}
