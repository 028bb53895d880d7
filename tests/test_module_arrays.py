"""Array Values as the parameters of modules: found, named, counted and shown, their state, and what keeps copies of it.

How modules are searched at all is test_module.py's subject.
"""

from __future__ import annotations

import numpy as np
import pytest

from pygrad.callbacks import EarlyStopping, Run
from pygrad.history import History
from pygrad.nn import MLP, Module
from pygrad.optim import SGD

from .test_module import Box, Own


def net(Value):
    """Array Values in attributes, lists, dicts and NumPy arrays of objects, beside scalars."""
    nine = Value(np.full((2, 2), 9.0))
    objects = np.empty(2, dtype=object)
    objects[0], objects[1] = Value([8.0]), Value(10.0)
    return Box(
        w=Value(np.arange(6.0).reshape(2, 3)),
        b=Value(np.array([6.0, 7.0], dtype=np.float32)),
        objects=objects,
        more=[nine, [Value(11.0), Value(12.0)], nine],
        table={"key": Value(np.zeros((0, 4)))},
        scalars=[[Value(13.0)], [Value(14.0)]],
        computed=nine * 2.0,
        plain=np.zeros((3, 3)),
        _private=Value([1.0]),
    )


NAMES = [
    "w", "b", "objects.0", "objects.1", "more.0", "more.1.0", "more.1.1", "table.key", "scalars.0.0", "scalars.1.0",
]  # fmt: skip


def test_names(Value):
    model = net(Value)
    assert [name for name, _ in model.named_parameters()] == NAMES
    assert [p for _, p in model.named_parameters()] == model.parameters()
    assert [np.shape(p.data) for p in model.parameters()][:5] == [(2, 3), (2,), (1,), (), (2, 2)]
    assert len(SGD(model).parameters) == len(NAMES)


def test_zero_grad(Value):
    model = net(Value)
    for p in model.parameters():
        p.grad = np.ones(np.shape(p.data)) if np.ndim(p.data) else 1.0
    model.zero_grad()
    assert not any(np.any(p.grad) for p in model.parameters())


def test_state(Value):
    model = net(Value)
    state = model.state_dict()
    found = {name: (array.dtype.name, array.shape) for name, array in state.items()}
    assert found == {
        "w": ("float64", (2, 3)), "b": ("float32", (2,)), "objects.0": ("float64", (1,)), "objects.1": ("float64", ()),
        "more.0": ("float64", (2, 2)), "more.1": ("float64", (2,)), "table.key": ("float64", (0, 4)),
        "scalars": ("float64", (2, 1)),
    }  # fmt: skip
    assert state["w"].tolist() == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
    state["w"][:] = 5.0
    assert model.w.data.tolist() == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]], "a state is a copy"


def test_loading_a_state(Value):
    model, twin = net(Value), net(Value)
    held = {name: p.data for name, p in model.named_parameters()}
    for p in twin.parameters():
        p.data = p.data + 0.5
    state = twin.state_dict()
    model.load_state_dict({**state, "w": state["w"].tolist(), "b": [1, 2]})
    for name, p in model.named_parameters():
        if name != "b":
            assert np.array_equal(p.data, dict(twin.named_parameters())[name].data), name
        if np.ndim(p.data):
            assert p.data is held[name], "in place, so that those who hold the array see it"
            assert p.data.dtype == (np.float32 if name == "b" else np.float64)
    assert model.b.data.tolist() == [1.0, 2.0]
    state["w"][:] = 7.0
    assert model.w.data.max() == 5.5, "nothing of the state is kept"
    model.w.data = np.broadcast_to(1.0, (2, 3))  # cannot be written
    model.load_state_dict(state)
    assert model.w.data.tolist() == [[7.0] * 3] * 2


def test_a_state_of_the_very_arrays(Value):
    """All of it is read before anything is set."""
    model = Box(a=Value([1.0, 2.0]), b=Value([3.0, 4.0]))
    model.load_state_dict({"a": model.b.data, "b": model.a.data[::-1]})
    assert (model.a.data.tolist(), model.b.data.tolist()) == ([3.0, 4.0], [2.0, 1.0])


