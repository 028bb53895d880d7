"""Programs written as C99: compiled by the system's compiler without a warning, and equal, bit for bit, to the program
and to the graph engine; names, comments and what cannot be written."""

from __future__ import annotations

import pickle
import random
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings

import pygrad
from pygrad import Value
from pygrad._ffi import OP_CODES
from pygrad.functions import pick
from pygrad.nn import MLP
from pygrad.ops import OPS
from pygrad.programs import Program
from pygrad.programs import compile as compiled
from pygrad.programs.arguments import Column, Layout
from pygrad.programs.build import build
from pygrad.programs.c_formulas import FORMULAS, HELPERS, Functions
from pygrad.programs.c_stages import StageText, Tables
from pygrad.programs.c_words import StageWords, Words, read
from pygrad.programs.code import LEAVES
from pygrad.programs.encode import MOVES, OTHER, REST
from pygrad.programs.parameters import InArray
from pygrad.programs.program import Outputs

from .c_files import CFile, compile_c
from .conftest import bits
from .program_codes import INPUTS, PARAMETERS, SAMPLES, SHARED, Code, codes, same_bits, samples

SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 3.0, 1e-310, 800.0, -800.0, float("inf"), float("-inf"), float("nan")]


def same(found, expected):
    """Whether two arrays hold the same bits; nans are one."""
    found, expected = np.asarray(found, float).ravel(), np.asarray(expected, float).ravel()
    assert [bits(x) for x in found] == [bits(x) for x in expected]


def eager(f, arguments, parameters):
    """The graph engine's: outputs as numbers, and the gradient of the first."""
    for p in parameters:
        p.grad = 0.0
    outputs = f(*arguments)
    flat = outputs if isinstance(outputs, (list, tuple)) else [outputs]
    flat[0].backward()
    return [v.data for v in flat], [p.grad for p in parameters]


def leaves(x):
    """An argument of a sample as the function takes it."""
    if isinstance(x, np.ndarray) and x.ndim:
        return [leaves(row) for row in x]
    return Value(float(x))


def check_samples(c, name, f, arrays, loop=True):
    """All of the C file's functions, sample by sample and of all, against the program and the graph engine."""
    program = c.programs[name]
    whole = program(*arrays)
    whole = whole if isinstance(whole, tuple) else (whole,)
    n = len(arrays[0])
    for s in range(n):
        sample = [x[s] if x[s].ndim else x[s].item() for x in arrays]
        outputs = c.value(name, *sample)
        same(outputs, np.concatenate([out[s].ravel() for out in whole]))
        loss, gradient = c.gradient(name, *sample)
        expected, expected_gradient = eager(f, [leaves(np.asarray(x)) for x in sample], program.parameters)
        same(outputs, expected)
        same(loss, expected[0])
        same(gradient, expected_gradient)
        same(gradient, program.value_and_grad(*(x[s : s + 1] for x in arrays))[1])
    if loop:
        loss, gradient = c.loss(name, *arrays)
        expected_loss, expected_gradient = program.value_and_grad(*arrays)
        same(loss, expected_loss)
        same(gradient, expected_gradient)


# ---- formulas ----


def test_formulas_are_those_of_the_op_table():
    text = (Path(__file__).parent.parent / "csrc" / "ops.h").read_text()
    table = text[text.index("#define PG_OP_TABLE") :].replace("\\\n", "").replace("pg_f_", "")

    def squeezed(formula):
        return re.sub(r"\s", "", formula)

    for name, formula in FORMULAS.items():
        row = re.search(rf'\(\d+, \w+, "{name}",.*?\)\s*(?=[SUKBNR]\(\d|S\(|$)', table, re.S)
        assert row, name
        assert squeezed(row[0]).endswith(",".join(squeezed(part) for part in formula if part) + ")"), name
    assert {"sum", "dot"} == set(OPS_IN_C := re.findall(r'[UKBNR]\(\d+, \w+, "(\w+)"', table)) - set(FORMULAS)
    assert set(OPS) <= set(OPS_IN_C)
    for name, body in HELPERS.items():
        function = re.search(rf"double pg_f_{name}\(double x\) {{(.*?)\n}}", text, re.S)
        assert squeezed(re.sub(r"/\*.*?\*/", "", function[1]).replace("pg_f_", "")) == squeezed(body)


