"""Running an unmodified micrograd script on pygrad: `python -m pygrad run SCRIPT`.

While the script runs, `micrograd`, `micrograd.engine` and `micrograd.nn` are pygrad's modules, whether or not
micrograd is installed. The script is `__main__`, sees its own sys.argv and sys.path, and its traceback and exit
status are its own.
"""

from __future__ import annotations

import os
import sys
import types
from typing import Any


def alias_micrograd() -> None:
    """From now on, importing micrograd gives pygrad."""
    import pygrad
    import pygrad.engine
    import pygrad.nn

    sys.modules["micrograd"] = pygrad
    sys.modules["micrograd.engine"] = pygrad.engine
    sys.modules["micrograd.nn"] = pygrad.nn


def _own_frames(traceback: types.TracebackType | None, script: str) -> types.TracebackType | None:
    """The traceback from the script's first frame on; None if it never ran, as for a syntax error."""
    while traceback is not None and traceback.tb_frame.f_code.co_filename != script:
        traceback = traceback.tb_next
    return traceback


def run(script: str, arguments: list[str]) -> None:
    """Runs a script as `python SCRIPT ARGUMENTS` would. What it raises goes on to the caller.

    Raises OSError if the file cannot be read.
    """
    with open(script, "rb") as file:
        source = file.read()
    alias_micrograd()
    module = types.ModuleType("__main__")
    module.__file__ = script
    module.__builtins__ = __builtins__  # type: ignore[attr-defined]
    sys.modules["__main__"] = module
    sys.argv = [script, *arguments]
    sys.path[0] = os.path.dirname(os.path.realpath(script))

    def show(kind: type[BaseException], error: BaseException, traceback: types.TracebackType | None) -> Any:
        sys.__excepthook__(kind, error.with_traceback(_own_frames(traceback, script)), error.__traceback__)

    sys.excepthook = show
    exec(compile(source, script, "exec"), vars(module))  # that is the task
