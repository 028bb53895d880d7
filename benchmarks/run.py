"""Measures pygrad beside other engines, and prints what came out: `python benchmarks/run.py`.

Compares in one run, engines in turn, each in a fresh process, and reports medians; prints the machine, versions and
sizes with the numbers. Needs pygrad installed; peers that are not installed are skipped, and named. Decides what
is measured and how often; asserts nothing, so its exit status says only whether it ran.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import measure
import report
import workloads
from engines import ENGINES, PEERS
from programs import tables as programs
from programs.workloads import RUN as PROGRAMS
from report import Table
from worker import TOLERANCE

WORKLOADS = (
    "moons", "tiny", "digits", "fit", "optimisers", "per-op", "growth", "memory",
    "batched-moons", "batched-digits", "classifier", "array-ops", *PROGRAMS,
)  # fmt: skip

MEMORY_OPS = (
    ("c", "chain", 10_000_000),
    ("c", "wide", 1_000_000),
    ("cffi", "chain", 1_000_000),
    ("python", "chain", 1_000_000),
    ("xad", "chain", 1_000_000),
    ("torch", "chain", 100_000),
    ("micrograd", "chain", 100_000),
)


@dataclass
class Plan:
    """What to measure, and how long.

    peers: the installed ones that were asked for. rounds: at most so many an engine; fewer for slow ones, which get
    no more once they have taken `seconds` of one table. training, graphs: seconds of steps, and of graphs, in one
    process; at least one.
    """

    peers: list[str]
    quick: bool
    rounds: int
    seconds: float
    training: float
    graphs: float
    say: Callable[[str], None]
    tables: dict[str, Table] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)

    def measure(self, title: str, jobs: dict[str, dict[str, Any]], **kwargs: Any) -> dict[str, measure.Measurement]:
        rounds = kwargs.pop("rounds", self.rounds)
        return measure.in_turn(jobs, rounds, self.seconds, lambda what: self.say(f"{title}: {what}"), **kwargs)

    def takes_part(self, name: str, training: bool = False) -> bool:
        needs = ENGINES[name].needs + (("micrograd",) if training and ENGINES[name].nn else ())
        return all(peer in self.peers for peer in needs)

    def most_ops(self, name: str) -> int:
        """How many operations a graph of this engine may have; in a quick run, a tenth for the slow ones."""
        most = ENGINES[name].most_ops
        return most // 10 if self.quick and most < 10_000_000 else most


# ---- the workloads ----


def training(
    plan: Plan, problem: workloads.Problem, title: str, per: str, without: tuple[str, ...] = ()
) -> Table:
    jobs = {
        name: {"task": "train", "engine": name, "problem": asdict(problem), "seconds": plan.training}
        for name, engine in ENGINES.items()
        if engine.trainer and engine.samples and plan.takes_part(name, training=True) and name not in without
    }
    # the losses that all have to agree with: micrograd's; the reference's without it
    judge = next(name for name in ("micrograd", "python") if name in jobs)
    measurements, note = _losses_agree(plan, problem, jobs, judge)
    table = report.training_table(title, measurements, per)
    table.notes.append(note)
    lacking = [e.label for name, e in ENGINES.items() if plan.takes_part(name) and e.nn and name not in jobs]
    if lacking:
        table.notes.append(f"left out, since they train with micrograd's nn.py: {'; '.join(lacking)}")
    return table


def _losses_agree(
    plan: Plan, problem: workloads.Problem, jobs: dict[str, dict[str, Any]], judge: str
) -> tuple[dict[str, measure.Measurement], str]:
    """The measurements of the jobs, whose losses have to be those of the engine `judge`; and the note that says so."""
    plan.say(f"{problem.name}: the expected losses")
    job = {"task": "train", "engine": judge, "problem": asdict(problem)}
    result = measure.run_worker({**job, "seconds": 0, "check": True, "expected": None})
    expected = result.get("losses")
    for job in jobs.values():
        job |= {"check": True, "expected": expected}
    measurements = plan.measure(problem.name, jobs, later={"check": False, "expected": None})
    source = {"python": "the reference", "numpy": "NumPy by hand"}.get(judge, judge)
    if expected is None:
        return measurements, f"losses NOT checked: {source} gave none ({result})"
    return measurements, (
        f"before timing, the first {problem.checked} losses of each engine, from the same weights, "
        f"agreed with those of {source} to {TOLERANCE:g} relative"
    )


def _batched(
    plan: Plan, problem: workloads.Problem, title: str, judge: str = "python", without: tuple[str, ...] = ()
) -> Table:
    """Training on all samples at once."""
    jobs = {
        name: {"task": "train", "engine": name, "problem": asdict(problem), "seconds": plan.training}
        for name, engine in ENGINES.items()
        if engine.batches and plan.takes_part(name) and name not in without
    }
    measurements, note = _losses_agree(plan, problem, jobs, judge)
    table = report.batch_table(title, measurements)
    table.notes.append(note)
    return table


def array_ops(plan: Plan) -> None:
    seconds = 6 * plan.graphs
    jobs = {
        name: {"task": "array-ops", "engine": name, "seconds": seconds}
        for name, engine in ENGINES.items()
        if engine.arrays and plan.takes_part(name)
    }
    measurements = plan.measure("array-ops", jobs, rounds=min(plan.rounds, 3))
    for name, m in measurements.items():
        key = "array-ops" if name == "c" else f"array-ops-{name}"
        plan.tables[key] = report.array_ops_table(f"per array operation: {report.label(name)}", name, m)


def moons_problem() -> workloads.Problem:
    from pygrad.data import make_moons

    return workloads.moons(*make_moons(100))


def batched_moons(plan: Plan) -> None:
    title = "batched moons: one training step of 2-16-16-1 on 100 samples at once, max-margin loss + L2, SGD"
    plan.tables["batched-moons"] = _batched(plan, moons_problem(), title)


def batched_digits(plan: Plan) -> None:
    problem = digits_problem(plan)
    if problem is not None:
        title = "batched digits: one training step of 64-32-10 on a batch of 32, softmax cross-entropy, SGD"
        plan.tables["batched-digits"] = _batched(plan, problem, title)


def classifier(plan: Plan) -> None:
    title = "image classifier: one step of gradient descent, 12288-20-7-5-1, on 209 pictures, binary cross-entropy"
    problem = workloads.classifier()
    plan.tables["classifier"] = _batched(plan, problem, title, "numpy", ("c-mlp",))


def moons(plan: Plan) -> None:
    problem = moons_problem()
    title = "moons: one training step of MLP(2, [16, 16, 1]), 337 parameters, 100 samples, max-margin loss + L2"
    plan.tables["moons"] = training(plan, problem, title, "a step")


def tiny(plan: Plan) -> None:
    title = "tiny: 20 iterations of MLP(3, [4, 4, 1]), 41 parameters, 4 samples, sum of squares"
    without = ("micrograd-uncollected",)  # a collection a step takes longer than such a step
    plan.tables["tiny"] = training(plan, workloads.tiny(), title, "for all 20", without)


def digits_problem(plan: Plan) -> workloads.Problem | None:
    try:
        from pygrad.data import load_digits

        X, y = load_digits()
    except ImportError as error:
        plan.remarks.append(f"digits: left out ({error})")
        return None
    return workloads.digits(X[:32].tolist(), y[:32].tolist())


def digits(plan: Plan) -> None:
    problem = digits_problem(plan)
    if problem is None:
        return
    title = "digits: one training step of MLP(64, [32, 10]), 2,410 parameters, batch of 32, softmax cross-entropy"
    plan.tables["digits"] = training(plan, problem, title, "a step", ("xad", "casadi"))


EPOCHS = 30


def fit(plan: Plan) -> None:
    """On the training set of digits; what micrograd would need is taken from its step of the same batch."""
    jobs = {
        name: {"task": "fit", "engine": name, "epochs": EPOCHS}
        for name, engine in ENGINES.items()
        if engine.fit and plan.takes_part(name)
    }
    measurements = plan.measure("fit", jobs, rounds=min(plan.rounds, 3))
    title = f"fit: MLP(64, [32, 10]) on 1,437 handwritten digits, batches of 32, Adam, {EPOCHS} epochs"
    one = plan.tables["digits"].measurements.get("micrograd") if "digits" in plan.tables else None
    batch = None if one is None or one.problem else one["seconds"]
    plan.tables["fit"] = report.fit_table(title, measurements, batch)


def optimisers(plan: Plan) -> None:
    count = 100_000
    jobs = {
        f"{kind}; {name}": {
            "task": "optimiser",
            "engine": name,
            "kind": kind,
            "parameters": count,
            "seconds": plan.training,
        }
        for kind in workloads.OPTIMISERS
        for name, engine in ENGINES.items()
        if engine.optimiser and plan.takes_part(name)
    }
    measurements = plan.measure("optimisers", jobs, rounds=min(plan.rounds, 3))
    title = f"optimisers: one step and zero_grad of {count:,} parameters"
    plan.tables["optimisers"] = report.optimiser_table(title, measurements)


def per_op(plan: Plan) -> None:
    for graph, sizes in (("chain", (100_000, 1_000_000)), ("wide", (100_000, 1_000_000)), ("functions", (100_000,))):
        for size in sizes[:1] if plan.quick else sizes:
            key = f"{graph}-{size}"
            jobs = {
                name: {
                    "task": "graph",
                    "engine": name,
                    "graph": graph,
                    "ops": min(size, plan.most_ops(name)),
                    "seconds": plan.graphs,
                }
                for name, engine in ENGINES.items()
                if engine.scalars and plan.takes_part(name) and (size == sizes[0] or plan.most_ops(name) >= size)
            }
            source = workloads.GRAPHS[graph].source
            measurements = plan.measure(key, jobs)
            plan.tables[key] = report.graph_table(f"per operation: {graph}, {size:,} of `{source}`", measurements)
    _explain(plan)


def _explain(plan: Plan) -> None:
    """Notes under the first of the tables that they are true of."""
    wide = plan.tables["wide-100000"].notes
    wide.append("all results are kept in a list; its sum, built untimed, is what is differentiated and freed")
    wide.append("free of wide: that of a Python object for each operation, too; of chain: of nodes alone")
    wide.append(
        "engines with an n-ary sum have one node for it; the additions of the others (a balanced tree for "
        "micrograd, left to right for XAD) count as operations of backward and free"
    )
    if plan.takes_part("micrograd"):
        chain = plan.tables["chain-100000"].notes
        chain.append("micrograd: no backward, since its backward() recurses, here deeper than Python allows; see wide")
        chain.append("micrograd's free includes the gc.collect() it takes: its nodes are reference cycles")


def growth(plan: Plan) -> None:
    sizes = (100_000, 1_000_000) if plan.quick else (100_000, 1_000_000, 10_000_000)
    jobs = {
        f"{size:,} nodes": {"task": "graph", "engine": "c", "graph": "chain", "ops": size, "seconds": plan.graphs}
        for size in sizes
    }
    measurements = plan.measure("growth", jobs)
    plan.tables["growth"] = report.growth_table("growth: the chain on pygrad c, per node", measurements)


def memory(plan: Plan) -> None:
    jobs = {
        f"{name}, {graph}": {"task": "memory", "engine": name, "graph": graph, "ops": ops}
        for name, graph, ops in MEMORY_OPS
        if plan.takes_part(name) and not (plan.quick and ops < 10_000_000 and name != "cffi")
    }
    measurements = plan.measure("memory", jobs, rounds=min(plan.rounds, 3))
    table = report.memory_table("memory: resident set size, in a fresh process", measurements)
    table.notes.append("c and cffi keep the memory of up to about 1,000,000 freed nodes for the next graph")
    table.notes.append("chain: only the last handle is alive; wide: all handles, and the list that holds them")
    table.notes.append("kept when dropped: by how much the process is larger than before the graph")
    plan.tables["memory"] = table


RUN = {
    "moons": moons,
    "tiny": tiny,
    "digits": digits,
    "fit": fit,
    "optimisers": optimisers,
    "per-op": per_op,
    "growth": growth,
    "memory": memory,
    "batched-moons": batched_moons,
    "batched-digits": batched_digits,
    "classifier": classifier,
    "array-ops": array_ops,
    **PROGRAMS,
}


# ---- the command line ----


def _names(text: str, known: tuple[str, ...], what: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        wrong = ", ".join(map(repr, unknown)) or repr(text)
        raise argparse.ArgumentTypeError(f"unknown {what} {wrong}: choose from {', '.join(known)}")
    return names


def _peers(text: str) -> list[str]:
    if text in {"all", "none"}:
        return list(PEERS) if text == "all" else []
    return _names(text, PEERS, "peer")


def _only(text: str) -> list[str]:
    return _names(text, WORKLOADS, "workload")


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {number}")
    return number


def parser() -> argparse.ArgumentParser:
    out = argparse.ArgumentParser(
        description="Measures pygrad beside other engines: medians of rounds in which the engines take turns.",
        epilog="A whole run with all peers takes some 16 minutes, a quick one over 6. Other programs should rest "
        "meanwhile; if they do not, compare ratios, not times.",
    )
    out.add_argument(
        "--peers",
        type=_peers,
        default="all",
        metavar="NAMES",
        help=f"'all' (the default), 'none', or some of {','.join(PEERS)}; those not installed are skipped, and named",
    )
    out.add_argument(
        "--only",
        type=_only,
        default=list(WORKLOADS),
        metavar="NAMES",
        help=f"only these workloads, of {','.join(WORKLOADS)}; the default is all",
    )
    out.add_argument("--quick", action="store_true", help="fewer rounds and smaller graphs: rough numbers")
    out.add_argument(
        "--repeat", type=_positive, metavar="N", help="rounds (default 7, quick 3); slow engines get fewer, but 3"
    )
    out.add_argument("--json", metavar="FILE", help="also write everything, with all samples, to this file")
    return out


def _say(text: str) -> None:
    """Progress, on a terminal only."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()


