"""Saving and loading whole files: what comes back is what was saved, on every backend, to the last bit; what cannot be
saved is refused. Damaged and foreign files are test_damage.py's subject, replacing a file that of test_atomic.py."""

from __future__ import annotations

import functools
import json
import os
import random
import struct
import sys
import tempfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pygrad import backends, optim, saving, schedules
from pygrad.callbacks import Checkpoint
from pygrad.data import make_moons
from pygrad.history import History
from pygrad.nn import ACTIVATIONS, MLP, Dropout, Layer, Module, Neuron, Sequential, Softmax


def exact(model):
    """The 64 bits of each parameter, nan payloads included."""
    return [struct.pack("<d", p.data) for p in model.parameters()]


def number(bits):
    return struct.unpack("<d", struct.pack("<Q", bits))[0]


# ---- round trips ----


@st.composite
def modules(draw, depth=2):
    """Any module of pygrad's, by its maker: a function of the backend."""
    kinds = ["neuron", "layer", "mlp", "dropout", "softmax"] + ["sequential"] * (depth > 0)
    kind = draw(st.sampled_from(kinds))
    size = st.integers(0, 3)
    activation = st.sampled_from(ACTIVATIONS)
    if kind == "neuron":
        return functools.partial(Neuron, draw(size), activation=draw(activation))
    if kind == "layer":
        nin, nout = draw(size), draw(size)
        names = draw(st.lists(activation, min_size=nout, max_size=nout))
        return functools.partial(mixed_layer, nin, nout, names)
    if kind == "mlp":
        sizes = draw(st.lists(size, min_size=1, max_size=4))
        names = draw(st.lists(activation, min_size=len(sizes) - 1, max_size=len(sizes) - 1))
        p = draw(st.sampled_from([0.0, 0.1, 1 / 3]))
        return functools.partial(MLP, sizes[0], sizes[1:], activation=names, dropout=p)
    if kind == "sequential":
        parts = draw(st.lists(modules(depth=depth - 1), max_size=3))
        return lambda backend: Sequential(*(make(backend=backend) for make in parts))
    p = draw(st.floats(0.0, 1.0, exclude_max=True))
    return lambda backend: Dropout(p) if kind == "dropout" else Softmax()


def mixed_layer(nin, nout, names, backend):
    layer = Layer(nin, nout, backend=backend)
    for neuron, name in zip(layer.neurons, names):
        neuron.activation = name
    return layer


@given(make=modules(), data=st.data(), suffix=st.sampled_from([".npz", ".safetensors"]))
def test_any_architecture_comes_back(backend, make, data, suffix):
    pytest.importorskip("safetensors")
    model = make(backend=backend)
    for p in model.parameters():
        p.data = number(data.draw(st.integers(0, 2**64 - 1)))
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, f"m{suffix}")
        model.save(path)
        for other in backends.NAMES:
            loaded = saving.load(path, backend=other)
            assert type(loaded) is type(model)
            assert repr(loaded) == repr(model)
            assert loaded.architecture() == model.architecture()
            assert exact(loaded) == exact(model)
            assert all(isinstance(p, backends.load(other)) for p in loaded.parameters())


SPECIAL = [0x7FF8000000000001, 0xFFF8000000000000, 0x7FF << 52, 0xFFF << 52, 1 << 63, 1, 0x000FFFFFFFFFFFFF]
"""The bits of a nan with a payload, one with a sign, the infinities, -0.0, the least subnormal and the greatest."""


def test_special_numbers_keep_their_bits_across_backends(backend, path):
    model = Neuron(len(SPECIAL) - 1, backend=backend)
    for p, bits in zip(model.parameters(), SPECIAL):
        p.data = number(bits)
    saving.save(model, path)
    for other in backends.NAMES:
        loaded = saving.load(str(path), backend=other)
        assert [struct.unpack("<Q", x)[0] for x in exact(loaded)] == SPECIAL


