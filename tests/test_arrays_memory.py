"""Array Values and the life of what they hold: memory comes back, errors undo what was begun, threads keep apart.

Also chains too long for recursion, closures, subclasses. The same for scalars is the subject of test_lifetime.py,
test_memory.py and test_reentrancy.py.
"""

from __future__ import annotations

import copy
import gc
import subprocess
import sys
import textwrap
import threading
import tracemalloc
import weakref

import numpy as np
import pytest

from pygrad import _arrays, backends
from pygrad._ffi import lib
from pygrad.array_rules import RULES

from .test_arrays_copying import everything, exactly
from .test_memory import check_that_allocations_may_fail


@pytest.fixture(autouse=True)
def _no_failure_afterwards():
    yield
    lib.pg_fail_allocation(0)


def model(Value, seed=0):
    """Weights of two layers, and a scalar."""
    rng = np.random.default_rng(seed)
    return [Value(rng.normal(size=(3, 5))), Value(np.zeros(5)), Value(rng.normal(size=(5, 1))), Value(0.5)]


def loss_of(parameters, X, y):
    w1, b1, w2, scale = parameters
    hidden = (X @ w1 + b1).tanh()
    return (((hidden @ w2).ravel() * scale - y) ** 2).mean()


def train(parameters, X, y, steps):
    """Plain gradient descent; the last loss."""
    for _ in range(steps):
        loss = loss_of(parameters, X, y)
        for p in parameters:
            p.grad = 0.0
        loss.backward()
        for p in parameters:
            p.data -= 0.05 * p.grad
    return loss.data


def samples(seed=1, n=8):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 3)), rng.normal(size=n)


# ---- what is freed ----


def test_memory_is_what_it_was_after_1000_steps(Value):
    parameters, (X, y) = model(Value), samples()
    train(parameters, X, y, 20)
    gc.collect()
    nodes = Value._stats()[0]
    tracemalloc.start()
    try:
        train(parameters, X, y, 5)
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        train(parameters, X, y, 1000)
        gc.collect()
        after = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert Value._stats()[0] == nodes
    assert after - before < 50_000  # bytes, of 1,000 steps: less than the smallest array for each


def test_graphs_of_arrays_are_freed_at_once(Value):
    """Without the collector, intermediate results and gradients with them."""
    gc.collect()
    gc.disable()
    try:
        a, s = Value([1.0, 2.0]), Value(3.0)
        middle = a * s
        kept = [weakref.ref(x) for x in (middle, middle.data)]
        total = (middle.exp() + s).sum()
        total.backward()
        kept += [weakref.ref(x) for x in (middle.grad, total)]
        del middle
        assert kept[0]() is not None, "the graph holds it"
        del total
        assert [r() for r in kept] == [None] * 4
        held = weakref.ref(a.data), weakref.ref(a.grad), weakref.ref(a)
        del a
        assert [r() for r in held] == [None] * 3
    finally:
        gc.enable()


def squared(x):
    """A user-defined op whose closure refers to its own result."""
    out = type(x)(x.data**2, (x,), "squared")

    def backward():
        x.grad += 2 * x.data * out.grad

    out._backward = backward
    return out


def test_closures_over_arrays_are_collected(Value):
    a = Value([1.0, 2.0])
    gc.collect()
    nodes = Value._stats()[0]
    c = (squared(squared(a) * 0.5) + a).sum()
    c.backward()
    kept = [weakref.ref(c), weakref.ref(c.operands[0].operands[0].data)]
    del c
    gc.collect()
    assert [r() for r in kept] == [None, None]
    assert Value._stats()[0] == nodes
    assert a.grad.tolist() == [2 * 0.5 * 1.0 * 0.5 * 2 * 1.0 + 1, 2 * 2.0 * 0.5 * 2 * 2.0 + 1]


def test_a_closure_that_refers_to_what_is_computed_from_it(Value):
    gc.collect()
    nodes = Value._stats()[0]
    out = Value([2.0, 1.0], (Value([1.0, 1.0]),), "loop")
    later = (out * 3.0).tanh().sum() + 1
    out._backward = lambda: later
    r = weakref.ref(later)
    del out, later
    gc.collect()
    assert r() is None
    assert Value._stats()[0] == nodes


