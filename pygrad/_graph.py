"""Walking, copying and pickling graphs of Values, the same on every backend. No recursion over a graph.

Works on what every Value offers: operands, data, label, _op, _raw_grad, _record, and the pair _state / _restore. What a
pickle says of arrays is looked at in _pickled.py.
"""

from __future__ import annotations

import copy
import math
import weakref
from collections.abc import Callable, Container, Iterable
from typing import Any

from . import backends
from ._lazy import pickled

# ---- order ----


def topological_order(root: Any, known: Container[int] = frozenset()) -> list[Any]:
    """Every Value that root depends on and root itself, operands first: depth-first post-order, left to right.

    Does not go into Values whose id() is in `known`, and leaves them out.
    """
    order: list[Any] = []
    if id(root) in known:
        return order
    visited = {id(root)}  # by identity: a subclass may compare and hash as it likes
    stack = [(root, root.operands, 0)]  # a Value, its operands, and which of them is next
    while stack:
        v, operands, i = stack.pop()
        while i < len(operands) and (id(operands[i]) in visited or id(operands[i]) in known):
            i += 1
        if i < len(operands):
            stack.append((v, operands, i + 1))
            stack.append((operands[i], operands[i].operands, 0))
            visited.add(id(operands[i]))
        else:
            order.append(v)
    return order


def leading_to(inputs: Iterable[Any], root: Any) -> tuple[list[Any], set[int]]:
    """What of the graph under root leads to the inputs, which are any nodes.

    Returns every Value that has such an operand, in topological order; and the id()s of all that lead to an input,
    inputs among them. An input that is not under root is not.
    """
    wanted = {id(x) for x in inputs}
    leading: set[int] = set()
    steps = []
    for v in topological_order(root):
        if not leading.isdisjoint(map(id, v.operands)):
            leading.add(id(v))
            steps.append(v)
        elif id(v) in wanted:
            leading.add(id(v))
    return steps, leading


# ---- copies ----


def _described(v: Any) -> tuple[str, float, Any, Any, str, str]:
    """What _restore needs beside the operands and the rule: op name, constant, data, grad, symbol, label."""
    name, constant, has_closure = v._state()
    if has_closure:
        raise TypeError(
            f"the user-defined op {v._op!r} has a Python closure (_backward), which cannot be copied or pickled"
        )
    return name, constant, v.data, v._raw_grad, v._op if name == "user" else "", v.label


def _copied(v: Any, operands: tuple[Any, ...]) -> Any:
    """A node like v over these operands, with arrays of its own."""
    name, constant, data, grad, symbol, label = _described(v)
    record = v._record
    if type(data) is not float:
        data = data.copy("K")  # in the same order: sums over it have the same bits
        grad = None if grad is None else grad.copy("K")
    if record is not None and record[1] is not None:
        record = (record[0], copy.deepcopy(record[1]), record[2])
    return v._plain._restore(name, operands, constant, data, grad, symbol, label, record)


def copy_value(v: Any) -> Any:
    """copy.copy: a new Value with the same numbers, computed from the same operands."""
    return _copied(v, v.operands)


def deepcopy_value(v: Any, memo: dict[int, Any]) -> Any:
    """copy.deepcopy: an independent copy of the whole graph under v, or of what is not in memo yet."""
    order = topological_order(v, memo)
    for x in order:
        memo[id(x)] = _copied(x, tuple(memo[id(y)] for y in x.operands))
    memo.setdefault(id(memo), []).extend(order)  # as copy does: an id in memo must stay that object's
    return memo[id(v)]


# ---- pickles ----
#
# A pickler recurses into what an object refers to, which a long chain would not survive. So a Value is pickled as
# its _Node, and a _Node as a list of the _Nodes upstream, operands first, before what it says itself: each finds its
# operands already saved. A Value has one _Node as long as any pickler holds it, so that Values which share a graph
# still share it when they are loaded.