def test_what_is_loaded_computes_the_same(backend, path):
    model = MLP(2, [5, 3], activation="tanh", dropout=0.25, seed=1, backend=backend)
    model.save(path)
    loaded = saving.load(path, backend=backend).eval()
    assert [v.data for v in loaded([0.5, -2.0])] == [v.data for v in model.eval()([0.5, -2.0])]
    assert loaded.dropout.p == 0.25
    loaded.layers[0].neurons[0].w[0].data += 1.0  # what was built notices changes, as what was made by hand does
    model.layers[0].neurons[0].w[0].data += 1.0
    assert [v.data for v in loaded([0.5, -2.0])] == [v.data for v in model([0.5, -2.0])]


def test_the_backend_in_use_is_the_default(path):
    MLP(1, [1], backend="python").save(path)
    assert isinstance(saving.load(path).parameters()[0], backends.load(backends.current))


def test_loading_draws_no_random_number(path):
    MLP(2, [3, 1], dropout=0.5).save(path)
    before = random.getstate()
    saving.load(path)
    assert random.getstate() == before


def test_the_same_model_gives_the_same_file_on_every_backend(tmp_path, suffix):
    files = set()
    for i, backend in enumerate(backends.NAMES * 2):
        path = tmp_path / f"{i}{suffix}"
        MLP(3, [4, 2], seed=5, backend=backend).save(path, extra={"b": 1, "a": [2]})
        files.add(path.read_bytes())
    assert len(files) == 1


def test_other_programs_read_the_arrays(tmp_path):
    model = MLP(2, [3, 1], seed=2)
    model.save(tmp_path / "m.npz")
    with np.load(tmp_path / "m.npz", allow_pickle=False) as found:
        assert json.loads(found["pygrad.json"])["architecture"] == model.architecture()
        for name, array in model.state_dict().items():
            assert found[f"parameters/{name}"].dtype == np.float64
            np.testing.assert_array_equal(found[f"parameters/{name}"], array)
    numpy_part = pytest.importorskip("safetensors.numpy")
    model.save(tmp_path / "m.safetensors")
    found = numpy_part.load_file(tmp_path / "m.safetensors")
    assert found.keys() == {f"parameters/{name}" for name in model.state_dict()}
    np.testing.assert_array_equal(found["parameters/layers.0.weight"], model.state_dict()["layers.0.weight"])


# ---- modules of the user's ----


def own(backend, fill):
    value_type = backends.load(backend)

    class Own(Module):
        def __init__(self):
            self.scale = value_type(fill)
            self.table = {name: [value_type(fill), value_type(fill)] for name in ("a/b", "../é %", "\ud800", "", "*")}
            self.net = MLP(2, [2, 1], seed=1, backend=backend)

    return Own()


def test_a_module_of_ones_own_needs_into(backend, path):
    model = own(backend, 0.1)
    model.save(path)
    with pytest.raises(ValueError, match=r"model\.\w+: the file has the parameters of a Own.*into=model"):
        saving.load(path)
    other = own(backend, 7.0)
    for p in other.parameters():
        p.data = 9.0
    assert saving.load(path, into=other) is other
    assert exact(other) == exact(model)
    found = saving.read(path)
    assert found.architecture is None
    assert found.class_name == "Own"
    assert found.parameters.keys() == model.state_dict().keys()


def test_into_does_not_take_what_does_not_fit(backend, path):
    MLP(2, [3, 1], backend=backend).save(path)
    for wrong in (MLP(2, [4, 1], backend=backend), MLP(2, [3], backend=backend), MLP(2, [3, 1, 1], backend=backend)):
        before = exact(wrong)
        with pytest.raises(ValueError, match=r"model\.\w+: .*(shape|does not fit)"):
            saving.load(path, into=wrong)
        assert exact(wrong) == before
    with pytest.raises(ValueError, match="not both"):
        saving.load(path, into=MLP(2, [3, 1]), backend="c")
    with pytest.raises(TypeError, match="into must be a Module, not list"):
        saving.load(path, into=[])


