"""Optimisers and gradient clipping, with torch.optim's names and formulas: SGD, Adam, AdamW, RMSprop.

A step reads every parameter's `data` and `grad` as they are then and is one call into C, on `c` and `cffi`; so it
mixes with loops that change them by hand. Array Values are moved in place, so others who hold their data see it. The
formulas stand in _updates.py, the learning rates in schedules.py.
There is one group of parameters, not torch's several: make an optimiser for each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from . import _checks, schedules
from ._parameters import Parameters
from ._updates import RULES
from .schedules import non_negative

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "RMSprop", "clip_grad_norm", "clip_grad_value"]

Rate = float | Callable[[int], float]
"""A learning rate, or a function that gives it for step 0, 1, 2, ..."""

# ---- settings ----


def _pair_of_fractions(x: Any, name: str) -> tuple[float, float]:
    if not isinstance(x, (tuple, list)) or len(x) != 2:
        raise TypeError(f"{name} must be a pair of numbers, not {x!r}")
    return _checks.fraction(x[0], f"{name}[0]"), _checks.fraction(x[1], f"{name}[1]")


def _flag(x: Any, name: str) -> bool:
    if not isinstance(x, bool):
        raise TypeError(f"{name} must be True or False, not {x!r}")
    return x


_SETTINGS: dict[str, Callable[[Any, str], Any]] = {
    "alpha": _checks.fraction,
    "betas": _pair_of_fractions,
    "centered": _flag,
    "eps": non_negative,
    "momentum": non_negative,
    "nesterov": _flag,
    "weight_decay": non_negative,
}


def _checked(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings as they are kept. Raises TypeError or ValueError that names one."""
    checked = {name: _SETTINGS[name](x, name) for name, x in settings.items()}
    if checked.get("nesterov") and not checked["momentum"]:
        raise ValueError("nesterov=True needs a momentum above 0")
    return checked


def _checked_rate(lr: Any) -> Any:
    return lr if callable(lr) else non_negative(lr, "lr")


