"""Optimisers and clipping on array Values, and on mixtures of scalars and arrays: against torch, against the same
numbers as scalars, on every layout of memory; what is moved in place; what is saved, refused, and copied.

What holds for all parameters alike (schedules, settings) is test_optim.py's subject; the rules' bits test_updates.py's.
"""

from __future__ import annotations

import copy
import gc
import json
import math
import pickle
import random
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pygrad import _array_updates, _parameters, backends, schedules
from pygrad._parameters import Parameters
from pygrad._updates import RULES
from pygrad.optim import clip_grad_norm, clip_grad_value

from .conftest import bits
from .test_optim import CONFIGURATIONS, KINDS, near
from .test_updates import NUMBER, SETTINGS

SHAPES = [(3,), (2, 3), (1,), (0, 2), (19, 17), (2, 3, 4)]


def normal(rng, shape, dtype=np.float64):
    return rng.normal(size=shape).astype(dtype)


def array_bits(array):
    """The bits of an array's numbers in C order; all nans count as one."""
    array = np.array(array, dtype=np.float64, order="C").ravel()
    array[np.isnan(array)] = np.nan
    return array.tobytes()


def same(x, y):
    return array_bits(x) == array_bits(y)


def leaves(Value, shapes=SHAPES, seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    return [Value(normal(rng, shape, dtype)) for shape in shapes]


def steps(optimizer, count, seed=1):
    """Some steps with random gradients, which depend on the step's number and the parameters' sizes alone."""
    for k in range(optimizer.steps, optimizer.steps + count):
        rng = np.random.default_rng((seed, k))
        for p in optimizer.parameters:
            p.grad = normal(rng, np.shape(p.data))
        optimizer.step()


def numbers(optimizer):
    return np.concatenate([np.ravel(p.data) for p in optimizer.parameters])


# ---- the numbers ----


@pytest.mark.parametrize(("kind", "settings"), CONFIGURATIONS)
def test_torch(Value, kind, settings):
    """The same gradients at 40 steps: parameters and state after each."""
    torch = pytest.importorskip("torch")
    parameters = leaves(Value)
    tensors = [torch.tensor(p.data) for p in parameters]
    optimizer, theirs = KINDS[kind](parameters, **settings), getattr(torch.optim, kind)(tensors, **settings)
    rng = np.random.default_rng(1)
    for _ in range(40):
        for p, t in zip(parameters, tensors):
            p.grad = normal(rng, p.shape) * 10 ** rng.uniform(-3, 1)
            t.grad = torch.tensor(p.grad)
        optimizer.step()
        theirs.step()
        for p, t in zip(parameters, tensors):
            np.testing.assert_allclose(p.data, t.numpy(), rtol=1e-12, atol=1e-12)
    for name, row in optimizer.state_dict()["state"].items():
        expected = np.concatenate([theirs.state[t][name].numpy().ravel() for t in tensors])
        np.testing.assert_allclose(row, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("kind", "settings"), CONFIGURATIONS)
def test_arrays_move_as_their_numbers_would(backend, kind, settings):
    """Bit for bit: data and state."""
    shapes = [(3,), (2, 3), (19, 17)]
    Value = backends.load(backend)
    arrays = KINDS[kind](leaves(Value, shapes), **settings)
    scalars = KINDS[kind]([backends.load("python")(x) for x in numbers(arrays).tolist()], **settings)
    for k in range(10):
        steps(arrays, 1)
        gradients = np.concatenate([p.grad.ravel() for p in arrays.parameters])
        for p, g in zip(scalars.parameters, gradients.tolist()):
            p.grad = g
        scalars.step()
        assert same(numbers(arrays), numbers(scalars)), k
    ours, theirs = arrays.state_dict(), scalars.state_dict()
    assert ours["state"].keys() == theirs["state"].keys()
    assert all(same(ours["state"][name], row) for name, row in theirs["state"].items())


@pytest.mark.parametrize("rule", RULES)
@given(data=st.data())
def test_odd_numbers_and_settings(rule, data):
    """Infinities, nans and zeros of both signs, and settings of any value: the bits of scalars, on every backend."""
    settings = tuple(data.draw(SETTINGS[name], label=name) for name in RULES[rule].settings)
    n = data.draw(st.integers(1, 4))
    slots = len(RULES[rule].slots(*settings))
    x, g, *state = (data.draw(st.lists(NUMBER, min_size=n, max_size=n)) for _ in range(2 + slots))
    results = []
    for name in backends.NAMES:
        Value = backends.load(name)
        v, memory = Value(x), np.array(state).reshape(slots, n)
        v.grad = g
        parameters = Parameters([v])
        parameters.optimise(rule, settings, _parameters.Memory(bytearray(), (memory,)))
        results.append((array_bits(v.data), array_bits(memory)))
    values = [backends.load("python")(number) for number in x]
    memory = bytearray(np.array(state).tobytes())
    parameters = Parameters(values)
    parameters.put("grad", g)
    parameters.optimise(rule, settings, _parameters.Memory(memory, ()))
    results.append((array_bits(parameters.get("data")), array_bits(np.frombuffer(memory))))
    assert results == results[:1] * len(results)


@pytest.mark.parametrize(("kind", "settings"), CONFIGURATIONS)
def test_float32(Value, kind, settings):
    """Against torch's float32; data and state stay of that type."""
    torch = pytest.importorskip("torch")
    parameters = leaves(Value, dtype=np.float32)
    tensors = [torch.tensor(p.data) for p in parameters]
    optimizer, theirs = KINDS[kind](parameters, **settings), getattr(torch.optim, kind)(tensors, **settings)
    before = [p.data for p in parameters]
    rng = np.random.default_rng(1)
    for _ in range(40):
        for p, t in zip(parameters, tensors):
            p.grad = normal(rng, p.shape, np.float32)
            t.grad = torch.tensor(p.grad)
        optimizer.step()
        theirs.step()
    for p, t, array in zip(parameters, tensors, before):
        assert p.data is array
        assert p.data.dtype == np.float32
        np.testing.assert_allclose(p.data, t.numpy(), rtol=2e-4, atol=2e-5)
    assert all(array.dtype == np.float32 for array in optimizer._memory.arrays)


def test_float32_is_the_same_on_every_backend():
    results = []
    for name in backends.NAMES:
        optimizer = KINDS["RMSprop"](leaves(backends.load(name), dtype=np.float32), momentum=0.5, centered=True)
        steps(optimizer, 5)
        clip_grad_norm(optimizer, 0.1)
        results.append((array_bits(numbers(optimizer)), array_bits(optimizer._parameters.get("grad"))))
    assert results == results[:1] * len(results)


# ---- mixtures ----


def mixture(Value, dtype=np.float64):
    rng = np.random.default_rng(5)
    parts = [(), (2, 3), (), (), (4,), (0,), (3, 1, 50)]
    return [Value(float(rng.normal()) if not shape else normal(rng, shape, dtype)) for shape in parts]


@pytest.mark.parametrize(("kind", "settings"), CONFIGURATIONS)
def test_mixtures_move_as_their_numbers_would(Value, kind, settings):
    mixed = KINDS[kind](mixture(Value), **settings)
    scalars = KINDS[kind]([Value(x) for x in numbers(mixed).tolist()], **settings)
    assert (len(mixed._parameters), mixed._parameters.count) == (7, len(scalars.parameters)) == (7, 163)
    for k in range(5):
        steps(mixed, 1)
        scalars._parameters.put("grad", mixed._parameters.get("grad"))
        scalars.step()
        assert same(numbers(mixed), numbers(scalars)), k
    for name, row in scalars.state_dict()["state"].items():
        assert same(mixed.state_dict()["state"][name], row)


def test_numbers_of_all_parameters(Value):
    values = mixture(Value)
    parameters = Parameters(values)
    data = parameters.get("data")
    assert (data.dtype, data.shape, parameters.count, len(parameters)) == (np.float64, (163,), 163, 7)
    assert data.tolist() == [x for v in values for x in np.ravel(v.data).tolist()]
    arrays = [v.data for v in values]
    parameters.put("data", data[::-1])
    assert parameters.get("data").tolist() == data[::-1].tolist()
    assert all(v.data is array for v, array in zip(values, arrays) if v.ndim), "arrays are written in place"
    assert parameters.get("grad").tolist() == [0.0] * 163
    given = np.arange(163)
    parameters.put("grad", given)
    given[:] = 0
    assert (values[1].grad.tolist(), values[2].grad) == ([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], 7.0)
    assert parameters.get("grad").tolist() == list(range(163))
    for wrong in (np.zeros(7), np.zeros((163, 1)), 1.0):
        with pytest.raises(ValueError, match=r"7 parameters of 163 numbers need an array of shape \(163,\), not"):
            parameters.put("data", wrong)
    for what in ("label", None):
        with pytest.raises((ValueError, TypeError)):
            parameters.get(what)
        with pytest.raises((ValueError, TypeError)):
            parameters.put(what, np.zeros(163))
    assert parameters.get("data").tolist() == data[::-1].tolist()


def test_numbers_of_float32(Value):
    v = Value(np.array([[0.1, 2.0]], dtype=np.float32))
    parameters = Parameters([v])
    assert parameters.get("data").tolist() == [float(np.float32(0.1)), 2.0]
    parameters.put("data", [0.2, 0.3])
    parameters.put("grad", [0.4, 0.5])
    for array, expected in [(v.data, [[0.2, 0.3]]), (v.grad, [[0.4, 0.5]])]:
        assert array.dtype == np.float32
        assert array.tolist() == np.array(expected, dtype=np.float32).tolist()


# ---- memory: what is moved in place, and how it may lie ----


def unaligned(array):
    memory = np.zeros(array.nbytes + 1, dtype=np.uint8)
    view = memory[1:].view(array.dtype).reshape(array.shape)
    view[...] = array
    return view


def every_other(array):
    view = np.zeros((*array.shape[:-1], 2 * array.shape[-1]))[..., ::2]
    view[...] = array
    return view


LAYOUTS = {
    "plain": lambda a: a,
    "columns first": np.asfortranarray,
    "every other": every_other,
    "backwards": lambda a: a[::-1].copy()[::-1],
    "unaligned": unaligned,
    "part of a larger array": lambda a: np.concatenate([a, a])[: len(a)],
}


@pytest.mark.parametrize("of_grad", LAYOUTS)
@pytest.mark.parametrize("of_data", LAYOUTS)
def test_layouts(Value, of_data, of_grad):
    """Whichever way numbers and gradients lie in memory, the bits are those of plain arrays; and it is that very memory
    that changes."""
    rng = np.random.default_rng(2)
    start = normal(rng, (70, 130))
    plain, v = Value(start), Value(start)
    laid = LAYOUTS[of_data](start.copy())
    v.data = laid
    ours, theirs = (KINDS["Adam"]([x], lr=0.1, weight_decay=0.1) for x in (v, plain))
    for _ in range(3):
        g = normal(rng, start.shape)
        v.grad, plain.grad = LAYOUTS[of_grad](g), g
        kept = v.grad.copy()
        ours.step()
        theirs.step()
        assert same(v.grad, kept)
    assert v.data is laid
    assert same(laid, plain.data)
    assert not same(laid, start)


def test_views_see_the_step(Value):
    base = np.arange(12.0).reshape(3, 4)
    for view in (base, base[1], base[:, ::2], base.T, base[::-1]):
        v = Value(np.zeros(view.shape))
        before = base.copy()
        v.data = view
        v.grad = np.ones(view.shape)
        KINDS["SGD"]([v], lr=0.5).step()
        assert v.data is view
        assert np.count_nonzero(base != before) == view.size
        assert np.all((base == before) | (base == before - 0.5))


def test_data_that_cannot_be_written_are_replaced(Value):
    fixed = np.arange(6.0).reshape(2, 3)
    fixed.flags.writeable = False
    twice = np.lib.stride_tricks.as_strided(np.arange(3.0), (2, 3), (0, 8))  # every number stands for two entries
    crossed = np.lib.stride_tricks.as_strided(np.arange(4.0), (2, 3), (8, 8))
    for array in (fixed, np.broadcast_to(2.0, (2, 3)), twice, crossed):
        v, kept, expected = Value(np.zeros((2, 3))), array.copy(), array - 0.5 * np.arange(6.0).reshape(2, 3)
        v.data = array
        optimizer = KINDS["SGD"]([v], lr=0.5)
        for _ in range(2):
            v.grad = np.arange(6.0).reshape(2, 3)
            optimizer.step()
            assert v.data is not array
            assert same(v.data, expected)
            assert same(array, kept)
            expected = expected - 0.5 * np.arange(6.0).reshape(2, 3)


def test_gradients_that_are_views_stay_as_they_are(Value):
    """backward() may leave a broadcast number, or an array that other Values share."""
    v, w = Value(np.arange(6.0).reshape(2, 3)), Value(np.ones((3, 2)))
    optimizer = KINDS["SGD"]([v, w], lr=0.5)
    (v + w.T).sum().backward()
    raw = v._raw_grad
    kept = raw.copy()
    optimizer.step()
    clip_grad_norm(optimizer, 0.1)
    clip_grad_value(optimizer, 0.01)
    assert same(raw, kept)
    assert same(v.data, np.arange(6.0).reshape(2, 3) - 0.5)
    assert same(w.data, np.full((3, 2), 0.5))


@pytest.mark.parametrize("n", [5, 20_000])
def test_gradients_in_the_memory_of_the_data(Value, n):
    """Its very array, and one that overlaps it: read before they are written."""
    settings = {"lr": 0.5, "momentum": 0.5, "weight_decay": 0.25}
    memory = np.arange(n + 1.0)
    head, tail = slice(0, n), slice(1, None)
    for cut_data, cut_grad in [(head, head), (tail, head), (head, tail)]:
        buffer = memory.copy()
        v, plain = Value(np.zeros(n)), Value(memory[cut_data])
        v.data, v.grad = buffer[cut_data], buffer[cut_grad]
        plain.grad = memory[cut_grad].copy()
        for x in (v, plain):
            KINDS["SGD"]([x], **settings).step()
        assert same(buffer[cut_data], plain.data)


def test_gradients_of_none_are_zeros(Value):
    for kind, settings in CONFIGURATIONS:
        rng = np.random.default_rng(3)
        start = normal(rng, (3, 50))
        results = []
        for zeros in (None, np.zeros((3, 50))):
            v = Value(start)
            optimizer = KINDS[kind]([v], **settings)
            v.grad = np.ones((3, 50))
            optimizer.step()
            optimizer.zero_grad()
            assert v._raw_grad is None
            if zeros is not None:
                v.grad = zeros
            optimizer.step()
            results.append(array_bits(v.data))
        assert results[0] == results[1]


def test_plain_arrays_are_moved_by_c(engine, monkeypatch):
    """NumPy takes no part in a step of contiguous float64 arrays, nor of those with other gradients."""
    values = [v for v in leaves(engine) if v.size]
    optimizer = KINDS["Adam"](values)
    one_by_one = []
    monkeypatch.setattr(_array_updates, "_step", lambda *given: one_by_one.append(given))
    steps(optimizer, 2)
    values[1].grad = np.broadcast_to(2.0, values[1].shape)
    values[-1].grad = np.asfortranarray(values[-1].grad)
    before = values[1].data.copy()
    optimizer.step()
    assert not one_by_one
    assert not same(values[1].data, before)


def test_zero_grad_writes_nothing(Value):
    v = Value(np.ones((2, 2)))
    for zero in (KINDS["SGD"]([v]).zero_grad, lambda: setattr(v, "grad", 0.0), lambda: setattr(v, "grad", 0)):
        v.grad = mine = np.full((2, 2), 3.0)
        zero()
        assert v._raw_grad is None
        assert mine.tolist() == [[3.0, 3.0], [3.0, 3.0]]
        assert v.grad.tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_arrays_without_numbers(Value):
    values = [Value(np.zeros(shape)) for shape in [(0,), (0, 3), (2, 0, 2)]]
    for kind, settings in CONFIGURATIONS:
        optimizer = KINDS[kind](values, **settings)
        steps(optimizer, 2)
        assert clip_grad_norm(optimizer, 1.0) == 0.0
        clip_grad_value(optimizer, 1.0)
        optimizer.load_state_dict(optimizer.state_dict())
        assert optimizer._parameters.count == 0
        assert [v.data.shape for v in values] == [(0,), (0, 3), (2, 0, 2)]


# ---- clipping ----


def with_gradients(Value, seed=7):
    values = mixture(Value)
    rng = np.random.default_rng(seed)
    for v in values:
        v.grad = normal(rng, np.shape(v.data))
    return values


@pytest.mark.parametrize("limit", [0.0, 0.3, 5.0, 1e9, math.inf])
def test_clipping_as_torch(Value, limit):
    torch = pytest.importorskip("torch")
    for ours, theirs in [
        (clip_grad_norm, torch.nn.utils.clip_grad_norm_),
        (clip_grad_value, torch.nn.utils.clip_grad_value_),
    ]:
        values = with_gradients(Value)
        tensors = [torch.tensor(v.data, dtype=torch.float64) for v in values]
        for v, t in zip(values, tensors):
            t.grad = torch.tensor(v.grad, dtype=torch.float64)
        given, expected = ours(values, limit), theirs(tensors, limit)
        if ours is clip_grad_norm:
            assert given == near(float(expected))
        for v, t in zip(values, tensors):
            np.testing.assert_allclose(v.grad, t.grad.numpy(), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("gradients", [[3, -0.0, 0.5], [0.0, -0.0, 0.0], [math.inf, 1, -2], [-math.inf, math.nan, 1]])
@pytest.mark.parametrize("limit", [0.0, 0.4, 2.0, math.inf])
def test_clipping_arrays_is_clipping_their_numbers(Value, gradients, limit):
    for clip in (clip_grad_norm, clip_grad_value):
        v, scalars = Value(np.zeros(3)), [Value(0.0) for _ in range(3)]
        v.grad = gradients
        for x, g in zip(scalars, gradients):
            x.grad = g
        given, expected = clip([v], limit), clip(scalars, limit)
        assert given is None is expected or bits(given) == bits(expected)
        assert same(v.grad, [x.grad for x in scalars])


def in_lanes(array):
    """The sum of squares as it is described: 128 sums, then those from the first to the last."""
    lanes = [0.0] * 128
    for i, x in enumerate(np.ravel(array).tolist()):
        lanes[i % 128] = lanes[i % 128] + x * x
    total = 0.0
    for x in lanes:
        total = total + x
    return total


@pytest.mark.parametrize("size", [0, 1, 2, 127, 128, 129, 8191, 8192, 8193, 20_000])
def test_the_order_of_additions(size):
    rng = np.random.default_rng(size)
    array = normal(rng, size) * 10.0 ** rng.uniform(-5, 5, size)
    assert bits(_array_updates.sum_of_squares(array)) == bits(in_lanes(array))
    single = array.astype(np.float32)
    assert bits(_array_updates.sum_of_squares(single)) == bits(in_lanes(single.astype(np.float64)))
    assert bits(_array_updates.sum_of_squares(np.repeat(array, 2)[::2])) == bits(in_lanes(array))


def test_the_norm_of_a_mixture(Value):
    """Scalars from the first to the last, then array after array; on every backend the same."""
    values = with_gradients(Value)
    total = 0.0
    for v in values:
        if not np.ndim(v.data):
            total = total + v.grad * v.grad
    for v in values:
        if np.ndim(v.data):
            total = total + in_lanes(v.grad)
    assert bits(Parameters(values).grad_norm()) == bits(math.sqrt(total))
    square = Value(np.zeros((30, 20)))
    square.grad = np.asfortranarray(np.random.default_rng(1).normal(size=(30, 20)))
    assert bits(Parameters([square]).grad_norm()) == bits(math.sqrt(in_lanes(square.grad)))


def test_clipping_gradients_of_none(Value):
    for factor in (0.5, 0.0):
        v = Value([1.0, 2.0])
        Parameters([v]).scale_grads(factor)
        Parameters([v]).clamp_grads(factor)
        assert v._raw_grad is None
    for factor in (math.nan, math.inf):  # 0 times that is nan
        v = Value([1.0, 2.0])
        Parameters([v]).scale_grads(factor)
        assert np.isnan(v.grad).all()


def test_clipping_keeps_float32(Value):
    v = Value(np.ones(3, dtype=np.float32))
    v.grad = np.array([1e20, -1e20, 1.0])
    assert clip_grad_norm([v], 1.0) == near(math.sqrt(2.0) * float(np.float32(1e20)))  # its square is beyond float32
    assert v.grad.dtype == np.float32
    clip_grad_value([v], 0.25)
    assert (v.grad.dtype, v.grad.tolist()[:2]) == (np.float32, [0.25, -0.25])


# ---- saving and copying ----


@pytest.mark.parametrize(("kind", "settings"), CONFIGURATIONS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_state_dict_round_trip(Value, kind, settings, dtype):
    """In the middle of training, through JSON and an array of each: the rest is the same, bit for bit."""
    whole = KINDS[kind](mixture(Value, dtype), **settings)
    steps(whole, 5)
    state = whole.state_dict()
    arrays = {name: array.copy() for name, array in state["state"].items()}
    assert all(array.dtype == np.float64 and array.shape == (163,) for array in arrays.values())
    half = KINDS[kind](mixture(Value, dtype), **settings)
    half._parameters.put("data", whole._parameters.get("data"))
    steps(whole, 5)
    for name, array in state["state"].items():
        assert array.tolist() == arrays[name].tolist(), "a state dict must not change with the optimizer"
    half.load_state_dict({**json.loads(json.dumps({**state, "state": None})), "state": arrays})
    steps(half, 5)
    assert same(numbers(half), numbers(whole))
    assert all(array.dtype == dtype for array in half._memory.arrays)
    for array in arrays.values():
        array[:] = 9.0
    steps(half, 1)
    steps(whole, 1)
    assert same(numbers(half), numbers(whole)), "nor an optimizer with the dict it was loaded from"


def test_what_a_state_says_of_its_parameters(Value):
    v = Value(np.zeros((3, 2), dtype=np.float32))
    assert KINDS["SGD"]([Value(1.0), v]).state_dict()["parameters"] == ["scalar", "float32 (3, 2)"]
    assert KINDS["SGD"]([Value([1.0])]).state_dict()["parameters"] == ["float64 (1,)"]
    assert KINDS["SGD"]([Value(1.0), Value(2.0)]).state_dict()["parameters"] == 2


def test_states_that_do_not_fit(Value):
    def made(*parameters):
        optimizer = KINDS["Adam"]([Value(p) for p in parameters])
        steps(optimizer, 1)
        return optimizer

    optimizer = made(1.0, np.zeros((2, 3)))
    good = optimizer.state_dict()
    arrays = good["state"]
    others = [
        (made(1.0, np.zeros((3, 2))), r"parameters\[1\] is float64 \(2, 3\), but the state is of 'float64 \(3, 2\)'"),
        (made(1.0, np.zeros((2, 3), np.float32)), r"parameters\[1\] is float64 \(2, 3\), but .* 'float32 \(2, 3\)'"),
        (made(np.zeros((2, 3)), 1.0), r"parameters\[0\] is scalar, but the state is of 'float64 \(2, 3\)'"),
        (made(1.0, 2.0), r"parameters\[1\] is float64 \(2, 3\), but the state is of 'scalar'"),
        (made(1.0), "the state is of 1 parameters, but there are 2"),
        (made(*[1.0] * 7), "the state is of 7 parameters, but there are 2"),
        (made(np.zeros(7)), "the state is of 1 parameters, but there are 2"),
    ]
    wrong = [(other.state_dict(), message) for other, message in others] + [
        ({**good, "parameters": ["scalar", None]}, r"parameters\[1\] is float64 \(2, 3\), but the state is of None"),
        ({**good, "parameters": "ab"}, "the state is of 'ab' parameters"),
        ({**good, "state": {**arrays, "exp_avg": np.zeros((1, 7))}}, r"'exp_avg' must be 7 numbers.*\(1, 7\)"),
        ({**good, "state": {**arrays, "exp_avg": np.zeros(2)}}, r"'exp_avg' must be 7 numbers.*\(2,\)"),
    ]
    for state, message in wrong:
        with pytest.raises(ValueError, match=message):
            optimizer.load_state_dict(state)
        left = optimizer.state_dict()
        assert {**left, "state": None} == {**good, "state": None}
        assert all(same(left["state"][name], array) for name, array in arrays.items())
    scalars = made(1.0, 2.0)
    with pytest.raises(ValueError, match=r"parameters\[1\] is scalar, but the state is of 'float64 \(2, 3\)'"):
        scalars.load_state_dict(good)


def test_a_copy_has_a_state_of_its_own(Value):
    optimizer = KINDS["SGD"](mixture(Value), lr=0.1, momentum=0.9)
    steps(optimizer, 2)
    twin = copy.copy(optimizer)
    kept = {name: array.copy() for name, array in twin.state_dict()["state"].items()}
    steps(optimizer, 2)
    assert all(same(twin.state_dict()["state"][name], array) for name, array in kept.items())
    assert twin.parameters == optimizer.parameters


def double(x):
    return pickle.loads(pickle.dumps(x))  # our own


@pytest.mark.parametrize("duplicate", [copy.deepcopy, double])
def test_copies_of_everything(Value, duplicate):
    optimizer = KINDS["Adam"](mixture(Value), lr=schedules.step(0.1, 2))
    steps(optimizer, 3)
    other = duplicate(optimizer)
    assert not set(other.parameters) & set(optimizer.parameters)
    before = numbers(optimizer)
    steps(other, 3)
    assert same(numbers(optimizer), before)
    steps(optimizer, 3)
    assert same(numbers(optimizer), numbers(other))


def test_repr(Value):
    assert repr(KINDS["SGD"](mixture(Value), lr=1)).startswith("SGD(7 parameters of 163 numbers, lr=1.0, ")
    assert repr(KINDS["SGD"]([Value([1.0])], lr=1)).startswith("SGD(1 parameter, lr=1.0, ")


# ---- what is refused ----


def test_parameters_that_are_none(Value, backend):
    a = Value([1.0, 2.0])
    elsewhere = backends.load("python" if backend != "python" else "c")([1.0])
    refused = [
        (a, TypeError, "not one Value: put it in a list"),
        ([a, np.zeros(2)], TypeError, r"parameters\[1\] must be a Value, not ndarray"),
        ([a, Value(2.0), a], ValueError, r"parameters\[2\] is parameters\[0\]"),
        ([a, a * 2], ValueError, r"parameters\[1\] was computed \(op '\*'\)"),
        ([Value(1.0), a.sum()], ValueError, r"parameters\[1\] was computed \(op 'sum'\)"),
        ([Value([1.0], (a,), "mine")], ValueError, r"parameters\[0\] was computed \(op 'mine'\)"),
        ([a, elsewhere], TypeError, r"parameters\[1\] is a Value of backend .* one backend"),
    ]
    for parameters, error, message in refused:
        for use in (KINDS["Adam"], lambda p: clip_grad_norm(p, 1.0)):
            with pytest.raises(error, match=message):
                use(parameters)


def test_an_array_whose_shape_was_changed(Value):
    """In place, behind the Value's back: nothing is moved."""
    first, scalar, second = Value(np.zeros((2, 3))), Value(1.0), Value(np.ones(6))
    optimizer = KINDS["SGD"]([first, scalar, second], lr=1.0, momentum=0.5)
    steps(optimizer, 1)
    kept = optimizer._parameters.get("data")
    memory = [array.copy() for array in optimizer._memory.arrays]
    second.data = second.data.reshape(2, 3).reshape(6)
    second.__init__(np.ones(5))
    second.grad = np.ones(5)
    kept[7:] = 1.0
    with pytest.raises(ValueError, match=r"parameters\[2\] has 5 numbers of float64 now, but had 6 of float64"):
        optimizer.step()
    assert same(np.ravel(first.data), kept[:6])
    assert scalar.data == kept[6]
    second.__init__(np.ones(6, dtype=np.float32))
    with pytest.raises(ValueError, match=r"parameters\[2\] has 6 numbers of float32 now, but had 6 of float64"):
        optimizer.step()
    second.__init__(2.0)
    with pytest.raises(TypeError, match="expected array Values"):
        optimizer.step()
    second.__init__(np.ones(6))
    second.grad = np.ones((6,))
    second.data.shape = (3, 2)
    if Value._pygrad_backend == "python":  # in C, numbers are numbers
        with pytest.raises(ValueError, match=r"\[2\] has data of shape \(3, 2\), but a gradient of shape \(6,\)"):
            optimizer.step()
    assert same(np.ravel(first.data), kept[:6])
    assert scalar.data == kept[6]
    assert all(same(x, y) for x, y in zip(optimizer._memory.arrays, memory))
    assert optimizer.steps == 1


def test_a_number_that_became_an_array(Value):
    v = Value(1.0)
    optimizer = KINDS["SGD"]([v], lr=1.0)
    v.__init__([1.0, 2.0])
    with pytest.raises(RuntimeError, match="is an array"):
        optimizer.step()
    assert v.data.tolist() == [1.0, 2.0]


def test_tokens_are_of_scalars(Value):
    with pytest.raises(TypeError, match="_ids: expected scalar Values"):
        Value._ids([Value(1.0), Value([1.0])])


SGD_SETTINGS = (0.1, 0.9, 0.0, 0.0)


def test_wrong_calls_change_nothing(Value, backend):
    """Whatever the memory is: nothing is written where it does not belong."""
    v = Value(np.arange(4.0))
    v.grad = np.ones(4)
    elsewhere = backends.load("python" if backend != "python" else "c")([1.0])
    memory = np.zeros((1, 4))

    def call(rule="sgd", values=(v,), settings=SGD_SETTINGS, memory=(memory,), *grads):
        return Value._optimise_arrays(rule, values, settings, memory, *grads)

    refused = [
        lambda: call(values=(Value(1.0),)),
        lambda: call(values=(elsewhere,)),
        lambda: call(values=(3,)),
        lambda: call(memory=()),
        lambda: call("sgd", (v,), SGD_SETTINGS, (memory,), ()),
        lambda: call("sgd", (v,), SGD_SETTINGS, (memory,), (None, None)),
        lambda: Value._optimise_arrays(),
    ]
    if backend != "python":  # which gives all of them back
        refused += [lambda: call("SGD"), lambda: call(settings=(0.1, 0.9, 0.0)), lambda: call(settings=(0.1,) * 5)]
    for wrong in refused:
        with pytest.raises((TypeError, ValueError)):
            wrong()
    fixed = np.zeros((1, 4))
    fixed.flags.writeable = False
    unfit = [np.zeros((1, 3)), np.zeros((2, 4)), np.zeros(0), np.zeros((1, 8))[:, ::2], np.zeros((1, 4), np.float32)]
    unfit += [fixed, unaligned(memory), memory.astype(">f8"), memory.astype(complex), np.zeros((1, 4), np.int64)]
    for array in unfit:
        assert call(memory=(array,)) == [0]
        assert not np.any(array)
    for grad in (np.ones(3), np.ones(5), np.ones((2, 4))[:, ::2], np.ones(4, np.float32), np.ones(8)[::2]):
        assert call("sgd", (v,), SGD_SETTINGS, (memory,), (grad,)) == [0]
    assert v.data.tolist() == [0.0, 1.0, 2.0, 3.0]
    assert not np.any(memory)


def test_one_that_does_not_fit_stops_all(engine):
    values = tuple(engine(np.ones(3, dtype)) for dtype in (np.float64, np.float32, np.float64, np.float32))
    for v in values:
        v.grad = np.ones(3)
    settings, memory = (0.5, 0.0, 0.0, 0.0), tuple(np.zeros((0, 3)) for _ in values)
    assert engine._optimise_arrays("sgd", values, settings, memory) == [1, 3]
    assert [v.data.tolist() for v in values] == [[1.0] * 3] * 4
    assert engine._optimise_arrays("sgd", values[::2], settings, memory[::2]) == []
    assert [v.data.tolist() for v in values[::2]] == [[0.5] * 3] * 2
    many = values[::2] * 50
    assert engine._optimise_arrays("sgd", many, settings, tuple(np.zeros((0, 3)) for _ in many)) == []
    assert values[0].data.tolist() == [0.5 - 50 * 0.5] * 3


def test_objects_that_only_look_like_arrays(engine):
    """A property of theirs would run Python code while C holds addresses."""

    class Odd(np.ndarray):
        @property
        def __array_struct__(self):
            raise AssertionError

    v = engine(np.zeros(3))
    odd = np.ones(3).view(Odd)
    if engine._pygrad_backend == "c":
        assert engine._optimise_arrays("sgd", (v,), (0.1, 0.0, 0.0, 0.0), (np.zeros((0, 3)),), (odd,)) == [0]
        for thing in (SimpleNamespace(__array_struct__=3), 3, "abc", None):
            memory = (thing,)
            assert engine._optimise_arrays("sgd", (v,), (0.1, 0.0, 0.0, 0.0), memory) == [0]
    v.grad = odd
    assert type(v.grad) is np.ndarray


# ---- what is left behind ----


def test_steps_leave_nothing_behind(engine):
    optimizer = KINDS["Adam"](mixture(engine) + leaves(engine) + leaves(engine, [(3,)], dtype=np.float32))

    def work(times):
        for _ in range(times):
            steps(optimizer, 1)
            clip_grad_norm(optimizer, 0.5)
            clip_grad_value(optimizer, 0.01)
            optimizer.zero_grad()
            optimizer.step()

    work(5)
    arrays = [p.data for p in optimizer.parameters if np.ndim(p.data)] + list(optimizer._memory.arrays)
    counts = [sys.getrefcount(array) for array in arrays]
    gc.collect()
    before = sys.getallocatedblocks()
    work(30)
    gc.collect()
    assert sys.getallocatedblocks() - before < 150
    assert [sys.getrefcount(array) for array in arrays] == counts


def test_a_training(backend):
    """Least squares with a matrix and a number: as arrays, as scalars, and as NumPy by hand, the same way down."""
    Value = backends.load(backend)
    rng = random.Random(4)
    X = np.array([[rng.gauss(0, 1) for _ in range(3)] for _ in range(20)])
    y = X @ np.array([[1.0], [-2.0], [0.5]]) + 0.25
    w, b = Value(np.zeros((3, 1))), Value(0.0)
    optimizer = KINDS["SGD"]([w, b], lr=0.1)
    w_hand, b_hand = np.zeros((3, 1)), 0.0
    for _ in range(100):
        error = Value(X) @ w + b - y
        loss = (error * error).sum() / 20.0
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        by_hand = X @ w_hand + b_hand - y
        w_hand, b_hand = w_hand - 0.1 * 2 * X.T @ by_hand / 20, b_hand - 0.1 * 2 * by_hand.sum() / 20
    np.testing.assert_allclose(w.data, w_hand, rtol=1e-10)
    assert b.data == pytest.approx(b_hand, rel=1e-10)
    assert loss.data < 1e-3
