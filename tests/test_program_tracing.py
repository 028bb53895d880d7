"""What a recorded function may not do, and where it is told so; and what goes on as ever: constants, other threads."""

from __future__ import annotations

import copy
import math
import pickle
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pygrad
from pygrad import backends, nn, reference
from pygrad.ops import OPS
from pygrad.programs.record import TraceError, record

from .conftest import bits
from .recorded import assert_same


@pytest.fixture(autouse=True)
def in_use(request: pytest.FixtureRequest) -> Any:
    """pygrad uses the backend of the test."""
    before = backends.current
    if "backend" in request.fixturenames:
        pygrad.use(request.getfixturevalue("backend"))
    yield
    pygrad.use(before)


def here() -> int:
    return sys._getframe(1).f_lineno


LOOKS: dict[str, Callable[[Any], Any]] = {
    ".data": lambda v: v.data,
    "float()": float,
    ".grad": lambda v: v.grad,
    "a comparison": lambda v: v > 0.0,
    "a comparison ": lambda v: v + 1.0 <= v,
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
    "_backward": lambda v: v._backward(),
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

    with pytest.raises(TraceError, match=r"pygrad\.maximum, minimum, relu, abs or pick") as caught:
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
            (-x) ** Value(0.5), (x * 1e4).exp(), (x * 10.0) ** 400, (1.0 / zero).sin(), (1.0 / zero).cos(),
            (-2.0) ** (x / 2.0),
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
                            found.append(getattr(V(x), "pow" if name == "pow_const" else name)(y).data)
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


def test_a_scalar_is_no_list(backend: str, Value: Any) -> None:
    for f in (lambda x: x[0], lambda x: x[0] * x[1], lambda x: pygrad.stack([x, x])):
        with pytest.raises(TraceError, match=r"a scalar Value .* shape of its array: \(N,\), \(N, k\) or"):
            record(f, [()])


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


def test_user_defined_ops_made_meanwhile(backend: str, Value: Any) -> None:
    def cube(x: Any) -> Any:
        out = Value(x.data**3, (x,), "cube")

        def _backward() -> None:
            x.grad += 3 * x.data**2 * out.grad

        out._backward = _backward
        return out

    with pytest.raises(TraceError, match=r"line \d+: \.data of a Value in the user-defined op cube: an op with a"):
        record(cube, [()])

    def unlooked(x: Any) -> Any:
        out = Value(0.0, (x,), "mine")
        out._backward = lambda: None
        return out

    with pytest.raises(TraceError, match=r"line \d+: setting _backward of the user-defined op 'mine': an op with a"):
        record(unlooked, [()])


INDICES: dict[str, Callable[[Any], Any]] = {
    "list": lambda x: [1.0, 2.0][x],
    "tuple": lambda x: (1.0, 2.0)[x],
    "array": lambda x: np.array([1.0, 2.0])[x],
    "dict": lambda x: {0.0: 1.0}[x],
    "int": lambda x: [1.0, 2.0][int(x)],
    "range": lambda x: sum(range(x)),
}


@pytest.mark.parametrize("kind", INDICES)
def test_indices_hint_at_pick(backend: str, Value: Any, kind: str) -> None:
    f = INDICES[kind]
    with pytest.raises(TraceError, match=r"pygrad\.pick\(values, index\)") as caught:
        record(f, [()])
    assert (caught.value.filename, caught.value.lineno) == (__file__, f.__code__.co_firstlineno)
    assert isinstance(caught.value.__cause__, (TypeError, IndexError, KeyError))


def test_other_errors_are_what_they_are(backend: str, Value: Any) -> None:
    for f in (lambda x: [1.0][2], lambda x: {}["w"], lambda x: range("w"), lambda x: int("w"), lambda x: x + "w"):
        with pytest.raises((IndexError, KeyError, TypeError, ValueError)):
            record(f, [()])


def test_the_error_is_a_public_class() -> None:
    assert TraceError.__module__ == "pygrad.programs"
    assert pygrad.TraceError is pygrad.programs.TraceError is TraceError
    error = TraceError("no", "f.py", 3)
    assert b"pygrad.programs" in pickle.dumps(error)
    assert repr(pickle.loads(pickle.dumps(error))) == repr(error) == "TraceError('no', 'f.py', 3)"


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
    with pytest.raises(ValueError, match="math domain error"):
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
