"""Plots with matplotlib: what a classifier has learned of the plane or of pictures, and how training went.

Works on Axes only and never shows anything: a notebook does that at the end of the cell, a script with plt.show() or
savefig. matplotlib is imported on use (`pip install 'pygrad[plot]'`). Nothing is trained or evaluated here but the
model itself, as it is called by anyone.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from . import _checks, _samples
from .history import History

_VALIDATION = ("validation_", "val_")
_LOG_RANGE = 20.0  # a loss that falls by more than this factor is plotted on a logarithmic axis


def decision_boundary(
    model: Callable[[list[float]], Any],
    X: Any,
    y: Any,
    *,
    ax: Any = None,
    steps: int = 100,
    padding: float = 0.5,
    threshold: float | None = None,
) -> Any:
    """Colours the plane by what the model says of each point, and plots the samples on it. Returns the Axes.

    model: takes a list of two floats; gives one score (a Value or a number), or a sequence of one score a class,
    of which the greatest wins.
    X: (n, 2) samples. y: (n,) labels; with one score two different labels, the higher one for a score above the
    threshold; with several scores the class numbers, from 0.
    ax: the Axes to use; by default those of a new figure, made by pyplot so that a notebook shows it.
    steps: points of the grid in each direction. padding: how far it reaches beyond the samples, in X's units.
    threshold: by default 0, or 0.5 if the labels are 0 and 1 and all scores lie between.

    Raises ValueError for wrong shapes or labels, ImportError if matplotlib is not installed.
    """
    samples, labels = _points(X, y)
    if _checks.size(steps, "steps") < 2:
        raise ValueError(f"steps must be at least 2, not {steps}")
    low, high = samples.min(axis=0) - padding, samples.max(axis=0) + padding
    across, up = np.linspace(low[0], high[0], steps), np.linspace(low[1], high[1], steps)
    scores = np.array([_scores(model([float(a), float(b)])) for b in up for a in across])
    scores = scores.reshape(steps, steps, -1)
    if scores.shape[2] == 1:
        threshold = _threshold(scores, labels, threshold)
        ax = _axes(ax)
        colours = _two_classes(ax, across, up, scores[:, :, 0], labels, threshold)
    else:
        _check_class_numbers(labels, scores.shape[2])
        ax = _axes(ax)
        colours = _several_classes(ax, across, up, scores, labels)
    ax.scatter(*samples.T, c=colours, s=26, edgecolors="white", linewidths=0.8, zorder=3)
    ax.set_xlim(low[0], high[0])
    ax.set_ylim(low[1], high[1])
    return ax


def loss_curves(history: Any, *, ax: Any = None) -> list[Any]:
    """Plots how losses, accuracies and other metrics went, epoch by epoch. Returns the Axes, the loss's first.

    history: what fit gave; a mapping from a metric's name to one number an epoch; or something with `epochs`, a
    sequence of mappings or of objects with attributes. None and nan are gaps. A name that starts with 'validation_'
    goes into the plot of the name without it. An 'epoch' among them numbers the epochs; otherwise they count from 1.
    ax: the Axes to use: the first metric on the left axis, others on axes at the right. By default a new figure,
    made by pyplot so that a notebook shows it, with one plot a metric below each other.

    Raises ValueError if there is nothing to plot, ImportError if matplotlib is not installed.
    """
    series = _series(history)
    epochs = series.pop("epoch", None)
    groups: dict[str, list[str]] = {}
    for name in sorted(series, key=lambda name: _base(name) != "loss"):  # stable: the loss first
        groups.setdefault(_base(name), []).append(name)
    if not groups:
        raise ValueError("there is nothing to plot: the history holds no numbers")
    axes = _panels(len(groups)) if ax is None else _right_axes(ax, len(groups))
    colours = iter(f"C{i}" for i in range(len(series)))
    for panel, (base, names) in zip(axes, groups.items()):
        for name in sorted(names, key=lambda name: name != base):
            _curve(panel, epochs, series[name], name, next(colours))
        panel.set_ylabel(base.replace("_", " "))
        _scale(panel, base, [series[name] for name in names])
    lowest = axes[-1] if ax is None else ax
    lowest.set_xlabel("epoch")
    lowest.xaxis.get_major_locator().set_params(integer=True)
    if ax is None:
        for panel in axes:
            panel.legend(frameon=False)
    else:
        lines = [line for panel in axes for line in panel.get_lines()]
        names = [line.get_label() for line in lines]
        ax.legend(lines, names, frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=min(len(lines), 3))
    return axes


def prediction_grid(
    images: Any,
    predictions: Any,
    labels: Any = None,
    *,
    names: Sequence[str] | None = None,
    columns: int = 10,
    ax: Any = None,
) -> Any:
    """Shows pictures in rows, each with what was predicted under it; framed in green where that is right, in red where
    it is wrong, with the label in brackets. Returns the Axes.

    images: of shape (n, height, width), white at the smallest number of all and black at the largest; or (n, height,
    width, 3), colours from 0 to 255 as integers, or from 0 to 1.
    predictions: n class numbers. labels: n class numbers, the right ones; None to say nothing about right and wrong.
    names: of the classes, by their numbers; by default the numbers.
    columns: pictures a row. ax: the Axes to use; by default those of a new figure, made by pyplot.

    Raises ValueError for wrong shapes, ImportError if matplotlib is not installed.
    """
    pictures = np.asarray(images)
    if not len(pictures) or pictures.ndim not in (3, 4) or (pictures.ndim == 4 and pictures.shape[3] != 3):
        raise ValueError(f"images must have shape (n, height, width), or with 3 colours, not {pictures.shape}")
    classes = [np.asarray(given).ravel().astype(int).tolist() for given in (predictions, labels) if given is not None]
    for given in classes:
        if len(given) != len(pictures):
            raise ValueError(f"there are {len(pictures)} images, but {len(given)} predictions or labels")
    across = min(_checks.size(columns, "columns") or 1, len(pictures))
    rows = -(-len(pictures) // across)
    if ax is None:
        _, ax = _pyplot().subplots(layout="constrained", figsize=(1.05 * across + 0.2, 1.3 * rows + 0.2))
    shades = {"cmap": "gray_r", "vmin": pictures.min(), "vmax": pictures.max()} if pictures.ndim == 3 else {}
    for i, picture in enumerate(pictures):
        # a picture is 1 wide and 1 high, in a cell that leaves room for the words below
        left, top = 1.12 * (i % across), 1.36 * (i // across)
        ax.imshow(picture, extent=(left, left + 1.0, top + 1.0, top), **shades)
        predicted = classes[0][i]
        text, right = names[predicted] if names else str(predicted), None
        if len(classes) > 1:
            label = classes[1][i]
            right = predicted == label
            text += "" if right else f" ({names[label] if names else label})"
        colour = "#333333" if right is None else "#1a7f37" if right else "#b2182b"
        ax.plot(
            [left, left + 1, left + 1, left, left], [top, top, top + 1, top + 1, top], color=colour,
            linewidth=1.0 if right else 2.0,
        )  # fmt: skip
        ax.text(left + 0.5, top + 1.04, text, color=colour, ha="center", va="top", fontsize=7)
    ax.set_xlim(-0.06, 1.12 * across - 0.06)
    ax.set_ylim(1.36 * rows - 0.06, -0.06)
    ax.set_aspect("equal")
    ax.set_axis_off()
    return ax


# ---- matplotlib ----


def _pyplot() -> Any:
    try:
        return importlib.import_module("matplotlib.pyplot")
    except ImportError as error:
        raise ImportError("plots need matplotlib: pip install 'pygrad[plot]'") from error


def _axes(ax: Any) -> Any:
    return _pyplot().subplots(layout="constrained")[1] if ax is None else ax


def _panels(count: int) -> list[Any]:
    """So many plots below each other, with one axis of epochs; the first one higher."""
    heights = [2.0] + [1.0] * (count - 1)
    _, axes = _pyplot().subplots(
        count, 1, sharex=True, squeeze=False, layout="constrained",
        figsize=(6.4, 2.4 + 1.4 * count), height_ratios=heights,
    )  # fmt: skip
    return list(axes[:, 0])


def _right_axes(ax: Any, count: int) -> list[Any]:
    """ax, and further ones over it with their scales at the right, beside each other."""
    axes = [ax]
    for i in range(1, count):
        axes.append(ax.twinx())
        axes[-1].spines["right"].set_position(("outward", 55.0 * (i - 1)))
    return axes


# ---- the decision boundary ----


def _data(x: Any) -> Any:
    """The number that a Value holds; anything else as it is."""
    return x.data if _checks.is_value(x) else x


def _points(X: Any, y: Any) -> tuple[Any, Any]:
    """X and y as arrays of floats."""
    rows = _samples.as_rows([[_data(x) for x in row] for row in X], "X")
    samples = np.array(rows, dtype=float)
    flat = np.asarray(y, dtype=object).ravel()
    labels = np.array([_checks.as_float(_data(k), f"y[{i}], a label,") for i, k in enumerate(flat)], dtype=float)
    if not np.all(np.isfinite(samples)):
        raise ValueError(f"X[{int(np.argmin(np.isfinite(samples).all(axis=1)))}] is not finite: it cannot be drawn")
    if samples.ndim != 2 or samples.shape[1] != 2 or not len(samples):
        raise ValueError(f"X must hold samples of two features, shape (n, 2), not {samples.shape}")
    if len(labels) != len(samples):
        raise ValueError(f"X has {len(samples)} samples, but y has {len(labels)} labels")
    return samples, labels


def _scores(output: Any) -> list[float]:
    """One model output as a list of floats."""
    return [float(s) for s in np.asarray(_data(output), dtype=object).ravel()]


def _threshold(scores: Any, labels: Any, given: float | None) -> float:
    """The score at which one class ends and the other begins."""
    kinds = np.unique(labels)
    if len(kinds) > 2:
        raise ValueError(f"the model gives one score, but y has {len(kinds)} different labels: {kinds.tolist()}")
    if given is not None:
        return given
    probabilities = set(kinds.tolist()) <= {0.0, 1.0} and bool(np.all((scores >= 0.0) & (scores <= 1.0)))
    return 0.5 if probabilities else 0.0


def _check_class_numbers(labels: Any, classes: int) -> None:
    for k in labels.tolist():
        if not (k.is_integer() and 0 <= k < classes):
            raise ValueError(f"the model gives {classes} scores, so labels run from 0 to {classes - 1}: not {k!r}")


def _two_classes(ax: Any, across: Any, up: Any, scores: Any, labels: Any, threshold: float) -> list[str]:
    """Blue below the threshold, red above, the paler the nearer to it; the boundary as a line. The samples' colours."""
    known = scores[np.isfinite(scores)]
    reach = float(np.abs(known - threshold).max()) if known.size else 0.0
    levels = np.linspace(threshold - (reach or 1.0), threshold + (reach or 1.0), 21)
    ax.contourf(across, up, np.clip(scores, levels[0], levels[-1]), levels=levels, cmap="RdBu_r", alpha=0.75)
    if known.size and known.min() < threshold < known.max():
        ax.contour(across, up, scores, levels=[threshold], colors="#333333", linewidths=1.2)
    kinds = np.unique(labels)
    cut = kinds[-1] if len(kinds) == 2 else np.nextafter(threshold, math.inf)  # one kind alone: by its own number
    return ["#b2182b" if k >= cut else "#2166ac" for k in labels]


