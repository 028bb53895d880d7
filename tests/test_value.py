"""The contract of Value as a Python object: data, operators, attributes, user-defined ops, NumPy, and every error.

Formulas are test_ops.py's subject, lifetimes test_lifetime.py's, copies test_copying.py's.
"""

from __future__ import annotations

import contextlib
import gc
import math
import weakref
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

import pygrad
from pygrad import backends

from .conftest import bits

# ---- data ----


@pytest.mark.parametrize(
    "x",
    [3, True, 2.5, -0.0, math.inf, np.float64(1.5), np.float32(0.1), np.int8(-3), np.bool_(True), np.array(2.0),
     Fraction(1, 3), Decimal("0.1"), 2**60],
    ids=repr,
)  # fmt: skip
def test_any_real_number_is_data(Value, x):
    v = Value(x)
    assert type(v.data) is float
    assert bits(v.data) == bits(float(x))
    v.data = 0
    v.data = x
    v.grad = x
    assert bits(v.data) == bits(v.grad) == bits(float(x))
    assert type(v.grad) is float


@pytest.mark.parametrize(
    ("x", "name"),
    [("1.5", "str"), (b"1", "bytes"), (bytearray(b"1"), "bytearray"), (None, "NoneType"), (1j, "complex"),
     (np.complex128(1), "complex128"), (np.str_("1"), "str_"), ({}, "dict"), (object(), "object"),
     (np.array("x"), "ndarray"), (np.array(1j), "ndarray")],
    ids=lambda x: x if isinstance(x, str) else type(x).__name__,
)  # fmt: skip
def test_what_is_no_number_is_named(Value, x, name):
    with pytest.raises(TypeError, match=f"^data must be a number, not {name}$"):
        Value(x)
    check_no_number(Value, x, name)


@pytest.mark.parametrize(
    ("x", "name"),
    [([1.0], "list"), ((1.0,), "tuple"), (np.array([1.0, 2.0]), "ndarray with 1 dimension"),
     (np.zeros((2, 2)), "ndarray with 2 dimensions")],
    ids=lambda x: x if isinstance(x, str) else type(x).__name__,
)  # fmt: skip
def test_an_array_does_not_take_the_place_of_a_number(Value, x, name):
    assert Value(x).shape == np.shape(x)
    check_no_number(Value, x, name)


def check_no_number(Value, x, name):
    v = Value(1.0)
    with pytest.raises(TypeError, match=f"^data must be a number, not {name}$"):
        v.data = x
    with pytest.raises(TypeError, match=f"^grad must be a number, not {name}$"):
        v.grad = x
    assert (v.data, v.grad) == (1.0, 0.0)


def test_a_value_is_no_data(Value):
    with pytest.raises(TypeError, match=r"data must be a number, not a Value: use \.data"):
        Value(Value(1.0))


def test_an_int_beyond_the_floats(Value):
    with pytest.raises(OverflowError, match="int too large to convert to float"):
        Value(10**400)
    with pytest.raises(OverflowError, match="int too large to convert to float"):
        Value(1.0) + 10**400


def test_an_error_in_float_goes_on(Value):
    class Odd:
        def __float__(self):
            raise LookupError("no number today")

    with pytest.raises(LookupError, match="no number today"):
        Value(Odd())
    with pytest.raises(LookupError, match="no number today"):
        Value(1.0) * Odd()


def test_construction(Value):
    v = Value(data=2, _children=(), _op="", label="w")
    assert (v.data, v.grad, v.label, v._op, v._prev, v.operands) == (2.0, 0.0, "w", "", set(), ())
    for wrong in [{"_op": 3}, {"label": None}, {"_children": [1.0]}, {"_children": 3}]:
        with pytest.raises(TypeError):
            Value(1.0, **wrong)
    with pytest.raises(TypeError):
        Value()
    with pytest.raises(TypeError):
        Value(1.0, (), "", "", 5)
    with pytest.raises(TypeError, match="label must be a str, not int"):
        Value(1.0, label=5)
    with pytest.raises(TypeError, match="_op must be a str, not bytes"):
        Value(1.0, (), b"+")
    with pytest.raises(TypeError, match="_children must be Values, not str"):
        Value(1.0, ("a",))


