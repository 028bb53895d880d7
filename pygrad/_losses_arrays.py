"""The losses of array Values: what pygrad.losses calls for a whole batch, one node each.

Here targets are brought to the outputs' shape and dtype, and checked, with the errors of losses.py where they say the
same. The formulas are in _rules_losses.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import _checks
from ._arrays import refuse_mask
from ._checks import is_value
from .arrays import apply, reshape, stack
from .losses import check_probability, divisor, target_number

# ---- targets ----


def _data(x: Any) -> Any:
    return x.data if is_value(x) else x


def _numbers(targets: Any, dtype: Any, what: str) -> Any:
    """Targets as a new array of numbers, which later changes of the given one do not reach: as of scalars, and of the
    classes of cross_entropy. Values are taken for the numbers they hold.

    Raises TypeError for what are no numbers, ValueError for lists of differing lengths.
    """
    targets = _data(targets)
    if type(targets) is np.ndarray and targets.dtype == dtype:
        return targets.copy()
    array = _array(targets, what)
    if array.dtype.kind not in "fiub":
        array = np.array([target_number(y, what) for y in array.flat]).reshape(array.shape)
    return array.astype(dtype)


def _array(targets: Any, what: str) -> Any:
    targets = _data(targets)
    refuse_mask(targets, f"{what}: targets")
    if not hasattr(targets, "__len__") and hasattr(targets, "__iter__"):
        targets = list(targets)
    if isinstance(targets, (list, tuple)):
        targets = [_data(y) for y in targets]
    try:
        return np.asarray(targets)
    except ValueError:
        raise ValueError(f"{what}: the targets differ in length") from None


def _fitted(y: Any, x: Any, axis: int, what: str) -> Any:
    """Targets in the outputs' shape. A single output a sample may have an axis of its own, or none.

    Raises ValueError naming both shapes if they differ otherwise.
    """
    wanted, found = x.shape, y.shape
    if found == wanted:
        return y
    if wanted in (_with_axis(found, axis), found) or found == _with_axis(wanted, axis):
        return reshape(y, wanted) if is_value(y) else y.reshape(wanted)
    hint = "; where samples are columns: axis=0" if axis and wanted == _with_axis(found, 0) else ""
    raise ValueError(f"{what}: outputs of shape {wanted} and targets of shape {found} do not fit{hint}")


def _with_axis(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    """With an axis of length 1 for a sample's outputs."""
    return (*shape, 1) if axis else (1, *shape)


# ---- one target an output ----


def squared_error(x: Any, targets: Any, reduction: str, axis: int) -> Any:
    """mse. Targets that are Values get gradients too."""
    y = targets
    if isinstance(targets, (list, tuple)) and any(map(is_value, targets)):
        y = stack(targets)
    elif not is_value(targets):
        y = _numbers(targets, _dtype(x), "mse")
    return apply("squared_error", (x, _fitted(y, x, axis, "mse")), divisor(x.size, reduction))


def _dtype(x: Any) -> Any:
    return x.dtype if x.dtype.kind == "f" else np.dtype(np.float64)


def _fractions(x: Any, targets: Any, axis: int, what: str) -> Any:
    """Targets from 0 to 1. Raises ValueError naming the first that is not."""
    y = _fitted(_numbers(targets, _dtype(x), what), x, axis, what)
    if y.size and not (np.minimum.reduce(y, None) >= 0.0 and np.maximum.reduce(y, None) <= 1.0):
        wrong = float(y[~((y >= 0.0) & (y <= 1.0))][0])
        raise ValueError(f"{what}: a target must be between 0 and 1, not {wrong!r} (labels -1 and 1: hinge)")
    return y


def binary_cross_entropy(x: Any, targets: Any, reduction: str, axis: int, least: float) -> Any:
    """binary_cross_entropy."""
    p = _data(x)
    y = _fractions(x, targets, axis, "binary_cross_entropy")
    if p.size and (np.fmin.reduce(p, None) < -1e-9 or np.fmax.reduce(p, None) > 1.0 + 1e-9):
        check_probability(float(p[(p < -1e-9) | (p > 1.0 + 1e-9)][0]))
    return apply("binary_cross_entropy", (x,), (y, least, divisor(x.size, reduction)))


