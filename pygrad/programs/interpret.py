"""Runs code over samples slowly, with the formulas of the op table and libm: what a program means.

The oracle of the C machine and of every pass: a sample's numbers are those of the graph engine to the last bit, but
where Python's arithmetic would raise, they are what IEEE 754 has: inf or nan. Arithmetic that is correctly rounded is
done by NumPy on all samples at once, everything else by the functions of `math`, number by number. Not for use in
earnest: it keeps every value of every sample.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _ieee
from ..ops import OPS
from .code import EFFECTS, Code

Lanes = NDArray[np.float64]


class _Mathematics:
    """What the derivatives of the op table take as `m`, on lanes, with the bits of _ieee on floats."""

    divide = staticmethod(np.divide)
    where = staticmethod(np.where)
    equal = staticmethod(np.equal)

    def __getattr__(self, name: str) -> Callable[..., Lanes]:
        return each(getattr(_ieee, name))


def each(f: Callable[..., float]) -> Callable[..., Lanes]:
    """The function of floats, applied sample by sample; nan where it raises ValueError, as outside its domain."""

    def number(*xs: float) -> float:
        try:
            return float(f(*xs))
        except ValueError:
            return math.nan

    def lanes(*operands: Any) -> Lanes:
        columns = [column.tolist() for column in np.broadcast_arrays(*operands)]
        return np.array([number(*xs) for xs in zip(*columns)], dtype=np.float64)

    return lanes


_MATHEMATICS = _Mathematics()

_VALUES: dict[str, Callable[..., Any]] = {
    **{name: each(op.value) for name, op in OPS.items()},
    "neg": np.negative,
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "sqrt": np.sqrt,
    "exp": each(_ieee.exp),
    "log": each(_ieee.log),
    "pow": each(_ieee.power),
    "pow_const": each(_ieee.power),
}
"""The value of an op on lanes; those whose row in the op table raises have their IEEE 754 form here."""


def _sum(terms: Sequence[Lanes], samples: int) -> Lanes:
    """From the first to the last; 0 for none."""
    if not terms:
        return np.zeros(samples)
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


def _dot(operands: Sequence[Lanes], samples: int) -> Lanes:
    start = operands[: len(operands) % 2]
    rest = operands[len(start) :]
    return _sum([*start, *(w * x for w, x in zip(rest[::2], rest[1::2]))], samples)


def _logsumexp(operands: Sequence[Lanes], samples: int) -> Lanes:
    def one(*xs: float) -> float:
        largest = math.nan if any(x != x for x in xs) else max(xs, default=-math.inf)
        if not math.isfinite(largest):
            return largest
        total = 0.0
        for x in xs:
            total = total + math.exp(x - largest)
        return largest + math.log(total)

    return each(one)(*operands) if operands else np.full(samples, -math.inf)


_MANY = {"sum": _sum, "dot": _dot, "logsumexp": _logsumexp}


def _derivative(op: str, operands: Sequence[Lanes], k: Any) -> Any:
    """d0:OP or d1:OP."""
    which, name = op.split(":")
    if name == "logsumexp":
        g, x, z = operands
        return g * _MATHEMATICS.exp(x - z)
    if len(operands) == 4:
        g, x, y, z = operands
    else:
        g, x, z = operands
        y = k
    return OPS[name].derivatives[int(which[1])](_MATHEMATICS, g, x, y, z)


def samples_of(columns: Sequence[Any], indices: Sequence[Any]) -> int:
    """How many samples the columns have; 1 if there are none. Raises ValueError if they differ."""
    sizes = {len(column) for column in (*columns, *indices)} or {1}
    if len(sizes) > 1:
        raise ValueError(f"the columns have {sorted(sizes)} samples: all must have as many")
    return sizes.pop()


def run(
    code: Code,
    columns: Sequence[ArrayLike] = (),
    parameters: ArrayLike = (),
    shared: ArrayLike = (),
    indices: Sequence[ArrayLike] = (),
    seed: ArrayLike = 1.0,
    samples: int | None = None,
    gradient: ArrayLike | None = None,
) -> tuple[list[Lanes], Lanes]:
    """The outputs that are values, each an array of shape (samples,), and G.

    columns: for each input one number a sample. parameters, shared: a number each. indices: for each index column one
    integer a sample. seed: a number, or one a sample. samples: how many, where no column says so (default 1).
    gradient: what G starts from; by default zeros, as many as there are parameters or as the code's places need.

    Each effect adds to G from the first sample to the last, and the effects do so in the order of the code. Raises
    IndexError naming the sample for an index out of range, ValueError for columns of different lengths.
    """
    n = samples_of(columns, indices) if samples is None else samples
    leaves: dict[str, Callable[[Any], Any]] = {
        "input": lambda k: np.array(columns[k], dtype=np.float64),
        "parameter": lambda k: np.full(n, np.asarray(parameters, dtype=np.float64)[k]),
        "shared": lambda k: np.full(n, np.asarray(shared, dtype=np.float64)[k]),
        "constant": lambda k: np.full(n, float(k)),
        "seed": lambda k: np.broadcast_to(np.asarray(seed, dtype=np.float64), (n,)).copy(),
    }
    chosen = [np.asarray(column, dtype=np.int64) for column in indices]
    g = _start(code, np.asarray(parameters).size) if gradient is None else np.array(gradient, dtype=np.float64)
    values: list[Any] = []
    with np.errstate(all="ignore"):
        for op, args, k in zip(code.ops, code.args, code.ks):
            operands = [values[i] for i in args]
            if op in leaves:
                values.append(leaves[op](k))
            elif op in EFFECTS:
                _add(g, operands, k if op == "outer" else (k,))
                values.append(None)
            elif op == "pick":
                at = _checked(chosen[k], len(operands), k)
                values.append(np.array(operands)[at, np.arange(n)])
            elif op == "dpick":
                column, i = k
                values.append(np.where(chosen[column] == i, operands[0], 0.0))
            elif op in _MANY:
                values.append(_MANY[op](operands, n))
            elif ":" in op:
                found = _derivative(op, operands, k)
                values.append(np.broadcast_to(np.asarray(found, dtype=np.float64), (n,)))
            else:
                values.append(_VALUES[op](*operands, *(() if k is None else (float(k),))))
    return [values[i] for i in code.outputs if code.ops[i] not in EFFECTS], g


def _start(code: Code, parameters: int) -> Lanes:
    places = [parameters - 1]
    for op, k in zip(code.ops, code.ks):
        if op in EFFECTS:
            places.extend(k if op == "outer" else (k,))
    return np.zeros(max(places) + 1)


def _add(g: Lanes, operands: Sequence[Lanes], places: Sequence[int]) -> None:
    """G[place] += the product (outer) or the number (accumulate) of the first sample, the next, ..."""
    terms = [operands[0] * x for x in operands[1:]] or [operands[0]]
    for of_samples, place in zip(terms, places, strict=True):
        for term in of_samples.tolist():
            g[place] += term


def _checked(at: NDArray[np.int64], bound: int, column: int) -> NDArray[np.int64]:
    """Raises IndexError for an entry outside 0 <= index < bound."""
    wrong = np.flatnonzero((at < 0) | (at >= bound))
    if wrong.size:
        s = int(wrong[0])
        raise IndexError(f"index column {column}, sample {s}: {int(at[s])} is not one of 0 to {bound - 1}")
    return at