def pygrad_versions() -> dict[str, str]:
    import pygrad

    out = {"version": pygrad.__version__, "backend in use": pygrad.backend}
    try:
        from pygrad._ffi import build_info
    except ImportError as error:
        return {**out, "C library": str(error)}
    return {**out, **build_info()}


def main(argv: list[str] | None = None) -> int:
    options = parser().parse_args(argv)
    start = time.perf_counter()
    versions = {peer: measure.version_of(peer) for peer in options.peers}
    installed = [peer for peer in options.peers if versions[peer]]
    plan = Plan(
        peers=installed,
        quick=options.quick,
        rounds=options.repeat or (3 if options.quick else 7),
        seconds=2.0 if options.quick else 6.0,
        training=0.1 if options.quick else 0.3,
        graphs=0.3 if options.quick else 1.0,
        say=_say,
    )
    machine, pygrad = measure.machine(), pygrad_versions()
    print("## pygrad benchmarks\n")
    for name, value in {**machine, **{f"pygrad {k}": v for k, v in pygrad.items()}}.items():
        print(f"- {name}: {value}")
    print(f"- peers: {', '.join(f'{peer} {versions[peer]}' for peer in installed) or 'none'}")
    if absent := [peer for peer in options.peers if not versions[peer]]:
        print(f"- skipped, not installed: {', '.join(absent)}")
    if unasked := [peer for peer in PEERS if peer not in options.peers]:
        print(f"- not asked for: {', '.join(unasked)}")
    print(f"- rounds: {plan.rounds}, fewer for slow engines; medians; double precision, one thread; ", end="")
    print("the garbage collector as Python starts, unless a row says otherwise")

    shown: set[str] = set()
    for name in options.only:
        RUN[name](plan)
        _say("")
        for key, table in plan.tables.items():
            if key not in shown:
                print(f"\n{table.text()}", flush=True)
                shown.add(key)
    for remark in plan.remarks:
        print(f"\n{remark}")
    targets = report.targets(plan.tables) + programs.targets(plan.tables)
    print(f"\n{report.targets_table(targets)}")
    seconds = time.perf_counter() - start
    print(f"\nall of this took {seconds:.0f} s")
    if options.json:
        everything = {
            "machine": machine,
            "pygrad": pygrad,
            "peers": versions,
            "arguments": {"only": options.only, "quick": options.quick, "rounds": plan.rounds},
            "seconds": seconds,
            "tables": {key: table.as_json() for key, table in plan.tables.items()},
            "targets": [{**asdict(t), "verdict": t.verdict} for t in targets],
        }
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(everything, file, indent=1)
            file.write("\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
