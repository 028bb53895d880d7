"""The core of array Values: how one is made, computed by a rule, and how its derivative step is taken.

The rules themselves stand in array_rules.py, for every backend; a backend keeps the nodes and supplies

    Value._array_node(name, operands, data, record)   a new node; data a float makes a scalar Value
    v.data, v.operands                                 the payload (ndarray or float), the operands
    v._record                                          what apply() noted for the reverse step, or None
    v._raw_grad                                        the gradient as it is kept: None before anything was added
    v._accumulate(c)                                   adds to it; c has v's own shape and dtype
    v._hand_on(numbers)                                adds a double of these bytes to each operand, and drops its own
    v._plain                                           the backend's Value type, also of a subclass's instance

A gradient is never changed in place by pygrad: what is added makes a new array, so that operands may share one.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _checks, backends
from ._rules_shapes import unpacked
from .array_rules import RULES, Rule

Array = NDArray[Any]
ndarray = np.ndarray  # for engines that do not import NumPy

_FLOAT64 = np.dtype(np.float64)

Record = tuple[Rule, Any, tuple[bool, ...]]
"""Of a node that a rule computed: the rule, its options, and which operands want a gradient (constants do not)."""

# ---- what is given ----


def as_array(x: Any, what: str = "data") -> Any:
    """A new float64 or float32 array of an array-like; a float where it has no dimensions.

    Raises TypeError for what holds no real numbers, ValueError for rows of differing lengths.
    """
    array = _real(x, what)
    if array.ndim == 0:
        return float(array)
    return np.array(array, dtype=_kept_dtype(array.dtype, _FLOAT64), order="C")


def as_constant(x: Any, what: str, dtype: Any) -> Array:
    """An array-like as an array of float64 or float32, itself where it is one. dtype: of integers, bools and halves.

    Raises as as_array does.
    """
    array = _real(x, what)
    return array.astype(_kept_dtype(array.dtype, dtype), copy=False)


def _kept_dtype(given: Any, otherwise: Any) -> Any:
    """float32 stays float32 and float64 float64, in any order of bytes; a wider float is float64."""
    if given.kind != "f" or given.itemsize < 4:
        return otherwise
    return np.dtype(np.float32) if given.itemsize == 4 else _FLOAT64


def refuse_mask(x: Any, what: str) -> None:
    """Raises TypeError for a masked array with masked entries, whose numbers mean nothing."""
    if type(x) is not np.ndarray and isinstance(x, np.ma.MaskedArray) and np.any(np.ma.getmaskarray(x)):
        count = int(np.count_nonzero(np.ma.getmaskarray(x)))
        raise TypeError(f"{what} must be numbers, but {count} of them are masked: fill them, as in x.filled(0)")


def _real(x: Any, what: str) -> Array:
    """x as an array of real numbers, as it is where it is one."""
    if _checks.is_value(x):
        raise TypeError(f"{what} must be numbers, not a Value: use .data for those it holds")
    refuse_mask(x, what)
    try:
        array = np.asarray(x)
    except (ValueError, _RaggedWarning):
        raise _ragged(x, what) from None
    if array.dtype.kind not in "fiub":
        raise _not_real(x, array, what)
    return array


_RaggedWarning = getattr(np, "exceptions", np).VisibleDeprecationWarning  # what NumPy before 1.24 says, if anything


def _ragged(x: Any, what: str) -> ValueError:
    return ValueError(f"{what} must be a regular array: rows of this {type(x).__name__} differ in length")


def _not_real(x: Any, array: Array, what: str) -> Exception:
    if any(map(_checks.is_value, array.flat)):
        return TypeError(f"{what} must be numbers, but holds Values: pygrad.stack makes one array of several Values")
    if any(isinstance(item, (list, tuple, np.ndarray)) for item in array.flat):
        return _ragged(x, what)
    return TypeError(f"{what} must be real numbers, not {type(x).__name__} of {array.dtype}")


def replacement(x: Any, current: Array, what: str) -> Array | None:
    """What to keep when `data` or `grad` of an array Value is set: the array itself where shape and dtype fit.

    A number is taken as a gradient for every entry; 0 as none. Raises TypeError or ValueError that names both shapes.
    """
    if type(x) is np.ndarray and x.shape == current.shape and x.dtype is current.dtype:
        return x
    if what == "grad" and type(x) in (int, float) and x == 0:
        return None
    array = _real(x, what)
    if array.shape != current.shape:
        if array.ndim == 0 and what == "grad":
            return np.full(current.shape, array, current.dtype)
        raise ValueError(f"{what} of this Value has shape {current.shape}, and cannot be set to shape {array.shape}")
    return array if array.dtype == current.dtype else array.astype(current.dtype)


def own_grad(grad: Array | None, data: Array) -> Array:
    """A gradient that its reader may change: no operand shares it."""
    return np.zeros(data.shape, data.dtype) if grad is None else np.array(grad)


# ---- applying a rule ----

# Of every rule, for ops without options: where every operand wants a gradient; where only the left or right one does.
_WANTED = (True,)
_PLAIN: dict[str, Record] = {name: (rule, None, (True,) * max(rule.arity, 0)) for name, rule in RULES.items()}
_LEFT: dict[str, Record] = {name: (rule, None, (True, False)) for name, rule in RULES.items() if rule.arity == 2}
_RIGHT: dict[str, Record] = {name: (rule, None, (False, True)) for name, rule in RULES.items() if rule.arity == 2}


def unary(name: str, x: Any) -> Any:
    """An elementwise op of one operand, an array Value."""
    record = _PLAIN[name]
    return x._array_node(name, (x,), record[0].value(x.data, None), record)


def with_constant(name: str, x: Any, k: Any) -> Any:
    """An elementwise op of an array Value and its constant k, a number."""
    rule = RULES[name]
    return x._array_node(name, (x,), rule.value(x.data, k), (rule, k, _WANTED), k)


def binary(name: str, x: Any, y: Any) -> Any:
    """An op of two operands without options, one an array Value at least. NotImplemented for what is no array-like."""
    node: Any = type(x)
    if node is type(y):
        record, left, right = _PLAIN[name], x.data, y.data
    elif type(y) is float:
        record, left, right = _LEFT[name], x.data, y
        y = x._plain(y)
    elif type(x) is float:
        record, left, right = _RIGHT[name], x, y.data
        node, x = y, y._plain(x)
    elif type(y) is np.ndarray and y.dtype is _FLOAT64 and y.ndim:
        record, left, right = _LEFT[name], x.data, y
        y = x._array_node("leaf", (), y, None)
    elif type(x) is np.ndarray and x.dtype is _FLOAT64 and x.ndim:
        record, left, right = _RIGHT[name], x, y.data
        node, x = y, y._array_node("leaf", (), x, None)
    else:
        try:
            return apply(name, (x, y))
        except _OperandError:
            return NotImplemented
    z = record[0].value(left, right, None)
    if type(z) is not np.ndarray:  # of two vectors a number
        z = float(z)
    return node._array_node(name, (x, y), z, record)


class _OperandError(TypeError):
    """Of an operand that is no array-like."""


def power(x: Any, y: Any) -> Any:
    """x ** y, one of them an array Value at least; a plain number as exponent is a constant."""
    if _checks.is_value(y):
        return binary("pow", x, y)
    k = _checks.operand_float(y, type(x))
    return binary("pow", x, y) if k is NotImplemented else with_constant("pow_const", x, k)


def apply(name: str, operands: Sequence[Any], options: Any = None) -> Any:
    """The node of a rule. operands: Values of one backend, at least one; numbers and array-likes become constants, for
    which no gradient is computed.

    Raises TypeError for an operand that is none of these; what NumPy raises for shapes that do not fit.
    """
    rule = RULES[name]
    arity, value = rule.arity, rule.value
    first = operands[0]
    kind = type(first)
    if arity == 1:
        z = value(first.data, options)
    elif kind is np.ndarray or not _checks.is_value(first):
        return _mixed(rule, operands, options)
    elif arity == 2:
        y = operands[1]
        if type(y) is not kind:
            return _mixed(rule, operands, options)
        z = value(first.data, y.data, options)
    else:
        data = []
        for x in operands:
            if type(x) is not kind:
                return _mixed(rule, operands, options)
            data.append(x.data)
        z = value(data, options)
    if type(z) is not np.ndarray or not z.shape:
        z = float(z)
    return first._array_node(name, tuple(operands), z, (rule, options, _WANTED * len(operands)))


def _mixed(rule: Rule, operands: Sequence[Any], options: Any) -> Any:
    """The node of a rule of operands some of which are constants."""
    for first in operands:
        if type(first) is not np.ndarray and _checks.is_value(first):
            break
    plain, nodes, wanted, data = first._plain, [], [], []
    for x in operands:
        given = type(x) is plain or isinstance(x, plain)
        node = x if given else _constant(rule.name, x, plain, operands)
        nodes.append(node)
        wanted.append(given)
        data.append(node.data)
    z = rule.value(*data, options) if rule.arity == 2 else rule.value(data, options)
    if type(z) is not np.ndarray or not z.shape:
        z = float(z)
    return first._array_node(rule.name, tuple(nodes), z, (rule, options, tuple(wanted)))


def _constant(name: str, x: Any, plain: Any, operands: Sequence[Any]) -> Any:
    """A leaf for a number or an array-like. Integers take the dtype of the array Values beside them."""
    if type(x) is np.ndarray and x.dtype is _FLOAT64 and x.ndim:
        return plain._array_node("leaf", (), x, None)
    number = _checks.operand_float(x, plain)
    if number is not NotImplemented:
        return plain(number)
    if not isinstance(x, (np.ndarray, list, tuple)) and not hasattr(type(x), "__array__"):
        raise _OperandError(f"{name}: expected a Value, a number or an array, not {type(x).__name__}")
    array = as_constant(x, f"{name}: an operand", common_dtype(operands))
    return plain._array_node("leaf", (), array, None) if array.ndim else plain(float(array))


def common_dtype(operands: Sequence[Any]) -> Any:
    """Of the array Values among them; float64 without any."""
    arrays = [v.data for v in operands if _checks.is_value(v) and type(v.data) is np.ndarray]
    return np.result_type(*arrays) if arrays else _FLOAT64


# ---- the reverse step ----


def fitted(c: Any, x: Any) -> Any:
    """A contribution to the gradient of an operand whose data is x: summed over the axes that broadcasting added or
    stretched, or broadcast to its shape; of its dtype. A float where x is one; None for none."""
    if type(c) is np.ndarray and type(x) is np.ndarray:
        shape = x.shape
        if c.shape != shape:
            c = _add_up(c, 0) if c.shape[1:] == shape else of_shape(c, shape)
        return c if c.dtype is x.dtype else c.astype(x.dtype, copy=False)
    if c is None:
        return None
    if type(x) is float:
        return float(_add_up(c, None)) if type(c) is np.ndarray else float(c)
    return fitted(np.asarray(c, x.dtype), x)


_add_up = np.add.reduce


def of_shape(c: Any, shape: tuple[int, ...]) -> Any:
    """c (an ndarray or a Value) summed to a shape that broadcasts to c's, or broadcast to a larger one."""
    added = c.ndim - len(shape)
    if type(c) is np.ndarray:
        if added > 0 and c.shape[added:] == shape:
            return np.add.reduce(c, 0 if added == 1 else tuple(range(added)))
        if added < 0 and (added == -len(shape) or c.shape == shape[-added:]):
            return _spread(c, shape)
    stretched = tuple(added + i for i, n in enumerate(shape) if added + i >= 0 and n == 1 != c.shape[added + i])
    axes = (*range(added), *stretched)
    if axes:
        c = np.sum(c, axis=axes, keepdims=True)
    if added > 0:
        c = np.reshape(c, c.shape[added:])
    return c if c.shape == shape else _spread(c, shape)


