"""What the tests of recordings share: code as lines of text, and recorded code replayed with Values of the reference.

Replaying knows nothing of how code was recorded: it is the oracle for what recorded code computes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pygrad import backends, reference
from pygrad.ops import OPS
from pygrad.programs.code import Code
from pygrad.programs.record import Recording

from .conftest import bits


def listing(code: Code) -> list[str]:
    lines = []
    for op, args, k in zip(code.ops, code.args, code.ks):
        lines.append(" ".join([op, *map(str, args)] + ([] if k is None else [f"[{k}]"])))
    return lines


def replayed(recording: Recording, sample: list[float]) -> tuple[list[Any], dict[int, Any]]:
    """The outputs as Values of the reference, and the leaves by instruction."""
    V, code = reference.Value, recording.code
    numbers = [float(p) for p in recording.parameters + recording.shared]
    values: list[Any] = []
    for op, args, k in zip(code.ops, code.args, code.ks):
        x = [values[i] for i in args]
        if op == "input":
            v = V(sample[k])
        elif op == "parameter":
            v = V(numbers[k])
        elif op == "constant":
            v = V(k)
        elif op == "pick":
            v = x[int(sample[k])]
        elif op == "sum":
            v = V.sum(x)
        elif op == "logsumexp":
            v = V.logsumexp(x)
        elif op == "dot":
            start = len(args) % 2
            v = V.dot(x[start::2], x[start + 1 :: 2], *x[:start])
        else:
            v = x[0]._with_constant(op, k) if OPS[op].kind == "constant" else getattr(V, op)(*x)
        values.append(v)
    leaves = {i: v for i, v in enumerate(values) if code.ops[i] in ("input", "parameter")}
    return [values[i] for i in code.outputs], leaves


def assert_same(f: Callable[..., Any], shapes: list[Any], sample: list[float], recording: Recording) -> None:
    """The one output and its gradients by parameters are those of f in eager code."""
    V = backends.type_of(recording.parameters[0]) if recording.parameters else backends.load(backends.current)
    rest = iter(sample)
    arguments = [[V(next(rest)) for _ in range(s[0])] if s else next(rest) for s in shapes]
    for p in recording.parameters:
        p.grad = 0.0
    eager = f(*arguments)
    eager.backward()
    (got,), leaves = replayed(recording, sample)
    got.backward()
    assert bits(got.data) == bits(eager.data)
    place = {k: i for i, k in enumerate(recording.code.ks) if recording.code.ops[i] == "parameter"}
    for k, p in enumerate(recording.parameters):
        grad = leaves[place[k]].grad if k in place else 0.0
        assert bits(grad + 0.0) == bits(p.grad + 0.0)
