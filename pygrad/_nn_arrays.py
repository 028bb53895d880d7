"""Layers whose parameters are array Values: Linear, and Flatten, which prepares for it.

A batch is one array, and a layer is one node. The same bits on every backend, and those of NumPy: sums run in the
order of its BLAS, so the last bits are not those of `Layer`, and may differ between machines. Nothing here trains.
"""

from __future__ import annotations

import math
from typing import Any

from . import _checks, backends
from ._checks import is_value
from ._lazy import array_functions, arrays
from ._module import Module, flattened
from .init import Initialiser, drawn, generator, initialiser

_TYPES = ("float64", "float32")


def as_batch(x: Any, dtype: Any, module: Module) -> Any:
    """What a module of arrays is given, as an array Value or an array: lists may hold Values, numbers, or both.

    dtype: of plain lists. Raises TypeError or ValueError naming the module for anything that is no array of numbers.
    """
    if is_value(x) or getattr(getattr(x, "dtype", None), "kind", "O") in "fiub":
        return x
    if any(map(is_value, flattened(x))):
        parts = x.tolist() if hasattr(x, "tolist") else x
        return array_functions.stack([as_batch(v, dtype, module) if isinstance(v, (list, tuple)) else v for v in parts])
    array = arrays.as_array(x, f"{module!r}: inputs")
    return array if type(array) is float else array.astype(dtype, copy=False)


class Linear(Module):
    """x @ weight + bias, on a whole batch: x of shape (..., nin), rows are samples; the result (..., nout).

    weight: an array Value of shape (nin, nout); bias: one of shape (nout,), or None.
    axis: -1, features are the last axis; or 0 for data whose samples are columns: x of shape (nin, ...), the result
    weight @ x + bias[:, None] of shape (nout, ...), with a weight of shape (nout, nin).

    bias: True, False for none, or the numbers or the Value itself; weight likewise. A Value is used itself. Numbers
    that are assigned later, layer.weight = array, become the parameter's data.
    init, bias_init, seed, rng: how they are drawn where they are not given, as for Layer, by default 'xavier': with the
    same init= and seed= they are the numbers of Layer(nin, nout), and of its weights transposed.
    dtype: 'float64' or 'float32'; by default that of a given weight, else float64. Inputs keep theirs: of float64 the
    result is float64, whatever the weights are.
    backend: 'c', 'cffi' or 'python'; by default the one in use.

    x: an array Value, an array (for which no gradient is computed), or nested lists of numbers and Values.

    Raises ValueError for a wrong shape, stating it and the right one, and for a wrong size, name, axis or dtype;
    TypeError for a wrong type.
    """

    def __init__(
        self,
        nin: int,
        nout: int,
        bias: Any = True,
        *,
        weight: Any = None,
        init: str | Initialiser = "xavier",
        bias_init: str | Initialiser = "zeros",
        axis: int = -1,
        seed: int | None = None,
        rng: Any = None,
        dtype: Any = None,
        backend: str | None = None,
    ) -> None:
        width, count = _checks.size(nin, "nin"), _checks.size(nout, "nout")
        if isinstance(axis, bool) or axis not in (-1, 0):
            raise ValueError(f"axis must be -1 (features are the last axis) or 0 (the first), not {axis!r}")
        self.axis = int(axis)
        value_type = backends.value_type(backend)
        what = f"Linear({width}, {count})"
        number_type = None if dtype is None else _number_type(dtype)
        draw = None if weight is not None else initialiser(init, "init")
        draw_bias = initialiser(bias_init, "bias_init") if bias is True else None
        rows, biases = _drawn(draw, draw_bias, generator(seed, rng), width, count)
        given = (rows.T if axis else rows) if weight is None else weight
        shape = (width, count) if axis else (count, width)
        self.weight: Any = _parameter(given, shape, number_type, value_type, f"weight of {what}")
        self.bias: Any = None
        if bias is not None and bias is not False:
            given = biases if bias is True else bias
            self.bias = _parameter(given, (count,), self.weight.data.dtype, value_type, f"bias of {what}")

    def __call__(self, x: Any) -> Any:
        weight, bias = self.weight, self.bias
        if not is_value(x):
            x = as_batch(x, weight.data.dtype, self)
        shape = getattr(x, "shape", ())
        if not shape or shape[self.axis] != self.nin:
            wanted = f"(..., {self.nin})" if self.axis else f"({self.nin}, ...)"
            raise ValueError(f"{self!r} takes inputs of shape {wanted}, not {shape}")
        if self.axis:
            return arrays.apply("linear", (x, weight) if bias is None else (x, weight, bias))
        many = len(shape) > 2
        z = weight @ (array_functions.reshape(x, (shape[0], math.prod(shape[1:]))) if many else x)
        if bias is not None:
            if bias.shape != weight.shape[:1]:  # it would be broadcast
                raise ValueError(f"{self!r} needs a bias of shape {weight.shape[:1]}, not {bias.shape}")
            z = z + (bias if len(shape) == 1 else bias.reshape(-1 if self.nout else 0, 1))
        return array_functions.reshape(z, (self.nout, *shape[1:])) if many else z

    def __setattr__(self, name: str, x: Any) -> None:
        """Numbers that are assigned to weight or bias become the data of the parameter that is there."""
        before = vars(self).get(name)
        if name not in ("weight", "bias") or before is None or x is None or is_value(x):
            super().__setattr__(name, x)
            return
        before.data = arrays.as_array(x, name)

    @property
    def nin(self) -> int:
        """The number of inputs of a sample."""
        n: int = self.weight.shape[0 if self.axis else 1]
        return n

    @property
    def nout(self) -> int:
        """The number of outputs of a sample."""
        n: int = self.weight.shape[1 if self.axis else 0]
        return n

    def architecture(self) -> dict[str, Any]:
        dtype = self.weight.data.dtype
        if self.bias is not None and self.bias.data.dtype != dtype:
            raise TypeError(f"{self!r} has a bias of {self.bias.data.dtype}, which cannot be described")
        return {
            "type": "Linear", "nin": self.nin, "nout": self.nout, "bias": self.bias is not None, "axis": self.axis,
            "dtype": str(dtype),
        }  # fmt: skip

    def _described(self) -> str:
        return f"Linear {self.nin} -> {self.nout}"

    def __repr__(self) -> str:
        options = ["bias=False"] if self.bias is None else []
        options += [] if self.axis else ["axis=0"]
        options += [] if self.weight.data.dtype == _TYPES[0] else [f"dtype={str(self.weight.data.dtype)!r}"]
        return f"Linear({', '.join([str(self.nin), str(self.nout), *options])})"


