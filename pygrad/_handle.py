"""The cffi handle: `Value` as a Python object that names a node of the arena in C.

The readable account of how the arena is used, and the engine where there is no native handle (PyPy). Every
number and every edge lives in C; a Value holds its node's id. What a node means for Python alone stands here: the
handle it already has, its label, the closure of a user-defined op.

A Value upstream of every closure holds only its id, and when it dies, a weak reference tells the arena. A
*traced* Value, one with a closure or computed from one, also holds its operands: so a cycle, which must run
through a closure, is made of Python objects, and the collector can take it away.
"""

from __future__ import annotations

import gc
import math
import os
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar

from . import _checks, _listing, _tracing, recording
from ._ffi import NO_NODE, OP_CODES, OP_KINDS, OP_NAMES, RESULT_TRACED, ffi, lib
from ._ffi import raise_if as _raise_if
from ._handle_updates import Updates
from ._lazy import arrays
from ._prepared import changed
from ._quiet import Quiet
from ._surface import Surface

_arena = lib.pg_arena_new(lib.PG_ARENA_LOCKED)
if _arena == ffi.NULL:
    raise MemoryError("no memory for the graph")

# By node id. A node's handle, while it lives; (label, symbol) of the nodes that have one; and handles kept because
# untraced nodes, which do not hold them, use a node that has a closure.
_handles: dict[int, _Reference] = {}
_notes: dict[int, tuple[str, str]] = {}
_pins: dict[int, Value] = {}
_lookup = threading.RLock()  # so that two threads that look for a node's handle find the same

_collecting = False  # whether the garbage collector is at work
_deferred: list[int] = []  # nodes whose handles it took meanwhile

_new = object.__new__
_lib_binary = lib.pg_binary
_lib_binary_right = lib.pg_binary_right
_lib_unary = lib.pg_unary
_lib_constant = lib.pg_constant
_NEG, _POW_CONST = OP_CODES["neg"], OP_CODES["pow_const"]
_SHARED_KINDS = ("unary", "constant", "binary")  # of the ops whose code an elementwise rule of that name has too


class _Reference(weakref.ref):  # type: ignore[type-arg]
    """A weak reference to the handle of node `id`."""

    __slots__ = ("id",)
    id: int


def _released(
    reference: _Reference,
    handles: dict[int, _Reference] = _handles,
    release: Callable[[Any, int], int] = lib.pg_release,
    arena: Any = _arena,
) -> None:
    """A handle died: its count goes back. The defaults keep what this needs at hand while the interpreter shuts
    down; notes are gone then."""
    node = reference.id
    if handles.get(node) is reference:
        del handles[node]
    if _collecting:
        _deferred.append(node)
        return
    after = release(arena, node)
    if after and _arena is not None:
        _settle(after)


def _collection(phase: str, info: dict[str, int]) -> None:
    """The collector clears weak references before it runs finalizers, and those may still use the Value: so
    counts that it gives back wait for its end. (A Value that a finalizer keeps alive is without a node then.)"""
    global _collecting
    del info
    _collecting = phase == "start"
    while _deferred and not _collecting:
        _settle(lib.pg_release(_arena, _deferred.pop()))


gc.callbacks.append(_collection)


class _Traced:
    """What a traced handle holds: its operands, its closure if it has one, and all that an array Value consists of."""

    __slots__ = ("data", "grad", "hook", "operands", "record", "shared")

    def __init__(self, operands: tuple[Value, ...]) -> None:
        self.operands = operands
        self.hook: Callable[[], object] | None = None
        self.data: Any = None  # an ndarray; None: the node holds a number
        self.grad: Any = None  # of the array; None: zeros. Never changed in place here
        self.shared = False  # whether operands may share the gradient's array
        self.record: Any = None  # of a node that a rule of pygrad._arrays computed



def _settle(after: int) -> None:
    """Does what a release left to do: forgets the notes of dead nodes, and handles that nothing uses any more."""
    if after & lib.PG_AFTER_LIMBO:
        while node := lib.pg_limbo(_arena):
            _notes.pop(node, None)
            lib.pg_bury(_arena, node)
    if after & lib.PG_AFTER_UNPINNED:
        for node in list(_pins):
            if lib.pg_uses(_arena, node) == 1:
                lib.pg_set_flags(_arena, node, 0, lib.PG_NODE_PINNED)
                _pins.pop(node, None)



