"""`fit`: its arithmetic is that of the plain loop, bit for bit; its checks, records and callbacks; interruption and
resumption. What a trained model predicts is test_prediction.py's subject."""

from __future__ import annotations

import gc
import math
import sys
import threading
import types

import numpy as np
import pytest

from pygrad import backends, functions, losses, optim
from pygrad.callbacks import Callback
from pygrad.data import make_moons
from pygrad.history import History
from pygrad.nn import MLP, Dropout, Layer, Module, Sequential
from pygrad.training import epoch_order

from .conftest import bits

X, Y = make_moons(22, seed=3)
CLASSES = [(y + 1) // 2 for y in Y]


def small(backend, *sizes, seed=5, **options):
    return MLP(2, *(sizes or (4, 1)), seed=seed, backend=backend, **options)


def numbers(model):
    return [bits(p.data) for p in model.parameters()]


def same(a, b, without=("seconds",)):
    """Two histories, but for the time they took."""
    for name in {*a.columns, *b.columns} - set(without):
        assert [bits(x) for x in a[name]] == [bits(x) for x in b[name]], name


# ---- the same arithmetic as a plain loop ----


@pytest.mark.parametrize("batch_size", [5, 22, None, 100])
def test_the_plain_loop(backend, batch_size):
    """The loop as micrograd's user writes it, in single operations."""
    model, plain = small(backend), small(backend)
    history = model.fit(
        X, Y, loss="hinge", optimizer="sgd", lr=0.05, epochs=3, batch_size=batch_size, shuffle=False, clip_value=0.5
    )
    size = min(batch_size or 22, 22)
    for epoch in range(3):
        mean = 0.0
        for start in range(0, 22, size):
            batch = list(zip(X, Y))[start : start + size]
            total = None
            for x, y in batch:
                term = (1.0 + -y * plain(x)).relu()
                total = term if total is None else total + term
            loss = total / len(batch)
            for p in plain.parameters():
                p.grad = 0.0
            loss.backward()
            for p in plain.parameters():
                p.data -= 0.05 * min(max(p.grad, -0.5), 0.5)
            mean += loss.data * (len(batch) / 22)
        assert bits(history["loss"][epoch]) == bits(mean)
    assert numbers(model) == numbers(plain)
    assert history.epochs == [1, 2, 3]
    assert history["learning_rate"] == [0.05] * 3


def test_penalty_clipping_and_schedule(backend):
    def rate(step):
        return 0.1 / (1 + step)

    model, plain = small(backend, 3, 2), small(backend, 3, 2)
    history = model.fit(
        X, CLASSES, loss="cross_entropy", optimizer="adam", lr=rate, epochs=2, batch_size=8, penalty=0.01,
        clip_norm=0.3, seed=4,
    )  # fmt: skip
    optimizer = optim.Adam(plain, lr=rate)
    for epoch in (1, 2):
        order = epoch_order(22, 4, epoch, True)
        for start in range(0, 22, 8):
            chosen = order[start : start + 8]
            loss = losses.cross_entropy([plain(X[i]) for i in chosen], [CLASSES[i] for i in chosen])
            loss = loss + losses.l2_penalty(plain, 0.01)
            plain.zero_grad()
            loss.backward()
            optim.clip_grad_norm(plain, 0.3)
            optimizer.step()
    assert numbers(model) == numbers(plain)
    assert history["learning_rate"] == [rate(2), rate(5)]


def test_linear_regression_on_xor_from_zeros(backend):
    """The least squares solution is a bias of 1/2 and no weights; on the way there, after 1000 steps, it is here."""
    model = Layer(2, 1, nonlin=False, init="zeros", backend=backend)
    points = [[0, 0], [0, 1], [1, 0], [1, 1]]
    history = model.fit(
        points, [0, 1, 1, 0], loss="mse", optimizer="sgd", lr=0.01, epochs=1000, batch_size=None, shuffle=False
    )
    weights = [p.data for p in model.parameters()]
    assert weights == pytest.approx([0.00750802463741372, 0.00750802463741372, 0.49109442668900566], abs=1e-15)
    assert history["loss"][0] == 0.5
    final = losses.mse([model(x) for x in points], [0, 1, 1, 0]).data
    assert final == pytest.approx(0.250030138359273, abs=1e-14)


def test_the_order_depends_on_seed_and_epoch_alone():
    met = []

    def loss(outputs, targets):
        met.append(list(targets))
        return losses.mse(outputs, targets)

    def orders(**options):
        met.clear()
        small("c").fit(X, list(range(22)), loss=loss, batch_size=8, **options)
        flat = [y for batch in met for y in batch]
        return [flat[i : i + 22] for i in range(0, len(flat), 22)]

    first, second, third = orders(epochs=3, seed=1)
    assert sorted(first) == sorted(second) == list(range(22))
    assert len({tuple(first), tuple(second), tuple(third), tuple(range(22))}) == 4
    assert orders(epochs=2, seed=1) == [first, second]
    assert orders(epochs=1, seed=2) != [first]
    assert orders(epochs=2, shuffle=False) == [list(range(22))] * 2
    assert orders(epochs=1, seed=None) != orders(epochs=1, seed=None)
    assert [len(batch) for batch in met] == [8, 8, 6]


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "rmsprop"])
def test_backends_agree(name):
    results = set()
    for backend in backends.NAMES:
        model = small(backend, 3, 1)
        history = model.fit(X, Y, loss="hinge", optimizer=name, lr=0.02, epochs=2, batch_size=9, validation=0.3)
        results.add((*numbers(model), *history["loss"], *history["validation_loss"]))
    assert len(results) == 1