def test_dropped_handles_keep_working(Value):
    """Results that nobody holds: arrays, and scalars between scalars and arrays."""
    p, q, a = Value(2.0), Value(3.0), Value([1.0, 2.0])
    s = p * q
    b = a * s
    c = b + s
    total = c.sum() * s
    assert (total.operands[0].operands[0] is c, c.operands[0] is b, c._prev) == (True, True, {b, s})
    names = [id(x) for x in (b, c, s)]
    del b, c, s
    gc.collect()
    first = total.operands[0].operands[0]
    assert [id(x) for x in (first.operands[0], first, total.operands[1])] == names
    del first
    total.backward()
    # total = (a0 + a1 + 2) * s**2, s = p * q
    assert a.grad.tolist() == [36.0, 36.0]
    assert (p.grad, q.grad) == (5 * 2 * 6 * 3.0, 5 * 2 * 6 * 2.0)


def test_deep_chains_need_no_recursion(Value):
    x = a = Value([1.0, 2.0])
    one = Value([1.0, 1.0])
    for _ in range(100_000):
        x = x + one
    x.backward()
    y = copy.deepcopy(x)
    assert (a.grad.tolist(), one.grad.tolist()) == ([1.0] * 2, [100_000.0] * 2)
    del x
    y.backward()
    del y
    gc.collect()


LONG = {"python": 300_000, "cffi": 200_000, "c": 1_000_000}


def test_long_chains_of_small_arrays(Value, backend):
    limit = sys.getrecursionlimit()
    gc.collect()
    nodes = Value._stats()[0]
    x, one = Value([1.0]), Value([1.0])
    for _ in range(LONG[backend]):
        x = x + one
    assert x.data.tolist() == [LONG[backend] + 1.0]
    x = one = None
    gc.collect()
    assert Value._stats()[0] == nodes
    assert sys.getrecursionlimit() == limit


def test_a_deep_chain_of_closures(Value):
    x = Value([0.0])
    for _ in range(30_000):
        y = Value([0.0], (x,), "step")
        y._backward = x.__repr__
        x = y
    x.backward()
    x = y = None
    gc.collect()


def test_labels_go_with_their_nodes(Value):
    text = "".join(["a ", "label"])
    before = sys.getrefcount(text)
    values = [Value([1.0], label=text) * 2.0 for _ in range(100)]
    for v in values:
        v.label = text
    assert sys.getrefcount(text) >= before + 200
    del values, v
    gc.collect()
    assert sys.getrefcount(text) == before


# ---- gradients belong to their reader ----


def test_changing_a_gradient_changes_no_other(Value):
    """Sums and reshapes hand the very array on; its readers must not notice."""
    x = Value([[1.0, 2.0]])
    m = x + Value([[0.0, 0.0]])
    flat = m.reshape(2)
    root = flat + Value([1.0, 1.0]) + flat
    root.backward()
    for v in (root, flat, m):
        v.grad[...] = 99.0
    assert x.grad.tolist() == [[2.0, 2.0]]
    x.grad[...] = 5.0
    assert (m.grad.tolist(), flat.grad.tolist()) == ([[99.0, 99.0]], [99.0, 99.0])
    assert x.grad is x.grad
    y = Value([1.0]).reshape(1, 1)
    y.grad = 1.0
    y._backward()
    y.grad[...] = 99.0
    assert y.operands[0].grad.tolist() == [1.0]


def test_a_gradient_that_somebody_holds_is_not_changed_later(Value):
    x = Value([1.0, 2.0])
    y = x * 2.0
    y.backward()
    first = x.grad
    y.backward()
    assert (first.tolist(), x.grad.tolist()) == ([2.0, 2.0], [4.0, 4.0])


# ---- what is undone ----


def broken(name, error):
    """The rule, with a derivative that raises."""

    def fail(*args):
        raise error

    return RULES[name]._replace(derivatives=(fail,) * len(RULES[name].derivatives))


