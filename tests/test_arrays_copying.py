"""copy and pickle of array Values: every rule, graphs mixed with scalars, gradients as they are kept, damaged pickles.

A copy is compared with its original field by field, bit for bit, and then by what backward() makes of both.
"""

from __future__ import annotations

import copy
import os
import pickle
import pickletools
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pygrad
from pygrad import _arrays, _graph, backends
from pygrad.array_rules import RULES
from pygrad.nn import MLP

from .conftest import bits
from .test_array_rules import CASES
from .test_copying import GOOD, by_pickle, copied

assert copied  # a fixture


def exactly(x):
    """A number or an array, down to its bits."""
    if x is None or isinstance(x, float):
        return x if x is None else bits(x)
    return x.dtype.str, x.shape, x.tobytes()


def everything(v):
    order = _graph.topological_order(v)
    place = {id(x): i for i, x in enumerate(order)}
    return [
        (x._op, x.label, exactly(x.data), exactly(x._raw_grad), [place[id(y)] for y in x.operands]) for x in order
    ]


def arrays_of(v):
    """Every array that the graph holds as data, or as a gradient."""
    kept = [array for x in _graph.topological_order(v) for array in (x.data, x._raw_grad)]
    return [array for array in kept if isinstance(array, np.ndarray)]


def assert_independent(v, w):
    for a in arrays_of(v):
        assert a.flags.writeable or a.base is not None
        assert not any(np.may_share_memory(a, b) for b in arrays_of(w) if a.size and b.size)


def assert_a_copy(w, v):
    """w equals v in all it holds, shares nothing with it, and has the same gradients after backward()."""
    assert everything(w) == everything(v)
    assert_independent(v, w)
    assert all(array.flags.writeable for array in arrays_of(w))
    v.backward()
    w.backward()
    assert everything(w) == everything(v)


# ---- copies ----


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_leaf(Value, copied, dtype):
    v = Value(np.array([[1.5, -0.0], [np.nan, 2.0]], dtype), label="w")
    for grad in (None, np.zeros((2, 2), dtype), np.array([[1, 2], [3, -0.0]], dtype)):
        if grad is not None:
            v.grad = grad
        w = copied(v)
        assert type(w) is Value
        assert everything(w) == everything(v)
        assert_independent(v, w)
        w.data[0, 0] = 7
        w.grad[0, 0] = 7
        assert v.data[0, 0] == 1.5
        assert v.grad[0, 0] == (0 if grad is None else grad[0, 0])


@pytest.mark.parametrize("shape", [(0,), (3, 0), (1, 1, 1), (2, 1, 3)], ids=str)
def test_shapes(Value, copied, shape):
    v = Value(np.arange(float(np.prod(shape))).reshape(shape))
    assert_a_copy(copied(v * 2.0 + 1.0), v * 2.0 + 1.0)


def test_every_rule(Value, copied):
    met = set()
    for name, operands, options, _ in CASES:
        nodes = [Value(x) for x in operands]
        v = _arrays.apply(name, nodes, options)
        v.label = name
        w = copied(v)
        assert w._op == RULES[name].symbol or name == "pow_const"
        assert w._record[0] is v._record[0]
        assert_a_copy(w, v)
        met.add(name)
    assert met == set(RULES)


def mixed(Value):
    """Scalars, arrays of both dtypes, constants, a user-defined op, a result that is used twice."""
    a, b = Value([1.0, 2.0, 3.0], label="a"), Value(0.5, label="b")
    narrow = Value(np.ones(3, np.float32))
    c = (a * b + np.array([1.0, 0.0, -1.0])).tanh() ** 2 - narrow
    u = Value([1.0, 2.0], (c, b), "mine", label="u")
    total = (c * c).sum() * b.exp() + pygrad.concatenate([c, u])[1:4].max() + Value.sum([b, b, 1.0])
    total.label = "total"
    return total


def test_a_graph_of_scalars_and_arrays(Value, copied):
    v = mixed(Value)
    v.backward()
    v.operands[0].operands[0].operands[0].data *= 1.5  # the copy keeps what was computed before
    w = copied(v)
    assert [x.label for x in _graph.topological_order(w) if x.label] == ["a", "b", "u", "total"]
    assert_a_copy(w, v)


def test_constants_stay_without_a_gradient(Value, copied):
    x, constant = Value([1.0, 2.0]), np.array([3.0, 4.0])
    y = copied(x * constant)
    y.backward()
    assert y.operands[0].grad.tolist() == [3.0, 4.0]
    assert y.operands[1]._raw_grad is None


