"""Interrupted training, resumed, is training that was never interrupted, bit for bit. History, early stopping and
checkpoint files."""

from __future__ import annotations

import json
import math
import pickle
import signal

import pytest

from pygrad import losses, optim, saving, schedules
from pygrad.callbacks import Callback, Checkpoint, EarlyStopping
from pygrad.history import History

from .test_training import CLASSES, X, Y, fake_tqdm, numbers, raiser, same, small

FIT = {
    "loss": "cross_entropy", "lr": 0.05, "epochs": 4, "batch_size": 6, "validation": 0.2, "penalty": 1e-3,
    "clip_norm": 1.0,
}  # fmt: skip
"""18 samples to train on: 3 batches an epoch."""


class Interrupt(Callback):
    """Ctrl-C after a batch of an epoch."""

    def __init__(self, epoch, batch, how=KeyboardInterrupt):
        self.at, self.how = (epoch, batch), how

    def on_batch_end(self, run):
        if (run.epoch, run.batch) == self.at:
            self.how()
            raise self.how


def uninterrupted(backend, **options):
    model = small(backend, 3, 2)
    return model, model.fit(X, CLASSES, **{**FIT, **options})


# ---- interruption ----


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "rmsprop"])
@pytest.mark.parametrize("at", [(1, 1), (2, 2), (3, 3), (4, 1)])
def test_resuming_in_the_middle_of_an_epoch(backend, name, at):
    whole, expected = uninterrupted(backend, optimizer=name)
    model = small(backend, 3, 2)
    options = dict(FIT, optimizer=name)
    history = model.fit(X, CLASSES, **options, callbacks=[Interrupt(*at)])
    assert history.interrupted
    assert (len(history), history.partial.batches) == (at[0] - 1, at[1])
    assert history.stopped == f"interrupted after {at[0] - 1} of 4 epochs and {at[1]} of 3 batches"
    resumed = model.fit(X, CLASSES, **options, resume=history)
    assert resumed is history
    assert (history.interrupted, history.stopped, history.partial) == (False, "", None)
    same(history, expected)
    assert numbers(model) == numbers(whole)


@pytest.mark.parametrize("at", [(1, 2), (2, 3), (3, 1)])
def test_resuming_from_a_file(backend, at, tmp_path):
    """The checkpoint that is written at the interruption has the part of the epoch that was done."""
    rate = schedules.step(0.05, every=4, factor=0.5)
    whole, expected = uninterrupted(backend, lr=rate)
    path = tmp_path / "run.npz"
    small(backend, 3, 2).fit(X, CLASSES, **dict(FIT, lr=rate), callbacks=[Interrupt(*at), Checkpoint(path, every=9)])
    model, optimizer, history = saving.load(path, backend=backend, training=True)
    assert history.interrupted
    options = {name: item for name, item in FIT.items() if name not in ("lr", "loss")}
    model.fit(X, CLASSES, **options, optimizer=optimizer, resume=history)  # the loss stands in the history
    same(history, expected)
    assert numbers(model) == numbers(whole)


@pytest.mark.parametrize(("calls", "batches"), [(6, 1), (12, 3), (16, 3)])
def test_interrupted_in_the_loss_and_in_validation(backend, calls, batches):
    """3 batches and one of the validation are 4 calls of the loss an epoch."""
    whole, expected = uninterrupted(backend, loss=lambda o, t: losses.cross_entropy(o, t))
    left = [calls]

    def loss(outputs, targets):
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt
        return losses.cross_entropy(outputs, targets)

    model = small(backend, 3, 2)
    options = {**FIT, "loss": loss}
    history = model.fit(X, CLASSES, **options)
    assert history.interrupted
    assert history.partial.batches == batches
    model.fit(X, CLASSES, **options, resume=history)
    same(history, expected)
    assert numbers(model) == numbers(whole)


def test_interrupted_between_epochs_and_before_the_first(backend):
    whole, expected = uninterrupted(backend)
    model = small(backend, 3, 2)
    history = model.fit(X, CLASSES, **FIT, callbacks=[raiser(KeyboardInterrupt(), 2)])
    assert (len(history), history.partial, history.stopped) == (2, None, "interrupted after 2 of 4 epochs")

    class Begin(Callback):
        def on_train_begin(self, run):
            raise KeyboardInterrupt

    model.fit(X, CLASSES, **FIT, resume=history, callbacks=[Begin()])
    assert (len(history), history.interrupted) == (2, True)

    def at_once(outputs, targets):
        raise KeyboardInterrupt

    other = small(backend, 3, 2).fit(X, CLASSES, **dict(FIT, loss=at_once))
    assert other.interrupted
    assert other.partial is None  # so other batches may follow
    model.fit(X, CLASSES, **FIT, resume=history)
    same(history, expected)
    assert numbers(model) == numbers(whole)


