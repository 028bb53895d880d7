"""Handwritten digits (scikit-learn's, 8 x 8 pixels): MLP(64, [32, 10]) with `fit`, softmax cross-entropy, Adam.

With --save FILE the trained model is saved, loaded again, and compared; with --picture FILE the curves are drawn.
"""

from __future__ import annotations

import argparse

import pygrad
from pygrad import MLP
from pygrad.data import load_digits, train_test_split


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Trains a small network on handwritten digits.")
    parser.add_argument("--epochs", type=int, default=30, help="default 30")
    parser.add_argument("--samples", type=int, default=1797, help="how many of the 1,797 pictures to use")
    parser.add_argument("--save", metavar="FILE", help="save the model here (.npz or .safetensors)")
    parser.add_argument("--picture", metavar="FILE", help="draw loss and accuracy into this file")
    options = parser.parse_args(argv)

    X, y = load_digits()
    X_train, X_test, y_train, y_test = train_test_split(X[: options.samples], y[: options.samples], test=0.2, seed=0)
    model = MLP(64, [32, 10], init="he", seed=0)
    print(model.summary())
    history = model.fit(
        X_train, y_train, loss="cross_entropy", optimizer="adam", lr=0.005, epochs=options.epochs, batch_size=32, seed=0
    )
    for epoch in (0, len(history) - 1):
        print(f"epoch {epoch + 1:2d}  loss {history['loss'][epoch]:.6f}  accuracy {history['accuracy'][epoch]:.1%}")
    print(f"accuracy on {len(y_test)} pictures it has not seen: {model.score(X_test, y_test):.1%}")
    if options.save:
        model.save(options.save)
        again = pygrad.load(options.save)
        assert (again.predict_proba(X_test, loss="cross_entropy") == model.predict_proba(X_test)).all()
        print("saved, and loaded with equal bits:", options.save)
    if options.picture:
        history.plot()[0].figure.savefig(options.picture)
        print("drew", options.picture)


if __name__ == "__main__":
    main()
