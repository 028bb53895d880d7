"""predict, predict_proba and score, compared with NumPy and, where it is installed, scikit-learn's metrics."""

from __future__ import annotations

import gc

import numpy as np
import pytest

from pygrad import losses, saving
from pygrad.nn import Dropout, Layer, Module, Sequential

from .test_training import CLASSES, X, Y, numbers, small

LABELS = {
    "mse": None,
    "sse": None,
    "binary_cross_entropy": lambda out: (out > 0.5).astype(int),
    "binary_cross_entropy_with_logits": lambda out: (out > 0).astype(int),
    "hinge": lambda out: np.where(out > 0, 1, -1),
    "cross_entropy": lambda out: out.argmax(axis=1),
    "multiclass_hinge": lambda out: out.argmax(axis=1),
}


def trained(backend, loss):
    """A model that was trained a little, its targets, and its outputs, one by one."""
    of_classes = loss in ("cross_entropy", "multiclass_hinge")
    targets = Y if loss == "hinge" else [x[0] for x in X] if loss.endswith("se") else CLASSES
    if of_classes:
        targets = [(i + c) % 3 for i, c in enumerate(CLASSES)]
    last = {"output_activation": "sigmoid"} if loss == "binary_cross_entropy" else {}
    model = small(backend, 4, 3 if of_classes else 1, **last)
    model.fit(X, targets, loss=loss, epochs=2, batch_size=8)
    outputs = [model(x) for x in X]
    return model, targets, np.array([[v.data for v in o] if of_classes else o.data for o in outputs])


@pytest.mark.parametrize("loss", losses.LOSSES)
def test_outputs_and_labels(backend, loss):
    model, targets, outputs = trained(backend, loss)
    found = model.predict(X, outputs=True)
    assert found.dtype == np.float64
    assert found.tobytes() == outputs.tobytes()
    labels = LABELS[loss]
    if labels is None:
        assert model.predict(X).tobytes() == outputs.tobytes()
        return
    assert model.predict(X).dtype == np.int64
    assert model.predict(np.array(X)).tolist() == labels(outputs).tolist()
    assert model.score(X, targets) == np.mean(labels(outputs) == targets)
    assert 0.0 < model.score(X, targets) < 1.0 or loss != "cross_entropy"


def test_probabilities(backend):
    model, _, outputs = trained(backend, "cross_entropy")
    exps = np.exp(outputs)
    assert model.predict_proba(X) == pytest.approx(exps / exps.sum(axis=1, keepdims=True), rel=1e-14)
    model, _, outputs = trained(backend, "binary_cross_entropy_with_logits")
    assert model.predict_proba(X) == pytest.approx(1 / (1 + np.exp(-outputs)), rel=1e-14)
    model, _, outputs = trained(backend, "binary_cross_entropy")
    assert model.predict_proba(X).tobytes() == outputs.tobytes()


def test_scores_are_those_of_scikit_learn(backend):
    metrics = pytest.importorskip("sklearn.metrics")
    for loss in losses.LOSSES:
        model, targets, _outputs = trained(backend, loss)
        measure = metrics.r2_score if LABELS[loss] is None else metrics.accuracy_score
        assert model.score(X, targets) == pytest.approx(measure(targets, model.predict(X)), rel=1e-12)
    model = small(backend, 2)
    both = [[x[1], 3 * x[0] - 1] for x in X]
    model.fit(X, both, loss="mse", epochs=3)
    assert model.score(X, np.array(both)) == pytest.approx(metrics.r2_score(both, model.predict(X)), rel=1e-12)
    labels = [[c, 1 - c] for c in CLASSES]
    model.fit(X, labels, loss="binary_cross_entropy_with_logits", epochs=3)
    assert model.predict(X).shape == model.predict_proba(X).shape == (22, 2)
    assert model.score(X, labels) == metrics.accuracy_score(labels, model.predict(X))


def test_targets_that_are_all_equal():
    """Where there is no variance to explain: 1 for exact predictions, otherwise 0, as scikit-learn has it."""
    model = small("c")
    for p in model.parameters():
        p.data = 0.0
    model.parameters()[-1].data = 0.1
    assert model.score(X, [0.1] * 22, loss="mse") == 1.0  # although the mean of so many 0.1 is not 0.1
    assert model.score(X, [0.3] * 22, loss="mse") == 0.0
    assert model.score(X, [0.7] * 22, loss="mse") == 0.0
    with pytest.raises(ValueError, match="at least two samples"):
        model.score(X[:1], [1], loss="mse")


def test_a_loss_may_be_named():
    model = small("c", 2)
    outputs = model.predict(X)
    assert outputs.shape == (22, 2)  # of an untrained model nobody knows what they mean
    assert model.predict(X, loss="cross_entropy").tolist() == outputs.argmax(axis=1).tolist()
    assert model.predict(X, loss="cross_entropy", outputs=True).tobytes() == outputs.tobytes()
    assert model.predict_proba(X, loss="cross_entropy").sum(axis=1) == pytest.approx(1.0)
    assert model.score(X, CLASSES, loss="multiclass_hinge") == np.mean(outputs.argmax(axis=1) == CLASSES)


def test_a_loaded_model_knows_its_labels(backend, tmp_path):
    model, targets, _ = trained(backend, "cross_entropy")
    saving.save(model, tmp_path / "m.npz")
    loaded = saving.load(tmp_path / "m.npz", backend=backend)
    assert loaded.predict(X).tolist() == model.predict(X).tolist()
    assert loaded.predict_proba(X).tobytes() == model.predict_proba(X).tobytes()
    assert loaded.score(X, targets) == model.score(X, targets)


def test_errors():
    model = small("c")
    with pytest.raises(ValueError, match="not trained by fit with a named loss: say with loss="):
        model.score(X, Y)
    with pytest.raises(ValueError, match="no probabilities: this model was not trained"):
        model.predict_proba(X)
    with pytest.raises(ValueError, match="no probabilities: 'hinge' has none"):
        model.predict_proba(X, loss="hinge")
    with pytest.raises(ValueError, match="unknown loss='mae'"):
        model.predict(X, loss="mae")
    with pytest.raises(TypeError, match="loss must be a name"):
        model.predict(X, loss=losses.mse)
    for call in (model.predict, model.predict_proba):
        with pytest.raises(ValueError, match="one output a class, but the model gives a single output"):
            call(X, loss="cross_entropy")
    with pytest.raises(ValueError, match=r"y\[0\] must be -1 or 1"):
        model.score(X, [3] * 22, loss="hinge")
    with pytest.raises(ValueError, match="X has 22 samples, but y has 3 targets"):
        model.score(X, Y[:3], loss="hinge")
    with pytest.raises(ValueError, match="X has no samples"):
        model.predict([])
    with pytest.raises(ValueError, match=r"X\[0\]: .* takes 2 inputs, but got 3"):
        model.predict([[1, 2, 3]])


def test_dropout_does_nothing_here():
    model = Sequential(small("c", 4), Dropout(0.9, seed=1), Layer(4, 1, seed=1, backend="c"))
    assert model.predict(X).tolist() == model.predict(X).tolist()
    assert model.training


def test_no_graph_is_kept(engine, engine_name, live):
    model = small(engine_name)
    count = live()

    class Watching(Module):
        def __init__(self):
            self.inner = model

        def __call__(self, x):
            most.append(live())
            return self.inner(x)

    most = []
    gc.disable()
    try:
        Watching().predict(X * 5)
    finally:
        gc.enable()
    assert max(most) < 2 * count + 40
    assert live() == count
    assert numbers(model) == numbers(small(engine_name))
    del model
