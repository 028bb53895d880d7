"""A whole program as text: each stage's code, with names for what it takes and gives, and its vector instructions.

Only for reading. listing.py shows code; stages and vector instructions are encode.py's, bundles.py's and slots.py's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby

import numpy as np

from .arguments import Layout
from .bundles import Bundle
from .encode import Encoded, Stage
from .listing import counted, listing
from .parameters import Source
from .slots import Layout as Slots

Names = Mapping[tuple[str, int], str]

_LEAST = 4  # instructions shown of a stage
_VECTORS = 24  # vector instructions shown of a stage


def names_of(layout: Layout, source: Source) -> dict[tuple[str, int], str]:
    """What leaves are called: arguments by their names, parameters and shared Values by their labels, where they have
    some, and then the direction of derivatives along one."""
    names, k = {}, 0
    for name, shape in zip(layout.names, layout.shapes):
        for at in np.ndindex(*shape):
            names["input", k] = name + "".join(f"[{i}]" for i in at)
            k += 1
    for k, label in enumerate(source.labels()):
        names["parameter", k] = label or (f"p[{k}]" if k < source.count else f"shared[{k - source.count}]")
        names["parameter", source.total + k] = f"along[{k}]"
    return names


def shown(encoded: Encoded, names: Names, most: int | None = None) -> str:
    """All stages in the order in which they run, each under its name if there are several.

    V are the parameters, and after them what stages compute for later ones; G is the gradient by all that is in V.
    most: instructions, about; many stages are cut, too.
    """
    stages = list(zip(encoded.stages, encoded.layouts))
    if len(stages) == 1:
        return _stage(encoded, *stages[0], names, most)
    kept = len(stages) if most is None else min(len(stages), max(2, most // _LEAST))
    each = None if most is None else max(_LEAST, most // kept)
    first, last = (kept + 1) // 2, len(stages) - kept // 2
    parts = [
        f"{_title(stage)}:\n{_stage(encoded, stage, layout, names, each)}"
        for i, (stage, layout) in enumerate(stages)
        if i < first or i >= last
    ]
    if kept < len(stages):
        parts.insert(first, f"... {counted(len(stages) - kept, 'part')}")
    return "\n".join(parts)


def _title(stage: Stage) -> str:
    return f"{stage.name}, {counted(stage.lanes, 'lane')}" if stage.lanes else stage.name


def _stage(encoded: Encoded, stage: Stage, layout: Slots, names: Names, most: int | None) -> str:
    parameters = int(encoded.words[2])
    own = dict(names)
    for op, k in zip(stage.code.ops, stage.code.ks):
        if op == "shared":
            own[op, k] = f"V[{parameters + k}]"
    rows = 0
    for k, (kind, *source) in enumerate(stage.sources):
        if kind == "rows":
            own["input", k] = f"data[{rows}]"
            rows += 1
        elif kind != "argument":
            own["input", k] = _places("V" if kind == "gather" else "G", source[0])
    targets = []
    for kind, *target in stage.targets:
        if kind == "output":
            targets.append("")
        elif kind == "scatter":
            targets.append(f"{_places('V', range(target[0], target[0] + max(stage.lanes, 1)))} =")
        else:
            targets.append(f"{_places('G', target[0])} +=")
    return f"{listing(stage.code, own, most, targets)}\n{_vectors(layout)}".strip("\n")


def _places(array: str, places: Sequence[int]) -> str:
    """The places of all lanes, cut: V[3], V[3..102], V[3, 7, ...]."""
    first, last = places[0], places[-1]
    if len(places) == 1:
        return f"{array}[{first}]"
    if list(places) == list(range(first, last + 1)):
        return f"{array}[{first}..{last}]"
    return f"{array}[{first}, {places[1]}{', ...' if len(places) > 2 else ''}]"


# ---- vector instructions ----


def _vectors(layout: Slots) -> str:
    """What a stage is run as, in order, with widths."""
    fills = sum(len(bundle.operands[0]) for bundle in layout.prologue)
    names = [f"fill {fills}"] if fills else []
    for name, same in groupby(map(_vector, layout.body)):
        count = len(list(same))
        names.append(name if count == 1 else f"{count} x {name}")
    if len(names) > _VECTORS:
        half = _VECTORS // 2
        names[half:-half] = [f"... {len(names) - 2 * half} more ..."]
    return f"runs as: {', '.join(names) or 'nothing'}"


def _vector(bundle: Bundle) -> str:
    """One vector instruction: its op and how many values it computes; of matrices rows x columns, and what is fused."""
    if bundle.kind == "dense":
        return f"dense {len(bundle.members)}x{len(bundle.operands[0])}" + (f" + {bundle.k}" if bundle.k else "")
    if bundle.kind == "outer":
        return f"outer {len(bundle.operands[0])}x{len(bundle.operands[1])}" + (f" + {bundle.k}" if bundle.k else "")
    if bundle.kind in ("sum", "dot", "logsumexp", "pick"):
        return f"{bundle.kind} of {sum(map(len, bundle.operands))}"
    name = bundle.op if bundle.kind == "map" or bundle.op == "seed" else bundle.kind
    return f"{name} {len(bundle.operands[0]) if bundle.kind == 'accumulate' else len(bundle.members)}"
