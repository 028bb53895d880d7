"""The native handle: installs the type that csrc/value.c defines, and gives it the Python functions it calls."""

from __future__ import annotations

import sys
from typing import Any

from . import _array_surface, _surface, _tracing, backends, recording
from ._checks import (
    as_children,
    as_data,
    as_float,
    bad_hook,
    bad_init,
    bad_operand,
    op_error,
    op_symbol,
    operand_float,
    text,
)
from ._ffi import lib
from ._lazy import arrays
from ._prepared import changed
from ._tracing import here as is_tracing
from ._tracing import looked
from .recording import active as is_recording

__all__ = [
    "Value",
    "arrays",
    "as_children",
    "as_data",
    "as_float",
    "bad_hook",
    "bad_init",
    "bad_operand",
    "changed",
    "conversion",
    "getitem",
    "is_recording",
    "is_tracing",
    "looked",
    "op_error",
    "op_symbol",
    "operand_float",
    "text",
]

getitem = _array_surface.ArraySurface.__getitem__
conversion = vars(_array_surface.ArraySurface)["__array__"].fget

Value: Any = None  # set by pg_python_install


def _install() -> None:
    if not hasattr(lib, "pg_python_install"):
        why = ImportError("this Python has no native handles: PYGRAD_BACKEND=cffi works")
        raise backends.missing("c", why)
    if lib.pg_python_install(id(sys.modules[__name__])) != 0:
        raise ImportError("the native handle could not be installed; the cause was printed above")
    recording.listeners.append(Value._suspend)
    Value._suspend(recording.suspended)  # it may be loaded within no_grad()
    _tracing.listeners.append(Value._trace)
    Value._trace(_tracing.active)
    Value._pygrad_backend = "c"
    Value._plain = Value
    Value.__name__ = "Value"  # in errors too; its __module__ stays pygrad.engine
    del Value.pow_const  # a row of the table, but no method: that is pow
    for name in _surface.SHARED:
        setattr(Value, name, vars(_surface.Surface)[name])
    for name in ("sum", "dot", "logsumexp"):  # on an instance methods of arrays: these functions move aside for them
        setattr(Value, f"_{name}", vars(Value)[name])
    for name in _array_surface.SHARED:
        setattr(Value, name, vars(_array_surface.ArraySurface)[name])


_install()
