"""Compiled functions: what they give against the graph engine, sample by sample; what they refuse; threads; pickles."""

from __future__ import annotations

import copy
import gc
import os
import pickle
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

import pygrad
from pygrad import backends
from pygrad.functions import pick
from pygrad.nn import MLP, Module
from pygrad.optim import SGD, Adam, AdamW, RMSprop
from pygrad.programs import compile as compiled
from pygrad.programs import isa, use_isa
from pygrad.programs.pickled import restored
from pygrad.saving import FormatError
from pygrad.schedules import linear

from .conftest import bits


def same(found, expected):
    """Whether two arrays hold the same bits."""
    found, expected = np.asarray(found, dtype=float), np.asarray(expected, dtype=float)
    assert found.shape == expected.shape
    assert [bits(x) for x in found.ravel()] == [bits(x) for x in expected.ravel()]


class Case:
    """A function of two parameters, with its data."""

    def __init__(self, Value, samples=7):
        self.Value = Value
        self.a, self.b = Value(1.5, label="a"), Value(-0.5)
        rng = np.random.default_rng(3)
        self.X, self.y = rng.normal(size=(samples, 2)), rng.normal(size=samples)
        self.compiled = compiled(self.f, exact=True, backend=Value._pygrad_backend)

    def f(self, x, y):
        return (self.a * x[0] + self.b * x[1]).tanh() * y + x[0].exp() * self.a**2

    def sample(self, i):
        """The graph engine's: inputs and output of one sample."""
        x, y = [self.Value(v) for v in self.X[i]], self.Value(self.y[i])
        return x, y, self.f(x, y)

    def total(self):
        """The mean of the losses, as a graph."""
        outputs = [self.sample(i)[2] for i in range(len(self.X))]
        return self.Value.sum(outputs) / len(outputs)

    def reset(self):
        for p in (self.a, self.b):
            p.grad = 0.0


@pytest.fixture
def case(Value):
    return Case(Value)


# ---- values and gradients ----


def test_values_are_those_of_the_graph_engine(case):
    same(case.compiled(case.X, case.y), [case.sample(i)[2].data for i in range(7)])


def test_the_mean_and_its_gradient(case):
    total = case.total()
    total.backward()
    loss, gradient = case.compiled.value_and_grad(case.X, case.y)
    assert type(loss) is float
    assert bits(loss) == bits(total.data)
    assert gradient == pytest.approx([case.a.grad, case.b.grad], rel=1e-14)
    assert case.compiled.parameters == (case.a, case.b)


def test_the_sum_of_the_gradients_of_samples_in_order(case):
    expected = np.zeros(2)
    loss = 0.0
    for i in range(7):
        case.reset()
        output = case.sample(i)[2]
        output.backward()
        loss = loss + output.data
        expected = expected + np.array([case.a.grad, case.b.grad])
    found = case.compiled.value_and_grad(case.X, case.y, reduction="sum")
    assert bits(found[0]) == bits(loss)
    assert found[1] == pytest.approx(expected, rel=1e-14)


def test_sample_and_input_gradients_are_those_of_the_graph_engine(case):
    of_parameters = case.compiled.sample_gradients(case.X, case.y)
    of_x, of_y = case.compiled.input_gradients(case.X, case.y)
    for i in range(7):
        case.reset()
        x, y, output = case.sample(i)
        output.backward()
        same(of_parameters[i], [case.a.grad, case.b.grad])
        same(of_x[i], [v.grad for v in x])
        same(of_y[i], y.grad)


def test_backward_adds_to_grad_and_value_and_grad_does_not(case):
    case.a.grad, case.b.grad = 1.0, -2.0
    loss, gradient = case.compiled.value_and_grad(case.X, case.y)
    assert (case.a.grad, case.b.grad) == (1.0, -2.0)
    assert case.compiled.backward(case.X, case.y) == loss
    same([case.a.grad, case.b.grad], np.array([1.0, -2.0]) + gradient)


def test_parameters_are_read_at_every_call(case):
    before = case.compiled(case.X, case.y)
    case.a.data = 4.0
    after = case.compiled(case.X, case.y)
    assert (before != after).all()
    same(after, [case.sample(i)[2].data for i in range(7)])


def test_directional_derivatives(case):
    compiled, v, h = case.compiled, np.array([0.5, -2.0]), 1e-6
    along = compiled.jvp(v, case.X, case.y)
    assert along == pytest.approx(compiled.sample_gradients(case.X, case.y) @ v, rel=1e-12)
    product = compiled.hvp(v, case.X, case.y)
    fun = compiled.fun(case.X, case.y)
    theta = compiled.program.parameter_vector
    numeric = (fun(theta + h * v)[1] - fun(theta - h * v)[1]) / (2 * h)
    assert product == pytest.approx(numeric, rel=1e-6)
    matrix = compiled.hessian(case.X, case.y)
    assert matrix.shape == (2, 2)
    assert matrix @ v == pytest.approx(product, rel=1e-12)
    assert matrix == pytest.approx(matrix.T, rel=1e-12)


