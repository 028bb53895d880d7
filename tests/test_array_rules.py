"""Every rule of arrays: values and derivatives against torch, against differences, and against the op table.

Rules are called here as the core calls them, with arrays; what Values and graphs make of them is other files' subject.
The derivative of a rule is what it returns, summed over broadcast axes and broadcast up to the operand's shape.
"""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest

from pygrad import _ieee
from pygrad.array_rules import RULES
from pygrad.ops import OPS, evaluate

INF, NAN = math.inf, math.nan
rng = np.random.default_rng(4)


def normal(*shape):
    return rng.standard_normal(shape)


def positive(*shape):
    return rng.uniform(0.2, 3.0, shape)


def distinct(*shape):
    """Numbers none of which is near another, or near 0."""
    n = math.prod(shape)
    return (rng.permutation(n) - n / 2 + 0.25).reshape(shape)


CONDITION = rng.random((3, 4)) < 0.5
ROWS, COLUMNS = np.array([[0], [2], [1]]), np.array([[3, 0, 0, 1]])
MASK = rng.random((3, 4)) < 0.6
MASK[0, 0] = True
LABELS = (rng.random((3, 4)) < 0.5) + 0.0
LABELS = (rng.random((3, 4)) < 0.5) + 0.0

MANY = rng.integers(0, 7, 2000)

