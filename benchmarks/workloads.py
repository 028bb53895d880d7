"""The things that are measured, written once: training problems, and graphs of scalar operations.

Works on whatever numbers it is given: Values of any engine, tensors, plain floats. Imports no engine and takes
no time; worker.py does the timing, peers.py and engines.py say what a Value is. What is written with operators
is the same source text for every engine.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

# ---- training problems ----


@dataclass(frozen=True)
class Problem:
    """A multi-layer perceptron, what it is trained on, and how: full-batch gradient descent.

    sizes: of the layers, inputs first. inputs: one list a sample. labels: one number a sample.
    loss: 'hinge', the mean of max(0, 1 - label * score); 'squares', the sum of (score - label) ** 2;
    'cross_entropy', the mean of log(sum of e ** score) - score[label], with one score a class; or 'binary', the mean
    of -(label * log(p) + (1 - label) * log(1 - p)), p the sigmoid of the score.
    penalty: weight of the sum of squared parameters. rates: learning rates, used in turn.
    unit: how many steps one measurement takes. checked: how many of the first losses are compared.
    drawn: where there are too many inputs to list, how many samples are drawn instead, see batch_of(). The weights are
    divided by the root of the number of inputs of their layer then, or the first scores would be huge; the biases are
    0.1, so that no sum is exactly 0, where derivatives of relu differ.
    """

    name: str
    sizes: list[int]
    inputs: list[list[float]]
    labels: list[float]
    loss: str
    penalty: float
    rates: list[float]
    unit: int
    checked: int
    seed: int = 1337
    drawn: int = 0

    def rate(self, step: int) -> float:
        return self.rates[step % len(self.rates)]


def moons(inputs: list[list[float]], labels: Sequence[float]) -> Problem:
    """micrograd's demo: MLP(2, [16, 16, 1]) on two moons, max-margin loss, L2 penalty 1e-4, rate 1.0 to 0.1."""
    return Problem(
        name="moons",
        sizes=[2, 16, 16, 1],
        inputs=inputs,
        labels=list(labels),
        loss="hinge",
        penalty=1e-4,
        rates=[1.0 - 0.9 * k / 100 for k in range(100)],
        unit=1,
        checked=3,
    )


def tiny() -> Problem:
    """The four samples of micrograd's lecture: MLP(3, [4, 4, 1]), sum of squares, 20 iterations at rate 0.05."""
    return Problem(
        name="tiny",
        sizes=[3, 4, 4, 1],
        inputs=[[2.0, 3.0, -1.0], [3.0, -1.0, 0.5], [0.5, 1.0, 1.0], [1.0, 1.0, -1.0]],
        labels=[1.0, -1.0, -1.0, 1.0],
        loss="squares",
        penalty=0.0,
        rates=[0.05],
        unit=20,
        checked=20,
    )


def digits(inputs: list[list[float]], labels: Sequence[int]) -> Problem:
    """MLP(64, [32, 10]) on one batch of handwritten digits, 8 x 8 pixels from 0 to 1."""
    return Problem(
        name="digits",
        sizes=[64, 32, 10],
        inputs=inputs,
        labels=list(labels),
        loss="cross_entropy",
        penalty=0.0,
        rates=[0.05],
        unit=1,
        checked=2,
    )


def classifier() -> Problem:
    """The image classifier of a tutorial: 209 pictures of 64 x 64 x 3 numbers from 0 to 1, layers 12288-20-7-5-1, mean
    binary cross-entropy, gradient descent at rate 0.0075. What the pictures show makes no difference to the time.
    """
    return Problem(
        name="classifier",
        sizes=[12288, 20, 7, 5, 1],
        inputs=[],
        labels=[],
        loss="binary",
        penalty=0.0,
        rates=[0.0075],
        unit=1,
        checked=3,
        drawn=209,
    )


