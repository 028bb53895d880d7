"""The bridge to the C machine: an encoded program, its buffers, and calls of it. Knows no Values and no functions.

Everything that a call needs is prepared in frames, which are used again: a call costs no more than its pointers. Each
call has a frame to itself, so that several threads can run one program at once.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._ffi import ffi, lib

Doubles = NDArray[np.float64]

_DOUBLES = ffi.typeof("double[]")
_INDICES = ffi.typeof("int64_t[]")
_STATUS = ffi.new("int *")
"""Of trainings that could not be made: what they are made of was checked, so it says that memory is short."""


class Given(NamedTuple):
    """The arguments of a call, checked."""

    samples: int
    numbers: tuple[Doubles | None, ...]
    """An array an argument; None for one that is used as classes only."""
    classes: tuple[NDArray[np.int64], ...]
    """One column a class argument."""


class IndexOutOfRangeError(Exception):
    """A class that is none: column is the number of the class argument."""

    def __init__(self, sample: int, column: int) -> None:
        super().__init__(sample, column)
        self.sample, self.column = sample, column


class _Frame:
    """What one call at a time uses."""

    __slots__ = ("arguments", "call", "indices", "loss", "outputs", "where")

    def __init__(self, arguments: int, indices: int, outputs: int, exact: bool, threads: int) -> None:
        self.arguments = ffi.new("double *[]", max(arguments, 1))
        self.indices = ffi.new("int64_t *[]", max(indices, 1))
        self.outputs = ffi.new("double *[]", max(outputs, 1))
        self.loss = ffi.new("double *")
        self.where = ffi.new("size_t[2]")
        self.call = ffi.new("pg_call *")
        self.call.arguments = self.arguments
        self.call.indices = self.indices
        self.call.loss = self.loss
        self.call.where = self.where
        self.call.exact, self.call.threads = exact, threads

    def take(self, given: Given, held: list[Any]) -> None:
        """Points at the arguments; what keeps their memory where it is goes to held."""
        from_buffer = ffi.from_buffer
        for i, array in enumerate(given[1]):
            if array is not None:  # else the program has no instruction that reads it
                held.append(from_buffer(_DOUBLES, array))
                self.arguments[i] = held[-1]
        for i, column in enumerate(given[2]):
            held.append(from_buffer(_INDICES, column))
            self.indices[i] = held[-1]


class Machine:
    """An encoded program in C.

    words: uint32, constants: float64, as encode.py gives them. Raises ValueError for words that C refuses, MemoryError.
    """

    def __init__(self, words: NDArray[np.uint32], constants: Doubles, *, exact: bool, threads: int = 0) -> None:
        self.words, self.constants, self.exact, self.threads = words, constants, exact, threads
        self.parameters, self._arguments, self._indices, self._outputs = (int(words[i]) for i in (2, 5, 6, 7))
        status = ffi.new("int *")
        program = lib.pg_program_new(
            ffi.from_buffer("uint32_t[]", words), len(words),
            ffi.from_buffer(_DOUBLES, constants), len(constants), status,
        )  # fmt: skip
        if program == ffi.NULL:
            if status[0] == lib.PG_ERR_NOMEM:
                raise MemoryError("no memory for a program")
            raise ValueError("this is no program that this version of pygrad can run: it is damaged")
        self.program = ffi.gc(program, lib.pg_program_free)
        self._frames: list[_Frame] = []

    def run(
        self,
        given: Given,
        parameters: Any,
        outputs: Sequence[Doubles | None] = (),
        gradient: Doubles | None = None,
        seed: float = 1.0,
    ) -> float:
        """Runs it; the sum of the loss over the samples, where there is one.

        parameters: doubles, as any buffer. outputs: an array for each output group, or None where it is not wanted;
        none at all: none is. gradient: gets the gradient of all parameters. Raises IndexOutOfRangeError, MemoryError.
        """
        from_buffer = ffi.from_buffer
        try:
            frame = self._frames.pop()
        except IndexError:
            frame = self._frame()
        call = frame.call
        held = [from_buffer(_DOUBLES, parameters)]  # keeps the memory where it is while C runs
        call.parameters = held[0]
        frame.take(given, held)
        if outputs:
            for i, array in enumerate(outputs):
                if array is None:
                    frame.outputs[i] = ffi.NULL
                else:
                    held.append(from_buffer(_DOUBLES, array))
                    frame.outputs[i] = held[-1]
            call.outputs = frame.outputs
        else:
            call.outputs = ffi.NULL
        if gradient is None:
            call.gradient = ffi.NULL
        else:
            held.append(from_buffer(_DOUBLES, gradient))
            call.gradient = held[-1]
        call.samples = call.rows = given[0]
        call.seed = seed
        status = lib.pg_program_run(self.program, call)
        if status != 0:
            raise _error(status, frame.where)
        loss: float = frame.loss[0]
        self._frames.append(frame)
        return loss

    def _frame(self) -> _Frame:
        return _Frame(self._arguments, self._indices, self._outputs, self.exact, self.threads)

    def training(self, given: Given, parameters: bytearray, plan: Plan) -> Training:
        """The steps of a training, ready to run on these parameters, which they change."""
        return Training(self, self._frames.pop() if self._frames else self._frame(), given, parameters, plan)


class Plan(NamedTuple):
    """What a training is made of."""

    epochs: int
    batch: int
    """Samples a step."""
    mean: bool
    rule: int
    """The number of a rule of pygrad._updates.RULES."""
    settings: Doubles
    """The rule's; its step, where it has one, is moved on."""
    state: bytearray
    """What the rule remembers; changed."""
    losses: Doubles
    """Gets one number an epoch."""
    order: NDArray[np.int64] | None
    """The samples of all epochs in the order in which they come; None: as they stand."""
    rates: Doubles | None
    """Learning rate of each epoch; None: that of settings."""
    threads: int


