"""Running an unmodified micrograd script on pygrad: `python -m pygrad run SCRIPT`.

While the script runs, `micrograd`, `micrograd.engine` and `micrograd.nn` are pygrad's modules, whether or not
micrograd is installed. The script is `__main__`, sees its own sys.argv and sys.path, and its traceback and exit
status are its own. Processes that it starts afresh (multiprocessing's spawn) know nothing of this; forked ones do.
"""

from __future__ import annotations

import builtins
import os
import sys
import time
import types
from typing import Any

SECONDS_FILE = "PYGRAD_RUN_SECONDS_FILE"
"""The environment variable that names a file for the seconds the script takes. The script does not see it."""


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
    path = os.path.abspath(script)
    alias_micrograd()
    module = types.ModuleType("__main__")
    module.__file__ = path
    vars(module).update(__builtins__=builtins, __cached__=None)
    sys.modules["__main__"] = module
    sys.argv = [script, *arguments]
    folder = os.path.dirname(os.path.realpath(script))
    if not getattr(sys.flags, "safe_path", False):  # with -P, neither `python -m` nor a script adds its folder
        sys.path[0] = folder

    def show(kind: type[BaseException], error: BaseException, traceback: types.TracebackType | None) -> Any:
        sys.__excepthook__(kind, error.with_traceback(_own_frames(traceback, path)), error.__traceback__)

    sys.excepthook = show
    code = compile(source, path, "exec", dont_inherit=True)  # with none of this file's own __future__ imports
    seconds_file, process, start = os.environ.pop(SECONDS_FILE, None), os.getpid(), time.perf_counter()
    try:
        exec(code, vars(module))
    finally:
        if seconds_file and os.getpid() == process:  # not in a fork of the script
            with open(seconds_file, "w", encoding="ascii") as out:
                out.write(repr(time.perf_counter() - start))
