"""Data sets: where points lie, what options do, that sets without noise are scikit-learn's; splits and scaling."""

from __future__ import annotations

import math
import random
import statistics
import sys

import numpy as np
import pytest

from pygrad import _shapes
from pygrad.data import (
    load_digits,
    make_blobs,
    make_circles,
    make_moons,
    make_shapes,
    make_spirals,
    make_xor,
    standardize,
    train_test_split,
)

MAKERS = [make_moons, make_circles, make_blobs, make_xor, make_spirals]

# ---- all sets ----


@pytest.mark.parametrize("make", MAKERS)
def test_what_all_sets_share(make):
    X, y = make(101)
    assert (len(X), len(y)) == (101, 101)
    assert all(type(x) is list and len(x) == 2 and all(type(c) is float for c in x) for x in X)
    assert all(type(label) is int for label in y)
    assert sorted(set(y)) == {make_blobs: [0, 1, 2], make_spirals: [0, 1]}.get(make, [-1, 1])
    assert y != sorted(y)  # shuffled
    assert make(101) == make(101, seed=1337) == (X, y)
    assert make(101, seed=1) != (X, y)
    assert make(10, seed=None) != make(10, seed=None)
    assert make(0) == ([], [])
    assert len(make(1)[0]) == 1


@pytest.mark.parametrize("make", MAKERS)
def test_the_noise(make):
    deviation = 0.25
    clean, noisy = make(4000, noise=0, seed=5), make(4000, noise=deviation, seed=5)
    assert clean[1] == noisy[1]  # the same points, moved
    moves = [a - b for x, z in zip(clean[0], noisy[0]) for a, b in zip(x, z)]
    assert statistics.fmean(moves) == pytest.approx(0.0, abs=0.02)
    assert statistics.pstdev(moves) == pytest.approx(deviation, rel=0.05)
    assert abs(statistics.correlation(moves[::2], moves[1::2])) < 0.06


@pytest.mark.parametrize("make", MAKERS)
def test_wrong_options_of_all_sets(make):
    with pytest.raises(ValueError, match="noise must be at least 0, not -1"):
        make(10, noise=-1)
    with pytest.raises(ValueError, match="noise must be at least 0, not nan"):
        make(10, noise=math.nan)
    with pytest.raises(TypeError, match="noise must be a number, not str"):
        make(10, noise="1")
    with pytest.raises(ValueError, match="samples must be at least 0, not -3"):
        make(-3)
    with pytest.raises(TypeError, match="samples must be an integer, not float"):
        make(1.5)


# ---- each set ----


def test_moons():
    X, y = make_moons(100)
    assert (len(X), len(y), sum(y), set(y)) == (100, 100, 0, {-1, 1})
    assert make_moons(100) == (X, y)
    assert make_moons(100, seed=1) != (X, y)
    assert make_moons(10, seed=None) != make_moons(10, seed=None)
    assert make_moons(0) == ([], [])
    X, y = make_moons(7, noise=0)
    assert y.count(-1) == 3
    for (x0, x1), label in zip(X, y):
        centre = (0.0, 0.0) if label < 0 else (1.0, 0.5)
        assert math.hypot(x0 - centre[0], x1 - centre[1]) == pytest.approx(1.0)
        assert (x1 >= centre[1]) == (label < 0) or x1 == pytest.approx(centre[1])


def test_the_draws_of_moons():
    rng = random.Random(1)
    expected = []
    for x0, x1, label in [(1.0, 0.0, -1), (0.0, 0.5, 1), (2.0, 0.5 - math.sin(math.pi), 1)]:
        expected.append(([x0 + rng.gauss(0.0, 0.1), x1 + rng.gauss(0.0, 0.1)], label))
    rng.shuffle(expected)
    assert make_moons(3, seed=1) == ([x for x, _ in expected], [label for _, label in expected])


