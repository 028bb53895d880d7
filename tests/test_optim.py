"""Optimisers and clipping: their numbers against torch.optim's, live and stored; what they take, refuse, save and copy.

That all backends give the same bits is test_updates.py's subject.
"""

from __future__ import annotations

import copy
import gc
import json
import math
import pickle
import random

import numpy as np
import pytest

from pygrad import backends, schedules
from pygrad.data import make_moons
from pygrad.demo import learning_rate, moons_loss
from pygrad.nn import MLP
from pygrad.optim import SGD, Adam, AdamW, Optimizer, RMSprop, clip_grad_norm, clip_grad_value

from .conftest import bits

KINDS = {kind.__name__: kind for kind in (SGD, Adam, AdamW, RMSprop)}

# Where torch 2.13 takes START in 20 steps with the gradients of `gradient`.
START = [0.5, -1.25, 3.0]
STORED = [
    ("SGD", {"lr": 0.1}, [0.5499999999999999, -1.325, 3.075]),
    ("SGD", {"lr": 0.1, "momentum": 0.9}, [0.6760813957541897, -1.811487201231911, 3.252660175696943]),
    (
        "SGD",
        {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
        [0.6211526781282775, -1.640485079123905, 2.9203673840326276],
    ),
    ("Adam", {"lr": 0.1}, [0.6503235217466529, -1.3375193668740768, 2.9744503017464226]),
    (
        "Adam",
        {"lr": 0.1, "betas": (0.5, 0.75), "eps": 0.001, "weight_decay": 0.1},
        [0.4401120152255443, -1.0372458020975328, 2.4270411437946193],
    ),
    ("AdamW", {"lr": 0.1}, [0.637540576990518, -1.3120448311216661, 2.91605082974851]),
    ("AdamW", {"lr": 0.1, "weight_decay": 0.5}, [0.23351448784715034, -0.506305934658893, 1.0815349686912483]),
    ("RMSprop", {"lr": 0.1}, [1.0089588153990805, -1.1086227819106806, 2.820782933499199]),
    (
        "RMSprop",
        {"lr": 0.1, "alpha": 0.9, "eps": 0.001, "momentum": 0.5, "weight_decay": 0.1, "centered": True},
        [0.4258770557293837, -0.6469784577039146, 1.6157869363346737],
    ),
]


def gradient(k: int, i: int) -> float:
    return ((7 * k + 3 * i) % 11 - 5) / 4


def near(x):
    return pytest.approx(x, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize(("kind", "settings", "expected"), STORED)
def test_stored_numbers_of_torch(Value, kind, settings, expected):
    parameters = [Value(x) for x in START]
    optimizer = KINDS[kind](parameters, **settings)
    for k in range(20):
        for i, p in enumerate(parameters):
            p.grad = gradient(k, i)
        optimizer.step()
    assert [p.data for p in parameters] == near(expected)
    assert optimizer.steps == 20


CONFIGURATIONS = [
    ("SGD", {}),
    ("SGD", {"lr": 0.0}),
    ("SGD", {"lr": 0.3, "weight_decay": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.5}),
    ("SGD", {"lr": 0.1, "momentum": 0.99, "nesterov": True}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.2}),
    ("Adam", {}),
    ("Adam", {"lr": 0.1, "betas": (0.0, 0.0)}),
    ("Adam", {"lr": 0.1, "betas": (0.95, 0.5), "eps": 1e-3}),
    ("Adam", {"lr": 0.1, "eps": 0.0, "weight_decay": 0.3}),
    ("AdamW", {}),
    ("AdamW", {"lr": 0.1, "weight_decay": 0.0}),
    ("AdamW", {"lr": 0.1, "betas": (0.3, 0.9), "eps": 0.1, "weight_decay": 0.7}),
    ("RMSprop", {}),
    ("RMSprop", {"lr": 0.1, "alpha": 0.0, "weight_decay": 0.1}),
    ("RMSprop", {"lr": 0.1, "momentum": 0.9}),
    ("RMSprop", {"lr": 0.1, "centered": True}),
    ("RMSprop", {"lr": 0.1, "alpha": 0.5, "eps": 0.01, "momentum": 0.3, "weight_decay": 0.2, "centered": True}),
]


@pytest.mark.parametrize(("kind", "settings"), CONFIGURATIONS)
def test_torch(Value, kind, settings):
    """The same gradients at 60 steps: parameters and state after each."""
    torch = pytest.importorskip("torch")
    rng = random.Random(7)
    parameters = [Value(rng.gauss(0, 3)) for _ in range(13)]
    tensor = torch.tensor([p.data for p in parameters], dtype=torch.float64)
    optimizer, theirs = KINDS[kind](parameters, **settings), getattr(torch.optim, kind)([tensor], **settings)
    for _ in range(60):
        for p in parameters:
            p.grad = rng.gauss(0, 1) * 10 ** rng.uniform(-3, 1)
        tensor.grad = torch.tensor([p.grad for p in parameters], dtype=torch.float64)
        optimizer.step()
        theirs.step()
        assert [p.data for p in parameters] == near(tensor.tolist())
    states = {name: x.tolist() for name, x in theirs.state[tensor].items() if x is not None and name != "step"}
    ours = {name: x.tolist() for name, x in optimizer.state_dict()["state"].items()}
    assert ours.keys() == states.keys()
    for name, numbers in ours.items():
        assert numbers == near(states[name])


def test_torchs_defaults():
    torch = pytest.importorskip("torch")
    Value = backends.load("c")
    for name, kind in KINDS.items():
        theirs = getattr(torch.optim, name)([torch.zeros(1)]).defaults
        optimizer = kind([Value(0.0)])
        assert {name: theirs[name] for name in optimizer.settings} == optimizer.settings
        assert theirs["lr"] == optimizer.lr


def test_sgd_is_the_loop_written_by_hand(backend):
    """micrograd's demo, bit for bit, with its learning rate; and a mixture of both."""
    X, y = make_moons(20)
    losses = []
    for by_hand in ("always", "never", "at odd steps"):
        random.seed(3)
        model = MLP(2, [4, 1], backend=backend)
        optimizer = SGD(model, lr=schedules.linear(1.0, 0.1, 10))
        run = []
        for k in range(10):
            loss, _ = moons_loss(model, X, y)
            optimizer.zero_grad()
            loss.backward()
            run.append(bits(loss.data))
            rate = learning_rate(k, 10)
            assert bits(optimizer.lr(k)) == bits(rate)
            if by_hand == "always" or (by_hand == "at odd steps" and k % 2):
                for p in model.parameters():
                    p.data -= rate * p.grad
                optimizer._steps += 1
            else:
                assert bits(optimizer.learning_rate) == bits(rate)
                optimizer.step()
        losses.append(run)
    assert losses[0] == losses[1] == losses[2]


def test_zero_grad(Value):
    parameters, other = [Value(1.0), Value(2.0)], Value(3.0)
    for p in [*parameters, other]:
        p.grad = math.nan
    Adam(parameters).zero_grad()
    assert [bits(p.grad) for p in parameters] == [bits(0.0)] * 2
    assert math.isnan(other.grad)
    assert [p.data for p in parameters] == [1.0, 2.0]


# ---- the learning rate ----


def test_lr(Value):
    x = Value(0.0)
    x.grad = 1.0
    optimizer = SGD([x], lr=lambda k: 2.0**-k)
    for expected in (-1.0, -1.5, -1.75):
        optimizer.step()
        assert x.data == expected
    assert (optimizer.learning_rate, optimizer.steps) == (0.125, 3)
    optimizer.lr = 10
    assert (optimizer.lr, optimizer.learning_rate) == (10.0, 10.0)
    optimizer.step()
    assert x.data == -11.75
    refused = [("1", TypeError), (None, TypeError), (x, TypeError), (-0.5, ValueError), (math.inf, ValueError)]
    for wrong, error in refused:
        with pytest.raises(error, match="lr must be a"):
            optimizer.lr = wrong
        with pytest.raises(error, match="lr must be a"):
            SGD([x], lr=wrong)
    assert optimizer.lr == 10.0


def test_a_schedule_that_gives_no_rate(Value):
    x = Value(1.0)
    x.grad = 1.0
    for wrong, error in [(math.nan, ValueError), (-1.0, ValueError), ("1", TypeError)]:
        optimizer = SGD([x], lr=lambda k, wrong=wrong: wrong, momentum=0.5)
        with pytest.raises(error, match="the learning rate of step 0 must be a"):
            optimizer.step()
        assert (x.data, optimizer.steps, optimizer.state_dict()["state"]["momentum_buffer"][0]) == (1.0, 0, 0.0)


# ---- what is refused ----


def test_parameters_that_are_none(Value, backend):
    a = Value(1.0)
    elsewhere = backends.load("python" if backend != "python" else "c")(1.0)
    refused = [
        (a, TypeError, "not one Value: put it in a list"),
        (3.0, TypeError, "must be a list of Values or a Module, not float"),
        ([], ValueError, "there are no parameters"),
        ([a, 1.0], TypeError, r"parameters\[1\] must be a Value, not float"),
        ([1.0, a], TypeError, r"parameters\[0\] must be a Value, not float"),
        ([a, Value(2.0), a], ValueError, r"parameters\[2\] is parameters\[0\]"),
        ([a, a * 2], ValueError, r"parameters\[1\] was computed \(op '\*'\)"),
        ([Value(1.0, (a,), "mine")], ValueError, r"parameters\[0\] was computed \(op 'mine'\)"),
        ([a, elsewhere], TypeError, r"parameters\[1\] is a Value of backend .* one backend"),
    ]
    for parameters, error, message in refused:
        for use in (Adam, lambda p: clip_grad_norm(p, 1.0), lambda p: clip_grad_value(p, 1.0)):
            with pytest.raises(error, match=message):
                use(parameters)
    with pytest.raises(TypeError, match="make an SGD, Adam"):
        Optimizer([a], 0.1)


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        (SGD, {"momentum": -0.1}, "momentum must be a finite number of at least 0, not -0.1"),
        (SGD, {"weight_decay": math.nan}, "weight_decay must be a finite number of at least 0, not nan"),
        (SGD, {"nesterov": 1, "momentum": 0.5}, "nesterov must be True or False, not 1"),
        (SGD, {"nesterov": True}, "nesterov=True needs a momentum above 0"),
        (Adam, {"betas": (0.9, 1.0)}, r"betas\[1\] must be at least 0 and below 1, not 1.0"),
        (AdamW, {"betas": (-0.1, 0.9)}, r"betas\[0\] must be at least 0 and below 1, not -0.1"),
        (Adam, {"betas": 0.9}, "betas must be a pair of numbers, not 0.9"),
        (Adam, {"betas": (0.9, "x")}, r"betas\[1\] must be a number, not str"),
        (Adam, {"eps": -1e-8}, "eps must be a finite number of at least 0, not -1e-08"),
        (RMSprop, {"alpha": math.nan}, "alpha must be at least 0 and below 1, not nan"),
        (RMSprop, {"centered": "yes"}, "centered must be True or False, not 'yes'"),
    ],
)
def test_settings_that_are_refused(kind, settings, message):
    with pytest.raises((TypeError, ValueError), match=message):
        kind([backends.load("c")(1.0)], **settings)


