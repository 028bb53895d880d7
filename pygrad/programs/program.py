"""Program: a recorded function for arguments of given shapes, and everything that can be asked of it.

Arguments are checked here and handed to machines, of which there is one for each kind of question ('value',
'gradient', ...), made when it is first asked. Knows nothing of how a program is recorded, made or run.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import arguments
from .arguments import Layout, Shape
from .build import build, build_words
from .code import Code
from .listing import counted
from .minimise import Minimisation, Progress, check_positions, minimise
from .parameters import Source, as_vector
from .pipeline import Signature
from .run import Given, IndexOutOfRangeError, Machine
from .shown import names_of, shown
from .stats import Stats, stats_of

if TYPE_CHECKING:
    from ..optim import Optimizer

Array = NDArray[np.float64]

_DOUBLE, _CLASS = np.dtype(np.float64), np.dtype(np.int64)
QUESTIONS = ("value", "gradient", "gradient_outputs", "inputs", "samples", "jvp", "hvp")
"""What machines are made for; theta are the parameters and what is shared.

value      outputs: those of the function
gradient   G: of the sum of the losses times the seed, by each parameter; and the sum of the losses
gradient_outputs  both of these; of functions with arguments only
inputs     outputs: for each argument, each sample's gradient by it
samples    one output, of as many numbers as there are parameters: each sample's gradient by them
jvp        parameters: theta, then v. Outputs: those of value, then as many, their derivatives along v
hvp        parameters: theta, then v. G: first the Hessian of the sum of the losses times the seed, times v
"""

MAX_HESSIAN = 2000
"""Parameters of which a Hessian is made: 32 megabytes."""


class Outputs(NamedTuple):
    """What a function gives for one sample."""

    shapes: tuple[Shape, ...]
    """Of each output: () for a number."""
    several: bool
    """Whether the function gives a tuple of outputs, and not one."""


class Program:
    """A function recorded for arguments of given shapes. Made by pygrad.compile; print it to see its instructions.

    All methods take the function's arguments as arrays whose first axis is the samples, N of them: of shape (N,) where
    the function takes a number, (N, k) where it takes a list of k, and so on; anything that can become float64 exactly.
    A function without arguments is its own only sample. The loss is the function's output, or the first of a tuple: one
    number a sample. P is the number of parameters, in the order of `parameters`; their data is read at every call.
    Where Python's arithmetic would raise, as log(0) and 1/0 do, numbers are inf or nan.

    Methods raise TypeError naming the argument and its dtype for what can't become float64 exactly, ValueError for
    shapes or numbers of samples that do not fit, IndexError naming the sample for a class that is out of range. All may
    be called from several threads at once.
    """

    def __init__(
        self,
        name: str,
        code: Code,
        layout: Layout,
        outputs: Outputs,
        source: Source,
        *,
        exact: bool = False,
        threads: int | None = None,
    ) -> None:
        self.name, self.code, self.layout, self.outputs, self.source = name, code, layout, outputs, source
        self.exact = exact
        self.threads = arguments.thread_count(threads)
        self._expected = _as_they_are(layout)
        self.recording_seconds = 0.0  # of one that was recorded
        self._machines: dict[str, Machine] = {}
        self._making = threading.Lock()

    # ---- what it is ----

    @property
    def parameters(self) -> tuple[Any, ...]:
        """The Values that gradients are of, in order; none in a program that was unpickled."""
        return self.source.values

    @property
    def parameter_count(self) -> int:
        """P, how many parameters there are."""
        return self.source.count

    @property
    def parameter_vector(self) -> Array:
        """The data of all parameters: a new array of shape (P,). Assign one to set them."""
        return np.array(np.frombuffer(self.source.numbers())[: self.source.count])

    @parameter_vector.setter
    def parameter_vector(self, numbers: ArrayLike) -> None:
        self.source.put(as_vector(numbers, self.source.count, "parameter_vector"))

    def __repr__(self) -> str:
        of = arguments.described(self.layout.names, self.layout.shapes)
        return f"<Program {self.name}{of}, {counted(self.source.count, 'parameter')}>"

    def __str__(self) -> str:
        """What it computes of a sample, instruction by instruction; of a long program the first and the last ones."""
        return f"{self!r}\n{self.listing(most=60)}"

    def listing(self, question: str = "value", most: int | None = None) -> str:
        """The instructions for one of QUESTIONS, after all passes, as text; about so many at most.

        Stage by stage, if there are several: what all samples share, and what each does; or the parts of a function
        without arguments. Each is followed by the vector instructions that it is run as.
        """
        encoded, _ = build(self.code, self.signature, question, exact=self.exact)
        return shown(encoded, names_of(self.layout, self.source), most)

    def stats(self, question: str = "gradient") -> Stats:
        """What building the program for one of QUESTIONS did, and what a run of it costs; see Stats."""
        return stats_of(*build(self.code, self.signature, question, exact=self.exact), self.recording_seconds)

    @property
    def signature(self) -> Signature:
        """What surrounds the code, for build."""
        layout = self.layout
        columns = [(i, j) for i, width in enumerate(layout.widths) for j in range(width)]
        starts = [0, *itertools.accumulate(layout.widths)]
        bounds = {starts[c.argument] + c.column: c.bound for c in layout.classes}
        groups = list(map(_size, self.outputs.shapes))
        return Signature(self.source.total, columns, list(layout.widths), bounds, groups, self.source.count)

    def machine(self, question: str) -> Machine:
        """The machine for one of QUESTIONS, made if it is the first time."""
        found = self._machines.get(question)
        if found is None:
            with self._making:
                found = self._machines.get(question)
                if found is None:
                    found = self._machines[question] = self._made(self.code, self.signature, question)
        return found

    def _made(self, code: Code, signature: Signature, question: str) -> Machine:
        words, constants = build_words(code, signature, question, exact=self.exact)
        return Machine(words, constants, exact=self.exact, threads=self.threads)

    def trainer(self) -> Machine:
        """The machine whose gradient a training follows: what is shared, and does not move, is constant in it."""
        source = self.source
        if source.total == source.count:
            return self.machine("gradient")
        code, numbers = self.code.copy(), np.frombuffer(source.numbers())
        for i, (op, k) in enumerate(zip(code.ops, code.ks)):
            if op == "parameter" and k >= source.count:
                code.ops[i], code.ks[i] = "constant", float(numbers[k])
        return self._made(code, self.signature._replace(parameters=source.count), "gradient")

    def to_c(self, name: str | None = None) -> str:
        """One C99 file that computes what this program does, without pygrad, as text. It says itself how to use it.

        NAME_value gives the outputs of one sample; NAME_gradient adds the gradient of one sample and gives the loss;
        NAME_loss the mean loss of several samples with its gradient. The parameters' current data are in it as
        NAME_parameters. name: what its names begin with; by default the function's. Numbers are those of exact=True.

        Raises ValueError for a name that can't begin a name in C, TypeError for what is no string.
        """
        from .to_c import to_c

        return to_c(self, name)

    def __reduce__(self) -> Any:
        """Pickles as arrays: with the parameters' numbers, without their Values. What is loaded is checked."""
        from .pickled import reduced

        return reduced(self)

    # ---- arguments ----

    def given(self, arrays: tuple[Any, ...]) -> Given:
        """The arguments, checked and converted; an array that is as it should be is itself."""
        return self.quick(arrays) or self._converted(arrays)

    def quick(self, arrays: tuple[Any, ...]) -> Given | None:
        """The arguments, if nothing needs to be converted; None if something has to be looked at more closely."""
        expected = self._expected
        if expected is None or len(arrays) != len(expected):
            return None
        n = -1
        for x, (dtype, shape) in zip(arrays, expected):
            if type(x) is not np.ndarray or x.dtype is not dtype or not x.flags.carray:
                return None
            of_array = x.shape
            if of_array[1:] != shape or not of_array or (of_array[0] != n and n >= 0):
                return None
            n = of_array[0]
        if not self.layout.classes:
            return Given(1 if n < 0 else n, arrays, ())
        numbers = tuple([x if x.dtype is _DOUBLE else None for x in arrays])
        return Given(n, numbers, tuple([arrays[c.argument] for c in self.layout.classes]))

    def _converted(self, arrays: tuple[Any, ...]) -> Given:
        layout = self.layout
        arguments.check_count(arrays, layout.names)
        if not arrays:
            return Given(1, (), ())
        used = zip(arrays, layout.names, layout.numbers)
        numbers = tuple(arguments.numbers(x, name) if wanted else None for x, name, wanted in used)
        checked = tuple(arguments.raw(x, name) if a is None else a for a, x, name in zip(numbers, arrays, layout.names))
        samples = arguments.samples(checked, layout)
        classes = tuple(
            arguments.classes(arrays[c.argument], layout.names[c.argument], c.column) for c in layout.classes
        )
        return Given(samples, numbers, classes)

    def run(self, question: str, given: Given, **options: Any) -> float:
        """Asks one of QUESTIONS of arguments that were checked: see Machine.run, for what the options are."""
        return self._run_with(self.source.numbers(), question, given, **options)

    def _run_with(self, numbers: Any, question: str, given: Given, **options: Any) -> float:
        try:
            loss: float = (self._machines.get(question) or self.machine(question)).run(given, numbers, **options)
        except IndexOutOfRangeError as error:
            raise self._out_of_range(given, error.column, error.sample) from None
        return loss

    def check_classes(self, given: Given) -> None:
        """Raises IndexError naming the first sample whose class is none."""
        for i, (array, column) in enumerate(zip(given.classes, self.layout.classes)):
            if len(array) and not 0 <= array.min() <= array.max() < column.bound:
                raise self._out_of_range(given, i, int(np.flatnonzero((array < 0) | (array >= column.bound))[0]))

    def _out_of_range(self, given: Given, i: int, sample: int) -> IndexError:
        return arguments.out_of_range(given.classes[i], sample, self.layout.classes[i], self.layout)

    # ---- values ----

    def __call__(self, *arrays: Any) -> Any:
        """The function of every sample.

        For a number an array of shape (N,), for a list of k numbers one of shape (N, k), for a tuple a tuple of these.
        A function without arguments gives a float, an array of shape (k,), or a tuple of these.
        """
        return self.values_of(self.given(arrays))

    def values_of(self, given: Given) -> Any:
        """As a call, on arguments that were checked."""
        return self._values("value", self.source.numbers(), given)

    def _values(self, question: str, numbers: Any, given: Given) -> Any:
        outputs = self.outputs
        n = given.samples
        made = [np.empty((n, *shape)) for shape in outputs.shapes]
        if n:
            wanted: list[Array | None] = [*made] if question == "value" else [*[None] * len(made), *made]
            self._run_with(numbers, question, given, outputs=wanted)
        results: list[Any] = list(made)
        if not self.layout.names:
            results = [array[0] if shape else array[0].item() for array, shape in zip(made, outputs.shapes)]
        return tuple(results) if outputs.several else results[0]

    # ---- gradients ----

    def _need_loss(self, what: str) -> None:
        shape = self.outputs.shapes[0] if self.outputs.shapes else (0,)
        if shape:
            raise TypeError(
                f"{what} needs one number a sample to differentiate, but {self.name} gives a list of "
                f"{' x '.join(map(str, shape))}: compile a function that adds them up, or gives the loss"
            )

    def check_reduction(self, reduction: str, samples: int, what: str) -> float:
        """What each sample's gradient is multiplied by.

        Raises TypeError if the (first) output is a list, ValueError for an unknown reduction, or a mean of nothing.
        """
        self._need_loss(what)
        if reduction == "mean":
            if samples == 0:
                raise ValueError(f"{what}: there are no samples, and so no mean")
            return 1.0 / samples
        if reduction == "sum":
            return 1.0
        raise ValueError(f"unknown reduction={reduction!r}: choose 'mean' or 'sum'")

    def _gradient(self, numbers: Any, given: Given, reduction: str, what: str) -> tuple[float, Array]:
        n = given.samples
        seed = self.check_reduction(reduction, n, what)
        if n == 0:
            return 0.0, np.zeros(self.source.count)
        gradient = np.empty(self.source.total)
        loss = self._run_with(numbers, "gradient", given, gradient=gradient, seed=seed)
        return (loss / n if reduction == "mean" else loss), gradient[: self.source.count]

    def value_and_grad(self, *arrays: Any, reduction: str = "mean") -> tuple[float, Array]:
        """The mean loss, or its sum with reduction='sum', and its gradient, an array of shape (P,). No .grad changes.

        Losses are added from the first sample to the last. So are the contributions to the gradient, for each place
        where a parameter is used, within at most 16 tasks of at least 512 samples, whose sums are added in order.

        Raises TypeError for a function whose (first) output is a list; ValueError for a mean of no samples.
        """
        return self.gradient_of(self.given(arrays), reduction, "value_and_grad")

    def gradient_of(self, given: Given, reduction: str, what: str) -> tuple[float, Array]:
        """As value_and_grad, on arguments that were checked; what: the method, for what is said of errors."""
        return self._gradient(self.source.numbers(), given, reduction, what)

    def backward(self, *arrays: Any, reduction: str = "mean") -> float:
        """The mean loss, or its sum; adds its gradient to the .grad of every parameter. Raises as value_and_grad."""
        loss, gradient = self.gradient_of(self.given(arrays), reduction, "backward")
        self.source.add_gradient(gradient)
        return loss

    def input_gradients(self, *arrays: Any) -> Any:
        """Each sample's gradient of its own loss by its arguments: for each argument an array of its shape, for one
        that is used as classes only, zeros. A tuple of them; of a function with one argument, the array.

        Raises TypeError for a function without arguments, or whose (first) output is a list.
        """
        self._need_loss("input_gradients")
        if not self.layout.names:
            raise TypeError(f"input_gradients: {self.name} has no arguments")
        given = self.given(arrays)
        n = given.samples
        used = self.layout.numbers
        made = [(np.empty if wanted else np.zeros)((n, *shape)) for shape, wanted in zip(self.layout.shapes, used)]
        if n and any(used):
            self.run("inputs", given, outputs=[array if wanted else None for array, wanted in zip(made, used)])
        return tuple(made) if len(made) > 1 else made[0]

    def sample_gradients(self, *arrays: Any) -> Array:
        """Each sample's gradient of its own loss by the parameters: shape (N, P), (P,) for a function without
        arguments. Raises TypeError for a function whose (first) output is a list."""
        self._need_loss("sample_gradients")
        given = self.given(arrays)
        made = np.empty((given.samples, self.source.count))
        if made.size:
            self.run("samples", given, outputs=[made])
        return made if self.layout.names else made.reshape(-1)

    def jvp(self, tangent: ArrayLike, *arrays: Any) -> Any:
        """The derivatives of all outputs along a direction of the parameters (Jacobian times tangent), for each sample.

        tangent: shape (P,). Returns what a call returns, of the same shapes.
        """
        along = as_vector(tangent, self.source.count, "tangent")
        return self._values("jvp", self._with(along), self.given(arrays))

    def _with(self, along: Array) -> Array:
        """The numbers of the source, then a direction: 0 for what is shared."""
        both = np.zeros(2 * self.source.total)
        both[: self.source.total] = np.frombuffer(self.source.numbers())
        both[self.source.total : self.source.total + self.source.count] = along
        return both

    def hvp(self, vector: ArrayLike, *arrays: Any, reduction: str = "mean") -> Array:
        """The Hessian of the mean loss, or of its sum, by the parameters, times a vector of shape (P,): shape (P,).

        Raises as value_and_grad.
        """
        along = as_vector(vector, self.source.count, "vector")
        return self._hvp(along, self.given(arrays), reduction, "hvp")

    def _hvp(self, along: Array, given: Given, reduction: str, what: str) -> Array:
        seed = self.check_reduction(reduction, given.samples, what)
        count = self.source.count
        if given.samples == 0:
            return np.zeros(count)
        gradient = np.empty(2 * self.source.total)
        self._run_with(self._with(along), "hvp", given, gradient=gradient, seed=seed)
        return np.array(gradient[:count])

    def hessian(self, *arrays: Any, reduction: str = "mean") -> Array:
        """The Hessian of the mean loss, or of its sum, by the parameters: shape (P, P), one hvp a column.

        Raises as value_and_grad; ValueError for more than 2,000 parameters.
        """
        count = self.source.count
        if count > MAX_HESSIAN:
            raise ValueError(
                f"hessian: {count} parameters would make {count * count} entries, and {MAX_HESSIAN} parameters are the "
                f"most it takes: use hvp, which gives its product with a vector"
            )
        given = self.given(arrays)
        self.check_reduction(reduction, given.samples, "hessian")
        columns = np.empty((count, count))
        unit = np.zeros(count)
        for i in range(count):
            unit[i] = 1.0
            columns[:, i] = self._hvp(unit, given, reduction, "hessian")
            unit[i] = 0.0
        return columns

    # ---- minimising ----

    def fun(self, *arrays: Any, reduction: str = "mean") -> Callable[[ArrayLike], tuple[float, Array]]:
        """A function of the parameters for an optimiser from elsewhere: theta of shape (P,) -> (loss, gradient).

        scipy.optimize.minimize(program.fun(X, y), program.parameter_vector, jac=True). The parameters themselves are
        neither read nor changed: assign the result to parameter_vector. Raises as value_and_grad, the function too, if
        theta has another shape.
        """
        given = self.given(arrays)
        self.check_reduction(reduction, given.samples, "fun")
        count = self.source.count

        def value_and_gradient(theta: ArrayLike) -> tuple[float, Array]:
            numbers = as_vector(theta, count, "theta")
            if self.source.total != count:
                numbers = np.concatenate([numbers, np.frombuffer(self.source.numbers())[count:]])
            return self._gradient(numbers, given, reduction, "fun")

        return value_and_gradient

    def minimize(
        self,
        *arrays: Any,
        optimizer: str | Optimizer = "sgd",
        epochs: int = 1,
        batch_size: int | None = None,
        shuffle: bool = True,
        seed: Any = None,
        reduction: str = "mean",
        progress: Callable[[Progress], object] | None = None,
        every: float = 100.0,
        threads: int | None = None,
        **settings: Any,
    ) -> Minimisation:
        """Trains the parameters: for each batch value_and_grad and a step of the optimiser. The loop runs in C.

        optimizer: 'sgd', 'adam', 'adamw' or 'rmsprop', with lr= and the settings that pygrad.optim has for it; or an
            optimiser of pygrad.optim for the same parameters, which goes on from its own state and knows of the steps
            afterwards. lr may be a schedule: a function of the step.
        batch_size: samples of a step, the last of an epoch may have fewer; None: all of them.
        shuffle: whether batches are drawn anew for each epoch, by numpy.random.default_rng(seed); with one batch an
            epoch the samples stay as they stand.
        reduction: a step's loss is the 'mean' of its samples', or their 'sum'.
        progress: called every so many milliseconds (`every`) with a pygrad.programs.minimise.Progress: epoch, epochs,
            loss, seconds. The parameters are up to date then; what it assigns to them is lost. What it raises ends the
            training.
        threads: as many at most; None: as for the other methods.

        The data of the parameters are written at the end; also after Ctrl-C, which is heard within a tenth of a second
        and raises KeyboardInterrupt: what was done are whole steps. Their .grad is not touched.

        Raises TypeError or ValueError naming an option; ValueError for no samples; and as value_and_grad. Nothing has
        changed then.
        """
        try:
            given = self.given(arrays)
        except (TypeError, ValueError):
            check_positions(arrays)
            raise
        return minimise(
            self, given, optimizer, epochs, batch_size, shuffle, seed, reduction, progress, every, threads,
            **settings,
        )  # fmt: skip


def _size(shape: Shape) -> int:
    return int(np.prod(shape))


def _as_they_are(layout: Layout) -> list[tuple[Any, Shape]] | None:
    """Dtype and shape of a sample of arguments that need no conversion; None if there is always something to do."""
    as_classes = [c.argument for c in layout.classes]
    expected: list[tuple[Any, Shape]] = []
    for i, (shape, used) in enumerate(zip(layout.shapes, layout.numbers)):
        if used == (i in as_classes) or (i in as_classes and shape):
            return None
        expected.append((_DOUBLE if used else _CLASS, shape))
    return expected
