"""`fit` on compiled programs: what the other paths compute, but for rounding; when programs are taken, and what else of
fit must not notice."""

from __future__ import annotations

import os
import random
import subprocess
import sys

import numpy as np
import pytest

from pygrad import _fit_program, losses, optim, saving
from pygrad._paths import program_pays
from pygrad._tracing import TraceError
from pygrad.callbacks import Callback
from pygrad.history import History
from pygrad.nn import ELU, MLP, Dropout, Layer, Linear, Module, Sequential, Softmax, Tanh
from pygrad.programs.compiled import compile as compile_
from pygrad.training import epoch_order

N = 60
RNG = np.random.default_rng(5)
POINTS = RNG.normal(size=(N, 2))
SIGNS = np.where(POINTS[:, 0] * POINTS[:, 1] > 0.0, 1, -1)
LABELS = (SIGNS > 0).astype(int)
CLASSES = RNG.integers(0, 3, N)
PAIRS = POINTS[:, ::-1] ** 2
SHARES = 1.0 / (1.0 + np.exp(-PAIRS))

TARGETS = {
    "mse": (POINTS.sum(axis=1), 1),
    "sse": (PAIRS, 2),
    "binary_cross_entropy": (LABELS, 1),
    "binary_cross_entropy_with_logits": (LABELS, 1),
    "cross_entropy": (CLASSES, 3),
    "hinge": (SIGNS, 1),
    "multiclass_hinge": (CLASSES, 3),
}


def network(backend, nout, name="", **options):
    last = "sigmoid" if name == "binary_cross_entropy" else "linear"
    options = {"activation": "tanh", "init": "xavier", "seed": 1, **options}
    return MLP(2, [5, nout], output_activation=last, backend=backend, **options)


def numbers(model):
    return [p.data for p in model.parameters()]


def close(one, other, rtol=1e-12):
    """Two histories."""
    assert list(one.columns) == list(other.columns)
    for column in one.columns:
        if "accuracy" in column:
            assert one[column] == other[column]
        elif column != "seconds":
            np.testing.assert_allclose(one[column], other[column], rtol=rtol, atol=1e-14)


def on_paths(made, *data, rtol=1e-12, paths=("scalars", "arrays"), **options):
    """Trains on programs, and compares with the other paths."""
    model = made()
    history = model.fit(*data, **options, path="program")
    assert history.path == "program"
    for path in paths:
        other = made()
        close(history, other.fit(*data, **options, path=path), rtol)
        np.testing.assert_allclose(numbers(model), numbers(other), rtol=10 * rtol, atol=1e-12)
    return model, history


# ---- the same numbers ----


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "rmsprop"])
def test_losses_and_optimizers(backend, name, optimizer):
    targets, nout = TARGETS[name]
    on_paths(
        lambda: network(backend, nout, name), POINTS, targets, loss=name, optimizer=optimizer, lr=0.01, epochs=3,
        batch_size=16,
    )  # fmt: skip


@pytest.mark.parametrize("batch_size", [1, 7, 60, None])
@pytest.mark.parametrize("shuffle", [False, True])
def test_batches(backend, batch_size, shuffle):
    """Also an epoch of one batch, which a program does not shuffle."""
    on_paths(
        lambda: network(backend, 3), POINTS, CLASSES, loss="cross_entropy", optimizer="sgd", lr=0.1, epochs=3, seed=4,
        batch_size=batch_size, shuffle=shuffle,
    )  # fmt: skip


@pytest.mark.parametrize("name", ["binary_cross_entropy", "binary_cross_entropy_with_logits", "mse"])
def test_several_outputs(backend, name):
    """A mean counts the outputs too."""
    targets = (SHARES > 0.5).astype(int) if name.endswith("logits") else SHARES
    on_paths(lambda: network(backend, 2, name), POINTS, targets, loss=name, epochs=2, batch_size=9, validation=0.25)


@pytest.mark.parametrize("name", TARGETS)
def test_validation(backend, name):
    targets, nout = TARGETS[name]
    _, history = on_paths(
        lambda: network(backend, nout, name), POINTS, targets, loss=name, epochs=2, batch_size=16, validation=0.25
    )
    assert "validation_loss" in history
    on_paths(
        lambda: network(backend, nout, name), POINTS[:40], targets[:40], loss=name, epochs=2, batch_size=None,
        validation=(POINTS[40:].tolist(), targets[40:].tolist()),
    )  # fmt: skip


