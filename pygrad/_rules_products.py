"""The rules of matrix products: matmul, dot, linear (a layer's x @ weight + bias) and einsum.

Values are NumPy's, by BLAS where it has one. Derivatives are products again, of at most two dimensions wherever the
operands allow it: one large product costs less than a stack of small ones.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ._rule import Rule, call, inverse, shape_of

# ---- matmul and dot ----


def _rows(x: Any) -> Any:
    """All but the last axis as one."""
    return x if x.ndim == 2 else x.reshape((math.prod(x.shape[:-1]), x.shape[-1]))


def _matmul_left(g: Any, x: Any, y: Any, z: Any, o: None) -> Any:
    """g @ y.T"""
    if x.ndim == 2 == y.ndim:
        return g @ y.T
    nx, ny = x.ndim, y.ndim
    if ny == 2:
        return g @ y.T if nx <= 2 else (_rows(g) @ y.T).reshape(x.shape)
    if ny == 1:
        return g * y if nx == 1 else g.reshape((*g.shape, 1)) * y
    if nx == 1:
        return (y @ g.reshape((*g.shape, 1))).reshape(y.shape[:-1])
    return g @ y.swapaxes(-1, -2)


def _matmul_right(g: Any, x: Any, y: Any, z: Any, o: None) -> Any:
    """x.T @ g"""
    if x.ndim == 2 == y.ndim:
        return x.T @ g
    nx, ny = x.ndim, y.ndim
    if nx == 1:
        return g * x if ny == 1 else x.reshape((-1, 1)) * g.reshape((*g.shape[:-1], 1, g.shape[-1]))
    if ny == 1:
        return _rows(x).T @ g.reshape((g.size,))
    if ny == 2:
        return _rows(x).T @ _rows(g)
    return x.swapaxes(-1, -2) @ g


def _dot(x: Any, y: Any, o: None) -> Any:
    """np.dot, which would not keep float32 with a float."""
    return x * y if type(x) is float or type(y) is float else np.dot(x, y)


def _dot_left(g: Any, x: Any, y: Any, z: Any, o: None) -> Any:
    nx, ny = len(shape_of(x)), len(shape_of(y))
    if nx == 0 or ny == 0:
        return g * y
    if ny <= 2:
        return _matmul_left(g, x, y, z, None)
    order, columns = _contracted_first(y.shape)
    first = y.transpose(order).reshape((y.shape[-2], columns))
    return (g.reshape((math.prod(x.shape[:-1]), columns)) @ first.T).reshape(x.shape)


def _dot_right(g: Any, x: Any, y: Any, z: Any, o: None) -> Any:
    nx, ny = len(shape_of(x)), len(shape_of(y))
    if nx == 0 or ny == 0:
        return g * x
    if ny <= 2:
        return _matmul_right(g, x, y, z, None)
    order, columns = _contracted_first(y.shape)
    rows = _rows(x)
    first = (rows.T @ g.reshape((rows.shape[0], columns))).reshape(tuple(y.shape[i] for i in order))
    return first.transpose(inverse(order))


def _contracted_first(shape: tuple[int, ...]) -> tuple[tuple[int, ...], int]:
    """For the second operand of np.dot: the order of axes with the one that is summed over first, and the number of
    elements of all others."""
    n = len(shape)
    return (n - 2, *range(n - 2), n - 1), math.prod(shape[:-2]) * shape[-1]


# ---- linear ----


def _linear(xs: tuple[Any, ...], o: None) -> Any:
    """x @ weight, + bias if there is one: x (..., nin), weight (nin, nout), bias (nout,) or a number."""
    x, weight = xs[0], xs[1]
    if x.ndim <= 2 == weight.ndim:
        z = x @ weight
    else:
        _, columns = weight.shape
        z = (_rows(x) @ weight).reshape((*x.shape[:-1], columns))
    if len(xs) == 2:
        return z
    bias = xs[2]
    if type(bias) is not float and bias.shape != weight.shape[1:]:  # broadcasting would take a column, or one number
        raise ValueError(f"linear: a bias of shape {bias.shape} does not fit weights of shape {weight.shape}")
    return np.add(z, bias, z if type(bias) is float or bias.dtype is z.dtype else None)


def _linear_derivative(g: Any, xs: tuple[Any, ...], i: int, z: Any, o: None) -> Any:
    if i == 2:
        return g
    x, weight = xs[0], xs[1]
    if i == 0:
        return g @ weight.T if x.ndim == 2 else _matmul_left(g, x, weight, z, None)
    return x.T @ g if x.ndim == 2 else _matmul_right(g, x, weight, z, None)


# ---- einsum ----
#
# Options: the subscripts with '->', without ellipsis and blanks; one or two operands.

_BY_BLAS = 100_000  # multiplications from which on it pays to look for a way to use BLAS


def _einsum(xs: tuple[Any, ...], subscripts: str) -> Any:
    inputs, out = subscripts.split("->")
    terms = inputs.split(",")
    if "" not in terms:
        return _einsum_of_arrays(xs, subscripts, terms)
    # with a number among the operands NumPy would not keep float32
    arrays = [(term, x) for term, x in zip(terms, xs) if term]
    z: Any = 1.0
    if arrays:
        terms = [term for term, _ in arrays]
        z = _einsum_of_arrays(tuple(x for _, x in arrays), f"{','.join(terms)}->{out}", terms)
    for term, x in zip(inputs.split(","), xs):
        if not term:
            z = z * x
    return z


def _einsum_of_arrays(xs: tuple[Any, ...], subscripts: str, terms: list[str]) -> Any:
    work = 0
    if len(xs) == 2:
        sizes = dict(zip(terms[0], xs[0].shape)) | dict(zip(terms[1], xs[1].shape))
        work = math.prod(sizes.values())
    return np.einsum(subscripts, *xs, optimize=work >= _BY_BLAS)


def _einsum_derivative(g: Any, xs: tuple[Any, ...], i: int, z: Any, subscripts: str) -> Any:
    """The einsum with the result's gradient in the operand's place. An index of the operand alone was summed over:
    its gradient is the same all along it. A repeated one took a diagonal: off it the gradient is 0."""
    inputs, out = subscripts.split("->")
    terms = inputs.split(",")
    term, x, others = terms[i], xs[i], [(t, y) for j, (t, y) in enumerate(zip(terms, xs)) if j != i]
    shared = set(out).union(*(t for t, _ in others))
    kept = "".join(c for c in dict.fromkeys(term) if c in shared)
    if others or kept != out:
        g = call(EINSUM, (g, *(y for _, y in others)), f"{','.join([out, *(t for t, _ in others)])}->{kept}")
    if kept == term:
        return g
    sizes = dict(zip(kept, shape_of(g)))
    if kept:
        g = g.reshape(tuple(sizes.pop(c, 1) for c in term))  # a repeated index: its length once, then 1
    if len(set(term)) == len(term):
        return g
    diagonal = np.True_
    for p, c in enumerate(term):
        q = term.index(c)
        if p > q:
            diagonal = diagonal & np.equal(_along(p, x.shape), _along(q, x.shape))
    return np.where(diagonal, g, 0.0)


def _along(axis: int, shape: tuple[int, ...]) -> Any:
    """0, 1, 2, ... along an axis, to be broadcast along the others."""
    return np.arange(shape[axis]).reshape([-1 if i == axis else 1 for i in range(len(shape))])


EINSUM = Rule("einsum", "einsum", -1, _einsum, (_einsum_derivative,))

ROWS = [
    Rule("matmul", "@", 2, np.matmul, (_matmul_left, _matmul_right)),
    Rule("dot", "dot", 2, _dot, (_dot_left, _dot_right)),
    Rule("linear", "linear", -1, _linear, (_linear_derivative,)),
    EINSUM,
]
