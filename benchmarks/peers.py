"""Small adapters, one for each peer: how it trains a problem, and how it builds a graph of scalars.

A peer is imported only by the function that needs it, in a process of its own; one that is not installed raises
ImportError there. Each peer is used the way its documentation shows, double precision, one thread. Nothing is
timed or checked here.
"""

from __future__ import annotations

import gc
import importlib.util
import math
import random
import sys
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from workloads import (
    FUNCTION_NAMES,
    Problem,
    balanced_sum,
    batch_loss,
    batch_of,
    batch_parameters,
    initial_weights,
    linear_sum,
    optimiser_settings,
    scalar_loss,
    scalar_step,
)

Step = Callable[[int], float]
"""Takes one training step, given its number; gives the loss before the update."""

Table = Sequence[Callable[[Any], Any]]


@dataclass(frozen=True)
class Scalars:
    """What the graph workloads need of an engine that has one object a scalar.

    leaves: starts a new graph. total: the sum of a list, as one node where `one_sum`, else in additions.
    backward: from a root, to be called as often as there are graphs. gradient: of a leaf.
    release: what it takes, beside dropping the last reference, to free a graph.
    table: the functions of FUNCTION_NAMES, if the engine has them. recursive: backward() recurses over the graph.
    """

    leaves: Callable[[Sequence[float]], list[Any]]
    total: Callable[[list[Any]], Any]
    one_sum: bool
    value: Callable[[Any], float]
    backward: Callable[[Any], None] | None
    gradient: Callable[[Any], float]
    release: Callable[[], Any]
    table: Table | None
    recursive: bool = False


# ---- micrograd ----


def micrograd_nn_on(value_type: Any) -> Any:
    """micrograd's own nn.py, executed afresh with another type as its Value."""
    spec = importlib.util.find_spec("micrograd.nn")
    if spec is None or spec.loader is None:
        raise ImportError("No module named 'micrograd.nn'", name="micrograd")
    stand_in = types.ModuleType("micrograd.engine")
    stand_in.Value = value_type  # type: ignore[attr-defined]
    original = sys.modules.get("micrograd.engine")
    sys.modules["micrograd.engine"] = stand_in
    try:
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        if original is None:
            del sys.modules["micrograd.engine"]
        else:
            sys.modules["micrograd.engine"] = original
    return module


def scalar_trainer(nn: Any, problem: Problem) -> Step:
    """Training with a module that looks like micrograd.nn."""
    random.seed(problem.seed)
    model = nn.MLP(problem.sizes[0], problem.sizes[1:])
    return lambda step: scalar_step(model, problem, step)


def _with_exp_and_log(value_type: Any) -> None:
    """What micrograd's Value lacks for a cross-entropy, written the way its own methods are."""

    def exp(self: Any) -> Any:
        out = value_type(math.exp(self.data), (self,), "exp")

        def _backward() -> None:
            self.grad += out.data * out.grad

        out._backward = _backward
        return out

    def log(self: Any) -> Any:
        out = value_type(math.log(self.data), (self,), "log")

        def _backward() -> None:
            self.grad += out.grad / self.data

        out._backward = _backward
        return out

    value_type.exp, value_type.log = exp, log


def micrograd_trainer(problem: Problem) -> Step:
    from micrograd import engine, nn

    if problem.loss == "cross_entropy":
        _with_exp_and_log(engine.Value)

    return scalar_trainer(nn, problem)


def micrograd_uncollected_trainer(problem: Problem) -> Step:
    """The collector is off during a step, and the step ends with one collection: it is part of the time."""
    gc.disable()
    train = micrograd_trainer(problem)

    def step(k: int) -> float:
        loss = train(k)
        gc.collect()
        return loss

    return step


def micrograd_scalars() -> Scalars:
    from micrograd.engine import Value

    return Scalars(
        leaves=lambda numbers: [Value(x) for x in numbers],
        total=balanced_sum,
        one_sum=False,
        value=lambda v: v.data,
        backward=lambda root: root.backward(),
        gradient=lambda v: v.grad,
        release=gc.collect,  # its nodes are reference cycles
        table=None,
        recursive=True,
    )


def micrograd_uncollected_scalars() -> Scalars:
    gc.disable()
    return micrograd_scalars()


# ---- XAD ----