def test_penalty_clipping_and_schedule(backend):
    def own(model):
        return losses.l1_penalty(model, 0.02)

    for penalty in (0.01, own, lambda model: 0.5, None):
        on_paths(
            lambda: network(backend, 3), POINTS, CLASSES, loss="cross_entropy", optimizer="adam",
            lr=lambda step: 0.1 / (1 + step), epochs=2, batch_size=8, penalty=penalty, clip_value=0.2, clip_norm=0.3,
        )  # fmt: skip


def test_gradients_are_where_backward_leaves_them(backend):
    """In .grad, with those of the penalty."""
    model, plain = network(backend, 1), network(backend, 1)
    model.fit(POINTS, SIGNS, loss="hinge", optimizer="sgd", lr=0.0, epochs=1, batch_size=N, penalty=0.1, path="program")
    plain.zero_grad()
    (losses.hinge([plain(x) for x in POINTS.tolist()], SIGNS.tolist()) + losses.l2_penalty(plain, 0.1)).backward()
    np.testing.assert_allclose([p.grad for p in model.parameters()], [p.grad for p in plain.parameters()], rtol=1e-12)


def test_batches_of_many_samples_are_gathered(backend, monkeypatch):
    models = [network(backend, 3) for _ in range(2)]
    models[0].fit(POINTS, CLASSES, loss="cross_entropy", epochs=2, batch_size=16, path="program", validation=0.25)
    monkeypatch.setattr(_fit_program, "COPIED", 0)
    models[1].fit(POINTS, CLASSES, loss="cross_entropy", epochs=2, batch_size=16, path="program", validation=0.25)
    assert numbers(models[0]) == numbers(models[1])


def test_samples_of_every_kind(backend):
    model, history = on_paths(lambda: network(backend, 1), POINTS, SIGNS, loss="hinge", epochs=2, batch_size=9)
    wide = np.zeros((N, 4))
    wide[:, ::2] = POINTS
    for X, y in [
        (POINTS.tolist(), SIGNS.tolist()),
        (np.asfortranarray(POINTS), SIGNS.reshape(-1, 1)),
        (wide[:, ::2], SIGNS.astype(np.float32)),
        (POINTS.astype(">f8"), tuple(SIGNS.tolist())),
    ]:
        other = network(backend, 1)
        again = other.fit(X, y, loss=losses.hinge, epochs=2, batch_size=9, path="program")
        assert (again["loss"], numbers(other)) == (history["loss"], numbers(model))
    classes = CLASSES.astype(float)
    on_paths(lambda: network(backend, 3), POINTS, classes, loss="cross_entropy", epochs=1)


def test_bare_numbers_and_single_columns(backend):
    class Line(Module):
        def __init__(self):
            self.layer = Layer(1, 1, nonlin=False, seed=1, backend=backend)

        def __call__(self, x):
            return self.layer([x])

    on_paths(Line, [0.0, 1.0, 2.0], [1.0, 3.0, 5.0], loss="mse", epochs=3, paths=["scalars"])

    class Column(Line):
        def __call__(self, x):
            return [self.layer(x)]

    rows, targets = POINTS[:, :1], SIGNS
    model, _ = on_paths(Column, rows, targets, loss="hinge", epochs=3, validation=0.25, paths=["scalars"])
    assert model.predict(rows).shape == (N, 1)


def test_the_same_bits_whatever_the_engine():
    results = set()
    for backend in ("c", "cffi", "python"):
        model = network(backend, 3)
        history = model.fit(POINTS, CLASSES, loss="cross_entropy", epochs=2, path="program", validation=0.2)
        results.add((*numbers(model), *history["loss"], *history["validation_loss"]))
    assert len(results) == 1


