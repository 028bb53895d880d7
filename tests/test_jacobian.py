"""jacobian, hessian and hvp: closed forms, torch, each against the others, and what they refuse."""

from __future__ import annotations

import math

import numpy as np
import pytest

import pygrad
from pygrad import backends, no_grad
from pygrad.derivatives import grad, hessian, hvp, jacobian
from pygrad.nn import MLP

rng = np.random.default_rng(7)
MATRIX = rng.normal(size=(3, 4))
SQUARE = rng.normal(size=(4, 4))
POINT = rng.normal(size=4)


def rosenbrock(x):
    return sum(100 * (x[i + 1] - x[i] ** 2) ** 2 + (1 - x[i]) ** 2 for i in range(3))


def rosenbrock_hessian(x):
    h = np.zeros((4, 4))
    for i in range(3):
        h[i, i] += 1200 * x[i] ** 2 - 400 * x[i + 1] + 2
        h[i, i + 1] = h[i + 1, i] = -400 * x[i]
        h[i + 1, i + 1] += 200
    return h


# ---- closed forms ----


def test_shapes(backend):
    """(shape of the result, *shape of the point), a list counting as an axis."""
    array = np.arange(6.0).reshape(2, 3) + 1
    for f, x, shape in [
        (lambda x: x * 2, 3.0, ()),
        (lambda x: x * 2, 3, ()),
        (lambda x: x * 2, np.float64(3), ()),
        (lambda x: x * 2, np.array(3.0), ()),
        (lambda x: [x, x * x], 3.0, (2,)),
        (lambda x: x[0] * x[1], [1.0, 2.0], (2,)),
        (lambda x: [x[0], x[1], x[0]], [1.0, 2.0], (3, 2)),
        (lambda x: x[0][0] + x[1][2], array.tolist(), (2, 3)),
        (lambda x: x.sum(), array, (2, 3)),
        (lambda x: x.T, array, (3, 2, 2, 3)),
        (lambda x: [x[0], x[1] * 2], array, (2, 3, 2, 3)),
        (lambda x: [x[0]], array, (1, 3, 2, 3)),
        (lambda x: x, np.ones((0, 2)), (0, 2, 0, 2)),
        (lambda x: [], [1.0, 2.0], (0, 2)),
        (lambda x: np.array([[x[0], x[1]]] * 3), [1.0, 2.0], (3, 2, 2)),
    ]:
        result = jacobian(f, x, backend=backend)
        assert isinstance(result, np.ndarray)
        assert result.shape == shape
        assert result.dtype == np.float64


def test_what_the_function_is_given(backend, Value):
    seen = []

    def f(a, b, c, d):
        seen.append((a, b, c, d))
        return a * b[0] * c.sum() * d[1][0]

    result = jacobian(f, (2, [3.0, 4], np.array([5, 6]), [[1.0], [7.0]]), backend=backend)
    ((a, b, c, d),) = seen
    assert (a.data, [v.data for v in b], c.data.tolist(), [[v.data for v in row] for row in d]) == (
        2.0, [3.0, 4.0], [5.0, 6.0], [[1.0], [7.0]],
    )  # fmt: skip
    assert all(isinstance(v, Value) for v in (a, *b, c, *d[0]))
    assert [part.tolist() for part in result] == [231.0, [154.0, 0.0], [42.0, 42.0], [[0.0], [66.0]]]
    assert jacobian(lambda v: v * 2, Value([1.0, 2.0]), backend=backend).tolist() == [[2.0, 0.0], [0.0, 2.0]]
    given = np.array([1.0, 2.0])
    jacobian(lambda v: v * v, given, backend=backend)
    assert given.tolist() == [1.0, 2.0]


def test_jacobians(backend):
    assert jacobian(lambda x: MATRIX @ x, POINT, backend=backend) == pytest.approx(MATRIX, abs=0)
    s = np.exp(POINT) / np.exp(POINT).sum()
    expected = np.diag(s) - np.outer(s, s)
    assert jacobian(lambda x: x.softmax(), POINT, backend=backend) == pytest.approx(expected, rel=1e-13)
    polar = jacobian(lambda r, t: [r * t.cos(), r * t.sin()], (2.0, 0.5), backend=backend)
    assert polar[0] == pytest.approx([math.cos(0.5), math.sin(0.5)])
    assert polar[1] == pytest.approx([-2 * math.sin(0.5), 2 * math.cos(0.5)])
    by_matrix, by_vector = jacobian(lambda a, x: a @ x, (MATRIX, POINT), backend=backend)
    assert by_vector == pytest.approx(MATRIX, abs=0)
    assert by_matrix == pytest.approx(np.einsum("ij,k->ijk", np.eye(3), POINT), abs=0)
    cumulated = jacobian(lambda x: x.cumsum(), POINT, backend=backend)
    assert cumulated == pytest.approx(np.tril(np.ones((4, 4))), abs=0)
    assert jacobian(lambda x: [x[1] * 2], [1.0, 2.0], backend=backend).tolist() == [[0.0, 2.0]]


