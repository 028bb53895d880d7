"""What is printed: aligned tables that are also Markdown, and the targets with what was measured.

Works on finished measurements only. A target is reached, missed or not measured; nothing here asserts one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from array_ops import ARRAY_OPS, SHAPES, keys
from engines import ENGINES
from measure import Measurement
from workloads import OPTIMISERS

Measurements = Mapping[str, Measurement]


@dataclass
class Table:
    """A table with its measurements by row name, and the remarks that stand under it. named: what a row is called."""

    title: str
    columns: list[str]
    measurements: Measurements
    rows: list[list[str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    named: Callable[[str], str] | None = None

    def text(self) -> str:
        """Markdown: the first column to the left, numbers to the right. Then why there is no number for a row."""
        lines = [self.columns, *self.rows]
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.columns))]

        def line(cells: Sequence[str]) -> str:
            return "| " + " | ".join([cells[0].ljust(widths[0]), *map(str.rjust, cells[1:], widths[1:])]) + " |"

        rule = "| " + " | ".join(["-" * widths[0], *("-" * (w - 1) + ":" for w in widths[1:])]) + " |"
        out = [f"### {self.title}", "", line(self.columns), rule, *map(line, self.rows)]
        if remarks := [*self.notes, *without_number(self.measurements, self.named or label)]:
            out += ["", *(f"- {remark}" for remark in remarks)]
        return "\n".join(out)

    def as_json(self) -> dict[str, Any]:
        return {
            "title": self.title,
            "columns": self.columns,
            "rows": self.rows,
            "notes": self.notes,
            "measurements": {name: m.as_json() for name, m in self.measurements.items()},
        }


_WHY = {"missing": "not installed", "wrong": "WRONG, so not timed", "unable": "left out", "failed": "FAILED"}


def without_number(measurements: Measurements, named: Callable[[str], str]) -> list[str]:
    """One remark for each row that could not be measured."""
    return [
        f"{named(name)}: {_WHY[m.problem[0]]} ({m.problem[1]})" for name, m in measurements.items() if m.problem
    ]


def label(name: str) -> str:
    return ENGINES[name].label if name in ENGINES else name


# ---- numbers ----


def duration(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size or unit == "µs":
            break
    return f"{digits(seconds / size)} {unit}"


def digits(x: float) -> str:
    """Three significant digits, without an exponent."""
    return f"{x:,.0f}" if abs(x) >= 100 else f"{x:.1f}" if abs(x) >= 10 else f"{x:.2f}"


def cell(x: float | None, write: Callable[[float], str] = digits) -> str:
    return "-" if x is None else write(x)


def _times(x: float) -> str:
    return f"{digits(x)} x"


# ---- tables ----


def training_table(title: str, measurements: Measurements, per: str) -> Table:
    """Time, and how many times as fast as the first engine that has a time."""
    timed = {name: m for name, m in measurements.items() if not m.problem}
    first = next(iter(timed), "")
    table = Table(title, ["engine", f"time {per}", f"times {label(first)}", "rounds"], measurements)
    for name, m in timed.items():
        ratio = timed[first]["seconds"] / m["seconds"]
        table.rows.append([label(name), duration(m["seconds"]), _times(ratio), str(m.rounds)])
    return table


def batch_table(title: str, measurements: Measurements) -> Table:
    """Time a step, also as a multiple of NumPy's by hand, the faster torch's and autograd's."""
    timed = {name: m["seconds"] for name, m in measurements.items() if not m.problem}
    bases = {base: seconds for base in BATCH_BASES if (seconds := _fastest(timed, BATCH_BASES[base])) is not None}
    table = Table(title, ["engine", "time a step", *(f"/ {base}" for base in bases), "rounds"], measurements)
    for name, seconds in timed.items():
        ratios = [f"{seconds / base:.2f} x" for base in bases.values()]
        table.rows.append([label(name), duration(seconds), *ratios, str(measurements[name].rounds)])
    return table


BATCH_BASES = {"NumPy by hand": ("numpy",), "torch": ("torch", "torch-nn"), "autograd": ("autograd",)}
"""What a batch's times are compared with: the fastest of some rows."""