def _op_programs():
    """A function for each op, of two parameters and two inputs; two for each op of many operands, few and more."""
    programs, functions = {}, {}
    for name in [*OPS, "sum", "dot", "logsumexp", "sum_3", "dot_3", "logsumexp_3"]:
        a, b = Value(1.25), Value(-0.75)

        def f(x, y, name=name, a=a, b=b):
            first, second = a * x, b + y
            if (op := OPS.get(name)) is None:
                kind, _, few = name.partition("_")
                many = [first.tanh(), second.exp(), x * y, first, second, x.sin(), b * x, y.cos()][: 3 if few else 8]
                if kind == "dot":
                    return Value.dot(many, [v * second for v in many], first if few else None)
                return getattr(Value, kind)(many)
            if op.kind == "unary":
                return getattr(first, name)() * second
            if op.kind == "constant":
                made = first**-1.5 if name == "pow_const" else getattr(first, name)(0.3)
                return made * second
            return getattr(first, name)(second)

        made = compiled(f, exact=True)
        functions[f"op_{name}"] = f
        programs[f"op_{name}"] = made.record(np.ones(1), np.ones(1))
    return programs, functions


def test_every_op_gives_the_bits_of_the_program_and_of_the_engine(tmp_path):
    programs, functions = _op_programs()
    c = CFile(programs, tmp_path, "-O2")
    numbers = np.array([(x, y) for x in SPECIAL for y in SPECIAL])
    rng = np.random.default_rng(0)
    numbers = np.concatenate([numbers, rng.normal(size=(200, 2)), 10 ** rng.uniform(-5, 3, size=(100, 2))])
    for name, f in functions.items():
        program = programs[name]
        x, y = np.ascontiguousarray(numbers[:, 0]), np.ascontiguousarray(numbers[:, 1])
        expected = program(x, y)
        gradients = program.sample_gradients(x, y)
        for s in range(len(x)):
            same(c.value(name, x[s].item(), y[s].item()), expected[s])
            loss, gradient = c.gradient(name, x[s].item(), y[s].item())
            same(loss, expected[s])
            assert same_bits(gradient, gradients[s], signs_of_zeros=False), (name, x[s], y[s])
        check_samples(c, name, f, (x[-20:], y[-20:]), loop=False)


# ---- networks ----


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    """Programs of networks in one file, with functions and arrays of samples."""
    rng = np.random.default_rng(1)
    random.seed(1)
    X, X8 = rng.normal(size=(37, 3)), rng.normal(size=(37, 2, 4))
    y, classes = rng.normal(size=37), rng.integers(0, 5, 37)
    cases = {}

    def case(name, f, *arrays, params=None):
        cases[name] = f, arrays, compiled(f, params=params, exact=True).record(*arrays)

    relu, tanh, five = MLP(3, [16, 8, 1]), MLP(3, [7, 5, 1], activation="tanh"), MLP(8, [6, 5])
    frozen = MLP(3, [4, 1])
    case("relu", lambda x, t: (1 - t * relu(x)).relu(), X, y)
    case("tanh", lambda x, t: (tanh(x) - t) ** 2, X, y)
    case("flat", lambda x: sum((v * v for row in x for v in row), Value(0.5)), X8)

    def cross_entropy(x, label):
        z = five([v for row in x for v in row])
        return Value.logsumexp(z) - pick(z, label)

    case("classes", cross_entropy, X8, classes)
    case("several", lambda x, t: (relu(x) * t, tanh(x), t), X, y)
    weight, other = frozen.parameters()[0], tanh.parameters()[3]
    case("shared", lambda x: relu([frozen(x), *x[1:]]) + weight * other.exp(), X, params=relu)
    case("constants", lambda x: sum((c * v for c, v in zip((0.1, -2.5, 3e-300), x)), 0.25).tanh() * relu(x), X)
    c = CFile({name: program for name, (_, _, program) in cases.items()}, tmp_path_factory.mktemp("c"), "-O2")
    return c, cases


@pytest.mark.parametrize("name", ["relu", "tanh", "flat", "several", "shared", "constants"])
def test_networks_give_the_bits_of_the_program_and_of_the_engine(networks, name):
    c, cases = networks
    f, arrays, _ = cases[name]
    check_samples(c, name, f, arrays)


