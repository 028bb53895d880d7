"""What networks keep prepared: that every change is noticed, whenever it happens, and that nothing outlives its use.

Changes here come from odd places: finalizers, threads, classes of the user's own. In test_layers.py: the numbers of
prepared layers, and lists of inputs of every kind.
"""

from __future__ import annotations

import abc
import contextlib
import copy
import gc
import os
import pickle
import random
import subprocess
import sys
import threading
import weakref

import pytest

from pygrad._prepared import changed
from pygrad.nn import MLP, Layer, Neuron

from .conftest import bits

X = [0.5, -1.25]


def one_by_one(model, x=X):
    """What the neurons give, without what any layer or network keeps."""
    for layer in model.layers:
        x = [n(x) for n in layer.neurons]
    return [bits(v.data) for v in x]


def check(model, x=X):
    out = model(x)
    assert [bits(v.data) for v in (out if isinstance(out, list) else [out])] == one_by_one(model, x)
    listed = [p for layer in model.layers for n in layer.neurons for p in [*n.w, n.b]]
    assert [id(p) for p in model.parameters()] == [id(p) for p in listed]


@pytest.fixture(autouse=True)
def _quick_collections():
    """The collector, which runs often here, passes over what was there before the test."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def model(backend):
    model = MLP(2, [3, 3, 2], activation="tanh", bias_init="uniform", seed=1, backend=backend)
    check(model)
    return model


class Finalizer:
    """Runs a function when the collector takes it away, for which it waits."""

    def __init__(self, function):
        self.function, self.me = function, self

    def __del__(self):
        self.function()


class Frequently:
    """The collector at work after every few new objects."""

    def __init__(self, every):
        self.every = every

    def __enter__(self):
        self.before = gc.get_threshold()
        gc.set_threshold(self.every, 1, 1)

    def __exit__(self, *_):
        gc.set_threshold(*self.before)


# ---- changes are noticed ----


class Bag(list):
    """A list whose changes nobody hears of."""


def test_a_list_of_ones_own(model, Value, backend):
    """Its changes are not noticed, so nothing is prepared from it; and it stays the very list."""
    for kind in (list, Bag):
        model.layers = layers = kind(model.layers)
        check(model)
        layers[2] = Layer(3, 2, seed=9, backend=backend)
        check(model)
        model.layers[0].neurons = neurons = kind(model.layers[0].neurons)
        check(model)
        neurons[0] = Neuron(2, seed=8, backend=backend)
        check(model)
        neurons[0].w = w = kind(neurons[0].w)
        check(model)
        w[0] = Value(7.0)
        check(model)
        assert model.layers is layers
        assert layers[0].neurons is neurons
        assert neurons[0].w is w


def test_an_attribute_of_ones_own(backend):
    class Logged(MLP):
        def __init__(self, log):
            super().__init__(2, [2, 1], seed=1, backend=backend)
            self.log, self.calls = log, 0

        def __call__(self, x):
            self.calls += 1
            self.log.append(self.calls)
            return super().__call__(x)

    log = []
    model = Logged(log)
    model(X)
    compute = model._compute
    check(model)
    assert log == [1, 2]
    assert model._compute is compute, "what nobody reads is no reason to prepare again"


def test_weights_that_are_computed_anew(Value, backend):
    class Doubled(Neuron):
        @property
        def w(self):
            return tuple(2 * v for v in self.raw)

        @w.setter
        def w(self, weights):
            self.raw = list(weights)

    class Reversed(Layer):
        @property
        def neurons(self):
            return tuple(self.kept[::-1])

        @neurons.setter
        def neurons(self, neurons):
            self.kept = neurons

    class Swapped(MLP):
        @property
        def layers(self):
            return tuple(self.kept)

        @layers.setter
        def layers(self, layers):
            self.kept = list(layers)

    model = Swapped(2, [2, 1], backend=backend)
    for layer in (Layer(2, 1, backend=backend), Reversed(2, 2, backend=backend)):
        neurons = [Doubled(2, activation="tanh", seed=i, backend=backend) for i in range(len(layer.neurons))]
        layer.neurons = neurons
        last = Layer(len(layer.neurons), 1, activation="tanh", backend=backend)
        model.kept[:] = [layer, last]
        for _ in range(2):
            out = model(X)
            assert [bits(out.data)] == one_by_one(model)
            layer.neurons[0].raw[0].data += 1.0
        layer.neurons[0].raw[1] = Value(3.0)
        assert [bits(model(X).data)] == one_by_one(model)
    model.kept.reverse()
    with pytest.raises(ValueError, match=r"takes 2 inputs, but got 1|takes 1 inputs, but got 2"):
        model(X if len(model.layers[0].neurons[0].w) == 1 else [1.0])


def test_a_network_that_is_an_abstract_base_class(backend):
    class Base(MLP, abc.ABC):
        @abc.abstractmethod
        def loss(self): ...

    class Network(Base):
        def loss(self):
            return self(X)

    with pytest.raises(TypeError, match="abstract"):
        Base(2, [2, 1], backend=backend)
    model = Network(2, [2, 1], activation="tanh", seed=1, backend=backend)
    assert [bits(model.loss().data)] == one_by_one(model)
    Network.__call__ = lambda self, x: 2.0
    assert model.loss() == 2.0


@pytest.mark.parametrize("hashable", [False, True])
def test_networks_that_are_equal(Value, backend, hashable):
    class Equal(MLP):
        def __eq__(self, other):
            return True

        __hash__ = (lambda self: 1) if hashable else None

    models = [Equal(2, [2, 1], seed=1, backend=backend) for _ in range(3)]
    for m in models:
        m(X)
        m.zero_grad()
    for m in models:
        m.layers[1].neurons[0].b = Value(100.0)
        check(m)


def test_another_method_in_the_class(model, monkeypatch):
    before = one_by_one(model)
    calls = []
    for kind in (Neuron, Layer):
        original = kind.__call__
        monkeypatch.setattr(kind, "__call__", lambda self, x, f=original: calls.append(self) or f(self, x))
        check(model)
        assert calls
        calls.clear()
        layer = model.layers[0]
        assert [bits(v.data) for v in layer(X)] == [bits(n(X).data) for n in layer.neurons]
        assert len(calls) == (2 * len(layer.neurons) if kind is Neuron else 1), "each neuron by its layer, and here"
        monkeypatch.undo()
        calls.clear()
        assert [bits(v.data) for v in model(X)] == before
        assert not calls


@pytest.mark.parametrize("how", ["extend", "+=", "[:] ="])
def test_a_call_in_the_midst_of_a_change(backend, how):
    layer = Layer(2, 1, seed=1, backend=backend)

    def neurons(fail):
        for seed in (2, 3):
            layer(X)
            layer.parameters()
            yield Neuron(2, seed=seed, backend=backend)
        layer(X)
        if fail:
            raise ZeroDivisionError

    for fail in (True, False):
        try:
            if how == "extend":
                layer.neurons.extend(neurons(fail))
            elif how == "+=":
                layer.neurons += neurons(fail)
            else:
                layer.neurons[:] = neurons(fail)
        except ZeroDivisionError:
            assert fail
        assert len(layer.neurons) == {True: 1 if how == "[:] =" else 3, False: 2 if how == "[:] =" else 5}[fail]
        out = layer(X)
        out = out if isinstance(out, list) else [out]
        assert [bits(v.data) for v in out] == [bits(n(X).data) for n in layer.neurons]


def test_a_sort_that_fails(model):
    def key(n):
        with contextlib.suppress(ValueError):  # a list is empty while it is sorted
            model(X)
        if n is last:
            raise ZeroDivisionError
        return -n.b.data

    neurons = model.layers[0].neurons
    last = neurons[-1]
    with pytest.raises(ZeroDivisionError):
        neurons.sort(key=key)
    check(model)
    model(X)
    neurons.sort(key=lambda n: -n.b.data)
    check(model)


def test_what_dies_calls_the_network(model, Value):
    """When a part is replaced, the old one's last reference goes, and code may run that prepares once more."""
    calls, finalizers = [], []

    def use():
        calls.append((model(X), model.parameters(), model.zero_grad()))

    def watched(part):
        finalizers.append(weakref.finalize(part, use))
        return part

    for _ in range(3):
        model.layers[0].neurons[0] = watched(Neuron(2, seed=4, backend=Value._pygrad_backend))
        check(model)
        model.layers[0].neurons[1].b = watched(Value(3.0))
        check(model)
        model.layers[0].neurons[1].w[0] = watched(Value(2.0))
        check(model)
        model.layers[0] = watched(Layer(2, 3, seed=5, backend=Value._pygrad_backend))
        check(model)
        del model.layers[0].neurons[0].activation
        model.layers[0].neurons[0].activation = "sigmoid"
        check(model)
    for finalizer in finalizers:
        finalizer.detach()
    assert len(calls) >= 4