def _several_classes(ax: Any, across: Any, up: Any, scores: Any, labels: Any) -> list[str]:
    """Each class's region in its colour, bounded by lines. Returns the samples' colours."""
    for k in range(scores.shape[2]):
        margin = scores[:, :, k] - np.delete(scores, k, axis=2).max(axis=2)  # positive where class k wins
        if np.any(margin > 0.0):
            ax.contourf(across, up, margin, levels=[0.0, math.inf], colors=[f"C{k % 10}"], alpha=0.35)
            if np.any(margin < 0.0):
                ax.contour(across, up, margin, levels=[0.0], colors="#333333", linewidths=0.8)
    return [f"C{int(k) % 10}" for k in labels]


# ---- the curves ----


_NO_METRICS = ("learning_rate", "seconds")
"""Columns of a History that say how it was trained, not how well."""


def _series(history: Any) -> dict[str, list[float]]:
    """The numbers of each metric, one an epoch."""
    if isinstance(history, History):
        history = {name: numbers for name, numbers in history.columns.items() if name not in _NO_METRICS}
    elif not isinstance(history, Mapping):
        rows = [_fields(row) for row in history.epochs]
        names = dict.fromkeys(name for row in rows for name in row)
        history = {name: [row.get(name) for row in rows] for name in names}
    return {name: _floats(numbers) for name, numbers in history.items() if _is_series(numbers)}


