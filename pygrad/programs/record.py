"""Recording: a function of Values is called once, on inputs that stand for any sample, and its graph becomes Code.

The inputs are leaves of the ordinary engine, and all that is computed from them are its ordinary nodes: recorded is
just what eager code does. What a function must not do meanwhile stands in pygrad/_tracing.py. Nothing is optimised.

Instructions: first every leaf the outputs depend on, in the order in which they are used; then operations, in the order
in which backward() of the outputs, one after the other, would take their steps from the last to the first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from .. import _checks, _tracing, backends
from .._listing import Listing, of_roots
from .._parameters import Parameters
from .._tracing import Trace, TraceError
from ..ops import OPS
from ..recording import enable_grad
from .code import Code

__all__ = ["Recording", "TraceError", "record"]

Shape = tuple[int, ...]

_WITH_CONSTANT = frozenset(name for name, op in OPS.items() if op.kind == "constant")
MAX_COLUMNS = 1 << 24
"""Numbers of a sample: each is a Value when it is recorded."""
_EMPTY = {"sum": 0.0, "dot": 0.0, "logsumexp": float("-inf")}
"""What the ops of any number of operands are without any."""


@dataclass
class Recording:
    """What a function does with a sample.

    code: `input` and `pick` name columns; `parameter` k is parameters[k], or shared[k - len(parameters)].
    parameters: the Values whose gradients are wanted, each once: those of params=, used or not; without it, all older
    leaves that are used, in the order of creation. shared: with params=, the other older leaves that are used, in the
    order of creation: what they hold is read at every call.
    columns: of every number of a sample, (argument, position in it, row by row). indices: {column: bound} of those that
    pick uses, where 0 <= index < bound must hold; such a column may be an `input` besides.
    structure: what the function returned, with places of code.outputs for Values and numbers: an int, a (nested) list,
    or a tuple of those for several outputs.
    """

    code: Code
    parameters: list[Any]
    shared: list[Any]
    columns: list[tuple[int, int]]
    indices: dict[int, int] = field(default_factory=dict)
    structure: Any = 0


def record(
    f: Callable[..., Any],
    shapes: Sequence[Shape],
    params: Any = None,
    inputs: Sequence[float] | None = None,
    *,
    backend: str | None = None,
) -> Recording:
    """Calls f once and gives what it does.

    shapes: of each argument for one sample: () for a Value, (n,) for a list of n, (n, m) for nested lists. params: the
    parameters, a list of Values or a Module; by default found. inputs: the numbers of a sample, all columns one after
    the other, for f to compute with; by default ones. backend: that of the inputs, if there is no params.

    Raises TraceError with the line where f does what a program cannot; TypeError for outputs that are no Values,
    numbers or lists of those; ValueError for samples of more than MAX_COLUMNS numbers; RuntimeError while this thread
    records already; and whatever f raises.
    """
    given = None if params is None else _given(params)
    value_type = backends.type_of(given[0]) if given else backends.value_type(backend)
    wide = sum(map(_size, shapes))
    if wide > MAX_COLUMNS:
        raise ValueError(f"a sample has {wide} numbers, and {MAX_COLUMNS} are the most that a program takes")
    columns = [(i, j) for i, shape in enumerate(shapes) for j in range(_size(shape))]
    numbers = [1.0] * len(columns) if inputs is None else [float(x) for x in inputs]
    if len(numbers) != len(columns):
        raise ValueError(f"inputs: a sample has {len(columns)} numbers, but {len(numbers)} were given")
    leaves = [value_type(x) for x in numbers]
    source = iter(leaves)
    arguments = [_nested(source, shape) for shape in shapes]
    trace = Trace(value_type, leaves)
    roots: list[Any] = []
    with enable_grad(), _tracing.recorded(trace):
        structure = _flattened(f(*arguments), value_type, roots)
    return _recording(f, trace, of_roots(value_type, roots, trace.births), given, columns, structure)


# ---- what goes in ----


def _given(params: Any) -> list[Any]:
    """The parameters that were given, as a list."""
    if isinstance(params, (list, tuple)) and not params:
        return []
    values = Parameters(params).values
    for i, v in enumerate(values):
        if _checks.is_array_value(v):
            raise TypeError(f"params[{i}] is an array Value: programs are recorded from scalar Values")
    return list(values)


def _size(shape: Shape) -> int:
    size = 1
    for n in shape:
        size *= n
    return size


def _nested(source: Iterator[Any], shape: Shape) -> Any:
    return [_nested(source, shape[1:]) for _ in range(shape[0])] if shape else next(source)


# ---- what comes out ----


def _flattened(output: Any, value_type: Any, roots: list[Any]) -> Any:
    """Appends the Values of an output to roots, numbers as constants; the output with their places instead."""
    if isinstance(output, tuple):
        if not output:
            raise TypeError("the recorded function gives an empty tuple: it must give at least one output")
        return tuple(_placed(part, value_type, roots, f"output {i}") for i, part in enumerate(output))
    return _placed(output, value_type, roots, "the output")


def _placed(part: Any, value_type: Any, roots: list[Any], what: str) -> Any:
    if hasattr(part, "tolist") and getattr(part, "ndim", 0) > 0 and not _checks.is_value(part):
        part = part.tolist()
    if not isinstance(part, list):
        roots.append(_root(part, value_type, what))
        return len(roots) - 1
    placed = [_placed(item, value_type, roots, what) for item in part]
    if len(set(map(_shape, placed))) > 1:
        raise ValueError(f"{what} of the recorded function is a list whose items differ in shape")
    return placed


def _shape(placed: Any) -> Shape:
    return (len(placed), *_shape(placed[0])) if isinstance(placed, list) and placed else (0,) if placed == [] else ()


def _root(x: Any, value_type: Any, what: str) -> Any:
    if isinstance(x, value_type):
        return x
    number = _checks.operand_float(x, value_type)
    if number is NotImplemented:
        raise TypeError(
            f"{what} of the recorded function is of type {type(x).__name__}: it must give a Value, a number, a list of "
            f"those, or a tuple of several outputs"
        )
    return value_type(number)


# ---- the code ----


def _recording(
    f: Any, trace: Trace, listing: Listing, given: list[Any] | None, columns: list[tuple[int, int]], structure: Any
) -> Recording:
    _refuse_foreign(f, trace, listing)
    parameters, shared = _parameters(trace, listing, given)
    number_of = {id(v): k for k, v in enumerate([*parameters, *shared])}
    ops = listing.ops.copy()
    args = listing.args
    ks: list[Any] = [k if op in _WITH_CONSTANT else None for op, k in zip(ops, listing.numbers)]
    for i in range(listing.leaves):
        v = listing.values.get(i)
        if v is None:
            ops[i], ks[i] = "constant", listing.numbers[i]
        elif id(v) in trace.columns:
            ops[i], ks[i] = "input", trace.columns[id(v)]
        else:
            ops[i], ks[i] = "parameter", number_of[id(v)]
    for i, op in enumerate(ops):
        if not args[i] and op in _EMPTY:
            ops[i], ks[i] = "constant", _EMPTY[op]
    recording = Recording(Code(ops, args, ks, listing.roots), parameters, shared, columns, {}, structure)
    if trace.picks:
        _pick(recording, trace, listing)
    return recording


def _parameters(trace: Trace, listing: Listing, given: list[Any] | None) -> tuple[list[Any], list[Any]]:
    """Parameters, and what else is older than the recording."""
    known = set(trace.columns) | set(map(id, given or ()))
    found = [i for i in sorted(listing.births, key=listing.births.__getitem__) if id(listing.values[i]) not in known]
    older = [listing.values[i] for i in found]
    return (older, []) if given is None else (given, older)


def _pick(recording: Recording, trace: Trace, listing: Listing) -> None:
    """Makes the nodes of pick instructions, without their last operand, the index; and drops inputs that were only
    that."""
    code = recording.code
    for i, v in listing.values.items():
        if id(v) not in trace.picks or i < listing.leaves:
            continue
        column = trace.picks[id(v)][1]
        code.ops[i], code.args[i], code.ks[i] = "pick", code.args[i][:-1], column
        bound = len(code.args[i])
        recording.indices[column] = min(bound, recording.indices.get(column, bound))
    used = {operand for args in code.args for operand in args}.union(code.outputs)
    unused = {i for i in range(listing.leaves) if i not in used}
    if not unused:
        return
    place, kept = {}, [i for i in range(len(code)) if i not in unused]
    for new, old in enumerate(kept):
        place[old] = new
    code.ops, code.ks = [code.ops[i] for i in kept], [code.ks[i] for i in kept]
    code.args = [tuple(map(place.__getitem__, code.args[i])) for i in kept]
    code.outputs = [place[i] for i in code.outputs]


def _refuse_foreign(f: Any, trace: Trace, listing: Listing) -> None:
    foreign = [i for i, v in listing.values.items() if listing.ops[i] == "user" and id(v) not in trace.picks]
    for i in sorted({*listing.foreign, *foreign}):
        v = listing.values[i]
        if v._holds_array or v._record is not None:
            raise _error(f, "the recorded function uses an array Value: a program is recorded from scalar Values")
        raise _error(
            f,
            f"the recorded function uses the user-defined op {v._op!r}, which has a Python closure (_backward) and "
            f"cannot be compiled: write it in operations of Values",
        )


def _error(f: Any, message: str) -> TraceError:
    code = getattr(f, "__code__", None)
    return TraceError(message, code.co_filename, code.co_firstlineno) if code else TraceError(message)
