"""compile: a function of Values that runs as programs, one for each signature; recorded when it is first called.

A signature is the shapes of one sample's arguments. What programs do is in program.py, how they are recorded in
record.py: here is only the choice between them.
"""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable, Iterator
from time import perf_counter
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _tracing
from .arguments import NUMBERS, Column, Layout, Shape, check_count, described, holds_values, raw, thread_count
from .minimise import Minimisation, check_positions, minimise
from .parameters import InValues
from .program import Outputs, Program
from .record import Recording, record
from .run import Given
from .stats import Stats

Array = NDArray[np.float64]


class CompiledFunction:
    """A function of one sample that runs over arrays of them. Made by pygrad.compile, which says how.

    Called with Values it is the plain function, so that compiled functions are made of others, and gradients flow.
    It has those methods of Program that take arrays, and hands them to the program for their shapes; for the others ask
    `program`, the one used last. As a decorator of a method it is a method: every object has programs of its own, which
    live as long as it does.
    """

    def __init__(
        self, f: Callable[..., Any], params: Any, exact: bool, threads: int | None, backend: str | None
    ) -> None:
        functools.update_wrapper(self, f, updated=())  # f may be an object with attributes of its own
        self.__wrapped__ = f
        self._params, self._exact, self._threads, self._backend = params, exact, threads, backend
        self._names = _argument_names(f)
        self._programs: dict[tuple[Shape, ...], Program] = {}
        self._last: Program | None = None
        self._recording = threading.Lock()
        self._owner: type | None = None  # of a method
        self._attribute = ""

    # ---- programs ----

    def record(self, *arrays: Any) -> Program:
        """The program for arrays of these shapes: recorded, if there is none yet. Nothing is computed.

        Raises TraceError naming the line where the function does what a program cannot; whatever the function raises;
        TypeError or ValueError for what are no arrays of numbers with a sample axis.
        """
        if _tracing.active and _tracing.here():  # perhaps this function, which would wait for itself
            raise _tracing.error(
                f"{self!r} is asked about arrays in a recorded function: call it there with Values, those of the "
                f"sample, and it gives what the plain function gives"
            )
        shapes = []
        names = self._names if len(self._names) == len(arrays) else _numbered(arrays)
        for x, name in zip(arrays, names):
            as_it_is = type(x) is np.ndarray and x.ndim and x.dtype.kind in NUMBERS
            shapes.append((x if as_it_is else raw(x, name)).shape[1:])
        key = tuple(shapes)
        program = self._programs.get(key)
        if program is None:
            with self._recording:
                program = self._programs.get(key)
                if program is None:
                    program = self._programs[key] = self._recorded(key)
        self._last = program
        return program

    def _recorded(self, shapes: tuple[Shape, ...]) -> Program:
        f = self.__wrapped__
        names = _argument_names(f, len(shapes))
        start = perf_counter()
        try:
            recording = record(f, shapes, self._params, backend=self._backend)
        except Exception as error:
            _note(error, self._while(names, shapes))
            raise
        seconds = perf_counter() - start
        program = program_of(_name_of(f), names, shapes, recording, exact=self._exact, threads=self._threads)
        program.recording_seconds = seconds
        return program

    def _while(self, names: tuple[str, ...], shapes: tuple[Shape, ...]) -> str:
        """What was done when an error came: the shapes, which often are what is wrong."""
        before = self._said()
        return f"{_name_of(self.__wrapped__)} was being recorded for {described(names, shapes)}" + (
            f"; before, it was for {before}" if before else ""
        )

    def _said(self) -> str:
        """What was recorded: of many programs the last ones."""
        found = [described(program.layout.names, program.layout.shapes) for program in self.programs]
        more = [f"{len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
        return ", and ".join([*more, *found[-_SHOWN:]])

    @property
    def programs(self) -> tuple[Program, ...]:
        """All programs, in the order in which they were recorded."""
        return tuple(self._programs.values())

    @property
    def program(self) -> Program:
        """The program that was used last; print it to see its instructions. Of a function without arguments it is
        recorded, if it was not yet.

        Raises ValueError if nothing was recorded yet.
        """
        if self._last is None:
            if self._names:
                raise ValueError(
                    f"{self!r} was not recorded yet: call it, or its record(...), with arrays for "
                    f"{', '.join(self._names)}"
                )
            return self.record()
        return self._last

    @property
    def parameters(self) -> tuple[Any, ...]:
        """The Values that gradients are of, in order, of the program that was used last. Raises as program."""
        return self.program.parameters

    @property
    def parameter_count(self) -> int:
        """See Program.parameter_count. Of the program that was used last; raises as program."""
        return self.program.parameter_count

    @property
    def parameter_vector(self) -> Array:
        """See Program.parameter_vector. Of the program that was used last; raises as program."""
        return self.program.parameter_vector

    @parameter_vector.setter
    def parameter_vector(self, numbers: ArrayLike) -> None:
        self.program.parameter_vector = numbers

    def listing(self, question: str = "value", most: int | None = None) -> str:
        """See Program.listing. Of the program that was used last; raises as program."""
        return self.program.listing(question, most)

    def stats(self, question: str = "gradient") -> Stats:
        """See Program.stats. Of the program that was used last; raises as program."""
        return self.program.stats(question)

    # ---- what a program can be asked ----

    def _found(self, arrays: tuple[Any, ...]) -> tuple[Program, Given]:
        """The program for these arrays, and the arrays as it takes them: quickly, if it is the one used last."""
        program = self._last
        given = None if program is None or _tracing.active else program.quick(arrays)
        if program is None or given is None:
            program = self.record(*arrays)
            given = program.given(arrays)
        return program, given

    def __call__(self, *arrays: Any) -> Any:
        """See Program.__call__. Called with Values, those of one sample, it gives what the plain function gives; so
        it can be part of another graph, or of another recorded function."""
        program = self._last
        given = None if program is None or _tracing.active else program.quick(arrays)
        if program is None or given is None:
            if self._of_one(arrays):
                return self.__wrapped__(*arrays)
            program, given = self._found(arrays)
        return program.values_of(given)

    def _of_one(self, arrays: tuple[Any, ...]) -> bool:
        """Whether there are Values among these, and no array of samples by what is known of the shapes."""
        if not arrays:
            return _tracing.here()
        shapes = () if self._last is None else self._last.layout.shapes
        of_samples = (isinstance(x, np.ndarray) and x.ndim > len(shape) for x, shape in zip(arrays, shapes))
        return any(map(holds_values, arrays)) and not any(of_samples)

    def value_and_grad(self, *arrays: Any, reduction: str = "mean") -> tuple[float, Array]:
        """See Program.value_and_grad."""
        program, given = self._found(arrays)
        return program.gradient_of(given, reduction, "value_and_grad")

    def backward(self, *arrays: Any, reduction: str = "mean") -> float:
        """See Program.backward."""
        return self.record(*arrays).backward(*arrays, reduction=reduction)

    def input_gradients(self, *arrays: Any) -> Any:
        """See Program.input_gradients."""
        return self.record(*arrays).input_gradients(*arrays)

    def sample_gradients(self, *arrays: Any) -> Array:
        """See Program.sample_gradients."""
        return self.record(*arrays).sample_gradients(*arrays)

    def jvp(self, tangent: ArrayLike, *arrays: Any) -> Any:
        """See Program.jvp."""
        return self.record(*arrays).jvp(tangent, *arrays)

    def hvp(self, vector: ArrayLike, *arrays: Any, reduction: str = "mean") -> Array:
        """See Program.hvp."""
        return self.record(*arrays).hvp(vector, *arrays, reduction=reduction)

    def hessian(self, *arrays: Any, reduction: str = "mean") -> Array:
        """See Program.hessian."""
        return self.record(*arrays).hessian(*arrays, reduction=reduction)

    def fun(self, *arrays: Any, reduction: str = "mean") -> Callable[[ArrayLike], tuple[float, Array]]:
        """See Program.fun."""
        return self.record(*arrays).fun(*arrays, reduction=reduction)

    def minimize(self, *arrays: Any, **options: Any) -> Minimisation:
        """See Program.minimize, which says what the options are."""
        try:
            program, given = self._found(arrays)
        except (TypeError, ValueError):
            check_positions(arrays)
            raise
        return minimise(program, given, **options)

    def to_c(self, name: str | None = None) -> str:
        """See Program.to_c. Of the program that was used last; raises as program."""
        return self.program.to_c(name)

    # ---- as a method ----

    def __set_name__(self, owner: type, name: str) -> None:
        self._owner, self._attribute = owner, name

    def __get__(self, instance: Any, owner: type | None = None) -> CompiledFunction:
        if instance is None:
            return self
        if isinstance(instance, type):
            raise TypeError(
                f"{self!r} can't be a class method: compile a static method, or a method of the class's objects"
            )
        methods = _methods(instance)
        found = methods.get(self)
        if found is None:
            bound = self.__wrapped__.__get__(instance, owner)
            made = _BoundFunction(bound, self._params, self._exact, self._threads, self._backend)
            made._instance, made._owner, made._attribute = instance, self._owner, self._attribute
            found = methods.setdefault(self, made)
        return found

    def __repr__(self) -> str:
        return f"<compiled {_name_of(self.__wrapped__)}>"

    def __str__(self) -> str:
        """What was recorded; .program has the instructions."""
        recorded = self._said()
        return f"{repr(self)[:-1]}, {f'recorded for {recorded}' if recorded else 'not recorded yet'}>"

    def __reduce__(self) -> Any:
        raise TypeError(
            f"{self!r} can't be pickled or copied: pickle a program of it (.program), or compile the function there"
        )


class _BoundFunction(CompiledFunction):
    """A compiled method of one object: copied and pickled with the object, without programs."""

    _instance: Any = None

    def __reduce__(self) -> Any:
        if self._owner is None:
            raise TypeError(f"{self!r} can't be pickled or copied: it was not a method when its class was made")
        return _found_again, (self._instance, self._owner, self._attribute)


def _found_again(instance: Any, owner: type, name: str) -> Any:
    """A compiled method of an object that was copied or unpickled."""
    return vars(owner)[name].__get__(instance, type(instance))


_METHODS = "_compiled_methods"
"""Where an object keeps its compiled methods. Not in the place of the method: a class may have a method of the same
name, and reach this one by super()."""


class _Methods(dict[CompiledFunction, _BoundFunction]):
    """Those of one object, by the function in the class. A copy of the object, which may have other parameters, does
    not have them: shallow copies share this, and see whose it is; other copies, and pickles, have one of nobody."""

    instance: Any = None

    def __reduce__(self) -> Any:
        return _Methods, ()


def _methods(instance: Any) -> _Methods:
    try:
        kept = vars(instance)
    except TypeError:
        raise TypeError(
            f"a compiled method keeps its programs in its object, but {type(instance).__name__} has no __dict__"
        ) from None
    found = kept.get(_METHODS)
    if type(found) is not _Methods or found.instance is not instance:
        with _MAKING:
            found = kept.get(_METHODS)
            if type(found) is not _Methods or found.instance is not instance:
                made = _Methods()
                made.instance = instance
                kept[_METHODS] = found = made
    return found


_MAKING = threading.Lock()


def program_of(
    name: str,
    names: tuple[str, ...],
    shapes: tuple[Shape, ...],
    recording: Recording,
    *,
    exact: bool,
    threads: int | None,
) -> Program:
    """The program of a recording."""
    code = recording.code
    read = {recording.columns[k][0] for op, k in zip(code.ops, code.ks) if op == "input"}
    classes = tuple(Column(*recording.columns[k], bound) for k, bound in sorted(recording.indices.items()))
    layout = Layout(names, shapes, tuple(i in read for i in range(len(shapes))), classes)
    structure = recording.structure
    parts = structure if isinstance(structure, tuple) else (structure,)
    outputs = Outputs(tuple(map(_shape, parts)), isinstance(structure, tuple))
    source = InValues(tuple(recording.parameters), tuple(recording.shared))
    return Program(name, code, layout, outputs, source, exact=exact, threads=threads)


def _shape(part: Any) -> Shape:
    """Of an output: of nested lists of one shape."""
    shape: list[int] = []
    while isinstance(part, list):
        shape.append(len(part))
        if not part:
            break
        part = part[0]
    return tuple(shape)


# ---- names ----

_SHOWN = 3  # signatures


def _name_of(f: Callable[..., Any]) -> str:
    """Of a function its name, of an object that can be called that of its class."""
    return str(getattr(f, "__qualname__", type(f).__name__))


def _note(error: Exception, text: str) -> None:
    """Adds a line to what is shown of an error; before Python 3.11, which has notes, as its cause."""
    if hasattr(error, "add_note"):
        error.add_note(text)
    elif error.__cause__ is None:
        cause = RuntimeError(text)
        cause.__context__ = None if error.__suppress_context__ else error.__context__
        error.__cause__ = cause


def _argument_names(f: Callable[..., Any], count: int | None = None) -> tuple[str, ...]:
    """What the arguments are called; so many of them, if count is given.

    Raises TypeError for a number that the function does not take.
    """
    try:
        parameters = list(inspect.signature(f).parameters.values())
    except (TypeError, ValueError):  # some builtins and extension functions have none
        return tuple(f"argument {i}" for i in range(count or 0))
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    names = tuple(p.name for p in positional)
    if count is None:
        return names
    rest = next((p.name for p in parameters if p.kind is p.VAR_POSITIONAL), None)
    least = sum(p.default is p.empty for p in positional)
    if count > len(names) and rest is not None:
        return (*names, *(f"{rest}[{i}]" for i in range(count - len(names))))
    if not least <= count <= len(names):
        check_count((None,) * count, names)
    return names[:count]


def _numbered(arrays: tuple[Any, ...]) -> tuple[str, ...]:
    return tuple(f"argument {i}" for i in range(len(arrays)))


# ---- compile ----


@overload
def compile(  # noqa: A001  # pygrad.compile
    f: Callable[..., Any],
    *,
    params: Any = None,
    exact: bool = False,
    threads: int | None = None,
    backend: str | None = None,
) -> CompiledFunction: ...


@overload
def compile(  # noqa: A001  # pygrad.compile
    f: None = None,
    *,
    params: Any = None,
    exact: bool = False,
    threads: int | None = None,
    backend: str | None = None,
) -> Callable[[Callable[..., Any]], CompiledFunction]: ...


def compile(  # noqa: A001  # pygrad.compile
    f: Callable[..., Any] | None = None,
    *,
    params: Any = None,
    exact: bool = False,
    threads: int | None = None,
    backend: str | None = None,
) -> Any:
    """Makes a function of one sample run over arrays of them at the speed of C. Also a decorator, options or none.

    f: takes Values, lists of Values, or nested lists, and gives a Value, a list of them, or a tuple of both. It is
        called once for each shape of arguments, on Values that stand for any sample: what it does to them becomes the
        program. A function without arguments, which loops over its data itself, is its own only sample.
    params: the parameters, in order: a list of scalar Values, or a Module. By default all Values that f uses and that
        are older than the recording, in the order of their creation. Their data is read at every call.
    exact: whether exp, log, tanh, powers and their like are those of the graph engine, to the last bit. By default they
        are functions of two units in the last place at most, many samples at once, and x ** 2 is x * x. All other
        operations are exact anyway.
    threads: as many at most; None: as many as pay off. The numbers do not depend on it.
    backend: that of the Values f uses, where it is not the one in use and params does not tell.

    What f decides by Python's own means (sizes, loops, a module's training mode) is decided when it is recorded:
    compile it again after a change. An operation that would raise in Python, as log(0), gives inf or nan.

    Raises TypeError for what cannot be called, TypeError or ValueError for threads. Recording raises pygrad.TraceError,
    naming the line where f looks at a number that is not known yet.

    >>> import pygrad
    >>> a = pygrad.Value(3.0)
    >>> @pygrad.compile
    ... def loss(x, y):
    ...     return (a * x[0] + x[1] - y) ** 2
    >>> loss([[1.0, 2.0], [0.0, 1.0]], [4.0, 3.0])
    array([1., 4.])
    >>> loss.value_and_grad([[1.0, 2.0], [0.0, 1.0]], [4.0, 3.0])
    (2.5, array([1.]))
    """
    if f is None:
        return functools.partial(compile, params=params, exact=exact, threads=threads, backend=backend)
    if not callable(f):
        raise TypeError(f"compile: expected a function, not {type(f).__name__}")
    if isinstance(f, CompiledFunction):
        f = f.__wrapped__
    thread_count(threads)
    if isinstance(params, Iterator):  # there may be several recordings
        params = list(params)
    return CompiledFunction(f, params, bool(exact), threads, backend)