class _Node:
    __slots__ = ("__weakref__", "pickled", "value")

    def __init__(self, value: Any) -> None:
        self.value = value
        self.pickled = 0  # by how many picklers: each asks once, and then remembers

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        v, before = self.value, self.pickled
        # what was pickled more often than this node is already in the pickle at hand
        upstream = topological_order(v, _PickledMoreThan(before))
        self.pickled += 1
        nodes = tuple(_node(x) for x in upstream if x is not v)
        operands = tuple(_node(x) for x in v.operands)
        record = v._record
        rule = () if record is None else ((record[1], record[2]),)
        return _rebuild, (nodes, v._plain._pygrad_backend, operands, *_described(v), *rule)


class _PickledMoreThan:
    """The ids of the Values whose node was pickled by more than so many picklers."""

    def __init__(self, times: int) -> None:
        self.times = times

    def __contains__(self, key: object) -> bool:
        node = _nodes.get(key)  # type: ignore[call-overload]
        return node is not None and node.pickled > self.times


_nodes: weakref.WeakValueDictionary[int, _Node] = weakref.WeakValueDictionary()  # by id of the Value


def _node(v: Any) -> _Node:
    node = _nodes.get(id(v))
    if node is None:
        node = _nodes[id(v)] = _Node(v)
    return node


def reduce_value(v: Any, protocol: int = 2) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """__reduce_ex__ of a Value."""
    del protocol  # the same for all
    return _loaded, (_node(v),)


def _loaded(v: Any) -> Any:
    return v


def _rebuild(
    upstream: tuple[Any, ...],
    backend: str,
    operands: tuple[Any, ...],
    name: str,
    constant: float,
    data: Any,
    grad: Any,
    symbol: str,
    label: str,
    rule: tuple[Any, tuple[bool, ...]] | None = None,
) -> Any:
    """Makes one Value from a pickle. rule: options and wanted operands, of a node that a rule of arrays computed.

    Looks names up, and calls nothing that the pickle names. Raises ValueError for what is no Value.
    """
    del upstream  # they stood there to be loaded first
    texts = all(type(x) is str for x in (backend, name, symbol, label))
    if not texts or type(constant) is not float or type(operands) is not tuple:
        raise ValueError("not a pickle of a pygrad Value: its fields have the wrong types")
    if type(data) is float:
        if type(grad) is not float:
            raise ValueError("not a pickle of a pygrad Value: its fields have the wrong types")
    else:
        data = pickled.data(data)
        grad = pickled.grad(grad, data)
    kind = _kind(name)
    k = constant if kind == "constant" else math.nan
    if rule is None:
        _check_count(name, kind, len(operands))
    record = None if rule is None else pickled.record(name, len(operands), rule, k)
    value_type = backends.load(backend)
    if not all(isinstance(x, value_type) for x in operands):
        raise ValueError("a pickle gives an operand that is not a Value of the same backend")
    if record is None and kind not in ("leaf", "user") and not _all_scalar(data, operands):
        raise ValueError(f"a pickle gives the op {name!r} of scalars an array")
    return value_type._restore(name, operands, k, data, grad, symbol, label, record)


def _kind(name: str) -> str:
    from .ops import OPS

    return OPS[name].kind if name in OPS else name


def _check_count(name: str, kind: str, operands: int) -> None:
    """Raises ValueError unless it is a leaf, a user-defined op or an op of scalars, with as many operands."""
    counts = {"unary": 1, "constant": 1, "binary": 2, "leaf": 0}
    if kind not in {"unary", "constant", "binary", "leaf", "user", "sum", "dot", "logsumexp"}:
        raise ValueError(f"a pickle names the op {name!r}, which this version of pygrad does not know")
    if counts.get(kind, operands) != operands:
        raise ValueError(f"a pickle gives the op {name!r} {operands} operands")


def _all_scalar(data: Any, operands: tuple[Any, ...]) -> bool:
    return type(data) is float and all(type(x.data) is float for x in operands)
