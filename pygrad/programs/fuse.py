"""Fusion: activations, and the derivatives of activations, within the dense layers that they belong to.

A relu that alone reads the sums of a layer is applied before they are stored, and so is the derivative of an
activation to the sums of a transposed layer. Bundles go in and come out, in an order in which they can run; the
operations and their order stay as they are. A dense bundle's k says what is applied: 'relu', or 'd0:relu' and the
like, with the activation's values as its second operand. Decides nothing about slots.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import chain

from .bundles import Bundle

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


def _follows(bundle: Bundle, order: list[Bundle], producer: dict[int | None, int]) -> bool:
    """Whether it may be within a dense bundle: it is on all of the values of one."""
    if bundle.kind != "map":
        return False
    run = bundle.operands[0]
    before = producer.get(run[0])
    return before is not None and tuple(order[before].members) == run


def _readers(order: list[Bundle], outputs: Iterable[int]) -> Counter[int]:
    """By member of a dense bundle, how many runs of operands it is in; an output is one more."""
    members = {x for bundle in order if bundle.kind == "dense" for x in bundle.members}
    read = chain.from_iterable(chain.from_iterable(bundle.operands for bundle in order))
    return Counter(filter(members.__contains__, chain(read, outputs)))
