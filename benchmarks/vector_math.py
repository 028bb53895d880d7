"""How accurate the vector functions of programs are, and how fast: `python benchmarks/vector_math.py`.

Compares csrc/vmath.h with mpmath over dense, random and special points, and prints the largest error in ulps (units in
the last place of the true value) and the nanoseconds an element takes, for each instruction set and for libm. All sets
give the same bits: the errors are measured on the first. Asserts nothing; tests/test_program_vmath.py does, with the
functions of this file and fewer points. Needs mpmath.
"""

from __future__ import annotations

import argparse
import math
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import mpmath
import numpy as np

from pygrad._ffi import OP_CODES, ffi, lib

VALUE, DX, DY = 0, 1, 2
PRECISION = 140  # bits of the true values; exp(-745) ** 2 need not be told from 0 beside 1


@dataclass(frozen=True)
class Function:
    """An op whose loop has no libm in it: the truth, the constant k, and where to look besides everywhere."""

    op: str
    true: Callable[[Any], Any]
    ranges: tuple[tuple[float, float], ...]
    k: float = 0.0
    positive: bool = False  # the domain
    breaks: tuple[float, ...] = ()  # where the formula changes, or the result stops being normal


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + mpmath.exp(-x))


def _softplus(x: Any) -> Any:
    return max(x, mpmath.mpf(0)) + mpmath.log1p(mpmath.exp(-abs(x)))


def _elu(x: Any) -> Any:
    return x if x > 0 else mpmath.expm1(x)


def _power(k: float) -> Function:
    return Function(
        "pow_const", lambda x: mpmath.power(x, k), ((0.0, 4.0),), k, positive=k != math.floor(k), breaks=(1.0, 1e154)
    )


_HALF_LN2 = math.log(2.0) / 2.0
_EXTREMES = (709.782712893384, 710.0, 708.3964185322641, 745.1332191019412, 746.0)
FUNCTIONS = {
    "exp": Function("exp", mpmath.exp, ((-746.0, 710.0), (-1.0, 1.0)), breaks=(*_EXTREMES, _HALF_LN2, 3 * _HALF_LN2)),
    "log": Function(
        "log", mpmath.log, ((0.0, 4.0), (0.99, 1.01)), positive=True,
        breaks=(1.0, math.sqrt(0.5), math.sqrt(2.0), 2.2250738585072014e-308),
    ),
    "tanh": Function("tanh", mpmath.tanh, ((-21.0, 21.0), (-1.0, 1.0)), breaks=(0.625, 19.06, 20.0)),
    "sigmoid": Function("sigmoid", _sigmoid, ((-746.0, 40.0), (-4.0, 4.0)), breaks=(*_EXTREMES, 36.7, _HALF_LN2)),
    "softplus": Function("softplus", _softplus, ((-746.0, 40.0), (-4.0, 4.0)), breaks=(*_EXTREMES, 0.8813735870195430)),
    "erf": Function("erf", mpmath.erf, ((-6.1, 6.1), (-1.2, 1.2)), breaks=(1.0, 5.93, 6.0)),
    "elu": Function("elu", _elu, ((-42.0, 0.0), (-1.0, 0.0)), 1.0, breaks=(37.4, 40.0, _HALF_LN2)),
    **{f"x ** {k:g}": _power(k) for k in (2.0, 3.0, 0.5, -0.5, -1.0, -2.0)},
}  # fmt: skip


def usable_sets() -> list[str]:
    """The instruction sets of this build that this processor has."""
    names = []
    while pointer := lib.pg_program_isa_usable(len(names)):
        names.append(ffi.string(pointer).decode())
    return names


def prepared(
    which: str, op: str, *operands: np.ndarray[Any, Any] | None, k: float = 0.0, form: int = VALUE
) -> tuple[Callable[[], int], np.ndarray[Any, Any]]:
    """A call of one loop of programs, and the array that it writes; the call gives a status, 0 for success.

    An op's value of (x[, y]), or its derivative of (g, x, y or None, z), on arrays; the value of logsumexp is of three
    rows. which: "baseline", "avx2", "avx512", or "libm".
    """
    arrays = [None if x is None else np.ascontiguousarray(x, dtype=np.float64) for x in operands]
    first = arrays[0]
    assert first is not None
    z = np.empty(first.shape[1:] if op == "logsumexp" and form == VALUE else first.shape)
    pointers = [ffi.NULL if x is None else ffi.cast("double *", x.ctypes.data) for x in arrays]
    every = ffi.new("double *[4]", pointers + [ffi.NULL] * (4 - len(pointers)))
    result = ffi.cast("double *", z.ctypes.data)
    name, code, n, call = which.encode(), OP_CODES[op], z.size, lib.pg_program_formula
    # the default keeps the arrays that the pointers are of
    return lambda kept=arrays: call(name, code, form, k, n, every, result), z


