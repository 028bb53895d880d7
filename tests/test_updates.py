"""Many parameters in one call, below the optimisers: every backend the same bits, and no token that crashes.

Whether the rules are the right ones is test_optim.py's subject.
"""

from __future__ import annotations

import gc
import math
import random
import struct
import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pygrad import backends
from pygrad._ffi import ffi, lib
from pygrad._updates import RULES

from .conftest import bits


def packed(numbers):
    return struct.pack(f"{len(numbers)}d", *numbers)


def unpacked(memory):
    return list(struct.unpack(f"{len(memory) // 8}d", memory))


def same(numbers):
    return [bits(x) for x in numbers]


def make(Value, data, grads):
    values = [Value(x) for x in data]
    token = Value._ids(values)
    Value._put(token, "grad", packed(grads))
    return values, token


# ---- the rules ----


def test_both_tables_have_the_same_rules():
    names = {}
    code = 0
    while (info := lib.pg_rule_describe(code)) != ffi.NULL:
        names[ffi.string(info.name).decode()] = tuple(ffi.string(info.settings).decode().split(" "))
        assert len(names) == code + 1
        assert info.setting_count == len(ffi.string(info.settings).decode().split(" "))
        code += 1
    assert names == {name: rule.settings for name, rule in RULES.items()}
    assert lib.pg_rule_describe(-1) == ffi.NULL


@pytest.mark.parametrize("rule", RULES)
def test_both_tables_remember_as_much(rule):
    settings = RULES[rule].settings
    for k in range(2 ** len(settings)):
        numbers = [0.5 * (k >> i & 1) for i in range(len(settings))]
        assert lib.pg_rule_slots(list(RULES).index(rule), numbers) == len(RULES[rule].slots(*numbers))


FRACTION = st.floats(0.0, 1.0, exclude_max=True)
POSITIVE = st.floats(0.0, 1e300) | st.sampled_from([0.0, 1e-8, 1e-3, 0.1, 1.0])
SETTINGS = {
    "lr": POSITIVE,
    "momentum": POSITIVE,
    "nesterov": st.sampled_from([0.0, 1.0]),
    "centered": st.sampled_from([0.0, 1.0]),
    "weight_decay": POSITIVE,
    "beta1": FRACTION | st.sampled_from([0.0, 0.9]),
    "beta2": FRACTION | st.sampled_from([0.0, 0.999]),
    "alpha": FRACTION | st.sampled_from([0.0, 0.99]),
    "eps": POSITIVE,
    "step": st.integers(1, 10**7).map(float),
}
NUMBER = st.floats() | st.floats(-10, 10) | st.sampled_from([0.0, -0.0, 5e-324, -5e-324, 1e308, math.inf, -math.inf])


def all_backends(rule, settings, data, grads, state, steps=1):
    """Data and state of every backend after some steps, as bits."""
    results = []
    for name in backends.NAMES:
        Value = backends.load(name)
        values, token = make(Value, data, grads)
        memory = bytearray(packed(state))
        for _ in range(steps):
            Value._optimise(rule, token, settings, memory)
        assert same(unpacked(Value._get(token, "grad"))) == same(grads)
        assert same(unpacked(Value._get(token, "data"))) == same(v.data for v in values)
        results.append((same(v.data for v in values), same(unpacked(memory))))
    return results


@pytest.mark.parametrize("rule", RULES)
@given(data=st.data())
def test_every_backend_gives_the_same_bits(rule, data):
    settings = tuple(data.draw(SETTINGS[name], label=name) for name in RULES[rule].settings)
    n = data.draw(st.integers(1, 4))
    slots = len(RULES[rule].slots(*settings))
    numbers = [data.draw(st.lists(NUMBER, min_size=k, max_size=k)) for k in (n, n, slots * n)]
    first, *others = all_backends(rule, settings, *numbers)
    assert others == [first] * len(others)


@pytest.mark.parametrize("n", [0, 1, 127, 128, 129, 1000])
@pytest.mark.parametrize("rule", RULES)
def test_every_count_gives_the_same_bits(rule, n):
    """C works on blocks of 128."""
    rng = random.Random(n)
    typical = {"lr": 0.1, "momentum": 0.9, "nesterov": 1.0, "centered": 1.0, "step": 3.0, "eps": 1e-8}
    for most in (0.0, 0.5):
        settings = tuple(typical.get(name, 0.3) * (1.0 if name in ("step", "lr") or most else 0.0)
                         for name in RULES[rule].settings)  # fmt: skip
        slots = len(RULES[rule].slots(*settings))
        data, grads = ([rng.gauss(0, 1) for _ in range(n)] for _ in range(2))
        state = [rng.random() for _ in range(slots * n)]
        first, *others = all_backends(rule, settings, data, grads, state, steps=3)
        assert others == [first] * len(others)


@given(st.lists(NUMBER, max_size=5), NUMBER, NUMBER)
def test_gradients_in_one_call(grads, factor, limit):
    results = []
    for name in backends.NAMES:
        Value = backends.load(name)
        values, token = make(Value, [1.0] * len(grads), grads)
        result = [Value._grad_norm(token)]
        Value._scale_grads(token, factor)
        result += [v.grad for v in values]
        Value._clamp_grads(token, limit)
        result += [v.grad for v in values]
        Value._zero_grads(token)
        assert same(v.grad for v in values) == same([0.0] * len(values))
        assert [v.data for v in values] == [1.0] * len(values)
        results.append(same(result))
    assert results == results[:1] * len(results)


