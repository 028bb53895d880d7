"""IEEE 754 arithmetic that never raises, as C has it: a division by zero is infinite, a root of -1 is nan.

For derivatives and for the rules of optimisers. Values of operations raise as Python's floats do.
"""

from __future__ import annotations

import math


def divide(x: float, y: float) -> float:
    """x / y."""
    if y == 0.0:
        if x == 0.0 or math.isnan(x):
            return math.nan
        return math.copysign(math.inf, x) * math.copysign(1.0, y)
    return x / y


def square_root(x: float) -> float:
    """The square root of x; nan below 0."""
    return math.nan if x < 0.0 else math.sqrt(x)
