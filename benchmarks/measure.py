"""Runs jobs in worker processes, engines in turn, and takes medians over the rounds; describes the machine.

Each round starts every job once, each in a fresh process (worker.py), so that whatever else the machine is
doing meets all engines alike. Says nothing about what is worth measuring, and prints no tables.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

WORKER = Path(__file__).with_name("worker.py")
TIMEOUT = 300.0
"""Seconds after which a worker is given up."""

ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "JAX_PLATFORMS": "cpu",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
}
"""One thread for everyone."""

PROBLEMS = ("missing", "wrong", "unable", "failed")
"""The keys under which a worker says why there is no number."""


@dataclass
class Measurement:
    """What one job gave: a sample a round for each number, or why there is none."""

    job: dict[str, Any]
    samples: dict[str, list[float]] = field(default_factory=dict)
    problem: tuple[str, str] | None = None
    spent: float = 0.0

    def __getitem__(self, key: str) -> float:
        return statistics.median(self.samples[key])

    def get(self, key: str) -> float | None:
        return self[key] if key in self.samples else None

    @property
    def rounds(self) -> int:
        return max(map(len, self.samples.values()), default=0)

    def as_json(self) -> dict[str, Any]:
        shown = {k: v for k, v in self.job.items() if k not in {"problem", "expected"}}
        if self.problem:
            return {"job": shown, self.problem[0]: self.problem[1]}
        return {"job": shown, "medians": {k: self[k] for k in self.samples}, "samples": self.samples}


def run_worker(job: dict[str, Any]) -> dict[str, Any]:
    """The result of one worker process; {'failed': why} if it died or took too long."""
    environment = {**os.environ, **ENVIRONMENT}
    environment.pop("PYGRAD_BACKEND", None)  # the jobs say which backend
    try:
        done = subprocess.run(  # this very folder's worker
            [sys.executable, str(WORKER)],
            input=json.dumps(job),
            capture_output=True,
            text=True,
            env=environment,
            timeout=job.get("timeout", TIMEOUT),
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {"failed": f"no result after {job.get('timeout', TIMEOUT):.0f} s"}
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        return {"failed": f"exit status {done.returncode}: {lines[-1] if lines else 'no message'}"}
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def in_turn(
    jobs: dict[str, dict[str, Any]],
    rounds: int,
    seconds: float,
    progress: Callable[[str], None],
    later: dict[str, Any] | None = None,
) -> dict[str, Measurement]:
    """Measures the jobs in turn, round after round.

    An engine whose rounds have taken `seconds` in all gets no more of them, but at least min(3, rounds).
    later: replaces entries of a job after its first round. A job's own 'rounds' is the most it gets.
    """
    measurements = {name: Measurement(job) for name, job in jobs.items()}
    for k in range(rounds):
        for name, m in measurements.items():
            if m.problem or k >= m.job.get("rounds", rounds) or (k >= 3 and m.spent > seconds):
                continue
            progress(f"round {k + 1} of {rounds}: {name}")
            start = time.perf_counter()
            result = run_worker({**m.job, **(later or {})} if k else m.job)
            m.spent += time.perf_counter() - start
            m.problem = next(((p, result[p]) for p in PROBLEMS if p in result), None)
            if not m.problem:
                for key, x in result.items():
                    m.samples.setdefault(key, []).append(x)
    return measurements


# ---- the machine ----


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def version_of(package: str) -> str | None:
    """The installed version, without importing the package; None if it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def machine() -> dict[str, Any]:
    """Processor, cores, system, Python; and the load at the start, since a busy machine drifts."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "processor": _processor(),
        "cores": cores,
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    }