def test_more_epochs(backend):
    whole, expected = uninterrupted(backend)
    model = small(backend, 3, 2)
    history = model.fit(X, CLASSES, **dict(FIT, epochs=1))
    history = model.fit(X, CLASSES, **FIT, resume=history)
    same(history, expected)
    assert numbers(model) == numbers(whole)
    model.fit(X, CLASSES, **FIT, resume=history)  # nothing is left to do
    assert numbers(model) == numbers(whole)


def test_what_cannot_be_resumed():
    model = small("c", 3, 2)
    history = model.fit(X, CLASSES, **FIT, callbacks=[Interrupt(2, 1)])
    before = numbers(model)
    for wrong, message in [
        ({"batch_size": 5}, "in the middle of an epoch with batch_size=6: it cannot go on with 5"),
        ({"seed": 1}, "with seed=0"), ({"shuffle": False}, "with shuffle=True"), ({"loss": "multiclass_hinge"}, "loss"),
        ({"validation": None}, "with samples=18: it cannot go on with 22"),
        ({"optimizer": "sgd"}, "optimizer='sgd', but this history was made with Adam"),
    ]:  # fmt: skip
        with pytest.raises(ValueError, match=message):
            model.fit(X, CLASSES, **{**FIT, **wrong}, resume=history)
    loaded = History.from_dict(history.to_dict())
    with pytest.raises(ValueError, match="a history from a file, or a copy, needs optimizer="):
        model.fit(X, CLASSES, **FIT, resume=loaded)
    assert numbers(model) == before
    with pytest.raises(ValueError, match="resume= has epochs without 'validation_accuracy'"):
        model.fit(X, CLASSES, **dict(FIT, validation=(X[:3], CLASSES[:3]), epochs=3), resume=_without(model))


def _without(model):
    """A history with other columns than FIT gives."""
    history = History()
    history.append({"loss": 1.0, "accuracy": 1.0, "validation_loss": 1.0})
    history._optimizer = optim.Adam(model)
    return history


def test_a_drawn_seed_is_kept():
    options = dict(FIT, seed=None)
    model, history = small("c", 3, 2), None
    history = model.fit(X, CLASSES, **options, callbacks=[Interrupt(2, 1)])
    seed = history.settings["seed"]
    model.fit(X, CLASSES, **options, resume=history)
    whole, _ = uninterrupted("c", seed=seed)
    assert numbers(model) == numbers(whole)


def test_progress_starts_where_it_was(monkeypatch):
    bars = fake_tqdm(monkeypatch)
    model = small("c", 3, 2)
    history = model.fit(X, CLASSES, **FIT, callbacks=[Interrupt(2, 1)], progress=True)
    model.fit(X, CLASSES, **FIT, resume=history, progress=True)
    assert [(bar.options["initial"], bar.done, bar.closed) for bar in bars] == [(0, 4, True), (4, 8, True)]


# ---- Ctrl-C itself ----


class Slow:
    """An optimizer in whose step Ctrl-C is pressed."""

    def __init__(self, model, presses):
        self.model, self.presses, self.steps = model, presses, 0

    def zero_grad(self):
        self.model.zero_grad()

    def step(self):
        self.steps += 1
        for i, p in enumerate(self.model.parameters()):
            if self.steps == 2 and i == 3:
                for _ in range(self.presses):
                    signal.raise_signal(signal.SIGINT)
            p.data -= 0.1 * p.grad


def test_ctrl_c_does_not_halve_a_step(backend):
    model, plain = small(backend), small(backend)
    history = model.fit(X, Y, loss="hinge", optimizer=Slow(model, 1), batch_size=8, epochs=5)
    assert (history.interrupted, history.partial.batches) == (True, 2)
    plain.fit(X, Y, loss="hinge", optimizer=Slow(plain, 0), batch_size=8, epochs=5, callbacks=[Interrupt(1, 2)])
    assert numbers(model) == numbers(plain)
    assert math.isnan(model.fit(X, Y, loss="hinge", optimizer=Slow(model, 0), epochs=1)["learning_rate"][0])
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_ctrl_c_is_not_put_off():
    model = small("c")
    with_two = Slow(model, 2)
    history = model.fit(X, Y, loss="hinge", optimizer=with_two, batch_size=8, epochs=5)
    assert (history.interrupted, history.partial.batches, with_two.steps) == (True, 1, 2)


