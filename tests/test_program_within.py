"""Ops within dense instructions in C: the values against the slow machine for words, and words that are refused.

Which layers get one is pygrad/programs/fuse.py's decision and its test's subject.
"""

from __future__ import annotations

import numpy as np
import pytest

from pygrad._ffi import OP_CODES, lib

from . import program_words as w
from .program_words import Array, Stage, assemble
from .test_program_vm import check, put, small, status_of


def layers(name: str, form: int, nin: int, rows: int, down: bool) -> tuple[Array, Array]:
    """A layer with an op in it. Arguments: what goes into the layer, and the op's values for derivatives."""
    s = Stage()
    x, h = s.load(w.ARGUMENT, s.new(nin), nin), s.load(w.ARGUMENT, s.new(rows), rows, source=1)
    z = s.new(rows)
    at = s.pooled([r * nin for r in range(rows)], range(nin), range(rows))
    s.do(w.DENSE_DOWN if down else w.DENSE, z=z, a=x + (nin - 1) * down, b=h if form else z, c=nin,
         d=OP_CODES[name] | form << 8, width=rows, at=at)  # fmt: skip
    s.store(w.OUTPUT, z, rows)
    return assemble(rows * nin, [s], arguments=[nin, rows], outputs=[rows])


@pytest.mark.parametrize("down", [False, True])
@pytest.mark.parametrize(("name", "form"), [("relu", w.VALUE), ("relu", w.DX), ("tanh", w.DX), ("sigmoid", w.DX)])
@pytest.mark.parametrize("samples", [1, 7, 100])
def test_the_values(name: str, form: int, down: bool, samples: int) -> None:
    random = np.random.default_rng(samples)
    for nin, rows in ((1, 1), (3, 11), (40, 9), (700, 5)):
        x, h = random.normal(size=(samples, nin)), random.normal(size=(samples, rows))
        x[0], h[0, 0] = 0.0, 0.0
        x[-1, 0], h[-1, -1] = np.nan, np.nan
        check(layers(name, form, nin, rows, down), random.normal(size=rows * nin), samples, arguments=[x, h])


def refused(name: str, b: int, form: int = w.VALUE, more: int = 0) -> bool:
    """The op in a layer that writes slot 1 if b is that, else a slot of its own; `more` slots are never written."""
    s = small()
    s.new(more)
    s.do(w.DENSE, z=1 if b == 1 else None, a=0, b=b, c=1, d=OP_CODES[name] | form << 8, at=s.pooled([0], [0], [0]))
    return status_of(*put(s)) == lib.PG_ERR_PROGRAM


def test_refusals() -> None:
    assert refused("tanh", 1)  # only relu may take the place of its operands
    assert refused("exp", 3, w.DX)
    assert refused("relu", 3, w.DY)
    assert refused("relu", 3, 255)
    assert refused("relu", 1, w.DX)  # the values are where the derivatives go
    assert refused("relu", 5, w.DX)  # no such slot
    assert refused("relu", 4, w.DX, more=5)  # a slot that was never written
    for name in ("relu", "tanh", "sigmoid"):
        assert not refused(name, 0, w.DX)
        assert not refused(name, 3, w.DX, more=5)
    assert not refused("relu", 1)
