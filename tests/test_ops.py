"""Every row of the op table: values against math, derivatives against mpmath, and what happens at the edges.

Enumerates the tables, so that a new op is tested as soon as it has its two rows; an op without an oracle here
fails. Graphs and backward's order are other files' subject.
"""

from __future__ import annotations

import math
import sys

import mpmath
import pytest

import pygrad
from pygrad import backends
from pygrad._ffi import lib, op_infos
from pygrad.ops import OPS, evaluate

from .conftest import bits

INF, NAN = math.inf, math.nan
POINTS = [0.3, -0.3, 1.0, -1.0, 2.5, -2.5, 0.7071, 6.0, -6.0, 20.0, -20.0, 1e-9, -1e-9]
EDGES = [0.0, -0.0, INF, -INF, NAN, 1e308, -1e308, 5e-324, -5e-324, 709.0, 710.0, -745.0, -746.0, 1000.0, -1000.0]
PAIRS = [(0.3, 1.7), (-0.3, 2.0), (2.5, -1.5), (-2.5, -3.0), (1.0, 1.0), (6.0, 0.5), (-6.0, 3.0), (1e-9, 2.0)]


def mp(f):
    """A function of floats from one of mpmath, with 40 digits."""

    def function(*x):
        with mpmath.workdps(40):
            return f(*(mpmath.mpf(v) for v in x))

    return function


def phi(x):
    return mpmath.erfc(-x / mpmath.sqrt(2)) / 2


# name: the function itself, exact; derivatives follow from it by mpmath.diff
ORACLES = {
    "neg": lambda x: -x,
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y,
    "div": lambda x, y: x / y,
    "pow_const": lambda x, k: mpmath.power(x, k),
    "pow": lambda x, y: mpmath.power(x, y),
    "exp": mpmath.exp,
    "log": mpmath.log,
    "sqrt": mpmath.sqrt,
    "sin": mpmath.sin,
    "cos": mpmath.cos,
    "tanh": mpmath.tanh,
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
    "softplus": lambda x: mpmath.log1p(mpmath.exp(x)),
    "relu": lambda x: max(x, mpmath.mpf(0)),
    "leaky_relu": lambda x, k: x if x > 0 else k * x,
    "elu": lambda x, k: x if x > 0 else k * mpmath.expm1(x),
    "silu": lambda x: x / (1 + mpmath.exp(-x)),
    "gelu": lambda x: x * phi(x),
    "abs": lambda x: abs(x),
    "maximum": lambda x, y: max(x, y),
    "minimum": lambda x, y: min(x, y),
    "erf": mpmath.erf,
    "erfc": mpmath.erfc,
}

def real_power(x, y):
    """x ** y, but ValueError wherever that would be complex, also where Python's complex power overflows."""
    if x < 0 and math.isfinite(x) and math.isfinite(y) and y != math.floor(y):
        raise ValueError
    return x**y


# where math has the very function: values must be equal to the last bit
MATH = {
    "neg": lambda x: -x,
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y,
    "div": lambda x, y: x / y,
    "pow_const": real_power,
    "pow": real_power,
    "exp": math.exp,
    "log": math.log,
    "sqrt": math.sqrt,
    "sin": math.sin,
    "cos": math.cos,
    "tanh": math.tanh,
    "abs": math.fabs,
    "erf": math.erf,
    "erfc": math.erfc,
}


def arguments(name, points=POINTS, pairs=PAIRS):
    """Operands at which an op is to be tried: one or two numbers."""
    return [(x,) for x in points] if OPS[name].kind == "unary" else pairs


def apply(Value, name, operands):
    """The op on Values; the leaves, and the result."""
    op = OPS[name]
    leaves = [Value(x) for x in (operands[:1] if op.kind == "constant" else operands)]
    if name == "pow_const":
        return leaves, leaves[0] ** operands[1]
    if op.kind == "constant":
        return leaves, getattr(leaves[0], name)(operands[1])
    return leaves, getattr(leaves[0], name)(*leaves[1:])


def outcome(function, *args):
    """What a call gives, or the type of what it raises."""
    try:
        return function(*args)
    except (ArithmeticError, ValueError) as error:
        return type(error)


