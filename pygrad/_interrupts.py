"""Ctrl-C in training: put off while parameters are being changed, so that it never leaves a step half taken.

Only Python's own handler of SIGINT is replaced, in the main thread, and put back; a program's own handler stays.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any


class Interrupts:
    """Once installed, a Ctrl-C inside `with interrupts:` raises KeyboardInterrupt at the end of that block.

    A second Ctrl-C in the same block is raised at once, so that one that hangs can be left.
    """

    def __init__(self) -> None:
        self._holding = False
        self._pending = False
        self._replaced: Any = None

    def install(self) -> None:
        """From now on. Does nothing outside the main thread, or where a program handles SIGINT itself."""
        if threading.current_thread() is not threading.main_thread():
            return
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            self._replaced = signal.signal(signal.SIGINT, self._handle)

    def remove(self) -> None:
        """Puts the handler back."""
        if self._replaced is not None:
            signal.signal(signal.SIGINT, self._replaced)
            self._replaced = None

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._holding and not self._pending:
            self._pending = True
            return
        self._pending = False
        raise KeyboardInterrupt

    def taken(self) -> bool:
        """Whether a Ctrl-C was put off; it is then forgotten."""
        pending, self._pending = self._pending, False
        return pending

    def __enter__(self) -> None:
        self._holding = True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._holding = False
        if kind is None and self.taken():
            raise KeyboardInterrupt