# ---- what is given ----


class Frame:
    """Something that NumPy takes for an array, like a data frame."""

    def __init__(self, rows):
        self.rows = rows

    def __array__(self, dtype=None, copy=None):
        return np.array(self.rows, dtype=dtype)


@pytest.mark.parametrize("kind", [np.array, Frame, tuple, iter, lambda rows: [np.array(row) for row in rows]])
def test_samples_of_every_kind(backend, kind):
    plain, model = small(backend), small(backend)
    plain.fit(X, Y, loss="hinge", epochs=1)
    model.fit(kind(X), np.array(Y, dtype=np.int32) if kind is np.array else tuple(Y), loss=losses.hinge, epochs=1)
    assert numbers(model) == numbers(plain)


def test_targets_in_a_column():
    for name, targets, sizes in [("hinge", Y, (1,)), ("cross_entropy", CLASSES, (2,)), ("mse", Y, (1,))]:
        plain, model = small("c", *sizes), small("c", *sizes)
        plain.fit(X, targets, loss=name, epochs=1)
        model.fit(X, np.array(targets, dtype=float).reshape(-1, 1), loss=name, epochs=1)
        assert numbers(model) == numbers(plain)


def test_several_outputs(backend):
    model, plain = small(backend, 2), small(backend, 2)
    targets = [[x[1], x[0]] for x in X]
    model.fit(
        X, np.array(targets), loss="mse", optimizer="sgd", lr=0.1, epochs=2, batch_size=None, shuffle=False,
        path="scalars",
    )  # fmt: skip
    for _ in range(2):
        loss = losses.mse([plain(x) for x in X], targets)
        plain.zero_grad()
        loss.backward()
        optim.SGD(plain, lr=0.1).step()
    assert numbers(model) == numbers(plain)


def test_a_module_of_the_users_own(backend, Value):
    class Line(Module):
        def __init__(self):
            self.slope, self.start = Value(0.0), Value(0.0)

        def __call__(self, x):
            assert type(x) is float
            return self.slope * x + self.start

    line = Line()
    line.fit([0, 1, 2, 3], [1, 3, 5, 7], loss="mse", optimizer="sgd", lr=0.1, epochs=300, batch_size=None)
    assert line.slope.data == pytest.approx(2.0, abs=1e-3)
    assert line.predict([10]) == pytest.approx([21.0], abs=1e-2)


