"""Losses and their gradients: against torch in float64, by hand where torch differs, and the same bits everywhere."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from pygrad import backends, losses
from pygrad.nn import MLP, Layer, Neuron, Sequential, Softmax

from .conftest import bits

approx = pytest.approx


def leaves(value_type, numbers):
    """Nested lists of numbers as nested lists of leaves."""
    if isinstance(numbers, list):
        return [leaves(value_type, x) for x in numbers]
    return value_type(numbers)


def grads(values):
    return [grads(x) for x in values] if isinstance(values, list) else values.grad


def uniform(rng, low, high, *shape):
    if not shape:
        return rng.uniform(low, high)
    return [uniform(rng, low, high, *shape[1:]) for _ in range(shape[0])]


rng = random.Random(12)
SCORES = uniform(rng, -3, 3, 7)
MATRIX = uniform(rng, -3, 3, 7, 4)
NUMBERS, NUMBER_MATRIX = uniform(rng, -3, 3, 7), uniform(rng, -3, 3, 7, 4)
PROBABILITIES, SOFT = uniform(rng, 0.01, 0.99, 7), uniform(rng, 0, 1, 7)
PROBABILITY_MATRIX = uniform(rng, 0.01, 0.99, 7, 4)
BIT_MATRIX = [[rng.choice([0, 1]) for _ in range(4)] for _ in range(7)]
BITS = [0, 1, 1, 0, 1.0, False, True]
SIGNS = [-1, 1, 1, -1, 1.0, -1.0, 1]
CLASSES = [0, 3, 2, 2, 1, 0, 3]


def torch_losses(torch):
    """The same losses in torch's words, of float64 tensors: name -> function (outputs, targets, reduction)."""
    f = torch.nn.functional

    def integers(loss, scale=1.0):
        return lambda x, y, reduction: loss(x, y.long(), reduction=reduction) * scale

    def hinge(x, y, reduction):
        return getattr((1 - y * x).clamp(min=0), reduction)()

    return {
        "mse": lambda x, y, reduction: f.mse_loss(x, y, reduction=reduction),
        "sse": lambda x, y, reduction: ((x - y) ** 2).sum(),
        "binary_cross_entropy": lambda x, y, reduction: f.binary_cross_entropy(x, y, reduction=reduction),
        "binary_cross_entropy_with_logits": lambda x, y, reduction: f.binary_cross_entropy_with_logits(
            x, y, reduction=reduction
        ),
        "cross_entropy": integers(f.cross_entropy),
        "hinge": hinge,
        "multiclass_hinge": integers(f.multi_margin_loss, scale=4.0),  # torch divides by the number of classes
    }


CASES = [
    ("mse", SCORES, NUMBERS),
    ("mse", MATRIX, NUMBER_MATRIX),
    ("sse", SCORES, NUMBERS),
    ("sse", MATRIX, NUMBER_MATRIX),
    ("binary_cross_entropy", PROBABILITIES, BITS),
    ("binary_cross_entropy", PROBABILITIES, SOFT),
    ("binary_cross_entropy", PROBABILITY_MATRIX, BIT_MATRIX),
    ("binary_cross_entropy_with_logits", SCORES, BITS),
    ("binary_cross_entropy_with_logits", SCORES, SOFT),
    ("binary_cross_entropy_with_logits", [1000.0, -1000.0, 1000.0, -1000.0], [1, 0, 0, 1]),
    ("cross_entropy", MATRIX, CLASSES),
    ("cross_entropy", [[1000.0, -1000.0, 0.0], [-1000.0, 1000.0, 999.0], [1000.0, 1000.0, 1000.0]], [0, 0, 2]),
    ("hinge", SCORES, SIGNS),
    ("multiclass_hinge", MATRIX, CLASSES),
]
IDS = [f"{name}{i}" for i, (name, _, _) in enumerate(CASES)]


def reductions(name):
    return ["sum"] if name == "sse" else ["mean", "sum"]