# ---- what it says of itself ----


def test_attributes(backend):
    model = MLP(2, [2, 1], backend=backend)
    optimizer = Adam(model, lr=schedules.constant(0.5), eps=1)
    assert optimizer.parameters == tuple(model.parameters())
    assert optimizer.settings == {"betas": (0.9, 0.999), "eps": 1.0, "weight_decay": 0.0}
    assert repr(optimizer) == "Adam(9 parameters, lr=constant(lr=0.5), betas=(0.9, 0.999), eps=1.0, weight_decay=0.0)"
    assert repr(SGD(optimizer.parameters[:1])).startswith("SGD(1 parameter, lr=0.001, momentum=0.0, nesterov=False")
    for name in ("steps", "learning_rate", "parameters", "settings"):
        with pytest.raises(AttributeError):
            setattr(optimizer, name, 1)


# ---- saving and copying ----


def train(optimizer, steps):
    for k in range(optimizer.steps, optimizer.steps + steps):
        for i, p in enumerate(optimizer.parameters):
            p.grad = gradient(k, i)
        optimizer.step()
    return [bits(p.data) for p in optimizer.parameters]


def leaves(Value, data=START):
    return [Value(x) for x in data]


@pytest.mark.parametrize(("kind", "settings"), CONFIGURATIONS)
def test_state_dict_round_trip(Value, kind, settings):
    """Through JSON and an array of each; the rest of the training is the same, bit for bit."""
    whole = KINDS[kind](leaves(Value), **settings)
    train(whole, 5)
    state = whole.state_dict()
    arrays = {name: array.copy() for name, array in state["state"].items()}
    again = json.loads(json.dumps({**state, "state": None}))
    half = KINDS[kind](leaves(Value, [p.data for p in whole.parameters]))
    expected = train(whole, 5)
    for name, array in state["state"].items():
        assert array.tolist() == arrays[name].tolist(), "a state dict must not change with the optimizer"
    half.load_state_dict({**again, "state": arrays})
    assert (half.steps, half.settings, half.lr) == (5, whole.settings, whole.lr)
    assert train(half, 5) == expected