WRONG = [
    ({"X": X[:5]}, ValueError, "X has 5 samples, but y has 22 targets"),
    ({"X": []}, ValueError, "X has no samples"),
    ({"X": [*X[:-1], [1.0]]}, ValueError, r"X\[21\] has 1 input, but X\[0\] has 2 inputs"),
    ({"X": [[*x, 1.0] for x in X]}, ValueError, r"X\[0\]: .* takes 2 inputs, but got 3"),
    ({"X": [*X[:-1], [1.0, "2"]]}, TypeError, r"X\[21\]\[1\] must be a number, not str"),
    ({"X": [*X[:-1], 3.0]}, ValueError, r"X\[21\] has one number, but X\[0\] has 2 inputs"),
    ({"X": np.zeros((22, 2, 2))}, ValueError, r"shape \(samples, inputs\), not \(22, 2, 2\)"),
    ({"X": "text"}, TypeError, "X must be a sequence with one entry a sample, not str"),
    ({"X": 3}, TypeError, "X must be a sequence with one entry a sample, not int"),
    ({"X": np.array(3.0)}, TypeError, "not an array without dimensions"),
    ({"y": [*Y[:-1], 0]}, ValueError, r"y\[21\] must be -1 or 1, not 0"),
    ({"y": ["a"] * 22}, TypeError, r"y\[0\] is the text 'a': give each class a number"),
    ({"y": [None] * 22}, TypeError, r"y\[0\] must be a number, not NoneType"),
    ({"y": [[1, 1]] * 22}, ValueError, r"y\[0\] has 2 targets, but the model gives one output"),
    ({"y": [*Y[:-1], 1.5], "loss": "binary_cross_entropy_with_logits"}, ValueError, r"y\[0\] must be between 0 and 1"),
    ({"loss": "cross_entropy"}, ValueError, "needs a model with one output a class"),
    ({"loss": None}, ValueError, "say what to minimise: loss= one of mse"),
    ({"loss": "mae"}, ValueError, "unknown loss='mae': choose one of mse"),
    ({"loss": 3}, TypeError, "loss must be a name or a function"),
    ({"loss": lambda outputs, targets: 1.0}, TypeError, "the loss must give a Value, not float"),
    ({"optimizer": "lbfgs"}, ValueError, "unknown optimizer='lbfgs': choose one of sgd, adam"),
    ({"optimizer": optim.Adam}, TypeError, "optimizer must be a name or an optimizer"),
    ({"optimizer": 3}, TypeError, "optimizer must be a name or an optimizer"),
    ({"epochs": -1}, ValueError, "epochs must be at least 0"),
    ({"epochs": 1.5}, TypeError, "epochs must be an integer"),
    ({"batch_size": 0}, ValueError, "batch_size must be at least 1, or None"),
    ({"seed": "x"}, TypeError, "seed must be an integer or None"),
    ({"validation": 1.5}, ValueError, "a fraction between 0 and 1, not 1.5"),
    ({"validation": 0.001}, ValueError, "leaves none to hold out"),
    ({"validation": "x"}, TypeError, "validation must be \\(X, y\\), or a fraction"),
    ({"validation": ([[1.0]], [1])}, ValueError, r"validation X\[0\] has 1 input, but those trained on have 2"),
    ({"validation": (X, Y[:3])}, ValueError, "validation X has 22 samples, but validation y has 3"),
    ({"validation": (X, CLASSES)}, ValueError, r"validation y\[\d+\] must be -1 or 1, not 0"),
    ({"callbacks": [3]}, TypeError, "a callback must be a Callback or a function"),
    ({"callbacks": [Callback]}, TypeError, "not the class"),
    ({"penalty": -1.0}, ValueError, "penalty must be at least 0"),
    ({"clip_norm": 0.0}, ValueError, "clip_norm must be above 0"),
    ({"clip_value": "x"}, TypeError, "clip_value must be a number"),
    ({"on_nan": "stop"}, ValueError, "on_nan must be one of 'warn', 'raise', 'ignore', not 'stop'"),
    ({"resume": {}}, TypeError, "resume must be the History of an earlier fit, not dict"),
]


