"""A checked list of parameters, prepared once for calls on all of them: one call into C each, on `c` and `cffi`.

Knows nothing of optimisers; they, and clipping, are in optim.py. NumPy is imported when an array is asked for, so that
importing pygrad stays quick.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import _checks, backends

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


class Parameters:
    """Leaves of one backend, each of them once, in the order given.

    parameters: a list (or other iterable) of Values, or what has a method parameters() that gives one, as a Module.

    Raises TypeError for anything else and for a mixture of backends; ValueError if there are none, if one stands there
    twice, or for a Value that was computed.
    """

    __slots__ = ("_token", "_type", "values")

    def __init__(self, parameters: Any) -> None:
        self.values = _listed(parameters)
        if not self.values:
            raise ValueError("there are no parameters: an empty list was given")
        self._type = backends.type_of(self.values[0])
        _check(self.values, self._type)
        self._token = self._type._ids(self.values)

    def __len__(self) -> int:
        return len(self.values)

    def __reduce__(self) -> tuple[Any, ...]:
        return Parameters, (self.values,)  # the token is of this process

    def get(self, what: str) -> NDArray[Any]:
        """'data' or 'grad' of every parameter: a new array of float64, shape (n,)."""
        import numpy as np

        return np.frombuffer(self._type._get(self._token, what), dtype=np.float64)

    def put(self, what: str, numbers: ArrayLike) -> None:
        """Sets 'data' or 'grad' of every parameter. Raises ValueError if numbers has not the shape (n,)."""
        import numpy as np

        array = np.asarray(numbers, dtype=np.float64)
        if array.shape != (len(self),):
            raise ValueError(f"{len(self)} parameters need an array of shape ({len(self)},), not {array.shape}")
        self._type._put(self._token, what, array.tobytes())

    def zero_grads(self) -> None:
        """Sets every gradient to 0."""
        self._type._zero_grads(self._token)

    def grad_norm(self) -> float:
        """The Euclidean norm of the gradients."""
        norm: float = self._type._grad_norm(self._token)
        return norm

    def scale_grads(self, factor: float) -> None:
        """Multiplies every gradient."""
        self._type._scale_grads(self._token, factor)

    def clamp_grads(self, limit: float) -> None:
        """Brings every gradient into [-limit, limit]."""
        self._type._clamp_grads(self._token, limit)

    def optimise(self, rule: str, settings: tuple[float, ...], memory: bytearray) -> None:
        """One step of a rule of pygrad._updates.RULES, with its state in memory."""
        self._type._optimise(rule, self._token, settings, memory)


def _listed(parameters: Any) -> tuple[Any, ...]:
    method = getattr(parameters, "parameters", None)
    if callable(method):
        parameters = method()
    if not _checks.is_value(parameters):
        try:
            return tuple(parameters)
        except TypeError:
            pass
    found = "one Value: put it in a list" if _checks.is_value(parameters) else type(parameters).__name__
    raise TypeError(f"parameters must be a list of Values or a Module, not {found}")


def _check(values: tuple[Any, ...], value_type: Any) -> None:
    places: dict[int, int] = {}  # by identity: a subclass may compare and hash as it likes
    for i, v in enumerate(values):
        if not _checks.is_value(v):
            raise TypeError(f"parameters[{i}] must be a Value, not {type(v).__name__}")
        if not isinstance(v, value_type):
            raise TypeError(
                f"parameters[{i}] is a Value of backend {v._pygrad_backend!r}, but parameters[0] one of "
                f"{value_type._pygrad_backend!r}: all must be of one backend"
            )
        if v._state()[0] != "leaf":
            raise ValueError(
                f"parameters[{i}] was computed (op {v._op!r}): only leaves, made with Value(number), are parameters"
            )
        first = places.setdefault(id(v), i)
        if first != i:
            raise ValueError(f"parameters[{i}] is parameters[{first}]: give each parameter once")