def test_a_schedule_is_saved_with_it(Value):
    optimizer = SGD(leaves(Value), lr=schedules.cosine(0.5, 100, warmup=3))
    fresh = SGD(leaves(Value))
    fresh.load_state_dict(json.loads(json.dumps({**optimizer.state_dict(), "state": {}})))
    assert fresh.lr == optimizer.lr
    optimizer.lr = math.sqrt
    assert optimizer.state_dict()["lr"] is None
    fresh.load_state_dict(optimizer.state_dict())
    assert fresh.lr == schedules.cosine(0.5, 100, warmup=3)


def test_states_that_do_not_fit(Value):
    optimizer = Adam(leaves(Value))
    train(optimizer, 3)
    good = optimizer.state_dict()
    settings, arrays = good["settings"], good["state"]
    wrong = [
        ([], TypeError, "the state must be a dict, not list"),
        ({k: x for k, x in good.items() if k != "steps"}, ValueError, "the state lacks 'steps'"),
        ({**good, "more": 1}, ValueError, "the state has an unknown 'more'"),
        ({**good, "optimizer": "AdamW"}, ValueError, "the state is of 'AdamW', but this is 'Adam'"),
        ({**good, "parameters": 4}, ValueError, "the state is of 4 parameters, but there are 3"),
        ({**good, "steps": -1}, ValueError, "steps must be at least 0"),
        ({**good, "lr": "x"}, TypeError, "lr must be a number, not str"),
        ({**good, "lr": {"schedule": "no"}}, ValueError, "unknown schedule 'no'"),
        ({**good, "lr": {"schedule": "step", "lr": 1.0}}, TypeError, "schedule 'step'.*every"),
        ({**good, "settings": {**settings, "betas": [0.9]}}, TypeError, "betas must be a pair"),
        ({**good, "settings": {"momentum": 0.0}}, ValueError, "settings lacks 'betas', 'eps', 'weight_decay'"),
        ({**good, "state": {"exp_avg": arrays["exp_avg"]}}, ValueError, "state lacks 'exp_avg_sq'"),
        ({**good, "state": {**arrays, "exp_avg": [1.0, 2.0]}}, ValueError, r"'exp_avg' must be 3 numbers.*\(2,\)"),
        ({**good, "state": {**arrays, "exp_avg_sq": ["x"] * 3}}, ValueError, "'exp_avg_sq' must be 3 numbers"),
    ]
    for state, error, message in wrong:
        with pytest.raises(error, match=message):
            optimizer.load_state_dict(state)
        left = optimizer.state_dict()
        assert {**left, "state": None} == {**good, "state": None}
        assert all(left["state"][name].tolist() == array.tolist() for name, array in arrays.items())


