"""Recording a function for a program: the code it becomes, which leaves are what, and what a recorded function may not do.

That recorded code computes what the function does is checked by replaying it with Values of the reference, bit for bit.
"""

from __future__ import annotations

import copy
import math
import pickle
import random
import sys
import threading
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import pygrad
from pygrad import backends, losses, nn, reference
from pygrad.functions import pick
from pygrad.ops import OPS
from pygrad.programs.code import Code
from pygrad.programs.record import Recording, TraceError, record

from .conftest import bits


@pytest.fixture(autouse=True)
def in_use(request: pytest.FixtureRequest) -> Any:
    """pygrad uses the backend of the test."""
    before = backends.current
    if "backend" in request.fixturenames:
        pygrad.use(request.getfixturevalue("backend"))
    yield
    pygrad.use(before)


def listing(code: Code) -> list[str]:
    lines = []
    for op, args, k in zip(code.ops, code.args, code.ks):
        lines.append(" ".join([op, *map(str, args)] + ([] if k is None else [f"[{k}]"])))
    return lines


def replayed(recording: Recording, sample: list[float]) -> tuple[list[Any], dict[int, Any]]:
    """The outputs as Values of the reference, and the leaves by instruction."""
    V, code = reference.Value, recording.code
    numbers = [float(p) for p in recording.parameters + recording.shared]
    values: list[Any] = []
    for op, args, k in zip(code.ops, code.args, code.ks):
        x = [values[i] for i in args]
        if op == "input":
            v = V(sample[k])
        elif op == "parameter":
            v = V(numbers[k])
        elif op == "constant":
            v = V(k)
        elif op == "pick":
            v = x[int(sample[k])]
        elif op == "sum":
            v = V.sum(x)
        elif op == "logsumexp":
            v = V.logsumexp(x)
        elif op == "dot":
            start = len(args) % 2
            v = V.dot(x[start::2], x[start + 1 :: 2], *x[:start])
        else:
            v = x[0]._with_constant(op, k) if OPS[op].kind == "constant" else getattr(V, op)(*x)
        values.append(v)
    leaves = {i: v for i, v in enumerate(values) if code.ops[i] in ("input", "parameter")}
    return [values[i] for i in code.outputs], leaves


def assert_same(f: Callable[..., Any], shapes: list[Any], sample: list[float], recording: Recording) -> None:
    """The one output and its gradients by parameters are those of f in eager code."""
    V = backends.type_of(recording.parameters[0]) if recording.parameters else backends.load(backends.current)
    rest = iter(sample)
    arguments = [[V(next(rest)) for _ in range(s[0])] if s else next(rest) for s in shapes]
    for p in recording.parameters:
        p.grad = 0.0
    eager = f(*arguments)
    eager.backward()
    (got,), leaves = replayed(recording, sample)
    got.backward()
    assert bits(got.data) == bits(eager.data)
    place = {k: i for i, k in enumerate(recording.code.ks) if recording.code.ops[i] == "parameter"}
    for k, p in enumerate(recording.parameters):
        grad = leaves[place[k]].grad if k in place else 0.0
        assert bits(grad + 0.0) == bits(p.grad + 0.0)


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


def test_all_backends_record_the_same(Value: Any = None) -> None:
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
    with pytest.raises(TypeError, match="params.1. is an array Value"):
        record(lambda x: x, [()], params=[a, Value([1.0, 2.0])])


def test_parameters_are_kept_alive(backend: str, Value: Any) -> None:
    recording = record(lambda x, w=Value(4.0): x * w, [()])
    assert recording.parameters[0].data == 4.0


# ---- what a recorded function may not do ----


def here() -> int:
    return sys._getframe(1).f_lineno


