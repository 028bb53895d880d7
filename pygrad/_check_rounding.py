"""For gradcheck: how large the rounding error of a graph's result may be, of scalars and of arrays.

Looks at the data and the gradients that the nodes have, and changes nothing.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable
from typing import Any

import numpy as np

EPSILON = sys.float_info.epsilon


def rounding(order: Iterable[Any]) -> float:
    """A first-order bound of the rounding error in the last Value of a graph whose gradients are those of that Value.

    Each node's relative rounding error reaches it by way of the node's adjoint, so: epsilon times the sum of
    |adjoint * value| (Linnainmaa, Taylor expansion of the accumulated rounding error, BIT 16, 1976). Terms that are
    not finite are left out: they would excuse everything.
    """
    bound = 0.0
    for v in order:
        if not v.operands:
            continue
        if v.shape or v._record is not None:
            with np.errstate(all="ignore"):
                terms = np.abs(v.grad) * _of_array(v)
            bound += float(np.sum(terms, where=np.isfinite(terms)))
        else:
            term = abs(v.grad) * _of_scalar(v)
            bound += term if math.isfinite(term) else 0.0
    return EPSILON * bound


# Of one node, in epsilons. A sum may cancel: then the size of its terms counts, not its own.


def _of_scalar(v: Any) -> float:
    x = v.operands
    terms: list[float] = []
    if v._op == "dot":
        terms = [a.data * b.data for a, b in zip(x, x[len(x) - len(x) // 2 :])]
    elif v._op == "logsumexp":
        terms = [1.0]  # of the sum, relative to it
    elif len(x) > 2:
        terms = [a.data for a in x]
    size: float = abs(v.data)
    for term in terms:
        size += len(x) * abs(term)
    return size


_SUMS = ("sum", "mean", "cumsum", "matmul", "dot", "linear", "einsum")


def _of_array(v: Any) -> Any:
    size = np.abs(v.data)
    if v._record is None:  # a user-defined op
        return size
    rule, options, _ = v._record
    if rule.name in _SUMS:
        terms = [abs(x.data) for x in v.operands]
        count = max(map(np.size, terms))
        return size + count * (rule.value(terms, options) if rule.arity < 0 else rule.value(*terms, options))
    return size + 1.0 if rule.name in ("logsumexp", "log_softmax") else size  # their sums are 1, relative to them
