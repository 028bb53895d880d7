"""Recording a function for a program: the code it becomes, its order, its outputs, and which leaves are what.

What a recorded function may not do: test_program_tracing.py. Models and losses: test_program_models.py.
"""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pygrad
from pygrad import backends, nn, reference
from pygrad.ops import OPS
from pygrad.programs.code import Code
from pygrad.programs.record import record

from .recorded import assert_same, listing


@pytest.fixture(autouse=True)
def in_use(request: pytest.FixtureRequest) -> Any:
    """pygrad uses the backend of the test."""
    before = backends.current
    if "backend" in request.fixturenames:
        pygrad.use(request.getfixturevalue("backend"))
    yield
    pygrad.use(before)


def depth_first(code: Code) -> list[int]:
    """Computed instructions in the order of a recursive search from the outputs: what the engine's order must be."""
    order: list[int] = []
    seen: set[int] = set()

    def visit(i: int) -> None:
        if i in seen:
            return
        seen.add(i)
        args = code.args[i]
        if code.ops[i] == "dot":  # eager operands: weights, bias, inputs
            start = len(args) % 2
            args = (*args[start::2], *args[:start], *args[start + 1 :: 2])
        for j in args:
            visit(j)
        if code.ops[i] not in ("input", "parameter", "constant"):
            order.append(i)

    for output in code.outputs:
        visit(output)
    return order


# ---- code ----


def test_small_functions(backend: str, Value: Any) -> None:
    w = Value(2.0)
    recording = record(lambda x, y: (w * x[1] + 3.0).tanh() - y, [(2,), ()])
    assert listing(recording.code) == [
        "parameter [0]", "input [1]", "constant [3.0]", "input [2]", "mul 0 1", "add 4 2", "tanh 5", "sub 6 3",
    ]  # fmt: skip
    assert recording.code.outputs == [7]
    assert recording.parameters[0] is w
    assert recording.columns == [(0, 0), (0, 1), (1, 0)]
    assert recording.structure == 0


def test_every_op(backend: str, Value: Any) -> None:
    for name, op in OPS.items():
        method = name if name != "pow_const" else "pow"
        if op.kind == "binary":
            recording = record(lambda x, y, method=method: getattr(x, method)(y), [(), ()])
            assert listing(recording.code) == ["input [0]", "input [1]", f"{name} 0 1"]
        elif op.kind == "constant":
            recording = record(lambda x, method=method: getattr(x, method)(0.75), [()])
            assert listing(recording.code) == ["input [0]", f"{name} 0 [0.75]"]
        else:
            recording = record(lambda x, method=method: getattr(x, method)(), [()])
            assert listing(recording.code) == ["input [0]", f"{name} 0"]


def test_many_operands(backend: str, Value: Any) -> None:
    b = Value(0.5)
    recording = record(lambda x: pygrad.dot([1.0, 2.0], x, b), [(2,)])
    code = recording.code
    names = [(code.ops[i], code.ks[i]) for i in code.args[-1]]
    assert names == [("parameter", 0), ("constant", 1.0), ("input", 0), ("constant", 2.0), ("input", 1)]
    code = record(lambda x: pygrad.dot(x, [1.0, 2.0]), [(2,)]).code
    names = [(code.ops[i], code.ks[i]) for i in code.args[-1]]
    assert names == [("input", 0), ("constant", 1.0), ("input", 1), ("constant", 2.0)]
    code = record(lambda x: Value.sum([]) + Value.logsumexp([]) + Value.dot([], []) + x, [()]).code
    assert sorted(k for op, k in zip(code.ops, code.ks) if op == "constant") == [-math.inf, 0.0, 0.0]


def random_function(seed: int, operations: int) -> Callable[..., Any]:
    def f(x: Any, w: Any) -> Any:
        rng = random.Random(seed)
        values = [*x, *w]
        for _ in range(operations):
            a, b = rng.choice(values), rng.choice(values)
            kind = rng.randrange(8)
            if kind == 0:
                values.append(type(a).sum([rng.choice(values) for _ in range(rng.randrange(1, 5))]))
            elif kind == 1:
                n = rng.randrange(1, 5)
                operands = [rng.choice(values) for _ in range(2 * n)]
                values.append(type(a).dot(operands[:n], operands[n:], rng.choice([None, b])))
            elif kind == 2:
                values.append(a.tanh())
            elif kind == 3:
                values.append(a**2 * 0.01)
            else:
                values.append(a * 0.5 + b if kind < 6 else 1.0 - a * b * 0.1)
        return type(values[0]).sum(values[-5:])

    return f