def test_one_run_gives_loss_gradient_and_outputs(Value):
    """What the questions give one by one; also outputs that are arguments, the loss, or the same for all samples."""
    w = [Value(0.5), Value(-1.5), Value(2.0)]

    def f(x, k):
        scores = [w[0] * x[0], (w[1] * x[1]).tanh(), w[2] * w[2]]
        loss = losses.cross_entropy([scores], [k])
        return loss, scores, x[0], [3.0, loss, w[1]]

    X, k = RNG.normal(size=(37, 2)), CLASSES[:37]
    program = compile_(f, params=w).record(X, k)
    given = program.given((X, k))
    found = [np.full(shape, np.nan) for shape in [(37,), (37, 3), (37,), (37, 3)]]
    gradient, alone = np.empty(3), np.empty(3)
    loss = program.run("gradient_outputs", given, outputs=found, gradient=gradient, seed=0.25)
    assert loss == program.run("gradient", given, gradient=alone, seed=0.25)
    np.testing.assert_array_equal(gradient, alone)
    for mine, expected in zip(found, program(X, k)):
        np.testing.assert_array_equal(mine, expected)
    np.testing.assert_allclose(loss, found[0].sum(), rtol=1e-14)


def test_a_shuffle_is_pythons():
    for samples in (0, 1, 2, 3, 31, 100, 257):
        for epoch in range(4):
            order = list(range(samples))
            random.Random(f"pygrad epoch 7 {epoch}").shuffle(order)
            assert epoch_order(samples, 7, epoch, True) == order


# ---- callbacks, interrupts, resuming ----


class Interrupt(Callback):
    def __init__(self, epoch, batch):
        self.at = epoch, batch

    def on_batch_end(self, run):
        if (run.epoch, run.batch) == self.at:
            raise KeyboardInterrupt


FIT = {"loss": "cross_entropy", "optimizer": "adam", "lr": 0.02, "batch_size": 16, "epochs": 4, "seed": 3}


@pytest.mark.parametrize("at", [(1, 1), (2, 3), (3, 4)])
def test_interrupted_and_resumed(backend, at, tmp_path):
    """In the middle of an epoch and between two, in the process and from a file: to the bit."""
    whole, parts = network(backend, 3), network(backend, 3)
    expected = whole.fit(POINTS, CLASSES, **FIT, path="program")
    history = parts.fit(POINTS, CLASSES, **FIT, path="program", callbacks=[Interrupt(*at)])
    assert history.interrupted
    parts.save(tmp_path / "part.npz", optimizer=history._optimizer, history=history)
    parts.fit(POINTS, CLASSES, **FIT, resume=history)
    loaded, optimizer, again = saving.load(tmp_path / "part.npz", backend=backend, training=True)
    assert again.path == "program"
    loaded.fit(POINTS, CLASSES, **{**FIT, "optimizer": optimizer, "lr": None}, resume=again)
    for model, found in ((parts, history), (loaded, again)):
        assert found.path == "program"
        assert found["loss"] == expected["loss"]
        assert numbers(model) == numbers(whole)


def test_a_resumed_fit_keeps_its_path(backend):
    model = network(backend, 3)
    history = model.fit(POINTS, CLASSES, **{**FIT, "epochs": 1}, path="scalars")
    assert model.fit(POINTS, CLASSES, **{**FIT, "epochs": 400}, resume=history, callbacks=[stop]).path == "scalars"
    assert model.fit(POINTS, CLASSES, **{**FIT, "epochs": 3}, resume=history, compile=True).path == "program"
    assert model.fit(POINTS, CLASSES, **{**FIT, "epochs": 4}, resume=history).path == "program"
    assert model.fit(POINTS, CLASSES, **{**FIT, "epochs": 5}, resume=history, path="scalars").path == "scalars"
    history = model.fit(POINTS, CLASSES, **{**FIT, "epochs": 1}, path="program")
    assert model.fit(POINTS, CLASSES, **{**FIT, "epochs": 2}, resume=history, compile=False).path == "scalars"
    history = model.fit(POINTS, CLASSES, **FIT, path="program", callbacks=[Interrupt(1, 1)])
    with pytest.raises(ValueError, match="middle of an epoch with path='program': it cannot go on with 'scalars'"):
        model.fit(POINTS, CLASSES, **FIT, resume=history, path="scalars")
    assert History.from_dict(history.to_dict()).path == "program"


def stop(run):
    run.stop("enough")