def test_the_notice_comes_after_the_change(model, Value, monkeypatch):
    """What is prepared by then, by another thread, is forgotten too."""
    n, seen = model.layers[0].neurons[0], []
    monkeypatch.setattr("pygrad._prepared.changed", lambda: seen.append(vars(n).get("b")))
    first, second = Value(1.0), Value(2.0)
    n.b = first
    n.b = second
    del n.b
    assert seen == [first, second, None]
    monkeypatch.undo()
    n.b = first
    changed()  # what was patched away above
    check(model)


def test_a_change_while_something_is_prepared(model):
    def make():
        changed()
        return [1]

    assert model._keep("_known", make) == [1]
    assert model._known is None
    assert model._keep("_known", list) is model._known
    changed()
    check(model)


def test_a_finalizer_changes_what_is_being_prepared(model, Value):
    numbers = iter(range(1, 10**6))

    def change():
        n = model.layers[next(numbers) % 3].neurons[0]
        n.b = Value(n.b.data + 1.0)

    for every in range(1, 30):
        Finalizer(change)
        model.layers[1].neurons[1].b = Value(0.5)  # to be prepared again
        with Frequently(every):
            model(X)
            model.parameters()
            model.zero_grad()
        check(model)
    gc.collect()
    assert next(numbers) > 29


