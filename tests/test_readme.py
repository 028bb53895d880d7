"""The README's Python: its blocks run one after the other, in an empty folder, as a reader would type them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).parent.parent / "README.md"
FENCE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_python_blocks(tmp_path):
    blocks = FENCE.findall(README.read_text(encoding="utf-8"))
    assert len(blocks) >= 5
    script = tmp_path / "readme.py"
    script.write_text("\n".join(blocks), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", script],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYGRAD_BACKEND": "c"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert {"moons.npz", "graph.svg"} <= {path.name for path in tmp_path.iterdir()}
