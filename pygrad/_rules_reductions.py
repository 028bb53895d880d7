"""The rules of reductions over axes, and of softmax and cumsum, which run along one.

Options: (axis, keepdims) with axis None for all or a tuple of non-negative ints; var and std (axis, keepdims, ddof);
softmax, log_softmax and cumsum one axis, an int. The values are computed as NumPy computes them, without the
Python around it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ._rule import Rule, call, data_of, inverse, shape_of

_Axes = tuple[int, ...] | None

# of (array, axes, dtype, out, keepdims, initial), by position: that is fastest
_total: Any = np.add.reduce
_product: Any = np.multiply.reduce
_largest: Any = np.maximum.reduce
_smallest: Any = np.minimum.reduce

_LEAST = -math.inf


def _kept(r: Any, x: Any, o: tuple[Any, ...]) -> Any:
    """The result r of a reduction of x, or its gradient, with the reduced axes put back as axes of length 1."""
    axes, keepdims = o[0], o[1]
    if keepdims or axes is None or axes == (0,):  # broadcasting puts back the first axis itself
        return r
    if type(r) is np.ndarray and axes == (r.ndim,):
        return r[..., None]
    return r.reshape(tuple([1 if i in axes else n for i, n in enumerate(x.shape)])) if shape_of(r) else r


def _count(x: Any, axes: _Axes) -> int:
    """How many numbers each result is made of."""
    if axes is None:
        return int(x.size)
    if len(axes) == 1:
        return int(x.shape[axes[0]])
    n = 1
    for i in axes:
        n *= x.shape[i]
    return n


def _ratio(x: Any, y: Any) -> Any:
    """x / y, and 0 where y is; also in all its derivatives."""
    if isinstance(y, float):
        return x / y if y else 0.0
    zero = np.equal(y, 0.0)
    return np.divide(np.where(zero, 0.0, x), np.where(zero, 1.0, y))


# ---- sums ----


def _sum(x: Any, o: tuple[_Axes, bool]) -> Any:
    return _total(x, o[0], None, None, o[1])


def _mean(x: Any, o: tuple[_Axes, bool]) -> Any:
    axes, keepdims = o
    return _total(x, axes, None, None, keepdims) / (x.size if axes is None else _count(x, axes))


def _mean_derivative(g: Any, x: Any, y: Any, z: Any, o: tuple[_Axes, bool]) -> Any:
    n = _count(x, o[0])
    return _kept(g, x, o) / n if n else 0.0


def _cumsum_derivative(g: Any, x: Any, y: Any, z: Any, axis: int) -> Any:
    """The cumulative sum from the other end."""
    backwards = (slice(None),) * axis + (slice(None, None, -1),)
    return call(CUMSUM, (g[backwards],), axis)[backwards]


# ---- products ----


def _prod(x: Any, o: tuple[_Axes, bool]) -> Any:
    return _product(x, o[0], None, None, o[1])


def _prod_derivative(g: Any, x: Any, y: Any, z: Any, o: tuple[_Axes, bool]) -> Any:
    """The product of the others: z / x if no factor is 0."""
    g = _kept(g, x, o)
    zeros = np.equal(x, 0.0)
    if not zeros.any():
        return g * _kept(z, x, o) / x
    if not isinstance(x, np.ndarray):
        return g * _product_of_others(x, o[0])
    # no zero: z / x; one zero: the others' product is the gradient of that zero; several: no gradient at all
    n = _total(zeros, o[0], None, None, True)
    nonzero = np.where(zeros, 1.0, x)
    product = _product(nonzero, o[0], None, None, True)
    return g * np.where(n == zeros, product / nonzero, 0.0)


def _product_of_others(x: Any, axes: _Axes) -> Any:
    """Of each element of a Value, the product of the others along the axes: of n elements n products, each with a 1
    for the element. It takes n times the memory, but is right in all its derivatives also where factors are 0."""
    shape = x.shape
    axes = tuple(range(len(shape))) if axes is None else axes
    rest = tuple(i for i in range(len(shape)) if i not in axes)
    n = math.prod(shape[i] for i in axes)
    outer = tuple(shape[i] for i in rest)
    rows = x.transpose(rest + axes).reshape((*outer, 1, n))
    others = call(PROD, (np.where(np.eye(n, dtype=bool), 1.0, rows),), ((len(outer) + 1,), False))
    back = others.reshape(outer + tuple(shape[i] for i in axes))
    return back.transpose(inverse(rest + axes))


# ---- extremes ----


def _max(x: Any, o: tuple[_Axes, bool]) -> Any:
    return _largest(x, o[0], None, None, o[1])


def _min(x: Any, o: tuple[_Axes, bool]) -> Any:
    return _smallest(x, o[0], None, None, o[1])


def _extreme_derivative(g: Any, x: Any, y: Any, z: Any, o: tuple[_Axes, bool]) -> Any:
    """The extreme's gradient, shared evenly by all that are equal to it. nan along an axis with a nan."""
    chosen = np.equal(x, _kept(z, x, o))
    n = _total(chosen, o[0], data_of(x).dtype, None, o[1])
    return np.where(chosen, _kept(g / n, x, o), _kept(0.0 / n, x, o))


