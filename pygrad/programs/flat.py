"""Operands of all instructions as one array, for what NumPy does for all values at once; and back."""

from __future__ import annotations

from itertools import chain, compress, pairwise

import numpy as np
from numpy.typing import NDArray

from .code import Code

Integers = NDArray[np.int64]


def flat(code: Code) -> tuple[Integers, Integers]:
    """The operands of all instructions one after the other, and how many each has."""
    widths = np.fromiter(map(len, code.args), dtype=np.int64, count=len(code.args))
    operands = np.fromiter(chain.from_iterable(code.args), dtype=np.int64, count=int(widths.sum()))
    return operands, widths


def tuples(operands: Integers, widths: Integers) -> list[tuple[int, ...]]:
    """The operands of each instruction."""
    numbers = tuple(operands.tolist())
    ends = [0, *np.cumsum(widths).tolist()]
    return [numbers[start:end] for start, end in pairwise(ends)]


def kept(code: Code, keep: bytearray, same: list[int] | None = None) -> Code:
    """The instructions to be kept, of which keep has 1, in their order. same: for each value the kept one that is used
    in its place; by default itself."""
    chosen = np.frombuffer(keep, np.bool_)
    number = np.cumsum(chosen) - 1
    if same is not None:
        number = number[same]
    operands, widths = flat(code)
    new = Code(list(compress(code.ops, keep)), [], list(compress(code.ks, keep)))
    new.args = tuples(number[operands[np.repeat(chosen, widths)]], widths[chosen])
    new.outputs = number[code.outputs].tolist()
    return new