def scalar_loss(model: Any, problem: Problem) -> Any:
    """The loss of a model that takes one sample at a time, in scalar operations, as a micrograd user writes it."""
    scores = [model(x) for x in problem.inputs]
    if problem.loss == "hinge":
        losses = [(1 + -label * score).relu() for label, score in zip(problem.labels, scores)]
        loss = sum(losses) * (1.0 / len(losses))
    elif problem.loss == "cross_entropy":
        losses = [
            sum(s.exp() for s in several).log() - several[int(label)]
            for label, several in zip(problem.labels, scores)
        ]
        loss = sum(losses) * (1.0 / len(losses))
    else:
        loss = sum((score - label) ** 2 for label, score in zip(problem.labels, scores))
    if problem.penalty:
        loss = loss + problem.penalty * sum(p * p for p in model.parameters())
    return loss


def scalar_step(model: Any, problem: Problem, step: int) -> float:
    """One training step, with the loss before the update. The graph is freed when this returns."""
    loss = scalar_loss(model, problem)
    model.zero_grad()
    loss.backward()
    rate = problem.rate(step)
    for p in model.parameters():
        p.data -= rate * p.grad
    return float(loss.data)


def initial_weights(problem: Problem) -> list[tuple[list[list[float]], list[float]]]:
    """For each layer its weights, (nout, nin), and biases, (nout,): the draws that micrograd.nn makes from the seed."""
    random.seed(problem.seed)
    bias = 0.1 if problem.drawn else 0.0
    return [
        ([[_weight(problem, nin) for _ in range(nin)] for _ in range(nout)], [bias] * nout)
        for nin, nout in zip(problem.sizes, problem.sizes[1:])
    ]


def batch_parameters(problem: Problem) -> list[Any]:
    """The same as arrays: W (nin, nout) and b (nout,) of each layer in turn."""
    import numpy as np

    return [
        np.ascontiguousarray(x) for w, b in initial_weights(problem) for x in (np.array(w).T, np.array(b))
    ]


def _weight(problem: Problem, nin: int) -> float:
    x = random.uniform(-1, 1)
    return x / math.sqrt(nin) if problem.drawn else x


def batch_of(problem: Problem) -> tuple[Any, Any]:
    """All samples at once, as arrays: inputs (samples, nin), and what label_rows gives. Drawn from the seed where the
    problem does not list them."""
    import numpy as np

    if not problem.drawn:
        return np.array(problem.inputs), np.array(label_rows(problem))
    generator = np.random.default_rng(problem.seed)
    inputs = generator.random((problem.drawn, problem.sizes[0]))
    return inputs, np.where(generator.random((problem.drawn, 1)) < 0.5, 1.0, 0.0)


def label_rows(problem: Problem) -> list[list[float]]:
    """The labels as a matrix: one column of them; for cross_entropy, a column a class, 1 where it is the label."""
    if problem.loss != "cross_entropy":
        return [[label] for label in problem.labels]
    return [[float(label == k) for k in range(problem.sizes[-1])] for label in problem.labels]


def batch_loss(
    parameters: Sequence[Any],
    inputs: Any,
    labels: Any,
    problem: Problem,
    relu: Callable[[Any], Any],
    logsumexp: Callable[[Any], Any],
    sigmoid: Callable[[Any], Any] | None = None,
    log: Callable[[Any], Any] | None = None,
) -> Any:
    """The same loss over all samples at once, in tensor operations.

    parameters, inputs, labels: what batch_parameters and batch_of give, as the engine's tensors. logsumexp: over the
    columns, (samples, classes) to (samples,). sigmoid, log: for the loss 'binary'.
    """
    h = inputs
    for i in range(0, len(parameters), 2):
        h = h @ parameters[i] + parameters[i + 1]
        if i < len(parameters) - 2:
            h = relu(h)
    if problem.loss == "cross_entropy":
        return (logsumexp(h) - (h * labels).sum(1)).mean()
    if problem.loss == "binary":
        assert sigmoid is not None  # those who take part give both
        assert log is not None
        p = sigmoid(h)
        return -(labels * log(p) + (1.0 - labels) * log(1.0 - p)).mean()
    loss = relu(1.0 - labels * h).mean() if problem.loss == "hinge" else ((h - labels) ** 2).sum()
    if problem.penalty:
        loss = loss + problem.penalty * sum((p * p).sum() for p in parameters)
    return loss


# ---- optimisers ----

OPTIMISERS = ("SGD", "SGD, momentum", "Adam", "AdamW", "RMSprop")


