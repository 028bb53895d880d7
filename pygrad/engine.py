"""`Value`, as in micrograd.engine: that of the backend in use (PYGRAD_BACKEND, or pygrad.use; 'c' by default).

The backends themselves are _native.py (csrc/value.c), _handle.py and reference.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import backends

if TYPE_CHECKING:
    from .reference import Value
else:
    Value = backends.load(backends.current)

__all__ = ["Value"]
