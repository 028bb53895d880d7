"""The third way to compute a batch: as a compiled program (pygrad/programs), recorded once a fit.

The loss of one sample is recorded from the model and a named loss; a batch is then one call into C, for its loss, its
gradient and what its labels are read off. Which samples a batch has, and what is done to the gradient, others decide.
Also predictions of models that take no arrays. Needs the C extension, so it is imported where a program is wanted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from . import _paths, _samples, losses
from ._checks import is_array_value, is_value
from ._modes import in_mode
from ._paths import Arrays, Scalars
from ._prepared import last_change
from ._tasks import TASKS, Task
from .programs.compiled import program_of
from .programs.program import Program
from .programs.record import Recording, record
from .programs.run import Given

# ---- what is asked for ----


def askable(loss: str | None, model: Any) -> str:
    """The loss. Raises what is wrong with asking for a program: ValueError for a loss of the user's own, TypeError for
    array parameters."""
    if loss is None:
        raise ValueError(
            f"a compiled program needs a loss by its name, one of {', '.join(losses.LOSSES)}: leave compile=True or "
            f"path='program' out for a function of your own"
        )
    if any(map(is_array_value, model.parameters())):
        raise TypeError(
            "a compiled program is made of scalar parameters, but this model has arrays: leave compile=True or "
            "path='program' out"
        )
    return loss


# ---- recording ----


class Recorded:
    """A model with a named loss as programs: one of training mode, and, where it is asked for, of evaluation mode.

    inputs, targets: the shape of one sample's. watched: whether somebody may change the model between epochs. Raises
    whatever the recording raises; ValueError for a model that does not compute the same each time.
    """

    def __init__(
        self, model: Any, loss: str, inputs: tuple[int, ...], targets: tuple[int, ...], held: bool, watched: bool
    ) -> None:
        self._model, self.loss, self._shapes = model, loss, (inputs, targets)
        self.task = TASKS[loss]
        terms = 1 if self.task.of_classes else int(np.prod(targets))
        self._terms = None if loss == "sse" else terms
        own = _paths.layers_of(model) is not None
        self._watched = watched and not own
        self._modes = (True, False) if held else (True,)
        self._recordings: dict[bool, Recording] = {}
        self._programs: dict[bool, Program] = {}
        self._record()
        if not own and not _same(self._new(True), self._recordings[True]):
            raise ValueError(
                f"{type(model).__name__} does not compute the same each time it is called, and so it is no program: "
                f"leave compile=True or path='program' out"
            )

    @property
    def training(self) -> Program:
        """Of training mode."""
        return self._programs[True]

    @property
    def evaluation(self) -> Program:
        """Of evaluation mode."""
        return self._programs[False]

    def renew(self) -> None:
        """To be called between epochs: records again where somebody may have changed the model, or did."""
        if self._watched or last_change() is not self._change:
            self._record()

    def _record(self) -> None:
        self._change = last_change()
        for training in self._modes:
            recording = self._new(training)
            known = (mode for mode, before in self._recordings.items() if _same(recording, before))
            same = next(known, None)
            self._programs[training] = self._program(recording) if same is None else self._programs[same]
            self._recordings[training] = recording

    def _new(self, training: bool) -> Recording:
        model, named = self._model, losses.LOSSES[self.loss]
        options: dict[str, Any] = {} if self.loss == "sse" else {"reduction": "sum"}

        def loss_and_outputs(x: Any, y: Any) -> Any:
            output = _output(model, x)
            return named([output], [y], **options), output

        with in_mode(model, training):
            recording = record(loss_and_outputs, self._shapes, model.parameters())
        if recording.shared:
            raise TypeError(f"{type(model).__name__} computes with Values that are not among its parameters()")
        return recording

    def _program(self, recording: Recording) -> Program:
        name = f"{self.loss} of {type(self._model).__name__}"
        return program_of(name, ("X", "y"), self._shapes, recording, exact=False, threads=None)

    def divisor(self, samples: int) -> int:
        """By what the sum of the samples' losses is divided."""
        return 1 if self._terms is None else samples * self._terms


def _output(model: Any, x: Any) -> Any:
    output = model(x)
    return output if is_value(output) else list(output)


def _same(one: Recording, other: Recording) -> bool:
    """Whether they do the same, with the very same parameters."""
    a, b = one.code, other.code
    if [*map(id, one.parameters)] != [*map(id, other.parameters)] or one.indices != other.indices:
        return False
    return (a.ops, a.args, a.outputs) == (b.ops, b.args, b.outputs) and repr(a.ks) == repr(b.ks)


# ---- batches ----

COPIED = 1 << 20
"""Samples of so many numbers at most are copied for each epoch, in its order: faster than to gather each batch."""


class Computed:
    """The loss of a batch, with what the training loop asks of a Value: data, backward(), and a penalty to be added."""

    __slots__ = ("_gradient", "_penalty", "_program", "data")

    def __init__(self, data: float, gradient: Any, program: Program, penalty: Any = None) -> None:
        self.data, self._gradient, self._program, self._penalty = data, gradient, program, penalty

    def __add__(self, penalty: Any) -> Computed:
        if not isinstance(penalty, Computed) and not is_value(penalty):
            return Computed(self.data + float(penalty), self._gradient, self._program)
        return Computed(self.data + penalty.data, self._gradient, self._program, penalty)

    def backward(self) -> None:
        """Adds the gradients to the .grad of every parameter."""
        self._program.source.add_gradient(self._gradient)
        if self._penalty is not None:
            self._penalty.backward()


