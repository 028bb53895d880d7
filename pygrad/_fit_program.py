"""The third way to compute a batch: as a compiled program (pygrad/programs), recorded once a fit. When it is taken.

The loss of one sample is recorded from the model and a named loss; a batch is then one call into C, for its loss, its
gradient and what its labels are read off. Which samples a batch has, and what is done to the gradient, others decide.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from . import _paths, _samples, losses
from ._checks import is_array_value, is_value
from ._modes import in_mode
from ._paths import Arrays, Scalars
from ._tasks import TASKS, Task
from .programs.compiled import program_of
from .programs.program import Program
from .programs.record import Recording, record
from .programs.run import Given

PARAMETERS = 2
LAYER = 20_000
"""What a step gains at least, in nanoseconds: PARAMETERS * (samples - 1) * (SAMPLE + parameters), but not more than
LAYER for each layer where the model could be computed with arrays."""

RECORDING = 600_000
PARAMETER = 10_000
"""What recording costs, and making the program, in nanoseconds: RECORDING, and PARAMETER for each parameter.

Programs are taken where the steps gain that. Measured on backend 'c' (CPython 3.11, one thread) over networks of 3 to
25,450 parameters and 1 to 3 layers, with 1 to 128 samples a step: a step gained 0.8 to 4 times what this says,
recording and making took 0.6 to 1.4 times. A step of one sample gains nothing. micrograd's moons, 100 samples: 314 µs
as scalars, 97 as arrays, 22 as a program, which takes 4 ms to make; digits, 32 samples: 378, 105 and 40 µs, 19 ms.
"""

# ---- when ----


def pays(model: Any, steps: int, size: int) -> bool:
    """Whether so many steps on batches of so many samples gain what recording costs. By sizes only; never for arrays,
    and not on backend 'python', the reference."""
    parameters = model.parameters()
    if any(map(is_array_value, parameters)) or parameters[0]._pygrad_backend == "python":
        return False
    gained = PARAMETERS * (size - 1) * (_paths.SAMPLE + len(parameters))
    layers = _paths.layers_of(model)
    if layers is not None:
        gained = min(gained, LAYER * layers)
    return steps * gained >= RECORDING + PARAMETER * len(parameters)


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
        self._own = _paths.layers_of(model) is not None
        self._watched = watched and not self._own
        self.task = TASKS[loss]
        terms = 1 if self.task.of_classes else int(np.prod(targets))
        self._terms = None if loss == "sse" else terms
        self._recording = self._new(True)
        if not self._own and not _same(self._new(True), self._recording):
            raise ValueError(
                f"{type(model).__name__} does not compute the same each time it is called, and so it is no program: "
                f"leave compile=True or path='program' out"
            )
        self.training = self._program(self._recording)
        self.evaluation = self.training
        if held:
            other = self._new(False)
            if not _same(other, self._recording):
                self.evaluation = self._program(other)

    def _new(self, training: bool) -> Recording:
        model, named = self._model, losses.LOSSES[self.loss]
        options: dict[str, Any] = {} if self.loss == "sse" else {"reduction": "sum"}

        def loss_and_outputs(x: Any, y: Any) -> Any:
            output = model(x)
            output = output if is_value(output) else list(output)
            return named([output], [y], **options), output

        with in_mode(model, training):
            recording = record(loss_and_outputs, self._shapes, model.parameters())
        if recording.shared:
            raise TypeError(f"{type(model).__name__} computes with Values that are not among its parameters()")
        return recording

    def _program(self, recording: Recording) -> Program:
        name = f"{self.loss} of {type(self._model).__name__}"
        return program_of(name, ("X", "y"), self._shapes, recording, exact=False, threads=None)

    def renew(self) -> None:
        """Records training mode again, where somebody may have changed the model."""
        if self._watched:
            recording = self._new(True)
            if not _same(recording, self._recording):
                self._recording, self.training = recording, self._program(recording)

    def divisor(self, samples: int) -> int:
        """By what the sum of the samples' losses is divided."""
        return 1 if self._terms is None else samples * self._terms


def _same(one: Recording, other: Recording) -> bool:
    a, b = one.code, other.code
    return (a.ops, a.args, a.outputs) == (b.ops, b.args, b.outputs) and repr(a.ks) == repr(b.ks)


# ---- batches ----


class Computed:
    """The loss of a batch, with what the training loop asks of a Value: data, backward(), and a penalty to be added."""

    __slots__ = ("_gradient", "_penalty", "_program", "data")

    def __init__(self, data: float, gradient: Any, program: Program, penalty: Any = None) -> None:
        self.data, self._gradient, self._program, self._penalty = data, gradient, program, penalty

    def __add__(self, penalty: Any) -> Computed:
        number = penalty.data if is_value(penalty) else float(penalty)
        return Computed(self.data + number, self._gradient, self._program, penalty)

    def backward(self) -> None:
        """Adds the gradients to the .grad of every parameter."""
        self._program.source.add_gradient(self._gradient)
        if is_value(self._penalty):
            self._penalty.backward()


class Programs(Arrays):
    """Samples as arrays, and the programs that compute their batches. The outputs are an array of float64."""

    path = "program"
    recorded: Recorded
    learns = False  # whether they are trained on

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

    def order(self, indices: Sequence[int] | None) -> Any:
        """The samples in this order, so that batches are slices."""
        if self.learns:
            self.recorded.renew()
        if indices is None:
            return self.rows, self.targets
        places = np.array(indices, np.intp)
        return self.rows[places], self.targets[places]

    def batch(self, order: Any, start: int, stop: int) -> tuple[Any, Any]:
        rows, targets = order
        return rows[start:stop], targets[start:stop]

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
    data.recorded, data.learns = recorded, True
    if held is not None:
        held.recorded = recorded