def test_a_value_whose_init_never_ran_does_not_crash(engine):
    v = engine.__new__(engine)
    for use in [
        lambda: v.data, lambda: v + 1, lambda: v.backward(), lambda: repr(v), lambda: v._backward(),
        lambda: setattr(v, "_backward", print), lambda: setattr(v, "label", "x"), lambda: v.operands,
    ]:  # fmt: skip
        with contextlib.suppress(AttributeError, RuntimeError):
            use()
    del v


def test_a_second_init_does_no_harm(Value):
    a = Value(1.0)
    b = a * 2
    a.__init__(5.0)
    b.backward()
    assert (a.data, b.data) == (5.0, 2.0)


# ---- operators ----


def test_operators_with_numbers_on_either_side(Value):
    a, b = Value(6.0), Value(4.0)
    for x, y in [
        (a, b), (a, 4), (6, b), (a, 4.0), (6.0, b), (np.float64(6), b), (a, np.float64(4)), (a, Fraction(4)),
        (Fraction(6), b), (a, Decimal(4)), (a, np.array(4.0)), (np.array(6.0), b), (a, np.int64(4)),
    ]:  # fmt: skip
        for result, expected in [(x + y, 10.0), (x - y, 2.0), (x * y, 24.0), (x / y, 1.5), (x**y, 1296.0)]:
            assert type(result) is Value, (x, y)
            assert result.data == expected
    assert (a + True).data == 7.0


def test_operand_order_and_constants_are_kept(Value):
    a = Value(6.0)
    c = 2 - a
    assert [v.data for v in c.operands] == [2.0, 6.0]
    assert c.operands[1] is a
    d = a / 3
    assert [v.data for v in d.operands] == [6.0, 3.0]
    assert (a**2).operands == (a,)
    assert [v.data for v in (2**a).operands] == [2.0, 6.0]


def test_unary_and_in_place(Value):
    a = Value(2.0)
    b = a
    a += 1
    assert (a.data, b.data) == (3.0, 2.0)
    assert a is not b
    assert (-b).data == -2.0
    assert +b is b
    assert abs(Value(-3.0)).data == 3.0
    assert (b._op, (-b)._op, abs(b)._op) == ("", "neg", "abs")


@pytest.mark.parametrize(
    ("make", "symbol"),
    [
        (lambda a, b: a + b, "+"), (lambda a, b: a - b, "-"), (lambda a, b: a * b, "*"), (lambda a, b: a / b, "/"),
        (lambda a, b: a**2, "**2"), (lambda a, b: a**-1, "**-1"), (lambda a, b: a**0.5, "**0.5"),
        (lambda a, b: a**b, "**"), (lambda a, b: a**1e300, "**1e+300"), (lambda a, b: a.relu(), "ReLU"),
        (lambda a, b: a.tanh(), "tanh"), (lambda a, b: a.exp(), "exp"),
    ],
)  # fmt: skip
def test_op_symbols(Value, make, symbol):
    assert make(Value(1.0), Value(3.0))._op == symbol


@pytest.mark.parametrize("other", ["1", None, [1], (1,), {}, 1j, b"x", object()], ids=lambda x: type(x).__name__)
def test_operators_refuse_what_is_no_number(Value, other):
    v = Value(2.0)
    for operate in [
        lambda x, y: x + y, lambda x, y: x - y, lambda x, y: x * y, lambda x, y: x / y, lambda x, y: x**y,
        lambda x, y: x < y, lambda x, y: x >= y,
    ]:  # fmt: skip
        with pytest.raises(TypeError):
            operate(v, other)
        with pytest.raises(TypeError):
            operate(other, v)
    with pytest.raises(TypeError, match="maximum: expected a Value or a number"):
        v.maximum(other)
    with pytest.raises(TypeError):
        pow(v, 2, 5)