def _wrap(made: int) -> Value:
    """The handle of a node just computed."""
    if recording.suspended and not recording.active():
        made %= RESULT_TRACED
        _settle(_raise_if(lib.pg_forget(_arena, made)))
    return _wrap_recorded(made)


def _wrap_recorded(made: int) -> Value:
    self: Value = _new(Value)
    _attach(self, made)
    return self


def _attach(self: Value, made: int) -> None:
    """Makes self the handle of a node, with the count of it that came with it."""
    self._id = node = made % RESULT_TRACED
    _handles[node] = reference = _Reference(self, _released)
    reference.id = node
    if made >= RESULT_TRACED:
        _trace(self)


def _handle_of(node: int) -> Value:
    """The handle of a live node: the one it has, or a new one."""
    with _lookup:
        reference = _handles.get(node)
        self = reference() if reference else None
        if self is None:
            fresh: Value = _new(Value)
            reference = _Reference(fresh, _released)
            reference.id = node
            _raise_if(lib.pg_retain(_arena, node))
            fresh._id = node
            # making those may have run the collector, and with it code that asked for this very handle
            other = _handles.get(node)
            self = other() if other else None
            if self is None:
                self, _handles[node] = fresh, reference
            else:
                del reference  # before fresh, whose death it would report
                lib.pg_release(_arena, node)
        return self


def _operand_ids(node: int) -> list[int]:
    count = lib.pg_operands(_arena, node, ffi.NULL, 0)
    ids = ffi.new("pg_id[]", max(count, 1))
    lib.pg_operands(_arena, node, ids, count)
    return ffi.unpack(ids, count) if count > 0 else []


def _trace(self: Value) -> _Traced:
    """From now on the handle holds its operands."""
    traced: _Traced | None = getattr(self, "_traced", None)
    if traced is None:
        traced = self._traced = _Traced(self.operands)
        lib.pg_set_flags(_arena, self._id, lib.PG_NODE_TRACED, 0)
    return traced


def _hook_of(self: Value) -> Callable[[], object] | None:
    traced: _Traced | None = getattr(self, "_traced", None)
    return traced.hook if traced else None


def _raise(status: int, op: str, x: float, y: float) -> Any:
    """Raises what an op that failed with this status should."""
    if status >= lib.PG_ERR_OP:
        _raise_if(status)
    raise _checks.op_error(op, status, x, y)


def _has_no_value(status: int) -> bool:
    """Whether an op failed for the numbers of its operands."""
    return bool(lib.PG_ERR_COMPLEX <= status <= lib.PG_ERR_ZERO_DIVISION)


def _array_of(v: Any) -> _Traced | None:
    """What holds the array, of an array Value."""
    traced: _Traced | None = getattr(v, "_traced", None)
    return traced if traced is not None and traced.data is not None else None


def _quick(name: str) -> Callable[[Value, Any], Any]:
    """A binary operator: what Value._binary and _wrap do, in one function."""
    code = OP_CODES[name]

    def operator(self: Value, other: Any) -> Any:
        kind = type(other)
        if kind is Value:
            made = _lib_binary(_arena, code, self._id, other._id)
        elif kind is float or kind is int:
            made = _lib_binary_right(_arena, code, self._id, other)
        else:
            return self._binary(name, other)
        if not 0 <= made < RESULT_TRACED:
            return _wrap(made) if made >= 0 else self._failed(made, name, other)
        if recording.suspended:
            return _wrap(made)
        result: Value = _new(Value)
        result._id = made
        _handles[made] = reference = _Reference(result, _released)
        reference.id = made
        return result

    return operator


def _arrays_of(sweep: Any) -> Iterator[Value]:
    """The array Values whose gradients a sweep may change, some of them several times."""
    position = ffi.new("uint64_t *")
    while node := lib.pg_sweep_array(sweep, position):
        yield _handle_of(node)


def _log_grads(log: list[tuple[_Traced, Any, bool]], values: Iterable[Value]) -> None:
    """Notes the gradients of arrays before a step that may fail; who reads one then, to change it, gets a copy."""
    for v in values:
        held = _array_of(v)
        if held:
            log.append((held, held.grad, held.shared))
            held.shared = held.grad is not None


