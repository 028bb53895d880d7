"""grad: the bits of backward() without touching a gradient, graphs that are differentiated again, errors, memory."""

from __future__ import annotations

import gc
import math
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pygrad
from pygrad import backends, no_grad
from pygrad._ffi import lib
from pygrad._rule import Rule
from pygrad.derivatives import grad
from pygrad.nn import MLP

from .conftest import bits
from .programs import execute, programs


def same(x, y):
    """Whether two numbers are equal; of a nan, whether both are."""
    return x == y or (x != x and y != y)


# ---- numbers ----


@settings(max_examples=40)
@given(program=programs, picks=st.lists(st.integers(0, 400), max_size=5))
def test_grad_has_the_bits_of_backward_and_touches_no_gradient(backend, program, picks):
    values, _ = execute(backends.load(backend), program)
    root = values[-1]
    before = [bits(v.grad) for v in values]
    found = grad(root, values, allow_unused=True)
    some = [values[i % len(values)] for i in picks]
    of_some = grad(root, some, allow_unused=True)
    scaled = grad(root, some, -0.5, allow_unused=True)
    assert [bits(v.grad) for v in values] == before
    for v in values:
        v.grad = 0.0
    root.backward()
    assert list(map(bits, found)) == [bits(v.grad) for v in values]
    assert list(map(bits, of_some)) == [bits(v.grad) for v in some]
    assert all(abs(g) == 0.5 * abs(v.grad) or not math.isfinite(g) or abs(g) < 1e-300 for g, v in zip(scaled, some))


@settings(max_examples=30)
@given(program=programs.map(lambda program: [i for i in program if i.kind not in ("user", "mutate")]))
def test_a_gradient_as_a_graph_has_the_same_numbers(backend, program):
    values, _ = execute(backends.load(backend), program)
    numbers = grad(values[-1], values, allow_unused=True)
    before = [bits(v.grad) for v in values]
    try:
        graph = grad(values[-1], values, create_graph=True, allow_unused=True)
    except (ArithmeticError, ValueError):
        return  # a derivative without a finite value
    assert all(same(g.data, x) for g, x in zip(graph, numbers))
    assert [bits(v.grad) for v in values] == before


def test_one_input_or_several(backend, Value):
    x, y = Value(2.0), Value(3.0)
    z = x * y + x
    assert grad(z, x) == 4.0
    assert type(grad(z, x)) is float
    assert grad(z, [x, y]) == grad(z, (x, y)) == [4.0, 2.0]
    assert grad(z, [y, x, y]) == [2.0, 4.0, 2.0]
    assert grad(z, []) == []
    assert grad(z, z) == 1.0
    assert grad(z, [z, x], 5) == [5.0, 20.0]
    assert (x.grad, y.grad, z.grad) == (0.0, 0.0, 0.0)


def test_inputs_may_stand_anywhere_in_the_graph(backend, Value):
    x = Value(2.0)
    y = x * x
    z = y * x
    w = z + y
    assert grad(w, [y, z, x]) == [3.0, 1.0, 16.0]  # each with what it depends on, as if that alone changed
    assert grad(w, y) == 3.0
    assert grad(y, x) == 4.0
    dx = grad(w, x, create_graph=True)  # y, from z's second operand, and (x + 1) * 2x by way of y
    assert (dx.data, grad(dx, y), grad(dx, x)) == (16.0, 1.0, 14.0)


