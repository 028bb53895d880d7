"""What the tests of passes compute with: the values of Code, and its gradients in the eager engine's order.

Floats of Python, one instruction after the other, by the formulas of pygrad.ops in IEEE arithmetic. Not fast.
"""

from __future__ import annotations

import math
from typing import Any

from pygrad import _ieee
from pygrad.ops import OPS
from pygrad.programs.code import Code

_IEEE = {
    "div": _ieee.divide, "pow": _ieee.power, "pow_const": _ieee.power, "exp": _ieee.exp, "log": _ieee.log,
    "sqrt": _ieee.square_root, "sin": _ieee.sin, "cos": _ieee.cos,
}  # fmt: skip


def total(xs: list[float]) -> float:
    """From the first to the last, starting with the first."""
    s = xs[0] if xs else 0.0
    for x in xs[1:]:
        s += x
    return s


def dot(xs: list[float]) -> float:
    start, factors = (xs[:1], xs[1:]) if len(xs) % 2 else ([], xs)
    return total(start + [w * x for w, x in zip(factors[::2], factors[1::2], strict=True)])


def logsumexp(xs: list[float]) -> float:
    m = -math.inf
    for x in xs:
        if not x <= m and not math.isnan(m):
            m = x
    s = 0.0
    for x in xs:
        s += _ieee.exp(x - m)
    return m if math.isinf(m) else m + _ieee.log(s)


def value(op: str, xs: list[float], k: Any) -> float:
    if op in ("sum", "dot", "logsumexp"):
        return {"sum": total, "dot": dot, "logsumexp": logsumexp}[op](xs)
    if op.startswith(("d0:", "d1:")):
        row = OPS[op[3:]]
        g, x, y, z = xs if row.kind == "binary" else (xs[0], xs[1], k, xs[-1])
        return float(row.derivatives[int(op[1])](_ieee, g, x, y, z))
    row = OPS[op]
    if row.kind == "constant":
        xs = [*xs, k]
    return float(_IEEE.get(op, row.value)(*xs))


def values(code: Code, inputs: list[float], parameters: list[float], indices: list[int]) -> list[Any]:
    """What each instruction computes; of one with an effect, what it adds."""
    found: list[Any] = []
    for op, args, k in zip(code.ops, code.args, code.ks, strict=True):
        xs = [found[a] for a in args]
        if op == "constant":
            found.append(k)
        elif op in ("input", "parameter", "shared", "seed"):
            found.append({"input": inputs, "parameter": parameters, "shared": parameters[::-1], "seed": [0.7]}[op][k or 0])
        elif op == "pick":
            found.append(xs[indices[k] % len(xs)])
        elif op == "dpick":
            found.append(xs[0] if indices[k[0]] == k[1] else 0.0)
        elif op == "outer":
            found.append([place for place in zip(k, [xs[0] * x for x in xs[1:]], strict=True)])
        elif op == "accumulate":
            found.append([(k, xs[0])])
        else:
            found.append(value(op, xs, k))
    return found


def gradients(code: Code, found: list[Any], root: int, indices: list[int]) -> list[float]:
    """Each value's gradient of value `root`: instructions from the last to the first, operands from the first to the
    last; of a dot product the weights, the start, the inputs."""
    grad = [0.0] * len(code)
    grad[root] = 1.0
    reached = {root}
    for i in range(len(code) - 1, -1, -1):
        op, args, k, g = code.ops[i], code.args[i], code.ks[i], grad[i]
        if i not in reached or not args:
            continue
        reached.update(args)
        xs, z = [found[a] for a in args], found[i]
        if op == "sum":
            adds = [(a, g) for a in args]
        elif op == "logsumexp":
            adds = [(a, g * _ieee.exp(x - z)) for a, x in zip(args, xs, strict=True)]
        elif op == "pick":
            adds = [(args[indices[k] % len(args)], g)]
        elif op == "dot":
            first = len(args) % 2
            ws, its = args[first::2], args[first + 1 :: 2]
            adds = [(w, g * found[x]) for w, x in zip(ws, its, strict=True)]
            adds += [(a, g) for a in args[:first]]
            adds += [(x, g * found[w]) for w, x in zip(ws, its, strict=True)]
        else:
            row = OPS[op]
            y = k if row.kind == "constant" else xs[-1]
            adds = [(a, float(d(_ieee, g, xs[0], y, z))) for a, d in zip(args, row.derivatives, strict=True)]
        for a, contribution in adds:
            grad[a] += contribution
    return grad