def test_a_sequence_is_not_repeated_by_a_value(Value):
    with pytest.raises(TypeError):
        [1, 2] * Value(2.0)


def test_mixing_backends_is_refused(Value, backend):
    for name in backends.NAMES:
        if name == backend:
            continue
        other = backends.load(name)(1.0)
        for operate in [
            lambda x, y: x + y, lambda x, y: x**y, lambda x, y: x.maximum(y), lambda x, y: type(x).sum([x, y]),
            lambda x, y: type(x).dot([x], [y]), lambda x, y: type(x)(1.0, (y,)), lambda x, y: x < y,
        ]:  # fmt: skip
            with pytest.raises(TypeError, match=f"backend '{backend}' and one of backend '{name}'"):
                operate(Value(1.0), other)


def test_comparisons(Value):
    a, b, c = Value(1.0), Value(2.0), Value(1.0)
    assert a < b
    assert a <= c
    assert b > a
    assert c >= a
    assert not a < c
    assert a < 2
    assert a < 2
    assert a >= 0.5
    assert max([a, b, c]) is b
    assert sorted([b, a], key=float) == [a, b]
    assert sorted([b, a]) == [a, b]
    assert not Value(math.nan) < 1
    assert a == a
    assert a != c
    assert a != 1.0
    assert len({a, b, c, a}) == 3
    assert hash(a) == hash(a)


def test_conversions(Value):
    v = Value(2.5)
    assert float(v) == 2.5
    assert bool(Value(0.0)) is True
    assert f"{v:.3f}" == "2.500"
    assert f"{v:>8.2f}" == "    2.50"
    assert f"{v}" == str(v) == repr(v) == "Value(data=2.5, grad=0.0)"
    assert repr(Value(math.nan)) == "Value(data=nan, grad=0.0)"
    assert repr(Value(-8)) == "Value(data=-8.0, grad=0.0)"
    assert math.sqrt(Value(4.0)) == 2.0
    with pytest.raises(ValueError, match=r"Unknown format code|Invalid format"):
        format(v, "q")
    with pytest.raises(TypeError):
        int(v)


def test_attributes(Value):
    a, b = Value(2.0), Value(3.0, label="b")
    c = a * b
    assert c.operands == (a, b)
    assert c._prev == {a, b}
    assert c.operands[0] is a
    assert (a * a)._prev == {a}
    for name in ("operands", "_prev", "_op"):
        with pytest.raises(AttributeError):
            setattr(c, name, ())
    for name in ("data", "grad", "label"):
        with pytest.raises(AttributeError):
            delattr(c, name)
    with pytest.raises(AttributeError):
        c.colour = "red"
    with pytest.raises(TypeError, match="label must be a str, not float"):
        c.label = 1.0
    c.label = "c"
    assert c.label == "c"


def test_a_label_lives_as_long_as_its_node(Value):
    a = Value(1.0)
    b = a + 1
    b.label = "b"
    c = b * 2
    del b
    gc.collect()
    (b,) = [v for v in c._prev if v.label]
    assert b.label == "b"
    assert b is c.operands[0]
    del b, c
    gc.collect()
    assert (a + 1).label == ""


def test_a_label_is_an_exact_str(Value):
    class Text(str):
        __slots__ = ()

    v = Value(1.0, label=Text("x"))
    assert type(v.label) is str


def test_identity_holds_for_every_reference(Value):
    a = Value(1.0)
    b = a * 2
    c = b + a
    keep = c.operands[0]
    assert keep is b
    del b
    assert c.operands[0] is keep
    assert (c + 0).operands[0] is c
    assert weakref.ref(a)() is a


def test_weak_references_die(Value):
    a = Value(1.0)
    r = weakref.ref(a)
    b = a + 1
    del a
    gc.collect()
    assert r() is None or r() is b.operands[0]


