"""What a trained model says about samples: outputs, labels, probabilities, and how good they are.

One sample at a time, so that no graph is kept. What labels and probabilities there are depends on the named loss, by
the table of _tasks.py; the results are NumPy arrays.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import _samples
from ._tasks import TASKS, Task, correct, plain
from .training import checked_targets, in_mode, outputs_of, resolved_loss

Array = np.ndarray[Any, Any]


def _task(model: Any, loss: str | None) -> tuple[str | None, Task | None]:
    """The named loss that is meant, and its task. Raises ValueError for an unknown name, TypeError for no name."""
    name = getattr(model, "_loss", None) if loss is None else loss
    if name is None:
        return None, None
    if not isinstance(name, str):
        raise TypeError(f"loss must be a name, one of {', '.join(TASKS)}, not {type(name).__name__}")
    resolved_loss(name, model)
    return name, TASKS[name]


def _outputs(model: Any, X: Any) -> list[Any]:
    """The numbers that the model gives for each sample: a float, or a list of them."""
    rows = _samples.as_rows(X, "X")
    results: list[Any] = []
    with in_mode(model, False):
        outputs_of(model, rows[0], "X[0]")  # for its errors
        for row in rows:
            results.append(plain(model(row)))
    return results


def predict(model: Any, X: Any, *, outputs: bool = False, loss: str | None = None) -> Array:
    """Labels or outputs; see Module.predict."""
    _, task = _task(model, loss)
    found = _outputs(model, X)
    if outputs or task is None or task.label is None:
        return np.array(found, dtype=np.float64)
    _check_outputs(task, found)
    return np.array([task.label(output) for output in found], dtype=np.int64)


def _check_outputs(task: Task, found: list[Any]) -> None:
    if task.of_classes and not isinstance(found[0], list):
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
    outputs = len(found[0]) if isinstance(found[0], list) else None
    targets = checked_targets(name, _samples.as_targets(y, len(found), "y", "X"), outputs, "y")
    return score_of(name, found, targets)


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
