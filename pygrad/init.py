"""Initialisers: how the first weights of a neuron are drawn. Numbers only; knows no Value.

An initialiser is a function (rng, nin, nout) -> float, called once a weight; nin and nout are the numbers of inputs and
of outputs of the layer. The generator is Python's `random` (or a NumPy one that is given), so a seed gives the same
weights on every backend. `drawn` gives as many draws as an array wants, the very numbers that single draws would give.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

Initialiser = Callable[[Any, int, int], float]


def _gauss(rng: Any, deviation: float) -> float:
    """A draw from the normal distribution about 0. NumPy's generators call it `normal`."""
    number: float = rng.gauss(0.0, deviation) if hasattr(rng, "gauss") else rng.normal(0.0, deviation)
    return number


def _uniform(rng: Any, limit: float) -> float:
    """A draw from U(-limit, limit)."""
    number: float = rng.uniform(-limit, limit)
    return number


def uniform(rng: Any, nin: int, nout: int) -> float:
    """U(-1, 1), as micrograd."""
    return _uniform(rng, 1.0)


def xavier_uniform(rng: Any, nin: int, nout: int) -> float:
    """U(-a, a), a = sqrt(6 / (nin + nout)): Glorot and Bengio 2010, equation 16."""
    return _uniform(rng, math.sqrt(6.0 / max(nin + nout, 1)))


def xavier_normal(rng: Any, nin: int, nout: int) -> float:
    """N(0, 2 / (nin + nout)): the variance of Glorot and Bengio 2010, equation 12."""
    return _gauss(rng, math.sqrt(2.0 / max(nin + nout, 1)))


def he_uniform(rng: Any, nin: int, nout: int) -> float:
    """U(-a, a), a = sqrt(6 / nin): the variance of He et al. 2015, for relu."""
    return _uniform(rng, math.sqrt(6.0 / max(nin, 1)))


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


# ---- many draws at once ----


def uniforms(rng: Any, count: int) -> NDArray[Any]:
    """`count` numbers of U(0, 1): those of as many calls of rng.uniform(0, 1), and the same state of rng afterwards."""
    import numpy as np

    if rng is random or type(rng) is random.Random:
        # random() takes 27 and 26 bits of two words of 32 bits (Python's _randommodule.c)
        words = np.frombuffer(rng.randbytes(8 * count), "<u4")
        return ((words[::2] >> 5) * 67108864.0 + (words[1::2] >> 6)) / 9007199254740992.0
    if _draws_arrays(rng):
        return np.asarray(rng.uniform(0.0, 1.0, count))
    return np.array([rng.uniform(0.0, 1.0) for _ in range(count)], np.float64)


def _draws_arrays(rng: Any) -> bool:
    """Whether it is one of NumPy's generators, whose methods draw many numbers as they draw one."""
    return type(rng).__module__.partition(".")[0] == "numpy"


class _Arrays:
    """A generator that draws an array of `count` numbers where `rng` draws one."""

    def __init__(self, rng: Any, count: int) -> None:
        self._rng, self._count = rng, count

    def uniform(self, low: float, high: float) -> NDArray[Any]:
        if _draws_arrays(self._rng):
            numbers: NDArray[Any] = self._rng.uniform(low, high, self._count)
            return numbers
        return low + (high - low) * uniforms(self._rng, self._count)

    def gauss(self, mean: float, deviation: float) -> NDArray[Any]:
        import numpy as np

        draw = self._rng.gauss if hasattr(self._rng, "gauss") else self._rng.normal
        if _draws_arrays(self._rng):
            return np.asarray(draw(mean, deviation, self._count))
        return np.array([draw(mean, deviation) for _ in range(self._count)], np.float64)


def drawn(given: Initialiser, rng: Any, nin: int, nout: int, count: int) -> NDArray[Any]:
    """`count` draws, shape (count,): the numbers that as many calls of the initialiser give, one after the other.

    Its own initialisers are drawn at once, which is fast for the uniform ones, and for all with a generator of NumPy's.
    """
    import numpy as np

    numbers: Any
    if given in INITIALISERS.values():
        numbers = given(_Arrays(rng, count), nin, nout)
    else:
        numbers = [given(rng, nin, nout) for _ in range(count)]
    return np.broadcast_to(np.asarray(numbers, np.float64), (count,))
