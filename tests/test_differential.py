"""Random programs of hundreds of ops: every data and grad of every node, and every exception, on all backends."""

from __future__ import annotations

from hypothesis import given, settings

from pygrad import backends

from .programs import Instruction, programs, run

REFERENCE = backends.load("python")


@given(programs)
@settings(max_examples=150)
def test_all_backends_agree_bit_for_bit(program: list[Instruction]) -> None:
    expected = run(REFERENCE, program)
    for name in ("cffi", "c"):
        assert run(backends.load(name), program) == expected