def test_finalizers_while_outputs_are_made(engine_name, engine, live):
    """Code that calls, trains and takes apart the very network, between the handles of its outputs."""
    model = MLP(2, [80, 40], seed=1, backend=engine_name)
    expected = [bits(v.data) for v in model(X)]
    actions = [
        lambda: model([3.0, 4.0]),
        lambda: model([3.0, engine(4.0)])[0].backward(),
        lambda: model.layers.__setitem__(1, model.layers[1]),
        lambda: setattr(model.layers[0].neurons[0], "b", engine(model.layers[0].neurons[0].b.data)),
        lambda: engine._trim(),
        lambda: model.zero_grad(),
    ]
    for i in range(40):
        for action in actions:
            Finalizer(action)
        with Frequently(1 + i):
            out = model(X)
        assert [bits(v.data) for v in out] == expected
        out[-1].backward()
    box = [MLP(2, [80, 40], seed=1, backend=engine_name)]
    for i in range(40):
        box[:] = [MLP(2, [80, 40], seed=1, backend=engine_name)]
        box[0](X)
        compute = box[0]._compute
        Finalizer(box.clear)
        with Frequently(1 + i):
            out = compute(X)
        gc.collect()
        assert not box
        assert [bits(v.data) for v in out] == expected
        out[-1].backward()
    del out, model, actions, action, compute
    gc.collect()


def test_inputs_that_a_finalizer_takes_away(backend):
    model = MLP(300, [2, 1], seed=1, backend=backend)
    numbers = [0.01 * i for i in range(300)]
    expected = bits(model(numbers).data)
    x = []
    for every in range(1, 40):
        x[:] = numbers
        Finalizer(x.clear)
        with Frequently(every):
            try:
                got = bits(model(x).data)
            except ValueError as error:
                got = expected if "takes 300 inputs, but got" in str(error) else error
            assert got == expected
        gc.collect()


def test_threads(backend, Value):
    """Some call and train, one replaces, one makes other networks. What is replaced has the same numbers."""
    model = MLP(2, [8, 8, 1], seed=1, backend=backend)
    expected = bits(model(X).data)
    wrong, stop = [], threading.Event()
    rng = random.Random(1)

    def call():
        assert bits(model(X).data) == expected
        model([Value(0.5), 1.0]).backward()

    def replace():
        n = rng.choice(rng.choice(model.layers).neurons)
        n.b = Value(n.b.data)
        n.w[0] = Value(n.w[0].data)
        model.zero_grad()
        model.parameters()

    def make():
        other = MLP(2, [3, 1], backend=backend)
        other(X)
        other.layers.append(other.layers.pop())

    def run(function):
        try:
            while not stop.is_set():
                function()
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=run, args=(f,)) for f in (call, call, replace, make)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        stop.wait(1.0)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        sys.setswitchinterval(interval)
    assert not wrong
    check(model)
    model.layers[0].neurons[0].b = Value(5.0)
    check(model)