def test_arrays(backend, Value):
    a, w, s = Value([1.0, 2.0]), Value([[1.0, 2.0], [3.0, 4.0]]), Value(3.0)
    out = w @ a * s
    a.grad = [7.0, 7.0]
    found = grad(out, [w, a, s])
    assert [g.tolist() if isinstance(g, np.ndarray) else g for g in found] == [
        [[3.0, 6.0], [3.0, 6.0]],
        [12.0, 18.0],
        16.0,
    ]
    assert grad(out, s, [1.0, 0.0]) == 5.0
    assert grad(out, a, np.array([0.0, 1.0])).tolist() == [9.0, 12.0]
    assert grad(out, a, Value([0.0, 1.0])).tolist() == [9.0, 12.0]
    assert grad(out, a, 2).tolist() == [24.0, 36.0]
    assert a.grad.tolist() == [7.0, 7.0]
    assert w.grad.tolist() == [[0.0, 0.0], [0.0, 0.0]]
    assert (s.grad, out.grad.tolist()) == (0.0, [0.0, 0.0])
    assert (out.sum()._backward(), grad(out, out).tolist()) == (None, [1.0, 1.0])
    a.grad = 0.0
    out.backward()
    assert np.array_equal(found[1], a.grad)
    before = out.grad
    assert grad(out, a).tolist() == [12.0, 18.0]
    assert out.grad is before


def test_arrays_of_the_result_are_ones_own(backend, Value):
    x = Value([1.0, 2.0])
    y = Value([3.0, 4.0])
    z = x + y
    seed = np.array([1.0, 5.0])
    g = grad(z, [x, y, x, z], seed)
    for i, array in enumerate(g):
        array += i + 1.0
    assert [array.tolist() for array in g] == [[2.0, 6.0], [3.0, 7.0], [4.0, 8.0], [5.0, 9.0]]
    assert seed.tolist() == [1.0, 5.0]
    assert x.grad.tolist() == [0.0, 0.0]


def test_float32_stays_float32(backend, Value):
    x = Value(np.array([0.5, 2.0], np.float32))
    assert grad((x * x).sum(), x).dtype == np.float32
    g = grad((x**3).sum(), x, create_graph=True)
    assert g.data.dtype == np.float32
    assert grad(g.sum(), x).tolist() == [3.0, 12.0]


def test_only_what_leads_to_an_input_takes_its_step(backend, Value):
    steps = []

    def noted(x, name):
        out = Value(x.data, (x,), name)

        def _backward():
            steps.append(name)
            x.grad += out.grad

        out._backward = _backward
        return out

    a, b = Value(2.0), Value(3.0)
    p, q = noted(a * 1, "p"), noted(b * 1, "q")
    out = noted(p * q, "out")
    assert grad(out, a) == 3.0
    assert steps == ["out", "p"]
    steps.clear()
    assert grad(out, p) == 3.0
    assert steps == ["out"]
    steps.clear()
    assert grad(out, [a, b]) == [3.0, 2.0]
    assert steps == ["out", "q", "p"]  # reverse depth-first post-order
    steps.clear()
    assert grad(out, out) == 1.0
    assert steps == []


def test_no_derivative_is_worked_out_for_what_leads_nowhere(backend, Value):
    x, n = Value(-2.0), Value(3.0)
    dy = grad(x**n, x, create_graph=True)  # the exponent's would be log(-2)
    assert (dy.data, grad(dy, x)) == (12.0, -12.0)
    weight, inputs = Value(np.ones((2, 2))), Value(np.array([1.0, math.inf]))
    with np.errstate(all="raise"):
        assert grad((weight @ inputs).sum(), inputs).tolist() == [2.0, 2.0]


def test_no_rule_of_arrays_is_asked_for_it(backend, Value):
    asked = []

    def derivative(which):
        return lambda g, x, y, z, o: asked.append(which) or g * (y if which == 0 else x)

    product = Rule("mul", "*", 2, np.multiply, (derivative(0), derivative(1)))
    x, y = Value([1.0, 2.0]), Value([3.0, 4.0])
    z = Value._array_node("mul", (x * 1.0, y * 1.0), x.data * y.data, (product, None, (True, True)))
    for create_graph in (False, True):
        for inputs, expected in (([x], [0]), ([y], [1]), ([x, y], [0, 1])):
            asked.clear()
            grad(z, inputs, create_graph=create_graph)
            assert asked == expected