def test_both_tables_have_the_same_rows():
    rows = [row for row in op_infos() if row["kind"] in ("unary", "constant", "binary")]
    assert [row["name"] for row in rows] == list(OPS)
    for row in rows:
        op = OPS[row["name"]]
        assert (row["symbol"], row["kind"], row["parameter"], row["constant"]) == (
            op.symbol, op.kind, op.parameter, op.constant,
        )  # fmt: skip
        assert row["doc"]
    assert set(OPS) == set(ORACLES), "an op without an oracle"


def test_every_op_is_a_method_and_a_function(Value):
    for name in OPS:
        if name == "pow_const":
            continue
        assert callable(getattr(Value, name))
        assert getattr(Value, name).__doc__
        assert callable(getattr(pygrad, name))
        assert name in pygrad.__all__ or name in ("abs", "pow", "sum")


@pytest.mark.parametrize("name", MATH)
def test_value_is_that_of_math(Value, name):
    edges = [(x,) for x in EDGES] if OPS[name].kind == "unary" else [(x, y) for x in EDGES for y in EDGES + POINTS]
    for operands in arguments(name) + edges:
        expected = outcome(MATH[name], *operands)
        got = outcome(lambda args: apply(Value, name, args)[1].data, operands)
        if isinstance(expected, type):
            assert got is expected, operands
        else:
            assert bits(got) == bits(expected), operands


@pytest.mark.parametrize("name", OPS)
def test_value_is_near_mpmath(Value, name):
    for operands in arguments(name):
        if isinstance(outcome(evaluate, OPS[name], operands[0], operands[-1]), type):
            continue  # no value: test_errors_say_what_was_wrong
        exact = mp(ORACLES[name])(*operands)
        assert apply(Value, name, operands)[1].data == pytest.approx(float(exact), rel=1e-13, abs=5e-324), operands


@pytest.mark.parametrize("name", OPS)
def test_derivative_is_near_mpmath(Value, name):
    for operands in arguments(name):
        if isinstance(outcome(evaluate, OPS[name], operands[0], operands[-1]), type):
            continue
        leaves, result = apply(Value, name, operands)
        result.backward()
        for i, leaf in enumerate(leaves):
            if name == "pow" and i == 1 and operands[0] < 0:
                assert math.isnan(leaf.grad)  # as torch: the exponent of a negative base
                continue
            if name in ("maximum", "minimum") and operands[0] == operands[1]:
                assert leaf.grad == 0.5  # a tie
                continue
            with mpmath.workdps(40):
                point = [mpmath.mpf(v) for v in operands]

                def along(v, i=i, point=point):
                    return ORACLES[name](*point[:i], v, *point[i + 1 :])

                exact = float(mpmath.re(mpmath.diff(along, point[i], h=mpmath.mpf(10) ** -15)))
            # 1 - z*z of tanh and sigmoid loses what z, a float, does not hold: absolute then
            assert leaf.grad == pytest.approx(exact, rel=1e-9, abs=1e-15), (operands, i)