def test_a_thread_calls_while_another_replaces(backend, Value):
    """Between the replacement and the notice of it, the network may be prepared by another thread."""
    model = MLP(2, [2, 1], seed=1, backend=backend)
    stop = threading.Event()

    def call():
        while not stop.is_set():
            model(X)
            model.parameters()

    thread = threading.Thread(target=call)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    thread.start()
    try:
        n = model.layers[1].neurons[0]
        for i in range(1500):
            n.b = Value(float(i))
            check(model)
            n.w[0] = Value(float(-i))
            check(model)
    finally:
        stop.set()
        thread.join()
        sys.setswitchinterval(interval)


# ---- nothing outlives its use ----


def test_a_hook_that_holds_the_network(engine_name, engine, live):
    """A parameter's closure, the network and what it prepared are a cycle, which is collected."""

    def use(graph_lives):
        model = MLP(2, [3, 1], seed=1, backend=engine_name)
        out = model(X) if graph_lives else None
        w = model.layers[0].neurons[0].w[0]
        w._backward = lambda: setattr(w, "grad", w.grad + 0.0 * len(model.layers))
        for _ in range(2):
            model(X).backward()
            model.zero_grad()
        del out
        model(X)
        return weakref.ref(model)

    before = live()
    for graph_lives in (False, True):
        dead = use(graph_lives)
        gc.collect()
        assert dead() is None
        assert live() == before


def test_networks_come_and_go_in_any_order(engine_name, engine, live):
    rng = random.Random(3)
    kept = []
    for i in range(1500):
        if kept and rng.random() < 0.5:
            kept.pop(rng.randrange(len(kept)))
        else:
            model = MLP(2, [3, 1], seed=1, backend=engine_name)
            kept.append((model, model([0.5, engine(1.0)])))
        if i % 100 == 0:
            engine._trim()
    outs = [out for _, out in kept]
    kept.clear()
    del model
    engine._trim()
    for out in outs:
        out.backward()
    assert len({bits(out.data) for out in outs}) == 1
    del out, outs


def test_memory_does_not_grow(engine_name, engine, live):
    model = MLP(2, [16, 16, 1], seed=1, backend=engine_name)
    values = [engine(0.5), engine(1.0)]

    def use():
        for _ in range(300):
            model(X)
            model(values).backward()
            model.layers[0].neurons[0].b = engine(0.0)

    use()
    nodes, memory = engine._stats()
    for _ in range(5):
        use()
    assert engine._stats() == (nodes, memory)
    del model, values


def test_copies_of_what_was_prepared(model, Value):
    """Every kind of copy notices its own changes."""
    model.zero_grad()
    model.me, model.layers[0].network = [model], model
    twins = [copy.copy(model), copy.deepcopy(model)]
    twins += [pickle.loads(pickle.dumps(model, protocol)) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)]
    for twin in twins:
        check(twin)
        twin.zero_grad()
        twin.layers[0].neurons[0].w[0] = Value(9.0)
        check(twin)
        check(model)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_of_what_was_prepared(model, Value):
    expected = one_by_one(model)
    child = os.fork()
    if child == 0:
        try:
            good = [bits(v.data) for v in model(X)] == expected
            model.layers[0].neurons[0].b = Value(3.0)
            check(model)
            os._exit(0 if good else 1)
        except BaseException:
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    check(model)


@pytest.mark.parametrize("place", ["sys.network", "builtins.network", "network", "network.layers[0].network"])
def test_the_end_of_the_interpreter(backend, place):
    """Wherever a prepared network is kept, it goes without a word."""
    program = (
        "import builtins, sys\n"
        "from pygrad.nn import MLP\n"
        f"network = MLP(2, [3, 1], backend={backend!r})\n"
        "out = network([1.0, 2.0])\n"
        "network.layers[0].neurons[0].w[0]._backward = lambda: None\n"
        "builtins.other = MLP(2, [3, 1], backend='cffi')\n"
        "builtins.other([1.0, 2.0])\n"
        f"{place} = network\n"
        "network([1.0, 2.0]).backward()\n"
    )
    done = subprocess.run([sys.executable, "-X", "dev", "-c", program], capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