def test_fun_moves_no_parameter_and_a_vector_sets_them(case):
    fun = case.compiled.fun(case.X, case.y)
    value, gradient = fun([0.25, 0.75])
    assert (case.a.data, case.b.data) == (1.5, -0.5)
    case.compiled.program.parameter_vector = [0.25, 0.75]
    assert (case.a.data, case.b.data) == (0.25, 0.75)
    found = case.compiled.value_and_grad(case.X, case.y)
    assert found[0] == value
    same(found[1], gradient)
    same(case.compiled.program.parameter_vector, [0.25, 0.75])


def test_scipy_minimises_fun(case):
    optimize = pytest.importorskip("scipy.optimize")
    fun = case.compiled.fun(case.X, case.y)
    result = optimize.minimize(fun, case.compiled.program.parameter_vector, jac=True)
    assert result.fun < fun([1.5, -0.5])[0]


# ---- outputs and arguments of all shapes ----


def test_a_list_gives_columns_and_a_tuple_gives_arrays(engine):
    a, name = engine(2.0), engine._pygrad_backend
    X = np.arange(6.0).reshape(3, 2)
    columns = compiled(lambda x: [x[0] * a, x[1] + a, x[0]], backend=name)(X)
    same(columns, np.stack([X[:, 0] * 2, X[:, 1] + 2, X[:, 0]], axis=1))
    both = compiled(lambda x: (x[0] * a, [x[1], a], [[x[0]], [x[1]]]), backend=name)
    number, pair, nested = both(X)
    same(number, X[:, 0] * 2)
    same(pair, np.stack([X[:, 1], np.full(3, 2.0)], axis=1))
    same(nested, X.reshape(3, 2, 1))
    loss, gradient = both.value_and_grad(X, reduction="sum")  # of the first output
    assert (loss, gradient.tolist()) == (12.0, [6.0])


def test_nested_lists_and_single_numbers_as_arguments(engine):
    f = compiled(lambda m, s: (m[0][1] - m[1][0]) * s, backend=engine._pygrad_backend)
    M, s = np.arange(12.0).reshape(3, 2, 2), np.array([1.0, 2.0, 3.0])
    same(f(M, s), (M[:, 0, 1] - M[:, 1, 0]) * s)
    of_m, of_s = f.input_gradients(M, s)
    assert of_m.shape == M.shape
    same(of_s, M[:, 0, 1] - M[:, 1, 0])


def test_one_argument_gives_one_gradient(engine):
    f = compiled(lambda x: x * x, backend=engine._pygrad_backend)
    same(f.input_gradients([1.0, 2.0]), [2.0, 4.0])
    assert f.value_and_grad([1.0, 2.0])[1].shape == (0,)
    assert f.sample_gradients([1.0, 2.0]).shape == (2, 0)


def test_an_output_that_depends_on_no_argument(engine):
    a = engine(2.0)
    f = compiled(lambda x: a * a, backend=engine._pygrad_backend)
    same(f([1, 2, 3]), [4.0, 4.0, 4.0])
    same(f.input_gradients([1, 2, 3]), [0.0, 0.0, 0.0])
    assert f.value_and_grad([1, 2, 3])[0] == 4.0
    assert f.value_and_grad([1, 2, 3])[1] == pytest.approx([4.0])


def test_a_function_without_arguments(engine):
    a, b = engine(3.0), engine(-1.0)

    def total():
        return engine.sum([(a * x + b - y) ** 2 for x, y in [(1.0, 2.0), (2.0, 3.0)]])

    f = compiled(total, backend=engine._pygrad_backend)
    assert f() == total().data
    assert type(f()) is float
    loss, gradient = f.value_and_grad()
    total().backward()
    assert loss == total().data
    same(gradient, [a.grad, b.grad])
    same(f.sample_gradients(), gradient)
    assert f.hessian().tolist() == [[10.0, 6.0], [6.0, 4.0]]
    assert compiled(lambda: (a, [a, b]), backend=engine._pygrad_backend)()[0] == 3.0
    with pytest.raises(TypeError, match="has no arguments"):
        f.input_gradients()
    f.minimize(epochs=200, lr=0.1)
    assert (a.data, b.data) == (pytest.approx(1.0, abs=1e-2), pytest.approx(1.0, abs=2e-2))


def test_params_gives_the_order_and_what_else_there_is_stays(engine):
    a, b, c = engine(2.0), engine(3.0), engine(5.0)
    f = compiled(lambda x: a * x + b * c, params=[c, a])
    X = [1.0, 2.0]
    assert f.value_and_grad(X, reduction="sum")[1].tolist() == [6.0, 3.0]
    assert f.parameters == (c, a)
    assert f.program.parameter_count == 2
    assert f.sample_gradients(X).tolist() == [[3.0, 1.0], [3.0, 2.0]]
    assert f.jvp([1.0, 0.0], X).tolist() == [3.0, 3.0]
    assert f.hvp([1.0, 1.0], X).tolist() == [0.0, 0.0]
    assert f.fun(X)([1.0, 1.0])[0] == 1.5 + 3.0
    f.backward(X, reduction="sum")
    assert (a.grad, b.grad, c.grad) == (3.0, 0.0, 6.0)
    f.minimize(X, lr=0.5, epochs=1)
    assert (a.data, b.data, c.data) == (2.0 - 0.75, 3.0, 5.0 - 1.5)
    b.data = 4.0
    f.minimize(X, lr=0.5, epochs=1)
    assert (a.data, c.data) == (1.25 - 0.75, 3.5 - 2.0)