def _fastest(seconds: Mapping[str, float | None], names: Sequence[str]) -> float | None:
    return min((x for name in names if (x := seconds.get(name)) is not None), default=None)


def fit_table(title: str, measurements: Measurements, batch: float | None) -> Table:
    """Time an epoch and accuracy. batch: seconds that micrograd takes for one batch, if that is known."""
    table = Table(title, ["engine", "time an epoch", "times micrograd", "test accuracy", "rounds"], measurements)
    epoch = None if batch is None else BATCHES * batch
    for name, m in measurements.items():
        if m.problem:
            continue
        ratio = None if epoch is None else epoch / m["seconds"]
        cells = [duration(m["seconds"]), cell(ratio, _times), f"{100 * m['accuracy']:.1f} %"]
        table.rows.append([label(name), *cells, str(m.rounds)])
    if epoch is not None:
        table.notes.append(f"micrograd: {duration(epoch)} an epoch, extrapolated from one batch")
    return table


BATCHES = 45
"""Of 32, in the 1,437 pictures of the training set."""


def optimiser_table(title: str, measurements: Measurements) -> Table:
    table = Table(title, ["optimiser", "engine", "time a step", "a parameter", "rounds"], measurements)
    for name, m in measurements.items():
        if m.problem:
            continue
        kind, _, engine = name.partition("; ")
        each = f"{digits(1e9 * m['seconds'] / m.job['parameters'])} ns"
        table.rows.append([kind, label(engine), duration(m["seconds"]), each, str(m.rounds)])
    return table


def graph_table(title: str, measurements: Measurements) -> Table:
    """Nanoseconds an operation; forward also as a multiple of plain floats."""
    columns = ["engine", "operations", "forward ns", "/ plain floats", "backward ns", "free ns", "rounds"]
    table = Table(title, columns, measurements)
    floats = measurements.get("floats")
    base = floats["forward"] if floats and not floats.problem else None
    for name, m in measurements.items():
        if m.problem:
            continue
        forward, ratio = m["forward"], m["forward"] / base if base else None
        cells = [cell(forward), cell(ratio, _times), cell(m.get("backward")), cell(m.get("free"))]
        table.rows.append([label(name), f"{m['ops']:,.0f}", *cells, str(m.rounds)])
    return table


BATCH_FORMS = ("c-mlp", "c-linear", "c-expressions")
"""The forms in which pygrad is given a batch."""

ARRAY_OP_LIMIT = 1.5
"""Microseconds."""


def array_ops_table(title: str, name: str, m: Measurement) -> Table:
    """Microseconds beyond the bare NumPy calls. The limit is for c."""
    phases = [(shape, phase) for shape in SHAPES for phase in ("forward", "backward")]
    limit = f"all <= {ARRAY_OP_LIMIT:g} µs"
    columns = ["operation", *(f"{phase} µs, {n} x {m}" for (n, m), phase in phases), *([limit] if name == "c" else [])]
    table = Table(title, columns, {name: m})
    if m.problem:
        return table
    for op in ARRAY_OPS:
        numbers = [m[keys(op, shape)[phase]] / 1e3 for shape, phase in phases]
        verdict = ["yes" if max(numbers) <= ARRAY_OP_LIMIT else "NO"] if name == "c" else []
        table.rows.append([f"`{op.name}`", *(f"{x:.2f}" for x in numbers), *verdict])
    table.notes.append("the time beyond the NumPy calls that value and derivatives consist of, in one run with them")
    return table


def growth_table(title: str, measurements: Measurements) -> Table:
    columns = ["nodes", "forward ns", "backward ns", "free ns", "together ns", "/ smallest", "rounds"]
    table = Table(title, columns, measurements)
    first: float | None = None
    for m in measurements.values():
        if m.problem:
            continue
        together = per_node(m)
        first = first or together
        cells = [cell(m["forward"]), cell(m["backward"]), cell(m["free"]), cell(together)]
        table.rows.append([f"{m['ops']:,.0f}", *cells, _times(together / first), str(m.rounds)])
    return table


