"""Array Values as users write them: values against NumPy, gradients against torch and the scalar engine, numbers worked
out by hand, and what an array Value is as an object. The rules themselves are test_array_rules.py's subject.
"""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import pygrad
from pygrad import arrays, backends

from .array_calls import CALLS, OWN, operands

ids = [call.name for call in CALLS]


def equal(x, y):
    """Whether arrays or numbers are equal in shape and every bit; nan equals nan."""
    return np.shape(x) == np.shape(y) and np.array_equal(x, y, equal_nan=True)


def close(x, y, tolerance=1e-12):
    assert np.shape(x) == np.shape(y)
    np.testing.assert_allclose(x, y, rtol=tolerance, atol=tolerance)


# ---- values and gradients ----


@pytest.mark.parametrize("call", CALLS, ids=ids)
def test_numpy_and_pygrad_functions_agree(Value, call):
    numbers = operands(call)
    expected = call.call(np, *numbers)
    for results in [
        call.call(np, *map(Value, numbers)),
        call.call(arrays, *map(Value, numbers)),
        call.call(arrays, Value(numbers[0]), *numbers[1:]),
    ]:
        assert type(results) is Value
        assert results.shape == np.shape(expected)
        close(results.data, expected)
    plain = call.call(arrays, *numbers)
    assert isinstance(plain, np.ndarray if np.ndim(expected) else float)
    close(plain, expected)


@pytest.mark.parametrize("call", CALLS + OWN, ids=[call.name for call in CALLS + OWN])
def test_gradients_are_those_of_torch(Value, call):
    torch = pytest.importorskip("torch")
    numbers = operands(call, seed=1)
    values = [Value(x) for x in numbers]
    tensors = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in numbers]
    z, expected = call.call(arrays, *values), call.torch(torch, *tensors)
    close(z.data, expected.detach().numpy())
    weights = np.random.default_rng(2).normal(size=z.shape)
    (z * (weights if z.shape else float(weights))).sum().backward()
    (expected * torch.tensor(weights)).sum().backward()
    for v, t in zip(values, tensors):
        assert v.shape == np.shape(v.grad) == t.shape
        close(v.grad, t.grad.numpy())


@pytest.mark.parametrize("call", CALLS + OWN, ids=[call.name for call in CALLS + OWN])
def test_operands_are_never_modified(Value, call):
    values = [Value(x) for x in operands(call)]
    for v in values:
        if v.ndim:
            v.data.flags.writeable = False
    z = call.call(arrays, *values)
    if z.ndim:
        z.data.flags.writeable = False
    z.backward()
    for v in values:
        if v.ndim:
            v.grad.flags.writeable = False
    z.backward()


@pytest.mark.parametrize("name", sorted(set(pygrad.ops.OPS) - {"pow_const"}))
def test_elementwise_ops_are_those_of_the_scalar_engine(Value, name):
    numbers = [np.array([[0.5, 1.5, 2.0], [0.25, 3.0, 1.0]]), np.array([[0.75, 1.5, 0.5]])]
    function = getattr(pygrad, name)
    count = 2 if pygrad.ops.OPS[name].kind == "binary" else 1
    x = [Value(n) for n in numbers[:count]]
    z = function(*x)
    z.backward()
    scalars = [[[Value(n) for n in row] for row in np.broadcast_to(array, (2, 3))] for array in numbers[:count]]
    for i in range(2):
        for j in range(3):
            w = function(*(entries[i][j] for entries in scalars))
            w.backward()
            assert z.data[i, j] == pytest.approx(w.data, rel=1e-14)
    for v, entries in zip(x, scalars):
        grads = np.array([[e.grad for e in row] for row in entries])
        close(v.grad, grads.sum(axis=0, keepdims=True) if v.shape == (1, 3) else grads, 1e-14)


# ---- numbers worked out by hand ----


