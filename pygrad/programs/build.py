"""From a recording to the programs it is run as: which passes, in which order, and the stages they end in.

A program computes outputs ('value'), the loss and its gradient summed over the samples ('gradient'), or, for each sample,
the gradient by its inputs ('inputs') or by the parameters ('samples'); or along a direction, which follows the parameters
as so many more, the outputs and their derivatives ('jvp') or the gradient's derivative summed over the samples ('hvp').
Knows neither C nor arrays of data.

Passes that decide in what order derivatives are added run before differentiation and keep the eager engine's order;
those after it see plain data flow.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from .code import SHARED, Code
from .differentiate import differentiate
from .encode import Encoded, Shape, Stage, encode
from .passes import common_subexpressions, dead_code, fold_constants, gather_products, gather_sums
from .second import tangents, written_out
from .split import Split, split_shared


class Signature(NamedTuple):
    """What surrounds the code of a recording.

    columns: of each input column its argument and its position there. widths: of each argument. bounds: by column used as an
    index, how many classes there are. groups: how many values each output group has, in the order of code.outputs.
    """

    parameters: int
    columns: list[tuple[int, int]]
    widths: list[int]
    bounds: dict[int, int]
    groups: list[int]


Passes = list[tuple[str, Code]]
"""The code after each pass."""


def build(code: Code, signature: Signature, what: str, *, exact: bool = False) -> tuple[Encoded, Passes]:
    """The program for what is asked, and the code after each pass.

    Raises ValueError for what is not one of 'value', 'gradient', 'inputs', 'samples'.
    """
    if what not in _BUILDERS:
        raise ValueError(f"what must be one of {', '.join(map(repr, _BUILDERS))}, not {what!r}")
    passes: Passes = [("recorded", code)]
    code = _numbered_indices(code, signature)
    if what not in ("value", "jvp"):
        code = code.copy()
        code.outputs = code.outputs[:1]
    for name, apply in _passes(exact):
        code = apply(code)
        passes.append((name, code))
    return _BUILDERS[what](code, signature, passes), passes


def _passes(exact: bool) -> list[tuple[str, Callable[[Code], Code]]]:
    return [
        ("dead code", dead_code),
        ("constants folded", lambda code: fold_constants(code, exact=exact)),
        ("products gathered", gather_products),
        ("sums gathered", gather_sums),
        ("dead code", dead_code),
    ]


def _numbered_indices(code: Code, signature: Signature) -> Code:
    """Picks by the number of the index argument in place of the column's."""
    number = {column: i for i, column in enumerate(sorted(signature.bounds))}
    ks = [number[k] if op == "pick" else k for op, k in zip(code.ops, code.ks)]
    return Code(list(code.ops), list(code.args), ks, list(code.outputs))


def _shape(signature: Signature, computed: int, outputs: list[int], loss: int = 0) -> Shape:
    bounds = [signature.bounds[column] for column in sorted(signature.bounds)]
    return Shape(signature.parameters, computed, signature.widths, bounds, outputs, loss)


def _inputs(signature: Signature) -> list[tuple[str, int, int]]:
    return [("argument", number, position) for number, position in signature.columns]


def _tidied(code: Code, passes: Passes, name: str) -> Code:
    code = dead_code(common_subexpressions(code))
    passes.append((name, code))
    return code


def _hoisted(code: Code, signature: Signature, passes: Passes) -> tuple[Split, list[Stage]]:
    """The code in its two parts, and the stage of the first, if there is anything in it."""
    split = split_shared(code)
    passes.append(("shared by all samples", split.shared))
    passes.append(("of each sample", split.samples))
    if not split.shared.outputs:
        return split, []
    shared = dead_code(common_subexpressions(split.shared))
    targets = [("scatter", signature.parameters + k) for k in range(len(shared.outputs))]
    return split, [Stage("shared", shared, 1, (), targets)]


def _value(code: Code, signature: Signature, passes: Passes) -> Encoded:
    split, stages = _hoisted(code, signature, passes)
    samples = _tidied(split.samples, passes, "common subexpressions")
    targets = [("output", group, i) for group, width in enumerate(signature.groups) for i in range(width)]
    stages.append(Stage("samples", samples, 0, _inputs(signature), targets))
    loss = int(signature.groups[0] == 1)
    return encode(_shape(signature, len(split.shared.outputs), signature.groups, loss), stages)


def _gradient(code: Code, signature: Signature, passes: Passes) -> Encoded:
    split, stages = _hoisted(code, signature, passes)
    samples = split.samples.copy()
    wanted: dict[int, int | None] = {
        i: signature.parameters + samples.ks[i] if op == "shared" else samples.ks[i]
        for i, op in enumerate(samples.ops)
        if op in SHARED and op != "constant"
    }
    differentiate(samples, {samples.outputs[0]: samples.add("seed")}, wanted)
    samples = _tidied(samples, passes, "differentiated")
    stages.append(Stage("samples", samples, 0, _inputs(signature), [("output", 0, 0)]))
    stages += _shared_gradient(split.shared, signature, passes)
    return encode(_shape(signature, len(split.shared.outputs), [1], 1), stages)


