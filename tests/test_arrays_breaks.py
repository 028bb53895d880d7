"""What once broke array Values: odd arrays that were taken silently for what they are not, shared memory, and the like.

Each test states what went wrong as the rule it broke. Ordinary use is the subject of the other files.
"""

from __future__ import annotations

import numpy as np
import pytest

from pygrad import arrays, backends, losses, nn

# ---- dtypes ----


def test_bounds_of_clip_are_real_numbers(Value):
    v = Value([1.0, 2.0])
    with pytest.raises(TypeError, match="clip: min must be real numbers, not ndarray of complex128"):
        v.clip(np.array([1j, 2j]), None)
    with pytest.raises(TypeError, match="clip: max must be numbers, but holds Values"):
        v.clip(None, [Value(1.5), Value(0.0)])


def test_integer_bounds_of_clip_keep_float32(Value):
    v = Value(np.array([0.5, 3.0], "f4"))
    z = v.clip([1, 1], np.array([2, 2]))
    assert z.data.dtype == np.float32
    assert z.data.tolist() == [1.0, 2.0]


@pytest.mark.parametrize("dtype", [">f8", "g"])
def test_wider_or_swapped_floats_beside_float32_are_float64(Value, dtype):
    v, array = Value(np.ones(2, "f4")), np.full(2, 1 / 3, dtype)
    for z in (v * array, array * v):
        assert z.data.dtype == np.float64
        assert z.data.tolist() == [1 / 3, 1 / 3]


def test_float32_in_the_other_order_of_bytes_is_kept(Value):
    swapped = np.array([1.0, 2.0], np.dtype("f4").newbyteorder())
    assert Value(swapped).data.dtype == np.float32
    assert Value(swapped).data.dtype.isnative
    assert (Value(np.ones(2, "f4")) * swapped).data.dtype == np.float32


# ---- masks ----


def test_masked_entries_are_no_numbers(Value):
    masked, v = np.ma.masked_array([1.0, 2.0, 3.0], [0, 1, 0]), Value([1.0, 1.0, 1.0])
    for use in (
        lambda: Value(masked),
        lambda: v * masked,
        lambda: setattr(v, "data", masked),
        lambda: losses.mse(v, masked),
        lambda: losses.hinge(v, np.ma.masked_array([1, 1, -1], [0, 1, 0])),
    ):
        with pytest.raises(TypeError, match="1 of them are masked: fill them"):
            use()


def test_a_masked_array_that_hides_nothing_is_an_array(Value):
    array = np.ma.masked_array([1.0, 2.0])
    assert Value(array).data.tolist() == (Value([1.0, 1.0]) * array).data.tolist() == [1.0, 2.0]


# ---- broadcasting ----


@pytest.mark.parametrize("shape", [(5, 1), (1,), (5, 3), (7, 3)])
def test_a_bias_of_linear_is_not_broadcast(Value, shape):
    x, weight, bias = Value(np.ones((5, 2))), Value(np.ones((2, 3))), Value(np.ones(shape))
    with pytest.raises(ValueError, match=r"linear: .* do not fit: they must be \(..., nin\), \(nin, nout\) and"):
        arrays.linear(x, weight, bias)


def test_inputs_of_linear_have_an_axis(Value):
    with pytest.raises(ValueError, match=r"linear: inputs of shape \(\) and weights of shape \(2, 3\) do not fit"):
        arrays.linear(Value(2.0), Value(np.ones((2, 3))))


@pytest.mark.parametrize("axis", [-1, 0])
def test_a_bias_put_into_a_linear_must_fit(backend, Value, axis):
    layer = nn.Linear(3, 2, axis=axis, backend=backend)
    layer.bias = Value(np.ones(1))
    with pytest.raises(ValueError, match=r"bias of shape"):
        layer(np.ones((3, 3)))


# ---- writing where nobody reads ----


def test_the_arrays_of_a_layer_cannot_be_written_in_place(backend):
    layer = nn.Layer(3, 2, seed=1, backend=backend)
    for v in (layer.weight, layer.bias):
        with pytest.raises(ValueError, match="read-only"):
            v.data[...] = 5.0
        with pytest.raises(ValueError, match="read-only"):
            v.data -= 5.0
    layer.weight = layer.weight.data - 5.0
    assert layer.weight.data[0, 0] == layer.neurons[0].w[0].data < -3.0


@pytest.mark.parametrize(
    ("loss", "before", "after"),
    [
        (losses.mse, [1.0, 0.0], [7.0, 5.0]),
        (losses.binary_cross_entropy, [1.0, 0.0], [7.0, 5.0]),
        (losses.hinge, [1.0, -1.0], [7.0, 5.0]),
        (losses.cross_entropy, [1, 0], [0, 7]),
    ],
)
def test_a_buffer_of_targets_may_be_filled_anew_before_backward(Value, loss, before, after):
    numbers = [[0.25, 0.5], [0.75, 0.5]] if loss is losses.cross_entropy else [0.25, 0.5]
    x, expected, targets = Value(numbers), Value(numbers), np.array(before)
    loss(expected, before).backward()
    out = loss(x, targets)
    targets[:] = after
    out.backward()
    assert x.grad.tolist() == expected.grad.tolist()


@pytest.mark.parametrize("read", [True, False])
def test_a_gradient_held_while_a_node_steps_is_not_its_operands(Value, read):
    x = Value([1.0, 2.0])
    y = x.reshape(2, 1) + 0.0
    if read:
        held = y.grad
        held[:] = 1.0
    else:
        y.grad = held = np.ones((2, 1))
    for _ in range(2):
        y._backward()
    y.operands[0]._backward()
    held[:] = 7.0
    assert y.grad is held
    assert y.operands[0].grad.tolist() == [[2.0], [2.0]]
    assert x.grad.tolist() == [2.0, 2.0]


def test_sweeps_hand_on_the_very_gradient_on_every_backend():
    """Not a copy: that of an array with negative strides has others, and NumPy's sums another last bit."""
    found = []
    for name in backends.NAMES:
        x = backends.load(name)([-1.1903684152887875, 0.6835690004633508, -0.89440383022006])
        w = backends.load(name)([[1.0494274829578123]])
        arrays.cumsum(arrays.einsum("a,mn->an", x, w), 0).backward()
        found.append((x.grad.tobytes(), w.grad.tobytes()))
    assert len(set(found)) == 1


# ---- axes ----


def test_a_list_of_axes_is_no_list_of_operands(Value):
    v = Value([[1.0, 2.0], [3.0, 4.0]])
    assert v.sum([0]).data.tolist() == [4.0, 6.0]
    assert v.sum([0, -1]).data == 10.0
    assert v.logsumexp([1]).data.tolist() == v.logsumexp(1).data.tolist()
    assert v.sum([Value(1.0), 2]).data == Value(1.0).sum([1, 2]).data == 3.0


# ---- private functions ----


def test_layers_are_described_by_tuples(engine):
    if engine._pygrad_backend == "c":
        with pytest.raises(TypeError, match="_layers takes a list of tuples"):
            engine._layers([1])
