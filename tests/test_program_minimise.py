"""Training with programs against the plain loop: optimisers, batches, schedules, progress, Ctrl-C."""

from __future__ import annotations

import os
import signal
import threading

import numpy as np
import pytest

from pygrad.optim import SGD, Adam, AdamW, RMSprop
from pygrad.programs import compile as compiled
from pygrad.schedules import linear

from .program_cases import Case, same


def _plain(case, optimizer, epochs, orders=None):
    """The plain loop: value_and_grad of a batch, a step."""
    losses = []
    for epoch in range(epochs):
        total = 0.0
        for rows in [slice(None)] if orders is None else orders[epoch]:
            loss, gradient = case.compiled.value_and_grad(case.X[rows], case.y[rows])
            case.a.grad, case.b.grad = gradient.tolist()
            optimizer.step()
            total += loss * len(case.y[rows])
        losses.append(total / len(case.y))
    return losses, case.a.data, case.b.data


OPTIMIZERS = {
    "sgd": {"lr": 0.1},
    "adam": {"lr": 0.1, "betas": [0.8, 0.9]},
    "adamw": {"lr": 0.05, "weight_decay": 0.1},
    "rmsprop": {"lr": 0.01, "momentum": 0.5, "centered": True},
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_minimize_is_the_plain_loop(engine, name):
    plain, fast, bound = Case(engine), Case(engine), Case(engine)
    make = {"sgd": SGD, "adam": Adam, "adamw": AdamW, "rmsprop": RMSprop}[name]
    losses, *where = _plain(plain, make([plain.a, plain.b], **OPTIMIZERS[name]), 12)
    result = fast.compiled.minimize(fast.X, fast.y, optimizer=name, epochs=12, **OPTIMIZERS[name])
    same([fast.a.data, fast.b.data], where)
    assert result.losses == pytest.approx(losses, rel=1e-14)
    assert result.loss == result.losses[-1]
    assert len(result) == len(result.history) == 12
    assert fast.a.grad == 0.0
    optimizer = make([bound.b, bound.a], **OPTIMIZERS[name])  # in another order
    for epochs in (5, 7):
        bound.compiled.minimize(bound.X, bound.y, optimizer=optimizer, epochs=epochs)
    same([bound.a.data, bound.b.data], where)
    assert optimizer.steps == 12
    assert repr(result).startswith("<Minimisation: 12 epochs, loss=")


def test_minimize_in_batches(engine):
    plain, fast = Case(engine), Case(engine)
    rng = np.random.default_rng(5)
    orders = [[rows[i : i + 3] for i in (0, 3, 6)] for rows in (rng.permutation(7) for _ in range(4))]
    schedule = linear(0.2, 0.05, 10)
    losses, *where = _plain(plain, SGD([plain.a, plain.b], lr=schedule), 4, orders)
    result = fast.compiled.minimize(fast.X, fast.y, lr=schedule, epochs=4, batch_size=3, seed=5)
    assert [fast.a.data, fast.b.data] == pytest.approx(where, rel=1e-12)
    assert result.losses == pytest.approx(losses, rel=1e-12)
    assert result.learning_rate == schedule(11)
    again, other = Case(engine), Case(engine)
    same(again.compiled.minimize(again.X, again.y, lr=schedule, epochs=4, batch_size=3, seed=5).losses, result.losses)
    other.compiled.minimize(other.X, other.y, lr=schedule, epochs=4, batch_size=3, shuffle=False)
    straight = Case(engine)
    in_order = [[slice(0, 3), slice(3, 6), slice(6, 7)]] * 4
    _plain(straight, SGD([straight.a, straight.b], lr=schedule), 4, in_order)
    same([other.a.data, other.b.data], [straight.a.data, straight.b.data])


def test_the_order_of_samples_does_not_depend_on_how_many_epochs_are_drawn_ahead(engine, monkeypatch):
    from pygrad.programs import minimise

    one, two = Case(engine), Case(engine)
    first = one.compiled.minimize(one.X, one.y, lr=0.1, epochs=5, batch_size=2, seed=1)
    monkeypatch.setattr(minimise, "SHUFFLED", 14)
    second = two.compiled.minimize(two.X, two.y, lr=0.1, epochs=5, batch_size=2, seed=1)
    same(first.losses, second.losses)


def test_a_training_in_pieces_is_the_same(engine, monkeypatch):
    from pygrad.programs import minimise

    scheduled = {"lr": linear(0.1, 0.01, 30), "optimizer": "adam"}
    for options in ({"lr": 0.1}, scheduled, {"lr": 0.1, "batch_size": 2, "seed": 1}):
        one, two = Case(engine), Case(engine)
        first = one.compiled.minimize(one.X, one.y, epochs=40, **options)
        with monkeypatch.context() as patch:
            patch.setattr(minimise, "MOMENT", 0.0)
            patch.setattr(minimise, "SLICE", 0.0)
            second = two.compiled.minimize(two.X, two.y, epochs=40, **options)
        same(first.losses, second.losses)
        same([one.a.data, one.b.data], [two.a.data, two.b.data])


def test_minimize_with_a_schedule_of_whole_batches(engine):
    plain, fast = Case(engine), Case(engine)
    schedule = linear(0.2, 0.05, 5)
    _, *where = _plain(plain, SGD([plain.a, plain.b], lr=schedule), 8)
    fast.compiled.minimize(fast.X, fast.y, lr=schedule, epochs=8)
    same([fast.a.data, fast.b.data], where)


def test_options_that_there_are_not(engine):
    case = Case(engine)
    X, y = case.X, case.y
    case.compiled(X, y)
    sgd = SGD([case.a, case.b])
    both = r"there are optimizer, epochs, batch_size, .*, threads, and for {} lr, "
    for options, words in [
        ({"learning_rate": 0.1}, "unknown option learning_rate=: " + both.format("'sgd'") + "momentum"),
        ({"optimizer": "Adam", "lr": 0.1, "epoch": 3}, "unknown option epoch=: " + both.format("'Adam'") + "betas"),
        ({"optimizer": sgd, "epoch": 3}, "unknown option epoch=: " + both.format("SGD") + "momentum"),
    ]:
        for asked in (case.compiled, case.compiled.program):
            with pytest.raises(TypeError, match="^minimize: " + words):
                asked.minimize(X, y, **options)
    for positional, words in [(("adam",), "'adam'"), ((sgd,), r"<class 'pygrad\.optim\.SGD'>"), ((100,), "100")]:
        for asked in (case.compiled, case.compiled.program):
            with pytest.raises(TypeError, match=f"^minimize: {words} is no array .* options go by keyword: optimizer="):
                asked.minimize(X, y, *positional)
    with pytest.raises(TypeError, match=r"^expected 2 arrays \(x, y\), but got 1"):
        case.compiled.program.minimize(X)


def test_what_minimize_refuses(engine):
    case = Case(engine)
    minimize = case.compiled.minimize
    X, y = case.X, case.y
    other = SGD([engine(1.0)])
    for error, words, options in [
        (ValueError, "unknown optimizer='lbfgs': choose one of sgd, adam", {"optimizer": "lbfgs"}),
        (TypeError, "optimizer must be a name", {"optimizer": 3}),
        (TypeError, "lr", {"lr": "fast"}),
        (TypeError, "betas", {"betas": (0.5, 0.5)}),
        (ValueError, "momentum must be", {"momentum": -1.0}),
        (ValueError, "lr= goes with the name", {"optimizer": SGD([case.a, case.b]), "lr": 0.1}),
        (ValueError, "optimizer \\(1\\) are not those of the program \\(2\\)", {"optimizer": other}),
        (TypeError, "epochs must be an integer", {"epochs": 1.5}),
        (ValueError, "batch_size must be at least 1, or None for all samples, not 0", {"batch_size": 0}),
        (ValueError, "batch_size must be at least 1, or None for all samples, not -3", {"batch_size": -3}),
        (ValueError, "epochs must be at most", {"epochs": 2**62}),
        (ValueError, "every must be above 0", {"every": 0}),
        (ValueError, "unknown reduction", {"reduction": "max"}),
        (ValueError, "threads must be at least 1", {"threads": 0}),
    ]:
        with pytest.raises(error, match=words):
            minimize(X, y, **options)
    assert (case.a.data, case.b.data) == (1.5, -0.5)
    with pytest.raises(ValueError, match="has no parameters"):
        compiled(lambda x: x * x, backend=engine._pygrad_backend).minimize([1.0])
    assert len(minimize(X, y, epochs=0)) == 0
    assert (case.a.data, case.b.data) == (1.5, -0.5)


def test_progress_is_told_and_may_stop(engine):
    case = Case(engine)
    told = []

    def progress(report):
        told.append((report.epoch, case.a.data))
        assert report.epochs == 10**9
        assert report.loss == report.loss
        if len(told) == 3:
            raise StopIteration

    start = case.a.data
    optimizer = SGD([case.a, case.b], lr=1e-9)
    with pytest.raises(StopIteration):
        case.compiled.minimize(case.X, case.y, optimizer=optimizer, epochs=10**9, progress=progress, every=1)
    epochs, data = zip(*told)
    assert list(epochs) == sorted(set(epochs))
    assert start not in data
    assert optimizer.steps == epochs[-1]
    assert case.a.data == data[-1]


def test_ctrl_c_leaves_whole_steps(engine):
    case, plain = Case(engine), Case(engine)
    optimizer = SGD([case.a, case.b], lr=1e-4, momentum=0.5)
    timer = threading.Timer(0.2, os.kill, [os.getpid(), signal.SIGINT])
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        case.compiled.minimize(case.X, case.y, optimizer=optimizer, epochs=10**8)
    timer.join()
    assert optimizer.steps > 0
    plain.compiled.minimize(plain.X, plain.y, lr=1e-4, momentum=0.5, epochs=optimizer.steps)
    same([case.a.data, case.b.data], [plain.a.data, plain.b.data])
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
