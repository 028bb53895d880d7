"""Activations within dense layers (pygrad/programs/fuse.py): which are, which are not, and that no bit changes.

Compared with the interpreter of codes, which knows no bundles. How C runs them is tests/test_program_vm.py's subject.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pygrad.programs.bundles import Bundle, bundles
from pygrad.programs.code import Code
from pygrad.programs.encode import Shape, Stage, encode
from pygrad.programs.fuse import fuse
from pygrad.programs.interpret import run
from pygrad.programs.run import Given, Machine

from .program_codes import same_bits


def layer(code: Code, xs: list[int], first: int, n: int) -> list[int]:
    """n dot products of xs with parameters from `first` on, each starting from a parameter."""
    made = []
    for _ in range(n):
        weights = [code.add("parameter", (), first + k) for k in range(len(xs) + 1)]
        terms = [i for pair in zip(weights[1:], xs) for i in pair]
        made.append(code.add("dot", (weights[0], *terms)))
        first += len(xs) + 1
    return made


def network(activation: str, *, also: str = "") -> tuple[Code, list[int]]:
    """Two inputs, three neurons, and their sums' derivatives from three more inputs through a layer. also: what else
    reads the neurons' sums."""
    code = Code()
    xs = [code.add("input", (), k) for k in range(5)]
    sums = layer(code, xs[:2], 0, 3)
    values = [code.add(activation, (i,)) for i in sums]
    g = layer(code, xs[2:], 9, 3)
    outputs = [code.add(f"d0:{activation}", (gi, x, z)) for gi, x, z in zip(g, sums, values)]
    if also == "output":
        outputs.append(sums[1])
    elif also:
        outputs += [code.add(also, (i,)) for i in sums]
    code.outputs = outputs
    return code, outputs


def kinds(order: list[Bundle]) -> list[Any]:
    return [(b.kind, b.k if b.kind == "dense" else b.op) for b in order if b.kind != "load"]


def test_a_relu_and_its_derivative_within_layers() -> None:
    code, outputs = network("relu")
    order = fuse(bundles(code), outputs)
    assert kinds(order) == [("dense", "relu"), ("dense", "d0:relu")]
    forward, backward = order[-2:]
    assert [code.ops[i] for i in forward.members] == ["relu"] * 3
    assert backward.operands[1] == tuple(forward.members)
    assert backward.members == outputs


@pytest.mark.parametrize("activation", ["tanh", "sigmoid"])
def test_only_the_derivative_of_others(activation: str) -> None:
    code, outputs = network(activation)
    assert kinds(fuse(bundles(code), outputs)) == [("dense", None), ("map", activation), ("dense", f"d0:{activation}")]


@pytest.mark.parametrize("also", ["output", "exp"])
def test_not_where_the_sums_are_read_elsewhere(also: str) -> None:
    code, outputs = network("relu", also=also)
    found = kinds(fuse(bundles(code), outputs))
    assert ("dense", "relu") not in found
    assert ("map", "relu") in found
    assert ("dense", "d0:relu") in found


def test_not_where_a_part_of_the_layer_is_activated() -> None:
    code = Code()
    sums = layer(code, [code.add("input", (), k) for k in range(2)], 0, 3)
    code.outputs = [code.add("relu", (i,)) for i in sums[:2]] + [code.add("tanh", (sums[2],))]
    assert [kind for kind, _ in kinds(fuse(bundles(code), code.outputs))] == ["dense", "map", "map"]


@pytest.mark.parametrize("activation", ["exp", "sqrt", "relu", "tanh", "sigmoid"])
def test_derivatives_do_not_keep_alive_what_they_do_not_look_at(activation: str) -> None:
    code = Code()
    g, x = code.add("input", (), 0), code.add("input", (), 1)
    z = code.add(activation, (x,))
    code.outputs = [code.add(f"d0:{activation}", (g, x, z))]
    assert fuse(bundles(code), code.outputs)[-1].operands == [(g,), (z,), (z,)]


def effects(*added: tuple[str, tuple[int, ...], Any]) -> list[tuple[str, Any, Any]]:
    """What adds to G once fused, of effects on inputs 0 to 3: kind, k, places."""
    code = Code()
    for k in range(4):
        code.add("input", (), k)
    code.outputs = [code.add(op, args, k) for op, args, k in added]
    return [(b.kind, b.k, b.rows) for b in fuse(bundles(code), []) if b.kind != "load"]