def test_numbers(Value):
    x = Value([1, 2, 3])
    assert (x + 2).data.tolist() == [3, 4, 5]
    y = x * 2
    assert y.data.tolist() == [2, 4, 6]
    y.backward()
    assert x.grad.tolist() == [2, 2, 2]
    assert (Value([3, 5, 6]) * Value([2, 1, 3])).data.tolist() == [6, 5, 18]
    assert (10 - x / 2).data.tolist() == [9.5, 9.0, 8.5]
    assert (2**x).data.tolist() == [2, 4, 8]
    assert (x**2).data.tolist() == [1, 4, 9]
    assert (-x).data.tolist() == (0 - abs(-x)).data.tolist() == [-1, -2, -3]
    assert (+x) is x


def test_a_neuron_written_with_matrices(Value):
    x, w, c = Value([[-4, 2]]), Value([[0.2], [1.0]]), Value([[1.0]])
    y = (x @ w) * c + 2
    assert y.shape == (1, 1)
    assert y.item() == pytest.approx(3.2)
    y.backward()
    close(x.grad, [[0.2, 1.0]])
    close(w.grad, [[-4.0], [2.0]])
    close(c.grad, [[1.2]])


def test_a_bias_meets_batches_of_any_size(Value):
    w, b = Value(np.full((20, 3), 0.5)), Value(np.zeros((20, 1)))  # columns are samples
    for samples in (5, 4):
        w.grad = b.grad = 0.0
        z = w @ np.ones((3, samples)) + b
        assert z.shape == (20, samples)
        z.backward()
        assert b.data.shape == b.grad.shape == (20, 1)
        assert (b.grad == samples).all()
        assert (w.grad == samples).all()


def test_scalars_and_arrays_mix(Value):
    k, x = Value(3.0), Value([1.0, 2.0, 4.0])
    z = k * x + x / k - np.array([1.0, 0.0, 0.0]) * x
    z.sum().backward()
    assert type(k.grad) is float
    assert k.grad == pytest.approx(7 - 7 / 9)
    close(x.grad, np.array([2.0, 3.0, 3.0]) + 1 / 3)
    assert [type(v) for v in z] == [Value] * 3
    assert type(x.sum().data) is type(x[0].data) is type((x @ x).data) is float


def test_a_value_used_on_both_sides(Value):
    x = Value([[1.0, 2.0], [3.0, 4.0]])
    (x @ x + x * x - x / (1 + x)).backward()
    torch = pytest.importorskip("torch")
    t = torch.tensor(x.data, requires_grad=True)
    (t @ t + t * t - t / (1 + t)).sum().backward()
    close(x.grad, t.grad.numpy())
    y = Value([1.0, 2.0])
    z = y + y
    (z + y).backward()
    assert y.grad.tolist() == [3.0, 3.0]
    z.grad[:] = 7.0  # its own array, nobody else's
    assert y.grad.tolist() == [3.0, 3.0]


def test_backward_accumulates(Value):
    a, b = Value([2.0, 1.0]), Value([3.0, 1.0])
    c = a * b
    d = c + a
    d.backward()
    assert a.grad.tolist() == [4.0, 2.0]
    d.backward()
    assert a.grad.tolist() == [11.0, 5.0]  # as micrograd: the grad of c accumulates, too
    assert d.grad.tolist() == [1.0, 1.0]


# ---- broadcasting ----

shapes = hnp.mutually_broadcastable_shapes(num_shapes=2, min_side=0, max_side=3, max_dims=4)
numbers = st.floats(-4, 4, width=32)


def summed_to(g, shape):
    """What broadcasting from a shape to g's adds up, said in another way than pygrad does: entry by entry."""
    total = np.zeros(shape)
    places = np.broadcast_to(np.arange(total.size).reshape(shape), g.shape)
    np.add.at(total.reshape(-1), places.reshape(-1), g.reshape(-1))
    return total


PARTIALS = {
    "add": lambda x, y: (1.0, 1.0),
    "subtract": lambda x, y: (1.0, -1.0),
    "multiply": lambda x, y: (y, x),
    "divide": lambda x, y: (1 / y, -x / y**2),
    "maximum": lambda x, y: ((x > y) + (x == y) / 2, (y > x) + (x == y) / 2),
    "minimum": lambda x, y: ((x < y) + (x == y) / 2, (y < x) + (x == y) / 2),
}