def _shared_gradient(shared: Code, signature: Signature, passes: Passes) -> list[Stage]:
    """From the gradients of what all samples share to those of the parameters."""
    code = shared.copy()
    code.outputs = []
    wanted: dict[int, int | None] = {i: code.ks[i] for i, op in enumerate(code.ops) if op == "parameter"}
    seeds: dict[int, int] = {}
    for k, value in enumerate(shared.outputs):
        seeds[value] = code.add("input", (), k)
    differentiate(code, seeds, wanted)
    if not code.outputs:
        return []
    sources = [("gather_g", [signature.parameters + k]) for k in range(len(shared.outputs))]
    return [Stage("gradient of shared", _tidied(code, passes, "gradient of shared"), 1, sources)]


def _by_inputs(code: Code, signature: Signature, passes: Passes) -> Encoded:
    split, stages = _hoisted(code, signature, passes)
    samples = split.samples.copy()
    leaves = {samples.ks[i]: i for i, op in enumerate(samples.ops) if op == "input"}
    found = differentiate(
        samples, {samples.outputs[0]: samples.add("seed")}, {i: None for i in leaves.values()}
    )
    zero = samples.add("constant", (), 0.0)
    samples.outputs = [
        _normal(samples, found.get(leaves.get(column, -1)), zero) for column in range(len(signature.columns))
    ]
    samples = _tidied(samples, passes, "differentiated")
    targets = [("output", number, position) for number, position in signature.columns]
    stages.append(Stage("samples", samples, 0, _inputs(signature), targets))
    return encode(_shape(signature, len(split.shared.outputs), signature.widths), stages)


def _by_sample(code: Code, signature: Signature, passes: Passes) -> Encoded:
    """Nothing is hoisted: each sample's sweep adds in the eager engine's order."""
    samples = code.copy()
    leaves = {samples.ks[i]: i for i, op in enumerate(samples.ops) if op == "parameter"}
    found = differentiate(
        samples, {samples.outputs[0]: samples.add("seed")}, {i: None for i in leaves.values()}
    )
    zero = samples.add("constant", (), 0.0)
    samples.outputs = [_normal(samples, found.get(leaves.get(p, -1)), zero) for p in range(signature.parameters)]
    samples = _tidied(samples, passes, "differentiated")
    targets = [("output", 0, p) for p in range(signature.parameters)]
    stage = Stage("samples", samples, 0, _inputs(signature), targets)
    return encode(_shape(signature, 0, [signature.parameters]), [stage])


def _jvp(code: Code, signature: Signature, passes: Passes) -> Encoded:
    """Output groups, and then the same groups of tangents."""
    n = signature.parameters
    along = code.copy()
    leaves = {i: k for i, (op, k) in enumerate(zip(code.ops, code.ks)) if op == "parameter"}
    found = tangents(along, {i: along.add("parameter", (), n + k) for i, k in leaves.items()})
    zero = along.add("constant", (), 0.0)
    along.outputs += [zero if i is None else i for i in found]
    groups = [*signature.groups, *signature.groups]
    return _value(along, signature._replace(parameters=2 * n, groups=groups), passes)


def _hvp(code: Code, signature: Signature, passes: Passes) -> Encoded:
    """The gradient of gradient * direction. Nothing is hoisted before both derivatives are taken."""
    n = signature.parameters
    first = code.copy()
    leaves = {i: k for i, (op, k) in enumerate(zip(code.ops, code.ks)) if op == "parameter"}
    found = differentiate(first, {first.outputs[0]: first.add("seed")}, {i: None for i in leaves})
    twice, at = written_out(first)
    terms: list[int] = []
    for i, derivative in found.items():
        if derivative is not None:
            terms += (twice.add("parameter", (), n + leaves[i]), at[derivative])
    twice.outputs = []
    if terms:
        product = twice.add("dot", tuple(terms))
        one = twice.add("constant", (), 1.0)
        differentiate(twice, {product: one}, {at[i]: k for i, k in leaves.items()})
    twice = _tidied(twice, passes, "differentiated twice")
    wide = signature._replace(parameters=2 * n)
    split, stages = _hoisted(twice, wide, passes)
    stages.append(Stage("samples", split.samples, 0, _inputs(signature)))
    return encode(_shape(wide, len(split.shared.outputs), []), stages)


def _normal(code: Code, derivative: int | None, zero: int) -> int:
    """The derivative as backward() leaves it: 0.0 plus it, which has no negative zero."""
    return zero if derivative is None else code.add("add", (zero, derivative))


_BUILDERS: dict[str, Callable[[Code, Signature, Passes], Encoded]] = {
    "value": _value,
    "gradient": _gradient,
    "inputs": _by_inputs,
    "samples": _by_sample,
    "jvp": _jvp,
    "hvp": _hvp,
}
