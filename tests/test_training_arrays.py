"""`fit` on arrays: the plain loop on batches to the bit, the scalar path but for rounding; which path is taken, and
kept; predictions of many samples at once."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest

from pygrad import backends, losses, optim, saving
from pygrad._paths import chosen
from pygrad.data import make_moons
from pygrad.history import History
from pygrad.nn import MLP, Dropout, Flatten, Layer, Linear, Module, Neuron, ReLU, Sequential, Sigmoid, Softmax, Tanh
from pygrad.training import epoch_order

from .conftest import bits
from .test_resuming import Interrupt
from .test_training import same

N = 40
POINTS, SIGNS = (np.array(part) for part in make_moons(N, noise=0.2, seed=3))
CLASSES = (SIGNS + 1) // 2
PAIRS = np.stack([POINTS[:, 1], POINTS[:, 0] ** 2], axis=1)

TARGETS = {
    "mse": (PAIRS, 2), "sse": (PAIRS * 0.1, 2), "hinge": (SIGNS, 1), "binary_cross_entropy": (CLASSES, 1),
    "binary_cross_entropy_with_logits": (CLASSES, 1), "cross_entropy": (CLASSES, 2), "multiclass_hinge": (CLASSES, 2),
}  # fmt: skip
"""For each loss targets, and how many outputs go with them."""


def network(backend, nout=1, *more, dtype="float64"):
    options = {"dtype": dtype, "backend": backend}
    return Sequential(Linear(2, 6, seed=1, **options), Tanh(), Linear(6, nout, seed=2, **options), *more)


def numbers(model):
    return [bits(x) for p in model.parameters() for x in np.ravel(p.data).tolist()]


def near(model, other, rtol=1e-9):
    for p, q in zip(model.parameters(), other.parameters()):
        np.testing.assert_allclose(p.data, q.data, rtol=rtol, atol=1e-12)


# ---- the arithmetic ----


@pytest.mark.parametrize("batch_size", [6, None])
def test_the_plain_loop(backend, batch_size):
    """Bit for bit, shuffled and with a smaller last batch."""
    model, plain = network(backend), network(backend)
    history = model.fit(
        POINTS, SIGNS, loss="hinge", optimizer="sgd", lr=0.1, epochs=3, batch_size=batch_size, penalty=0.01, seed=4
    )
    optimizer = optim.SGD(plain, lr=0.1)
    size = batch_size or N
    for epoch in range(3):
        order, mean = np.array(epoch_order(N, 4, epoch + 1, True)), 0.0
        for start in range(0, N, size):
            batch = order[start : start + size]
            loss = losses.hinge(plain(POINTS[batch]), SIGNS[batch]) + losses.l2_penalty(plain, 0.01)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            mean += loss.data * (len(batch) / N)
        assert bits(history["loss"][epoch]) == bits(mean)
    assert numbers(model) == numbers(plain)
    assert history.path == "arrays"


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("made", ["neurons", "arrays"])
def test_both_paths_learn_the_same(backend, name, made):
    targets, nout = TARGETS[name]

    def model():
        last = "sigmoid" if name == "binary_cross_entropy" else "linear"
        if made == "neurons":
            return MLP(2, [6, nout], activation="tanh", output_activation=last, init="xavier", seed=1, backend=backend)
        return network(backend, nout, *([Sigmoid()] if last == "sigmoid" else []))

    one, other = model(), model()
    options = {"loss": name, "optimizer": "adam", "lr": 0.03, "epochs": 3, "batch_size": 16, "validation": 0.25}
    scalars = one.fit(POINTS, targets, **options, path="scalars", clip_norm=1.0, penalty=1e-3)
    arrays = other.fit(POINTS, targets, **options, path="arrays", clip_norm=1.0, penalty=1e-3)
    assert (scalars.path, arrays.path) == ("scalars", "arrays")
    assert list(scalars.columns) == list(arrays.columns)
    for column in scalars.columns:
        if column != "seconds":
            np.testing.assert_allclose(arrays[column], scalars[column], rtol=1e-9, atol=1e-15)
    near(one, other, rtol=1e-7)


@pytest.mark.parametrize("made", ["neurons", "arrays"])
def test_the_same_bits_on_every_backend(made):
    histories, models = [], []
    for backend in backends.NAMES:
        model = network(backend, 2) if made == "arrays" else MLP(2, [16, 2], seed=1, backend=backend)
        histories.append(model.fit(POINTS, CLASSES, loss="cross_entropy", epochs=2, batch_size=32, validation=0.2))
        models.append(model)
    assert histories[0].path == "arrays"
    for history, model in zip(histories[1:], models[1:]):
        same(history, histories[0])
        assert numbers(model) == numbers(models[0])
        np.testing.assert_array_equal(model.predict_proba(POINTS), models[0].predict_proba(POINTS))


def test_float32_models_get_float32_batches(backend):
    met = set()

    class Watch(Module):
        def __call__(self, x):
            met.add(x.dtype)
            return x

    model = Sequential(Watch(), network(backend, 2, dtype="float32"))
    history = model.fit(POINTS, PAIRS, loss=lambda o, y: met.add(y.dtype) or losses.mse(o, y), epochs=2)
    assert met == {np.dtype(np.float32)}
    assert model.parameters()[0].data.dtype == np.float32
    double = network(backend, 2)
    expected = double.fit(POINTS, PAIRS, loss="mse", epochs=2)
    np.testing.assert_allclose(history["loss"], expected["loss"], rtol=1e-4)
    assert model.predict(POINTS, loss="mse").dtype == np.float64


def test_pictures(backend):
    """Samples of any shape, as integers."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (30, 4, 4, 3), dtype=np.uint8)
    labels = (images[..., 0].mean(axis=(1, 2)) > images[..., 1].mean(axis=(1, 2))).astype(int)
    model = Sequential(lambda x: x / 255.0, Flatten(), Linear(48, 4, seed=1, backend=backend), ReLU(),
                       Linear(4, 1, seed=2, backend=backend), Sigmoid())  # fmt: skip
    history = model.fit(images, labels, loss="binary_cross_entropy", lr=0.05, epochs=60, batch_size=None, shuffle=False)
    assert history["accuracy"][-1] == 1.0
    assert model.score(list(images), labels) == 1.0
    assert model.predict(images).tolist() == labels.tolist()
    assert model.predict(images[:4]).shape == (4,)
    with pytest.raises(ValueError, match=r"X has samples of shape \(4, 4\), but those trained on have \(4, 4, 3\)"):
        model.fit(images, labels, epochs=1, validation=(images[..., 0], labels))