# ---- backward ----


def test_backward_returns_nothing_and_sets_the_root(Value):
    a = Value(3.0)
    assert a.backward() is None
    assert a.grad == 1.0
    b = a * 2
    b.grad = 17.0
    b.backward()
    assert b.grad == 1.0


def test_zero_times_infinity_is_nan(Value):
    x = Value(0.0)
    y = (x * math.inf) * 0.0
    y.backward()
    assert math.isnan(x.grad)


def test_manual_backward_step_by_step(Value):
    """As in micrograd's notebook: o.grad = 1, then every _backward() in turn."""
    x, w, b = Value(2.0), Value(-3.0), Value(7.0)
    xw = x * w
    n = xw + b
    o = n.tanh()
    o.grad = 1.0
    o._backward()
    n._backward()
    b._backward()
    xw._backward()
    slope = 1 - math.tanh(1.0) ** 2
    assert [n.grad, b.grad, x.grad, w.grad] == pytest.approx([slope, slope, -3 * slope, 2 * slope])


# ---- user-defined ops ----


def cube(x):
    """An op as a micrograd user writes it; its closure refers to its own result."""
    out = type(x)(x.data**3, (x,), "cube")

    def _backward():
        x.grad += 3 * x.data**2 * out.grad

    out._backward = _backward
    return out


def test_user_defined_op(Value):
    a = Value(2.0)
    c = cube(a) * a
    assert c.data == 16.0
    assert c.operands[0]._op == "cube"
    assert c.operands[0]._prev == {a}
    c.backward()
    assert a.grad == 32.0
    c.backward()
    assert c.operands[0].grad == 4.0


def test_user_defined_op_without_a_closure_passes_nothing_on(Value):
    a = Value(2.0)
    out = Value(5.0, (a,), "stop")
    (out * 3).backward()
    assert (out.grad, a.grad) == (3.0, 0.0)
    assert Value(1.0, (), "made").operands == ()
    assert Value(1.0, (), "made")._op == "made"
    assert Value(1.0, {a}, "set").operands == (a,)
    assert Value(1.0, [a, a], "twice").operands == (a, a)


def test_user_defined_ops_keep_their_order(Value):
    seen = []

    def noted(name, *operands):
        out = Value(0.0, operands, name)
        out._backward = lambda: seen.append(name)
        return out

    a = noted("a")
    b, c = noted("b", a), noted("c", a)
    noted("d", b, c).backward()
    assert seen == ["d", "c", "b", "a"]


def test_a_hook_on_an_op_of_the_table(Value):
    a, b = Value(2.0), Value(3.0)
    c = a * b
    step = c._backward
    seen = []

    def hook():
        seen.append(c.grad)
        step()

    c._backward = hook
    (c * 5).backward()
    assert (seen, a.grad, b.grad) == ([5.0], 15.0, 10.0)
    del c._backward
    (c * 1).backward()
    assert seen == [5.0]


def test_a_hook_on_a_leaf_and_one_set_late(Value):
    seen = []
    a = Value(2.0)
    c = a * 3
    d = c + a
    c._backward = lambda: seen.append("c")
    a._backward = lambda: seen.append("a")
    del c
    gc.collect()
    d.backward()
    assert sorted(seen) == ["a", "c"]
    assert a.grad == 1.0


def test_an_exception_in_a_closure_goes_on_and_nothing_is_changed(Value):
    a = Value(2.0)
    bad = Value(1.0, (a,), "bad")

    def _backward():
        a.grad += 100.0
        raise LookupError("in the closure")

    bad._backward = _backward
    c = bad * 2 + a * a
    a.grad, bad.grad, c.grad = 0.5, 0.25, 7.0
    with pytest.raises(LookupError, match="in the closure"):
        c.backward()
    assert (a.grad, bad.grad, c.grad) == (0.5, 0.25, 7.0)
    bad._backward = lambda: None
    c.backward()
    assert a.grad == 4.5


