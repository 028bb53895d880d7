"""A graph as lists, in the order of the reverse sweep: what the backends give a recording (pygrad/programs/record.py).

Positions: first every leaf, in the order in which computed nodes, as they stand, use them; then the computed nodes, in
the order in which backward() of the first root meets them reversed, then what is new under the second, and so on.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any, NamedTuple


class Listing(NamedTuple):
    """leaves: how many there are. For every position: ops: names; args: positions of operands, a dot's bias before its
    pairs of weight and input; numbers: a leaf's data, the constant of an op that has one.

    foreign: the positions of what only Python can compute, arrays among them. values: the Values of those and of user
    nodes, and of leaves born no later than asked, with their births. roots: the positions of the roots.
    """

    leaves: int
    ops: list[str]
    args: list[tuple[int, ...]]
    numbers: list[float]
    foreign: list[int]
    values: dict[int, Any]
    births: dict[int, int]
    roots: list[int]


Packed = tuple[int, bytes, bytes, bytes, bytes, bytes, bytes, bytes, dict[int, Any]]
"""What the backends in C give: leaves, then the arrays of pg_listing in csrc/pygrad.h, then values."""


def of_roots(value_type: Any, roots: list[Any], birth: int) -> Listing:
    """The graph under Values of one backend."""
    given = value_type._listing(roots, birth)
    return given if isinstance(given, Listing) else _unpacked(given)


def _unpacked(given: Packed) -> Listing:
    import numpy as np

    from ._ffi import OP_NAMES

    leaves, codes, flags, starts, operands, numbers, births, roots, values = given
    flat = np.frombuffer(operands, np.uint32).tolist()
    ends = np.frombuffer(starts, np.uint64).tolist()
    born = memoryview(births).cast("Q")
    return Listing(
        leaves,
        [OP_NAMES[code] for code in codes],
        [tuple(flat[start:end]) for start, end in pairwise(ends)],
        np.frombuffer(numbers).tolist(),
        [i for i in values if flags[i]],
        values,
        {i: born[i] for i in values if i < leaves},
        np.frombuffer(roots, np.uint32).tolist(),
    )


def walked(roots: list[Any], birth: int) -> Listing:
    """The same of Values of the reference."""
    from ._graph import topological_order

    known: set[int] = set()
    order: list[Any] = []
    for root in roots:
        found = topological_order(root, known)
        known.update(map(id, found))
        order += found
    computed = [v for v in order if v._name != "leaf"]
    leaves = _unique(v for node in [*map(_operands, computed), roots] for v in node if v._name == "leaf")
    nodes = [*leaves, *computed]
    place = {id(v): i for i, v in enumerate(nodes)}
    foreign = [i for i, v in enumerate(nodes) if v._hook is not None or v._record is not None or v._holds_array]
    named = [i for i, v in enumerate(leaves) if v._birth <= birth]
    named += [i for i, v in enumerate(nodes) if v._name == "user"] + foreign
    return Listing(
        len(leaves),
        [v._name for v in nodes],
        [tuple(place[id(x)] for x in _operands(v)) for v in nodes],
        [v._value if v._name == "leaf" else v._constant for v in nodes],
        foreign,
        {i: nodes[i] for i in named},
        {i: leaves[i]._birth for i in named if i < len(leaves)},
        [place[id(v)] for v in roots],
    )


def _operands(v: Any) -> tuple[Any, ...]:
    operands: tuple[Any, ...] = v._operands
    if v._name != "dot":
        return operands
    n = len(operands) // 2
    pairs = zip(operands[:n], operands[len(operands) - n :])
    return (*operands[n : len(operands) - n], *(x for pair in pairs for x in pair))


def _unique(values: Iterable[Any]) -> list[Any]:
    return list({id(v): v for v in values}.values())
