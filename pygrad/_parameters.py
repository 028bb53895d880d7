"""A checked list of parameters, prepared once for calls on all of them: on `c` and `cffi` one call into C each.

Knows nothing of optimisers; they, and clipping, are in optim.py. NumPy is imported when an array is asked for, or is
among the parameters, so that importing pygrad stays quick.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from . import _checks, _ieee, backends
from ._lazy import array_updates

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


# ---- one Value, scalar or array ----


def data_of(v: Any) -> Any:
    """Its data, a copy of an array."""
    return v.data.copy() if _checks.is_array_value(v) else v.data


def set_data(v: Any, data: Any) -> None:
    """Sets its data; of an array Value in place, where that can be written. data: as data_of gave it."""
    if _checks.is_array_value(v):
        array_updates.store(v, data)
    else:
        v.data = data


def number_of(parameters: Iterable[Any]) -> int:
    """How many numbers they hold."""
    sizes = [v.data.size if _checks.is_array_value(v) else 1 for v in parameters]
    return sum(sizes)


# ---- many ----


class Memory(NamedTuple):
    """What an optimiser remembers: in some slots a number for each number of the parameters."""

    scalars: bytearray
    """For each slot one array of float64, a number a scalar Value."""
    arrays: tuple[Any, ...]
    """For each array Value an array of its dtype, of shape (slots, size)."""

    def copied(self) -> Memory:
        """A copy of its own."""
        return Memory(bytearray(self.scalars), tuple(array.copy() for array in self.arrays))


class Parameters:
    """Leaves of one backend, each of them once, in the order given: scalar Values, array Values, or both.

    parameters: a list (or other iterable) of Values, or what has a method parameters() that gives one, as a Module.

    Its numbers are those of all parameters, one after the other, an array's in C order; `count` is how many there are.
    The arrays of two parameters must not share memory.

    Raises TypeError for anything else and for a mixture of backends; ValueError if there are none, if one stands there
    twice, or for a Value that was computed.
    """

    __slots__ = ("_arrays", "_scalars", "_starts", "_token", "_type", "count", "values")

    def __init__(self, parameters: Any) -> None:
        self.values = _listed(parameters)
        if not self.values:
            raise ValueError("there are no parameters: an empty list was given")
        self._type = backends.type_of(self.values[0])
        _check(self.values, self._type)
        self._arrays = tuple(v for v in self.values if _checks.is_array_value(v))
        self._token = self._type._ids([v for v in self.values if not _checks.is_array_value(v)])
        self._find_places()

    def _find_places(self) -> None:
        self._scalars: Any = range(len(self))  # where in the numbers each scalar stands
        self._starts: list[int] = []  # and the first one of each array
        self.count = len(self)
        if self._arrays:
            import numpy as np

            sizes = [v.data.size if _checks.is_array_value(v) else -1 for v in self.values]
            starts = [0, *itertools.accumulate(abs(n) for n in sizes)]
            self._scalars = np.array([k for k, n in zip(starts, sizes) if n < 0], dtype=np.intp)
            self._starts = [k for k, n in zip(starts, sizes) if n >= 0]
            self.count = starts[-1]

    def __len__(self) -> int:
        return len(self.values)

    def __reduce__(self) -> tuple[Any, ...]:
        return Parameters, (self.values,)  # the token is of this process

    def described(self) -> int | list[str]:
        """What the parameters are, as JSON may hold it: how many, if all are scalars; otherwise for each 'scalar', or
        the dtype and shape of its array, 'float64 (3, 2)'."""
        if not self._arrays:
            return len(self)
        return [f"{v.data.dtype} {v.data.shape}" if _checks.is_array_value(v) else "scalar" for v in self.values]

    def _gathered(self, scalars: Any, arrays: list[Any]) -> NDArray[Any]:
        """One array of all numbers. arrays: one an array Value; None: zeros."""
        import numpy as np

        if not arrays:
            return np.array(scalars)
        numbers = np.zeros(self.count)
        numbers[self._scalars] = scalars
        for start, array in zip(self._starts, arrays):
            if array is not None:
                numbers[start : start + array.size] = array.reshape(-1)
        return numbers

    def _of_scalars(self, numbers: NDArray[Any]) -> bytes:
        return (numbers[self._scalars] if self._arrays else numbers).tobytes()

    def _of_arrays(self, numbers: NDArray[Any]) -> list[Any]:
        """The part of each array Value, of its dtype, flat, copied."""
        return [
            numbers[start : start + v.data.size].astype(v.data.dtype) for start, v in zip(self._starts, self._arrays)
        ]

    # ---- numbers and gradients ----

    def get(self, what: str) -> NDArray[Any]:
        """'data' or 'grad' of every parameter: a new array of float64, shape (count,)."""
        import numpy as np

        scalars = np.frombuffer(self._type._get(self._token, what))
        return self._gathered(scalars, [v.data if what == "data" else v._raw_grad for v in self._arrays])

    def put(self, what: str, numbers: ArrayLike) -> None:
        """Sets 'data' or 'grad' of every parameter; data of arrays in place, where they can be written. Raises
        ValueError if numbers has not the shape (count,)."""
        import numpy as np

        array = np.asarray(numbers, dtype=np.float64)
        if array.shape != (self.count,):
            raise ValueError(f"{self._said()} need an array of shape ({self.count},), not {array.shape}")
        parts = self._of_arrays(array)
        self._type._put(self._token, what, self._of_scalars(array))
        for v, part in zip(self._arrays, parts):
            if what == "data":
                array_updates.store(v, part.reshape(v.data.shape))
            else:
                v.grad = part.reshape(v.data.shape)

    def _said(self) -> str:
        return f"{len(self)} parameters" + (f" of {self.count} numbers" if self._arrays else "")

    def zero_grads(self) -> None:
        """Sets every gradient to 0."""
        self._type._zero_grads(self._token)
        for v in self._arrays:
            v.grad = 0.0

    def grad_norm(self) -> float:
        """The Euclidean norm of the gradients. Squares are added in float64: those of scalars from the first to the
        last, then those of each array, summed as pygrad._array_updates.sum_of_squares does."""
        if not self._arrays:
            norm: float = self._type._grad_norm(self._token)
            return norm
        total = 0.0
        for g in memoryview(self._type._get(self._token, "grad")).cast("d"):
            total = total + g * g
        for v in self._arrays:
            total = total + array_updates.sum_of_squares(v._raw_grad)
        return _ieee.square_root(total)

    def scale_grads(self, factor: float) -> None:
        """Multiplies every gradient."""
        self._type._scale_grads(self._token, factor)
        for v in self._arrays:
            array_updates.scale_grad(v, factor)

    def clamp_grads(self, limit: float) -> None:
        """Brings every gradient into [-limit, limit]."""
        self._type._clamp_grads(self._token, limit)
        for v in self._arrays:
            array_updates.clamp_grad(v, limit)

    # ---- steps ----

    def memory(self, slots: int) -> Memory:
        """Zeros to remember."""
        return Memory(
            bytearray(8 * slots * len(self._scalars)),
            tuple(array_updates.zeros(slots, v) for v in self._arrays),
        )

    def recalled(self, memory: Memory, slots: int) -> NDArray[Any]:
        """All that is remembered: a new array of float64, shape (slots, count)."""
        import numpy as np

        rows = np.zeros((slots, self.count))
        scalars = np.frombuffer(memory.scalars).reshape(slots, len(self._scalars))
        for k in range(slots):
            rows[k] = self._gathered(scalars[k], [array[k] for array in memory.arrays])
        return rows

    def remembered(self, rows: list[NDArray[Any]]) -> Memory:
        """A memory of such rows, each of shape (count,)."""
        memory = self.memory(len(rows))
        scalars = b"".join(map(self._of_scalars, rows))
        for k, row in enumerate(rows):
            for array, part in zip(memory.arrays, self._of_arrays(row)):
                array[k] = part
        return Memory(bytearray(scalars), memory.arrays)

    def optimise(self, rule: str, settings: tuple[float, ...], memory: Memory) -> None:
        """One step of a rule of pygrad._updates.RULES: changes the data, of arrays in place where they can be written,
        and the memory. Raises ValueError for an array whose shape was changed in place; nothing has changed then."""
        if self._arrays:
            self._optimise_arrays(rule, settings, memory)
        if len(self._scalars):
            self._type._optimise(rule, self._token, settings, memory.scalars)

    def _optimise_arrays(self, rule: str, settings: tuple[float, ...], memory: Memory) -> None:
        quick = self._type._optimise_arrays
        others = quick(rule, self._arrays, settings, memory.arrays)
        for i in others:
            array_updates.check(self._arrays[i], memory.arrays[i], f"parameters[{self._place(i)}]")
        if others:
            array_updates.step(quick, rule, self._arrays, settings, memory.arrays)

    def _place(self, i: int) -> int:
        """Where in the list the i-th array Value stands."""
        return next(place for place, v in enumerate(self.values) if v is self._arrays[i])


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