@pytest.mark.parametrize(("wrong", "error", "message"), WRONG)
def test_wrong_arguments_change_nothing(wrong, error, message):
    model = small("c")
    before = numbers(model)
    with pytest.raises(error, match=message):
        model.fit(**{"X": X, "y": Y, "loss": "hinge", "epochs": 1, **wrong})
    assert numbers(model) == before


def test_class_targets_are_checked():
    model = small("c", 2)
    for wrong, error, message in [
        (2, ValueError, r"y\[3\] is 2, but the model's 2 outputs are for the classes 0 to 1"),
        (-1, ValueError, r"y\[3\] is -1"), (0.5, TypeError, r"y\[3\] must be an integer class, not 0.5"),
    ]:  # fmt: skip
        with pytest.raises(error, match=message):
            model.fit(X[:5], [0, 1, 0, wrong, 1], loss="cross_entropy")
    with pytest.raises(ValueError, match=r"y\[0\] has one target, but the model gives 2 outputs"):
        model.fit(X, CLASSES, loss="mse")


def test_models_that_cannot_be_trained():
    with pytest.raises(ValueError, match="Module has no parameters to train"):
        Module().fit(X, Y, loss="mse")

    class Number(Module):
        def __init__(self):
            self.a = backends.load("c")(1.0)

        def __call__(self, x):
            return 3.0

    with pytest.raises(TypeError, match=r"X\[0\]: the model must give a Value or a list of Values, not float"):
        Number().fit(X, Y, loss="mse")
    model = small("c")
    with pytest.raises(ValueError, match="moves none of the model's parameters"):
        model.fit(X, Y, loss="hinge", optimizer=optim.SGD(small("c")))
    with pytest.raises(ValueError, match="lr= goes with the name of an optimizer"):
        model.fit(X, Y, loss="hinge", optimizer=optim.SGD(model), lr=0.1)


def test_no_epochs(backend):
    model = small(backend)
    before = numbers(model)
    history = model.fit(X, Y, loss="hinge", epochs=0)
    assert (len(history), history.epochs, numbers(model) == before) == (0, [], True)
    assert str(history) == "no complete epoch"


# ---- what is recorded ----


def test_metrics_and_validation(backend):
    model, plain = small(backend, 3, 1), small(backend, 3, 1)
    train, held = (X[:16], Y[:16]), (X[16:], Y[16:])
    history = model.fit(*train, loss="hinge", optimizer="sgd", lr=0.1, epochs=1, batch_size=16, validation=held,
                        penalty=lambda m: losses.l1_penalty(m, 0.1))  # fmt: skip
    assert list(history.columns) == [
        "loss", "accuracy", "validation_loss", "validation_accuracy", "learning_rate", "seconds",
    ]  # fmt: skip
    right = [(plain(x).data > 0) == (y > 0) for x, y in zip(*train)]
    assert history["accuracy"] == [np.mean(right)]
    without = np.mean([max(0.0, 1.0 - y * plain(x).data) for x, y in zip(*train)])
    assert history["loss"][0] == pytest.approx(without + 0.1 * sum(abs(p.data) for p in plain.parameters()))
    after = [max(0.0, 1.0 - y * model(x).data) for x, y in zip(*held)]
    assert history["validation_loss"][0] == pytest.approx(np.mean(after))
    assert history["validation_accuracy"][0] == np.mean([(model(x).data > 0) == (y > 0) for x, y in zip(*held)])


def test_a_fraction_is_held_out():
    met = set()

    def loss(outputs, targets):
        if len(targets) == 1:
            met.update(targets)
        return losses.mse(outputs, targets)

    class Seen(Callback):
        def on_batch_end(self, run):
            trained.update(met)
            met.clear()

    held = []
    for seed in (1, 1, 2):
        trained = set()
        met.clear()
        small("c").fit(X, list(range(22)), loss=loss, batch_size=1, validation=0.25, seed=seed, epochs=1,
                       callbacks=[Seen()])  # fmt: skip
        assert len(trained) == 16
        assert trained | met == set(range(22))
        held.append(frozenset(met))
    assert held[0] == held[1] != held[2]


