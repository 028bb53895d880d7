"""gradcheck finds wrong derivatives and reports no right ones; compare_backends finds planted differences only."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

import pygrad
from pygrad import backends, compare_backends, gradcheck
from pygrad.checks import GradientError
from pygrad.nn import MLP, Neuron
from pygrad.ops import OPS

# ---- gradcheck: right derivatives ----


@pytest.mark.parametrize(("x", "y"), [(0.7, 1.9), (2.5, 0.3), (1.3, 1.1)])
@pytest.mark.parametrize("name", OPS)
def test_every_op_has_the_derivative_of_differences(backend, name, x, y):
    def f(v, *w):
        if name == "pow_const":
            return v**y
        return getattr(v, name)(*(w or ([y] if OPS[name].kind == "constant" else [])))

    inputs = [x, y] if OPS[name].kind == "binary" else [x]
    report = gradcheck(f, inputs, backend=backend)
    assert report == ([], len(inputs), 0)  # no mismatches, all checked, none blurred


def test_ops_of_any_number_of_operands(backend):
    for inputs in ([0.5], [0.5, -1.0], [0.5, -1.0, 2.0, 3.0]):
        for f in (
            lambda x: x[0].sum(x).tanh(),
            lambda x: x[0].logsumexp(x),
            lambda x: x[0].dot(x, x[::-1], x[0]),
            lambda x: x[0].dot(x, x),
            lambda x: x[0].dot([1e6, x[0]], [1e-6, x[-1]]),  # 1, not 1e6, counts in the rounding
        ):
            assert gradcheck(f, [inputs], backend=backend) == ([], len(inputs), 0)


@pytest.mark.parametrize(
    ("f", "x"),
    [
        (lambda v: v.log(), 1e-3),  # curves sharply
        (lambda v: v.log(), 1e-7),  # the domain ends within the first step
        (lambda v: v.sqrt(), 1e-12),
        (lambda v: v.sin(), 1e6),  # a step of 1e6 * epsilon**(1/3) is more than a period
        (lambda v: (1000 * v).sin(), 0.3),
        (lambda v: v**3, 0.0),
        (lambda v: v.relu(), 1e-7),  # a kink within the first step
        (lambda v: v.exp(), 700.0),
        (lambda v: 1 / v, 1e-5),
        (lambda v: v * 1e200, 1e100),
        (lambda v: v * v, 1e-200),
        (lambda v: (v + 1e7) - 1e7, 0.5),  # cancels: 1e7 counts in the rounding, the result does not
        (lambda v: v.dot([1e8, v, -1e8], [1.0, v, 1.0]), 0.5),
        (lambda v: v.sum([1e8, v * v, -1e8]), 0.5),
        (lambda v: v * 0, 2.0),
        (lambda v: (v * 0 + 1).tanh(), 2.0),
    ],
)
def test_hard_points_are_not_reported(backend, f, x):
    assert gradcheck(f, [x], backend=backend).ok


def test_a_kink_is_reported_as_documented(backend):
    (found,) = gradcheck(lambda v: v.relu(), [0.0], backend=backend, raise_exception=False).mismatches
    assert (found.analytic, found.numeric) == (0.0, 0.5)


def test_inputs_come_as_they_were_given(backend, Value):
    seen = []

    def f(x, rows, array, one):
        seen.append((x, rows, array, one))
        assert isinstance(x, Value)
        assert isinstance(one[0], Value)
        assert [[v.data for v in row] for row in rows] == [[1.0, 2.0], [3.0]] or len(seen) > 2
        rows[0].append(x)  # in a list of its own
        return x * rows[0][1] * rows[1][0] + array[1] * array[0] + one[0]

    report = gradcheck(f, [2, [[1, 2], (3,)], np.array([0.5, 4.0]), [np.float64(1.5)]], backend=backend)
    assert report.checked == 7
    assert str(report) == "all 7 derivatives agree with central differences"
    assert len(seen) == 2 + 2 * 7


# ---- gradcheck: wrong derivatives ----


def cube(x, factor=3.0):
    """A user-defined op, whose derivative is right for a factor of 3."""
    out = type(x)(x.data**3, (x,), "cube")

    def _backward():
        x.grad += factor * x.data**2 * out.grad

    out._backward = _backward
    return out


def test_a_right_user_op(backend):
    assert gradcheck(cube, [1.5], backend=backend)


@pytest.mark.parametrize("factor", [-3.0, 0.0, 2.0, 3.0001, 3.00001, 300.0, 1e30, math.nan, math.inf])
def test_a_wrong_user_op(backend, factor):
    with pytest.raises(GradientError) as caught:
        gradcheck(lambda x: cube(x, factor) + x, [1.5], backend=backend)
    (found,) = caught.value.report.mismatches
    assert found.numeric == pytest.approx(7.75, rel=1e-8)
    assert found.analytic == factor * 1.5**2 + 1 or math.isnan(factor)
    assert found.error == abs(found.analytic - found.numeric) or math.isnan(factor)
    assert isinstance(caught.value, AssertionError)


def test_every_mismatch_is_listed_with_both_numbers(backend):
    def f(x, rows):
        return cube(x) + cube(rows[0][1], 2.0) * 5 + rows[1][0] * cube(rows[0][0], 0.0)

    with pytest.raises(GradientError) as caught:
        gradcheck(f, [1.0, [[2.0, 3.0], [4.0]]], backend=backend)
    report = caught.value.report
    assert not report
    assert [(m.name, m.index, m.analytic) for m in report.mismatches] == [
        ("inputs[1]", (0, 0), 0.0),
        ("inputs[1]", (0, 1), 90.0),
    ]
    assert [m.numeric for m in report.mismatches] == pytest.approx([48.0, 135.0])
    lines = str(caught.value).splitlines()
    assert lines[0] == "2 of 4 derivatives differ from central differences:"
    for line, m in zip(lines[1:], report.mismatches, strict=True):
        where = "inputs[1]" + "".join(f"[{i}]" for i in m.index)
        assert line == f"  {where}: backward() gives {m.analytic!r}, differences {m.numeric!r}, {m.error:.3g} apart"
    quiet = gradcheck(f, [1.0, [[2.0, 3.0], [4.0]]], backend=backend, raise_exception=False)
    assert quiet == report


def test_each_output_is_checked(backend):
    def f(x):
        y = cube(x, 2.0)
        return [x * x, y, y * x.exp()]

    report = gradcheck(f, [0.5], backend=backend, raise_exception=False)
    assert report.checked == 3
    assert [m.output for m in report.mismatches] == [1, 2]
    assert "inputs[0] of output 1: backward() gives 0.5, differences 0.75" in str(report)


def test_a_wrong_derivative_is_not_excused_by_a_wrong_adjoint(backend):
    assert not gradcheck(lambda x: cube(cube(x, 3e12)), [1.1], backend=backend, raise_exception=False)

    def f(x):
        constant = type(x)(1.0, (x,), "constant")  # whose infinite gradient does not go on to x
        return cube(x, 2.0) + cube(constant, math.inf)

    assert not gradcheck(f, [1.1], backend=backend, raise_exception=False)


def test_what_rounding_hides_is_said(backend):
    report = gradcheck(lambda x: cube(x, 2.0) + 1e18, [1.0], backend=backend)
    assert report.blurred == 1
    assert str(report).endswith("(rounding hides errors above 0.1 % of 1 derivatives)")


def test_step_and_tolerances(backend):
    options = {"backend": backend, "raise_exception": False}
    (found,) = gradcheck(lambda x: x**3, [2.0], step=0.1, **options).mismatches
    assert found.numeric == pytest.approx(12.0 + 0.2**2)  # h is 0.1 * |x|
    (found,) = gradcheck(lambda x: x**3, [0.0], step=0.1, **options).mismatches
    assert found.numeric == pytest.approx(0.01)
    assert gradcheck(lambda x: x**3, [2.0], step=0.1, rtol=0.01, **options).ok
    assert gradcheck(lambda x: x**3, [2.0], step=0.1, atol=0.05, **options).ok
    assert not gradcheck(lambda x: cube(x, 3.00001), [1.0], **options).ok
    assert gradcheck(lambda x: cube(x, 3.00001), [1.0], rtol=1e-4, **options).ok
    for name in ("rtol", "atol", "step"):
        with pytest.raises(ValueError, match=f"{name} must be a positive number, not -1"):
            gradcheck(cube, [1.0], **{name: -1})
    with pytest.raises(ValueError, match="step must be a positive number, not 0"):
        gradcheck(cube, [1.0], step=0)


# ---- gradcheck: parameters ----


def test_parameters_are_checked_and_put_back(backend, Value):
    random.seed(5)
    model = MLP(2, [3, 1], backend=backend)
    for i, p in enumerate(model.parameters()):
        p.grad = float(i)
    before = [(p.data, p.grad) for p in model.parameters()]
    report = gradcheck(lambda x: model(x).tanh(), [[0.3, -0.7]], parameters=model)
    assert report.checked == 2 + 13
    assert [(p.data, p.grad) for p in model.parameters()] == before
    wrong = Value(2.0, label="w")
    other = Value(1.0)
    wrong.grad, other.grad = 7.0, 8.0
    report = gradcheck(lambda: cube(wrong, 1.0) * cube(other, 1.0), parameters=[wrong, other], raise_exception=False)
    assert [(m.name, m.index) for m in report.mismatches] == [("w", ()), ("parameters[1]", ())]
    assert (wrong.data, wrong.grad, other.data, other.grad) == (2.0, 7.0, 1.0, 8.0)


def test_gradients_outside_are_put_back(backend, Value):
    constant, parameter = Value(3.0), Value(1.0)
    constant.grad, parameter.grad = 5.0, 6.0
    assert gradcheck(lambda x: x * constant, [2.0], backend=backend)
    assert gradcheck(lambda x: x * constant, [2.0], parameters=[parameter])  # which f does not use
    assert (constant.grad, parameter.grad) == (5.0, 6.0)

    def f():
        (parameter * 7).backward()
        return parameter * parameter

    assert gradcheck(f, parameters=[parameter])
    assert parameter.grad == 6.0


def test_parameters_are_put_back_after_an_error(backend, Value):
    p = Value(2.0)
    p.grad = 3.0
    calls = []

    def f():
        calls.append(p.data)
        if len(calls) > 2:
            raise KeyError("stop")
        return p * p

    with pytest.raises(KeyError):
        gradcheck(f, parameters=[p])
    assert calls[2] != 2.0
    assert (p.data, p.grad) == (2.0, 3.0)

    def g():
        p.data += 1.0
        return p * p

    with pytest.raises(ValueError, match="deterministic"):
        gradcheck(g, parameters=[p])
    assert (p.data, p.grad) == (2.0, 3.0)


# ---- gradcheck: errors ----


def test_a_function_that_draws_random_numbers(backend):
    with pytest.raises(ValueError, match=r"f gave \[.*\] and then \[.*\] for the same inputs: .* deterministic"):
        gradcheck(lambda x: x * random.random(), [1.0], backend=backend)


def test_what_is_not_finite(backend):
    for number in (math.inf, math.nan):
        with pytest.raises(ValueError, match=rf"inputs\[0\]\[1\] is {number!r}: derivatives are checked at finite"):
            gradcheck(lambda x: x[0], [[1.0, number]], backend=backend)
    with pytest.raises(ValueError, match="output 0 of f is inf: choose inputs at which f is finite"):
        gradcheck(lambda x: x * 1e300 * 1e300, [1.0], backend=backend)
    with pytest.raises(ValueError, match=r"no finite values close to inputs\[0\] = 0.0 on both sides") as caught:
        gradcheck(lambda x: x.sqrt(), [0.0], backend=backend)
    assert "sqrt(-" in str(caught.value.__cause__)
    with pytest.raises(ValueError, match=r"no finite values close to inputs\[0\] = 1.797"):
        gradcheck(lambda x: x * 1, [1.7976931348623157e308], backend=backend)


def test_what_is_no_value(backend):
    for wrong in (1.0, None, "x", [None]):
        with pytest.raises(TypeError, match="f must return a Value or a list of Values, not"):
            gradcheck(lambda x, wrong=wrong: wrong, [1.0], backend=backend)
    with pytest.raises(TypeError, match="not an empty list"):
        gradcheck(lambda x: [], [1.0], backend=backend)
    other = backends.load("python" if backend != "python" else "c")
    with pytest.raises(TypeError, match=f"on backend '{backend}', f returned a Value of '{other._pygrad_backend}'"):
        gradcheck(lambda x: other(1.0), [1.0], backend=backend)
    with pytest.raises(TypeError, match=rf"parameters\[0\] must be a Value of backend '{backend}', not float"):
        gradcheck(cube, [1.0], parameters=[1.0], backend=backend)
    with pytest.raises(TypeError, match=r"inputs\[1\]\[0\] must be a number, not str"):
        gradcheck(cube, [1.0, ["2"]], backend=backend)
    with pytest.raises(TypeError, match="inputs must be a list with one entry for each argument of f, not str"):
        gradcheck(cube, "1.0")
    assert gradcheck(cube, 1.5, backend=backend).checked == 1
    with pytest.raises(TypeError, match="f must be a function of Values, not Value"):
        gradcheck(backends.load(backend)(1.0), [1.0])
    with pytest.raises(ValueError, match="nothing to differentiate by"):
        gradcheck(cube)


def test_a_number_of_outputs_that_changes(backend):
    def f(x):
        return [x] * (2 if x.data > 1 else 1)

    with pytest.raises(ValueError, match=r"f gave 1 numbers at inputs\[0\] = 1.0, but 1 and 2 on both"):
        gradcheck(f, [1.0], backend=backend)


# ---- compare_backends ----


def op(x, data, gradient, symbol="planted"):
    """A user-defined op that multiplies data and gradient by what `data` and `gradient` have for x's backend."""
    name = type(x)._pygrad_backend
    out = type(x)(x.data * data.get(name, 1.0), (x,), symbol, "here")

    def _backward():
        x.grad += out.grad * gradient.get(name, 1.0)

    out._backward = _backward
    return out


