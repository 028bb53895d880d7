"""The examples in docstrings give what they say, with the backend in use."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path
from typing import Any

import pytest

import pygrad
from pygrad import backends

PACKAGE = Path(pygrad.__file__).parent
FILES = sorted(path for path in PACKAGE.rglob("*.py") if ">>> " in path.read_text(encoding="utf-8"))


@pytest.fixture(autouse=True)
def in_use() -> Any:
    before = backends.current
    yield
    pygrad.use(before)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_examples(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    parts = ["pygrad", *path.relative_to(PACKAGE).with_suffix("").parts]
    module = importlib.import_module(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    found = doctest.testmod(module, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert found.attempted > 0
    assert found.failed == 0


def test_the_example_of_compile_is_among_them() -> None:
    assert PACKAGE / "programs" / "compiled.py" in FILES