def test_modes_are_put_back_and_dropout_works():
    seen = []

    class Spy(Module):
        def __call__(self, x):
            seen.append(self.training)
            return x

    spy, dropout = Spy(), Dropout(0.5, seed=1)
    model = Sequential(spy, MLP(2, 8, seed=1), dropout, MLP(8, 1, seed=2))
    dropout.eval()
    model.fit(X[:4], Y[:4], loss="hinge", epochs=2, validation=(X[:2], Y[:2]))
    assert seen == [False] + ([True] * 4 + [False] * 2) * 2  # the check of the first sample; batch and validation
    assert (spy.training, dropout.training) == (True, False)
    model.eval()
    with pytest.raises(RuntimeError, match="no"):
        model.fit(X, Y, loss="hinge", callbacks=[raiser(RuntimeError("no"))])
    assert not spy.training


def raiser(error, epoch=1):
    def callback(run):
        if run.epoch == epoch:
            raise error

    return callback


def test_memory_stays_constant(engine, engine_name, live):
    counts = []

    class Count(Callback):
        def on_batch_end(self, run):
            counts.append(live())

    gc.disable()
    try:
        model = small(engine_name, 4, 2)
        model.fit(X, CLASSES, loss="cross_entropy", epochs=3, batch_size=4, validation=0.2, penalty=0.1,
                  callbacks=[Count(), lambda run: counts.append(live())])  # fmt: skip
    finally:
        gc.enable()
    assert set(counts) == {len(model.parameters())}
    del model


def test_validation_keeps_no_graph_of_the_model(engine_name, live):
    counts = {}

    def loss(outputs, targets):
        counts[len(targets)] = live()
        return losses.mse(outputs, targets)

    model = small(engine_name)
    model.fit(X[:12], Y[:12], loss=loss, epochs=2, batch_size=12, validation=(X[:11], Y[:11]))
    assert counts[11] == len(model.parameters()) + 11  # the numbers alone
    assert counts[12] > counts[11] + 12
    del model


# ---- numbers that are none ----


def test_a_nan_loss_is_a_warning_that_says_where():
    points = [list(x) for x in X]
    points[13][0] = math.nan
    model = small("c")
    with pytest.warns(RuntimeWarning, match=r"epoch 1, batch 3 of 5: the loss is nan") as caught:
        history = model.fit(points, Y, loss="mse", epochs=2, batch_size=5, shuffle=False)
    assert [w.filename for w in caught] == [__file__]  # once, and about the caller's line
    assert math.isnan(history["loss"][1])
    model = small("c")
    model.fit(points, Y, loss="mse", epochs=2, on_nan="ignore")


def test_a_nan_loss_is_an_error_if_asked(backend):
    points = [list(x) for x in X]
    points[6][0] = math.inf
    model, plain = small(backend), small(backend)
    with pytest.raises(FloatingPointError, match=r"epoch 1, batch 2 of 5: the loss is (nan|inf)"):
        model.fit(points, Y, loss="sse", epochs=2, batch_size=5, shuffle=False, on_nan="raise")
    plain.fit(X[:5], Y[:5], loss="sse", epochs=1, batch_size=5, shuffle=False)
    assert numbers(model) == numbers(plain)


def test_a_loss_beyond_the_floats_says_where(backend):
    with pytest.raises(FloatingPointError, match=r"epoch \d, batch 1 of 1: training diverges: .* too large") as caught:
        small(backend).fit(X, Y, loss="mse", optimizer="sgd", lr=1e100, epochs=9, on_nan="ignore")
    assert isinstance(caught.value.__cause__, OverflowError)


# ---- progress ----