def graph_with(Value, node, closure=None):
    """A graph of scalars and arrays in which `node` makes a result of an array in the middle; some gradients stand."""
    a, s, idle = Value([1.0, 2.0], label="a"), Value(3.0, label="s"), Value([5.0, 5.0], label="idle")
    below = a * s + idle
    middle = node(below)
    total = (middle * s + a).sum() * s + (idle * a).sum()
    (below * 2.0).backward()
    s.grad = 0.25
    return total


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), MemoryError()], ids=type)
@pytest.mark.parametrize("name", ["exp", "add"])
def test_a_derivative_that_raises_leaves_every_gradient(Value, monkeypatch, name, error):
    monkeypatch.setitem(RULES, name, broken(name, error))
    operands = (lambda x: (x,)) if name == "exp" else (lambda x: (x, x))
    total = graph_with(Value, lambda x: _arrays.apply(name, operands(x)))
    before, warnings = everything(total), np.geterr()
    for _ in range(2):
        with pytest.raises(type(error)):
            total.backward()
        assert everything(total) == before
        assert np.geterr() == warnings
    step = total.operands[0].operands[0].operands[0].operands[0].operands[0]
    assert step._record[0].name == name
    with pytest.raises(type(error)):
        step._backward()
    assert everything(total) == before


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt()], ids=type)
def test_a_closure_that_raises_leaves_every_gradient(Value, error):
    """Also those that it has changed itself: of its operands, of other Values of the graph, in place or not."""

    def user(x):
        out = Value(x.data, (x,), "mine")

        def closure():
            assert np.geterr() == warnings
            x.grad += out.grad
            other = x.operands[1]
            other.grad[...] = 77.0
            x.operands[0].operands[0].grad = np.array([7.0, 7.0])
            x.operands[0].operands[1].grad += 1.0
            raise error

        out._backward = closure
        return out

    warnings = np.geterr()
    total = graph_with(Value, user)
    idle = total.operands[1].operands[0].operands[0]
    assert idle.label == "idle"
    held = idle.grad
    before = everything(total)
    for _ in range(2):
        with pytest.raises(type(error)):
            total.backward()
        assert everything(total) == before
    assert held.tolist() == [2.0, 2.0]


def test_a_gradient_that_was_none_is_none_again(Value, monkeypatch):
    monkeypatch.setitem(RULES, "exp", broken("exp", ValueError("no")))
    a, b = Value([1.0]), Value([2.0])
    total = (_arrays.apply("exp", (a,)) * b).sum()
    with pytest.raises(ValueError, match=r"^no$"):
        total.backward()
    assert (a._raw_grad, b._raw_grad, total.operands[0]._raw_grad) == (None, None, None)


def test_an_array_that_was_reshaped_in_place_is_an_error(Value):
    a, b = Value([1.0, 2.0, 3.0, 4.0]), Value([1.0, 2.0, 3.0, 4.0])
    total = (a * b).sum()
    b.data.shape = (2, 2)
    with pytest.raises(ValueError, match="broadcast"):
        total.backward()
    assert (total.grad, a._raw_grad, b._raw_grad) == (0.0, None, None)


def test_numpys_settings_are_the_users_again(Value):
    a = Value([0.0, 1.0])
    seen = []
    out = Value([1.0, 1.0], (a,), "mine")
    out._backward = lambda: seen.append(np.geterr()["divide"])
    with np.errstate(divide="raise"):
        root = (out * 2.0 + a.sqrt()).sum()
        root.backward()
        assert np.geterr()["divide"] == "raise"
    assert seen == ["raise"]
    assert a.grad.tolist() == [np.inf, 0.5]


# ---- closures ----


def test_user_defined_ops_over_arrays(Value):
    a, b = Value([1.0, 2.0]), Value([3.0, 4.0])
    out = Value(a.data * b.data, (a, b), "myop")

    def closure():
        a.grad += b.data * out.grad
        b.grad += a.data * out.grad

    out._backward = closure
    assert (out._op, out.operands, out._prev) == ("myop", (a, b), {a, b})
    root = (out * 2.0 + out).sum()
    root.backward()
    assert (a.grad.tolist(), b.grad.tolist()) == ([9.0, 12.0], [3.0, 6.0])
    root.backward()  # out.grad accumulates, as everywhere: 3, then 3 + 2 * 3 + 2
    assert a.grad.tolist() == [9.0 + 3 * 11, 12.0 + 4 * 11]


def test_late_closures(Value):
    """Set when the node is already in use; in the place of a rule's own step, and taken away again."""
    seen = []
    a = Value([1.0, 2.0])
    b = a * 3.0
    root = (b + 1.0).sum()
    b._backward = lambda b=b: seen.append(b.grad.tolist())
    del b
    gc.collect()
    root.backward()
    assert (seen, a._raw_grad) == ([[1.0, 1.0]], None)
    del root.operands[0].operands[0]._backward
    root.backward()  # b.grad has become 1 + 2
    assert a.grad.tolist() == [9.0, 9.0]
    leaf = Value([1.0])
    user = leaf * 2.0
    leaf._backward = lambda: seen.append("leaf")
    user.backward()
    assert seen[-1] == "leaf"