class Training:
    """Steps of a rule along the gradient that a machine gives. To be used from one thread."""

    def __init__(self, machine: Machine, frame: _Frame, given: Given, parameters: bytearray, plan: Plan) -> None:
        from_buffer = ffi.from_buffer
        held = [from_buffer(_DOUBLES, x, True) for x in (parameters, plan.settings, plan.state, plan.losses)]
        frame.take(given, held)
        self._call = call = ffi.new("pg_training_call *")
        call.samples = call.rows = given.samples
        call.epochs, call.batch = plan.epochs, plan.batch
        call.parameters, call.settings, call.state, call.losses = held[:4]
        call.arguments, call.indices, call.where = frame.arguments, frame.indices, frame.where
        if plan.order is not None:
            held.append(from_buffer(_INDICES, plan.order))
            call.order = held[-1]
        if plan.rates is not None:
            held.append(from_buffer(_DOUBLES, plan.rates))
            call.rates = held[-1]
        call.mean, call.rule = plan.mean, plan.rule
        call.threads, call.exact = plan.threads, machine.exact
        training = lib.pg_training_new(machine.program, call, _STATUS)
        if training == ffi.NULL:
            raise MemoryError("no memory for a training")
        # the destructor holds the program, which has to outlive the training
        self._training = ffi.gc(training, functools.partial(_free_training, machine.program))
        self._held = (machine, frame, held)  # C has pointers to all of it

    def close(self) -> None:
        """Frees it; it must not be used any more."""
        machine, frame, _ = self._held
        ffi.release(self._training)
        machine._frames.append(frame)

    def run(self, seconds: float, steps: int) -> int:
        """Goes on for so many seconds, or steps; how many are done since the beginning. Raises IndexOutOfRangeError,
        MemoryError: the step that failed has changed nothing."""
        done: int = lib.pg_training_run(self._training, seconds, steps)
        if done < 0:
            raise _error(done, self._held[1].where)
        return done


def _free_training(program: Any, training: Any) -> None:
    lib.pg_training_free(training)


def _error(status: int, where: Any) -> Exception:
    """The error of a call that failed."""
    if status == lib.PG_ERR_INDEX:
        return IndexOutOfRangeError(int(where[0]), int(where[1]))
    if status == lib.PG_ERR_NOMEM:
        return MemoryError("no memory to run a program")
    if status == lib.PG_ERR_ISA:
        return _no_isa(os.environ.get("PYGRAD_ISA", ""))
    return RuntimeError(f"pygrad: {ffi.string(lib.pg_status_text(status)).decode()}")


def _usable() -> list[str]:
    names: list[str] = []
    while (name := lib.pg_program_isa_usable(len(names))) != ffi.NULL:
        names.append(ffi.string(name).decode())
    return names


def _no_isa(name: str) -> ValueError:
    return ValueError(f"no instruction set {name!r} on this processor: choose one of {', '.join(_usable())}")


def isa() -> str:
    """The instruction set that programs run with, such as 'baseline', 'avx2' or 'avx512': the largest that this
    processor has, unless the environment variable PYGRAD_ISA, or use_isa, named one.

    Raises ValueError naming those there are if PYGRAD_ISA names none of them.
    """
    name = lib.pg_program_isa()
    if name == ffi.NULL:
        raise _no_isa(os.environ.get("PYGRAD_ISA", ""))
    return str(ffi.string(name).decode())


def use_isa(name: str | None) -> None:
    """Makes programs run with another instruction set, for the same numbers to the last bit; None: the first again.

    Raises ValueError naming those there are for any other; TypeError for what is no text. Nothing has changed then.
    """
    if name is not None and not isinstance(name, str):
        raise TypeError(f"an instruction set is named by a string, such as 'baseline', or None, not {name!r}")
    if lib.pg_program_use_isa(ffi.NULL if name is None else name.encode()) != 0:
        raise _no_isa(str(name))
