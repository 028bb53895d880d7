"""Small data sets made by pygrad itself: seeded, the same on every machine, with no further package; and their splits.

Made with Python's `random`, not NumPy's, whose streams may change between versions. Real data, beyond the digits that
scikit-learn brings, is not read here, and nothing is downloaded.
"""

from __future__ import annotations

import math
import random
from collections.abc import Hashable, Iterable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from . import _checks

if TYPE_CHECKING:
    from numpy.typing import NDArray

Points = list[list[float]]

# ---- what the sets share ----


def _deviation(noise: Any) -> float:
    deviation = _checks.as_float(noise, "noise")
    if not deviation >= 0.0:
        raise ValueError(f"noise must be at least 0, not {noise!r}")
    return deviation


def _classes(n: Any) -> int:
    count = _checks.size(n, "classes")
    if count < 1:
        raise ValueError(f"classes must be at least 1, not {count}")
    return count


def _shares(count: int, parts: int) -> list[int]:
    """count in equal parts; the first ones get one more where it does not go into them."""
    return [count // parts + (i < count % parts) for i in range(parts)]


def _noisy(rng: random.Random, points: Iterable[tuple[list[float], int]], deviation: float) -> tuple[Points, list[int]]:
    """Labelled points moved by normal noise and shuffled; X and y."""
    moved = [([x + rng.gauss(0.0, deviation) for x in point], label) for point, label in points]
    rng.shuffle(moved)
    return [x for x, _ in moved], [label for _, label in moved]


# ---- the sets ----


def make_moons(samples: int = 100, *, noise: float = 0.1, seed: int | None = 1337) -> tuple[Points, list[int]]:
    """Two interleaving half circles in the plane, as scikit-learn's make_moons draws them.

    The first is the upper half of the unit circle about (0, 0), the second the lower half of the one about
    (1, 0.5); points are evenly spaced along each, then moved by normal noise, and shuffled.

    samples: number of points; half of them (rounded down) on the first moon.
    noise: standard deviation of the noise in each coordinate.
    seed: of the generator; None for a different set each time.

    Returns (X, y): X a list of `samples` points [x0, x1], y their labels, -1 on the first moon, +1 on the second
    (the labels a max-margin loss wants).

    Raises TypeError or ValueError for a count that is no integer or negative, ValueError for a negative noise.
    """
    count, deviation = _checks.size(samples, "samples"), _deviation(noise)
    first = count // 2
    points = []
    for i in range(count):
        on_first = i < first
        n, k = (first, i) if on_first else (count - first, i - first)
        angle = math.pi * k / (n - 1) if n > 1 else 0.0
        x0, x1 = math.cos(angle), math.sin(angle)
        points.append(([x0, x1], -1) if on_first else ([1.0 - x0, 0.5 - x1], 1))
    return _noisy(random.Random(seed), points, deviation)  # not for cryptography


def make_circles(
    samples: int = 100, *, noise: float = 0.05, factor: float = 0.5, seed: int | None = 1337
) -> tuple[Points, list[int]]:
    """A circle within a circle, both about (0, 0), as scikit-learn's make_circles draws them.

    Points are evenly spaced along each, then moved by normal noise, and shuffled.

    samples: number of points; half of them (rounded down) on the outer circle.
    noise: standard deviation of the noise in each coordinate.
    factor: radius of the inner circle, from 0 to 1; the outer one's is 1.
    seed: of the generator; None for a different set each time.

    Returns (X, y) as make_moons does; labels are -1 on the outer circle, +1 on the inner one.

    Raises as make_moons does, and ValueError for a factor outside 0 to 1.
    """
    count, deviation = _checks.size(samples, "samples"), _deviation(noise)
    inner_radius = _checks.as_float(factor, "factor")
    if not 0.0 <= inner_radius <= 1.0:
        raise ValueError(f"factor must be from 0 to 1, not {factor!r}")
    points = []
    for radius, label, n in [(1.0, -1, count // 2), (inner_radius, 1, count - count // 2)]:
        for k in range(n):
            angle = 2.0 * math.pi * k / n
            points.append(([radius * math.cos(angle), radius * math.sin(angle)], label))
    return _noisy(random.Random(seed), points, deviation)


def make_blobs(
    samples: int = 100,
    *,
    classes: int | None = None,
    centres: Sequence[Sequence[float]] | None = None,
    noise: float = 1.0,
    seed: int | None = 1337,
) -> tuple[Points, list[int]]:
    """Round clouds of points, one a class, as scikit-learn's make_blobs draws them.

    samples: number of points, shared out evenly; the first classes get one more where they do not go into them.
    classes: number of classes; by default as many as there are centres, or 3.
    centres: of the clouds, points of one length, which need not be 2; by default drawn from the square of -10 to 10.
    noise: standard deviation of a cloud in each coordinate.
    seed: of the generator; None for a different set each time.

    Returns (X, y) as make_moons does; labels are 0 to classes - 1.

    Raises as make_moons does, and ValueError for no class, for another number of centres than of classes, and for
    centres of different lengths.
    """
    count, deviation = _checks.size(samples, "samples"), _deviation(noise)
    rng = random.Random(seed)
    if centres is None:
        parts = _classes(3 if classes is None else classes)
        points = [[rng.uniform(-10.0, 10.0) for _ in range(2)] for _ in range(parts)]
    else:
        points = [[_checks.as_float(x, f"centres[{i}]") for x in centre] for i, centre in enumerate(centres)]
        parts = _classes(len(points) if classes is None else classes)
        if parts != len(points):
            raise ValueError(f"there are {len(points)} centres, but {parts} classes: give only one of them")
        lengths = sorted({len(point) for point in points})
        if len(lengths) > 1:
            raise ValueError(f"centres must have the same number of coordinates, not {lengths[0]} and {lengths[-1]}")
    shares = enumerate(_shares(count, parts))
    return _noisy(rng, ((points[label], label) for label, n in shares for _ in range(n)), deviation)


def make_xor(samples: int = 100, *, noise: float = 0.1, seed: int | None = 1337) -> tuple[Points, list[int]]:
    """Points spread evenly over the square of -1 to 1, labelled by whether exactly one coordinate is negative.

    No straight line parts the classes. Labels are given before points are moved by normal noise, so that with noise
    some points lie on the wrong side of an axis. Shuffled.

    samples: number of points, shared out among the four quadrants; the first ones, counter-clockwise, get one more
        where they do not go into four.
    noise: standard deviation of the noise in each coordinate.
    seed: of the generator; None for a different set each time.

    Returns (X, y) as make_moons does; labels are +1 where exactly one coordinate is negative, -1 elsewhere.

    Raises as make_moons does.
    """
    count, deviation = _checks.size(samples, "samples"), _deviation(noise)
    rng = random.Random(seed)
    points = []
    quadrants = [(1.0, 1.0, -1), (-1.0, 1.0, 1), (-1.0, -1.0, -1), (1.0, -1.0, 1)]
    for (sign0, sign1, label), n in zip(quadrants, _shares(count, 4)):
        # 1 - random() is above 0: no point lies on an axis
        points += [([sign0 * (1.0 - rng.random()), sign1 * (1.0 - rng.random())], label) for _ in range(n)]
    return _noisy(rng, points, deviation)


def make_spirals(
    samples: int = 100,
    *,
    classes: int = 2,
    turns: float = 1.0,
    noise: float = 0.02,
    seed: int | None = 1337,
) -> tuple[Points, list[int]]:
    """Interleaved Archimedean spirals about (0, 0), one a class.

    Arm c holds the points of polar coordinates r and 2 pi (turns * r + c / classes), with r evenly spaced above 0 up
    to 1; they are then moved by normal noise, and shuffled.

    samples: number of points, shared out evenly; the first classes get one more where they do not go into them.
    classes: number of arms.
    turns: how often an arm winds about the centre; negative for clockwise.
    noise: standard deviation of the noise in each coordinate.
    seed: of the generator; None for a different set each time.

    Returns (X, y) as make_moons does; labels are 0 to classes - 1.

    Raises as make_moons does, and ValueError for no class and for turns that are not finite.
    """
    count, deviation, parts = _checks.size(samples, "samples"), _deviation(noise), _classes(classes)
    windings = _checks.as_float(turns, "turns")
    if not math.isfinite(windings):
        raise ValueError(f"turns must be a finite number, not {turns!r}")
    points = []
    for label, n in enumerate(_shares(count, parts)):
        for k in range(1, n + 1):
            radius = k / n
            angle = 2.0 * math.pi * (windings * radius + label / parts)
            points.append(([radius * math.cos(angle), radius * math.sin(angle)], label))
    return _noisy(random.Random(seed), points, deviation)


def make_shapes(
    samples: int = 100, *, size: int = 64, seed: int | None = 1337
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Coloured pictures of two or three shapes, circles, squares and triangles of equal area, labelled by whether there
    is a circle among them.

    Shapes are bright and the ground is dark; each shape is about the middle of another quarter of the picture, and its
    place, size and colour vary; noise is on everything. Half of the pictures, rounded up, have a circle; shuffled.

    samples: number of pictures. size: their width and height in pixels.
    seed: of the generator; None for a different set each time.

    Returns (X, y): X an array of uint8, shape (samples, size, size, 3), from 0 (dark) to 255, the last axis red, green
    and blue; y an array of int64, shape (samples,), 1 where there is a circle, else 0.

    Raises TypeError or ValueError for a count or size that is no integer or negative.
    """
    from ._shapes import pictures

    return pictures(_checks.size(samples, "samples"), _checks.size(size, "size"), random.Random(seed))


def load_digits() -> tuple[NDArray[Any], NDArray[Any]]:
    """The handwritten digits that come with scikit-learn: 1797 images of 8 by 8 pixels. Downloads nothing.

    Returns (X, y): X an array of float64, shape (1797, 64), each row an image row by row, from 0 (white) to 1 (ink);
    y an array of int64, shape (1797,), the digits 0 to 9.

    Raises ImportError if scikit-learn is not installed.
    """
    try:
        load = import_module("sklearn.datasets").load_digits  # by name: it has no types
    except ImportError as error:
        raise ImportError("load_digits needs scikit-learn: pip install scikit-learn (pygrad's extra [data])") from error
    import numpy as np

    images, digits = load(return_X_y=True)
    return np.asarray(images, np.float64) / 16.0, np.asarray(digits, np.int64)


# ---- what is done with them ----


def _taken(x: Any, indices: list[int]) -> Any:
    """The entries at these indices: an array of an array, a list of any other sequence."""
    if hasattr(x, "iloc"):
        return x.iloc[indices]  # pandas takes x[i] for a name, not a place
    return x[indices] if hasattr(x, "ndim") else [x[i] for i in indices]


def train_test_split(
    X: Any, y: Any, *, test: float = 0.2, seed: int | None = 1337, stratify: bool = False
) -> tuple[Any, Any, Any, Any]:
    """Shuffles labelled points and parts them in two: to train with, and to test with.

    X, y: sequences of one length, lists or arrays.
    test: the share that is to test with, between 0 and 1; rounded to whole points.
    seed: of the generator; None for a different split each time.
    stratify: whether each label is parted in that share, so that both parts hold labels alike; rounded label by label.

    Returns (X_train, X_test, y_train, y_test), as scikit-learn does: lists, or arrays or data frames where such
    were given.

    Raises ValueError for lengths that differ, for a share not between 0 and 1, and where a part would be empty.
    """
    share = _checks.as_float(test, "test")
    if not 0.0 < share < 1.0:
        raise ValueError(f"test must be between 0 and 1, not {test!r}: it is the share of points to test with")
    if len(X) != len(y):
        raise ValueError(f"there are {len(X)} points, but {len(y)} labels")
    rng = random.Random(seed)
    groups: dict[Hashable, list[int]] = {}
    for i, label in enumerate(y):
        groups.setdefault(label if stratify else None, []).append(i)
    training: list[int] = []
    testing: list[int] = []
    for indices in groups.values():
        rng.shuffle(indices)
        n = math.floor(share * len(indices) + 0.5)
        testing += indices[:n]
        training += indices[n:]
    if not training or not testing:
        raise ValueError(f"test={test!r} of {len(y)} points leaves {len(training)} to train and {len(testing)} to test")
    if stratify:
        rng.shuffle(training)
        rng.shuffle(testing)
    return _taken(X, training), _taken(X, testing), _taken(y, training), _taken(y, testing)


def standardize(
    X: Any, means: Sequence[float] | None = None, scales: Sequence[float] | None = None
) -> tuple[Any, list[float], list[float]]:
    """Each column of X less its mean, divided by its standard deviation (of the population; 1 where that is 0).

    X: points of one length, a list or an array.
    means, scales: one a column, to be used instead of X's own: those of the training points, for new ones.

    Returns (Z, means, scales): Z a list of lists, or an array where one was given.

    >>> Z, means, scales = standardize([[1.0, 5.0], [3.0, 5.0]])
    >>> Z, means, scales
    ([[-1.0, 0.0], [1.0, 0.0]], [2.0, 5.0], [1.0, 1.0])
    >>> standardize([[5.0, 7.0]], means, scales)[0]
    [[3.0, 2.0]]

    Raises ValueError for points of different lengths, for no points without means and scales, for means without
    scales, where their number is not that of the columns, and for a scale that is not above 0.
    """
    import numpy as np

    if (means is None) != (scales is None):
        raise ValueError("standardize takes both means and scales, or neither")
    try:
        points = np.asarray(X, np.float64)
    except ValueError:
        raise ValueError("standardize takes points that have the same number of coordinates") from None
    if points.ndim != 2:
        raise ValueError(f"standardize takes a list of points, not numbers in {points.ndim} dimensions")
    if means is None or scales is None:
        if not len(points):
            raise ValueError("standardize takes the means of at least one point")
        centre = _column_sums(points) / len(points)
        width = np.sqrt(_column_sums(np.square(points - centre)) / len(points))
        width[width == 0.0] = 1.0
    else:
        centre, width = np.asarray(means, np.float64), np.asarray(scales, np.float64)
        for name, given in (("means", centre), ("scales", width)):
            if given.shape != points.shape[1:]:
                raise ValueError(f"there are {given.size} {name} for {points.shape[1]} columns")
        if not np.all(width > 0.0):
            raise ValueError(f"scales must be above 0, not {width.tolist()}")
    standardized = (points - centre) / width
    return standardized if hasattr(X, "ndim") else standardized.tolist(), centre.tolist(), width.tolist()


def _column_sums(points: NDArray[Any]) -> NDArray[Any]:
    """Added row by row, so that the last bit is the same everywhere: how NumPy's own sum goes about it is open."""
    total: NDArray[Any] = points[0].copy()
    for row in points[1:]:
        total += row
    return total