def binary_cross_entropy_with_logits(x: Any, targets: Any, reduction: str, axis: int) -> Any:
    """binary_cross_entropy_with_logits."""
    y = _fractions(x, targets, axis, "binary_cross_entropy_with_logits")
    ones = y == 1.0
    hard = ones | (y == 0.0)
    sign = np.where(ones, y.dtype.type(-1.0), y.dtype.type(1.0))
    soft = None if hard.all() else np.where(hard, y.dtype.type(0.0), y)
    return apply("binary_cross_entropy_with_logits", (x,), (sign, soft, divisor(x.size, reduction)))


def hinge(x: Any, targets: Any, reduction: str, axis: int, margin: float) -> Any:
    """hinge."""
    y = _fitted(_numbers(targets, _dtype(x), "hinge"), x, axis, "hinge")
    right = np.absolute(y) == 1.0
    if not right.all():
        place = int(np.argmin(right.ravel()))
        raise ValueError(f"hinge: a target must be -1 or 1, not {_array(targets, 'hinge').ravel().tolist()[place]!r}")
    return apply("hinge", (x,), (y, _checks.as_float(margin, "margin"), divisor(x.size, reduction)))


# ---- classes ----


def _classes(x: Any, targets: Any, axis: int, what: str) -> tuple[Any, int, int]:
    """The places of the samples' own entries in the flattened x, the axis of the classes, the number of samples.

    Raises ValueError naming both shapes if they do not fit, or the sample whose class is out of range; TypeError naming
    the one whose class is no integer.
    """
    shape = x.shape
    wanted = shape[:-1] if axis else shape[1:]
    classes = targets
    if type(targets) is not np.ndarray or targets.dtype != np.int64:
        classes = _integers(targets, what)
    if classes.shape != wanted and classes.shape != _with_axis(wanted, axis):
        raise ValueError(
            f"{what}: outputs of shape {shape} need targets of shape {wanted}, a class a sample, not {classes.shape}"
        )
    classes = classes.reshape(-1)
    count, samples = shape[axis], classes.size
    if samples and np.maximum.reduce(classes.view(np.uint64)) >= count:  # a negative one is large there
        sample = int(np.argmax((classes < 0) | (classes >= count)))
        raise ValueError(
            f"{what}: the target of {_sample(sample, wanted)} is {classes[sample]}, "
            f"but the classes are 0 to {count - 1}"
        )
    number = np.arange(samples)
    return (number * count + classes, len(shape) - 1, samples) if axis else (classes * samples + number, 0, samples)


def _integers(targets: Any, what: str) -> Any:
    """Classes as an array of int64, from integers and whole floats."""
    array = _array(targets, what)
    if array.dtype.kind in "iub":
        return array.astype(np.int64)
    if array.dtype.kind == "U":  # what NumPy makes of numbers beside a text
        array = np.asarray(targets, object)
    found = np.empty(array.size, np.int64)
    for i, y in enumerate(array.ravel().tolist()):
        found[i] = _checks.as_class(y, f"{what}: the target of {_sample(i, array.shape)}")
    return found.reshape(array.shape)


def _sample(place: int, shape: tuple[int, ...]) -> str:
    index = np.unravel_index(place, shape) if len(shape) > 1 else (place,)
    return f"sample {', '.join(str(int(i)) for i in index)}"


def cross_entropy(x: Any, targets: Any, reduction: str, axis: int) -> Any:
    """cross_entropy."""
    own, along, samples = _classes(x, targets, axis, "cross_entropy")
    return apply("cross_entropy", (x,), (own, along, divisor(samples, reduction)))


def multiclass_hinge(x: Any, targets: Any, reduction: str, axis: int, margin: float) -> Any:
    """multiclass_hinge."""
    own, along, samples = _classes(x, targets, axis, "multiclass_hinge")
    number = _checks.as_float(margin, "margin")
    return apply("multiclass_hinge", (x,), (own, along, number, divisor(samples, reduction)))
