"""C files compiled and loaded: what Program.to_c writes, called from Python with arrays."""

from __future__ import annotations

import ctypes
import itertools
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

FLAGS = ["-std=c99", "-Wall", "-Wextra", "-Wconversion", "-pedantic", "-Werror", "-Wmissing-prototypes", "-Wshadow",
         "-Wsign-conversion", "-Wdouble-promotion",
         "-ffp-contract=off", "-fno-builtin"]  # fmt: skip
"""Warnings are errors."""

_numbers = itertools.count()


def compiler() -> str:
    """The system's C compiler; skips where there is none."""
    found = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if found is None:
        pytest.skip("there is no C compiler: neither cc nor gcc nor clang")
    return found


def compile_c(text: str, folder: Path, *options: str) -> Path:
    """The shared object of a C file."""
    source = folder / f"program{next(_numbers)}.c"
    source.write_text(text, encoding="ascii")
    made = source.with_suffix(".so")
    done = subprocess.run(
        [compiler(), *FLAGS, *(options or ("-O1",)), "-shared", "-fPIC", str(source), "-o", str(made), "-lm"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[:4000]
    assert not done.stderr
    return made


class CFile:
    """Programs in one C file, by the names they were given."""

    def __init__(self, programs: dict[str, Any], folder: Path, *options: str) -> None:
        self.programs = programs
        text = "\n".join(program.to_c(name) for name, program in programs.items())
        self.library = ctypes.CDLL(str(compile_c(text, folder, *options)))

    def call(self, name: str, arguments: list[Any], out: np.ndarray, result: Any = None) -> Any:
        """NAME(parameters, *arguments, out): floats and ints as such, arrays as pointers."""
        program = self.programs[name.rpartition("_")[0]]
        function = getattr(self.library, name)
        function.restype = result
        theta = np.frombuffer(program.source.numbers())
        converted = [_converted(x) for x in (theta, *arguments, out)]
        return function(*converted)

    def value(self, name: str, *sample: Any) -> np.ndarray:
        """The outputs, one after the other."""
        size = sum(int(np.prod(shape)) for shape in self.programs[name].outputs.shapes)
        outputs = np.full(size, 7.25)
        self.call(f"{name}_value", list(sample), outputs)
        return outputs

    def gradient(self, name: str, *sample: Any, start: np.ndarray | None = None) -> tuple[float, np.ndarray]:
        gradient = np.zeros(self.programs[name].parameter_count) if start is None else start.copy()
        return self.call(f"{name}_gradient", list(sample), gradient, ctypes.c_double), gradient

    def loss(self, name: str, *arrays: Any) -> tuple[float, np.ndarray]:
        gradient = np.full(self.programs[name].parameter_count, 7.25)
        samples = ctypes.c_size_t(len(arrays[0]))
        return self.call(f"{name}_loss", [samples, *arrays], gradient, ctypes.c_double), gradient


def _converted(x: Any) -> Any:
    if isinstance(x, np.ndarray):
        assert x.flags.c_contiguous
        kind = ctypes.c_double if x.dtype.kind == "f" else ctypes.c_int64
        return x.ctypes.data_as(ctypes.POINTER(kind))
    if isinstance(x, (int, np.integer)):
        return ctypes.c_int64(int(x))
    return ctypes.c_double(x) if isinstance(x, float) else x
