"""What every test file uses: the backends as a parameter, and the comparison of floats by their bits."""

from __future__ import annotations

import gc
import signal
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from pygrad import backends

settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("sanitizer", settings.get_profile("default"), max_examples=15)
settings.load_profile("default")

ENGINES = ("cffi", "c")
"""The backends whose graph is in C."""


@pytest.hookimpl(trylast=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`backend` is each backend's name in turn, `engine_name` each of those in C. Last, so that ids end in it."""
    if "backend" in metafunc.fixturenames:
        metafunc.parametrize("backend", backends.NAMES[::-1])
    if "engine_name" in metafunc.fixturenames:
        metafunc.parametrize("engine_name", ENGINES)


@pytest.fixture
def Value(backend: str) -> type:  # it is a class
    """The Value type of each backend in turn."""
    return backends.load(backend)


@pytest.fixture
def engine(engine_name: str) -> type:
    """The Value type of each backend whose graph is in C."""
    return backends.load(engine_name)


@pytest.fixture
def live(engine: type) -> Iterator[Callable[[], int]]:
    """A function that counts the live nodes, less those before the test. At the end there must be none."""
    gc.collect()
    before = engine._stats()[0]

    def count() -> int:
        return engine._stats()[0] - before

    yield count
    gc.collect()
    assert count() == 0, "nodes outlived the test"


@pytest.fixture(params=[".npz", ".safetensors"])
def suffix(request: pytest.FixtureRequest) -> str:
    """The suffix of each kind of file that a model is saved in."""
    if request.param == ".safetensors":
        pytest.importorskip("safetensors")
    return str(request.param)


@pytest.fixture
def path(tmp_path: Path, suffix: str) -> Path:
    """A path for a model, in an empty folder."""
    return tmp_path / f"model{suffix}"


def bits(x: float) -> int:
    """The 64 bits of a float; every nan counts as the same (IEEE 754 leaves its sign and payload open)."""
    return struct.unpack("<Q", struct.pack("<d", x if x == x else float("nan")))[0]


@pytest.fixture(autouse=True, scope="session")
def ctrl_c():
    """A shell starts its background jobs with SIGINT ignored, and so would be what the tests start."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