NEXT = 1 + 2**-52
"""One float after 1.0."""


def test_all_backends_are_equal():
    def f(x, rows):
        hidden = MLP(3, [4, 2])(rows[0])
        return [(hidden[0] * x).tanh() + pygrad.Value(2.0), pygrad.exp(hidden[1] / x) * random.random()]

    state, in_use = random.getstate(), pygrad.backend
    report = compare_backends(f, 0.5, [[1.0, -2.0, 3.0]])
    assert report
    assert report.equal
    assert report.first_difference is None
    assert report.backends == ("python", "cffi", "c")
    assert str(report) == f"python, cffi, c: equal, bit for bit ({report.nodes} nodes)"
    assert report.nodes > 20
    assert (random.getstate(), pygrad.backend) == (state, in_use)
    assert pygrad.Value is pygrad.engine.Value is backends.load(in_use)


def test_the_seed():
    drawn = []

    def f(x):
        drawn.append(random.random())
        return x

    compare_backends(f, 1.0, seed=3)
    assert set(drawn) == {random.Random(3).random()}


def test_nan_equals_nan():
    assert compare_backends(lambda x: x * math.inf - math.inf, 1.0)
    signs = {"python": math.nan, "cffi": -math.nan, "c": math.copysign(math.nan, -1.0)}
    assert compare_backends(lambda x: op(x, signs, {}), 1.0)