LOOKS: dict[str, Callable[[Any], Any]] = {
    ".data": lambda v: v.data,
    "float()": float,
    ".grad": lambda v: v.grad,
    "a comparison": lambda v: v > 0.0,
    "a comparison ": lambda v: 0.0 >= v,
    "a comparison  ": lambda v: max(v, v + 1.0),
    "float() ": math.exp,
    "float()  ": lambda v: np.array([v], dtype=float),
    "float()   ": lambda v: np.float64(v),
    "a text": lambda v: f"{v:.3f}",
    "a text ": lambda v: f"{v}",
    "a text  ": lambda v: format(v, ""),
    ".data ": copy.copy,
    ".data  ": copy.deepcopy,
    ".data   ": pickle.dumps,
    ".data    ": lambda v: v.item(),
    ".data     ": lambda v: type(v)(v.data),
    "setting .data": lambda v: setattr(v, "data", 1.0),
    "setting .grad": lambda v: setattr(v, "grad", 1.0),
    "backward()": lambda v: v.backward(),
    "a derivative": lambda v: type(v)._gradients(v, 1.0, (v,)),
    "setting _backward": lambda v: setattr(v, "_backward", lambda: None),
    "many parameters at once": lambda v: type(v)._zero_grads(type(v)._ids([v])),
    "many parameters at once ": lambda v: type(v)._get(type(v)._ids([v]), "data"),
}


@pytest.mark.parametrize("what", LOOKS)
@pytest.mark.parametrize("which", ["input", "parameter", "computed"])
def test_looking_at_numbers(backend: str, Value: Any, what: str, which: str) -> None:
    look, w = LOOKS[what], Value(2.0)
    line = 0

    def f(x: Any) -> Any:
        nonlocal line
        v = x if which == "input" else w if which == "parameter" else x * w
        line = here() + 1
        look(v)
        return x

    with pytest.raises(TraceError) as caught:
        record(f, [()])
    assert caught.value.message.startswith(what.strip())
    assert caught.value.filename == __file__
    own = getattr(look, "__code__", None)
    assert caught.value.lineno == (own.co_firstlineno if own and own.co_filename == __file__ else line)
    assert str(caught.value).startswith(f"{__file__}, line {caught.value.lineno}: ")
    assert w.data == 2.0
    assert w.grad == 0.0


def test_what_leaves_alone(backend: str, Value: Any) -> None:
    w = Value(2.0)
    steps = [lambda x: w.__init__(3.0), lambda x: pygrad.optim.SGD([w]).step(), lambda x: nn.MLP(1, [1]).zero_grad()]
    for step in steps:

        def f(x: Any, step: Any = step) -> Any:
            step(x)
            return x * w

        with pytest.raises(TraceError, match="in a recorded function") as caught:
            record(f, [()])
        assert caught.value.lineno == step.__code__.co_firstlineno
    assert w.data == 2.0


def test_the_line(backend: str, Value: Any) -> None:
    line = 0

    def f(x: Any) -> Any:
        nonlocal line
        y = x * 2.0
        line = here() + 1
        if y > 3.0:
            return x
        return y

    with pytest.raises(TraceError, match="pygrad.maximum, minimum, relu, abs or pick") as caught:
        record(f, [()])
    assert (caught.value.filename, caught.value.lineno) == (__file__, line)
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.lineno) == (str(caught.value), line)


def test_constants_may_be_looked_at(backend: str, Value: Any) -> None:
    def f(x: Any) -> Any:
        c = Value(2.0) * 3.0 + 1.0
        assert c.data == 7.0
        assert c > 6.0
        assert f"{c:.1f}" == "7.0"
        assert float(copy.deepcopy(c)) == 7.0
        assert c.grad == 0.0
        return x * c

    assert record(f, [()]).code.ops == ["constant", "constant", "constant", "input", "mul", "add", "mul"]


def test_what_says_nothing_of_a_number(backend: str, Value: Any) -> None:
    w = Value(2.0)

    def f(x: Any) -> Any:
        assert repr(x) == repr(x * w) == str(w) == "Value(recorded)"
        assert x == x and x != w and x in [x] and hash(x) == hash(x) and bool(x)  # noqa: PT018
        assert x.shape == () and x.ndim == 0 and x.size == 1  # noqa: PT018
        assert (x * w).operands[1] is w
        assert np.array([x, w]).dtype == object
        w.label = "w"
        return np.sum(np.array([x, w]) * 2.0)

    assert record(f, [()]).code.ops[-1] == "add"
    assert repr(w) == "Value(data=2.0, grad=0.0)"