def test_callbacks_see_and_change_the_training(backend):
    met = []

    class Watch(Callback):
        def on_batch_end(self, run):
            met.append((run.epoch, run.batch, run.model.parameters()[0].grad))

        def on_epoch_end(self, run):
            run.model.parameters()[0].data = 0.5

    histories = []
    for path in ("program", "scalars"):
        met.clear()
        histories.append(network(backend, 1).fit(POINTS, SIGNS, loss="hinge", epochs=3, callbacks=Watch(), path=path))
        assert [at[:2] for at in met] == [(e, b) for e in (1, 2, 3) for b in (1, 2)]
        assert all(grad != 0.0 for *_, grad in met)
    close(*histories)


def test_a_module_changed_between_epochs_is_recorded_again(backend, Value):
    """A network of pygrad's own neurons, and a module of the user's."""
    def other_activation(run):
        for neuron in run.model.layers[0].neurons:
            neuron.activation = "sigmoid"

    def other_bias(run):
        if run.epoch == 2:
            run.model.layers[0].neurons[0].b = Value(0.25)

    class Scaled(Module):
        def __init__(self):
            self.layer, self.scale = Layer(2, 1, nonlin=False, seed=1, backend=backend), 1.0

        def __call__(self, x):
            return self.layer(x) * self.scale

    def other_scale(run):
        run.model.scale *= 0.5

    options = {"loss": "hinge", "epochs": 4, "validation": 0.25}
    on_paths(lambda: network(backend, 1), POINTS, SIGNS, **options, callbacks=other_activation, paths=["scalars"])
    on_paths(lambda: network(backend, 1), POINTS, SIGNS, **options, callbacks=other_bias, paths=["scalars"])
    on_paths(Scaled, POINTS, SIGNS, **options, callbacks=other_scale, paths=["scalars"])


def test_parameters_replaced_between_epochs(backend, Value):
    """The code is the same, but of other Values."""
    class Scaled(Module):
        def __init__(self):
            self.layer, self.scale = Layer(2, 1, nonlin=False, seed=1, backend=backend), Value(1.0)

        def __call__(self, x):
            return self.layer(x) * self.scale

    def other_scale(run):
        run.model.scale = Value(0.5 * run.epoch)

    def other_weight(run):
        run.model.layers[0].neurons[0].w[0] = Value(0.25 * run.epoch)

    options = {"loss": "hinge", "epochs": 4, "validation": 0.25}
    on_paths(Scaled, POINTS, SIGNS, **options, callbacks=other_scale, paths=["scalars"])
    on_paths(lambda: network(backend, 1), POINTS, SIGNS, **options, callbacks=other_weight, paths=["scalars"])


def looks_at_numbers(x):
    return x if x.data > 0.0 else 0.1 * x


def no_module_of_pygrads(model):
    model.layers[0].neurons[0] = Sequential(model.layers[0].neurons[0], looks_at_numbers)


def another_parameter(model):
    """One that parameters() does not know."""
    w = model.layers[0].neurons[0].b.__class__(0.5)
    model.layers[0].neurons[0] = Sequential(model.layers[0].neurons[0], lambda x: w * x)


@pytest.mark.parametrize("change", [no_module_of_pygrads, another_parameter])
@pytest.mark.parametrize("validation", [None, 0.25])
def test_a_model_that_is_no_program_any_more(engine_name, change, validation):
    """Goes on as it would without programs, from that epoch on to the bit; where a program was asked for, it raises."""
    def made():
        return network(engine_name, 1)

    def callback(run):
        if run.epoch == 100:
            change(run.model)

    options = {"loss": "hinge", "batch_size": 20, "lr": 0.02, "penalty": 0.01, "seed": 2, "validation": validation}
    model, whole = made(), made()
    history = whole.fit(POINTS, SIGNS, **options, epochs=103, callbacks=callback)
    assert (history.path, len(history)) == ("scalars", 103)
    first = model.fit(POINTS, SIGNS, **options, epochs=100, path="program")
    change(model)
    first = model.fit(POINTS, SIGNS, **{**options, "lr": None}, epochs=103, resume=first, path="scalars")
    assert (history["loss"], numbers(whole)) == (first["loss"], numbers(model))
    assert validation is None or history["validation_loss"] == first["validation_loss"]
    close(history, made().fit(POINTS, SIGNS, **options, epochs=103, callbacks=callback, compile=False), rtol=1e-9)
    for asked in ({"compile": True}, {"path": "program"}):
        with pytest.raises((TraceError, TypeError)):
            made().fit(POINTS, SIGNS, **options, epochs=103, callbacks=callback, **asked)


