"""The short ways through the core of arrays give what the long ones give: constants, gradients set to 0, spreading a
gradient, reductions of scalars. What the rules compute is test_array_rules.py's subject.
"""

from __future__ import annotations

import numpy as np
import pytest

import pygrad


def equal(x, y):
    return np.shape(x) == np.shape(y) and np.array_equal(x, y, equal_nan=True)


# ---- setting data and gradient ----


@pytest.mark.parametrize("zero", [0, 0.0, False, np.float64(0.0), np.zeros(())])
def test_a_gradient_set_to_zero(Value, zero):
    x = Value([1.0, -2.0])
    for _ in range(2):
        (x * 3.0).sum().backward()
        assert x.grad.tolist() == [3.0, 3.0]
        kept = x.grad
        x.grad = zero
        assert kept.tolist() == [3.0, 3.0]
        assert x.grad.tolist() == [0.0, 0.0]
        x.grad += 5.0
        assert x.grad.tolist() == [5.0, 5.0]
        x.grad = zero


def test_data_changed_in_place(Value):
    x = Value([1.0, -2.0])
    array = x.data
    x.data -= 1.0
    assert x.data is array
    assert x.data.tolist() == [0.0, -3.0]
    x.grad += 1.0
    x.grad *= 2.0
    assert x.grad.tolist() == [2.0, 2.0]


# ---- operands that are no Values ----

CONSTANTS = [
    2, True, 2.5, np.float64(2.5), np.float32(2.5), np.int64(2), np.array(2.5), [1, 2, 3], (1.0, 2.0, 3.0),
    np.array([1, 2, 3]), np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 3.0], np.float32), np.array([[1.0], [2.0]]),
    np.array([True, False, True]),
]  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("constant", CONSTANTS, ids=[f"{type(c).__name__} {i}" for i, c in enumerate(CONSTANTS)])
def test_a_constant_on_either_side(Value, constant, dtype):
    data = np.array([[1.0, 2.0, 4.0], [0.5, 3.0, 1.0]], dtype)
    x = Value(data)
    number = float(constant) if np.ndim(constant) == 0 else constant
    other = np.asarray(number, data.dtype) if np.asarray(number).dtype.kind in "iub" else np.asarray(number)
    for z, expected in [
        (x + constant, data + (number if np.ndim(number) == 0 else other)),
        (x * constant, data * (number if np.ndim(number) == 0 else other)),
        (constant - x, (number if np.ndim(number) == 0 else other) - data),
        (constant / x, (number if np.ndim(number) == 0 else other) / data),
        (x**constant, data ** (number if np.ndim(number) == 0 else other)),
    ]:
        assert type(z) is Value
        assert z.data.dtype == expected.dtype
        assert equal(z.data, expected)
    x.grad = 0
    (x * constant).sum().backward()
    assert x.grad.dtype == dtype
    assert equal(x.grad, np.broadcast_to(np.asarray(number, dtype), data.shape))


def test_no_array_likes_beside_an_array(Value):
    x = Value([1.0, 2.0])
    for wrong in ("a", None, {1: 2}, object()):
        with pytest.raises(TypeError):
            x + wrong
        with pytest.raises(TypeError):
            wrong - x
        with pytest.raises(TypeError):
            x**wrong


def test_linear_with_constants(Value):
    x, w, b = np.arange(6.0).reshape(2, 3), np.arange(12.0).reshape(3, 4) / 7, np.arange(4.0)
    expected = x @ w + b
    for which in range(1, 8):
        given = [Value(a) if which >> i & 1 else a for i, a in enumerate((x, w, b))]
        z = pygrad.arrays.linear(*given)
        assert equal(z.data, expected)
        z.sum().backward()
        ones = np.ones((2, 4))
        for v, wanted in zip(given, (ones @ w.T, x.T @ ones, ones.sum(axis=0))):
            if isinstance(v, Value):
                np.testing.assert_allclose(v.grad, wanted, rtol=1e-14)


