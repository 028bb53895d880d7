"""Recording models and losses, and pick: what is recorded computes what eager code does, bit for bit."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import pygrad
from pygrad import backends, losses, nn
from pygrad.functions import pick
from pygrad.programs.record import TraceError, record

from .recorded import assert_same, listing


@pytest.fixture(autouse=True)
def in_use(request: pytest.FixtureRequest) -> Any:
    """pygrad uses the backend of the test."""
    before = backends.current
    if "backend" in request.fixturenames:
        pygrad.use(request.getfixturevalue("backend"))
    yield
    pygrad.use(before)


# ---- pick ----


def test_pick_in_eager_code(backend: str, Value: Any) -> None:
    values = [Value(1.0), 2.0, Value(3.0)]
    assert pick(values, 1) == 2.0
    assert pick(values, np.int64(2)) is values[2]
    assert pick(values, Value(2.0)) is values[2]
    assert pick(values, 0.0) is values[0]
    for index in (3, -1, 10**20):
        with pytest.raises(IndexError, match=f"the index is {index}, but there are 3 values"):
            pick(values, index)
    for index in (0.5, "0", None, Value(0.5), Fraction(1, 2)):
        with pytest.raises(TypeError, match="pick: the index must be an integer class"):
            pick(values, index)


def test_pick_recorded(backend: str, Value: Any) -> None:
    w = [Value(1.0), Value(2.0)]
    recording = record(lambda y, x: pick([w[1], x, 5.0, w[0]], y) * x, [(), ()])
    assert listing(recording.code) == [
        "parameter [1]", "input [1]", "constant [5.0]", "parameter [0]", "pick 0 1 2 3 [0]", "mul 4 1",
    ]  # fmt: skip
    assert recording.indices == {0: 4}
    both = record(lambda y: pick([1.0, 2.0], y) * y + pick([1.0, 2.0, 3.0], y), [()])
    assert both.indices == {0: 2}
    assert both.code.ops.count("input") == 1
    assert record(lambda x: pick([x, x * 2.0], Value(1.0)), [()]).code.ops == ["input", "constant", "mul"]
    assert record(lambda x: pick([x, x * 2.0], 0), [()]).code.ops == ["input"]


def test_pick_that_cannot_be_recorded(backend: str, Value: Any) -> None:
    w = Value(1.0)
    for index in (lambda x: x * 1.0, lambda x: w):
        with pytest.raises(TraceError, match="must be an argument of the recorded function"):
            record(lambda x, index=index: pick([x, x], index(x)), [()])
    with pytest.raises(IndexError, match="no values to pick from"):
        record(lambda x: pick([], x), [()])
    with pytest.raises(TraceError, match="a comparison"):
        record(lambda y: pick([1.0, 2.0], y) > 1.0, [()])


# ---- models and losses ----

SAMPLE = [0.8, -1.3]


@pytest.mark.parametrize("activation", nn.ACTIVATIONS)
def test_networks(backend: str, Value: Any, activation: str) -> None:
    model = nn.MLP(2, [4, 3, 1], activation=activation, seed=3)
    recording = record(lambda x: model(x), [(2,)], params=model)
    assert recording.parameters == model.parameters()
    assert_same(lambda x: model(x), [(2,)], SAMPLE, recording)


def test_other_models(backend: str, Value: Any) -> None:
    neuron = nn.Neuron(2, activation="tanh", seed=1)
    mixed = nn.Sequential(
        nn.Layer(2, 3, seed=2), nn.ReLU(), nn.LeakyReLU(0.1), nn.ELU(), nn.Softplus(), nn.GELU(), nn.SiLU(), nn.Tanh(),
        nn.Sigmoid(), nn.Softmax(), lambda x: pygrad.sum([v * v for v in x]),
    )  # fmt: skip
    own = nn.MLP(2, [3, 1], activation=lambda v: v.sin() * 2.0, seed=1)
    for model in (neuron, mixed, own):
        recording = record(lambda x, model=model: model(x), [(2,)], params=model)
        assert_same(lambda x, model=model: model(x), [(2,)], SAMPLE, recording)


@pytest.mark.parametrize("one", [True, False])
@pytest.mark.parametrize(
    ("loss", "targets"),
    [
        (losses.mse, [0.5, -2.0]),
        (losses.sse, [0.5]),
        (losses.hinge, [-1.0, 1.0]),
        (losses.binary_cross_entropy_with_logits, [0.0, 1.0, 0.3, 0.999999999]),
    ],
)
def test_losses_of_one_output(backend: str, Value: Any, loss: Any, targets: list[float], one: bool) -> None:
    model = nn.MLP(2, [3, 1], seed=3)

    def f(x: Any, y: Any) -> Any:
        return loss(model(x), y) if one else loss([model(x)], [y])

    recording = record(f, [(2,), ()], params=model)
    for y in targets:
        assert_same(f, [(2,), ()], [*SAMPLE, y], recording)


def test_binary_cross_entropy(backend: str, Value: Any) -> None:
    model = nn.MLP(2, [3, 1], output_activation="sigmoid", seed=3)

    def f(x: Any, y: Any) -> Any:
        return losses.binary_cross_entropy(model(x), y)

    recording = record(f, [(2,), ()], params=model)
    for y in (0.0, 1.0, 0.25):
        assert_same(f, [(2,), ()], [*SAMPLE, y], recording)


def test_losses_of_classes(backend: str, Value: Any) -> None:
    model = nn.MLP(2, [4, 3], seed=5)

    def f(x: Any, y: Any) -> Any:
        return losses.cross_entropy(model(x), y) + 0.1 * losses.l2_penalty(model)

    recording = record(f, [(2,), ()], params=model)
    assert recording.indices == {2: 3}
    for y in (0.0, 1.0, 2.0):
        assert_same(f, [(2,), ()], [*SAMPLE, y], recording)


def test_multiclass_hinge(backend: str, Value: Any) -> None:
    scores = [Value(0.3), Value(0.7), Value(-0.2)]

    def f(y: Any) -> Any:
        return losses.multiclass_hinge(scores, y, margin=0.8)

    recording = record(f, [()], params=scores)
    assert recording.indices == {0: 3}
    for y in (0.0, 1.0, 2.0):
        assert_same(f, [()], [y], recording)


def test_outputs_are_still_checked_in_eager_code(backend: str, Value: Any) -> None:
    with pytest.raises(ValueError, match="must be a probability"):
        losses.binary_cross_entropy([Value(1.5)], [1.0])
    with pytest.raises(ValueError, match="a target must be -1 or 1"):
        losses.hinge([Value(1.5)], [2.0])
    with pytest.raises(ValueError, match="the target of sample 0 is 5"):
        losses.cross_entropy([[Value(1.0), Value(2.0)]], [5])
