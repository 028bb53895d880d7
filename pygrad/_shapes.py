"""Pictures of circles, squares and triangles: how pygrad.data.make_shapes draws them, pixel by pixel.

Drawn with arithmetic that is the same everywhere, from Python's `random`. Draws nothing else, and shows nothing.
"""

from __future__ import annotations

import random
from typing import Any

import numpy as np
from numpy.typing import NDArray

_PLACES = ((0.27, 0.27), (0.73, 0.27), (0.27, 0.73), (0.73, 0.73))
"""Centres of the quarters, a little inwards, in widths of the picture."""

_OTHERS = ("square", "triangle")

# Of equal area, so that brightness does not tell: half a square's side, and an upright triangle's circumradius,
# in radii of the circle.
_HALF_SIDE = 0.886227
_CIRCUMRADIUS = 1.555121
_ROOT_OF_3 = 1.7320508


def pictures(count: int, size: int, rng: random.Random) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Pictures of shape (count, size, size, 3), and whether each has a circle, 0 or 1; half, rounded up, have."""
    labels = [int(i < (count + 1) // 2) for i in range(count)]
    rng.shuffle(labels)
    images = np.empty((count, size, size, 3), np.uint8)
    for image, label in zip(images, labels):
        image[:] = _picture(size, label, rng)
    return images, np.array(labels, np.int64)


def _picture(size: int, label: int, rng: random.Random) -> NDArray[np.uint8]:
    """Two or three bright shapes on a dark ground, in different quarters, with noise of up to 30 on everything."""
    image = np.empty((size, size, 3))
    image[:] = [rng.uniform(0.0, 60.0) for _ in range(3)]
    places = rng.sample(_PLACES, rng.randint(2, 3))
    kinds = [rng.choice(("circle", *_OTHERS) if label else _OTHERS) for _ in places]
    if label:
        kinds[rng.randrange(len(kinds))] = "circle"
    for (x, y), kind in zip(places, kinds):
        centre = [(at + rng.uniform(-0.03, 0.03)) * size for at in (x, y)]
        inside = _inside(kind, size, centre, rng.uniform(0.15, 0.18) * size)
        image[inside] = [rng.uniform(130.0, 255.0) for _ in range(3)]
    noise = np.frombuffer(rng.randbytes(image.size), np.uint8).reshape(image.shape) / 255.0
    return np.minimum(image + 30.0 * noise, 255.0).astype(np.uint8)


def _inside(kind: str, size: int, centre: list[float], radius: float) -> Any:
    """Which pixels' middles are in a shape: bools of shape (size, size)."""
    middles = np.arange(size) + 0.5
    dx, dy = middles[None, :] - centre[0], middles[:, None] - centre[1]
    if kind == "circle":
        return dx * dx + dy * dy <= radius * radius
    if kind == "square":
        return (np.abs(dx) <= _HALF_SIDE * radius) & (np.abs(dy) <= _HALF_SIDE * radius)
    top = _CIRCUMRADIUS * radius
    return (dy <= 0.5 * top) & (_ROOT_OF_3 * np.abs(dx) <= dy + top)