@pytest.mark.parametrize("as_array", [False, True])
def test_hessians(backend, as_array):
    x = POINT if as_array else POINT.tolist()

    def check(f, expected):
        h = hessian(f, x, backend=backend)
        assert h.shape == (4, 4)
        assert h == pytest.approx(expected, rel=1e-12, abs=1e-12)
        assert h == pytest.approx(h.T, rel=1e-12, abs=1e-12)
        for v in (np.array([1.0, 0.0, 0.0, 0.0]), rng.normal(size=4)):
            product = hvp(f, x, v if as_array else v.tolist(), backend=backend)
            assert product.shape == (4,)
            assert product == pytest.approx(expected @ v, rel=1e-12, abs=1e-12)

    check(rosenbrock, rosenbrock_hessian(POINT))
    symmetric = SQUARE + SQUARE.T
    check(lambda v: sum(v[i] * sum(SQUARE[i, j] * v[j] for j in range(4)) for i in range(4)), symmetric)
    s = np.exp(POINT) / np.exp(POINT).sum()
    check(lambda v: pygrad.logsumexp(list(v)), np.diag(s) - np.outer(s, s))
    check(lambda v: v[0] * 3 - v[2], np.zeros((4, 4)))  # linear
    check(lambda v: v[3] ** 2, np.diag([0.0, 0.0, 0.0, 2.0]))
    if as_array:
        check(lambda v: v @ SQUARE @ v, symmetric)
        check(lambda v: v.logsumexp(), np.diag(s) - np.outer(s, s))
        norm = np.linalg.norm(POINT)
        check(lambda v: v.norm(), np.eye(4) / norm - np.outer(POINT, POINT) / norm**3)
        check(lambda v: (v * v).sum().reshape((1,)), 2 * np.eye(4))  # one number in an array
        check(lambda v: [(v**3).sum()], np.diag(6 * POINT))


def test_hessian_of_a_number_and_of_several_arguments(backend):
    assert hessian(lambda x: x**3, 2.0, backend=backend).tolist() == 12.0
    assert hvp(lambda x: x**3, 2.0, 10, backend=backend).tolist() == 120.0

    def f(s, rows, a):
        return s**2 * rows[0] + (a @ a) * rows[1] * s

    x = (2.0, [3.0, 5.0], np.array([[1.0, 2.0], [3.0, 4.0]])[0])
    blocks = hessian(f, x, backend=backend)
    assert [[b.shape for b in row] for row in blocks] == [[i + j for j in ((), (2,), (2,))] for i in ((), (2,), (2,))]
    assert blocks[0][0].tolist() == 6.0
    assert blocks[0][1].tolist() == [4.0, 5.0]
    assert blocks[0][2].tolist() == [10.0, 20.0]
    assert blocks[1][2].tolist() == [[0.0, 0.0], [4.0, 8.0]]
    assert blocks[2][2].tolist() == [[20.0, 0.0], [0.0, 20.0]]
    assert blocks[1][1].tolist() == [[0.0, 0.0], [0.0, 0.0]]
    for i in range(3):
        for j in range(3):
            assert blocks[i][j].ravel().tolist() == np.transpose(blocks[j][i]).ravel().tolist()
    product = hvp(f, x, (1.0, [2.0, -1.0], [0.5, 3.0]), backend=backend)
    assert [part.tolist() for part in product] == [
        6.0 + 8.0 - 5.0 + 5.0 + 60.0,
        [4.0, 5.0 + 2.0 + 24.0],
        [10.0 - 4.0 + 10.0, 20.0 - 8.0 + 60.0],
    ]


def test_of_matrices(backend):
    x = SQUARE[:3, :3] + 3 * np.eye(3)
    h = hessian(lambda a: (a @ a @ a)[0, 0], x, backend=backend)
    assert h.shape == (3, 3, 3, 3)
    flat = h.reshape(9, 9)
    assert flat == pytest.approx(flat.T, rel=1e-13)
    v = rng.normal(size=(3, 3))
    assert hvp(lambda a: (a @ a @ a)[0, 0], x, v, backend=backend) == pytest.approx((flat @ v.ravel()).reshape(3, 3))


