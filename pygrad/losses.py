"""Losses: from a model's outputs over some samples, and what they should have been, to one Value.

Each is written in operations of Value, so the same on every backend to the last bit, and works on plain numbers too,
giving a float. Where a loss is a mean, so is its gradient: the 1/m is part of it. Nothing here knows a model.

Outputs are what a model gave, one entry a sample: a Value, or a list of Values (several outputs, or logits). Outputs
and targets may be lists, tuples, arrays or iterators; a single sample may stand alone.

Or outputs are an array Value, or an array of numbers: then a loss is one node (see _losses_arrays.py). Rows are samples
there, targets of shape (n,) and outputs of shape (n, 1) go together sample by sample, and nothing else is broadcast.
With axis=0 samples are columns: outputs of shape (outputs, samples).

In a function that is recorded for a program, targets may be its arguments, one sample's: what depends on a target is
computed without a choice then, and targets are not checked.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from . import _checks, _tracing, functions
from ._checks import as_class, is_value
from ._lazy import array_functions, array_losses

LEAST_PROBABILITY = math.exp(-100.0)
"""binary_cross_entropy takes no logarithm of less, so no sample costs more than 100 (as torch)."""


def divisor(count: int, reduction: str) -> int:
    """By what a sum of so many terms is divided. Raises ValueError for the mean of none, or for another word."""
    if reduction not in ("mean", "sum"):
        raise ValueError(f"reduction must be 'mean' or 'sum', not {reduction!r}")
    if reduction == "sum":
        return 1
    if not count:
        raise ValueError("the mean over no samples is not defined")
    return count


def _reduced(terms: list[Any], reduction: str) -> Any:
    """Their mean or sum."""
    n = divisor(len(terms), reduction)
    return functions.sum(terms) / n if reduction == "mean" else functions.sum(terms)


def _batch(outputs: Any, axis: int) -> Any:
    """The outputs as an array Value or an array of numbers, where they are that, or a list of array Values; or None.

    Raises TypeError for an axis with anything else, ValueError for one that is neither -1 nor 0.
    """
    if axis not in (-1, 0):
        raise ValueError(f"axis must be -1 (rows are samples) or 0 (columns are samples), not {axis!r}")
    if is_value(outputs) or (hasattr(outputs, "ndim") and outputs.dtype.kind in "fiub"):
        if outputs.ndim:
            return outputs
    elif isinstance(outputs, (list, tuple)) and outputs and is_value(outputs[0]) and outputs[0].ndim:
        return array_functions.stack(outputs)
    if axis == 0:
        raise TypeError("axis= goes with outputs in one array Value: a list has one entry a sample")
    return None


def _listed(x: Any) -> Any:
    """What can be iterated over, as a list (of lists, for arrays of several dimensions); None for a number or Value."""
    if is_value(x) or isinstance(x, (int, float, str)):
        return None
    if hasattr(x, "tolist"):
        x = x.tolist()
    return list(x) if hasattr(x, "__iter__") else None


def _paired(outputs: Any, targets: Any, what: str) -> list[tuple[Any, Any]]:
    """(output, target) of every number of every sample. Raises ValueError naming both counts if they differ."""
    one = _listed(outputs)
    if one is None:
        outputs, targets = [outputs], [targets]
    else:
        outputs, targets = one, _listed(targets)
        if targets is None:
            raise ValueError(f"{what}: {len(outputs)} outputs, but one target")
    if len(outputs) != len(targets):
        raise ValueError(f"{what}: {len(outputs)} outputs, but {len(targets)} targets")
    pairs: list[tuple[Any, Any]] = []
    for output, target in zip(outputs, targets):
        several, wanted = _listed(output), _listed(target)
        if several is None and wanted is not None and len(wanted) == 1:
            target, wanted = wanted[0], None  # a column of targets
        if (several is None) != (wanted is None):
            raise ValueError(
                f"{what}: a sample has {'one output' if several is None else f'{len(several)} outputs'}, but "
                f"{'one target' if wanted is None else f'{len(wanted)} targets'}"
            )
        if several is None or wanted is None:
            pairs.append((output, target))
            continue
        if len(several) != len(wanted):
            raise ValueError(f"{what}: a sample has {len(several)} outputs, but {len(wanted)} targets")
        pairs += zip(several, wanted)
    return pairs


def mse(outputs: Any, targets: Any, *, reduction: str = "mean", axis: int = -1) -> Any:
    """Mean of (output - target)**2, over all samples and outputs; reduction='sum' for the sum.

    Raises ValueError if the numbers of outputs and targets differ.
    """
    batch = _batch(outputs, axis)
    if batch is not None:
        return array_losses.squared_error(batch, targets, reduction, axis)
    return _reduced([(x - y) ** 2 for x, y in _paired(outputs, targets, "mse")], reduction)


def sse(outputs: Any, targets: Any, *, axis: int = -1) -> Any:
    """Sum of (output - target)**2, over all samples and outputs."""
    return mse(outputs, targets, reduction="sum", axis=axis)


def target_number(target: Any, what: str) -> float:
    """A target as a float; a Value is taken for the number it holds."""
    return _checks.as_float(target.data if is_value(target) else target, f"{what}: a target")


def _probability(target: Any, what: str) -> Any:
    if _tracing.is_variable(target):
        return target
    number = target_number(target, what)
    if not 0.0 <= number <= 1.0:
        raise ValueError(f"{what}: a target must be between 0 and 1, not {number!r} (labels -1 and 1: hinge)")
    return number


def check_probability(p: float) -> None:
    """Raises ValueError for what is no probability, but for rounding; a nan is let through."""
    if p < -1e-9 or p > 1.0 + 1e-9:
        raise ValueError(
            f"binary_cross_entropy: an output must be a probability, between 0 and 1, not {p!r}: end the model with a "
            f"sigmoid (output_activation='sigmoid'), or use binary_cross_entropy_with_logits"
        )


def binary_cross_entropy(outputs: Any, targets: Any, *, reduction: str = "mean", axis: int = -1) -> Any:
    """Mean of -(y log p + (1 - y) log(1 - p)): outputs p are probabilities, targets y in [0, 1].

    A logarithm is not taken of less than e**-100: a sample costs at most 100, as in torch, and from there on has the
    gradient 0. Where the probability is a sigmoid, binary_cross_entropy_with_logits is more accurate.

    Raises ValueError for an output or target outside [0, 1], or if the numbers of outputs and targets differ.
    """
    batch = _batch(outputs, axis)
    if batch is not None:
        return array_losses.binary_cross_entropy(batch, targets, reduction, axis, LEAST_PROBABILITY)
    terms: list[Any] = []
    for p, target in _paired(outputs, targets, "binary_cross_entropy"):
        y = _probability(target, "binary_cross_entropy")
        recorded = is_value(y)
        if not _tracing.is_variable(p):
            check_probability(p.data if is_value(p) else p)
        parts = []
        if recorded or y != 0.0:
            parts.append(functions.log(functions.maximum(p, LEAST_PROBABILITY)) * -y)
        if recorded or y != 1.0:
            parts.append(functions.log(functions.maximum(1.0 - p, LEAST_PROBABILITY)) * -(1.0 - y))
        terms.append(parts[0] if len(parts) == 1 else parts[0] + parts[1])
    return _reduced(terms, reduction)


def binary_cross_entropy_with_logits(
    outputs: Any, targets: Any, *, reduction: str = "mean", axis: int = -1
) -> Any:
    """Binary cross-entropy of sigmoid(output): mean of log(1 + e**x) - y x, which never overflows.

    Raises ValueError for a target outside [0, 1], or if the numbers of outputs and targets differ.
    """
    batch = _batch(outputs, axis)
    if batch is not None:
        return array_losses.binary_cross_entropy_with_logits(batch, targets, reduction, axis)
    terms: list[Any] = []
    for x, target in _paired(outputs, targets, "binary_cross_entropy_with_logits"):
        y = _probability(target, "binary_cross_entropy_with_logits")
        if is_value(y):
            terms.append(_recorded_logit_term(x, y))
            continue
        # at y = 1 the difference of two large numbers would lose the small result: log(1 + e**-x) is the same
        term = functions.softplus(-x) if y == 1.0 else functions.softplus(x)
        terms.append(term if y in (0.0, 1.0) else term - x * y)
    return _reduced(terms, reduction)


def _recorded_logit_term(x: Any, y: Any) -> Any:
    """What the term below is for every y, without a choice: for a program, whose y is another for each sample."""
    one = functions.relu(1.0 - (1.0 - y) * 1e300)  # 1 where y is 1, else 0: 1 - y is then at least 1e-16
    return functions.softplus(x * (1.0 - 2.0 * one)) - x * (y - one)


def _classes(outputs: Any, targets: Any, what: str) -> list[tuple[list[Any], Any]]:
    """(logits, class) of every sample; a single sample may stand alone. A class is an int; while a function is recorded
    also a Value."""
    samples, classes = _listed(outputs), _listed(targets)
    if samples is None:
        raise TypeError(f"{what} takes a list of logits a sample, not {type(outputs).__name__}")
    if classes is None:
        samples, classes = [samples], [targets]
    if len(samples) != len(classes):
        raise ValueError(f"{what}: {len(samples)} outputs, but {len(classes)} targets")
    pairs = []
    for i, (sample, given) in enumerate(zip(samples, classes)):
        logits = _listed(sample)
        if logits is None:
            raise TypeError(f"{what} takes a list of logits a sample, not {type(sample).__name__}")
        pairs.append((logits, _class_index(given, len(logits), what, i)))
    return pairs


def _entry(values: list[Any], index: Any) -> Any:
    return functions.pick(values, index) if is_value(index) else values[index]


def _class_index(given: Any, count: int, what: str, sample: int) -> Any:
    if _tracing.is_variable(given):
        return given
    index = as_class(given, f"{what}: the target of sample {sample}")
    if not 0 <= index < count:
        raise ValueError(f"{what}: the target of sample {sample} is {index}, but the classes are 0 to {count - 1}")
    return index


def cross_entropy(outputs: Any, targets: Any, *, reduction: str = "mean", axis: int = -1) -> Any:
    """Softmax cross-entropy: mean of logsumexp(logits) - logits[target]. Neither overflows nor loses the gradient.

    outputs: a list of logits a sample (or those of one sample); targets: an integer class a sample, from 0 on.

    Raises ValueError naming the sample for a class out of range, TypeError for one that is no integer.
    """
    batch = _batch(outputs, axis)
    if batch is not None:
        return array_losses.cross_entropy(batch, targets, reduction, axis)
    pairs = _classes(outputs, targets, "cross_entropy")
    return _reduced([functions.logsumexp(logits) - _entry(logits, index) for logits, index in pairs], reduction)


def hinge(
    outputs: Any, targets: Any, *, margin: float = 1.0, reduction: str = "mean", axis: int = -1
) -> Any:
    """Binary max-margin loss: mean of max(0, margin - y * score), targets y -1 or 1.

    Raises ValueError for another target, or if the numbers of outputs and targets differ.
    """
    batch = _batch(outputs, axis)
    if batch is not None:
        return array_losses.hinge(batch, targets, reduction, axis, margin)
    terms = []
    for score, target in _paired(outputs, targets, "hinge"):
        y = target
        if not _tracing.is_variable(target):
            y = target_number(target, "hinge")
            if y not in (-1.0, 1.0):
                raise ValueError(f"hinge: a target must be -1 or 1, not {target!r}")
        terms.append(functions.relu(margin + -y * score))
    return _reduced(terms, reduction)


def multiclass_hinge(
    outputs: Any, targets: Any, *, margin: float = 1.0, reduction: str = "mean", axis: int = -1
) -> Any:
    """Multi-class max-margin loss: mean of the sum over the other classes j of max(0, margin + s_j - s_target)
    (Weston and Watkins 1999; torch's MultiMarginLoss divides by the number of classes besides).

    outputs and targets as for cross_entropy, whose errors it raises.
    """
    batch = _batch(outputs, axis)
    if batch is not None:
        return array_losses.multiclass_hinge(batch, targets, reduction, axis, margin)
    terms = []
    for scores, index in _classes(outputs, targets, "multiclass_hinge"):
        if is_value(index):
            terms.append(_recorded_margins(scores, index, margin))
            continue
        own = scores[index]
        terms.append(functions.sum([functions.relu(s - own + margin) for j, s in enumerate(scores) if j != index]))
    return _reduced(terms, reduction)


def _recorded_margins(scores: list[Any], index: Any, margin: float) -> Any:
    """The term above for an index that is another for each sample: the class itself has the margin -inf, and so adds
    0. Gradients are those of the term above but for the order in which contributions of several scores are added."""
    own, margins = functions.pick(scores, index), []
    for j in range(len(scores)):
        margins.append(functions.pick([-math.inf if i == j else margin for i in range(len(scores))], index))
    return functions.sum([functions.relu(s - own + m) for s, m in zip(scores, margins)])


def _values(parameters: Any) -> list[Any]:
    return list(parameters.parameters()) if hasattr(parameters, "parameters") else list(parameters)


def _parted(values: list[Any]) -> tuple[list[Any], list[Any]]:
    """The scalars among them, and the arrays."""
    arrays = [v for v in values if is_value(v) and v.ndim]
    return ([v for v in values if not (is_value(v) and v.ndim)], arrays) if arrays else (values, [])


def l1_penalty(parameters: Iterable[Any], weight: float = 1.0) -> Any:
    """weight * sum of |p|. parameters: a Module, or Values, scalar and array. The gradient at 0 is 0."""
    scalars, arrays = _parted(_values(parameters))
    terms = [functions.abs(p) for p in scalars] + [functions.abs(p).sum() for p in arrays]
    return functions.sum(terms) * weight


def l2_penalty(parameters: Iterable[Any], weight: float = 1.0) -> Any:
    """weight * sum of p**2 (without a factor 1/2, as micrograd's demo). parameters: a Module, or Values, scalar and
    array."""
    values = _values(parameters)
    if values and is_value(values[0]) and values[0].ndim:
        return _squares(values) * weight
    try:  # to ask every scalar what it is would take longer than this
        total = functions.dot(values, values)
    except ValueError:  # arrays whose shapes do not fit
        return _squares(values) * weight
    return (_squares(values) if is_value(total) and total.ndim else total) * weight


def _squares(values: list[Any]) -> Any:
    """The sum of squares of scalars and of all entries of array Values, at least one."""
    scalars, arrays = _parted(values)
    total = array_functions.apply("sum_squares", tuple(arrays))
    return total + functions.dot(scalars, scalars) if scalars else total


Loss = Callable[[Sequence[Any], Sequence[Any]], Any]

LOSSES: dict[str, Loss] = {
    "mse": mse,
    "sse": sse,
    "binary_cross_entropy": binary_cross_entropy,
    "binary_cross_entropy_with_logits": binary_cross_entropy_with_logits,
    "cross_entropy": cross_entropy,
    "hinge": hinge,
    "multiclass_hinge": multiclass_hinge,
}
"""The losses by name: functions of (outputs, targets)."""
