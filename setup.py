"""Builds the C extension; everything else about the package is in pyproject.toml."""

import os
import platform
import shlex
import shutil
import sys

from setuptools import setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError

# Contraction of a*b+c into one rounding, or -ffast-math, would change bits: never.
GNU_FLAGS = ["-std=c11", "-O2", "-ffp-contract=off", "-fno-fast-math", "-fno-math-errno", "-fvisibility=hidden"]
MSVC_FLAGS = ["/std:c11", "/O2", "/fp:precise"]

# The kernels of programs, one translation unit an instruction set. Trapping is of no account (nobody reads the flags of
# the floating-point unit); values stay what they are.
GNU_KERNEL_FLAGS = ["-O3", "-fno-trapping-math"]
GNU_SETS = {
    "kernels_avx2.c": ["-mavx2"],
    "kernels_avx512.c": ["-mavx512f", "-mavx512dq", "-mavx512vl", "-mavx512bw", "-mprefer-vector-width=512"],
}
MSVC_SETS = {"kernels_avx2.c": ["/arch:AVX2"], "kernels_avx512.c": ["/arch:AVX512"]}

NO_COMPILER = """
pygrad is built from C, and no C compiler was found (tried: {command}).
  Debian, Ubuntu:  sudo apt-get install build-essential python3-dev
  Fedora:          sudo dnf install gcc python3-devel
  macOS:           xcode-select --install
  Windows:         the "Desktop development with C++" part of Visual Studio Build Tools
If you have one elsewhere, name it: CC=/path/to/cc pip install .
"""


class BuildExtension(build_ext):
    """build_ext with the flags that keep every bit, and a clear word where there is no compiler."""

    def build_extensions(self):
        msvc = self.compiler.compiler_type == "msvc"
        if not msvc:
            command = self.compiler.compiler_so[0]
            if not shutil.which(shlex.split(command)[0]):
                sys.exit(NO_COMPILER.format(command=command))
        for extension in self.extensions:
            extension.extra_compile_args += MSVC_FLAGS if msvc else GNU_FLAGS
            if not msvc:
                extension.libraries.append("m")
        super().build_extensions()

    def build_extension(self, ext):
        compile_all = self.compiler.compile

        def compile_each(sources, *, extra_postargs, **options):
            """Each set of kernels with flags of its own, the rest together."""
            sets = {source: self.kernel_flags(source) for source in sources if is_kernels(source)}
            others = [source for source in sources if source not in sets]
            objects = compile_all(others, extra_postargs=extra_postargs, **options)
            for source, flags in sets.items():
                try:
                    objects += compile_all([source], extra_postargs=[*extra_postargs, *flags], **options)
                except CompileError:  # a compiler older than the instruction set: the set is left out
                    objects += compile_all([source], extra_postargs=extra_postargs, **options)
                    print(f"pygrad: {source} without {flags}, which this compiler does not take", file=sys.stderr)
            return objects

        self.compiler.compile = compile_each
        try:
            super().build_extension(ext)
        finally:
            self.compiler.compile = compile_all

    def kernel_flags(self, source):
        msvc = self.compiler.compiler_type == "msvc"
        flags = (MSVC_SETS if msvc else GNU_SETS).get(os.path.basename(source), [])
        if platform.machine().lower() not in ("x86_64", "amd64") or sys.maxsize < 2**32:
            flags = []
        if self.compiler.compiler_type == "mingw32":  # its GCC does not align the stack for wide vectors
            flags = []
        if sys.platform == "darwin":  # of a universal build, the half that has the instructions
            flags = [part for flag in flags for part in ("-Xarch_x86_64", flag)]
        return flags if msvc else [*GNU_KERNEL_FLAGS, *flags]


def is_kernels(source):
    """One of the translation units that kernels.inc is compiled in."""
    return os.path.basename(source).startswith("kernels_")


setup(
    cffi_modules=["pygrad/_build.py:ffibuilder"],
    cmdclass={"build_ext": BuildExtension},
    options={"bdist_wheel": {"py_limited_api": "cp310"}},
)
