"""What an operation on array Values costs beyond the NumPy calls that it consists of, forward and backward.

Each operation is written three times: on Values; as the bare NumPy calls that its value needs; and as those that its
derivatives need, with the axes put back to the operands' shapes. Small arrays, for which this is all that counts. The
difference is taken over STAR independent operations that are all kept, so both sides meet the same caches; of a
backward sweep, the part that combines them (a stack, over leaves of the same shapes) is subtracted too.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

STAR = 20
SHAPES = ((4, 4), (100, 16))


@dataclass(frozen=True)
class ArrayOp:
    """name: as it is written. operands: their shapes, from the shape (n, m) of the first.

    value: on Values, and the module pygrad.arrays. bare: on ndarrays. derivative: from the result's gradient g, the
    result z and the ndarrays; one array an operand, of its shape.
    """

    name: str
    operands: Callable[[int, int], tuple[tuple[int, ...], ...]]
    value: Callable[..., Any]
    bare: Callable[..., Any]
    derivative: Callable[..., tuple[Any, ...]]


def _one(n: int, m: int) -> tuple[tuple[int, ...], ...]:
    return ((n, m),)


def _two(n: int, m: int) -> tuple[tuple[int, ...], ...]:
    return (n, m), (n, m)


def _square(n: int, m: int) -> tuple[tuple[int, ...], ...]:
    return (n, m), (m, m)


def _logsumexp(x: Any) -> Any:
    m = np.maximum.reduce(x, 1, None, None, True)
    if not np.vdot(m, m) < np.inf:
        raise ValueError("an infinite number")
    return (m + np.log(np.add.reduce(np.exp(x - m), 1, None, None, True))).squeeze(1)


def _picked(g: Any, x: Any) -> Any:
    out = np.zeros(x.shape)
    out[1] = g
    return out


def _spread(g: Any, x: Any) -> Any:
    out = np.empty(x.shape)
    out[...] = g
    return out


_CONDITIONS = {shape: np.arange(shape[0] * shape[1]).reshape(shape) % 3 > 0 for shape in SHAPES}

ARRAY_OPS = (
    ArrayOp("x + y", _two, lambda p, x, y: x + y, lambda x, y: x + y, lambda g, z, x, y: (g, g)),
    ArrayOp(
        "x + bias", lambda n, m: ((n, m), (m,)),
        lambda p, x, b: x + b, lambda x, b: x + b, lambda g, z, x, b: (g, np.add.reduce(g, 0)),
    ),
    ArrayOp("x * y", _two, lambda p, x, y: x * y, lambda x, y: x * y, lambda g, z, x, y: (g * y, g * x)),
    ArrayOp("x * 2.0", _one, lambda p, x: x * 2.0, lambda x: x * 2.0, lambda g, z, x: (g * 2.0,)),
    ArrayOp("-x", _one, lambda p, x: -x, lambda x: -x, lambda g, z, x: (-g,)),
    ArrayOp("x.exp()", _one, lambda p, x: x.exp(), np.exp, lambda g, z, x: (g * z,)),
    ArrayOp(
        "x.relu()", _one,
        lambda p, x: x.relu(), lambda x: np.maximum(x, 0.0), lambda g, z, x: (np.where(z > 0.0, g, 0.0),),
    ),
    ArrayOp("x ** 2", _one, lambda p, x: x**2, np.square, lambda g, z, x: (g * (x + x),)),
    ArrayOp("x @ w", _square, lambda p, x, w: x @ w, lambda x, w: x @ w, lambda g, z, x, w: (g @ w.T, x.T @ g)),
    ArrayOp(
        "linear(x, w, b)", lambda n, m: ((n, m), (m, m), (m,)),
        lambda p, x, w, b: p.linear(x, w, b),
        lambda x, w, b: x @ w + b,
        lambda g, z, x, w, b: (g @ w.T, x.T @ g, np.add.reduce(g, 0)),
    ),
    ArrayOp(
        "x.sum()", _one,
        lambda p, x: x.sum(), lambda x: np.add.reduce(x, None), lambda g, z, x: (_spread(g, x),),
    ),
    ArrayOp(
        "x.mean(axis=0)", _one,
        lambda p, x: x.mean(axis=0),
        lambda x: np.add.reduce(x, 0) / x.shape[0],
        lambda g, z, x: (_spread(g / x.shape[0], x),),
    ),
    ArrayOp(
        "x.logsumexp(axis=1)", _one,
        lambda p, x: x.logsumexp(axis=1),
        _logsumexp,
        lambda g, z, x: (g[:, None] * np.exp(x - z[:, None]),),
    ),
    ArrayOp(
        "x.reshape(-1)", _one,
        lambda p, x: x.reshape(-1), lambda x: x.reshape(-1), lambda g, z, x: (g.reshape(x.shape),),
    ),
    ArrayOp("x.T", _one, lambda p, x: x.T, lambda x: x.T, lambda g, z, x: (g.T,)),
    ArrayOp("x[1]", _one, lambda p, x: x[1], lambda x: x[1], lambda g, z, x: (_picked(g, x),)),
    ArrayOp(
        "where(c, x, y)", _two,
        lambda p, x, y: p.where(_CONDITIONS[x.shape], x, y),
        lambda x, y: np.where(_CONDITIONS[x.shape], x, y),
        lambda g, z, x, y: (np.where(_CONDITIONS[x.shape], g, 0.0), np.where(_CONDITIONS[x.shape], 0.0, g)),
    ),
)  # fmt: skip


def keys(op: ArrayOp, shape: tuple[int, int]) -> dict[str, str]:
    """The names of the numbers that overhead() gives, by phase."""
    return {phase: f"{op.name}; {shape[0]}x{shape[1]}; {phase}" for phase in ("forward", "backward")}


def overhead(value_type: Any, seconds: float) -> dict[str, float]:
    """Nanoseconds an operation takes beyond its bare NumPy calls: of each one and shape forward and backward."""
    room = [np.ones(1000) for _ in range(1000)]
    pin = room.pop()  # on top of memory that is free then, and stays: no side has to ask the system for some
    del room
    out: dict[str, float] = {}
    share = seconds / (len(ARRAY_OPS) * len(SHAPES))
    for op in ARRAY_OPS:
        for shape in SHAPES:
            for phase, x in zip(("forward", "backward"), _differences(value_type, op, shape, share)):
                out[keys(op, shape)[phase]] = x
    del pin
    return out


def _differences(value_type: Any, op: ArrayOp, shape: tuple[int, int], seconds: float) -> tuple[float, float]:
    """The medians of as many runs as fit into the time, at least 5; in each the sides take turns."""
    runs: list[tuple[float, float]] = []
    end = time.perf_counter() + seconds
    while len(runs) < 5 or time.perf_counter() < end:
        runs.append(_one_run(value_type, op, shape))
    runs = runs[1:]  # the first warms up
    return statistics.median(r[0] for r in runs), statistics.median(r[1] for r in runs)


def _one_run(value_type: Any, op: ArrayOp, shape: tuple[int, int]) -> tuple[float, float]:
    import pygrad.arrays

    now, each = time.perf_counter, 1e9 / STAR
    generator = np.random.default_rng(0)
    data = [[generator.random(s) for s in op.operands(*shape)] for _ in range(STAR)]
    leaves = [[value_type(x) for x in xs] for xs in data]
    t0 = now()
    nodes = [op.value(pygrad.arrays, *vs) for vs in leaves]
    t1 = now()
    results = [op.bare(*xs) for xs in data]
    t2 = now()
    forward = (t1 - t0) - (t2 - t1)

    plain = pygrad.arrays.stack([value_type(z) for z in results])
    root = pygrad.arrays.stack(nodes)
    gradients = [np.ones(np.shape(z)) if np.ndim(z) else 1.0 for z in results]
    with np.errstate(all="ignore"):
        t3 = now()
        root.backward()
        t4 = now()
        plain.backward()
        t5 = now()
        parts = [op.derivative(g, z, *xs) for g, z, xs in zip(gradients, results, data)]
        t6 = now()
    for vs, wanted in zip(leaves, parts):
        for v, c in zip(vs, wanted):
            if v.grad.shape != np.shape(c) or not np.allclose(v.grad, c, rtol=1e-12, atol=0.0):
                raise AssertionError(f"the gradient of {op.name} is not that of its bare derivative")
    backward = (t4 - t3) - (t5 - t4) - (t6 - t5)
    return each * forward, each * backward
