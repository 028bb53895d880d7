"""Higher derivatives over both tables: ops on scalars against mpmath, rules of arrays against differences.

A new row of either table is found here, and fails without a function, or a case, to compare it with.
"""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest

from pygrad import _arrays, backends
from pygrad.array_rules import RULES
from pygrad.checks import gradgradcheck
from pygrad.derivatives import grad
from pygrad.ops import OPS

from .test_array_rules import CASES
from .test_ops import ORACLES

# ---- scalars ----

POSITIVE = ("log", "sqrt", "pow")


def applied(name, x, y):
    if name == "pow_const":
        return x**y
    method = getattr(x, name)
    return method() if OPS[name].kind == "unary" else method(y)


def mixed(f, x, y, i, j):
    """The derivative of f, i times by x and j times by y."""
    with mpmath.workdps(40):
        return float(mpmath.diff(f, (mpmath.mpf(x), mpmath.mpf(y)), (i, j)))


@pytest.mark.parametrize(("x", "y"), [(0.7, 1.9), (-1.3, 2.5), (2.25, -0.75), (1.1, 0.6)])
@pytest.mark.parametrize("name", OPS)
def test_third_derivatives_of_every_op(backend, Value, name, x, y):
    op, exact = OPS[name], ORACLES[name]
    if name in POSITIVE or (name == "pow_const" and x < 0):
        x = abs(x)
    two = op.kind == "binary"

    def f(a, b):
        return exact(a) if op.kind == "unary" else exact(a, b if two else mpmath.mpf(y))

    a, b = Value(x), Value(y)
    results = {(0, 0): applied(name, a, b if two else y)}
    for order in (1, 2, 3):
        for i in range(order + 1):
            j = order - i
            if j and not two:
                continue
            by_x = i > 0  # of what was differentiated once less, by x where that can be
            lower = results[i - 1, j] if by_x else results[i, j - 1]
            g = grad(lower, a if by_x else b, create_graph=True, allow_unused=True)
            results[i, j] = g
            expected = mixed(f, x, y, i, j)
            assert g.data == pytest.approx(expected, rel=1e-12, abs=1e-13), (i, j)
            if i and j:  # the other way round
                other = grad(results[i, j - 1], b, allow_unused=True)
                assert other == pytest.approx(expected, rel=1e-12, abs=1e-13), (i, j)
            array = Value([x, x])
            other = [array, Value([y, y])] if two else [array]
            assert _nth(applied(name, array, other[-1] if two else y), other, i, j) == pytest.approx(
                [expected] * 2, rel=1e-12, abs=1e-13
            )
    assert (a.grad, b.grad) == (0.0, 0.0)


def _nth(z, operands, i, j):
    for x in [operands[0]] * i + [operands[-1]] * j:
        z = grad(z, x, create_graph=True, allow_unused=True)
    return z.data.tolist()


@pytest.mark.parametrize("order", [2, 3])
def test_ops_of_any_number_of_operands(backend, Value, order):
    numbers = [0.5, -1.25, 2.0, 0.75]

    def derivative(f, exact, by):
        """Of f by the operands named."""
        v = [Value(x) for x in numbers]
        z = f(v)
        for k in by:
            z = grad(z, v[k], create_graph=True, allow_unused=True)
        with mpmath.workdps(40):
            counts = tuple(by.count(k) for k in range(len(numbers)))
            expected = float(mpmath.diff(lambda *x: exact(x), tuple(map(mpmath.mpf, numbers)), counts))
        assert z.data == pytest.approx(expected, rel=1e-12, abs=1e-13), by

    def logsumexp(x):
        return mpmath.log(mpmath.fsum(mpmath.exp(u) for u in x))

    for by in ([0] * order, [1, 2, 0][:order], [3, 3, 1][:order]):
        derivative(lambda v: Value.logsumexp(v), logsumexp, by)
        derivative(lambda v: Value.sum(v) ** 3, lambda x: (x[0] + x[1] + x[2] + x[3]) ** 3, by)
        derivative(
            lambda v: Value.dot(v[:2], v[2:], v[0]).tanh(),
            lambda x: mpmath.tanh(x[0] + x[0] * x[2] + x[1] * x[3]),
            by,
        )
        derivative(lambda v: Value.dot(v, v) ** 2, lambda x: mpmath.fsum(u * u for u in x) ** 2, by)


def test_a_high_derivative(backend, Value):
    x = Value(0.3)
    y = x.sin() * x.exp()  # sin and exp together: a quarter turn and a factor of sqrt 2 each time
    for n in range(1, 9):
        y = grad(y, x, create_graph=True)
        assert y.data == pytest.approx(math.sqrt(2) ** n * math.exp(0.3) * math.sin(0.3 + n * math.pi / 4), rel=1e-13)


# ---- arrays ----

rng = np.random.default_rng(11)


