"""Two ways to compute a batch: sample by sample, as scalars; or all at once, as arrays. And how one of them is chosen.

Both have the same methods, so that the training loop and the predictions are written once; so has the third way, a
compiled program (_fit_program.py). The choice depends on sizes only, never on a clock: between these two it is the same
everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from . import _samples, backends, nn
from ._checks import is_array_value, is_value
from ._tasks import Task, correct, plain
from .recording import no_grad

NAMES = ("auto", "arrays", "program", "scalars")

SAMPLE = 500
LAYER = 8000
"""Arrays are taken where samples * (SAMPLE + parameters) >= LAYER * layers.

Both sides are about nanoseconds: a sample computed as scalars costs a fixed part and one for each parameter, a batch of
arrays a fixed part for each layer. Measured on backend 'c' (CPython 3.11, one thread for BLAS) over twelve networks of
2 to 8,970 parameters and 1 to 6 layers, a step on 1 to 256 samples without the optimiser: where the rule takes scalars
they took at most 1.34 times as long as arrays, where it takes arrays these took at most 1.27 times as long as scalars,
and both only next to where it changes; micrograd's moons, 100 samples: 294 against 76 µs; digits, 32 samples: 298
against 78 µs.
"""

GAIN = 2
GAIN_LAYER = 20_000
"""What a step gains at least, in nanoseconds: GAIN * (samples - 1) * (SAMPLE + parameters), but not more than
GAIN_LAYER for each layer where the model could be computed with arrays."""

RECORDED = 600_000
RECORDED_PARAMETER = 10_000
"""What recording costs, and making the program, in nanoseconds: RECORDED, and RECORDED_PARAMETER for each parameter.

Programs are taken where the steps gain that. Measured on backend 'c' (CPython 3.11, one thread) over networks of 3 to
25,450 parameters and 1 to 3 layers, with 4 to 128 samples a step: a step gained 0.9 to 5 times what this says,
recording and making took 0.7 to 1.3 times. A step of one sample gains nothing. micrograd's moons, 100 samples: 314 µs
as scalars, 97 as arrays, 22 as a program, which takes 4 ms to make; digits, 32 samples: 378, 105 and 40 µs, 19 ms.
"""

# ---- the choice ----


def check_name(given: Any) -> None:
    """Raises ValueError for no name of a path."""
    if given not in NAMES:
        raise ValueError(f"path must be one of {', '.join(map(repr, NAMES))}, not {given!r}")


def asked(path: Any, compiled: Any) -> str:
    """The path that is asked for by its name and by compile=. Raises ValueError for no name, or if the two differ."""
    check_name(path)
    if compiled is None or (not compiled and path != "program") or (compiled and path == "program"):
        return str(path)
    if path != "auto":
        raise ValueError(f"path={path!r} and compile={compiled!r} say different things: leave one out")
    return "program"


def chosen(given: str, model: Any, samples: int, ordinary: bool) -> str:
    """'arrays' or 'scalars' for batches of so many samples; what is asked for, unless that is 'auto'.

    A model with array parameters is given batches, whoever wrote it; one of scalar parameters if it consists of
    pygrad's own layers, that is faster, and all else is ordinary: samples are rows of numbers, the loss pygrad's own.
    """
    if given != "auto":
        return given
    parameters = model.parameters()
    if any(map(is_array_value, parameters)):
        return "arrays"
    layers = layers_of(model) if ordinary else None
    if layers is None or samples * (SAMPLE + len(parameters)) < LAYER * layers:
        return "scalars"
    return "arrays"


def program_pays(model: Any, steps: int, size: int) -> bool:
    """Whether so many steps on batches of so many samples gain what recording costs. By sizes only; never for arrays,
    and not on backend 'python', the reference."""
    parameters = model.parameters()
    if any(map(is_array_value, parameters)) or parameters[0]._pygrad_backend == "python":
        return False
    gained = GAIN * (size - 1) * (SAMPLE + len(parameters))
    layers = layers_of(model)
    if layers is not None:
        gained = min(gained, GAIN_LAYER * layers)
    return steps * gained >= RECORDED + RECORDED_PARAMETER * len(parameters)


_ROW_BY_ROW = (
    nn.MLP, nn.Sequential, nn.Dropout, nn.ReLU, nn.Sigmoid, nn.Tanh, nn.LeakyReLU, nn.ELU, nn.SiLU, nn.GELU,
    nn.Softplus,
)  # fmt: skip
"""The classes that do to each row of a batch what they do to a sample, if those inside do."""


def layers_of(model: Any) -> int | None:
    """How many layers of scalar parameters a model has; None if anything in it may not take a batch for its rows."""
    layers = 0
    for module in model.modules():
        kind = type(module)
        if kind is nn.Layer:
            if module._described_to_engine() is None:
                return None
            layers += 1
        elif kind is nn.Sequential and not all(_takes_rows(part) for part in module.parts):
            return None
        elif kind is nn.Softmax and module.axis == -1:
            continue
        elif kind is not nn.Neuron and kind not in _ROW_BY_ROW:
            return None
    return layers or None


def _takes_rows(part: Any) -> bool:
    return isinstance(part, nn.Module) and not isinstance(part, nn.Neuron)


def number_type(model: Any) -> Any:
    """The dtype of a model's batches: that of its array parameters; float64 if it has none."""
    dtypes = {p.data.dtype for p in model.parameters() if is_array_value(p)}
    return np.result_type(*dtypes) if dtypes else np.dtype(np.float64)