def test_states_that_do_not_fit(Value):
    model = net(Value)
    good = model.state_dict()
    wrong = [
        ({"w": np.zeros((3, 2))}, ValueError, r"w must have shape \(2, 3\), not \(3, 2\)"),
        ({"w": np.zeros(6)}, ValueError, r"w must have shape \(2, 3\), not \(6,\)"),
        ({"w": 1.0}, ValueError, r"w must have shape \(2, 3\), not \(\)"),
        ({"w": [[1, 2, 3], [4]]}, ValueError, r"w must have shape \(2, 3\), but its rows differ in length"),
        ({"table.key": np.zeros((4, 0))}, ValueError, r"table.key must have shape \(0, 4\), not \(4, 0\)"),
        ({"more.0": [["a", "b"]] * 2}, TypeError, "more.0 must be numbers, not an array of <U1"),
        ({"more.0": np.zeros((2, 2), dtype=complex)}, TypeError, "more.0 must be numbers, not an array of complex128"),
        ({"extra": 1.0}, KeyError, "not known: extra"),
    ]
    for changes, error, message in wrong:
        with pytest.raises(error, match=message):
            model.load_state_dict({**{name: array + 1 for name, array in good.items()}, **changes})
        assert all(np.array_equal(array, good[name]) for name, array in model.state_dict().items())
    with pytest.raises(KeyError, match="missing: w"):
        model.load_state_dict({name: array for name, array in good.items() if name != "w"})


def test_a_class_that_defines_parameters_itself(Value):
    a, b, c = Value([1.0, 2.0]), Value([[3.0]]), Value(4.0)
    own = Own([a], [b, c], Value([5.0]))
    assert own.named_parameters() == [("shown.0", a), ("parameters.1", b), ("parameters.2", c)]
    expected = {"shown.0": [1.0, 2.0], "parameters": [4.0], "parameters.1": [[3.0]]}
    assert {name: x.tolist() for name, x in own.state_dict().items()} == expected
    own.load_state_dict({"shown.0": [6, 7], "parameters": [8], "parameters.1": [[9]]})
    assert (a.data.tolist(), b.data.tolist(), c.data) == ([6.0, 7.0], [[9.0]], 8.0)


def test_summary(Value):
    assert net(Value).summary().splitlines() == [
        "         Box                    parameters",
        "------------------------------------------",
        "w        Value (2, 3)                    6",
        "b        Value of float32 (2,)           2",
        "objects  Values (1,), ()                 2",
        "more     Values (2, 2), (), ()           6",
        "table    Values (0, 4)                   0",
        "scalars  Values (2, 1)                   2",
        "------------------------------------------",
        "total                                   18",
    ]
    many = Box(ws=[Value(np.zeros((n, 1000))) for n in range(1, 6)], inner=Box(w=Value(np.zeros((30, 100)))))
    rows = many.summary().splitlines()
    assert rows[2] == "ws     Values (1, 1000), (2, 1000), (3, 1000), ...      15,000"
    assert rows[3].split() == ["inner", "Box", "3,000"]
    assert rows[-1].split() == ["total", "18,000"]


def test_an_array_in_a_network_of_scalars(backend, Value):
    """It is found, zeroed and saved, whatever comes of computing with it."""
    model = MLP(2, [1], backend=backend)
    weight = model.layers[0].neurons[0].w[0] = Value([1.0, 2.0])
    weight.grad = [3.0, 4.0]
    model.zero_grad()
    assert weight.grad.tolist() == [0.0, 0.0]
    assert [np.shape(p.data) for p in model.parameters()] == [(2,), (), ()]
    assert model.state_dict()["layers.0.neurons.0.w.0"].tolist() == [1.0, 2.0]
    assert model.summary().splitlines()[-1].split() == ["total", "4"]


class Line(Module):
    def __init__(self, Value):
        self.w, self.b = Value(np.zeros(2)), Value(0.0)

    def __call__(self, x):
        return (self.w * np.array(x, dtype=np.float64)).sum() + self.b


def test_early_stopping_puts_arrays_back(Value):
    """The best epoch's numbers, although steps move arrays in place afterwards."""
    model, history = Line(Value), History()
    optimizer = SGD(model, lr=1.0)
    run = Run(model, optimizer, history, 5, 0)
    stopping = EarlyStopping(patience=9, metric="loss")
    stopping.on_train_begin(run)
    for epoch, loss in enumerate([3.0, 1.0, 2.0, 4.0], 1):
        model.w.grad, model.b.grad = np.array([1.0, 2.0]), 1.0
        optimizer.step()
        history.append({"loss": loss, "seconds": 0.0, "learning_rate": 1.0})
        run.epoch = epoch
        stopping.on_epoch_end(run)
    held = model.w.data
    for _ in range(2):  # what was put back is no part of what is kept
        stopping.on_train_end(run)
        assert (model.w.data.tolist(), model.b.data) == ([-2.0, -4.0], -2.0)
        model.w.grad = np.ones(2)
        optimizer.step()
    assert model.w.data is held