def test_the_gradient_of_starts_within_that_of_weights() -> None:
    weights = [("outer", (0, 2, 3), (0, 1)), ("outer", (1, 2, 3), (3, 4))]
    starts = [("accumulate", (0,), 2), ("accumulate", (1,), 5)]
    whole = [("outer", "accumulate", [(0, 1, 2), (3, 4, 5)])]
    assert effects(*weights, *starts) == effects(*starts, *weights) == whole
    # a step of 4 from row to row of weights, of 3 of starts: no rows and columns
    uneven = [("outer", (0, 2, 3), (0, 1)), ("outer", (1, 2, 3), (4, 5))]
    found = effects(*uneven, ("accumulate", (0,), 2), ("accumulate", (1,), 8))
    assert [kind for kind, _, _ in found] == ["outer", "accumulate"]


@pytest.mark.parametrize(
    "added",
    [
        [("outer", (0, 2, 3), (0, 1)), ("accumulate", (1,), 2)],  # another g
        [("outer", (0, 2, 3), (0, 1)), ("accumulate", (0,), 1)],  # a place of the weights too
        [("outer", (0, 2, 3), (0, 1)), ("accumulate", (2,), 2), ("accumulate", (0,), 2)],  # the other comes first
        [("accumulate", (0,), 0), ("accumulate", (0,), 1)],
    ],
)
def test_sums_that_stay_by_themselves(added: list[tuple[str, tuple[int, ...], Any]]) -> None:
    assert {k for _, k, _ in effects(*added)}.isdisjoint({"accumulate"})


@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid"])
@pytest.mark.parametrize("also", ["", "output", "exp"])
@pytest.mark.parametrize("samples", [1, 7, 40])
def test_the_bits_of_the_interpreter(activation: str, also: str, samples: int) -> None:
    code, outputs = network(activation, also=also)
    random = np.random.default_rng(samples)
    xs, parameters = random.normal(size=(samples, 5)), random.normal(size=21)
    parameters[3:6] = 0.0  # sums of zero
    xs[0, 0] = np.nan
    runs_as_it_says(code, outputs, xs, parameters)


def runs_as_it_says(code: Code, outputs: list[int], xs: Any, parameters: Any) -> None:
    """C gives what the interpreter gives."""
    samples = len(xs)
    want, _ = run(code, xs.T, parameters)
    shape = Shape(21, arguments=[5], outputs=[len(outputs)])
    targets = [("output", 0, i) for i in range(len(outputs))]
    stage = Stage("samples", code, 0, [("argument", 0, k) for k in range(5)], targets)
    encoded = encode(shape, [stage])
    got = np.empty((samples, len(outputs)))
    machine = Machine(encoded.words, encoded.constants, exact=True)
    machine.run(Given(samples, (xs,), ()), parameters, [got])
    assert same_bits(got.T, want)


@pytest.mark.parametrize("activation", ["exp", "sqrt", "relu", "tanh", "sigmoid"])
@pytest.mark.parametrize("repeated", ["g", "value", "value and g"])
def test_one_gradient_or_value_for_several_derivatives(activation: str, repeated: str) -> None:
    """As of tanh(a) + tanh(b) before a layer, and of tanh(a) used twice in it: no layer has them within."""
    code = Code()
    xs = [code.add("input", (), k) for k in range(5)]
    sums = layer(code, xs[:2], 0, 3)
    values = [code.add(activation, (i,)) for i in sums]
    g = layer(code, xs[2:], 9, 1 if "g" in repeated else 3) * 3
    if "value" in repeated:
        sums, values = [*sums[1:2] * 3, *sums], [*values[1:2] * 3, *values]
    code.outputs = [code.add(f"d0:{activation}", (gi, x, z)) for gi, x, z in zip(g[:3], sums, values)]
    code.outputs += values
    random = np.random.default_rng(1)
    runs_as_it_says(code, code.outputs, random.normal(size=(7, 5)), random.normal(size=21))


@pytest.mark.parametrize("activation", ["exp", "relu", "tanh"])
def test_derivatives_at_a_parameter(activation: str) -> None:
    """What they do not look at is one leaf, which is no repeated value, and what replaces it is one."""
    code = Code()
    xs = [code.add("input", (), k) for k in range(5)]
    p = code.add("parameter", (), 0)
    z = code.add(activation, (p,))
    code.outputs = [code.add(f"d0:{activation}", (g, p, z)) for g in xs]
    runs_as_it_says(code, code.outputs, np.arange(15.0).reshape(3, 5), np.full(21, 0.5))