def formula(
    which: str, op: str, *operands: np.ndarray[Any, Any] | None, k: float = 0.0, form: int = VALUE
) -> np.ndarray[Any, Any]:
    """The result of a `prepared` call. Raises ValueError where there is no such set or formula."""
    call, z = prepared(which, op, *operands, k=k, form=form)
    if status := call():
        raise ValueError(f"{which}, {op}, {form}: {ffi.string(lib.pg_status_text(status)).decode()}")
    return z


def points(function: Function, n: int, seed: int = 0) -> np.ndarray[Any, Any]:
    """About 3 n finite numbers of the function's domain: dense, random in sign and exponent, and near its breaks."""
    rng = np.random.default_rng(seed)
    dense = [np.linspace(low, high, n // len(function.ranges) + 1) for low, high in function.ranges]
    jitter = [rng.uniform(low, high, n // len(function.ranges) + 1) for low, high in function.ranges]
    random = rng.integers(0, 2**64, n, dtype=np.uint64).view(np.float64)
    edges = np.array([0.0, 5e-324, 2.2250738585072014e-308, 1e-300, 1e-17, 1.7976931348623157e308, *function.breaks])
    near = (edges.view(np.int64)[:, None] + np.arange(-6, 7)).ravel()
    found = np.concatenate([*dense, *jitter, random, near[near >= 0].view(np.float64), -edges])
    found = found[np.isfinite(found)]
    return found[found > 0.0] if function.positive else found


def ulps(x: float, y: float, true: Callable[[Any], Any]) -> float:
    """How far y is from true(x), in ulps of the true value; an overflow must be infinite, and is then 0 away."""
    with mpmath.workprec(PRECISION):
        try:
            z = true(mpmath.mpf(x))
        except ZeroDivisionError:
            return 0.0 if math.isinf(y) else math.inf
        if abs(z) >= mpmath.mpf(2) ** 1024 - mpmath.mpf(2) ** 970 or math.isinf(y):
            return 0.0 if y == float(mpmath.sign(z)) * math.inf and abs(z) > 1.7976931348623157e308 else math.inf
        if math.isnan(y):
            return math.inf
        exponent = max(mpmath.frexp(z)[1] - 53, -1074) if z else -1074
        return float(abs(z - mpmath.mpf(y)) / mpmath.ldexp(1, exponent))


def largest_error(name: str, which: str, n: int, seed: int = 0) -> tuple[float, float]:
    """The largest error of a function in ulps, over some 3 n points, and where it is."""
    function = FUNCTIONS[name]
    x = points(function, n, seed)
    y = formula(which, function.op, x, k=function.k)
    return max((ulps(a, b, function.true), a) for a, b in zip(x.tolist(), y.tolist()))


def nanoseconds(name: str, which: str, n: int, seconds: float) -> float:
    """What one element takes at best, in nanoseconds, of an array of n that is in the cache."""
    function = FUNCTIONS[name]
    low = 0.1 if function.positive else -4.0
    x = np.random.default_rng(0).uniform(low, 0.0 if name == "elu" else 4.0, n)
    call, _ = prepared(which, function.op, x, k=function.k)
    best, end = math.inf, time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter_ns()
        call()
        best = min(best, float(time.perf_counter_ns() - start))
    return best / n


def main() -> None:
    """Measures and prints the table."""
    parser = argparse.ArgumentParser(description="Accuracy and speed of the vector functions of programs.")
    parser.add_argument("--points", type=int, default=20_000, help="a third of the points of each function (20000)")
    parser.add_argument("--length", type=int, default=16_384, help="elements of the arrays that are timed (16384)")
    parser.add_argument("--seconds", type=float, default=0.3, help="for each time (0.3)")
    given = parser.parse_args()
    sets = usable_sets()
    libc = " ".join(platform.libc_ver()) or platform.platform()
    print(f"{platform.machine()}, {libc}, {ffi.string(lib.pg_build_compiler()).decode()}; mpmath {mpmath.__version__}")
    print(f"{3 * given.points} points of each function; nanoseconds an element, of {given.length}\n")
    print("| function | largest error | at | libm | " + " | ".join(sets) + " |")
    print("|---|---:|---:|---:|" + "---:|" * len(sets))
    for name in FUNCTIONS:
        error, where = largest_error(name, sets[0], given.points)
        times = [nanoseconds(name, which, given.length, given.seconds) for which in ("libm", *sets)]
        print(f"| {name} | {error:.2f} ulp | {where:.6g} | " + " | ".join(f"{t:.2f}" for t in times) + " |", flush=True)


if __name__ == "__main__":
    main()
