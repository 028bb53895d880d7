"""Initialisers: how the first weights of a neuron are drawn. Numbers only; knows no Value.

An initialiser is a function (rng, nin, nout) -> float, called once a weight; nin and nout are the numbers of inputs and
of outputs of the layer. The generator is Python's `random` (or a NumPy one that is given), so a seed gives the same
weights on every backend.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

Initialiser = Callable[[Any, int, int], float]


def _gauss(rng: Any, deviation: float) -> float:
    """A draw from the normal distribution about 0. NumPy's generators call it `normal`."""
    draw = rng.gauss if hasattr(rng, "gauss") else rng.normal
    return float(draw(0.0, deviation))


def uniform(rng: Any, nin: int, nout: int) -> float:
    """U(-1, 1), as micrograd."""
    return float(rng.uniform(-1, 1))


def xavier_uniform(rng: Any, nin: int, nout: int) -> float:
    """U(-a, a), a = sqrt(6 / (nin + nout)): Glorot and Bengio 2010, equation 16."""
    a = math.sqrt(6.0 / max(nin + nout, 1))
    return float(rng.uniform(-a, a))


def xavier_normal(rng: Any, nin: int, nout: int) -> float:
    """N(0, 2 / (nin + nout)): the variance of Glorot and Bengio 2010, equation 12."""
    return _gauss(rng, math.sqrt(2.0 / max(nin + nout, 1)))


def he_uniform(rng: Any, nin: int, nout: int) -> float:
    """U(-a, a), a = sqrt(6 / nin): the variance of He et al. 2015, for relu."""
    a = math.sqrt(6.0 / max(nin, 1))
    return float(rng.uniform(-a, a))


def he_normal(rng: Any, nin: int, nout: int) -> float:
    """N(0, 2 / nin): He et al. 2015, equation 10, for relu."""
    return _gauss(rng, math.sqrt(2.0 / max(nin, 1)))


def scaled_normal(rng: Any, nin: int, nout: int) -> float:
    """N(0, 1 / nin): LeCun et al. 1998, section 4.6."""
    return _gauss(rng, math.sqrt(1.0 / max(nin, 1)))


def zeros(rng: Any, nin: int, nout: int) -> float:
    """0, and nothing is drawn."""
    return 0.0


INITIALISERS: dict[str, Initialiser] = {
    "uniform": uniform,
    "xavier": xavier_uniform,
    "xavier_uniform": xavier_uniform,
    "xavier_normal": xavier_normal,
    "he": he_normal,
    "he_uniform": he_uniform,
    "he_normal": he_normal,
    "normal": scaled_normal,
    "scaled_normal": scaled_normal,
    "zeros": zeros,
}


def initialiser(given: str | Initialiser, what: str) -> Initialiser:
    """The initialiser of a name, or the function itself. Raises ValueError or TypeError naming `what`."""
    if isinstance(given, str):
        if given not in INITIALISERS:
            raise ValueError(f"unknown {what}={given!r}: choose one of {', '.join(INITIALISERS)}, or give a function")
        return INITIALISERS[given]
    if not callable(given):
        raise TypeError(f"{what} must be a name or a function (rng, nin, nout), not {type(given).__name__}")
    return given


def generator(seed: int | None, rng: Any) -> Any:
    """The generator to draw from: `rng`, or a new one of `seed`, or Python's own `random`, as micrograd uses it.

    Raises ValueError if both are given, TypeError if rng cannot draw.
    """
    if rng is None:
        return random if seed is None else random.Random(seed)
    if seed is not None:
        raise ValueError("give seed= or rng=, not both")
    if not hasattr(rng, "uniform") or not (hasattr(rng, "gauss") or hasattr(rng, "normal")):
        raise TypeError(f"rng must be a random.Random or a numpy.random.Generator, not {type(rng).__name__}")
    return rng
