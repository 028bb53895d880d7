"""NumPy's ufuncs and functions of Values: which give Values, which numbers, which a TypeError that names them; and that
scalar Values beside ndarrays stay the objects they are.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

import pygrad
from pygrad import _array_protocols, arrays

X = np.array([[0.5, 1.5, 2.0], [0.25, 3.0, 1.0]])
Y = np.array([0.75, 1.5, 0.5])

BINARY = [np.add, np.subtract, np.multiply, np.divide, np.power, np.float_power, np.maximum, np.minimum]
UNARY = [
    np.negative, np.positive, np.absolute, np.fabs, np.exp, np.log, np.sqrt, np.sin, np.cos, np.tanh, np.square,
    np.reciprocal, np.exp2, np.log2, np.log10,
]  # fmt: skip
COMPARISONS = [np.equal, np.not_equal, np.less, np.less_equal, np.greater, np.greater_equal]
TESTS = [np.isnan, np.isfinite, np.isinf, np.sign, np.signbit, np.logical_not]


def name_of(f):
    return f.__name__


# ---- ufuncs of array Values ----


@pytest.mark.parametrize("ufunc", BINARY, ids=name_of)
def test_binary_ufuncs(Value, ufunc):
    x, y, k = Value(X), Value(Y), Value(2.0)
    for left, right in [(x, y), (y, x), (x, Y), (X, y), (x, 2.0), (2, y), (x, k), (k, y), (x, Y.tolist()), (x, x)]:
        numbers = [v.data if type(v) is Value else v for v in (left, right)]
        z = ufunc(left, right)
        assert type(z) is Value
        np.testing.assert_allclose(z.data, ufunc(*numbers), rtol=1e-15)
        z.backward()
        for v in (left, right):
            assert type(v) is not Value or np.shape(v.grad) == v.shape


@pytest.mark.parametrize("ufunc", UNARY, ids=name_of)
def test_unary_ufuncs(Value, ufunc):
    x = Value(X)
    z = ufunc(x)
    assert type(z) is Value
    np.testing.assert_allclose(z.data, ufunc(X), rtol=1e-14)
    z.backward()
    step = 1e-6
    if ufunc is not np.positive:  # which is x itself
        np.testing.assert_allclose(x.grad, (ufunc(X + step) - ufunc(X - step)) / (2 * step), rtol=1e-6)


def test_matmul(Value):
    x, y = Value(X), Value(Y)
    for z in (x @ y, np.matmul(x, y), X @ y, x @ Y, x @ Y.tolist(), np.matmul(X, y), X.tolist() @ y):
        assert type(z) is Value
        np.testing.assert_allclose(z.data, X @ Y)
    assert (y @ y).shape == ()
    with pytest.raises(ValueError, match="matmul"):
        x @ x
    for wrong in (Value(2.0), 2.0):
        with pytest.raises(ValueError, match=r"matmul: .* does not have enough dimensions"):
            x @ wrong
    with pytest.raises(TypeError):
        x @ "a"
    with pytest.raises(TypeError):
        Value(1.0) @ Value(2.0)
    with pytest.raises(ValueError, match="matmul"):
        Value(1.0) @ Y


@pytest.mark.parametrize("ufunc", COMPARISONS, ids=name_of)
def test_comparisons_give_bools_of_the_data(Value, ufunc):
    for left, right in [(Value(X), Value(Y)), (Value(X), Y), (X, Value(Y)), (Value(X), 1.5), (Value(1.5), Value(Y))]:
        result = ufunc(left, right)
        assert type(result) is np.ndarray
        numbers = [v.data if type(v) is Value else v for v in (left, right)]
        assert result.tolist() == ufunc(*numbers).tolist()


@pytest.mark.parametrize("ufunc", TESTS, ids=name_of)
def test_what_looks_at_numbers_gives_numbers(Value, ufunc):
    x = np.array([0.0, -1.0, math.inf, math.nan])
    assert type(ufunc(Value(x))) is np.ndarray
    np.testing.assert_array_equal(ufunc(Value(x)), ufunc(x))
    assert bool(ufunc(Value(-1.0))) == bool(ufunc(-1.0))
    assert not np.logical_and(Value([0.0, 1.0]), True)[0]
    assert np.logical_or(Value([0.0, 1.0]), [True, False]).all()


@pytest.mark.parametrize(
    "ufunc", [np.arctan, np.cosh, np.floor, np.log1p, np.mod, np.hypot, np.heaviside, np.bitwise_and], ids=name_of
)
def test_an_unsupported_ufunc_is_named(Value, ufunc):
    inputs = [Value(X)] * ufunc.nin
    with pytest.raises(TypeError, match=rf"^np\.{ufunc.__name__} does not support array Values: see pygrad\.arrays"):
        ufunc(*inputs)


def test_methods_and_options_of_ufuncs_are_named(Value):
    x = Value(X)
    for method, hint in [
        (lambda: np.add.reduce(x), r"np\.add\.reduce does not support array Values: use np\.sum"),
        (lambda: np.multiply.reduce(x), r"np\.multiply\.reduce .* use np\.prod"),
        (lambda: np.maximum.reduce(x), r"np\.maximum\.reduce .* use np\.max"),
        (lambda: np.add.accumulate(x), r"np\.add\.accumulate .* use \.data"),
        (lambda: np.multiply.outer(x, x), r"np\.multiply\.outer"),
        (lambda: np.add.at(X.copy(), 0, x), r"np\.add\.at"),
        (lambda: np.add(x, 1, out=np.zeros((2, 3))), r"np\.add: the option out= .* is not written into"),
        (lambda: np.add(x, 1, where=X > 0), r"np\.add: the option where= is not supported"),
        (lambda: np.exp(x, dtype=np.float32), r"np\.exp: the option dtype= is not supported"),
        (lambda: np.add(X, 1, out=x), r"np\.add: a Value cannot be written into"),
    ]:
        with pytest.raises(TypeError, match=hint):
            method()
    total = X.copy()
    with pytest.raises(TypeError, match=r"np\.add: the option out="):
        total += x
    np.testing.assert_array_equal(total, X)


# ---- functions of array Values ----


@pytest.mark.parametrize(
    "function",
    [np.median, np.sort, np.linalg.inv, np.fft.fft, np.unique, np.tile, np.diff, np.interp, np.nansum, np.copy],
    ids=name_of,
)
def test_an_unsupported_function_is_named(Value, function):
    module = {"linalg": "np.linalg", "fft": "np.fft"}.get(function.__module__.rpartition(".")[2], "np")
    arguments = {np.interp: (Value(X), X[0], X[0]), np.tile: (Value(X), 2)}.get(function, (Value(X),))
    with pytest.raises(TypeError, match=rf"^{module}\.{function.__name__} does not support array Values: see pygrad"):
        function(*arguments)


def test_every_function_of_the_table_is_one_of_pygrads(Value):
    functions = {f for name, f in vars(arrays).items() if name in arrays.__all__}
    assert set(_array_protocols._FUNCTIONS.values()) - {_array_protocols._norm} <= functions
    for name in arrays.__all__:
        if name not in ("linear", "log_softmax", "logsumexp", "norm", "softmax", "matmul"):
            assert getattr(np, name) in _array_protocols._FUNCTIONS
    assert np.amax(Value(X), axis=0).data.tolist() == X.max(axis=0).tolist()
    assert np.amin(Value(X)).data == X.min()


def test_functions_that_look_at_the_data(Value):
    x = Value(X)
    for function in (np.argmax, np.argmin, np.argsort, np.any, np.all, np.count_nonzero):
        np.testing.assert_array_equal(function(x, axis=1), function(X, axis=1))
    assert (np.shape(x), np.ndim(x), np.size(x)) == ((2, 3), 2, 6)
    for function in (np.zeros_like, np.ones_like):
        assert type(function(x)) is np.ndarray
        np.testing.assert_array_equal(function(x), function(X))
    assert np.full_like(x, 2.0).tolist() == [[2.0] * 3] * 2
    assert np.allclose(x, X)
    assert np.array_equal(X, x)
    assert not np.isclose(x, 0).any()


def test_options_that_numpy_passes_along(Value):
    x = Value(X)
    assert np.sum(x, None, dtype=None, out=None).data == X.sum()
    assert np.sum(a=x, axis=1).data.tolist() == X.sum(axis=1).tolist()
    assert np.max(x, axis=0, initial=np._NoValue).shape == (3,)
    assert np.reshape(x, (3, 2), order="C").shape == (3, 2)
    assert np.sum(x, where=True).data == X.sum()
    assert np.einsum("ij->i", x, optimize=True).shape == (2,)
    assert np.clip(x, a_min=1, a_max=2).data.tolist() == np.clip(X, 1, 2).tolist()


# ---- conversion ----


def test_an_array_value_is_no_ndarray(Value):
    x = Value(X)
    for convert in (
        lambda: np.asarray(x), lambda: np.array(x), lambda: np.array([x, x]), lambda: np.array(x, dtype=float),
        lambda: np.asarray([[x[0], x[1]]]), lambda: np.median([x, x]), lambda: np.ones(3) + [x],
    ):  # fmt: skip
        with pytest.raises(TypeError, match=r"would lose its graph: use \.data for its numbers"):
            convert()


def test_a_scalar_value_is_an_object(Value):
    v, w = Value(1.0), Value(2.0)
    assert not hasattr(v, "__array__")
    for array in (np.array([v, w]), np.asarray((v, w)), np.array([[v], [w]]).ravel(), np.array([v, 2.0])):
        assert array.dtype == object
        assert array.shape == (2,)
        assert array[0] is v
    assert np.array(v).shape == ()
    assert np.array([v, w], dtype=float).tolist() == [1.0, 2.0]
    assert np.array([v, w]).sum().data == 3.0
    objects = np.array([v, w, v])
    for result in (objects * w, w * objects, np.multiply(w, objects), objects + 1, np.exp(objects), np.add(objects, w)):
        assert result.dtype == object
        assert all(type(x) is Value for x in result)
    assert (objects == v).tolist() == [True, False, True]
    assert np.append(objects, w)[-1] is w
    assert np.tile(v, 2).tolist() == [v, v]
    assert np.where([True, False, True], objects, w).dtype == object
    assert np.dot(objects, objects).data == 6.0
    assert np.add.outer(np.ones(2), v).dtype == object
    objects += w
    assert objects[0].data == 3.0
    np.add.at(objects, 0, w)
    assert objects[0].data == 5.0
    floats = np.ones(2)
    with pytest.raises(TypeError, match=r"[Cc]annot cast"):
        floats += v
    with pytest.raises(TypeError, match=r"np\.add: a Value cannot be written into"):
        np.add(1.0, v, out=w)


def test_an_object_array_meets_no_array_value(Value):
    objects = np.array([Value(1.0), Value(2.0)])
    x = Value([1.0, 2.0])
    for mixed in (
        lambda: objects * x, lambda: x * objects, lambda: np.concatenate([objects, x]), lambda: pygrad.exp(objects),
        lambda: pygrad.maximum(objects, x), lambda: pygrad.sum(objects[None]),
    ):  # fmt: skip
        with pytest.raises(TypeError, match=r"must be numbers, but holds Values: pygrad\.stack makes one array"):
            mixed()


# ---- scalar Values ----


def test_ufuncs_of_scalar_values(Value):
    v, w = Value(1.5), Value(2.0)
    pairs = [(v, w), (v, 2.0), (1.5, w), (np.float64(1.5), w), (v, np.float32(2)), (np.array(1.5), w), (3, v)]
    for ufunc in BINARY:
        for left, right in pairs:
            z = ufunc(left, right)
            assert type(z) is Value
            assert z.data == pytest.approx(float(ufunc(float(left), float(right))), rel=1e-15)
    for ufunc in UNARY:
        assert type(ufunc(v)) is Value
        assert ufunc(v).data == pytest.approx(float(ufunc(1.5)), rel=1e-15)
    assert np.exp(v)._op == "exp"
    assert np.equal(v, Value(1.5))
    assert not np.equal(v, w)
    assert np.greater(w, 1.5)
    assert not np.isnan(v)
    with pytest.raises(TypeError, match="arctan"):
        np.arctan(v)
    with pytest.raises(TypeError):
        np.add(v, "a")
    with pytest.raises(TypeError):
        np.multiply(1j, v)
    with pytest.raises(ZeroDivisionError):
        np.divide(v, 0.0)


def test_functions_of_scalar_values(Value):
    v, w = Value(1.5), Value(2.0)
    for z in (
        np.sum(v), np.mean(v), np.max(v), np.prod(v), np.reshape(v, ()), np.where(True, v, 0.0), np.ravel(v)[0],
        np.transpose(v), np.squeeze(np.reshape(v, (1, 1))), np.broadcast_to(v, ()),
        np.broadcast_to(v, (3,))[1], np.clip(v, 0.0, 2.0), np.stack([v, w])[0], np.expand_dims(v, 0)[0], np.flip(v),
        np.dot(v, 1.0), np.cumsum(v)[0], np.linalg.norm(v), np.einsum("->", v), np.hstack([v, w])[0], np.pad(v, 1),
    ):  # fmt: skip
        assert type(z) is Value
        assert z.data == 1.5
        assert z.shape == ()
        before = v.grad
        z.backward()
        assert v.grad - before == 1.0 or z is v
    assert np.var(v).data == np.std(v).data == 0.0
    assert (np.shape(v), np.ndim(v), np.size(v)) == ((), 0, 1)
    z = np.where(np.array([True, False]), v, w) * 2
    z.backward()
    assert z.data.tolist() == [3.0, 4.0]
    assert np.zeros_like(v) == 0.0
    assert np.median(np.array([v, w, Value(1.7)])).data == 1.7
    assert arrays.sum([1.0, 2.0]) == 3.0