# name, operands, options, the same in torch of (torch, operands). Every rule has a case.
CASES = [
    ("neg", [normal(3, 4)], None, lambda t, x: -x),
    ("add", [normal(3, 4), normal(4)], None, lambda t, x, y: x + y),
    ("sub", [normal(3, 1), normal(2, 1, 4)], None, lambda t, x, y: x - y),
    ("mul", [normal(3, 4), 0.7], None, lambda t, x, y: x * y),
    ("mul", [-1.3, normal(3, 4)], None, lambda t, x, y: x * y),
    ("div", [normal(3, 4), positive(3, 1)], None, lambda t, x, y: x / y),
    ("pow_const", [normal(3, 4)], 2.0, lambda t, x: x**2.0),
    ("pow_const", [normal(3, 4)], 3.0, lambda t, x: x**3.0),
    ("pow_const", [positive(3, 4)], -0.5, lambda t, x: x**-0.5),
    ("pow_const", [normal(3, 4)], 0.0, lambda t, x: x**0.0),
    ("pow_const", [normal(3, 4)], 1.0, lambda t, x: x**1.0),
    ("pow", [positive(3, 4), normal(4)], None, lambda t, x, y: x**y),
    ("pow", [positive(3, 4), 2.0], None, lambda t, x, y: x**y),
    ("pow", [2.5, normal(3)], None, lambda t, x, y: x**y),
    ("exp", [normal(3, 4)], None, lambda t, x: x.exp()),
    ("log", [positive(3, 4)], None, lambda t, x: x.log()),
    ("sqrt", [positive(3, 4)], None, lambda t, x: x.sqrt()),
    ("sin", [normal(3, 4)], None, lambda t, x: x.sin()),
    ("cos", [normal(3, 4)], None, lambda t, x: x.cos()),
    ("tanh", [normal(3, 4)], None, lambda t, x: x.tanh()),
    ("sigmoid", [50 * normal(3, 4)], None, lambda t, x: x.sigmoid()),
    ("softplus", [50 * normal(3, 4)], None, lambda t, x: t.logaddexp(x, t.zeros_like(x))),
    ("relu", [normal(3, 4)], None, lambda t, x: x.relu()),
    ("leaky_relu", [normal(3, 4)], 0.1, lambda t, x: t.nn.functional.leaky_relu(x, 0.1)),
    ("elu", [normal(3, 4)], 1.5, lambda t, x: t.nn.functional.elu(x, 1.5)),
    ("silu", [normal(3, 4)], None, lambda t, x: t.nn.functional.silu(x)),
    ("gelu", [normal(3, 4)], None, lambda t, x: t.nn.functional.gelu(x)),
    ("abs", [np.array([1.5, 0.0, -2.0])], None, lambda t, x: x.abs()),
    ("maximum", [np.array([[1.0], [2.0]]), np.array([1.0, 3.0])], None, lambda t, x, y: t.maximum(x, y)),
    ("minimum", [np.array([[1.0], [2.0]]), np.array([1.0, 3.0])], None, lambda t, x, y: t.minimum(x, y)),
    ("erf", [normal(3, 4)], None, lambda t, x: t.erf(x)),
    ("erfc", [normal(3, 4)], None, lambda t, x: t.erfc(x)),
    # reductions
    ("sum", [normal(3, 4)], (None, False), lambda t, x: x.sum()),
    ("sum", [normal(3, 4)], (None, True), lambda t, x: x.sum((0, 1), keepdim=True)),
    ("sum", [normal(2, 3, 4)], ((0, 2), False), lambda t, x: x.sum((0, 2))),
    ("sum", [normal(2, 3, 4)], ((1,), True), lambda t, x: x.sum(1, keepdim=True)),
    ("sum", [normal(2, 0)], ((1,), False), lambda t, x: x.sum(1)),
    ("mean", [normal(3, 4)], (None, False), lambda t, x: x.mean()),
    ("mean", [normal(3, 4)], ((0,), False), lambda t, x: x.mean(0)),
    ("mean", [normal(2, 3, 4)], ((0, 2), True), lambda t, x: x.mean((0, 2), keepdim=True)),
    ("prod", [normal(3, 4)], (None, False), lambda t, x: x.prod()),
    ("prod", [normal(2, 3)], ((1,), True), lambda t, x: x.prod(1, keepdim=True)),
    ("prod", [np.array([[1.0, 0.0, 3.0], [0.0, 2.0, 0.0], [4.0, 5.0, 6.0]])], ((1,), False), lambda t, x: x.prod(1)),
    ("prod", [np.array([[1.0, 0.0, 3.0], [2.0, 2.0, 1.5]])], (None, False), lambda t, x: x.prod()),
    ("max", [normal(3, 4)], (None, False), lambda t, x: x.amax()),
    ("max", [np.array([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]])], ((1,), False), lambda t, x: x.amax(1)),
    ("max", [normal(2, 3, 4)], ((0, 2), True), lambda t, x: x.amax((0, 2), keepdim=True)),
    ("min", [np.array([[1.0, 1.0, 3.0], [2.0, 2.0, 2.0]])], ((1,), False), lambda t, x: x.amin(1)),
    ("min", [normal(2, 3, 4)], ((1,), True), lambda t, x: x.amin(1, keepdim=True)),
    ("var", [normal(3, 4)], (None, False, 0), lambda t, x: x.var(correction=0)),
    ("var", [normal(2, 3, 4)], ((0, 2), False, 1), lambda t, x: x.var((0, 2), correction=1)),
    ("std", [normal(3, 4)], ((1,), True, 0), lambda t, x: x.std(1, correction=0, keepdim=True)),
    ("std", [normal(3, 4)], (None, False, 1), lambda t, x: x.std()),
    ("std", [np.array([[2.0, 2.0], [1.0, 3.0]])], ((1,), False, 1), lambda t, x: x.std(1)),
    ("norm", [normal(3, 4)], (None, False), lambda t, x: x.norm()),
    ("norm", [normal(3, 4)], ((0,), False), lambda t, x: x.norm(dim=0)),
    ("norm", [np.array([[0.0, 0.0], [3.0, 4.0]])], ((1,), True), lambda t, x: x.norm(dim=1, keepdim=True)),
    ("norm", [np.zeros(3)], (None, False), lambda t, x: x.norm()),
    ("logsumexp", [normal(3, 4)], (None, False), lambda t, x: t.logsumexp(x, (0, 1))),
    ("logsumexp", [1000 * normal(3, 4)], ((1,), False), lambda t, x: t.logsumexp(x, 1)),
    ("logsumexp", [np.array([[-INF, 2.0], [0.0, 1.0]])], ((1,), True), lambda t, x: t.logsumexp(x, 1, keepdim=True)),
    ("softmax", [normal(3, 4)], 1, lambda t, x: x.softmax(1)),
    ("softmax", [1000 * normal(2, 3, 4)], 0, lambda t, x: x.softmax(0)),
    ("log_softmax", [normal(3, 4)], 1, lambda t, x: x.log_softmax(1)),
    ("log_softmax", [1000 * normal(2, 3, 4)], 1, lambda t, x: x.log_softmax(1)),
    ("cumsum", [normal(5)], 0, lambda t, x: x.cumsum(0)),
    ("cumsum", [normal(2, 3, 4)], 1, lambda t, x: x.cumsum(1)),
    # products
    *[
        ("matmul", [normal(*a), normal(*b)], None, lambda t, x, y: x @ y)
        for a, b in [
            ((3,), (3,)), ((3,), (3, 4)), ((2, 3), (3,)), ((2, 3), (3, 4)), ((5, 2, 3), (3,)), ((3,), (5, 3, 4)),
            ((5, 2, 3), (3, 4)), ((2, 3), (5, 3, 4)), ((5, 2, 3), (5, 3, 4)), ((6, 1, 2, 3), (5, 3, 4)),
            ((0, 3), (3, 4)), ((2, 0), (0, 4)), ((5, 2, 0), (0, 4)), ((0, 2, 3), (3, 4)),
        ]
    ],
    *[
        ("dot", [normal(*a), normal(*b)], None, lambda t, x, y: t.tensordot(x, y, ([-1], [max(y.ndim - 2, 0)])))
        for a, b in [
            ((3,), (3,)), ((2, 3), (3, 4)), ((5, 2, 3), (3,)), ((5, 2, 3), (3, 4)), ((3,), (5, 3, 4)),
            ((2, 3), (5, 3, 4)), ((6, 2, 3), (7, 5, 3, 4)), ((2, 0), (5, 0, 4)), ((0, 3), (5, 3, 4)),
        ]
    ],
    ("dot", [2.0, normal(3, 4)], None, lambda t, x, y: x * y),
    ("dot", [normal(3, 4), 2.0], None, lambda t, x, y: x * y),
    ("linear", [normal(5, 3), normal(3, 4), normal(4)], None, lambda t, x, w, b: x @ w + b),
    ("linear", [normal(5, 3), normal(3, 4)], None, lambda t, x, w: x @ w),
    ("linear", [normal(3), normal(3, 4), normal(4)], None, lambda t, x, w, b: x @ w + b),
    ("linear", [normal(2, 5, 3), normal(3, 4), normal(4)], None, lambda t, x, w, b: x @ w + b),
    ("linear", [normal(0, 3), normal(3, 4), normal(4)], None, lambda t, x, w, b: x @ w + b),
    ("linear", [normal(5, 3), normal(3, 4), 0.5], None, lambda t, x, w, b: x @ w + b),
    *[
        ("einsum", [normal(*shape) for shape in shapes], subscripts, lambda t, *x, s=subscripts: t.einsum(s, *x))
        for subscripts, *shapes in [
            ("ij,jk->ik", (2, 3), (3, 4)), ("ij,jk->ki", (2, 3), (3, 4)), ("bij,bjk->bik", (5, 2, 3), (5, 3, 4)),
            ("i,j->ij", (2,), (3,)), ("i,i->", (3,), (3,)), ("ij,kl->il", (2, 3), (4, 5)), ("ij,ij->i", (2, 3), (2, 3)),
            ("ij->ji", (2, 3)), ("ij->", (2, 3)), ("ij->j", (2, 3)), ("ii->i", (3, 3)), ("ii->", (3, 3)),
            ("iij->j", (3, 3, 4)),
            ("iji->j", (3, 4, 3)), ("iii->i", (2, 2, 2)), ("ii,ij->j", (3, 3), (3, 4)), ("ij,jj->i", (2, 3), (3, 3)),
            ("ijk,k->ji", (2, 3, 4), (4,)), (",ij->ji", (), (2, 3)), ("ij,->i", (2, 3), ()),
            ("ij,jk->ik", (50, 60), (60, 70)),
            ("ij,jk->ik", (2, 0), (0, 4)), ("ijkl,jk->il", (2, 3, 4, 5), (3, 4)),
        ]
    ],
    # shapes
    ("reshape", [normal(3, 4)], (2, 6), lambda t, x: x.reshape(2, 6)),
    ("reshape", [normal(1, 1)], (), lambda t, x: x.reshape(())),
    ("reshape", [0.5], (1, 1), lambda t, x: x.reshape(1, 1)),
    ("transpose", [normal(3, 4)], (1, 0), lambda t, x: x.T),
    ("transpose", [normal(3, 4)], (0, 1), lambda t, x: x),
    ("transpose", [normal(2, 3, 4)], (1, 2, 0), lambda t, x: x.permute(1, 2, 0)),
    ("broadcast_to", [normal(3, 1)], (2, 3, 4), lambda t, x: x.broadcast_to(2, 3, 4)),
    ("broadcast_to", [0.5], (2, 3), lambda t, x: x.broadcast_to(2, 3)),
    ("index", [normal(3, 4)], 1, lambda t, x: x[1]),
    ("index", [normal(3, 4)], (1, 2), lambda t, x: x[1, 2]),
    ("index", [normal(3, 4)], (slice(None), slice(1, None, 2)), lambda t, x: x[:, 1::2]),
    ("index", [normal(3, 4)], (slice(None, None, -1), 1), lambda t, x: x.flip(0)[:, 1]),
    ("index", [normal(3, 4)], (None, Ellipsis, slice(1, 3)), lambda t, x: x[None, ..., 1:3]),
    ("index", [normal(3, 4)], np.array([0, 2, 0, 0, -1]), lambda t, x: x[[0, 2, 0, 0, -1]]),
    ("index", [normal(3, 4)], [1, 1], lambda t, x: x[[1, 1]]),
    ("index", [normal(3, 4)], (ROWS, COLUMNS), lambda t, x: x[t.tensor(ROWS), t.tensor(COLUMNS)]),
    ("index", [normal(3, 4)], (slice(None), np.array([3, 3, 0])), lambda t, x: x[:, [3, 3, 0]]),
    ("index", [normal(3, 4)], MASK, lambda t, x: x[t.tensor(MASK)]),
    ("index", [normal(3, 4)], np.array([True, False, True]), lambda t, x: x[[0, 2]]),
    ("index", [normal(3, 4)], (np.array([True, False, True]), np.array([1, 1])), lambda t, x: x[[0, 2], [1, 1]]),
    ("index", [normal(3, 4)], slice(3, 3), lambda t, x: x[3:3]),
    ("scatter", [normal(4)], ((3, 4), 1), lambda t, x: t.stack([0 * x, x, 0 * x])),
    ("scatter", [normal(3)], ((2,), np.array([1, 1, 0])), lambda t, x: t.stack([x[2], x[0] + x[1]])),
    ("scatter", [normal(2000)], ((7,), MANY), lambda t, x: t.zeros(7).double().index_add(0, t.tensor(MANY), x)),
    ("scatter", [0.5], ((2,), 1), lambda t, x: t.stack([0 * x, x])),
    ("take_along", [normal(3, 4)], (ROWS, 1), lambda t, x: t.take_along_dim(x, t.tensor(ROWS), 1)),
    ("take_along", [normal(3, 4)], (COLUMNS % 3, 0), lambda t, x: t.take_along_dim(x, t.tensor(COLUMNS % 3), 0)),
    ("take_along", [normal(3, 4)], (np.zeros((3, 5), int), 1), lambda t, x: x[:, [0] * 5]),
    ("take_along", [normal(5)], (np.array([4, 4, -1]), 0), lambda t, x: x[[4, 4, 4]]),
    ("pad", [normal(3, 4)], (((1, 2), (0, 3)), 7.0), lambda t, x: t.nn.functional.pad(x, (0, 3, 1, 2), value=7.0)),
    ("concatenate", [normal(2, 3), normal(2, 1), normal(2, 0)], 1, lambda t, *x: t.cat(x, 1)),
    ("concatenate", [normal(2), normal(3)], 0, lambda t, *x: t.cat(x)),
    ("stack", [normal(2, 3), normal(2, 3)], 1, lambda t, *x: t.stack(x, 1)),
    ("stack", [0.5, 1.5], 0, lambda t, *x: t.stack(x)),
    ("cast", [normal(3, 4)], "float64", lambda t, x: 1.0 * x),
    ("pack", [0.5, 1.5, -2.0, 3.0, 4.0, 0.0], ((2, 3), False), lambda t, *x: t.stack(x).reshape(2, 3)),
    ("pack", [0.5, 1.5, -2.0, 3.0, 4.0, 0.0], ((2, 3), True), lambda t, *x: t.stack(x).reshape(2, 3).T),
    ("where", [normal(3, 4), normal(4)], CONDITION, lambda t, x, y: t.where(t.tensor(CONDITION), x, y)),
    ("where", [0.5, normal(4)], CONDITION, lambda t, x, y: t.where(t.tensor(CONDITION), x, y)),
    ("clip", [np.array([-1.0, 0.0, 0.5, 1.0, 2.0])], (0.0, 1.0), lambda t, x: x.clamp(0.0, 1.0)),
    ("clip", [normal(3, 4)], (None, 0.5), lambda t, x: x.clamp(max=0.5)),
    ("clip", [normal(3, 4)], (-0.5, None), lambda t, x: x.clamp(min=-0.5)),
    ("clip", [normal(3)], (None, None), lambda t, x: x),
    ("clip", [normal(3)], (np.array([-1.0, 0.0, 1.0]), 1.0), lambda t, x: x.clamp(t.tensor([-1.0, 0, 1]), t.ones(3))),
    # losses: the last option is the divisor
    ("squared_error", [normal(3, 4), normal(3, 4)], 12, lambda t, x, y: t.nn.functional.mse_loss(x, y)),
    ("squared_error", [normal(2, 3, 4), normal(2, 3, 4)], 1, lambda t, x, y: ((x - y) ** 2).sum()),
    ("sum_squares", [normal(3, 4), 0.7, normal(2)], None, lambda t, x, y, z: (x**2).sum() + y**2 + (z**2).sum()),
    (
        "binary_cross_entropy", [rng.uniform(0.01, 0.99, (3, 4))], (LABELS * 0.9, math.exp(-100), 12),
        lambda t, x: t.nn.functional.binary_cross_entropy(x, t.tensor(LABELS * 0.9)),
    ),
    (
        "binary_cross_entropy", [rng.uniform(0.01, 0.99, (3, 4))], (LABELS, math.exp(-100), 1),
        lambda t, x: t.nn.functional.binary_cross_entropy(x, t.tensor(LABELS), reduction="sum"),
    ),
    (
        "binary_cross_entropy_with_logits", [20 * normal(3, 4)], (1.0 - 2.0 * LABELS, None, 12),
        lambda t, x: t.nn.functional.binary_cross_entropy_with_logits(x, t.tensor(LABELS)),
    ),
    (
        "binary_cross_entropy_with_logits", [normal(3, 4)], (np.ones((3, 4)), LABELS * 0.3, 1),
        lambda t, x: t.nn.functional.binary_cross_entropy_with_logits(x, t.tensor(LABELS * 0.3), reduction="sum"),
    ),
    (
        "hinge", [normal(3, 4)], (2.0 * LABELS - 1.0, 0.7, 12),
        lambda t, x: (0.7 - t.tensor(2.0 * LABELS - 1.0) * x).clamp(min=0).mean(),
    ),
    (
        "cross_entropy", [normal(3, 4)], (np.array([2, 4, 11]), 1, 3),
        lambda t, x: t.nn.functional.cross_entropy(x, t.tensor([2, 0, 3])),
    ),
    (
        "cross_entropy", [1000 * normal(4, 3)], (np.array([6, 1, 11]), 0, 1),
        lambda t, x: t.nn.functional.cross_entropy(x.T, t.tensor([2, 0, 3]), reduction="sum"),
    ),
    (
        "multiclass_hinge", [normal(3, 4)], (np.array([2, 4, 11]), 1, 0.6, 3),
        lambda t, x: 4 * t.nn.functional.multi_margin_loss(x, t.tensor([2, 0, 3]), margin=0.6),
    ),
    (
        "multiclass_hinge", [normal(4, 3)], (np.array([6, 1, 11]), 0, 1.0, 1),
        lambda t, x: 4 * t.nn.functional.multi_margin_loss(x.T, t.tensor([2, 0, 3]), reduction="sum"),
    ),
]  # fmt: skip

