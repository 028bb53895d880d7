"""Passes over programs: what each does to a small one, as listings; and that none changes a bit of any, nor a gradient
where derivatives are still to be taken."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pygrad.ops import OPS
from pygrad.programs.code import LEAVES, Code
from pygrad.programs.interpret import run
from pygrad.programs.listing import listing
from pygrad.programs.passes import (
    common_subexpressions,
    dead_code,
    drop_identities,
    fold_constants,
    gather_products,
    gather_sums,
)

from .program_codes import NAMES, code_of, codes, gradients, orders, same_bits, samples, sums

SPECIAL = [0.0, -0.0, 1.0, -1.0, 5e-324, -5e-324, 1.7e308, -1.7e308, 0.1, math.inf, -math.inf, math.nan]


def text_of(code: Code) -> str:
    """The listing, its values numbered anew from 0 on without the leaves."""
    text = listing(code, NAMES)
    rows = [i for i, op in enumerate(code.ops) if op not in LEAVES]
    for new, i in enumerate(rows):
        text = "".join(f"%{new}!" if part == f"%{i}" else part for part in _parts(text))
    return text.replace("!", "")


def _parts(text: str) -> list[str]:
    """The text, cut before and after each '%5'."""
    return re.split(r"(%\d+!?)", text)


def check(change: Callable[[Code], Code], before: str, after: str) -> None:
    code = code_of(before)
    kept = code.copy()
    assert text_of(change(code)) == "\n".join(line.strip() for line in after.strip().splitlines())
    assert code == kept  # the code that is given stays as it is


# ---- each pass, before and after ----


def test_dead_code():
    check(
        dead_code,
        """
        a = mul x0 w0
        b = exp x1
        c = relu a
        d = add b c
        return c a c
        """,
        """
        %0 = mul x0, w0
        %1 = relu %0
        return %1, %0, %1
        """,
    )


def test_effects_are_outputs_and_stay():
    code = code_of("a = mul x0 w0\nb = exp a\nreturn a")
    code.outputs += [code.add("accumulate", (0,), 4), code.add("outer", (2, 0, 1), (5, 6))]
    assert text_of(dead_code(code)).splitlines() == [
        "%0 = mul x0, w0", "accumulate x0 to G[4]", "outer %0 * [x0, w0] to G[5, 6]", "return %0",
    ]  # fmt: skip
    code.outputs += [code.add("accumulate", (0,), 4)]
    assert common_subexpressions(code).ops.count("accumulate") == 2


def test_constants():
    before = """
        a = add 1 2
        b = mul a a
        c = mul b x0
        d = exp b
        e = div 1 0
        f = add d e
        return c f
        """
    check(fold_constants, before, "%0 = mul 9.0, x0\n%1 = exp 9.0\n%2 = add %1, inf\nreturn %0, %2")
    check(lambda code: fold_constants(code, exact=True), before, "%0 = mul 9.0, x0\nreturn %0, inf")


@pytest.mark.parametrize("op", [*OPS, "sum", "dot", "logsumexp"])
def test_folding_computes_what_the_program_would(op):
    """Values and derivatives, at special values: also where Python's arithmetic raises."""
    points = [*SPECIAL, 2.0, -2.0, 0.5, -1.5, 800.0, -800.0]
    row = OPS.get(op)
    code = Code()
    constants = [code.add("constant", (), x) for x in points]
    ks = [None] if row is None or row.kind != "constant" else [1.0, 0.0, -0.0, 2.0, -1.0, 0.5, -3.0]
    for x in constants:
        for y in constants if row is None or row.kind == "binary" else [x]:
            operands = (x,) if row is not None and row.kind != "binary" else (x, y)
            for k in ks:
                z = code.add(op, operands, k)
                code.outputs += [z, *(code.add(d, (constants[8], *operands, z), k) for d in _derivatives(op, operands))]
    folded = fold_constants(code, exact=True)
    assert set(folded.ops) == {"constant"}
    assert same_bits(run(folded)[0], run(code)[0])
    part = fold_constants(code)
    assert same_bits(run(part)[0], run(code)[0])


def _derivatives(op: str, operands: tuple[int, ...]) -> list[str]:
    return [f"d{j}:{op}" for j in range(len(operands))] if op in OPS else []


def test_common_subexpressions():
    check(
        common_subexpressions,
        """
        a = mul x0 w0
        b = sub a x1
        c = mul w0 x0
        d = sub c x1
        e = sub x1 c
        f = leaky_relu a ; 0.0
        g = leaky_relu c ; -0.0
        h = leaky_relu c ; 0.0
        return b d e f g h
        """,
        """
        %0 = mul x0, w0
        %1 = sub %0, x1
        %2 = sub x1, %0
        %3 = leaky_relu %0, 0.0
        %4 = leaky_relu %0, -0.0
        return %1, %1, %2, %3, %4, %3
        """,
    )


def test_common_constants_are_told_by_their_bits():
    code = Code()
    code.outputs = [code.add("constant", (), k) for k in (0.0, -0.0, 1.0, math.nan, 0.0, math.nan, 1.0)]
    assert common_subexpressions(code).outputs == [0, 1, 2, 3, 0, 3, 2]


