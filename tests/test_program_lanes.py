"""Parts that are the same expression over other leaves: which are found, and that splitting changes no bit.

The oracle runs the parts in their order, lane by lane, and the code they were found in, on Python floats.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pygrad.ops import OPS
from pygrad.programs import lanes
from pygrad.programs.code import LEAVES, Code
from pygrad.programs.lanes import Split, find_lanes

# ---- writing code ----


class Expression:
    """A value of code that is being written; operators append to it, as a recording would."""

    def __init__(self, code: Code, number: int) -> None:
        self.code, self.number = code, number

    def _with(self, op: str, *others: Any, k: Any = None) -> Expression:
        operands = [self, *[o if isinstance(o, Expression) else constant(self.code, o) for o in others]]
        return Expression(self.code, self.code.add(op, tuple(o.number for o in operands), k))

    def __add__(self, other: Any) -> Expression:
        return self._with("add", other)

    def __radd__(self, other: float) -> Expression:
        return constant(self.code, other) + self

    def __mul__(self, other: Any) -> Expression:
        return self._with("mul", other)

    def __rmul__(self, other: float) -> Expression:
        return constant(self.code, other) * self

    def __sub__(self, other: Any) -> Expression:
        return self._with("sub", other)

    def __rsub__(self, other: float) -> Expression:
        return constant(self.code, other) - self

    def __truediv__(self, other: Any) -> Expression:
        return self._with("div", other)

    def __pow__(self, k: float) -> Expression:
        return self._with("pow_const", k=float(k))

    def __neg__(self) -> Expression:
        return self._with("neg")

    def __getattr__(self, op: str) -> Callable[[], Expression]:
        if op not in OPS:
            raise AttributeError(op)
        return lambda: self._with(op)


def constant(code: Code, x: float) -> Expression:
    return Expression(code, code.add("constant", (), float(x)))


def of_many(op: str, operands: Sequence[Expression]) -> Expression:
    code = operands[0].code
    return Expression(code, code.add(op, tuple(o.number for o in operands)))


def parameters(code: Code, count: int) -> list[Expression]:
    return [Expression(code, code.add("parameter", (), k)) for k in range(count)]


class Net:
    """Fully connected layers, relu between them; with dot instructions, or multiplications and additions."""

    def __init__(self, code: Code, sizes: Sequence[int], dots: bool) -> None:
        count = sum((n + 1) * m for n, m in pairwise(sizes))
        self.code, self.sizes, self.dots = code, sizes, dots
        self.parameters = parameters(code, count)

    def __call__(self, x: Sequence[Any]) -> list[Expression]:
        values = [v if isinstance(v, Expression) else constant(self.code, v) for v in x]
        given = iter(self.parameters)
        last = len(self.sizes) - 2
        for layer, (n, m) in enumerate(zip(self.sizes, self.sizes[1:])):
            results = []
            for _ in range(m):
                w = [next(given) for _ in range(n)]
                z = next(given)
                if self.dots:
                    z = of_many("dot", [z, *[v for pair in zip(w, values) for v in pair]])
                else:
                    for a, b in zip(w, values):
                        z = z + a * b
                results.append(z if layer == last else z.relu())
            values = results
        return values


def total(terms: Sequence[Expression], start: Any = 0.0) -> Expression:
    result = start
    for term in terms:
        result = result + term
    return result


# ---- running it ----


def number_of(op: str, xs: Sequence[float], k: Any) -> float:
    if op == "dot":
        odd = len(xs) % 2
        z = xs[0] if odd else xs[0] * xs[1]
        for i in range(odd or 2, len(xs), 2):
            z = z + xs[i] * xs[i + 1]
        return z
    if op == "sum":
        z = xs[0]
        for x in xs[1:]:
            z = z + x
        return z
    if op == "logsumexp":
        largest = max(xs)
        z = 0.0
        for x in xs:
            z += math.exp(x - largest)
        return largest + math.log(z)
    return float(OPS[op].value(*xs) if k is None else OPS[op].value(*xs, k))


def run(code: Code, given: Sequence[float], inputs: Sequence[float] = (), known: Any = ()) -> list[float]:
    """Every value of the code."""
    values: list[float] = []
    leaves: dict[str, Any] = {"parameter": given, "input": inputs, "shared": known}
    for op, args, k in zip(code.ops, code.args, code.ks):
        if op == "constant":
            values.append(k)
        elif op in LEAVES:
            values.append(leaves[op][k])
        else:
            values.append(number_of(op, [values[x] for x in args], k))
    return values


def run_split(split: Split, code: Code, given: Sequence[float]) -> dict[int, float]:
    """What each part gives, by the numbers of the original; a value used before it is there is a KeyError."""
    known: dict[int, float] = {}
    numbers = {i: given[k] for i, (op, k) in enumerate(zip(code.ops, code.ks)) if op == "parameter"}
    for part in split.parts:
        results: dict[int, float] = {}
        before = {**numbers, **known}
        assert all(len(row) == part.lanes for row in [*part.rows, *part.outputs])
        for lane in range(part.lanes):
            row = [float(r[lane]) if r.dtype == np.float64 else before[int(r[lane])] for r in part.rows]
            values = run(part.code, given, row, before)
            for number, output in zip(part.outputs, part.code.outputs):
                assert int(number[lane]) not in results
                results[int(number[lane])] = values[output]
        assert not results.keys() & known.keys()
        known.update(results)
    return known


def same_bits(a: float, b: float) -> bool:
    return np.float64(a).tobytes() == np.float64(b).tobytes()


def work(code: Code) -> int:
    return sum(op not in LEAVES for op in code.ops)


def check(code: Code, seed: int = 1) -> Split:
    """Splits; every value that a part gives has the original's bits, and no instruction is done twice or left out."""
    split = find_lanes(code)
    rng = random.Random(seed)
    given = [rng.uniform(-1.0, 1.0) for op in code.ops if op == "parameter"]
    original = run(code, given)
    known = run_split(split, code, given)
    assert split.outputs == code.outputs
    assert all(number in known for number in split.outputs)
    assert all(same_bits(x, original[number]) for number, x in known.items())
    assert sum(part.lanes * work(part.code) for part in split.parts) == work(code)
    assert all(part.lanes == 1 or part.lanes >= 4 for part in split.parts)
    return split