def test_dropout_in_fit(backend):
    """Drawn for a batch as a whole; off in validation and predictions."""
    def model():
        first, last = Linear(2, 20, seed=1, backend=backend), Linear(20, 2, seed=2, backend=backend)
        return Sequential(first, Dropout(0.5, seed=3), last)

    one, other = model(), model()
    options = {"loss": "cross_entropy", "epochs": 2, "batch_size": 16, "validation": 0.25}
    same(one.fit(POINTS, CLASSES, **options), other.fit(POINTS, CLASSES, **options))
    assert numbers(one) == numbers(other)
    assert one.training
    np.testing.assert_array_equal(one.predict_proba(POINTS), one.predict_proba(POINTS))
    without = Sequential(one.parts[0], one.parts[2])
    np.testing.assert_array_equal(one.predict(POINTS, outputs=True), without.predict(POINTS))


# ---- which path ----


def test_the_rule_is_of_sizes(backend):
    """Of the samples in a batch, the parameters, and the layers."""
    def takes(model, samples, ordinary=True):
        return chosen("auto", model, samples, ordinary)

    moons = MLP(2, [16, 16, 1], backend=backend)
    assert [takes(moons, n) for n in (1, 16, 28, 29, 100)] == ["scalars"] * 3 + ["arrays"] * 2  # 837 a sample, 24,000
    digits = MLP(64, [32, 10], backend=backend)
    assert [takes(digits, n) for n in (1, 5, 6)] == ["scalars", "scalars", "arrays"]  # 2,910 a sample, 16,000
    line = Layer(1, 1, backend=backend)
    assert [takes(line, n) for n in (15, 16)] == ["scalars", "arrays"]
    assert takes(moons, 100, ordinary=False) == "scalars"
    for given in ("scalars", "arrays"):
        assert chosen(given, moons, 1, False) == chosen(given, moons, 100, True) == given
    for model in (
        Linear(2, 1, backend=backend), Sequential(Linear(2, 1, backend=backend), abs),
        Sequential(Layer(2, 2, backend=backend), Linear(2, 1, backend=backend)),
    ):  # fmt: skip
        assert takes(model, 1) == "arrays"
        assert takes(model, 1, ordinary=False) == "arrays"


