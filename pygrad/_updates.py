"""The rules of the optimisers in plain Python: the specification that csrc/optim.c equals to the last bit.

A rule says where one parameter x goes, given its gradient g, the numbers the optimiser remembers of it, and the
settings. The formulas are those of torch.optim. x, g and state are floats or arrays of one shape, and m is the
mathematics for them: `_ieee` or `_array_math`. `Updates` applies the rules to many Values of the reference, and is what
every backend offers, under these names, for many parameters at once; see pygrad/_parameters.py for its use.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from . import _ieee, _tracing

State = list[Any]
"""What the optimiser remembers of one parameter. A rule puts new numbers, or new arrays, in their places."""


def sgd(
    m: Any, x: Any, g: Any, state: State, lr: float, momentum: float, nesterov: float, weight_decay: float
) -> Any:
    """Gradient descent: x - lr g; with momentum (Polyak 1964) along v = momentum v + g instead of g, or, as
    Sutskever et al. 2013 put Nesterov's, along g + momentum v. weight_decay adds the gradient of
    weight_decay / 2 x**2."""
    if weight_decay != 0.0:
        g = g + weight_decay * x
    if momentum == 0.0:
        return x - lr * g
    v = state[0] = momentum * state[0] + g
    return x - lr * (g + momentum * v if nesterov else v)


def adam(
    m: Any, x: Any, g: Any, state: State,
    lr: float, beta1: float, beta2: float, eps: float, weight_decay: float, step: float,
) -> Any:  # fmt: skip
    """Kingma and Ba, Adam, 2015, algorithm 1: averages of g, mean, and of g**2, square, corrected for their start at 0,

        x - lr (mean / (1 - beta1**step)) / (sqrt(square / (1 - beta2**step)) + eps),

    with the corrections taken out of the fraction, as the end of their section 2 has it. step: 1 for the first.
    weight_decay as for sgd."""
    if weight_decay != 0.0:
        g = g + weight_decay * x
    mean = state[0] = beta1 * state[0] + (1.0 - beta1) * g
    square = state[1] = beta2 * state[1] + (1.0 - beta2) * (g * g)
    root = _ieee.square_root(1.0 - beta2**step)
    rate = lr * root / (1.0 - beta1**step)
    return x - m.divide(rate * mean, m.square_root(square) + eps * root)


def adamw(
    m: Any, x: Any, g: Any, state: State,
    lr: float, beta1: float, beta2: float, eps: float, weight_decay: float, step: float,
) -> Any:  # fmt: skip
    """Loshchilov and Hutter, Decoupled weight decay regularization, 2019: x shrinks by the factor
    1 - lr weight_decay, and then takes a step of Adam, whose gradient knows nothing of it."""
    x = x * (1.0 - lr * weight_decay)
    return adam(m, x, g, state, lr, beta1, beta2, eps, 0.0, step)


def rmsprop(
    m: Any, x: Any, g: Any, state: State,
    lr: float, alpha: float, eps: float, momentum: float, centered: float, weight_decay: float,
) -> Any:  # fmt: skip
    """Tieleman and Hinton, lecture 6.5, 2012: x - lr g / (sqrt(s) + eps), s the average of g**2. centered (Graves,
    Generating sequences with recurrent neural networks, 2013): s less the squared average of g. With
    momentum along v = momentum v + g / (sqrt(s) + eps). weight_decay as for sgd."""
    if weight_decay != 0.0:
        g = g + weight_decay * x
    variance = state[0] = alpha * state[0] + (1.0 - alpha) * (g * g)
    if centered:
        mean = state[-1] = alpha * state[-1] + (1.0 - alpha) * g
        variance = variance - mean * mean
    g = m.divide(g, m.square_root(variance) + eps)
    if momentum == 0.0:
        return x - lr * g
    v = state[1] = momentum * state[1] + g
    return x - lr * v


class Rule(NamedTuple):
    """A rule: what its settings are called, in order; what it remembers of a parameter under given settings."""

    update: Callable[..., Any]
    settings: tuple[str, ...]
    slots: Callable[..., tuple[str, ...]]


def _sgd_slots(lr: float, momentum: float, nesterov: float, weight_decay: float) -> tuple[str, ...]:
    return ("momentum_buffer",) if momentum else ()


def _adam_slots(*settings: float) -> tuple[str, ...]:
    return ("exp_avg", "exp_avg_sq")


def _rmsprop_slots(
    lr: float, alpha: float, eps: float, momentum: float, centered: float, weight_decay: float
) -> tuple[str, ...]:
    return ("square_avg", *(("momentum_buffer",) if momentum else ()), *(("grad_avg",) if centered else ()))


_ADAM_SETTINGS = ("lr", "beta1", "beta2", "eps", "weight_decay", "step")

RULES: dict[str, Rule] = {
    "sgd": Rule(sgd, ("lr", "momentum", "nesterov", "weight_decay"), _sgd_slots),
    "adam": Rule(adam, _ADAM_SETTINGS, _adam_slots),
    "adamw": Rule(adamw, _ADAM_SETTINGS, _adam_slots),
    "rmsprop": Rule(rmsprop, ("lr", "alpha", "eps", "momentum", "centered", "weight_decay"), _rmsprop_slots),
}

# ---- what every backend checks ----


def need_values(values: object, value_type: type) -> None:
    """Raises TypeError unless values is a list or tuple of Values of that type."""
    if not isinstance(values, (list, tuple)):
        raise TypeError(f"_ids: expected a list or tuple of Values, not {type(values).__name__}")
    for v in values:
        if not isinstance(v, value_type):
            raise TypeError(f"_ids: expected a Value of the same backend, not {type(v).__name__}")


def bad_token() -> TypeError:
    """The error for what _ids has not given."""
    return TypeError("a token that Value._ids gave was expected")


def need_attribute(what: object) -> None:
    """Raises ValueError unless `what` is 'data' or 'grad'."""
    if what not in ("data", "grad"):
        raise ValueError(f"'data' or 'grad' was expected, not {what!r}")


def need_doubles(memory: object, kind: type[bytes | bytearray], count: int) -> None:
    """Raises TypeError unless memory is of this type, ValueError unless it has room for just so many doubles."""
    if not isinstance(memory, kind):
        raise TypeError(f"{kind.__name__} of doubles was expected, not {type(memory).__name__}")
    if len(memory) != 8 * count:
        raise ValueError(f"{8 * count} bytes of doubles were expected, not {len(memory)}")


def need_settings(rule: str, expected: int, given: Sequence[float]) -> None:
    """Raises ValueError unless there are as many settings as the rule has."""
    if len(given) != expected:
        raise ValueError(f"the rule {rule!r} has {expected} settings, but got {len(given)}")


def need_of_each(values: Sequence[Any], memory: Sequence[Any], grads: Sequence[Any] | None) -> None:
    """Raises ValueError unless there are as many of memory, and of gradients, as Values."""
    n = len(values)
    if len(memory) != n or (grads is not None and len(grads) != n):
        raise ValueError(f"_optimise_arrays: expected memory, and a gradient, for each of {n} Values")


def no_arrays() -> TypeError:
    """The error for what are no array Values of the backend."""
    return TypeError("_optimise_arrays: expected array Values of the same backend")


def bad_rule(rule: object) -> ValueError:
    """The error for an unknown rule."""
    return ValueError(f"no rule is called {rule!r}")


# ---- many Values of the reference ----

_FIELDS = {"data": "_value", "grad": "_grad"}


class Updates:
    """Methods of the class Value for many parameters at once.

    A token is what _ids makes of a list or tuple of Values, each of them once; it is good as long as those are held.
    Numbers go in and out as memory: machine doubles, one a parameter. State is a bytearray: for each slot of the
    rule one array of such doubles, 0 before the first step. On any error, nothing has changed.
    """

    __slots__ = ()

    @classmethod
    def _ids(cls, values: Sequence[Any]) -> Any:
        """The token. Raises TypeError for what is no scalar Value of this backend."""
        need_values(values, cls)
        if any(type(v._value) is not float for v in values):
            raise TypeError("_ids: expected scalar Values")
        return tuple(values)

    @classmethod
    def _values(cls, token: Any) -> tuple[Any, ...]:
        if _tracing.active:
            _tracing.looked(None, "many parameters at once")
        if not isinstance(token, tuple) or not all(isinstance(v, cls) for v in token):
            raise bad_token()
        if any(type(v._value) is not float for v in token):
            raise RuntimeError("pygrad: an operand or parameter is an array")
        return token

    @classmethod
    def _get(cls, token: Any, what: str) -> bytearray:
        """'data' or 'grad' of every parameter."""
        need_attribute(what)
        values = cls._values(token)
        numbers = bytearray(8 * len(values))
        for i, v in enumerate(values):
            memoryview(numbers).cast("d")[i] = getattr(v, _FIELDS[what])
        return numbers

    @classmethod
    def _put(cls, token: Any, what: str, numbers: bytes) -> None:
        """Sets 'data' or 'grad' of every parameter."""
        need_attribute(what)
        values = cls._values(token)
        need_doubles(numbers, bytes, len(values))
        for v, x in zip(values, memoryview(numbers).cast("d")):
            setattr(v, _FIELDS[what], x)

    @classmethod
    def _zero_grads(cls, token: Any) -> None:
        """Sets every gradient to 0."""
        for v in cls._values(token):
            v._grad = 0.0

    @classmethod
    def _grad_norm(cls, token: Any) -> float:
        """The square root of the sum of the squared gradients, added from the first to the last."""
        total = 0.0
        for v in cls._values(token):
            total = total + v._grad * v._grad
        return _ieee.square_root(total)

    @classmethod
    def _scale_grads(cls, token: Any, factor: float) -> None:
        """Multiplies every gradient."""
        for v in cls._values(token):
            v._grad = v._grad * factor

    @classmethod
    def _clamp_grads(cls, token: Any, limit: float) -> None:
        """Brings every gradient into [-limit, limit]; a nan stays one."""
        for v in cls._values(token):
            v._grad = limit if v._grad > limit else -limit if v._grad < -limit else v._grad

    @classmethod
    def _optimise(cls, rule: str, token: Any, settings: tuple[float, ...], memory: bytearray) -> None:
        """One step of a rule of RULES for every parameter; changes data and state, not grad."""
        if rule not in RULES:
            raise bad_rule(rule)
        update, names, slots = RULES[rule]
        values = cls._values(token)
        need_settings(rule, len(names), settings)
        n, count = len(values), len(slots(*settings))
        need_doubles(memory, bytearray, n * count)
        numbers = memoryview(memory).cast("d")
        for i, v in enumerate(values):
            state = list(numbers[i::n]) if n else []
            v._value = update(_ieee, v._value, v._grad, state, *settings)
            for k in range(count):
                numbers[k * n + i] = state[k]

    @classmethod
    def _optimise_arrays(
        cls,
        rule: str,
        values: tuple[Any, ...],
        settings: tuple[float, ...],
        memory: tuple[Any, ...],
        grads: tuple[Any, ...] | None = None,
    ) -> list[int]:
        """The same for array Values, as far as there is a quick way: gives the places of those for which there is none,
        and if there are any, nothing was done. memory: for each the state, an array of shape (slots, size). grads: an
        array for each to use as its gradient, None for zeros; by default its own."""
        need_of_each(values, memory, grads)
        if any(not isinstance(v, cls) or type(v.data) is float for v in values):  # type: ignore[attr-defined]  # a Value
            raise no_arrays()
        return list(range(len(values)))