@pytest.mark.parametrize("name", PARTIALS)
@given(shapes=shapes, data=st.data())
def test_any_two_shapes_that_broadcast(name, backend, shapes, data):
    Value = backends.load(backend)
    x, y = (data.draw(hnp.arrays(float, shape, elements=numbers)) for shape in shapes.input_shapes)
    if name == "divide":
        y = np.where(y == 0, 1.0, y)
    operation = getattr(np, name)
    expected = operation(x, y)
    partials = PARTIALS[name](x, y)
    a, b = Value(x), Value(y)
    z = operation(a, b)
    assert equal(z.data, expected if expected.ndim else float(expected))
    z.backward()
    for v, partial in ((a, partials[0]), (b, partials[1])):
        assert np.shape(v.grad) == v.shape == np.shape(v.data)
        close(v.grad, summed_to(np.broadcast_to(partial, expected.shape), v.shape))
    if x.ndim and y.ndim:  # an ndarray on either side is a constant
        for z in (operation(a, y), operation(x, b)):
            assert type(z) is Value
            assert equal(z.data, expected)
            z.backward()


any_array = hnp.arrays(float, hnp.array_shapes(max_dims=4, min_side=0, max_side=3), elements=numbers)


@given(x=any_array, data=st.data())
def test_sums_over_any_axes(backend, x, data):
    axis = data.draw(st.none() | st.integers(-x.ndim, x.ndim - 1) | hnp.valid_tuple_axes(x.ndim))
    keepdims = data.draw(st.booleans())
    v = backends.load(backend)(x)
    z = np.sum(v, axis=axis, keepdims=keepdims)
    assert equal(z.data, np.sum(x, axis=axis, keepdims=keepdims))
    z.backward()
    assert equal(v.grad, np.ones_like(x))


# ---- data ----


@pytest.mark.parametrize(
    ("given", "dtype"),
    [
        ([1, 2], "f8"), ((1.5, 2), "f8"), ([[1], [2]], "f8"), (np.arange(3), "f8"), (np.ones(2, "f4"), "f4"),
        (np.ones(2, "f2"), "f8"), ([True, False], "f8"), (np.ones(2, ">f8"), "f8"), (range(3), None), ([], "f8"),
        ([[], []], "f8"), (np.ones((2, 0)), "f8"), (np.asfortranarray(np.ones((2, 3))), "f8"),
    ],
    ids=repr,
)  # fmt: skip
def test_arrays_are_data(Value, given, dtype):
    if dtype is None:
        with pytest.raises(TypeError, match="data must be a number, not range"):
            Value(given)
        return
    v = Value(given)
    assert type(v.data) is type(v.grad) is np.ndarray
    assert v.data.dtype == v.grad.dtype == v.dtype == np.dtype(dtype)
    assert v.shape == np.shape(given) == v.grad.shape
    assert equal(v.data, np.asarray(given, float))
    assert not v.grad.any()
    assert (v.ndim, v.size, len(v)) == (v.data.ndim, v.data.size, len(v.data))


def test_what_is_given_is_copied(Value):
    x = np.ones(3)
    v = Value(x)
    x[0] = 5.0
    assert v.data.tolist() == [1, 1, 1]


def test_float32_stays_float32(Value):
    x = Value(np.arange(6, dtype=np.float32).reshape(2, 3))
    w, b = Value(np.ones((3, 2), np.float32)), Value(0.5)
    z = (x @ w * 2 + b + [1, 2] + np.arange(2)).tanh().mean(axis=0)
    z.sum().backward()
    for v in (z, x, w):
        assert v.dtype == v.grad.dtype == np.float32
    assert type(b.grad) is float
    assert (x * np.ones(3)).dtype == np.float64


