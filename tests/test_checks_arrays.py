"""The checks with arrays: gradcheck, compare_backends, and gradgradcheck, which finds wrong second derivatives."""

from __future__ import annotations

import math

import numpy as np
import pytest

import pygrad
from pygrad import compare_backends, gradcheck, gradgradcheck
from pygrad.checks import GradientError
from pygrad.nn import MLP
from pygrad.ops import OPS

MATRIX = np.array([[1.0, -2.0, 0.5], [0.25, 3.0, -1.5]])
VECTOR = np.array([0.75, -0.5, 1.25])


def cube(x, factor=3.0):
    """A user-defined op on arrays, whose derivative is right for a factor of 3."""
    out = type(x)(x.data**3, (x,), "cube")

    def _backward():
        x.grad += factor * x.data**2 * out.grad

    out._backward = _backward
    return out


# ---- gradcheck ----


def test_arrays_are_checked_entry_by_entry(backend, Value):
    seen = []

    def f(a, x, rest):
        seen.append((a, x, rest))
        return ((a @ x).tanh() * rest[0]).sum() + rest[1][0] * x[2]

    report = gradcheck(f, [MATRIX, VECTOR, [0.5, [np.float64(2.0)]]], backend=backend)
    assert report == ([], 6 + 3 + 2, 0)
    a, x, rest = seen[0]
    assert (a.shape, x.shape, rest[0].shape, rest[1][0].shape) == ((2, 3), (3,), (), ())
    assert all(isinstance(v, Value) for v in (a, x, rest[0], rest[1][0]))
    assert len(seen) == 2 + 2 * 11
    assert MATRIX[0, 0] == 1.0


def test_every_number_of_an_array_that_f_returns(backend):
    assert gradcheck(lambda a, x: a @ x, [MATRIX, VECTOR], backend=backend).checked == 2 * 9
    assert gradcheck(lambda x: [x, x.sum(), x.softmax()], VECTOR, backend=backend).checked == 7 * 3


def test_a_wrong_derivative_of_an_array(backend):
    factors = np.array([[3.0, 3.0, 2.0], [3.0, 3.0, 3.0001]])
    with pytest.raises(GradientError) as caught:
        gradcheck(lambda a: cube(a, factors).sum(), [MATRIX], backend=backend)
    first, second = caught.value.report.mismatches
    assert (first.name, first.index, first.analytic) == ("inputs[0]", (0, 2), 0.5)
    assert first.numeric == pytest.approx(0.75)
    assert (second.index, second.analytic) == ((1, 2), 3.0001 * 1.5**2)
    assert str(caught.value).splitlines()[1].startswith("  inputs[0][0][2]: backward() gives 0.5, differences 0.7")
    report = gradcheck(lambda a: cube(a, factors), [[MATRIX]][0], backend=backend, raise_exception=False)
    assert [(m.index, m.output) for m in report.mismatches] == [((0, 2), 2), ((1, 2), 5)]
    nested = gradcheck(lambda x: cube(x[1], 2.0).sum(), [[0.5, VECTOR]], backend=backend, raise_exception=False)
    assert [(m.name, m.index) for m in nested.mismatches] == [("inputs[0]", (1, i)) for i in range(3)]


@pytest.mark.parametrize("factor", [0.0, 3.00001, -3.0, math.nan, math.inf])
def test_wrong_factors(backend, factor):
    assert gradcheck(lambda a: cube(a).sum(), [MATRIX], backend=backend)
    assert not gradcheck(lambda a: cube(a, factor).sum(), [MATRIX], backend=backend, raise_exception=False)


def test_hard_points_are_not_reported(backend):
    big = np.array([1e8, 0.5, -1e8])
    for f, x in [
        (lambda v: v.sum(), big),  # cancels: 1e8 counts in the rounding
        (lambda v: v @ np.ones(3), big),
        (lambda v: pygrad.einsum("i,i->", v, np.ones(3)), big),
        (lambda v: v.mean() * 3, big),
        (lambda v: v.cumsum()[2], big),
        (lambda v: (v * v).sum(), 1e6 * VECTOR),
        (lambda v: v.log().sum(), np.array([1e-3, 1e-7])),
        (lambda v: v.sqrt().sum(), np.array([1e-12])),
        (lambda v: v.exp().sum(), np.array([700.0, -700.0])),
        (lambda v: v.logsumexp(), np.array([1000.0, -1000.0, 999.0])),
        (lambda v: v * 0, VECTOR),
        (lambda v: v.relu().sum(), np.array([1e-7, -1e-7])),
    ]:
        assert gradcheck(f, [x], backend=backend)


def test_a_kink_is_reported_as_documented(backend):
    (found,) = gradcheck(lambda v: v.relu().sum(), [np.array([1.0, 0.0])], backend=backend, raise_exception=False)[0]
    assert (found.index, found.analytic) == ((1,), 0.0)
    assert found.numeric == pytest.approx(0.5)


