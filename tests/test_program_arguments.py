"""What compiled functions are given: dtypes, shapes, layouts, classes, options; what they refuse."""

from __future__ import annotations

import numpy as np
import pytest

from pygrad.functions import pick
from pygrad.programs import compile as compiled

from .program_cases import Case, same


@pytest.fixture
def case(Value):
    return Case(Value)


# ---- what is given ----


@pytest.mark.parametrize(
    "dtype",
    [bool, np.int8, np.uint8, np.int16, np.int32, np.int64, np.uint64, np.float16, np.float32, ">f8", "longdouble"],
)
def test_what_becomes_float64_exactly(case, dtype):
    X = np.array([[0, 1], [1, 1]]).astype(dtype)
    y = np.array([1, 0]).astype(dtype)
    same(case.compiled(X, y), case.compiled(X.astype(float), y.astype(float)))
    same(case.compiled(X.tolist(), y.tolist()), case.compiled(X.astype(float), y.astype(float)))


@pytest.mark.parametrize(
    ("bad", "dtype"),
    [
        (np.ones((7, 2), complex), "complex128"), (np.full((7, 2), "1.0"), "<U3"), (np.full((7, 2), b"1"), "|S1"),
        (np.full((7, 2), 1, object), "object"), (np.full((7, 2), "2020-01-01", "M8[D]"), "datetime64"),
        ([[None, 1.0]] * 7, "object"),
    ],
)  # fmt: skip
def test_what_can_not_become_float64_names_argument_and_dtype(case, bad, dtype):
    case.compiled.record(case.X, case.y)
    for call in (case.compiled, case.compiled.value_and_grad, case.compiled.minimize, case.compiled.program):
        with pytest.raises(TypeError, match=f"^x must be .*{dtype.replace('|', '.')}"):
            call(bad, case.y)


@pytest.mark.parametrize("dtype", [complex, object, "S1", [("a", float), ("b", float)]])
def test_what_can_not_become_float64_is_not_recorded_for(case, dtype):
    """Whatever the function says of its shape."""
    with pytest.raises(TypeError, match=r"^x must be an array that can become float64 exactly"):
        case.compiled(np.ones(7, dtype), case.y)
    assert case.compiled.programs == ()


def test_integers_that_are_no_float64(case):
    fits = np.array([[2**53, -(2**60)], [2**53 + 2, 1]])
    assert case.compiled(fits, [0, 0]).shape == (2,)
    for wrong in (2**53 + 1, -(2**53) - 1, 2**63 - 1):
        with pytest.raises(ValueError, match=rf"^x: {wrong}, at \[1, 0\], is no float64"):
            case.compiled(np.array([[1, 2], [wrong, 2]]), [0, 0])
        with pytest.raises(ValueError, match=rf"^x: {wrong}, at \[1, 0\], is no float64: the nearest is -?9"):
            case.compiled([(1, 2.5), (wrong, 0.5)], [0, 0])
    huge = [[2**60, 0.5], [float("-inf"), 1e300]]
    same(case.compiled(huge, [0, 0]), case.compiled(np.array(huge), [0, 0]))
    with pytest.raises(ValueError, match="is no float64"):
        case.compiled(np.array([[1, 2], [2**64 - 1, 2]], np.uint64), [0, 0])
    if np.finfo(np.longdouble).nmant > 52:
        with pytest.raises(ValueError, match="is no float64"):
            case.compiled(np.ones((2, 2), np.longdouble) / 3, [0, 0])


def test_wrong_shapes(case):
    f, X, y = case.compiled, case.X, case.y
    f(X, y)
    with pytest.raises(ValueError, match="x has 7 samples, but y has 6"):
        f(X, y[:6])
    with pytest.raises(TypeError, match=r"expected 2 arrays \(x, y\), but got 1"):
        f(X)
    with pytest.raises(TypeError, match=r"expected 2 arrays \(x, y\), but got 3"):
        f(X, y, y)
    with pytest.raises(ValueError, match=r"^y must be an array whose first axis is the samples, not the number 1.0"):
        f(X, 1.0)
    with pytest.raises(ValueError, match=r"^x: lists in it differ in length"):
        f([[1.0], [1.0, 2.0]], [1.0, 2.0])
    with pytest.raises(TypeError, match=r"^y must be an array of numbers, not a Value"):
        f(X, case.a)
    with pytest.raises(TypeError, match=r"^y has masked entries"):
        f(X, np.ma.masked_less(y, 0.0))
    program = f.program
    with pytest.raises(ValueError, match=r"^x has shape \(7, 3\), but this program was recorded for \(N, 2\)"):
        program(np.ones((7, 3)), y)
    with pytest.raises(TypeError, match=r"expected 2 arrays"):
        program(X)


