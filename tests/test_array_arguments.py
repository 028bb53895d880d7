"""What the functions of arrays are given: indices, axes, options, shapes; errors that name them. And the names with two
uses, sum, dot and logsumexp.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import pygrad
from pygrad import arrays, backends

AxisError = getattr(np, "exceptions", np).AxisError
X = np.arange(24.0).reshape(2, 3, 4)

# ---- indices ----

KEYS = [
    0, -1, np.int64(1), (1, 2), (0, -1, 3), slice(None), slice(1, None), slice(None, None, -1), (slice(None), 1),
    (Ellipsis, 0), (Ellipsis, slice(1, 3)), None, (None, 0, None), (slice(0, 2), Ellipsis, None), slice(5, 9),
    [0, 0, 1], [], np.array([1, 0, 1]), ([0, 1], [2, 2]),
    ([0, 1, 0], slice(None), [1, 1, 1]), (0, [1, 1], slice(None, None, 2)),
    X > 5, [True, False], (0, np.array([True, False, True])), (slice(None), [[0, 1], [1, 0]]), True, False, (),
    Ellipsis,
    (np.array([[0], [1]]), np.array([[0, 2]])), slice(np.int64(0), np.int8(1)), range(2), (0, range(3)),
]  # fmt: skip


def listed(part):
    """NumPy takes a list for what pygrad takes a range for, too."""
    return list(part) if isinstance(part, range) else part


def scattered(key, shape):
    """The gradient of the sum of what a key chooses: how often it chooses each entry."""
    count = np.zeros(shape)
    np.add.at(count, key, 1.0)
    return count


@pytest.mark.parametrize("key", KEYS, ids=lambda key: str(key).replace("\n", ""))
def test_indices(Value, key):
    x = Value(X)
    z = x[key]
    plain = tuple(map(listed, key)) if type(key) is tuple else listed(key)
    expected = X[plain]
    assert type(z) is Value
    assert z.shape == expected.shape
    assert type(z.data) is (float if expected.ndim == 0 else np.ndarray)
    np.testing.assert_array_equal(z.data, expected)
    z.backward()
    np.testing.assert_array_equal(x.grad, scattered(plain, X.shape))


@given(data=st.data(), shape=hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=4))
def test_any_index(backend, data, shape):
    key = data.draw(
        hnp.basic_indices(shape, allow_newaxis=True)
        | (hnp.integer_array_indices(shape) if 0 not in shape else st.nothing())
        | hnp.arrays(bool, shape)
    )
    x = np.arange(float(np.prod(shape))).reshape(shape)
    v = backends.load(backend)(x)
    z = v[key]
    np.testing.assert_array_equal(z.data, x[key])
    (z * 3).backward()
    np.testing.assert_array_equal(v.grad, 3 * scattered(key, shape))


def test_repeated_indices_accumulate(Value):
    x = Value([1.0, 2.0, 3.0])
    (x[[0, 0, 2]] * [1.0, 10.0, 100.0]).backward()
    assert x.grad.tolist() == [11.0, 0.0, 100.0]
    rows = np.array([0, 1])
    z = x[rows]
    rows[:] = 2  # what was chosen stays chosen
    x.grad = 0.0
    z.backward()
    assert x.grad.tolist() == [1.0, 1.0, 0.0]


@pytest.mark.parametrize(
    ("key", "match"),
    [
        (2, "index 2 is out of bounds for axis 0 with size 2"), (-3, "out of bounds"),
        ((0, 0, 0, 0), "too many indices"), (([0, 1], [0, 1, 2]), "shape mismatch"),
        ([5], "index 5 is out of bounds"), (1.0, "must be integers, slices, .* not 1.0"), ("a", "not 'a'"),
        ([1.5], r"not \[1.5\]"), (np.ones(2), "not array"), (slice(1.5), "bounds of a slice must be integers, not 1.5"),
        ([True, False, True], "boolean index did not match"), ((Ellipsis, Ellipsis), "ellipsis"),
    ],
)  # fmt: skip
def test_indices_that_are_refused(Value, key, match):
    with pytest.raises(IndexError, match=match):
        Value(X)[key]


def test_a_value_is_no_index(Value):
    with pytest.raises(IndexError, match="not a Value"):
        Value(X)[Value(1.0)]
    with pytest.raises(IndexError, match="not a Value"):
        Value(X)[0, Value([1.0])]
    with pytest.raises(TypeError, match="scalar Value has no entries"):
        Value(1.0)[()]


def test_what_chooses_is_copied(Value):
    x = Value([1.0, 2.0, 3.0])
    chosen, places, bound = np.array([True, False, True]), np.array([0]), np.array([2.0, 2.0, 2.0])
    z = pygrad.where(chosen, x, 0.0).sum() + pygrad.take_along_axis(x, places, 0).sum() + x.clip(bound).sum()
    chosen[:], places[:], bound[:] = False, 2, 9.0
    z.backward()
    assert x.grad.tolist() == [2.0, 1.0, 2.0]


# ---- axes ----

REDUCTIONS = ["sum", "mean", "max", "min", "prod", "var", "std", "logsumexp"]


@pytest.mark.parametrize("name", [*REDUCTIONS, "norm"])
def test_axes_of_reductions(Value, name):
    v = Value(X / 10)

    def expected(axis, keepdims):
        if name == "logsumexp":
            return np.log(np.exp(v.data).sum(axis=axis, keepdims=keepdims))
        if name == "norm":
            return np.sqrt((v.data**2).sum(axis=axis, keepdims=keepdims))
        return getattr(np, name)(v.data, axis=axis, keepdims=keepdims)

    for axis in (None, 0, -1, np.int64(1), (0, 2), (-1, 0), (), (0, 1, 2)):
        for keepdims in (False, True):
            for z in (
                getattr(arrays, name)(v, axis=axis, keepdims=keepdims),
                getattr(v, name)(axis=axis, keepdims=keepdims),
            ):
                assert type(z) is Value
                assert z.shape == np.shape(expected(axis, keepdims))
                np.testing.assert_allclose(z.data, expected(axis, keepdims), rtol=1e-13)
    for wrong, error, match in [
        (3, AxisError, rf"{name}: axis 3 is out of bounds for an array of shape \(2, 3, 4\)"),
        ((0, -4), AxisError, f"{name}: axis -4 is out of bounds"),
        ((0, 0), ValueError, f"{name}: an axis is named twice"),
        ((0, -3), ValueError, f"{name}: an axis is named twice"),
        (1.0, TypeError, f"{name}: an axis must be an integer, not 1.0"),
        ("0", TypeError, f"{name}: an axis must be an integer, not '0'"),
    ]:
        with pytest.raises(error, match=match):
            getattr(v, name)(axis=wrong)
    with pytest.raises(AxisError, match=rf"{name}: axis 0 is out of bounds for an array of shape \(\)"):
        getattr(Value(1.0), name)(axis=0)


@pytest.mark.parametrize("name", REDUCTIONS)
def test_options_of_numpy_that_are_refused(Value, name):
    v = Value(X)
    for option, x in [("dtype", float), ("out", np.zeros(())), ("where", X > 5), ("initial", 0.0), ("bogus", 1)]:
        for call in (
            lambda option=option, x=x: getattr(arrays, name)(v, **{option: x}),
            lambda option=option, x=x: getattr(v, name)(**{option: x}),
        ):
            with pytest.raises(TypeError, match=f"{name}: the option {option}= is not supported for array Values"):
                call()


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda v: v.reshape(5, 5), ValueError, r"shape \(2, 3, 4\) cannot have the shape \(5, 5\)"),
        (lambda v: v.reshape(-1, -1), ValueError, r"cannot have the shape \(-1, -1\)"),
        (lambda v: v.reshape("a"), TypeError, "reshape: a shape must be integers, not 'a'"),
        (lambda v: v.reshape(24, order="F"), TypeError, "reshape: the option order="),
        (lambda v: v.transpose(0, 1), ValueError, "do not name every axis"),
        (lambda v: v.transpose(0, 1, 1), ValueError, "named twice"),
        (lambda v: v.transpose(0, 1, 3), AxisError, r"transpose: axis 3 .* of shape \(2, 3, 4\)"),
        (lambda v: v.swapaxes(0, 3), AxisError, "swapaxes: axis 3"),
        (lambda v: v.squeeze(0), ValueError, r"squeeze: axis 0 of an array of shape \(2, 3, 4\) has not length 1"),
        (lambda v: arrays.expand_dims(v, 4), AxisError, "expand_dims: axis 4"),
        (lambda v: arrays.moveaxis(v, (0, 1), 0), ValueError, "moveaxis: 2 axes, but 1 destinations"),
        (lambda v: arrays.broadcast_to(v, (3, 3)), ValueError, r"broadcast_to: an array of shape \(2, 3, 4\) does not"),
        (lambda v: arrays.concatenate([v, v[0]]), ValueError, "dimension"),
        (lambda v: arrays.concatenate([v, v], axis=3), AxisError, "concatenate: axis 3"),
        (lambda v: arrays.concatenate([]), ValueError, "concatenate: there is nothing to join"),
        (lambda v: arrays.stack([]), ValueError, "stack: there is nothing to join"),
        (lambda v: arrays.stack([v, v[0]]), ValueError, "same shape"),
        (lambda v: arrays.stack([v], axis=4), AxisError, r"stack: axis 4"),
        (lambda v: arrays.where(v, v, 0), TypeError, "where: the condition must be bools, not a Value: compare"),
        (lambda v: arrays.where(v > 0), TypeError, "where takes a condition and two operands"),
        (lambda v: arrays.where([True] * 5, v, 0), ValueError, "broadcast"),
        (lambda v: v.softmax(axis=3), AxisError, "softmax: axis 3"),
        (lambda v: v.log_softmax("a"), TypeError, "log_softmax: an axis must be an integer"),
        (lambda v: v.cumsum(axis=3), AxisError, "cumsum: axis 3"),
        (lambda v: v.cumsum(dtype=float), TypeError, "cumsum: the option dtype="),
        (lambda v: v.clip("a"), TypeError, "clip: min must be a number, not str"),
        (lambda v: arrays.clip(v, 0, 1, out=X), TypeError, "clip: the option out="),
        (lambda v: arrays.pad(v, 1, "edge"), ValueError, "pad: the mode 'edge' is not supported"),
        (lambda v: arrays.pad(v, -1), ValueError, "pad: pad_width must not be negative"),
        (lambda v: arrays.pad(v, 1.5), TypeError, "pad: pad_width must be integers, not 1.5"),
        (lambda v: arrays.pad(v, ((1, 1), (2, 2))), ValueError, r"pad: pad_width .* does not fit an array of shape"),
        (lambda v: arrays.pad(v, 1, constant_values=(1, 2)), TypeError, "pad: constant_values must be a number"),
        (lambda v: arrays.take_along_axis(v, [0], 1), ValueError, "take_along_axis: indices of shape"),
        (lambda v: arrays.take_along_axis(v, X, 1), IndexError, "take_along_axis: indices must be integers"),
        (lambda v: arrays.take_along_axis(v, v, 1), IndexError, "take_along_axis: indices must be integers"),
        (lambda v: arrays.norm(v, 3), ValueError, r"norm: ord=3 is not supported over 3 axes of shape \(2, 3, 4\)"),
        (lambda v: arrays.norm(v, "nuc", axis=(0, 1)), ValueError, "take None or 'fro'"),
        (lambda v: arrays.norm(v, 3, axis=0), ValueError, "take None, 1, 2, inf or -inf"),
        (lambda v: arrays.linear(v, X[0]), ValueError, r"inputs of shape \(2, 3, 4\) and weights of shape \(3, 4\)"),
        (lambda v: arrays.linear(v, X), ValueError, "linear: inputs"),
        (lambda v: arrays.linear(v, X[0].T, [1, 2]), ValueError, r"and a bias of shape \(2,\) do not fit"),
        (lambda v: arrays.einsum("ij,jk", v, v), ValueError, "'ij' in 'ij,jk' does not fit an operand of shape"),
        (lambda v: arrays.einsum("abc", v, v), ValueError, "einsum: 'abc' is for 1 operands, but 2 were given"),
        (lambda v: arrays.einsum("abc->ad", v), ValueError, "einsum: the output of 'abc->ad'"),
        (lambda v: arrays.einsum("abc->aa", v), ValueError, "each once"),
        (lambda v: arrays.einsum("ab1", v), ValueError, "may hold letters"),
        (lambda v: arrays.einsum("aab", v), ValueError, "einsum: an axis of 'aab' has length 2 and 3"),
        (lambda v: arrays.einsum("...a->a", v), ValueError, r"must have the '\.\.\.'"),
        (lambda v: arrays.einsum(3, v), TypeError, "einsum: the subscripts must be a str"),
        (lambda v: arrays.einsum("a,a,a", v[0, 0], v[0, 0], v[0, 0]), ValueError, "one or two operands, not 3"),
        (lambda v: arrays.einsum("abc", v, out=X), TypeError, "einsum: the option out="),
        (lambda v: v.var(ddof="1"), TypeError, "ddof must be a number"),
        (lambda v: v.max(axis=0)[[]].max(axis=0), ValueError, "zero-size array"),
        (lambda v: v + np.ones(5), ValueError, "broadcast"),
        (lambda v: v.maximum("a"), TypeError, "maximum: expected a Value or a number"),
        (lambda v: arrays.matmul(v, "a"), TypeError, "matmul: expected a Value, a number or an array, not str"),
        (lambda v: v.sum(0, axis=1), TypeError, "multiple values"),
    ],
)  # fmt: skip
def test_arguments_that_are_refused(Value, call, error, match):
    v = Value(X)
    with pytest.raises(error, match=match):
        call(v)
    assert not v.grad.any()


# ---- methods ----


@pytest.mark.parametrize(
    "call",
    [
        lambda x: x.sum(), lambda x: x.sum(0), lambda x: x.sum((0, 2)), lambda x: x.sum(axis=1, keepdims=True),
        lambda x: x.mean(1), lambda x: x.max(-1, keepdims=True), lambda x: x.min(), lambda x: x.prod(axis=0),
        lambda x: x.var(0, ddof=1), lambda x: x.std(axis=2), lambda x: x.cumsum(), lambda x: x.cumsum(1),
        lambda x: x.reshape(4, 6), lambda x: x.reshape((4, -1)), lambda x: x.reshape(-1), lambda x: x.reshape([24]),
        lambda x: x.ravel(), lambda x: x.flatten(), lambda x: x.transpose(), lambda x: x.transpose(1, 0, 2),
        lambda x: x.transpose((1, 0, 2)), lambda x: x.transpose(None), lambda x: x.T, lambda x: x.swapaxes(0, 1),
        lambda x: x[:1].squeeze(), lambda x: x[:1].squeeze(0), lambda x: x.clip(3, 7), lambda x: x.clip(max=7),
        lambda x: x.dot(np.ones((4, 2))), lambda x: x[0, 0].dot(x[0, 1]), lambda x: x.clip(min=np.full(4, 9.0)),
    ],
)  # fmt: skip
def test_methods_are_those_of_an_ndarray(Value, call):
    v = Value(X)
    z = call(v)
    assert type(z) is Value
    np.testing.assert_allclose(z.data, call(X), rtol=1e-14)
    assert z.shape == np.shape(call(X))
    z.backward()
    assert v.grad.any()


def test_sum_dot_and_logsumexp_on_class_and_instance(Value):
    a, b, c = Value(1.0), Value(2.0), Value(3.0)
    x = Value([1.0, 2.0, 3.0])
    several = [a, b, c]
    for total in (Value.sum(several), a.sum(several), a.sum((a, b, c)), x.sum(iter(several)), x.sum(), x.sum(0)):
        assert type(total) is Value
        assert total.data == 6.0
    assert Value.sum([a, b, c])._op == "sum"
    assert len(Value.sum([a, b, c]).operands) == 3
    weights, inputs = [a, b], [b, c]
    for product in (
        Value.dot(weights, inputs, 1), a.dot(weights, inputs, 1), x.dot(weights=weights, inputs=inputs, bias=1)
    ):  # fmt: skip
        assert product.data == 9.0
    assert x.dot(x).data == x.dot([1, 2, 3]).data == 14.0
    assert a.dot(x).data.tolist() == [1, 2, 3]
    many = Value.logsumexp([a, b, c]).data
    assert a.logsumexp([a, b, c]).data == many
    assert x.logsumexp().data == x.logsumexp(axis=0).data == pytest.approx(many, rel=1e-15)
    assert a.sum().data == a.logsumexp().data == 1.0
    assert Value.sum([x, x, a]).data.tolist() == [3, 5, 7]
    assert Value.dot([x], [x], a).data.tolist() == [2, 5, 10]
    assert Value.logsumexp([x, x]).shape == (3,)
    for name in ("sum", "dot", "logsumexp"):
        assert getattr(x, name).__doc__
    with pytest.raises(TypeError, match="sum: expected a Value or a number, not str"):
        Value.sum(["1"])

    class Named(Value):
        pass

    assert Named.sum([a, b]).data == 3.0
    assert Named([1.0, 2.0]).sum(axis=0).data == 3.0


def test_functions_at_top_level(Value):
    x = Value([[1.0, 2.0], [3.0, 4.0]])
    assert pygrad.sum(x, axis=0).data.tolist() == [4, 6]
    assert pygrad.sum(x, keepdims=True).shape == (1, 1)
    assert pygrad.sum(np.ones((2, 2)), axis=0).tolist() == [2, 2]
    assert pygrad.sum([x, x]).data.tolist() == [[2, 4], [6, 8]]
    assert pygrad.sum(np.array([0.1, 0.2, 0.3])) == (0.1 + 0.2) + 0.3
    assert pygrad.sum(Value(2.0)).data == 2.0
    assert pygrad.sum(np.array([Value(1.0), Value(2.0)])).data == 3.0
    assert pygrad.logsumexp(x, axis=1).shape == (2,)
    assert pygrad.dot(x, x).data.tolist() == (x.data @ x.data).tolist()
    assert pygrad.dot(x, [1, 1], bias=1).data.tolist() == [4, 8]
    for wrong in ({"axis": 0}, {"keepdims": True}):
        with pytest.raises(TypeError, match=r"axis= and keepdims= are for arrays: pygrad\.stack"):
            pygrad.sum([1.0, 2.0], **wrong)
    array = np.array([[1.0, -2.0]])
    assert pygrad.exp(array).tolist() == np.exp(array).tolist()
    assert pygrad.relu(array).tolist() == [[1, 0]]
    assert pygrad.leaky_relu(array, 0.5).tolist() == [[1, -1]]
    assert pygrad.maximum(array, 0).tolist() == [[1, 0]]
    for left, right in [(array, x), (x, array), ([1, 0], x), (Value(0.5), array)]:
        assert type(pygrad.maximum(left, right)) is Value
    assert pygrad.maximum(Value(0.5), array).data.tolist() == [[1, 0.5]]
    assert pygrad.pow(x, 2).data.tolist() == [[1, 4], [9, 16]]
    assert pygrad.stack([Value(1.0), 2.0]).data.tolist() == [1, 2]
    assert set(arrays.__all__) - set(pygrad.__all__) == {"max", "min", "sum"}
    assert pygrad.max is arrays.max
    assert pygrad.matmul is arrays.matmul