def optimiser_settings(kind: str) -> tuple[str, dict[str, float]]:
    """The name of the class, in pygrad.optim and in torch.optim, and the arguments for one of OPTIMISERS."""
    if kind == "SGD, momentum":
        return "SGD", {"lr": 1e-3, "momentum": 0.9}
    return kind, {"lr": 1e-3}


# ---- graphs of scalar operations ----


def chain(leaves: Sequence[Any], rounds: int) -> Any:
    """Five operations a round, each on the result of the one before; only the last is kept.

    The leaves are chosen so that x only changes its sign, and every derivative is 1 or -1 times a leaf's
    value: nothing overflows, vanishes or becomes denormal, however long the chain.
    """
    x, b, c, d, e = leaves
    for _ in range(rounds):
        x = -((x * b + c) / d - e)
    return x


def wide(leaves: Sequence[Any], rounds: int) -> list[Any]:
    """Six independent operations a round, all kept."""
    a, b = leaves
    kept: list[Any] = []
    for _ in range(rounds):
        kept += (a * b, a + b, a - b, a / b, a**2, -a)
    return kept


def functions(leaves: Sequence[Any], rounds: int, table: Sequence[Callable[[Any], Any]]) -> list[Any]:
    """Six independent functions of one leaf a round, all kept."""
    (a,) = leaves
    exp, log, sqrt, sin, cos, tanh = table
    kept: list[Any] = []
    for _ in range(rounds):
        kept += (exp(a), log(a), sqrt(a), sin(a), cos(a), tanh(a))
    return kept


FUNCTION_NAMES = ("exp", "log", "sqrt", "sin", "cos", "tanh")


@dataclass(frozen=True)
class Graph:
    """A graph to build: its source, the values of its leaves, and how many operations the source has in a round.

    slope: what a round contributes to the derivative of the result, or of the sum of the results, with respect
    to the first leaf: a factor for the chain, a term for the others. Differentiated by hand.
    """

    name: str
    source: str
    leaves: tuple[float, ...]
    per_round: int
    slope: float

    def rounds(self, ops: int) -> int:
        """How many rounds make at least that many operations."""
        return -(-ops // self.per_round)

    def build(self, leaves: Sequence[Any], rounds: int, table: Sequence[Callable[[Any], Any]] | None) -> Any:
        """The last result of the chain; the list of all results for the others."""
        if self.name == "chain":
            return chain(leaves, rounds)
        if self.name == "wide":
            return wide(leaves, rounds)
        assert table is not None  # engines without functions are not asked
        return functions(leaves, rounds, table)

    def expected(self, rounds: int) -> tuple[float, float]:
        """The value of the result, or of the sum of the results, and its derivative: by plain floats."""
        result = self.build(self.leaves, rounds, [getattr(math, name) for name in FUNCTION_NAMES])
        if isinstance(result, list):
            return math.fsum(result), self.slope * rounds
        return float(result), self.slope**rounds


_A, _B = 0.75, 1.25

GRAPHS = {
    graph.name: graph
    for graph in (
        Graph("chain", "x = -((x * b + c) / d - e)", (0.7, 1.25, 0.5, 1.25, 0.4), 5, -1.0),
        Graph("wide", "a * b, a + b, a - b, a / b, a**2, -a", (_A, _B), 6, _B + 1 + 1 + 1 / _B + 2 * _A - 1),
        Graph(
            "functions",
            "exp(a), log(a), sqrt(a), sin(a), cos(a), tanh(a)",
            (_A,),
            6,
            math.exp(_A) + 1 / _A + 0.5 / math.sqrt(_A) + math.cos(_A) - math.sin(_A) + 1 - math.tanh(_A) ** 2,
        ),
    )
}


def balanced_sum(values: Sequence[Any]) -> Any:
    """The sum as a binary tree of additions, of logarithmic depth: for engines whose backward() recurses."""
    level = list(values)
    while len(level) > 1:
        level = list(_paired(level))
    return level[0]


def _paired(values: Sequence[Any]) -> Iterator[Any]:
    for i in range(0, len(values) - 1, 2):
        yield values[i] + values[i + 1]
    if len(values) % 2:
        yield values[-1]


def linear_sum(values: Sequence[Any]) -> Any:
    """The sum from left to right, one addition a value."""
    total = values[0]
    for x in values[1:]:
        total = total + x
    return total