def test_a_resumed_model_that_is_no_program_any_more(engine_name):
    model = network(engine_name, 1)
    history = model.fit(POINTS, SIGNS, loss="hinge", epochs=1, path="program")
    no_module_of_pygrads(model)
    assert model.fit(POINTS, SIGNS, loss="hinge", epochs=3, resume=history).path == "scalars"
    assert len(history) == 3


@pytest.mark.parametrize("path", ["program", "scalars"])
def test_any_optimizer(backend, path):
    class Steps:
        def __init__(self, parameters):
            self.parameters = parameters

        def zero_grad(self):
            for p in self.parameters:
                p.grad = 0.0

        def step(self):
            for p in self.parameters:
                p.data -= 0.1 * p.grad

    model, plain = network(backend, 1), network(backend, 1)
    model.fit(POINTS, SIGNS, loss="hinge", optimizer=Steps(model.parameters()[:4]), epochs=2, path=path)
    optimizer = optim.SGD(plain.parameters()[:4], lr=0.1)
    plain.fit(POINTS, SIGNS, loss="hinge", optimizer=optimizer, epochs=2, path="scalars")
    np.testing.assert_allclose(numbers(model), numbers(plain), rtol=1e-12)
    assert numbers(model)[4:] == numbers(network(backend, 1))[4:]


# ---- numbers that are not finite ----


def test_on_nan(backend):
    X = POINTS.copy()
    X[3] = np.nan
    options = {"loss": "mse", "epochs": 1, "batch_size": 10, "path": "program", "shuffle": False}
    with pytest.warns(RuntimeWarning, match="epoch 1, batch 1 of 6: the loss is nan; some of the data are not finite"):
        network(backend, 1).fit(X, SIGNS, **options)
    model = network(backend, 1)
    with pytest.raises(FloatingPointError, match="epoch 1, batch 1 of 6: the loss is nan"):
        model.fit(X, SIGNS, **options, on_nan="raise")
    assert numbers(model) == numbers(network(backend, 1))
    model.fit(X, SIGNS, **options, on_nan="ignore")
    assert np.isnan(numbers(model)).any()


def test_outputs_that_are_no_probabilities(backend):
    model = network(backend, 1, weights=[np.ones((5, 2)), np.ones((1, 5))], biases=[np.zeros(5), [5.0]])
    for path in ("program", "scalars"):
        with pytest.raises(ValueError, match="binary_cross_entropy: an output must be a probability"):
            model.fit(POINTS, LABELS, loss="binary_cross_entropy", path=path)
    assert numbers(model)[-1] == 5.0


@pytest.mark.parametrize("asked", [None, True])
def test_data_that_do_not_fit(backend, asked):
    model = network(backend, 1)
    for X, y, message in [
        (POINTS, [*SIGNS[:-1], 0], r"y\[59\] must be -1 or 1, not 0"),
        (POINTS[:, :1], SIGNS, r"X\[0\]: .* takes 2 inputs, but got 1"),
        ([*POINTS[:-1].tolist(), [1.0]], SIGNS, r"X\[59\] has 1 input, but X\[0\] has 2 inputs"),
    ]:
        with pytest.raises(ValueError, match=message):
            model.fit(X, y, loss="hinge", compile=asked)


# ---- when programs are taken ----


def test_taken_by_themselves(backend):
    options = {"loss": "hinge", "batch_size": 20, "epochs": 100, "callbacks": stop}
    own = {**options, "loss": lambda o, y: losses.hinge(o, y)}
    by_default = "scalars" if backend == "python" else "program"
    assert network(backend, 1).fit(POINTS, SIGNS, **options).path == by_default
    assert network(backend, 1).fit(POINTS, SIGNS, **options, compile=False).path == "scalars"
    assert network(backend, 1).fit(POINTS, SIGNS, **options, compile=True).path == "program"
    assert network(backend, 1).fit(POINTS, SIGNS, **{**options, "epochs": 2}).path == "scalars"
    assert network(backend, 1).fit(POINTS, SIGNS, **own).path == "scalars"
    assert "path='program'" in repr(network(backend, 1).fit(POINTS, SIGNS, loss="hinge", epochs=1, path="program"))