class Optimizer:
    """What the optimisers have in common: make an SGD, Adam, AdamW or RMSprop.

    parameters: a list of Values of one backend, scalars and arrays, or a Module; the parameters it has now, in their
    order. An array is changed in place if it can be written, and replaced otherwise; what is remembered of one of
    float32 is float32 as well.
    lr: a number, or a schedule: a function of the step's number (see pygrad.schedules). May be assigned.

    A copy (copy.copy) moves the same parameters, with a state of its own; copy.deepcopy and pickle copy the parameters
    too, so copy or save a model and its optimiser as a pair to keep them tied.

    Raises TypeError or ValueError naming the argument: a setting out of its range; no parameters, one that is given
    twice, no leaf, or no Value.

    >>> from pygrad import Value
    >>> x = Value(3.0)
    >>> optimizer = SGD([x], lr=0.1)
    >>> for _ in range(100):
    ...     optimizer.zero_grad()
    ...     ((x - 1) ** 2).backward()
    ...     optimizer.step()
    >>> round(x.data, 6)
    1.0
    """

    _rule = ""  # of _updates.RULES

    def __init__(self, parameters: Any, lr: Rate, **settings: Any) -> None:
        if not self._rule:
            raise TypeError("Optimizer is what the optimisers have in common: make an SGD, Adam, AdamW or RMSprop")
        self._settings = _checked(settings)
        self._lr = _checked_rate(lr)
        self._steps = 0
        self._parameters = Parameters(parameters)
        self._memory = self._parameters.memory(len(self._slots()))

    # ---- what it is made of ----

    @property
    def parameters(self) -> tuple[Any, ...]:
        """The parameters, in order."""
        return self._parameters.values

    @property
    def settings(self) -> dict[str, Any]:
        """The settings by torch's names, but for lr; a new dict."""
        return dict(self._settings)

    @property
    def lr(self) -> Any:
        """The learning rate, or the schedule, as given."""
        return self._lr

    @lr.setter
    def lr(self, lr: Rate) -> None:
        self._lr = _checked_rate(lr)

    @property
    def steps(self) -> int:
        """How many steps were taken."""
        return self._steps

    @property
    def learning_rate(self) -> float:
        """The number that the next step uses. Raises as the schedule does; ValueError if that gives no rate."""
        if callable(self._lr):
            return non_negative(self._lr(self._steps), f"the learning rate of step {self._steps}")
        number: float = self._lr
        return number

    def _numbers(self, lr: float) -> tuple[float, ...]:
        """The settings as the rule takes them."""
        named = {"lr": lr, "step": self._steps + 1, **self._settings}
        named["beta1"], named["beta2"] = named.get("betas", (0.0, 0.0))
        return tuple(float(named[name]) for name in RULES[self._rule].settings)

    def _slots(self) -> tuple[str, ...]:
        """torch's names of what is remembered of a number, in the order in which _memory has it."""
        return RULES[self._rule].slots(*self._numbers(0.0))

    # ---- work ----

    def step(self) -> None:
        """Moves every parameter along its gradient. After an error nothing has changed."""
        self._parameters.optimise(self._rule, self._numbers(self.learning_rate), self._memory)
        self._steps += 1

    def zero_grad(self) -> None:
        """Sets the gradient of every parameter to 0."""
        self._parameters.zero_grads()

    # ---- saving ----

    def state_dict(self) -> dict[str, Any]:
        """What load_state_dict takes: a dict of its own. All of it is JSON but 'state', whose arrays are float64, with
        one number for each number of the parameters, in their order.

        'parameters' says how many there are; where some hold arrays, it is a list that says of each what it holds. A
        schedule is saved as its config; any other function as None.
        """
        lr = self._lr
        if callable(lr):
            lr = lr.config() if isinstance(lr, schedules.Schedule) else None
        slots = self._slots()
        rows = self._parameters.recalled(self._memory, len(slots))
        return {
            "optimizer": type(self).__name__,
            "parameters": self._parameters.described(),
            "steps": self._steps,
            "lr": lr,
            "settings": self.settings,
            "state": {name: row.copy() for name, row in zip(slots, rows)},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on where state_dict was called, with its settings; not the parameters' data, which a model saves.

        Where state has None for lr, lr stays what it is.

        Raises TypeError or ValueError naming what does not fit; nothing has changed then.
        """
        state = _with_keys(state, "the state", ("optimizer", "parameters", "steps", "lr", "settings", "state"))
        if state["optimizer"] != type(self).__name__:
            raise ValueError(f"the state is of {state['optimizer']!r}, but this is {type(self).__name__!r}")
        _check_same_parameters(state["parameters"], self._parameters.described())
        loaded = object.__new__(type(self))
        loaded._steps = _checks.size(state["steps"], "steps")
        loaded._settings = _checked(_with_keys(state["settings"], "settings", tuple(self._settings)))
        loaded._lr = self._lr if state["lr"] is None else _loaded_rate(state["lr"])
        names = loaded._slots()
        arrays = _with_keys(state["state"], "state", names)
        memory = self._parameters.remembered([_row(arrays[name], name, self._parameters.count) for name in names])
        self._steps, self._settings, self._lr = loaded._steps, loaded._settings, loaded._lr
        self._memory = memory

    def __copy__(self) -> Self:
        new = object.__new__(type(self))
        new.__dict__.update(self.__dict__)
        new._settings, new._memory = dict(self._settings), self._memory.copied()
        return new

    def __repr__(self) -> str:
        settings = {"lr": self._lr, **self._settings}
        n, count = len(self._parameters), self._parameters.count
        moved = f"{n} parameter{'s' if n != 1 else ''}" + (f" of {count} numbers" if count != n else "")
        return f"{type(self).__name__}({moved}, {', '.join(f'{name}={x!r}' for name, x in settings.items())})"


def _with_keys(given: Any, what: str, keys: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise TypeError(f"{what} must be a dict, not {type(given).__name__}")
    for names, wrong in [(set(keys) - set(given), "lacks"), (set(given) - set(keys), "has an unknown")]:
        if names:
            raise ValueError(f"{what} {wrong} {', '.join(sorted(map(repr, names)))}")
    return dict(given)


def _loaded_rate(lr: Any) -> Any:
    return schedules.from_config(lr) if isinstance(lr, Mapping) else non_negative(lr, "lr")


def _check_same_parameters(given: Any, own: int | list[str]) -> None:
    """Raises ValueError that names the first difference."""
    counts = [len(x) if isinstance(x, (list, tuple)) else x for x in (given, own)]
    if counts[0] != counts[1]:
        raise ValueError(f"the state is of {counts[0]!r} parameters, but there are {counts[1]}")
    of_each = [x if isinstance(x, (list, tuple)) else ["scalar"] * counts[1] for x in (given, own)]
    for i, (saved, here) in enumerate(zip(*of_each)):
        if saved != here:
            raise ValueError(f"parameters[{i}] is {here}, but the state is of {saved!r} there")


def _row(numbers: Any, name: str, n: int) -> Any:
    import numpy as np

    array = np.asarray(numbers)
    if array.dtype.kind not in "fiu" or array.shape != (n,):
        raise ValueError(f"state {name!r} must be {n} numbers, not {array.dtype} of shape {array.shape}")
    return array.astype(np.float64)


# ---- the optimisers ----


class SGD(Optimizer):
    """Gradient descent, p.data -= lr * p.grad; with momentum, Nesterov's if so wanted; torch.optim.SGD.

    momentum, weight_decay: at least 0. nesterov needs a momentum. weight_decay: of an L2 penalty,
    weight_decay / 2 times the sum of squares.
    """

    _rule = "sgd"

    def __init__(
        self, parameters: Any, lr: Rate = 1e-3, momentum: float = 0.0, *, nesterov: bool = False,
        weight_decay: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__(parameters, lr, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay)


class Adam(Optimizer):
    """Adam (Kingma and Ba 2015), torch.optim.Adam.

    betas: how much of the averages of the gradient and of its square a step keeps, each at least 0 and below 1.
    eps: added to the root of the second, at least 0. weight_decay: as for SGD.
    """

    _rule = "adam"

    def __init__(
        self, parameters: Any, lr: Rate = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__(parameters, lr, betas=betas, eps=eps, weight_decay=weight_decay)


class AdamW(Optimizer):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019), torch.optim.AdamW: a step first multiplies
    every parameter by 1 - lr weight_decay. betas, eps: as for Adam."""

    _rule = "adamw"

    def __init__(
        self, parameters: Any, lr: Rate = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None:  # fmt: skip
        super().__init__(parameters, lr, betas=betas, eps=eps, weight_decay=weight_decay)


class RMSprop(Optimizer):
    """RMSprop (Tieleman and Hinton 2012), torch.optim.RMSprop.

    alpha: how much of the average of the squared gradient a step keeps, at least 0 and below 1. eps: added to its
    root, at least 0. centered: that average less the squared average of the gradient (Graves 2013).
    momentum, weight_decay: as for SGD.
    """

    _rule = "rmsprop"

    def __init__(
        self, parameters: Any, lr: Rate = 1e-2, alpha: float = 0.99, eps: float = 1e-8, *, momentum: float = 0.0,
        weight_decay: float = 0.0, centered: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(
            parameters, lr, alpha=alpha, eps=eps, momentum=momentum, weight_decay=weight_decay, centered=centered
        )


# ---- clipping ----


def _prepared(parameters: Any) -> Parameters:
    """An optimiser's own parameters are checked already: no look at each."""
    return parameters._parameters if isinstance(parameters, Optimizer) else Parameters(parameters)


def clip_grad_value(parameters: Any, limit: float) -> None:
    """Brings every gradient into [-limit, limit]; a nan stays one. torch.nn.utils.clip_grad_value_.

    parameters: as for an optimiser, or an optimiser, which is quicker.

    Raises as an optimiser does for its parameters; TypeError or ValueError unless limit is a number of at least 0.
    """
    prepared = _prepared(parameters)
    prepared.clamp_grads(_limit(limit, "limit"))


def clip_grad_norm(parameters: Any, max_norm: float) -> float:
    """Multiplies every gradient by min(1, max_norm / (norm + 1e-6)), norm the Euclidean norm of all, as it was before:
    that is returned. torch.nn.utils.clip_grad_norm_. Where the norm is nan, so are the gradients afterwards.

    parameters: as for an optimiser, or an optimiser, which is quicker.

    Raises as an optimiser does for its parameters; TypeError or ValueError unless max_norm is a number of at least 0.
    """
    prepared = _prepared(parameters)
    most = _limit(max_norm, "max_norm")
    norm = prepared.grad_norm()
    factor = most / (norm + 1e-6)
    if not factor >= 1.0:
        prepared.scale_grads(factor)
    return norm


def _limit(x: Any, what: str) -> float:
    number = _checks.as_float(x, what)
    if not number >= 0.0:
        raise ValueError(f"{what} must be at least 0, not {number!r}")
    return number
