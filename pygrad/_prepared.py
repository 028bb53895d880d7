"""What a module prepares once and keeps, and how it is noticed that something was changed.

Networks are called often and changed seldom. So a module may keep what it made of its parameters (a function in C, the
list of them) until an attribute of any module of pygrad's own is assigned, an item of a list there, or a method of
such a class: then everything kept is forgotten, since nobody follows what belongs to what.
"""

from __future__ import annotations

import weakref
from abc import ABCMeta
from collections.abc import Callable, Iterable
from typing import Any

from ._module import Module

_keeping: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()
"""The modules that keep something; by identity, whatever == says of them."""

_change = object()
"""The last change: another object after each."""

KEPT = ("_batch", "_compute", "_known", "_zero")
"""The attributes: a function of whole batches, one in C, the list of all parameters, a function that sets their
gradients to 0."""


def last_change() -> object:
    """An object that is another one after each change of a module of pygrad's own."""
    return _change


def changed() -> None:
    """Forgets all that is kept. To be called after the change: what runs meanwhile may prepare what was before."""
    global _change
    _change = object()
    while True:
        try:
            _, module = _keeping.popitem()
        except KeyError:
            return
        for name in KEPT:
            vars(module).pop(name, None)


def _noticed(name: str) -> Callable[..., Any]:
    method = getattr(list, name)

    def mutate(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return method(self, *args, **kwargs)
        finally:  # an iterable that fails halfway has changed the list as well
            changed()

    mutate.__name__ = name
    mutate.__doc__ = method.__doc__
    return mutate


class Watched(list[Any]):
    """A list like any other; calls changed() when an item is set, added, moved or taken away."""

    for _name in (
        "__setitem__", "__delitem__", "__iadd__", "__imul__",
        "append", "extend", "insert", "pop", "remove", "clear", "sort", "reverse",
    ):  # fmt: skip
        locals()[_name] = _noticed(_name)
    del _name


class _Noticing(ABCMeta):
    """A class whose methods may be replaced at any time, as any: `Neuron.__call__ = ...`. An ABCMeta, so that a user's
    class may be an ABC as well."""

    def __setattr__(cls, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        changed()

    def __delattr__(cls, name: str) -> None:
        super().__delattr__(name)
        changed()


class Prepared(Module, metaclass=_Noticing):
    """A module of pygrad's own, which may keep what it prepared."""

    _read: tuple[str, ...] = ()
    """The attributes that are read when this module, or one around it, prepares something."""

    _batch: Any = None
    _compute: Any = None
    _known: Any = None
    _zero: Any = None

    def _keep(self, name: str, make: Callable[[], Any]) -> Any:
        """Gives make(), and keeps it as that attribute until anything is changed: by another thread or a finalizer
        meanwhile, too."""
        before = _change
        ready = make()
        vars(self)[name] = ready
        _keeping[id(self)] = self
        if _change is not before:
            vars(self).pop(name, None)
        return ready

    def _is_read_plainly(self) -> bool:
        """Whether the attributes in _read are what was assigned: a derived class may make them properties."""
        return not any(hasattr(type(self), name) for name in self._read)

    def __setattr__(self, name: str, value: Any) -> None:
        again = name in vars(self)
        super().__setattr__(name, value)
        if again and name in self._read:
            changed()

    def __delattr__(self, name: str) -> None:
        super().__delattr__(name)
        changed()

    def __getstate__(self) -> dict[str, Any]:
        return {name: item for name, item in list(vars(self).items()) if name not in KEPT}


def all_watched(lists: Iterable[Any]) -> bool:
    """Whether no list of them can change without being noticed."""
    return all(type(x) in (Watched, tuple) for x in lists)


def guarded(function: Callable[[Any], Any], lists: Iterable[Any]) -> Callable[[Any], Any] | None:
    """The function, for as long as the lists hold what they hold now; afterwards it gives NotImplemented.

    A list that the user assigned is that very list, and not watched: it is compared at every call, which takes no
    longer than reading it, as far as its items compare by identity. None if some do not, or for what is no list.
    """
    unwatched = [x for x in lists if type(x) not in (Watched, tuple)]
    if not unwatched:
        return function
    if not all(type(x) is list and all(map(_compares_by_identity, x)) for x in unwatched):
        return None
    seen = [(x, x.copy()) for x in unwatched]

    def checked(x: Any) -> Any:
        for now, before in seen:
            if now != before:
                changed()
                return NotImplemented
        return function(x)

    return checked


def _compares_by_identity(x: Any) -> bool:
    kind: Any = type(x)
    # a Value of a backend's own class; its subclasses may compare as they like
    return "_pygrad_backend" in vars(kind) or kind.__eq__ is object.__eq__
