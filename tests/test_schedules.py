"""Learning-rate schedules: their formulas against micrograd's demo and torch's schedulers; errors; saving."""

from __future__ import annotations

import copy
import json
import math
import pickle
import warnings

import pytest

from pygrad.schedules import constant, cosine, from_config, linear, step

from .conftest import bits

EACH = [constant(0.25), linear(1.0, 0.1, 100), step(0.5, 10, 0.3), cosine(1.0, 50, 0.1, warmup=5)]


def test_linear_is_that_of_micrograds_demo():
    rate = linear(1.0, 0.1, 100)
    assert [bits(rate(k)) for k in range(100)] == [bits(1.0 - 0.9 * k / 100) for k in range(100)]
    assert rate(100) == rate(10**9) == 0.1
    assert linear(0.0, 2.0, 4)(3) == 1.5


def test_constant():
    assert {constant(3)(k) for k in range(10)} == {3.0}


def torch_rates(make, lr, steps):
    """The rates of torch's own scheduler, step by step."""
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=lr)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a scheduler that is stepped without its optimizer
        scheduler = make(torch.optim.lr_scheduler, optimizer)
        rates = []
        for _ in range(steps):
            rates.append(optimizer.param_groups[0]["lr"])
            scheduler.step()
    return rates


def test_step_is_torchs():
    expected = torch_rates(lambda t, optimizer: t.StepLR(optimizer, 7, 0.3), 0.5, 40)
    assert [step(0.5, 7, 0.3)(k) for k in range(40)] == pytest.approx(expected, rel=1e-12)


def test_step_by_hand():
    assert [step(8.0, 2, 0.5)(k) for k in range(6)] == [8.0, 8.0, 4.0, 4.0, 2.0, 2.0]
    assert [step(8.0, 1, 0.0)(k) for k in range(3)] == [8.0, 0.0, 0.0]
    assert step(1.0, 1)(10**6) == 0.0


def test_cosine_is_torchs():
    expected = torch_rates(lambda t, optimizer: t.CosineAnnealingLR(optimizer, 30, 0.05), 0.5, 31)
    assert [cosine(0.5, 30, 0.05)(k) for k in range(31)] == pytest.approx(expected, rel=1e-12)


def test_cosine_by_hand():
    rate = cosine(2.0, 14, 1.0, warmup=4)
    assert [rate(k) for k in range(5)] == [0.5, 1.0, 1.5, 2.0, 2.0]
    assert rate(9) == pytest.approx(1.5)
    assert rate(6) == pytest.approx(1.0 + (1.0 + math.cos(0.2 * math.pi)) / 2.0)
    assert (rate(14), rate(1000)) == (1.0, 1.0)


@pytest.mark.parametrize("schedule", EACH, ids=repr)
def test_saving(schedule):
    again = [
        from_config(json.loads(json.dumps(schedule.config()))),
        pickle.loads(pickle.dumps(schedule)),
        copy.deepcopy(schedule),
        eval(repr(schedule)),
    ]
    for other in again:
        assert other == schedule
        assert hash(other) == hash(schedule)
        assert repr(other) == repr(schedule)
        assert [bits(other(k)) for k in range(120)] == [bits(schedule(k)) for k in range(120)]
    assert sum(other == schedule for other in EACH) == 1
    assert schedule != "schedule"


def test_reprs():
    assert repr(EACH[2]) == "step(lr=0.5, every=10, factor=0.3)"
    assert repr(EACH[3]) == "cosine(lr=1.0, steps=50, minimum=0.1, warmup=5)"


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: constant(-1), ValueError, "lr must be a finite number of at least 0, not -1.0"),
        (lambda: constant("1"), TypeError, "lr must be a number, not str"),
        (lambda: linear(1.0, math.nan, 10), ValueError, "end must be a finite number of at least 0, not nan"),
        (lambda: linear(1.0, 0.1, 0), ValueError, "steps must be at least 1, not 0"),
        (lambda: linear(1.0, 0.1, 2.5), TypeError, "steps must be an integer, not float"),
        (lambda: step(1.0, 0), ValueError, "every must be at least 1, not 0"),
        (lambda: step(1.0, 3, 1.5), ValueError, "factor must be at most 1, not 1.5"),
        (lambda: cosine(1.0, 5, warmup=5), ValueError, "warmup must be shorter than all 5 steps, not 5"),
        (lambda: cosine(1.0, 5, warmup=-1), ValueError, "warmup must be at least 0, not -1"),
        (lambda: cosine(1.0, 5, math.inf), ValueError, "minimum must be a finite number of at least 0, not inf"),
        (lambda: constant(1.0)(-1), ValueError, "step must be at least 0, not -1"),
        (lambda: constant(1.0)(1.5), TypeError, "step must be an integer, not float"),
        (lambda: from_config({"schedule": "__import__"}), ValueError, "unknown schedule '__import__'"),
        (lambda: from_config({"schedule": ["step"]}), ValueError, "unknown schedule"),
        (lambda: from_config({"schedule": "constant", "rate": 1.0}), TypeError, "schedule 'constant'.*rate"),
    ],
)
def test_errors(make, error, message):
    with pytest.raises(error, match=message):
        make()
