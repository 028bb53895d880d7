"""The progress bar of training: tqdm's, where it is wanted and there. Draws nothing itself."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any


class Progress:
    """One bar over all batches of all epochs; or nothing.

    wanted: True for a bar, False for none, None for one if stderr is a terminal and tqdm is installed.

    Raises ImportError naming the extra if it is wanted and tqdm is not there.
    """

    def __init__(self, wanted: bool | None, epochs: int, batches: int, done: int) -> None:
        self._bar: Any = None
        self._epochs = epochs
        if wanted is None and not sys.stderr.isatty():
            return
        if wanted is None or wanted:
            try:
                tqdm = import_module("tqdm").tqdm
            except ImportError as error:
                if wanted:
                    raise ImportError("progress=True needs tqdm: pip install tqdm (the extra [progress])") from error
                return
            self._bar = tqdm(total=epochs * batches, initial=done, unit="batch", leave=True)

    def epoch_begins(self, epoch: int, path: str) -> None:
        """path: how the batches are computed, shown after the number of the epoch."""
        if self._bar is not None:
            self._bar.set_description(f"epoch {epoch}/{self._epochs}, {path}", refresh=False)

    def batch_done(self) -> None:
        if self._bar is not None:
            self._bar.update()

    def epoch_done(self, row: dict[str, float]) -> None:
        if self._bar is not None:
            shown = {k: f"{v:.4g}" for k, v in row.items() if k not in ("seconds", "learning_rate")}
            self._bar.set_postfix(shown, refresh=False)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