def test_softmax_cross_entropy_takes_classes_as_integers(networks):
    c, cases = networks
    f, (X, labels), program = cases["classes"]
    expected = program(X, labels)
    gradients = program.sample_gradients(X, labels)
    for s in range(len(X)):
        same(c.value("classes", X[s], labels[s]), expected[s])
        loss, gradient = c.gradient("classes", X[s], labels[s])
        same(loss, expected[s])
        same(gradient, gradients[s])
        made = f(leaves(X[s]), int(labels[s]))
        same(loss, made.data)
    loss, gradient = c.loss("classes", X, labels)
    same(loss, program.value_and_grad(X, labels)[0])
    same(gradient, program.value_and_grad(X, labels)[1])
    for wrong in (-1, 5, 2**40, -(2**63)):
        assert np.isnan(c.value("classes", X[0], wrong)).all()
        assert np.isnan(c.gradient("classes", X[0], wrong)[0])


def test_classes_in_an_array_that_has_numbers_too(tmp_path):
    a = Value(1.5)

    def f(x, q):
        return pick([x[0] * a, a, x[1].exp()], q[1]) * q[0] + pick([x[0], a], q[2])

    X = np.random.default_rng(5).normal(size=(9, 2))
    K = np.array([[float(i), i % 3, i % 2] for i in range(9)])
    c = CFile({"both": compiled(f, exact=True).record(X, K)}, tmp_path)
    program = c.programs["both"]
    assert "0 <= q_class[1] < 3; 0 <= q_class[2] < 2" in program.to_c().replace("\n * ", " ")
    classes = K.astype(np.int64)
    for s in range(9):
        same(c.value("both", X[s], K[s], classes[s]), program(X, K)[s])
        loss, gradient = c.gradient("both", X[s], K[s], classes[s])
        same(loss, program(X, K)[s])
        same(gradient, program.sample_gradients(X, K)[s])
    loss, gradient = c.loss("both", X, K, classes)
    same(loss, program.value_and_grad(X, K)[0])
    assert gradient == pytest.approx(program.value_and_grad(X, K)[1], rel=1e-12)


def test_weights_that_a_sample_uses_twice(tmp_path):
    w, v = Value(0.75), Value(-1.25)

    def f(x):
        h = (w * x[0] + v).tanh()
        return (w * h + v * x[1]).tanh()

    X = np.random.default_rng(6).normal(size=(40, 2))
    c = CFile({"twice": compiled(f, exact=True).record(X)}, tmp_path)
    check_samples(c, "twice", f, (X,), loop=False)
    loss, gradient = c.loss("twice", X)
    expected, expected_gradient = c.programs["twice"].value_and_grad(X)
    same(loss, expected)
    assert gradient == pytest.approx(expected_gradient, rel=1e-12)


def test_a_gradient_is_added_to_what_is_there(networks):
    c, cases = networks
    _, (X, y), program = cases["relu"]
    start = np.arange(program.parameter_count, dtype=float)
    _, gradient = c.gradient("relu", X[0], y[0].item(), start=start)
    same(gradient, start + program.sample_gradients(X[:1], y[:1])[0])


def test_no_samples_have_no_mean(networks):
    c, cases = networks
    _, (X, y), _ = cases["relu"]
    loss, gradient = c.loss("relu", X[:0], y[:0])
    assert np.isnan(loss)
    assert not gradient.any()


def test_layers_are_loops_and_nothing_is_allocated(networks):
    c, _ = networks
    for program in c.programs.values():
        text = program.to_c()
        assert not re.search(r"\b(malloc|calloc|realloc|alloca|free)\b", text)
        assert set(re.findall(r"^#include (\S+)", text, re.M)) == {"<math.h>", "<stddef.h>", "<stdint.h>"}
    model = MLP(30, [40, 20, 1])
    wide = compiled(model).record(np.ones((1, 30)))
    code = re.sub(r"const double \w+_parameters\[\d+\] = {.*?};", "", wide.to_c(), flags=re.S)
    assert len(code.splitlines()) < 200


def test_the_parameters_are_in_the_file(networks, tmp_path):
    import ctypes

    c, cases = networks
    program = cases["tanh"][2]
    table = (ctypes.c_double * program.parameter_count).in_dll(c.library, "tanh_parameters")
    same(list(table), program.parameter_vector)


# ---- functions without arguments ----