def test_values_that_no_real_sample_has(backend: str, Value: Any) -> None:
    def f(x: Any) -> Any:
        zero = x - 1.0
        return [
            1.0 / zero, x / 0.0, x / zero, (-x).log(), (-x).sqrt(), (-x) ** 0.5, zero**-1, zero ** (-x), 0.0 ** (-x),
            (-x) ** Value(0.5), (x * 1e4).exp(), (x * 10.0) ** 400, (1.0 / zero).sin(), (1.0 / zero).cos(), (-2.0) ** (x / 2.0),
        ]  # fmt: skip

    assert len(record(f, [()]).structure) == 15
    with pytest.raises(ZeroDivisionError):
        Value(1.0) / 0.0


def test_ieee_values_are_those_of_the_reference(engine: Any) -> None:
    numbers = [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 3.0, -3.0, -1.5, math.inf, -math.inf, math.nan, 1e300, -1e300, 800.0]

    def outcomes(V: Any) -> list[float]:
        found: list[float] = []

        def f() -> Any:
            for name, op in OPS.items():
                for x in numbers:
                    for y in numbers:
                        if op.kind == "unary":
                            found.append(getattr(V(x), name)().data)
                        elif op.kind == "constant":
                            found.append(V(x)._with_constant(name, y).data if hasattr(V, "_with_constant") else
                                         getattr(V(x), "pow" if name == "pow_const" else name)(y).data)
                        else:
                            found.append(getattr(V(x), name)(V(y)).data)
                            if name in ("div", "pow"):
                                found.append((x / V(y) if name == "div" else x ** V(y)).data)
                                found.append((V(x) / y if name == "div" else V(x)).data)
            return 0.0

        record(f, [], backend=V._pygrad_backend)
        return found

    got, want = outcomes(engine), outcomes(reference.Value)
    assert [bits(x) for x in got] == [bits(x) for x in want]


def test_no_grad(backend: str, Value: Any) -> None:
    def f(x: Any) -> Any:
        with pygrad.no_grad():
            return x * 2.0

    with pytest.raises(TraceError, match=r"no_grad\(\) in a recorded function"):
        record(f, [()])
    with pygrad.no_grad():
        assert record(lambda x: x * 2.0, [()]).code.ops == ["input", "constant", "mul"]
        assert (Value(1.0) * 2.0).operands == ()


def test_arrays(backend: str, Value: Any) -> None:
    v = Value([1.0, 2.0])
    total = v.sum()
    for f in (
        lambda x: (v * x).sum(),
        lambda x: v[0] * x,
        lambda x: pygrad.stack([x, x]).sum(),
        lambda x: x * np.array([1.0, 2.0]) + pygrad.dot(Value([1.0, 2.0]), Value([1.0, 2.0])),
        lambda x: x + total,
        lambda x: total,
        lambda x: x * v.data[0],
    ):
        with pytest.raises(TraceError, match="array Value") as caught:
            record(f, [()])
        assert caught.value.filename == __file__


def test_user_defined_ops(backend: str, Value: Any) -> None:
    a = Value(1.0)
    op = Value(a.data * 2.0, (a,), "twice")
    op._backward = lambda: None
    with pytest.raises(TraceError, match="user-defined op 'twice', which has a Python closure"):
        record(lambda x: x * op, [()])

    def f(x: Any) -> Any:
        return Value(1.0, (x,), "mine")

    with pytest.raises(TraceError, match="user-defined op 'mine'"):
        record(f, [()])
    hooked = Value(1.0)
    hooked._backward = lambda: None
    with pytest.raises(TraceError, match="user-defined op ''"):
        record(lambda x: x * hooked, [()])


def test_dropout(backend: str, Value: Any) -> None:
    model = nn.MLP(2, [3, 1], dropout=0.5, seed=1)
    with pytest.raises(TraceError, match=r"Dropout\(0.5\) in training mode"):
        record(lambda x: model(x), [(2,)])
    model.eval()
    recording = record(lambda x: model(x), [(2,)], params=model)
    assert_same(lambda x: model(x), [(2,)], [0.5, -1.0], recording)


