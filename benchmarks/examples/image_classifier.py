"""A small tutorial with arrays: a network of layers 12288-20-7-5-1 tells whether there is a circle in a picture.

Pictures of 64 x 64 pixels in three colours, one row of numbers each; relu, and sigmoid at the end; mean binary
cross-entropy; gradient descent on all of them at once. With --digits the same on scikit-learn's handwritten digits:
odd against even. With --picture FILE, draws what was predicted for the pictures to test with.
"""

from __future__ import annotations

import argparse
import random
import time

import pygrad
from pygrad import losses, optim
from pygrad.data import load_digits, make_shapes, train_test_split
from pygrad.nn import Flatten, Linear, ReLU, Sequential, Sigmoid


def network(inputs, seed):
    rng = random.Random(seed)
    first, second = Linear(inputs, 20, init="normal", rng=rng), Linear(20, 7, init="normal", rng=rng)
    third, last = Linear(7, 5, init="normal", rng=rng), Linear(5, 1, init="normal", rng=rng)
    return Sequential(Flatten(), first, ReLU(), second, ReLU(), third, ReLU(), last, Sigmoid())


def train(model, X, y, iterations, rate):
    optimizer = optim.SGD(model, lr=rate)
    start = time.perf_counter()
    for i in range(iterations):
        cost = losses.binary_cross_entropy(model(X), y)
        optimizer.zero_grad()
        cost.backward()
        optimizer.step()
        if i % 100 == 0 or i == iterations - 1:
            print(f"cost after iteration {i}: {cost.data:.6f}")
    print(f"{1e3 * (time.perf_counter() - start) / max(iterations, 1):.3f} ms a step")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Is there a circle? A network on pictures, with array Values.")
    parser.add_argument("--digits", action="store_true", help="handwritten digits, odd against even, instead of shapes")
    parser.add_argument("--train", type=int, help="pictures to train with (default 209, of digits 1437)")
    parser.add_argument("--test", type=int, help="pictures to test with (default 50, of digits 360)")
    parser.add_argument("--size", type=int, default=64, help="width and height of a picture of shapes (default 64)")
    parser.add_argument("--iterations", type=int, default=2000, help="steps of gradient descent (default 2000)")
    parser.add_argument("--rate", type=float, help="learning rate (default 0.0075, of digits 0.1)")
    parser.add_argument("--seed", type=int, default=1, help="of the pictures and of the first weights (default 1)")
    parser.add_argument("--picture", metavar="FILE", help="draw test pictures, and what was predicted, into this file")
    options = parser.parse_args(argv)

    train_count, test_count, rate = (1437, 360, 0.1) if options.digits else (209, 50, 0.0075)
    train_count, test_count = options.train or train_count, options.test or test_count
    if options.digits:
        images, digits = load_digits()
        images, labels = images.reshape(-1, 8, 8), digits % 2
        count = train_count + test_count
        X, X_test, y, y_test = train_test_split(
            images[:count], labels[:count], test=test_count / count, seed=options.seed
        )
        names = ["even", "odd"]
    else:
        X, y = make_shapes(train_count, size=options.size, seed=options.seed)
        X_test, y_test = make_shapes(test_count, size=options.size, seed=options.seed + 1)
        X, X_test = X / 255.0, X_test / 255.0
        names = ["no circle", "circle"]

    model = network(X[0].size, seed=options.seed)
    print(model.summary())
    train(model, X, y, options.iterations, options.rate or rate)
    for what, pictures, labels in [("train", X, y), ("test", X_test, y_test)]:
        accuracy = model.score(pictures, labels, loss="binary_cross_entropy")
        print(f"accuracy on {len(labels)} pictures to {what} with: {accuracy:.1%}")
    if options.picture:
        predicted = model.predict(X_test, loss="binary_cross_entropy")
        ax = pygrad.plot.prediction_grid(X_test[:50], predicted[:50], y_test[:50], names=names)
        ax.figure.savefig(options.picture)
        print("drew", options.picture)


if __name__ == "__main__":
    main()