def test_circles():
    X, y = make_circles(9, noise=0, factor=0.25)
    assert y.count(-1) == 4
    for point, label in zip(X, y):
        assert math.hypot(*point) == pytest.approx(1.0 if label < 0 else 0.25)
    assert all(x == [0.0, 0.0] for x, label in zip(*make_circles(9, noise=0, factor=0)) if label > 0)
    for wrong in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match=f"factor must be from 0 to 1, not {wrong}"):
            make_circles(factor=wrong)


def test_blobs():
    X, y = make_blobs(8, noise=0)
    assert sorted(y) == [0, 0, 0, 1, 1, 1, 2, 2]
    centres = {label: x for x, label in zip(X, y)}
    assert all(x == centres[label] for x, label in zip(X, y))
    assert all(-10 <= c <= 10 for x in centres.values() for c in x)
    assert set(make_blobs(50, classes=5)[1]) == set(range(5))
    X, y = make_blobs(4, noise=0, centres=[[1, 2, 3], (4.0, 5.0, 6.0)])
    assert sorted(zip(y, X)) == [(0, [1.0, 2.0, 3.0])] * 2 + [(1, [4.0, 5.0, 6.0])] * 2
    assert make_blobs(4, noise=0, centres=[[1, 2, 3], (4.0, 5.0, 6.0)], classes=2) == (X, y)
    with pytest.raises(ValueError, match="there are 1 centres, but 2 classes"):
        make_blobs(centres=[[0, 0]], classes=2)
    with pytest.raises(ValueError, match="centres must have the same number of coordinates, not 1 and 2"):
        make_blobs(centres=[[0, 0], [1]])
    with pytest.raises(TypeError, match=r"centres\[1\] must be a number, not str"):
        make_blobs(centres=[[0], ["x"]])
    for options in ({"classes": 0}, {"centres": []}):
        with pytest.raises(ValueError, match="classes must be at least 1, not 0"):
            make_blobs(**options)
    with pytest.raises(TypeError, match="classes must be an integer, not float"):
        make_blobs(classes=2.0)


def test_xor():
    X, y = make_xor(1002, noise=0)
    assert all((x0 * x1 < 0) == (label > 0) and max(abs(x0), abs(x1)) <= 1 for (x0, x1), label in zip(X, y))
    quadrants = [(x0 > 0, x1 > 0) for x0, x1 in X]
    assert sorted(quadrants.count(q) for q in set(quadrants)) == [250, 250, 251, 251]
    # even over the square
    assert statistics.fmean(abs(x0) for x0, _ in X) == pytest.approx(0.5, abs=0.03)


def test_spirals():
    X, y = make_spirals(11, classes=3, turns=1.75, noise=0)
    for label, n in [(0, 4), (1, 4), (2, 3)]:
        arm = sorted((math.hypot(*x), x) for x, c in zip(X, y) if c == label)
        assert [r for r, _ in arm] == pytest.approx([k / n for k in range(1, n + 1)])
        for r, (x0, x1) in arm:
            turned = math.atan2(x1, x0) / (2 * math.pi) - 1.75 * r - label / 3
            assert turned - round(turned) == pytest.approx(0.0, abs=1e-12)
    assert all(x1 == pytest.approx(0.0, abs=1e-12) for _, x1 in make_spirals(10, turns=0, noise=0)[0])
    with pytest.raises(ValueError, match="turns must be a finite number, not inf"):
        make_spirals(turns=math.inf)
    with pytest.raises(ValueError, match="classes must be at least 1, not 0"):
        make_spirals(classes=0)


@pytest.mark.parametrize("samples", [1, 2, 7, 50])
def test_moons_circles_and_blobs_are_those_of_scikit_learn(samples):
    theirs = pytest.importorskip("sklearn.datasets")

    def same(mine, other, labels):
        points = sorted([labels.index(label), *x] for x, label in zip(*mine))
        expected = sorted([int(label), *x] for x, label in zip(other[0].tolist(), other[1]))
        assert [p[0] for p in points] == [p[0] for p in expected]
        # sorting breaks ties of rounding as it likes: each point has one near it
        for p in points:
            near = min(expected, key=lambda q, p=p: math.dist(p, q))
            assert math.dist(p, near) < 1e-12
            expected.remove(near)

    same(make_moons(samples, noise=0), theirs.make_moons(samples), [-1, 1])
    same(make_circles(samples, noise=0, factor=0.3), theirs.make_circles(samples, factor=0.3), [-1, 1])
    centres = [[1.0, 2.0], [-3.0, 0.5], [4.0, 4.0]]
    expected = theirs.make_blobs(samples, centers=np.array(centres), cluster_std=0.0)
    same(make_blobs(samples, noise=0, centres=centres), expected, [0, 1, 2])