def test_only_what_takes_batches_for_rows_gets_them(backend):
    class Own(MLP):
        """Its class may do anything."""

    class OwnNeuron(Neuron):
        def __call__(self, x):
            return super().__call__(x)

    layer = Layer(2, 2, backend=backend)
    odd = Layer(2, 2, backend=backend)
    odd.neurons[1] = OwnNeuron(2, backend=backend)
    custom = MLP(2, [2], output_activation=lambda v: v * 2, backend=backend)
    for model, path in [
        (Sequential(layer, Tanh(), Dropout(0.1), Softmax()), "arrays"),
        (Sequential(MLP(2, [2], backend=backend), layer), "arrays"),
        (MLP(2, [2], dropout=0.2, backend=backend), "arrays"),
        (Own(2, [2], backend=backend), "scalars"),
        (odd, "scalars"),
        (custom, "scalars"),
        (Neuron(2, backend=backend), "scalars"),
        (Sequential(layer, Neuron(2, backend=backend)), "scalars"),
        (Sequential(layer, lambda x: x), "scalars"),
        (Sequential(layer, Softmax(axis=0)), "scalars"),
        (Sequential(layer, Flatten()), "scalars"),
    ]:
        assert chosen("auto", model, 1000, True) == path, model


def test_the_history_says_which(backend):
    model = MLP(2, [4, 1], seed=1, backend=backend)
    assert History().path is None
    for size, path in [(4, "scalars"), (40, "arrays")]:
        history = model.fit(POINTS, SIGNS, loss="hinge", epochs=1, batch_size=size)
        assert history.path == history.settings["path"] == path
        assert f"path={path!r}" in repr(history)
        assert History.from_dict(history.to_dict()).path == path
    old = history.to_dict()
    del old["settings"]["path"]
    assert History.from_dict(old).path == "scalars"
    own = model.fit(POINTS, SIGNS, loss=lambda o, y: losses.hinge(o, y), epochs=1, batch_size=40)
    assert own.path == "scalars"
    with pytest.raises(ValueError, match="path must be one of 'auto', 'arrays', 'program', 'scalars', not 'fast'"):
        model.fit(POINTS, SIGNS, loss="hinge", epochs=1, path="fast")


def test_lists_are_as_good_as_arrays(backend):
    one, other = network(backend), network(backend)
    same(
        one.fit(POINTS, SIGNS, loss="hinge", epochs=2),
        other.fit(POINTS.tolist(), SIGNS.reshape(-1, 1).tolist(), loss="hinge", epochs=2),
    )
    line = Linear(1, 1, seed=1, backend=backend)
    line.fit([[0.0], [1.0], [2.0]], [1.0, 3.0, 5.0], loss="mse", optimizer="sgd", lr=0.2, epochs=300, batch_size=None)
    assert (line.weight.data.item(), line.bias.data.item()) == (pytest.approx(2.0), pytest.approx(1.0))


# ---- modules of one's own ----


