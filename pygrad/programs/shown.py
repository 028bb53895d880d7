"""A whole program as text: what listing.py shows of each of its stages, with names for what stages take and give.

Only for reading. Stages are encode.py's; nothing here knows how they are made.
"""

from __future__ import annotations

import numpy as np

from .arguments import Layout
from .parameters import Source


def names_of(layout: Layout, source: Source) -> dict[tuple[str, int], str]:
    """What leaves are called: arguments by their names, parameters and shared Values by their labels, where they have
    some."""
    names, k = {}, 0
    for name, shape in zip(layout.names, layout.shapes):
        for at in np.ndindex(*shape):
            names["input", k] = name + "".join(f"[{i}]" for i in at)
            k += 1
    for k, label in enumerate(source.labels()):
        names["parameter", k] = label or (f"p[{k}]" if k < source.count else f"shared[{k - source.count}]")
    return names
