"""Files that are no saved model, or not whole: each is refused with a FormatError that names the file and says what is
wrong, or loads with every bit equal. Nothing in a file is executed, and nothing is made before it is known to be there.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import random
import struct
import threading
import tracemalloc
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pygrad import _containers, _header, optim, saving
from pygrad.nn import MLP, Neuron, Sequential, Softmax


def content(found):
    """Everything in a Saved that can be compared."""
    arrays = {name: (array.shape, array.tobytes()) for name, array in found.parameters.items()}
    return (
        found.version, found.pygrad, found.class_name, found.architecture, found.undescribed, found.loss, arrays,
        repr(found.optimizer), repr(found.history), repr(found.extra),
    )  # fmt: skip


def harmless_or_refused(path, data, expected):
    """Whether a file of those bytes loads as what it was; if not, it is refused as it must be."""
    path.write_bytes(data)
    try:
        found = saving.read(path)
    except saving.FormatError as error:
        message = str(error)
    else:
        assert content(found) == expected
        return True
    assert message.startswith(f"{path}: ")
    assert len(message) > len(f"{path}: ") + 10
    return False


# ---- damage ----


def test_every_damaged_byte_is_noticed_or_harmless(path):
    Neuron(1, seed=1).save(path, extra={"a": np.array([1.5])})
    good, expected = path.read_bytes(), content(saving.read(path))
    draw = random.Random(1)
    harmless = 0
    for i, byte in enumerate(good):
        for other in {byte ^ (1 << draw.randrange(8)), draw.randrange(256)} - {byte}:
            harmless += harmless_or_refused(path, good[:i] + bytes([other]) + good[i + 1 :], expected)
    assert harmless < len(good) // 2  # of 2 a byte: dates and the like in a zip


def test_every_truncation_and_extension_is_noticed(path):
    Neuron(1, seed=1).save(path)
    good = path.read_bytes()
    for n in range(len(good)):
        assert not harmless_or_refused(path, good[:n], None)
    for data in (good + b"\0", good + b"x" * 30, good + good, b"\0" + good, b"x" * 30 + good, good + b"\0" * 70000):
        assert not harmless_or_refused(path, data, None)


@given(st.data())
@settings(max_examples=200)
def test_several_damages_at_once(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "several.npz"
    MLP(1, [1], seed=1).save(path)
    good, expected = path.read_bytes(), content(saving.read(path))
    bad = bytearray(good)
    for _ in range(data.draw(st.integers(1, 6))):
        start = data.draw(st.integers(0, len(bad)))
        end = min(start + data.draw(st.integers(0, 40)), len(bad))
        bad[start:end] = data.draw(st.binary(max_size=40) | st.just(bytes(bad[:30])) | st.just(bytes(end - start)))
    harmless_or_refused(path, bytes(bad), expected)


# ---- foreign files ----


class Payload:
    """What a pickle can do: loading it makes a folder."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


def zipped(members, compression=zipfile.ZIP_STORED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return file.getvalue()


def saved_by_numpy(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "it is empty"),
        (b"weights: 1 2 3\n", "but text"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 50, "a PNG image"),
        (b"\x1f\x8b\x08" + b"\0" * 50, "a gzip file"),
        (pickle.dumps({"a": 1}), "a Python pickle, which pygrad never loads"),
        (b"\xff" * 100, "something else"),
        (b"P", "text"),
    ],
)
def test_files_of_other_kinds(path, data, message):
    path.write_bytes(data)
    with pytest.raises(saving.FormatError, match=message):
        saving.load(path)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (saved_by_numpy(a=np.arange(3.0)), "that pygrad did not write: there is no pygrad.json"),
        (zipped([("readme.txt", "x")]), "that pygrad did not write: there is no pygrad.json"),
        (zipped([]), "it is no .npz file, but a zip"),
        (zipped([("pygrad.json", "{}"), ("x.txt", "")]), "its member 'x.txt' is no array"),
        (zipped([("pygrad.json", "{}")]), "does not say that it is a pygrad model"),
        (zipped([("pygrad.json", "x" * 9)], zipfile.ZIP_DEFLATED), "is compressed or encrypted"),
        (zipped([("pygrad.json", "[" * 500_000)]), "its header is not the JSON that pygrad writes"),
        (zipped([("pygrad.json", '{"a": 1, "a": 2}')]), "a key occurs twice"),
        (zipped([("pygrad.json", '{"a": NaN}')]), "NaN is not JSON"),
        (zipped([("pygrad.json", '{"a": ' + "1" * 1_000_000 + "}")]), "an integer is too long"),
        (zipped([("pygrad.json", "\xff")]), "is not the JSON"),
        (struct.pack("<Q", 2) + b"{}" + b"\0" * 30, r"a \.safetensors file"),
    ],
)  # fmt: skip
def test_zips_that_are_no_models(tmp_path, data, message):
    path = tmp_path / "m.npz"
    path.write_bytes(data)
    with pytest.raises(saving.FormatError, match=message):
        saving.load(path)


