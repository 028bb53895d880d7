"""What the builders of programs share: the signature of a recording, and the passes that all code goes through.

Passes that decide in what order derivatives are added run before differentiation and keep the eager engine's order;
those after it see plain data flow.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import NamedTuple

from .code import Code
from .passes import (
    common_subexpressions,
    dead_code,
    drop_identities,
    fold_constants,
    gather_products,
    gather_sums,
)


class Signature(NamedTuple):
    """What surrounds the code of a recording.

    parameters: all that are read at every call, of which the first `trained` are differentiated by (None: all).
    columns: of each input column its argument and its position there; none for a function without arguments. widths:
    of each argument. bounds: by column used as an index, how many classes there are. groups: how many values each
    output group has, in the order of code.outputs.
    """

    parameters: int
    columns: list[tuple[int, int]]
    widths: list[int]
    bounds: dict[int, int]
    groups: list[int]
    trained: int | None = None

    @property
    def wanted(self) -> int:
        """How many parameters are differentiated by."""
        return self.parameters if self.trained is None else self.trained


class Pass(NamedTuple):
    """What a pass made of the code, and the seconds it took."""

    name: str
    code: Code
    seconds: float


class Passes:
    """The passes of a program in order; the time since the last one is each one's. kept: whether anybody asks for them:
    their codes are many times the program."""

    def __init__(self, kept: bool = True) -> None:
        self.done: list[Pass] = []
        self._kept = kept
        self._since = perf_counter()

    def add(self, name: str, code: Code) -> None:
        """Notes a pass that has just been done."""
        if not self._kept:
            return
        now = perf_counter()
        self.done.append(Pass(name, code, now - self._since))
        self._since = now


def first_passes(exact: bool) -> list[tuple[str, Callable[[Code], Code]]]:
    return [
        ("dead code", dead_code),
        ("constants folded", lambda code: fold_constants(code, exact=exact)),
        ("products gathered", gather_products),
        ("sums gathered", gather_sums),
        ("dead code", dead_code),
    ]


def prepared(code: Code, exact: bool, passes: Passes, what: str = "") -> Code:
    """The code after the first passes, each of which is noted, with what it was of before its name."""
    for name, apply in first_passes(exact):
        code = apply(code)
        passes.add(what + name, code)
    return code


def tidied(code: Code) -> Code:
    """What may be done once no derivative is taken any more."""
    return dead_code(common_subexpressions(drop_identities(fold_constants(code))))


def trained_leaves(code: Code, signature: Signature) -> dict[int, int]:
    """The leaves to differentiate by, and their numbers."""
    return {
        i: k for i, (op, k) in enumerate(zip(code.ops, code.ks)) if op == "parameter" and k < signature.wanted
    }
