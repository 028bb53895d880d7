"""From a recording to what C runs: derivatives as code, shared parts, vector instructions, slots; and all of it against
the eager engine's order and bits, by an interpreter that knows none of them."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given

import pygrad
from pygrad import nn
from pygrad._ffi import OP_CODES
from pygrad.ops import OPS
from pygrad.programs import whole
from pygrad.programs.build import build
from pygrad.programs.bundles import bundles
from pygrad.programs.code import EFFECTS, Code
from pygrad.programs.differentiate import differentiate
from pygrad.programs.interpret import run
from pygrad.programs.passes import gather_products, gather_sums
from pygrad.programs.pipeline import Signature
from pygrad.programs.record import record
from pygrad.programs.run import Given, Machine
from pygrad.programs.slots import lay_out
from pygrad.programs.split import split_shared

from .program_codes import INPUTS, PARAMETERS, SAMPLES, SHARED, codes, gradients, same_bits, samples
from .test_program_passes import code_of, text_of


def test_every_op_of_the_reference_s_table_has_a_code_in_c_s():
    assert set(OPS) <= set(OP_CODES)


# ---- derivatives ----


def differentiated(text: str, leaf: str, place: int | None) -> str:
    code = code_of(text)
    kind = "input" if leaf[0] == "x" else "parameter"
    x = next(i for i, (op, k) in enumerate(zip(code.ops, code.ks)) if op == kind and k == int(leaf[1:]))
    output = code.outputs.pop()
    found = differentiate(code, {output: code.add("seed")}, {x: place})
    code.outputs += [i for i in found.values() if i is not None]
    return text_of(code)


@pytest.mark.parametrize(
    ("before", "leaf", "place", "after"),
    [
        ("a = tanh x0\nreturn a", "x0", None, "%0 = tanh x0\n%1 = d0:tanh seed, x0, %0\nreturn %1"),
        ("a = mul x0 x0\nreturn a", "x0", None, "%0 = mul x0, x0\n%1 = dot x0*seed + x0*seed\nreturn %1"),
        ("a = mul w0 x0\nreturn a", "w0", 0, "%0 = mul w0, x0\nouter seed * [x0] to G[0]\nreturn"),
        ("a = add w0 x0\nreturn a", "w0", 0, "%0 = add w0, x0\naccumulate seed to G[0]\nreturn"),
        ("a = add x1 x1\nreturn a", "x1", None, "%0 = add x1, x1\n%1 = add seed, seed\nreturn %1"),
    ],
)
def test_derivatives_are_code(before, leaf, place, after):
    assert differentiated(before, leaf, place) == after


def test_what_does_not_lead_to_a_wanted_leaf_is_not_differentiated():
    code = code_of("a = tanh x0\nb = exp x1\nc = mul a b\nreturn c")
    n = len(code)
    differentiate(code, {code.outputs[0]: code.add("seed")}, {0: None})
    assert [op for op in code.ops[n:] if op not in ("seed", "mul", "d0:tanh")] == []


# ---- shared by all samples ----


def test_what_parameters_alone_decide_is_computed_once():
    split = split_shared(code_of("a = exp w0\nb = mul a a\nc = mul b x0\nd = add c a\nreturn d"), 0)
    assert text_of(split.shared) == "%0 = exp w0\n%1 = mul %0, %0\nreturn %1, %0"
    assert [op for op in split.samples.ops if op not in ("shared", "input")] == ["mul", "add"]
    assert [k for op, k in zip(split.samples.ops, split.samples.ks) if op == "shared"] == [0, 1]


def test_a_shared_output_is_read_by_the_samples():
    split = split_shared(code_of("a = exp w0\nreturn a w1"), 0)
    assert [split.samples.ops[i] for i in split.samples.outputs] == ["shared", "parameter"]


# ---- bundles ----


def kinds(code: Code) -> list[str]:
    return [f"{b.kind if b.kind != 'map' else b.op} {len(b.rows) or len(b.members)}" for b in bundles(code)]


def mlp_code(hidden: list[int], activation: str = "relu") -> Code:
    model = nn.MLP(3, [*hidden, 1], activation=activation)
    return record(lambda x: model(x), [(3,)]).code


def test_a_network_becomes_dense_layers_and_their_activations():
    assert kinds(mlp_code([16, 8])) == ["load 3", "dense 16", "relu 16", "dense 8", "relu 8", "dense 1"]


def test_a_network_written_out_becomes_the_same():
    values = pygrad.Value
    sizes = ((3, 16), (16, 8), (8, 1))
    weights = [[[values(random.random()) for _ in range(n + 1)] for _ in range(m)] for n, m in sizes]

    def f(x):
        for number, layer in enumerate(weights):
            x = [sum((w * xi for w, xi in zip(row, x)), row[-1]) for row in layer]
            x = [y.relu() for y in x] if number < 2 else x
        return x[0]

    code = gather_sums(gather_products(record(f, [(3,)]).code))
    assert kinds(code) == ["load 3", "dense 16", "relu 16", "dense 8", "relu 8", "dense 1"]


def test_the_gradient_of_a_network_is_layers_again():
    code = mlp_code([16, 8], "tanh")
    wanted = {i: k for i, (op, k) in enumerate(zip(code.ops, code.ks)) if op == "parameter"}
    outputs, code.outputs = code.outputs, []
    differentiate(code, {outputs[0]: code.add("seed")}, wanted)
    assert sorted(kinds(code)) == sorted([
        "load 3", "load 1", "dense 16", "tanh 16", "dense 8", "tanh 8", "dense 1", "outer 1", "accumulate 1", "dense 8",
        "d0:tanh 8", "outer 8", "accumulate 8", "dense 16", "d0:tanh 16", "outer 16", "accumulate 16",
    ])  # fmt: skip


def test_a_softmax_has_one_instruction_for_all_classes():
    model = nn.MLP(3, [5])
    code = record(lambda x, y: pygrad.losses.cross_entropy(model(x), y), [(3,), ()]).code
    wanted = {i: k for i, (op, k) in enumerate(zip(code.ops, code.ks)) if op == "parameter"}
    outputs, code.outputs = code.outputs, []
    differentiate(code, {outputs[0]: code.add("seed")}, wanted)
    assert [kind for kind in kinds(code) if kind.endswith(" 5")] == [
        "dense 5", "dpick 5", "d0:logsumexp 5", "add 5", "outer 5", "accumulate 5",
    ]  # fmt: skip


def test_a_weight_used_twice_in_a_layer_has_two_outer_products():
    w, v = pygrad.Value(2.0), pygrad.Value(3.0)
    code = record(lambda x: [w * x[0] + v * x[1], v * x[0] + w * x[1]], [(2,)]).code
    code = gather_products(code)
    total = code.add("mul", tuple(code.outputs))
    places = {i: k for i, (op, k) in enumerate(zip(code.ops, code.ks)) if op == "parameter"}
    code.outputs = []
    differentiate(code, {total: code.add("seed")}, places)
    for bundle in bundles(code):
        if bundle.kind == "outer":
            targets = [place for row in bundle.rows for place in row]
            assert len(set(targets)) == len(targets)


def test_constants_that_are_equal_but_not_the_same_stay_apart():
    code = Code()
    for k in (0.0, -0.0):
        code.outputs.append(code.add("leaky_relu", (code.add("input", (), len(code.outputs)),), k))
    assert str([bundle.k for bundle in bundles(code) if bundle.kind == "map"]) == "[0.0, -0.0]"


@given(codes(derivatives=True))
def test_every_instruction_is_in_one_bundle_behind_what_it_needs(code):
    done = {i for i, op in enumerate(code.ops) if op in ("parameter", "constant", "shared")}
    seen = []
    for bundle in bundles(code):
        assert done.issuperset(x for run in bundle.operands for x in run)
        members = [i for i in bundle.members if i is not None]
        seen += members
        done.update(members)
    computed = [i for i, op in enumerate(code.ops) if op not in EFFECTS | {"parameter", "constant", "shared"}]
    assert sorted(seen) == computed


# ---- slots ----


@given(codes(derivatives=True))
def test_no_slot_is_written_while_it_is_needed(code):
    values = [i for i in code.outputs if code.ops[i] not in EFFECTS]
    layout = lay_out(code, bundles(code), values)
    holds: dict[int, int | None] = {}
    for bundle in layout.prologue:
        for slot, i in enumerate(bundle.members, bundle.slot):
            assert slot not in holds
            holds[slot] = i
    shared = set(holds)
    for bundle, operands in zip(layout.body, layout.operands):
        reads = set()
        for run_, place in zip(bundle.operands, operands):
            for j, x in enumerate(run_):
                at = place.slot - j if place.down else place.slot + j
                reads.add(at)
                assert at < layout.slots
                assert holds[at] == x
        for j, i in enumerate(bundle.members):
            assert bundle.slot + j not in reads | shared
            holds[bundle.slot + j] = bundle.operands[j][0] if bundle.kind == "copy" else i
    assert [holds[place.slot] for place in layout.outputs] == values


# ---- the whole way ----

COLUMNS = [(0, 0), (0, 1), (1, 0), (1, 1)]
WIDTHS = [2, 2]
assert len(COLUMNS) == INPUTS


def per_sample(code: Code) -> Code:
    """What other codes compute becomes parameters: a recording has no others."""
    ops = ["parameter" if op == "shared" else op for op in code.ops]
    ks = [PARAMETERS + k if op == "shared" else k for op, k in zip(code.ops, code.ks)]
    ks = [INPUTS if op == "pick" else k for op, k in zip(ops, ks)]  # pick names a column
    return Code(ops, list(code.args), ks, list(code.outputs))


def compute(code, what, given_samples, outputs, *, trained=None, isa=None):
    columns = [*COLUMNS, (2, 0)]
    widths = [*WIDTHS, 1]
    signature = Signature(PARAMETERS + SHARED, columns, widths, {INPUTS: 6}, [1] * len(code.outputs), trained)
    encoded, _ = build(per_sample(code), signature, what, exact=True)
    machine = Machine(encoded.words, encoded.constants, exact=True)
    numbers = np.array(given_samples["columns"], np.float64)
    first, second = np.ascontiguousarray(numbers[:2].T), np.ascontiguousarray(numbers[2:].T)
    classes = np.array(given_samples["indices"][0], np.int64)
    floats = np.zeros((SAMPLES, 1))
    theta = np.array([*given_samples["parameters"], *given_samples["shared"]], np.float64)
    gradient = np.full(machine.parameters, np.nan)
    arrays = [np.full((SAMPLES, n), np.nan) for n in outputs]
    machine.run(Given(SAMPLES, (first, second, floats), (classes,)), theta, arrays, gradient)
    return arrays, gradient


@given(codes(), samples())
def test_values_are_the_recorded_ones_bit_for_bit(code, given_samples):
    expected, _ = run(code, **given_samples)
    found, _ = compute(code, "value", given_samples, [1] * len(code.outputs))
    for theirs, ours in zip(expected, found):
        assert same_bits(theirs, ours[:, 0])


@given(codes(), samples())
def test_gradients_of_each_sample_are_the_eager_engine_s_bit_for_bit(code, given_samples):
    expected = gradients(code, code.outputs[0], given_samples)
    (found,), _ = compute(code, "samples", given_samples, [PARAMETERS + SHARED])
    for (kind, k), numbers in expected.items():
        if kind != "input":
            assert same_bits(numbers, found[:, k if kind == "parameter" else PARAMETERS + k], signs_of_zeros=False)
    found, _ = compute(code, "inputs", given_samples, [2, 2, 1])
    for (kind, k), numbers in expected.items():
        if kind == "input":
            assert same_bits(numbers, found[k // 2][:, k % 2], signs_of_zeros=False)
    assert not found[2].any()  # of the index


@given(codes(), samples())
def test_the_gradient_is_the_sum_over_the_samples(code, given_samples):
    (each,), _ = compute(code, "samples", given_samples, [PARAMETERS + SHARED])
    _, gradient = compute(code, "gradient", given_samples, [1])
    with np.errstate(all="ignore"):
        total = each.sum(axis=0)
        size = np.abs(each).sum(axis=0)
    ordinary = np.isfinite(size) & (size < 1e100)
    apart = np.abs(gradient[ordinary] - total[ordinary])  # of large numbers with other signs little may be left
    assert (apart <= 1e-9 + 1e-6 * size[ordinary]).all()


def test_parameters_that_are_not_trained_have_no_gradient():
    code = Code()
    a, b = code.add("parameter", (), 0), code.add("parameter", (), PARAMETERS)
    code.outputs = [code.add("mul", (a, b))]
    for number in range(INPUTS):
        code.add("input", (), number)
    numbers = {
        "columns": [[1.0] * SAMPLES] * INPUTS,
        "parameters": [2.0, 0, 0],
        "shared": [3.0, 0.0],
        "indices": [[0] * SAMPLES],
    }
    _, gradient = compute(code, "gradient", numbers, [1], trained=PARAMETERS)
    assert gradient.tolist() == [9.0, 0.0, 0.0, 0.0, 0.0]


def looked_through(monkeypatch, kinds_of_terms: int) -> tuple[int, int]:
    """For a sum of so many kinds of terms, ten of each, each of a parameter of its own: how many stages its
    gradient has, and how many instructions are looked through for what depends on a value."""
    parameters = [[pygrad.Value(0.1 * k) for k in range(10)] for _ in range(kinds_of_terms)]

    def term(kind: int, x: pygrad.Value) -> pygrad.Value:
        for bit in range(6):
            x = x.tanh() if kind >> bit & 1 else x.sin()
        return x

    code = record(lambda: sum(term(kind, x) for kind, xs in enumerate(parameters) for x in xs), []).code
    seen = []
    plain = whole.depends
    monkeypatch.setattr(whole, "depends", lambda code, leaves: seen.append(len(code)) or plain(code, leaves))
    encoded, _ = build(code, Signature(10 * kinds_of_terms, [], [], {}, [1]), "gradient")
    monkeypatch.undo()
    return len(encoded.stages), sum(seen)


def test_a_function_in_many_parts_is_not_looked_through_once_for_each(monkeypatch):
    few, many = looked_through(monkeypatch, 16), looked_through(monkeypatch, 64)
    assert many[0] > 3 * few[0]
    assert many[1] < 6 * few[1]