def shape(split: Split) -> list[tuple[int, int, int, int]]:
    """Of each part of many lanes: lanes, instructions of a lane, rows of constants, rows that are gathered."""
    return [
        (
            part.lanes,
            work(part.code),
            sum(row.dtype == np.float64 for row in part.rows),
            sum(row.dtype == np.int64 for row in part.rows),
        )
        for part in split.groups
    ]


def rest(split: Split) -> int:
    return sum(work(part.code) for part in split.parts if part.lanes == 1)


# ---- data sets ----


def moons(samples: int, dots: bool) -> tuple[Code, list[Expression]]:
    code = Code()
    net = Net(code, [2, 16, 16, 1], dots)
    rng = random.Random(7)
    losses = []
    for _ in range(samples):
        (score,) = net([rng.uniform(-1.0, 2.0), rng.uniform(-1.0, 1.0)])
        losses.append((1.0 + -rng.choice([-1.0, 1.0]) * score).relu())
    data_loss = total(losses) * (1.0 / samples)
    penalty = 1e-4 * total([p * p for p in net.parameters])
    code.outputs = [(data_loss + penalty).number]
    return code, losses


@pytest.mark.parametrize("dots", [True, False])
def test_the_loss_of_a_data_set_is_one_group_and_its_penalty_another(dots: bool) -> None:
    code, _ = moons(100, dots)
    split = check(code)
    assert sorted(shape(split)) == [
        (100, 36 + 32 if dots else 2 * (2 * 16 + 16 * 16 + 16) + 32 + 3, 3, 0),
        (337, 1, 0, 1),
    ]
    assert rest(split) == 100 + 337 + 3


def test_values_that_are_outputs_too_come_from_the_lanes() -> None:
    code, losses = moons(100, True)
    code.outputs += [loss.number for loss in losses]
    split = check(code)
    assert [group.lanes for group in split.groups].count(100) == 1