def _spread(c: Any, shape: tuple[int, ...]) -> Any:
    """c broadcast to a shape: filled in, as long as that takes less than the view that np.broadcast_to makes costs here
    and in what computes with the view."""
    if type(c) is not np.ndarray or math.prod(shape) > 30_000:
        return np.broadcast_to(c, shape)
    out = np.empty(shape, c.dtype)
    out[...] = c
    return out


def contributions(record: Record, operands: tuple[Any, ...], z: Any, g: Any) -> Sequence[Any]:
    """What a node adds to the gradient of each operand, each fitted to it; None where nothing is wanted. Of packed
    numbers: bytes, a double for each, and the node's own gradient is gone then (see pygrad._packed).

    z: the node's data; g: its gradient as it is kept. NumPy's warnings are the caller's to silence (quiet()).
    """
    rule, options, wanted = record
    name, _, arity, _, derivatives = rule
    if g is None:
        g = 0.0 if type(z) is float else np.zeros(z.shape, z.dtype)
    if arity == 1:
        x = operands[0].data
        return (fitted(derivatives[0](g, x, None, z, options), x),)
    if arity == 2:
        x, y = operands[0].data, operands[1].data
        return (
            fitted(derivatives[0](g, x, y, z, options), x) if wanted[0] else None,
            fitted(derivatives[1](g, x, y, z, options), y) if wanted[1] else None,
        )
    if name == "pack":
        numbers: bytes = unpacked(g, options).tobytes()
        return numbers
    derivative, data = derivatives[0], tuple(map(_data, operands))
    parts: list[Any] = []
    for i, x in enumerate(data):
        parts.append(fitted(derivative(g, data, i, z, options), x) if wanted[i] else None)
    return parts


