"""What a program consists of and what making it took, as numbers and as a table. Measures nothing itself."""

from __future__ import annotations

from collections import Counter
from typing import Any

from .encode import Encoded
from .listing import counts
from .pipeline import Pass


class Stats(dict[str, Any]):
    """A dict with what there is to know of a program; printed, it is a table of the passes.

    passes: of each pass in order a dict of 'pass' (its name), 'instructions' and 'flops' of what it gave, and
    'seconds'. instructions: of the vector instructions of a run, how many there are of each kind. flops: of one
    sample (of a function without arguments, of all of it): an addition or multiplication is one, a function one.
    bytes: of what a run works on: 'sample', the slots of one sample, 'shared', parameters, constants and what all
    samples share. seconds: of 'recording', of each pass by name, and of 'encoding'.
    """

    def __str__(self) -> str:
        rows = [("pass", "instructions", "flops", "ms")]
        rows += [
            (row["pass"], f"{row['instructions']:,}", f"{row['flops']:,}", f"{1e3 * row['seconds']:.2f}")
            for row in self["passes"]
        ]
        widths = [max(len(row[i]) for row in rows) for i in range(4)]
        lines = [
            "  ".join(cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths)))
            for row in rows
        ]
        kinds = ", ".join(f"{n} {kind}" for kind, n in self["instructions"].items())
        sizes = self["bytes"]
        lines.append(f"vector instructions: {kinds}")
        lines.append(f"working set: {sizes['sample']:,} bytes a sample, {sizes['shared']:,} bytes shared")
        return "\n".join(lines)


def stats_of(encoded: Encoded, passes: list[Pass], recording: float) -> Stats:
    """The statistics of a program that was built. recording: seconds."""
    rows: list[dict[str, Any]] = []
    seconds = {"recording": recording}
    for done in passes:
        instructions, flops = counts(done.code)
        rows.append(
            {"pass": done.name, "instructions": sum(instructions.values()), "flops": flops, "seconds": done.seconds}
        )
        if done.name != "recorded":
            seconds[done.name] = seconds.get(done.name, 0.0) + done.seconds
    kinds: Counter[str] = Counter()
    flops = 0
    for stage, layout in zip(encoded.stages, encoded.layouts):
        kinds.update(bundle.op if bundle.kind == "map" else bundle.kind for bundle in layout.prologue + layout.body)
        flops += counts(stage.code).flops * max(stage.lanes, 1)
    shared = int(encoded.words[2] + encoded.words[3] + encoded.words[4])
    slots = max((layout.slots for layout in encoded.layouts), default=0)
    return Stats(
        passes=rows,
        instructions=dict(kinds.most_common()),
        flops=flops,
        bytes={"sample": 8 * slots, "shared": 8 * shared},
        seconds=seconds,
    )