def fake_tqdm(monkeypatch):
    bars = []

    class Bar:
        def __init__(self, **options):
            self.options, self.done, self.closed, self.texts = options, 0, False, []
            bars.append(self)

        def update(self):
            self.done += 1

        def set_description(self, text, refresh):
            self.texts.append(text)

        def set_postfix(self, shown, refresh):
            self.texts.append(shown)

        def close(self):
            self.closed = True

    monkeypatch.setitem(sys.modules, "tqdm", types.SimpleNamespace(tqdm=Bar))
    return bars


def test_progress(monkeypatch):
    bars = fake_tqdm(monkeypatch)
    options = {"loss": "mse", "epochs": 2, "batch_size": 5}
    small("c").fit(X, Y, **options)  # stderr is no terminal here
    small("c").fit(X, Y, **options, progress=False)
    assert bars == []
    history = small("c").fit(X, Y, **options, progress=True)
    (bar,) = bars
    assert (bar.done, bar.closed, bar.options["total"]) == (10, True, 10)
    assert bar.texts == ["epoch 1/2, scalars", {"loss": f"{history['loss'][0]:.4g}"},
                         "epoch 2/2, scalars", {"loss": f"{history['loss'][1]:.4g}"}]  # fmt: skip
    small("c").fit(X, Y, **options, progress=True, compile=True)
    assert bars.pop().texts[::2] == ["epoch 1/2, program", "epoch 2/2, program"]
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    small("c").fit(X, Y, **options)
    assert len(bars) == 2
    monkeypatch.setitem(sys.modules, "tqdm", None)
    small("c").fit(X, Y, **options)
    with pytest.raises(ImportError, match=r"pip install tqdm"):
        small("c").fit(X, Y, **options, progress=True)


# ---- callbacks ----


def test_what_callbacks_are_told():
    told = []

    class Told(Callback):
        def on_train_begin(self, run):
            told.append(("begin", run.epoch, run.epochs))

        def on_batch_end(self, run):
            told.append(("batch", run.epoch, run.batch, run.optimizer.steps))

        def on_epoch_end(self, run):
            told.append(("epoch", run.epoch, run.history[-1]["loss"]))

        def on_train_end(self, run):
            told.append(("end", run.history.stopped))

    model = small("c")
    history = model.fit(X, Y, loss="hinge", epochs=9, batch_size=11, callbacks=[
        Told(), lambda run: run.stop("enough") if run.epoch == 2 else None,
    ])  # fmt: skip
    assert told == [
        ("begin", 0, 9), ("batch", 1, 1, 1), ("batch", 1, 2, 2), ("epoch", 1, history["loss"][0]),
        ("batch", 2, 1, 3), ("batch", 2, 2, 4), ("epoch", 2, history["loss"][1]), ("end", "enough"),
    ]  # fmt: skip
    assert (history.stopped, history.interrupted, len(history)) == ("enough", False, 2)


def test_fit_in_another_thread():
    results = []
    thread = threading.Thread(target=lambda: results.append(small("c").fit(X, Y, loss="hinge", epochs=2)))
    thread.start()
    thread.join()
    assert isinstance(results[0], History)
    same(results[0], small("c").fit(X, Y, loss="hinge", epochs=2))


def test_the_losses_of_functions_and_numbers_agree():
    """A loss that is a function of pygrad.losses counts as the named one."""
    model = small("c")
    history = model.fit(X, Y, loss=losses.hinge, epochs=1)
    assert "accuracy" in history
    assert history.settings["loss"] == "hinge"
    model.fit(X, Y, epochs=1)  # the same once more
    model.fit(X, Y, loss=lambda o, t: functions.sum([(a - b) ** 2 for a, b in zip(o, t)]), epochs=1)
    with pytest.raises(ValueError, match="say what to minimise"):
        model.fit(X, Y, epochs=1)


# ---- what users get wrong ----


