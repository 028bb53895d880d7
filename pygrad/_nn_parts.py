"""Parts of networks without parameters, for scalars and arrays alike: activations, Softmax, Dropout; and Sequential.

Of a Value or number they give one, of a list a list, of an array Value an array Value, of an array of numbers one. What
they compute is the op table's and the array rules' business.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import _checks, _tracing, backends, functions
from ._checks import is_value
from ._lazy import array_functions
from ._module import Module
from .init import generator, uniforms


def _is_numbers(x: Any) -> bool:
    """Whether x is an array of plain numbers, with an axis at least."""
    return getattr(x, "ndim", 0) > 0 and not is_value(x) and getattr(getattr(x, "dtype", None), "kind", "O") in "fiub"


def _is_array(x: Any) -> bool:
    """Whether x is an array: of plain numbers, or an array Value."""
    return bool(x._holds_array) if is_value(x) else _is_numbers(x)


# ---- activations ----


class Activation(Module):
    """An op of one operand as a module: of a Value, number, array, or each item of (nested) lists."""

    _op: str
    _constant: str | None = None

    def __call__(self, x: Any) -> Any:
        constants = () if self._constant is None else (getattr(self, self._constant),)
        if is_value(x):
            return getattr(x, self._op)(*constants)
        if isinstance(x, (list, tuple)) or (getattr(x, "ndim", 0) > 0 and not _is_numbers(x)):
            return [self(item) for item in x]
        return getattr(functions, self._op)(x, *constants)

    def architecture(self) -> dict[str, Any]:
        described: dict[str, Any] = {"type": type(self).__name__}
        if self._constant is not None:
            described[self._constant] = getattr(self, self._constant)
        return described

    def __repr__(self) -> str:
        return f"{type(self).__name__}({'' if self._constant is None else repr(getattr(self, self._constant))})"


class ReLU(Activation):
    """max(x, 0)."""

    _op = "relu"


class Sigmoid(Activation):
    """1 / (1 + e ** -x)."""

    _op = "sigmoid"


class Tanh(Activation):
    """The hyperbolic tangent."""

    _op = "tanh"


class LeakyReLU(Activation):
    """x where x > 0, else negative_slope * x."""

    _op, _constant = "leaky_relu", "negative_slope"

    def __init__(self, negative_slope: float = 0.01) -> None:
        self.negative_slope = _checks.as_float(negative_slope, "negative_slope")


class ELU(Activation):
    """x where x > 0, else alpha * (e ** x - 1)."""

    _op, _constant = "elu", "alpha"

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = _checks.as_float(alpha, "alpha")


class SiLU(Activation):
    """x * sigmoid(x)."""

    _op = "silu"


class GELU(Activation):
    """x * Phi(x), Phi the standard normal distribution function."""

    _op = "gelu"


class Softplus(Activation):
    """log(1 + e ** x)."""

    _op = "softplus"


# ---- what looks at several entries, or draws ----


class Softmax(Module):
    """Probabilities from logits: e ** x_i / sum of e ** x_j, which never overflows.

    Takes a sequence of Values or numbers, and gives as many Values (numbers for numbers), as e ** (x_i - logsumexp(x));
    or an array Value, or an array, along whose `axis` the logits of a sample lie. For training, use
    losses.cross_entropy on the logits instead.
    """

    def __init__(self, axis: int = -1) -> None:
        self.axis = _axis(axis)

    def __call__(self, x: Any) -> Any:
        if _is_array(x):
            return array_functions.softmax(x, self.axis)
        values = list(x)
        if values and _is_array(values[0]):
            return array_functions.softmax(array_functions.stack(values), self.axis)
        total = functions.logsumexp(values)
        return [functions.exp(v - total) for v in values]

    def architecture(self) -> dict[str, Any]:
        return {"type": "Softmax"} if self.axis == -1 else {"type": "Softmax", "axis": self.axis}

    def __repr__(self) -> str:
        return f"Softmax({'' if self.axis == -1 else f'axis={self.axis}'})"


def _axis(given: Any) -> int:
    if isinstance(given, bool) or not hasattr(type(given), "__index__"):
        raise TypeError(f"axis must be an integer, not {given!r}")
    return int(given)


class Dropout(Module):
    """In training, sets each of its inputs to 0 with probability p, and multiplies the others by 1 / (1 - p), so that
    their expectation stays (Srivastava et al. 2014, inverted). In evaluation mode gives them as they are.

    Takes one Value, a sequence of Values or numbers, an array Value or an array. seed, rng: of the draws; by default
    Python's `random`. For each entry a number of U(0, 1) is drawn, in the order of rows, and the entry is kept if that
    is at least p: the same numbers for an array as for its entries one by one.

    Raises ValueError for a p outside [0, 1).
    """

    def __init__(self, p: float = 0.5, *, seed: int | None = None, rng: Any = None) -> None:
        self.p = _checks.fraction(p, "p")
        self._rng = generator(seed, rng)

    def __call__(self, x: Any) -> Any:
        if not self.training or self.p == 0.0:
            return x
        if _tracing.here():
            raise _tracing.error(
                f"{self!r} in training mode draws random numbers, which a program would repeat for every sample: call "
                f"eval() on the model before it is compiled"
            )
        if is_value(x) or _is_numbers(x):
            return self._dropped(x)
        return [self._dropped(v) for v in x]

    def _dropped(self, v: Any) -> Any:
        """Of one Value, number or array."""
        scale = 1.0 / (1.0 - self.p)
        if _is_array(v):
            kept = uniforms(self._rng, v.size).reshape(v.shape) >= self.p
            return v * (kept.astype(v.dtype if v.dtype.kind == "f" else float) * scale)
        if self._rng.uniform(0.0, 1.0) >= self.p:
            return v * scale
        return backends.type_of(v)(0.0) if is_value(v) else 0.0

    def architecture(self) -> dict[str, Any]:
        return {"type": "Dropout", "p": self.p}

    def __getstate__(self) -> dict[str, Any]:
        # the module `random` cannot be copied, and needs not be
        state = vars(self).copy()
        if self._rng is generator(None, None):
            del state["_rng"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        vars(self).setdefault("_rng", generator(None, None))

    def __repr__(self) -> str:
        return f"Dropout({self.p!r})"


class Sequential(Module):
    """Modules (or functions) one after the other: each is called with what the one before gave."""

    def __init__(self, *modules: Callable[[Any], Any]) -> None:
        for module in modules:
            if not callable(module):
                raise TypeError(f"Sequential takes modules and functions, not {type(module).__name__}")
        self.parts: list[Any] = list(modules)

    def __call__(self, x: Any) -> Any:
        for part in self.parts:
            x = part(x)
        return x

    def architecture(self) -> dict[str, Any]:
        for part in self.parts:
            if not isinstance(part, Module):
                raise TypeError(f"Sequential has a function of your own ({part!r}), which cannot be described")
        return {"type": "Sequential", "parts": [part.architecture() for part in self.parts]}

    def __repr__(self) -> str:
        return f"Sequential({', '.join(map(repr, self.parts))})"