@pytest.mark.parametrize(("name", "outputs", "targets"), CASES, ids=IDS)
def test_against_torch(Value, name, outputs, targets):
    torch = pytest.importorskip("torch")
    for reduction in reductions(name):
        x = torch.tensor(outputs, dtype=torch.float64, requires_grad=True)
        expected = torch_losses(torch)[name](x, torch.tensor(targets, dtype=torch.float64), reduction)
        expected.backward()
        ours = leaves(Value, outputs)
        options = {} if name == "sse" else {"reduction": reduction}
        loss = losses.LOSSES[name](ours, targets, **options)
        loss.backward()
        assert loss.data == approx(expected.item(), rel=1e-12, abs=1e-300)
        np.testing.assert_allclose(grads(ours), x.grad.numpy(), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(("name", "outputs", "targets"), CASES, ids=IDS)
def test_the_same_bits_everywhere_and_of_plain_numbers(name, outputs, targets):
    results = set()
    for backend in backends.NAMES:
        ours = leaves(backends.load(backend), outputs)
        loss = losses.LOSSES[name](ours, targets)
        loss.backward()
        results.add((bits(loss.data), *(bits(g) for g in np.ravel(grads(ours)))))
    assert len(results) == 1
    number = losses.LOSSES[name](outputs, targets)
    assert type(number) is float
    assert bits(number) == results.pop()[0]


@pytest.mark.parametrize(("name", "outputs", "targets"), CASES, ids=IDS)
def test_arrays_tuples_iterators_and_values_as_targets(Value, name, outputs, targets):
    loss = losses.LOSSES[name]
    expected = loss(outputs, targets)
    values = leaves(Value, outputs)
    kinds = [np.array(outputs), tuple(outputs), iter(outputs), values, np.array(values), (v for v in values)]
    wanted = [np.array(targets), tuple(targets), list(targets), iter(targets), list(targets), np.array(targets)]
    assert [float(loss(x, y)) for x, y in zip(kinds, wanted)] == [expected] * 6
    if name not in ("cross_entropy", "multiclass_hinge"):
        assert float(loss(values, leaves(Value, targets))) == expected
        if np.ndim(targets) == 1:
            assert float(loss(values, np.array(targets).reshape(-1, 1))) == expected


def test_one_sample_may_stand_alone(Value):
    x = Value(3.0)
    assert losses.mse(x, 1).data == 4.0
    assert losses.sse(x, np.float64(1)).data == 4.0
    assert losses.hinge(x, -1).data == 4.0
    assert losses.binary_cross_entropy_with_logits(x, 0).data == losses.binary_cross_entropy_with_logits([x], [0]).data
    logits = leaves(Value, [1.0, 2.0, 4.0])
    for loss in (losses.cross_entropy, losses.multiclass_hinge):
        assert loss(logits, 1).data == loss([logits], [1]).data
        assert loss(logits, np.int64(1)).data == loss([logits], [1.0]).data


# ---- the mean ----


def test_the_mean_is_rounded_once(Value):
    """Of 49 ones it is 1; 49 * (1/49) is not."""
    assert losses.mse([Value(2.0)] * 49, [1.0] * 49).data == 1.0


def test_the_gradient_includes_one_over_m(Value):
    x = leaves(Value, [1.0, 2.0, 3.0, 4.0])
    losses.mse(x, [0, 0, 0, 0]).backward()
    assert grads(x) == [0.5, 1.0, 1.5, 2.0]
    x = leaves(Value, [[1.0, 2.0], [3.0, 4.0]])
    losses.mse(x, [[0, 0], [0, 0]]).backward()
    assert grads(x) == [[0.5, 1.0], [1.5, 2.0]]
    x = leaves(Value, [[0.0, 0.0], [0.0, 0.0]])
    losses.cross_entropy(x, [0, 1]).backward()
    np.testing.assert_allclose(grads(x), [[-0.25, 0.25], [0.25, -0.25]], rtol=1e-15)


def test_no_samples():
    for name, loss in losses.LOSSES.items():
        if name == "sse":
            assert loss([], []) == 0.0
            continue
        assert loss([], [], reduction="sum") == 0.0
        with pytest.raises(ValueError, match="the mean over no samples is not defined"):
            loss([], [])
        with pytest.raises(ValueError, match="reduction must be 'mean' or 'sum', not 'none'"):
            loss([], [], reduction="none")


# ---- numerical limits ----


def test_cross_entropy_of_huge_logits(Value):
    for logits, target, expected, gradient in [
        ([1000.0, -1000.0], 0, 0.0, [0.0, 0.0]),
        ([1000.0, -1000.0], 1, 2000.0, [1.0, -1.0]),
        ([-1000.0, -1000.0], 1, math.log(2), [0.5, -0.5]),
        ([1e308, -1e308], 0, 0.0, [0.0, 0.0]),
    ]:
        x = leaves(Value, logits)
        loss = losses.cross_entropy(x, target)
        loss.backward()
        assert loss.data == approx(expected, rel=1e-12)
        assert grads(x) == approx(gradient, rel=1e-12)


def test_logits_keep_the_small_losses(Value):
    """log(1 + e**-x) at x = 50 is about e**-50: 1 - sigmoid(50) would be 0."""
    for x, y in [(50.0, 1), (-50.0, 0)]:
        v = Value(x)
        loss = losses.binary_cross_entropy_with_logits([v], [y])
        loss.backward()
        assert loss.data == approx(math.exp(-50.0), rel=1e-12)
        assert abs(v.grad) <= 2e-16


def test_logits_and_probabilities_agree(Value):
    for y in (0, 1, 0.3):
        for x in SCORES:
            a, b = Value(x), Value(x)
            one = losses.binary_cross_entropy([a.sigmoid()], [y])
            other = losses.binary_cross_entropy_with_logits([b], [y])
            one.backward()
            other.backward()
            assert one.data == approx(other.data, rel=1e-12)
            assert a.grad == approx(b.grad, rel=1e-12)


def test_certain_and_wrong_costs_a_hundred(Value):
    for p, y in [(0.0, 1), (1.0, 0)]:
        v = Value(p)
        loss = losses.binary_cross_entropy([v], [y])
        loss.backward()
        assert loss.data == approx(100.0, rel=1e-15)
        assert v.grad == 0.0
        assert losses.binary_cross_entropy([Value(p)], [1 - y]).data == 0.0


def test_certain_and_right_has_the_gradient_of_the_logarithm(Value):
    v = Value(1.0)
    losses.binary_cross_entropy([v], [1]).backward()
    assert v.grad == -1.0


def test_cross_entropy_is_of_the_softmax(Value):
    for logits, target in zip(MATRIX, CLASSES):
        loss = losses.cross_entropy(leaves(Value, logits), target)
        probability = Softmax()(leaves(Value, logits))[target]
        assert loss.data == approx(-math.log(probability.data), rel=1e-13)


def test_margins(Value):
    x = leaves(Value, [0.5, 3.0, 1.0])
    loss = losses.hinge(x, [1, 1, -1], margin=2.0, reduction="sum")
    loss.backward()
    assert (loss.data, grads(x)) == (1.5 + 0.0 + 3.0, [-1.0, 0.0, 1.0])
    x = leaves(Value, [1.0, 2.0, 0.5, -4.0])
    loss = losses.multiclass_hinge(x, 0, margin=0.75)
    loss.backward()
    assert (loss.data, grads(x)) == (1.75 + 0.25, [-2.0, 1.0, 1.0, 0.0])


# ---- penalties ----


def test_penalties(Value):
    numbers = [1.5, -2.0, 0.0, 3.0]
    p = leaves(Value, numbers)
    loss = losses.l1_penalty(p, 0.5)
    loss.backward()
    assert (loss.data, grads(p)) == (0.5 * 6.5, [0.5, -0.5, 0.0, 0.5])
    p = leaves(Value, numbers)
    loss = losses.l2_penalty(iter(p), 0.25)
    loss.backward()
    assert (loss.data, grads(p)) == (0.25 * 15.25, [0.75, -1.0, 0.0, 1.5])
    assert losses.l1_penalty(numbers) == 6.5
    assert losses.l2_penalty(numbers) == 15.25


@pytest.mark.parametrize("make", [Neuron, lambda n, **k: Layer(n, 2, **k), lambda n, **k: MLP(n, [3, 1], **k)])
def test_penalties_of_a_module(backend, make):
    model = make(2, seed=1, backend=backend)
    assert losses.l2_penalty(model, 0.1).data == losses.l2_penalty(model.parameters(), 0.1).data
    assert losses.l1_penalty(model).data == approx(math.fsum(abs(p.data) for p in model.parameters()))
    assert losses.l1_penalty(Sequential(model)).data == losses.l1_penalty(model).data


def test_penalties_of_nothing():
    assert losses.l1_penalty([]) == losses.l2_penalty([]) == 0.0


# ---- errors ----

PAIRED = ["mse", "sse", "binary_cross_entropy", "binary_cross_entropy_with_logits", "hinge"]


@pytest.mark.parametrize("name", losses.LOSSES)
def test_counts_that_differ_are_named(Value, name):
    loss = losses.LOSSES[name]
    x = leaves(Value, [[0.5, 0.5]] * 3 if name not in PAIRED else [0.5] * 3)
    with pytest.raises(ValueError, match=f"^{'mse' if name == 'sse' else name}: 3 outputs, but 2 targets$"):
        loss(x, [1, 1])


@pytest.mark.parametrize("name", PAIRED)
def test_samples_that_differ_are_named(Value, name):
    loss = losses.LOSSES[name]
    v = Value(0.5)
    with pytest.raises(ValueError, match="a sample has 2 outputs, but 3 targets"):
        loss([[v, v]], [[1, 1, 1]])
    with pytest.raises(ValueError, match="a sample has one output, but 2 targets"):
        loss([v, v], [1, [1, 1]])
    with pytest.raises(ValueError, match="a sample has 2 outputs, but one target"):
        loss([[v, v]], [1])
    with pytest.raises(ValueError, match="2 outputs, but one target"):
        loss([v, v], 1)


@pytest.mark.parametrize("name", ["cross_entropy", "multiclass_hinge"])
def test_classes_are_checked(Value, name):
    loss = losses.LOSSES[name]
    x = leaves(Value, [[0.0, 1.0]] * 2)
    for wrong in (2, -1):
        with pytest.raises(ValueError, match=f"{name}: the target of sample 1 is {wrong}, but the classes are 0 to 1"):
            loss(x, [0, wrong])
    for wrong in (0.5, "1", None, [0, 1], Value(1.0), math.nan):
        with pytest.raises(TypeError, match=f"{name}: the target of sample 1 must be an integer class, not "):
            loss(x, [0, wrong])
    with pytest.raises(TypeError, match="takes a list of logits a sample, not Value"):
        loss([Value(1.0)], [0])
    with pytest.raises(TypeError, match="takes a list of logits a sample, not Value"):
        loss(Value(1.0), 0)


def test_binary_targets_are_checked(Value):
    for name in ("binary_cross_entropy", "binary_cross_entropy_with_logits"):
        for wrong in (-1, 1.5, math.nan):
            with pytest.raises(ValueError, match=rf"{name}: a target must be between 0 and 1, not {float(wrong)!r} "):
                losses.LOSSES[name]([Value(0.5)], [wrong])
    for wrong in (0, 2, 0.5, math.nan):
        with pytest.raises(ValueError, match=f"hinge: a target must be -1 or 1, not {wrong!r}"):
            losses.hinge([Value(0.5)], [wrong])
    for name in ("hinge", "binary_cross_entropy", "binary_cross_entropy_with_logits"):
        with pytest.raises(TypeError, match=f"{name}: a target must be a number, not str"):
            losses.LOSSES[name]([Value(0.5)], ["1"])


@pytest.mark.parametrize("p", [-0.5, 1.5, math.inf])
def test_an_output_that_is_no_probability_is_an_error(Value, p):
    with pytest.raises(ValueError, match=rf"must be a probability, between 0 and 1, not {p}: .*sigmoid"):
        losses.binary_cross_entropy([Value(0.5), Value(p)], [0, 1])
    with pytest.raises(ValueError, match="must be a probability"):
        losses.binary_cross_entropy(p, 1)


def test_probabilities_may_be_rounded_or_nan(Value):
    above = math.nextafter(1.0, 2.0)
    assert losses.binary_cross_entropy([Value(above)], [1]).data == pytest.approx(0.0, abs=1e-15)
    assert math.isnan(losses.binary_cross_entropy([Value(math.nan)], [1]).data)
