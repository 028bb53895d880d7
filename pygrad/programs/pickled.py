"""Programs as pickles: the recorded code as arrays, the parameters' numbers, and a line of JSON about the rest.

What is loaded is checked before it is used: a damaged or hostile pickle gives a FormatError, and at worst a program
that computes something else. Nothing that it says is executed, looked up, or used as a size that was not checked. So
arrays are stored as their bytes: NumPy would make a dtype of whatever a damaged pickle says of one, and trust it.
Machines are made anew; the Values that parameters were are not part of it.
"""

from __future__ import annotations

import bisect
import itertools
import json
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..ops import OPS
from ..saving import FormatError
from .arguments import Column, Layout
from .code import Code
from .parameters import InArray
from .program import Outputs, Program
from .record import MAX_COLUMNS

VERSION = 1
_ARRAYS = {"ops": "u1", "counts": "<u4", "operands": "<u4", "ks": "<f8", "outputs": "<u4", "numbers": "<f8"}
"""The dtypes of what is stored as bytes."""
_NUMBERED = frozenset({"input", "parameter", "pick"})
"""Ops whose k is a number of something."""
_CONSTANT = frozenset({"constant", *(name for name, op in OPS.items() if op.kind == "constant")})
"""Ops whose k is a float."""
_MANY = frozenset({"sum", "dot", "logsumexp", "pick"})
_OPERANDS = {
    "input": 0, "parameter": 0, "constant": 0, **{name: 2 if op.kind == "binary" else 1 for name, op in OPS.items()},
}  # fmt: skip


def reduced(program: Program) -> tuple[Any, ...]:
    """What pickle stores: a function of this module, and its arguments."""
    code, layout = program.code, program.layout
    names = sorted(set(code.ops))
    number = {name: i for i, name in enumerate(names)}
    header = {
        "version": VERSION, "name": program.name, "ops": names, "exact": program.exact, "threads": program.threads,
        "parameters": program.source.count, "arguments": list(layout.names), "shapes": list(map(list, layout.shapes)),
        "classes": [list(column) for column in layout.classes],
        "outputs": list(map(list, program.outputs.shapes)), "several": program.outputs.several,
        "labels": program.source.labels() if any(program.source.labels()) else [],
    }  # fmt: skip
    arrays: list[Any] = [
        [number[op] for op in code.ops],
        [len(args) for args in code.args],
        [x for args in code.args for x in args],
        [0.0 if k is None else k for k in code.ks],
        code.outputs,
        np.frombuffer(program.source.numbers()),
    ]
    text = json.dumps(header)
    stored = [np.array(array, dtype).tobytes() for array, dtype in zip(arrays, _ARRAYS.values())]
    return restored, (text, *stored, _checksum(text, stored))


def _checksum(text: str, stored: list[bytes]) -> int:
    found = zlib.crc32(text.encode(errors="surrogatepass"))
    for data in stored:
        found = zlib.crc32(data, found)
    return found


def restored(*given: Any) -> Program:
    """The program that was pickled. Raises FormatError saying what is wrong with anything else."""
    if len(given) != len(_ARRAYS) + 2:
        raise _bad("it has another number of parts")
    text, *stored, checksum = given
    arrays = []
    for data, (name, kind) in zip(stored, _ARRAYS.items()):
        dtype = np.dtype(kind)
        if type(data) is not bytes or len(data) % dtype.itemsize:
            raise _bad(f"its {name} are no numbers of {dtype}")
        arrays.append(np.frombuffer(data, dtype).astype(dtype.newbyteorder("=")))
    if type(text) is not str or type(checksum) is not int or _checksum(text, stored) != checksum:
        raise _bad("its checksum does not fit")
    try:
        header = json.loads(text)
        if header["version"] != VERSION:
            raise _bad(f"it is of version {header['version']!r}, and this pygrad reads version {VERSION}")
        return _program(header, *arrays)
    except FormatError:
        raise
    except (KeyError, TypeError, ValueError, IndexError, OverflowError, RecursionError, AttributeError) as error:
        raise _bad(f"{type(error).__name__}: {error}") from None


def _bad(why: str) -> FormatError:
    return FormatError(f"this is no pickled program: {why}")


def _need(holds: bool, why: str) -> None:
    if not holds:
        raise _bad(why)