def test_pictures_of_shapes():
    X, y = make_shapes(21, size=32)
    assert (X.shape, X.dtype) == ((21, 32, 32, 3), np.uint8)
    assert (y.shape, y.dtype) == ((21,), np.int64)
    assert y.sum() == 11
    assert y.tolist() != sorted(y)
    for seed, equal in [(1337, True), (1, False), (None, False)]:
        assert np.array_equal(make_shapes(21, size=32, seed=seed)[0], X) is equal
    assert make_shapes(0)[0].shape == (0, 64, 64, 3)
    assert make_shapes(2, size=0)[0].shape == (2, 0, 0, 3)
    assert X.min() < 60
    assert X.max() > 200
    for options in ({"samples": -1}, {"size": -1}):
        with pytest.raises(ValueError, match="must be at least 0, not -1"):
            make_shapes(**options)
    with pytest.raises(TypeError, match="size must be an integer, not float"):
        make_shapes(size=1.5)


def test_a_picture_is_labelled_by_what_is_drawn(monkeypatch):
    drawn = []

    def inside(kind, *shape, of=_shapes._inside):
        drawn[-1].append(kind)
        return of(kind, *shape)

    def picture(*options, of=_shapes._picture):
        drawn.append([])
        return of(*options)

    monkeypatch.setattr(_shapes, "_inside", inside)
    monkeypatch.setattr(_shapes, "_picture", picture)
    _, y = make_shapes(300, size=8, seed=2)
    assert [int("circle" in kinds) for kinds in drawn] == y.tolist()
    assert {len(kinds) for kinds in drawn} == {2, 3}
    assert {kind for kinds in drawn for kind in kinds} == {"circle", "square", "triangle"}


def test_shapes_have_equal_areas():
    areas = [_shapes._inside(kind, 1000, [500.0, 550.0], 180.0).mean() for kind in ("circle", "square", "triangle")]
    assert areas == pytest.approx([math.pi * 0.18**2] * 3, rel=0.01)


def test_digits(monkeypatch):
    theirs = pytest.importorskip("sklearn.datasets").load_digits()
    X, y = load_digits()
    assert (X.shape, X.dtype, y.shape, y.dtype) == ((1797, 64), np.float64, (1797,), np.int64)
    assert (X.min(), X.max()) == (0.0, 1.0)
    assert (theirs.data == X * 16).all()
    assert (y == theirs.target).all()
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ImportError, match=r"scikit-learn: pip install scikit-learn"):
        load_digits()


# ---- splits ----


def test_a_split_keeps_points_and_labels_together():
    X = [[float(i)] for i in range(25)]
    y = [i * 10 for i in range(25)]
    a, b, c, d = train_test_split(X, y)
    assert (len(a), len(b), len(c), len(d)) == (20, 5, 20, 5)
    assert [[10 * x[0]] for x in a + b] == [[label] for label in c + d]
    assert sorted(a + b) == X
    assert a + b != X  # shuffled
    assert train_test_split(X, y) == (a, b, c, d)
    assert train_test_split(X, y, seed=1) != (a, b, c, d)
    arrays = train_test_split(np.array(X), np.array(y))
    assert all(type(part) is np.ndarray for part in arrays)
    assert [part.tolist() for part in arrays] == [a, b, c, d]
    mixed = train_test_split(np.array(X), tuple(y))
    assert [type(part) for part in mixed] == [np.ndarray, np.ndarray, list, list]
    assert [[float(i)] for i in range(25)] == X  # as it was


