"""Uses of compiled functions that once went wrong, each as small as it could be made.

What programs do in ordinary use is tested in the other files.
"""

from __future__ import annotations

import contextlib
import copy
import pickle
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pygrad
from pygrad import _tracing, backends
from pygrad.programs import arguments


@pytest.fixture(autouse=True)
def in_use(request: pytest.FixtureRequest) -> Any:
    """pygrad uses the backend of the test."""
    before = backends.current
    if "backend" in request.fixturenames:
        pygrad.use(request.getfixturevalue("backend"))
    yield
    pygrad.use(before)


def test_sums_of_plain_numbers(backend: str, Value: Any) -> None:
    w = Value(2.0)

    @pygrad.compile
    def f(x: Any) -> Any:
        number = pygrad.sum([]) + pygrad.sum([1.0, 2.0]) + pygrad.dot([1.0], [2.0], 0.5) + pygrad.logsumexp([3.0])
        assert type(number) is float
        return number * w * x

    assert f([1.0, -1.0]).tolist() == [17.0, -17.0]
    assert f.value_and_grad([1.0, 3.0], reduction="sum")[1].tolist() == [34.0]


def test_no_outputs(backend: str, Value: Any) -> None:
    for f, arrays in ((lambda: (), ()), (lambda x: (), ([1.0],))):
        with pytest.raises(TypeError, match="must give at least one output"):
            pygrad.compile(f)(*arrays)


def test_vectors_of_parameters_that_are_none(backend: str, Value: Any) -> None:
    w = Value(2.0)
    f = pygrad.compile(lambda x: w * x)
    with pytest.raises(ValueError, match="tangent: lists in it differ in length"):
        f.jvp([[1.0], [1.0, 2.0]], [1.0])
    with pytest.raises(TypeError, match="tangent has masked entries"):
        f.jvp(np.ma.array([1.0], mask=[True]), [1.0])


def test_a_compiled_function_in_another(backend: str, Value: Any) -> None:
    w = Value(2.0)
    inner = pygrad.compile(lambda x: w * x)
    array = np.ones(1)
    inner(array)
    uses: list[Callable[[Any], Any]] = [
        lambda x: inner(array) * x,
        lambda x: inner(np.ones((1, 2))) * x,
        lambda x: inner.program.value_and_grad(array)[0] * x,
        lambda x: inner.minimize(array).loss * x,
        lambda x: itself(np.ones((1, 3))) * x,
    ]
    for use in uses:
        itself = pygrad.compile(use)
        with pytest.raises(pygrad.TraceError, match=r"test_program_breaks.py, line \d+: "):
            itself([1.0])
    assert inner([1.0]).tolist() == [2.0]


def test_classes_that_are_not_aligned() -> None:
    array = np.frombuffer(bytes(1) + np.array([0, 1, 2]).tobytes(), np.uint8)[1:].view(np.int64)
    assert not array.flags.aligned
    found = arguments.classes(array, "label", 0)
    assert found.tolist() == [0, 1, 2]
    assert found.flags.aligned


def test_samples_that_are_too_wide(backend: str, Value: Any) -> None:
    f = pygrad.compile(lambda x, y: x[0])
    for shape in ((0, 2**40), (0, 2**20, 2**20), (0, 2**24 + 1)):
        with pytest.raises(ValueError, match=r"a sample has \d+ numbers, and 16777216 are the most"):
            f(np.zeros(shape), np.zeros(0))


def test_interrupts_where_a_recording_begins_and_ends(backend: str, Value: Any) -> None:
    """Ctrl-C is heard where a function is entered: in turn, wherever the module that keeps count is."""
    w = Value(2.0)

    def entered(frame: Any, event: str, argument: Any) -> None:
        nonlocal countdown
        if event == "call" and frame.f_globals is vars(_tracing):
            countdown -= 1
            if countdown == 0:
                raise KeyboardInterrupt

    before = sys.gettrace()
    for at in range(1, 20):
        countdown = at
        sys.settrace(entered)
        try:
            with contextlib.suppress(KeyboardInterrupt):  # at the end there are no more of them
                pygrad.compile(lambda x: w * x).record([1.0])
        finally:
            sys.settrace(before)
        assert (_tracing.active, _tracing.here(), w.data) == (0, False, 2.0), at


def test_options_that_are_none(backend: str, Value: Any) -> None:
    w = Value(2.0)
    f = pygrad.compile(lambda x: w * x)
    x = np.ones(3)
    wrong: list[tuple[type[Exception], str, dict[str, Any]]] = [
        (TypeError, "progress must be a function", {"progress": 3}),
        (TypeError, "seed: .* not a", {"seed": "a", "batch_size": 2}),
        (ValueError, "seed: expected non-negative integer", {"seed": -1, "batch_size": 2}),
    ]
    for error, message, options in wrong:
        with pytest.raises(error, match=message):
            f.minimize(x, **options)
    assert w.data == 2.0
    with pytest.raises(TypeError, match="an instruction set is named by a string"):
        pygrad.programs.use_isa(3)  # type: ignore[arg-type]  # what is refused


# ---- methods ----


class Line:
    """What the methods below are of."""

    def __init__(self, slope: float) -> None:
        self.slope = pygrad.Value(slope)

    @pygrad.compile
    def at(self, x: Any) -> Any:
        return self.slope * x


class Moved(Line):
    """Extends a compiled method by a plain one."""

    def at(self, x: Any) -> Any:
        return super().at(x) + 100.0


class Doubled(Line):
    """Extends a compiled method by another."""

    @pygrad.compile
    def at(self, x: Any) -> Any:
        return 2.0 * Line.at.__wrapped__(self, x)


def test_a_method_that_extends_a_compiled_one(backend: str, Value: Any) -> None:
    line = Moved(2.0)
    for _ in range(2):  # the second call finds what the first one kept
        assert line.at([1.0, 2.0]).tolist() == [102.0, 104.0]
    doubled = Doubled(2.0)
    assert super(Doubled, doubled).at([1.0]).tolist() == [2.0]
    assert doubled.at([1.0]).tolist() == [4.0]
    assert super(Doubled, pickle.loads(pickle.dumps(doubled))).at([1.0]).tolist() == [2.0]
    base = super(Doubled, doubled).at
    assert pickle.loads(pickle.dumps(base))([1.0]).tolist() == [2.0]


def test_methods_given_to_a_class_later(backend: str, Value: Any) -> None:
    class Late(Line):
        pass

    Late.twice = pygrad.compile(lambda self, x: 2.0 * self.slope * x)  # type: ignore[attr-defined]  # given to the class later
    Late.thrice = pygrad.compile(lambda self, x: 3.0 * self.slope * x)  # type: ignore[attr-defined]  # given to the class later
    line: Any = Late(1.0)
    assert [f([1.0]).tolist() for f in (line.twice, line.thrice, line.at)] == [[2.0], [3.0], [1.0]]
    with pytest.raises(TypeError, match="was not a method when its class was made"):
        pickle.dumps(line.twice)


def test_a_shallow_copy_has_programs_of_its_own(backend: str, Value: Any) -> None:
    line = Line(2.0)
    assert line.at([1.0]).tolist() == [2.0]
    again = copy.copy(line)
    again.slope = Value(7.0)
    assert again.at([1.0]).tolist() == [7.0]
    assert line.at([1.0]).tolist() == [2.0]
    assert line.at is line.at
    assert again.at is again.at


def test_a_class_method() -> None:
    function = pygrad.compile(lambda cls, x: x)
    with pytest.raises(TypeError, match="can't be a class method"):
        function.__get__(Line, type)
