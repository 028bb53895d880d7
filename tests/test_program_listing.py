"""How programs are shown, and how their work is counted."""

from __future__ import annotations

from pygrad.programs.code import Code
from pygrad.programs.listing import counts, listing

from .program_codes import NAMES, code_of


def test_long_lists_of_operands_and_long_programs_are_cut():
    code = Code()
    pairs = [(code.add("parameter", (), k), code.add("input", (), k)) for k in range(784)]
    dot = code.add("dot", (code.add("constant", (), 0.5), *(i for pair in pairs for i in pair)))
    code.outputs = [dot]
    assert listing(code) == (
        f"%{dot} = dot 0.5 + parameter 0*input 0 + parameter 1*input 1 + parameter 2*input 2 + ... 784 terms\n"
        f"return %{dot}"
    )
    for _ in range(10):
        code.outputs = [code.add("relu", (code.outputs[0],))]
    lines = listing(code, most=4).splitlines()
    assert len(lines) == 6
    assert lines[2] == "... 7 instructions"


def test_instructions_of_samples_and_gradients_are_readable():
    code = Code()
    x, seed = code.add("input", (), 0), code.add("seed")
    code.add("pick", (x, seed), 1)
    code.add("dpick", (seed,), (1, 7))
    code.add("d0:tanh", (seed, x, 2))
    code.outputs = [code.add("accumulate", (4,), 3)]
    assert listing(code, NAMES) == (
        "%2 = pick index 1 of x0, seed\n%3 = dpick seed where index 1 is 7\n%4 = d0:tanh seed, x0, %2\n"
        "accumulate %4 to G[3]\nreturn"
    )


def test_counts():
    code = code_of(
        """
        a = dot w0 x0 x1 x1 w2
        b = dot x0 x1 x1 w2
        c = sum a b x1
        d = tanh c
        e = logsumexp d a
        f = d0:tanh x0 c d
        g = mul f f
        return e g
        """
    )
    found = counts(code)
    assert found.instructions == {"dot": 2, "sum": 1, "tanh": 1, "logsumexp": 1, "d0:tanh": 1, "mul": 1}
    assert found.flops == 4 + 3 + 2 + 1 + 7 + 3 + 1
    code.add("outer", (0, 1, 1, 1), (0, 1, 2))
    code.add("accumulate", (0,), 3)
    assert counts(code).flops == found.flops + 7


def test_empty_code():
    assert listing(Code()) == "return"
    assert counts(Code()) == ({}, 0)