def test_zero_dimensions_are_a_scalar(Value):
    for v in (Value(np.array(2.0)), Value([2.0])[0], Value([[1.0, 1.0]]).sum(), Value([2.0]).reshape(()), Value(2.0)):
        assert type(v.data) is float
        assert v.data == 2.0
        assert (v.shape, v.ndim, v.size, v.T, v.item()) == ((), 0, 1, v, 2.0)
        assert not hasattr(v, "dtype")


def test_data_replaced_between_forward_and_backward(Value):
    a, b = Value([1.0, 2.0]), Value([3.0, 4.0])
    c = a * b
    b.data = np.array([100.0, 200.0])
    c.backward()
    assert a.grad.tolist() == [100.0, 200.0]
    b.data[0] = 7.0
    c.backward()
    assert a.grad.tolist() == [107.0, 400.0]
    kept = np.zeros(2)
    b.data = kept
    assert b.data is kept
    b.data -= 1.0
    assert kept.tolist() == [-1.0, -1.0]


def test_a_wrong_shape_is_refused(Value):
    v = Value([[1.0, 2.0, 3.0]])
    for wrong in ([1.0, 2.0], np.ones((3, 1)), 3.0, [[1.0, 2.0, 3.0, 4.0]]):
        with pytest.raises(ValueError, match=r"data of this Value has shape \(1, 3\), and cannot be set to shape"):
            v.data = wrong
    with pytest.raises(ValueError, match=r"grad of this Value has shape \(1, 3\), and cannot be set to shape \(2,\)"):
        v.grad = [1.0, 2.0]
    assert v.data.tolist() == [[1, 2, 3]]
    v.data, v.grad = [[4, 5, 6]], 1
    assert v.data.dtype == float
    assert v.grad.tolist() == [[1, 1, 1]]


@pytest.mark.parametrize(
    ("wrong", "error", "match"),
    [
        ([1j], TypeError, "data must be real numbers, not list of complex128"),
        (np.ones(2, complex), TypeError, "data must be real numbers, not ndarray of complex128"),
        (["a", "b"], TypeError, "data must be real numbers, not list of <U1"),
        (np.array(["a"]), TypeError, "data must be real numbers, not ndarray of <U1"),
        ([None], TypeError, "data must be real numbers, not list of object"),
        ([[1], [1, 2]], ValueError, "data must be a regular array: rows of this list differ in length"),
        ({"a": 1}, TypeError, "data must be a number, not dict"),
    ],
)
def test_what_holds_no_real_numbers_is_named(Value, wrong, error, match):
    with pytest.raises(error, match=match):
        Value(wrong)
    v = Value([1.0])
    if not isinstance(wrong, dict):
        with pytest.raises(error, match=match.replace("data", "an operand").replace("must", ".*must", 1)):
            v + wrong
    assert v.data.tolist() == [1.0]


def test_values_are_no_data(Value):
    with pytest.raises(TypeError, match=r"data must be numbers, but holds Values: pygrad\.stack makes one array"):
        Value([Value(1.0), Value(2.0)])
    with pytest.raises(TypeError, match=r"would lose its graph: .*pygrad\.stack"):
        Value([Value([1.0]), Value([2.0])])
    with pytest.raises(TypeError, match=r"data must be a number, not a Value: use \.data"):
        Value(Value([1.0]))


def test_backends_do_not_mix(Value, backend):
    for name in backends.NAMES:
        if name != backend:
            other = backends.load(name)
            for x, y in ((Value([1.0]), other([1.0])), (Value(1.0), other([1.0])), (Value([1.0]), other(1.0))):
                for operation in (np.add, np.matmul, lambda x, y: x + y, lambda x, y: arrays.stack([x, y])):
                    with pytest.raises(TypeError, match=r"Value of backend .* and one of backend"):
                        operation(x, y)


# ---- warnings ----


def test_the_forward_pass_warns_as_numpy(Value):
    x = Value([1.0, 0.0])
    with pytest.warns(RuntimeWarning, match="divide by zero"):
        z = 1.0 / x
    assert z.data.tolist() == [1.0, math.inf]
    with np.errstate(divide="raise"), pytest.raises(FloatingPointError):
        x.log()
    with np.errstate(all="ignore"):
        w = (x - 1).sqrt() + x.log() + (x * 1e4).exp()
    assert np.isnan(w.data[1])


