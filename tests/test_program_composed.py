"""Compiled functions called with Values: the plain functions, within eager graphs and within other compiled ones."""

from __future__ import annotations

import numpy as np
import pytest

import pygrad
from pygrad.programs import TraceError
from pygrad.programs import compile as compiled

from .program_cases import same


@pytest.fixture
def inner(engine):
    a = engine(3.0)

    def f(x, y):
        return (a * x[0] + x[1] - y) ** 2

    return compiled(f, backend=engine._pygrad_backend)


def test_a_graph_of_values_through_a_compiled_function(engine, inner):
    for _ in range(2):  # before it was recorded, and after
        x, y = [engine(2.0), engine(1.0)], engine(4.0)
        out = inner(x, y)
        assert type(out) is engine
        assert out.data == 9.0
        out.backward()
        assert (x[0].grad, x[1].grad, y.grad) == (18.0, 6.0, -6.0)
        assert inner(np.array([[2.0, 1.0]]), np.array([4.0])).tolist() == [9.0]
    assert inner([2.0, engine(1.0)], 4.0).data == 9.0
    assert inner(np.array([engine(2.0), 1.0], dtype=object), 4.0).data == 9.0
    assert inner((2.0, engine(1.0)), 4).data == 9.0
    assert len(inner.programs) == 1


def test_a_compiled_function_in_another(engine, inner):
    b = engine(0.5)

    def plain(x, y):
        return b * inner.__wrapped__(x, y) + inner.__wrapped__([b, x[0]], 1.0)

    def outer(x, y):
        return b * inner(x, y) + inner([b, x[0]], 1.0)

    name = engine._pygrad_backend
    X, y = np.arange(8.0).reshape(4, 2), np.arange(4.0)
    inner(X, y)
    whole, expected = compiled(outer, backend=name), compiled(plain, backend=name)
    same(whole(X, y), expected(X, y))
    same(whole.value_and_grad(X, y)[1], expected.value_and_grad(X, y)[1])
    assert len(whole.parameters) == 2


def test_one_without_arguments_in_another(engine):
    w = engine(2.0)
    penalty = compiled(lambda: w * w, backend=engine._pygrad_backend)
    assert penalty() == 4.0
    loss = compiled(lambda x: w * x + penalty(), backend=engine._pygrad_backend)
    assert loss([1.0, 2.0]).tolist() == [6.0, 8.0]
    assert loss.value_and_grad([1.0, 2.0])[1].tolist() == [5.5]


def test_arrays_in_a_recorded_function(engine, inner):
    X, y = np.ones((3, 2)), np.ones(3)
    inner(X, y)
    for ask in (
        lambda: inner(X, y),
        lambda: inner([[1.0, 2.0]], [1.0]),
        lambda: inner.backward(X, y),
        lambda: inner.value_and_grad(X, y),
        lambda: inner.minimize(X, y),
    ):

        def outer(x, ask=ask):
            return x + ask()

        with pytest.raises(TraceError, match=r"f> is asked about arrays in .*: call it there with Values") as caught:
            compiled(outer, backend=engine._pygrad_backend)([1.0])
        assert caught.value.lineno == ask.__code__.co_firstlineno
    assert inner(X, y).shape == (3,)


def test_questions_are_for_arrays(engine, inner):
    with pytest.raises(TypeError, match=r"y must be an array of numbers, not a Value: use \.data"):
        inner.value_and_grad([[1.0, 2.0]], engine(1.0))
    with pytest.raises(TypeError, match=r"x must be an array of numbers, not an array Value: use \.data"):
        inner(engine([[1.0, 2.0]]), np.ones(1))


def test_a_compiled_module_with_values():
    model = pygrad.MLP(2, [3, 1], seed=1)
    predict = pygrad.compile(model)
    x = [pygrad.Value(0.5), pygrad.Value(-1.0)]
    out = predict(x)
    assert out.data == model(x).data
    out.backward()
    assert x[0].grad != 0.0


def test_a_program_in_a_recorded_function(engine, inner):
    X, y = np.ones((3, 2)), np.ones(3)
    inner(X, y)
    for ask in (lambda x: inner.program(X, y), lambda x: inner.program(x, x), lambda x: inner.parameter_vector):
        with pytest.raises(TraceError, match="a program is called, or asked something, in a recorded function"):
            compiled(ask, backend=engine._pygrad_backend)([1.0])


def test_a_function_that_asks_itself_about_arrays(engine):
    f = compiled(lambda x: x + f([1.0])[0], backend=engine._pygrad_backend)
    with pytest.raises(TraceError, match="is asked about arrays in a recorded function"):  # no deadlock
        f([1.0])
