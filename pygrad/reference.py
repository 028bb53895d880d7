"""The reference engine: scalar reverse-mode autodiff in plain Python, to be read and to be compared with.

It is the specification: the engine in C gives the same numbers to the last bit, and the same errors. A Value
is a record of how it was computed, the op and its operands; the formulas of all ops stand in the op table, see ops.
Only those of the ops with any number of operands are here. It does not try to be fast.
"""

from __future__ import annotations

import gc
import itertools
import math
import sys
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from . import _checks, _ieee, _listing, _tracing, recording
from ._graph import leading_to, topological_order
from ._lazy import arrays
from ._quiet import Quiet
from ._surface import Surface
from ._updates import Updates
from .ops import OPS, evaluate

_births = itertools.count(1)


class Value(Surface, Updates):
    """A number, or a whole array, that remembers how it was computed, and its gradient.

    data: any real number; kept as a float. Or a list, nested list, ndarray or other array-like with at least one
    dimension; copied into an array of float64 (of float32 where it was that). _children and _op: for a user-defined op,
    its operands (Values) and symbol; assign a function of no arguments to _backward that adds to their grad. label: a
    name for pictures.

    Arithmetic on numbers gives what Python's floats and `math` give, to the last bit, and raises what they raise; on
    arrays it gives what NumPy gives: inf and nan with NumPy's own warnings, not Python's exceptions.

    Raises TypeError if data holds no real numbers, a child is no Value, _op or label no str; OverflowError if data is
    an int beyond the floats; ValueError for nested lists that differ in length.

    >>> a, b = Value(2.0), Value(-3.0)
    >>> c = a * b + 10
    >>> c.backward()
    >>> c, a.grad, b.grad
    (Value(data=4.0, grad=1.0), -3.0, 2.0)
    """

    __slots__ = (
        "__weakref__", "_birth", "_constant", "_grad", "_hook", "_label", "_name", "_operands", "_record", "_shared",
        "_symbol", "_value",
    )  # fmt: skip

    _pygrad_backend = "python"
    _plain: ClassVar[type[Value]]  # this very class, also asked of a subclass
    _name: str  # of the op: a row of OPS, or leaf, user, sum, logsumexp, dot

    def __init__(self, data: Any, _children: Iterable[Value] = (), _op: str = "", label: str = "") -> None:
        payload = _checks.as_data(data)
        children, symbol = _checks.as_children(_children, Value), _checks.text(_op, "_op")
        name = _checks.text(label, "label")
        if hasattr(self, "_name") and (children or symbol or self._name != "leaf"):
            raise _checks.bad_init()
        if recording.suspended and not recording.active():
            children, symbol = (), ""
        if hasattr(self, "_name") and _tracing.active:
            _tracing.looked(None, "setting .data")
        self._label = name
        self._birth = next(_births)
        self._value: Any = payload  # a float or an ndarray
        self._grad: Any = 0.0 if type(payload) is float else None  # None: an array of zeros
        self._shared = False  # whether an operand may share the gradient's array
        self._record: Any = None  # of a node that a rule of arrays computed
        self._name = "user" if children or symbol else "leaf"
        self._symbol = symbol
        self._operands: tuple[Value, ...] = children
        self._constant = math.nan
        self._hook: Callable[[], object] | None = None

    @classmethod
    def _make(cls, name: str, operands: tuple[Value, ...], data: Any, constant: float = math.nan) -> Value:
        """A new node of an op of the table; its value is given. Within no_grad() a leaf."""
        if recording.suspended and not recording.active():
            name, operands, constant = "leaf", (), math.nan
        return Value._recorded(name, operands, data, constant)

    @staticmethod
    def _recorded(name: str, operands: tuple[Value, ...], data: Any, constant: float) -> Value:
        self = Value.__new__(Value)
        self._birth = next(_births)
        self._value = data
        self._grad = 0.0 if type(data) is float else None
        self._shared = False
        self._record = None
        self._name = name
        self._symbol = ""
        self._operands = operands
        self._constant = constant
        self._label = ""
        self._hook = None
        return self

    @staticmethod
    def _array_node(
        name: str, operands: tuple[Value, ...], data: Any, record: Any, constant: float = math.nan
    ) -> Value:
        """A new node that a rule of arrays computed; data: an ndarray, or a number. See pygrad._arrays."""
        if type(data) is not arrays.ndarray:
            data = float(data)
        self = Value._make(name, operands, data, constant)
        self._record = record if self._name != "leaf" else None
        return self

    # ---- attributes ----

    @property
    def data(self) -> Any:
        """The number, a float; or the array. What is assigned to an array Value is kept, not copied."""
        if _tracing.active:
            _tracing.looked(self, ".data")
        return self._value

    @data.setter
    def data(self, x: Any) -> None:
        if _tracing.active:
            _tracing.looked(None, "setting .data")
        if type(self._value) is float:
            self._value = _checks.as_float(x, "data")
        else:
            self._value = arrays.replacement(x, self._value, "data")

    @property
    def grad(self) -> Any:
        """The gradient of the last root, accumulated by backward(): a float, or an array of data's shape and dtype."""
        if _tracing.active:
            _tracing.looked(self, ".grad")
        if self._grad is None or self._shared:
            self._grad = arrays.own_grad(self._grad, self._value)
            self._shared = False
        return self._grad

    @grad.setter
    def grad(self, x: Any) -> None:
        if _tracing.active:
            _tracing.looked(None, "setting .grad")
        if type(self._value) is float:
            self._grad = _checks.as_float(x, "grad")
        else:
            self._grad = arrays.replacement(x, self._value, "grad")
            self._shared = False

    @property
    def _holds_array(self) -> bool:
        return type(self._value) is not float

    @property
    def _raw_grad(self) -> Any:
        return self._grad

    def _accumulate(self, c: Any) -> None:
        """Adds to the gradient. c: a float, or an array of the gradient's shape and dtype, which is kept as it is."""
        self._shared = self._grad is None
        self._grad = c if self._grad is None else self._grad + c

    @property
    def label(self) -> str:
        """A name for pictures; kept as long as the node lives."""
        return self._label

    @label.setter
    def label(self, x: str) -> None:
        self._label = _checks.text(x, "label")

    @property
    def operands(self) -> tuple[Value, ...]:
        """The operands, left to right."""
        return self._operands

    @property
    def _prev(self) -> set[Value]:
        """The set of operands, as in micrograd."""
        return set(self._operands)

    @property
    def _op(self) -> str:
        """The op's symbol; '' for a leaf."""
        if self._name == "pow_const":
            return _checks.op_symbol("**", self._constant)
        if self._record is not None:
            symbol: str = self._record[0].symbol
            return symbol
        if self._name in ("sum", "logsumexp", "dot"):
            return self._name
        return OPS[self._name].symbol if self._name in OPS else self._symbol

    # ---- operations ----

    def _hand_on(self, numbers: bytes) -> None:
        """Adds a double of these bytes to each operand's gradient; its own is none any more."""
        self._grad = 0.0 if type(self._value) is float else None
        for operand, c in zip(self._operands, memoryview(numbers).cast("d")):
            operand._grad += c

    def _unary(self, name: str) -> Value:
        if type(self._value) is not float:
            made: Value = arrays.unary(name, self)
            return made
        return Value._make(name, (self,), evaluate(OPS[name], self._value, 0.0, True))

    def _with_constant(self, name: str, k: Any) -> Value:
        op = OPS[name]
        number = _checks.as_float(k, op.parameter)
        if type(self._value) is not float:
            made: Value = arrays.with_constant(name, self, number)
            return made
        return Value._make(name, (self,), evaluate(op, self._value, number, True), number)

    def _binary(self, name: str, other: Any) -> Any:
        if type(self._value) is not float or _is_array(other):
            return arrays.binary(name, self, other)
        y = _as_value(other)
        if y is NotImplemented:
            return y
        return Value._make(name, (self, y), evaluate(OPS[name], self._value, y._value, True))

    def _reflected(self, name: str, other: Any) -> Any:
        if type(self._value) is not float:
            return arrays.binary(name, other, self)
        x = _as_value(other)
        return x if x is NotImplemented else x._binary(name, self)

    def _power(self, other: Any) -> Any:
        if type(self._value) is not float:
            return arrays.power(self, other)
        if isinstance(other, Value):
            return self._binary("pow", other)
        k = _checks.operand_float(other, Value)
        return k if k is NotImplemented else self._with_constant("pow_const", k)

    def _number(self, other: Any) -> Any:
        return other._value if isinstance(other, Value) else _checks.operand_float(other, Value)

    def _compare(self, other: Any, order: Callable[[Any, Any], Any]) -> Any:
        if _tracing.active:
            _tracing.compared(self, other)
        if type(self._value) is not float or _is_array(other):
            return arrays.compare(self, other, order)
        y = self._number(other)
        return y if y is NotImplemented else order(self._value, y)

    def _operand_error(self, name: str, other: Any) -> TypeError:
        return _checks.bad_operand(name, other)

    @staticmethod
    def _as_operands(name: str, values: Iterable[Any]) -> list[Value]:
        """A new list in which numbers have become leaves. `name` is named in the error for anything else."""
        return [_checks.as_operand(name, x, Value) for x in values]

    @staticmethod
    def _sum(values: Iterable[Any], /) -> Any:
        """x0 + x1 + ..., left to right, as one node. Numbers become leaves; no values: 0.0.

        Raises TypeError for what is neither a Value nor a number.
        """
        operands = tuple(Value._as_operands("sum", values))
        if any(map(_is_array, operands)):
            return arrays.sum_of(operands)
        total = operands[0]._value if operands else 0.0
        for x in operands[1:]:
            total = total + x._value
        return Value._make("sum", operands, total)

    @staticmethod
    def _logsumexp(values: Iterable[Any], /) -> Any:
        """log(e ** x0 + e ** x1 + ...), without overflow, as one node. Numbers become leaves; no values: -inf.

        Computed as m + log(sum of e ** (x - m)), m the largest operand (Blanchard, Higham and Higham 2021, eq. 1.3).
        Its gradient is the softmax. Raises TypeError for what is neither a Value nor a number.
        """
        operands = tuple(Value._as_operands("logsumexp", values))
        if any(map(_is_array, operands)):
            return arrays.logsumexp_of(operands)
        numbers = [x._value for x in operands]
        nans = [x for x in numbers if x != x]
        largest = nans[0] if nans else max(numbers, default=-math.inf)
        if math.isinf(largest):
            return Value._make("logsumexp", operands, largest)
        total = 0.0
        for x in numbers:
            total = total + math.exp(x - largest)
        return Value._make("logsumexp", operands, largest + math.log(total))

    @staticmethod
    def _dot(weights: Iterable[Any], inputs: Iterable[Any], bias: Any = None) -> Any:
        """bias + w0 * x0 + w1 * x1 + ..., left to right, as one node. Without a bias: from w0 * x0 on.

        Its operands are the weights, the bias, the inputs. Numbers become leaves.

        Raises ValueError naming both lengths if they differ; TypeError for what is neither a Value nor a number.
        """
        start = () if bias is None else (_checks.as_operand("dot", bias, Value),)
        w = tuple(Value._as_operands("dot", weights))
        x = tuple(Value._as_operands("dot", inputs))
        _checks.need_same_length(w, x)
        if any(map(_is_array, w + start + x)):
            return arrays.dot_of(w, x, *start)
        products = [wi._value * xi._value for wi, xi in zip(w, x)]
        terms = [b._value for b in start] + products
        total = terms[0] if terms else 0.0
        for term in terms[1:]:
            total = total + term
        return Value._make("dot", w + start + x, total)

    @staticmethod
    def _layers(descriptions: list[Any]) -> None:
        """A function that computes whole layers in one call, on backends that have one. Here neurons are computed
        one by one."""

    # ---- reverse mode ----

    def _step(self) -> None:
        """Adds this node's contributions to its operands' gradients, first operand first."""
        if self._record is not None:
            with Quiet() as quiet:
                self._rule_step(quiet, self._record)
            return
        operands, g = self._operands, self._grad
        if self._name == "sum":
            for x in operands:
                x._grad += g
        elif self._name == "logsumexp":
            for x in operands:
                x._grad += g * _ieee.exp(x._value - self._value)
        elif self._name == "dot":
            n = len(operands) // 2
            weights, bias, inputs = operands[:n], operands[n : len(operands) - n], operands[len(operands) - n :]
            for w, x in zip(weights, inputs):
                w._grad += g * x._value
            for b in bias:
                b._grad += g
            for w, x in zip(weights, inputs):
                x._grad += g * w._value
        elif self._name in OPS:
            y = operands[1]._value if len(operands) == 2 else self._constant
            for operand, derivative in zip(operands, OPS[self._name].derivatives):
                operand._grad += derivative(_ieee, g, operands[0]._value, y, self._value)

    def _rule_step(self, quiet: Quiet, record: Any) -> None:
        self._shared = type(self._value) is not float  # the operands may get this very array, or views of it
        quiet.step(self, record)

    def _own_step(self) -> None:
        """The same, of a gradient that others may hold, and change later: operands get a copy."""
        grad, shared = self._grad, self._shared
        if type(self._value) is float or grad is None:
            self._step()
            return
        handed_on = self._grad = arrays.own_grad(grad, self._value)
        try:
            self._step()
        finally:
            if self._grad is handed_on:  # packed numbers hand all of it on
                self._grad, self._shared = grad, shared

    @property
    def _backward(self) -> Callable[[], object]:
        """Runs this node's derivative step. Assign a function of no arguments for a user-defined op."""
        if _tracing.active:
            _tracing.looked(None, "_backward")
        return self._own_step if self._hook is None else self._hook

    @_backward.setter
    def _backward(self, hook: Callable[[], object]) -> None:
        if _tracing.active:
            _tracing.looked(self, "setting _backward")
        if not callable(hook):
            raise _checks.bad_hook(hook)
        if recording.suspended and not recording.active() and self._name == "leaf":
            return  # within no_grad() a leaf remains one
        self._hook = hook
        if self._name == "leaf":
            self._name = "user"

    @_backward.deleter
    def _backward(self) -> None:
        self._hook = None

    def backward(self) -> None:
        """Sets this node's gradient to 1 and adds to the gradient of every node it depends on.

        Of an array Value every entry's is set: the gradients are those of the sum of its entries.

        Nodes are visited in reverse depth-first post-order, operands left to right; calling it twice
        accumulates. If a user-defined _backward raises, every gradient is put back and the exception goes on.
        """
        if _tracing.active:
            _tracing.looked(None, "backward()")
        order = topological_order(self)
        steps = [v for v in reversed(order) if v._name != "leaf"]
        can_fail = any(v._hook is not None or v._record is not None for v in steps)
        before = [(v, v._grad, v._shared) for v in order] if can_fail else []
        for v, grad, _ in before:
            v._shared = type(v._value) is not float and grad is not None  # who reads it to change it gets a copy
        self._grad = 1.0 if type(self._value) is float else arrays.ones(self._value)
        self._shared = False
        try:
            with Quiet() as quiet:
                for v in steps:
                    if v._hook is not None:
                        quiet.call(v._hook)
                    elif v._record is not None:
                        v._rule_step(quiet, v._record)
                    else:
                        v._step()
        except BaseException:
            for v, grad, shared in before:
                v._grad, v._shared = grad, shared
            raise

    @staticmethod
    def _gradients(root: Value, seed: Any, inputs: tuple[Value, ...]) -> list[Any]:
        """The derivatives of root by nodes, times seed: a float, or an array of its own; None if it does not depend on
        that one. Changes no gradient, but while it runs, and so do closures then."""
        if _tracing.active:
            _tracing.looked(None, "a derivative")
        steps, leading = leading_to(inputs, root)
        reached = {id(x): x for v in steps for x in v._operands} | {id(root): root}
        before = [(v, v._grad, v._shared) for v in reached.values()]
        for v in reached.values():
            v._grad, v._shared = 0.0 if type(v._value) is float else None, False
        root._grad, root._shared = seed, type(root._value) is not float
        try:
            with Quiet() as quiet:
                for v in reversed(steps):
                    if v._hook is not None:
                        quiet.call(v._hook)
                    elif v._record is not None:
                        v._rule_step(quiet, arrays.towards(v._record, [id(x) in leading for x in v._operands]))
                    else:
                        v._step()
            return [x.grad if id(x) in leading else None for x in inputs]
        finally:
            for v, grad, shared in before:
                v._grad, v._shared = grad, shared

    @staticmethod
    def _leading(root: Value, inputs: tuple[Value, ...]) -> tuple[list[Value], list[bool]]:
        """The nodes that lead to the inputs and have a step to take, in topological order; and of each input, whether
        root depends on it."""
        steps, leading = leading_to(inputs, root)
        return steps, [id(x) in leading for x in inputs]

    # ---- the rest of the object ----

    def __repr__(self) -> str:
        if _tracing.active and _tracing.here():
            return "Value(recorded)"
        if type(self._value) is not float:
            text: str = arrays.shown(self)
            return text
        return f"Value(data={self._value!r}, grad={self._grad!r})"

    @staticmethod
    def _births() -> int:
        """How many Values were made so far."""
        return next(_births)

    def _depends(self, birth: int) -> bool:
        """Whether it is computed from a leaf born no later than that, or is one, or from a user-defined op without
        operands."""
        return any(
            v._birth <= birth if v._name == "leaf" else v._name == "user" and not v._operands
            for v in topological_order(self)
        )

    @staticmethod
    def _listing(roots: list[Value], birth: int) -> _listing.Listing:
        return _listing.walked(roots, birth)

    def _state(self) -> tuple[str, float, bool]:
        """For copies: the op's name, its constant, and whether a closure belongs to it."""
        return self._name, self._constant, self._hook is not None

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
        self = Value._recorded(name, operands, data, constant)
        self._grad, self._symbol, self._label, self._record = grad, symbol, label, record
        return self

    @staticmethod
    def _stats() -> tuple[int, int]:
        """(live nodes, bytes they take), by asking the collector: slow."""
        alive = [x for x in gc.get_objects() if issubclass(type(x), Value)]  # asks no x for its __class__
        return len(alive), sum(sys.getsizeof(v) + sys.getsizeof(v._operands) for v in alive)


Value._plain = Value


def _is_array(x: Any) -> bool:
    return isinstance(x, Value) and type(x._value) is not float


def _as_value(x: Any) -> Any:
    if isinstance(x, Value):
        return x
    number = _checks.operand_float(x, Value)
    return number if number is NotImplemented else Value(number)