def test_a_value_stands_for_its_data(backend, Value):
    x, s = Value(VECTOR), Value(2.0)
    x.grad, s.grad = [1.0, 2.0, 3.0], 4.0
    seen = []

    def f(a, b):
        seen.append((a, b))
        return (a * b).sum()

    assert gradcheck(f, [x, s]).checked == 4  # its backend is found from the Values
    assert isinstance(seen[0][0], Value)
    assert seen[0][0] is not x
    assert (x.data.tolist(), x.grad.tolist(), s.data, s.grad) == (VECTOR.tolist(), [1.0, 2.0, 3.0], 2.0, 4.0)
    assert gradcheck(lambda a: a.norm(), x).checked == 3  # a single one


def test_arrays_among_the_parameters_are_put_back(backend, Value):
    w, b = Value(MATRIX, label="w"), Value(0.5)
    w.grad = 7.0

    def f(x):
        return (w @ x + b).tanh().sum()

    assert gradcheck(f, [VECTOR], parameters=[w, b]).checked == 3 + 6 + 1
    assert (w.data.tolist(), w.grad.tolist(), b.data, b.grad) == (MATRIX.tolist(), [[7.0] * 3] * 2, 0.5, 0.0)
    report = gradcheck(lambda x: cube(w, 2.0).sum(), parameters=[w], inputs=[1.0], raise_exception=False)
    assert {m.name for m in report.mismatches} == {"w"}
    assert len(report.mismatches) == 6
    assert gradcheck(lambda: (w * w).sum(), parameters=[w]).checked == 6


def test_a_batch_through_a_network(backend):
    model = MLP(3, [4, 2], activation="tanh", seed=1, backend=backend)
    assert gradcheck(model, [MATRIX], parameters=model).checked == 4 * (6 + 26)


def test_what_cannot_be_checked(backend):
    options = {"backend": backend}
    with pytest.raises(ValueError, match=r"inputs\[0\] is an array of float32, too coarse for differences"):
        gradcheck(lambda v: v.sum(), [VECTOR.astype(np.float32)], **options)
    with pytest.raises(ValueError, match=r"inputs\[0\]\[1\] is nan: derivatives are checked at finite numbers"):
        gradcheck(lambda v: v.sum(), [np.array([1.0, math.nan])], **options)
    with pytest.raises(ValueError, match="nothing to differentiate by"):
        gradcheck(lambda v: v.sum(), [np.ones((0, 2))], **options)
    with pytest.raises(ValueError, match="output 1 of f is inf: choose inputs"), np.errstate(divide="ignore"):
        gradcheck(lambda v: 1 / v, [np.array([1.0, 0.0])], **options)
    with pytest.raises(TypeError, match="f must return a Value or a list of Values, not ndarray"):
        gradcheck(lambda v: v.data, [VECTOR], **options)
    with pytest.raises(TypeError, match="data must be real numbers"):
        gradcheck(lambda v: v, [np.array(["a"])], **options)


# ---- gradgradcheck ----


@pytest.mark.parametrize("name", OPS)
def test_every_op_has_the_second_derivatives_of_differences(backend, name):
    def f(v, *w):
        if name == "pow_const":
            return v**1.9
        return getattr(v, name)(*(w or ([1.9] if OPS[name].kind == "constant" else [])))

    inputs = [0.7, 1.9] if OPS[name].kind == "binary" else [0.7]
    n = len(inputs)
    assert gradgradcheck(f, inputs, backend=backend) == ([], n * (n + 1), 0)
    arrays = [np.array([x, x + 0.4]) for x in inputs]
    assert gradgradcheck(f, arrays, backend=backend) == ([], 2 * n * (2 * n + 2), 0)


def test_ops_of_any_number_of_operands(backend):
    for f in (
        lambda x: x[0].sum(x).tanh(),
        lambda x: x[0].logsumexp(x),
        lambda x: x[0].dot(x, x[::-1], x[0]),
        lambda x: [x[0] * x[1], x[0].exp()],
    ):
        assert gradgradcheck(f, [[0.5, -1.0, 2.0]], backend=backend)


def test_a_network_and_its_parameters(backend):
    model = MLP(2, [3, 1], activation="tanh", seed=1, backend=backend)
    for p in model.parameters():
        p.grad = 3.0
    report = gradgradcheck(model, [[0.3, -0.7]], parameters=model)
    assert report.checked == (2 + 13) * (2 + 13 + 1)
    assert gradgradcheck(model, [np.array([[0.3, -0.7], [1.0, 0.5]])], parameters=model)
    assert all(p.grad == 3.0 for p in model.parameters())


def replaced(monkeypatch, name, derivative):
    """An op whose derivative is right as a number, and is something else as a graph."""
    right = OPS[name].derivatives[0]

    def chosen(m, g, x, y, z):
        return derivative(g, x, z) if hasattr(z, "operands") else right(m, g, x, y, z)

    monkeypatch.setitem(OPS, name, OPS[name]._replace(derivatives=(chosen,)))