@pytest.mark.parametrize("given_before", [False, True])
def test_data_that_are_parameters_are_gathered(given_before: bool) -> None:
    code = Code()
    net = Net(code, [2, 8, 1], True)
    rng = random.Random(3)
    data = [[rng.random(), rng.random()] for _ in range(40)]
    if given_before:
        xs: list[Any] = [
            [Expression(code, code.add("parameter", (), 33 + 2 * i + j)) for j in range(2)] for i in range(40)
        ]
    else:
        xs = data
    code.outputs = [total([net(x)[0] ** 2 for x in xs]).number]
    (found,) = shape(check(code))
    assert found == ((40, 18, 0, 2) if given_before else (40, 18, 2, 0))


def softmax(samples: int, classes: int, fused: bool, sizes: Sequence[int]) -> Code:
    code = Code()
    net = Net(code, [*sizes, classes], True)
    rng = random.Random(5)
    losses = []
    for _ in range(samples):
        scores = net([rng.random() for _ in range(sizes[0])])
        target = rng.randrange(classes)
        if fused:
            losses.append(of_many("logsumexp", scores) - scores[target])
        else:
            powers = [s.exp() for s in scores]
            losses.append(-(powers[target] / total(powers)).log())
    code.outputs = [total(losses).number]
    return code


def test_the_target_of_a_softmax_may_differ() -> None:
    """The net is one group, with its logits' powers and their sum as results; what picks among them comes after it."""
    split = check(softmax(100, 10, False, [16, 8]))
    net, picks = split.groups
    assert (net.lanes, picks.lanes) == (100, 100)
    assert work(net.code) == 8 * 2 + 10 + 20
    assert work(picks.code) == 3
    assert rest(split) == 100


def test_what_would_not_pay_is_left_over() -> None:
    """One subtraction for each sample, of logits that a group computes."""
    split = check(softmax(32, 10, True, [64, 32]))
    assert shape(split) == [(32, 32 * 2 + 10 + 1, 64, 0)]
    assert rest(split) == 32 + 32


@pytest.mark.parametrize("samples", [32, 300])
@pytest.mark.parametrize("fused", [True, False])
def test_the_net_is_not_copied_for_each_of_a_few_classes(samples: int, fused: bool) -> None:
    split = check(softmax(samples, 3, fused, [4, 16]))
    assert [group.lanes for group in split.groups if work(group.code) > 20] == [samples]


@pytest.mark.parametrize("samples", [16, 100])
def test_terms_of_one_sample_share_its_lanes(samples: int) -> None:
    """A sum over samples and outputs: the terms of each output are found apart, and joined to those they share with."""
    code = Code()
    net = Net(code, [5, 12, 6], True)
    rng = random.Random(9)
    terms = []
    for _ in range(samples):
        for z in net([rng.random() for _ in range(5)]):
            terms.append((z - rng.random()) ** 2)
    code.outputs = [total(terms).number]
    split = check(code)
    assert shape(split) == [(samples, 12 * 2 + 6 * 3, 5 + 6, 0)]


# ---- functions of many parameters ----


def rosenbrock(count: int) -> Code:
    code = Code()
    x = parameters(code, count)
    result: Any = 0.0
    for a, b in pairwise(x):
        result = result + 100.0 * (b - a**2) ** 2 + (1.0 - a) ** 2
    code.outputs = [result.number]
    return code


def test_rosenbrock() -> None:
    split = check(rosenbrock(1000))
    assert shape(split) == [(999, 6, 0, 2)]
    assert rest(split) == 2 * 999


def bodies(count: int) -> Code:
    code = Code()
    p = parameters(code, 6 * count)
    where, speed = [p[3 * i : 3 * i + 3] for i in range(count)], [p[3 * i : 3 * i + 3] for i in range(count, 2 * count)]
    rng = random.Random(2)
    mass = [rng.random() for _ in range(count)]
    energy: Any = 0.0
    for i in range(count):
        x, y, z = speed[i]
        energy = energy + 0.5 * mass[i] * (x * x + y * y + z * z)
        for j in range(i):
            dx, dy, dz = (a - b for a, b in zip(where[i], where[j]))
            energy = energy - constant(code, mass[i] * mass[j]) / (dx * dx + dy * dy + dz * dz + 0.01).sqrt()
    code.outputs = [energy.number]
    return code


