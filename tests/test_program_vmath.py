"""The loops of programs: vector functions against mpmath and at special points, the same bits on every instruction set.

Formulas are called one by one, through pg_program_formula. The oracles are mpmath, the op table of pygrad.ops and
NumPy's arithmetic; how programs find their loops is tested elsewhere.
"""

from __future__ import annotations

import importlib.util
import math
import sys
from pathlib import Path

import mpmath
import numpy as np
import pytest

import pygrad
from pygrad import _ieee
from pygrad._ffi import ffi, lib
from pygrad.ops import OPS

from .conftest import bits

_spec = importlib.util.spec_from_file_location(
    "vector_math", Path(__file__).parent.parent / "benchmarks" / "vector_math.py"
)
vector_math = importlib.util.module_from_spec(_spec)
sys.modules["vector_math"] = vector_math
_spec.loader.exec_module(vector_math)
formula, VALUE, DX, DY = vector_math.formula, vector_math.VALUE, vector_math.DX, vector_math.DY

SETS = vector_math.usable_sets()
INF, NAN, TINY, HUGE = math.inf, math.nan, 5e-324, 1.7976931348623157e308
EDGES = [0.0, -0.0, 1.0, -1.0, INF, -INF, NAN, TINY, -TINY, HUGE, -HUGE, 2.5, -2.5, 709.0, 710.0, -745.0, -746.0, 30.0]
CHANGED = {
    **dict.fromkeys(("exp", "log", "tanh", "sigmoid"), (VALUE,)),
    **dict.fromkeys(("softplus", "erf", "elu", "silu", "gelu", "pow_const"), (VALUE, DX)),
    "erfc": (DX,),
    "pow": (VALUE, DX, DY),
}
"""The formulas that are not libm's, so not the graph engine's to the last bit."""
EXPONENTS = [2.0, 3.0, 1.0, 0.5, -0.5, -1.0, -2.0, -1.5, -3.0, 0.0, 2.5, 1.7]


def same(x, y):
    """Whether two arrays have the same bits, but for a nan's."""
    return x.shape == y.shape and np.array_equal(
        np.where(np.isnan(x), NAN, x).view(np.uint64), np.where(np.isnan(y), NAN, y).view(np.uint64)
    )


def constants(name):
    return EXPONENTS if name == "pow_const" else [OPS[name].constant, 0.37]


def forms():
    """(op, form, k) of every formula there is."""
    for name, op in OPS.items():
        for k in constants(name) if op.kind == "constant" else [0.0]:
            for form in [VALUE, DX, DY][: 1 + len(op.derivatives)]:
                yield name, form, k


def operands(name, form, n, seed=1):
    """Arrays of n numbers for a formula: edges first, every pair of them, then random ones."""
    rng = np.random.default_rng(seed)

    def column(repeat, tile):
        pattern = np.tile(np.repeat(EDGES, repeat), tile)
        return np.concatenate([pattern, rng.normal(size=n) * 10.0 ** rng.integers(-3, 3, n)])[:n]

    x, y = column(len(EDGES), 1), column(1, len(EDGES))
    g = rng.normal(size=n)
    binary = OPS[name].kind == "binary"
    if form == VALUE:
        return [x, y] if binary else [x]
    z = formula("libm", name, *([x, y] if binary else [x]), k=OPS[name].constant)
    return [g, x, y if binary else None, z]


# ---- accuracy ----


@pytest.mark.parametrize("name", vector_math.FUNCTIONS)
def test_at_most_two_ulps_from_the_truth(name):
    error, where = vector_math.largest_error(name, SETS[0], 2500, seed=7)
    assert error <= 2.0, f"{name}({where!r})"


@pytest.mark.parametrize("which", SETS)
@pytest.mark.parametrize(
    ("op", "x", "y"),
    [
        ("exp", EDGES[:7], [1.0, 1.0, math.e, 1 / math.e, INF, 0.0, NAN]),
        ("exp", [709.782712893384, 709.7827128933841, -745.1332191019411, -745.1332191019412], [HUGE, INF, TINY, 0.0]),
        ("log", [0.0, -0.0, 1.0, -1.0, INF, -INF, NAN, -TINY], [-INF, -INF, 0.0, NAN, INF, NAN, NAN, NAN]),
        ("tanh", [0.0, -0.0, INF, -INF, NAN, TINY, -TINY, HUGE], [0.0, -0.0, 1.0, -1.0, NAN, TINY, -TINY, 1.0]),
        ("erf", [0.0, -0.0, INF, -INF, NAN, TINY, -TINY, HUGE], [0.0, -0.0, 1.0, -1.0, NAN, TINY, -TINY, 1.0]),
        ("sigmoid", [0.0, -0.0, INF, -INF, NAN, HUGE, -HUGE], [0.5, 0.5, 1.0, 0.0, NAN, 1.0, 0.0]),
        ("softplus", [INF, -INF, NAN, HUGE, -HUGE, 800.0], [INF, 0.0, NAN, HUGE, 0.0, 800.0]),
    ],
)
def test_special_points(which, op, x, y):
    # a bound that is no exact result, as exp(709.78...), may be an ulp away
    got = formula(which, op, np.array(x))
    for a, b, c in zip(x, got.tolist(), y):
        near = math.isfinite(c) and abs(c) not in (0.0, TINY) and op == "exp"
        assert b == pytest.approx(c, rel=1e-12) if near else bits(b) == bits(c), (a, b, c)


