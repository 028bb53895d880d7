"""IEEE 754 arithmetic on floats that never raises, as C has it: a division by zero is infinite, a root of -1 is nan.

For derivatives and for the rules of optimisers; values of operations raise as Python's floats do. The functions
that the op table's derivatives use have the same names here and in _array_math, where they take arrays and graphs.
"""

from __future__ import annotations

import math

# ---- arithmetic ----


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


def is_complex_power(x: float, y: float) -> bool:
    """Whether x ** y is a complex number: a negative base, a fractional exponent."""
    return -math.inf < x < 0.0 and math.isfinite(y) and y != math.floor(y)


def power(x: float, y: float) -> float:
    """x ** y; nan where that is complex."""
    if is_complex_power(x, y):
        return math.nan
    try:
        return float(x**y)
    except ZeroDivisionError:  # 0 to a negative power: infinite, with the sign of x if y is odd
        return math.copysign(math.inf, x) if math.fmod(y, 2.0) == -1.0 else math.inf
    except OverflowError:
        return -math.inf if x < 0.0 and abs(math.fmod(y, 2.0)) == 1.0 else math.inf


def log(x: float) -> float:
    """Natural logarithm; -inf at 0, nan below."""
    if x == 0.0:
        return -math.inf
    return math.nan if x < 0.0 else math.log(x)


def exp(x: float) -> float:
    """e ** x."""
    try:
        return math.exp(x)
    except OverflowError:
        return math.inf


def sin(x: float) -> float:
    """Sine; nan at +-inf."""
    return math.nan if math.isinf(x) else math.sin(x)


def cos(x: float) -> float:
    """Cosine; nan at +-inf."""
    return math.nan if math.isinf(x) else math.cos(x)


# ---- choices ----


def where(condition: bool, x: float, y: float) -> float:
    """x if the condition holds, else y."""
    return x if condition else y


def equal(x: float, y: float) -> bool:
    """Whether x == y."""
    return x == y


def sign(x: float) -> float:
    """1, -1, or x itself if that is 0 or nan."""
    return 1.0 if x > 0.0 else -1.0 if x < 0.0 else x


# ---- functions that never overflow ----


def sigmoid(x: float) -> float:
    """1 / (1 + e ** -x)."""
    if x >= 0.0:
        return 1.0 / (1.0 + math.exp(-x))
    e = math.exp(x)
    return e / (1.0 + e)


def softplus(x: float) -> float:
    """log(1 + e ** x)."""
    return x + math.log1p(math.exp(-x)) if x > 0.0 else math.log1p(math.exp(x))


def normal_cdf(x: float) -> float:
    """Of the standard normal distribution: erfc(-x / sqrt 2) / 2."""
    return 0.5 * math.erfc(-x * 0.7071067811865476)


def normal_pdf(x: float) -> float:
    """Of the standard normal distribution: exp(-x**2 / 2) / sqrt(2 pi)."""
    return 0.3989422804014327 * math.exp(-0.5 * (x * x))
