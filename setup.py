"""Builds the C extension; everything else about the package is in pyproject.toml."""

import shlex
import shutil
import sys

from setuptools import setup
from setuptools.command.build_ext import build_ext

# Contraction of a*b+c into one rounding, or -ffast-math, would change bits: never.
GNU_FLAGS = ["-std=c11", "-O2", "-ffp-contract=off", "-fno-fast-math", "-fno-math-errno", "-fvisibility=hidden"]
MSVC_FLAGS = ["/std:c11", "/O2", "/fp:precise"]

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


setup(
    cffi_modules=["pygrad/_build.py:ffibuilder"],
    cmdclass={"build_ext": BuildExtension},
    options={"bdist_wheel": {"py_limited_api": "cp310"}},
)