def test_a_closure_may_build_graphs_and_call_backward(Value):
    a = Value(3.0)
    out = Value(9.0, (a,), "inner")

    def _backward():
        x = Value(a.data)
        chain = x
        for _ in range(5000):  # enough to make the arena grow under the outer sweep
            chain = chain + 0.0
        (chain * x).backward()
        a.grad += x.grad * out.grad

    out._backward = _backward
    (out * 2).backward()
    assert a.grad == 12.0


@pytest.mark.parametrize("wrong", [None, 3, "f"])
def test_a_hook_must_be_callable(Value, wrong):
    v = Value(1.0)
    with pytest.raises(TypeError, match="_backward must be a function of no arguments, not"):
        v._backward = wrong


# ---- subclasses ----


def test_subclasses(Value):
    class Named(Value):
        def __init__(self, data, name="n"):
            super().__init__(data)
            self.name = name

        def double(self):
            return self * 2

    v = Named(3.0, "x")
    w = v.double() + Value(1.0) * v
    w.backward()
    assert (v.name, v.grad, w.data, type(w)) == ("x", 3.0, 9.0, Value)
    assert w.operands[0].operands[0] is v
    v.me = v  # a cycle of its own
    r = weakref.ref(v)
    del v, w
    gc.collect()
    assert r() is None


# ---- NumPy ----


def test_numpy_scalars_and_arrays(Value):
    v = Value(3.0)
    for result in (np.float64(2) * v, v * np.float64(2), np.float32(2) * v, np.int64(2) * v, np.array(2.0) * v):
        assert type(result) is Value
        assert result.data == 6.0
    for result in (np.array([1, 2]) * v, v * np.array([1, 2]), np.array([1.0, 2.0]) * v):
        assert result.dtype == object
        assert [type(x) for x in result] == [Value, Value]
        assert [x.data for x in result] == [3.0, 6.0]
    assert [x.data for x in 1 - np.array([1, 2]) / v] == [1 - 1 / 3, 1 - 2 / 3]


def test_numpy_object_arrays(Value):
    x = np.array([Value(1.0), Value(2.0)])
    w = np.array([[Value(0.5), Value(-1.0)], [Value(2.0), Value(3.0)]])
    assert x.dtype == object
    for function, scalar in [
        (np.exp, math.exp), (np.log, math.log), (np.sqrt, math.sqrt), (np.tanh, math.tanh), (np.sin, math.sin),
        (np.cos, math.cos), (np.abs, abs), (np.negative, lambda t: -t),
    ]:  # fmt: skip
        assert [v.data for v in function(x)] == [scalar(1.0), scalar(2.0)]
    y = w @ x
    assert [v.data for v in y] == [-1.5, 8.0]
    assert [v.data for v in np.dot(w, x)] == [-1.5, 8.0]
    total = (x**2).sum() + y.sum()
    total.backward()
    assert [v.grad for v in x] == [2.0 + 2.5, 4.0 + 2.0]
    assert np.array([float(v) for v in x]).tolist() == [1.0, 2.0]
    assert np.mean(x).data == 1.5
    assert type(np.exp(Value(0.0))) is Value


# ---- backends ----


def test_backend_names(Value, backend):
    assert backends.load(backend) is Value
    assert Value._pygrad_backend == backend
    with pytest.raises(ValueError, match="unknown backend 'fast': choose one of 'c', 'cffi', 'python'"):
        backends.load("fast")
    with pytest.raises(ValueError, match="unknown backend 'fast'"):
        pygrad.MLP(2, [1], backend="fast")
    with pytest.raises(ValueError, match="unknown backend"):
        pygrad.use("fast")


def test_use(backend, Value):
    before = pygrad.backend
    try:
        pygrad.use(backend)
        assert pygrad.backend == backend
        assert pygrad.Value is pygrad.engine.Value is Value
        assert type(pygrad.Neuron(1).b) is Value
    finally:
        pygrad.use(before)