def test_the_norm_is_added_from_the_first_to_the_last(Value):
    rng = random.Random(1)
    grads = [rng.gauss(0, 1) for _ in range(1000)]
    total = 0.0
    for g in grads:
        total += g * g
    _, token = make(Value, grads, grads)
    assert bits(Value._grad_norm(token)) == bits(math.sqrt(total))
    assert Value._grad_norm(Value._ids([])) == 0.0


# ---- tokens ----


def calls(Value, token, n=1):
    memory = bytearray(8 * n)
    return [
        lambda: Value._get(token, "data"),
        lambda: Value._get(token, "grad"),
        lambda: Value._put(token, "data", bytes(8 * n)),
        lambda: Value._put(token, "grad", bytes(8 * n)),
        lambda: Value._zero_grads(token),
        lambda: Value._grad_norm(token),
        lambda: Value._scale_grads(token, 2.0),
        lambda: Value._clamp_grads(token, 1.0),
        lambda: Value._optimise("sgd", token, (0.1, 0.9, 0.0, 0.0), memory),
    ]


def test_what_is_no_token(Value, backend):
    v = Value(1.0)
    elsewhere = backends.load("python" if backend != "python" else "c")(1.0)
    foreign = type(elsewhere)._ids([elsewhere])
    wrong = [None, 3, "abcd", b"abc", b"\0\0\0\0", b"\xff" * 4, [v], (1.0,), (v, elsewhere), foreign]
    for token in [*wrong, ffi.new("int[]", 1)]:
        for call in calls(Value, token):
            with pytest.raises((TypeError, RuntimeError)):
                call()
    for values in (v, iter([v]), [v, 1.0], [elsewhere], {v: 1}, None):
        with pytest.raises(TypeError, match="_ids: expected"):
            Value._ids(values)
    assert (v.data, v.grad) == (1.0, 0.0)


def test_a_token_whose_values_are_gone(engine):
    kept, gone = engine(1.0), engine(2.0)
    token = engine._ids([kept, gone])
    del gone
    gc.collect()
    for call in calls(engine, token, 2):
        with pytest.raises(RuntimeError, match="no such node"):
            call()
    assert (kept.data, kept.grad) == (1.0, 0.0)


def test_a_token_of_the_reference_holds_its_values():
    Value = backends.load("python")
    token = Value._ids((Value(2.0),))
    assert unpacked(Value._get(token, "data")) == [2.0]


def test_memory_of_the_wrong_size_or_kind(Value):
    v = Value(1.0)
    v.grad = 1.0
    token = Value._ids([v])
    sgd = (0.1, 0.9, 0.0, 0.0)
    wrong = [
        lambda: Value._put(token, "data", b""),
        lambda: Value._put(token, "data", bytes(16)),
        lambda: Value._put(token, "data", [1.0]),
        lambda: Value._put(token, "label", bytes(8)),
        lambda: Value._get(token, "label"),
        lambda: Value._optimise("sgd", token, sgd, bytearray()),
        lambda: Value._optimise("sgd", token, sgd, bytearray(9)),
        lambda: Value._optimise("sgd", token, sgd, bytes(8)),
        lambda: Value._optimise("sgd", token, sgd, None),
        lambda: Value._optimise("adam", token, (0.1, 0.9, 0.9, 0.1, 0.0, 1.0), bytearray(8)),
        lambda: Value._optimise("sgd", token, sgd[:3], bytearray(8)),
        lambda: Value._optimise("sgd", token, (*sgd, 1.0), bytearray(8)),
        lambda: Value._optimise("SGD", token, sgd, bytearray(8)),
    ]
    for call in wrong:
        with pytest.raises((TypeError, ValueError)):
            call()
    assert (v.data, v.grad) == (1.0, 1.0)


def test_state_that_begins_where_no_double_may(engine):
    memory = bytearray(11)
    del memory[:3]  # Python moves the beginning, not the rest
    v = engine(1.0)
    with pytest.raises(ValueError, match="where a double may"):
        engine._optimise("sgd", engine._ids([v]), (0.1, 0.9, 0.0, 0.0), memory)


class Number:
    """A number whose conversion does something else first."""

    def __init__(self, act):
        self.act = act

    def __float__(self):
        self.act()
        return 0.1


def test_settings_whose_conversion_takes_the_memory_away(engine):
    v = engine(1.0)
    token, memory = engine._ids([v]), bytearray(8)
    with pytest.raises((TypeError, ValueError)):
        engine._optimise("sgd", token, (Number(memory.clear), 0.9, 0.0, 0.0), memory)
    assert v.data == 1.0


def test_calls_leave_nothing_behind(engine):
    values = [engine(float(i)) for i in range(200)]

    def work(times):
        for _ in range(times):
            for call in calls(engine, engine._ids(values), 200):
                call()
            for call in calls(engine, None):
                with pytest.raises(TypeError):
                    call()

    work(20)
    gc.collect()
    before = sys.getallocatedblocks()
    work(200)
    gc.collect()
    assert sys.getallocatedblocks() - before < 150


def test_threads_on_one_arena(engine):
    """Each its own parameters: the cffi handle lets go of the GIL meanwhile."""
    results = []

    def work():
        values, token = make(engine, [0.0] * 300, [1.0] * 300)
        memory = bytearray(8 * 300)
        for _ in range(200):
            engine._optimise("sgd", token, (0.5, 1.0, 0.0, 0.0), memory)
            _ = values[0] * 2.0
        results.append({v.data for v in values})

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert results == [{-0.5 * sum(range(1, 201))}] * 4
