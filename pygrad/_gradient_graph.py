"""Derivatives as graphs: the reverse sweep done with Values, so that its results can be differentiated again.

The formulas are those of the op table and of the rules of arrays, given Values in place of numbers; the order of
visits and of sums is backward()'s. Changes no gradient. No recursion over a graph.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from contextlib import ExitStack
from typing import Any

from . import _value_math, backends
from ._checks import is_value
from ._lazy import arrays
from .ops import OPS


def gradients(root: Any, seed: Any, inputs: Iterable[Any]) -> list[Any]:
    """The derivatives of root by nodes, times seed, as Values; None if root does not depend on that one.

    seed: a float or Value of root's shape. Raises TypeError for a user-defined op on the way, and what operations raise
    where a derivative has no finite value.
    """
    wanted = tuple(inputs)
    steps, used = backends.type_of(root)._leading(root, wanted)
    kept = {id(x) for x, u in zip(wanted, used) if u}
    leading = kept.union(map(id, steps))  # as long as the steps live, their ids are theirs
    found: dict[int, Any] = {id(root): seed}  # by id of the Value: a Value, or a float where it is constant
    with ExitStack() as quiet:
        loud = True
        for v in reversed(steps):
            g = found.get(id(v)) if id(v) in kept else found.pop(id(v), None)
            if g is None:
                continue
            if v._record is None:
                parts = _of_scalar(v, g, leading)
            else:
                if loud:
                    quiet.enter_context(arrays.quiet())
                    loud = False
                parts = _of_rule(v, g, leading)
            for x, c in parts:
                before = found.get(id(x))
                found[id(x)] = c if before is None else before + c
    return [_as_value(found.get(id(x)), x) if id(x) in leading else None for x in wanted]


def _as_value(g: Any, x: Any) -> Any:
    """A gradient of x as a Value: a leaf where it is constant."""
    return g if is_value(g) else backends.type_of(x)(arrays.fitted(0.0 if g is None else g, x.data))


def _refuse(v: Any) -> None:
    raise TypeError(
        f"the user-defined op {v._op!r} has a Python closure (_backward), which gives numbers, no graph: "
        f"create_graph=True needs pygrad's own ops from the inputs to the output"
    )


# ---- scalars ----


def _of_scalar(v: Any, g: Any, leading: Container[int]) -> Iterable[tuple[Any, Any]]:
    """What a node adds to the gradients of its operands, first operand first."""
    operands = v.operands
    name, constant, has_closure = v._state()
    if has_closure:
        _refuse(v)
    if name in OPS:
        y = operands[1] if len(operands) == 2 else constant
        try:
            return [
                (x, derivative(_value_math, g, operands[0], y, v))
                for x, derivative in zip(operands, OPS[name].derivatives)
                if id(x) in leading
            ]
        except (ArithmeticError, ValueError) as error:
            at = ", ".join(repr(x.data) for x in operands)
            raise type(error)(
                f"the derivative of {v._op!r} at {at} has no finite value, or no graph: {error}"
            ) from error
    return _of_many(name, operands, g, v, leading)


def _of_many(
    name: str, operands: tuple[Any, ...], g: Any, z: Any, leading: Container[int]
) -> Iterator[tuple[Any, Any]]:
    """The same of an op of any number of operands. A user-defined op without a closure has no derivative."""
    if name == "sum":
        yield from ((x, g) for x in operands if id(x) in leading)
    elif name == "logsumexp":
        yield from ((x, g * (x - z).exp()) for x in operands if id(x) in leading)
    elif name == "dot":
        n = len(operands) // 2
        weights, bias, inputs = operands[:n], operands[n : len(operands) - n], operands[len(operands) - n :]
        yield from ((w, g * x) for w, x in zip(weights, inputs) if id(w) in leading)
        yield from ((b, g) for b in bias if id(b) in leading)
        yield from ((x, g * w) for w, x in zip(weights, inputs) if id(x) in leading)


# ---- arrays ----


def _of_rule(v: Any, g: Any, leading: Container[int]) -> list[tuple[Any, Any]]:
    """The same of a node that a rule of arrays computed."""
    if v._state()[2]:
        _refuse(v)
    operands = v.operands
    rule, options, wanted = v._record
    if not is_value(g):
        g = backends.type_of(v)(g)
    if rule.name == "pack":  # of very many operands: the work they share is done once
        flat = (g.T if options[1] else g).reshape(-1)
        return [(x, arrays.apply("index", (flat,), (i,))) for i, x in enumerate(operands) if id(x) in leading]
    parts = []
    for i, x in enumerate(operands):
        if not wanted[i] or id(x) not in leading:
            continue
        if rule.arity < 0:
            c = rule.derivatives[0](g, operands, i, v, options)
        else:
            c = rule.derivatives[i](g, operands[0], operands[1] if rule.arity == 2 else None, v, options)
        if c is not None:
            parts.append((x, _fitted(c, x, rule.name)))
    return parts


def _fitted(c: Any, x: Any, name: str) -> Any:
    """arrays.fitted for graphs."""
    if not is_value(c):
        if getattr(getattr(c, "dtype", None), "hasobject", False):  # of an array times a scalar Value, see _rule.scaled
            raise RuntimeError(f"pygrad: the derivative of the rule {name!r} is an array of objects, no graph")
        return _as_value(c, x)
    if c.shape != x.shape:
        c = arrays.of_shape(c, x.shape)
    return arrays.apply("cast", (c,), x.dtype.name) if x.shape and c.dtype != x.dtype else c