def test_a_stratified_split():
    X = list(range(100))
    y = [0] * 70 + [1] * 20 + [2] * 10
    X_train, X_test, y_train, y_test = train_test_split(X, y, test=0.3, stratify=True)
    assert [y_test.count(k) for k in range(3)] == [21, 6, 3]
    assert [y_train.count(k) for k in range(3)] == [49, 14, 7]
    assert sorted(X_train + X_test) == X
    assert [y[i] for i in X_train + X_test] == y_train + y_test
    assert y_test != sorted(y_test)  # labels are mixed
    again = train_test_split(np.array(X), np.array(y), test=0.3, stratify=True)
    assert again[1].tolist() == X_test


def test_wrong_splits():
    for wrong in (0, 1, -0.1, 5, math.nan):
        with pytest.raises(ValueError, match=f"test must be between 0 and 1, not {wrong}"):
            train_test_split([1, 2], [1, 2], test=wrong)
    with pytest.raises(ValueError, match="there are 2 points, but 3 labels"):
        train_test_split([1, 2], [1, 2, 3])
    with pytest.raises(ValueError, match=r"test=0.2 of 2 points leaves 2 to train and 0 to test"):
        train_test_split([1, 2], [1, 2])
    with pytest.raises(ValueError, match=r"test=0.2 of 0 points leaves 0 to train and 0 to test"):
        train_test_split([], [])


# ---- scaling ----


def test_standardize():
    X = make_blobs(200, centres=[[5, 100, 0], [9, -40, 0]], noise=2.0)[0]
    X = [[x0, x1, 7.0] for x0, x1, _ in X]
    Z, means, scales = standardize(X)
    assert type(Z) is type(Z[0]) is type(means) is type(scales) is list
    for k in range(2):
        column = [x[k] for x in X]
        assert means[k] == pytest.approx(statistics.fmean(column))
        assert scales[k] == pytest.approx(statistics.pstdev(column))
        assert statistics.fmean(z[k] for z in Z) == pytest.approx(0.0, abs=1e-12)
        assert statistics.pstdev(z[k] for z in Z) == pytest.approx(1.0)
    assert (means[2], scales[2], {z[2] for z in Z}) == (7.0, 1.0, {0.0})
    array, *same = standardize(np.array(X))
    assert array.tolist() == Z
    assert same == [means, scales]
    assert standardize(X[:3], means, scales) == (Z[:3], means, scales)
    total = 0.0
    for x in X:
        total += x[1]
    assert means[1] == total / 200  # to the last bit: added in order


def test_wrong_uses_of_standardize():
    for wrong, message in [
        (([1.0, 2.0],), "a list of points, not numbers in 1 dimensions"),
        (([[1.0], [1.0, 2.0]],), "the same number of coordinates"),
        ((np.zeros((0, 2)),), "the means of at least one point"),
        (([[1.0]], [1.0]), "both means and scales, or neither"),
        (([[1.0]], [1.0, 2.0], [1.0]), "there are 2 means for 1 columns"),
        (([[1.0]], [1.0], [1.0, 2.0]), "there are 2 scales for 1 columns"),
        (([[1.0]], [1.0], [0.0]), r"scales must be above 0, not \[0.0\]"),
    ]:
        with pytest.raises(ValueError, match=message):
            standardize(*wrong)


def test_data_frames_are_split_by_place_not_by_name():
    class Frame(list):
        """Stands for pandas, whose x[...] takes names."""

        ndim = 2

        @property
        def iloc(self):
            return self

        def __getitem__(self, i):
            return Frame(list.__getitem__(self, k) for k in i) if isinstance(i, list) else list.__getitem__(self, i)

    class Named(Frame):
        def __getitem__(self, i):
            raise KeyError(i)

        @property
        def iloc(self):
            return Frame(self)

    X, y = [[i, -i] for i in range(10)], list(range(10))
    expected = train_test_split(X, y)
    assert list(map(list, train_test_split(Named(X), Named(y)))) == list(map(list, expected))
