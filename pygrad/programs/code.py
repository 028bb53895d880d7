"""Straight-line code in static single assignment: what a recording becomes, and what passes work on.

Value i is what instruction i computes; an operand is the number of an earlier instruction. Nothing here decides
anything: recording (record.py) makes code, passes change it, encode.py lays it out for C, interpret.py runs it slowly.

Names of ops:
  input      k: number of the column of numbers, one a sample
  parameter  k: its number
  constant   k: the float
  shared     k: a value that all samples share, computed by another code: its number there
  seed       what the gradient of the loss starts from, one a sample
  those of pygrad.ops.OPS and csrc/ops.h: neg, add, ..., sum, dot, logsumexp; k: the constant of
             pow_const, leaky_relu, elu
  pick       operand number k-th index column; k: number of the index column
  d0:OP, d1:OP  the derivative of OP by its first or second operand, times g; operands g, x[, y], z; k as OP's
  dpick      operand g; k: (index column, i): g where the index is i, else 0
  outer      operands g, x0, x1, ...; k: as many places in G: G[place] += g * x, summed over the samples. Has no value
  accumulate operand g; k: a place in G: G[place] += g, summed over the samples. Has no value
A dot has operands [start,] w0, x0, w1, x1, ...: an odd number of them if there is a start.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

LEAVES = frozenset({"input", "parameter", "constant", "shared", "seed"})
SHARED = frozenset({"parameter", "constant", "shared"})
"""Leaves that are the same for all samples."""
EFFECTS = frozenset({"outer", "accumulate"})
"""Done for what they add to G: never merged, never dropped; they stand among the outputs."""


@dataclass
class Code:
    """Instructions, as three lists of one length, and the values that are wanted of them."""

    ops: list[str] = field(default_factory=list)
    args: list[tuple[int, ...]] = field(default_factory=list)
    ks: list[Any] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.ops)

    def add(self, op: str, args: tuple[int, ...] = (), k: Any = None) -> int:
        """Appends an instruction; its number."""
        self.ops.append(op)
        self.args.append(args)
        self.ks.append(k)
        return len(self.ops) - 1

    def copy(self) -> Code:
        """The same, in lists of its own."""
        return Code(list(self.ops), list(self.args), list(self.ks), list(self.outputs))