def test_a_closure_that_calls_backward(Value):
    """On another graph, on one that shares nodes with this, on its own operand."""
    a = Value([1.0, 2.0])
    other = (Value([1.0, 1.0]) * a).sum()
    out = Value([0.0, 0.0], (a * 1.0,), "mine")
    out._backward = lambda: (other.backward(), out.operands[0].backward())
    root = (out * 2.0 + a).sum()
    root.backward()
    # 1 of other, 1 of the operand's own backward() and 1 of the outer step, 1 of root itself
    assert a.grad.tolist() == [4.0, 4.0]
    assert other.grad == 1.0
    out._backward = lambda: (other.backward(), 1 / 0)
    before = everything(root)
    with pytest.raises(ZeroDivisionError):
        root.backward()
    assert everything(root) == before


# ---- threads ----


def test_threads_train_at_once(Value):
    results, errors = {}, []

    def work(number):
        try:
            parameters = model(Value, number)
            loss = train(parameters, *samples(number), 60)
            results[number] = [exactly(loss), *(exactly(p.data) for p in parameters)]
        except BaseException as error:  # handed to the main thread
            errors.append(error)

    switch = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
    finally:
        sys.setswitchinterval(switch)
    assert not errors
    at_once = dict(results)
    for number in range(3):
        work(number)
    assert results == at_once


# ---- objects ----


def test_init_again(Value):
    v = Value([1.0, 2.0], label="v")
    v.grad = 3.0
    v.__init__([[5.0]])
    assert (v.data.tolist(), v.grad.tolist(), v.label) == ([[5.0]], [[0.0]], "")
    v.__init__(2.5)
    assert (v.data, v.grad, (v * 2).data) == (2.5, 0.0, 5.0)
    w = Value(1.0)
    w.__init__([1.0], label="w")
    assert (w.data.tolist(), w.label) == ([1.0], "w")
    (w * 2.0).backward()
    assert w.grad.tolist() == [2.0]
    computed, user = w * 2.0, Value([1.0], (w,), "mine")
    for again in (computed, user):
        for data in (1.0, [1.0]):
            with pytest.raises(RuntimeError, match="cannot be initialised again"):
                again.__init__(data)
    with pytest.raises(RuntimeError, match="cannot be initialised again"):
        Value([1.0]).__init__([1.0], (w,))
    assert (computed.data.tolist(), user.operands) == ([2.0], (w,))
    with pytest.raises(ValueError, match="regular array"):
        v.__init__([[1.0], [1.0, 2.0]])
    assert v.data == 2.5


def test_subclasses_hold_arrays(Value):
    class Named(Value):
        def __init__(self, name, data):
            super().__init__(data)
            self.name = name

    a, b = Named("a", [1.0, 2.0]), Named("b", 2.0)
    results = [a * 2.0, 2.0 * a, a * b, a + a, a ** 2.0, a @ a, -a, np.array([1.0, 1.0]) * a, a - np.array([1.0, 1.0])]
    assert all(type(v) is Value and not isinstance(v, Named) for v in results)
    assert all(type(x) in (Value, Named) for v in results for x in v.operands)
    total = (a * b * 2.0).sum()
    total.backward()
    assert (a.grad.tolist(), b.grad, a.name) == ([4.0, 4.0], 6.0, "a")
    assert total.operands[0].operands[0].operands == (a, b)
    a.me = a
    r = weakref.ref(a)
    del a, results, total
    gc.collect()
    assert r() is None


def test_results_of_no_dimensions_are_scalars(Value):
    v = Value([1.0, 2.0])
    for z in (v @ v, v.dot(v), v[0], v.sum(), v.reshape(2, 1)[1, 0]):
        assert type(z.data) is float
        z.backward()
        assert type(z.grad) is float
        assert z._raw_grad == 1.0


