"""A file is replaced as a whole or not at all: what fails leaves the old file, and nothing else."""

from __future__ import annotations

import errno
import os

import pytest

from pygrad import saving
from pygrad.nn import MLP, Neuron


class Interrupted(BaseException):
    pass


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "no space"), Interrupted(), MemoryError()])
@pytest.mark.parametrize("at", ["fsync", "replace", "write", "chmod"])
def test_a_failure_leaves_the_old_file(path, monkeypatch, at, error):
    Neuron(1).save(path)
    before = path.read_bytes()

    def fail(*args, **kwargs):
        raise error

    if at == "write":
        kind = saving.container(str(path))

        def partly(file, header, arrays):
            file.write(b"half")
            file.flush()
            raise error

        monkeypatch.setattr(kind, "write", partly)
    else:
        monkeypatch.setattr(os, at, fail)
    with pytest.raises(type(error)):
        MLP(3, [3]).save(path)
    monkeypatch.undo()
    assert os.listdir(path.parent) == [path.name]
    assert path.read_bytes() == before


def test_a_failure_leaves_no_new_file(path, monkeypatch):
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(PermissionError(errno.EACCES, "no")))
    with pytest.raises(PermissionError):
        Neuron(1).save(path)
    assert os.listdir(path.parent) == []


@pytest.mark.skipif(os.name != "posix", reason="permissions as POSIX has them")
def test_permissions_and_links(path):
    before = os.umask(0o027)
    try:
        Neuron(1).save(path)
        assert path.stat().st_mode & 0o777 == 0o640
        path.chmod(0o600)
        link = path.with_name(f"link{path.suffix}")
        link.symlink_to(path.name)
        Neuron(2).save(link)
    finally:
        os.umask(before)
    assert link.is_symlink()
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(saving.load(path).parameters()) == 3