class Doubled(MLP):
    def __call__(self, x):
        return super().__call__(x) * 2


def shared():
    a = Neuron(1)
    return Sequential(a, a)


def tied():
    layer = Layer(2, 2)
    layer.neurons[1].b = layer.neurons[0].b
    return layer


def with_more():
    model = MLP(1, [1])
    model.more = Neuron(1)
    model.parameters = lambda: [*MLP.parameters(model), *model.more.parameters()]
    return model


def uneven():
    layer = Layer(2, 2)
    layer.neurons[0] = Neuron(3)
    return layer


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: Doubled(1, [1]), "Doubled is a Module of your own"),
        (lambda: Sequential(Doubled(1, [1])), "Doubled is a Module of your own"),
        (lambda: Sequential(Neuron(1), abs), "a function of your own"),
        (lambda: Neuron(1, activation=lambda v: v), "an activation of your own"),
        (shared, "other parameters than its class"),
        (tied, "used in several places"),
        (with_more, "other parameters than its class"),
        (uneven, "differ in their inputs"),
        (lambda: functools.reduce(lambda m, _: Sequential(m), range(40), Neuron(1)), "nested more than 32 deep"),
    ],
)
def test_what_would_not_come_back_the_same_is_not_built(tmp_path, make, why):
    model = make()
    path = tmp_path / "m.npz"
    saving.save(model, path)
    with pytest.raises(ValueError, match=f"{why}.*into="):
        saving.load(path)
    again = make()
    saving.load(path, into=again)
    assert exact(again) == exact(model)


# ---- extra, optimiser, history ----


def test_extra_comes_back(path):
    extra = {
        "columns": ["x", "ÿ", "\ud800"], "numbers": [1, -(10**30), 0.1, -0.0, 5e-324, True, None],
        "mean": np.array([[0.1, -0.0], [np.inf, 1e300]]), "scalar": np.array(2.5), "empty": np.zeros((0, 3)),
        "$array": {"$float": "x", "": []}, "nested": {"$": [{"a": np.arange(3.0)}]}, "z": 1, "b": 2,
    }  # fmt: skip
    MLP(1, [1]).save(path, extra=extra)
    found = saving.read(path).extra
    assert list(found) == list(extra)
    for name in ("mean", "scalar", "empty"):
        assert found[name].shape == extra[name].shape
        assert found[name].tobytes() == extra[name].tobytes()
    np.testing.assert_array_equal(found["nested"]["$"][0]["a"], [0.0, 1.0, 2.0])
    for name in ("columns", "numbers", "$array", "z", "b"):
        assert repr(found[name]) == repr(extra[name])


@given(
    st.dictionaries(
        st.text(max_size=3),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
            lambda x: st.lists(x, max_size=3) | st.dictionaries(st.sampled_from(["$", "$float", "$dict", "a"]), x),
            max_leaves=8,
        ),
        max_size=3,
    )
)
def test_any_extra_comes_back(extra):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "m.npz")
        Softmax().save(path, extra=extra)
        assert repr(saving.read(path).extra) == repr(extra)


def test_floats_that_json_has_no_word_for(tmp_path):
    numbers = [number(bits) for bits in SPECIAL]
    Softmax().save(tmp_path / "m.npz", extra={"numbers": numbers})
    found = saving.read(tmp_path / "m.npz").extra["numbers"]
    assert [struct.pack("<d", x) for x in found] == [struct.pack("<d", x) for x in numbers]


def test_numpy_numbers_and_tuples_in_extra_become_plain(tmp_path):
    Softmax().save(tmp_path / "m.npz", extra={"a": (np.float32(0.1), np.int64(3), np.bool_(True), np.str_("s"))})
    assert repr(saving.read(tmp_path / "m.npz").extra) == repr({"a": [float(np.float32(0.1)), 3, True, "s"]})