def _program(
    header: dict[str, Any], ops: NDArray[Any], counts: NDArray[Any], operands: NDArray[Any], ks: NDArray[Any],
    outputs: NDArray[Any], numbers: NDArray[np.float64],
) -> Program:  # fmt: skip
    shapes = tuple(tuple(map(_size, shape)) for shape in header["shapes"])
    names = tuple(map(str, header["arguments"]))
    _need(len(names) == len(shapes), "an argument has no shape")
    code = _code(header["ops"], ops, counts, operands, ks, outputs)
    classes = tuple(Column(*map(_size, column)) for column in header["classes"])
    widths = [_product(shape) for shape in shapes]
    _need(sum(widths) <= MAX_COLUMNS, "its samples are too wide")
    _check_leaves(code, widths, classes, len(numbers))
    starts = list(itertools.accumulate(widths, initial=0))
    read = {bisect.bisect(starts, k) - 1 for op, k in zip(code.ops, code.ks) if op == "input"}
    layout = Layout(names, shapes, tuple(i in read for i in range(len(shapes))), classes)
    of_outputs = Outputs(tuple(tuple(map(_size, shape)) for shape in header["outputs"]), header["several"] is True)
    _need(sum(map(_product, of_outputs.shapes)) == len(code.outputs), "its outputs have other shapes")
    _need(len(of_outputs.shapes) > 0, "it has no outputs")
    _need(len(of_outputs.shapes) == 1 or of_outputs.several, "it has several outputs")
    count = _size(header["parameters"])
    _need(count <= len(numbers), "it lacks numbers of parameters")
    labels = list(map(str, header["labels"]))
    _need(len(labels) in (0, len(numbers)), "it has another number of labels")
    return Program(
        str(header["name"]), code, layout, of_outputs, InArray(numbers, count, labels),
        exact=header["exact"] is True, threads=_size(header["threads"]) or None,
    )  # fmt: skip


def _size(x: Any) -> int:
    _need(type(x) is int and 0 <= x < 1 << 31, f"{x!r} is no size")
    return int(x)


def _product(shape: tuple[int, ...]) -> int:
    found = 1
    for n in shape:
        found *= n
    return found


def _code(
    names: Any, ops: NDArray[Any], counts: NDArray[Any], operands: NDArray[Any], ks: NDArray[Any], outputs: NDArray[Any]
) -> Code:
    """The code, whose instructions use earlier ones, as many as their ops take."""
    n = len(ops)
    _need(isinstance(names, list) and all(name in _OPERANDS or name in _MANY for name in names), "it has unknown ops")
    _need(len(counts) == len(ks) == n, "its lists differ in length")
    _need(int(counts.sum(dtype=np.uint64)) == len(operands), "it has another number of operands")
    _need(n == 0 or int(ops.max()) < len(names), "it has an op without a name")
    _need(not (operands >= np.repeat(np.arange(n), counts)).any(), "an instruction uses a later one")
    _need(not (outputs >= n).any(), "an output is of no instruction")
    code = Code(outputs=outputs.tolist())
    code.ops = [names[i] for i in ops.tolist()]
    flat, start = operands.tolist(), 0
    for op, count, k in zip(code.ops, counts.tolist(), ks.tolist()):
        _need(count == _OPERANDS[op] if op in _OPERANDS else count > 0, f"a {op} has {count} operands")
        code.args.append(tuple(flat[start : start + count]))
        start += count
        _need(op not in _NUMBERED or (k >= 0.0 and k.is_integer()), f"a {op} has the number {k!r}")
        code.ks.append(int(k) if op in _NUMBERED else k if op in _CONSTANT else None)
    return code


def _check_leaves(code: Code, widths: list[int], classes: tuple[Column, ...], numbers: int) -> None:
    """Inputs, parameters and classes are among those there are."""
    _need(all(c.column < widths[c.argument] for c in classes), "there is no such column of classes")
    bounds = {sum(widths[: c.argument]) + c.column: c.bound for c in classes}
    _need(list(bounds) == sorted(bounds) and len(bounds) == len(classes), "its classes are not in order")
    columns = sum(widths)
    for op, args, k in zip(code.ops, code.args, code.ks):
        if op == "input":
            _need(k < columns, f"there is no column {k}")
        elif op == "parameter":
            _need(k < numbers, f"there is no parameter {k}")
        elif op == "pick":
            _need(1 <= bounds[k] <= len(args), "a pick has fewer operands than classes")
