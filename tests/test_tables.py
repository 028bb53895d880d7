"""Models of a table, from Python: the same predictions as the command line's, from the same raw numbers."""

from __future__ import annotations

import csv
import subprocess
import sys

import numpy as np
import pytest

import pygrad
from pygrad import backends
from pygrad.data import make_blobs

NAMES = ["cat", "dog", "horse"]


@pytest.fixture
def folder(tmp_path):
    X, y = make_blobs(60, classes=3, seed=1)
    with open(tmp_path / "data.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["weight", "animal", "height"])
        writer.writerows([100 + 30 * a, NAMES[c], b] for (a, b), c in zip(X, y))
    return tmp_path


def command(folder, *arguments):
    done = subprocess.run(
        [sys.executable, "-m", "pygrad", *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def predicted(folder):
    """The rows of raw numbers, and what the command line predicts for them."""
    with open(folder / "data.csv", newline="", encoding="utf-8") as file:
        rows = [[float(row["weight"]), float(row["height"])] for row in csv.DictReader(file)]
    return rows, list(csv.reader(command(folder, "predict", "m.npz", "data.csv").splitlines()))[1:]


def test_classes(folder, backend):
    out = command(folder, "train", "data.csv", "--target", "animal", "--epochs", "5", "--save", "m.npz")
    assert "pygrad.load_table('m.npz').predict(rows)" in out
    rows, expected = predicted(folder)
    table = pygrad.load_table(folder / "m.npz", backend=backend)
    assert (table.features, table.target, table.classes) == (["weight", "height"], "animal", NAMES)
    assert table.predict(rows) == [row[0] for row in expected]
    assert table.predict(np.array(rows)) == table.predict(rows)
    assert table.predict([{"height": b, "weight": a, "more": 1} for a, b in rows]) == table.predict(rows)
    assert table.predict_proba(rows).tolist() == [[float(x) for x in row[1:]] for row in expected]
    assert table.predict([]) == []
    assert table.predict_proba([]).shape == (0, 3)
    assert repr(table) == "TableModel('animal' from 'weight', 'height')"


@pytest.mark.parametrize("options", [["--loss", "hinge"], ["--loss", "binary_cross_entropy_with_logits"]])
def test_two_classes(folder, options):
    text = (folder / "data.csv").read_text(encoding="utf-8").replace("horse", "dog")
    (folder / "data.csv").write_text(text, encoding="utf-8")
    command(folder, "train", "data.csv", "--target", "animal", "--epochs", "5", "--save", "m.npz", *options)
    rows, expected = predicted(folder)
    table = pygrad.load_table(folder / "m.npz")
    assert table.predict(rows) == [row[0] for row in expected]
    if "hinge" in options:
        with pytest.raises(ValueError, match="a model trained with hinge gives no probabilities"):
            table.predict_proba(rows)
    else:
        assert table.predict_proba(rows).tolist() == [[float(x) for x in row[1:]] for row in expected]


def test_regression(folder):
    options = ["--target", "height", "--features", "weight", "--epochs", "5", "--save", "m.npz"]
    command(folder, "train", "data.csv", *options)
    rows, expected = predicted(folder)
    table = pygrad.load_table(folder / "m.npz")
    assert table.classes == []
    assert table.predict([[weight] for weight, _ in rows]) == [float(row[0]) for row in expected]


def test_wrong_rows_and_files(folder):
    command(folder, "train", "data.csv", "--target", "animal", "--epochs", "1", "--save", "m.npz")
    table = pygrad.load_table(folder / "m.npz")
    for rows, error, message in [
        ([[1.0, 2.0], [1.0]], ValueError, "row 1 has 1 numbers, but the model takes 2: 'weight', 'height'"),
        ([["1", 2.0]], TypeError, "row 0, 'weight' must be a number, not str"),
        ([3.0, 4.0], TypeError, "row 0 must be a sequence of numbers or a mapping, not float"),
        ([{"weight": 1.0}], KeyError, "row 0 has no 'height'"),
    ]:
        with pytest.raises(error, match=message):
            table.predict(rows)
    with pytest.warns(UserWarning, match=r"takes scaled columns of a table; pygrad\.load_table"):
        pygrad.load(folder / "m.npz")
    pygrad.MLP(2, [1], backend=backends.NAMES[0]).save(folder / "plain.npz")
    with pytest.raises(ValueError, match=r"plain\.npz: it has no description of its columns"):
        pygrad.load_table(folder / "plain.npz")
