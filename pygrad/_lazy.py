"""Modules that are loaded at their first use: so importing pygrad does not import NumPy, nor does any scalar script.

`arrays.f` is the function f of pygrad._arrays; after the first use an attribute like any other.
"""

from __future__ import annotations

import importlib
from typing import Any


class _Lazy:
    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        found = getattr(importlib.import_module(self._name, __package__), attribute)
        setattr(self, attribute, found)
        return found


arrays = _Lazy("._arrays")
array_functions = _Lazy(".arrays")
array_protocols = _Lazy("._array_protocols")
pickled = _Lazy("._pickled")
array_updates = _Lazy("._array_updates")
array_losses = _Lazy("._losses_arrays")
draw_arrays = _Lazy("._draw_arrays")
