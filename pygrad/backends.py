"""The backends by name: which there are, how one is loaded, and which is in use.

'c': native handles on the graph in C. 'cffi': the same graph behind Python handles. 'python': the reference.
PYGRAD_BACKEND chooses the one that pygrad.Value is; the default is 'c'. There is no silent fallback.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

NAMES = ("c", "cffi", "python")

_MODULES = {"c": "_native", "cffi": "_handle", "python": "reference"}


def load(name: str) -> Any:
    """The Value type of a backend.

    Raises ValueError for an unknown name; ImportError that names the remedy if the backend is not there.
    """
    if not isinstance(name, str) or name not in _MODULES:
        raise ValueError(f"unknown backend {name!r}: choose one of {', '.join(map(repr, NAMES))}")
    return import_module(f".{_MODULES[name]}", __package__).Value


def from_environment() -> str:
    """The name in PYGRAD_BACKEND, or 'c'.

    Raises ImportError for an unknown name, since it is read when pygrad is imported.
    """
    name = os.environ.get("PYGRAD_BACKEND") or "c"
    if name not in NAMES:
        raise ImportError(f"PYGRAD_BACKEND={name!r} is no backend: choose one of {', '.join(map(repr, NAMES))}")
    return name


def missing(name: str, why: BaseException) -> ImportError:
    """The error for a backend that cannot be loaded."""
    return ImportError(
        f"the backend {name!r} is not there ({why}): install pygrad with a C compiler at hand (pip install .), "
        f"or set PYGRAD_BACKEND=python for the pure-Python reference"
    )


def type_of(x: Any) -> Any:
    """The Value type of x's backend; that of the one in use if x is no Value."""
    for t in type(x).__mro__:
        if "_pygrad_backend" in vars(t):
            return t
    return load(current)


def value_type(backend: str | None) -> Any:
    """The Value type of a backend, or of the one in use for None."""
    return load(current if backend is None else backend)


current = from_environment()
"""The name of the backend in use; changed by pygrad.use."""