# ---- recording ----


def test_it_records_once_for_each_signature(engine):
    calls = []

    @compiled(backend=engine._pygrad_backend)
    def f(x, y):
        calls.append(1)
        return engine.sum(x) * y

    with pytest.raises(ValueError, match=r"not recorded yet.*x, y"):
        _ = f.program
    assert f([[1.0, 2.0]], [3.0]).tolist() == [9.0]
    first = f.program
    assert f(np.ones((5, 2)), np.ones(5)).tolist() == [2.0] * 5
    assert f.program is first
    assert f([[1.0, 2.0, 3.0]], [3.0]).tolist() == [18.0]
    assert f.program is not first
    assert len(f.programs) == len(calls) == 2
    assert f.record(np.ones((1, 2)), np.ones(1)) is first
    assert f.__name__ == "f"
    assert repr(f).startswith("<compiled ")


def test_the_default_backend_and_the_decorator_without_options():
    a = pygrad.Value(3.0)

    @compiled
    def f(x):
        """Says what it does."""
        return a * x

    assert f([1.0, 2.0]).tolist() == [3.0, 6.0]
    assert f.__doc__ == "Says what it does."
    assert compiled(f)([1.0]).tolist() == [3.0]
    with pytest.raises(TypeError, match="expected a function, not int"):
        compiled(3)


def test_a_method(engine):
    class Line:
        def __init__(self, slope):
            self.slope = engine(slope)

        @compiled(backend=engine._pygrad_backend)
        def at(self, x):
            return self.slope * x

    one, two = Line(1.0), Line(2.0)
    assert (one.at([3.0]).tolist(), two.at([3.0]).tolist()) == ([3.0], [6.0])
    assert one.at is one.at
    assert one.at.parameters == (one.slope,)
    again = copy.deepcopy(two)
    again.slope.data = 5.0
    assert (again.at([3.0]).tolist(), two.at([3.0]).tolist()) == ([15.0], [6.0])


def test_print_shows_the_instructions(case):
    case.compiled.record(case.X, case.y)
    text = str(case.compiled.program)
    assert "x: (N, 2), y: (N,)" in text
    assert "tanh" in text
    assert "a*x[0]" in text
    rows = case.compiled.program.stats()
    assert rows[0]["pass"] == "recorded"
    assert all(row["instructions"] > 0 for row in (rows[0], rows[-1]))
    assert rows[-1]["bytes"] > 0


# ---- what is given ----


@pytest.mark.parametrize(
    "dtype",
    [bool, np.int8, np.uint8, np.int16, np.int32, np.int64, np.uint64, np.float16, np.float32, ">f8", "longdouble"],
)
def test_what_becomes_float64_exactly(case, dtype):
    X = np.array([[0, 1], [1, 1]]).astype(dtype)
    y = np.array([1, 0]).astype(dtype)
    same(case.compiled(X, y), case.compiled(X.astype(float), y.astype(float)))
    same(case.compiled(X.tolist(), y.tolist()), case.compiled(X.astype(float), y.astype(float)))


@pytest.mark.parametrize(
    ("bad", "dtype"),
    [
        (np.ones((7, 2), complex), "complex128"), (np.full((7, 2), "1.0"), "<U3"), (np.full((7, 2), b"1"), "|S1"),
        (np.full((7, 2), 1, object), "object"), (np.full((7, 2), "2020-01-01", "M8[D]"), "datetime64"),
        ([[None, 1.0]] * 7, "object"),
    ],
)  # fmt: skip
def test_what_can_not_become_float64_names_argument_and_dtype(case, bad, dtype):
    case.compiled.record(case.X, case.y)
    for call in (case.compiled, case.compiled.value_and_grad, case.compiled.minimize, case.compiled.program):
        with pytest.raises(TypeError, match=f"^x must be .*{dtype.replace('|', '.')}"):
            call(bad, case.y)


def test_integers_that_are_no_float64(case):
    fits = np.array([[2**53, -(2**60)], [2**53 + 2, 1]])
    assert case.compiled(fits, [0, 0]).shape == (2,)
    for wrong in (2**53 + 1, -(2**53) - 1, 2**63 - 1):
        with pytest.raises(ValueError, match=rf"^x: {wrong}, at \[1, 0\], is no float64"):
            case.compiled(np.array([[1, 2], [wrong, 2]]), [0, 0])
    with pytest.raises(ValueError, match="is no float64"):
        case.compiled(np.array([[1, 2], [2**64 - 1, 2]], np.uint64), [0, 0])
    if np.finfo(np.longdouble).nmant > 52:
        with pytest.raises(ValueError, match="is no float64"):
            case.compiled(np.ones((2, 2), np.longdouble) / 3, [0, 0])