@pytest.mark.parametrize(
    "row",
    [
        "mul x0 1", "mul 1 x0", "div x0 1", "pow_const x0 ; 1", "pow x0 1", "sub x0 0", "add x0 -0.0", "add -0.0 x0",
        "sum x0", "neg neg", "d0:add", "d1:add", "d0:sub",
    ],
)  # fmt: skip
def test_identities_hold_for_every_special_value_and_go(row):
    if row == "neg neg":
        code = code_of("a = neg x0\nb = neg a\nreturn b")
    elif ":" in row:
        code = code_of(f"a = {row} x0 w0 w1 w2\nreturn a")
    else:
        code = code_of(f"a = {row}\nreturn a")
    assert text_of(drop_identities(code)) == "return x0"
    [computed], _ = run(code, columns=[SPECIAL], parameters=[2.0, 3.0, 4.0])
    assert same_bits(computed, SPECIAL)


@pytest.mark.parametrize(
    "row",
    ["add x0 0", "add 0 x0", "sub x0 -0.0", "sub 0 x0", "sub x0 x0", "mul x0 0", "mul x0 -1", "div 1 x0", "div x0 x0",
     "pow_const x0 ; 0", "pow_const x0 ; 2", "d1:sub x0 w0 w1 w2", "sum x0 0"],
)  # fmt: skip
def test_what_is_not_its_operand_for_some_value_stays(row):
    code = code_of(f"a = {row}\nreturn a")
    assert text_of(drop_identities(code)) == text_of(code)
    [computed], _ = run(code, columns=[SPECIAL], parameters=[2.0, 3.0, 4.0])
    assert not same_bits(computed, SPECIAL)


def test_a_chain_of_additions_is_a_sum():
    check(
        gather_sums,
        """
        a = add x0 x1
        b = add a x2
        c = add x3 b
        d = add x0 x1
        return c d
        """,
        """
        %0 = sum x0 + x1 + x2 + x3
        %1 = add x0, x1
        return %0, %1
        """,
    )


def test_a_value_with_another_use_ends_a_chain_and_begins_the_next():
    check(
        gather_sums,
        """
        a = add x0 x1
        b = add a x2
        c = relu b
        d = add b x3
        e = add d x1
        return c e
        """,
        """
        %0 = sum x0 + x1 + x2
        %1 = relu %0
        %2 = sum %0 + x3 + x1
        return %1, %2
        """,
    )


def test_outputs_are_not_computed_twice():
    check(
        gather_sums,
        "a = add x0 x1\nb = add a x2\nc = add b x3\nreturn b c",
        "%0 = sum x0 + x1 + x2\n%1 = add %0, x3\nreturn %0, %1",
    )
    check(
        gather_products,
        "p = mul x0 w0\nq = mul x1 w1\na = add p q\nreturn q a",
        "%0 = mul x0, w0\n%1 = mul x1, w1\n%2 = add %0, %1\nreturn %1, %2",
    )


def test_a_chain_ends_where_something_else_uses_its_operands():
    """x1's gradient is that of b, then that of the product, then that of a: a sum at d would make it b, a, product."""
    check(
        gather_sums,
        """
        a = add x0 x1
        p = mul x1 x4
        b = add a x1
        c = add b p
        return c
        """,
        """
        %0 = add x0, x1
        %1 = mul x1, x4
        %2 = sum %0 + x1 + %1
        return %2
        """,
    )


def test_python_s_sum_of_products_is_a_dot_product():
    check(
        gather_products,
        """
        p = mul w0 x0
        a = add p 0
        q = mul x1 w1
        b = add a q
        r = mul w2 x2
        c = add r b
        return c
        """,
        """
        %0 = dot 0.0 + w0*x0 + w1*x1 + w2*x2
        return %0
        """,
    )


def test_a_neuron_and_its_bias():
    check(
        gather_products,
        """
        p = mul w0 x0
        a = add w4 p
        q = mul w1 x1
        b = add a q
        c = relu b
        return c
        """,
        """
        %0 = dot w4 + w0*x0 + w1*x1
        %1 = relu %0
        return %1
        """,
    )


def test_products_alone_and_in_a_sum():
    check(
        gather_products,
        """
        p = mul x0 x0
        q = mul x1 x1
        a = add p q
        r = mul x2 w2
        s = mul x3 w3
        b = sum a r s
        return b
        """,
        """
        %0 = dot x0*x0 + x1*x1
        %1 = dot %0 + w2*x2 + w3*x3
        return %1
        """,
    )


def test_few_products_stay_unless_asked_for():
    before = "p = mul x0 w0\na = add x1 p\nreturn a"
    check(gather_products, before, "%0 = mul x0, w0\n%1 = add x1, %0\nreturn %1")
    check(lambda code: gather_products(code, shortest=1), before, "%0 = dot x1 + w0*x0\nreturn %0")


