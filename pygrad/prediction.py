"""What a trained model says about samples: outputs, labels, probabilities, and how good they are.

No graph is kept: samples are computed one at a time, many of them by a program that gives the same bits, or at once as
arrays, as _paths.py decides. What labels and probabilities there are depends on the named loss, by the table of
_tasks.py; the results are NumPy arrays.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import _paths, _samples
from ._fit_data import checked_targets
from ._modes import in_mode
from ._tasks import TASKS, Task, correct, plain
from .recording import no_grad
from .training import resolved_loss

Array = np.ndarray[Any, Any]

_CHUNK = 1024
"""Samples that are computed at once, so that the layers between need little memory."""


def _task(model: Any, loss: str | None) -> tuple[str | None, Task | None]:
    """The named loss that is meant, and its task. Raises ValueError for an unknown name, TypeError for no name."""
    name = getattr(model, "_loss", None) if loss is None else loss
    if name is None:
        return None, None
    if not isinstance(name, str):
        raise TypeError(f"loss must be a name, one of {', '.join(TASKS)}, not {type(name).__name__}")
    resolved_loss(name, model)
    return name, TASKS[name]


def _outputs(model: Any, X: Any) -> Any:
    """What the model gives for each sample: a list of floats, or of lists of them; computed with arrays, an array of
    shape (samples,) or (samples, outputs)."""
    X = _samples.items(X, "X")
    with in_mode(model, False):
        if _paths.chosen("auto", model, len(X), _samples.are_rows(X)) == "arrays":
            return _on_arrays(model, X)
        rows = _samples.as_rows(X, "X")
        _paths.Scalars.outputs_each(model, rows, "X[0]")  # for its errors
        found = None
        if _samples.are_rows(X) and _paths.program_pays(model, 1, len(rows)):
            from ._fit_program import outputs_of

            found = outputs_of(model, rows)
        return [plain(model(row)) for row in rows] if found is None else found


def _on_arrays(model: Any, X: Any) -> Array:
    rows = _samples.as_array(X, "X", _paths.number_type(model))
    _paths.Arrays.outputs_each(model, rows, "X[0]")  # for its errors
    with no_grad(), np.errstate(all="ignore"):
        parts = [model(rows[start : start + _CHUNK]).data for start in range(0, len(rows), _CHUNK)]
    outputs: Array = _paths.as_columns(np.concatenate(parts)).astype(np.float64, copy=False)
    return outputs


def predict(model: Any, X: Any, *, outputs: bool = False, loss: str | None = None) -> Array:
    """Labels or outputs; see Module.predict."""
    _, task = _task(model, loss)
    found = _outputs(model, X)
    if outputs or task is None or task.label is None:
        return np.array(found, dtype=np.float64)
    _check_outputs(task, found)
    if isinstance(found, np.ndarray):
        assert task.labels is not None
        labels: Array = task.labels(found)
        return labels
    return np.array([task.label(output) for output in found], dtype=np.int64)


def _outputs_each(found: Any) -> int | None:
    """The number of outputs of a sample; None for a single one that is no list."""
    if isinstance(found, np.ndarray):
        return None if found.ndim == 1 else found.shape[1]
    return len(found[0]) if isinstance(found[0], list) else None


def _check_outputs(task: Task, found: Any) -> None:
    if task.of_classes and _outputs_each(found) is None:
        raise ValueError("this loss has one output a class, but the model gives a single output")


def predict_proba(model: Any, X: Any, *, loss: str | None = None) -> Array:
    """Probabilities; see Module.predict_proba."""
    name, task = _task(model, loss)
    if task is None or task.probability is None:
        known = ", ".join(repr(n) for n, t in TASKS.items() if t.probability is not None)
        what = "this model was not trained by fit with a named loss" if name is None else f"{name!r} has none"
        raise ValueError(f"no probabilities: {what}; loss= says what the outputs are: {known}")
    found = _outputs(model, X)
    _check_outputs(task, found)
    if isinstance(found, np.ndarray):
        assert task.probabilities is not None
        return np.asarray(task.probabilities(found))
    return np.array([task.probability(output) for output in found], dtype=np.float64)


def score(model: Any, X: Any, y: Any, *, loss: str | None = None) -> float:
    """Accuracy or R**2; see Module.score."""
    name, task = _task(model, loss)
    if name is None or task is None:
        raise ValueError(
            f"this model was not trained by fit with a named loss: say with loss= what its outputs are, one of "
            f"{', '.join(TASKS)}"
        )
    found = _outputs(model, X)
    targets = _samples.as_targets(y, len(found), "y", "X")
    targets = checked_targets(name, targets, _outputs_each(found), "y")
    if isinstance(found, np.ndarray) and task.label is not None:
        return float(np.mean(_paths.rightly(task, found, np.array(targets))))
    return score_of(name, found.tolist() if isinstance(found, np.ndarray) else found, targets)


def score_of(loss: str, outputs: list[Any], targets: list[Any]) -> float:
    """Accuracy or R**2 of outputs that are there: floats, or lists of them."""
    task = TASKS[loss]
    if task.label is None:
        return _r_squared(outputs, targets)
    right = 0
    for output, target in zip(outputs, targets):
        right += correct(task, output, target)
    return right / len(outputs)


def _r_squared(outputs: list[Any], targets: list[Any]) -> float:
    """1 - (sum of (y - f)**2) / (sum of (y - mean y)**2), averaged over the outputs. Where the targets are all equal:
    1 if every output is right, else 0, as in scikit-learn."""
    count = len(outputs)
    if count < 2:
        raise ValueError("R**2 needs at least two samples")
    columns = list(zip(zip(*outputs), zip(*targets))) if isinstance(outputs[0], list) else [(outputs, targets)]
    total = 0.0
    for given, wanted in columns:
        mean = residual = spread = 0.0
        for y in wanted:
            mean += y / count
        for f, y in zip(given, wanted):
            residual += (y - f) * (y - f)
            spread += (y - mean) * (y - mean)
        if all(y == wanted[0] for y in wanted):
            total += 1.0 if residual == 0.0 else 0.0
        else:
            total += 1.0 - residual / spread
    return total / len(columns)