def _drawn(draw: Any, draw_bias: Any, rng: Any, nin: int, nout: int) -> tuple[Any, Any]:
    """Weights of shape (nout, nin) and biases of shape (nout,), drawn as Layer does: each neuron's weights, then its
    bias. None for what has no initialiser."""
    import numpy as np

    weights = None if draw is None else np.empty((nout, nin))
    biases = None if draw_bias is None else np.empty(nout)
    for i in range(nout if draw or draw_bias else 0):
        if weights is not None:
            weights[i] = drawn(draw, rng, nin, nout, nin)
        if biases is not None:
            biases[i] = draw_bias(rng, nin, nout)
    return weights, biases


def _number_type(given: Any) -> Any:
    import numpy as np

    try:
        dtype = np.dtype(given)
    except TypeError:
        dtype = None
    if dtype is None or dtype.name not in _TYPES:
        raise ValueError(f"dtype must be {' or '.join(map(repr, _TYPES))}, not {given!r}")
    return dtype


def _parameter(given: Any, shape: tuple[int, ...], dtype: Any, value_type: Any, what: str) -> Any:
    """An array Value of a shape: the one that is given, or a new leaf of its numbers."""
    if is_value(given):
        _checks.as_operand(what, given, value_type)  # of the same backend
        found, own = given, getattr(given.data, "dtype", None)
        if dtype is not None and own is not None and own != dtype:
            raise ValueError(f"{what} must be {dtype}, not a Value of {own}")
    else:
        array = arrays.as_array(given, what)
        found = array if type(array) is float or dtype is None else array.astype(dtype, copy=False)
        found = found if type(found) is float else value_type(found)
    if getattr(found, "shape", ()) != shape:
        raise ValueError(f"{what} must have shape {shape}, not {getattr(found, 'shape', ())}")
    return found


class Flatten(Module):
    """All axes from start_axis on as one: (samples, 8, 8) becomes (samples, 64). Takes array Values, arrays, and nested
    lists.

    start_axis: 1 keeps the axis of samples, 0 none.

    Raises ValueError for inputs that have not so many axes.
    """

    def __init__(self, start_axis: int = 1) -> None:
        self.start_axis = _checks.size(start_axis, "start_axis")

    def __call__(self, x: Any) -> Any:
        batch = as_batch(x, _TYPES[0], self)
        shape, start = getattr(batch, "shape", ()), self.start_axis
        if len(shape) <= start:
            raise ValueError(f"{self!r} takes inputs with more than {start} axes, not of shape {shape}")
        if len(shape) == start + 1:
            return batch
        wanted = (*shape[:start], math.prod(shape[start:]))
        return array_functions.reshape(batch, wanted) if is_value(batch) else batch.reshape(wanted)

    def architecture(self) -> dict[str, Any]:
        return {"type": "Flatten", "start_axis": self.start_axis}

    def __repr__(self) -> str:
        return f"Flatten({self.start_axis if self.start_axis != 1 else ''})"
