"""Programs as pickles: what comes back, and that damaged or hostile ones are errors."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest

import pygrad
from pygrad.functions import pick
from pygrad.optim import SGD
from pygrad.programs import compile as compiled
from pygrad.programs.pickled import restored
from pygrad.saving import FormatError

from .program_cases import Case, same


@pytest.fixture
def case(Value):
    return Case(Value)


DTYPES = ("u1", "<u4", "<u4", "<f8", "<u4", "<f8")


def _parts(program):
    """Header, arrays as bytes, checksum."""
    return list(program.__reduce__()[1])


def _arrays(parts):
    """The arrays among the parts, to be changed."""
    return [np.frombuffer(data, dtype).copy() for data, dtype in zip(parts[1:-1], DTYPES)]


def test_a_program_pickles(case):
    f, X, y = case.compiled, case.X, case.y
    f.record(X, y)
    program = pickle.loads(pickle.dumps(f.program))
    same(program(X, y), f(X, y))
    same(program.value_and_grad(X, y)[1], f.value_and_grad(X, y)[1])
    assert program.value_and_grad(X, y)[0] == f.value_and_grad(X, y)[0]
    assert program.parameters == ()
    assert program.parameter_count == 2
    program.minimize(X, y, lr=0.1, epochs=3)
    f.minimize(X, y, lr=0.1, epochs=3)
    same(program.parameter_vector, [case.a.data, case.b.data])
    with pytest.raises(TypeError, match="has no Values"):
        program.backward(X, y)
    with pytest.raises(ValueError, match=r"not those of the program \(0\)"):
        program.minimize(X, y, optimizer=SGD([case.a, case.b]))
    same(pickle.loads(pickle.dumps(program))(X, y), f(X, y))
    assert "tanh" in str(program)
    with pytest.raises(TypeError, match="can't be pickled"):
        pickle.dumps(f)


def test_a_program_with_classes_and_several_outputs_pickles(engine):
    c = engine(0.5)
    f = compiled(lambda x, y: (pick(x, y) * c, [x[0], x[1].leaky_relu(0.25)]), backend=engine._pygrad_backend)
    X, y = [[1.0, -2.0], [3.0, 4.0]], [1, 0]
    first = f(X, y)
    again = pickle.loads(pickle.dumps(f.program))(X, y)
    same(first[0], again[0])
    same(first[1], again[1])


def _fixed(parts):
    """The parts with the checksum that fits them."""
    from pygrad.programs.pickled import _checksum

    parts[-1] = _checksum(parts[0], parts[1:-1])
    return parts


def test_a_damaged_pickle_is_an_error(case):
    case.compiled.record(case.X, case.y)
    whole = _parts(case.compiled.program)
    assert restored(*whole)(case.X, case.y).shape == (7,)
    with pytest.raises(FormatError, match="number of parts"):
        restored()
    for i in range(len(whole)):
        parts = list(whole)
        if isinstance(parts[i], bytes):
            parts[i] = bytes([parts[i][0] ^ 1]) + parts[i][1:]
        else:
            parts[i] = parts[i] + (" " if i == 0 else 1)
        with pytest.raises(FormatError, match="checksum"):
            restored(*parts)
        for other in (None, 3.5, b"x", bytearray(8), "\ud800", [], np.zeros(2), float):
            parts = list(whole)
            parts[i] = other
            with pytest.raises(FormatError):
                restored(*parts)


def test_every_flipped_bit_is_an_error_or_changes_nothing():
    """Of a whole pickle, in a process of its own. Nothing but pygrad's own function may be looked up, least of all one
    that makes a dtype, or an array, of what a damaged pickle says."""
    a = pygrad.Value(3.0)
    data = pickle.dumps(compiled(lambda x: a * x.tanh()).record([1.0]))
    looked_up = []

    class Unpickler(pickle.Unpickler):
        def find_class(self, module, name):
            looked_up.append((module, name))
            return super().find_class(module, name)

    Unpickler(io.BytesIO(data)).load()
    assert looked_up == [("pygrad.programs.pickled", "restored")]
    code = """if True:
        import pickle
        from pygrad.programs import Program
        data = bytes.fromhex(input())
        expected, loaded = pickle.loads(data)([0.5, 1.5]).tolist(), 0
        for i in range(8 * len(data)):
            damaged = bytearray(data)
            damaged[i // 8] ^= 1 << i % 8
            try:
                program = pickle.loads(damaged)
            except Exception:
                continue
            if isinstance(program, Program):
                assert program([0.5, 1.5]).tolist() == expected
                loaded += 1
        assert loaded  # of bits that mean nothing
    """
    run = subprocess.run([sys.executable, "-c", code], input=data.hex(), capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_hostile_pickles_are_errors_or_harmless(case):
    """Numbers changed at random, with checksums that fit."""
    case.compiled.record(case.X, case.y)
    whole = _parts(case.compiled.program)
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(400):
        arrays = _arrays(whole)
        i = int(rng.integers(len(arrays)))
        if rng.random() < 0.2:
            arrays[i] = arrays[i][: int(rng.integers(0, len(arrays[i])))]
        else:
            at = int(rng.integers(len(arrays[i])))
            if arrays[i].dtype == np.float64:
                arrays[i][at] = rng.choice([np.nan, -1.0, 1e300, 0.5, 7.0, 2.0**32])
            else:
                arrays[i][at] = rng.choice([0, 1, 2, 5, 200, np.iinfo(arrays[i].dtype).max])
        try:
            program = restored(*_fixed([whole[0], *(array.tobytes() for array in arrays), 0]))
            program(case.X, case.y)
            program.value_and_grad(case.X, case.y)
        except FormatError:
            refused += 1
        except (TypeError, ValueError):  # a program with other shapes, or none to differentiate
            pass
    assert refused > 50


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"version": 1', '"version": 2'), ('"version": 1', '"version": []'), ('"parameters": 2', '"parameters": 3'),
        ('"parameters": 2', '"parameters": -1'), ('"shapes": [[2], []]', '"shapes": [[2147483647], [2147483647]]'),
        ('"shapes": [[2], []]', '"shapes": [[2]]'), ('"shapes": [[2], []]', '"shapes": [[1], []]'),
        ('"shapes": [[2], []]', '"shapes": 5'), ('"classes": []', '"classes": [[0, 0]]'),
        ('"classes": []', '"classes": [[5, 0, 3]]'), ('"outputs": [[]]', '"outputs": [[3]]'),
        ('"outputs": [[]]', '"outputs": []'), ('"tanh"', '"user"'), ('"tanh"', "7"), ("{", "["), ("{", "[" * 100000),
        ('"threads": 0', '"threads": 1e9'), ('"threads": 0', '"threads": true'),
    ],
)  # fmt: skip
def test_a_header_that_lies(case, old, new):
    case.compiled.record(case.X, case.y)
    parts = _parts(case.compiled.program)
    assert old in parts[0]
    parts[0] = parts[0].replace(old, new, 1)
    with pytest.raises(FormatError, match="no pickled program"):
        restored(*_fixed(parts))


def test_a_program_works_in_another_process(tmp_path):
    a = pygrad.Value(3.0)
    f = compiled(lambda x: a * x.tanh())
    path = tmp_path / "program"
    path.write_bytes(pickle.dumps(f.record([1.0])))
    code = "import pickle, sys; print(pickle.load(open(sys.argv[1], 'rb')).value_and_grad([0.5, 1.5]))"
    found = _in_another_process(code, str(path))
    assert found.strip() == repr(f.value_and_grad([0.5, 1.5]))


def _in_another_process(code, *arguments, **environment):
    """What it prints, or the last line of its error."""
    run = subprocess.run(
        [sys.executable, "-c", code, *arguments], env={**os.environ, **environment}, capture_output=True, text=True
    )
    return run.stdout or run.stderr.splitlines()[-1]


def test_the_environment_chooses_the_instruction_set():
    code = "from pygrad.programs import isa; print(isa())"
    assert _in_another_process(code, PYGRAD_ISA="baseline") == "baseline\n"
    call = "import pygrad.programs; pygrad.programs.compile(lambda x: x * x)([1.0])"
    for wrong in (code, call):
        said = _in_another_process(wrong, PYGRAD_ISA="sse9")
        assert said.startswith("ValueError: no instruction set 'sse9' on this processor: choose one of ")


def test_a_pick_of_more_classes_than_values_is_refused(engine):
    f = compiled(lambda x, y: pick(x, y), backend=engine._pygrad_backend)
    parts = _parts(f.record([[1.0, 2.0]], [1]))
    assert restored(*parts)([[1.0, 2.0]], [1]).tolist() == [2.0]
    for wrong in ("[1, 0, 3]", "[1, 0, 0]", "[0, 0, 2]", "[1, 1, 2]"):
        changed = [parts[0].replace("[1, 0, 2]", wrong), *parts[1:]]
        assert changed[0] != parts[0]
        with pytest.raises(FormatError):
            restored(*_fixed(changed))


def test_what_a_pickle_says_takes_no_memory(engine):
    """Of samples as wide as they may be."""
    f = compiled(lambda x: x[0] * x[2], backend=engine._pygrad_backend)
    parts = _parts(f.record([[1.0, 2.0, 3.0]]))
    parts[0] = parts[0].replace('"shapes": [[3]]', '"shapes": [[0], [16777216]]').replace('["x"]', '["x", "y"]')
    tracemalloc.start()
    try:
        program = restored(*_fixed(parts))
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
    assert program.layout.numbers == (False, True)