@pytest.mark.parametrize("name", ["cffi", "c"])
def test_a_difference_of_data(name):
    report = compare_backends(lambda x: op(x * 1.0, {name: NEXT}, {}).tanh() + x, 1.0)
    assert not report
    found = report.first_difference
    assert (found.backends, found.kind, found.op) == (("python", name), "data", ("planted", "planted"))
    assert (found.label, found.ulps, found.data) == ("here", 1, (1.0, NEXT))
    assert found.position == 3  # x, 1.0, x * 1.0, op
    lines = str(report).splitlines()
    assert lines[0] == (
        f"python and {name} differ at node 3 of the topological order (op 'planted', label 'here'): data, 1 ulp apart"
    )
    assert lines[1].startswith("  python: data 1.0 (0x1.0000000000000p+0), grad ")
    assert lines[2].startswith(f"  {name:>6}: data 1.0000000000000002 (0x1.0000000000001p+0), grad ")


def test_the_first_of_several_differences():
    report = compare_backends(lambda x: op(op(x, {"c": 2.0}, {}), {"cffi": 2.0}, {}), 1.0)
    assert report.first_difference.backends == ("python", "c")
    assert report.first_difference.position == 1
    swapped = compare_backends(lambda x: op(x, {"c": 2.0}, {}), 1.0, backends=["c", "cffi"])
    assert swapped.first_difference.data == (2.0, 1.0)
    assert compare_backends(lambda x: op(x, {"c": 2.0}, {}), 1.0, backends=("cffi", "python"))