# name, operands: the expected gradients, by IEEE 754 and the masks of the contract
EDGE_GRADIENTS = [
    ("sqrt", (0.0,), (INF,)),
    ("relu", (0.0,), (0.0,)),
    ("relu", (-0.0,), (0.0,)),
    ("relu", (NAN,), (0.0,)),
    ("relu", (INF,), (1.0,)),
    ("leaky_relu", (0.0, 0.01), (0.01,)),
    ("elu", (0.0, 1.0), (1.0,)),
    ("elu", (-INF, 1.0), (0.0,)),
    ("abs", (0.0,), (0.0,)),
    ("abs", (-0.0,), (0.0,)),
    ("abs", (NAN,), (NAN,)),
    ("exp", (-INF,), (0.0,)),
    ("exp", (INF,), (INF,)),
    ("log", (INF,), (0.0,)),
    ("log", (5e-324,), (INF,)),
    ("tanh", (1000.0,), (0.0,)),
    ("tanh", (-INF,), (0.0,)),
    ("sigmoid", (-800.0,), (0.0,)),
    ("sigmoid", (800.0,), (0.0,)),
    ("softplus", (1000.0,), (1.0,)),
    ("softplus", (-1000.0,), (0.0,)),
    ("mul", (0.0, INF), (INF, 0.0)),
    ("div", (1.0, INF), (0.0, 0.0)),
    ("div", (0.0, 5e-324), (INF, 0.0)),
    ("pow_const", (0.0, 0.0), (0.0,)),
    ("pow_const", (0.0, 1.0), (1.0,)),
    ("pow_const", (0.0, 0.5), (INF,)),
    ("pow_const", (-0.0, 2.0), (0.0,)),
    ("pow_const", (NAN, 0.0), (0.0,)),
    ("pow", (0.0, 0.0), (0.0, 0.0)),
    ("pow", (0.0, 2.0), (0.0, 0.0)),
    ("pow", (-8.0, 2.0), (-16.0, NAN)),
    ("maximum", (NAN, 1.0), (1.0, 1.0)),
    ("maximum", (0.0, -0.0), (0.5, 0.5)),
    ("maximum", (-INF, INF), (0.0, 1.0)),
    ("minimum", (2.0, NAN), (1.0, 1.0)),
    ("minimum", (-INF, INF), (1.0, 0.0)),
    ("neg", (INF,), (-1.0,)),
    ("sub", (INF, INF), (1.0, -1.0)),
]


@pytest.mark.parametrize(("name", "operands", "expected"), EDGE_GRADIENTS)
def test_gradient_at_the_edges(Value, name, operands, expected):
    leaves, result = apply(Value, name, operands)
    result.backward()
    assert [bits(leaf.grad) for leaf in leaves] == [bits(g) for g in expected]


def test_values_at_the_edges(Value):
    assert Value(-800.0).sigmoid().data == 0.0
    assert Value(1000.0).tanh().data == 1.0
    assert Value(1000.0).softplus().data == 1000.0
    assert Value(-1000.0).softplus().data == 0.0
    assert bits(Value(-0.0).relu().data) == bits(-0.0)
    assert math.isnan(Value(NAN).relu().data)
    assert math.isnan(Value(NAN).maximum(1.0).data)
    assert math.isnan(Value(1.0).minimum(NAN).data)
    assert (Value(1e308) * 10).data == INF
    assert (Value(1e308) + 1e308).data == INF
    assert Value(-INF).elu().data == -1.0
    assert Value(INF).gelu().data == INF
    assert Value(-10.0).gelu().data == pytest.approx(-10 * float(mp(phi)(-10.0)), rel=1e-13)  # no cancellation


@pytest.mark.parametrize("upstream", [INF, -INF, NAN])
def test_a_masked_gradient_is_zero_whatever_comes_from_above(Value, upstream):
    for name, operands in [("relu", (-1.0,)), ("pow_const", (3.0, 0.0))]:
        leaves, result = apply(Value, name, operands)
        result.grad = upstream
        result._backward()
        assert bits(leaves[0].grad) == bits(0.0)
    x, y = Value(1.0), Value(2.0)
    z = x.maximum(y)
    z.grad = upstream
    z._backward()
    assert bits(x.grad) == bits(0.0)


def test_a_zero_gradient_is_propagated_like_any_other(Value):
    x, y = Value(2.0), Value(INF)
    z = x * y
    z.grad = 0.0
    z._backward()
    assert math.isnan(x.grad)
    assert y.grad == 0.0


@pytest.mark.parametrize("name", OPS)
def test_all_backends_give_the_same_bits_everywhere(name):
    points = POINTS + EDGES
    operands = [(x,) for x in points] if OPS[name].kind == "unary" else [(x, y) for x in points for y in points]
    for args in operands:
        results = []
        for backend in backends.NAMES:
            try:
                leaves, z = apply(backends.load(backend), name, args)
            except (ArithmeticError, ValueError) as error:
                results.append((type(error), str(error)))
                continue
            for seed in (1.0, -0.7):
                z.grad = seed
                z._backward()
            results.append(tuple(bits(v) for v in (z.data, *(leaf.grad for leaf in leaves))))
        assert results[0] == results[1] == results[2], args


