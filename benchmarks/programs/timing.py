"""Measures one engine on one problem, in the process of worker.py: is it right, and what does each call take.

The judge is NumPy by hand: an engine whose loss, gradient or first losses of training differ is not timed. Gives
seconds by key: 'first', from nothing but imported packages to the first gradient; 'call', value and gradient; 'step',
a training step a call; 'loop', a step of many in one call; and each with 'least-' before it, the least that was seen.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import functions, nets
from .engines import ENGINES
from .nets import Runner
from .problems import FUNCTIONS, NETS, Function, Net

TOLERANCE = 1e-9
CHECKED = 5
"""So many steps of training are compared."""
SLICE = 2e-3
"""Seconds that one sample takes at least, so that the clock does not matter."""
TRAINING = 20e-3
"""The same of a training, so that what it begins with, parameters set anew and a call of its own, does not matter."""


def agrees(x: Any, y: Any) -> str | None:
    """None where two arrays agree to TOLERANCE of the largest number of both, else what differs."""
    import numpy as np

    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if x.shape != y.shape:
        return f"shape {x.shape}, not {y.shape}"
    apart = float(np.max(np.abs(x - y), initial=0.0))
    largest = float(np.max(np.abs(y), initial=1e-300))
    return None if apart <= TOLERANCE * largest else f"{apart:.3g} apart, of numbers up to {largest:.3g}"


def wrong(runner: Runner, judge: Runner) -> str | None:
    """What of an engine differs from the judge's: value, gradient, or losses of training; None if nothing does."""
    for what, x, y in zip(("value", "gradient"), runner.flat(runner.gradient()), judge.flat(judge.gradient())):
        if difference := agrees(x, y):
            return f"the {what} is {difference}"
    ways: list[tuple[str, Callable[[], Any]]] = []
    if runner.step is not None:
        step = runner.step
        ways.append(("step by step", lambda: [step() for _ in range(CHECKED)]))
    if runner.loop is not None:
        loop = runner.loop
        ways.append(("in a loop", lambda: list(loop(CHECKED))))
    for how, train in ways:
        assert runner.reset is not None  # who can train can start again
        assert judge.reset is not None
        assert judge.step is not None
        runner.reset()
        judge.reset()
        if difference := agrees(train(), [judge.step() for _ in range(CHECKED)]):
            return f"losses of training {how} are {difference}"
        runner.reset()
        judge.reset()
    return None


def _timed(
    what: str, run: Callable[[int], Any], reset: Callable[[], None], seconds: float, least: float = SLICE
) -> dict[str, float]:
    """Seconds of one of the many that run(n) does: the median and the least of samples of at least so many seconds
    each."""
    now = time.perf_counter
    count, spent = 1, 0.0
    while spent < least and count < 10_000:
        count = count if not spent else min(10_000, max(count + 1, int(1.2 * count * least / spent)))
        reset()
        run(count)  # a loop whose length is new may be compiled
        reset()
        start = now()
        run(count)
        spent = now() - start
    samples: list[float] = []
    end = now() + seconds
    while not samples or now() < end:
        reset()
        start = now()
        run(count)
        samples.append((now() - start) / count)
    return {what: statistics.median(samples), f"least-{what}": min(samples)}


def timings(runner: Runner, seconds: float, training: bool = True) -> dict[str, float]:
    """Every way to run that the engine has, for so many seconds each; without training, the gradient alone."""
    reset = runner.reset or (lambda: None)

    def repeat(call: Callable[[], Any]) -> Callable[[int], None]:
        def run(count: int) -> None:
            for _ in range(count):
                call()

        return run

    out = _timed("call", repeat(runner.gradient), lambda: None, seconds)
    if runner.step is not None and training:
        out |= _timed("step", repeat(runner.step), reset, seconds, TRAINING)
    if runner.loop is not None and training:
        out |= _timed("loop", runner.loop, reset, seconds, TRAINING)
    return out


def measured(make: Callable[[], Runner], judge: Callable[[], Runner], job: dict[str, Any]) -> dict[str, Any]:
    """First answer, check, and timings."""
    engine = ENGINES[job["engine"]]
    for package in ("numpy", *engine.needs, *(("pygrad",) if engine.ours else ())):
        __import__(package)
    start = time.perf_counter()
    runner = make()
    runner.gradient()
    seconds = time.perf_counter() - start
    out = {} if engine.compiles and not job["check"] else {"first": seconds}  # what was compiled is there again
    if job["check"] and engine.agrees and (difference := wrong(runner, judge())):
        return {"wrong": difference}
    return out | timings(runner, job["seconds"], job.get("training", True))


def program_net(job: dict[str, Any]) -> dict[str, Any]:
    net: Net = NETS[job["net"]]
    if job.get("samples"):
        net = net.of_samples(job["samples"])
    make, folder = ENGINES[job["engine"]].net, Path(job["folder"])
    assert make is not None  # chosen by workloads.py
    return measured(lambda: make(net, folder), lambda: nets.numpy_runner(net, folder), job)


def program_function(job: dict[str, Any]) -> dict[str, Any]:
    function: Function = FUNCTIONS[job["function"]]
    if job.get("variables"):
        function = Function(function.name, function.title, function.source, job["variables"])
    make, folder = ENGINES[job["engine"]].function, Path(job["folder"])
    assert make is not None  # chosen by workloads.py
    return measured(lambda: make(function, folder), lambda: functions.numpy_runner(function, folder), job)


def program_stages(job: dict[str, Any]) -> dict[str, Any]:
    """Seconds of recording, of each pass, and of what else building takes, as program.stats() tells them."""
    import pygrad

    net = NETS[job["net"]]
    _, loss = nets.pygrad_loss(net)
    compile_: Any = pygrad.compile
    program = compile_(loss)
    program.value_and_grad(*net.data())
    seconds = program.program.stats().get("seconds")
    return dict(seconds) if seconds else {"unable": "program.stats() gives no seconds"}


TASKS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "program-net": program_net,
    "program-function": program_function,
    "program-stages": program_stages,
}
