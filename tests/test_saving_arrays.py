"""Saved modules whose parameters are array Values: shape, dtype and bits come back on every backend, with the
optimiser's state, and training goes on to the bit. What is refused. The rest of saving is test_saving.py's subject.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from pygrad import backends, optim, saving

from .conftest import bits
from .test_module import Box

KINDS = [
    (optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    (optim.Adam, {"lr": 0.1}),
    (optim.AdamW, {"lr": 0.1}),
    (optim.RMSprop, {"lr": 0.1, "momentum": 0.5, "centered": True}),
]


def net(Value, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    return Box(
        w=Value(rng.normal(size=(4, 3)).astype(dtype)),
        b=Value(rng.normal(size=3).astype(dtype)),
        scale=Value(rng.normal()),
        none=Value(np.zeros((0, 5), dtype=dtype)),
        layers=[Value(rng.normal(size=(2, 1, 2)).astype(dtype)), [Value(1.0), Value(2.0)]],
    )


def everything(model):
    """Names, dtypes, shapes and bytes of the parameters."""
    return {
        name: (array.dtype.name, array.shape, array.tobytes()) for name, array in sorted(model.state_dict().items())
    }


def train(optimizer, steps):
    for k in range(optimizer.steps, optimizer.steps + steps):
        rng = np.random.default_rng(k)
        for p in optimizer.parameters:
            p.grad = rng.normal(size=np.shape(p.data)).astype(getattr(p.data, "dtype", float))
        optimizer.step()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_round_trip(Value, path, dtype):
    model = net(Value, dtype)
    model.save(path)
    saved = saving.read(path)
    assert saved.architecture is None
    assert saved.parameters["w"].dtype == dtype
    for other in backends.NAMES:
        loaded = net(backends.load(other), dtype, seed=1)
        held = loaded.w.data
        assert saving.load(path, into=loaded) is loaded
        assert everything(loaded) == everything(model)
        assert loaded.w.data is held


@given(
    array=st.sampled_from([np.float64, np.float32]).flatmap(
        lambda dtype: arrays_of.arrays(dtype, arrays_of.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=4))
    ),
    suffix=st.sampled_from([".npz", ".safetensors"]),
)
def test_any_array_comes_back(tmp_path_factory, array, suffix):
    pytest.importorskip("safetensors")
    Value = backends.load("c")
    path = tmp_path_factory.mktemp("any") / f"m{suffix}"
    model, loaded = Box(v=Value(array)), Box(v=Value(np.zeros_like(array)))
    model.save(path)
    saving.load(path, into=loaded)
    assert everything(loaded) == everything(model)
    assert loaded.v.data.tobytes() == np.ascontiguousarray(array).tobytes()


@pytest.mark.parametrize("lie", [lambda a: a.T, lambda a: a[::-1, ::2], lambda a: np.broadcast_to(a[:1], (5, 6))])
def test_however_the_array_lies(Value, path, lie):
    view = lie(np.arange(36.0).reshape(6, 6))
    model = Box(v=Value(np.zeros(view.shape)))
    model.v.data = view
    model.save(path)
    assert saving.read(path).parameters["v"].tolist() == view.tolist()


def test_the_same_model_gives_the_same_bytes(path):
    contents = set()
    for name in backends.NAMES:
        net(backends.load(name), np.float32).save(path)
        contents.add(path.read_bytes())
    assert len(contents) == 1


def test_np_load_reads_them(Value, tmp_path):
    model = net(Value, np.float32)
    model.save(tmp_path / "m.npz")
    with np.load(tmp_path / "m.npz") as file:
        array = file["parameters/w"]
    assert array.dtype == np.float32
    assert array.tobytes() == model.w.data.tobytes()


def test_safetensors_reads_them(Value, tmp_path):
    package = pytest.importorskip("safetensors.numpy")
    model = net(Value, np.float32)
    model.save(tmp_path / "m.safetensors")
    array = package.load_file(tmp_path / "m.safetensors")["parameters/w"]
    assert array.dtype == np.float32
    assert array.tobytes() == model.w.data.tobytes()


@pytest.mark.parametrize(("kind", "settings"), KINDS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_training_goes_on_to_the_bit(Value, path, kind, settings, dtype):
    model = net(Value, dtype)
    optimizer = kind(model, **settings)
    train(optimizer, 3)
    model.save(path, optimizer=optimizer)
    train(optimizer, 3)
    for other in backends.NAMES:
        fresh = net(backends.load(other), dtype, seed=1)
        loaded, stepper, _ = saving.load(path, into=fresh, training=True)
        assert type(stepper) is kind
        assert stepper.steps == 3
        train(stepper, 3)
        assert everything(loaded) == everything(model)


def test_models_it_does_not_fit(Value, path):
    model = net(Value)
    model.save(path, optimizer=optim.Adam(model))
    other = net(Value, seed=1)
    before = everything(other)
    other.w.data = np.zeros((4, 3))
    other.w = Value(np.zeros((3, 4)))
    with pytest.raises(ValueError, match=r"w must have shape \(3, 4\), not \(4, 3\)"):
        saving.load(path, into=other)
    assert {**everything(other), "w": 0} == {**before, "w": 0}
    with pytest.raises(saving.FormatError, match=r"optimizer does not fit: parameters\[0\] is float32 \(4, 3\), but"):
        saving.load(path, into=net(Value, np.float32), training=True)


def test_arrays_that_cannot_be_saved(Value, path):
    deep = Box(v=Value(np.zeros((1,) * 32)))
    deep.save(path)
    kept = path.read_bytes()
    if np.lib.NumpyVersion(np.__version__) >= "2.0.0":  # earlier ones have no such arrays
        deep.v = Value(np.zeros((1,) * 33))
        with pytest.raises(ValueError, match=r"the array 'parameters/v' has a shape that cannot be saved: \(1, 1, "):
            deep.save(path)
    wide = Box(v=Value(np.zeros((0, 2**20, 2**21))))
    with pytest.raises(ValueError, match=r"'parameters/v' has a shape that cannot be saved: \(0, 1048576, 2097152\)"):
        wide.save(path)
    with pytest.raises(TypeError, match=r"extra.*must be an array of float64, not of float32"):
        deep.__class__(v=Value([1.0])).save(path, extra={"x": np.zeros(2, np.float32)})
    assert path.read_bytes() == kept


def test_scalars_are_saved_as_before(Value, path):
    """A model of scalars lists its arrays without a dtype, as every file so far."""
    Box(w=[Value(1.0), Value(2.0)]).save(path)
    text = path.read_bytes()
    assert b'[["parameters/w",[2]]]' in text.replace(b"\\", b"")
    loaded = saving.load(path, into=Box(w=[Value(0.0), Value(0.0)]))
    assert [bits(p.data) for p in loaded.parameters()] == [bits(1.0), bits(2.0)]
