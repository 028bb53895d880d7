"""The reverse sweep as code: derivatives by source transformation, in the order of the eager engine.

Contributions to a value's derivative are added in the order in which backward() adds them: instructions from the last
to the first, operands from the first to the last. backward() starts each sum from 0.0; here the first contribution
starts it, which differs in the sign of a zero only, and every operation on derivatives is linear in them: a zero's
sign never reaches a nonzero number. Nothing here looks for anything: the passes before and after do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from .code import LEAVES, Code

PIECEWISE = frozenset({"relu", "leaky_relu", "abs", "maximum", "minimum"})
"""Ops whose derivatives are constant wherever they have one: to be differentiated by g only."""


class _Product(NamedTuple):
    """A contribution weight * g that has not been multiplied out: sums of them are dot products."""

    weight: int
    g: int


Give = Callable[[int, "int | _Product"], None]


def depends(code: Code, leaves: Iterable[int]) -> list[bool]:
    """Which values depend on one of the leaves, or are one."""
    found = [False] * len(code)
    for i in leaves:
        found[i] = True
    for i, args in enumerate(code.args):
        if not found[i]:
            for x in args:
                if found[x]:
                    found[i] = True
                    break
    return found


def differentiate(
    code: Code, seeds: Mapping[int, int], wanted: Mapping[int, int | None]
) -> dict[int, int | None]:
    """Appends the derivatives of sum(seed * value) to the code.

    seeds: by value, the value its derivative starts from. wanted: the leaves to differentiate by; a number is a place
    in G, to which effects are appended (and put among the outputs) that add the derivative; None asks for the
    derivative as a value. Gives, for the leaves with None, the value of the derivative, or None where it is 0.
    """
    active = depends(code, wanted)
    n = len(code)
    parts: list[list[int | _Product] | None] = [None] * n
    last = -1
    for value, seed in seeds.items():
        if active[value]:
            parts[value] = [*(parts[value] or ()), seed]
            last = max(last, value)
    places = {i: place for i, place in wanted.items() if place is not None}
    give = _giver(code, parts, places)
    for i in range(last, -1, -1):
        mine = parts[i]
        if mine is None or code.ops[i] in LEAVES:
            continue
        g = _summed(code, mine)
        parts[i] = None
        _step(code, i, g, active, places, give)
    derivatives: dict[int, int | None] = {}
    for i, place in wanted.items():
        own = parts[i]
        if place is None:
            derivatives[i] = None if own is None else _summed(code, own)
        elif own is not None:  # a leaf that is seeded itself
            for c in own:
                if not isinstance(c, _Product):
                    code.outputs.append(code.add("accumulate", (c,), place))
    return derivatives


def _summed(code: Code, parts: list[int | _Product]) -> int:
    """The contributions added up, left to right."""
    if len(parts) == 1:
        only = parts[0]
        return code.add("mul", (only.weight, only.g)) if isinstance(only, _Product) else only
    total: int | None = None
    i, n = 0, len(parts)
    while i < n:
        j = i
        first = parts[i]
        if isinstance(first, _Product):
            pairs: list[int] = []
            while j < n and isinstance(p := parts[j], _Product):
                pairs += p
                j += 1
            if total is None:
                total = code.add("mul", tuple(pairs)) if len(pairs) == 2 else code.add("dot", tuple(pairs))
            elif len(pairs) == 2:
                total = code.add("add", (total, code.add("mul", tuple(pairs))))
            else:
                total = code.add("dot", (total, *pairs))
        else:
            terms: list[int] = [] if total is None else [total]
            while j < n and not isinstance(c := parts[j], _Product):
                terms.append(c)
                j += 1
            total = terms[0] if len(terms) == 1 else code.add("add" if len(terms) == 2 else "sum", tuple(terms))
        i = j
    assert total is not None
    return total


def _giver(code: Code, parts: list[list[int | _Product] | None], places: Mapping[int, int]) -> Give:
    """What adds a contribution to a value's derivative: to G at once, if it has a place there."""

    def give(x: int, part: int | _Product) -> None:
        if x in places:
            place = places[x]
            if isinstance(part, _Product):
                effect = code.add("outer", (part.g, part.weight), (place,))
            else:
                effect = code.add("accumulate", (part,), place)
            code.outputs.append(effect)
        elif (mine := parts[x]) is None:
            parts[x] = [part]
        else:
            mine.append(part)

    return give


def _step(code: Code, i: int, g: int, active: list[bool], places: Mapping[int, int], give: Give) -> None:
    """What instruction i adds to the derivatives of its operands."""
    op, args, k = code.ops[i], code.args[i], code.ks[i]
    if op == "dot":
        start = len(args) % 2
        weights, xs = args[start::2], args[start + 1 :: 2]
        _give_dot(code, g, weights, xs, places, active, give)
        if start and active[args[0]]:
            give(args[0], g)
        for w, x in zip(weights, xs):
            if active[x]:
                give(x, _Product(w, g))
    elif op in ("add", "sum"):
        for x in args:
            if active[x]:
                give(x, g)
    elif op == "mul":
        x, y = args
        if active[x]:
            give(x, _Product(y, g))
        if active[y]:
            give(y, _Product(x, g))
    elif op == "dpick" or (op[:1] == "d" and op[3:] in PIECEWISE):
        if active[args[0]]:
            give(args[0], code.add(op, (g, *args[1:]), k))
    elif op == "pick":
        for number, x in enumerate(args):
            if active[x]:
                give(x, code.add("dpick", (g,), (k, number)))
    else:
        for number, x in enumerate(args):
            if active[x]:
                give(x, derivative(code, op, number, g, args, i, k))


def _give_dot(code: Code, g: int, weights: Any, xs: Any, places: Mapping[int, int], active: Any, give: Give) -> None:
    """To the weights of a dot product: one effect for all that are in G."""
    inside = [(x, places[w]) for w, x in zip(weights, xs) if w in places]
    if inside:
        code.outputs.append(code.add("outer", (g, *(x for x, _ in inside)), tuple(place for _, place in inside)))
    for w, x in zip(weights, xs):
        if active[w] and w not in places:
            give(w, _Product(x, g))


def derivative(code: Code, op: str, number: int, g: int, args: tuple[int, ...], z: int, k: Any) -> int:
    """g times the derivative of an op by one operand, as one instruction: the simple ones as plain arithmetic."""
    if op == "neg" or (op == "sub" and number == 1):
        return code.add("neg", (g,))
    if op == "sub":
        return g
    if op == "div" and number == 0:
        return code.add("div", (g, args[1]))
    if op == "logsumexp":
        return code.add("d0:logsumexp", (g, args[number], z))
    return code.add(f"d{number}:{op}", (g, *args, z), k)