def test_a_member_that_occurs_twice(tmp_path):
    path = tmp_path / "m.npz"
    with pytest.warns(UserWarning, match="Duplicate"):
        path.write_bytes(zipped([("pygrad.json", "{}"), ("pygrad.json", "[]")]))
    with pytest.raises(saving.FormatError, match="occurs twice"):
        saving.load(path)


def test_tensors_of_others(tmp_path):
    numpy_part = pytest.importorskip("safetensors.numpy")
    path = tmp_path / "m.safetensors"
    for metadata in (None, {"format": "pt"}):
        path.write_bytes(numpy_part.save({"a": np.zeros(3)}, metadata))
        with pytest.raises(saving.FormatError, match="that pygrad did not write"):
            saving.load(path)
    MLP(1, [1]).save(tmp_path / "m.npz")
    path.write_bytes((tmp_path / "m.npz").read_bytes())
    with pytest.raises(saving.FormatError, match=r"no \.safetensors file, but a zip"):
        saving.load(path)


def test_a_pickle_in_an_array_is_not_loaded(tmp_path):
    path, made = tmp_path / "m.npz", tmp_path / "made"
    payload = np.array([Payload(made)], dtype=object)
    path.write_bytes(saved_by_numpy(a=payload))
    with pytest.raises(saving.FormatError):
        saving.load(path)
    Neuron(1).save(path)
    with zipfile.ZipFile(path) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    file = io.BytesIO()
    np.save(file, payload, allow_pickle=True)
    path.write_bytes(zipped([(n, file.getvalue() if n.endswith("weight.npy") else data) for n, data in members]))
    with pytest.raises(saving.FormatError, match=r"its array 'parameters/weight'"):
        saving.load(path)
    assert not made.exists()
    np.load(io.BytesIO(file.getvalue()), allow_pickle=True)
    assert made.exists()  # so the payload is one