def xad_trainer(problem: Problem) -> Step:
    """micrograd's nn.py on XAD's Real, recorded on a tape that is cleared and reused at every step."""
    from xad import math
    from xad.adj_1st import Real, Tape

    Real.relu = lambda self: math.fmax(self, 0.0)
    random.seed(problem.seed)
    model = micrograd_nn_on(Real).MLP(problem.sizes[0], problem.sizes[1:])
    neurons = [n for layer in model.layers for n in layer.neurons]
    tape = Tape()
    tape.activate()

    def step(k: int) -> float:
        tape.registerInputs(model.parameters())
        tape.newRecording()
        loss = scalar_loss(model, problem)
        tape.registerOutput(loss)
        loss.derivative = 1.0
        tape.computeAdjoints()
        rate = problem.rate(k)
        result = float(loss.value)
        del loss
        moved = [[p.value - rate * p.derivative for p in n.parameters()] for n in neurons]
        tape.clearAll()
        for n, numbers in zip(neurons, moved):  # new ones, since a Real's value cannot be set
            n.w, n.b = [Real(x) for x in numbers[:-1]], Real(numbers[-1])
        return result

    return step


def xad_scalars() -> Scalars:
    from xad import math
    from xad.adj_1st import Real, Tape

    tape = Tape()
    tape.activate()

    def leaves(numbers: Sequence[float]) -> list[Any]:
        values = [Real(x) for x in numbers]
        tape.registerInputs(values)
        tape.newRecording()
        return values

    def backward(root: Any) -> None:
        tape.registerOutput(root)
        root.derivative = 1.0
        tape.computeAdjoints()

    return Scalars(
        leaves=leaves,
        total=linear_sum,
        one_sum=False,
        value=lambda v: v.value,
        backward=backward,
        gradient=lambda v: v.derivative,
        release=tape.clearAll,
        table=[getattr(math, name) for name in FUNCTION_NAMES],
    )


# ---- torch ----


def torch_trainer(problem: Problem) -> Step:
    """Eager, all samples as one batch of float64."""
    import torch

    torch.set_num_threads(1)
    parameters: list[Any] = [torch.from_numpy(x).requires_grad_() for x in batch_parameters(problem)]
    inputs, labels = map(torch.from_numpy, batch_of(problem))
    functions = (torch.relu, lambda h: torch.logsumexp(h, 1), torch.sigmoid, torch.log)

    def step(k: int) -> float:
        loss = batch_loss(parameters, inputs, labels, problem, *functions)
        for p in parameters:
            p.grad = None
        loss.backward()
        rate = problem.rate(k)
        with torch.no_grad():
            for p in parameters:
                p -= rate * p.grad
        return float(loss)

    return step


def torch_nn_trainer(problem: Problem) -> Step:
    """The same with torch's modules, losses and optimiser."""
    import torch

    torch.set_num_threads(1)
    layers: list[Any] = []
    parameters = batch_parameters(problem)
    for w, b in zip(parameters[::2], parameters[1::2]):
        linear = torch.nn.Linear(*w.shape, dtype=torch.float64)
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(w.T))
            linear.bias.copy_(torch.from_numpy(b))
        layers += [linear, torch.nn.ReLU()]
    model = torch.nn.Sequential(*layers[:-1])
    inputs, labels = map(torch.from_numpy, batch_of(problem))
    classes = labels.argmax(1)
    optimizer = torch.optim.SGD(model.parameters(), lr=problem.rate(0))

    def loss_of(scores: Any) -> Any:
        if problem.loss == "cross_entropy":
            return torch.nn.functional.cross_entropy(scores, classes)
        if problem.loss == "binary":
            return torch.nn.functional.binary_cross_entropy_with_logits(scores, labels)
        return torch.relu(1.0 - labels * scores).mean()

    def step(k: int) -> float:
        loss = loss_of(model(inputs))
        if problem.penalty:
            loss = loss + problem.penalty * sum((p * p).sum() for p in model.parameters())
        optimizer.zero_grad()
        loss.backward()
        optimizer.param_groups[0]["lr"] = problem.rate(k)
        optimizer.step()
        return float(loss)

    return step


def torch_optimiser(kind: str, count: int) -> Callable[[], None]:
    """One step and zero_grad of one tensor of that many numbers, which its foreach kernels take at once."""
    import torch

    torch.set_num_threads(1)
    p = torch.arange(1, count + 1, dtype=torch.float64).reciprocal().requires_grad_()
    p.grad = 1e-3 * (torch.arange(count, dtype=torch.float64) % 7 - 3)
    name, settings = optimiser_settings(kind)
    optimizer = getattr(torch.optim, name)([p], **settings)

    def step() -> None:
        optimizer.step()
        optimizer.zero_grad(set_to_none=False)

    return step


