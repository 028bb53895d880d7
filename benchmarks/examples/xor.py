"""XOR twice: linear regression cannot do it, a relu network can (Goodfellow, Bengio and Courville, Deep Learning, 6.1).

The regression ends at 1/2 for every input. The network is first given the book's weights, which solve it exactly, and
then trained from random ones.
"""

from __future__ import annotations

import argparse

from pygrad import MLP, losses
from pygrad.data import make_xor

X = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]
Y = [0.0, 1.0, 1.0, 0.0]


def outputs(model: MLP) -> str:
    return "  ".join(f"{model(x).data:.6f}" for x in X)


def regression(epochs: int) -> None:
    model = MLP(2, [1], init="zeros")
    for epoch in range(epochs + 1):
        loss = losses.mse([model(x) for x in X], Y)
        if epoch in (0, epochs):
            print(f"  after {epoch:4d} epochs  loss {loss.data:.15f}")
        if epoch == epochs:
            break
        model.zero_grad()
        loss.backward()
        for p in model.parameters():
            p.data -= 0.01 * p.grad
    w1, w2, b = (p.data for p in model.parameters())
    print(f"  weights {w1!r} {w2!r}, bias {b!r}")
    print(f"  outputs {outputs(model)}")


def given_weights() -> None:
    model = MLP(
        2, [2, 1], weights=[[[1, 1], [1, 1]], [[1, -2]]], biases=[[0, -1], [0]]
    )  # relu on the hidden layer, none on the output
    print(f"  outputs {outputs(model)}")
    assert [model(x).data for x in X] == Y


def trained(epochs: int) -> None:
    points, labels = make_xor(200, noise=0.0, seed=1)
    model = MLP(2, [8, 1], init="he", seed=3)
    history = model.fit(points, labels, loss="hinge", optimizer="adam", lr=0.02, epochs=epochs, batch_size=20, seed=0)
    print(f"  loss {history['loss'][0]:.4f} falls to {history['loss'][-1]:.4f}")
    print(f"  accuracy {model.score(points, labels):.1%}")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="XOR by linear regression, and by a relu network.")
    parser.add_argument("--epochs", type=int, default=1000, help="of the regression (default 1000)")
    parser.add_argument("--training", type=int, default=40, help="epochs of the network (default 40)")
    options = parser.parse_args(argv)
    print("linear regression")
    regression(options.epochs)
    print("a relu network with the book's weights")
    given_weights()
    print("a relu network, trained on points of four quadrants")
    trained(options.training)


if __name__ == "__main__":
    main()