def test_no_graph_is_made_of_it(engine, live):
    w, x, bias = [engine(2.0) for _ in range(5)], [engine(3.0) for _ in range(5)], engine(1.0)
    one = engine(1.0)
    for out, inputs, nodes in (
        (engine.dot(w, x, bias), x[:2], 2),  # a product each
        (engine.dot(w, x, bias), w[:1], 1),
        (engine.dot(w, x, bias), [bias], 0),
        (engine.logsumexp(x), x[:1], 3),  # x - z, exp, times 1
        (x[0] * w[0], x[0], 1),
        (x[0] ** w[0], x[0], 5),  # 1.0 (a leaf), w - 1.0, x ** of it, times w, times one
    ):
        before = live()
        g = grad(out, inputs, one, create_graph=True)
        assert live() - before == nodes
        del g
    del w, x, bias, one, out, inputs


def test_an_exception_in_a_closure_leaves_every_gradient(backend, Value):
    x, array = Value(2.0), Value([1.0, 2.0])
    x.grad, array.grad = 7.0, [8.0, 9.0]
    y = (array * x).sum()
    out = Value(y.data, (y,), "broken")

    def _backward():
        y.grad += out.grad
        raise KeyError("broken")

    out._backward = _backward
    last = out * x + array.sum()
    last.grad = 3.0
    with pytest.raises(KeyError, match="broken"):
        grad(last, [x, array])
    assert (x.grad, array.grad.tolist(), y.grad, out.grad, last.grad) == (7.0, [8.0, 9.0], 0.0, 0.0, 3.0)
    del out._backward
    assert grad(last, x) == 6.0


def test_a_closure_may_itself_call_grad_and_backward(backend, Value):
    x = Value(3.0)
    inner = x * x
    out = Value(inner.data, (x,), "nested")

    def _backward():
        x.grad += grad(inner, x) * out.grad
        other = Value(1.0)
        (other * 2).backward()

    out._backward = _backward
    x.grad = 100.0
    assert grad(out * 2 + x, x) == 13.0
    assert x.grad == 100.0
    (out * 2 + x).backward()
    assert x.grad == 113.0


def test_closures_of_arrays(backend, Value):
    x = Value([1.0, 2.0])
    x.grad = [5.0, 5.0]
    out = Value(x.data**3, (x,), "cube")

    def _backward():
        x.grad += 3 * x.data**2 * out.grad

    out._backward = _backward
    assert grad((out * 2).sum() + x.sum(), x).tolist() == [7.0, 25.0]
    assert x.grad.tolist() == [5.0, 5.0]


def test_data_changed_in_between_counts(backend, Value):
    x, y = Value(2.0), Value(3.0)
    z = x * y
    y.data = 10.0
    assert grad(z, x) == 10.0
    assert grad(z, x, create_graph=True).data == 10.0


# ---- graphs ----


def test_third_derivatives_by_hand(backend, Value):
    x, y = Value(2.0), Value(3.0)
    z = x**3 * y**2
    zx, zy = grad(z, [x, y], create_graph=True)
    assert (zx.data, zy.data) == (108.0, 48.0)
    zxx, zxy = grad(zx, [x, y], create_graph=True)
    zyx, zyy = grad(zy, [x, y], create_graph=True)
    assert (zxx.data, zxy.data, zyx.data, zyy.data) == (108.0, 72.0, 72.0, 16.0)
    assert grad(zxx, [x, y]) == [54.0, 72.0]
    assert grad(zxy, [x, y]) == [72.0, 24.0]
    assert grad(zyy, x) == 24.0
    assert (x.grad, y.grad) == (0.0, 0.0)


def test_a_gradient_may_stand_in_a_loss(backend, Value):
    x, w = Value(1.5), Value(0.5)
    out = (x * w).sin()
    dx = grad(out, x, create_graph=True)
    loss = out + (dx - 1) ** 2
    loss.backward()
    u, s, c = 0.75, math.sin(0.75), math.cos(0.75)
    assert w.grad == pytest.approx(1.5 * c + 2 * (0.5 * c - 1) * (c - u * s), rel=1e-14)


