"""The tables of compiled programs, and their targets with what was measured. Works on finished measurements only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from measure import Measurement
from report import Table, Target, cell, digits, duration

from .engines import ENGINES
from .problems import Function, Net
from .timing import CHECKED, TOLERANCE

AGREED = (
    f"before timing, loss, gradient and the first {CHECKED} losses of training agreed with those of NumPy by hand to "
    f"{TOLERANCE:g} of the largest; first answer: from imported packages to the first gradient"
)

Measurements = Mapping[str, Measurement]


def _label(key: str) -> str:
    """Of an engine, or of a size and an engine."""
    size, _, name = key.rpartition("; ")
    label = ENGINES[name].label if name in ENGINES else name
    return f"{label}, {size}" if size else label


def net_table(net: Net, measurements: Measurements) -> Table:
    """Times of a gradient, of a step by itself, and of one in a loop; medians, and the least of the last of these."""
    each = "a step" if net.steps == 1 else f"{net.steps} steps"
    columns = ["engine", "first answer", "gradient", f"{each}, a call each", f"{each}, loop inside", "least", "rounds"]
    table = Table(f"programs: {net.title}, {net.count:,} parameters", columns, measurements, named=_label)
    for name, m in measurements.items():
        if m.problem:
            continue
        step, loop = (None if (x := m.get(key)) is None else net.steps * x for key in ("step", "loop"))
        last = next(key for key in ("loop", "step", "call") if key in m.samples)
        least = min(m.samples[f"least-{last}"]) * (1 if last == "call" else net.steps)
        cells = [cell(m.get("first"), duration), duration(m["call"]), cell(step, duration), cell(loop, duration)]
        table.rows.append([_label(name), *cells, duration(least), str(m.rounds)])
    table.notes.append(f"the matrix products of a gradient are {net.flops:,} floating-point operations")
    return table


def function_table(function: Function, measurements: Measurements) -> Table:
    columns = ["engine", "first answer", "value and gradient", "least", "rounds"]
    table = Table(f"programs: {function.title}", columns, measurements, named=_label)
    for name, m in measurements.items():
        if m.problem:
            continue
        cells = [cell(m.get("first"), duration), duration(m["call"]), duration(min(m.samples["least-call"]))]
        table.rows.append([_label(name), *cells, str(m.rounds)])
    return table


def stages_table(net: Net, measurements: Measurements) -> Table:
    """What recording, each pass, and building take."""
    table = Table(f"programs: stages of compiling {net.title}", ["stage", "time"], measurements, named=_label)
    for m in measurements.values():
        if not m.problem:
            table.rows += [[stage, duration(m[stage])] for stage in m.samples]
    return table


def threads_table(measurements: Measurements) -> Table:
    columns = ["batch", "one thread", "two threads", "ratio"]
    table = Table("programs: 64-32-10, one gradient, on one thread and on two", columns, measurements, named=_label)
    for batch in _sizes(measurements):
        one, two = (_seconds(measurements, f"{batch}; {name}", "call") for name in ("program", "program-2"))
        ratio = None if one is None or two is None else one / two
        cells = [cell(one, duration), cell(two, duration), "-" if ratio is None else f"{ratio:.2f} x"]
        table.rows.append([f"{batch:,}", *cells])
    return table


def batches_table(measurements: Measurements, names: Sequence[str]) -> Table:
    """Nanoseconds a sample, by the number of samples."""
    columns = ["samples", *(f"{_label(name)}, ns a sample" for name in names)]
    table = Table("programs: 2-16-16-1, one gradient, by batch size", columns, measurements, named=_label)
    for batch in _sizes(measurements):
        times = [_seconds(measurements, f"{batch}; {name}", "call") for name in names]
        table.rows.append([f"{batch:,}", *(cell(None if x is None else 1e9 * x / batch) for x in times)])
    return table


def sizes_table(measurements: Measurements, names: Sequence[str]) -> Table:
    """Nanoseconds an operation of the source, by their number, and the time to the first answer."""
    columns = ["operations", *(f"{_label(name)}{what}" for name in names for what in (", ns each", ", first"))]
    table = Table("programs: Rosenbrock's function, by number of operations", columns, measurements, named=_label)
    for size in _sizes(measurements):
        ops, cells = 8 * (size - 1), []
        for name in names:
            call, first = (_seconds(measurements, f"{size}; {name}", key) for key in ("call", "first"))
            cells += [cell(None if call is None else 1e9 * call / ops), cell(first, duration)]
        table.rows.append([f"{ops:,}", *cells])
    return table


def _sizes(measurements: Measurements) -> list[int]:
    return sorted({int(key.partition("; ")[0]) for key in measurements})


def _seconds(measurements: Measurements, row: str, key: str) -> float | None:
    m = measurements.get(row)
    return None if m is None or m.problem else m.get(key)


# ---- targets ----


def targets(by_key: Mapping[str, Table]) -> list[Target]:
    """What programs are meant to reach, one thread, in ratios. Nothing, if none of their tables was asked for."""
    if not any(key.startswith("programs-") for key in by_key):
        return []
    out: list[Target] = []

    def seconds(table: str, row: str, key: str) -> float | None:
        measured = by_key.get(f"programs-{table}")
        return None if measured is None else _seconds(measured.measurements, row, key)

    def fastest(table: str, rows: Sequence[str], key: str) -> float | None:
        return min((x for row in rows if (x := seconds(table, row, key)) is not None), default=None)

    def add(title: str, x: float | None, y: float | None, limit: float, at_least: bool = False) -> None:
        ratio = x / y if x is not None and y else None
        reached = None if ratio is None else ratio >= limit if at_least else ratio <= limit
        name = f"programs: {title} {'>=' if at_least else '<='} {limit:g} x"
        text = "-" if ratio is None or x is None or y is None else f"{digits(ratio)} x"
        out.append(Target(name, text, reached))

    def against(table: str, key: str, row: str, limit: float, what: str) -> None:
        add(f"{table}, {what}", seconds(table, "program", key), seconds(table, row, key), limit)

    against("moons", "loop", "c-arrays", 1.2, "loop inside / C by hand, structure of arrays -Ofast")
    against("moons", "loop", "c-lanes", 1.2, "loop inside / the same register-blocked")
    against("moons", "loop", "jax", 1.0, "loop inside / JAX's fori_loop")
    against("moons", "step", "jax", 0.5, "a step a call / JAX jit")
    against("digits", "loop", "c-lanes", 1.3, "loop inside / C by hand, register-blocked -Ofast")
    against("digits", "step", "jax", 0.6, "a step a call / JAX jit")
    eager = fastest("wide", ("torch", "torch-compiled"), "step")
    add("784-128-10, a step a call / torch", seconds("wide", "program", "step"), eager, 1.0)
    against("wide", "step", "jax", 1.0, "a step a call / JAX jit")
    products, call = seconds("wide", "products", "call"), seconds("wide", "program", "call")
    add("784-128-10, NumPy's products / one gradient", products, call, 0.6, at_least=True)
    against("tiny", "loop", "c-samples", 1.5, "20 steps / C by hand, sample by sample -O3")
    against("tiny", "loop", "c-lanes", 1.5, "20 steps / C by hand, register-blocked -Ofast")
    tanh, relu = seconds("tanh", "program", "loop"), seconds("moons", "program", "loop")
    add("moons, tanh / relu, loop inside", tanh, relu, 2.0)
    for name in ("rosenbrock", "bodies"):
        against(name, "call", "casadi", 1.0, "value and gradient / CasADi's VM")
        against(name, "call", "casadi-c", 2.0, "value and gradient / CasADi's generated C")
        first = (seconds(name, row, "first") for row in ("casadi-c", "program"))
        add(f"{name}, first answer: generated C / programs", *first, 10.0, at_least=True)
    for batch in (4096, 16384):
        one, two = (seconds("threads", f"{batch}; {row}", "call") for row in ("program", "program-2"))
        add(f"batch of {batch:,}, one thread / two", one, two, 1.7, at_least=True)
    return out
