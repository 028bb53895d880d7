"""Linear regression by gradient descent: a line through noisy points, beside the solution by least squares (NumPy)."""

from __future__ import annotations

import argparse
import random

import numpy as np

from pygrad import MLP, losses
from pygrad.optim import SGD


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Fits y = 2 x1 - 3 x2 + 0.5 to noisy samples.")
    parser.add_argument("--steps", type=int, default=500, help="steps of gradient descent (default 500)")
    parser.add_argument("--samples", type=int, default=50, help="samples (default 50)")
    options = parser.parse_args(argv)

    rng = random.Random(0)
    X = [[rng.uniform(-1, 1), rng.uniform(-1, 1)] for _ in range(options.samples)]
    y = [2.0 * a - 3.0 * b + 0.5 + rng.gauss(0, 0.1) for a, b in X]

    model = MLP(2, [1], init="zeros")  # one neuron without activation: w . x + b
    optimizer = SGD(model, lr=0.3)
    for k in range(options.steps):
        loss = losses.mse([model(x) for x in X], y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if k % max(options.steps // 5, 1) == 0:
            print(f"step {k:4d}  mean squared error {loss.data:.6f}")

    found = [p.data for p in model.parameters()]
    exact, *_ = np.linalg.lstsq(np.c_[np.array(X), np.ones(len(X))], np.array(y), rcond=None)
    print("by gradient descent", *(f"{v:.9f}" for v in found))
    print("by least squares   ", *(f"{v:.9f}" for v in exact))
    print(f"largest difference  {np.abs(np.array(found) - exact).max():.1e}")


if __name__ == "__main__":
    main()