def test_grad_output_takes_part_in_the_graph(backend, Value):
    x, u = Value([1.0, 2.0]), Value([3.0, 5.0])
    v = grad(x**2, x, u, create_graph=True)  # 2 x u
    assert v.data.tolist() == [6.0, 20.0]
    assert grad(v, u, [1.0, 10.0]).tolist() == [2.0, 40.0]  # so a Jacobian times a vector is two sweeps
    assert grad(v, x).tolist() == [6.0, 10.0]
    s, t = Value(2.0), Value(7.0)
    assert grad(grad(x**2, x, s, create_graph=True), s, [1.0, 10.0]) == 42.0  # a number for every entry
    assert grad(grad(s**3, s, t, create_graph=True), t) == 12.0


def test_what_is_constant_becomes_a_leaf(backend, Value):
    x = Value(2.0)
    g = grad(x + x + 1, x, create_graph=True)
    assert (g.data, g.operands) == (2.0, ())
    with pytest.raises(ValueError, match=r"does not depend on inputs: give allow_unused=True for a 0"):
        grad(g, x)
    assert grad(g, x, allow_unused=True) == 0.0
    zero = grad(x.relu() * 0 + Value(1.0), [x, Value([1.0, 2.0])], create_graph=True, allow_unused=True)
    assert isinstance(zero[1], Value)
    assert zero[1].data.tolist() == [0.0, 0.0]
    a = Value([1.0, 2.0])
    assert grad(a.sum(), a, create_graph=True).data.tolist() == [1.0, 1.0]
    assert grad(a, a, create_graph=True).data.tolist() == [1.0, 1.0]


def test_within_no_grad_a_graph_is_made_all_the_same(backend, Value):
    x = Value(2.0)
    y = x**3
    with no_grad():
        g = grad(y, x, create_graph=True)
        assert grad(y, x) == 12.0
        assert (x * 2).operands == ()
    assert grad(g, x) == 12.0


@pytest.mark.parametrize(
    ("f", "first", "second"),
    [
        (lambda v: v.relu(), 0.0, 0.0),
        (lambda v: abs(v), 0.0, 0.0),
        (lambda v: v.leaky_relu(0.1), 0.1, 0.0),
        (lambda v: v.elu(2.0), 2.0, 2.0),
        (lambda v: v.maximum(v * v), 0.5, 1.0),  # a tie shares: half of each
        (lambda v: v.maximum(2 * v), 1.5, 0.0),
        (lambda v: v**0, 0.0, 0.0),
        (lambda v: v**1, 1.0, 0.0),
        (lambda v: v**2, 0.0, 2.0),
    ],
)
def test_kinks_as_documented(backend, Value, f, first, second):
    x = Value(0.0)
    g = grad(f(x), x, create_graph=True)
    assert (g.data, grad(g, x, allow_unused=True)) == (first, second)
    array = Value([0.0, 0.0])
    g = grad(f(array), array, create_graph=True)
    assert (g.data.tolist(), grad(g, array, allow_unused=True).tolist()) == ([first] * 2, [second] * 2)


def test_where_a_derivative_is_not_finite(backend, Value):
    x = Value(0.0)
    assert grad(x.sqrt(), x) == math.inf
    with pytest.raises(ZeroDivisionError, match=r"the derivative of 'sqrt' at 0.0 has no finite value.*division by"):
        grad(x.sqrt(), x, create_graph=True)
    with pytest.raises(ZeroDivisionError, match=r"the derivative of '\*\*0.5' at 0.0"):
        grad(x**0.5, x, create_graph=True)
    array = Value([0.0, 4.0])  # of arrays NumPy's arithmetic
    assert grad(array.sqrt(), array, create_graph=True).data.tolist() == [math.inf, 0.25]


