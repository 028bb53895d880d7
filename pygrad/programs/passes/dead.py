"""Drops the instructions that no output needs.

Does not look at what an instruction computes: what is done for its effect stands among the outputs, and is kept. Looks
at each instruction only where something is dropped, for most codes that come here are free of dead ones.
"""

from __future__ import annotations

import numpy as np

from ..code import Code
from ..flat import flat, kept


def dead_code(code: Code) -> Code:
    """The instructions that outputs depend on, in their order; the outputs as they are, repeats too."""
    uses = np.bincount(flat(code)[0], minlength=len(code))
    uses[code.outputs] += 1
    unused = np.flatnonzero(uses == 0).tolist()
    if not unused:
        return code.copy()
    keep = bytearray(b"\1") * len(code)
    left = uses.tolist()
    while unused:
        i = unused.pop()
        keep[i] = 0
        for x in code.args[i]:
            left[x] -= 1
            if not left[x]:
                unused.append(x)
    return kept(code, keep)
