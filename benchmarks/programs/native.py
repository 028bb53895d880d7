"""Hand-written C: compiled when it is asked for, with the machine's own compiler, and called through ctypes.

What was compiled is kept in the folder it is given, so that a run compiles each source once. Raises ImportError where
there is no C compiler. The C itself is in hand/.
"""

from __future__ import annotations

import ctypes
import os
import shlex
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

from .problems import Net

SOURCES = Path(__file__).with_name("hand")
# what C written by hand may do; pygrad itself is built with none of these
PLAIN = ("-O3", "-march=native")
STRICT = ("-O3", "-march=native", "-ffp-contract=off")
FAST = ("-Ofast", "-march=native")


def compiled(source: Path, target: Path, options: tuple[str, ...]) -> float | None:
    """Compiles a C file to a shared library. The seconds it took; None if `target` is there already."""
    if target.exists():
        return None
    compiler = shlex.split(os.environ.get("CC", "cc"))
    if shutil.which(compiler[0]) is None:
        raise ImportError(f"no C compiler: {compiler[0]} is not found; set CC")
    start = time.perf_counter()
    part, objects = target.with_suffix(".part"), target.with_suffix(".o")
    # linked without the options: -Ofast there has the library set its process to flush small numbers to zero
    for command in (
        [*compiler, "-std=gnu11", *options, "-fPIC", "-c", str(source), "-o", str(objects)],
        [*compiler, "-shared", str(objects), "-o", str(part), "-lm"],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(compiler)} failed on {source.name}: {done.stderr.strip()[:300]}")
    part.rename(target)
    return time.perf_counter() - start


def doubles(array: Any) -> Any:
    """A pointer to the numbers of a contiguous array of float64, which must outlive it."""
    return array.ctypes.data_as(ctypes.POINTER(ctypes.c_double))


def network(net: Net, kind: str, options: tuple[str, ...], folder: Path) -> ctypes.CDLL:
    """hand/mlp_samples.c or hand/mlp_lanes.c, for the sizes of this network."""
    names = [*net.sizes, 0][:4]
    given = {
        "SAMPLES": net.samples,
        "LAYERS": len(net.sizes) - 1,
        **{f"S{k}": size for k, size in enumerate(names)},
        "ACTIVATION": net.activation.upper(),
        "LOSS": net.loss.upper(),
        "PENALTY": net.penalty,
    }
    target = folder / f"{net.name}-{net.samples}-{kind}{'-'.join(options)}.so"
    compiled(SOURCES / f"mlp_{kind}.c", target, (*options, *(f"-D{k}={v}" for k, v in given.items())))
    library = ctypes.CDLL(str(target))
    library.value_and_grad.restype = ctypes.c_double
    library.train.argtypes = [ctypes.c_void_p, ctypes.c_double, ctypes.c_int, ctypes.c_void_p]
    library.train.restype = None
    return library


def scalar_functions(options: tuple[str, ...], folder: Path) -> ctypes.CDLL:
    """hand/functions.c."""
    target = folder / f"functions{'-'.join(options)}.so"
    compiled(SOURCES / "functions.c", target, options)
    library = ctypes.CDLL(str(target))
    library.rosenbrock.restype = library.bodies.restype = ctypes.c_double
    return library
