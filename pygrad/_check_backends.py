"""compare_backends: a function run on every backend, and the graphs compared bit for bit, node by node.

The backends are said to be equal; this looks whether they are, for a function of yours. It compares what is in the
graphs that f returns: not what f prints (`python -m pygrad run --compare` does), nor the time it takes.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from . import backends as _backends
from ._check_inputs import bits_of, convert, graph_of, outputs_of


class Difference(NamedTuple):
    """Where two backends first differ."""

    backends: tuple[str, str]
    kind: str
    """'exception', 'outputs' (their number), 'nodes' (their number), 'op', 'operands', 'data' or 'grad'."""
    position: int
    """Of the node in the topological order, from 0; -1 where no node is to blame."""
    op: tuple[str, str]
    label: str
    data: tuple[float, float]
    """Both sides' number; of arrays the entry at `index`."""
    grad: tuple[float, float]
    ulps: int
    """How many floats apart the two numbers of kind 'data' or 'grad' are; 0 for other kinds, -1 if one is a nan."""
    detail: str
    """Both sides in words, for other kinds than 'data' and 'grad', and for arrays of differing shapes."""
    index: tuple[int, ...] = ()  # type: ignore[assignment]  # hides tuple.index, which nobody needs here
    """The first entry that differs, of an array Value."""

    def __str__(self) -> str:
        first, second = self.backends
        if self.position < 0:
            return f"{first} and {second} differ: {self.detail}"
        op = self.op[0] if self.op[0] == self.op[1] else f"{self.op[0]!r} or {self.op[1]}"
        name = f"op {op!r}" if op else "a leaf"
        name += f", entry {list(self.index)}" if self.index else ""
        label = f", label {self.label!r}" if self.label else ""
        what = f"{self.kind}: {self.detail}" if self.detail else f"{self.kind}, {_distance(self.ulps)}"
        where = f"node {self.position} of the topological order ({name}{label})"
        lines = [f"{first} and {second} differ at {where}: {what}"]
        width = max(map(len, self.backends))
        for i, backend in enumerate(self.backends):
            numbers = (f"{x!r} ({x.hex()})" for x in (self.data[i], self.grad[i]))
            lines.append(f"  {backend:>{width}}: data {', grad '.join(numbers)}")
        return "\n".join(lines)


class BackendReport(NamedTuple):
    """What compare_backends found. True in a condition if nothing differs."""

    backends: tuple[str, ...]
    nodes: int
    """In the graph of the first backend."""
    first_difference: Difference | None

    @property
    def equal(self) -> bool:
        """Whether nothing differs."""
        return self.first_difference is None

    def __bool__(self) -> bool:
        return self.equal

    def __str__(self) -> str:
        if self.first_difference is None:
            return f"{', '.join(self.backends)}: equal, bit for bit ({self.nodes} nodes)"
        return str(self.first_difference)


class _Node(NamedTuple):
    """What is compared of a node."""

    op: str
    operands: tuple[int, ...]  # as positions
    label: str
    data: Any  # a float or an array
    grad: Any


class _Outcome(NamedTuple):
    """What a function did on one backend."""

    outputs: list[int]  # as positions
    nodes: list[_Node]
    exception: Exception | None


def _ulps(x: float, y: float) -> int:
    """How many steps from one float to the next lead from x to y; -1 if one is a nan. From -0.0 to 0.0: 1."""
    if math.isnan(x) or math.isnan(y):
        return -1
    a, b = ((bits if bits >= 0 else -(bits & (2**63 - 1)) - 1) for bits in (bits_of(x), bits_of(y)))
    return abs(a - b)


def _same(x: Any, y: Any) -> bool:
    """Whether two floats or arrays have the same bits."""
    if type(x) is float and type(y) is float:
        return bits_of(x) == bits_of(y)
    return _form(x) == _form(y) and _first_difference(x, y) is None


def _form(x: Any) -> Any:
    return None if type(x) is float else (x.shape, x.dtype)


def _first_difference(x: Any, y: Any) -> tuple[int, ...] | None:
    """The first entry in which two arrays of one shape differ; None if there is none."""
    for i, (a, b) in enumerate(zip(x.ravel().tolist(), y.ravel().tolist())):
        if bits_of(a) != bits_of(b):
            index = []
            for n in reversed(x.shape):
                i, at = divmod(i, n)
                index.append(at)
            return tuple(reversed(index))
    return None


def _entry(x: Any, index: tuple[int, ...]) -> float:
    """The number at an index; nan of an array for which none is known."""
    return x if type(x) is float else float(x[index]) if len(index) == x.ndim else math.nan


def _distance(ulps: int) -> str:
    return "one is a nan" if ulps < 0 else f"{ulps} ulp{'s' if ulps != 1 else ''} apart"


def _outcome(f: Callable[..., Any], inputs: Sequence[Any], name: str, gradients: bool, seed: Any) -> _Outcome:
    """Runs f on the backend in use, which is `name`."""
    value_type = _backends.load(name)
    arguments = [convert(x, f"inputs[{i}]", value_type, []) for i, x in enumerate(inputs)]
    random.seed(seed)
    try:
        result = f(*arguments)
    except Exception as error:
        return _Outcome([], [], error)
    advice = "make Values from f's arguments or with pygrad.Value, not with a Value type imported before"
    outputs = outputs_of(result, value_type, advice)
    order = graph_of(outputs)
    try:
        for out in outputs if gradients else []:
            out.backward()
    except Exception as error:
        return _Outcome([], [], error)
    at = {id(v): i for i, v in enumerate(order)}
    nodes = [_Node(v._op, tuple(at[id(x)] for x in v.operands), v.label, v.data, v.grad) for v in order]
    return _Outcome([at[id(out)] for out in outputs], nodes, None)