def test_a_recording_in_a_recording(backend: str, Value: Any) -> None:
    def f(x: Any) -> Any:
        return record(lambda y: y, [()])

    with pytest.raises(RuntimeError, match="recording a function already"):
        record(f, [()])
    assert record(lambda x: x, [()]).code.ops == ["input"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_recording_ends(backend: str, Value: Any, error: type[BaseException]) -> None:
    def f(x: Any) -> Any:
        raise error

    with pytest.raises(error):
        record(f, [()])
    assert Value(3.0).data == 3.0
    assert pygrad._tracing.active == 0
    with pytest.raises(ValueError):
        Value(-1.0).log()


def test_a_generator_is_no_output(backend: str, Value: Any) -> None:
    def f(x: Any) -> Any:
        yield x

    with pytest.raises(TypeError, match="of type generator"):
        record(f, [()])


def test_other_threads_go_on(backend: str, Value: Any) -> None:
    w, started, done, seen = Value(2.0), threading.Event(), threading.Event(), []

    def other() -> None:
        started.wait(10)
        try:
            v = w * 3.0
            v.backward()
            seen.extend([v.data, w.grad, float(w), w > 1.0, repr(v), f"{v:.1f}"])
            w.grad = 0.0
            try:
                Value(-1.0).log()
            except ValueError:
                seen.append("raised")
            seen.append(record(lambda x: x * w, [()], backend=backend).code.ops)
        except BaseException as error:
            seen.append(error)
        done.set()

    def f(x: Any) -> Any:
        started.set()
        assert done.wait(10)
        return x * w

    thread = threading.Thread(target=other)
    thread.start()
    recording = record(f, [()])
    thread.join()
    assert seen == [6.0, 3.0, 2.0, True, "Value(data=6.0, grad=1.0)", "6.0", "raised", ["input", "parameter", "mul"]]
    assert recording.code.ops == ["input", "parameter", "mul"]


# ---- pick ----


def test_pick_in_eager_code(backend: str, Value: Any) -> None:
    values = [Value(1.0), 2.0, Value(3.0)]
    assert pick(values, 1) == 2.0
    assert pick(values, np.int64(2)) is values[2]
    assert pick(values, Value(2.0)) is values[2]
    assert pick(values, 0.0) is values[0]
    for index in (3, -1, 10**20):
        with pytest.raises(IndexError, match=f"the index is {index}, but there are 3 values"):
            pick(values, index)
    for index in (0.5, "0", None, Value(0.5), Fraction(1, 2)):
        with pytest.raises(TypeError, match="pick: the index must be an integer class"):
            pick(values, index)


def test_pick_recorded(backend: str, Value: Any) -> None:
    w = [Value(1.0), Value(2.0)]
    recording = record(lambda y, x: pick([w[1], x, 5.0, w[0]], y) * x, [(), ()])
    assert listing(recording.code) == [
        "parameter [1]", "input [1]", "constant [5.0]", "parameter [0]", "pick 0 1 2 3 [0]", "mul 4 1",
    ]  # fmt: skip
    assert recording.indices == {0: 4}
    both = record(lambda y: pick([1.0, 2.0], y) * y + pick([1.0, 2.0, 3.0], y), [()])
    assert both.indices == {0: 2}
    assert both.code.ops.count("input") == 1
    assert record(lambda x: pick([x, x * 2.0], Value(1.0)), [()]).code.ops == ["input", "constant", "mul"]
    assert record(lambda x: pick([x, x * 2.0], 0), [()]).code.ops == ["input"]


def test_pick_that_cannot_be_recorded(backend: str, Value: Any) -> None:
    w = Value(1.0)
    for index in (lambda x: x * 1.0, lambda x: w):
        with pytest.raises(TraceError, match="must be an argument of the recorded function"):
            record(lambda x, index=index: pick([x, x], index(x)), [()])
    with pytest.raises(IndexError, match="no values to pick from"):
        record(lambda x: pick([], x), [()])
    with pytest.raises(TraceError, match="a comparison"):
        record(lambda y: pick([1.0, 2.0], y) > 1.0, [()])


# ---- models and losses ----

SAMPLE = [0.8, -1.3]


@pytest.mark.parametrize("activation", nn.ACTIVATIONS)
def test_networks(backend: str, Value: Any, activation: str) -> None:
    model = nn.MLP(2, [4, 3, 1], activation=activation, seed=3)
    recording = record(lambda x: model(x), [(2,)], params=model)
    assert recording.parameters == model.parameters()
    assert_same(lambda x: model(x), [(2,)], SAMPLE, recording)


def test_other_models(backend: str, Value: Any) -> None:
    neuron = nn.Neuron(2, activation="tanh", seed=1)
    mixed = nn.Sequential(
        nn.Layer(2, 3, seed=2), nn.ReLU(), nn.LeakyReLU(0.1), nn.ELU(), nn.Softplus(), nn.GELU(), nn.SiLU(), nn.Tanh(),
        nn.Sigmoid(), nn.Softmax(), lambda x: pygrad.sum([v * v for v in x]),
    )  # fmt: skip
    own = nn.MLP(2, [3, 1], activation=lambda v: v.sin() * 2.0, seed=1)
    for model in (neuron, mixed, own):
        recording = record(lambda x, model=model: model(x), [(2,)], params=model)
        assert_same(lambda x, model=model: model(x), [(2,)], SAMPLE, recording)


@pytest.mark.parametrize("one", [True, False])
@pytest.mark.parametrize(
    ("loss", "targets"),
    [
        (losses.mse, [0.5, -2.0]),
        (losses.sse, [0.5]),
        (losses.hinge, [-1.0, 1.0]),
        (losses.binary_cross_entropy_with_logits, [0.0, 1.0, 0.3, 0.999999999]),
    ],
)
def test_losses_of_one_output(backend: str, Value: Any, loss: Any, targets: list[float], one: bool) -> None:
    model = nn.MLP(2, [3, 1], seed=3)

    def f(x: Any, y: Any) -> Any:
        return loss(model(x), y) if one else loss([model(x)], [y])

    recording = record(f, [(2,), ()], params=model)
    for y in targets:
        assert_same(f, [(2,), ()], [*SAMPLE, y], recording)


def test_binary_cross_entropy(backend: str, Value: Any) -> None:
    model = nn.MLP(2, [3, 1], output_activation="sigmoid", seed=3)

    def f(x: Any, y: Any) -> Any:
        return losses.binary_cross_entropy(model(x), y)

    recording = record(f, [(2,), ()], params=model)
    for y in (0.0, 1.0, 0.25):
        assert_same(f, [(2,), ()], [*SAMPLE, y], recording)


def test_losses_of_classes(backend: str, Value: Any) -> None:
    model = nn.MLP(2, [4, 3], seed=5)

    def f(x: Any, y: Any) -> Any:
        return losses.cross_entropy(model(x), y) + 0.1 * losses.l2_penalty(model)

    recording = record(f, [(2,), ()], params=model)
    assert recording.indices == {2: 3}
    for y in (0.0, 1.0, 2.0):
        assert_same(f, [(2,), ()], [*SAMPLE, y], recording)


def test_multiclass_hinge(backend: str, Value: Any) -> None:
    scores = [Value(0.3), Value(0.7), Value(-0.2)]

    def f(y: Any) -> Any:
        return losses.multiclass_hinge(scores, y, margin=0.8)

    recording = record(f, [()], params=scores)
    assert recording.indices == {0: 3}
    for y in (0.0, 1.0, 2.0):
        assert_same(f, [()], [y], recording)


def test_outputs_are_still_checked_in_eager_code(backend: str, Value: Any) -> None:
    with pytest.raises(ValueError, match="must be a probability"):
        losses.binary_cross_entropy([Value(1.5)], [1.0])
    with pytest.raises(ValueError, match="a target must be -1 or 1"):
        losses.hinge([Value(1.5)], [2.0])
    with pytest.raises(ValueError, match="the target of sample 0 is 5"):
        losses.cross_entropy([[Value(1.0), Value(2.0)]], [5])


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
