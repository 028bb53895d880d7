"""Small data sets made by pygrad itself: seeded, the same on every machine, with no further package.

Made with Python's `random`, not NumPy's, whose streams may change between versions.
"""

from __future__ import annotations

import math
import random

from . import _checks


def make_moons(
    samples: int = 100, *, noise: float = 0.1, seed: int | None = 1337
) -> tuple[list[list[float]], list[int]]:
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
    count = _checks.size(samples, "samples")
    deviation = _checks.as_float(noise, "noise")
    if not deviation >= 0.0:
        raise ValueError(f"noise must be at least 0, not {noise!r}")
    rng = random.Random(seed)  # not for cryptography
    first = count // 2
    points = []
    for i in range(count):
        on_first = i < first
        n, k = (first, i) if on_first else (count - first, i - first)
        angle = math.pi * k / (n - 1) if n > 1 else 0.0
        x0, x1 = math.cos(angle), math.sin(angle)
        if not on_first:
            x0, x1 = 1.0 - x0, 0.5 - x1
        points.append(([x0 + rng.gauss(0.0, deviation), x1 + rng.gauss(0.0, deviation)], -1 if on_first else 1))
    rng.shuffle(points)
    return [x for x, _ in points], [label for _, label in points]