def test_a_module_of_ones_own_gets_batches(Value):
    shapes = []

    class Quadratic(Module):
        def __init__(self):
            self.w, self.v, self.b = Value(np.zeros((2, 2))), Value(np.zeros((2, 2))), Value(np.zeros(2))

        def __call__(self, x):
            shapes.append(x.shape)
            return x**2 @ self.w + x @ self.v + self.b

    model = Quadratic()
    model.fit(POINTS, PAIRS, loss="mse", optimizer="sgd", lr=0.1, epochs=300, batch_size=16)
    np.testing.assert_allclose(model.w.data, [[0.0, 1.0], [0.0, 0.0]], atol=0.05)
    np.testing.assert_allclose(model.v.data, [[0.0, 0.0], [1.0, 0.0]], atol=0.05)
    assert set(shapes) == {(1, 2), (16, 2), (8, 2)}
    assert model.score(POINTS, PAIRS) == pytest.approx(1.0, abs=1e-3)


def test_scalar_and_array_parameters_together(backend):
    model = Sequential(MLP(2, [4], activation="tanh", seed=1, backend=backend), Linear(4, 1, seed=2, backend=backend))
    history = model.fit(POINTS, SIGNS, loss="hinge", lr=0.05, epochs=30)
    assert history.path == "arrays"
    assert history["loss"][-1] < 0.5 * history["loss"][0]


def test_what_does_not_take_batches(Value):
    class OneSample(Module):
        """x is one sample: W x."""

        def __init__(self):
            self.w = Value(np.zeros((3, 2)))

        def __call__(self, x):
            return self.w @ x

    class ListOfValues(OneSample):
        def __call__(self, x):
            return [row.sum() for row in x @ self.w.T]

    class Total(OneSample):
        def __call__(self, x):
            return (x @ self.w.T).sum()

    class Numbers(OneSample):
        def __call__(self, x):
            return np.asarray(x)

    with pytest.raises(ValueError, match=r"X\[0\]: .*; on arrays the model is given batches"):
        OneSample().fit(POINTS, CLASSES, loss="cross_entropy", epochs=1)
    for module, found in [(ListOfValues(), "a list"), (Total(), "a Value"), (Numbers(), "a ndarray")]:
        with pytest.raises(TypeError, match=rf"must give an array Value of shape \(1, outputs\), not {found}; with "):
            module.fit(POINTS, SIGNS, loss="hinge", epochs=1)
    model = OneSample()
    history = model.fit(POINTS, CLASSES, loss="cross_entropy", epochs=2, path="scalars")
    assert history.path == "scalars"
    assert model.w.data.any()


def test_a_loss_of_ones_own_gets_arrays(backend):
    met = []

    def loss(outputs, targets):
        met.append((outputs.shape, targets.shape, targets.dtype.kind))
        return ((outputs.reshape(-1) - targets) ** 2).mean()

    network(backend).fit(POINTS, SIGNS, loss=loss, epochs=1, batch_size=16)
    network(backend).fit(POINTS, SIGNS + 0.5, loss=loss, epochs=1, batch_size=16)
    assert met == [((n, 1), (n,), kind) for kind in "if" for n in (16, 16, 8)]
    with pytest.raises(TypeError, match=r"the loss must give a Value of one number, not one of shape \(40, 1\): "):
        network(backend).fit(POINTS, SIGNS, loss=lambda o, y: o * 2.0, epochs=1, batch_size=None)
    with pytest.raises(TypeError, match="the loss must give a Value, not float"):
        network(backend).fit(POINTS, SIGNS, loss=lambda o, y: 1.0, epochs=1)


# ---- errors name the sample here too ----


@pytest.mark.parametrize(
    ("X", "y", "error", "message"),
    [
        ([[1.0, 2.0], [1.0]], [1, -1], ValueError, r"X\[1\] has 1 input, but X\[0\] has 2 inputs"),
        ([[1.0, 2.0], [1.0, "a"]], [1, -1], TypeError, r"X\[1\]\[1\] must be a number, not str"),
        ([[1.0, 2.0], [1.0, None]], [1, -1], TypeError, r"X\[1\]\[1\] must be a number, not NoneType"),
        ([], [], ValueError, "X has no samples"),
        (np.zeros((0, 2)), [], ValueError, "X has no samples"),
        ("abc", [1, 2, 3], TypeError, "X must be a sequence with one entry a sample, not str"),
        ([[1.0, 2.0]], [1, -1], ValueError, "X has 1 samples, but y has 2 targets"),
        ([[1.0, 2.0]], [0], ValueError, r"y\[0\] must be -1 or 1, not 0"),
        ([[1.0, 2.0]], [[1, 1]], ValueError, r"y\[0\] has 2 targets, but the model gives one output"),
        ([[1.0, 2.0, 3.0]], [1], ValueError, r"X\[0\]: Linear\(2, 6\) takes inputs of shape .*, not \(1, 3\)"),
    ],
)
def test_errors_name_the_sample(X, y, error, message):
    with pytest.raises(error, match=message):
        network("python").fit(X, y, loss="hinge", epochs=1)


