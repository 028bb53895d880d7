"""Nothing outlives its last reference: node counts return to where they were, whatever is dropped in which order.

Also what is long (chains of millions) or shared by many. Memory that runs out is test_memory.py's subject.
"""

from __future__ import annotations

import gc
import random
import sys
import weakref

import pytest

from pygrad import backends
from pygrad.data import make_moons
from pygrad.demo import moons_loss
from pygrad.nn import MLP

from .test_value import cube


def test_simple_graphs_are_freed_at_once(engine, live):
    gc.disable()
    try:
        a = engine(1.0)
        assert live() == 1
        b = (a * 2 + 1).tanh() ** 2
        assert live() > 5
        b.backward()
        del b
        assert live() == 1
        del a
        assert live() == 0
    finally:
        gc.enable()


@pytest.mark.parametrize("seed", range(5))
def test_random_graphs_dropped_in_odd_orders(engine, live, seed):
    rng = random.Random(seed)
    values = [engine(rng.random()) for _ in range(5)]
    for _ in range(2000):
        roll = rng.random()
        x, y = rng.choice(values), rng.choice(values)
        if roll < 0.4:
            values.append(x * y + 0.5)
        elif roll < 0.5:
            values.append(engine.sum(rng.sample(values, min(4, len(values)))))
        elif roll < 0.6:
            chosen = rng.sample(values, min(4, len(values)))
            values.append(engine.dot(chosen, chosen[::-1], 1.0))
        elif roll < 0.65:
            x.label = "kept"
            values.append(x.sigmoid() ** 2)
        elif roll < 0.7:
            values.append(x.operands[0] if x.operands else x)
        elif len(values) > 5:
            values.pop(rng.randrange(len(values)))
    rng.shuffle(values)
    while values:
        values.pop()
    del x, y
    chosen = None
    gc.collect()
    assert live() == 0


def test_user_defined_ops_that_refer_to_themselves(engine, live):
    a = engine(1.1)
    c = cube(cube(a) * 2) + a
    c.backward()
    r = weakref.ref(c)
    del c
    gc.collect()
    assert r() is None
    assert live() == 1


def test_long_chain_of_user_defined_ops_goes_in_one_collection(engine, live):
    gc.collect()
    x = engine(0.1)
    for _ in range(3000):
        x = cube(x) + 0.1
    del x
    gc.collect()
    assert live() == 0


def test_a_closure_that_refers_to_what_is_computed_from_it(engine, live):
    out = engine(2.0, (engine(1.0),), "loop")
    later = (out * 3).tanh() + 1
    out._backward = lambda: later
    even_later = later * 2
    even_later._backward = lambda: (out, later, even_later)
    del out, later, even_later
    gc.collect()
    assert live() == 0


def test_hooks_set_late_let_go_when_their_users_do(engine, live):
    a = engine(2.0)
    b = a * 3
    c = b + 1  # made before b has its hook
    b._backward = lambda b=b: b  # a cycle
    del b
    gc.collect()
    assert live() > 1
    c.backward()
    del c
    gc.collect()
    assert live() == 1


def test_user_defined_ops_with_dead_handles_keep_their_closures(engine, live):
    seen = []

    def noted(x):
        out = type(x)(x.data, (x,), "noted")
        out._backward = lambda: seen.append(out.grad)
        return out

    y = noted(engine(1.0)) * 4
    gc.collect()
    y.backward()
    assert seen == [4.0]


def test_deep_chain_of_closures_is_unwound_without_recursion(engine, live):
    x = engine(0.0)
    for _ in range(100_000):
        y = engine(0.0, (x,), "step")
        y._backward = x.__repr__  # refers to its operand: no cycle, but a long way down
        x = y
    del x, y
    assert live() == 0


def test_labels_and_notes_go_with_their_nodes(engine, live):
    for i in range(1000):
        v = engine(1.0, (), "op", f"label {i}")
        w = v + 1
        w.label = "w"
    del v, w
    assert live() == 0


def test_errors_leave_no_node(engine, live):
    a, zero = engine(-1.0), engine(0.0)
    before = live()
    for fails in [
        lambda: a / 0, lambda: a / zero, lambda: 1 / zero, lambda: a.log(), lambda: a**0.5, lambda: zero**-1,
        lambda: a + "x", lambda: engine("x"), lambda: engine(1.0, (a, 2)), lambda: engine.sum([a, 2, "x"]),
        lambda: engine.dot([a, 1], [2, 3, 4]), lambda: engine.dot([1, 2], [3, None], 4), lambda: engine(1.0, label=3),
        lambda: a.maximum(None), lambda: a.elu("x"), lambda: engine(1000.0 + a * 0).exp(),
    ]:  # fmt: skip
        with pytest.raises((TypeError, ValueError, ArithmeticError)):
            fails()
    gc.collect()
    assert live() == before


def test_a_training_loop_does_not_grow(engine, live, engine_name):
    X, y = make_moons(3)
    model = MLP(2, [3, 1], backend=engine_name)
    gc.collect()
    start, sizes = live(), set()
    for step in range(10_000):
        loss, _ = moons_loss(model, X, y)
        model.zero_grad()
        loss.backward()
        for p in model.parameters():
            p.data -= 1e-3 * p.grad
        if step % 1000 == 999:
            sizes.add(engine._stats()[1])
    del loss
    assert live() == start
    assert len(sizes) <= 2, "the arena grew"


CHAIN = {"python": 1_000_000, "cffi": 10_000_000, "c": 10_000_000}


def test_long_chains(Value, backend):
    """Forward, backward and release without recursion: 10,000,000 on the C backends, 1,000,000 on the reference."""
    n = CHAIN[backend]
    limit = sys.getrecursionlimit()
    x = a = Value(0.0)
    one = Value(1.0)
    for _ in range(n):
        x = x + one
    assert x.data == n
    x.backward()
    assert (a.grad, one.grad) == (1.0, n)
    del x
    gc.collect()
    assert sys.getrecursionlimit() == limit
    if backend != "python":
        a = one = None
        assert Value._stats()[1] < 100e6, "the memory of a large graph did not come back"


def test_a_leaf_used_100_000_times(Value):
    a = Value(0.5)
    total = Value.sum([a] * 50_000 + [a * 1.0 for _ in range(50_000)])
    total.backward()
    assert (total.data, a.grad) == (50_000.0, 100_000.0)


def test_wide_graphs_with_operands_of_every_kind(Value):
    leaves = [Value(i / 1000) for i in range(1000)]
    layer = [Value.dot(leaves, leaves[::-1], b) for b in leaves]
    total = Value.sum([v.relu() for v in layer])
    total.backward()
    expected = backends.load("python")
    same = [expected(i / 1000) for i in range(1000)]
    other = expected.sum([expected.dot(same, same[::-1], b).relu() for b in same])
    other.backward()
    assert [v.grad for v in leaves] == [v.grad for v in same]