def _moons(n=24):
    rng = np.random.default_rng(2)
    X, y = rng.normal(size=(n, 2)).tolist(), rng.choice([-1.0, 1.0], n).tolist()
    model = MLP(2, [8, 8, 1])

    def total():
        scores = [model([Value(v) for v in row]) for row in X]
        losses = [(1 - yi * s).relu() for yi, s in zip(y, scores)]
        return sum(losses) * (1.0 / n) + 1e-4 * sum(p * p for p in model.parameters())

    return total


def _rosenbrock(n=20):
    x = [Value(0.1 * i - 0.7) for i in range(n)]
    return lambda: sum(100 * (x[i + 1] - x[i] ** 2) ** 2 + (1 - x[i]) ** 2 for i in range(n - 1))


def _bodies(n=5):
    rng = np.random.default_rng(4)
    at = [[Value(v) for v in row] for row in rng.normal(size=(n, 3)).tolist()]

    def energy():
        total = Value(0.0)
        for i in range(n):
            for j in range(i):
                r = sum((a - b) ** 2 for a, b in zip(at[i], at[j]))
                total = total - 1.0 / (r + 1e-3).sqrt()
        return total

    return energy


STATIC = ("-O2", "-Dmoons_STORAGE=static", "-Drosenbrock_STORAGE=static")


@pytest.mark.parametrize("options", [("-O1",), ("-O3",), STATIC])
def test_losses_that_loop_themselves(tmp_path, options):
    functions = {"moons": _moons(), "rosenbrock": _rosenbrock(), "bodies": _bodies()}
    programs = {name: compiled(f, exact=True).record() for name, f in functions.items()}
    c = CFile(programs, tmp_path, *options)
    for name, f in functions.items():
        program = programs[name]
        for _ in range(2):  # what is static is as new in every call
            loss, gradient = c.gradient(name)
            expected, expected_gradient = program.value_and_grad()
            same(loss, expected)
            same(gradient, expected_gradient)
        same(c.value(name), program())
        values, by_engine = eager(f, (), program.parameters)
        same(loss, values[0])
        assert gradient == pytest.approx(by_engine, rel=1e-12)


# ---- random programs ----


def _random_program(code: Code, theta: list[float]) -> Program:
    ops = ["parameter" if op == "shared" else op for op in code.ops]
    ks = [PARAMETERS + k if op == "shared" else k for op, k in zip(code.ops, code.ks)]
    ks = [INPUTS if op == "pick" else k for op, k in zip(ops, ks)]
    made = Code(ops, list(code.args), ks, list(code.outputs))
    layout = Layout(("x", "y", "label"), ((2,), (2,), ()), (True, True, False), (Column(2, 0, 6),))
    outputs = Outputs(((),) * len(code.outputs), True)
    return Program("random", made, layout, outputs, InArray(np.array(theta), PARAMETERS + SHARED), exact=True)


def test_random_programs_give_the_bits_of_the_program(tmp_path):
    drawn = []

    @settings(max_examples=150, database=None)
    @given(codes(), samples())
    def draw(code, numbers):
        drawn.append((code, numbers))

    draw()
    programs = {
        f"p{i}": _random_program(code, [*numbers["parameters"], *numbers["shared"]])
        for i, (code, numbers) in enumerate(drawn)
    }
    c = CFile(programs, tmp_path, "-O1")
    for (name, program), (_, numbers) in zip(programs.items(), drawn):
        columns = np.array(numbers["columns"])
        x, y = np.ascontiguousarray(columns[:2].T), np.ascontiguousarray(columns[2:].T)
        labels = np.array(numbers["indices"][0])
        values = np.stack(program(x, y, labels), axis=1)
        for s in range(SAMPLES):
            same(c.value(name, x[s], y[s], labels[s]), values[s])
            loss, gradient = c.gradient(name, x[s], y[s], labels[s])
            one = slice(s, s + 1)
            expected, expected_gradient = program.value_and_grad(x[one], y[one], labels[one])
            same(loss, expected)
            same(gradient, expected_gradient)
        loss, gradient = c.loss(name, x, y, labels)
        expected, expected_gradient = program.value_and_grad(x, y, labels)
        same(loss, expected)
        if has_one_order(program):
            same(gradient, expected_gradient)