def test_wrong_shapes(case):
    f, X, y = case.compiled, case.X, case.y
    f(X, y)
    with pytest.raises(ValueError, match="x has 7 samples, but y has 6"):
        f(X, y[:6])
    with pytest.raises(TypeError, match=r"expected 2 arrays \(x, y\), but got 1"):
        f(X)
    with pytest.raises(TypeError, match=r"expected 2 arrays \(x, y\), but got 3"):
        f(X, y, y)
    with pytest.raises(ValueError, match=r"^y must be an array whose first axis is the samples, not the number 1.0"):
        f(X, 1.0)
    with pytest.raises(ValueError, match=r"^x: lists in it differ in length"):
        f([[1.0], [1.0, 2.0]], [1.0, 2.0])
    with pytest.raises(TypeError, match=r"^y must be an array of numbers, not a Value"):
        f(X, case.a)
    with pytest.raises(TypeError, match=r"^y has masked entries"):
        f(X, np.ma.masked_less(y, 0.0))
    program = f.program
    with pytest.raises(ValueError, match=r"^x has shape \(7, 3\), but this program was recorded for \(N, 2\)"):
        program(np.ones((7, 3)), y)
    with pytest.raises(TypeError, match=r"expected 2 arrays"):
        program(X)


def test_empty_batches(case):
    f, X, y = case.compiled, case.X[:0], case.y[:0]
    assert f(X, y).shape == (0,)
    assert f.sample_gradients(X, y).shape == (0, 2)
    assert [g.shape for g in f.input_gradients(X, y)] == [(0, 2), (0,)]
    assert f.jvp([1.0, 1.0], X, y).shape == (0,)
    loss, gradient = f.value_and_grad(X, y, reduction="sum")
    assert (loss, gradient.tolist()) == (0.0, [0.0, 0.0])
    assert f.hvp([1.0, 1.0], X, y, reduction="sum").tolist() == [0.0, 0.0]
    for call in (f.value_and_grad, f.backward, f.hessian, f.fun, f.minimize):
        with pytest.raises(ValueError, match="no samples"):
            call(X, y)
    with pytest.raises(ValueError, match="no samples"):
        f.minimize(X, y, reduction="sum")


def test_numbers_that_are_not_finite_propagate(case):
    X = np.array([[np.inf, 1.0], [np.nan, 1.0], [0.0, 1.0], [800.0, 1.0]])
    found = case.compiled(X, np.ones(4))
    assert np.isinf(found[0])
    assert np.isnan(found[1])
    assert np.isfinite(found[2])
    assert np.isinf(found[3])  # where exp raises OverflowError in Python
    assert np.isnan(case.compiled.value_and_grad(X, np.ones(4))[0])


def test_arrays_of_every_layout(case):
    expected = case.compiled(case.X, case.y)
    wide = np.zeros((14, 6))
    wide[::2, 1:5:3] = case.X
    shifted = np.zeros(7 * 8 + 1, np.uint8)[1:].view(np.float64)
    shifted[:] = case.y
    for X in (np.asfortranarray(case.X), wide[::2, 1:5:3], case.X[::-1].copy()[::-1]):
        same(case.compiled(X, case.y), expected)
        same(case.compiled(X, shifted), expected)
    read_only = case.X.copy()
    read_only.flags.writeable = False
    same(case.compiled(read_only, case.y), expected)
    same(case.compiled.value_and_grad(read_only, case.y)[1], case.compiled.value_and_grad(case.X, case.y)[1])


def test_options(case):
    f, X, y = case.compiled, case.X, case.y
    with pytest.raises(ValueError, match="unknown reduction='max': choose 'mean' or 'sum'"):
        f.value_and_grad(X, y, reduction="max")
    for threads, error in [(0, ValueError), (-1, ValueError), (1.5, TypeError)]:
        with pytest.raises(error, match="threads must be"):
            compiled(case.f, threads=threads)
    with pytest.raises(ValueError, match=r"tangent must have the shape \(2,\).*not \(3,\)"):
        f.jvp([1.0, 2.0, 3.0], X, y)
    with pytest.raises(TypeError, match="vector must be an array of real numbers"):
        f.hvp(["a", "b"], X, y)
    with pytest.raises(ValueError, match=r"theta must have the shape \(2,\)"):
        f.fun(X, y)([1.0])
    with pytest.raises(ValueError, match="parameter_vector must have the shape"):
        f.program.parameter_vector = [1.0]


def test_a_list_is_no_loss(engine):
    f = compiled(lambda x: [x, x * 2], backend=engine._pygrad_backend)
    for call in (f.value_and_grad, f.backward, f.input_gradients, f.sample_gradients, f.hessian, f.fun, f.minimize):
        with pytest.raises(TypeError, match=r"needs one number a sample to differentiate.*a list of 2"):
            call([1.0, 2.0])
    assert f.jvp([], [1.0, 2.0]).tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_a_hessian_of_too_many(engine):
    values = [engine(0.5) for _ in range(2001)]
    f = compiled(lambda: engine.sum(values), backend=engine._pygrad_backend)
    with pytest.raises(ValueError, match=r"2001 parameters would make 4004001 entries.*use hvp"):
        f.hessian()


# ---- parameters, threads ----


def test_parameters_are_kept_alive(live, engine):
    def made():
        a = engine(3.0)
        return compiled(lambda x: a * x, backend=engine._pygrad_backend)

    f = made()
    f([1.0])
    program = f.program
    del f
    gc.collect()
    assert program([1.0, 2.0]).tolist() == [3.0, 6.0]
    program.minimize([1.0], lr=1.0)
    assert program([1.0]).tolist() == [2.0]
    assert live() == 1
    del program