@pytest.mark.parametrize("name", OPS)
def test_functions_take_numbers_too(Value, name):
    if name == "pow_const":
        return
    function = getattr(pygrad, name)
    for operands in arguments(name):
        got = outcome(function, *operands)
        leaves = [Value(x) for x in operands]
        if OPS[name].kind == "constant":
            leaves[1] = operands[1]
        expected = outcome(lambda args: function(*args), leaves)
        if isinstance(got, type):
            assert got is expected
            continue
        assert isinstance(got, float)
        assert bits(got) == bits(expected.data)
        if OPS[name].kind == "binary":
            assert bits(function(operands[0], leaves[1]).data) == bits(got)


def test_functions_name_what_is_no_number():
    with pytest.raises(TypeError, match="exp must be a number, not str"):
        pygrad.exp("1")
    with pytest.raises(TypeError, match="maximum must be a number, not list"):
        pygrad.maximum([1], 2)


def test_sum_and_dot(Value):
    x = [Value(v) for v in (0.1, 0.2, 0.3)]
    s = Value.sum(x)
    assert s.data == 0.1 + 0.2 + 0.3
    assert (s._op, s.operands) == ("sum", tuple(x))
    s.backward()
    assert [v.grad for v in x] == [1.0, 1.0, 1.0]
    w, b = [Value(v) for v in (2.0, -1.0, 0.5)], Value(0.7)
    d = Value.dot(w, x, b)
    assert d.data == ((0.7 + 2.0 * 0.1) + -1.0 * 0.2) + 0.5 * 0.3
    assert (d._op, d.operands) == ("dot", (*w, b, *x))
    d.backward()
    assert [v.grad for v in w] == [0.1, 0.2, 0.3]
    assert [v.grad for v in x] == [3.0, 0.0, 1.5]
    assert b.grad == 1.0
    assert Value.dot(w, x).data == (2.0 * 0.1 + -1.0 * 0.2) + 0.5 * 0.3
    assert bits(Value.sum([-0.0]).data) == bits(-0.0)
    assert Value.sum([]).data == 0.0
    assert Value.dot([], []).data == 0.0
    assert Value.dot([], [], 3).data == 3.0
    assert Value.sum(v for v in [1, Value(2), 3.5]).data == 6.5
    assert Value.dot([1, 2], (Value(3), 4), bias=1).data == 12.0
    assert Value.dot(weights=w, inputs=x).data == Value.dot(w, x).data
    assert Value.sum(range(200)).data == 19900.0


LOGITS = [[0.0], [0.1, -2.5, 3.0], [1000.0, 1000.5, -1000.0], [-750.0, -751.0], [5.0] * 9, [1e308, -1e308], [-0.0, 0.0]]


@pytest.mark.parametrize("numbers", LOGITS, ids=str)
def test_logsumexp_is_the_logarithm_of_the_sum_of_powers(Value, numbers):
    x = [Value(v) for v in numbers]
    z = Value.logsumexp(x)
    with mpmath.workdps(400):
        total = mpmath.fsum(mpmath.exp(v - max(numbers)) for v in numbers)
        exact = max(numbers) + mpmath.log(total)
        softmax = [float(mpmath.exp(v - max(numbers)) / total) for v in numbers]
    assert (z._op, z.operands) == ("logsumexp", tuple(x))
    assert z.data == pytest.approx(float(exact), rel=1e-15, abs=1e-300)
    (2 * z).backward()
    # z is rounded, and its error comes back in each exponent
    assert [v.grad for v in x] == pytest.approx([2 * p for p in softmax], rel=4e-16 * max(4.0, abs(z.data)), abs=1e-300)


def test_logsumexp_at_the_edges(Value):
    inf, nan = math.inf, math.nan
    assert Value.logsumexp([]).data == -inf
    assert pygrad.logsumexp([]) == -inf
    edges = [([-inf], -inf), ([inf, 1.0], inf), ([-inf, 2.0], 2.0), ([nan, inf], nan), ([inf, nan], nan)]
    for numbers, expected in edges:
        assert bits(Value.logsumexp(numbers).data) == bits(expected)
        assert bits(pygrad.logsumexp(numbers)) == bits(expected)
    low, high = Value(-inf), Value(2.0)
    Value.logsumexp([low, high]).backward()
    assert (low.grad, high.grad) == (0.0, 1.0)
    x = Value(0.0)
    z = Value.logsumexp([x, 0.0])
    x.data = 2000.0  # the derivative is that of the current data, and never raises
    z.backward()
    assert x.grad == inf
    with pytest.raises(TypeError, match="logsumexp: expected a Value or a number, not str"):
        Value.logsumexp(["1"])