def test_class_assignment(Value):
    class Same(Value):
        __slots__ = ()

    for _ in range(20):
        v = Value([1.0])
        v.__class__ = Same
        w = Same([2.0])
        w.__class__ = Value
        (v * w).backward()
        assert v.grad.tolist() == [2.0]
        del v, w
    gc.collect()


# ---- the native handle's private functions ----


def test_private_functions_refuse_what_is_wrong():
    """They trust their callers in what is costly to look at, but wrong arguments are errors, not crashes."""
    V = backends.load("c")
    v, s, array = V([1.0, 2.0]), V(1.0), np.ones(2)
    record = v.exp()._record
    wrong = [
        lambda: V._array_node(), lambda: V._array_node("exp", (v,), array), lambda: V._array_node(*[None] * 6),
        lambda: V._array_node(1, (v,), array, record), lambda: V._array_node("exp", [v], array, record),
        lambda: V._array_node("exp", (v, 1), array, record), lambda: V._array_node("exp", (), array, record),
        lambda: V._array_node("exp", (v,), "data", record), lambda: V._array_node("exp", (v,), None, record),
        lambda: V._array_node("exp", (v,), array, "record"), lambda: V._array_node("exp", (v,), array, record[:2]),
        lambda: V._array_node("exp", (v,), array, record, "k"), lambda: V._array_node("leaf", (v,), array, None),
        lambda: v._accumulate(), lambda: v._accumulate(None), lambda: v._accumulate(1.0), lambda: v._accumulate([1, 2]),
        lambda: s._accumulate(array), lambda: s._accumulate("1"), lambda: setattr(v, "_raw_grad", array),
        lambda: setattr(v, "_record", record), lambda: V._suspend(), lambda: V._suspend(None),
        lambda: V._suspend(2**80), lambda: V._restore(),
        lambda: V._restore("exp", (v,), 0.0, array, 1.0, "", "", record),
        lambda: V._restore("exp", (v,), 0.0, array, [0.0, 0.0], "", "", record),
        lambda: V._restore("exp", (v,), 0.0, 1.0, None, "", "", record),
        lambda: V._restore("exp", (v,), 0.0, 1.0, 0.0, "", 1),
        lambda: V._restore("\ud800", (v,), 0.0, 1.0, 0.0, "", ""),
        lambda: V._restore("no", (v,), 0.0, 1.0, 0.0, "", ""),
        lambda: V._restore("exp", (1,), 0.0, 1.0, 0.0, "", ""), lambda: V._restore("exp", (v,), "k", 1.0, 0.0, "", ""),
    ]  # fmt: skip
    nodes = V._stats()[0]
    for call in wrong:
        with pytest.raises((TypeError, ValueError, RuntimeError, AttributeError, OverflowError)):
            call()
    gc.collect()
    assert V._stats()[0] == nodes
    assert (v._raw_grad, v._record, s.grad, V(2.0).exp().operands != ()) == (None, None, 0.0, True)
    odd = V._array_node("exp", (v,), array, (None, None, None))  # a record of nothing: its step fails
    for use in (odd.backward, odd._backward):
        with pytest.raises((TypeError, AttributeError)):
            use()


# ---- memory that runs out ----


def test_every_allocation_of_a_step_may_fail(engine, live):
    parameters, (X, y) = model(engine), samples(n=300)
    extra = [engine(float(i)) for i in range(4000)]  # enough to make the arena grow
    start, before = live(), [exactly(p.data) for p in parameters]
    failures = 0
    while True:
        assert failures < 500, "the step never succeeds"
        gc.collect()
        engine._trim()
        for p in parameters:
            p.grad = 0.25
        grads = [exactly(p.grad) for p in parameters]
        lib.pg_fail_allocation(failures + 1)
        try:
            loss = loss_of(parameters, X, y)
            ballast = engine.sum([loss * x for x in extra])
            try:
                (ballast + loss).backward()
            except MemoryError:
                assert [exactly(p.grad) for p in parameters] == grads, "backward failed halfway"
                raise
            break
        except MemoryError:
            failures += 1
            loss = ballast = None
        gc.collect()
        assert live() == start
        assert [exactly(p.data) for p in parameters] == before
    lib.pg_fail_allocation(0)
    assert failures >= 4, "the hook was not reached"
    reference = backends.load("python")
    expected = [reference(p.data) for p in parameters]
    for p in expected:
        p.grad = 0.25
    loss = loss_of(expected, X, y)
    (reference.sum([loss * float(i) for i in range(4000)]) + loss).backward()
    assert [exactly(p.grad) for p in parameters] == [exactly(p.grad) for p in expected]
    ballast = None


