"""Many parameters at once on the cffi handle: what pygrad/_updates.py describes, as one call into C each.

A token is an array of node ids that cffi owns. C looks at every id before it does anything, so a token whose
Values are gone is an error, not a crash. An array's memory is reached by its buffer, asked for at every call: so its
address and size are those that it has then.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from . import _tracing, _updates
from ._ffi import ffi, lib, raise_if

_RULE_CODES: dict[str, int] = {}
while (_info := lib.pg_rule_describe(len(_RULE_CODES))) != ffi.NULL:
    _RULE_CODES[ffi.string(_info.name).decode()] = len(_RULE_CODES)

_TOKEN = ffi.typeof("pg_id[]")
_DOUBLES = ffi.typeof("double[]")


def _count(token: Any) -> int:
    if _tracing.active:
        _tracing.looked(None, "many parameters at once")
    if not isinstance(token, ffi.CData) or ffi.typeof(token) is not _TOKEN:
        raise _updates.bad_token()
    return len(token)


def _doubles(array: Any, written: bool) -> Any:
    """The numbers of an ndarray, if they are doubles one behind the other, and may be written; else None."""
    flags, dtype = array.flags, array.dtype
    fits = flags.carray if written else flags.c_contiguous and flags.aligned
    if not fits or dtype.char != "d" or not dtype.isnative:
        return None
    return ffi.from_buffer(_DOUBLES, array, written)


def _are_apart(x: Any, g: Any) -> bool:
    """Whether a rule may read the one while it writes the other; both of one length."""
    distance = abs(int(ffi.cast("intptr_t", x)) - int(ffi.cast("intptr_t", g)))
    return distance == 0 or distance >= 8 * len(x)


def _arguments(data: Any, grad: Any, memory: Any, slots: int) -> tuple[Any, Any, int, Any] | None:
    """What C takes of an array Value, or None."""
    x = _doubles(data, True)
    if x is None:
        return None
    n, g, state = len(x), ffi.NULL, ffi.NULL
    if grad is not None:
        g = _doubles(grad, False)
        own = data.base is None and grad.base is None  # each its own memory
        if g is None or len(g) != n or not (own or _are_apart(x, g)):
            return None
    if slots:
        state = _doubles(memory, True)
        if state is None or len(state) != slots * n:
            return None
    return x, g, n, state


class Updates:
    """Methods of the class Value for many parameters at once; see pygrad._updates.Updates."""

    __slots__ = ()

    _arena: Any  # set by the handle

    @classmethod
    def _ids(cls, values: Sequence[Any]) -> Any:
        _updates.need_values(values, cls)
        if any(v._holds_array for v in values):
            raise TypeError("_ids: expected scalar Values")
        return ffi.new(_TOKEN, [v._id for v in values])

    @classmethod
    def _get(cls, token: Any, what: str) -> bytearray:
        _updates.need_attribute(what)
        numbers = bytearray(8 * _count(token))
        get = lib.pg_get_data if what == "data" else lib.pg_get_grads
        raise_if(get(cls._arena, token, len(token), ffi.from_buffer("double[]", numbers)))
        return numbers

    @classmethod
    def _put(cls, token: Any, what: str, numbers: bytes) -> None:
        _updates.need_attribute(what)
        _updates.need_doubles(numbers, bytes, _count(token))
        put = lib.pg_put_data if what == "data" else lib.pg_put_grads
        raise_if(put(cls._arena, token, len(token), ffi.from_buffer("double[]", numbers)))

    @classmethod
    def _zero_grads(cls, token: Any) -> None:
        raise_if(lib.pg_zero_grads(cls._arena, token, _count(token)))

    @classmethod
    def _grad_norm(cls, token: Any) -> float:
        norm = ffi.new("double *")
        raise_if(lib.pg_grad_norm(cls._arena, token, _count(token), norm))
        number: float = norm[0]
        return number

    @classmethod
    def _scale_grads(cls, token: Any, factor: float) -> None:
        raise_if(lib.pg_scale_grads(cls._arena, token, _count(token), factor))

    @classmethod
    def _clamp_grads(cls, token: Any, limit: float) -> None:
        raise_if(lib.pg_clamp_grads(cls._arena, token, _count(token), limit))

    @classmethod
    def _optimise(cls, rule: str, token: Any, settings: tuple[float, ...], memory: bytearray) -> None:
        if rule not in _RULE_CODES:
            raise _updates.bad_rule(rule)
        code, n = _RULE_CODES[rule], _count(token)
        _updates.need_settings(rule, lib.pg_rule_describe(code).setting_count, settings)
        numbers = ffi.new("double[]", settings)
        _updates.need_doubles(memory, bytearray, n * lib.pg_rule_slots(code, numbers))
        with ffi.from_buffer("double[]", memory) as state:  # held: nobody resizes it meanwhile
            if len(state) and int(ffi.cast("uintptr_t", state)) % ffi.alignof("double"):
                raise ValueError("the state must begin where a double may")
            raise_if(lib.pg_optimise(cls._arena, code, token, n, numbers, state))

    @classmethod
    def _optimise_arrays(
        cls,
        rule: str,
        values: tuple[Any, ...],
        settings: tuple[float, ...],
        memory: tuple[Any, ...],
        grads: tuple[Any, ...] | None = None,
    ) -> list[int]:
        if rule not in _RULE_CODES:
            raise _updates.bad_rule(rule)
        code = _RULE_CODES[rule]
        _updates.need_settings(rule, lib.pg_rule_describe(code).setting_count, settings)
        _updates.need_of_each(values, memory, grads)
        numbers = ffi.new("double[]", settings)
        slots = lib.pg_rule_slots(code, numbers)
        ready, others = [], []
        for i, v in enumerate(values):
            held = getattr(v, "_traced", None) if isinstance(v, cls) else None
            if held is None or held.data is None:
                raise _updates.no_arrays()
            arguments = _arguments(held.data, grads[i] if grads else held.grad, memory[i], slots)
            if arguments is None:
                others.append(i)
            else:
                ready.append(arguments)
        if not others:
            for x, g, n, state in ready:
                raise_if(lib.pg_optimise_array(code, x, g, n, numbers, state))
        return others
