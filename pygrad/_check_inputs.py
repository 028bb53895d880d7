"""What gradcheck and compare_backends share: a function's inputs as leaves, its outputs, and their graph.

Runs and compares nothing. Recursion is over nested lists of inputs, never over a graph.
"""

from __future__ import annotations

import itertools
import math
import struct
from collections.abc import Iterable
from typing import Any, NamedTuple

from . import _checks
from ._graph import topological_order


class Leaf(NamedTuple):
    """A number of a function's inputs, or a parameter, as a leaf of a graph, or as an entry of an array that is one."""

    name: str
    """'inputs[0]' for the first argument."""
    path: tuple[int, ...]
    """Where it stands in nested lists, or in an array in them."""
    value: Any
    entry: tuple[int, ...] = ()
    """Where it stands in the array."""

    def __str__(self) -> str:
        return self.name + "".join(f"[{i}]" for i in self.path)

    @property
    def number(self) -> float:
        """The number now."""
        return float(self.value.data[self.entry] if self.entry else self.value.data)

    @property
    def derivative(self) -> float:
        """Its gradient now."""
        return float(self.value.grad[self.entry] if self.entry else self.value.grad)

    def move(self, number: float) -> None:
        """Sets the number."""
        if self.entry:
            self.value.data[self.entry] = number
        else:
            self.value.data = number


def entries(name: str, value: Any, path: tuple[int, ...] = ()) -> list[Leaf]:
    """Every number of a Value that is a leaf, in C order."""
    indices = itertools.product(*map(range, value.shape))
    return [Leaf(name, (*path, *index), value, index) for index in indices]


def convert(x: Any, name: str, value_type: Any, leaves: list[Leaf], path: tuple[int, ...] = ()) -> Any:
    """Numbers and arrays as leaves of value_type, in lists nested as x is; a Value stands for its data. Appends each
    number to `leaves`, left to right.

    Raises TypeError naming the entry that is neither.
    """
    if isinstance(x, (list, tuple)):
        return [convert(y, name, value_type, leaves, (*path, i)) for i, y in enumerate(x)]
    data = x.data if _checks.is_value(x) else x
    if not getattr(data, "ndim", 0):
        data = _checks.as_float(data, str(Leaf(name, path, None)))
    value = value_type(data)
    leaves.extend(entries(name, value, path))
    return value


def copied(x: Any) -> Any:
    """The same leaves in new lists, for a function that changes the lists it is given."""
    return [copied(y) for y in x] if isinstance(x, list) else x


def outputs_of(result: Any, value_type: Any, advice: str) -> list[Any]:
    """What a function returned, a Value or a list of Values, as a list.

    Raises TypeError, which ends in `advice` for a Value of another backend.
    """
    outputs = list(result) if isinstance(result, (list, tuple)) else [result]
    if not outputs:
        raise TypeError("f must return a Value or a list of Values, not an empty list")
    for out in outputs:
        if not isinstance(out, value_type):
            name = getattr(type(out), "_pygrad_backend", None)
            if name is None:
                raise TypeError(f"f must return a Value or a list of Values, not {type(out).__name__}")
            raise TypeError(f"on backend {value_type._pygrad_backend!r}, f returned a Value of {name!r}: {advice}")
    return outputs


def graph_of(outputs: Iterable[Any]) -> list[Any]:
    """Every Value that the outputs depend on, and themselves: a topological order, the first output's graph first."""
    order: list[Any] = []
    seen: set[int] = set()
    for out in outputs:
        fresh = topological_order(out, seen)
        seen.update(map(id, fresh))
        order += fresh
    return order


def bits_of(x: float) -> int:
    """The 64 bits of a float; every nan counts as the same."""
    bits: int = struct.unpack("<q", struct.pack("<d", math.nan if math.isnan(x) else x))[0]
    return bits