def test_more_errors():
    model = network("python", 2)
    with pytest.raises(ValueError, match=r"y\[1\] is 2, but the model's 2 outputs are for the classes 0 to 1"):
        model.fit(POINTS[:2], [0, 2], loss="cross_entropy", epochs=1)
    with pytest.raises(ValueError, match=r"validation X\[0\] has 3 inputs, but those trained on have 2 inputs"):
        model.fit(POINTS, CLASSES, loss="cross_entropy", epochs=1, validation=([[1.0, 2.0, 3.0]], [0]))
    with pytest.raises(ValueError, match="y: the targets differ in length, which an array cannot: use path='scalars'"):
        model.fit(POINTS[:2], [[1], [1, 2]], loss=lambda o, y: o.sum(), epochs=1)
    with pytest.raises(ValueError, match="one output a class, but this one gives a single output"):
        network("python", 1).fit(POINTS, CLASSES, loss="cross_entropy", epochs=1)


def test_diverging_warns_once_and_of_nothing_else(backend):
    """NumPy's own warnings would come for every operation."""
    model = network(backend)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        history = model.fit(POINTS, SIGNS, loss="mse", optimizer="sgd", lr=1e200, epochs=3, validation=0.2)
    assert len(caught) == 1
    assert str(caught[0].message).startswith("epoch 2, batch 1 of 1: the loss is ")
    assert "a smaller learning rate" in str(caught[0].message)
    assert not math.isfinite(history["loss"][-1])
    with pytest.raises(FloatingPointError, match=r"epoch 1, batch 2 of 2: the loss is .*; the parameters are those"):
        network(backend).fit(POINTS, SIGNS, loss="mse", optimizer="sgd", lr=1e200, epochs=3, on_nan="raise")
    with pytest.warns(RuntimeWarning, match="epoch 1, batch 1 of 1: the loss is nan; some of the data are not finite"):
        network(backend).fit([[1.0, math.nan], [0.0, 1.0]], [1, -1], loss="hinge", epochs=1)


# ---- resuming keeps the path ----


@pytest.mark.parametrize("made", ["neurons", "arrays"])
@pytest.mark.parametrize("at", [(1, 1), (2, 3), (2, 2)])
def test_resumed_on_its_path(backend, made, at):
    def model():
        return network(backend, 2) if made == "arrays" else MLP(2, [8, 2], seed=1, backend=backend)

    options = {"loss": "cross_entropy", "epochs": 3, "batch_size": 16, "path": "arrays"}
    whole, parts = model(), model()
    expected = whole.fit(POINTS, CLASSES, **options)
    history = parts.fit(POINTS, CLASSES, **options, callbacks=[Interrupt(*at)])
    assert history.interrupted
    del options["path"]
    assert parts.fit(POINTS, CLASSES, **options, resume=history).path == "arrays"
    same(history, expected)
    assert numbers(parts) == numbers(whole)


def test_an_explicit_path_counts_between_epochs(backend):
    model = MLP(2, [8, 2], seed=1, backend=backend)
    options = {"loss": "cross_entropy", "batch_size": 40}
    history = model.fit(POINTS, CLASSES, **options, epochs=1, path="scalars")
    assert model.fit(POINTS, CLASSES, **options, epochs=2, resume=history).path == "scalars"
    assert model.fit(POINTS, CLASSES, **options, epochs=3, resume=history, path="arrays").path == "arrays"
    history = model.fit(POINTS, CLASSES, loss="cross_entropy", batch_size=10, epochs=2, callbacks=[Interrupt(1, 2)])
    assert history.path == "scalars"
    with pytest.raises(ValueError, match="middle of an epoch with path='scalars': it cannot go on with 'arrays'"):
        model.fit(POINTS, CLASSES, batch_size=10, epochs=2, resume=history, path="arrays")


