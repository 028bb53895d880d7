"""copy and pickle: an independent, working copy of a leaf, a graph or a model, and nothing executed on the way."""

from __future__ import annotations

import copy
import os
import pickle
import pickletools
import subprocess
import sys

import pytest

from pygrad import _graph, backends
from pygrad.nn import MLP

from .conftest import bits


def by_pickle(x, protocol=pickle.DEFAULT_PROTOCOL):
    return pickle.loads(pickle.dumps(x, protocol))  # our own


COPIES = [copy.deepcopy, by_pickle, lambda x: by_pickle(x, 0), lambda x: by_pickle(x, 2), lambda x: by_pickle(x, 5)]


@pytest.fixture(params=COPIES, ids=["deepcopy", "pickle", "pickle0", "pickle2", "pickle5"])
def copied(request):
    return request.param


def everything(v):
    return [(x._op, bits(x.data), bits(x.grad), x.label) for x in _graph.topological_order(v)]


def test_a_leaf(Value, copied):
    v = Value(2.5, label="w")
    v.grad = -0.0
    w = copied(v)
    assert w is not v
    assert type(w) is Value
    assert everything(w) == everything(v)
    w.data = 1.0
    assert v.data == 2.5


def test_a_graph_with_every_kind_of_node(Value, copied):
    a, b = Value(0.3, label="a"), Value(-1.7)
    c = (a * b + 2) ** 3 - a.leaky_relu(0.2) / b.elu(0.7)
    d = Value.dot([a, b, c], [c, 1.0, a], b).abs().maximum(Value.sum([a, b, 0.5])) ** b.sigmoid()
    d.label = "root"
    u = Value(1.0, (d, a), "mine")
    u.backward()
    a.data = 0.35  # the copy keeps what was computed before
    w = copied(u)
    assert everything(w) == everything(u)
    assert w._op == "mine"
    left = w.operands[1]
    assert left.label == "a"
    u.backward()
    w.backward()
    assert everything(w) == everything(u)
    assert left is not a


def test_shared_nodes_stay_shared(Value, copied):
    a = Value(2.0)
    b = a * a
    c = b + a
    a2, b2, c2, again = copied([a, b, c, c])
    assert c2 is again
    assert c2.operands == (b2, a2)
    assert b2.operands == (a2, a2)
    c2.backward()
    assert (a2.grad, a.grad) == (5.0, 0.0)


def test_a_model(backend, copied):
    model = MLP(2, [4, 1], backend=backend)
    twin = copied(model)
    for m in (model, twin):
        m([0.5, -1.0]).backward()
    assert [bits(p.grad) for p in twin.parameters()] == [bits(p.grad) for p in model.parameters()]
    assert repr(twin) == repr(model)
    twin.layers[0].neurons[0].w[0].data += 1
    assert twin.layers[0].neurons[0].w[0].data != model.layers[0].neurons[0].w[0].data


def test_long_chains_need_no_recursion(Value, copied):
    a = Value(1.0)
    x = a
    for _ in range(20_000):
        x = x + a
    y = copied(x)
    y.backward()
    assert y.data == 20_001.0
    assert a.grad == 0.0


def test_a_shallow_copy_shares_its_operands(Value):
    a = Value(2.0)
    b = a**2
    c = copy.copy(b)
    assert c is not b
    assert c.operands == (a,)
    assert (c._op, c.data) == ("**2", 4.0)
    c.backward()
    assert a.grad == 4.0


def test_many_roots_of_one_graph_take_no_more_than_their_size(Value):
    values = [Value(1.0)]
    for _ in range(2000):
        values.append(values[-1] + 1)
    assert len(pickle.dumps(values)) < 400 * len(values)


def test_a_closure_cannot_be_copied(Value):
    v = Value(1.0, (Value(2.0),), "mine")
    v._backward = lambda: None
    for copied in (copy.copy, copy.deepcopy, by_pickle):
        with pytest.raises(TypeError, match="user-defined op 'mine' has a Python closure"):
            copied(v)
    with pytest.raises(TypeError, match="closure"):
        copy.deepcopy(v * 2)


def test_copies_of_subclass_instances_are_plain(Value):
    class Mine(Value):
        pass

    assert type(copy.deepcopy(Mine(2.0))) is Value


def test_a_pickle_names_nothing_but_pygrads_own_functions(Value):
    a = Value(1.0, label="os.system")
    data = pickle.dumps(((a * 2).tanh() + Value(3.0, (a,), "eval")) ** 2, protocol=4)
    strings = [arg for op, arg, _ in pickletools.genops(data) if op.name.endswith("UNICODE")]
    modules = {s for s in strings if s.startswith("pygrad")}
    assert modules == {"pygrad._graph"}
    assert data.count(b"\x93") <= 2  # STACK_GLOBAL: _rebuild and _loaded


GOOD = {
    "backend": "python", "operands": (), "name": "leaf", "constant": 0.0, "data": 1.0, "grad": 0.0, "symbol": "",
    "label": "",
}  # fmt: skip


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"name": "system"}, "names the op 'system'"),
        ({"name": "const"}, "names the op 'const'"),
        ({"name": "free"}, "names the op 'free'"),
        ({"name": "add"}, "gives the op 'add' 0 operands"),
        ({"name": 3}, "wrong types"),
        ({"backend": "os"}, "unknown backend 'os'"),
        ({"operands": ("x",)}, "gives the op 'leaf' 1 operands"),
        ({"operands": ("x",), "name": "neg"}, "not a Value"),
        ({"operands": [], "name": "sum"}, "wrong types"),
        ({"data": "x"}, "neither a float nor an array"),
        ({"grad": "x"}, "wrong types"),
        ({"constant": None}, "wrong types"),
        ({"label": None}, "wrong types"),
    ],
)
def test_a_hostile_pickle_is_an_error(backend, wrong, message):
    fields = {**GOOD, "backend": backend, **wrong}
    with pytest.raises(ValueError, match=message):
        _graph._rebuild((), *fields.values())


def test_a_pickle_is_read_by_another_process(backend, tmp_path):
    a = backends.load(backend)(3.0, label="a")
    file = tmp_path / "graph.pickle"
    file.write_bytes(pickle.dumps(a * a + 1))
    code = (
        f"import pathlib, pickle; v = pickle.loads(pathlib.Path({str(file)!r}).read_bytes()); "
        "v.backward(); print(v, v.operands[0].operands[0].grad)"
    )
    environment = {**os.environ, "PYGRAD_BACKEND": "python"}
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert out.stdout == "Value(data=10.0, grad=1.0) 6.0\n"