IDS = [f"{i}-{case[0]}" for i, case in enumerate(CASES)]


def value(rule, xs, o):
    """The rule's value of the operands; a result of no dimensions is a float."""
    z = rule.value(tuple(xs), o) if rule.arity < 0 else rule.value(*xs, o)
    return z if np.ndim(z) else float(z)


def fitted(gradient, x):
    """A derivative's result, as the core fits it to the operand."""
    if gradient is None:
        return np.zeros(np.shape(x))
    gradient = np.asarray(gradient)
    if gradient.ndim > np.ndim(x):
        gradient = gradient.sum(tuple(range(gradient.ndim - np.ndim(x))))
    long = tuple(i for i, n in enumerate(gradient.shape) if n != 1 and np.shape(x)[np.ndim(x) - gradient.ndim + i] == 1)
    return np.broadcast_to(gradient.sum(long, keepdims=True), np.shape(x))


def raw_derivatives(rule, g, xs, z, o):
    """What the derivatives return, one an operand."""
    with np.errstate(all="ignore"):
        if rule.arity < 0:
            return [rule.derivatives[0](g, tuple(xs), i, z, o) for i in range(len(xs))]
        x, y = (*xs, None)[:2]
        return [derivative(g, x, y, z, o) for derivative in rule.derivatives]


