"""Where the numbers of a program's parameters are: in Values, or, of a program that was unpickled, in an array.

Both are read at every call, in one step, and written in one step; nothing else in programs touches a Value. A program
keeps its Values alive.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _tracing, backends
from .arguments import NUMBERS

_ADDING = threading.Lock()
"""Gradients are read, added to and written: one thread at a time."""


def as_vector(x: ArrayLike, count: int, name: str) -> NDArray[np.float64]:
    """A new array of float64, shape (count,). Raises TypeError for what are no real numbers, ValueError for another
    shape."""
    try:
        given = np.asarray(x)
    except ValueError:
        raise ValueError(f"{name}: lists in it differ in length") from None
    if given.dtype.kind not in NUMBERS:
        raise TypeError(f"{name} must be an array of real numbers, not one of dtype {given.dtype}")
    if np.ma.is_masked(x):
        raise TypeError(f"{name} has masked entries: fill them first, with x.filled(number)")
    if given.shape != (count,):
        raise ValueError(f"{name} must have the shape ({count},), one number a parameter, not {given.shape}")
    return given.astype(np.float64)


class InValues:
    """The data and gradients of scalar Values of one backend, each of them once.

    values: the parameters. shared: further Values whose data is read, but which are no parameters.
    """

    def __init__(self, values: tuple[Any, ...], shared: tuple[Any, ...] = ()) -> None:
        self.values, self.shared = values, shared
        self.count, self.total = len(values), len(values) + len(shared)
        if not self.total:
            return
        self._type: Any = backends.type_of((*values, *shared)[0])
        self._all = self._type._ids([*values, *shared])
        self._mine = self._all if not shared else self._type._ids(list(values))

    def numbers(self) -> Any:
        """The data of parameters and shared Values as doubles: a buffer of its own."""
        try:
            return self._type._get(self._all, "data") if self.total else bytearray()
        except _tracing.TraceError:
            raise _tracing.error(_tracing.COMPILED) from None

    def labels(self) -> list[str]:
        """Of parameters and shared Values; '' for none."""
        return [v.label for v in (*self.values, *self.shared)]

    def put(self, numbers: NDArray[np.float64] | bytearray) -> None:
        """Sets the data of the parameters. numbers: doubles."""
        if self.count:
            self._type._put(self._mine, "data", bytes(numbers))

    def add_gradient(self, gradient: NDArray[np.float64]) -> None:
        """Adds to the .grad of every parameter."""
        if self.count:
            with _ADDING:
                total = np.frombuffer(self._type._get(self._mine, "grad")) + gradient
                self._type._put(self._mine, "grad", total.tobytes())


class InArray:
    """An array of its own, parameters before what is shared; there are no gradients to add to.

    labels: of all of them, or of none.
    """

    values: tuple[Any, ...] = ()

    def __init__(self, numbers: NDArray[np.float64], count: int, labels: Sequence[str] = ()) -> None:
        self._numbers = numbers
        self.count, self.total = count, len(numbers)
        self._labels = list(labels) or [""] * self.total

    def labels(self) -> list[str]:
        """Of parameters and what is shared; '' for none."""
        return self._labels

    def numbers(self) -> Any:
        """The numbers; nobody writes into this array."""
        return self._numbers

    def put(self, numbers: NDArray[np.float64] | bytearray) -> None:
        """Sets the parameters, in another array, so that calls that run meanwhile have the old one to the end."""
        self._numbers = np.concatenate([np.frombuffer(numbers), self._numbers[self.count :]])

    def add_gradient(self, gradient: NDArray[np.float64]) -> None:
        """Raises TypeError."""
        raise TypeError("this program was unpickled, so it has no Values to add gradients to: use value_and_grad")


Source = InValues | InArray
