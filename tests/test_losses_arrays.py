"""Losses of array Values: numbers, gradients and errors of the scalar path, in one node; shapes paired by sample."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pygrad import backends, losses, no_grad, stack
from pygrad.nn import MLP, Linear, Sequential

from .test_losses import CASES, IDS, PAIRED, leaves, reductions, torch_losses

CLASSED = ["cross_entropy", "multiclass_hinge"]


def options(name, reduction):
    return {} if name == "sse" else {"reduction": reduction}


def scalar(Value, name, outputs, targets, reduction, **others):
    """Loss and gradients by the scalar path, as number and array."""
    x = leaves(Value, outputs)
    loss = losses.LOSSES[name](x, targets, **options(name, reduction), **others)
    loss.backward()
    return loss.data, np.array([[v.grad for v in row] if isinstance(row, list) else row.grad for row in x])


def nodes(v):
    """How many nodes a graph has."""
    seen, waiting = set(), [v]
    while waiting:
        node = waiting.pop()
        if id(node) not in seen:
            seen.add(id(node))
            waiting += node.operands
    return len(seen)


# ---- numbers ----


@pytest.mark.parametrize(("name", "outputs", "targets"), CASES, ids=IDS)
def test_an_array_costs_what_its_samples_cost(Value, name, outputs, targets):
    for reduction in reductions(name):
        expected, gradients = scalar(Value, name, outputs, targets, reduction)
        for given in (targets, np.array(targets), tuple(targets), iter(targets)):
            x = Value(outputs)
            loss = losses.LOSSES[name](x, given, **options(name, reduction))
            assert isinstance(loss.data, float)
            assert loss.data == pytest.approx(expected, rel=1e-12, abs=1e-300)
            loss.backward()
            np.testing.assert_allclose(x.grad, gradients, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(("name", "outputs", "targets"), CASES, ids=IDS)
def test_against_torch(Value, name, outputs, targets):
    torch = pytest.importorskip("torch")
    for reduction in reductions(name):
        exact = torch.tensor(outputs, dtype=torch.float64, requires_grad=True)
        expected = torch_losses(torch)[name](exact, torch.tensor(targets, dtype=torch.float64), reduction)
        expected.backward()
        x = Value(outputs)
        loss = losses.LOSSES[name](x, targets, **options(name, reduction))
        loss.backward()
        assert loss.data == pytest.approx(expected.item(), rel=1e-12, abs=1e-300)
        np.testing.assert_allclose(x.grad, exact.grad.numpy(), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(("name", "outputs", "targets"), CASES, ids=IDS)
def test_a_loss_is_one_node(Value, name, outputs, targets):
    loss = losses.LOSSES[name](Value(outputs), targets)
    assert nodes(loss) <= 3  # the outputs, the loss, and of a squared error the targets


@pytest.mark.parametrize(("name", "outputs", "targets"), CASES, ids=IDS)
def test_the_same_bits_on_every_backend_and_of_plain_arrays(name, outputs, targets):
    plain = losses.LOSSES[name](np.array(outputs), targets)
    assert isinstance(plain, float)
    for backend in backends.NAMES:
        assert losses.LOSSES[name](backends.load(backend)(outputs), targets).data == plain


@pytest.mark.parametrize(("name", "outputs", "targets"), CASES, ids=IDS)
def test_float32_stays(Value, name, outputs, targets):
    x = Value(np.array(outputs, np.float32))
    loss = losses.LOSSES[name](x, targets)
    loss.backward()
    double = Value(outputs)
    expected = losses.LOSSES[name](double, targets)
    expected.backward()
    assert x.grad.dtype == np.float32
    assert loss.data == pytest.approx(expected.data, rel=1e-5)
    np.testing.assert_allclose(x.grad, double.grad, rtol=1e-4, atol=1e-6)


def test_losses_are_not_recorded_where_nothing_is(Value):
    with no_grad():
        loss = losses.mse(Value([1.0, 2.0]), [0.0, 0.0])
    assert loss.data == 2.5
    assert loss.operands == ()


def test_what_a_model_gave_sample_by_sample(backend):
    model = Linear(3, 4, seed=1, backend=backend)
    X = np.random.default_rng(0).normal(size=(5, 3))
    targets = [0, 3, 2, 1, 0]
    together = losses.cross_entropy(model(X), targets)
    apart = losses.cross_entropy([model(row) for row in X], targets)
    assert apart.data == pytest.approx(together.data, rel=1e-14)


def test_targets_that_are_values_get_gradients(Value):
    x, y = Value([1.0, 2.0, 4.0]), Value([0.0, 4.0, 4.0])
    losses.sse(x, y).backward()
    assert x.grad.tolist() == [2.0, -4.0, 0.0]
    assert y.grad.tolist() == [-2.0, 4.0, 0.0]
    several = [Value(0.0), Value(4.0), Value(4.0)]
    losses.sse(Value([1.0, 2.0, 4.0]), several).backward()
    assert [v.grad for v in several] == [-2.0, 4.0, 0.0]
    assert losses.hinge(x, Value([1.0, -1.0, 1.0])).data == 1.0
    assert losses.cross_entropy(Value([[0.0, 0.0]]), Value([1.0])).data == pytest.approx(math.log(2))


def test_margins(Value):
    rng = np.random.default_rng(1)
    scores, signs, classes = rng.normal(size=(6, 4)), rng.choice([-1, 1], (6, 4)).tolist(), [0, 1, 2, 3, 3, 0]
    for name, targets in (("hinge", signs), ("multiclass_hinge", classes)):
        expected, gradients = scalar(Value, name, scores.tolist(), targets, "mean", margin=0.4)
        x = Value(scores)
        loss = losses.LOSSES[name](x, targets, margin=0.4)
        loss.backward()
        assert loss.data == pytest.approx(expected, rel=1e-13)
        np.testing.assert_allclose(x.grad, gradients, rtol=1e-13)


# ---- numerical limits ----


def test_certain_and_wrong_costs_a_hundred(Value):
    p = Value([0.0, 1.0, 1.0, 0.0])
    loss = losses.binary_cross_entropy(p, [1, 0, 1, 0], reduction="sum")
    loss.backward()
    assert loss.data == pytest.approx(200.0, rel=1e-15)
    assert p.grad.tolist() == [0.0, 0.0, -1.0, 1.0]


def test_logits_keep_the_small_losses(Value):
    x = Value([50.0, -50.0, math.inf, -math.inf])
    loss = losses.binary_cross_entropy_with_logits(x, [1, 0, 1, 0], reduction="sum")
    loss.backward()
    assert loss.data == pytest.approx(2 * math.exp(-50.0), rel=1e-12)
    np.testing.assert_allclose(x.grad, [-math.exp(-50), math.exp(-50), 0.0, 0.0], rtol=1e-12)


def test_huge_logits(Value):
    x = Value([[1000.0, -1000.0], [1000.0, -1000.0], [-1000.0, -1000.0], [8e307, -8e307]])
    loss = losses.cross_entropy(x, [0, 1, 0, 0], reduction="sum")
    loss.backward()
    assert loss.data == pytest.approx(2000.0 + math.log(2), rel=1e-12)
    assert x.grad.tolist() == [[0.0, 0.0], [1.0, -1.0], [-0.5, 0.5], [0.0, 0.0]]


def test_a_nan_stays_a_nan(Value):
    for name in PAIRED:
        assert math.isnan(losses.LOSSES[name](Value([0.5, math.nan]), [1, 1]).data)
    assert math.isnan(losses.cross_entropy(Value([[0.5, math.nan]]), [0]).data)


def test_means_are_over_what_they_are_over(Value):
    assert losses.mse(Value([[2.0]] * 49), [[1.0]] * 49).data == 1.0
    x = Value([[0.0, 0.0], [0.0, 0.0]])
    losses.cross_entropy(x, [0, 1]).backward()
    assert x.grad.tolist() == [[-0.25, 0.25], [0.25, -0.25]]


def test_no_samples(Value):
    for name, loss in losses.LOSSES.items():
        x = Value(np.zeros((0, 3)))
        y = np.zeros((0, 3)) if name in PAIRED else []
        if name == "sse":
            assert loss(x, y).data == 0.0
            continue
        assert loss(x, y, reduction="sum").data == 0.0
        with pytest.raises(ValueError, match="the mean over no samples is not defined"):
            loss(x, y)
        with pytest.raises(ValueError, match="reduction must be 'mean' or 'sum', not 'none'"):
            loss(x, y, reduction="none")


# ---- shapes ----


@pytest.mark.parametrize("name", PAIRED)
def test_columns_and_rows_are_paired_by_sample(Value, name):
    loss = losses.LOSSES[name]
    numbers, targets = np.array([0.25, 0.5, 0.75, 0.5, 0.1]), np.array([1, 1, 1, 1, 1])
    expected, gradients = scalar(Value, name, numbers.tolist(), targets, "mean")
    for shape in ((5,), (5, 1)):
        for wanted in ((5,), (5, 1)):
            x = Value(numbers.reshape(shape))
            total = loss(x, targets.reshape(wanted))
            total.backward()
            assert total.data == pytest.approx(expected, rel=1e-14)
            assert x.grad.shape == shape
            np.testing.assert_allclose(x.grad.ravel(), gradients, rtol=1e-14)
    for shape in ((5,), (1, 5)):
        for wanted in ((5,), (1, 5)):
            x = Value(numbers.reshape(shape))
            assert loss(x, targets.reshape(wanted), axis=0).data == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("name", PAIRED)
def test_shapes_that_do_not_fit_are_named(Value, name):
    loss = losses.LOSSES[name]
    what = "mse" if name == "sse" else name
    for outputs, targets in [
        ((5,), (4,)), ((5, 1), (4,)), ((5, 1), (1, 5)), ((5,), (1, 5)), ((5, 2), (5,)), ((5, 2), (5, 1)),
        ((5, 2), (2, 5)), ((5,), ()), ((5, 1), (1,)),
    ]:  # fmt: skip
        message = rf"^{what}: outputs of shape {outputs} and targets of shape {targets} do not fit"
        with pytest.raises(ValueError, match=message.replace("(", r"\(").replace(")", r"\)")):
            loss(Value(np.full(outputs, 0.5)), np.ones(targets))
    with pytest.raises(ValueError, match=r"do not fit; where samples are columns: axis=0$"):
        loss(Value(np.full((1, 5), 0.5)), np.ones(5))
    with pytest.raises(ValueError, match=r"targets differ in length|must be a number, not list"):
        loss(Value(np.full((2, 2), 0.5)), [[1, 1], [1]])


def test_samples_in_columns(Value):
    rng = np.random.default_rng(2)
    scores, classes = rng.normal(size=(6, 4)), np.array([0, 1, 2, 3, 3, 0])
    for name in CLASSED:
        rows, columns = Value(scores), Value(scores.T)
        expected, loss = losses.LOSSES[name](rows, classes), losses.LOSSES[name](columns, classes, axis=0)
        expected.backward()
        loss.backward()
        assert loss.data == pytest.approx(expected.data, rel=1e-14)
        np.testing.assert_allclose(columns.grad, rows.grad.T, rtol=1e-14, atol=1e-300)


@pytest.mark.parametrize("name", CLASSED)
def test_any_leading_dimensions(Value, name):
    rng = np.random.default_rng(3)
    scores, classes = rng.normal(size=(2, 3, 4)), rng.integers(0, 4, (2, 3))
    x, flat = Value(scores), Value(scores.reshape(6, 4))
    loss, expected = losses.LOSSES[name](x, classes), losses.LOSSES[name](flat, classes.ravel())
    loss.backward()
    expected.backward()
    assert loss.data == pytest.approx(expected.data, rel=1e-14)
    np.testing.assert_allclose(x.grad.reshape(6, 4), flat.grad, rtol=1e-14)
    with pytest.raises(ValueError, match=f"{name}: the target of sample 1, 2 is 4, but the classes are 0 to 3"):
        losses.LOSSES[name](x, [[0, 0, 0], [0, 0, 4]])


@pytest.mark.parametrize("name", CLASSED)
def test_classes_in_many_forms(Value, name):
    loss = losses.LOSSES[name]
    x = Value(np.random.default_rng(4).normal(size=(3, 3)))
    expected = loss(x, [2, 0, 1]).data
    for targets in (
        np.array([2, 0, 1], np.uint8), np.array([2.0, 0.0, 1.0]), np.array([[2], [0], [1]]), [2.0, False, True],
        np.array([[2, 9, 0, 9, 1]])[0, ::2],
    ):  # fmt: skip
        assert loss(x, targets).data == expected
    assert loss(x[0], 2).data == pytest.approx(loss(x[:1], [2]).data)


# ---- errors ----


@pytest.mark.parametrize("name", CLASSED)
def test_classes_are_checked(Value, name):
    loss = losses.LOSSES[name]
    x = Value([[0.0, 1.0]] * 2)
    for wrong in (2, -1, -(2**63)):
        with pytest.raises(ValueError, match=f"{name}: the target of sample 1 is {wrong}, but the classes are 0 to 1"):
            loss(x, [0, wrong])
    for wrong in (0.5, "1", None, math.nan):
        with pytest.raises(TypeError, match=f"{name}: the target of sample 1 must be an integer class, not "):
            loss(x, [0, wrong])
    with pytest.raises(ValueError, match=rf"{name}: outputs of shape \(2, 2\) need targets of shape \(2,\), .*\(3,\)"):
        loss(x, [0, 1, 1])
    with pytest.raises(ValueError, match=r"not \(2, 2\)$"):
        loss(x, [[0, 1], [1, 0]])


def test_binary_targets_are_checked(Value):
    for name in ("binary_cross_entropy", "binary_cross_entropy_with_logits"):
        for wrong in (-1, 1.5, math.nan):
            with pytest.raises(ValueError, match=rf"{name}: a target must be between 0 and 1, not {float(wrong)!r} "):
                losses.LOSSES[name](Value([0.5, 0.5]), [1, wrong])
    for wrong in (0, 2, 0.5, math.nan):
        with pytest.raises(ValueError, match=f"hinge: a target must be -1 or 1, not {wrong!r}"):
            losses.hinge(Value([0.5, 0.5]), np.array([1, wrong]))
    for name in PAIRED:
        with pytest.raises(TypeError, match="a target must be a number, not str"):
            losses.LOSSES[name](Value([0.5]), ["1"])


@pytest.mark.parametrize("p", [-0.5, 1.5, math.inf])
def test_an_output_that_is_no_probability_is_an_error(Value, p):
    with pytest.raises(ValueError, match=rf"must be a probability, between 0 and 1, not {p}: .*sigmoid"):
        losses.binary_cross_entropy(Value([0.5, p]), [0, 1])


def test_probabilities_may_be_rounded(Value):
    assert losses.binary_cross_entropy(Value([math.nextafter(1.0, 2.0)]), [1]).data == pytest.approx(0.0, abs=1e-15)


def test_the_axis_is_that_of_arrays(Value):
    with pytest.raises(TypeError, match="axis= goes with outputs in one array Value"):
        losses.mse([Value(1.0)], [1.0], axis=0)
    with pytest.raises(ValueError, match=r"axis must be -1 .* or 0 .*, not 1"):
        losses.mse(Value([[1.0]]), [[1.0]], axis=1)


# ---- penalties ----


def test_penalties_of_scalars_and_arrays(Value):
    def parameters():
        return [Value(1.5), Value([[1.0, -2.0], [0.0, 4.0]]), Value(-3.0), Value([-1.0, 2.0, 0.5])]

    for order in (1, -1):
        p = parameters()[::order]
        loss = losses.l2_penalty(p, 0.1)
        loss.backward()
        assert loss.data == pytest.approx(0.1 * (1.5**2 + 21.0 + 9.0 + 5.25), rel=1e-14)
        for v in p:
            np.testing.assert_allclose(v.grad, 0.2 * np.asarray(v.data), rtol=1e-14)
        p = parameters()[::order]
        loss = losses.l1_penalty(p, 0.5)
        loss.backward()
        assert loss.data == pytest.approx(0.5 * (1.5 + 7.0 + 3.0 + 3.5), rel=1e-14)
        for v in p:
            np.testing.assert_allclose(v.grad, 0.5 * np.sign(v.data), rtol=1e-14)


def test_penalties_of_arrays_of_one_shape(Value):
    """Which would broadcast."""
    assert losses.l2_penalty([Value(2.0), Value([1.0, 2.0]), Value([3.0, 4.0])]).data == 34.0
    assert losses.l2_penalty([Value([[1.0], [2.0]]), Value([3.0, 4.0])]).data == 30.0
    assert losses.l2_penalty([Value([2.0])]).data == 4.0


def test_penalties_of_a_module(backend):
    model = Sequential(Linear(2, 3, seed=1, backend=backend), MLP(3, [1], seed=2, backend=backend))
    exact = [x for p in model.parameters() for x in np.ravel(p.data)]
    assert losses.l2_penalty(model, 0.1).data == pytest.approx(0.1 * math.fsum(x * x for x in exact), rel=1e-13)
    assert losses.l1_penalty(model).data == pytest.approx(math.fsum(map(abs, exact)), rel=1e-13)
    assert nodes(losses.l2_penalty(Linear(2, 3, backend=backend))) <= 5


def test_an_array_of_scalar_values(Value):
    """A stack of what neurons gave, one by one."""
    values = leaves(Value, [0.5, -1.0, 2.0])
    losses.mse(stack(values), [0.0, 0.0, 0.0]).backward()
    assert [v.grad for v in values] == pytest.approx([1 / 3, -2 / 3, 4 / 3])