def test_shared_nodes_stay_shared(Value, copied):
    a = Value([2.0, 3.0])
    b = a * a
    c = b + a
    a2, b2, c2, again = copied([a, b, c, c])
    assert c2 is again
    assert c2.operands == (b2, a2)
    c2.backward()
    assert a2.grad.tolist() == [5.0, 7.0]
    assert a._raw_grad is None


def test_values_that_share_an_array_get_one_each(Value, copied):
    array = np.ones(3)
    a, b = Value([0.0] * 3), Value([0.0] * 3)
    a.data = b.data = array
    c = a.reshape(3, 1)
    total = (a + b + c).sum()
    total.backward()  # and operands that share a gradient's array
    w = copied(total)
    assert everything(w) == everything(total)
    held = [array for array in arrays_of(w) if array.size]
    assert not any(np.may_share_memory(x, y) for i, x in enumerate(held) for y in held[:i])


def test_a_copy_made_within_no_grad_keeps_its_graph(Value, copied):
    v = (Value([1.0, 2.0]) * Value(3.0)).sum() * Value(2.0)
    with pygrad.no_grad():
        w = copied(v)
    assert_a_copy(w, v)


def test_a_shallow_copy_shares_its_operands_but_no_array(Value):
    a = Value([1.0, 2.0])
    b = a * 2.0
    b.backward()
    c = copy.copy(b)
    assert c.operands == b.operands
    assert (c._op, exactly(c.data), exactly(c._raw_grad)) == ("*", exactly(b.data), exactly(b._raw_grad))
    c.data[0], c.grad[0] = 9.0, 9.0
    assert (b.data.tolist(), b.grad.tolist()) == ([2.0, 4.0], [1.0, 1.0])
    c.backward()
    assert a.grad.tolist() == [4.0, 4.0]


def test_options_are_copied(Value):
    key = np.array([0, 1, 1])
    v = _arrays.apply("index", (Value([1.0, 2.0]),), (key,))
    w = copy.deepcopy(v)
    key[:] = 0
    w.backward()
    assert w.operands[0].grad.tolist() == [1.0, 2.0]


def test_fortran_order_is_kept(Value, copied):
    v = Value([[1.0, 2.0], [3.0, 4.0]]).T
    assert v.data.flags.f_contiguous
    assert copied(v).data.strides == v.data.strides


def test_a_batch_through_a_model(backend, copied):
    model = MLP(3, [4, 2], activation="tanh", backend=backend)
    loss = (model(np.linspace(-1.0, 1.0, 15).reshape(5, 3)) ** 2).mean()
    assert_a_copy(copied(loss), loss)


def test_long_chains_need_no_recursion(Value, copied):
    a = Value([1.0, 2.0])
    x = a
    for _ in range(20_000):
        x = x + a
    y = copied(x)
    y.backward()
    assert y.data.tolist() == [20_001.0, 40_002.0]
    assert a._raw_grad is None


def test_a_closure_cannot_be_copied(Value):
    a = Value([1.0, 2.0])
    user, computed = Value([1.0], (a,), "mine"), a * 2.0
    for v, op in ((user, "mine"), (computed, "\\*")):
        v._backward = lambda: None
        for way in (copy.copy, copy.deepcopy, by_pickle):
            with pytest.raises(TypeError, match=f"user-defined op '{op}' has a Python closure"):
                way(v)
        del v._backward
        assert everything(by_pickle(v)) == everything(v)


def test_copies_of_subclass_instances_are_plain(Value):
    class Mine(Value):
        pass

    v = copy.deepcopy(Mine([1.0, 2.0]) * 2.0)
    assert type(v.operands[0]) is Value


# ---- pickles ----


def test_a_pickle_names_nothing_but_pygrads_own_functions_and_numpys_array(Value):
    data = pickle.dumps(mixed(Value), protocol=4)
    strings = {arg for op, arg, _ in pickletools.genops(data) if op.name.endswith("UNICODE")}
    assert {s for s in strings if s.startswith("pygrad")} == {"pygrad._graph"}
    foreign = {s for s in strings if s.startswith(("numpy", "builtins", "copyreg", "_"))}
    assert foreign <= {
        "numpy", "numpy.core.multiarray", "numpy._core.multiarray", "numpy.core.numeric", "numpy._core.numeric",
        "_reconstruct", "_frombuffer", "_rebuild", "_loaded", "builtins",
    }  # fmt: skip


