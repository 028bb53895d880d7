"""The C machine of programs against a slow one in NumPy, on programs written by hand as words.

Every kind of move and instruction, numbers of samples around the limits of lanes and tasks, every number of threads and
every instruction set of this processor: always the same bits. And what it refuses.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from pygrad._ffi import OP_CODES, ffi, lib
from pygrad.ops import OPS

from . import program_words as w
from .program_words import Array, Machine, Stage, assemble


def usable_sets() -> list[str]:
    names: list[str] = []
    while (name := lib.pg_program_isa_usable(len(names))) != ffi.NULL:
        names.append(ffi.string(name).decode())
    return names


SETS = usable_sets()


@pytest.fixture(autouse=True)
def usual_set() -> Iterator[None]:
    yield
    assert lib.pg_program_use_isa(ffi.NULL) == lib.PG_OK


def status_of(words: Array, constants: Array) -> int:
    status = ffi.new("int *")
    program = lib.pg_program_new(
        ffi.from_buffer("uint32_t[]", words), len(words), ffi.from_buffer("double[]", constants), len(constants), status
    )
    lib.pg_program_free(program)
    return int(status[0])


class Program:
    """A program of the C library, and what its runs give."""

    def __init__(self, words: Array, constants: Array) -> None:
        status = ffi.new("int *")
        program = lib.pg_program_new(
            ffi.from_buffer("uint32_t[]", words), len(words),
            ffi.from_buffer("double[]", constants), len(constants), status,
        )  # fmt: skip
        assert status[0] == lib.PG_OK
        self.pointer = ffi.gc(program, lib.pg_program_free)
        head = words.tolist()
        self.parameters = head[2]
        self.widths = head[12 + head[5] + head[6] :][: head[7]]

    def run(self, parameters: Array, samples: int, arguments: Sequence[Array] = (), indices: Sequence[Array] = (),
            order: Array | None = None, seeds: Any = 1.0, threads: int = 1, exact: int = 1, rows: int | None = None,
            ) -> tuple[list[Array], Array, float]:  # fmt: skip
        """outputs, gradient, loss."""
        outputs = [np.full((samples, width), np.nan) for width in self.widths]
        gradient, loss, where = np.full(self.parameters, np.nan), ffi.new("double *"), ffi.new("size_t[2]")
        keep: list[Any] = [ffi.from_buffer("double[]", x) for x in [*arguments, *outputs, gradient, parameters]]
        keep += [ffi.from_buffer("int64_t[]", i) for i in indices]
        n = len(arguments)
        call = ffi.new("pg_call *")
        call.samples, call.parameters = samples, ffi.from_buffer("double[]", parameters)
        keep.append(ffi.new("double *[]", keep[:n]))
        call.arguments = ffi.cast("double **", keep[-1])
        keep.append(ffi.new("double *[]", keep[n : n + len(outputs)]))
        call.outputs = keep[-1]
        keep.append(ffi.new("int64_t *[]", [ffi.from_buffer("int64_t[]", i) for i in indices]))
        call.indices = ffi.cast("int64_t **", keep[-1])
        call.order = ffi.NULL if order is None else ffi.from_buffer("int64_t[]", order)
        call.rows = rows if rows is not None else len([*arguments, *indices][0]) if [*arguments, *indices] else samples
        call.gradient, call.loss, call.where = ffi.from_buffer("double[]", gradient), loss, where
        if isinstance(seeds, np.ndarray):
            call.seeds = ffi.from_buffer("double[]", seeds)
        else:
            call.seed = seeds
        call.threads, call.exact = threads, exact
        status = lib.pg_program_run(self.pointer, call)
        if status != lib.PG_OK:
            raise RuntimeError(status, list(where))
        return outputs, gradient, loss[0]


def same(got: Any, want: Any) -> bool:
    return np.array_equal(np.asarray(got), np.asarray(want), equal_nan=True)


def check(program: tuple[Array, Array], parameters: Array, samples: int, **call: Any) -> None:
    """The C machine gives what the slow one does, with every instruction set and number of threads."""
    slow = Machine(*program, parameters, samples, **call)
    fast = Program(*program)
    for isa in SETS:
        assert lib.pg_program_use_isa(isa.encode()) == lib.PG_OK
        for threads in (1, 2, 3, 0):
            outputs, gradient, loss = fast.run(parameters, samples, threads=threads, **call)
            for got, want in zip(outputs, slow.outputs):
                assert same(got, want), isa
            assert same(gradient, slow.gradient), (isa, threads)
            assert same(loss, slow.loss)


# ---- programs ----


def classifier(nin: int = 5, hidden: int = 9, classes: int = 4) -> tuple[Array, Array]:
    """tanh layer, linear layer, cross-entropy; forward and gradient by hand, weights stored row by row, then biases.

    Arguments: a vector, a weight of the sample. Outputs: the scores, the loss.
    """
    n1, n2 = hidden * nin, classes * hidden
    b1, w2, b2 = n1, n1 + hidden, n1 + hidden + n2
    s = Stage()
    x = s.load(w.ARGUMENT, s.new(nin), nin)
    weight = s.load(w.ARGUMENT, s.new(), source=1)
    seed = s.load(w.SEED, s.new())
    half = s.do(w.FILL, a=b2 + classes, prologue=True)  # the constant 0.5
    rows1, cols1 = [r * nin for r in range(hidden)], list(range(nin))
    h = s.new(hidden)
    z1 = s.do(w.DENSE, a=x, b=h, c=nin, d=OP_CODES["tanh"], width=hidden,
              at=s.pooled(rows1, cols1, range(b1, b1 + hidden)))  # fmt: skip
    rows2, cols2 = [w2 + r * hidden for r in range(classes)], list(range(hidden))
    scores = s.do(w.DENSE, a=h, c=hidden, width=classes, at=s.pooled(rows2, cols2, range(b2, b2 + classes)))
    total = s.do(w.LOGSUMEXP, c=classes, at=s.pooled(range(scores, scores + classes)))
    picked = s.do(w.PICK, a=scores, c=classes)
    difference = s.value("sub", total, picked)
    scaled = s.value("mul", difference, weight)
    loss = s.value("mul", scaled, half)
    # the way back
    d_scaled = s.value("mul", seed, half)
    d = s.derivative("mul", d_scaled, x=difference, y=weight, z=scaled)
    minus = s.value("neg", d)
    d_picked = s.do(w.PICK_DX, a=minus, width=classes)
    d_scores = s.new(classes)
    for i in range(classes):
        part = s.derivative("logsumexp", d, x=scores + i, z=total)
        s.do(OP_CODES["add"], w.VALUE, z=d_scores + i, a=d_picked + i, b=part, c=w.NO_SLOT, d=w.NO_SLOT)
    s.do(w.OUTER, z=0, a=d_scores, b=h, c=hidden, width=classes, at=s.pooled(rows2, cols2))
    s.do(w.ACCUMULATE, z=0, a=d_scores, width=classes, at=s.pooled(range(b2, b2 + classes)))
    transposed = s.pooled([w2 + j for j in range(hidden)], [r * hidden for r in reversed(range(classes))],
                          [b2 + classes + 1] * hidden)  # fmt: skip
    d_h = s.do(w.DENSE_DOWN, a=d_scores + classes - 1, c=classes, width=hidden, at=transposed)
    d_z1 = s.derivative("tanh", d_h, x=z1, z=h, width=hidden)
    s.do(w.OUTER, z=0, a=d_z1, b=x, c=nin, width=hidden, at=s.pooled(rows1, cols1))
    s.do(w.ACCUMULATE, z=0, a=d_z1, width=hidden, at=s.pooled(range(b1, b1 + hidden)))
    s.store(w.OUTPUT, scores, classes, source=0)
    s.store(w.OUTPUT, loss, source=1)
    return assemble(b2 + classes, [s], constants=[0.5, 0.0], arguments=[nin, 1], indices=[classes],
                    outputs=[classes, 1], loss=2)  # fmt: skip


def data_for(samples: int, rows: int | None = None, nin: int = 5, classes: int = 4) -> dict[str, Any]:
    random = np.random.default_rng(samples)
    rows = samples if rows is None else rows
    return {
        "arguments": [random.normal(size=(rows, nin)), random.normal(size=(rows, 1))],
        "indices": [random.integers(0, classes, rows)],
    }


def parameters_for(program: tuple[Array, Array]) -> Array:
    return np.random.default_rng(0).normal(size=int(program[0][2])) * 0.3


def whole_loss(n: int, last_first: bool = False) -> tuple[Array, Array]:
    """sum of relu(p[i] * row[i] + p[i + 1]) * 1/n over n lanes, without samples: value and gradient.

    p[0], ..., p[n] are parameters; relu's values are computed values of V; a last stage of one lane sums them. What is
    added to p[i]'s gradient a third time makes the order of the additions matter. last_first: what adds to the later
    places of G is written first, so that all of its lanes may be done at once.
    """
    first = Stage(lanes=n)
    row = first.load(w.ROWS, first.new())
    left = first.load(w.GATHER, first.new(), at=first.pooled(range(n)))
    right = first.load(w.GATHER, first.new(), at=first.pooled(range(1, n + 1)))
    y = first.value("relu", first.value("add", first.value("mul", left, row), right))
    first.rows = [np.random.default_rng(n).normal(size=n)]
    first.store(w.SCATTER, y, at=n + 1)

    last = Stage(lanes=1)
    terms = last.do(w.FILL, a=n + 1, width=n)
    total = last.do(w.SUM, c=n, at=last.pooled(range(terms, terms + n)))
    scale = last.do(w.FILL, a=2 * n + 2, prologue=True)
    last.store(w.SCATTER, last.value("mul", total, scale), at=2 * n + 1)
    g = last.do(w.FILL, a=2 * n + 2, width=1)
    for i in range(n):
        last.store(w.ADD_G, g, at=last.pooled([n + 1 + i]))

    back = Stage(lanes=n)
    row = back.load(w.ROWS, back.new())
    z = back.load(w.GATHER, back.new(), at=back.pooled(range(n + 1, 2 * n + 1)))
    gz = back.load(w.GATHER_G, back.new(), at=back.pooled(range(n + 1, 2 * n + 1)))
    d = back.derivative("relu", gz, x=z, z=z)
    added = [(back.value("mul", d, row), 0), (z, 0), (d, 1)]
    for value, first_place in reversed(added) if last_first else added:
        back.store(w.ADD_G, value, at=back.pooled(range(first_place, first_place + n)))
    back.rows = first.rows

    out = Stage()
    out.store(w.OUTPUT, out.do(w.FILL, a=2 * n + 1))
    return assemble(n + 1, [first, last, back, out], computed=n + 1, constants=[1.0 / n], outputs=[1], loss=1)


# ---- the same bits ----

COUNTS = [1, 7, 8, 9, 100, 1023, 1024, 4097]


@pytest.mark.parametrize("samples", COUNTS)
def test_classifier(samples: int) -> None:
    program = classifier()
    check(program, parameters_for(program), samples, **data_for(samples), seeds=1.0 / samples)


@pytest.mark.parametrize("samples", [1, 9, 1100])
def test_samples_in_another_order_with_seeds_of_their_own(samples: int) -> None:
    program = classifier()
    order = np.random.default_rng(1).integers(0, 50, samples)
    seeds = np.random.default_rng(2).normal(size=samples)
    check(program, parameters_for(program), samples, **data_for(samples, rows=50), order=order, seeds=seeds)


@pytest.mark.parametrize("samples", [1, 7, 100, 1100])
@pytest.mark.parametrize(("rows", "cols"), [(1, 1), (1, 16), (2, 5), (16, 2), (16, 16), (10, 32), (33, 3)])
def test_an_outer_product_with_a_column_of_ones(rows: int, cols: int, samples: int) -> None:
    s = Stage()
    g, x = s.load(w.ARGUMENT, s.new(rows), rows), s.load(w.ARGUMENT, s.new(cols), cols, source=1)
    at = s.pooled([r * (cols + 1) for r in range(rows)], range(cols + 1))
    s.do(w.OUTER, z=0, a=g, b=x, c=cols, d=1, width=rows, at=at)
    s.store(w.OUTPUT, g)
    program = assemble(rows * (cols + 1), [s], arguments=[rows, cols], outputs=[1])
    random = np.random.default_rng(samples)
    arguments = [random.normal(size=(samples, rows)), random.normal(size=(samples, cols))]
    check(program, parameters_for(program), samples, arguments=arguments)


@pytest.mark.parametrize("n", [1, 2, 7, 8, 9, 100, 9000])
@pytest.mark.parametrize("last_first", [False, True])
def test_lanes_of_its_own(n: int, last_first: bool) -> None:
    program = whole_loss(n, last_first)
    check(program, parameters_for(program), 1)


def test_many_slots_make_small_blocks() -> None:
    """Blocks of 8 lanes, and a last one that is not full."""
    s = Stage()
    x = s.load(w.ARGUMENT, s.new(3), 3)
    wide = s.do(w.FILL, a=0, width=3000, prologue=True)
    y = s.do(w.SUM, c=3003, at=s.pooled(range(wide, wide + 3000), range(x, x + 3)))
    s.do(w.ACCUMULATE, z=0, a=x, width=3, at=s.pooled([2, 1, 0]))
    s.store(w.OUTPUT, y)
    program = assemble(3000, [s], arguments=[3], outputs=[1], loss=1)
    for samples in (1, 21, 1030):
        arguments = [np.random.default_rng(3).normal(size=(samples, 3))]
        check(program, parameters_for(program), samples, arguments=arguments)


def test_sums_and_copies() -> None:
    """Empty ones, one term, products with and without a start; a sum of -0.0 stays -0.0."""
    s = Stage()
    x = s.load(w.ARGUMENT, s.new(6), 6)
    outputs = [
        s.do(w.SUM, c=0),
        s.do(w.SUM, c=1, at=s.pooled([x])),
        s.do(w.SUM, c=4, at=s.pooled([x + 5, x, x, x + 2])),
        s.do(w.DOT, a=w.NO_SLOT, c=0),
        s.do(w.DOT, a=x + 1, c=0),
        s.do(w.DOT, a=w.NO_SLOT, c=1, at=s.pooled([x, x + 3])),
        s.do(w.DOT, a=w.NO_SLOT, c=3, at=s.pooled([x, x + 3, x + 4, x + 5, x + 1, x + 1])),
        s.do(w.DOT, a=x + 2, c=2, at=s.pooled([x, x + 3, x + 4, x + 5])),
        s.do(w.COPY, a=x + 3, width=3),
    ]
    for i, slot in enumerate(outputs):
        s.store(w.OUTPUT, slot, 3 if i == 8 else 1, at=i)
    program = assemble(0, [s], arguments=[6], outputs=[11])
    for samples in (1, 8, 13):
        x_data = np.random.default_rng(5).normal(size=(samples, 6))
        x_data[0, 0] = -0.0
        check(program, np.zeros(0), samples, arguments=[x_data])
        outputs_data, _, _ = Program(*program).run(np.zeros(0), samples, [x_data])
        assert np.signbit(outputs_data[0][0, 1])


@pytest.mark.parametrize("name", sorted(OPS))
def test_every_op(name: str) -> None:
    """Value and derivatives, on several slots at once; the derivatives with every operand given."""
    op, width = OPS[name], 3
    s = Stage()
    x = s.load(w.ARGUMENT, s.new(width), width)
    y = s.load(w.ARGUMENT, s.new(width), width, at=width)
    g = s.load(w.ARGUMENT, s.new(width), width, at=2 * width)
    binary = op.kind == "binary"
    z = s.value(name, x, y if binary else w.NO_SLOT, width=width, at=0)
    results = [z, s.derivative(name, g, x, z, y if binary else w.NO_SLOT, width=width, at=0)]
    if binary:
        results.append(s.derivative(name, g, x, z, y, by=w.DY, width=width))
    for i, slot in enumerate(results):
        s.store(w.OUTPUT, slot, width, at=i * width)
    program = assemble(0, [s], constants=[1.5], arguments=[3 * width], outputs=[len(results) * width])
    random = np.random.default_rng(7)
    for samples in (1, 20):
        check(program, np.zeros(0), samples, arguments=[random.uniform(0.1, 2.0, size=(samples, 3 * width))])


@pytest.mark.parametrize("repeat", range(16))
def test_an_operand_may_be_one_slot_for_all(repeat: int) -> None:
    """A derivative with some of its operands repeated, another without its y."""
    s, width = Stage(), 3
    slots = s.load(w.ARGUMENT, s.new(4 * width), 4 * width)
    g, x, y, z = range(slots, slots + 4 * width, width)
    results = [s.derivative("pow", g, x, z, y, width=width), s.derivative("tanh", g, x, z, width=width)]
    for words in s.instructions:
        words[0] |= repeat << 16
    for i, slot in enumerate(results):
        s.store(w.OUTPUT, slot, width, at=i * width)
    program = assemble(0, [s], arguments=[4 * width], outputs=[2 * width])
    for samples in (1, 20):
        numbers = np.random.default_rng(repeat).uniform(0.1, 2.0, size=(samples, 4 * width))
        check(program, np.zeros(0), samples, arguments=[numbers])


def test_repeats_are_of_formulas_only() -> None:
    s = Stage()
    x = s.load(w.ARGUMENT, s.new(2), 2)
    s.store(w.OUTPUT, s.value("exp", x, width=2), 2)
    s.store(w.OUTPUT, s.do(w.COPY, w.OTHER, a=x, width=2), 2, at=2)
    for words, code, status in (
        (s.instructions[0], 1 << 16, lib.PG_OK),
        (s.instructions[0], 1 << 20, lib.PG_ERR_PROGRAM),
        (s.instructions[1], 1 << 16, lib.PG_ERR_PROGRAM),
    ):
        kept = words[0]
        words[0] |= code
        assert status_of(*assemble(0, [s], arguments=[2], outputs=[4])) == status
        words[0] = kept


def test_operands_that_a_derivative_does_not_use_may_be_missing() -> None:
    s = Stage()
    x = s.load(w.ARGUMENT, s.new(2), 2)
    z = s.value("exp", x)
    s.store(w.OUTPUT, s.derivative("exp", x + 1, w.NO_SLOT, z))
    program = assemble(0, [s], arguments=[2], outputs=[1])
    check(program, np.zeros(0), 5, arguments=[np.random.default_rng(0).normal(size=(5, 2))])


def test_the_fast_functions_give_the_same_bits_everywhere() -> None:
    program = classifier()
    fast, parameters, samples = Program(*program), parameters_for(program), 1500
    found = []
    for isa in SETS:
        lib.pg_program_use_isa(isa.encode())
        for threads in (1, 2):
            outputs, gradient, loss = fast.run(parameters, samples, **data_for(samples), threads=threads, exact=0)
            found.append([*outputs, gradient, loss])
    for other in found:
        assert all(same(x, y) for x, y in zip(other, found[0]))
    slow = Machine(*program, parameters, samples, **data_for(samples))
    assert np.allclose(found[0][2], slow.gradient, rtol=1e-10, atol=1e-12)


def test_a_sample_is_the_same_alone() -> None:
    program = classifier()
    fast, parameters, data = Program(*program), parameters_for(program), data_for(40)
    together, _, _ = fast.run(parameters, 40, **data, exact=0)
    for i in range(40):
        alone, _, _ = fast.run(parameters, 1, **data, order=np.array([i]), exact=0)
        assert same(alone[0], together[0][i : i + 1])


def test_no_samples() -> None:
    program = classifier()
    outputs, gradient, loss = Program(*program).run(parameters_for(program), 0, **data_for(0))
    assert loss == 0.0
    assert same(gradient, np.zeros(len(gradient)))
    assert outputs[0].shape == (0, 4)


def test_other_sizes_in_turn() -> None:
    """The workspace that is kept grows, shrinks and changes its plan."""
    program = classifier()
    fast, parameters = Program(*program), parameters_for(program)
    for samples in (9, 2000, 1, 9, 1100, 8, 2000):
        for threads in (2, 1, 3):
            slow = Machine(*program, parameters, samples, **data_for(samples))
            outputs, gradient, loss = fast.run(parameters, samples, **data_for(samples), threads=threads)
            assert same(outputs[0], slow.outputs[0])
            assert same(gradient, slow.gradient)
            assert loss == slow.loss


# ---- from several threads ----


def test_a_program_used_from_several_threads() -> None:
    program = classifier()
    fast, parameters = Program(*program), parameters_for(program)
    wanted = {n: Machine(*program, parameters, n, **data_for(n)) for n in (3, 50, 1100)}
    wrong: list[Any] = []

    def use(first: int) -> None:
        for i in range(60):
            n = (3, 50, 1100)[(first + i) % 3]
            outputs, gradient, _loss = fast.run(parameters, n, **data_for(n), threads=1 + i % 2)
            if not (same(gradient, wanted[n].gradient) and same(outputs[0], wanted[n].outputs[0])):
                wrong.append((n, i))

    threads = [threading.Thread(target=use, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


# ---- what is refused ----


@pytest.mark.parametrize("bad", [-1, 4, 2**40, -(2**63)])
def test_an_index_out_of_range(bad: int) -> None:
    program, data = classifier(), data_for(20)
    data["indices"][0][13] = bad
    with pytest.raises(RuntimeError) as raised:
        Program(*program).run(parameters_for(program), 20, **data)
    assert raised.value.args == (lib.PG_ERR_INDEX, [13, 0])
    with pytest.raises(RuntimeError) as raised:  # the row is named, not its place in the order
        Program(*program).run(parameters_for(program), 2, **data, order=np.array([0, 13]))
    assert raised.value.args == (lib.PG_ERR_INDEX, [13, 0])


@pytest.mark.parametrize("bad", [-1, 20, 2**62])
def test_a_row_that_is_not_there(bad: int) -> None:
    program = classifier()
    with pytest.raises(RuntimeError) as raised:
        Program(*program).run(parameters_for(program), 3, **data_for(20), order=np.array([0, 1, bad]))
    assert raised.value.args == (lib.PG_ERR_INDEX, [2, 1])
    with pytest.raises(RuntimeError) as raised:
        Program(*program).run(parameters_for(program), 21, **data_for(20))
    assert raised.value.args == (lib.PG_ERR_INDEX, [20, 1])


def test_instruction_sets_by_name() -> None:
    assert SETS[0] == "baseline"
    for name in SETS:
        assert lib.pg_program_use_isa(name.encode()) == lib.PG_OK
        assert ffi.string(lib.pg_program_isa()).decode() == name
    assert lib.pg_program_use_isa(b"sse5") == lib.PG_ERR_ISA
    assert ffi.string(lib.pg_program_isa()).decode() == SETS[-1]
    assert "instruction set" in ffi.string(lib.pg_status_text(lib.PG_ERR_ISA)).decode()


def test_words_that_are_no_program() -> None:
    words, constants = classifier()
    assert status_of(words, constants) == lib.PG_OK
    for n in range(len(words)):
        assert status_of(words[:n].copy(), constants) == lib.PG_ERR_PROGRAM
    assert status_of(np.append(words, np.uint32(0)), constants) == lib.PG_ERR_PROGRAM
    assert status_of(words, constants[:1].copy()) == lib.PG_ERR_PROGRAM
    assert status_of(words, np.append(constants, 0.0)) == lib.PG_ERR_PROGRAM


def small() -> Stage:
    """x0 * p0 over samples, not yet stored."""
    s = Stage()
    x = s.load(w.ARGUMENT, s.new(2), 2)
    p = s.do(w.FILL, a=0, prologue=True)
    s.value("mul", x, p)
    return s


def put(s: Stage, **changes: Any) -> tuple[Array, Array]:
    s.store(w.OUTPUT, 0)
    options: dict[str, Any] = {"arguments": [2], "outputs": [1], **changes}
    return assemble(1, [s], **options)


def test_refusals() -> None:
    """One fault each; the same without it is accepted."""
    assert status_of(*put(small())) == lib.PG_OK

    def refused(change: Any, **options: Any) -> bool:
        s = small()
        change(s)
        return status_of(*put(s, **options)) == lib.PG_ERR_PROGRAM

    def last(s: Stage, i: int, word: int) -> None:
        s.instructions[-1][i] = word

    assert refused(lambda s: last(s, 1, 0))  # writes what it reads
    assert refused(lambda s: s.do(w.COPY, a=0, z=2))  # writes what the prologue wrote
    assert refused(lambda s: s.load(w.ARGUMENT, 2))
    assert refused(lambda s: last(s, 2, 4))  # no such slot
    assert refused(lambda s: last(s, 3, w.NO_SLOT))  # no second operand
    assert refused(lambda s: last(s, 6, 2))  # too wide
    assert refused(lambda s: last(s, 0, 3))  # a user-defined op
    assert refused(lambda s: last(s, 0, 250))
    assert refused(lambda s: last(s, 0, OP_CODES["mul"] | 4 << 8))
    assert refused(lambda s: last(s, 0, OP_CODES["exp"] | w.DY << 8))
    assert refused(lambda s: s.do(w.COPY, a=s.new()))  # a slot that was never written
    assert not refused(lambda s: s.do(w.COPY, a=3))
    assert refused(lambda s: s.do(OP_CODES["elu"], w.VALUE, a=0, at=1))  # no such constant
    assert refused(lambda s: s.do(w.SUM, c=1, at=0))  # no pool
    assert refused(lambda s: s.do(w.SUM, c=1, at=s.pooled([9])))
    assert refused(lambda s: s.do(w.PICK, a=0, c=2))  # no index argument
    assert refused(lambda s: s.do(w.PICK, a=0, c=2), indices=[3])  # an index of 2 would be out of range
    assert not refused(lambda s: s.do(w.PICK, a=0, c=2), indices=[2])
    assert refused(lambda s: s.do(w.FILL, a=1))
    assert refused(lambda s: s.do(w.FILL, a=1), computed=1)  # a computed value that nothing computed
    assert not refused(lambda s: s.do(w.ACCUMULATE, z=0, a=0, at=s.pooled([0])))
    assert refused(lambda s: s.do(w.ACCUMULATE, z=0, a=0, at=s.pooled([1])))
    assert refused(lambda s: s.do(w.ACCUMULATE, z=0, a=0, at=s.pooled([0]), prologue=True))
    assert refused(lambda s: s.do(w.OUTER, z=0, a=0, b=1, c=1, at=s.pooled([0], [1])))
    assert refused(lambda s: s.do(w.OUTER, z=0, a=0, b=0, c=2, at=s.pooled([0], [0, 0])))  # more than G has
    assert not refused(lambda s: s.do(w.OUTER, z=0, a=0, b=0, c=1, d=1, at=s.pooled([0], [0, 1])), computed=1)
    assert refused(lambda s: s.do(w.OUTER, z=0, a=0, b=0, c=1, d=1, at=s.pooled([0], [0, 2])), computed=1)
    assert refused(lambda s: s.do(w.OUTER, z=0, a=0, b=0, c=1, d=1, at=s.pooled([0], [0])), computed=1)  # short pool
    assert refused(lambda s: s.do(w.OUTER, z=0, a=0, b=0, c=1, d=2, at=s.pooled([0], [0, 1, 2])), computed=2)
    assert refused(lambda s: s.do(w.OUTER, z=0, a=0, b=0, c=0, d=1, at=s.pooled([0], [0])))
    assert refused(lambda s: s.do(w.DENSE, a=0, c=2, at=s.pooled([0], [0, 1], [0])))
    assert refused(lambda s: s.do(w.DENSE, a=0, c=2, at=s.pooled([0], [0, 0], [1])))
    assert not refused(lambda s: s.do(w.DENSE, a=0, c=2, at=s.pooled([0], [0, 0], [0])))
    assert not refused(lambda s: s.do(w.DENSE_DOWN, a=1, c=2, at=s.pooled([0], [0, 0], [0])))
    assert refused(lambda s: s.do(w.DENSE_DOWN, a=0, c=2, at=s.pooled([0], [0, 0], [0])))
    assert refused(lambda s: s.do(w.DENSE_DOWN, a=1, c=2, z=1, at=s.pooled([0], [0, 0], [0])))
    assert refused(lambda s: s.do(w.DENSE, a=0, c=2, d=OP_CODES["elu"], b=s.new(), at=s.pooled([0], [0, 0], [0])))
    assert refused(lambda s: s.do(w.DENSE, a=0, c=2, d=OP_CODES["exp"], b=0, at=s.pooled([0], [0, 0], [0])))
    assert not refused(lambda s: s.load(w.ARGUMENT, s.new(), at=1))
    assert refused(lambda s: s.load(w.ARGUMENT, s.new(), at=2))
    assert refused(lambda s: s.load(w.ARGUMENT, s.new(), source=1))
    assert refused(lambda s: s.load(w.GATHER, s.new(), at=s.pooled([0])))  # the stage is over samples
    assert refused(lambda s: s.load(w.ROWS, s.new()))
    assert refused(lambda s: s.store(w.OUTPUT, 0, at=1))
    assert refused(lambda s: s.store(w.SCATTER, 0, at=1), computed=1)
    assert refused(lambda s: None, outputs=[2])  # the second column is never written
    assert refused(lambda s: None, loss=2)
    assert refused(lambda s: None, outputs=[1, 1], loss=1)


def test_a_computed_value_is_written_once_and_read_later() -> None:
    def stage(read: int, write: int) -> Stage:
        s = Stage(lanes=1)
        s.store(w.SCATTER, s.value("exp", s.load(w.GATHER, s.new(), at=s.pooled([read]))), at=write)
        return s

    assert status_of(*assemble(1, [stage(0, 1), stage(1, 2)], computed=2)) == lib.PG_OK
    assert status_of(*assemble(1, [stage(1, 2), stage(0, 1)], computed=2)) == lib.PG_ERR_PROGRAM
    assert status_of(*assemble(1, [stage(0, 1), stage(0, 1)], computed=2)) == lib.PG_ERR_PROGRAM
    assert status_of(*assemble(1, [stage(0, 0)], computed=2)) == lib.PG_ERR_PROGRAM
    assert status_of(*assemble(1, [stage(0, 3)], computed=2)) == lib.PG_ERR_PROGRAM