def test_a_difference_of_gradients():
    def f(x):
        return op((x * 2.0).exp(), {}, {"c": 3.0}) * 5

    found = compare_backends(f, 0.5).first_difference
    assert (found.kind, found.op) == ("grad", ("exp", "exp"))  # the operand of the wrong op, not x
    assert found.grad == (5.0, 15.0)
    assert compare_backends(f, 0.5, gradients=False)


def test_differences_of_signs_and_nans():
    assert compare_backends(lambda x: op(x, {"c": -1.0}, {}), 0.0).first_difference.ulps == 1
    assert compare_backends(lambda x: op(x, {"c": -1.0}, {}), 5e-324).first_difference.ulps == 3
    found = compare_backends(lambda x: op(x, {"c": math.nan}, {}), 1.0).first_difference
    assert found.ulps == -1
    assert "data, one is a nan" in str(found)


def test_differences_of_the_graph():
    def on_c(x):
        return type(x)._pygrad_backend == "c"

    def kind(f):
        found = compare_backends(f, 1.0, 1.0).first_difference
        assert "differ" in str(found)
        return found.kind, found.position

    assert kind(lambda x, y: op(x, {}, {}, "a" if on_c(x) else "b")) == ("op", 1)
    assert kind(lambda x, y: x.sum([x, y]) if on_c(x) else x.sum([x, y, 0.0])) == ("op", 2)
    assert kind(lambda x, y: (x + y) * (y if on_c(x) else x)) == ("operands", 3)
    assert kind(lambda x, y: x * 1.0 if on_c(x) else [x * 1.0, y]) == ("outputs", -1)
    assert kind(lambda x, y: [x * 1.0, y] if on_c(x) else [x * 1.0, x]) == ("nodes", -1)