def test_ctrl_c_anywhere_else(tmp_path):
    def press():
        signal.raise_signal(signal.SIGINT)

    model = small("c", 3, 2)
    history = model.fit(X, CLASSES, **FIT, callbacks=[Interrupt(2, 1, press)])
    assert (history.interrupted, history.partial.batches) == (True, 1)

    after = []
    model.fit(X, CLASSES, **FIT, resume=history, callbacks=[lambda run: press(), lambda run: after.append(run.epoch)])
    assert (history.interrupted, len(history), after) == (True, 2, [2])  # the callbacks of an epoch are not torn apart

    class End(Callback):
        def on_train_end(self, run):
            press()
            after.append("end")

    model.fit(X, CLASSES, **FIT, resume=history, callbacks=[End()])
    assert (history.interrupted, len(history), after) == (True, 4, [2, "end"])


def test_a_programs_own_handler_stays():
    caught = []
    before = signal.signal(signal.SIGINT, lambda *_: caught.append(1))
    try:
        press = [lambda run: signal.raise_signal(signal.SIGINT)]
        history = small("c").fit(X, Y, loss="hinge", epochs=2, callbacks=press)
    finally:
        signal.signal(signal.SIGINT, before)
    assert (caught, history.interrupted, len(history)) == ([1, 1], False, 2)


# ---- history ----


def test_history_reads_like_a_table():
    _, history = uninterrupted("c")
    assert len(history) == 4
    assert history.epochs == [1, 2, 3, 4]
    assert history[0]["loss"] == history["loss"][0]
    assert history[-1] == history[3] == list(history)[-1]
    assert "loss" in history
    assert "lose" not in history
    with pytest.raises(KeyError, match="no column 'lose': there are loss, accuracy"):
        history["lose"]
    with pytest.raises(IndexError, match="no epoch at index 4: there are 4"):
        history[4]
    lines = str(history).splitlines()
    assert lines[0].split() == ["epoch", *history.columns]
    assert [line.split()[0] for line in lines[1:]] == ["1", "2", "3", "4"]
    assert len({len(line) for line in lines}) == 1
    assert repr(history).startswith(f"<History: 4 epochs, loss={history['loss'][-1]:.6g}, accuracy=")
    history.columns = {"loss": [1.0] * 100}
    assert len(str(history).splitlines()) == 21
    assert repr(History()) == "<History: 0 epochs>"
    history.stopped = "enough"
    assert repr(history) == "<History: 100 epochs, loss=1, 0 s, path='scalars', enough>"


def test_history_as_json():
    model = small("c", 3, 2)
    history = model.fit(X, CLASSES, **FIT, callbacks=[Interrupt(3, 2)])
    history.columns["loss"][0] = math.nan
    for copy in (History.from_dict(json.loads(json.dumps(history.to_dict()))), pickle.loads(pickle.dumps(history))):
        assert str(copy.to_dict()) == str(history.to_dict())
        assert copy.partial == history.partial
        assert copy._optimizer is None
    good = history.to_dict()
    for wrong in [{}, {**good, "columns": 3}, {**good, "partial": {"a": 1}}, {**good, "columns": {"a": [1], "b": []}},
                  {**good, "columns": {"loss": ["x"]}}, {**good, "partial": 3}]:  # fmt: skip
        with pytest.raises(ValueError, match=r"not a history|could not convert"):
            History.from_dict(wrong)


# ---- early stopping ----


class Scripted(Callback):
    """Sets the validation loss of each epoch, before those that look at it; and keeps the parameters."""

    def __init__(self, *given):
        self.given, self.parameters = given, {}

    def on_epoch_end(self, run):
        run.history.columns["validation_loss"][-1] = self.given[run.epoch - 1]
        self.parameters[run.epoch] = numbers(run.model)


@pytest.mark.parametrize(
    ("given", "options", "epochs", "best"),
    [
        ((5, 4, 4, 3, 6, 7, 8), {"patience": 2}, 6, 4),
        ((5, 4, 3.5, 3.4, 3.3), {"patience": 2, "min_delta": 0.6}, 4, 2),
        ((5, 6, 7), {"patience": 1}, 2, 1),
        ((math.nan, math.nan, 1, 2), {"patience": 3}, 4, 3),
        ((1, math.nan, math.nan, 0), {"patience": 2}, 3, 1),
        ((4, 3, 2, 1), {"patience": 1}, 4, 4),
        ((4, 3, 2, 3), {"patience": 5}, 4, 3),
    ],
)
@pytest.mark.parametrize("restore", [True, False])
def test_early_stopping(given, options, epochs, best, restore):
    model, script = small("c", 3, 2), Scripted(*given)
    stopping = EarlyStopping(**options, restore_best=restore)
    history = model.fit(X, CLASSES, **dict(FIT, epochs=len(given)), callbacks=[script, stopping])
    assert (len(history), stopping.best_epoch) == (epochs, best)
    stopped = epochs - best == options["patience"]
    expected = f"stopped early: validation_loss did not improve after epoch {best}" if stopped else ""
    assert history.stopped == expected
    assert numbers(model) == script.parameters[best if restore else epochs]


