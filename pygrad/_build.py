"""The cffi build script, read by setup.py (`cffi_modules=`). Not imported at run time.

The cdef is csrc/pygrad.h itself, without its preprocessor lines: one text declares the C API to C and to cffi.
"""

import os
import platform
import re
import sysconfig
from typing import Any

import cffi

CSRC = "csrc"  # relative to setup.py, as setuptools wants it
LIBRARY = [
    "arena.c", "formulas_exact.c", "graph.c", "kernels.c", "kernels_avx2.c", "kernels_avx512.c", "kernels_baseline.c",
    "layers.c", "listing.c", "optim.c", "pool.c", "program_check.c", "program_formula.c", "program_isa.c",
    "program_run.c", "program_space.c", "towards.c", "training.c",
]  # fmt: skip
BINDING = [
    "handle.c", "value.c", "value_array.c", "value_attributes.c", "value_listing.c", "value_making.c", "value_nary.c",
    "value_network.c", "value_parameters.c",
]  # fmt: skip

# the binding needs CPython's limited API, which free-threaded CPython and PyPy do not have
NATIVE = platform.python_implementation() == "CPython" and not sysconfig.get_config_var("Py_GIL_DISABLED")
LIMITED_API = "0x030a0000"  # Python 3.10


def declarations(header: str) -> str:
    """The declarations of a C header: what is left without its comments and preprocessor lines."""
    with open(os.path.join(CSRC, header), encoding="utf-8") as file:
        text = re.sub(r"/\*.*?\*/", "", file.read(), flags=re.DOTALL)
    return "\n".join(line for line in text.splitlines() if not line.startswith("#"))


ffibuilder = cffi.FFI()
ffibuilder.cdef(declarations("pygrad.h"))
_options: dict[str, Any] = {
    "sources": [f"{CSRC}/{name}" for name in LIBRARY],
    "depends": sorted(f"{CSRC}/{name}" for name in os.listdir(CSRC) if name.endswith((".h", ".inc"))),
    "include_dirs": [CSRC],
}
_source = '#include "pygrad.h"\n'
if NATIVE:
    ffibuilder.cdef(declarations("native.h"))
    _options["sources"] += [f"{CSRC}/{name}" for name in BINDING]
    _options["define_macros"] = [("Py_LIMITED_API", LIMITED_API)]
    _source += '#include "native.h"\n'
ffibuilder.set_source("pygrad._pygrad", _source, **_options)
