"""NumPy's warnings in a reverse sweep: off from its first rule on, as they were while a closure of the user runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ._lazy import arrays


class Quiet:
    """Takes a sweep's steps; a context manager, at whose end warnings are as they were."""

    __slots__ = ("_context",)

    def __init__(self) -> None:
        self._context: Any = None

    def __enter__(self) -> Quiet:
        return self

    def __exit__(self, *error: object) -> None:
        self._leave()

    def _leave(self) -> None:
        if self._context is not None:
            context, self._context = self._context, None
            context.__exit__(None, None, None)

    def step(self, v: Any, record: Any) -> None:
        """The derivative step of a node that a rule computed."""
        if self._context is None:
            context = arrays.quiet()
            context.__enter__()
            self._context = context
        arrays.step(v, record)

    def call(self, closure: Callable[[], object]) -> None:
        """That of a user-defined op."""
        self._leave()
        closure()