def memory_table(title: str, measurements: Measurements) -> Table:
    """Bytes an operation of the source; what remains after the graph was dropped, in megabytes."""
    columns = ["engine", "operations", "graph B/op", "after backward", "peak B/op", "graph MB", "kept when dropped MB"]
    table = Table(title, columns, measurements)
    for name, m in measurements.items():
        if m.problem:
            continue
        ops, dropped = m["ops"], m.get("dropped")
        per_op = [cell(None if (x := m.get(key)) is None else x / ops) for key in ("graph", "backward", "peak")]
        kept = "-" if dropped is None else f"{dropped / 1e6:.1f}"
        name, _, graph = name.partition(", ")
        what = f"{label(name)}, {graph}"
        table.rows.append([what, f"{ops:,.0f}", *per_op, f"{m['graph'] / 1e6:.1f}", kept])
    return table


def per_node(m: Measurement) -> float:
    """Nanoseconds for forward, backward and free."""
    return m["forward"] + m["backward"] + m["free"]


# ---- targets ----


@dataclass(frozen=True)
class Target:
    """What pygrad is meant to reach; reached is None where it was not measured."""

    name: str
    measured: str
    reached: bool | None

    @property
    def verdict(self) -> str:
        return "not measured" if self.reached is None else "reached" if self.reached else "MISSED"


def _number(tables: Mapping[str, Table], table: str, row: str, key: str) -> float | None:
    """A median, or None if there is none."""
    measurements = tables[table].measurements if table in tables else {}
    m = measurements.get(row)
    return None if m is None or m.problem else m.get(key)


def targets(tables: Mapping[str, Table]) -> list[Target]:
    """Every target with what the tables say. Tables are known by their keys in run.py."""
    out: list[Target] = []

    def add(name: str, x: float | None, limit: float, *, unit: str = "", at_least: bool = False) -> None:
        sign = ">=" if at_least else "<="
        reached = None if x is None else x >= limit if at_least else x <= limit
        out.append(Target(f"{name} {sign} {limit:g}{unit}", "-" if x is None else f"{digits(x)}{unit}", reached))

    def ratio(x: float | None, y: float | None) -> float | None:
        return x / y if x is not None and y else None

    graphs = (("chain", "chain-100000"), ("wide", "wide-100000"))
    for name, key in graphs:
        c, floats = (_number(tables, key, row, "forward") for row in ("c", "floats"))
        add(f"{name}: forward on c / plain floats", ratio(c, floats), 2, unit=" x")
    for name, key in graphs:
        out.append(_below_every_peer(tables, name, key))
    for phase, limit in (("backward", 12), ("free", 6)):
        for name, key in graphs:
            add(f"{name}: {phase} on c, per node", _number(tables, key, "c", phase), limit, unit=" ns")

    nodes = [m for m in tables["growth"].measurements.values() if not m.problem] if "growth" in tables else []
    span = f"{nodes[0]['ops']:,.0f} to {nodes[-1]['ops']:,.0f}" if len(nodes) > 1 else "100,000 to 10,000,000"
    grown = per_node(nodes[-1]) / per_node(nodes[0]) if len(nodes) > 1 else None
    add(f"growth: cost per node from {span} nodes", grown, 2, unit=" x")

    reference = _number(tables, "moons", "micrograd", "seconds")
    for name, row, limit in (("micrograd's own nn.py", "c+micrograd-nn", 150), ("pygrad.nn", "c", 1000)):
        faster = ratio(reference, _number(tables, "moons", row, "seconds"))
        add(f"moons: {name} on c, times micrograd", faster, limit, unit=" x", at_least=True)

    c, torch = (_number(tables, "moons", row, "seconds") for row in ("c", "torch"))
    add("moons: pygrad.nn on c / torch eager on the batch", ratio(c, torch), 1, unit=" x")

    batch, epoch = _number(tables, "digits", "micrograd", "seconds"), _number(tables, "fit", "c", "seconds")
    faster = ratio(None if batch is None else BATCHES * batch, epoch)
    add("fit: an epoch of digits on c, times micrograd", faster, 1000, unit=" x", at_least=True)
    accuracy = _number(tables, "fit", "c", "accuracy")
    correct = None if accuracy is None else 100 * accuracy
    add("fit: test accuracy on digits after 30 epochs", correct, 95, unit=" %", at_least=True)
    for kind in OPTIMISERS:
        seconds = _number(tables, "optimisers", f"{kind}; c", "seconds")
        milliseconds = None if seconds is None else 1e3 * seconds
        add(f"optimisers: {kind} on c, step + zero_grad of 100,000 parameters", milliseconds, 1, unit=" ms")

    uncollected, cffi = (_number(tables, "moons", row, "seconds") for row in ("micrograd-uncollected", "cffi"))
    gained = ratio(uncollected, cffi)
    add("moons: pygrad.nn on cffi, times micrograd without collector", gained, 3, unit=" x", at_least=True)

    def both(row: str) -> float | None:
        parts = [_number(tables, "wide-100000", row, key) for key in ("forward", "backward")]
        return None if None in parts else sum(x for x in parts if x is not None)

    for row, which in (("cffi", "with"), ("cffi-uncollected", "without")):
        gained = ratio(both("micrograd-uncollected"), both(row))
        title = f"wide: forward + backward on cffi {which} collector, times micrograd without"
        add(title, gained, 3, unit=" x", at_least=True)

    ops = _number(tables, "memory", "c, chain", "ops")
    held, dropped = (_number(tables, "memory", "c, chain", key) for key in ("graph", "dropped"))
    used = _number(tables, "memory", "c, chain", "backward") or held
    add("memory: c, chain, after backward, per node", ratio(used, ops), 64, unit=" bytes")
    kept = None if dropped is None or not used else max(0.0, 100 * dropped / used)
    add("memory: c, chain, still resident when dropped", kept, 5, unit=" %")
    return [*out, *_array_targets(tables)]


