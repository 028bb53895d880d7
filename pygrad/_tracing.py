"""Whether a function is being recorded for a program, and what it may do meanwhile (see pygrad/programs/record.py).

While a thread records, what it computes is what every sample will go through. So it may not look at a number that
depends on the inputs or on parameters: that is a TraceError. Constants, leaves born meanwhile, it may look at; repr
shows no number at all. And an op that has no finite value gives inf or nan, for the numbers are of no real sample.

Other threads compute as ever: shared are only the count `active`, and a check where numbers are read that is a little
slower as long as any thread records.
"""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any


class TraceError(Exception):
    """A recorded function did what a program cannot do.

    filename, lineno: where, in the user's own code.
    """

    __module__ = "pygrad.programs"  # where it is public

    def __init__(self, message: str, filename: str = "", lineno: int = 0) -> None:
        super().__init__(message, filename, lineno)
        self.message, self.filename, self.lineno = message, filename, lineno

    def __str__(self) -> str:
        return f"{self.filename}, line {self.lineno}: {self.message}" if self.filename else self.message


active = 0
"""How many functions are being recorded, in all threads."""

listeners: list[Callable[[int], object]] = []
"""Told the new value of `active`: engines that cannot read it where they need it."""

_lock = threading.Lock()


class Trace:
    """A recording under way.

    value_type: of the inputs; births: of its leaves made before the function was called, the inputs among them.
    columns: {id of an input: its number}; picks: {id of a node of pygrad.pick: (the node, the index's column)}; errors:
    those that were raised, for a library may put another in their place.
    """

    def __init__(self, value_type: Any, inputs: list[Any]) -> None:
        self.value_type = value_type
        self.births: int = value_type._births()
        self.columns = {id(v): k for k, v in enumerate(inputs)}
        self.picks: dict[int, tuple[Any, int]] = {}
        self.errors: list[TraceError] = []


class _Current(threading.local):
    trace: Trace | None = None


_current = _Current()


def current() -> Trace | None:
    """What this thread is recording."""
    return _current.trace


def here() -> bool:
    """Whether this thread is recording."""
    return _current.trace is not None


_traces: set[int] = set()
"""Ids of the recordings under way, of which `active` is the number."""


def _note(trace: Trace, under_way: bool) -> None:
    """To be called any number of times: an interrupt may come before the first, or within it."""
    global active
    with _lock:
        (_traces.add if under_way else _traces.discard)(id(trace))
        active = len(_traces)
        for listener in listeners:
            listener(active)