def test_a_pickle_is_read_by_another_process(backend, tmp_path):
    a = backends.load(backend)([1.0, 2.0], label="a")
    file = tmp_path / "graph.pickle"
    file.write_bytes(pickle.dumps((a * a)[np.array([0, 1, 1])].sum()))
    code = (
        f"import pathlib, pickle; v = pickle.loads(pathlib.Path({str(file)!r}).read_bytes()); "
        "v.backward(); print(v, v.operands[0].operands[0].operands[0].grad)"
    )
    environment = {**os.environ, "PYGRAD_BACKEND": "python"}
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert out.stdout == "Value(data=9.0, grad=1.0) [2. 8.]\n"


def test_arrays_out_of_band(Value):
    """Protocol 5 hands over buffers, which may be read-only: the Value's arrays are its own."""
    v = Value(np.arange(1000.0)) * 2.0
    buffers: list[pickle.PickleBuffer] = []
    data = pickle.dumps(v, 5, buffer_callback=buffers.append)
    assert len(data) < 2000
    w = pickle.loads(data, buffers=[bytes(b.raw()) for b in buffers])
    assert_a_copy(w, v)


class Nasty:
    """What a pickle might bring along."""

    def __getattr__(self, name):
        raise AssertionError(f"{name} was looked up")

    def __call__(self, *args):
        raise AssertionError("called")

    def __float__(self):
        raise AssertionError("converted")


NASTY = object.__new__(Nasty)
SUM = ((None, False), (True,))
cyclic: list[object] = []
cyclic.append(cyclic)
nested: tuple[object, ...] = ()
for _ in range(60):
    nested = (nested, nested)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"data": np.array(1.0)}, "neither a float nor an array"),
        ({"data": np.arange(3)}, "neither a float nor an array"),
        ({"data": np.ones(3, np.float16)}, "neither a float nor an array"),
        ({"data": np.ones(3, np.complex128)}, "neither a float nor an array"),
        ({"data": np.array([None])}, "neither a float nor an array"),
        ({"data": np.ma.masked_array([1.0])}, "neither a float nor an array"),
        ({"data": np.ones(2).view(np.recarray)}, "neither a float nor an array"),
        ({"data": np.float64(1.0)}, "neither a float nor an array"),
        ({"data": [1.0]}, "neither a float nor an array"),
        ({"data": NASTY}, "neither a float nor an array"),
        ({"data": np.ones(3), "grad": 0.0}, "neither a float nor an array"),
        ({"data": np.ones(3), "grad": NASTY}, "neither a float nor an array"),
        ({"data": np.ones(3), "grad": np.ones(2)}, r"shape \(3,\) a gradient of float64 and shape \(2,\)"),
        ({"data": np.ones(3), "grad": np.ones(3, np.float32)}, "a gradient of float32"),
        ({"grad": None}, "wrong types"),
        ({"grad": np.ones(3)}, "wrong types"),
        ({"data": np.ones(3), "grad": None, "name": "sum"}, "op 'sum' of scalars an array"),
        ({"operands": "arrays", "name": "add"}, "op 'add' of scalars an array"),
        ({"operands": "arrays", "name": "logsumexp"}, "op 'logsumexp' of scalars an array"),
        ({"operands": "arrays", "name": "system", "rule": (None, (True, True))}, "names the op 'system' of arrays"),
        ({"operands": "arrays", "name": "leaf", "rule": (None, (True, True))}, "names the op 'leaf' of arrays"),
        ({"operands": "arrays", "name": "user", "rule": (None, (True, True))}, "names the op 'user' of arrays"),
        ({"operands": "arrays", "name": "exp", "rule": (None, (True, True))}, "gives the op 'exp' 2 operands"),
        ({"name": "add", "rule": (None, ())}, "gives the op 'add' 0 operands"),
        ({"name": "stack", "rule": (0, ())}, "gives the op 'stack' 0 operands"),
        ({"operands": "arrays", "name": "add", "rule": (None, (True,))}, "whether it wants a gradient"),
        ({"operands": "arrays", "name": "add", "rule": (None, (True, 1))}, "whether it wants a gradient"),
        ({"operands": "arrays", "name": "add", "rule": (None, NASTY)}, "wrong types"),
        ({"operands": "arrays", "name": "add", "rule": NASTY}, "wrong types"),
        ({"operands": "arrays", "name": "add", "rule": (None,)}, "wrong types"),
        ({"operands": (1, 2), "name": "add", "rule": (None, (True, True))}, "not a Value of the same backend"),
        ({"operands": "one", "name": "sum", "rule": (NASTY, (True,))}, "an option of type Nasty"),
        ({"operands": "one", "name": "index", "rule": ((0, (slice(NASTY),)), (True,))}, "an option of type Nasty"),
        ({"operands": "one", "name": "index", "rule": (np.array([None]), (True,))}, "an option of type ndarray"),
        ({"operands": "one", "name": "index", "rule": (len, (True,))}, "an option of type builtin_function"),
        ({"operands": "one", "name": "index", "rule": (cyclic, (True,))}, "more than 100,000 options"),
        ({"operands": "one", "name": "index", "rule": (nested, (True,))}, "more than 100,000 options"),
    ],
)
def test_a_hostile_pickle_is_an_error(backend, wrong, message):
    V = backends.load(backend)
    fields = {**GOOD, "backend": backend, **wrong}
    several = {"arrays": (V([1.0, 2.0]), V([3.0, 4.0])), "one": (V([1.0, 2.0]),)}
    if isinstance(fields["operands"], str):
        fields["operands"] = several[fields["operands"]]
    with pytest.raises(ValueError, match=message):
        _graph._rebuild((), *fields.values())