_data = operator.attrgetter("data")


def towards(record: Record, needs: Sequence[bool]) -> Record:
    """The record without the operands that do not need a gradient."""
    rule, options, wanted = record
    return record if all(needs) else (rule, options, tuple(w and n for w, n in zip(wanted, needs)))


def step(v: Any, record: Record) -> None:
    """The derivative step of a node that a rule computed. record: the node's own, or towards() of it."""
    operands = v.operands
    parts = contributions(record, operands, v.data, v._raw_grad)
    if isinstance(parts, bytes):
        v._hand_on(parts)
        return
    for operand, c in zip(operands, parts):
        if c is not None:
            operand._accumulate(c)


def quiet() -> Any:
    """The context in which gradients are computed: IEEE 754, no warnings."""
    return np.errstate(all="ignore")


def ones(data: Array) -> Array:
    """The gradient of a root."""
    out = np.empty(data.shape, data.dtype)
    out.fill(1.0)
    return out


# ---- what looks at an array ----


def compare(x: Any, y: Any, order: Any) -> Any:
    """An array of bools: how the data of two Values compare, or of a Value and an array-like."""
    if not _checks.is_value(y):
        number = _checks.operand_float(y, backends.type_of(x))
        if number is NotImplemented and not isinstance(y, (np.ndarray, list, tuple)):
            return NotImplemented
        return order(x.data, np.asarray(y))
    return order(x.data, y.data)