def derivatives(rule, g, xs, z, o):
    """The operands' gradients."""
    return [fitted(d, x) for d, x in zip(raw_derivatives(rule, g, xs, z, o), xs)]


def protected(xs, dtype=np.float64):
    """Copies that cannot be written to; floats as they are."""
    copies = [x.astype(dtype) if isinstance(x, np.ndarray) else x for x in xs]
    for x in copies:
        if isinstance(x, np.ndarray):
            x.flags.writeable = False
    return copies


def gradient_of(z, seed=1):
    """A random gradient for a result, write-protected."""
    if isinstance(z, float):
        return 0.7
    g = np.random.default_rng(seed).standard_normal(z.shape).astype(z.dtype)
    g.flags.writeable = False
    return g


def test_every_rule_has_a_case():
    assert {case[0] for case in CASES} == set(RULES)
    assert set(OPS) <= set(RULES)
    for name, rule in RULES.items():
        assert rule.name == name
        assert rule.symbol
        assert len(rule.derivatives) == abs(rule.arity)
        assert rule.symbol == OPS[name].symbol if name in OPS else name not in OPS


@pytest.mark.parametrize(("name", "xs", "o", "same"), CASES, ids=IDS)
def test_values_and_derivatives_are_those_of_torch(name, xs, o, same):
    torch = pytest.importorskip("torch")
    rule, xs = RULES[name], protected(xs)
    z = value(rule, xs, o)
    g = gradient_of(z)
    leaves = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in xs]
    expected = same(torch, *leaves)
    np.testing.assert_allclose(z, expected.detach().numpy(), rtol=1e-12, atol=1e-12)
    assert np.shape(z) == tuple(expected.shape)
    gradients = torch.autograd.grad(expected, leaves, torch.tensor(g, dtype=torch.float64), allow_unused=True)
    for got, leaf, exact in zip(derivatives(rule, g, xs, z, o), leaves, gradients):
        exact = torch.zeros_like(leaf) if exact is None else exact
        np.testing.assert_allclose(got, exact.numpy(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("name", "xs", "o", "same"), CASES, ids=IDS)
def test_derivatives_are_near_differences(name, xs, o, same):
    """Of sum(g * z), central, by up to 40 entries of each operand; but not at kinks, where both sides differ."""
    rule, h = RULES[name], 1e-6
    z = value(rule, xs, o)
    g = gradient_of(z)
    scale = max(1.0, float(np.max(np.abs(z), initial=0.0)))
    for i, gradient in enumerate(derivatives(rule, g, xs, z, o)):
        for position in list(np.ndindex(np.shape(xs[i])))[:40]:
            sides = []
            for step in (h, 0.0, -h):
                moved = [np.array(x, dtype=float) for x in xs]
                moved[i][position] += step
                sides.append(float(np.sum(g * value(rule, [m if m.ndim else float(m) for m in moved], o))))
            above, here, below = sides
            if math.isfinite(here) and abs(above - 2 * here + below) < 1e-8 * scale:
                assert gradient[position] == pytest.approx((above - below) / (2 * h), rel=1e-5, abs=1e-7 * scale)


# ---- against the op table, element by element ----

POINTS = [0.0, -0.0, 0.3, -0.3, 1.0, -1.0, 2.5, -2.5, 20.0, -20.0, 39.9, 40.1, -600.0, 600.0, 1e-9, INF, -INF, NAN]
EXACT = {"neg", "add", "sub", "mul", "div", "sqrt", "relu", "leaky_relu", "abs", "maximum", "minimum"}
SECONDS = {"leaky_relu": [0.01, -2.0], "elu": [1.0, 0.5], "pow_const": [0.0, 1.0, 2.0, 3.0, -1.0, 0.5, -1.5]}


def same_numbers(got, expected, exact):
    """Equal; both nan; or, of what no standard gives the last bits of, near."""
    if exact or not (math.isfinite(got) and math.isfinite(expected)):
        return got == expected or (math.isnan(got) and math.isnan(expected))
    return got == pytest.approx(expected, rel=1e-14, abs=1e-300)


@pytest.mark.parametrize("name", OPS)
def test_elementwise_rules_are_the_op_table_on_every_element(name):
    op, rule, exact = OPS[name], RULES[name], name in EXACT
    for second in SECONDS.get(name, [None]) if op.kind == "constant" else POINTS if op.kind == "binary" else [None]:
        x = np.array(POINTS)
        xs = [x] if op.kind != "binary" else [x, np.full(len(x), second)]
        with np.errstate(all="ignore"):
            z = value(rule, xs, second if op.kind == "constant" else None)
        got = derivatives(rule, np.full(len(x), -0.7), xs, z, second if op.kind == "constant" else None)
        for i, point in enumerate(POINTS):
            y = 0.0 if second is None else second
            if (name, point, y) == ("pow_const", -INF, 0.5):
                continue  # NumPy makes a square root of it: nan
            try:
                expected = evaluate(op, point, y)
            except (ArithmeticError, ValueError):
                continue  # a float's op has no value there
            assert same_numbers(z[i], expected, exact), (point, y)
            for derivative, gradient in zip(op.derivatives, got):
                contribution = derivative(_ieee, -0.7, point, y, float(z[i]))
                # z - z**2 and the like: an error in z's last bit comes back as large
                assert same_numbers(gradient[i], contribution, exact) or gradient[i] == pytest.approx(
                    contribution, rel=1e-12, abs=1e-15
                ), (point, y)


@pytest.mark.parametrize("name", OPS)
def test_no_value_of_the_domain_warns(name):
    """sigmoid(-1000), exp(-1000) and the like are ordinary numbers: with NumPy's warnings on, nothing is warned of."""
    x = np.array([-1000.0, -3.0, 0.0, 3.0, 1000.0])
    if name in ("exp", "log", "sqrt", "pow", "pow_const", "div"):
        x = np.array([0.5, 1.0, 2.0])
    for dtype in (np.float64, np.float32):
        xs = [x.astype(dtype)] * (2 if OPS[name].kind == "binary" else 1)
        with np.errstate(over="raise", invalid="raise", divide="raise"):
            value(RULES[name], xs, 0.5 if OPS[name].kind == "constant" else None)


@pytest.mark.parametrize("upstream", [INF, -INF, NAN])
def test_a_masked_gradient_is_zero_whatever_comes_from_above(upstream):
    g = np.full(2, upstream)
    x = np.array([-1.0, -2.0])
    masked = [
        ("relu", [x], None, np.zeros(2)),
        ("pow_const", [x], 0.0, x),
        ("maximum", [x, np.ones(2)], None, np.ones(2)),
        ("clip", [x], (0.0, 1.0), np.zeros(2)),
        ("where", [x, x], np.array([False, False]), x),
        ("norm", [np.zeros((2, 1))], ((1,), False), np.zeros(2)),
        ("std", [np.ones((2, 1))], ((1,), False, 0.5), np.zeros(2)),
    ]
    for name, xs, o, z in masked:
        assert derivatives(RULES[name], g, xs, z, o)[0].ravel().tolist() == [0.0, 0.0], name
    z = np.array([2.0, 2.0])
    got = derivatives(RULES["max"], g, [np.array([[1.0, 2.0], [2.0, 1.0]])], z, ((1,), False))[0]
    assert got[[0, 1], [0, 1]].tolist() == [0.0, 0.0]


# ---- dtypes, warnings, edges ----


@pytest.mark.parametrize(("name", "xs", "o", "same"), CASES, ids=IDS)
def test_float32_stays_float32(name, xs, o, same):
    rule = RULES[name]
    if not any(isinstance(x, np.ndarray) for x in xs):
        return
    if name == "clip" and isinstance(o[0], np.ndarray):
        o = (o[0].astype(np.float32), o[1])
    o = "float32" if name == "cast" else o
    double = value(rule, xs, o)
    single = protected(xs, np.float32)
    z = value(rule, single, o)
    np.testing.assert_allclose(z, double, rtol=2e-3, atol=1e-4)
    assert np.ndim(z) == 0 or z.dtype == np.float32
    if np.ndim(z) and all(isinstance(x, np.ndarray) for x in xs):  # floats among them: the core casts
        assert all(d.dtype == np.float32 for d in raw_derivatives(rule, gradient_of(z), single, z, o) if np.ndim(d))


def test_mixed_dtypes_give_the_wider():
    single, double = np.ones((2, 2), np.float32), np.full(2, 0.1)
    assert RULES["add"].value(single, double, None).dtype == np.float64
    assert RULES["linear"].value((single, single, double), None).tolist() == [[2.1, 2.1], [2.1, 2.1]]


@pytest.mark.parametrize(("name", "xs", "o", "same"), CASES, ids=IDS)
def test_derivatives_warn_of_nothing(name, xs, o, same):
    """Not even where all is infinite or nan, as long as NumPy's warnings are off."""
    rule = RULES[name]
    for filler in (0.0, -1.0, INF, -INF, NAN, 1e300):
        filled = [np.full(x.shape, filler) if isinstance(x, np.ndarray) else x for x in xs]
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("error")
            z = value(rule, filled, o)
            for g in (filler, INF):
                gradients = derivatives(rule, np.full(np.shape(z), g) if np.ndim(z) else g, filled, z, o)
                assert [d.shape for d in gradients] == [np.shape(x) for x in filled]


def test_var_and_std_are_those_of_numpy():
    x = normal(4, 5)
    for axes, keepdims, ddof in [(None, False, 0), ((1,), True, 1), ((0, 1), False, 0.5)]:
        for name, same in (("var", np.var), ("std", np.std)):
            expected = same(x, axis=axes, keepdims=keepdims, ddof=ddof)
            assert np.array_equal(RULES[name].value(x, (axes, keepdims, ddof)), expected)
    with np.errstate(all="ignore"):
        assert math.isnan(RULES["var"].value(np.array([3.0]), (None, False, 1)))
    assert np.isnan(derivatives(RULES["var"], 1.0, [np.array([3.0])], NAN, (None, False, 1))[0]).all()


def test_logsumexp_at_the_edges():
    rule = RULES["logsumexp"]
    rows = np.array([[-INF, -INF], [INF, 1.0], [-INF, 2.0], [NAN, INF], [1e308, -1e308]])
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        for keepdims in (False, True):
            z = rule.value(rows, ((1,), keepdims)).ravel()
            np.testing.assert_array_equal(z, [-INF, INF, 2.0, NAN, 1e308])
        assert rule.value(np.zeros((2, 0)), ((1,), False)).tolist() == [-INF, -INF]
        assert rule.value(np.full((1, 2), -INF), (None, False)) == -INF
        assert rule.value(np.zeros((0, 2)), ((1,), False)).shape == (0,)
    np.testing.assert_array_equal(derivatives(rule, np.ones(5), [rows], z, ((1,), False))[0][2], [0.0, 1.0])


def test_reductions_of_nothing():
    empty = np.zeros((2, 0))
    assert RULES["sum"].value(empty, (None, False)) == 0.0
    assert RULES["prod"].value(empty, ((1,), False)).tolist() == [1.0, 1.0]
    assert RULES["softmax"].value(empty, 1).shape == (2, 0)
    assert RULES["log_softmax"].value(empty, 1).shape == (2, 0)
    with pytest.raises(ValueError, match="zero-size array"):
        RULES["max"].value(empty, ((1,), False))
    for name in ("sum", "mean", "prod", "var", "norm"):
        o = ((1,), False, 0) if name == "var" else ((1,), False)
        assert derivatives(RULES[name], np.ones(2), [empty], np.zeros(2), o)[0].shape == (2, 0)
    assert derivatives(RULES["mean"], 1.0, [empty], NAN, (None, False))[0].shape == (2, 0)


def test_the_extreme_of_a_row_with_nan_has_nan_gradients():
    x = np.array([[NAN, 1.0], [2.0, 1.0]])
    for name in ("max", "min"):
        z = RULES[name].value(x, ((1,), False))
        gradient = derivatives(RULES[name], np.ones(2), [x], z, ((1,), False))[0]
        assert np.isnan(gradient[0]).all()
        assert sorted(gradient[1]) == [0.0, 1.0]


def test_relu_of_nan_is_nan():
    assert np.isnan(RULES["relu"].value(np.array([NAN]), None)).all()


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="broadcast"):
        RULES["add"].value(np.ones(2), np.ones(3), None)
    with pytest.raises(ValueError, match="matmul"):
        RULES["matmul"].value(np.ones((2, 3)), np.ones((2, 3)), None)
    with pytest.raises(ValueError, match="matmul"):
        RULES["linear"].value((np.ones((2, 3)), np.ones((2, 3))), None)
    with pytest.raises(ValueError, match=r"a bias of shape \(7, 1, 2\) does not fit weights"):
        RULES["linear"].value((np.ones((2, 3)), np.ones((3, 2)), np.ones((7, 1, 2))), None)
    with pytest.raises(IndexError):
        RULES["index"].value(np.ones(2), 2)


def test_importing_pygrad_does_not_import_numpy():
    import subprocess
    import sys

    program = "import sys, pygrad, pygrad.ops, pygrad.reference; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
