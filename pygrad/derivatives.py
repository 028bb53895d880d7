"""Derivatives by choice: of one Value by some others, of any order, and the matrices of derivatives of a function.

grad leaves every .grad as it is, unlike backward(); jacobian, hessian and hvp differentiate a function at a point. Knows
no formulas: numbers come from the backend's reverse sweep, graphs from _gradient_graph.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import _checks, backends
from ._gradient_graph import gradients
from .recording import enable_grad

__all__ = ["grad", "hessian", "hvp", "jacobian"]

Array = NDArray[Any]

# ---- grad ----


def grad(
    output: Any,
    inputs: Any,
    grad_output: Any = None,
    *,
    create_graph: bool = False,
    allow_unused: bool = False,
) -> Any:
    """The derivative of a Value by one or several others, any nodes of its graph. No .grad is read or changed.

    output: a scalar or array Value. Of an array, the derivative of the sum of its entries, as backward() takes it.
    inputs: a Value, or a list or tuple of Values, of output's backend.
    grad_output: what the derivative is multiplied by, entry by entry before it is summed: a number, or an array of
        output's shape; 1 by default. It may be a Value, through which create_graph=True can differentiate too.
    create_graph: False: the result is numbers, the very bits of backward() on zeroed gradients. True: Values, whose
        graph can be differentiated again, by backward() or by grad, any number of times.
    allow_unused: whether an input that output does not depend on has derivative 0, and is no error.

    Returns for an input what its grad would be, a float or an array (a Value with create_graph=True); a list of these
    for several inputs.

    Only nodes between inputs and output take part. With create_graph=True, derivatives are operations on Values: where
    one has no finite value, as that of sqrt at 0, they raise what such operations raise, and a user-defined op that
    has a Python closure is a TypeError. At a kink a first derivative is what backward() gives, the others are those of
    the formula that gave it: all derivatives of relu and abs at 0 are 0.

    Raises TypeError for what is no Value of one backend, ValueError for an input that output does not depend on, and
    for a grad_output of another shape.

    >>> from pygrad import Value, grad
    >>> x = Value(2.0)
    >>> dy = grad(x**3, x, create_graph=True)
    >>> dy.data, grad(dy, x)
    (12.0, 12.0)
    """
    if not _checks.is_value(output):
        hint = ": add them up first" if isinstance(output, (list, tuple)) else ""
        raise TypeError(f"grad: output must be a Value, not {type(output).__name__}{hint}")
    value_type = backends.type_of(output)
    single = _checks.is_value(inputs)
    wanted = (inputs,) if single else _as_inputs(inputs)
    for i, x in enumerate(wanted):
        if not isinstance(x, value_type):
            _checks.operand_float(x, value_type)  # a Value of another backend says so itself
            raise TypeError(f"grad: {_name(i, x, single)} must be a Value, not {type(x).__name__}")
    if create_graph:
        with enable_grad():
            found = gradients(output, _seed(output, grad_output, value_type), wanted)
    else:
        number = grad_output.data if isinstance(grad_output, value_type) else grad_output
        found = value_type._gradients(output, _seed(output, number, value_type), wanted)
    for i, (x, g) in enumerate(zip(wanted, found)):
        if g is None:
            if not allow_unused:
                raise ValueError(
                    f"grad: the output does not depend on {_name(i, x, single)}: give allow_unused=True to get 0 for it"
                )
            found[i] = value_type(_zeros(x)) if create_graph else _zeros(x)
    if single:
        return found[0]
    if not create_graph and len(set(map(id, wanted))) < len(wanted):
        found = [g if type(g) is float else g.copy() for g in found]  # an input named twice: each its own array
    return found


def _as_inputs(inputs: Any) -> tuple[Any, ...]:
    try:
        return tuple(inputs)
    except TypeError:
        raise TypeError(f"grad: inputs must be a Value or a list of Values, not {type(inputs).__name__}") from None


def _name(i: int, x: Any, single: bool) -> str:
    label = getattr(x, "label", "")
    return ("inputs" if single else f"inputs[{i}]") + (f" ({label!r})" if label else "")


def _zeros(x: Any) -> Any:
    return 0.0 if type(x.data) is float else np.zeros_like(x.data)


def _seed(output: Any, given: Any, value_type: Any) -> Any:
    """The gradient of the output: a float, or an array or Value of its shape."""
    data = output.data
    shape = () if type(data) is float else data.shape
    if isinstance(given, value_type) and given.shape == shape:
        return given
    if type(data) is float:
        return 1.0 if given is None else _checks.as_float(given, "grad_output")
    if given is None:
        return np.ones_like(data)
    seed = _checks.as_data(given)
    if type(seed) is float:
        return np.full_like(data, seed)
    if seed.shape != shape:
        raise ValueError(f"grad: grad_output has shape {seed.shape}, but the output has shape {shape}")
    return seed.astype(data.dtype, copy=False)