@pytest.mark.parametrize("which", SETS)
def test_denormal_results_and_arguments(which):
    """Where a double has fewer bits, an ulp is 2 ** -1074."""
    x = np.linspace(-745.1, -708.4, 700)
    for name in ("exp", "sigmoid", "softplus"):
        function = vector_math.FUNCTIONS[name]
        y = formula(which, name, x)
        assert 0.0 < y.min() < y.max() < 2.3e-308
        assert max(vector_math.ulps(a, b, function.true) for a, b in zip(x.tolist(), y.tolist())) < 1.0
    x = np.geomspace(5e-324, 2e-308, 700)
    assert max(vector_math.ulps(a, b, mpmath.log) for a, b in zip(x.tolist(), formula(which, "log", x).tolist())) < 1.0
    for name in ("tanh", "erf"):
        true = vector_math.FUNCTIONS[name].true
        assert max(vector_math.ulps(a, b, true) for a, b in zip(x.tolist(), formula(which, name, x).tolist())) <= 1.0


@pytest.mark.parametrize("which", SETS)
@pytest.mark.parametrize("k", EXPONENTS)
def test_powers_at_the_edges_are_as_libm_has_them(which, k):
    x = np.array([0.0, -0.0, INF, -INF, NAN, 1.0, -1.0, TINY, -TINY, HUGE, -HUGE, 4.0, -4.0, 1e160, 1e-160])
    got, expected = (formula(s, "pow_const", x, k=k) for s in (which, "libm"))
    assert np.allclose(got, expected, rtol=1e-15, atol=0.0, equal_nan=True)
    number = ~np.isnan(expected)
    assert np.array_equal(np.signbit(got[number]), np.signbit(expected[number]))


@pytest.mark.parametrize("which", SETS)
@pytest.mark.parametrize(("name", "form", "k"), [(n, f, k) for n, f, k in forms() if f in CHANGED.get(n, ())])
def test_all_that_is_built_on_them_is_near_libm(name, form, k, which):
    given = operands(name, form, 3000)
    got, expected = (formula(s, name, *given, k=k, form=form) for s in (which, "libm"))
    # beside the last bits, what (1 + small) and x * (1 - z) cancel in libm's formulas too
    assert np.allclose(got, expected, rtol=5e-14, atol=1e-300, equal_nan=True)


@pytest.mark.parametrize("which", ["libm", *SETS])
@pytest.mark.parametrize("lanes", [1, 8, 64, 72, 200])
def test_logsumexp_of_slots(which, lanes):
    x = np.random.default_rng(3).normal(size=(3, lanes)) * 30.0
    edges = np.array(
        [[INF, 1, -INF], [-INF, -INF, -INF], [NAN, INF, 0], [0, NAN, -INF], [1e308, 1, 1e308], [0, -0.0, 0]]
    )
    x[:, : len(edges)] = edges.T[:, :lanes]
    got = formula(which, "logsumexp", x).tolist()
    for column, z in zip(x.T.tolist(), got):
        expected = pygrad.logsumexp([pygrad.Value(v) for v in column]).data
        if which == "libm":
            assert bits(z) == bits(expected)
        assert z == pytest.approx(expected, rel=1e-14, abs=1e-300, nan_ok=True)
    g, z = np.ones(lanes), np.array(got)
    dx, expected = (formula(s, "logsumexp", g, x[0], None, z, form=DX) for s in (which, "libm"))
    assert np.allclose(dx, expected, rtol=1e-14, atol=0.0, equal_nan=True)
    assert which == "libm" or same(np.array(got), formula(SETS[0], "logsumexp", x))


# ---- the same bits ----


@pytest.mark.parametrize(("name", "form", "k"), list(forms()))
def test_every_set_and_every_length_gives_the_same_bits(name, form, k):
    given = operands(name, form, 1000)
    expected = formula(SETS[0], name, *given, k=k, form=form)
    for which in SETS:
        assert same(formula(which, name, *given, k=k, form=form), expected), which
        for n in (1, 7, 8, 24, 333):
            part = [x if x is None else x[:n] for x in given]
            assert same(formula(which, name, *part, k=k, form=form), expected[:n]), (which, n)


@pytest.mark.parametrize(
    ("name", "form", "k", "which"),
    [(*row, s) for row in forms() for s in ("libm", *SETS) if s == "libm" or row[1] not in CHANGED.get(row[0], ())],
)
def test_the_bits_of_the_op_table(name, form, k, which):
    """With libm all formulas equal the graph engine's; vector functions or not, those that need no libm do."""
    given = operands(name, form, 500)
    got = formula(which, name, *given, k=k, form=form).tolist()
    op = OPS[name]
    if form == VALUE:
        status = ffi.new("int *")
        code = vector_math.OP_CODES[name]
        y = given[1].tolist() if op.kind == "binary" else [k] * len(got)
        expected = [lib.pg_op_value(code, a, b, status) for a, b in zip(given[0].tolist(), y)]
    else:
        g, x, y, z = (None if v is None else v.tolist() for v in given)
        rows = zip(g, x, y if y is not None else [k] * len(got), z)
        expected = [op.derivatives[form - DX](_ieee, *row) for row in rows]
    assert [bits(v) for v in got] == [bits(v) for v in expected]


# ---- what there is not ----


@pytest.mark.parametrize(
    ("which", "op", "form", "message"),
    [
        ("mmx", "exp", VALUE, "instruction set"),
        ("libm", "sum", VALUE, "op"),
        (SETS[0], "exp", DY, "op"),
        (SETS[-1], "leaf", VALUE, "op"),
        ("libm", "exp", 3, "op"),
    ],
)
def test_no_such_formula(which, op, form, message):
    with pytest.raises(ValueError, match=message):
        formula(which, op, np.ones(8), np.ones(8), None, np.ones(8), form=form)