def test_the_backward_pass_does_not_warn(Value):
    x = Value([0.0, 1e300])
    with np.errstate(all="ignore"):
        z = x.sqrt() + x.log() + 1 / x + x * x
    with warnings.catch_warnings(), np.errstate(all="raise"):
        warnings.simplefilter("error")
        z.backward()
        np.sqrt(Value(np.zeros(2))).sum().backward()
    assert not np.isfinite(x.grad).all()


# ---- as an object ----


def test_repr_is_numpys(Value):
    assert repr(Value([1, 2.5])) == "Value(data=array([1. , 2.5]), grad=array([0., 0.]))"
    v = Value([[1, 2], [3, 4]])
    assert repr(v) == (
        "Value(data=array([[1., 2.],\n                  [3., 4.]]),\n"
        "      grad=array([[0., 0.],\n                  [0., 0.]]))"
    )
    assert "float32" in repr(Value(np.ones(2, np.float32)))
    assert "..., " in repr(Value(np.ones(10_000)))
    assert str(v) == f"{v}" == repr(v)


def test_conversions(Value):
    v = Value([[0.0, 2.0]])
    assert bool(v) is bool(Value([])) is bool(Value(0.0)) is True
    with pytest.raises(TypeError, match=r"an array Value of shape \(1, 2\) is not one number: \.data is its array"):
        float(v)
    assert f"{Value([1, 22.125]):.2f}" == "[1.00, 22.12]"
    with pytest.raises(ValueError, match=r"Unknown format code|Invalid format"):
        format(v, "q")
    assert v.item(0, 1) == v.item(1) == v[0, 1].item() == Value([[2.0]]).item() == 2.0
    assert type(v.item(1)) is float
    with pytest.raises(ValueError, match="size 1"):
        v.item()
    with pytest.raises(TypeError):
        hash([v])
    assert len({v, v, Value([[0.0, 2.0]])}) == 2
    assert (v == v, v != v, v == Value([[0.0, 2.0]])) == (True, False, False)  # identity, as for scalars


def test_comparisons_are_of_the_data(Value):
    x = Value([1.0, 2.0, 3.0])
    for result in (x > 2, x > Value(2.0), x > [2, 2, 2], x > np.full(3, 2.0), x > 2, Value(2.0) < x, ~(x <= 2)):
        assert type(result) is np.ndarray
        assert result.tolist() == [False, False, True]
    with pytest.raises(TypeError):
        assert x < "a"


def test_length_iteration_and_membership(Value):
    x = Value([[1.0, 2.0], [3.0, 4.0]])
    rows = list(x)
    assert [row.data.tolist() for row in rows] == [[1, 2], [3, 4]]
    (a, b), c = x
    (a * 10 + c.sum()).backward()
    assert x.grad.tolist() == [[10, 0], [1, 1]]
    assert b.data == 2.0
    assert 3.0 in x
    assert Value(4.0) in x
    assert 5.0 not in x
    assert [v.data for v in reversed(x[0])] == [2.0, 1.0]
    assert sum(x[0]).data == 3.0
    v = Value(1.0)
    for wrong in (lambda: len(v), lambda: iter(v), lambda: v[0], lambda: 1.0 in v, lambda: list(v)):
        with pytest.raises(TypeError, match="scalar Value"):
            wrong()


def test_an_array_value_is_not_changed_in_place(Value):
    x = Value([1.0, 2.0])
    for i in (0, slice(None), [True, False]):
        with pytest.raises(TypeError, match="an array Value cannot be changed in place: change its numbers"):
            x[i] = 0.0
    with pytest.raises(TypeError, match="an array Value cannot be changed in place"):
        del x[0]
    y = x
    y += 1
    assert (x.data.tolist(), y.data.tolist()) == ([1, 2], [2, 3])