SCRIPT = """
    import gc, sys
    from contextlib import nullcontext
    import _testcapi
    import numpy as np
    from pygrad import backends, _arrays
    V = backends.load("c")
    array, narrow, one, quiet = np.ones(2), np.ones(1), np.ones(2), nullcontext()
    # NumPy itself crashes where it finds no memory: what C calls does without it, as far as that goes
    _arrays.contributions = lambda record, operands, z, g: record[1]
    _arrays.ones = lambda data: one
    _arrays.quiet = lambda: quiet
    rule = _arrays.RULES["matmul"]
    a, b, s = V([1.0, 2.0], label="a"), V([3.0, 4.0]), V(2.0)
    both, first = (rule, (array, array), (True, True)), (rule, (array, 1.5), (True, True))
    wrong, short = (rule, (array, "x"), (True, True)), (rule, (array,), (True, True))
    c = V._array_node("matmul", (a, b), array, both)
    d = V._array_node("mul", (c, s), array, first)
    bad = V._array_node("add", (d, V._array_node("mul", (d, s), array, wrong)), array, both)
    few = V._array_node("mul", (d, s), array, short)
    odd = V._array_node("mul", (s, d), array, (rule, (1.5, np.ones(3)), (True, True)))
    d.grad = array
    hook = [].clear

    def hooked():
        v = V._restore("user", (d, s), 0.0, array, None, "mine", "")
        v._backward = hook
        v.backward()

    operations = [
        lambda: V._array_node("mul", (a, b), array, both), lambda: V._array_node("matmul", (a, b), 1.0, both),
        lambda: V._restore("user", (a, b), 0.0, array, array, "mine", "label"), lambda: V(array), lambda: a._raw_grad,
        lambda: V._restore("mul", (a, b), 0.0, array, None, "", "", both), lambda: a._accumulate(array),
        lambda: setattr(a, "grad", array), lambda: setattr(b, "data", array), lambda: b.grad, lambda: c._record,
        lambda: c._op, lambda: c._state(), lambda: c.operands, lambda: d.backward(), lambda: d._backward(), hooked,
        lambda: V(3.0, (a,), "scalar"), lambda: V(array, (a,), "mine", "label"), lambda: bad.backward(),
        lambda: few.backward(), lambda: few._backward(), lambda: d.__init__(array),
        lambda: odd._backward(),
    ]
    refused = (TypeError, RuntimeError, ValueError)
    gc.collect()
    before = V._stats()[0]
    failures = 0
    for operate in operations:
        for n in range(120):
            # each undone by itself: the gradients are those of before, or the operation was not interrupted
            grads = [(v, v._raw_grad) for v in (a, b, c, d, s)]
            _testcapi.set_nomemory(n, n + 1)
            try:
                operate()
                failed = None
            except MemoryError:
                failed = "memory"
            except refused:
                failed = "refused"
            except SystemError as error:  # NumPy's own, at times
                assert "ufunc" in str(error)
                failed = "memory"
            finally:
                _testcapi.remove_mem_hooks()
            if failed:
                assert all(v._raw_grad is g or v is s and v.grad == g for v, g in grads), (n, failed)
            failures += failed == "memory"
    gc.collect()
    assert V._stats()[0] == before, (V._stats()[0], before)
    assert (a.operands, c.operands == (a, b), (a.data * b.data).tolist()) == ((), True, [1.0, 2.0])
    print("failures:", failures)
"""


def test_pythons_own_allocations_may_fail_in_the_native_handle():
    check_that_allocations_may_fail(SCRIPT)


@pytest.mark.parametrize("name", backends.NAMES)
def test_the_interpreter_ends_in_silence(name):
    """Array Values that are alive when the interpreter shuts down, cycles among them, say nothing."""
    code = f"""
        from pygrad import backends
        V = backends.load({name!r})
        a = V([1.0, 2.0], label="a")
        b = a * 2
        c = V([1.0], (b,), "op")
        c._backward = lambda: c
        d = (c + 1).sum()
        d.backward()
        import builtins
        builtins.kept = [a, d]
    """
    out = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False)
    assert (out.returncode, out.stdout, out.stderr) == (0, "", "")