def test_empty_batches(case):
    f, X, y = case.compiled, case.X[:0], case.y[:0]
    assert f(X, y).shape == (0,)
    assert f.sample_gradients(X, y).shape == (0, 2)
    assert [g.shape for g in f.input_gradients(X, y)] == [(0, 2), (0,)]
    assert f.jvp([1.0, 1.0], X, y).shape == (0,)
    loss, gradient = f.value_and_grad(X, y, reduction="sum")
    assert (loss, gradient.tolist()) == (0.0, [0.0, 0.0])
    assert f.hvp([1.0, 1.0], X, y, reduction="sum").tolist() == [0.0, 0.0]
    for call in (f.value_and_grad, f.backward, f.hessian, f.fun, f.minimize):
        with pytest.raises(ValueError, match="no samples"):
            call(X, y)
    with pytest.raises(ValueError, match="no samples"):
        f.minimize(X, y, reduction="sum")


def test_numbers_that_are_not_finite_propagate(case):
    X = np.array([[np.inf, 1.0], [np.nan, 1.0], [0.0, 1.0], [800.0, 1.0]])
    found = case.compiled(X, np.ones(4))
    assert np.isinf(found[0])
    assert np.isnan(found[1])
    assert np.isfinite(found[2])
    assert np.isinf(found[3])  # where exp raises OverflowError in Python
    assert np.isnan(case.compiled.value_and_grad(X, np.ones(4))[0])


def test_arrays_of_every_layout(case):
    expected = case.compiled(case.X, case.y)
    wide = np.zeros((14, 6))
    wide[::2, 1:5:3] = case.X
    shifted = np.zeros(7 * 8 + 1, np.uint8)[1:].view(np.float64)
    shifted[:] = case.y
    for X in (np.asfortranarray(case.X), wide[::2, 1:5:3], case.X[::-1].copy()[::-1]):
        same(case.compiled(X, case.y), expected)
        same(case.compiled(X, shifted), expected)
    read_only = case.X.copy()
    read_only.flags.writeable = False
    same(case.compiled(read_only, case.y), expected)
    same(case.compiled.value_and_grad(read_only, case.y)[1], case.compiled.value_and_grad(case.X, case.y)[1])


def test_options(case):
    f, X, y = case.compiled, case.X, case.y
    with pytest.raises(ValueError, match="unknown reduction='max': choose 'mean' or 'sum'"):
        f.value_and_grad(X, y, reduction="max")
    for threads, error in [(0, ValueError), (-1, ValueError), (1.5, TypeError)]:
        with pytest.raises(error, match="threads must be"):
            compiled(case.f, threads=threads)
    for threads in (2**31, 2**80):
        same(compiled(case.f, threads=threads, backend=case.Value._pygrad_backend)(X, y), f(X, y))
    with pytest.raises(ValueError, match=r"tangent must have the shape \(2,\).*not \(3,\)"):
        f.jvp([1.0, 2.0, 3.0], X, y)
    with pytest.raises(TypeError, match="vector must be an array of real numbers"):
        f.hvp(["a", "b"], X, y)
    with pytest.raises(ValueError, match=r"theta must have the shape \(2,\)"):
        f.fun(X, y)([1.0])
    with pytest.raises(ValueError, match="parameter_vector must have the shape"):
        f.program.parameter_vector = [1.0]


def test_a_list_is_no_loss(engine):
    f = compiled(lambda x: [x, x * 2], backend=engine._pygrad_backend)
    for call in (f.value_and_grad, f.backward, f.input_gradients, f.sample_gradients, f.hessian, f.fun, f.minimize):
        with pytest.raises(TypeError, match=r"needs one number a sample to differentiate.*a list of 2"):
            call([1.0, 2.0])
    assert f.jvp([], [1.0, 2.0]).tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_a_hessian_of_too_many(engine):
    values = [engine(0.5) for _ in range(2001)]
    f = compiled(lambda: engine.sum(values), backend=engine._pygrad_backend)
    with pytest.raises(ValueError, match=r"2001 parameters would make 4004001 entries.*use hvp"):
        f.hessian()


# ---- classes ----


def test_classes(engine):
    f = compiled(lambda x, y: engine.logsumexp(x) - pick(x, y), backend=engine._pygrad_backend)
    X = np.random.default_rng(1).normal(size=(5, 3))
    y = np.array([0, 2, 1, 2, 0])
    expected = f(X, y)
    assert expected == pytest.approx(np.log(np.exp(X).sum(1)) - X[np.arange(5), y])
    for other in (y.astype(float), y.astype(np.uint8), y.tolist(), y.astype(np.int64)[::-1].copy()[::-1]):
        same(f(X, other), expected)
    of_x, of_y = f.input_gradients(X, y)
    assert of_x == pytest.approx(np.exp(X) / np.exp(X).sum(1, keepdims=True) - np.eye(3)[y])
    same(of_y, np.zeros(5))
    for wrong in (3, -1):
        y[3] = wrong
        for call in (f, f.value_and_grad, f.minimize if f.parameters else f.backward):
            with pytest.raises(IndexError, match=rf"^y: sample 3 has class {wrong}, which is not one of 0 to 2"):
                call(X, y)
    with pytest.raises(ValueError, match=r"^y: sample 1 has 0.5: classes are whole numbers"):
        f(X[:2], [1.0, 0.5])
    with pytest.raises(ValueError, match=r"^y: sample 0 has nan"):
        f(X[:1], [np.nan])