def test_a_graph_that_forgets_an_operand(backend, monkeypatch):
    assert gradgradcheck(lambda x: x.tanh(), [0.5], backend=backend)
    replaced(monkeypatch, "tanh", lambda g, x, z: g * (1.0 - z.data * z.data))
    with pytest.raises(GradientError) as caught:
        gradgradcheck(lambda x: x.tanh(), [0.5], backend=backend)
    (found,) = caught.value.report.mismatches
    t = math.tanh(0.5)
    weight = found.numeric / (-2 * t * (1 - t * t))
    assert (found.name, found.analytic) == ("inputs[0]", 0.0)
    assert 0.5 < weight < 1.5
    assert gradcheck(lambda x: x.tanh(), [0.5], backend=backend)


def test_a_graph_that_forgets_what_comes_from_above(backend, monkeypatch):
    replaced(monkeypatch, "exp", lambda g, x, z: g.data * z)
    report = gradgradcheck(lambda x: x.exp(), [0.5], backend=backend, raise_exception=False)
    (found,) = report.mismatches
    assert (found.name, found.analytic) == ("weights[0]", 0.0)
    assert found.numeric == pytest.approx(math.exp(0.5))


def test_a_graph_whose_derivative_is_a_little_wrong(backend, monkeypatch):
    replaced(monkeypatch, "sin", lambda g, x, z: g * (x * 1.0001).cos())
    assert not gradgradcheck(lambda x: x.sin() ** 2, [0.5], backend=backend, raise_exception=False)


def test_what_gradgradcheck_refuses(backend):
    with pytest.raises(TypeError, match="the user-defined op 'cube' has a Python closure"):
        gradgradcheck(cube, [1.5], backend=backend)
    with pytest.raises(ValueError, match="rtol must be a positive number, not -1"):
        gradgradcheck(lambda x: x, [1.5], rtol=-1, backend=backend)
    with pytest.raises(TypeError, match="f gave 1 numbers at the inputs, but 2 close by"):
        gradgradcheck(lambda x: [x * x] * (2 if x.data > 1 else 1), [1.0], backend=backend)
    with pytest.raises(TypeError, match="f must be a function of Values, not int"):
        gradgradcheck(3, [1.0], backend=backend)


# ---- compare_backends ----


def planted(x, on_c):
    """A user-defined op whose data differ on c."""
    data = np.array(on_c if type(x)._pygrad_backend == "c" else x.data, x.dtype)
    return type(x)(data, (x,), "planted", "here")


def test_all_backends_are_equal():
    def f(a, x, rows):
        return [(a @ x).tanh(), (rows[0] * rows[1]).sum() * a[0, 0]]

    report = compare_backends(f, MATRIX, VECTOR, [VECTOR, [1.0, 2.0]][:1] + [2.0])
    assert report.equal
    assert compare_backends(lambda v: v.softmax().log(), pygrad.Value(VECTOR)).equal
    with np.errstate(all="ignore"):
        assert compare_backends(lambda v: v / v, np.array([0.0, 1.0, -0.0])).equal  # a nan equals a nan


def test_a_difference_of_data():
    other = MATRIX.copy()
    other[1, 2] = np.nextafter(other[1, 2], 0.0)
    report = compare_backends(lambda a: planted(a * 1.0, other).sum(), MATRIX)
    found = report.first_difference
    assert (found.backends, found.kind, found.index, found.ulps) == (("python", "c"), "data", (1, 2), 1)
    assert found.data == (-1.5, other[1, 2])
    lines = str(report).splitlines()
    assert "(op 'planted', entry [1, 2], label 'here'): data, 1 ulp apart" in lines[0]
    assert lines[1].startswith("  python: data -1.5 (")
    single = MATRIX.astype(np.float32)
    other = single.copy()
    other[0, 1] = np.nextafter(np.nextafter(other[0, 1], np.float32(0)), np.float32(0))
    found = compare_backends(lambda a: planted(a, other), single).first_difference
    assert (found.index, found.ulps) == ((0, 1), 2)


def test_differences_of_shape_dtype_and_gradient():
    found = compare_backends(lambda a: planted(a, VECTOR), MATRIX).first_difference
    assert (found.kind, found.index, found.ulps) == ("data", (), 0)
    assert "(2, 3)" in found.detail
    assert "(3,)" in str(found)

    def f(x):
        out = cube(x, 3.0 if type(x)._pygrad_backend != "cffi" else np.array([3.0, 3.0, 2.0]))
        return out.sum()

    found = compare_backends(f, VECTOR).first_difference
    assert (found.backends, found.kind, found.index) == (("python", "cffi"), "grad", (2,))
    assert found.grad == (3 * 1.25**2, 2 * 1.25**2)
    assert compare_backends(f, VECTOR, gradients=False)