# ---- what a model gives ----


def _named(error: Exception, what: str, hint: str) -> Exception:
    kind = TypeError if isinstance(error, TypeError) else ValueError
    return kind(f"{what}: {error}{hint}")


def _count(shape: tuple[int, ...]) -> int | None:
    """The number of outputs of a sample of this shape; None for a single one."""
    size = 1
    for n in shape:
        size *= n
    return None if size == 1 else size


Loss = Callable[[Any, Any], Any]


def checked_loss(total: Any) -> Any:
    """The loss of a batch itself. Raises TypeError if it is not one number in a Value."""
    if not is_value(total):
        raise TypeError(f"the loss must give a Value, not {type(total).__name__}")
    if total.ndim:
        shape = total.shape
        raise TypeError(f"the loss must give a Value of one number, not one of shape {shape}: take its mean or sum")
    return total


# ---- sample by sample ----


class Scalars:
    """Samples as lists of floats; the outputs of a batch are a list of what the model gave for each."""

    path = "scalars"

    def __init__(self, rows: list[Any], targets: list[Any]) -> None:
        self.rows, self.targets = rows, targets

    def __len__(self) -> int:
        return len(self.rows)

    @staticmethod
    def converted(given: Any, what: str, dtype: Any, like: Any = None) -> Any:
        """Samples as they are kept. like: those which each must be as; dtype: of arrays."""
        return _samples.as_rows(given, what, None if like is None else _samples.width_of(like[0]) or 0)

    @staticmethod
    def wanted(targets: list[Any], dtype: Any, integers: bool, what: str) -> Any:
        """Targets as they are kept. integers: whether arrays of integers stay that."""
        return targets

    @staticmethod
    def outputs_each(model: Any, rows: Any, what: str) -> int | None:
        """How many outputs the model gives for a sample, tried with one: None for a single one, which is no list.

        Raises the model's own error with the sample's name in front, TypeError if it gives no Values.
        """
        row = rows[0]
        try:
            output = model(row)
        except (TypeError, ValueError) as error:
            hint = "" if isinstance(row, list) else "; give one list of inputs a sample, so [[...]] for a single one"
            raise _named(error, what, hint) from error
        if is_value(output):
            return _count(output.shape)
        if not isinstance(output, (str, dict)) and hasattr(output, "__len__") and all(is_value(v) for v in output):
            return len(output)
        raise TypeError(f"{what}: the model must give a Value or a list of Values, not {type(output).__name__}")

    def taken(self, indices: list[int]) -> Scalars:
        """Those at the indices."""
        return Scalars([self.rows[i] for i in indices], [self.targets[i] for i in indices])

    def renew(self) -> None:
        """To be called before an epoch: somebody may have changed the model."""

    def order(self, indices: Sequence[int] | None) -> Any:
        """An order of the samples as batch() wants it; None for their own."""
        return range(len(self)) if indices is None else indices

    def batch(self, order: Any, start: int, stop: int) -> tuple[Any, Any]:
        """The samples and targets at these places of an order."""
        places = order[start:stop]
        return [self.rows[i] for i in places], [self.targets[i] for i in places]

    def computed(self, model: Any, loss: Loss, rows: Any, targets: Any) -> tuple[Any, Any]:
        """The outputs of a batch, and its loss: what has .data and backward()."""
        outputs = [model(row) for row in rows]
        return outputs, checked_loss(loss(outputs, targets))

    def evaluated(self, model: Any, loss: Loss, rows: Any, targets: Any) -> tuple[Any, float]:
        """The outputs of a batch, as new leaves, so that nothing holds their graph; and the number of its loss."""
        outputs = [_detached(model(row)) for row in rows]
        return outputs, checked_loss(loss(outputs, targets)).data

    def correct(self, task: Task, outputs: Any, targets: Any) -> int:
        """How many of the samples have all their labels right."""
        right = 0
        for output, target in zip(outputs, targets):
            right += correct(task, plain(output), target)
        return right

    def finite(self, rows: Any, targets: Any) -> bool:
        """Whether all numbers of a batch are."""
        return _samples.finite([rows, targets])