def test_sum_and_dot_of_one_value_many_times(Value):
    a = Value(3.0)
    d = Value.dot([a, a], [a, a], a)
    d.backward()
    assert d.data == 21.0
    assert a.grad == 13.0


def test_sum_and_dot_refuse_what_does_not_fit(Value):
    w = [Value(1.0), Value(2.0)]
    with pytest.raises(ValueError, match="2 weights, but 3 inputs"):
        Value.dot(w, [1, 2, 3])
    with pytest.raises(ValueError, match="2 weights, but 1 inputs"):
        Value.dot(w, [Value(1.0)], 0.5)
    with pytest.raises(TypeError, match="sum: expected a Value or a number, not str"):
        Value.sum([1, "2"])
    with pytest.raises(TypeError, match="dot: expected a Value or a number, not None"):
        Value.dot(w, [1, None])
    with pytest.raises(TypeError):
        Value.dot(w)
    with pytest.raises(TypeError):
        Value.dot(3, w)


def test_functions_sum_and_dot(Value):
    assert pygrad.sum([1, 2.5]) == 3.5
    assert pygrad.dot([1, 2], [3, 4], 5) == 16.0
    assert pygrad.sum([1, Value(2.5)]).data == 3.5
    assert isinstance(pygrad.dot([1, 2], [3, Value(4)]), Value)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda v: v(1.0) / 0, ZeroDivisionError, "division by zero: 1.0 / 0.0"),
        (lambda v: 3 / v(0.0), ZeroDivisionError, "division by zero: 3.0 / 0.0"),
        (lambda v: v(0.0) ** -1, ZeroDivisionError, r"0.0 \*\* -1.0: zero cannot be raised to a negative power"),
        (lambda v: v(1000.0).exp(), OverflowError, r"exp\(1000.0\) is too large for a float"),
        (lambda v: v(2.0) ** 1024, OverflowError, r"2.0 \*\* 1024.0 is too large for a float"),
        (lambda v: v(2.0) ** v(1024), OverflowError, r"2.0 \*\* 1024.0 is too large for a float"),
        (lambda v: 2 ** v(1024), OverflowError, r"2.0 \*\* 1024.0 is too large for a float"),
        (lambda v: v(0.0).log(), ValueError, r"math domain error: log\(0.0\) needs a number above 0"),
        (lambda v: v(-1.0).sqrt(), ValueError, r"math domain error: sqrt\(-1.0\) needs a number of at least 0"),
        (lambda v: v(INF).sin(), ValueError, r"math domain error: sin\(inf\) needs a finite number"),
        (lambda v: v(-8.0) ** (1 / 3), ValueError, "is a complex number"),
        (lambda v: v(-8.0) ** v(0.5), ValueError, "is a complex number"),
    ],
)
def test_errors_say_what_was_wrong(Value, make, error, message):
    with pytest.raises(error, match=message):
        make(Value)


def test_a_plain_number_of_a_c_op_has_the_same_status():
    """The C library's own entry for numbers, which needs no graph."""
    from pygrad._ffi import OP_CODES, ffi

    status = ffi.new("int *")
    assert lib.pg_op_value(OP_CODES["mul"], 3.0, 4.0, status) == 12.0
    assert status[0] == 0
    lib.pg_op_value(OP_CODES["log"], -1.0, 0.0, status)
    assert status[0] == lib.PG_ERR_DOMAIN
    lib.pg_op_value(999, 1.0, 1.0, status)
    assert status[0] == lib.PG_ERR_OP


@pytest.mark.skipif(sys.platform != "linux", reason="the extension's suffix is another on other systems")
def test_the_extension_is_abi3():
    import pygrad._pygrad

    assert pygrad._pygrad.__file__.endswith(".abi3.so")