@pytest.mark.parametrize("seed", range(12))
def test_order_is_that_of_backward(backend: str, Value: Any, seed: int) -> None:
    w = [Value(0.1 * i + 0.2) for i in range(4)]
    f = random_function(seed, 60)
    recording = record(lambda x: f(x, w), [(3,)], params=w)
    order = depth_first(recording.code)
    leaves = len(recording.code) - len(order)
    assert order == list(range(leaves, len(recording.code)))
    assert_same(lambda x: f(x, w), [(3,)], [0.3, -0.7, 1.2], recording)


def test_all_backends_record_the_same() -> None:
    for seed in range(5):
        codes = []
        for name in backends.NAMES:
            w = [backends.load(name)(0.1 * i + 0.2) for i in range(4)]
            recording = record(lambda x, w=w, seed=seed: random_function(seed, 60)(x, w), [(3,)], params=w)
            codes.append((recording.code.ops, recording.code.args, recording.code.outputs))
        assert codes[0] == codes[1] == codes[2]


# ---- outputs ----


def test_several_outputs(backend: str, Value: Any) -> None:
    w = Value(2.0)

    def f(x: Any, y: Any) -> Any:
        a = x[0] * w
        return [a, a + 1.0], y, (3, w, x[1])[0], w, x[1], a

    recording = record(f, [(2,), ()])
    assert recording.structure == ([0, 1], 2, 3, 4, 5, 6)
    code = recording.code
    assert [code.ops[i] for i in code.outputs] == ["mul", "add", "input", "constant", "parameter", "input", "mul"]
    assert code.outputs[0] == code.outputs[6]
    assert code.ks[code.outputs[3]] == 3.0
    nested = record(lambda x: [[x, 1.0, x * x], [x, x, 2.0]], [()])
    assert nested.structure == [[0, 1, 2], [3, 4, 5]]
    assert record(lambda x: np.array([x, x]), [()]).structure == [0, 1]
    assert record(lambda x: [], [()]).structure == []
    assert record(lambda: 2.0, []).code.ops == ["constant"]
    assert record(lambda x: np.float32(0.5), [()]).code.ks == [0.5]


def test_outputs_are_searched_one_after_the_other(backend: str, Value: Any) -> None:
    def f(x: Any) -> Any:
        a, b = x.exp(), x.tanh()
        return b * b, a + b

    assert record(f, [()]).code.ops == ["input", "tanh", "mul", "exp", "add"]


@pytest.mark.parametrize("output", [None, "text", {"a": 1}, object(), 1j])
def test_what_is_no_output(backend: str, Value: Any, output: Any) -> None:
    with pytest.raises(TypeError, match="the output of the recorded function is of type"):
        record(lambda x: output, [()])
    with pytest.raises(TypeError, match="output 1 of the recorded function is of type"):
        record(lambda x: (x, output), [()])


def test_outputs_of_several_shapes(backend: str, Value: Any) -> None:
    for output in (lambda x: [x, [x]], lambda x: [[x], [x, x]], lambda x: [[], x]):
        with pytest.raises(ValueError, match="differ in shape"):
            record(output, [()])


def test_shapes(backend: str, Value: Any) -> None:
    seen = []

    def f(*arguments: Any) -> Any:
        seen.append(arguments)
        return 0.0

    recording = record(f, [(), (2,), (2, 3)], inputs=list(range(9)))
    (x, y, z), = seen
    assert [float(v) for v in (x, *y, *z[0], *z[1])] == list(range(9))
    assert recording.columns == [(0, 0), (1, 0), (1, 1), *((2, j) for j in range(6))]
    with pytest.raises(ValueError, match="a sample has 9 numbers, but 2 were given"):
        record(f, [(), (2,), (2, 3)], inputs=[1.0, 2.0])


# ---- parameters ----


def test_parameters_in_the_order_of_creation(backend: str, Value: Any) -> None:
    values = [Value(float(i)) for i in range(10)]
    order = [7, 2, 9, 0, 4]
    recording = record(lambda x: sum((values[i] * x for i in order), Value(0.0)), [()])
    assert [p.data for p in recording.parameters] == sorted(map(float, order))
    names = [(recording.code.ops[i], recording.code.ks[i]) for i in range(4)]
    assert names == [("parameter", 3), ("input", 0), ("constant", 0.0), ("parameter", 1)]


def test_creation_counts_and_not_the_place_in_memory(backend: str, Value: Any) -> None:
    before = [Value(float(i)) for i in range(50)]
    kept = [before[i] for i in range(0, 50, 2)]
    del before
    later = [Value(100.0 + i) for i in range(40)]  # in the places of those that died, some of them
    mixed = [*later, *kept]
    random.Random(1).shuffle(mixed)
    recording = record(lambda x: Value.sum(mixed) * x, [()])
    assert [p.data for p in recording.parameters] == [v.data for v in kept + later]


