"""micrograd's demo: training MLP(2, [16, 16, 1]) on two moons, on several backends, compared bit for bit.

`python -m pygrad demo`. The loss is micrograd's: max-margin over all samples, plus an L2 penalty of 1e-4; plain
gradient descent with a learning rate that falls from 1.0 to 0.1. Written the micrograd way, on purpose.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from . import backends
from .data import make_moons
from .nn import MLP

ALPHA = 1e-4
"""Weight of the L2 penalty."""


def moons_loss(model: Any, X: Sequence[Sequence[float]], y: Sequence[int]) -> tuple[Any, float]:
    """The loss of a model on labelled points (a Value), and its accuracy (0 to 1)."""
    scores = [model(point) for point in X]
    losses = [(1 + -label * score).relu() for label, score in zip(y, scores)]
    data_loss = sum(losses) * (1.0 / len(losses))
    penalty = ALPHA * sum(p * p for p in model.parameters())
    correct = sum((label > 0) == (score.data > 0) for label, score in zip(y, scores))
    return data_loss + penalty, correct / len(y)


def learning_rate(step: int, steps: int) -> float:
    """1.0 - 0.9 k / steps, as micrograd's demo with its 100 steps."""
    return 1.0 - 0.9 * step / steps


class Run(NamedTuple):
    """What training gave: one loss a step, the accuracy before the last update, the seconds it took."""

    losses: list[float]
    accuracy: float
    seconds: float


def train_moons(
    backend: str,
    *,
    steps: int = 100,
    samples: int = 100,
    seed: int = 1337,
    hidden: Sequence[int] = (16, 16),
    progress: Callable[[int, float, float], None] | None = None,
) -> Run:
    """Trains on one backend. The same arguments give the same losses on every backend, bit for bit.

    progress: called after each step with its number, loss and accuracy.
    """
    X, y = make_moons(samples, seed=seed)
    random.seed(seed)
    model = MLP(2, [*hidden, 1], backend=backend)
    losses, accuracy = [], 0.0
    start = time.perf_counter()
    for k in range(steps):
        total, accuracy = moons_loss(model, X, y)
        model.zero_grad()
        total.backward()
        rate = learning_rate(k, steps)
        for p in model.parameters():
            p.data -= rate * p.grad
        losses.append(total.data)
        if progress:
            progress(k, total.data, accuracy)
    return Run(losses, accuracy, time.perf_counter() - start)


def main(steps: int, samples: int, seed: int, backend: str, every: int, write: Callable[[str], None]) -> bool:
    """Trains on the reference and on `backend`, and writes what both gave. True if every loss is equal."""
    names = ["python", backend] if backend != "python" else ["python"]
    for name in names:
        backends.load(name)  # a missing backend is reported before the slow part
    write(f"moons: MLP(2, [16, 16, 1]), {samples} samples, {steps} steps of gradient descent\n")
    runs = {}
    for name in names:
        write(f"training on backend {name!r} ...")
        runs[name] = train_moons(name, steps=steps, samples=samples, seed=seed)
    reference = runs["python"]
    write("\n step   " + "   ".join(f"loss ({name})".ljust(24) for name in names) + "   equal")
    shown = sorted({*range(0, steps, every), steps - 1})
    for k in shown:
        losses = [runs[name].losses[k] for name in names]
        same = "yes" if len({x.hex() for x in losses}) == 1 else "NO"
        write(f"{k:5d}   " + "   ".join(f"{x!r:24}" for x in losses) + f"   {same}")
    equal = all([x.hex() for x in run.losses] == [x.hex() for x in reference.losses] for run in runs.values())
    write("")
    for name in names:
        run = runs[name]
        write(
            f"{name:>8}: {run.seconds:9.3f} s, {1e3 * run.seconds / steps:9.3f} ms a step, "
            f"{reference.seconds / run.seconds:7.1f} times as fast as the reference, accuracy {run.accuracy:.0%}"
        )
    if len(names) > 1:
        verdict = "equal, bit for bit" if equal else "DIFFERENT"
        write(f"\nall {steps} losses of {' and '.join(names)}: {verdict}")
    return equal