@pytest.mark.parametrize(
    ("start", "first", "second", "joined"),
    [
        ("x5", "x0 x9", "x9 x1", True),  # input, then weight: the sweep met the second product first, as it does now
        ("x5", "x9 x0", "x1 x9", False),
        ("x5", "x9 x0", "x9 x1", False),
        ("x5", "x0 x9", "x1 x9", False),
        ("x9", "x0 x9", "x1 x2", True),  # the start was met after the second product and before the first
        ("x9", "x9 x0", "x1 x2", False),
        ("x9", "x0 x1", "x9 x2", True),
        ("x9", "x0 x1", "x2 x9", False),
        ("x9", "x0 x9", "x9 x1", True),
        ("x5", "x9 x9", "x0 x1", True),
        ("x5", "x9 x9", "x9 x1", False),
        ("0.5", "w1 0.5", "w2 0.5", True),  # constants have no gradient
    ],
)
def test_an_operand_of_several_parts_joins_only_in_the_sweep_s_order(start, first, second, joined):
    """The sweep meets the last product first, and of a dot product the weights, the start, the inputs."""
    code = code_of(f"p = mul {first}\na = add {start} p\nq = mul {second}\nb = add a q\nreturn b")
    assert (gather_products(code).ops.count("dot") == 1) == joined


def test_a_product_with_an_operand_used_in_between_stays():
    check(
        gather_products,
        """
        p = mul w0 x0
        q = mul w1 x1
        r = tanh x1
        s = add p q
        t = mul w2 x2
        u = add s t
        v = mul w3 x3
        y = add u v
        return y r
        """,
        """
        %0 = mul w0, x0
        %1 = mul w1, x1
        %2 = tanh x1
        %3 = add %0, %1
        %4 = dot %3 + w2*x2 + w3*x3
        return %4, %2
        """,
    )


@pytest.mark.parametrize("second", ["x2 x1", "x1 x2"])
def test_a_chain_of_additions_does_not_pass_a_use_by_another(second):
    """x1's gradient is b's, then a's; from the end of a's chain it would be a's, then b's."""
    text = f"a = add x0 x1\nb = add {second}\nc = add a x3\nd = mul b c\nreturn d"
    assert gather_sums(code_of(text)).ops.count("sum") == 0
    assert gather_sums(code_of(text.replace(second, "x2 x5"))).ops.count("sum") == 1


@pytest.mark.parametrize("second", ["x9 x5", "x5 x9"])
def test_a_chain_of_products_does_not_pass_a_use_by_another(second):
    text = f"""
        p = mul x0 x9
        a = add x1 p
        q = mul {second}
        b = add x2 q
        r = mul x3 x4
        c = add a r
        d = div b c
        return d
        """
    assert gather_products(code_of(text)).ops.count("dot") == 0
    assert gather_products(code_of(text.replace(second, "x7 x8"))).ops.count("dot") == 1


# ---- none changes a bit ----

BEFORE_DERIVATIVES = [
    dead_code, fold_constants, lambda code: fold_constants(code, exact=True), gather_sums, gather_products,
    lambda code: gather_sums(code, 2), lambda code: gather_products(code, 1),
]  # fmt: skip
GATHERING = BEFORE_DERIVATIVES[3:]
ALL = [*BEFORE_DERIVATIVES, common_subexpressions, drop_identities]


@given(codes(derivatives=True), samples(), st.permutations(ALL))
def test_no_pass_and_no_sequence_of_passes_changes_a_bit(code, given_samples, order):
    values, added = run(code, **given_samples)
    for change in ALL:
        assert _same(run(change(code), **given_samples), values, added)
    for change in order:
        code = change(code)
        assert all(a < i for i, args in enumerate(code.args) for a in args)
    assert _same(run(code, **given_samples), values, added)


def _same(found, values, added) -> bool:
    return same_bits(found[0], values) and same_bits(found[1], added)


@given(codes(), samples(), st.permutations(BEFORE_DERIVATIVES))
def test_passes_before_derivatives_change_no_gradient(code, given_samples, order):
    changed = [change(code) for change in BEFORE_DERIVATIVES]
    whole = code
    for change in order:
        whole = change(whole)
    for root in range(len(code.outputs)):
        expected = gradients(code, code.outputs[root], given_samples)
        for other in [*changed, whole]:
            found = gradients(other, other.outputs[root], given_samples)
            for leaf, grads in expected.items():
                assert same_bits(found.get(leaf, [0.0] * len(grads)), grads, signs_of_zeros=False)


def test_gathering_keeps_the_order_of_what_gradients_add_up():
    random, gathered = Random(5), 0
    for _ in range(4000):
        code = sums(random)
        order = random.sample(GATHERING, 3)
        changed = code
        for change in order:
            changed = change(changed)
        gathered += changed.ops.count("sum") + changed.ops.count("dot")
        for before, after in zip(code.outputs, changed.outputs, strict=True):
            assert orders(changed, after) == orders(code, before)
    assert gathered > 4000


def test_empty_code():
    for change in ALL:
        assert change(Code()) == Code()
