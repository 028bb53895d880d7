"""Who uses a value, found by NumPy for all values at once."""

from __future__ import annotations

import numpy as np

from ..code import Code
from ..flat import flat


def only_users(code: Code) -> list[int]:
    """For each value the instruction that uses it, if that is all that does, and once; else -1, as for an output.

    One entry more than there are values, -1, for lists that have a place for "no value" at their end.
    """
    n = len(code.ops)
    operands, widths = flat(code)
    users = np.full(n + 1, -1, dtype=np.int64)
    users[operands] = np.repeat(np.arange(n), widths)
    users[:n][np.bincount(operands, minlength=n) != 1] = -1
    users[code.outputs] = -1
    found: list[int] = users.tolist()
    return found
