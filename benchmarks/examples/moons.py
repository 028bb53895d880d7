"""micrograd's demo, on pygrad, the micrograd way: a loop over samples, a loop over parameters. Max-margin loss and L2.

With --picture FILE, draws the decision boundary (matplotlib). The data are pygrad's own two moons, seeded.
"""

from __future__ import annotations

import argparse
import random
import time

import pygrad
from pygrad import MLP
from pygrad.data import make_moons


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Trains MLP(2, [16, 16, 1]) on two moons.")
    parser.add_argument("--steps", type=int, default=100, help="training steps (default 100)")
    parser.add_argument("--samples", type=int, default=100, help="points (default 100)")
    parser.add_argument("--picture", metavar="FILE", help="draw the decision boundary into this file")
    options = parser.parse_args(argv)

    X, y = make_moons(options.samples, noise=0.1, seed=1337)
    random.seed(1337)
    model = MLP(2, [16, 16, 1])
    print(model.summary())

    start = time.perf_counter()
    accuracy = 0.0
    for k in range(options.steps):
        scores = [model(point) for point in X]
        losses = [(1 + -label * score).relu() for label, score in zip(y, scores)]
        loss = sum(losses) * (1.0 / len(losses)) + 1e-4 * sum(p * p for p in model.parameters())
        accuracy = sum((label > 0) == (score.data > 0) for label, score in zip(y, scores)) / len(y)
        model.zero_grad()
        loss.backward()
        rate = 1.0 - 0.9 * k / 100
        for p in model.parameters():
            p.data -= rate * p.grad
        if k % 10 == 0 or k == options.steps - 1:
            print(f"step {k:3d}  loss {loss.data:.6f}  accuracy {accuracy:.0%}")
    seconds = time.perf_counter() - start
    print(f"{1e3 * seconds / options.steps:.3f} ms a step")
    if options.picture:
        pygrad.plot.decision_boundary(model, X, y).figure.savefig(options.picture)
        print("drew", options.picture)


if __name__ == "__main__":
    main()