def test_the_rule_is_of_sizes(engine_name):
    """Of steps, samples in a batch, parameters and layers."""
    moons, digits = MLP(2, [16, 16, 1], backend=engine_name), MLP(64, [32, 10], backend=engine_name)
    for model, size, least in [(moons, 100, 67), (moons, 2, 2372), (digits, 32, 618), (digits, 4, 1415)]:
        assert [program_pays(model, steps, size) for steps in (least - 1, least)] == [False, True]
    assert not program_pays(moons, 10**9, 1)
    own = Sequential(Layer(2, 1, backend=engine_name), lambda x: x)
    assert [program_pays(own, 63, 11), program_pays(own, 62, 11)] == [True, False]
    assert not program_pays(Linear(2, 1, backend=engine_name), 10**9, 100)
    assert not program_pays(MLP(2, [1], backend="python"), 10**9, 100)


def test_models_of_ones_own(backend, Value):
    """What is no network of pygrad's layers, so that arrays are out of question."""
    class Bumps(Module):
        def __init__(self):
            self.centres = [Value(0.3 * i) for i in range(4)]
            self.heights = [Value(0.1)] * 2 + [Value(0.2)]

        def __call__(self, x):
            bumps = [(-((x[0] - c) ** 2 + x[1] ** 2)).exp() for c in self.centres]
            return sum((h * b for h, b in zip(self.heights, bumps)), 0.1) + bumps[3]

    on_paths(Bumps, POINTS, PAIRS[:, 0], loss="mse", epochs=3, validation=0.25, paths=["scalars"])
    by_default = "scalars" if backend == "python" else "program"
    assert Bumps().fit(POINTS, PAIRS[:, 0], loss="mse", epochs=1000, callbacks=stop).path == by_default
    first, last = Layer(2, 4, nonlin=False, backend=backend, seed=1), Layer(4, 3, backend=backend, seed=2)
    made = Sequential(first, Tanh(), last, ELU(), Softmax())
    start = made.state_dict()

    def again():
        made.load_state_dict(start)
        return made

    expected = again().fit(POINTS, CLASSES, loss="cross_entropy", epochs=2, path="scalars")
    close(again().fit(POINTS, CLASSES, loss="cross_entropy", epochs=2, path="program"), expected)


class Noisy(Module):
    """Draws anew for every sample."""

    def __init__(self, backend):
        self.layer, self.rng = Layer(2, 1, nonlin=False, seed=1, backend=backend), random.Random(1)

    def __call__(self, x):
        return self.layer(x) + self.rng.gauss(0.0, 0.1)


class Branching(Module):
    """Asks for a number."""

    def __init__(self, backend):
        self.layer = Layer(2, 1, nonlin=False, seed=1, backend=backend)

    def __call__(self, x):
        y = self.layer(x)
        return y if y.data > 0.0 else y * 0.5


class Reading(Module):
    """Takes no Values."""

    def __init__(self, backend):
        self.layer = Layer(2, 1, nonlin=False, seed=1, backend=backend)

    def __call__(self, x):
        if not all(type(number) is float for number in x):
            raise RuntimeError("only floats")
        return self.layer(x)


class Hiding(Module):
    """Has a Value that is none of its parameters."""

    def __init__(self, backend):
        self.layer = Layer(2, 1, nonlin=False, seed=1, backend=backend)
        self._gain = type(self.layer.parameters()[0])(2.0)

    def __call__(self, x):
        return self.layer(x) * self._gain


REFUSED = [
    (lambda backend: MLP(2, [4, 1], dropout=0.5, seed=1, backend=backend), TraceError, "training mode draws random"),
    (lambda backend: Sequential(Layer(2, 1, backend=backend), Dropout(0.1)), TraceError, "training mode draws random"),
    (Noisy, ValueError, "Noisy does not compute the same each time"),
    (Branching, TraceError, r"test_fit_program.py, line \d+: .data of a Value that depends"),
    (Reading, RuntimeError, "only floats"),
    (Hiding, TypeError, "Hiding computes with Values that are not among its parameters"),
    (lambda backend: Linear(2, 1, backend=backend), TypeError, "made of scalar parameters, but this model has arrays"),
]  # fmt: skip


