"""The workloads of compiled programs for run.py: which engines, sizes and rounds; makes the tables.

Times nothing itself: every job is a process of worker.py, see timing.py. What hand-written and generated C is compiled
to lives in a temporary folder, one for a run.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache, partial
from typing import Any

from . import tables
from .engines import ENGINES, Engine
from .problems import FUNCTIONS, NETS

ROUNDS = 3
PATIENCE = 90.0
"""Seconds that a job may take, compilers included."""

BATCHES = (1, 10, 100, 1_000, 10_000)
VARIABLES = (10, 100, 1_000, 10_000)
THREAD_BATCHES = (1_024, 4_096, 16_384)

NET_ENGINES = {
    "moons": tuple(name for name in ENGINES if name not in {"products", "program-2"}),
    "tanh": ("numpy", "c-samples", "c-arrays", "c-lanes", "jax", "casadi", "program", "program-exact"),
    "digits": tuple(name for name in ENGINES if name not in {"products", "program-2", "program-whole"}),
    "wide": ("numpy", "products", "c-samples", "c-arrays", "c-lanes", "c-strict", "torch", "jax", "program"),
    "tiny": ("numpy", "c-samples", "c-arrays", "c-lanes", "torch", "jax", "casadi", "program", "program-exact"),
}


@cache
def _folder() -> str:
    folder = tempfile.mkdtemp(prefix="pygrad-benchmarks-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _job(plan: Any, task: str, engine: Engine, **what: Any) -> dict[str, Any]:
    job = {"task": task, "engine": engine.name, "folder": _folder(), "check": True, "timeout": PATIENCE}
    job["seconds"] = plan.training / 3
    job |= what
    return job | {"rounds": 1} if engine.slow else job


def _takes_part(plan: Any, engine: Engine) -> bool:
    if plan.quick and engine.slow:
        return False
    return all(peer in plan.peers for peer in engine.needs)


def _measure(plan: Any, title: str, jobs: dict[str, dict[str, Any]]) -> Any:
    return plan.measure(title, jobs, rounds=min(plan.rounds, ROUNDS), later={"check": False})


def _left_out(plan: Any, names: Any) -> list[str]:
    absent = [ENGINES[name].label for name in names if not _takes_part(plan, ENGINES[name])]
    return [f"left out, not installed, not asked for or slow to compile: {', '.join(absent)}"] if absent else []


def net(name: str, plan: Any) -> None:
    problem = NETS[name]
    names = [n for n in NET_ENGINES[name] if ENGINES[n].net is not None and ENGINES[n].most >= problem.count]
    jobs = {
        n: _job(plan, "program-net", ENGINES[n], net=name) for n in names if _takes_part(plan, ENGINES[n])
    }
    key = f"programs-{name}"
    table = tables.net_table(problem, _measure(plan, key, jobs))
    table.notes += [tables.AGREED, *_left_out(plan, names)]
    plan.tables[key] = table
    stages = _measure(plan, f"{key}, stages", {"stages": _job(plan, "program-stages", ENGINES["program"], net=name)})
    plan.tables[f"{key}-stages"] = tables.stages_table(problem, stages)


def functions(plan: Any) -> None:
    for name, function in FUNCTIONS.items():
        names = [n for n, engine in ENGINES.items() if engine.function is not None]
        jobs = {
            n: _job(plan, "program-function", ENGINES[n], function=name) for n in names if _takes_part(plan, ENGINES[n])
        }
        table = tables.function_table(function, _measure(plan, name, jobs))
        table.notes += [tables.AGREED, *_left_out(plan, names)]
        plan.tables[f"programs-{name}"] = table


def threads(plan: Any) -> None:
    jobs = {
        f"{batch}; {name}": _job(plan, "program-net", ENGINES[name], net="digits", samples=batch, training=False)
        for batch in THREAD_BATCHES
        for name in ("program", "program-2")
    }
    plan.tables["programs-threads"] = tables.threads_table(_measure(plan, "programs-threads", jobs))


def curves(plan: Any) -> None:
    """Cost against the number of samples, and against the number of operations."""
    names = [n for n in ("numpy", "jax", "program") if _takes_part(plan, ENGINES[n])]
    batches = BATCHES[:4] if plan.quick else BATCHES
    jobs = {
        f"{batch}; {n}": _job(plan, "program-net", ENGINES[n], net="moons", samples=batch, rounds=1, training=False)
        for batch in batches
        for n in names
    }
    plan.tables["programs-batch-sizes"] = tables.batches_table(_measure(plan, "programs-curves", jobs), names)
    names = [n for n in ("numpy", "casadi", "eager", "program") if _takes_part(plan, ENGINES[n])]
    sizes = VARIABLES[:3] if plan.quick else VARIABLES
    jobs = {
        f"{size}; {n}": _job(plan, "program-function", ENGINES[n], function="rosenbrock", variables=size, rounds=1)
        for size in sizes
        for n in names
    }
    plan.tables["programs-sizes"] = tables.sizes_table(_measure(plan, "programs-curves", jobs), names)


RUN = {
    **{f"programs-{name}": partial(net, name) for name in NETS},
    "programs-functions": functions,
    "programs-threads": threads,
    "programs-curves": curves,
}