def torch_scalars() -> Scalars:
    """Tensors of no dimension, one a number."""
    import torch

    torch.set_num_threads(1)
    return Scalars(
        leaves=lambda numbers: [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in numbers],
        total=lambda values: torch.stack(values).sum(),
        one_sum=True,
        value=float,
        backward=lambda root: root.backward(),
        gradient=lambda v: float(v.grad),
        release=lambda: None,
        table=[getattr(torch, name) for name in FUNCTION_NAMES],
    )


# ---- engines of arrays and expressions: training only ----


def jax_trainer(problem: Problem) -> Step:
    """The whole step compiled; one call a step, whose loss is waited for."""
    import jax
    import jax.numpy as jnp

    config: Any = jax.config
    config.update("jax_enable_x64", True)
    parameters = [jnp.asarray(x) for x in batch_parameters(problem)]
    inputs, labels = map(jnp.asarray, batch_of(problem))
    functions = (jax.nn.relu, lambda h: jax.nn.logsumexp(h, 1), jax.nn.sigmoid, jnp.log)

    def one_step(parameters: list[Any], rate: float) -> tuple[Any, list[Any]]:
        def loss_of(p: list[Any]) -> Any:
            return batch_loss(p, inputs, labels, problem, *functions)

        loss, gradients = jax.value_and_grad(loss_of)(parameters)
        return loss, [p - rate * g for p, g in zip(parameters, gradients)]

    update: Any = jax.jit(one_step)

    def step(k: int) -> float:
        nonlocal parameters
        loss, parameters = update(parameters, problem.rate(k))
        return float(loss)

    return step


def autograd_trainer(problem: Problem) -> Step:
    """NumPy arrays, all samples as one batch, traced anew at every step."""
    import autograd.numpy as np
    from autograd import value_and_grad

    parameters = batch_parameters(problem)
    inputs, labels = batch_of(problem)

    def relu(x: Any) -> Any:
        return np.maximum(x, 0.0)

    def logsumexp(h: Any) -> Any:
        largest = h.max(axis=1)
        return largest + np.log(np.exp(h - largest[:, None]).sum(axis=1))

    def sigmoid(x: Any) -> Any:
        return 1.0 / (1.0 + np.exp(-x))

    functions = (relu, logsumexp, sigmoid, np.log)
    derivative = value_and_grad(lambda p: batch_loss(p, inputs, labels, problem, *functions))

    def step(k: int) -> float:
        loss, gradients = derivative(parameters)
        rate = problem.rate(k)
        for p, g in zip(parameters, gradients):
            p -= rate * g
        return float(loss)

    return step


def casadi_trainer(problem: Problem) -> Step:
    """One sample's loss and gradient as an SX function, mapped over the samples, run by CasADi's virtual machine."""
    import casadi as ca
    import numpy as np

    count = len(problem.labels)
    flat = [x for w, b in initial_weights(problem) for row, bias in zip(w, b) for x in [*row, bias]]
    p, x, y = ca.SX.sym("p", len(flat)), ca.SX.sym("x", problem.sizes[0]), ca.SX.sym("y")
    h, used = [x[i] for i in range(problem.sizes[0])], 0
    for layer, (nin, nout) in enumerate(zip(problem.sizes, problem.sizes[1:])):
        out = []
        for _ in range(nout):
            score = p[used + nin]
            for i in range(nin):
                score = score + p[used + i] * h[i]
            out.append(score if layer == len(problem.sizes) - 2 else ca.fmax(score, 0))
            used += nin + 1
        h = out
    sample = ca.fmax(1 - y * h[0], 0) / count if problem.loss == "hinge" else (h[0] - y) ** 2
    one = ca.Function("sample", [p, x, y], [sample, ca.gradient(sample, p)])
    every = one.map("batch", "serial", count, [0], [0, 1])  # the same p for all; losses and gradients added up
    inputs, labels = np.array(problem.inputs).T, np.array(problem.labels).reshape(1, -1)
    weights = np.array(flat)

    def step(k: int) -> float:
        nonlocal weights
        loss, gradient = every(weights, inputs, labels)
        total = float(loss) + problem.penalty * float(weights @ weights)
        weights = weights - problem.rate(k) * (np.asarray(gradient).ravel() + 2 * problem.penalty * weights)
        return total

    return step
