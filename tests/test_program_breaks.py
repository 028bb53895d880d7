"""Uses of compiled functions that once went wrong, each as small as it could be made.

What programs do in ordinary use is tested in the other files.
"""

from __future__ import annotations

from typing import Any

import pytest

import pygrad
from pygrad import backends


@pytest.fixture(autouse=True)
def in_use(request: pytest.FixtureRequest) -> Any:
    """pygrad uses the backend of the test."""
    before = backends.current
    if "backend" in request.fixturenames:
        pygrad.use(request.getfixturevalue("backend"))
    yield
    pygrad.use(before)


def test_sums_of_plain_numbers(backend: str, Value: Any) -> None:
    w = Value(2.0)

    @pygrad.compile
    def f(x: Any) -> Any:
        number = pygrad.sum([]) + pygrad.sum([1.0, 2.0]) + pygrad.dot([1.0], [2.0], 0.5) + pygrad.logsumexp([3.0])
        assert type(number) is float
        return number * w * x

    assert f([1.0, -1.0]).tolist() == [17.0, -17.0]
    assert f.value_and_grad([1.0, 3.0], reduction="sum")[1].tolist() == [34.0]
