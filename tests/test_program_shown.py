"""What compiled functions and their programs say of themselves, and what errors say of what was being recorded."""

from __future__ import annotations

import pickle
import traceback

import numpy as np
import pytest

import pygrad
from pygrad import backends
from pygrad.programs import TraceError
from pygrad.programs import compile as compiled
from pygrad.programs.compiled import _note
from pygrad.programs.pickled import _checksum, restored


@pytest.fixture(autouse=True)
def in_use():
    before = backends.current
    pygrad.use("c")
    yield
    pygrad.use(before)


@pytest.fixture
def loss():
    a = pygrad.Value(3.0, label="a")

    @compiled
    def loss(x, y):
        return (a * x[0] + x[1] - y) ** 2

    return loss


NAME = "loss.<locals>.loss"
X, Y = np.ones((4, 2)), np.ones(4)


# ---- compiled functions ----


def test_a_compiled_function_says_what_was_recorded(loss):
    assert repr(loss) == f"<compiled {NAME}>"
    assert str(loss) == f"<compiled {NAME}, not recorded yet>"
    loss(X, Y)
    assert str(loss) == f"<compiled {NAME}, recorded for (x: (N, 2), y: (N,))>"
    for n in range(3, 7):
        loss(np.ones((4, n)), Y)
    shown = ", and ".join(f"(x: (N, {n}), y: (N,))" for n in (4, 5, 6))
    assert str(loss) == f"<compiled {NAME}, recorded for 2 more, and {shown}>"


def test_a_compiled_module_is_called_by_its_class():
    model = pygrad.MLP(2, [3, 1], seed=1)
    predict = pygrad.compile(model)
    predict(X)
    assert repr(predict) == "<compiled MLP>"
    assert str(predict) == "<compiled MLP, recorded for (x: (N, 2))>"


def test_questions_about_the_program_used_last(loss):
    for ask in (loss.stats, loss.listing, lambda: loss.parameter_count, lambda: loss.parameter_vector):
        with pytest.raises(ValueError, match="was not recorded yet"):
            ask()
    loss(X, Y)
    assert loss.listing() == loss.program.listing()
    assert loss.listing("gradient", 2) == loss.program.listing("gradient", 2)
    assert loss.stats()["flops"] == loss.program.stats()["flops"]
    assert loss.stats("value")["flops"] < loss.stats()["flops"]
    assert loss.parameter_count == 1
    assert loss.parameter_vector.tolist() == [3.0]
    loss.parameter_vector = [5.0]
    assert loss.parameters[0].data == 5.0


def test_without_arguments_they_record():
    w = pygrad.Value(2.0)
    for ask in (lambda f: f.stats()["flops"] > 0, lambda f: f.parameter_count == 1, lambda f: "return" in f.listing()):
        f = compiled(lambda: w * w + 1.0)
        assert ask(f)
    f = compiled(lambda: w * w)
    f.parameter_vector = [3.0]
    assert f() == 9.0


def test_one_of_a_thing(loss):
    loss(X, Y)
    assert repr(loss.program) == f"<Program {NAME}(x: (N, 2), y: (N,)), 1 parameter>"
    with pytest.raises(TypeError, match=r"^expected 2 arrays \(x, y\), but got 1$"):
        loss.program(X)
    one = compiled(lambda x: x)
    one([1.0])
    assert repr(one.program).endswith("0 parameters>")
    with pytest.raises(TypeError, match=r"^expected 1 array \(x\), but got 2$"):
        one.program([1.0], [1.0])


# ---- names ----


def test_what_is_read_and_not_trained_is_no_parameter():
    a, b, c, d = (pygrad.Value(float(i), label=label) for i, label in enumerate(["a", "", "", "d"]))
    f = compiled(lambda x: (a * x - b).relu() * (x - c) * (x - d), params=[a, b])
    f([1.0])
    shown = f.listing()
    for line in ("mul a, x", ", p[1]", "sub x, shared[0]", "sub x, d"):
        assert line in shown
    assert repr(f.program).endswith("2 parameters>")


# ---- stages ----


def test_parts_with_their_lanes():
    c, d = pygrad.Value(0.5, label="c"), pygrad.Value(-1.0)
    f = compiled(lambda: sum((c * i + d).tanh() for i in range(100)) * 0.01)
    assert str(f.program).splitlines()[1:] == [
        "part 1, 100 lanes:",
        "%2 = mul c, data[0]",
        "%4 = add %2, p[1]",
        "%5 = tanh %4",
        "V[2..101] = %5",
        "runs as: fill 2, load 1, mul 1, add 1, tanh 1",
        "last part:",
        "%101 = sum 0.0 + V[2] + V[3] + ... 101 terms",
        "%103 = mul %101, 0.01",
        "return %103",
        "runs as: fill 102, sum of 101, mul 1",
    ]
    assert "part 2, 1 lane: dead code" in str(f.stats())
    squares = compiled(lambda: (sum(p * p for p in model.parameters()) + 1.0).log())
    model = pygrad.MLP(3, [8, 8], seed=1)
    shown = squares.listing("gradient").splitlines()
    count = len(model.parameters())
    assert f"part 1, backwards, {count} lanes:" in shown
    assert any(line.startswith(f"G[0..{count - 1}] += %") for line in shown)
    assert any(f"G[{count}..{2 * count - 1}]" in line for line in shown)


