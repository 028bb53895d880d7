"""Text in pictures: makes any string printable, shortens it, measures it, writes numbers.

What comes out holds no control character, so that it is legal in XML and in DOT once their own characters are
escaped, which the writers of those formats do. Widths are estimates from above: the viewer chooses the font.
"""

from __future__ import annotations

import math
import unicodedata
from typing import Any

FONT_SIZE = 12.0
"""In pixels."""

_NARROW = 0.62  # of the font size: a little more than any of the usual monospace fonts
_WIDE = 1.05  # for scripts that a monospace font may lack, and for ideographs
_PICTOGRAPH = 1.4


def printable(text: str) -> str:
    r"""The text with everything that does not print written as in a Python string: a newline as \n."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def shorten(text: str, columns: int = 28) -> str:
    """The text, cut to the width of so many Latin letters, with an ellipsis if anything was cut off."""
    room = columns * _NARROW
    used = 0.0
    for i, c in enumerate(text):
        used += _em(c)
        if used > room:
            return text[: max(i - 1, 0)] + "…"
    return text


def width(text: str) -> float:
    """An upper estimate of the text's width, in pixels."""
    total = 0.0
    for c in text:
        total += _em(c)
    return total * FONT_SIZE


def _em(c: str) -> float:
    if c in "…→" or ord(c) < 0x530:  # Latin, Greek, Cyrillic, and the signs that pygrad itself writes
        return 0.0 if unicodedata.combining(c) else _NARROW
    if unicodedata.combining(c):
        return 0.0
    return _PICTOGRAPH if ord(c) >= 0x1F000 else _WIDE


def number(x: Any, digits: int) -> str:
    """A number with so many decimals, or in scientific notation where these would hide or flood it.

    An array is described by its shape.
    """
    shape = getattr(x, "shape", ())
    if shape:
        return f"array {tuple(shape)}"
    x = float(x)
    if math.isfinite(x) and x != 0.0 and not 10.0**-digits <= abs(x) < 1e7:
        return f"{x:.{max(digits - 1, 0)}e}"
    return f"{x:.{digits}f}"


def interval(numbers: list[float], digits: int) -> str:
    """The least and the greatest of several numbers; a nan shows as such."""
    if any(math.isnan(x) for x in numbers):
        return "has nan"
    low, high = min(numbers), max(numbers)
    return number(low, digits) if low == high else f"{number(low, digits)} … {number(high, digits)}"