def test_resuming_with_other_columns_is_noticed_before_the_first_step(backend):
    model = small(backend)
    history = model.fit(X, Y, loss="hinge", epochs=1)
    before = numbers(model)
    for changed, column in (({"validation": 0.25}, "validation_loss"), ({"loss": "mse"}, "accuracy")):
        with pytest.raises(ValueError, match=f"resume= has epochs with(out)? '{column}'"):
            model.fit(X, Y, **{"loss": "hinge", "epochs": 2, "resume": history, **changed})
        assert numbers(model) == before
        assert (len(history), history.partial) == (1, None)


def test_a_history_of_another_model_is_noticed(backend):
    history = small(backend).fit(X, Y, loss="hinge", epochs=1)
    with pytest.raises(ValueError, match="moves none of the model's parameters"):
        small(backend).fit(X, Y, loss="hinge", epochs=2, resume=history)


def test_a_validation_loss_beyond_the_floats_says_where(backend):
    with pytest.raises(FloatingPointError, match=r"epoch 1, validation: training diverges: .* too large"):
        small(backend, 1).fit(X, Y, loss="mse", epochs=2, validation=([[1e200, 1e200]], [0.0]), path="scalars")


@pytest.mark.parametrize("where", [0, 1])
def test_a_nan_in_the_data_is_not_blamed_on_the_learning_rate(where):
    data = [[[0.0, 1.0], [1.0, 0.0]], [0.5, 1.5]]
    data[where][1] = [math.nan, 1.0] if where == 0 else math.nan
    with pytest.warns(RuntimeWarning, match="epoch 1, batch 1 of 1: the loss is nan; some of the data are not finite"):
        small("python").fit(*data, loss="mse", epochs=1)


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"X": [0.0, 1.0]}, TypeError, r"X\[0\]: .* not float; give one list of inputs a sample, so \[\[\.\.\.\]\]"),
        ({"X": [[0.0, 10**400], [1.0, 0.0]]}, ValueError, r"X\[0\]\[1\] is too large for a float"),
        ({"y": [1, 10**400]}, ValueError, r"y\[1\] is too large for a float"),
        ({"X": [{0.0, 1.0}, {1.0, 2.0}]}, TypeError, r"X\[0\] must be a number, not set"),
        ({"X": [{"a": 1.0, "b": 1.0}] * 2}, TypeError, r"X\[0\] must be a number, not dict"),
        ({"X": np.zeros((2, 2), "M8[D]")}, TypeError, r"X\[0\]\[0\] must be a number, not datetime64"),
        ({"y": [[1], 1]}, ValueError, r"y\[0\] has 1 target, but the model gives one output"),
        ({"callbacks": 5}, TypeError, "callbacks must be a list of Callbacks .* not int"),
        ({"validation": ([[0.0, 1.0]],)}, TypeError, r"validation must be \(X, y\), or a fraction .* not \(\["),
        ({"validation": "0.2"}, TypeError, r"validation must be \(X, y\), or a fraction .* not '0.2'"),
        ({"penalty": "l2"}, TypeError, "penalty must be a number, or a function of the model, not 'l2'"),
    ],
)
def test_messages_that_say_what_to_do(wrong, error, message):
    given = {"X": [[0.0, 1.0], [1.0, 0.0]], "y": [1, 0], **wrong}
    with pytest.raises(error, match=message):
        small("python").fit(given.pop("X"), given.pop("y"), loss="mse", epochs=1, **given)


def test_a_list_of_one_output_takes_plain_targets(backend):
    class Column(Module):
        def __init__(self):
            self.layer = Layer(2, 1, activation="linear", seed=1, backend=backend)

        def __call__(self, x):
            return [self.layer(x)]

    plain, column = Layer(2, 1, activation="linear", seed=1, backend=backend), Column()
    for loss, y in (("mse", Y), ("binary_cross_entropy_with_logits", CLASSES)):
        same(plain.fit(X, y, loss=loss, epochs=2, path="scalars"), column.fit(X, y, loss=loss, epochs=2))
        assert column.score(X, y) == pytest.approx(plain.score(X, y), rel=1e-14)  # of one at a time, and of all at once
