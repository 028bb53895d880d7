"""Whether operations are recorded: no_grad() computes without a graph.

Kept apart from the engines, which ask at every operation only whether any thread suspended it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ContextDecorator

from . import _tracing

suspended = 0
"""How many no_grad() blocks are open, in all threads."""

_lock = threading.Lock()


class _Depth(threading.local):
    blocks = 0
    """How many no_grad() blocks of this thread are open, since the last enable_grad()."""

    def __init__(self) -> None:
        self.outer: list[int] = []
        """The same outside of each enable_grad() that is open."""


_depth = _Depth()


def active() -> bool:
    """Whether operations of this thread are recorded."""
    return _depth.blocks == 0


listeners: list[Callable[[int], object]] = []
"""Told the new value of `suspended`: engines that cannot read it where they need it."""


def _change(by: int) -> None:
    global suspended
    with _lock:
        suspended += by
        for listener in listeners:
            listener(suspended)


class no_grad(ContextDecorator):  # noqa: N801  # called like a function, and named as in torch
    """Within it, what this thread computes is not recorded: results are leaves, and no graph is kept.

    A context manager, and a decorator of functions (not of generators, whose body runs later). May be nested. Of a
    user-defined op too, `Value(data, children, op)`, only data and label are kept, and a `_backward` set on a leaf is
    not. Graphs made before can be differentiated as ever.

    >>> from pygrad import Value
    >>> x = Value(3.0)
    >>> with no_grad():
    ...     y = x * 2
    >>> y, y.operands
    (Value(data=6.0, grad=0.0), ())
    """

    def __enter__(self) -> None:
        if _tracing.active and _tracing.here():
            raise _tracing.error("no_grad() in a recorded function would freeze what is computed in it: leave it out")
        _depth.blocks += 1
        _change(1)

    def __exit__(self, *error: object) -> None:
        _depth.blocks -= 1
        _change(-1)


class enable_grad(ContextDecorator):  # noqa: N801  # as no_grad
    """Within it, this thread records what it computes, also inside no_grad(): pygrad.hessian must.

    A context manager, and a decorator. May be nested.
    """

    def __enter__(self) -> None:
        _depth.outer.append(_depth.blocks)
        _change(-_depth.blocks)
        _depth.blocks = 0

    def __exit__(self, *error: object) -> None:
        _depth.blocks = _depth.outer.pop()
        _change(_depth.blocks)