def test_bodies() -> None:
    code = bodies(20)
    split = check(code)
    pairs, kinetic = sorted(split.groups, key=lambda g: -g.lanes)
    assert (pairs.lanes, kinetic.lanes) == (190, 20)
    assert sum(row.dtype == np.int64 for row in pairs.rows) == 6
    assert sum(row.dtype == np.int64 for row in kinetic.rows) == 3
    assert rest(split) == 190 + 20


def test_shared_values_of_neighbours_are_computed_once() -> None:
    code = Code()
    y = [(x * x).tanh() for x in parameters(code, 200)]
    code.outputs = [total([(a - b) ** 2 * a for a, b in pairwise(y)]).number]
    assert shape(check(code)) == [(200, 2, 0, 1), (199, 3, 0, 2)]


def test_what_all_lanes_share_is_computed_before_them() -> None:
    code = Code()
    p = parameters(code, 3)
    scale = (p[0] * p[1]).exp()
    rng = random.Random(8)
    code.outputs = [total([(scale * rng.random() - p[2]).tanh() for _ in range(50)]).number]
    split = check(code)
    assert shape(split) == [(50, 3, 1, 0)]
    assert [part.lanes for part in split.parts] == [1, 50, 1]
    assert "shared" in split.groups[0].code.ops


def test_terms_before_and_after_the_lanes_are_not_mixed() -> None:
    """w * s goes into the samples' lanes, and loss * s comes out of them: one class may not hold both."""
    code = Code()
    p = parameters(code, 60)
    w = [a * p[59] for a in p[:50]]
    rng = random.Random(8)
    losses = [of_many("dot", [v for a in w for v in (a, constant(code, rng.random()))]).tanh() for _ in range(50)]
    code.outputs = [total([loss * p[58] for loss in losses]).number]
    check(code)


def test_what_lanes_read_is_not_computed_after_them() -> None:
    """v goes into the samples' lanes, and v * loss depends on them: v may not stand in the lanes of that."""
    code = Code()
    v = [x.tanh() for x in parameters(code, 50)]
    rng = random.Random(8)
    losses = [of_many("dot", [a for x in v for a in (x, constant(code, rng.random()))]).tanh() for _ in range(50)]
    code.outputs = [total([x * loss for x, loss in zip(v, losses)]).number]
    check(code)


def test_an_expression_with_few_constants_for_each_of_many_parameters() -> None:
    code = Code()
    rng = random.Random(8)
    code.outputs = [
        total([((x - rng.random()) ** 2).tanh() for x in parameters(code, 300) for _ in range(6)]).number
    ]
    assert shape(check(code)) == [(1800, 3, 1, 1)]


# ---- nothing to find ----


def test_chains_in_time_have_no_lanes() -> None:
    code = Code()
    u, w = parameters(code, 2)
    h: Any = constant(code, 0.0)
    for t in range(300):
        h = (w * h + math.sin(t) * u).tanh()
    code.outputs = [h.number]
    assert all(work(group.code) == 1 for group in check(code).groups)


def test_sequences_of_a_batch_are_lanes() -> None:
    code = Code()
    u, w = parameters(code, 2)
    rng = random.Random(8)
    last = []
    for _ in range(20):
        h: Any = constant(code, 0.0)
        for _ in range(30):
            h = (w * h + rng.random() * u).tanh()
        last.append(h * h)
    code.outputs = [total(last).number]
    assert shape(check(code)) == [(20, 4 * 30 + 1, 30, 0)]


def test_a_chain_of_a_hundred_thousand() -> None:
    code = Code()
    x = parameters(code, 1)[0]
    for _ in range(100_000):
        x = x.tanh()
    code.outputs = [x.number]
    split = find_lanes(code)
    assert [part.lanes for part in split.parts] == [1]
    assert split.parts[0].code.ops == code.ops


