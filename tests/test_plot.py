"""Plots: what matplotlib was given, read back from the Axes; every model and history that may come; the errors."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any, NamedTuple

import numpy as np
import pytest

from pygrad import MLP, plot

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
from matplotlib import pyplot as plt  # noqa: E402
from matplotlib.colors import to_hex  # noqa: E402

BLUE, RED = "#2166ac", "#b2182b"
X = [[0.0, 0.0], [1.0, 0.0], [0.0, 2.0], [1.0, 2.0]]


@pytest.fixture(autouse=True)
def _no_figures_left():
    yield
    plt.close("all")


def colours_of(ax: Any) -> list[str]:
    """Of the samples, in order."""
    return [to_hex(c) for c in ax.collections[-1].get_facecolors()]


def boundary_of(ax: Any) -> Any:
    """The points of the line between two classes."""
    lines = [c for c in ax.collections if hasattr(c, "levels") and len(c.levels) == 1]
    return lines[0].get_paths()[0].vertices if lines else None


# ---- decision_boundary ----


def test_boundary_lies_where_the_score_is_zero(Value):
    ax = plot.decision_boundary(lambda p: Value(2 * p[1]) - 1.5, X, [-1, -1, 1, 1], steps=20)
    assert boundary_of(ax)[:, 1] == pytest.approx(0.75)
    assert colours_of(ax) == [BLUE, BLUE, RED, RED]
    assert np.asarray(ax.collections[-1].get_offsets()).tolist() == X
    assert (ax.get_xlim(), ax.get_ylim()) == ((-0.5, 1.5), (-0.5, 2.5))
    ax.figure.canvas.draw()


def test_the_model_is_called_for_every_point_of_the_grid():
    calls = []
    plot.decision_boundary(lambda p: calls.append(p) or p[0] - 0.5, X, [0, 1, 0, 1], steps=5, padding=1)
    assert sorted(calls) == [[x, y] for x in np.linspace(-1, 2, 5) for y in np.linspace(-1, 3, 5)]


def test_an_mlp(backend):
    ax = plot.decision_boundary(MLP(2, [3, 1], backend=backend), np.array(X), np.array([1, -1, 1, -1]), steps=4)
    assert colours_of(ax) == [RED, BLUE, RED, BLUE]


def test_threshold(Value):
    def sigmoid(p):
        return Value(p[0] - 0.25).sigmoid()

    assert boundary_of(plot.decision_boundary(sigmoid, X, [0, 1, 0, 1]))[:, 0] == pytest.approx(0.25, abs=1e-4)
    assert boundary_of(plot.decision_boundary(sigmoid, X, [-1, 1, -1, 1])) is None, "all scores are above 0"
    lower = plot.decision_boundary(sigmoid, X, [0, 1, 0, 1], threshold=0.45)
    assert boundary_of(lower)[:, 0] == pytest.approx(0.25 + math.log(0.45 / 0.55), abs=1e-3)


def test_several_scores_the_greatest_wins(Value):
    centres = [(0, 0), (1, 0), (0.5, 2)]

    def model(p):
        return [Value(-math.dist(p, c)) for c in centres]

    ax = plot.decision_boundary(model, X, [0, 1, 2, 2], steps=30)
    assert colours_of(ax) == [to_hex(c) for c in ("C0", "C1", "C2", "C2")]
    filled = [c for c in ax.collections if hasattr(c, "levels") and len(c.levels) == 2]
    assert [to_hex(c.get_facecolor()[0]) for c in filled] == [to_hex(f"C{k}") for k in range(3)]
    for region, centre in zip(filled, centres):
        assert region.get_paths()[0].contains_point(centre)
    ax.figure.canvas.draw()


def test_models_that_give_arrays_numbers_or_nan():
    for model in (lambda p: np.float64(p[0]), lambda p: np.array([p[0]]), lambda p: np.array(p[0]), lambda p: 3):
        plot.decision_boundary(model, X, [0, 1, 0, 1], steps=3).figure.canvas.draw()
    plot.decision_boundary(lambda p: np.array([p[0], p[1], 0.0]), X, [0, 1, 0, 1], steps=3)
    plot.decision_boundary(lambda p: math.nan, X, [0, 1, 0, 1], steps=3).figure.canvas.draw()
    plot.decision_boundary(lambda p: [math.nan, p[0]], X, [0, 1, 0, 1], steps=3).figure.canvas.draw()
    plot.decision_boundary(lambda p: math.inf if p[0] > 0 else -1.0, X, [0, 1, 0, 1], steps=3).figure.canvas.draw()
    assert colours_of(plot.decision_boundary(lambda p: p[0], X, [1, 1, 1, 1], steps=3)) == [RED] * 4


def test_samples_and_labels_may_be_values(Value):
    ax = plot.decision_boundary(lambda p: p[0], [[Value(a), b] for a, b in X], [Value(k) for k in (-1, 1, -1, 1)])
    assert colours_of(ax) == [BLUE, RED, BLUE, RED]


def test_given_axes_are_used_and_no_figure_made():
    figure = matplotlib.figure.Figure()
    ax = figure.subplots()
    assert plot.decision_boundary(lambda p: p[0], X, [0, 1, 0, 1], ax=ax, steps=3) is ax
    assert plot.loss_curves({"loss": [1.0], "accuracy": [0.5]}, ax=ax)[0] is ax
    assert plt.get_fignums() == []


def test_boundary_errors_leave_no_figure():
    def cases():
        yield "shape", lambda: plot.decision_boundary(lambda p: 0, [[1.0, 2.0, 3.0]], [1])
        yield "no samples", lambda: plot.decision_boundary(lambda p: 0, [], [])
        yield "4 samples, but y has 3 labels", lambda: plot.decision_boundary(lambda p: 0, X, [1, 2, 3])
        yield "one score, but y has 3 different", lambda: plot.decision_boundary(lambda p: 0, X, [0, 1, 2, 0])
        yield "labels run from 0 to 1: not 2.0", lambda: plot.decision_boundary(lambda p: p, X, [0, 1, 2, 0])
        yield "steps must be at least 2, not 1", lambda: plot.decision_boundary(lambda p: 0, X, [0, 1, 0, 1], steps=1)

    for message, call in cases():
        with pytest.raises(ValueError, match=message):
            call()
    assert plt.get_fignums() == []


# ---- loss_curves ----

HISTORY = {
    "accuracy": [0.5, 0.75, 1.0],
    "validation_loss": [2.0, None, 1.5],
    "loss": [2.0, 1.0, 0.5],
    "learning_rate": [0.1, 0.01, 0.001],
    "validation_accuracy": [0.5, math.nan, 0.75],
}


def lines_of(axes: list[Any]) -> dict[str, tuple[list[float], list[float]]]:
    return {
        line.get_label(): (list(map(float, line.get_xdata())), list(map(float, line.get_ydata())))
        for ax in axes
        for line in ax.get_lines()
    }


EXPECTED = {
    "loss": ([1, 2, 3], [2.0, 1.0, 0.5]),
    "validation loss": ([1, 3], [2.0, 1.5]),
    "accuracy": ([1, 2, 3], [0.5, 0.75, 1.0]),
    "validation accuracy": ([1, 3], [0.5, 0.75]),
    "learning rate": ([1, 2, 3], [0.1, 0.01, 0.001]),
}


def test_curves_of_a_mapping():
    axes = plot.loss_curves(HISTORY)
    assert lines_of(axes) == EXPECTED
    assert [ax.get_ylabel() for ax in axes] == ["loss", "accuracy", "learning rate"]
    assert [ax.get_yscale() for ax in axes] == ["linear", "linear", "log"]
    assert axes[-1].get_xlabel() == "epoch"
    assert [t.get_text() for t in axes[0].get_legend().get_texts()] == ["loss", "validation loss"]
    assert [line.get_linestyle() for line in axes[0].get_lines()] == ["-", "--"]
    axes[0].figure.canvas.draw()


def test_curves_on_given_axes():
    ax = plt.figure().subplots()
    axes = plot.loss_curves(HISTORY, ax=ax)
    assert lines_of(axes) == EXPECTED
    assert len({line.get_color() for a in axes for line in a.get_lines()}) == 5
    assert [t.get_text() for t in ax.get_legend().get_texts()] == list(EXPECTED)
    ax.figure.canvas.draw()


class Epoch(NamedTuple):
    epoch: int
    loss: float
    note: str


class Record:
    def __init__(self, epoch: int, loss: float) -> None:
        self.epoch, self.loss, self._hidden = epoch, loss, 0.0


class Slotted:
    __slots__ = ("epoch", "loss")

    def __init__(self, epoch: int, loss: float) -> None:
        self.epoch, self.loss = epoch, loss


class History:
    def __init__(self, epochs: list[Any]) -> None:
        self.epochs = epochs


@pytest.mark.parametrize(
    "make", [lambda e, x: {"epoch": e, "loss": x}, lambda e, x: Epoch(e, x, "n"), Record, Slotted],
    ids=["mapping", "tuple", "object", "slots"],
)
def test_curves_of_epochs(make):
    axes = plot.loss_curves(History([make(10, 3.0), make(20, 2.0)]))
    assert lines_of(axes) == {"loss": ([10, 20], [3.0, 2.0])}


def test_a_metric_that_starts_late_is_a_gap():
    axes = plot.loss_curves(History([{"loss": 2.0}, {"loss": 1.0, "accuracy": 0.5}]))
    assert lines_of(axes) == {"loss": ([1, 2], [2.0, 1.0]), "accuracy": ([2], [0.5])}


def test_a_loss_that_falls_far_is_logarithmic():
    assert plot.loss_curves({"loss": [10.0, 0.1]})[0].get_yscale() == "log"
    assert plot.loss_curves({"loss": [10.0, 0.0]})[0].get_yscale() == "linear"
    plot.loss_curves({"loss": [math.inf, math.nan]})[0].figure.canvas.draw()


def test_nothing_to_plot():
    for history in ({}, {"epoch": [1, 2]}, {"name": "abc"}, {"loss": 3.0}, History([])):
        with pytest.raises(ValueError, match="nothing to plot"):
            plot.loss_curves(history)
    assert plt.get_fignums() == []


# ---- pictures and what was predicted ----


def test_a_grid_of_pictures():
    grey = np.arange(7 * 4 * 5).reshape(7, 4, 5)
    ax = plot.prediction_grid(grey, [0, 1, 1, 0, 1, 0, 1], [0, 1, 0, 0, 1, 1, 1], names=["no", "yes"], columns=3)
    assert [text.get_text() for text in ax.texts] == ["no", "yes", "yes (no)", "no", "yes", "no (yes)", "yes"]
    assert [to_hex(line.get_color()) == RED for line in ax.lines] == [False, False, True, False, False, True, False]
    assert len(ax.images) == 7
    for image, picture in zip(ax.images, grey):
        assert (image.get_array() == picture).all()
        assert image.get_clim() == (0, 139), "one scale for all"
    lefts, tops = ([image.get_extent()[i] for image in ax.images] for i in (0, 3))
    assert [len(set(places)) for places in (lefts, tops)] == [3, 3]
    ax.figure.canvas.draw()


def test_a_grid_of_coloured_pictures_without_labels():
    _, given = plt.subplots()
    ax = plot.prediction_grid(np.zeros((2, 4, 4, 3)), np.array([[1], [0]]), ax=given)
    assert ax is given
    assert [text.get_text() for text in ax.texts] == ["1", "0"]
    assert len({line.get_color() for line in ax.lines}) == 1


@pytest.mark.parametrize("shape", [(2, 4), (2, 4, 4, 4), (0, 4, 4), (2,)])
def test_what_are_no_pictures(shape):
    with pytest.raises(ValueError, match=r"images must have shape .* not "):
        plot.prediction_grid(np.zeros(shape), [0] * shape[0])
    with pytest.raises(ValueError, match="there are 2 images, but 3 predictions or labels"):
        plot.prediction_grid(np.zeros((2, 4, 4)), [0, 1], [0, 1, 2])
    assert plt.get_fignums() == []


# ---- matplotlib itself ----


def test_nothing_is_shown(monkeypatch):
    monkeypatch.setattr(plt, "show", lambda *_: pytest.fail("a plot was shown"))
    plot.decision_boundary(lambda p: p[0], X, [0, 1, 0, 1], steps=3)
    plot.loss_curves({"loss": [1.0]})
    assert len(plt.get_fignums()) == 2, "made by pyplot, so that a notebook shows them"


def test_without_matplotlib_the_extra_is_named():
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "from pygrad import plot\n"
        "try: plot.loss_curves({'loss': [1.0]})\n"
        "except ImportError as e: assert \"pip install 'pygrad[plot]'\" in str(e)\n"
        "else: raise SystemExit('no ImportError')\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        ([[0, 1], [1]], [1, 0], r"X\[1\] has 1 input, but X\[0\] has 2 inputs"),
        ([[0, 1], [math.nan, 1]], [1, 0], r"X\[1\] is not finite"),
        ([[0, 1], [1, 0]], ["a", "b"], r"y\[0\], a label, must be a number, not str"),
        ([[0, "a"], [1, 0]], [1, 0], r"X\[0\]\[1\] must be a number, not str"),
    ],
)
def test_samples_that_cannot_be_drawn(X, y, message):
    with pytest.raises((TypeError, ValueError), match=message):
        plot.decision_boundary(lambda x: x[0], X, y)


def test_curves_of_what_fit_gave():
    model = MLP(1, [2, 1], seed=1)
    X, y = [[0.0], [1.0]], [-1, 1]
    history = model.fit(X, y, loss="hinge", epochs=3, validation=(X, y), progress=False)
    names = ("loss", "accuracy", "validation_loss", "validation_accuracy")
    expected = {name.replace("_", " "): ([1, 2, 3], history[name]) for name in names}
    for axes in (plot.loss_curves(history), history.plot()):
        assert lines_of(axes) == expected
