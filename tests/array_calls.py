"""Calls that NumPy and pygrad spell alike, with what torch has for them: the table that the tests of arrays go through.

Each is one function of a namespace F and operands: F is numpy or pygrad.arrays, the operands ndarrays or Values.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class Call(NamedTuple):
    """shapes: of the operands. torch(t, *operands): the same with torch; None where it has nothing like it."""

    name: str
    shapes: tuple[tuple[int, ...], ...]
    call: Callable[..., Any]
    torch: Callable[..., Any] | None


M = np.array([[True, False, True], [False, True, False]])
ROWS, COLUMNS = np.array([[0], [2], [1]]), np.array([[2, 0, 0], [1, 1, 2]])

CALLS = [
    Call("sum", ((2, 3),), lambda F, x: F.sum(x), lambda t, x: x.sum()),
    Call("sum of an axis", ((2, 3),), lambda F, x: F.sum(x, axis=0), lambda t, x: x.sum(0)),
    Call(
        "sum, keepdims",
        ((2, 3, 4),),
        lambda F, x: F.sum(x, axis=(0, -1), keepdims=True),
        lambda t, x: x.sum((0, 2), keepdim=True),
    ),
    Call("mean", ((2, 3),), lambda F, x: F.mean(x), lambda t, x: x.mean()),
    Call(
        "mean of an axis", ((2, 3),), lambda F, x: F.mean(x, -1, keepdims=True), lambda t, x: x.mean(-1, keepdim=True)
    ),
    Call("max", ((2, 3),), lambda F, x: F.max(x), lambda t, x: x.max()),
    Call("max of axes", ((2, 3, 4),), lambda F, x: F.max(x, axis=(1, 2)), lambda t, x: x.amax((1, 2))),
    Call(
        "min of an axis", ((2, 3),), lambda F, x: F.min(x, axis=1, keepdims=True), lambda t, x: x.amin(1, keepdim=True)
    ),
    Call("prod", ((2, 3),), lambda F, x: F.prod(x), lambda t, x: x.prod()),
    Call("prod of an axis", ((2, 3),), lambda F, x: F.prod(x, axis=1), lambda t, x: x.prod(1)),
    Call("var", ((2, 3),), lambda F, x: F.var(x), lambda t, x: x.var(correction=0)),
    Call("var of an axis", ((2, 3),), lambda F, x: F.var(x, axis=1, ddof=1), lambda t, x: x.var(1, correction=1)),
    Call(
        "std of an axis",
        ((4, 3),),
        lambda F, x: F.std(x, axis=0, ddof=1, keepdims=True),
        lambda t, x: x.std(0, correction=1, keepdim=True),
    ),
    Call("cumsum", ((2, 3),), lambda F, x: F.cumsum(x), lambda t, x: x.ravel().cumsum(0)),
    Call("cumsum of an axis", ((2, 3),), lambda F, x: F.cumsum(x, axis=-1), lambda t, x: x.cumsum(-1)),
    Call("matmul", ((2, 3), (3, 4)), lambda F, x, y: F.matmul(x, y), lambda t, x, y: x @ y),
    Call("matmul of vectors", ((3,), (3,)), lambda F, x, y: F.matmul(x, y), lambda t, x, y: x @ y),
    Call("matmul, stacked", ((5, 1, 2, 3), (4, 3, 2)), lambda F, x, y: F.matmul(x, y), lambda t, x, y: x @ y),
    Call("matmul, a vector on the left", ((3,), (2, 3, 4)), lambda F, x, y: F.matmul(x, y), lambda t, x, y: x @ y),
    Call("@", ((2, 2, 3), (3,)), lambda F, x, y: x @ y, lambda t, x, y: x @ y),
    Call("dot", ((2, 3), (3, 4)), lambda F, x, y: F.dot(x, y), lambda t, x, y: x @ y),
    Call(
        "dot of stacks", ((2, 3), (5, 3, 4)), lambda F, x, y: F.dot(x, y), lambda t, x, y: t.tensordot(x, y, ([1], [1]))
    ),
    Call("dot with a scalar", ((), (2, 3)), lambda F, x, y: F.dot(x, y), lambda t, x, y: x * y),
    Call("einsum", ((2, 3), (3, 4)), lambda F, x, y: F.einsum("ij,jk", x, y), lambda t, x, y: t.einsum("ij,jk", x, y)),
    Call(
        "einsum, an outer product",
        ((2,), (3,)),
        lambda F, x, y: F.einsum("i, j -> j i", x, y),
        lambda t, x, y: t.outer(y, x),
    ),
    Call("einsum of one", ((2, 3),), lambda F, x: F.einsum("ij->j", x), lambda t, x: x.sum(0)),
    Call("einsum, transposed", ((2, 3),), lambda F, x: F.einsum("ba", x), lambda t, x: x.T),
    Call("einsum, a diagonal", ((3, 3),), lambda F, x: F.einsum("ii->i", x), lambda t, x: t.diagonal(x)),
    Call("einsum, a trace", ((3, 3),), lambda F, x: F.einsum("ii", x), lambda t, x: t.trace(x)),
    Call(
        "einsum, ellipses",
        ((5, 2, 3), (3, 4)),
        lambda F, x, y: F.einsum("...ij,jk->...ik", x, y),
        lambda t, x, y: x @ y,
    ),
    Call(
        "einsum, ellipses of two lengths",
        ((5, 2, 3), (2, 3)),
        lambda F, x, y: F.einsum("...i,...i", x, y),
        lambda t, x, y: (x * y).sum(-1),
    ),
    Call(
        "einsum, axes of length 1",
        ((2, 3), (1, 4)),
        lambda F, x, y: F.einsum("ai,aj->ij", x, y),
        lambda t, x, y: t.einsum("ai,aj->ij", x, y.expand(2, 4)),
    ),
    Call("reshape", ((2, 6),), lambda F, x: F.reshape(x, (3, -1)), lambda t, x: x.reshape(3, 4)),
    Call("reshape to one axis", ((2, 3),), lambda F, x: F.reshape(x, -1), lambda t, x: x.ravel()),
    Call("reshape to none", ((1, 1),), lambda F, x: F.reshape(x, ()), lambda t, x: x.reshape(())),
    Call("ravel", ((2, 3),), lambda F, x: F.ravel(x), lambda t, x: x.ravel()),
    Call("transpose", ((2, 3, 4),), lambda F, x: F.transpose(x), lambda t, x: x.permute(2, 1, 0)),
    Call("transpose with axes", ((2, 3, 4),), lambda F, x: F.transpose(x, (1, -1, 0)), lambda t, x: x.permute(1, 2, 0)),
    Call("swapaxes", ((2, 3, 4),), lambda F, x: F.swapaxes(x, 0, -1), lambda t, x: x.swapaxes(0, 2)),
    Call("moveaxis", ((2, 3, 4),), lambda F, x: F.moveaxis(x, 0, -1), lambda t, x: x.movedim(0, -1)),
    Call(
        "moveaxis of two",
        ((2, 3, 4, 5),),
        lambda F, x: F.moveaxis(x, (3, 0), (0, 1)),
        lambda t, x: x.movedim((3, 0), (0, 1)),
    ),
    Call(
        "moveaxis, crossed",
        ((2, 3, 4),),
        lambda F, x: F.moveaxis(x, (0, 1), (1, 0)),
        lambda t, x: x.movedim((0, 1), (1, 0)),
    ),
    Call(
        "moveaxis, late and early",
        ((2, 3, 4),),
        lambda F, x: F.moveaxis(x, (0, 1), (-1, 0)),
        lambda t, x: x.movedim((0, 1), (-1, 0)),
    ),
    Call("squeeze", ((1, 3, 1),), lambda F, x: F.squeeze(x), lambda t, x: x.squeeze()),
    Call("squeeze of an axis", ((1, 3, 1),), lambda F, x: F.squeeze(x, axis=-1), lambda t, x: x.squeeze(-1)),
    Call("expand_dims", ((2, 3),), lambda F, x: F.expand_dims(x, 1), lambda t, x: x[:, None]),
    Call("expand_dims, several", ((2, 3),), lambda F, x: F.expand_dims(x, (0, -1)), lambda t, x: x[None, ..., None]),
    Call("broadcast_to", ((3, 1),), lambda F, x: F.broadcast_to(x, (2, 3, 4)), lambda t, x: x.expand(2, 3, 4)),
    Call("concatenate", ((2, 3), (1, 3)), lambda F, x, y: F.concatenate([x, y]), lambda t, x, y: t.cat([x, y])),
    Call(
        "concatenate along an axis",
        ((2, 3), (2, 1)),
        lambda F, x, y: F.concatenate((x, y, x), axis=-1),
        lambda t, x, y: t.cat([x, y, x], -1),
    ),
    Call(
        "concatenate, flattened",
        ((2, 3), (2,)),
        lambda F, x, y: F.concatenate([x, y], axis=None),
        lambda t, x, y: t.cat([x.ravel(), y]),
    ),
    Call("stack", ((2, 3), (2, 3)), lambda F, x, y: F.stack([x, y, x]), lambda t, x, y: t.stack([x, y, x])),
    Call(
        "stack along a new last axis",
        ((2, 3), (2, 3)),
        lambda F, x, y: F.stack([x, y], axis=-1),
        lambda t, x, y: t.stack([x, y], -1),
    ),
    Call("vstack", ((3,), (2, 3)), lambda F, x, y: F.vstack([x, y]), lambda t, x, y: t.vstack([x, y])),
    Call("hstack", ((2, 1), (2, 3)), lambda F, x, y: F.hstack([x, y]), lambda t, x, y: t.hstack([x, y])),
    Call("hstack of vectors", ((2,), (3,)), lambda F, x, y: F.hstack((x, y)), lambda t, x, y: t.hstack([x, y])),
    Call("where", ((2, 3), (3,)), lambda F, x, y: F.where(M, x, y), lambda t, x, y: t.where(t.tensor(M), x, y)),
    Call(
        "where with a number",
        ((3,),),
        lambda F, x: F.where(M.tolist(), x, 0.0),
        lambda t, x: t.where(t.tensor(M), x, 0.0),
    ),
    Call("clip", ((2, 3),), lambda F, x: F.clip(x, -0.5, 0.5), lambda t, x: x.clamp(-0.5, 0.5)),
    Call("clip from below", ((2, 3),), lambda F, x: F.clip(x, 0.0, None), lambda t, x: x.clamp(min=0.0)),
    Call(
        "clip between arrays",
        ((2, 3),),
        lambda F, x: F.clip(x, np.zeros(3), np.ones((2, 1))),
        lambda t, x: x.clamp(t.zeros(3), t.ones(2, 1)),
    ),
    Call("pad", ((2, 3),), lambda F, x: F.pad(x, 1), lambda t, x: t.nn.functional.pad(x, (1, 1, 1, 1))),
    Call(
        "pad, one pair",
        ((2, 3),),
        lambda F, x: F.pad(x, (1, 2), constant_values=3),
        lambda t, x: t.nn.functional.pad(x, (1, 2, 1, 2), value=3.0),
    ),
    Call(
        "pad, each axis",
        ((2, 3),),
        lambda F, x: F.pad(x, ((0, 1), (2, 0)), mode="constant"),
        lambda t, x: t.nn.functional.pad(x, (2, 0, 0, 1)),
    ),
    Call(
        "take_along_axis",
        ((3, 4),),
        lambda F, x: F.take_along_axis(x, ROWS, axis=1),
        lambda t, x: t.take_along_dim(x, t.tensor(ROWS), 1),
    ),
    Call(
        "take_along_axis, repeated",
        ((3, 3),),
        lambda F, x: F.take_along_axis(x, COLUMNS, 0),
        lambda t, x: t.take_along_dim(x, t.tensor(COLUMNS), 0),
    ),
    Call("flip", ((2, 3),), lambda F, x: F.flip(x), lambda t, x: x.flip((0, 1))),
    Call("flip of an axis", ((2, 3),), lambda F, x: F.flip(x, -1), lambda t, x: x.flip(-1)),
]
"""Those whose F may be numpy or pygrad.arrays."""


def _norm(F: Any, *args: Any, **options: Any) -> Any:
    return (F.linalg if F is np else F).norm(*args, **options)


CALLS += [
    Call("norm", ((2, 3),), lambda F, x: _norm(F, x), lambda t, x: x.norm()),
    Call(
        "norm of an axis",
        ((2, 3),),
        lambda F, x: _norm(F, x, axis=1, keepdims=True),
        lambda t, x: t.linalg.vector_norm(x, dim=1, keepdim=True),
    ),
    Call(
        "norm of vectors", ((2, 3),), lambda F, x: _norm(F, x, 2, axis=-1), lambda t, x: t.linalg.vector_norm(x, dim=1)
    ),
    Call(
        "norm of matrices",
        ((2, 3, 4),),
        lambda F, x: _norm(F, x, "fro", axis=(1, 2)),
        lambda t, x: t.linalg.matrix_norm(x),
    ),
    Call("1-norm", ((2, 3),), lambda F, x: _norm(F, x, 1, axis=0), lambda t, x: t.linalg.vector_norm(x, 1, dim=0)),
    Call("inf-norm", ((5,),), lambda F, x: _norm(F, x, np.inf), lambda t, x: t.linalg.vector_norm(x, t.inf)),
    Call(
        "-inf-norm",
        ((2, 3),),
        lambda F, x: _norm(F, x, -np.inf, axis=1),
        lambda t, x: t.linalg.vector_norm(x, -t.inf, dim=1),
    ),
]

OWN = [
    Call("logsumexp", ((2, 3),), lambda F, x: F.logsumexp(x), lambda t, x: x.ravel().logsumexp(0)),
    Call(
        "logsumexp of an axis",
        ((2, 3),),
        lambda F, x: F.logsumexp(x, axis=1, keepdims=True),
        lambda t, x: x.logsumexp(1, keepdim=True),
    ),
    Call("softmax", ((2, 3),), lambda F, x: F.softmax(x), lambda t, x: x.softmax(-1)),
    Call("softmax of columns", ((2, 3),), lambda F, x: F.softmax(x, axis=0), lambda t, x: x.softmax(0)),
    Call(
        "softmax of all",
        ((2, 3),),
        lambda F, x: F.softmax(x, axis=None),
        lambda t, x: x.ravel().softmax(0).reshape(x.shape),
    ),
    Call("log_softmax", ((2, 3),), lambda F, x: F.log_softmax(x), lambda t, x: x.log_softmax(-1)),
    Call("linear", ((5, 3), (3, 2), (2,)), lambda F, x, w, b: F.linear(x, w, b), lambda t, x, w, b: x @ w + b),
    Call("linear without a bias", ((2, 5, 3), (3, 2)), lambda F, x, w: F.linear(x, w), lambda t, x, w: x @ w),
    Call(
        "linear of one sample", ((3,), (3, 2), (2,)), lambda F, x, w, b: F.linear(x, w, b), lambda t, x, w, b: x @ w + b
    ),
    Call(
        "clip with Values as bounds",
        ((2, 3), (3,), (2, 1)),
        lambda F, x, y, z: F.clip(x, y, z),
        lambda t, x, y, z: t.minimum(t.maximum(x, y), z),
    ),
]
"""Those that NumPy has not, or not with a gradient to compare."""


def operands(call: Call, seed: int = 0) -> list[Any]:
    """Random operands of a call: ndarrays, or a float for the shape ()."""
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape) if shape else float(rng.normal()) for shape in call.shapes]