@contextmanager
def recorded(trace: Trace) -> Iterator[None]:
    """Within it, this thread records. Raises RuntimeError if it does already."""
    if _current.trace is not None:
        raise RuntimeError(
            "this thread is recording a function already, and a recording cannot hold another: call the inner "
            "function itself, and compile the outer one"
        )
    try:
        _current.trace = trace
        _note(trace, True)
        yield
    except Exception as error:
        for cause in _causes(error):
            if cause is not error and cause in trace.errors:
                raise cause from None
        if _is_of_index(error):
            raise _error_of_index(error) from error
        raise
    finally:
        try:
            _current.trace = None
            _note(trace, False)
        except BaseException:  # an interrupt
            _current.trace = None
            _note(trace, False)
            raise


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An exception and those that it was raised from: NumPy, for one, says ValueError whatever float() raised."""
    while error is not None:
        yield error
        error = error.__cause__


# ---- what is refused ----

_INSTEAD = (
    "a program is recorded once and run for every sample, so what it does cannot depend on the number of one. Use "
    "operations of Values instead, such as pygrad.maximum, minimum, relu, abs or pick, and look at numbers outside the "
    "recorded function"
)
_CLOSURE = (
    "an op with a Python closure (_backward) cannot be compiled, for it runs for one sample at a time. Write it in "
    "operations of Values, whose gradient is known"
)
_NO_INTEGER = re.compile(
    r"indices must be integers.*Value|int\(\) argument must .* 'Value'|"
    r"'Value' object cannot be interpreted as an integer"
)
_INDEX = (
    "an index, a key or an int of a Value: which number it is differs from sample to sample. Where the index is an "
    "argument of the recorded function, pygrad.pick(values, index) picks a value for each sample"
)
_ARRAYS = (
    "an array Value, or a function for those, in a recorded function: a program is recorded from scalar Values. Write "
    "the function for one sample, with lists of Values, and give the program the arrays"
)
_AS_ARRAY = (
    "a scalar Value that is used as an array, or with one (by an index, or a function for array Values), in a recorded "
    "function. An argument is a Value, a list of Values or nested lists, by the shape of its array: (N,), (N, k) or "
    "(N, k, m)"
)

COMPILED = (
    "a program is called, or asked something, in a recorded function, which it cannot be a part of. Call the compiled "
    "function there, with Values: it is the plain function then"
)


def is_constant(v: Any) -> bool:
    """Whether a Value depends neither on inputs nor on parameters; while this thread records."""
    trace = _current.trace
    assert trace is not None
    return isinstance(v, trace.value_type) and not v._depends(trace.births)


def is_variable(x: Any) -> bool:
    """Whether this thread records, and x is a Value that depends on inputs or parameters."""
    return active > 0 and here() and hasattr(type(x), "_pygrad_backend") and not is_constant(x)


def looked(v: Any, what: str) -> None:
    """To be called before a number is looked at, or changed, or a _backward set; v: None for what is refused whatever
    the Value. Raises TraceError if this thread records and v is no constant."""
    if _current.trace is None:
        return
    if v is None:
        raise error(f"{what} in a recorded function: {_INSTEAD}")
    if what == "setting _backward":
        raise error(f"{what} of {f'the user-defined op {v._op!r}' if v._op else 'a Value'}: {_CLOSURE}")
    if v._holds_array:
        raise error(_ARRAYS)
    if _asked_by_arrays():
        raise error(_AS_ARRAY)
    if not is_constant(v):
        code = _users([(frame, 0) for frame in _frames()])[0].f_code
        if "_backward" in code.co_names:  # it sets one later
            raise error(f"{what} of a Value in the user-defined op {code.co_name}: {_CLOSURE}")
        raise error(f"{what} of a Value that depends on the function's inputs or on parameters: {_INSTEAD}")


def compared(x: Any, y: Any) -> None:
    """To be called before two operands are compared."""
    for v in (x, y):
        if hasattr(type(v), "_pygrad_backend"):
            looked(v, "a comparison")


def _is_of_index(error: Exception) -> bool:
    """Whether Python or NumPy says that a Value is no integer, or a dict that there is none of this key."""
    text = str(error)
    if isinstance(error, KeyError):
        return bool(error.args) and hasattr(type(error.args[0]), "_pygrad_backend")
    if isinstance(error, TypeError):
        return _NO_INTEGER.search(text) is not None
    return isinstance(error, IndexError) and text.startswith("only integers, slices")


def _error_of_index(error: Exception) -> TraceError:
    """What is said instead, with the line that the error came from."""
    places = []
    trace = error.__traceback__
    while trace is not None:
        places.append((trace.tb_frame, trace.tb_lineno))
        trace = trace.tb_next
    return TraceError(_INDEX, *_user_place(places[::-1]))


def error(message: str) -> TraceError:
    """The error, with the place of the user's code that led to it."""
    made = TraceError(message, *_user_place())
    if _current.trace is not None:
        _current.trace.errors.append(made)
    return made


_PACKAGE = Path(__file__).parent.as_posix() + "/"


def _libraries() -> tuple[str, ...]:
    import sysconfig  # only where there is an error to report: importing pygrad should not take longer for it

    names = ("stdlib", "platstdlib", "purelib", "platlib")
    return ("<frozen", *(Path(sysconfig.get_path(name)).as_posix() + "/" for name in names))


def _frames() -> Iterator[FrameType]:
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        yield frame
        frame = frame.f_back


def _path(frame: FrameType) -> str:
    return frame.f_code.co_filename.replace("\\", "/")


def _user_place(places: list[tuple[FrameType, int]] | None = None) -> tuple[str, int]:
    """File and line of the innermost frame that is neither pygrad's nor of a library; or, if all are, not pygrad's.

    places: frames with their lines, the innermost first; by default those that are running.
    """
    frame, line = _users(places or [(frame, frame.f_lineno) for frame in _frames()])
    return frame.f_code.co_filename, line


def _users(places: list[tuple[FrameType, int]]) -> tuple[FrameType, int]:
    found = [place for place in places if not _path(place[0]).startswith(_PACKAGE)]
    libraries = _libraries()
    own = (place for place in found if not _path(place[0]).startswith(libraries))
    return next(own, found[0] if found else places[0])


def _asked_by_arrays() -> bool:
    """Whether a function of array Values asks, and not the user."""
    return any(Path(_path(frame)).name in ("_arrays.py", "arrays.py") for frame in _inner_frames())


def _inner_frames() -> Iterator[FrameType]:
    for frame in _frames():
        if not _path(frame).startswith(_PACKAGE):
            return
        yield frame
