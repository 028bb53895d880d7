"""Many scalar Values as one array Value: how a layer's parameters, which are scalars, enter arithmetic on batches.

The array is read from the Values at every call, and its gradient goes to them. Knows nothing of layers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from . import _arrays, backends, recording
from .array_rules import RULES


class Packed:
    """Scalar Values of one backend, row after row, as an array Value.

    values: as many as the shape has entries, at least one. transposed: whether columns and rows change places after
    that.

    The array Value is made once. In the reverse sweep it hands its gradient on to the Values and keeps none, so it may
    stand in several graphs: what reaches the Values is what it would be without it between.
    """

    def __init__(self, values: Sequence[Any], shape: tuple[int, ...], transposed: bool = False) -> None:
        self._values = tuple(values)
        self._type = backends.type_of(values[0])
        self._token = self._type._ids(self._values)
        self._options = (shape, transposed)
        self._record = (RULES["pack"], self._options, (True,) * len(values))
        self._node: Any = None

    def read(self, what: str = "data") -> Any:
        """'data' or 'grad' of the Values, as a new array."""
        shape, transposed = self._options
        array = np.frombuffer(self._type._get(self._token, what)).reshape(shape)
        return array.T if transposed else array

    def write(self, numbers: Any) -> None:
        """Sets the Values' data. Raises ValueError for another shape, TypeError for what is no array of numbers."""
        shape, transposed = self._options
        array = np.asarray(numbers, np.float64)
        if array.shape != (shape[::-1] if transposed else shape):
            raise ValueError(f"an array of shape {shape} is needed, not {array.shape}")
        self._type._put(self._token, "data", (array.T if transposed else array).tobytes())

    def __call__(self) -> Any:
        """The array Value, with the Values' data as they are now."""
        data = self.read()
        if recording.suspended and not recording.active():
            return self._type._array_node("leaf", (), data, None)
        if self._node is None:
            self._node = self._type._array_node("pack", self._values, data, self._record)
        else:
            self._node.data = data
        return self._node


def layer_function(parameters: Sequence[Any], nin: int, nout: int) -> Callable[[Any], Any]:
    """x @ weight.T + bias, for arrays of shape (..., nin). parameters: nout rows of nin weights and a bias."""
    width = nin + 1
    rows = range(0, width * nout, width)
    weight = Packed([p for row in rows for p in parameters[row : row + nin]], (nout, nin), transposed=True)
    bias = Packed([parameters[row + nin] for row in rows], (nout,))

    def affine(x: Any) -> Any:
        return _arrays.apply("linear", (x, weight(), bias()))

    return affine
