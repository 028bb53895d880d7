"""Training and evaluation mode, for a while: what fit and predictions put a model into."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def set_mode(modules: list[Any], training: bool) -> None:
    """Puts the modules into training or evaluation mode."""
    for module in modules:
        if module.training is not training:
            module.training = training


@contextmanager
def in_mode(model: Any, training: bool) -> Iterator[list[Any]]:
    """The model and the modules inside it in training or evaluation mode; each as it was afterwards."""
    modules = model.modules()
    before = [module.training for module in modules]
    try:
        set_mode(modules, training)
        yield modules
    finally:
        for module, mode in zip(modules, before):
            set_mode([module], mode)
