"""Compiled functions against the graph engine, sample by sample; signatures, methods, models."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import pygrad
from pygrad import backends
from pygrad.nn import MLP, Module
from pygrad.optim import Adam
from pygrad.programs import compile as compiled

from .conftest import bits
from .program_cases import Case, same


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


def test_params_may_be_an_iterator(engine):
    """Also for a second recording."""
    a, b = engine(2.0), engine(3.0)
    f = compiled(lambda *x: a * x[0] + b, params=iter([b, a]))
    assert f.value_and_grad([4.0])[1].tolist() == f.value_and_grad([4.0], [5.0])[1].tolist() == [1.0, 4.0]


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


def test_stats_tell_what_each_pass_did(case):
    case.compiled.record(case.X, case.y)
    stats = case.compiled.program.stats()
    rows = stats["passes"]
    assert rows[0]["pass"] == "recorded"
    assert rows[-1]["pass"] == "encoding"
    assert all(row["instructions"] > 0 for row in rows)
    assert stats["bytes"]["sample"] > 0
    assert stats["bytes"]["shared"] >= 8 * case.compiled.program.parameter_count
    assert stats["flops"] >= rows[-1]["flops"] > 0
    assert stats["seconds"]["recording"] > 0
    assert all(row["pass"] in str(stats) for row in rows)
    assert stats["instructions"]["load"] >= 1


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
