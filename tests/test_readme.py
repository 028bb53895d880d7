"""The Python of the READMEs: a file's blocks run one after the other, in an empty folder, as a reader would.

Where a block of text follows one of Python, that is what it prints: '...' stands for anything, and line breaks for
spaces. Files in errors are called example.py; times are nowhere looked at.
"""

from __future__ import annotations

import doctest
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(
    r"^(?:<!-- needs (?P<needs>\w+) -->\n)?```python\n(?P<code>.*?)^```$(?:\n\n```text\n(?P<printed>.*?)^```$)?",
    re.MULTILINE | re.DOTALL,
)
END = "---- end of block ----"
FILES = {"README.md": {"moons.npz", "graph.svg"}, "pygrad/programs/README.md": {"squared.c"}}
"""The files, and what their examples leave behind."""


class Block(NamedTuple):
    needs: str | None
    code: str
    printed: str | None


def blocks_of(name: str) -> list[Block]:
    """Those whose packages are installed."""
    text = (ROOT / name).read_text(encoding="utf-8")
    assert len(BLOCK.findall(text)) == text.count("\n```python\n")
    assert sum(m["printed"] is not None for m in BLOCK.finditer(text)) == text.count("\n```text\n")
    found = [Block(m["needs"], m["code"], m["printed"]) for m in BLOCK.finditer(text)]
    return [block for block in found if block.needs is None or importlib.util.find_spec(block.needs)]


@pytest.mark.parametrize("name", FILES)
def test_python_blocks(name: str, tmp_path: Path) -> None:
    blocks = blocks_of(name)
    assert len(blocks) >= 5
    script = tmp_path / "all.py"
    lines = [f"exec(compile({b.code!r}, 'example.py', 'exec'))\nprint({END!r})\n" for b in blocks]
    script.write_text("".join(lines), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", script],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYGRAD_BACKEND": "c"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert FILES[name] <= {path.name for path in tmp_path.iterdir()}
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    for block, printed in zip(blocks, done.stdout.split(END + "\n"), strict=False):
        if block.printed is not None and not doctest.OutputChecker().check_output(block.printed, printed, flags):
            pytest.fail(f"{block.code}\nprints\n{printed}\nand not\n{block.printed}")