def test_operands_of_another_backend_are_refused(backend):
    other = backends.load("python" if backend != "python" else "cffi")
    fields = {**GOOD, "backend": backend, "operands": (other([1.0]),), "name": "sum", "rule": SUM}
    with pytest.raises(ValueError, match="not a Value of the same backend"):
        _graph._rebuild((), *fields.values())


def test_data_of_another_machine(Value):
    """Bytes in the other order become this machine's."""
    fields = {**GOOD, "backend": Value._pygrad_backend, "data": np.array([1.0, 2.0], ">f4"), "grad": None}
    v = _graph._rebuild((), *fields.values())
    assert (v.data.dtype, v.data.tolist()) == (np.dtype(np.float32), [1.0, 2.0])
    assert v.data.dtype.isnative


SINGLE = st.sampled_from([None, True, False, Ellipsis, "", "ij", 0, 1, -1, 2, 3, 0.5, -2.0, np.nan])
SLICES = st.builds(slice, *[st.one_of(st.none(), st.integers(-3, 3))] * 3)
KEYS = st.lists(st.integers(-3, 3), max_size=3).map(np.array)
OPTIONS = st.recursive(
    st.one_of(SINGLE, SLICES, KEYS, st.sampled_from(["i,j->ij", "ij->", ",->", "ij,jk->ik"])),
    lambda inner: st.lists(inner, max_size=3).map(tuple),
    max_leaves=5,
)
SHAPES = st.lists(st.integers(0, 3), max_size=3).map(tuple)
ARITHMETIC = (ValueError, TypeError, IndexError, KeyError, AttributeError, ArithmeticError, RuntimeError)


@given(
    st.sampled_from(sorted(RULES)), st.lists(SHAPES, min_size=1, max_size=3), SHAPES, OPTIONS, st.booleans(),
    st.sampled_from(backends.NAMES),
)  # fmt: skip
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_what_does_not_fit_together_is_an_error_at_most(name, operands, shape, options, wanted, backend):
    """Any rule with any operands, result and options: its derivative may fail, but then nothing has changed."""
    V = backends.load(backend)
    rule = RULES[name]
    if rule.arity > 0:
        operands = (operands * rule.arity)[: rule.arity]
    xs = tuple(V(np.ones(s) if s else 1.0) for s in operands)
    kind = _graph._kind(name)
    options = 1.5 if kind == "constant" else options
    fields = {
        **GOOD, "backend": backend, "operands": xs, "name": name, "constant": 1.5,
        "data": np.ones(shape) if shape else 1.0, "grad": None if shape else 0.0,
        "rule": (options, (wanted,) * len(xs)),
    }  # fmt: skip
    z = _graph._rebuild((), *fields.values())
    root = z * 2.0
    before = everything(root)
    for run in (root.backward, z._backward, z.backward):
        try:
            run()
        except ARITHMETIC:
            assert run == z._backward or everything(root) == before
        before = everything(root)
    assert repr(z)
    assert z._op == RULES[name].symbol or kind == "constant"
    assert everything(copy.deepcopy(root)) == everything(root)
    assert everything(by_pickle(root)) == everything(root)