def test_a_slot_that_is_used_again_makes_no_parameter(backend: str, Value: Any) -> None:
    doomed = [Value(float(i)) for i in range(20)]

    def f(x: Any) -> Any:
        doomed.clear()
        return Value.sum([Value(1.0) for _ in range(20)]) * x

    recording = record(f, [()])
    assert recording.parameters == []
    assert recording.code.ops.count("constant") == 20


def test_what_was_computed_before(backend: str, Value: Any) -> None:
    a, b = Value(2.0), Value(3.0)
    product = a * b
    with pygrad.no_grad():
        detached = a * 10.0
    copied = copy.copy(b)
    recording = record(lambda x: product * x + detached + copied, [()])
    assert [p.data for p in recording.parameters] == [2.0, 3.0, 20.0, 3.0]
    assert recording.parameters[3] is copied
    assert recording.code.ops[-4:] == ["mul", "mul", "add", "add"]


def test_given_parameters(backend: str, Value: Any) -> None:
    a, b, c, d = (Value(float(i)) for i in range(4))
    recording = record(lambda x: a * x + b * x + d * c, [()], params=[d, a])
    assert recording.parameters == [d, a]
    assert recording.shared == [b, c]
    ks = {v.data: recording.code.ks[i] for v, i in zip((a, b, d, c), (0, 2, 3, 4))}
    assert ks == {0.0: 1, 1.0: 2, 3.0: 0, 2.0: 3}
    unused = record(lambda x: x, [()], params=[a, b])
    assert unused.parameters == [a, b]
    assert unused.code.ops == ["input"]
    assert record(lambda x: x * a, [()], params=[]).shared == [a]
    model = nn.MLP(2, [3, 1], seed=1)
    assert record(lambda x: model(x), [(2,)], params=model).parameters == model.parameters()


def test_wrong_parameters(backend: str, Value: Any) -> None:
    a = Value(1.0)
    with pytest.raises(ValueError, match=r"parameters\[0\]"):
        record(lambda x: x, [()], params=[a, a])
    with pytest.raises(ValueError, match="was computed"):
        record(lambda x: x, [()], params=[a * 2.0])
    with pytest.raises(TypeError, match="must be a Value"):
        record(lambda x: x, [()], params=[1.0])
    with pytest.raises(TypeError, match=r"params\[1\] is an array Value"):
        record(lambda x: x, [()], params=[a, Value([1.0, 2.0])])


def test_parameters_are_kept_alive(backend: str, Value: Any) -> None:
    def made(w: Any) -> Callable[[Any], Any]:
        return lambda x: x * w

    recording = record(made(Value(4.0)), [()])
    assert recording.parameters[0].data == 4.0


# ---- sizes ----


def test_a_million_operations() -> None:
    w = backends.load("c")(0.5)

    def f(x: Any) -> Any:
        for _ in range(500_000):
            x = x * w + x
        return x

    code = record(f, [()], backend="c").code
    assert len(code) == 1_000_002
    assert code.args[-1] == (1_000_000, 999_999)


def test_a_deep_function(backend: str, Value: Any) -> None:
    def f(x: Any) -> Any:
        for _ in range(20_000):
            x = -x
        return x

    code = record(f, [()]).code
    assert code.args[1:] == [(i,) for i in range(20_000)]


# ---- memory, and the native functions ----


def test_nothing_stays_alive(engine: Any, live: Callable[[], int]) -> None:
    w = engine(2.0)

    def f(x: Any, y: Any) -> Any:
        return pygrad.functions.pick([x * w, x + 1.0], y).tanh()

    recording = record(f, [(), ()], backend=engine._pygrad_backend)
    assert recording.parameters == [w]
    assert live() == 1


def test_memory_runs_out(engine: Any, live: Callable[[], int]) -> None:
    from pygrad._ffi import lib

    w = engine(2.0)
    v = engine.sum([w * float(i) for i in range(10)])
    failures = 0
    while True:
        lib.pg_fail_allocation(failures + 1)
        try:
            given = engine._listing([v], 0)
        except MemoryError:
            failures += 1
            assert failures < 100
        else:
            break
        finally:
            lib.pg_fail_allocation(0)
    assert failures > 5
    assert given[0] == 11


def test_private_functions_refuse_what_is_wrong() -> None:
    """They trust their callers in what is costly to look at, but wrong arguments are errors, not crashes."""
    V = backends.load("c")
    v = V(1.0)
    wrong = [
        lambda: V._listing([1.0], 0), lambda: V._listing((v,), 0), lambda: V._listing(), lambda: V._listing([v], "0"),
        lambda: v._depends("0"), lambda: v._depends(1.0), lambda: V._trace(None), lambda: V._births(1),
        lambda: V._listing([reference.Value(1.0)], 0),
    ]  # fmt: skip
    for call in wrong:
        with pytest.raises(TypeError):
            call()
    with pytest.raises(OverflowError):
        v._depends(-1)
    assert V._listing([], 0)[0] == 0