_ORDERS = (operator.lt, operator.le, operator.eq, operator.ne, operator.gt, operator.ge)  # as CPython numbers them


def compare_coded(x: Any, y: Any, order: int) -> Any:
    """compare(), for the native handle."""
    return compare(x, y, _ORDERS[order])


def no_float(v: Any) -> float:
    """float() of an array Value. Raises TypeError."""
    raise TypeError(f"an array Value of shape {v.data.shape} is not one number: .data is its array, v[i] a Value of it")


def shown(v: Any) -> str:
    """The repr: as NumPy shows both arrays."""
    parts = [("data", v.data), ("grad", own_grad(v._raw_grad, v.data))]
    lines = [f"{name}={_indented(repr(array), len('Value(') + len(name) + 1)}" for name, array in parts]
    separator = ",\n      " if any("\n" in line for line in lines) else ", "
    return f"Value({separator.join(lines)})"


def formatted(data: Array, spec: str) -> str:
    """The array as NumPy shows it, each number in a format. Raises ValueError for a format no float has."""
    return np.array2string(data, separator=", ", formatter={"float_kind": lambda x: format(float(x), spec)})


def _indented(text: str, width: int) -> str:
    return text.replace("\n", "\n" + " " * width)


# ---- n-ary ops of scalars, given arrays ----


def sum_of(operands: Sequence[Any]) -> Any:
    """x0 + x1 + ..., left to right, with broadcasting."""
    total = operands[0]
    for x in operands[1:]:
        total = total + x
    return total


def logsumexp_of(operands: Sequence[Any]) -> Any:
    """log(e ** x0 + e ** x1 + ...) in every entry; all of one shape."""
    return apply("logsumexp", (apply("stack", operands, 0),), ((0,), False))


def dot_of(weights: Sequence[Any], inputs: Sequence[Any], bias: Any = None) -> Any:
    """bias + w0 * x0 + w1 * x1 + ..., left to right, with broadcasting."""
    products = [w * x for w, x in zip(weights, inputs)]
    return sum_of(products if bias is None else [bias, *products])