def test_a_user_defined_op_has_no_graph(backend, Value):
    x = Value(2.0)
    out = Value(x.data**3, (x,), "cube")

    def _backward():
        x.grad += 3 * x.data**2 * out.grad

    out._backward = _backward
    assert grad(out + x, x) == 13.0
    with pytest.raises(TypeError, match=r"the user-defined op 'cube' has a Python closure.*create_graph=True needs"):
        grad(out + x, x, create_graph=True)
    y = Value(5.0)
    assert grad(out * y, y, create_graph=True).data == 8.0  # it does not lead to y
    plain = Value(1.0, (x,), "no derivative")
    assert grad(plain + x, x, create_graph=True).data == grad(plain + x, x) == 1.0
    array = Value([1.0, 2.0])
    hooked = array * 2
    hooked._backward = lambda: None
    with pytest.raises(TypeError, match="op '\\*' has a Python closure"):
        grad(hooked, array, create_graph=True)


def test_an_mlp_of_scalars_and_of_a_batch(backend, Value):
    model = MLP(2, [4, 1], activation="tanh", seed=1, backend=backend)
    parameters = model.parameters()
    points = [[0.3, -0.7], [1.1, 0.2]]
    for loss in (
        lambda: Value.sum([model([Value(u) for u in point]) ** 2 for point in points]),
        lambda: (model(np.array(points)) ** 2).sum(),
    ):
        plain, graph = grad(loss(), parameters), grad(loss(), parameters, create_graph=True)
        assert [g.data for g in graph] == pytest.approx(plain, rel=1e-12)
        vector = np.random.default_rng(0).normal(size=len(parameters)).tolist()
        product = grad(Value.dot(graph, vector), parameters)
        numbers = [p.data for p in parameters]
        moved = []
        for h in (1e-5, -1e-5):
            for p, number, v in zip(parameters, numbers, vector):
                p.data = number + h * v
            moved.append(grad(loss(), parameters))
        for p, number in zip(parameters, numbers):
            p.data = number
        assert product == pytest.approx([(a - b) / 2e-5 for a, b in zip(*moved)], rel=1e-6, abs=1e-8)
    assert all(p.grad == 0.0 for p in parameters)


def test_a_gradient_penalty_trains(backend, Value):
    """A network that is to be flat where it is 1: the gradient stands in the loss, and backward() goes through it."""
    model = MLP(1, [6, 1], activation="tanh", seed=3, backend=backend)
    optimizer = pygrad.optim.Adam(model, lr=0.05)
    x = Value(np.linspace(-1, 1, 9).reshape(9, 1))
    losses = []
    for _ in range(60):
        out = model(x)
        slope = grad(out, x, create_graph=True)
        loss = ((out - 1) ** 2).mean() + (slope**2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.data)
    assert losses[-1] < 0.02 * losses[0]


# ---- errors ----


def test_what_is_no_value(backend, Value):
    x = Value(2.0)
    y = x * 2
    with pytest.raises(TypeError, match=r"grad: output must be a Value, not float"):
        grad(3.0, x)
    with pytest.raises(TypeError, match=r"grad: output must be a Value, not list: add them up first"):
        grad([y, y], x)
    with pytest.raises(TypeError, match=r"grad: inputs\[1\] must be a Value, not float"):
        grad(y, [x, 1.0])
    with pytest.raises(TypeError, match=r"grad: inputs must be a Value or a list of Values, not float"):
        grad(y, 1.0)
    other = backends.load("python" if backend != "python" else "cffi")(1.0)
    with pytest.raises(TypeError, match="cannot stand in one expression"):
        grad(y, [x, other])
    with pytest.raises(TypeError, match="cannot stand in one expression"):
        grad(y, x, other, create_graph=True)


