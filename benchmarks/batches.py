"""Training on whole batches: NumPy by hand, which is the yardstick, and pygrad's array Values in three forms.

The forms are an MLP given a batch, a Sequential of Linear layers, and expressions as in a NumPy script, the source
that torch, JAX and autograd are given too (workloads.batch_loss). Everything is float64, all samples at once. Nothing
is timed or checked here.
"""

from __future__ import annotations

from typing import Any

from peers import Step
from workloads import Problem, batch_loss, batch_of, batch_parameters, initial_weights

# ---- NumPy by hand ----


def numpy_trainer(problem: Problem) -> Step:
    """Forward and backward written out, each array changed in place where it is not needed any more."""
    import numpy as np

    parameters = batch_parameters(problem)
    weights, biases = parameters[::2], parameters[1::2]
    inputs, labels = batch_of(problem)
    last, count = len(weights) - 1, len(inputs)

    def binary(scores: Any) -> tuple[float, Any]:
        p = 1.0 / (1.0 + np.exp(-scores))
        loss = -(labels * np.log(p) + (1.0 - labels) * np.log(1.0 - p)).mean()
        p -= labels
        p /= count
        return loss, p

    def cross_entropy(scores: Any) -> tuple[float, Any]:
        scores -= scores.max(axis=1, keepdims=True)
        e = np.exp(scores)
        total = e.sum(axis=1, keepdims=True)
        loss = (np.log(total).sum() - np.vdot(scores, labels)) / count
        e /= total
        e -= labels
        e /= count
        return loss, e

    def hinge(scores: Any) -> tuple[float, Any]:
        margins = 1.0 - labels * scores
        inside = margins > 0.0
        return margins.sum(where=inside) / count, inside * (labels * (-1.0 / count))

    loss_of = {"binary": binary, "cross_entropy": cross_entropy, "hinge": hinge}[problem.loss]

    def step(k: int) -> float:
        layers = [inputs]
        for i, (w, b) in enumerate(zip(weights, biases)):
            h = layers[i] @ w
            h += b
            if i < last:
                np.maximum(h, 0.0, out=h)
            layers.append(h)
        loss, g = loss_of(layers.pop())
        rate, penalty = problem.rate(k), problem.penalty
        for i in range(last, -1, -1):
            w, b, h = weights[i], biases[i], layers[i]
            dw, db = h.T @ g, g.sum(axis=0)
            if i:
                g = g @ w.T
                g *= h > 0.0
            if penalty:
                loss += penalty * (np.vdot(w, w) + np.vdot(b, b))
                dw += (2.0 * penalty) * w
                db += (2.0 * penalty) * b
            dw *= rate
            w -= dw
            b -= rate * db
        return float(loss)

    return step


# ---- pygrad ----


def expressions_trainer(backend: str, problem: Problem) -> Step:
    """Array Values in place of arrays, and nothing else of pygrad."""
    from pygrad import backends

    value_type: Any = backends.load(backend)
    parameters = [value_type(x) for x in batch_parameters(problem)]
    inputs, labels = batch_of(problem)
    functions = (value_type.relu, lambda h: h.logsumexp(axis=1), value_type.sigmoid, value_type.log)

    def step(k: int) -> float:
        loss = batch_loss(parameters, inputs, labels, problem, *functions)
        for p in parameters:
            p.grad = 0
        loss.backward()
        rate = problem.rate(k)
        for p in parameters:
            p.data -= rate * p.grad
        return float(loss)

    return step


def mlp_trainer(backend: str, problem: Problem) -> Step:
    """nn.MLP, whose parameters are scalars, given the whole batch."""
    from pygrad import nn

    layers = initial_weights(problem)
    model = nn.MLP(
        problem.sizes[0],
        problem.sizes[1:],
        weights=[w for w, _ in layers],
        biases=[b for _, b in layers],
        backend=backend,
    )
    return _module_trainer(model, problem)


def linear_trainer(backend: str, problem: Problem) -> Step:
    """A Sequential of Linear layers, whose parameters are arrays."""
    from pygrad import nn

    layers: list[Any] = []
    parameters = batch_parameters(problem)
    for w, b in zip(parameters[::2], parameters[1::2]):
        layers += [nn.Linear(*w.shape, weight=w, bias=b, backend=backend), nn.ReLU()]
    return _module_trainer(nn.Sequential(*layers[:-1]), problem)


def _module_trainer(model: Any, problem: Problem) -> Step:
    """With pygrad's losses and optim.SGD."""
    from pygrad import losses, optim

    loss_function = {
        "hinge": losses.hinge,
        "cross_entropy": losses.cross_entropy,
        "binary": losses.binary_cross_entropy_with_logits,
    }[problem.loss]
    inputs, labels = batch_of(problem)
    targets = labels.argmax(axis=1) if problem.loss == "cross_entropy" else labels
    optimizer = optim.SGD(model, lr=problem.rate)

    def step(k: int) -> float:
        loss = loss_function(model(inputs), targets)
        if problem.penalty:
            loss = loss + losses.l2_penalty(model, problem.penalty)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return float(loss)

    return step