def test_float32_points(backend):
    x = POINT.astype(np.float32)
    assert jacobian(lambda v: v * v, x, backend=backend).dtype == np.float32
    assert hessian(lambda v: (v**3).sum(), x, backend=backend).dtype == np.float32
    assert hvp(lambda v: (v**3).sum(), x, x, backend=backend).dtype == np.float32


def test_backends_agree_bit_for_bit():
    def f(x, w):
        return (w @ x).tanh().softmax().log()[0] * x[1] + x.norm() ** 3

    results = [
        [part.tobytes() for part in (*jacobian(lambda x, w: w @ x.sin(), (POINT, MATRIX), backend=name),
         *hessian(f, (POINT, MATRIX), backend=name)[0], *hvp(f, (POINT, MATRIX), (POINT, MATRIX), backend=name),
         hessian(rosenbrock, POINT.tolist(), backend=name))]
        for name in backends.NAMES
    ]  # fmt: skip
    assert results[0] == results[1] == results[2]


# ---- torch ----


def test_torch(backend):
    torch = pytest.importorskip("torch")
    functional = torch.autograd.functional
    weight = rng.normal(size=(5, 4))

    def network(x, w, t=None):
        hidden = (w @ x).tanh()
        return (hidden**2).sum() * x[0] - (x.exp().sum()).log() + (hidden.softmax(0) if t else hidden.softmax())[1]

    x, w = torch.tensor(POINT), torch.tensor(weight)
    ours = hessian(network, (POINT, weight), backend=backend)
    theirs = functional.hessian(lambda x, w: network(x, w, torch), (x, w))
    for row, their_row in zip(ours, theirs):
        for block, their_block in zip(row, their_row):
            assert block == pytest.approx(their_block.numpy(), rel=1e-11, abs=1e-12)
    v, u = rng.normal(size=4), rng.normal(size=(5, 4))
    ours = hvp(network, (POINT, weight), (v, u), backend=backend)
    _, theirs = functional.hvp(lambda x, w: network(x, w, torch), (x, w), (torch.tensor(v), torch.tensor(u)))
    for part, their_part in zip(ours, theirs):
        assert part == pytest.approx(their_part.numpy(), rel=1e-11, abs=1e-12)

    def vector(x, w):
        return (w @ x).sigmoid() * x[2] ** 2

    ours = jacobian(vector, (POINT, weight), backend=backend)
    for part, their_part in zip(ours, functional.jacobian(vector, (x, w))):
        assert part == pytest.approx(their_part.numpy(), rel=1e-12, abs=1e-13)


# ---- in use ----


def test_newton_finds_the_minimum(backend):
    x = np.array([1.2, 1.1, 1.3, 1.5])
    for _ in range(20):
        x = x - np.linalg.solve(hessian(rosenbrock, x, backend=backend), jacobian(rosenbrock, x, backend=backend))
    assert x == pytest.approx(np.ones(4), abs=1e-10)


def test_a_network_by_its_inputs(backend):
    model = MLP(3, [5, 2], activation="tanh", seed=2, backend=backend)
    for p in model.parameters():
        p.grad = 3.0
    point = [0.5, -0.25, 1.0]
    by_scalars = jacobian(model, point, backend=backend)
    by_array = jacobian(model, np.array(point), backend=backend)
    assert by_scalars.shape == (2, 3)
    assert by_array == pytest.approx(by_scalars, rel=1e-13)
    h = hessian(lambda x: model(x)[0], point, backend=backend)
    v = [1.0, -2.0, 0.5]
    assert hvp(lambda x: model(x)[0], np.array(point), v, backend=backend) == pytest.approx(h @ v, rel=1e-12)
    assert all(p.grad == 3.0 for p in model.parameters())


def test_within_no_grad(backend):
    with no_grad():
        assert jacobian(lambda x: x**2, 3.0, backend=backend).tolist() == 6.0
        assert hessian(lambda x: x**3, 3.0, backend=backend).tolist() == 18.0
        assert hvp(lambda x: x**3, 3.0, 2.0, backend=backend).tolist() == 36.0


def test_of_derivatives(backend):
    """The Jacobian of a gradient is the Hessian, and the Hessian of a directional derivative one more."""
    h = jacobian(lambda x: grad(rosenbrock(x), x, create_graph=True), POINT, backend=backend)
    assert h == pytest.approx(rosenbrock_hessian(POINT), rel=1e-12)
    third = hessian(lambda x: grad(x.exp() * x, x, create_graph=True), 0.5, backend=backend)
    assert third.tolist() == pytest.approx(math.exp(0.5) * 3.5, rel=1e-14)