class Programs(Arrays):
    """Samples as arrays, and the programs that compute their batches. The outputs are an array of float64."""

    path = "program"
    recorded: Recorded

    @staticmethod
    def converted(given: Any, what: str, dtype: Any, like: Any = None) -> Any:
        return np.require(Arrays.converted(given, what, dtype, like), np.float64, ["C", "A"])

    @staticmethod
    def wanted(targets: list[Any], dtype: Any, integers: bool, what: str) -> Any:
        array = _samples.target_array(targets, dtype, integers, what)
        return array.astype(np.int64) if integers else array

    @staticmethod
    def outputs_each(model: Any, rows: Any, what: str) -> int | None:
        return Scalars.outputs_each(model, [rows[0].tolist()], what)

    def renew(self) -> None:
        """Records the model again, if it may be another. Raises what the recording raises."""
        self.recorded.renew()

    def order(self, indices: Sequence[int] | None) -> Any:
        """Rows, targets and the places of this order in them; None: as they stand, so that batches are slices."""
        if indices is None:
            return self.rows, self.targets, None
        places = np.array(indices, np.intp)
        if self.rows.size > COPIED:
            return self.rows, self.targets, places
        return self.rows[places], self.targets[places], None

    def batch(self, order: Any, start: int, stop: int) -> tuple[Any, Any]:
        rows, targets, places = order
        of_batch = slice(start, stop) if places is None else places[start:stop]
        return rows[of_batch], targets[of_batch]

    def computed(self, model: Any, loss: Callable[[Any, Any], Any], rows: Any, targets: Any) -> tuple[Any, Any]:
        recorded = self.recorded
        program = recorded.training
        divisor = recorded.divisor(len(rows))
        gradient = np.empty(program.source.count)
        question, outputs = "gradient", None
        wanted: tuple[Any, ...] = ()
        if recorded.task.label is not None:
            question, outputs = "gradient_outputs", np.empty((len(rows), *program.outputs.shapes[1]))
            wanted = (None, outputs)
        given = self._given(program, rows, targets)
        total = program.run(question, given, outputs=wanted, gradient=gradient, seed=1.0 / divisor)
        self._check(outputs)
        return outputs, Computed(total / divisor, gradient, program)

    def evaluated(self, model: Any, loss: Callable[[Any, Any], Any], rows: Any, targets: Any) -> tuple[Any, Any]:
        recorded = self.recorded
        program = recorded.evaluation
        outputs = np.empty((len(rows), *program.outputs.shapes[1]))
        total = program.run("value", self._given(program, rows, targets), outputs=(None, outputs))
        self._check(outputs)
        return outputs, total / recorded.divisor(len(rows))

    def _given(self, program: Program, rows: Any, targets: Any) -> Given:
        """As program.given, of arrays that are known to be right."""
        layout = program.layout
        if any(column.argument == 0 for column in layout.classes):
            return program.given((rows, targets))
        used_rows, used_targets = layout.numbers
        numbers = (rows if used_rows else None, targets if used_targets else None)
        return Given(len(rows), numbers, (targets,) if layout.classes else ())

    def _check(self, outputs: Any) -> None:
        if self.recorded.loss == "binary_cross_entropy":
            losses.check_probability(float(outputs.min()))
            losses.check_probability(float(outputs.max()))

    def correct(self, task: Task, outputs: Any, targets: Any) -> int:
        return int(np.count_nonzero(_paths.rightly(task, outputs, targets)))


def give_programs(model: Any, loss: str, data: Programs, held: Programs | None, watched: bool) -> None:
    """Records what the samples are computed with."""
    recorded = Recorded(model, loss, data.rows.shape[1:], data.targets.shape[1:], held is not None, watched)
    data.recorded = recorded
    if held is not None:
        held.recorded = recorded


def squares(parameters: list[Any], weight: float) -> Callable[[Any], Computed]:
    """The penalty of the parameters' squares as a program: a function of the model."""
    recording = record(lambda: losses.l2_penalty(parameters, weight), (), parameters)
    program = program_of("the penalty", (), (), recording, exact=False, threads=None)
    alone = Given(1, (), ())

    def penalty(model: Any) -> Computed:
        gradient = np.empty(program.source.count)
        return Computed(program.run("gradient", alone, gradient=gradient), gradient, program)

    return penalty


# ---- predictions ----


def outputs_of(model: Any, rows: list[list[float]]) -> list[Any] | None:
    """What the model gives for each sample, bit for bit: a list of floats, or of lists of them. None where no program
    can tell: the model cannot be recorded, or an output is not finite, so that the model itself may raise an error."""
    shapes = ((len(rows[0]),),)
    try:
        one, other = (record(lambda x: _output(model, x), shapes, model.parameters()) for _ in range(2))
        if not _same(one, other):
            return None
        program = program_of(type(model).__name__, ("X",), shapes, one, exact=True, threads=None)
        found = program(np.array(rows))
    except Exception:  # whatever the model says of Values in place of numbers
        return None
    outputs: list[Any] = found.tolist()
    return outputs if np.isfinite(found).all() else None