def has_one_order(program) -> bool:
    """Whether no two instructions of a stage of several lanes add to one place: its order is then that of the lanes."""
    encoded, _ = build(program.code, program.signature, "gradient", exact=True)
    for stage in read(encoded).stages:
        places = []
        for code, _, _, _, c, d, width, at in stage.instructions if stage.lanes != 1 else ():
            if code == REST | OTHER["outer"]:
                rows, cols = stage.pool[at : at + width], stage.pool[at + width : at + width + c + d]
                places += [row + col for row in rows for col in cols]
            elif code == REST | OTHER["accumulate"]:
                places += stage.pool[at : at + width]
        starts = [move[4] for move in stage.outputs if move[0] == MOVES["add_g"]]
        added = {stage.pool[at + lane] for at in starts for lane in range(stage.lanes)}
        if len(set(places)) < len(places) or added.intersection(places):
            return False
    return True


def _computed(code, leaf):
    """The first output of random code, by the engine; leaf: of op and number the Value."""
    values = []
    for op, args, k in zip(code.ops, code.args, code.ks):
        operands = [values[i] for i in args]
        if op in LEAVES:
            made = Value(k) if op == "constant" else leaf(op, k)
        elif op == "pick":
            made = operands[2]
        elif op == "dot":
            start = len(args) % 2
            made = Value.dot(operands[start::2], operands[start + 1 :: 2], operands[0] if start else None)
        elif op in ("sum", "logsumexp"):
            made = getattr(Value, op)(operands)
        elif op == "pow_const":
            made = operands[0] ** k
        else:
            made = getattr(operands[0], op)(*(operands[1:] if k is None else [k]))
        values.append(made)
    return values[code.outputs[0]]


def test_random_losses_that_loop_themselves(tmp_path):
    drawn = []

    @settings(max_examples=40, database=None)
    @given(codes())
    def draw(code):
        drawn.append(code)

    draw()
    programs = {}
    rng = np.random.default_rng(7)
    for i, code in enumerate(drawn):
        shared = [Value(v) for v in (0.3, -0.7, 1.1, 0.4, -1.2)]
        rows = rng.uniform(-2.0, 2.0, size=((1, 5, 17)[i % 3], INPUTS)).tolist()

        def f(code=code, shared=shared, rows=rows):
            def of(row):
                first = {"parameter": 0, "shared": PARAMETERS}
                return _computed(code, lambda op, k: Value(row[k]) if op == "input" else shared[first[op] + k])

            outputs = [of(row) for row in rows]
            mean = Value.sum(outputs) / len(rows)
            return Value.sum([(z - mean) * (z - mean) for z in outputs]) + mean

        programs[f"p{i}"] = compiled(f, exact=True).record()
    c = CFile(programs, tmp_path)
    compared = 0
    for name, program in programs.items():
        same(c.value(name), program())
        loss, gradient = c.gradient(name)
        expected, expected_gradient = program.value_and_grad()
        same(loss, expected)
        if has_one_order(program):
            same(gradient, expected_gradient)
            compared += 1
    assert compared


def test_a_program_that_was_unpickled_gives_the_same_text():
    program = compiled(_rosenbrock(5)).record()
    assert pickle.loads(pickle.dumps(program)).to_c() == program.to_c()


def test_layers_with_an_activation_in_the_instruction():
    row, col, start = [0, 3], [0, 1], [2, 5]
    dense = [REST | OTHER["dense"], 2, 0, 4, 2, OP_CODES["tanh"], 2, 0]
    stage = StageWords(0, 6, [], [], [dense], [], [*row, *col, *start], [])
    text = StageText(Words(6, 0, [], [], [], 0, [stage]), stage, Tables("p"), Functions("p"), [], [], True)
    assert text.each == [
        "for (size_t i = 0; i < 2; i++) {",
        "    t = parameters[2 + 3 * i];",
        "    for (size_t j = 0; j < 2; j++) t += parameters[3 * i + j] * s[j];",
        "    s[2 + i] = t;",
        "}",
        "for (size_t i = 0; i < 2; i++) s[4 + i] = tanh(s[2 + i]);",
    ]


# ---- names ----


def test_names_in_c(tmp_path):
    a = Value(2.0, label="a */ #error \\")

    def function(double, exp, größe, s, s_, NULL, f_value):
        return a * double + exp[0] * größe + s * s_ + NULL - f_value

    program = compiled(function).record(*([np.ones(1)] + [np.ones((1, 1))] + [np.ones(1)] * 5))
    text = program.to_c()
    assert "double double_, const double *exp_, double argument2, double s_, double s__, double NULL_, " in text
    assert text.isascii()
    assert "#error" not in re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    c = CFile({"f": program}, tmp_path)
    same(c.value("f", 1.0, np.array([2.0]), 3.0, 4.0, 5.0, 6.0, 1.0), 2.0 + 6.0 + 20.0 + 6.0 - 1.0)
    assert "argument6" in program.to_c("f")


