"""From a recording to the programs it is run as. Which passes there are, pipeline.py says.

A program computes outputs ('value'), the loss and its gradient summed over the samples ('gradient'), both at once
('gradient_outputs'; of functions with arguments only), or, for each sample, the gradient by its inputs ('inputs') or
by the parameters ('samples'); or along a direction, which follows the parameters as so many more, the outputs and
their derivatives ('jvp') or the gradient's derivative summed over the samples ('hvp'). Knows neither C nor arrays of
data.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from . import per_sample
from .code import Code
from .encode import Encoded
from .passes import add_negated, dead_code
from .pipeline import Pass, Passes, Signature, prepared
from .whole import build_whole

BUILDERS = {
    "value": per_sample.value,
    "gradient": per_sample.gradient,
    "gradient_outputs": per_sample.gradient,
    "inputs": per_sample.by_inputs,
    "samples": per_sample.by_sample,
    "jvp": per_sample.jvp,
    "hvp": per_sample.hvp,
}


def build(code: Code, signature: Signature, what: str, *, exact: bool = False) -> tuple[Encoded, list[Pass]]:
    """The program for what is asked, and what each pass did; the last, 'encoding', is what is not in the code.

    Raises ValueError for any other `what` than those above.
    """
    passes = Passes()
    passes.add("recorded", code)
    with _without_collector():
        encoded = _built(code, signature, what, exact, passes)
    passes.add("encoding", passes.done[-1].code)
    return encoded, passes.done


def build_words(
    code: Code, signature: Signature, what: str, *, exact: bool = False
) -> tuple[NDArray[np.uint32], NDArray[np.float64]]:
    """The words and constants of the same program. All that it was made from is freed before the collector runs again,
    which would go through it, and no pass keeps its code."""
    with _without_collector():
        encoded = _built(code, signature, what, exact, Passes(kept=False))
        words, constants = encoded.words, encoded.constants
        del encoded
    return words, constants


def _built(code: Code, signature: Signature, what: str, exact: bool, passes: Passes) -> Encoded:
    if what not in BUILDERS:
        raise ValueError(f"what must be one of {', '.join(map(repr, BUILDERS))}, not {what!r}")
    if not signature.columns and what in ("value", "gradient"):
        return build_whole(add_negated(dead_code(code)), signature, what, exact, passes)
    code = per_sample.numbered_indices(code, signature)
    if what not in ("value", "gradient_outputs", "jvp"):
        code = code.copy()
        code.outputs = code.outputs[:1]
    code = prepared(code, exact, passes)
    return BUILDERS[what](code, signature, passes)


@contextmanager
def _without_collector() -> Iterator[None]:
    """Passes make millions of small objects and no cycles: the cyclic collector would double their time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