class Value(Surface, Updates):
    """A number that remembers how it was computed, and its gradient; see pygrad.reference.Value, which it equals
    to the last bit."""

    __slots__ = ("__weakref__", "_id", "_traced")

    _pygrad_backend = "cffi"
    _arena = _arena
    _plain: ClassVar[type[Value]]
    _id: int
    _traced: _Traced  # not set on a Value that is not traced

    def __init__(self, data: Any, _children: Iterable[Value] = (), _op: str = "", label: str = "") -> None:
        payload = _checks.as_data(data)
        number = payload if type(payload) is float else math.nan
        children, symbol = _checks.as_children(_children, Value), _checks.text(_op, "_op")
        label = _checks.text(label, "label")
        if hasattr(self, "_id"):
            self._init_again(number, bool(children or symbol), type(payload) is not float)
        elif (children or symbol) and not (recording.suspended and not recording.active()):
            _attach(self, _raise_if(lib.pg_user(_arena, number, [x._id for x in children], len(children))))
        else:
            symbol = ""
            _attach(self, _raise_if(lib.pg_leaf(_arena, number)))
        if type(payload) is not float:
            _trace(self).data = payload
            _raise_if(lib.pg_set_flags(_arena, self._id, lib.PG_NODE_ARRAY, 0))
        if label or symbol or self._id in _notes:
            self._note(label, symbol)

    def _init_again(self, number: float, computed: bool, is_array: bool) -> None:
        if _tracing.active:
            _tracing.looked(None, "setting .data")
        if computed or OP_NAMES[lib.pg_op(_arena, self._id)] != "leaf":
            raise _checks.bad_init()
        held = _array_of(self)
        if is_array or held:
            if lib.pg_uses(_arena, self._id) > 1:  # its users computed with the other kind
                raise _checks.bad_init()
            if held:
                held.data = held.grad = None
                _raise_if(lib.pg_set_flags(_arena, self._id, 0, lib.PG_NODE_ARRAY))
        lib.pg_set_data(_arena, self._id, number)
        lib.pg_set_grad(_arena, self._id, 0.0)

    # ---- attributes ----

    @property
    def data(self) -> Any:
        """The number, a float; or the array. What is assigned to an array Value is kept, not copied."""
        if _tracing.active:
            _tracing.looked(self, ".data")
        number = lib.pg_data(_arena, self._id)
        if number == number:
            return number
        held = _array_of(self)  # of an array C knows nan
        return held.data if held else number

    @data.setter
    def data(self, x: Any) -> None:
        if _tracing.active:
            _tracing.looked(None, "setting .data")
        held = _array_of(self)
        if held:
            held.data = arrays.replacement(x, held.data, "data")
        else:
            lib.pg_set_data(_arena, self._id, _checks.as_float(x, "data"))

    @property
    def grad(self) -> Any:
        """The gradient of the last root, accumulated by backward(): a float, or an array of data's shape and dtype."""
        if _tracing.active:
            _tracing.looked(self, ".grad")
        number = lib.pg_grad(_arena, self._id)
        if number == number:
            return number
        held = _array_of(self)
        if not held:
            return number
        if held.grad is None or held.shared:
            held.grad = arrays.own_grad(held.grad, held.data)
            held.shared = False
        return held.grad

    @grad.setter
    def grad(self, x: Any) -> None:
        if _tracing.active:
            _tracing.looked(None, "setting .grad")
        held = _array_of(self)
        if held:
            held.grad = arrays.replacement(x, held.data, "grad")
            held.shared = False
        else:
            lib.pg_set_grad(_arena, self._id, _checks.as_float(x, "grad"))

    @property
    def _holds_array(self) -> bool:
        return _array_of(self) is not None

    @property
    def _raw_grad(self) -> Any:
        held = _array_of(self)
        return held.grad if held else lib.pg_grad(_arena, self._id)

    @property
    def _record(self) -> Any:
        traced: _Traced | None = getattr(self, "_traced", None)
        return traced.record if traced else None

    def _accumulate(self, c: Any) -> None:
        """Adds to the gradient. c: a float, or an array of the gradient's shape and dtype, which is kept as it is."""
        held = _array_of(self)
        if held is None:
            lib.pg_set_grad(_arena, self._id, lib.pg_grad(_arena, self._id) + c)
            return
        held.shared = held.grad is None
        held.grad = c if held.grad is None else held.grad + c

    def _hand_on(self, numbers: bytes) -> None:
        """Adds a double of these bytes to each operand's gradient; its own is none any more."""
        self._traced.grad = None
        _raise_if(lib.pg_add_to_operands(_arena, self._id, ffi.from_buffer("double[]", numbers), len(numbers) // 8))

    def _note(self, label: str, symbol: str) -> None:
        _raise_if(lib.pg_set_flags(_arena, self._id, lib.PG_NODE_SIDE, 0))
        _notes[self._id] = (label, symbol)

    @property
    def label(self) -> str:
        """A name for pictures; kept as long as the node lives."""
        return _notes.get(self._id, ("", ""))[0]

    @label.setter
    def label(self, x: str) -> None:
        self._note(_checks.text(x, "label"), _notes.get(self._id, ("", ""))[1])

    @property
    def operands(self) -> tuple[Value, ...]:
        """The operands, left to right."""
        traced: _Traced | None = getattr(self, "_traced", None)
        return traced.operands if traced else tuple(_handle_of(node) for node in _operand_ids(self._id))

    @property
    def _prev(self) -> set[Value]:
        """The set of operands, as in micrograd."""
        return set(self.operands)

    @property
    def _op(self) -> str:
        """The op's symbol; '' for a leaf."""
        name = OP_NAMES[lib.pg_op(_arena, self._id)]
        if name == "array":
            rule_symbol: str = self._record[0].symbol
            return rule_symbol
        symbol = ffi.string(lib.pg_op_describe(OP_CODES[name]).symbol).decode()
        if name == "pow_const":
            return _checks.op_symbol(symbol, lib.pg_node_constant(_arena, self._id))
        return symbol or _notes.get(self._id, ("", ""))[1]

    # ---- operations ----

    def _unary(self, name: str) -> Value:
        made = _lib_unary(_arena, OP_CODES[name], self._id)
        return _wrap(made) if made >= 0 else self._failed(made, name)

    def _failed(self, status: int, name: str, other: Any = None) -> Any:
        """Where C made no node: an array's, or what the op raises. other: a Value or number, if there is one."""
        if _tracing.active and _has_no_value(status) and _tracing.here():
            y_id = other._id if isinstance(other, Value) else NO_NODE
            number = 0.0 if other is None or y_id else other
            return _wrap(_raise_if(lib.pg_ieee(_arena, OP_CODES[name], self._id, y_id, number)))
        if status != lib.PG_ERR_ARRAY:
            y = 0.0 if other is None else other.data if isinstance(other, Value) else float(other)
            return _raise(status, name, self.data, y)
        if other is None:
            return arrays.unary(name, self)
        if OP_KINDS[name] == "constant":
            return arrays.with_constant(name, self, float(other))
        return arrays.binary(name, self, other if isinstance(other, Value) else float(other))

    def _with_constant(self, name: str, k: Any) -> Value:
        code = OP_CODES[name]
        if type(k) is not float:
            k = _checks.as_float(k, ffi.string(lib.pg_op_describe(code).parameter).decode())
        made = lib.pg_constant(_arena, code, self._id, k)
        return _wrap(made) if made >= 0 else self._failed(made, name, k)

    def _binary(self, name: str, other: Any) -> Any:
        if isinstance(other, Value):
            made = lib.pg_binary(_arena, OP_CODES[name], self._id, other._id)
            return _wrap(made) if made >= 0 else self._failed(made, name, other)
        y = other if type(other) is float else _checks.operand_float(other, Value)
        if y is NotImplemented:
            return arrays.binary(name, self, other) if _array_of(self) else y
        made = lib.pg_binary_right(_arena, OP_CODES[name], self._id, y)
        return _wrap(made) if made >= 0 else self._failed(made, name, y)

    def _reflected(self, name: str, other: Any) -> Any:
        x = other if type(other) is float else _checks.operand_float(other, Value)
        if x is NotImplemented:
            return arrays.binary(name, other, self) if _array_of(self) else x
        made = lib.pg_binary_left(_arena, OP_CODES[name], x, self._id)
        if made == lib.PG_ERR_ARRAY:
            return arrays.binary(name, x, self)
        if _tracing.active and _has_no_value(made) and _tracing.here():
            made = _raise_if(lib.pg_ieee(_arena, OP_CODES[name], NO_NODE, self._id, x))
        return _wrap(made) if made >= 0 else _raise(made, name, x, self.data)

    def _power(self, other: Any) -> Any:
        if isinstance(other, Value):
            return self._binary("pow", other)
        k = _checks.operand_float(other, Value)
        if k is NotImplemented:
            return arrays.power(self, other) if _array_of(self) else k
        return self._with_constant("pow_const", k)

    def _compare(self, other: Any, order: Callable[[Any, Any], Any]) -> Any:
        if _tracing.active:
            _tracing.compared(self, other)
        if _array_of(self) or _array_of(other):
            return arrays.compare(self, other, order)
        y = other.data if isinstance(other, Value) else _checks.operand_float(other, Value)
        return y if y is NotImplemented else order(self.data, y)

    def _operand_error(self, name: str, other: Any) -> TypeError:
        return _checks.bad_operand(name, other)

    @staticmethod
    def _as_operands(name: str, values: Iterable[Any]) -> list[Value]:
        """A new list in which numbers have become leaves. `name` is named in the error for anything else."""
        return [_checks.as_operand(name, x, Value) for x in values]

    @staticmethod
    def _sum(values: Iterable[Any], /) -> Value:
        """x0 + x1 + ..., left to right, as one node. Numbers become leaves; no values: 0.0."""
        x = Value._as_operands("sum", values)
        made = lib.pg_sum(_arena, [v._id for v in x], len(x))
        return arrays.sum_of(x) if made == lib.PG_ERR_ARRAY else _wrap(_raise_if(made))

    @staticmethod
    def _logsumexp(values: Iterable[Any], /) -> Value:
        """log(e ** x0 + e ** x1 + ...), without overflow, as one node. Numbers become leaves; no values: -inf."""
        x = Value._as_operands("logsumexp", values)
        made = lib.pg_logsumexp(_arena, [v._id for v in x], len(x))
        return arrays.logsumexp_of(x) if made == lib.PG_ERR_ARRAY else _wrap(_raise_if(made))

    @staticmethod
    def _dot(weights: Iterable[Any], inputs: Iterable[Any], bias: Any = None) -> Value:
        """bias + w0 * x0 + w1 * x1 + ..., left to right, as one node. Without a bias: from w0 * x0 on."""
        start = None if bias is None else _checks.as_operand("dot", bias, Value)
        w = Value._as_operands("dot", weights)
        x = Value._as_operands("dot", inputs)
        _checks.need_same_length(w, x)
        first = NO_NODE if start is None else start._id
        made = lib.pg_dot(_arena, [v._id for v in w], [v._id for v in x], len(w), first)
        return arrays.dot_of(w, x, start) if made == lib.PG_ERR_ARRAY else _wrap(_raise_if(made))

    @staticmethod
    def _layers(descriptions: list[Layer]) -> Callable[[Any], Any] | None:
        return _network(descriptions)

    # the most frequent operators, without a call between them and C
    __add__ = _quick("add")
    __sub__ = _quick("sub")
    __mul__ = _quick("mul")
    __truediv__ = _quick("div")

    def __neg__(self) -> Value:
        made = _lib_unary(_arena, _NEG, self._id)
        return _wrap(made) if made >= 0 else self._failed(made, "neg")

    def __pow__(self, other: Any, modulus: Any = None) -> Any:
        if modulus is None and (type(other) is int or type(other) is float):
            made = _lib_constant(_arena, _POW_CONST, self._id, other)
            return _wrap(made) if made >= 0 else self._failed(made, "pow_const", other)
        return NotImplemented if modulus is not None else self._power(other)

    # ---- nodes that a rule of arrays computed ----

    @staticmethod
    def _array_node(
        name: str, operands: tuple[Value, ...], data: Any, record: Any, constant: float = math.nan
    ) -> Value:
        """A new node; data: an ndarray, or a number. See pygrad._arrays."""
        if recording.suspended and not recording.active():
            name, operands, record = "leaf", (), None
        return Value._recorded(name, operands, data, record, constant)

    @staticmethod
    def _recorded(name: str, operands: tuple[Value, ...], data: Any, record: Any, constant: float) -> Value:
        is_array = type(data) is arrays.ndarray
        number = math.nan if is_array else float(data)
        code = OP_CODES[name if OP_KINDS.get(name) in _SHARED_KINDS or name in ("leaf", "user") else "array"]
        made = lib.pg_restore(_arena, code, [x._id for x in operands], len(operands), constant, number, 0.0)
        self: Value = _new(Value)
        _attach(self, _raise_if(made) % RESULT_TRACED)
        traced = self._traced = _Traced(operands)
        flags = lib.PG_NODE_TRACED
        if is_array:
            traced.data = data
            flags |= lib.PG_NODE_ARRAY
        if record is not None:
            traced.record = record
            flags |= lib.PG_NODE_HOOK
        _raise_if(lib.pg_set_flags(_arena, self._id, flags, 0))
        return self

    # ---- reverse mode ----

    def _step(self) -> None:
        record = self._record
        if record is None:
            lib.pg_step(_arena, self._id)
        else:
            with Quiet() as quiet:
                self._rule_step(quiet, record)

    def _rule_step(self, quiet: Quiet, record: Any) -> None:
        self._traced.shared = True  # operands may get the gradient's very array, or views of it
        quiet.step(self, record)

    def _own_step(self) -> None:
        """The same, of a gradient that others may hold, and change later: operands get a copy."""
        traced: _Traced | None = getattr(self, "_traced", None)
        grad = None if traced is None or traced.record is None or traced.data is None else traced.grad
        if traced is None or grad is None:
            self._step()
            return
        shared, handed_on = traced.shared, arrays.own_grad(grad, traced.data)
        traced.grad = handed_on
        try:
            self._step()
        finally:
            if traced.grad is handed_on:  # packed numbers hand all of it on
                traced.grad, traced.shared = grad, shared

    @property
    def _backward(self) -> Callable[[], object]:
        """Runs this node's derivative step. Assign a function of no arguments for a user-defined op."""
        if _tracing.active:
            _tracing.looked(None, "_backward")
        hook = _hook_of(self)
        return self._own_step if hook is None else hook

    @_backward.setter
    def _backward(self, hook: Callable[[], object]) -> None:
        if _tracing.active:
            _tracing.looked(self, "setting _backward")
        if not callable(hook):
            raise _checks.bad_hook(hook)
        if recording.suspended and not recording.active() and lib.pg_op(_arena, self._id) == OP_CODES["leaf"]:
            return  # within no_grad() a leaf remains one
        late = not hasattr(self, "_traced") and lib.pg_uses(_arena, self._id) > 1
        if late:  # prepared layers are no reason to pin: they let go, and leave traced parameters alone
            changed()
            late = not hasattr(self, "_traced") and lib.pg_uses(_arena, self._id) > 1
        traced = _trace(self)
        flags = lib.PG_NODE_HOOK
        if late:
            _pins[self._id] = self
            flags |= lib.PG_NODE_PINNED
        _raise_if(lib.pg_set_flags(_arena, self._id, flags, 0))
        traced.hook = hook

    @_backward.deleter
    def _backward(self) -> None:
        if _hook_of(self) is not None:
            if self._record is None:
                _raise_if(lib.pg_set_flags(_arena, self._id, 0, lib.PG_NODE_HOOK))
            self._traced.hook = None

    def backward(self) -> None:
        """Sets this node's gradient to 1 and adds to the gradient of every node it depends on.

        Of an array Value every entry's is set: the gradients are those of the sum of its entries.
        """
        if _tracing.active:
            _tracing.looked(None, "backward()")
        status = ffi.new("int *")
        sweep = lib.pg_sweep_new(_arena, self._id, status)
        if sweep == ffi.NULL:
            _raise_if(status[0])
        failed = 1
        log: list[tuple[_Traced, Any, bool]] = []
        try:
            held = _array_of(self)
            if held:
                _log_grads(log, (self,))
                held.grad, held.shared = arrays.ones(held.data), False
            everything = False
            with Quiet() as quiet:
                while node := lib.pg_sweep_run(sweep):
                    v = _handle_of(node)
                    traced = v._traced
                    if traced.hook is None:
                        _log_grads(log, (v, *traced.operands))
                        v._rule_step(quiet, traced.record)
                        continue
                    if not everything:  # a closure may change any gradient
                        _log_grads(log, _arrays_of(sweep))
                        everything = True
                    quiet.call(traced.hook)
            failed = 0
        finally:
            if failed:
                for held, grad, shared in reversed(log):
                    held.grad, held.shared = grad, shared
            after = lib.pg_sweep_end(sweep, failed)
            if after:
                _settle(after)

    @staticmethod
    def _gradients(root: Value, seed: Any, inputs: tuple[Value, ...]) -> list[Any]:
        """The derivatives of root by nodes, times seed: a float, or an array of its own; None if it does not depend on
        that one. Changes no gradient, but while it runs, and so do closures then."""
        if _tracing.active:
            _tracing.looked(None, "a derivative")
        status, used = ffi.new("int *"), ffi.new("unsigned char[]", len(inputs) + 1)
        sweep = lib.pg_sweep_towards(_arena, root._id, [x._id for x in inputs], len(inputs), used, status)
        if sweep == ffi.NULL:
            _raise_if(status[0])
        log: list[tuple[_Traced, Any, bool]] = []
        try:
            for v in _arrays_of(sweep):
                held = v._traced
                log.append((held, held.grad, held.shared))
                held.grad, held.shared = None, False
            root_held = _array_of(root)
            if root_held:
                root_held.grad, root_held.shared = seed, True
            else:
                lib.pg_set_grad(_arena, root._id, seed)
            with Quiet() as quiet:
                while node := lib.pg_sweep_run(sweep):
                    v = _handle_of(node)
                    traced = v._traced
                    if traced.hook is None:
                        needs = [lib.pg_sweep_needs(sweep, x._id) for x in traced.operands]
                        v._rule_step(quiet, arrays.towards(traced.record, needs))
                    else:
                        _log_grads(log, traced.operands)
                        quiet.call(traced.hook)
            return [x.grad if u else None for x, u in zip(inputs, used)]
        finally:
            for held, grad, shared in reversed(log):
                held.grad, held.shared = grad, shared
            after = lib.pg_sweep_end(sweep, 1)
            if after:
                _settle(after)

    @staticmethod
    def _leading(root: Value, inputs: tuple[Value, ...]) -> tuple[list[Value], bytes]:
        """The nodes that lead to the inputs and have a step to take, in topological order; and of each input, a byte
        that says whether root depends on it."""
        status, used = ffi.new("int *"), ffi.new("unsigned char[]", len(inputs) + 1)
        sweep = lib.pg_sweep_towards(_arena, root._id, [x._id for x in inputs], len(inputs), used, status)
        if sweep == ffi.NULL:
            _raise_if(status[0])
        count = lib.pg_sweep_nodes(sweep, ffi.NULL, 0)
        ids = ffi.new("pg_id[]", count + 1)
        lib.pg_sweep_nodes(sweep, ids, count)
        after = lib.pg_sweep_end(sweep, 1)
        if after:
            _settle(after)
        return [_handle_of(node) for node in ffi.unpack(ids, count)] if count else [], bytes(used)[:-1]

    # ---- the rest of the object ----

    def __repr__(self) -> str:
        if _tracing.active and _tracing.here():
            return "Value(recorded)"
        if _array_of(self):
            text: str = arrays.shown(self)
            return text
        return f"Value(data={self.data!r}, grad={self.grad!r})"

    @staticmethod
    def _births() -> int:
        births: int = lib.pg_births(_arena)
        return births

    def _depends(self, birth: int) -> bool:
        return _raise_if(lib.pg_depends(_arena, self._id, birth)) == 1

    @staticmethod
    def _listing(roots: list[Value], birth: int) -> _listing.Packed:
        status = ffi.new("int *")
        listing = lib.pg_listing_new(_arena, [v._id for v in roots], len(roots), status)
        if listing == ffi.NULL:
            _raise_if(status[0])
        try:
            return _packed_listing(listing, birth)
        finally:
            lib.pg_listing_free(listing)

    def _state(self) -> tuple[str, float, bool]:
        record = self._record
        name = record[0].name if record else OP_NAMES[lib.pg_op(_arena, self._id)]
        return name, lib.pg_node_constant(_arena, self._id), _hook_of(self) is not None

    @staticmethod
    def _restore(
        name: str,
        operands: tuple[Value, ...],
        constant: float,
        data: Any,
        grad: Any,
        symbol: str,
        label: str,
        record: Any = None,
    ) -> Value:
        """A node as _state and the attributes describe it, with the arrays themselves. grad: as _raw_grad has it."""
        if type(data) is float and record is None:
            ids = [x._id for x in operands]
            self = _wrap_recorded(
                _raise_if(lib.pg_restore(_arena, OP_CODES[name], ids, len(ids), constant, data, grad))
            )
        else:
            self = Value._recorded(name, operands, data, record, constant)
            held = _array_of(self)
            if held:
                held.grad = grad
            else:
                lib.pg_set_grad(_arena, self._id, grad)
        if symbol or label:
            self._note(label, symbol)
        return self

    @staticmethod
    def _stats() -> tuple[int, int]:
        """(live nodes, bytes reserved)"""
        stats = ffi.new("pg_stats *")
        lib.pg_arena_stats(_arena, stats)
        return stats.live, stats.bytes

    @staticmethod
    def _trim() -> None:
        lib.pg_arena_trim(_arena)


Value._plain = Value


def _packed_listing(listing: Any, birth: int) -> _listing.Packed:
    leaves, nodes = listing.leaves, listing.nodes
    starts = bytes(ffi.buffer(listing.starts, 8 * (nodes + 1)))
    ops, flags = bytes(ffi.buffer(listing.ops, nodes)), bytes(ffi.buffer(listing.flags, nodes))
    births = bytes(ffi.buffer(listing.births, 8 * leaves))
    named = [i for i, born in enumerate(memoryview(births).cast("Q")) if born <= birth]
    foreign = (OP_CODES["user"], OP_CODES["array"])
    named += [i for i in range(nodes) if flags[i] or (i >= leaves and ops[i] in foreign)]
    return (
        leaves,
        ops,
        flags,
        starts,
        bytes(ffi.buffer(listing.operands, 4 * listing.starts[nodes])),
        bytes(ffi.buffer(listing.numbers, 8 * nodes)),
        births,
        bytes(ffi.buffer(listing.root_at, 4 * listing.roots)),
        {i: _handle_of(listing.ids[i]) for i in named},
    )


Layer = tuple[list[Value], int, int, str, float]
"""nout rows of nin weights and the bias, one after the other; nin; nout; the activation; its constant."""


def _layer(description: Layer) -> Any:
    """None if a parameter stands downstream of a closure."""
    parameters, nin, nout, activation, constant = description
    status = ffi.new("int *")
    code = 0 if activation == "linear" else OP_CODES[activation]
    layer = lib.pg_layer_new(_arena, [p._id for p in parameters], nin, nout, code, constant, status)
    if status[0] == lib.PG_ERR_OP:
        return None
    _raise_if(status[0])
    return ffi.gc(layer, _free_layer)


def _free_layer(layer: Any, free: Callable[[Any], int] = lib.pg_layer_free) -> None:
    after = free(layer)
    if after and _arena is not None:
        _settle(after)


def _network(descriptions: list[Layer]) -> Callable[[Any], Any] | None:
    """The function that computes layers one after the other. It takes a list or tuple of Values and numbers, and gives
    the last layer's outputs: a list, or the one Value. NotImplemented for inputs that need more care. None if a
    parameter stands downstream of a closure: nodes computed from it must hold their operands."""
    kept = [_layer(description) for description in descriptions]
    if None in kept:
        return None
    layers = ffi.new("pg_layer *[]", kept)
    nin, nout = descriptions[0][1], descriptions[-1][2]

    def network(x: Any) -> Any:
        if type(x) not in (list, tuple):
            return NotImplemented
        x = [*x]  # a thread or a finalizer may change the list (tuple(x) itself crashes then, up to CPython 3.11)
        if len(x) != nin:
            return NotImplemented
        ids, numbers = [NO_NODE] * nin, ffi.NULL
        kinds = set(map(type, x))
        if kinds <= {float, int}:
            numbers = x
        elif kinds == {Value}:
            ids = [v._id for v in x]
        elif kinds <= {Value, float, int}:
            ids = [v._id if type(v) is Value else NO_NODE for v in x]
            numbers = [0.0 if type(v) is Value else v for v in x]
        else:
            return NotImplemented
        out = ffi.new("pg_id[]", max(nout, 1))
        status = lib.pg_layers_apply(layers, len(kept), ids, numbers, nin, out)
        if status == lib.PG_ERR_OP:
            return NotImplemented
        _raise_if(status)
        return _wrap(out[0]) if nout == 1 else [_wrap(node) for node in ffi.unpack(out, nout)] if nout else []

    return network


def _after_fork_in_child() -> None:
    global _lookup
    _lookup = threading.RLock()
    lib.pg_arena_unlock(_arena, 1)


# a fork must not find another thread halfway through a change of the arena
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=lambda: lib.pg_arena_lock(_arena),
        after_in_parent=lambda: lib.pg_arena_unlock(_arena, 0),
        after_in_child=_after_fork_in_child,
    )