@pytest.mark.parametrize(
    ("extra", "error", "message"),
    [
        ({"f": [abs]}, TypeError, r"extra\['f'\]\[0\] is <built-in function abs>"),
        ({"b": b"x"}, TypeError, r"extra\['b'\] is b'x', of type bytes"),
        ({1: 2}, TypeError, "extra has the key 1: keys must be str"),
        ({"a": np.arange(3)}, TypeError, "must be an array of float64, not of int64"),
        ({"a": np.array([None])}, TypeError, "must be an array of float64, not of object"),
        ({"a": 10**1100}, ValueError, "more than 1000 digits"),
        ([1], TypeError, "extra must be a dict, not list"),
        ({"a": functools.reduce(lambda x, _: [x], range(100), 1)}, ValueError, "nested more than 64 deep"),
    ],
)
def test_extra_that_cannot_be_saved(tmp_path, extra, error, message):
    with pytest.raises(error, match=message):
        saving.save(Softmax(), tmp_path / "m.npz", extra=extra)
    assert os.listdir(tmp_path) == []


def train(model, optimizer, steps):
    for i in range(steps):
        optimizer.zero_grad()
        ((model([0.1 * i, -1.0]) - 0.5) ** 2).backward()
        optimizer.step()


@pytest.mark.parametrize(
    "make",
    [
        lambda p: optim.SGD(p, lr=0.1),
        lambda p: optim.SGD(p, lr=schedules.cosine(0.1, 20, warmup=3), momentum=0.9, nesterov=True, weight_decay=0.01),
        lambda p: optim.Adam(p, lr=schedules.linear(0.1, 0.01, 9), betas=(0.8, 0.99)),
        lambda p: optim.AdamW(p),
        lambda p: optim.RMSprop(p, centered=True, momentum=0.5),
    ],
)
def test_training_goes_on_where_it_was(backend, path, make):
    model = MLP(2, [3, 1], seed=3, backend=backend)
    optimizer = make(model)
    train(model, optimizer, 4)
    model.save(path, optimizer=optimizer)
    assert saving.load(path).parameters()[0].data == model.parameters()[0].data
    train(model, optimizer, 4)
    for other in backends.NAMES:
        for into in (None, MLP(2, [3, 1], backend=other)):
            chosen = {"backend": other} if into is None else {"into": into}
            loaded, its_optimizer, history = saving.load(path, training=True, **chosen)
            assert history is None
            assert repr(its_optimizer).split(", ", 1)[1] == repr(optimizer).split(", ", 1)[1]
            train(loaded, its_optimizer, 4)
            assert exact(loaded) == exact(model)


def test_an_optimizer_that_cannot_be_saved(tmp_path):
    model, path = MLP(1, [1]), tmp_path / "m.npz"

    def halving(step):
        return 0.5**step

    for optimizer, error, message in [
        (optim.SGD(model, lr=halving), TypeError, "lr is <function .*halving.* which cannot be saved: use one of"),
        (optim.SGD(model.parameters()[:1]), ValueError, "other parameters than the model"),
        (optim.SGD(MLP(1, [1])), ValueError, "other parameters than the model"),
        (object(), TypeError, "optimizer must be one of SGD, Adam, AdamW, RMSprop, not object"),
    ]:
        with pytest.raises(error, match=message):
            model.save(path, optimizer=optimizer)
    with pytest.raises(TypeError, match="history must be a History, as fit gives it, not list"):
        model.save(path, history=[])
    assert os.listdir(tmp_path) == []