def nudged(name, x):
    """x, off the kinks that the cases of first derivatives look for."""
    if name == "binary_cross_entropy":  # probabilities, without a kink
        return x
    if isinstance(x, float):
        return x + 0.1
    return np.where(np.isfinite(x), x, 1.0) + rng.uniform(0.1, 0.3, np.shape(x))


SMOOTH = [(name, [nudged(name, x) for x in xs], o) for name, xs, o, _ in CASES]
SMALL = [case for case in SMOOTH if 0 < sum(np.size(x) for x in case[1]) <= 60]


def ids(cases):
    return [f"{name}-{i}" for i, (name, *_) in enumerate(cases)]


def leaves(Value, xs):
    return [Value(x) for x in xs]


def test_every_rule_has_a_case():
    assert {name for name, *_ in SMALL} == set(RULES)
    assert set(ORACLES) == set(OPS)


@pytest.mark.parametrize(("name", "xs", "o"), SMOOTH, ids=ids(SMOOTH))
def test_a_graph_has_the_numbers_of_backward(backend, Value, name, xs, o):
    v = leaves(Value, xs)
    out = _arrays.apply(name, v, o)
    seed = np.random.default_rng(6).normal(size=out.shape) if out.shape else 0.75
    graph = grad(out, v, seed, create_graph=True)
    (out * seed).sum().backward()
    for x, plain, g in zip(v, grad(out, v, seed), graph):
        assert np.shape(plain) == np.shape(g.data) == x.shape
        np.testing.assert_array_equal(plain, x.grad)
        np.testing.assert_allclose(g.data, plain, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize(("name", "xs", "o"), SMALL, ids=ids(SMALL))
def test_second_derivatives_of_every_rule(backend, name, xs, o):
    report = gradgradcheck(lambda *v: _arrays.apply(name, v, o), xs, backend=backend)
    assert report.blurred == 0


@pytest.mark.parametrize(("name", "xs", "o"), SMOOTH, ids=ids(SMOOTH))
def test_second_and_third_derivatives_along_a_line(backend, Value, name, xs, o):
    """Of a weighted sum of squares of a rule's result, along one direction, against differences of one order less."""
    directions = [np.random.default_rng(5).normal(size=np.shape(x)) for x in xs]

    def of_order(n, t):
        v = leaves(Value, [x + t * d if np.ndim(x) else float(x + t * d) for x, d in zip(xs, directions)])
        z = _arrays.apply(name, v, o)
        z = ((z * z) * 0.5 + z).sum() if z.shape else z * z * 0.5 + z
        for _ in range(n):
            g = grad(z, v, create_graph=True, allow_unused=True)
            z = Value.sum([(gi * di).sum() if gi.shape else gi * float(di) for gi, di in zip(g, directions)])
        return z.data

    h = 1e-5
    for n in (1, 2, 3):
        numeric = (of_order(n - 1, h) - of_order(n - 1, -h)) / (2 * h)
        assert of_order(n, 0.0) == pytest.approx(numeric, rel=2e-6, abs=2e-6), n


def test_second_derivatives_with_zeros_among_the_factors(backend):
    for x in ([[0.0, 2.0, 3.0]], [[0.0, 0.0, 3.0]], [[0.0, 0.0, 0.0]], [[0.5, 2.0, -1.0], [0.0, 1.0, 4.0]]):
        assert gradgradcheck(lambda v: v.prod(axis=1), [np.array(x)], backend=backend)
        assert gradgradcheck(lambda v: v.prod(), [np.array(x)], backend=backend)


def test_scalars_and_arrays_mix(backend):
    def f(s, a, m):
        return (m @ a * s + s**2).tanh().sum() * s.exp() + a[1] * s

    inputs = [0.5, np.array([0.3, -1.2, 0.8]), np.array([[1.0, -0.5, 0.25], [-0.75, 0.5, 2.0]])]
    assert gradgradcheck(f, inputs, backend=backend)


def test_the_derivative_of_a_derivative_is_checked_to_the_third_order(backend):
    def f(x, a):  # itself a derivative, made as a graph
        return (grad(((x * a).tanh() ** 2).sum(), a, create_graph=True) * a).sum() + grad(x**3, x, create_graph=True)

    assert gradgradcheck(f, [0.5, np.array([0.3, -1.2, 0.8])], backend=backend)


def test_backends_agree_bit_for_bit():
    def everything(backend):
        Value = backends.load(backend)
        results = []
        for name, xs, o in SMOOTH:
            v = leaves(Value, xs)
            out = _arrays.apply(name, v, o)
            g = grad(out, v, create_graph=True)
            total = Value.sum([gi.sum() if gi.shape else gi for gi in g])
            results += [np.asarray(x).tobytes() for x in [*grad(out, v), *grad(total, v, allow_unused=True)]]
        return results

    reference = everything("python")
    for other in ("cffi", "c"):
        assert everything(other) == reference