def double(optimizer):
    return pickle.loads(pickle.dumps(optimizer))


@pytest.mark.parametrize("duplicate", [copy.deepcopy, double])
@pytest.mark.parametrize("kind", KINDS.values())
def test_copies_with_their_model(backend, duplicate, kind):
    model = MLP(2, [3, 1], backend=backend)
    optimizer = kind(model, lr=schedules.step(0.1, 2))
    train(optimizer, 3)
    other_model, other = duplicate((model, optimizer))
    assert all(p is q for p, q in zip(other_model.parameters(), other.parameters))
    assert not set(other.parameters) & set(optimizer.parameters)
    before = [bits(p.data) for p in model.parameters()]
    after = train(other, 3)
    assert [bits(p.data) for p in model.parameters()] == before
    assert train(optimizer, 3) == after


def test_a_copy_has_a_state_of_its_own(Value):
    optimizer = Adam(leaves(Value))
    train(optimizer, 3)
    other = copy.copy(optimizer)
    assert other.parameters == optimizer.parameters
    before = optimizer.state_dict()["state"]["exp_avg"].tolist()
    train(other, 2)
    assert (optimizer.steps, other.steps) == (3, 5)
    assert optimizer.state_dict()["state"]["exp_avg"].tolist() == before


def test_it_holds_its_parameters_and_lets_go(engine, live):
    optimizer = SGD((engine(1.0) for _ in range(10)), momentum=0.5)
    gc.collect()
    assert live() == 10
    train(optimizer, 2)
    del optimizer
    gc.collect()
    assert live() == 0