def test_a_checkpoint_resumes_bit_for_bit(backend, path):
    X, y = make_moons(20, seed=1)

    def fit(model, epochs, **more):
        return model.fit(X, y, loss="hinge", batch_size=7, epochs=epochs, lr=None, progress=False, **more)

    whole = MLP(2, [4, 1], seed=1, backend=backend)
    fit(whole, 5, optimizer="adam")
    model = MLP(2, [4, 1], seed=1, backend=backend)
    history = fit(model, 2, optimizer="adam", callbacks=[Checkpoint(path)])
    for other in backends.NAMES:
        loaded, optimizer, its_history = saving.load(path, training=True, backend=other)
        assert isinstance(its_history, History)
        assert its_history.to_dict() == history.to_dict()
        fit(loaded, 5, optimizer=optimizer, resume=its_history)
        assert exact(loaded) == exact(whole)
        assert len(its_history) == 5


def test_the_loss_is_kept_so_that_predictions_are(path):
    X, y = make_moons(20, seed=1)
    model = MLP(2, [4, 1], seed=1)
    model.fit(X, y, loss="hinge", epochs=1, progress=False)
    model.save(path)
    assert saving.read(path).loss == "hinge"
    expected = model.predict(X).tolist()
    assert saving.load(path).predict(X).tolist() == expected
    assert saving.load(path, into=MLP(2, [4, 1])).predict(X).tolist() == expected


# ---- paths ----


@pytest.mark.parametrize("name", ["m", "m.pkl", "m.npz.gz", ".npz", "npz"])
def test_the_suffix_decides(tmp_path, name):
    for call in (lambda p: saving.save(Softmax(), p), saving.load, saving.read):
        with pytest.raises(ValueError, match=r"must end in \.npz or \.safetensors"):
            call(tmp_path / name)


def test_what_is_no_path_and_no_module(tmp_path):
    for call in (lambda p: saving.save(Softmax(), p), saving.load):
        for wrong in (3, None, 2.5):
            with pytest.raises(TypeError, match=r"path must be a str or os\.PathLike, not"):
                call(wrong)
    with pytest.raises(TypeError, match="only a Module can be saved, not list"):
        saving.save([], tmp_path / "m.npz")
    saving.save(Neuron(1), tmp_path / "m.npz")
    with pytest.raises(ValueError, match="unknown backend 'gpu'"):
        saving.load(tmp_path / "m.npz", backend="gpu")


def test_upper_case_and_bytes_paths(tmp_path):
    path = os.fsencode(tmp_path / "M.NPZ")
    saving.save(Neuron(1), path)
    assert saving.load(path).parameters()


def test_folders_in_the_way(tmp_path, suffix):
    (tmp_path / f"folder{suffix}").mkdir()
    with pytest.raises(IsADirectoryError, match="this is a folder"):
        saving.save(Softmax(), tmp_path / f"folder{suffix}")
    with pytest.raises(IsADirectoryError, match="this is a folder"):
        saving.load(tmp_path / f"folder{suffix}")
    with pytest.raises(FileNotFoundError, match=r"no such folder to save in.*missing"):
        saving.save(Softmax(), tmp_path / "missing" / f"m{suffix}")
    with pytest.raises(FileNotFoundError):
        saving.load(tmp_path / f"missing{suffix}")
    assert os.listdir(tmp_path) == [f"folder{suffix}"]


def test_safetensors_is_an_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    (tmp_path / "there.safetensors").write_bytes(b"x")
    for call in (lambda p: saving.save(Neuron(1), p), saving.load):
        with pytest.raises(ImportError, match=r"pip install safetensors"):
            call(tmp_path / "there.safetensors")
    assert os.listdir(tmp_path) == ["there.safetensors"]


def test_only_so_much_is_saved(tmp_path, monkeypatch):
    monkeypatch.setattr(saving, "LARGEST", 4000)
    with pytest.raises(ValueError, match="at most 4,000 can be saved"):
        Neuron(500).save(tmp_path / "m.npz")
    monkeypatch.setattr(saving._header, "LARGEST_HEADER", 600)
    with pytest.raises(ValueError, match="bytes of JSON; at most 600 can be saved"):
        Softmax().save(tmp_path / "m.npz", extra={"a": "x" * 600})
    assert os.listdir(tmp_path) == []