@pytest.mark.parametrize("name", ["", "1a", "a b", "a-b", "_a", "é", "a;", "x\n", "int main(){}//", "a*/"])
def test_names_that_c_does_not_have_are_refused(name):
    with pytest.raises(ValueError, match=re.escape(repr(name))):
        compiled(_rosenbrock(3)).to_c(name)


def test_a_name_is_a_string():
    with pytest.raises(TypeError, match="not int"):
        compiled(_rosenbrock(3)).to_c(3)


def test_a_lambda_and_a_name_with_a_digit_have_names():
    assert "void lambda_value(" in compiled(_rosenbrock(3)).to_c()
    program = compiled(_rosenbrock(3)).record()
    program.name = "1st"
    assert "void f_1st_value(" in program.to_c()


def test_a_compiled_function_that_was_not_recorded():
    with pytest.raises(ValueError, match="not recorded"):
        compiled(lambda x: x * 2).to_c()


# ---- what there is not ----


def test_a_function_that_gives_a_list_has_no_gradient(tmp_path):
    model = MLP(2, [3])
    program = compiled(model, exact=True).record(np.ones((1, 2)))
    text = program.to_c()
    assert "_gradient(" not in text
    X = np.random.default_rng(0).normal(size=(3, 2))
    c = CFile({"list": program}, tmp_path)
    for s in range(3):
        same(c.value("list", X[s]), program(X)[s])


def test_without_parameters_inputs_or_outputs(tmp_path):
    programs = {
        "plain": compiled(lambda x: x * 2 + 1, exact=True).record(np.ones(1)),
        "fixed": compiled(lambda x: Value(3.0), exact=True).record(np.ones(1)),
        "nothing": compiled(lambda x: [], exact=True).record(np.ones(1)),
    }
    c = CFile(programs, tmp_path)
    same(c.value("plain", 2.0), 5.0)
    same(c.gradient("plain", 2.0)[0], 5.0)
    same(c.value("fixed", 2.0), 3.0)
    assert c.value("nothing", 2.0).size == 0


def test_the_declarations_alone(tmp_path):
    text = compiled(_rosenbrock(4)).to_c("rosenbrock")
    (tmp_path / "rosenbrock.c").write_text(text)
    other = (
        '#define rosenbrock_DECLARATIONS\n#include "rosenbrock.c"\n'
        '#undef rosenbrock_DECLARATIONS\n#include "rosenbrock.c"\n'
        "double both(void);\ndouble both(void) { double g[rosenbrock_GRADIENT] = {0};\n"
        "return rosenbrock_gradient(rosenbrock_parameters, g); }\n"
    )
    compile_c(other, tmp_path)


def test_the_header_says_who_made_it():
    text = compiled(_rosenbrock(4)).to_c("rosenbrock")
    assert text.startswith("/*")
    assert f"Made by pygrad {pygrad.__version__}" in text
    assert max(map(len, text[: text.index("*/")].splitlines())) <= 120


def test_numbers_that_are_not_finite_are_doubles(tmp_path):
    numbers = [0.1, -0.0, 5e-324, -1e308, float("inf"), float("-inf"), float("nan"), 123456.0]

    def f(x):
        return [x * v for v in numbers] + [Value(v) + x.exp() for v in numbers]

    c = CFile({"numbers": compiled(f, exact=True).record(np.ones(1))}, tmp_path)
    for x in (1.0, -2.5):
        same(c.value("numbers", x), c.programs["numbers"](np.array([x])))


def test_tables_are_strides_where_they_can_be():
    tables = Tables("p")
    assert tables.index([5], "i") == "5"
    assert tables.index([0, 1, 2], "i") == "i"
    assert tables.index([3, 5, 7], "i") == "3 + 2 * i"
    assert tables.index([7, 6, 5], "i") == "7 - i"
    assert tables.index([7, 4, 1], "i") == "7 - 3 * i"
    assert tables.index([2, 2, 2], "i") == "2"
    assert not tables.text
    assert tables.index([1, 2, 4], "i") == tables.index([1, 2, 4], "i") == "p_table0[i]"
    assert len(tables.text) == 1