def test_an_array_of_another_type_or_order(tmp_path):
    path = tmp_path / "m.npz"
    MLP(2, [2], seed=1).save(path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    weight = np.load(io.BytesIO(members["parameters/layers.0.weight.npy"]))
    for other in (weight.astype("<i8"), weight.astype(">f8"), np.asfortranarray(weight), weight[:1], weight.ravel()):
        file = io.BytesIO()
        np.save(file, other)
        path.write_bytes(zipped({**members, "parameters/layers.0.weight.npy": file.getvalue()}.items()))
        with pytest.raises(saving.FormatError, match=r"its array 'parameters/layers\.0\.weight'"):
            saving.load(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_a_pipe_does_not_hang(path):
    os.mkfifo(path)
    with pytest.raises(saving.FormatError, match="no regular file"):
        saving.load(path)


# ---- memory ----


@pytest.fixture
def bounded():
    """Fails if the test's peak of memory is above 20 MB."""
    tracemalloc.start()
    yield
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6


@pytest.mark.usefixtures("bounded")
def test_a_zip_bomb_is_not_unpacked(tmp_path):
    path = tmp_path / "m.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("pygrad.json", "w") as member:
        for _ in range(300):
            member.write(b" " * 2**20)
    with pytest.raises(saving.FormatError, match="compressed"):
        saving.load(path)


@pytest.mark.usefixtures("bounded")
def test_oversized_files(path):
    with open(path, "wb") as file:
        file.truncate(2**31 + 1)
    with pytest.raises(saving.FormatError, match=r"it has 2,147,483,649 bytes, but at most 2,147,483,648 are read"):
        saving.load(path)
    with open(path, "wb") as file:
        file.truncate(2**31)
    with pytest.raises(saving.FormatError, match="something else"):
        saving.load(path)


@pytest.mark.usefixtures("bounded")
def test_an_oversized_header(path, monkeypatch):
    Neuron(1).save(path)
    monkeypatch.setattr(_containers, "LARGEST_HEADER", 100)
    with pytest.raises(saving.FormatError, match=r"its header is larger than [13]00 bytes"):
        saving.load(path)


@pytest.mark.usefixtures("bounded")
def test_tensors_that_claim_a_header_of_a_gigabyte(tmp_path):
    pytest.importorskip("safetensors")
    path = tmp_path / "m.safetensors"
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", 2**30) + b"{")
        file.truncate(2**31 - 1)
    with pytest.raises(saving.FormatError, match="its header is larger than"):
        saving.load(path)


# ---- forged files, their checksum right ----


def forge(path, changes, arrays=None, drop=()):
    """A file as pygrad writes it, with another header."""
    arrays = {"parameters/weight": np.array([0.5]), "parameters/bias": np.array(0.0)} if arrays is None else arrays
    header = {
        "pygrad": "0.1.0", "class": "Neuron", "undescribed": None, "loss": None,
        "architecture": {"type": "Neuron", "nin": 1, "activation": "relu"},
        "optimizer": None, "history": None, "extra": None, **changes,
    }  # fmt: skip
    for name in drop:
        del header[name]
    with open(path, "wb") as file:
        _containers.container(str(path)).write(file, _header.encoded(header, arrays), arrays)


def nested(depth):
    described = {"type": "Softmax"}
    for _ in range(depth):
        described = {"type": "Sequential", "parts": [described]}
    return described


def layer(**changes):
    return {"type": "Layer", "nin": 1, "nout": 1, "activations": ["relu"], **changes}


HUGE = 10**12

ARCHITECTURES = [
    ({"type": "Neuron", "nin": HUGE, "activation": "relu"}, "other parameters than are in the file"),
    (layer(nin=HUGE), "other parameters than are in the file"),
    (layer(nout=HUGE), "as many activations, not 1"),
    (layer(nin=HUGE, nout=0, activations=[]), "other parameters than are in the file"),
    ({"type": "MLP", "layers": [layer(nin=HUGE)], "dropout": 0.0}, "other parameters than are in the file"),
    ({"type": "Neuron", "nin": 2, "activation": "relu"}, "other parameters than are in the file"),
    ({"type": "Neuron", "nin": 1.0, "activation": "relu"}, "must be int, not float"),
    ({"type": "Neuron", "nin": True, "activation": "relu"}, "must be int, not bool"),
    ({"type": "Neuron", "nin": "1", "activation": "relu"}, "must be int, not str"),
    ({"type": "Neuron", "nin": -1, "activation": "relu"}, "must be at least 0, not -1"),
    ({"type": "Neuron", "nin": 1, "activation": "backward"}, "unknown activation 'backward'"),
    ({"type": "Neuron", "nin": 1, "activation": ["relu"]}, "unknown activation"),
    ({"type": "Neuron", "nin": 1}, "must have the fields activation, nin, type"),
    ({"type": "Neuron", "nin": 1, "activation": "relu", "backend": "c"}, "must have the fields"),
    ({"type": "os.system", "nin": 1}, "unknown module type 'os.system'"),
    ({"type": "Module"}, "unknown module type 'Module'"),
    ({"type": ["Neuron"]}, "an object with a type"),
    ({}, "an object with a type"),
    (layer(activations="relu"), "must be list, not str"),
    ({"type": "MLP", "layers": [{"type": "Softmax"}], "dropout": 0.0}, "must be of type Layer"),
    ({"type": "MLP", "layers": [1], "dropout": 0.0}, "must be of type Layer"),
    ({"type": "MLP", "layers": {}, "dropout": 0.0}, "must be list, not dict"),
    ({"type": "MLP", "layers": [], "dropout": 1.5}, "at least 0 and below 1, not 1.5"),
    ({"type": "Dropout", "p": 1.0}, "at least 0 and below 1, not 1.0"),
    ({"type": "Dropout", "p": 0}, "must be float, not int"),
    ({"type": "Sequential", "parts": [1]}, "an object with a type"),
    (nested(33), "nested more than 32 deep"),
    (nested(120), "nested"),
]


@pytest.mark.usefixtures("bounded")
@pytest.mark.parametrize(("architecture", "message"), ARCHITECTURES)
def test_architectures_that_cannot_be(path, architecture, message):
    forge(path, {"architecture": architecture})
    with pytest.raises(saving.FormatError, match=message):
        saving.load(path)


def test_a_forged_file_that_is_right_loads(path):
    forge(path, {})
    assert [p.data for p in saving.load(path).parameters()] == [0.5, 0.0]
    forge(path, {"architecture": nested(32), "class": "Sequential"}, {})
    assert isinstance(saving.load(path), Sequential)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 2}, r"written by a later pygrad \(format version 2; this one reads 1\): upgrade pygrad"),
        ({"version": 0}, "its format version is 0"),
        ({"version": "1"}, "its format version is '1'"),
        ({"version": True}, "its format version is True"),
        ({"format": "other"}, "does not say that it is a pygrad model"),
        ({"architecture": []}, "no proper field 'architecture'"),
        ({"class": 1}, "no proper field 'class'"),
        ({"more": 1}, r"unknown fields \['more'\]"),
        ({"loss": "exec"}, "its loss 'exec' is none that there is"),
        ({"arrays": {}}, "no proper field 'arrays'"),
        ({"arrays": []}, "its arrays are not those that its header lists"),
        ({"arrays": [["parameters/weight", [-1]]]}, "lists an impossible array"),
        ({"arrays": [["parameters/weight", [True]]]}, "lists an impossible array"),
        ({"arrays": [["parameters/weight", 1]]}, "lists an impossible array"),
        ({"arrays": [["parameters/weight"]]}, "lists an impossible array"),
        ({"arrays": [[1, [1]]]}, "lists an impossible array"),
        ({"arrays": [["parameters/weight", [1]]] * 2}, "lists an impossible array"),
        ({"arrays": [["parameters/weight", [HUGE, HUGE]], ["parameters/bias", []]]}, "lists an impossible array"),
        ({"arrays": [["parameters/weight", [0, HUGE, HUGE]], ["parameters/bias", []]]}, "lists an impossible array"),
        ({"arrays": [["parameters/weight", [1] * 99], ["parameters/bias", []]]}, "lists an impossible array"),
        ({"arrays": [["parameters/weight", [10**9]], ["parameters/bias", []]]}, "array|parameters"),
        ({"arrays": [["parameters/weight", []], ["parameters/bias", [1]]]}, "array|parameters"),
        ({"arrays": [["parameters/weight", [1], "float16"]]}, "lists an impossible array"),
        ({"arrays": [["parameters/weight", [1], ["float64"]]]}, "lists an impossible array"),
        ({"arrays": [["parameters/weight", [1], "float64", 1]]}, "lists an impossible array"),
        ({"arrays": ["abc"]}, "lists an impossible array"),
        ({"arrays": [1]}, "lists an impossible array"),
        ({"arrays": [["parameters/weight", [1], "float32"], ["parameters/bias", []]]}, "size|not the float32 array"),
        ({"extra": {"$float": "xyz"}}, "malformed entry"),
        ({"extra": {"$float": 1}}, "malformed entry"),
        ({"extra": {"$float": "00"}}, "malformed entry"),
        ({"extra": {"a": {"$array": "parameters/none"}}}, "malformed entry"),
        ({"extra": {"a": {"$array": []}}}, "malformed entry"),
        ({"extra": {"$dict": [[1, 2]]}}, "malformed entry"),
        ({"extra": {"$dict": 1}}, "malformed entry"),
        ({"extra": {"$call": "exit"}}, "entry of unknown kind"),
        ({"extra": {"$float": "7ff8000000000000", "a": 1}}, "malformed entry"),
        ({"extra": {"$float": "7ff8000000000000"}}, "its extra is malformed"),
        ({"extra": {"a": json.loads("[" * 80 + "]" * 80)}}, "nested more than 64 deep"),
    ],
)
@pytest.mark.usefixtures("bounded")
def test_headers_that_cannot_be(path, changes, message, monkeypatch):
    if "arrays" in changes:  # which the checksum goes through
        monkeypatch.setattr(_header, "_checksum", lambda *_: "")
    forge(path, changes)
    with pytest.raises(saving.FormatError, match=message):
        saving.load(path)


