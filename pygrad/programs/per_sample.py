"""Programs of functions of a sample: stages of what all samples share, and of each sample.

What depends on parameters only is computed once a run; its gradients come back through a stage of their own. Functions
without arguments are whole.py's.
"""

from __future__ import annotations

from .code import Code
from .differentiate import differentiate
from .encode import Encoded, Shape, Stage, encode, output_targets
from .pipeline import Passes, Signature, tidied, trained_leaves
from .second import tangents, written_out
from .split import Split, split_shared


def numbered_indices(code: Code, signature: Signature) -> Code:
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
    code = tidied(code)
    passes.add(name, code)
    return code


def _hoisted(code: Code, signature: Signature, passes: Passes) -> tuple[Split, list[Stage]]:
    """The code in its two parts, and the stage of the first, if there is anything in it."""
    split = split_shared(code)
    passes.add("shared by all samples", split.shared)
    passes.add("of each sample", split.samples)
    if not split.shared.outputs:
        return split, []
    shared = tidied(split.shared)
    targets = [("scatter", signature.parameters + k) for k in range(len(shared.outputs))]
    return split, [Stage("shared", shared, 1, (), targets)]


def value(code: Code, signature: Signature, passes: Passes) -> Encoded:
    split, stages = _hoisted(code, signature, passes)
    samples = _tidied(split.samples, passes, "common subexpressions")
    stages.append(Stage("samples", samples, 0, _inputs(signature), output_targets(signature.groups)))
    loss = int(signature.groups[0] == 1)
    return encode(_shape(signature, len(split.shared.outputs), signature.groups, loss), stages)


def gradient(code: Code, signature: Signature, passes: Passes) -> Encoded:
    """Of the first output. The others, where the code has them, are output groups beside it."""
    split, stages = _hoisted(code, signature, passes)
    samples = split.samples.copy()
    wanted: dict[int, int | None] = {
        i: signature.parameters + samples.ks[i] if op == "shared" else samples.ks[i]
        for i, op in enumerate(samples.ops)
        if op == "shared" or (op == "parameter" and samples.ks[i] < signature.wanted)
    }
    differentiate(samples, {samples.outputs[0]: samples.add("seed")}, wanted)
    samples = _tidied(samples, passes, "differentiated")
    groups = signature.groups if len(code.outputs) > 1 else [1]
    stages.append(Stage("samples", samples, 0, _inputs(signature), output_targets(groups)))
    stages += _shared_gradient(split.shared, signature, passes)
    return encode(_shape(signature, len(split.shared.outputs), groups, 1), stages)


def _shared_gradient(shared: Code, signature: Signature, passes: Passes) -> list[Stage]:
    """From the gradients of what all samples share to those of the parameters."""
    code = shared.copy()
    code.outputs = []
    wanted: dict[int, int | None] = dict(trained_leaves(code, signature))
    seeds: dict[int, int] = {}
    for k, value in enumerate(shared.outputs):
        seeds[value] = code.add("input", (), k)
    differentiate(code, seeds, wanted)
    if not code.outputs:
        return []
    sources = [("gather_g", [signature.parameters + k]) for k in range(len(shared.outputs))]
    return [Stage("gradient of shared", _tidied(code, passes, "gradient of shared"), 1, sources)]


def by_inputs(code: Code, signature: Signature, passes: Passes) -> Encoded:
    split, stages = _hoisted(code, signature, passes)
    samples = split.samples.copy()
    leaves = {samples.ks[i]: i for i, op in enumerate(samples.ops) if op == "input"}
    found = differentiate(
        samples, {samples.outputs[0]: samples.add("seed")}, dict.fromkeys(leaves.values())
    )
    zero = samples.add("constant", (), 0.0)
    samples.outputs = [
        _normal(samples, found.get(leaves.get(column, -1)), zero) for column in range(len(signature.columns))
    ]
    samples = _tidied(samples, passes, "differentiated")
    targets = [("output", number, position) for number, position in signature.columns]
    stages.append(Stage("samples", samples, 0, _inputs(signature), targets))
    return encode(_shape(signature, len(split.shared.outputs), signature.widths), stages)


def by_sample(code: Code, signature: Signature, passes: Passes) -> Encoded:
    """Nothing is hoisted: each sample's sweep adds in the eager engine's order."""
    samples = code.copy()
    leaves = {k: i for i, k in trained_leaves(samples, signature).items()}
    found = differentiate(
        samples, {samples.outputs[0]: samples.add("seed")}, dict.fromkeys(leaves.values())
    )
    zero = samples.add("constant", (), 0.0)
    samples.outputs = [_normal(samples, found.get(leaves.get(p, -1)), zero) for p in range(signature.wanted)]
    samples = _tidied(samples, passes, "differentiated")
    targets = [("output", 0, p) for p in range(signature.wanted)]
    stage = Stage("samples", samples, 0, _inputs(signature), targets)
    return encode(_shape(signature, 0, [signature.wanted]), [stage])


def jvp(code: Code, signature: Signature, passes: Passes) -> Encoded:
    """Output groups, and then the same groups of tangents."""
    n = signature.parameters
    along = code.copy()
    leaves = trained_leaves(code, signature)
    found = tangents(along, {i: along.add("parameter", (), n + k) for i, k in leaves.items()})
    zero = along.add("constant", (), 0.0)
    along.outputs += [zero if i is None else i for i in found]
    groups = [*signature.groups, *signature.groups]
    return value(along, signature._replace(parameters=2 * n, groups=groups), passes)


def hvp(code: Code, signature: Signature, passes: Passes) -> Encoded:
    """The gradient of gradient * direction. Nothing is hoisted before both derivatives are taken."""
    n = signature.parameters
    first = code.copy()
    leaves = trained_leaves(code, signature)
    found = differentiate(first, {first.outputs[0]: first.add("seed")}, dict.fromkeys(leaves))
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