def _array_targets(tables: Mapping[str, Table]) -> list[Target]:
    """Of array Values on c; of the forms in which a problem is written, the slowest counts."""
    out: list[Target] = []
    for table, base, limit in (
        ("batched-moons", "torch", 1.0),
        ("batched-moons", "autograd", 0.25),
        ("batched-digits", "torch", 1.0),
        ("batched-digits", "autograd", 0.25),
        ("classifier", "NumPy by hand", 1.3),
    ):
        seconds = {row: _number(tables, table, row, "seconds") for row in (*BATCH_FORMS, *BATCH_BASES[base])}
        slowest = max(((x, row) for row in BATCH_FORMS if (x := seconds[row]) is not None), default=None)
        against = _fastest(seconds, BATCH_BASES[base])
        ratio = slowest[0] / against if slowest and against else None
        measured = f"{ratio:.2f} x ({label(slowest[1])})" if slowest and ratio else "-"
        title = f"{table.replace('-', ' ')}: a step on c / {base} <= {limit:g} x"
        out.append(Target(title, measured, None if ratio is None else ratio <= limit))
    for phase in ("forward", "backward"):
        every = {
            f"{op.name}, {n} x {m}": x / 1e3
            for op in ARRAY_OPS
            for n, m in SHAPES
            if (x := _number(tables, "array-ops", "c", keys(op, (n, m))[phase])) is not None
        }
        worst = max(every, key=every.__getitem__, default=None)
        measured = "-" if worst is None else f"{every[worst]:.2f} µs ({worst})"
        title = f"per array op: {phase} on c, beyond NumPy's own <= {ARRAY_OP_LIMIT:g} µs"
        out.append(Target(title, measured, None if worst is None else every[worst] <= ARRAY_OP_LIMIT))
    return out


def _below_every_peer(tables: Mapping[str, Table], name: str, key: str) -> Target:
    title = f"{name}: forward on c below every peer's"
    peers = {
        row: x
        for row in (tables[key].measurements if key in tables else ())
        if ENGINES[row].needs and (x := _number(tables, key, row, "forward")) is not None
    }
    c = _number(tables, key, "c", "forward")
    if c is None or not peers:
        return Target(title, "-", None)
    best = min(peers, key=peers.__getitem__)
    measured = f"{digits(c)} ns; the lowest is {digits(peers[best])} ns, {label(best)}"
    return Target(title, measured, c < peers[best])


def targets_table(rows: Sequence[Target]) -> str:
    table = Table("targets", ["target", "measured", "verdict"], {}, [[t.name, t.measured, t.verdict] for t in rows])
    return table.text()