def test_four_long_chains() -> None:
    code = Code()
    ends = []
    for x in parameters(code, 4):
        for _ in range(20_000):
            x = x.sin()
        ends.append(x)
    code.outputs = [total(ends).number]
    assert shape(find_lanes(code)) == [(4, 20_000, 0, 1)]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_few_are_not_worth_it(count: int) -> None:
    code = Code()
    ends = []
    for x in parameters(code, count):
        for _ in range(100):
            x = x.sin()
        ends.append(x)
    code.outputs = [total(ends).number]
    assert find_lanes(code).groups == []


def test_an_output_may_be_a_leaf() -> None:
    code = Code()
    x, y = parameters(code, 2)
    code.outputs = [y.number, (x * y).number, constant(code, 2.5).number, y.number]
    check(code)
    only = Code(["parameter"], [()], [0], [0])
    assert [part.code for part in check(only).parts] == [only]


def test_no_code() -> None:
    assert find_lanes(Code()).parts == []


def test_constants_alone() -> None:
    code = Code()
    code.outputs = [total([constant(code, i).tanh() * 2.0 for i in range(50)]).number]
    assert shape(check(code)) == [(50, 2, 1, 0)]


def test_zeros_of_either_sign_and_nan_are_told_apart() -> None:
    code = Code()
    x = parameters(code, 1)[0]
    special = [0.0, -0.0, math.nan, math.inf] * 20
    terms = [x._with("leaky_relu", k=k) * c for k in (0.0, -0.0) for c in special]
    code.outputs = [t.number for t in terms]
    check(code)


def test_code_with_samples_is_refused() -> None:
    with pytest.raises(ValueError, match="without arguments; this has 'input'"):
        find_lanes(Code(["input"], [()], [0], [0]))


# ---- at random ----


class Planted:
    """An expression of random steps, written again and again over random operands; some of them always the same."""

    def __init__(self, rng: random.Random, code: Code, values: list[Expression]) -> None:
        ops = ["add", "mul", "sub", "tanh", "sin", "dot", "sum"]
        self.rng, self.code = rng, code
        self.steps = [(rng.choice(ops), [rng.random() for _ in range(3)]) for _ in range(rng.randrange(1, 12))]
        self.fixed = {at: rng.choice(values) for _, picks in self.steps for at in picks if rng.random() < 0.3}
        self.window = values[-rng.randrange(1, 40) :]

    def write(self) -> list[Expression]:
        results: list[Expression] = []
        for op, picks in self.steps:
            a, b, c = (self._operand(results, at) for at in picks)
            if op in ("tanh", "sin"):
                results.append(a._with(op))
            else:
                results.append((of_many(op, [a, b, c, a]) if op in ("dot", "sum") else a._with(op, b)).tanh())
        return results

    def _operand(self, results: list[Expression], at: float) -> Expression:
        if at in self.fixed:
            return self.fixed[at]
        if results and at < 0.6:
            return results[int(at * 7919) % len(results)]
        if at < 0.75:
            return constant(self.code, self.rng.choice([0.5, self.rng.uniform(-1.0, 1.0)]))
        return self.rng.choice(self.window)


@st.composite
def codes(draw: st.DrawFn) -> Code:
    """Random code, in which some expressions are planted many times, over any values so far."""
    rng = random.Random(draw(st.integers(0, 1 << 32)))
    code = Code()
    values = parameters(code, draw(st.integers(1, 12)))
    for _ in range(draw(st.integers(1, 8))):
        planted = Planted(rng, code, values)
        ends = []
        for _ in range(rng.choice([1, 2, 5, 12, 40])):
            results = planted.write()
            ends.append(results[-1])
            if rng.random() < 0.1:
                values.append(rng.choice(results))
        values += ends if rng.random() < 0.5 else [total(ends)]
    code.outputs = [v.number for v in rng.sample(values, min(3, len(values)))] + [total(values).number]
    return code


@pytest.mark.parametrize("overhead", [100.0, -math.inf])
@given(code=codes(), seed=st.integers(0, 100))
def test_any_code_keeps_its_bits(overhead: float, code: Code, seed: int) -> None:
    """With an overhead of -inf whatever can be lanes pays."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lanes, "_PART", overhead)
        check(code, seed)