def test_errors_of_the_function():
    def f(x):
        if type(x)._pygrad_backend == "c":
            raise KeyError("only here")
        return x

    found = compare_backends(f, 1.0).first_difference
    assert (found.kind, found.position) == ("exception", -1)
    assert str(found) == "python and c differ: python raised no exception; c raised KeyError: 'only here'"
    with pytest.raises(ZeroDivisionError, match=r"division by zero: 1.0 / 0.0"):
        compare_backends(lambda x: 1 / x, 0.0)
    assert pygrad.backend == backends.current

    def hook(x):
        out = type(x)(1.0, (x,), "fails")
        out._backward = lambda: 1 / 0
        return out

    with pytest.raises(ZeroDivisionError):
        compare_backends(hook, 1.0)
    assert compare_backends(hook, 1.0, gradients=False)


def test_wrong_uses_of_compare_backends():
    with pytest.raises(TypeError, match="on backend 'python', f returned a Value of 'c': make Values from f's arg"):
        compare_backends(lambda x: backends.load("c")(1.0), 1.0)
    with pytest.raises(TypeError, match="f must return a Value or a list of Values, not float"):
        compare_backends(lambda x: x.data, 1.0)
    with pytest.raises(ValueError, match=r"backends must name at least two, not \['c'\]"):
        compare_backends(cube, 1.0, backends=["c"])
    with pytest.raises(ValueError, match="unknown backend 'fast'"):
        compare_backends(cube, 1.0, backends=["c", "fast"])
    with pytest.raises(TypeError, match="f must be a function of Values, not int"):
        compare_backends(1)
    with pytest.raises(TypeError, match=r"inputs\[0\]\[1\] must be a number, not str"):
        compare_backends(cube, [1.0, "x"])
    neuron = Neuron(1, backend="c")
    found = compare_backends(lambda x: neuron([x]), 1.0).first_difference
    assert "cannot stand in one expression" in str(found)


def test_a_long_chain_is_no_trouble():
    def f(x):
        y = x
        for _ in range(3000):
            y = y + x
        return y

    assert compare_backends(f, 1.0).nodes == 3001
    assert gradcheck(f, [1.0])
