"""no_grad and enable_grad: within, every kind of op gives leaves, in this thread only, and nothing is kept."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading

import numpy as np
import pytest

import pygrad
from pygrad import _arrays, enable_grad, no_grad, recording
from pygrad._graph import topological_order
from pygrad.array_rules import RULES
from pygrad.nn import MLP, Layer, Neuron
from pygrad.ops import OPS

from .test_array_rules import CASES


@pytest.fixture(autouse=True)
def _nothing_stays_suspended():
    yield
    assert recording.suspended == 0
    assert recording.active()


def is_recorded(x):
    return (x * 2).operands != ()


def is_leaf(v):
    return v.operands == () and v._op == "" and v._prev == set() and v._state()[0] == "leaf"


def results(Value, x, y):
    """Of every kind of scalar op, a result."""
    for name, op in OPS.items():
        if name == "pow_const":
            yield x**2.5
        elif op.kind == "unary":
            yield getattr(x, name)()
        elif op.kind == "constant":
            yield getattr(x, name)(0.5)
        else:
            yield getattr(x, name)(y)
            yield getattr(x, name)(1.5)
    yield from [x + y, x + 1, 1 + x, 1.5 - x, 2 / x, 2**x, x**2, x**y, -x, abs(x), np.float64(2) * x]
    yield from [Value.sum([x, y, 1.0]), Value.logsumexp([x, y, 1.0]), Value.dot([x, 2.0], [y, x], y)]
    yield sum([x, y])
    yield Value(3.0, (x, y), "mine")
    yield Value(3.0, (x,))
    yield Value([1.0, 2.0], (x, y), "mine")
    yield x * np.array([1.0, 2.0]).sum()
    yield x + Value([1.0, 2.0])


# ---- every kind of op ----


def test_results_of_scalar_ops_are_leaves(backend, Value):
    x, y = Value(1.25), Value(0.75)
    expected = [v.data for v in results(Value, x, y)]
    with no_grad():
        found = list(results(Value, x, y))
    for v, number in zip(found, expected, strict=True):
        assert is_leaf(v)
        assert np.array_equal(v.data, number)
        assert np.array_equal(v.grad, np.zeros_like(number))
        v.backward()
        assert (x.grad, y.grad) == (0.0, 0.0)
    assert all(v.operands for v in results(Value, x, y))


@pytest.mark.parametrize(("name", "xs", "o"), [case[:3] for case in CASES])
def test_results_of_rules_of_arrays_are_leaves(backend, Value, name, xs, o):
    v = [Value(x) for x in xs]
    recorded = _arrays.apply(name, v, o)
    with no_grad():
        out = _arrays.apply(name, v, o)
    assert is_leaf(out)
    assert out._record is None
    np.testing.assert_array_equal(out.data, recorded.data)
    out.backward()
    assert all(not np.any(x.grad) for x in v)
    assert recorded.operands


def test_every_rule_was_looked_at():
    assert {case[0] for case in CASES} == set(RULES)


def test_functions_and_operators_of_arrays(backend, Value):
    x, s = Value([[1.0, 2.0], [3.0, 4.0]]), Value(2.0)
    with no_grad():
        for v in (
            x + s, s * x, x @ x, x @ np.ones(2), x[0], x[:, 1], x[0, 0], x.T, x.sum(), x.mean(axis=0), x.reshape(4),
            np.exp(x), np.sum(x), np.concatenate([x, x]), np.where(x.data > 2, x, 0.0), pygrad.stack([s, s]), x / x,
            np.ones((2, 2)) * x, x**2, Value.sum([x, x]), x.softmax(), x.max(), *x,
        ):  # fmt: skip
            assert is_leaf(v)
    assert not x.grad.any()


def test_neurons_layers_and_networks(backend, Value):
    numbers, values = [0.5, -1.0], [Value(0.5), Value(-1.0)]
    batch = np.array([[0.5, -1.0], [1.0, 2.0]])
    for model in (
        Neuron(2, backend=backend),
        Layer(2, 3, backend=backend),
        MLP(2, [4, 1], activation="tanh", backend=backend),
        MLP(2, [4, 3], backend=backend),
        pygrad.nn.Sequential(Layer(2, 3, backend=backend), pygrad.nn.Softmax()),
    ):
        for x in (numbers, values, [values[0], 3.0], *([] if isinstance(model, Neuron) else [batch, Value(batch)])):
            expected = model(x)
            with no_grad():
                found = model(x)
            for v, e in zip(found, expected, strict=True) if isinstance(found, list) else [(found, expected)]:
                assert is_leaf(v)
                assert np.array_equal(v.data, e.data)
                v.backward()
        assert all(p.grad == 0.0 for p in [*model.parameters(), *values])
        out = model(values)  # afterwards graphs as before
        order = topological_order(out[0] if isinstance(out, list) else out)
        assert {id(v) for v in values} < {id(v) for v in order}


def test_losses_and_scores(backend):
    model = MLP(2, [4, 1], seed=1, backend=backend)
    X, y = [[0.5, -1.0], [1.0, 2.0]], [1, -1]
    recorded = pygrad.losses.hinge([model(x) for x in X], y)
    with no_grad():
        loss = pygrad.losses.hinge([model(x) for x in X], y)
    assert is_leaf(loss)
    assert loss.data == recorded.data


def test_user_defined_ops(backend, Value):
    x = Value(2.0)

    def cube(x):
        out = Value(x.data**3, (x,), "cube", "label")

        def _backward():
            x.grad += 3 * x.data**2 * out.grad

        out._backward = _backward
        return out

    with no_grad():
        out = cube(x)
    assert is_leaf(out)
    assert (out.data, out.label) == (8.0, "label")
    out.backward()
    assert x.grad == 0.0
    with no_grad(), pytest.raises(TypeError, match="_children must be Values, not float"):
        Value(1.0, (x, 1.0), "op")
    with no_grad(), pytest.raises(TypeError, match="_backward must be a function of no arguments, not int"):
        out._backward = 3
    with no_grad(), pytest.raises(RuntimeError, match="cannot be initialised again"):
        out.__init__(1.0, (x,), "op")
    recorded = Value(1.0, (x,), "op")
    with no_grad():
        recorded._backward = lambda: setattr(x, "grad", x.grad + 5.0)  # a graph that is there
    recorded.backward()
    assert x.grad == 5.0


def test_a_graph_that_is_there_goes_on(backend, Value):
    x = Value(3.0)
    y = x * x
    with no_grad():
        z = y * 2
        y.backward()
        assert y.operands == (x, x)
    assert x.grad == 6.0
    w = z * x  # z is a leaf now, and w is recorded
    x.grad = 0.0
    w.backward()
    assert (x.grad, z.grad, y.grad) == (18.0, 3.0, 1.0)


def test_copies_and_pickles_keep_their_graph(backend, Value):
    import copy
    import pickle

    x = Value(3.0)
    y = x * x + 1
    with no_grad():
        again, loaded = copy.deepcopy(y), pickle.loads(pickle.dumps(y))
    for v in (again, loaded):
        assert v._op == "+"
        v.backward()
        assert v.operands[0].operands[0].grad == 6.0


# ---- blocks ----


def test_nested_blocks(backend, Value):
    x = Value(1.0)
    with no_grad():
        with no_grad():
            assert not is_recorded(x)
        assert not is_recorded(x)
        with enable_grad():
            assert is_recorded(x)
            with enable_grad():
                assert is_recorded(x)
            with no_grad():
                assert not is_recorded(x)
                with enable_grad():
                    assert is_recorded(x)
                assert not is_recorded(x)
            assert is_recorded(x)
        assert not is_recorded(x)
    assert is_recorded(x)
    with enable_grad():
        assert is_recorded(x)


def test_decorators(backend, Value):
    x = Value(1.0)

    @no_grad()
    def evaluate(v, *, factor):
        """Evaluates."""
        assert not is_recorded(v)
        return train(v) if factor else is_recorded(v)

    @enable_grad()
    def train(v):
        assert is_recorded(v)
        with pytest.raises(KeyError):
            fail(v)
        return is_recorded(v)

    @no_grad()
    def fail(v):
        raise KeyError(is_recorded(v))

    assert evaluate.__doc__ == "Evaluates."
    assert evaluate(x, factor=2) is True
    assert evaluate(x, factor=0) is False
    assert is_recorded(x)

    @no_grad()
    def recursive(n):
        return not is_recorded(x) and (n == 0 or recursive(n - 1))

    assert recursive(5)


def test_exceptions_end_a_block(backend, Value):
    x = Value(0.0)
    for block in (no_grad, enable_grad):
        with pytest.raises(ZeroDivisionError), block():
            _ = 1 / x
        assert is_recorded(x)
    with pytest.raises(ValueError, match="math domain"), no_grad(), enable_grad(), no_grad():
        x.log()
    assert is_recorded(x)


def test_other_threads_record(backend, Value):
    x = Value(1.0)
    found, inside, done = {}, threading.Event(), threading.Event()

    def suspended():
        with no_grad():
            inside.set()
            done.wait(10)
            found["in the block"] = is_recorded(x)
            with enable_grad():
                found["enabled"] = is_recorded(x)
        found["after it"] = is_recorded(x)

    thread = threading.Thread(target=suspended)
    thread.start()
    assert inside.wait(10)
    assert is_recorded(x)
    assert (Value([1.0]) * 2).operands
    assert MLP(1, [1], backend=backend)([x]).operands
    with no_grad():
        assert not is_recorded(x)
    with enable_grad():
        assert is_recorded(x)
    assert is_recorded(x)
    done.set()
    thread.join()
    assert found == {"in the block": False, "enabled": True, "after it": True}


def test_one_decorator_in_many_threads(backend, Value):
    x, errors = Value(1.0), []

    @no_grad()
    def suspended():
        return enabled()

    @enable_grad()
    def enabled():
        return is_recorded(x)

    def work():
        for _ in range(200):
            if not suspended() or not is_recorded(x):
                errors.append("wrong")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert errors == []


def test_a_backend_that_is_loaded_within_a_block():
    code = """
        import pygrad.backends, pygrad.recording
        pygrad.backends.current = "python"
        with pygrad.recording.no_grad():
            for name in pygrad.backends.NAMES:
                Value = pygrad.backends.load(name)
                assert (Value(1.0) * 2).operands == (), name
        assert (Value(1.0) * 2).operands
    """
    program = "import textwrap; exec(textwrap.dedent('''" + code + "'''))"
    environment = {**__import__("os").environ, "PYGRAD_BACKEND": "python"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stderr) == (0, "")


# ---- memory ----


def test_nothing_is_kept(engine, live):
    x = engine(1.5)
    start = live()
    with no_grad():
        y = x
        for _ in range(10_000):
            y = (y * 0.5 + x).tanh()
            assert live() <= start + 3
    assert live() == start + 1
    model = MLP(2, [16, 16, 1], backend=engine._pygrad_backend)
    model([x, x])
    before = live()
    with no_grad():
        outs = [model([x, 1.0]) for _ in range(100)]
    assert live() == before + 100
    batch = engine(np.ones((100, 2)))
    model(batch)
    gc.collect()
    before = live()
    with no_grad():
        outs = [model(batch) for _ in range(10)]
    gc.collect()
    assert live() <= before + 10
    del outs, model, batch, x, y


def test_arrays_are_freed_at_once(backend, Value):
    import weakref

    gc.disable()
    try:
        with no_grad():
            x = Value(np.ones(1000))
            y = x * 2
            z = y + 1
            dead = weakref.ref(y)
            del y
            assert dead() is None
            assert z.data[0] == 3.0
    finally:
        gc.enable()


def test_a_chain_of_user_defined_ops_is_freed(backend, Value):
    import weakref

    def double(x):
        out = Value(2 * x.data, (x,), "double")
        out._backward = lambda: setattr(x, "grad", x.grad + 2 * out.grad)
        return out

    with no_grad():
        x = Value(1.0)
        first = weakref.ref(x)
        for _ in range(20):
            x = double(x)
        gc.collect()
        assert first() is None
        assert x.data == 2.0**20


def test_at_top_level():
    assert pygrad.no_grad is recording.no_grad
    assert pygrad.enable_grad is recording.enable_grad
