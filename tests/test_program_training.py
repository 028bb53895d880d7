"""pg_training, the training loop in C: the same parameters and losses as one call a step gives, whole or in pieces."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest

from pygrad._ffi import OP_CODES, ffi, lib

from . import program_words as w
from .program_words import Array, Stage, assemble
from .test_program_vm import Program, classifier, data_for, parameters_for, same

SGD, ADAM = lib.PG_RULE_SGD, lib.PG_RULE_ADAM
PLAIN = [0.05, 0.0, 0.0, 0.0]
SETTINGS = {99: [0.0], SGD: [0.05, 0.9, 0.0, 0.01], ADAM: [0.01, 0.9, 0.999, 1e-8, 0.0, 1.0]}


class Training:
    """pg_training over the classifier's data, and the arrays that it works on."""

    def __init__(self, program: Program, parameters: Array, data: dict[str, Any], epochs: int, batch: int, rule: int,
                 order: Array | None = None, rates: Array | None = None, mean: int = 1) -> None:  # fmt: skip
        rows = len(data["indices"][0])
        self.parameters, self.losses = parameters.copy(), np.full(epochs, np.nan)
        self.settings, self.state = np.array(SETTINGS[rule]), np.zeros(2 * len(parameters))
        self.where = ffi.new("size_t[2]")
        self.keep: list[Any] = [program, order, rates, data]
        self.keep += [ffi.new("double *[]", [ffi.from_buffer("double[]", x) for x in data["arguments"]])]
        self.keep += [ffi.new("int64_t *[]", [ffi.from_buffer("int64_t[]", x) for x in data["indices"]])]
        call = ffi.new("pg_training_call *")
        call.samples = rows if order is None else order.shape[1]
        call.epochs, call.batch, call.rows, call.mean, call.rule = epochs, batch, rows, mean, rule
        call.parameters = ffi.from_buffer("double[]", self.parameters)
        call.arguments, call.indices = ffi.cast("double **", self.keep[-2]), ffi.cast("int64_t **", self.keep[-1])
        call.order = ffi.NULL if order is None else ffi.from_buffer("int64_t[]", order.reshape(-1))
        call.rates = ffi.NULL if rates is None else ffi.from_buffer("double[]", rates)
        call.settings, call.state = (ffi.from_buffer("double[]", x) for x in (self.settings, self.state))
        call.losses, call.where, call.exact = ffi.from_buffer("double[]", self.losses), self.where, 1
        status = ffi.new("int *")
        # the destructor holds the program, which has to outlive the training
        free = functools.partial(lambda program, training: lib.pg_training_free(training), program.pointer)
        self.pointer = ffi.gc(lib.pg_training_new(program.pointer, call, status), free)
        self.status = status[0]

    def run(self, seconds: float = 3600.0, steps: int = 2**63) -> int:
        return int(lib.pg_training_run(self.pointer, seconds, steps))


def trained_slowly(program: Program, parameters: Array, data: dict[str, Any], epochs: int, batch: int, rule: int,
                   order: Array | None = None, rates: Array | None = None, mean: int = 1,
                   ) -> tuple[Array, Array]:  # fmt: skip
    """Parameters and losses of the same training, one call a step."""
    parameters, losses = parameters.copy(), np.zeros(epochs)
    settings, state = np.array(SETTINGS[rule]), np.zeros(2 * len(parameters))
    samples = len(data["indices"][0]) if order is None else order.shape[1]
    for epoch in range(epochs):
        rows = np.arange(samples) if order is None else order[epoch]
        if rates is not None:
            settings[0] = rates[epoch]
        for start in range(0, samples, batch):
            part = rows[start : start + batch].astype(np.int64)
            seed = 1.0 / len(part) if mean else 1.0
            _, gradient, loss = program.run(parameters, len(part), **data, order=part, seeds=seed)
            losses[epoch] = loss if start == 0 else losses[epoch] + loss
            x, g, s, st = (ffi.from_buffer("double[]", a) for a in (parameters, gradient, settings, state))
            assert lib.pg_optimise_array(rule, x, g, len(parameters), s, st) == lib.PG_OK
            if rule == ADAM:
                settings[5] += 1.0
    return parameters, losses / samples if mean else losses