def test_early_stopping_by_accuracy():
    class Accuracy(Callback):
        def on_epoch_end(self, run):
            run.history.columns["accuracy"][-1] = [0.5, 0.6, 0.6, 0.4][run.epoch - 1]

    history = small("c").fit(
        X, Y, loss="hinge", epochs=9, callbacks=[Accuracy(), EarlyStopping(2, metric="accuracy")]
    )
    assert len(history) == 4


def test_early_stopping_goes_on_after_an_interruption():
    given = (5, 4, 4.5, 4.6, 4.7, 4.8)
    options = dict(FIT, epochs=6)
    for fresh in (False, True):
        model, script, stopping = small("c", 3, 2), Scripted(*given), EarlyStopping(3)
        history = model.fit(X, CLASSES, **options, callbacks=[script, stopping, Interrupt(4, 2)])
        assert numbers(model) != script.parameters[2]  # nothing is put back, so that it can go on
        if not fresh:
            model.fit(X, CLASSES, **options, callbacks=[script, stopping], resume=history)
            assert numbers(model) == script.parameters[2]
        else:
            with pytest.warns(RuntimeWarning, match="parameters of the best epoch, 2, are not known"):
                model.fit(X, CLASSES, **options, callbacks=[script, EarlyStopping(3)], resume=history)
            assert numbers(model) == script.parameters[5]
        assert len(history) == 5


def test_callbacks_arguments():
    for kind, wrong, error, message in [
        (EarlyStopping, {"patience": 0}, ValueError, "patience must be at least 1, not 0"),
        (EarlyStopping, {"patience": 1.5}, TypeError, "patience must be an integer"),
        (EarlyStopping, {"min_delta": -1}, ValueError, "min_delta must be at least 0, not -1"),
        (EarlyStopping, {"metric": 3}, TypeError, "metric must be a str"),
        (Checkpoint, {"path": "x.npz", "every": 0}, ValueError, "every must be at least 1, not 0"),
    ]:
        with pytest.raises(error, match=message):
            kind(**wrong)
    with pytest.raises(ValueError, match=r"EarlyStopping\(metric='validation_loss'\): training has loss, accuracy.*"
                                         r"give fit validation="):  # fmt: skip
        small("c").fit(X, Y, loss="hinge", callbacks=[EarlyStopping()])


# ---- checkpoints ----


def test_checkpoints(backend, tmp_path):
    path = tmp_path / "epoch-{epoch}.npz"
    script, best = Scripted(3, 4, 2, 5), tmp_path / "best-{epoch}.npz"
    model = small(backend, 3, 2)
    model.fit(X, CLASSES, **FIT, callbacks=[script, Checkpoint(path, every=2), Checkpoint(best, best_only=True)])
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "best-1.npz", "best-3.npz", "epoch-2.npz", "epoch-4.npz",
    ]  # fmt: skip
    for name, epoch in [("best-1", 1), ("best-3", 3), ("epoch-2", 2), ("epoch-4", 4)]:
        loaded, optimizer, history = saving.load(tmp_path / f"{name}.npz", backend=backend, training=True)
        assert numbers(loaded) == script.parameters[epoch]
        assert (len(history), optimizer.steps) == (epoch, 3 * epoch)


def test_a_best_only_checkpoint_remembers_what_was_best(tmp_path):
    script = Scripted(1, 2, 3, 0)
    model = small("c", 3, 2)
    history = model.fit(X, CLASSES, **dict(FIT, epochs=2), callbacks=[script])
    path = tmp_path / "{epoch}.npz"
    model.fit(X, CLASSES, **FIT, resume=history, callbacks=[script, Checkpoint(path, best_only=True)])
    assert [p.name for p in tmp_path.iterdir()] == ["4.npz"]


def test_a_checkpoint_that_cannot_be_written_is_noticed_before_the_first_step(backend, tmp_path):
    model = small(backend, 3, 2)
    before = numbers(model)
    last_layer = optim.SGD(model.layers[1])
    for path, optimizer, message in [
        ("run.pkl", None, "must end in .npz or .safetensors"),
        ("run.npz", last_layer, "has other parameters than the model"),
    ]:
        with pytest.raises(ValueError, match=message):
            model.fit(X, CLASSES, loss="cross_entropy", optimizer=optimizer, callbacks=[Checkpoint(tmp_path / path)])
        assert numbers(model) == before
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("key", [slice(0, 1), 1.0, None])
def test_what_a_history_is_not_asked_by(key):
    history = small("python").fit(X, Y, loss="hinge", epochs=1)
    for h in (history, History()):
        with pytest.raises(TypeError, match="takes the name of a column or the index of an epoch, not"):
            h[key]