def _difference(names: tuple[str, str], a: _Outcome, b: _Outcome) -> Difference | None:
    """The first difference of two outcomes that are not both exceptions."""

    def found(kind: str, position: int, detail: str = "") -> Difference:
        if position < 0:
            return Difference(names, kind, position, ("", ""), "", (math.nan,) * 2, (math.nan,) * 2, 0, detail)
        x, y = a.nodes[position], b.nodes[position]
        index: tuple[int, ...] = ()
        ulps = 0
        if not detail:
            mine, other = getattr(x, kind), getattr(y, kind)
            if _form(mine) != _form(other):
                detail = f"arrays or numbers of {_form(mine)} and {_form(other)}"
            else:
                index = (_first_difference(mine, other) or ()) if _form(mine) else ()
                ulps = _ulps(_entry(mine, index), _entry(other, index))
                if _form(mine) and mine.itemsize == 4 and ulps > 0:
                    ulps >>= 29  # a float32 has 29 bits less
        label = x.label or y.label
        data, grad = ((_entry(n, index), _entry(m, index)) for n, m in ((x.data, y.data), (x.grad, y.grad)))
        return Difference(names, kind, position, (x.op, y.op), label, data, grad, ulps, detail, index)

    said = [f"{type(o.exception).__name__}: {o.exception}" if o.exception else "no exception" for o in (a, b)]
    if said[0] != said[1]:
        return found("exception", -1, f"{names[0]} raised {said[0]}; {names[1]} raised {said[1]}")
    if len(a.outputs) != len(b.outputs):
        return found("outputs", -1, f"f returned {len(a.outputs)} Values, and {len(b.outputs)}")
    for i, (x, y) in enumerate(zip(a.nodes, b.nodes)):
        if x.op != y.op:
            return found("op", i, f"{x.op!r} and {y.op!r}")
        if x.operands != y.operands:
            return found("operands", i, f"nodes {list(x.operands)} and {list(y.operands)}")
        if not _same(x.data, y.data):
            return found("data", i)
    if len(a.nodes) != len(b.nodes) or a.outputs != b.outputs:
        sizes = f"{len(a.nodes)} and {len(b.nodes)} nodes, outputs at {a.outputs} and {b.outputs}"
        return found("nodes", -1, sizes)
    for i in reversed(range(len(a.nodes))):
        if not _same(a.nodes[i].grad, b.nodes[i].grad):
            return found("grad", i)
    return None


def compare_backends(
    f: Callable[..., Any],
    *inputs: Any,
    backends: Sequence[str] | None = None,
    gradients: bool = True,
    seed: int | float | str | bytes | None = 1337,
) -> BackendReport:
    """Runs a function on each backend, and reports the first node at which the graphs differ, if any.

    f: takes Values, returns a Value or a list of Values, whose graphs are compared. While it runs, its backend is the
        one in use, so that `pygrad.Value(...)` and `MLP(...)` inside it make Values of that backend as well.
    inputs: numbers, ndarrays, or (nested) lists of these, which f gets as Values and lists of Values. A Value stands
        for its data.
    backends: at least two names, of which the first is compared with each other; by default the reference, then the
        others.
    gradients: whether backward() is called, on each output in turn, and the gradients compared.
    seed: of Python's `random`, before each call of f; its state is put back. Other generators are f's to seed.

    Compared, by their bits (a nan counts as a nan): for each node in topological order its op, its operands (as
    positions in that order) and its data; then the gradients, in the order in which backward() works them out, so
    that the first to differ is the one closest to the cause. If f raises the same error everywhere, so does this.

    Returns a BackendReport. Raises ValueError for fewer than two backends or an unknown one, ImportError for one that
    is not there, TypeError if f returns something else than Values of the backend.

    >>> from pygrad import compare_backends
    >>> print(compare_backends(lambda x, y: (x * y).exp() / y, 0.5, 3.0))
    python, cffi, c: equal, bit for bit (5 nodes)
    """
    import pygrad

    if not callable(f):
        raise TypeError(f"f must be a function of Values, not {type(f).__name__}")
    names = tuple(_backends.NAMES[::-1] if backends is None else backends)
    if len(names) < 2:
        raise ValueError(f"backends must name at least two, not {list(names)}")
    for name in names:
        _backends.load(name)
    outcomes = []
    in_use, state = pygrad.backend, random.getstate()
    try:
        for name in names:
            pygrad.use(name)
            outcomes.append(_outcome(f, inputs, name, gradients, seed))
    finally:
        pygrad.use(in_use)
        random.setstate(state)
    differences = [_difference((names[0], name), outcomes[0], o) for name, o in zip(names[1:], outcomes[1:])]
    found = [d for d in differences if d is not None]
    if not found and outcomes[0].exception is not None:
        raise outcomes[0].exception
    return BackendReport(names, len(outcomes[0].nodes), min(found, key=lambda d: d.position, default=None))