def test_what_does_not_depend_on_the_point_has_derivative_0(backend, Value):
    constant = Value(3.0)
    assert jacobian(lambda x: [constant, x[0]], [1.0, 2.0], backend=backend).tolist() == [[0.0, 0.0], [1.0, 0.0]]
    assert hessian(lambda x: constant * 2, [1.0, 2.0], backend=backend).tolist() == [[0.0, 0.0], [0.0, 0.0]]
    assert hvp(lambda x: constant * 2, np.ones(2), np.ones(2), backend=backend).tolist() == [0.0, 0.0]


def test_the_function_is_called_once(backend):
    calls = []

    def f(x):
        calls.append(1)
        return (x * x).sum()

    x = np.ones(3)
    jacobian(f, x, backend=backend)
    hessian(f, x, backend=backend)
    hvp(f, x, x, backend=backend)
    assert len(calls) == 3


def test_the_backend_in_use_is_the_default(Value, backend):
    before = pygrad.backend
    pygrad.use(backend)
    try:
        seen = []
        jacobian(lambda x: seen.append(x) or x * 2, 1.0)
        assert isinstance(seen[0], Value)
    finally:
        pygrad.use(before)


# ---- errors ----


@pytest.mark.parametrize("call", [jacobian, hessian, lambda f, x, **options: hvp(f, x, x, **options)])
def test_functions_that_return_no_values(backend, call):
    options = {"backend": backend}
    with pytest.raises(TypeError, match="it returned a plain number: it must compute with the Values it is given"):
        call(lambda x: 3.0, 1.0, **options)
    with pytest.raises(TypeError, match="it returned a plain number: it must compute with the Values"):
        call(lambda x: x.data * 2, 1.0, **options)
    with pytest.raises(TypeError, match="it returned a plain number among list entries: it must"):
        call(lambda x: [x, 1.0], 1.0, **options)
    with pytest.raises(TypeError, match="it returned NoneType: it must compute"):
        call(lambda x: None, 1.0, **options)
    with pytest.raises(TypeError, match="it returned ndarray: it must compute"):
        call(lambda x: x.data, np.ones(2), **options)
    with pytest.raises(TypeError, match="f must be a function of Values, not float"):
        call(2.0, 1.0, **options)
    other = backends.load("python" if backend != "python" else "cffi")(1.0)
    with pytest.raises(TypeError, match="cannot stand in one expression"):
        call(lambda x: other, 1.0, **options)


def test_several_numbers_where_one_is_needed(backend):
    for call in (hessian, lambda f, x, **options: hvp(f, x, x, **options)):
        with pytest.raises(ValueError, match=r"one scalar Value here, not 2 in shape \(2,\): add them up"):
            call(lambda x: [x, x * x], 1.0, backend=backend)
        with pytest.raises(ValueError, match=r"one scalar Value here, not 4 in shape \(2, 2\)"):
            call(lambda x: x * x, np.ones((2, 2)), backend=backend)
        with pytest.raises(ValueError, match=r"one scalar Value here, not 0 in shape \(0,\)"):
            call(lambda x: [], 1.0, backend=backend)


def test_shapes_that_do_not_fit(backend):
    with pytest.raises(ValueError, match=r"f must return Values of one shape, not of \[\(\), \(2,\)\]"):
        jacobian(lambda x: [x, x.sum()], np.ones(2), backend=backend)
    with pytest.raises(ValueError, match=r"hvp: v has shape \(3,\), but x has shape \(2,\)"):
        hvp(lambda x: x.sum(), np.ones(2), np.ones(3), backend=backend)
    with pytest.raises(ValueError, match=r"hvp: v must be a tuple of 2, as x is"):
        hvp(lambda x, y: x * y, (1.0, 2.0), [1.0, 2.0], backend=backend)
    with pytest.raises(ValueError, match=r"hvp: v must be a tuple of 2, as x is"):
        hvp(lambda x, y: x * y, (1.0, 2.0), (1.0,), backend=backend)


def test_points_that_are_no_numbers(backend):
    for x in ("text", None, [1.0, "a"], np.array(["a"]), 1j):
        with pytest.raises(TypeError):
            jacobian(lambda v: v, x, backend=backend)
    with pytest.raises(ValueError, match="rows of this list differ in length"):
        jacobian(lambda v: v, [[1.0], [2.0, 3.0]], backend=backend)
    with pytest.raises(ValueError, match="unknown backend 'rust'"):
        jacobian(lambda v: v, 1.0, backend="rust")