# ---- clipping ----

GRADIENTS = [
    [3.0, -4.0, 0.0],
    [0.01, 0.02, -0.03],
    [0.0, -0.0, 0.0],
    [1e200, 1.0, -1.0],
    [math.inf, 1.0, -2.0],
    [-math.inf, math.nan, 0.5],
]


@pytest.mark.parametrize("gradients", GRADIENTS)
@pytest.mark.parametrize("limit", [0.0, 0.02, 1.0, 5.0, math.inf])
def test_clipping_as_torch(Value, gradients, limit):
    torch = pytest.importorskip("torch")
    for ours, theirs in [
        (clip_grad_norm, torch.nn.utils.clip_grad_norm_),
        (clip_grad_value, torch.nn.utils.clip_grad_value_),
    ]:
        parameters = leaves(Value)
        tensor = torch.zeros(3, dtype=torch.float64)
        tensor.grad = torch.tensor(gradients, dtype=torch.float64)
        for p, g in zip(parameters, gradients):
            p.grad = g
        given, expected = ours(SGD(parameters), limit), theirs([tensor], limit)
        if ours is clip_grad_norm:
            assert given == pytest.approx(float(expected), rel=1e-12, nan_ok=True)
        assert [p.grad for p in parameters] == pytest.approx(tensor.grad.tolist(), rel=1e-12, nan_ok=True)


def test_clipping(backend):
    model = MLP(1, [1], backend=backend)
    w, b = model.parameters()
    w.grad, b.grad = 3.0, -4.0
    assert clip_grad_norm(model, 10) == 5.0
    assert (w.grad, b.grad) == (3.0, -4.0)
    assert clip_grad_norm([w, b], 1.0) == 5.0
    assert [w.grad, b.grad] == near([3.0 / (5.0 + 1e-6), -4.0 / (5.0 + 1e-6)])
    w.grad, b.grad = 3.0, -4.0
    assert clip_grad_value(model, 3.5) is None
    assert (w.grad, b.grad) == (3.0, -3.5)
    for clip, name in [(clip_grad_norm, "max_norm"), (clip_grad_value, "limit")]:
        for wrong, error in [(-1.0, ValueError), (math.nan, ValueError), ("1", TypeError)]:
            with pytest.raises(error, match=f"{name} must be"):
                clip(model, wrong)
    assert (w.grad, b.grad) == (3.0, -3.5)


# ---- arrays of all parameters ----


def test_numbers_of_all_parameters(Value):
    from pygrad._parameters import Parameters

    values = leaves(Value)
    parameters = Parameters(values)
    array = parameters.get("data")
    assert (array.dtype, array.tolist(), len(parameters)) == (np.float64, START, 3)
    array[0] = 9.0  # its own memory
    assert values[0].data == START[0]
    parameters.put("grad", np.array([1, 2, 3], dtype=np.int32)[::-1])
    parameters.put("data", [4.0, 5.0, 6.0])
    assert [(v.data, v.grad) for v in values] == [(4.0, 3.0), (5.0, 2.0), (6.0, 1.0)]
    for wrong in (np.zeros(2), np.zeros((3, 1)), 1.0):
        with pytest.raises(ValueError, match=r"3 parameters need an array of shape \(3,\), not"):
            parameters.put("data", wrong)
    with pytest.raises(ValueError, match="'data' or 'grad' was expected, not 'label'"):
        parameters.get("label")