# ---- moments ----


def _square_deviations(x: Any, o: tuple[_Axes, bool, float], degrees: float) -> Any:
    d = x - _mean(x, (o[0], True))
    return _total(np.multiply(d, d, d), o[0], None, None, o[1]) / degrees


def _degrees(x: Any, o: tuple[_Axes, bool, float]) -> float:
    return max(_count(x, o[0]) - o[2], 0)


def _var(x: Any, o: tuple[_Axes, bool, float]) -> Any:
    return _square_deviations(x, o, _degrees(x, o))


def _std(x: Any, o: tuple[_Axes, bool, float]) -> Any:
    return np.sqrt(_var(x, o))


def _deviations(x: Any, o: tuple[_Axes, bool, float]) -> Any:
    """(x - mean) / degrees of freedom; nan if there are none."""
    degrees = _degrees(x, o)
    return (x - call(MEAN, (x,), (o[0], True))) * (1.0 / degrees if degrees else math.inf)


def _var_derivative(g: Any, x: Any, y: Any, z: Any, o: tuple[_Axes, bool, float]) -> Any:
    return 2.0 * _kept(g, x, o) * _deviations(x, o)


def _std_derivative(g: Any, x: Any, y: Any, z: Any, o: tuple[_Axes, bool, float]) -> Any:
    """Where all numbers are equal 0, as in torch."""
    return _kept(_ratio(g, z), x, o) * _deviations(x, o)


def _norm(x: Any, o: tuple[_Axes, bool]) -> Any:
    return np.sqrt(_total(x * x, o[0], None, None, o[1]))


def _norm_derivative(g: Any, x: Any, y: Any, z: Any, o: tuple[_Axes, bool]) -> Any:
    """x / norm; 0 at the origin, the subgradient of least norm."""
    return _kept(_ratio(g, z), x, o) * x


# ---- exponentials ----


def _logsumexp(x: Any, o: tuple[_Axes, bool]) -> Any:
    """m + log(sum of e ** (x - m)), m the largest (Blanchard, Higham and Higham 2021, eq. 1.3). An infinite m is the
    result, so is nan; of no numbers -inf."""
    axes, keepdims = o
    m = _largest(x, axes, None, None, True, _LEAST)
    if np.vdot(m, m) < math.inf:  # the quickest way to see that all are finite, unless they are huge
        z = m + np.log(_total(np.exp(x - m), axes, None, None, True))
    else:
        finite = np.isfinite(m)
        shift = np.where(finite, m, 0.0)
        with np.errstate(over="ignore", divide="ignore"):  # e ** inf, log 0: not used
            z = np.where(finite, shift + np.log(_total(np.exp(x - shift), axes, None, None, True)), m)
    return z if keepdims else z.squeeze(axes)


def _logsumexp_derivative(g: Any, x: Any, y: Any, z: Any, o: tuple[_Axes, bool]) -> Any:
    return _kept(g, x, o) * np.exp(x - _kept(z, x, o))


def _softmax(x: Any, axis: int) -> Any:
    e = x - _largest(x, axis, None, None, True, _LEAST)
    np.exp(e, e)
    return np.divide(e, _total(e, axis, None, None, True), e)


def _softmax_derivative(g: Any, x: Any, y: Any, z: Any, axis: int) -> Any:
    return z * (g - call(SUM, (g * z,), ((axis,), True)))


def _log_softmax(x: Any, axis: int) -> Any:
    d = x - _largest(x, axis, None, None, True, _LEAST)
    if not d.size:
        return d
    return np.subtract(d, np.log(_total(np.exp(d), axis, None, None, True)), d)


def _log_softmax_derivative(g: Any, x: Any, y: Any, z: Any, axis: int) -> Any:
    return g - np.exp(z) * call(SUM, (g,), ((axis,), True))


SUM = Rule("sum", "sum", 1, _sum, (lambda g, x, y, z, o: _kept(g, x, o),))
MEAN = Rule("mean", "mean", 1, _mean, (_mean_derivative,))
PROD = Rule("prod", "prod", 1, _prod, (_prod_derivative,))
CUMSUM = Rule("cumsum", "cumsum", 1, np.add.accumulate, (_cumsum_derivative,))
LOGSUMEXP = Rule("logsumexp", "logsumexp", 1, _logsumexp, (_logsumexp_derivative,))
SOFTMAX = Rule("softmax", "softmax", 1, _softmax, (_softmax_derivative,))

ROWS = [
    SUM,
    MEAN,
    PROD,
    Rule("max", "max", 1, _max, (_extreme_derivative,)),
    Rule("min", "min", 1, _min, (_extreme_derivative,)),
    Rule("var", "var", 1, _var, (_var_derivative,)),
    Rule("std", "std", 1, _std, (_std_derivative,)),
    Rule("norm", "norm", 1, _norm, (_norm_derivative,)),
    LOGSUMEXP,
    SOFTMAX,
    Rule("log_softmax", "log_softmax", 1, _log_softmax, (_log_softmax_derivative,)),
    CUMSUM,
]
