"""Uniform parts: what depends on parameters and constants only is computed once a run, not once a sample.

Such values move to a code of their own, whose results the code of the samples reads as ("shared", k). A pure data-flow
change: no value's arithmetic is touched.
"""

from __future__ import annotations

from typing import NamedTuple

from .code import EFFECTS, LEAVES, SHARED, Code


class Split(NamedTuple):
    """Code in two parts. Value number k of shared.outputs is the ("shared", first + k) of samples."""

    shared: Code
    samples: Code


def uniform_values(code: Code) -> list[bool]:
    """Which values are the same for all samples."""
    uniform = [False] * len(code)
    for i, (op, args) in enumerate(zip(code.ops, code.args)):
        if op in LEAVES:
            uniform[i] = op in SHARED
        elif op in EFFECTS or op in ("pick", "dpick"):
            continue
        else:
            for x in args:
                if not uniform[x]:
                    break
            else:
                uniform[i] = True
    return uniform


def split_shared(code: Code, first: int = 0) -> Split:
    """The computed values that all samples share, and the rest. first: the number of the first of them.

    Leaves are not moved: each part has those it uses. An output that all samples share is read in the samples' part.
    """
    ops, ks = code.ops, code.ks
    uniform = uniform_values(code)
    shared, samples = Code(), Code()
    inside: dict[int, int] = {}  # number in shared
    outside = [-1] * len(code)  # number in samples

    def in_shared(i: int) -> int:
        if i not in inside:
            inside[i] = shared.add(ops[i], (), ks[i])
        return inside[i]

    def in_samples(i: int) -> int:
        if outside[i] < 0:
            if ops[i] in LEAVES:
                outside[i] = samples.add(ops[i], (), ks[i])
            else:  # computed in shared
                shared.outputs.append(inside[i])
                outside[i] = samples.add("shared", (), first + len(shared.outputs) - 1)
        return outside[i]

    for i, args in enumerate(code.args):
        if ops[i] in LEAVES:
            continue
        if uniform[i]:
            inside[i] = shared.add(ops[i], tuple([in_shared(x) for x in args]), ks[i])
            continue
        for x in args:
            if outside[x] < 0:
                in_samples(x)
        outside[i] = samples.add(ops[i], tuple([outside[x] for x in args]), ks[i])
    samples.outputs = [in_samples(i) for i in code.outputs]
    return Split(shared, samples)