@pytest.mark.parametrize("rule", [SGD, ADAM])
@pytest.mark.parametrize("batch", [1, 16, 41, 100])
@pytest.mark.parametrize("shuffled", [False, True])
def test_training(rule: int, batch: int, shuffled: bool) -> None:
    program, data, epochs = classifier(), data_for(41), 3
    fast, parameters = Program(*program), parameters_for(program)
    random = np.random.default_rng(8)
    order = np.stack([random.permutation(41) for _ in range(epochs)]) if shuffled else None
    options = {"order": order, "rates": np.array([0.1, 0.05, 0.2]) if shuffled else None, "mean": int(batch != 16)}
    training = Training(fast, parameters, data, epochs, batch, rule, **options)
    steps = epochs * -(-41 // batch)
    assert training.run() == steps == training.run()
    wanted, losses = trained_slowly(fast, parameters, data, epochs, batch, rule, **options)
    assert same(training.parameters, wanted)
    assert same(training.losses, losses)
    assert not same(wanted, parameters)


def test_training_in_pieces() -> None:
    """Steps by number and by time; parameters changed in between count; Adam's step goes on."""
    program, data = classifier(), data_for(41)
    fast, parameters = Program(*program), parameters_for(program)
    training = Training(fast, parameters, data, 4, 10, ADAM)
    assert training.run(steps=3) == 3
    assert training.settings[5] == 4.0
    assert np.isnan(training.losses).all()
    assert training.run(steps=0) == 4  # at least one
    assert training.run(seconds=0.0) == 5
    assert not np.isnan(training.losses[0])
    assert np.isnan(training.losses[1:]).all()
    assert training.run() == 20
    wanted, losses = trained_slowly(fast, parameters, data, 4, 10, ADAM)
    assert same(training.parameters, wanted)
    assert same(training.losses, losses)


def test_training_meets_an_index_out_of_range() -> None:
    """The steps before it stand; the one that meets it changes nothing."""
    program, data = classifier(), data_for(41)
    data["indices"][0][25] = 4
    fast, parameters = Program(*program), parameters_for(program)
    training = Training(fast, parameters, data, 2, 10, SGD)
    assert training.run() == lib.PG_ERR_INDEX
    assert list(training.where) == [25, 0]
    after_two = Training(fast, parameters, data, 2, 10, SGD)
    assert after_two.run(steps=2) == 2
    assert same(training.parameters, after_two.parameters)
    data["indices"][0][25] = 3
    assert training.run() == 10


def test_training_that_cannot_be() -> None:
    program, data = Program(*classifier()), data_for(8)
    parameters = parameters_for(classifier())
    assert Training(program, parameters, data, 1, 8, 99).status == lib.PG_ERR_OP
    assert Training(program, parameters, data, 1, 0, SGD).status == lib.PG_ERR_INDEX
    assert Training(program, parameters, data_for(0), 1, 8, SGD).status == lib.PG_ERR_INDEX
    assert Training(program, parameters, data, 0, 8, SGD).run() == 0


def forgetful(overwritten: int) -> tuple[Array, Array]:
    """x0 * y * p0 + x1 of the arguments x and y, and its gradient; what is computed takes the place of one of them."""
    s = Stage()
    x, y = s.load(w.ARGUMENT, s.new(2), 2), s.load(w.ARGUMENT, s.new(), source=1)
    p = s.do(w.FILL, a=0, prologue=True)
    slope = s.value("mul", x, y)
    product = s.value("mul", slope, p)
    z = s.do(OP_CODES["add"], w.VALUE, z=(x, y)[overwritten], a=product, b=x + 1, c=w.NO_SLOT, d=w.NO_SLOT)
    s.do(w.ACCUMULATE, z=0, a=slope, at=s.pooled([0]))
    s.store(w.OUTPUT, z)
    return assemble(1, [s], arguments=[2, 1], indices=[4], outputs=[1], loss=1)


@pytest.mark.parametrize("overwritten", [0, 1, None])
@pytest.mark.parametrize("settings", [PLAIN, [0.05, 0.9, 0.0, 0.0], [0.05, 0.0, 0.0, 0.01]])
@pytest.mark.parametrize("batch", [100, 16])
def test_inputs_that_stay_where_they_were_loaded(overwritten: int | None, settings: list[float], batch: int,
                                                 monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    """Several steps in one call over all samples at once, which need not load everything again."""
    monkeypatch.setitem(SETTINGS, SGD, settings)
    words = classifier() if overwritten is None else forgetful(overwritten)
    data = data_for(41) if overwritten is None else data_for(41, nin=2)
    program, parameters = Program(*words), parameters_for(words)
    training = Training(program, parameters, data, 5, batch, SGD)
    assert training.run() == 5 * -(-41 // batch)
    want, losses = trained_slowly(program, parameters, data, 5, batch, SGD)
    assert same(training.parameters, want)
    assert same(training.losses, losses)