@pytest.mark.parametrize(("made", "error", "message"), REFUSED)
def test_what_cannot_be_recorded(backend, made, error, message):
    """Falls back by itself; is an error where it was asked for."""
    options = {"loss": "hinge", "epochs": 5000, "batch_size": None, "callbacks": stop}
    history = made(backend).fit(POINTS, SIGNS, **options)
    assert history.path in ("scalars", "arrays")
    assert history.path == made(backend).fit(POINTS, SIGNS, **options, compile=False).path
    for asked in ({"compile": True}, {"path": "program"}):
        model = made(backend)
        with pytest.raises(error, match=message):
            model.fit(POINTS, SIGNS, **options, **asked)
        assert model.training


def test_what_cannot_be_asked_for(backend):
    model = network(backend, 1)
    with pytest.raises(ValueError, match="a compiled program needs a loss by its name, one of mse"):
        model.fit(POINTS, SIGNS, loss=lambda o, y: losses.hinge(o, y), compile=True)
    for path, asked in [("scalars", True), ("arrays", True), ("program", False)]:
        with pytest.raises(ValueError, match=f"path='{path}' and compile={asked} say different things"):
            model.fit(POINTS, SIGNS, loss="hinge", path=path, compile=asked)
    assert model.fit(POINTS, SIGNS, loss="hinge", epochs=1, path="program", compile=True).path == "program"
    assert model.fit(POINTS, SIGNS, loss="hinge", epochs=1, path="arrays", compile=False).path == "arrays"


def test_modes_in_training_and_validation(backend):
    """A module that computes otherwise in evaluation mode."""
    class Halved(Module):
        def __init__(self):
            self.layer = Layer(2, 1, nonlin=False, seed=1, backend=backend)

        def __call__(self, x):
            return self.layer(x) * (0.5 if self.training else 1.0)

    options = {"loss": "hinge", "epochs": 2, "validation": (POINTS, SIGNS)}
    model, history = on_paths(Halved, POINTS, SIGNS, **options, paths=["scalars"])
    assert model.training
    assert history["loss"] != history["validation_loss"]


# ---- predictions ----


def test_predictions_are_the_models_to_the_bit(Value):
    """By a program, where that pays, which calls the model only a few times; otherwise one by one."""
    calls = []

    class Own(Module):
        def __init__(self):
            self.w = [Value(0.3), Value(-1.2)]

        def __call__(self, x):
            calls.append(type(x[0]))
            y = (self.w[0] * x[0]).tanh() + (self.w[1] * x[1]).exp()
            return [y, y.sigmoid()]

    model, X = Own(), RNG.normal(size=(1000, 2))
    expected = [[v.data for v in model(x)] for x in X.tolist()]
    calls.clear()
    np.testing.assert_array_equal(model.predict(X), expected)
    assert len(calls) == (1001 if Value._pygrad_backend == "python" else 3)
    np.testing.assert_array_equal(model.predict(X[:5]), expected[:5])
    X[7, 1] = -1000.0
    with pytest.raises(OverflowError):  # as the model itself
        model.predict(X)


# ---- the command line ----


@pytest.mark.parametrize("backend_name", ["c", "python"])
def test_the_command_line_says_so(tmp_path, backend_name):
    rows = [f"{x[0]!r},{x[1]!r},{'ab'[y]}" for x, y in zip(POINTS.tolist(), LABELS.tolist())]
    (tmp_path / "points.csv").write_text("\n".join(["u,v,kind", *rows]) + "\n")

    def trained(*options):
        run = subprocess.run(
            [sys.executable, "-m", "pygrad", "train", "points.csv", "--target", "kind", "--epochs", "60", *options],
            capture_output=True, cwd=tmp_path, env={**os.environ, "PYGRAD_BACKEND": backend_name}, check=True,
            encoding="utf-8",
        )  # fmt: skip
        assert run.stderr == ""
        return run.stdout

    said = trained()
    assert (", on a compiled program; not saved" in said) == (backend_name == "c")
    plain = trained("--no-compile")
    assert ", on arrays; not saved" in plain
    assert [line for line in said.splitlines() if line.startswith("epoch")] == [
        line for line in plain.splitlines() if line.startswith("epoch")
    ]