# ---- reductions ----


@pytest.mark.parametrize("name", ["sum", "mean", "logsumexp", "max", "min", "prod", "norm"])
def test_reductions_of_a_scalar(Value, name):
    x = Value(2.0)
    z = getattr(x, name)()
    assert type(z.data) is float
    assert z.data == 2.0
    z.backward()
    assert x.grad == 1.0


@pytest.mark.parametrize("name", ["var", "std"])
def test_moments_of_a_scalar(Value, name):
    x = Value(2.0)
    z = getattr(x, name)()
    z.backward()
    assert (z.data, x.grad) == (0.0, 0.0)


@pytest.mark.parametrize("shape", [(3,), (2, 3), (2, 3, 4), (0, 3), (200, 100), (300, 200)])
@pytest.mark.parametrize("name", ["sum", "mean"])
def test_gradients_spread_over_the_axes(Value, name, shape):
    x = Value(np.ones(shape))
    scale = np.arange(1.0, 1.0 + np.prod(shape)).reshape(shape)
    for axis in (None, *range(len(shape)), *((0, i) for i in range(1, len(shape)))):
        for keepdims in (False, True):
            if name == "mean" and 0 in shape:
                continue
            x.grad = 0
            z = getattr(x, name)(axis=axis, keepdims=keepdims)
            weight = getattr(scale, name)(axis=axis, keepdims=keepdims)
            (z * weight).sum().backward()
            full = weight if axis is None or keepdims else np.expand_dims(weight, axis)
            count = np.ones(shape).size / np.size(weight) if name == "mean" else 1.0
            assert x.grad.shape == shape
            np.testing.assert_allclose(x.grad, np.broadcast_to(full, shape) / count, rtol=1e-15)
            x.grad += 1.0  # the reader's own: it can be written


def test_logsumexp_of_huge_and_infinite_numbers(Value):
    for rows, expected in [
        ([[1e200, 1e200], [-1e200, 0.0]], [1e200, 0.0]),
        ([[np.inf, 0.0], [-np.inf, -np.inf]], [np.inf, -np.inf]),
        ([[np.nan, 0.0], [1.0, -np.inf]], [np.nan, 1.0]),
    ]:
        assert equal(Value(rows).logsumexp(axis=1).data, np.array(expected))


# ---- warnings ----


def user_op(Value, x, seen):
    """2 x, whose closure notes NumPy's settings and divides by zero."""
    out = Value(2.0 * x.data, (x,), "double")

    def _backward():
        seen.append(np.geterr())
        with pytest.warns(RuntimeWarning):
            np.ones(2) / np.zeros(2)
        other = Value([0.0, 1.0])
        other.sqrt().sum().backward()  # a sweep within the sweep
        x.grad += 2.0 * out.grad

    out._backward = _backward
    return out


@pytest.mark.parametrize("towards", [False, True])
def test_closures_run_with_numpys_settings_as_they_were(Value, towards):
    for settings in ({"all": "warn"}, {"divide": "warn", "over": "raise", "invalid": "ignore", "under": "print"}):
        with np.errstate(**settings):
            before, seen = np.geterr(), []
            x = Value([0.0, 4.0])
            y = user_op(Value, user_op(Value, (x * 3.0).sqrt(), seen) * 2.0, seen)
            z = (y * y).sum()
            if towards:
                pygrad.grad(z, y)
            else:
                z.backward()
                assert x.grad[1] == pytest.approx(192.0)  # of 64 * 3 x
                assert len(seen) == 2
            assert all(s == before for s in seen)
            assert np.geterr() == before


def test_a_closure_that_fails_leaves_numpys_settings(Value):
    x = Value([1.0, 2.0])
    y = Value(x.data, (x,), "fails")

    def _backward():
        raise KeyError("from the closure")

    y._backward = _backward
    before = np.geterr()
    with pytest.raises(KeyError, match="from the closure"):
        (y * 2.0).sum().backward()
    assert np.geterr() == before
