"""Fusion: what belongs to a dense layer, within its instructions.

A relu that alone reads the sums of a layer is applied before they are stored, and so is the derivative of an
activation to the sums of a transposed layer. The gradient of a layer's starts is a column of that of its weights.
Bundles go in and come out, in an order in which they can run; the operations and their order stay as they are. A dense
bundle's k says what is applied: 'relu', or 'd0:relu' and the like, with the activation's values as its second operand;
an outer bundle's k, 'accumulate', that the last of its places are for g itself. Decides nothing about slots.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import chain

from .bundles import Bundle, offsets

BY_VALUE = frozenset({"d0:relu", "d0:tanh", "d0:sigmoid", "d0:exp", "d0:sqrt"})
"""Derivatives that are computed from g and the op's value: what the op was applied to is not looked at."""

WITHIN = frozenset({"relu", "d0:relu", "d0:tanh", "d0:sigmoid"})
"""What a dense layer can apply to its sums."""


def fuse(order: list[Bundle], outputs: Iterable[int]) -> list[Bundle]:
    """The bundles with fewer, larger instructions. outputs: values that are asked for at the end.

    Operands of derivatives that are not looked at are replaced, so that nothing keeps them alive.
    """
    for bundle in order:
        if bundle.op in BY_VALUE:
            g, _, z = bundle.operands
            bundle.operands = [g, z, z]
            bundle.repeat = bundle.repeat & 1 | (bundle.repeat >> 2) * 6  # of both as of the last
    order = _with_columns_of_ones(order)
    producer = {bundle.members[0]: at for at, bundle in enumerate(order) if bundle.kind == "dense"}
    within = [at for at, bundle in enumerate(order) if bundle.op in WITHIN and _follows(bundle, order, producer)]
    if not within:
        return order
    readers = _readers(order, outputs)
    fused: list[Bundle | None] = list(order)
    for at in within:
        bundle = order[at]
        before = producer[bundle.operands[0][0]]
        dense = fused[before]
        if dense is None or dense.k is not None or tuple(dense.members) != tuple(bundle.operands[0]):
            continue
        if any(readers[x] != 1 for x in dense.members):
            continue
        whole = Bundle("dense", dense.op, bundle.op, bundle.members, dense.operands, dense.rows)
        fused[before] = None
        if bundle.op == "relu":  # others may read it at once
            fused[before], fused[at] = whole, None
        else:
            whole.operands = [*dense.operands, bundle.operands[2]]
            fused[at] = whole
    return [bundle for bundle in fused if bundle is not None]


def _with_columns_of_ones(order: list[Bundle]) -> list[Bundle]:
    """Outer products with the sums of the same g, where nothing in between adds to G."""
    kept: list[Bundle | None] = list(order)
    before = -1  # place of the last that adds to G
    for at, bundle in enumerate(order):
        if bundle.kind not in ("outer", "accumulate"):
            continue
        one = kept[before] if before >= 0 else None
        whole = None if one is None else _together(one, bundle)
        if whole is not None:
            kept[before], kept[at] = None, whole
        before = at
    return [bundle for bundle in kept if bundle is not None]


def _together(one: Bundle, other: Bundle) -> Bundle | None:
    """An outer product and the sums of its g as one bundle, where their places in G allow it."""
    outer, sums = (one, other) if one.kind == "outer" else (other, one)
    if outer.kind == sums.kind or outer.k is not None or tuple(outer.operands[0]) != tuple(sums.operands[0]):
        return None
    rows = [(*row, place) for row, place in zip(outer.rows, sums.rows)]
    if len({place for row in rows for place in row}) < len(rows) * len(rows[0]) or offsets(rows) is None:
        return None
    return Bundle("outer", outer.op, "accumulate", [], outer.operands, rows)


def _follows(bundle: Bundle, order: list[Bundle], producer: dict[int | None, int]) -> bool:
    """Whether it may be within a dense bundle: it is on all of the values of one."""
    if bundle.kind != "map" or bundle.repeat:  # a row has one sum, and one value
        return False
    run = bundle.operands[0]
    before = producer.get(run[0])
    return before is not None and tuple(order[before].members) == run


def _readers(order: list[Bundle], outputs: Iterable[int]) -> Counter[int]:
    """By member of a dense bundle, how many runs of operands it is in; an output is one more."""
    members = {x for bundle in order if bundle.kind == "dense" for x in bundle.members}
    read = chain.from_iterable(chain.from_iterable(bundle.operands for bundle in order))
    return Counter(filter(members.__contains__, chain(read, outputs)))
