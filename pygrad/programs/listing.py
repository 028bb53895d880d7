"""Code as text to read, and how much work it is. Does not change anything, and does not know how code is run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from .code import EFFECTS, LEAVES, Code

_SHOWN = 3  # of a long list of operands


def counted(n: int, what: str) -> str:
    """A number of things in words: 1 array, 2 arrays."""
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def listing(
    code: Code,
    names: Mapping[tuple[str, int], str] | None = None,
    most: int | None = None,
    targets: Sequence[str] | None = None,
) -> str:
    """One line an instruction, '%7 = mul %5, x[0]', and a last one with the outputs.

    Leaves have no lines of their own: inputs, parameters and shared values stand where they are used, by the name that
    names[op, k] gives them ('input 3' without one), and so do constants. Long lists of operands are cut.

    Args:
        names: of leaves by op and number, as ('parameter', 0): 'w'.
        most: shows so many instructions at most, the first and the last ones.
        targets: of each output that is a value, where it goes, as 'V[3] ='; '' for what is returned. By default all
            are returned. With targets of its own, code without results has no line for them.
    """
    names = names or {}
    ops, ks = code.ops, code.ks
    rows = [i for i, op in enumerate(ops) if op not in LEAVES]
    left_out = 0 if most is None else max(len(rows) - most, 0)
    before = (len(rows) - left_out + 1) // 2

    def name(i: int) -> str:
        if ops[i] not in LEAVES:
            return f"%{i}"
        if ops[i] == "constant":
            return repr(ks[i])
        return "seed" if ops[i] == "seed" else names.get((ops[i], ks[i]), f"{ops[i]} {ks[i]}")

    lines = [_line(i, code, name) for i in rows[:before]]
    if left_out:
        lines.append(f"... {counted(left_out, 'instruction')}")
    lines += [_line(i, code, name) for i in rows[before + left_out :]]
    values = [i for i in code.outputs if ops[i] not in EFFECTS]
    places = [""] * len(values) if targets is None else targets
    lines += [f"{place} {name(i)}" for i, place in zip(values, places) if place]
    returned = [name(i) for i, place in zip(values, places) if not place]
    if returned or targets is None:
        lines.append(f"return {', '.join(returned)}".rstrip())
    return "\n".join(lines)


def _few(items: list[Any], separator: str, what: str) -> str:
    """The items, or the first of them and how many there are."""
    if len(items) <= _SHOWN + 2:
        return separator.join(map(str, items))
    return separator.join([*map(str, items[:_SHOWN]), f"... {len(items)} {what}"])


def _line(i: int, code: Code, name: Any) -> str:
    op, args, k = code.ops[i], [name(a) for a in code.args[i]], code.ks[i]
    if op == "outer":
        return f"outer {args[0]} * [{_few(args[1:], ', ', 'inputs')}] to G[{_few(list(k), ', ', 'places')}]"
    if op == "accumulate":
        return f"accumulate {args[0]} to G[{k}]"
    if op == "dot":
        first = len(args) % 2
        products = [f"{w}*{x}" for w, x in zip(args[first::2], args[first + 1 :: 2], strict=True)]
        text = " + ".join([*args[:first], *([_few(products, " + ", "terms")] if products else [])])
    elif op == "sum":
        text = _few(args, " + ", "terms")
    elif op == "pick":
        text = f"index {k} of {_few(args, ', ', 'values')}"
    elif op == "dpick":
        text = f"{args[0]} where index {k[0]} is {k[1]}"
    else:
        text = _few(args, ", ", "values") + (f", {k!r}" if k is not None else "")
    return f"%{i} = {op} {text}".rstrip()


class Counts(NamedTuple):
    """How much work code is, for one sample."""

    instructions: dict[str, int]
    """How many of each op, leaves aside; the most frequent first."""
    flops: int
    """Floating-point operations. An arithmetic operation is one, and so is a function (exp, tanh, relu, ...) and a
    choice (maximum); a product of a dot product and its addition are two, a sum of n operands n - 1, logsumexp of n
    3 n + 1. A derivative counts what its formula in csrc/ops.h computes. What adds to gradients of parameters counts
    2 a product, 1 an addition. Leaves and picking are free."""


_DERIVATIVES = {
    "neg": (1,), "add": (0, 0), "sub": (0, 1), "mul": (1, 1), "div": (1, 4), "pow_const": (3,), "pow": (4, 3),
    "exp": (1,), "log": (1,), "sqrt": (2,), "sin": (2,), "cos": (3,), "tanh": (3,), "sigmoid": (3,),
    "softplus": (2,), "relu": (1,), "leaky_relu": (1,), "elu": (3,), "silu": (6,), "gelu": (5,), "abs": (2,),
    "maximum": (1, 1), "minimum": (1, 1), "erf": (5,), "erfc": (5,),
}  # fmt: skip
_FLOPS = {f"d{j}:{op}": n for op, counts in _DERIVATIVES.items() for j, n in enumerate(counts)}
_FLOPS |= {"pick": 0, "dpick": 0, "d0:logsumexp": 3}


def counts(code: Code) -> Counts:
    """Instructions by op, and floating-point operations (see Counts)."""
    found = Counter(code.ops)
    for op in LEAVES:
        found.pop(op, None)
    flops = 0
    for op, args in zip(code.ops, code.args, strict=True):
        n = len(args)
        if op == "dot" or op == "sum":
            flops += max(n - 1, 0)  # of a dot product too: 2 a product, and no addition before the first term
        elif op == "logsumexp":
            flops += 3 * n + 1 if n else 0
        elif op == "outer":
            flops += 2 * (n - 1)
        elif op not in LEAVES:
            flops += _FLOPS.get(op, 1)
    return Counts(dict(found.most_common()), flops)