def _fields(row: Any) -> Mapping[str, Any]:
    """What one epoch's record says: a mapping as it is, otherwise the attributes of an object."""
    if isinstance(row, Mapping):
        return row
    as_dict = getattr(row, "_asdict", None)  # of a NamedTuple
    if as_dict is not None:
        return dict(as_dict())
    names = getattr(type(row), "__slots__", None) or vars(row)
    return {name: getattr(row, name) for name in names if not name.startswith("_")}


def _is_series(numbers: Any) -> bool:
    if isinstance(numbers, (str, bytes)) or not isinstance(numbers, Iterable) or getattr(numbers, "ndim", 1) == 0:
        return False
    return all(x is None or hasattr(type(x), "__float__") for x in numbers)


def _floats(numbers: Iterable[Any]) -> list[float]:
    return [math.nan if x is None else float(x) for x in numbers]


def _base(name: str) -> str:
    """The metric's name without 'validation_'."""
    for prefix in _VALIDATION:
        if name.startswith(prefix):
            return name[len(prefix) :]
    return name


def _curve(ax: Any, epochs: Sequence[float] | None, numbers: Sequence[float], name: str, colour: str) -> None:
    """One line, over the gaps; dots too where there are few points."""
    at = epochs if epochs is not None and len(epochs) == len(numbers) else range(1, len(numbers) + 1)
    points = [(t, x) for t, x in zip(at, numbers) if not math.isnan(x)]
    style = "-" if name == _base(name) else "--"
    ax.plot(
        [t for t, _ in points], [x for _, x in points], style, color=colour,
        marker="o" if len(points) <= 30 else None, markersize=3.5, label=name.replace("_", " "),
    )  # fmt: skip


def _scale(ax: Any, base: str, series: Sequence[Sequence[float]]) -> None:
    numbers = [x for one in series for x in one if math.isfinite(x)]
    if not numbers:
        return
    if "accuracy" in base and all(0.0 <= x <= 1.0 for x in numbers):
        ax.set_ylim(min(0.5, *numbers) - 0.02, 1.02)
    elif min(numbers) > 0.0 and max(numbers) > _LOG_RANGE * min(numbers):
        ax.set_yscale("log")