@pytest.mark.parametrize("name", ["pygrad", "class", "architecture", "undescribed", "loss", "optimizer", "extra"])
def test_headers_that_lack_something(tmp_path, name):
    forge(tmp_path / "m.npz", {}, drop=[name])
    with pytest.raises(saving.FormatError, match=f"no proper field '{name}'"):
        saving.load(tmp_path / "m.npz")


def test_a_wrong_checksum(path, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(_header, "_checksum", lambda *_: "0" * 64)
        forge(path, {})
    with pytest.raises(saving.FormatError, match="does not match its checksum"):
        saving.load(path)


def test_an_altered_parameter_whose_zip_is_right(tmp_path):
    path = tmp_path / "m.npz"
    Neuron(1, seed=1).save(path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["parameters/bias.npy"] = members["parameters/bias.npy"][:-8] + struct.pack("<d", 1.0)
    path.write_bytes(zipped(members.items()))
    with pytest.raises(saving.FormatError, match="does not match its checksum"):
        saving.load(path)


def test_optimizers_and_histories_that_cannot_be(path):
    state = optim.Adam(Neuron(1)).state_dict()
    state["state"] = {name: array.tolist() for name, array in state["state"].items()}
    good = _header.packed(state, "", {}, "optimizer")
    forge(path, {"optimizer": good})
    assert isinstance(saving.load(path, training=True)[1], optim.Adam)
    for changes in (
        {"optimizer": "Optimizer"}, {"optimizer": ["Adam"]}, {"parameters": 5}, {"steps": -1}, {"lr": "x"},
        {"more": 1}, {"lr": {"schedule": "exec"}}, {"settings": {}}, {"settings": None}, {"state": {}},
        {"state": {"exp_avg": [1.0]}}, {"lr": 10**400},
    ):  # fmt: skip
        forge(path, {"optimizer": {**good, **changes}})
        with pytest.raises(saving.FormatError, match="its optimizer does not fit"):
            saving.load(path, training=True)
    rest = {"interrupted": False, "stopped": "", "partial": None, "settings": {}}
    for columns in ({"loss": ["x"]}, {"loss": [10**400]}, {"a": [1], "b": []}, 1, None):
        forge(path, {"history": {"columns": columns, **rest}})
        with pytest.raises(saving.FormatError, match="its history is malformed"):
            saving.load(path, training=True)


def test_reading_while_another_thread_saves(path):
    models = [MLP(1, [n]) for n in (1, 30)]
    models[0].save(path)
    errors = []

    def save():
        try:
            for i in range(40):
                models[i % 2].save(path)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=save)
    thread.start()
    while thread.is_alive():
        assert len(saving.load(path).parameters()) in (2, 60)
    thread.join()
    assert not errors
    assert os.listdir(path.parent) == [path.name]


def test_softmax_needs_no_arrays(path):
    Softmax().save(path)
    assert isinstance(saving.load(path), Softmax)