def test_what_is_shared_by_all_samples():
    a, b, c = (pygrad.Value(i + 0.5, label=label) for i, label in enumerate("abc"))
    f = compiled(lambda x: (a * x[0] + b * c * x[1]).tanh())
    f.record(X)
    shared = "shared, 1 lane:\n%2 = mul b, c\nV[3] = %2\nruns as: fill 2, mul 1\n"
    shared += "samples:\n%4 = dot a*x[0] + V[3]*x[1]\n"
    assert f.listing().startswith(shared)
    assert f.listing("gradient").startswith(shared)
    assert f.listing("gradient").endswith(
        "outer %7 * [x[0], x[1]] to G[0, 3]\nreturn %5\n"
        "runs as: load 2, seed 1, dense 1x2, tanh 1, d0:tanh 1, outer 1x2\n"
        "gradient of shared, 1 lane:\nouter G[3] * [c] to G[1]\nouter G[3] * [b] to G[2]\n"
        "runs as: fill 2, load 1, outer 1x2"
    )
    assert "%4 = mul along[1], c" in f.listing("jvp")


def test_a_network_runs_as_layers():
    model = pygrad.MLP(2, [16, 4, 1], seed=1)
    f = compiled(model)
    f.record(X)
    for most in (None, 60, 6):
        last = f.listing(most=most).splitlines()[-1]
        assert last == "runs as: load 2, dense 16x2 + relu, dense 4x16 + relu, dense 1x4"
    assert len(f.listing(most=6).splitlines()) == 9


def test_long_programs_are_cut():
    ps = [pygrad.Value(1.0) for _ in range(60)]
    names = ("exp", "tanh", "sin", "cos")
    f = compiled(lambda: sum(getattr(p * q, names[i % 4])() for i, (p, q) in enumerate(zip(ps, reversed(ps)))))
    assert len(str(f.program).splitlines()) < 80
    layers = [pygrad.Value(0.1) for _ in range(30)]

    def deep():
        values = [pygrad.Value(float(i)) for i in range(40)]
        for w in layers:
            total = sum(values)
            values = [(w * total * i).tanh() for i in range(40)]
        return sum(values)

    stages = compiled(deep).listing(most=20)
    assert " parts\n" in stages
    assert len(stages.splitlines()) < 60
    assert "last part:" in stages


def test_pickles_keep_names(loss):
    loss(X, Y)
    program = pickle.loads(pickle.dumps(loss.program))
    assert "mul a, x[0]" in program.listing()
    assert str(program) == str(loss.program)
    assert str(pickle.loads(pickle.dumps(program))) == str(program)
    text, *arrays, _ = loss.program.__reduce__()[1]
    for labels in ('["a", "b"]', "3", '{"a": 1, "b": 2}'):
        changed = text.replace('"labels": ["a"]', f'"labels": {labels}')
        assert changed != text
        with pytest.raises(pygrad.FormatError):
            restored(changed, *arrays, _checksum(changed, arrays))


# ---- errors ----


def test_an_error_while_recording_names_the_shapes(loss):
    with pytest.raises(IndexError) as caught:
        loss(np.ones((4, 1)), Y)
    shown = "".join(traceback.format_exception(caught.value))
    assert f"{NAME} was being recorded for (x: (N, 1), y: (N,))\n" in shown
    loss(X, Y)
    with pytest.raises(TraceError) as caught:
        loss(Y, Y)
    shown = "".join(traceback.format_exception(caught.value))
    assert f"{NAME} was being recorded for (x: (N,), y: (N,)); before, it was for (x: (N, 2), y: (N,))\n" in shown


def test_where_there_are_no_notes_it_is_the_cause():
    class OldError(Exception):
        @property
        def add_note(self):
            raise AttributeError

    error = OldError()
    error.__context__ = KeyError("context")
    _note(error, "said")
    shown = "".join(traceback.format_exception(error))
    assert "RuntimeError: said" in shown
    assert "context" in shown
    caused = OldError()
    caused.__cause__ = before = ValueError()
    _note(caused, "said")
    assert caused.__cause__ is before