def test_resumed_from_a_file(backend, path):
    whole, part = network(backend, 2), network(backend, 2)
    options = {"batch_size": 16, "validation": 0.2}
    expected = whole.fit(POINTS, CLASSES, loss="cross_entropy", epochs=3, **options)
    history = part.fit(POINTS, CLASSES, loss="cross_entropy", epochs=2, **options)
    part.save(path, optimizer=history._optimizer, history=history)
    again, optimizer, history = saving.load(path, backend=backend, training=True)
    assert history.path == "arrays"
    again.fit(POINTS, CLASSES, epochs=3, optimizer=optimizer, resume=history, **options)
    same(history, expected)
    assert numbers(again) == numbers(whole)


# ---- predictions ----


@pytest.mark.parametrize("name", TARGETS)
def test_predictions_of_many_are_those_of_each(backend, name):
    targets, nout = TARGETS[name]
    more = [Sigmoid()] if name == "binary_cross_entropy" else []
    mlp = MLP(2, [16, nout], seed=1, output_activation="sigmoid" if more else None, backend=backend)
    for model in (mlp, network(backend, nout, *more)):
        model.fit(POINTS, targets, loss=name, epochs=2)
        outputs = model.predict(POINTS, outputs=True)
        each = [model(row) for row in POINTS.tolist()]
        each = [v.data if v.ndim else [v.data] for v in each] if model is not mlp or nout == 1 else [
            [v.data for v in row] for row in each
        ]  # fmt: skip
        np.testing.assert_allclose(outputs.reshape(N, -1), each, rtol=1e-13, atol=1e-15)
        assert outputs.shape == ((N,) if nout == 1 else (N, nout))
        labels = model.predict(POINTS)
        if name in ("mse", "sse"):
            np.testing.assert_array_equal(labels, outputs)
        else:
            assert labels.dtype == np.int64
            np.testing.assert_array_equal(labels, [model.predict(POINTS[i : i + 1])[0] for i in range(N)])
            assert model.score(POINTS, targets) == np.mean(labels == targets)
        if name not in ("mse", "sse", "hinge", "multiclass_hinge"):
            single = [model.predict_proba(POINTS[i : i + 1])[0] for i in range(N)]
            np.testing.assert_allclose(model.predict_proba(POINTS), single, rtol=1e-13)


def test_scores_on_both_paths(backend):
    sklearn = pytest.importorskip("sklearn.metrics")
    model = network(backend, 2)
    model.fit(POINTS, PAIRS, loss="mse", epochs=2)
    assert model.score(POINTS, PAIRS) == pytest.approx(sklearn.r2_score(PAIRS, model.predict(POINTS)), rel=1e-12)


def test_several_labels_a_sample(backend):
    model = network(backend, 2)
    both = (PAIRS > 0.2).astype(int)
    history = model.fit(POINTS, both, loss="binary_cross_entropy_with_logits", lr=0.1, epochs=40)
    labels = model.predict(POINTS)
    assert labels.shape == (N, 2)
    assert model.score(POINTS, both) == np.mean((labels == both).all(axis=1)) > 0.8
    assert history["accuracy"][-1] > 0.8


def test_more_than_are_computed_at_once(backend):
    model = network(backend, 2)
    X = np.random.default_rng(1).normal(size=(2500, 2))
    np.testing.assert_allclose(model.predict(X), model(X).data, rtol=1e-13)


def test_no_graph_is_kept(engine, engine_name, live):
    model = network(engine_name)
    before = live()
    for _ in range(3):
        model.fit(POINTS, SIGNS, loss="hinge", epochs=2, batch_size=16, validation=0.2)
        model.predict(POINTS)
        assert live() == before
    del model
