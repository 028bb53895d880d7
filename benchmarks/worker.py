"""One measurement of one engine, in a process of its own: reads a job as JSON from stdin, prints the result as JSON.

So every engine is measured with its own imports only, a heap of its own and its own state of the garbage
collector, which is on unless the engine's adapter says otherwise. Started by measure.py; it prints no tables and
decides nothing about rounds. An engine that is not installed gives {"missing": its name}.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from typing import Any

from engines import ENGINES, Engine
from peers import Scalars
from programs.timing import TASKS as PROGRAM_TASKS
from workloads import GRAPHS, Graph, Problem

Result = dict[str, Any]

TOLERANCE = 1e-9
"""Relative: how far an engine's numbers may be from the expected ones."""

MOST_STEPS, MOST_GRAPHS = 5000, 5
"""In one process, however little time they take."""


def close(x: float, y: float) -> bool:
    return abs(x - y) <= TOLERANCE * max(abs(x), abs(y), 1e-300)


def train(engine: Engine, job: dict[str, Any]) -> Result:
    """Seconds for one unit of steps: the median of as many as fit into job['seconds'], and at least one.

    First takes the checked steps. With job['expected'], an engine whose losses differ is not timed.
    With job['seconds'] 0, gives the losses only.
    """
    assert engine.trainer is not None  # chosen by run.py
    problem = Problem(**job["problem"])
    step = engine.trainer(problem)
    first = problem.checked if job["check"] else 1
    losses = [float(step(k)) for k in range(first)]
    expected = job["expected"]
    if expected is not None:
        for k, (x, y) in enumerate(zip(losses, expected)):
            if not close(x, y):
                return {"wrong": f"the loss of step {k} is {x!r}, not {y!r}"}
    if not job["seconds"]:
        return {"losses": losses}
    samples: list[float] = []
    k, end = first, time.perf_counter() + job["seconds"]
    while not samples or (time.perf_counter() < end and len(samples) < MOST_STEPS):
        start = time.perf_counter()
        for _ in range(problem.unit):
            step(k)
            k += 1
        samples.append(time.perf_counter() - start)
    return {"seconds": statistics.median(samples)}


def _phases(scalars: Scalars, graph: Graph, rounds: int) -> Result:
    """Nanoseconds an operation to build, differentiate and free one graph. The sum of a list is built untimed."""
    now = time.perf_counter
    leaves = scalars.leaves(graph.leaves)
    t0 = now()
    result = graph.build(leaves, rounds, scalars.table)
    t1 = now()
    ops = rounds * graph.per_round
    listed = isinstance(result, list)
    root = scalars.total(result) if listed else result
    # an engine without an n-ary sum also differentiates and frees the additions: they count as operations
    later = ops + (ops - 1 if listed and not scalars.one_sum else 0)
    out: Result = {"ops": ops, "forward": 1e9 * (t1 - t0) / ops, "value": float(scalars.value(root))}
    if scalars.backward is not None and not (scalars.recursive and not listed):
        t2 = now()
        scalars.backward(root)
        t3 = now()
        out["backward"] = 1e9 * (t3 - t2) / later
        out["gradient"] = float(scalars.gradient(leaves[0]))
    if scalars.backward is not None:
        t4 = now()
        del result, root
        scalars.release()
        out["free"] = 1e9 * (now() - t4) / later
    return out


def graph(engine: Engine, job: dict[str, Any]) -> Result:
    """The medians of the graphs of job['ops'] operations that fit into job['seconds']; at least one.

    First builds a small one, to warm up. An engine whose value or derivative of that is wrong is not timed.
    """
    assert engine.scalars is not None  # chosen by run.py
    scalars = engine.scalars()
    which = GRAPHS[job["graph"]]
    if which.name == "functions" and scalars.table is None:
        return {"unable": "has no such functions"}
    small = which.rounds(1000)
    first = _phases(scalars, which, small)
    for key, x in zip(("value", "gradient"), which.expected(small)):
        if not close(first.get(key, x), x):
            return {"wrong": f"the {key} of the result is {first[key]!r}, not {x!r}"}
    runs: list[Result] = []
    end = time.perf_counter() + job["seconds"]
    while not runs or (time.perf_counter() < end and len(runs) < MOST_GRAPHS):
        runs.append(_phases(scalars, which, which.rounds(job["ops"])))
    keys = [key for key in ("ops", "forward", "backward", "free") if key in first]
    return {key: statistics.median(run[key] for run in runs) for key in keys}


