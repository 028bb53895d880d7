"""The walk through micrograd's lecture notebook: expression, backpropagation by hand, neuron, network, training.

Prints each number, and stops with an AssertionError if it is not the one it should be. With --pictures DIR,
also draws the graphs. Needs pygrad only; where torch is installed, its gradients are compared.
"""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Callable

import pygrad
from pygrad import MLP, Value


def show(what: str, number: float, expected: float, tolerance: float = 1e-12) -> None:
    assert abs(number - expected) <= tolerance * max(1.0, abs(expected)), f"{what}: {number!r}, not {expected!r}"
    print(f"  {what:24} {number: .10g}")


def expression() -> Value:
    """L = (a * b + c) * f, its gradients, and one step uphill."""
    print("an expression")
    a, b, c, f = Value(2.0, label="a"), Value(-3.0, label="b"), Value(10.0, label="c"), Value(-2.0, label="f")
    e = a * b
    d = e + c
    loss = d * f
    e.label, d.label, loss.label = "e", "d", "L"
    show("L", loss.data, -8.0)
    loss.backward()
    for v, expected in ((a, 6.0), (b, -4.0), (c, -2.0), (d, -2.0), (e, -2.0), (f, 4.0), (loss, 1.0)):
        show(f"dL/d{v.label}", v.grad, expected)

    def again(a: float, b: float, c: float, f: float) -> float:
        return (a * b + c) * f

    h = 1e-3
    show("dL/da, by differences", (again(2.0 + h, -3.0, 10.0, -2.0) - again(2.0, -3.0, 10.0, -2.0)) / h, 6.0, 1e-9)
    for v in (a, b, c, f):
        v.data += 0.01 * v.grad
    show("L, a step uphill", ((a * b + c) * f).data, -7.286496)
    return loss


def neuron() -> tuple[Value, list[Value]]:
    """tanh(x1 w1 + x2 w2 + b). The leaves are x1, w1, x2, w2."""
    x1, x2 = Value(2.0, label="x1"), Value(0.0, label="x2")
    w1, w2 = Value(-3.0, label="w1"), Value(1.0, label="w2")
    b = Value(6.8813735870195432, label="b")
    x1w1, x2w2 = x1 * w1, x2 * w2
    both = x1w1 + x2w2
    n = both + b
    o = n.tanh()
    x1w1.label, x2w2.label, both.label, n.label, o.label = "x1 w1", "x2 w2", "x1 w1 + x2 w2", "n", "o"
    return o, [x1, w1, x2, w2]


EXPECTED = (-1.5, 1.0, 0.5, 0.0)


def by_hand() -> None:
    """The same derivatives, one node after the other."""
    print("a neuron, backpropagated by hand")
    o, leaves = neuron()
    show("o", o.data, 0.7071067811865477)
    o.grad = 1.0
    steps = [o]
    while steps:  # operands after the nodes they went into: this graph is a tree
        node = steps.pop(0)
        node._backward()
        steps += node.operands
    for v, expected in zip(leaves, EXPECTED):
        show(f"do/d{v.label}", v.grad, expected)


def by_backward() -> Value:
    print("the same, by backward()")
    o, leaves = neuron()
    o.backward()
    for v, expected in zip(leaves, EXPECTED):
        show(f"do/d{v.label}", v.grad, expected)
    return o


def tanh_by_parts() -> None:
    """tanh(n) = (e**2n - 1) / (e**2n + 1), in operations of Value."""
    print("tanh by parts")
    x1, x2, w1, w2 = Value(2.0), Value(0.0), Value(-3.0), Value(1.0)
    n = x1 * w1 + x2 * w2 + 6.8813735870195432
    e = (2 * n).exp()
    o = (e - 1) / (e + 1)
    o.backward()
    show("o", o.data, math.tanh(n.data))
    for name, v, expected in zip(("x1", "w1", "x2", "w2"), (x1, w1, x2, w2), EXPECTED):
        show(f"do/d{name}", v.grad, expected)


def against_torch() -> None:
    try:
        import torch
    except ImportError:
        print("torch is not installed: not compared")
        return
    print("the same in torch")
    x1, w1, x2, w2, b = (
        torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (2.0, -3.0, 0.0, 1.0, 6.8813735870195432)
    )
    o = torch.tanh(x1 * w1 + x2 * w2 + b)
    o.backward()
    ours, leaves = neuron()
    ours.backward()
    show("o", ours.data, o.item())
    for v, theirs in zip(leaves, (x1, w1, x2, w2)):
        show(f"do/d{v.label}", v.grad, theirs.grad.item())


XS = [[2.0, 3.0, -1.0], [3.0, -1.0, 0.5], [0.5, 1.0, 1.0], [1.0, 1.0, -1.0]]
YS = [1.0, -1.0, -1.0, 1.0]


def training(steps: int) -> MLP:
    """The lecture's network on its four samples, tanh everywhere."""
    print("a network of 41 parameters")
    model = MLP(3, [4, 4, 1], activation="tanh", output_activation="tanh", bias_init="uniform", seed=1337)
    assert len(model.parameters()) == 41
    show("first output", model(XS[0]).data, 0.42767811248845455)
    print("training it")
    losses = []
    for _ in range(steps):
        predictions = [model(x) for x in XS]
        loss = sum((prediction - y) ** 2 for y, prediction in zip(YS, predictions))
        model.zero_grad()
        loss.backward()
        for p in model.parameters():
            p.data -= 0.05 * p.grad
        losses.append(loss.data)
    published = {0: 6.005402783252284, 1: 4.448280639552251, 9: 0.846993055647186, 39: 0.01722918670374716}
    for k, expected in published.items():
        if k < steps:
            show(f"loss {k}", losses[k], expected, 1e-9)
    print("  predictions             ", *(f"{model(x).data: .4f}" for x in XS))
    return model


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="The walk through micrograd's lecture notebook, on pygrad.")
    parser.add_argument("--steps", type=int, default=40, help="training steps (default 40)")
    parser.add_argument("--pictures", metavar="DIR", help="also draw the graphs, as SVG, into this folder")
    options = parser.parse_args(argv)
    pictures: list[tuple[str, Callable[[], Value] | Value]] = []
    pictures.append(("expression.svg", expression()))
    by_hand()
    pictures.append(("neuron.svg", by_backward()))
    tanh_by_parts()
    against_torch()
    model = training(options.steps)
    pictures.append(("network.svg", model(XS[0])))
    if options.pictures:
        os.makedirs(options.pictures, exist_ok=True)
        for name, root in pictures:
            path = os.path.join(options.pictures, name)
            pygrad.draw(root).save(path)
            print("drew", path)


if __name__ == "__main__":
    main()