def _detached(output: Any) -> Any:
    if is_value(output):
        return backends.type_of(output)(output.data)
    return [backends.type_of(v)(v.data) for v in output]


# ---- all at once ----


class Arrays:
    """Samples as one array, of shape (samples, ...); the outputs of a batch are one array Value, rows are samples."""

    path = "arrays"

    def __init__(self, rows: Any, targets: Any) -> None:
        self.rows, self.targets = rows, targets

    def __len__(self) -> int:
        return len(self.rows)

    @staticmethod
    def converted(given: Any, what: str, dtype: Any, like: Any = None) -> Any:
        """Samples as they are kept. like: those which each must be as."""
        return _samples.as_array(given, what, dtype, None if like is None else like.shape[1:])

    @staticmethod
    def wanted(targets: list[Any], dtype: Any, integers: bool, what: str) -> Any:
        """Targets as they are kept. integers: whether arrays of integers stay that."""
        return _samples.target_array(targets, dtype, integers, what)

    @staticmethod
    def outputs_each(model: Any, rows: Any, what: str) -> int | None:
        """How many outputs the model gives for a sample of a batch, tried with one; None for a single one.

        Raises the model's own error with the sample's name in front; TypeError if it does not give an array Value with
        a row a sample.
        """
        try:
            with no_grad():
                output = model(rows[:1])
        except (TypeError, ValueError, IndexError) as error:
            raise _named(error, what, "; on arrays the model is given batches, of shape (samples, ...)") from error
        shape = getattr(output, "shape", ())
        if not is_value(output) or shape[:1] != (1,):
            found = f"one of shape {shape}" if is_value(output) and shape else f"a {type(output).__name__}"
            raise TypeError(
                f"{what}: for a batch of one sample the model must give an array Value of shape (1, outputs), "
                f"not {found}; with path='scalars' it is called with one sample at a time"
            )
        return _count(shape[1:])

    def taken(self, indices: list[int]) -> Any:
        """Those at the indices."""
        return type(self)(self.rows[indices], self.targets[indices])

    def renew(self) -> None:
        """To be called before an epoch: somebody may have changed the model."""

    def order(self, indices: Sequence[int] | None) -> Any:
        """An order of the samples as batch() wants it; None for their own, which needs no copies."""
        return None if indices is None else np.array(indices, np.intp)

    def batch(self, order: Any, start: int, stop: int) -> tuple[Any, Any]:
        """The samples and targets at these places of an order."""
        places = slice(start, stop) if order is None else order[start:stop]
        return self.rows[places], self.targets[places]

    def computed(self, model: Any, loss: Loss, rows: Any, targets: Any) -> tuple[Any, Any]:
        """The outputs of a batch, and its loss: what has .data and backward()."""
        outputs = model(rows)
        return outputs, checked_loss(loss(outputs, targets))

    def evaluated(self, model: Any, loss: Loss, rows: Any, targets: Any) -> tuple[Any, float]:
        """The outputs of a batch, without a graph, and the number of its loss."""
        with no_grad():
            outputs = model(rows)
        return outputs, checked_loss(loss(outputs, targets)).data

    def correct(self, task: Task, outputs: Any, targets: Any) -> int:
        """How many of the samples have all their labels right."""
        return int(np.count_nonzero(rightly(task, as_columns(outputs.data), targets)))

    def finite(self, rows: Any, targets: Any) -> bool:
        """Whether all numbers of a batch are."""
        return bool(np.isfinite(rows).all() and np.isfinite(targets).all())


def as_columns(outputs: Any) -> Any:
    """Outputs of a batch: of shape (samples,) where each sample has one."""
    return outputs.reshape(len(outputs)) if outputs.ndim == 2 and outputs.shape[1] == 1 else outputs


def rightly(task: Task, outputs: Any, targets: Any) -> Any:
    """Of each sample, whether its labels are its targets. Both arrays as as_columns gives them."""
    assert task.labels is not None
    same = task.labels(outputs) == targets
    return same.all(axis=1) if same.ndim > 1 else same