def array_ops(engine: Engine, job: dict[str, Any]) -> Result:
    """Nanoseconds that operations on arrays take beyond NumPy's."""
    from array_ops import overhead

    assert engine.arrays is not None  # chosen by run.py
    return overhead(engine.arrays(), job["seconds"])


def fit(engine: Engine, job: dict[str, Any]) -> Result:
    """The median of an epoch's seconds, and the accuracy on the test set after the last."""
    assert engine.fit is not None  # chosen by run.py
    fitted = engine.fit(job["epochs"])
    return {"seconds": statistics.median(fitted.seconds), "accuracy": fitted.accuracy}


def optimiser(engine: Engine, job: dict[str, Any]) -> Result:
    """Seconds of one step and zero_grad: the median of as many as fit into job['seconds']."""
    assert engine.optimiser is not None  # chosen by run.py
    step = engine.optimiser(job["kind"], job["parameters"])
    step()
    samples: list[float] = []
    end = time.perf_counter() + job["seconds"]
    while not samples or time.perf_counter() < end:
        start = time.perf_counter()
        step()
        samples.append(time.perf_counter() - start)
    return {"seconds": statistics.median(samples)}


def resident() -> int | None:
    """Bytes of this process in memory now; None where the system has no /proc."""
    try:
        with open("/proc/self/status", encoding="ascii") as file:
            line = next(line for line in file if line.startswith("VmRSS:"))
    except (OSError, StopIteration):
        return None
    return int(line.split()[1]) * 1024


def peak() -> int:
    """The most bytes this process has had in memory."""
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def memory(engine: Engine, job: dict[str, Any]) -> Result:
    """Resident bytes: before a graph, with it, after backward, and after it was dropped; for one graph.

    Without /proc only the peak is known: 'graph' is then what the peak grew by, and 'dropped' is missing.
    """
    assert engine.scalars is not None  # chosen by run.py
    scalars = engine.scalars()
    which = GRAPHS[job["graph"]]
    _phases(scalars, which, which.rounds(1000))
    rounds = which.rounds(job["ops"])
    leaves = scalars.leaves(which.leaves)
    before, peak_before = resident(), peak()
    result = which.build(leaves, rounds, scalars.table)
    out: Result = {"ops": rounds * which.per_round}
    after = resident()
    if before is None or after is None:
        return {**out, "graph": peak() - peak_before}
    out |= {"before": before, "graph": after - before}
    if scalars.backward is not None and not scalars.recursive:
        root = scalars.total(result) if isinstance(result, list) else result
        scalars.backward(root)
        out["backward"] = (resident() or 0) - before
        out["peak"] = max(peak() - before, out["backward"])  # the system counts the peak a little behind
        del root
    del result
    scalars.release()
    out["dropped"] = (resident() or 0) - before
    return out


TASKS = {
    "train": train,
    "fit": fit,
    "optimiser": optimiser,
    "graph": graph,
    "memory": memory,
    "array-ops": array_ops,
}


def main() -> None:
    job = json.load(sys.stdin)
    # a library may print what it likes: the result alone goes to the real stdout
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    try:
        program = PROGRAM_TASKS.get(job["task"])
        result = program(job) if program else TASKS[job["task"]](ENGINES[job["engine"]], job)
    except ImportError as error:
        result = {"missing": f"{error}"}
    except Exception as error:  # reported in the table, beside the engines that work
        result = {"failed": f"{type(error).__name__}: {error}"}
    channel.write(json.dumps(result))
    channel.flush()


if __name__ == "__main__":
    main()