def test_an_input_that_the_output_does_not_depend_on(backend, Value):
    x, other = Value(2.0), Value([1.0, 2.0], label="bias")
    y = x * 2
    for create_graph in (False, True):
        with pytest.raises(ValueError, match=r"the output does not depend on inputs\[1\] \('bias'\): give allow_unus"):
            grad(y, [x, other], create_graph=create_graph)
        with pytest.raises(ValueError, match=r"does not depend on inputs:"):
            grad(x, y, create_graph=create_graph)
    g = grad(y, [x, other, y], allow_unused=True)
    assert (g[0], g[1].tolist(), g[2]) == (2.0, [0.0, 0.0], 1.0)


def test_grad_outputs_that_do_not_fit(backend, Value):
    x, array = Value(2.0), Value([1.0, 2.0])
    for create_graph in (False, True):
        for seed in ([1.0, 2.0], "one", Value([1.0])):
            with pytest.raises(TypeError, match="grad_output must be a number, not"):
                grad(x * 2, x, seed, create_graph=create_graph)
        with pytest.raises(ValueError, match=r"grad_output has shape \(3,\), but the output has shape \(2,\)"):
            grad(array * 2, array, [1.0, 2.0, 3.0], create_graph=create_graph)
        with pytest.raises(ValueError, match=r"grad_output has shape \(3,\), but the output has shape \(2,\)"):
            grad(array * 2, array, Value([1.0, 2.0, 3.0]), create_graph=create_graph)


# ---- size, memory, threads ----


def test_a_chain_of_100_000(backend, Value):
    x, one = Value(0.5), Value(1.0)
    y = x
    for _ in range(100_000):
        y = y * one
    assert grad(y, x) == 1.0
    g = grad(y, x, create_graph=True)
    assert g.data == 1.0
    assert grad(g, one) == 100_000.0


def test_a_chain_of_arrays(backend, Value):
    x = Value([0.5, 2.0])
    y = x
    for _ in range(3_000):
        y = y * 1.0 + x * 0.0
    g = grad(y * y, x, create_graph=True)
    assert g.data.tolist() == [1.0, 4.0]
    assert grad(g, x).tolist() == [2.0, 2.0]


def test_memory_returns(backend, Value):
    x, array, kept = Value(2.0), Value([1.0, 2.0]), Value(1.0)

    def use():
        y = (x * array).sum().tanh() * kept
        g, h = grad(y, [x, array], create_graph=True)
        grad(g * g + h.sum(), [x, array, kept])
        with pytest.raises(ValueError, match="does not depend"):
            grad(g, Value(1.0), create_graph=True)

    use()
    gc.collect()
    before = Value._stats()[0]
    for _ in range(1000 if backend != "python" else 50):
        use()
    gc.collect()
    assert Value._stats()[0] == before


def test_every_allocation_may_fail(engine, live):
    x, array = engine(2.0), engine([1.0, 2.0])
    many = [x, x * 2] * 600
    y = engine.sum(many) + (array * x).sum()
    x.grad, array.grad = 7.0, [8.0, 9.0]
    failures = 0
    try:
        while True:
            engine._trim()
            lib.pg_fail_allocation(failures + 1)
            try:
                found = grad(y, [x, array])
                break
            except MemoryError:
                failures += 1
            lib.pg_fail_allocation(0)
            assert (x.grad, array.grad.tolist()) == (7.0, [8.0, 9.0])
    finally:
        lib.pg_fail_allocation(0)
    assert failures >= 2, "the hook was not reached"
    assert (found[0], found[1].tolist()) == (1803.0, [2.0, 2.0])
    del many, y, x, array, found


def test_threads(backend, Value):
    errors = []

    def work(n):
        try:
            for i in range(100):
                x, a = Value(float(n)), Value([float(i), 2.0])
                y = (a * x).sum() ** 2
                g = grad(y, x, create_graph=True)
                assert g.data == 2 * n * (i + 2) ** 2
                assert grad(g, x) == 2 * (i + 2) ** 2
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(1, 5)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert errors == []


def test_at_top_level():
    for name in ("grad", "jacobian", "hessian", "hvp"):
        assert getattr(pygrad, name) is getattr(pygrad.derivatives, name)
        assert name in pygrad.__all__