def test_two_threads_at_once(engine):
    case = Case(engine, samples=3000)
    expected = [case.compiled(case.X, case.y), *case.compiled.value_and_grad(case.X, case.y)]
    wrong = []

    def work():
        for _ in range(30):
            found = [case.compiled(case.X, case.y), *case.compiled.value_and_grad(case.X, case.y)]
            if not all(np.array_equal(x, y) for x, y in zip(found, expected)):
                wrong.append(found)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_backward_in_several_threads_loses_nothing(engine):
    a = engine(1.0)
    f = compiled(lambda x: a * x, backend=engine._pygrad_backend)
    f([1.0])
    threads = [threading.Thread(target=lambda: [f.backward([1.0]) for _ in range(200)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert a.grad == 800.0


def test_the_bits_depend_on_no_thread_count_and_no_instruction_set(engine):
    case = Case(engine, samples=9000)
    expected = case.compiled.value_and_grad(case.X, case.y)
    name = isa()
    try:
        for other in ("baseline", name, None):
            use_isa(other)
            for threads in (1, 2, 5):
                f = compiled(case.f, exact=True, threads=threads, backend=engine._pygrad_backend)
                found = f.value_and_grad(case.X, case.y)
                assert found[0] == expected[0]
                same(found[1], expected[1])
    finally:
        use_isa(None)
    assert isa() == name
    with pytest.raises(ValueError, match=r"no instruction set 'sse9' on this processor: choose one of .*baseline"):
        use_isa("sse9")


def test_memory_that_runs_out_changes_nothing(engine):
    from pygrad._ffi import lib

    case = Case(engine)
    case.compiled.record(case.X, case.y)
    calls = {
        "value": lambda: case.compiled(case.X, case.y),
        "gradient": lambda: case.compiled.backward(case.X, case.y),
        "training": lambda: case.compiled.minimize(case.X, case.y, epochs=3, lr=0.1),
    }
    for name, call in calls.items():
        failures = 0
        for n in range(1, 200):
            before = [case.a.data, case.b.data, case.a.grad, case.b.grad]
            lib.pg_fail_allocation(n)
            try:
                call()
            except MemoryError:
                failures += 1
                assert [case.a.data, case.b.data, case.a.grad, case.b.grad] == before, name
            else:
                break
            finally:
                lib.pg_fail_allocation(0)
        assert 0 < failures < 199, name


# ---- classes ----


def test_classes(engine):
    f = compiled(lambda x, y: engine.logsumexp(x) - pick(x, y), backend=engine._pygrad_backend)
    X = np.random.default_rng(1).normal(size=(5, 3))
    y = np.array([0, 2, 1, 2, 0])
    expected = f(X, y)
    assert expected == pytest.approx(np.log(np.exp(X).sum(1)) - X[np.arange(5), y])
    for other in (y.astype(float), y.astype(np.uint8), y.tolist(), y.astype(np.int64)[::-1].copy()[::-1]):
        same(f(X, other), expected)
    of_x, of_y = f.input_gradients(X, y)
    assert of_x == pytest.approx(np.exp(X) / np.exp(X).sum(1, keepdims=True) - np.eye(3)[y])
    same(of_y, np.zeros(5))
    for wrong in (3, -1):
        y[3] = wrong
        for call in (f, f.value_and_grad, f.minimize if f.parameters else f.backward):
            with pytest.raises(IndexError, match=rf"^y: sample 3 has class {wrong}, which is not one of 0 to 2"):
                call(X, y)
    with pytest.raises(ValueError, match=r"^y: sample 1 has 0.5: classes are whole numbers"):
        f(X[:2], [1.0, 0.5])
    with pytest.raises(ValueError, match=r"^y: sample 0 has nan"):
        f(X[:1], [np.nan])


# ---- minimize ----


def _plain(case, optimizer, epochs, orders=None):
    """The plain loop: value_and_grad of a batch, a step."""
    losses = []
    for epoch in range(epochs):
        total = 0.0
        for rows in [slice(None)] if orders is None else orders[epoch]:
            loss, gradient = case.compiled.value_and_grad(case.X[rows], case.y[rows])
            case.a.grad, case.b.grad = gradient.tolist()
            optimizer.step()
            total += loss * len(case.y[rows])
        losses.append(total / len(case.y))
    return losses, case.a.data, case.b.data


OPTIMIZERS = {
    "sgd": {"lr": 0.1},
    "adam": {"lr": 0.1, "betas": [0.8, 0.9]},
    "adamw": {"lr": 0.05, "weight_decay": 0.1},
    "rmsprop": {"lr": 0.01, "momentum": 0.5, "centered": True},
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_minimize_is_the_plain_loop(engine, name):
    plain, fast, bound = Case(engine), Case(engine), Case(engine)
    make = {"sgd": SGD, "adam": Adam, "adamw": AdamW, "rmsprop": RMSprop}[name]
    losses, *where = _plain(plain, make([plain.a, plain.b], **OPTIMIZERS[name]), 12)
    result = fast.compiled.minimize(fast.X, fast.y, optimizer=name, epochs=12, **OPTIMIZERS[name])
    same([fast.a.data, fast.b.data], where)
    assert result.losses == pytest.approx(losses, rel=1e-14)
    assert result.loss == result.losses[-1]
    assert len(result) == len(result.history) == 12
    assert fast.a.grad == 0.0
    optimizer = make([bound.b, bound.a], **OPTIMIZERS[name])  # in another order
    for epochs in (5, 7):
        bound.compiled.minimize(bound.X, bound.y, optimizer=optimizer, epochs=epochs)
    same([bound.a.data, bound.b.data], where)
    assert optimizer.steps == 12
    assert repr(result).startswith("<Minimisation: 12 epochs, loss=")


def test_minimize_in_batches(engine):
    plain, fast = Case(engine), Case(engine)
    rng = np.random.default_rng(5)
    orders = [[rows[i : i + 3] for i in (0, 3, 6)] for rows in (rng.permutation(7) for _ in range(4))]
    schedule = linear(0.2, 0.05, 10)
    losses, *where = _plain(plain, SGD([plain.a, plain.b], lr=schedule), 4, orders)
    result = fast.compiled.minimize(fast.X, fast.y, lr=schedule, epochs=4, batch_size=3, seed=5)
    assert [fast.a.data, fast.b.data] == pytest.approx(where, rel=1e-12)
    assert result.losses == pytest.approx(losses, rel=1e-12)
    assert result.learning_rate == schedule(11)
    again, other = Case(engine), Case(engine)
    same(again.compiled.minimize(again.X, again.y, lr=schedule, epochs=4, batch_size=3, seed=5).losses, result.losses)
    other.compiled.minimize(other.X, other.y, lr=schedule, epochs=4, batch_size=3, shuffle=False)
    straight = Case(engine)
    in_order = [[slice(0, 3), slice(3, 6), slice(6, 7)]] * 4
    _plain(straight, SGD([straight.a, straight.b], lr=schedule), 4, in_order)
    same([other.a.data, other.b.data], [straight.a.data, straight.b.data])


def test_the_order_of_samples_does_not_depend_on_how_many_epochs_are_drawn_ahead(engine, monkeypatch):
    from pygrad.programs import minimise

    one, two = Case(engine), Case(engine)
    first = one.compiled.minimize(one.X, one.y, lr=0.1, epochs=5, batch_size=2, seed=1)
    monkeypatch.setattr(minimise, "SHUFFLED", 14)
    second = two.compiled.minimize(two.X, two.y, lr=0.1, epochs=5, batch_size=2, seed=1)
    same(first.losses, second.losses)


def test_a_training_in_pieces_is_the_same(engine, monkeypatch):
    from pygrad.programs import minimise

    scheduled = {"lr": linear(0.1, 0.01, 30), "optimizer": "adam"}
    for options in ({"lr": 0.1}, scheduled, {"lr": 0.1, "batch_size": 2, "seed": 1}):
        one, two = Case(engine), Case(engine)
        first = one.compiled.minimize(one.X, one.y, epochs=40, **options)
        with monkeypatch.context() as patch:
            patch.setattr(minimise, "MOMENT", 0.0)
            patch.setattr(minimise, "SLICE", 0.0)
            second = two.compiled.minimize(two.X, two.y, epochs=40, **options)
        same(first.losses, second.losses)
        same([one.a.data, one.b.data], [two.a.data, two.b.data])


def test_minimize_with_a_schedule_of_whole_batches(engine):
    plain, fast = Case(engine), Case(engine)
    schedule = linear(0.2, 0.05, 5)
    _, *where = _plain(plain, SGD([plain.a, plain.b], lr=schedule), 8)
    fast.compiled.minimize(fast.X, fast.y, lr=schedule, epochs=8)
    same([fast.a.data, fast.b.data], where)


def test_what_minimize_refuses(engine):
    case = Case(engine)
    minimize = case.compiled.minimize
    X, y = case.X, case.y
    other = SGD([engine(1.0)])
    for error, words, options in [
        (ValueError, "unknown optimizer='lbfgs': choose one of sgd, adam", {"optimizer": "lbfgs"}),
        (TypeError, "optimizer must be a name", {"optimizer": 3}),
        (TypeError, "lr", {"lr": "fast"}),
        (TypeError, "betas", {"betas": (0.5, 0.5)}),
        (ValueError, "momentum must be", {"momentum": -1.0}),
        (ValueError, "lr= goes with the name", {"optimizer": SGD([case.a, case.b]), "lr": 0.1}),
        (ValueError, "not the 2 of the program", {"optimizer": other}),
        (TypeError, "epochs must be an integer", {"epochs": 1.5}),
        (ValueError, "batch_size must be at least 1", {"batch_size": 0}),
        (ValueError, "every must be above 0", {"every": 0}),
        (ValueError, "unknown reduction", {"reduction": "max"}),
        (ValueError, "threads must be at least 1", {"threads": 0}),
    ]:
        with pytest.raises(error, match=words):
            minimize(X, y, **options)
    assert (case.a.data, case.b.data) == (1.5, -0.5)
    with pytest.raises(ValueError, match="has no parameters"):
        compiled(lambda x: x * x, backend=engine._pygrad_backend).minimize([1.0])
    assert len(minimize(X, y, epochs=0)) == 0
    assert (case.a.data, case.b.data) == (1.5, -0.5)


def test_progress_is_told_and_may_stop(engine):
    case = Case(engine)
    told = []

    def progress(report):
        told.append((report.epoch, case.a.data))
        assert report.epochs == 10**9
        assert report.loss == report.loss
        if len(told) == 3:
            raise StopIteration

    start = case.a.data
    optimizer = SGD([case.a, case.b], lr=1e-9)
    with pytest.raises(StopIteration):
        case.compiled.minimize(case.X, case.y, optimizer=optimizer, epochs=10**9, progress=progress, every=1)
    epochs, data = zip(*told)
    assert list(epochs) == sorted(set(epochs))
    assert start not in data
    assert optimizer.steps == epochs[-1]
    assert case.a.data == data[-1]


def test_ctrl_c_leaves_whole_steps(engine):
    case, plain = Case(engine), Case(engine)
    optimizer = SGD([case.a, case.b], lr=1e-4, momentum=0.5)
    timer = threading.Timer(0.2, os.kill, [os.getpid(), signal.SIGINT])
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        case.compiled.minimize(case.X, case.y, optimizer=optimizer, epochs=10**8)
    timer.join()
    assert optimizer.steps > 0
    plain.compiled.minimize(plain.X, plain.y, lr=1e-4, momentum=0.5, epochs=optimizer.steps)
    same([case.a.data, case.b.data], [plain.a.data, plain.b.data])
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


# ---- pickles ----


def _parts(program):
    return list(program.__reduce__()[1])


def test_a_program_pickles(case):
    f, X, y = case.compiled, case.X, case.y
    f.record(X, y)
    program = pickle.loads(pickle.dumps(f.program))
    same(program(X, y), f(X, y))
    same(program.value_and_grad(X, y)[1], f.value_and_grad(X, y)[1])
    assert program.value_and_grad(X, y)[0] == f.value_and_grad(X, y)[0]
    assert program.parameters == ()
    assert program.parameter_count == 2
    program.minimize(X, y, lr=0.1, epochs=3)
    f.minimize(X, y, lr=0.1, epochs=3)
    same(program.parameter_vector, [case.a.data, case.b.data])
    with pytest.raises(TypeError, match="has no Values"):
        program.backward(X, y)
    with pytest.raises(ValueError, match="not the 0 of the program"):
        program.minimize(X, y, optimizer=SGD([case.a, case.b]))
    same(pickle.loads(pickle.dumps(program))(X, y), f(X, y))
    assert "tanh" in str(program)
    with pytest.raises(TypeError, match="can't be pickled"):
        pickle.dumps(f)


def test_a_program_with_classes_and_several_outputs_pickles(engine):
    c = engine(0.5)
    f = compiled(lambda x, y: (pick(x, y) * c, [x[0], x[1].leaky_relu(0.25)]), backend=engine._pygrad_backend)
    X, y = [[1.0, -2.0], [3.0, 4.0]], [1, 0]
    first = f(X, y)
    again = pickle.loads(pickle.dumps(f.program))(X, y)
    same(first[0], again[0])
    same(first[1], again[1])


def _fixed(parts):
    """The parts with the checksum that fits them."""
    from pygrad.programs.pickled import _checksum

    parts[-1] = _checksum(parts[0], parts[1:-1])
    return parts


def test_a_damaged_pickle_is_an_error(case):
    case.compiled.record(case.X, case.y)
    whole = _parts(case.compiled.program)
    assert restored(*whole)(case.X, case.y).shape == (7,)
    with pytest.raises(FormatError, match="number of parts"):
        restored()
    for i in range(len(whole)):
        parts = [x.copy() if isinstance(x, np.ndarray) else x for x in whole]
        if isinstance(parts[i], np.ndarray):
            parts[i].view(np.uint8)[0] ^= 1
        else:
            parts[i] = parts[i] + (" " if i == 0 else 1)
        with pytest.raises(FormatError, match="checksum"):
            restored(*parts)
        for other in (None, 3.5, b"x", [], np.array([None]), np.zeros((2, 2)), float):
            parts = list(whole)
            parts[i] = other
            with pytest.raises(FormatError):
                restored(*parts)


def test_hostile_pickles_are_errors_or_harmless(case):
    """Numbers changed at random, with checksums that fit."""
    case.compiled.record(case.X, case.y)
    whole = _parts(case.compiled.program)
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(400):
        parts = [x.copy() if isinstance(x, np.ndarray) else x for x in whole]
        i = int(rng.integers(1, len(parts) - 1))
        if rng.random() < 0.2:
            parts[i] = parts[i][: int(rng.integers(0, len(parts[i])))]
        else:
            at = int(rng.integers(len(parts[i])))
            if parts[i].dtype == np.float64:
                parts[i][at] = rng.choice([np.nan, -1.0, 1e300, 0.5, 7.0, 2.0**32])
            else:
                parts[i][at] = rng.choice([0, 1, 2, 5, 200, np.iinfo(parts[i].dtype).max])
        try:
            program = restored(*_fixed(parts))
            program(case.X, case.y)
            program.value_and_grad(case.X, case.y)
        except FormatError:
            refused += 1
        except (TypeError, ValueError):  # a program with other shapes, or none to differentiate
            pass
    assert refused > 50


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"version": 1', '"version": 2'), ('"version": 1', '"version": []'), ('"parameters": 2', '"parameters": 3'),
        ('"parameters": 2', '"parameters": -1'), ('"shapes": [[2], []]', '"shapes": [[2147483647], [2147483647]]'),
        ('"shapes": [[2], []]', '"shapes": [[2]]'), ('"shapes": [[2], []]', '"shapes": [[1], []]'),
        ('"shapes": [[2], []]', '"shapes": 5'), ('"classes": []', '"classes": [[0, 0]]'),
        ('"classes": []', '"classes": [[5, 0, 3]]'), ('"outputs": [[]]', '"outputs": [[3]]'),
        ('"outputs": [[]]', '"outputs": []'), ('"tanh"', '"user"'), ('"tanh"', "7"), ("{", "["), ("{", "[" * 100000),
        ('"threads": 0', '"threads": 1e9'), ('"threads": 0', '"threads": true'),
    ],
)  # fmt: skip
def test_a_header_that_lies(case, old, new):
    case.compiled.record(case.X, case.y)
    parts = _parts(case.compiled.program)
    assert old in parts[0]
    parts[0] = parts[0].replace(old, new, 1)
    with pytest.raises(FormatError, match="no pickled program"):
        restored(*_fixed(parts))


def test_a_program_works_in_another_process(tmp_path):
    a = pygrad.Value(3.0)
    f = compiled(lambda x: a * x.tanh())
    path = tmp_path / "program"
    path.write_bytes(pickle.dumps(f.record([1.0])))
    code = "import pickle, sys; print(pickle.load(open(sys.argv[1], 'rb')).value_and_grad([0.5, 1.5]))"
    found = _in_another_process(code, str(path))
    assert found.strip() == repr(f.value_and_grad([0.5, 1.5]))


def _in_another_process(code, *arguments, **environment):
    """What it prints, or the last line of its error."""
    run = subprocess.run(
        [sys.executable, "-c", code, *arguments], env={**os.environ, **environment}, capture_output=True, text=True
    )
    return run.stdout or run.stderr.splitlines()[-1]


def test_the_environment_chooses_the_instruction_set():
    code = "from pygrad.programs import isa; print(isa())"
    assert _in_another_process(code, PYGRAD_ISA="baseline") == "baseline\n"
    call = "import pygrad.programs; pygrad.programs.compile(lambda x: x * x)([1.0])"
    for wrong in (code, call):
        said = _in_another_process(wrong, PYGRAD_ISA="sse9")
        assert said.startswith("ValueError: no instruction set 'sse9' on this processor: choose one of ")


def test_a_pick_of_more_classes_than_values_is_refused(engine):
    f = compiled(lambda x, y: pick(x, y), backend=engine._pygrad_backend)
    parts = _parts(f.record([[1.0, 2.0]], [1]))
    assert restored(*parts)([[1.0, 2.0]], [1]).tolist() == [2.0]
    for wrong in ("[1, 0, 3]", "[1, 0, 0]", "[0, 0, 2]", "[1, 1, 2]"):
        changed = [parts[0].replace("[1, 0, 2]", wrong), *parts[1:]]
        assert changed[0] != parts[0]
        with pytest.raises(FormatError):
            restored(*_fixed(changed))


# ---- a model ----


def test_a_model_of_layers(engine_name):
    import random

    random.seed(1)
    model = MLP(2, [5, 5, 1], backend=engine_name)
    f = compiled(lambda x, y: (1 - y * model(x)).relu(), exact=True, params=model)
    rng = np.random.default_rng(2)
    X, y = rng.normal(size=(11, 2)), np.sign(rng.normal(size=11))
    assert f.record(X, y).parameters == tuple(model.parameters())
    Value = backends.load(engine_name)
    outputs = [(1 - Value(t) * model([Value(v) for v in row])).relu() for row, t in zip(X, y)]
    same(f(X, y), [v.data for v in outputs])
    (Value.sum(outputs) / 11).backward()
    assert f.value_and_grad(X, y)[1] == pytest.approx([p.grad for p in model.parameters()], rel=1e-12, abs=1e-16)
    before = f.value_and_grad(X, y)[0]
    f.minimize(X, y, optimizer=Adam(model, lr=0.05), epochs=60)
    assert f.value_and_grad(X, y)[0] < before


class _Line(Module):
    def __init__(self, engine):
        self.slope = engine(2.0)

    def __call__(self, x):
        return self.slope * x

    @compiled
    def loss(self, x, y):
        return (self(x) - y) ** 2


def test_a_module_with_a_compiled_method():
    model = _Line(pygrad.Value)
    assert model.loss([1.0, 2.0], [1.0, 1.0]).tolist() == [1.0, 9.0]
    assert model.parameters() == [model.slope]
    for again in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        again.loss.minimize([1.0], [1.0], lr=0.5)
        assert (again.slope.data, model.slope.data) == (1.0, 2.0)
    whole = compiled(model)
    assert whole([3.0]).tolist() == [6.0]
    assert whole.parameters == (model.slope,)
    assert not hasattr(whole, "slope")
