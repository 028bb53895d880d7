"""What a rule of arrays is, and what derivatives need to work on arrays and on graphs alike.

A derivative that is itself a rule (index's is scatter) applies it through call(): to arrays at once, to Values as a
node. The rules stand in the files _rules_*, their table in array_rules.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ._checks import is_value


class Rule(NamedTuple):
    """An operation on arrays: its value, and one derivative an operand.

    value(x, o), value(x, y, o), or value(xs, o) of any number of operands (arity -1): x, y are the operands' data,
    ndarrays, or Python floats for scalar Values; o the options: None for an elementwise op, the constant of one that
    has one, else what the rule's comment says. It checks nothing that NumPy checks, and may return a view.

    derivatives: d(g, x, y, z, o) each (arity -1: one function d(g, xs, i, z, o), i the operand's number) from the
    result's gradient g, the operands' data and the result's data z. What it returns is summed over the axes along
    which the operand was broadcast, broadcast up to its shape, and cast to its dtype by the caller. It may be a view, g
    itself, or None for nothing. All of g, x, y, z may be Values: it consists of operations that take both. Run it
    with NumPy's warnings off.
    """

    name: str
    symbol: str
    arity: int
    value: Callable[..., Any]
    derivatives: tuple[Callable[..., Any], ...]


def call(rule: Rule, operands: tuple[Any, ...], options: Any) -> Any:
    """The rule applied: an array, or a Value if any operand is one."""
    for x in operands:
        if type(x) is not np.ndarray and is_value(x):
            from . import _arrays

            return _arrays.apply(rule.name, operands, options)
    return rule.value(operands, options) if rule.arity < 0 else rule.value(*operands, options)


def scaled(x: Any, factor: Any) -> Any:
    """x * factor, a number or a scalar Value. (An array times a scalar Value by itself is NumPy's array of objects.)"""
    if is_value(factor) and not is_value(x):
        from . import _arrays

        return _arrays.apply("mul", (x, factor))
    return x * factor


def data_of(x: Any) -> Any:
    """The numbers of an array, a float or a Value."""
    return x.data if is_value(x) else x


def shape_of(x: Any) -> tuple[int, ...]:
    """The shape of an array or a Value; () of a float."""
    return getattr(x, "shape", ())


def inverse(permutation: tuple[int, ...]) -> tuple[int, ...]:
    """The permutation that undoes one."""
    return tuple(sorted(range(len(permutation)), key=permutation.__getitem__))
