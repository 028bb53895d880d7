"""The scripts in benchmarks/examples run as a reader would run them, in small sizes, and print what they promise."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pygrad import backends

EXAMPLES = Path(__file__).parent.parent / "benchmarks" / "examples"


def run(name: str, *arguments: str, backend: str = "c", cwd: Path | None = None) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", EXAMPLES / f"{name}.py", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYGRAD_BACKEND": backend, "MPLBACKEND": "Agg"},
        cwd=cwd,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


SMALL = {
    "notebook": ["--steps", "3"],
    "moons": ["--steps", "2", "--samples", "10"],
    "linear_regression": ["--steps", "20", "--samples", "8"],
    "xor": ["--epochs", "3", "--training", "1"],
    "digits": ["--epochs", "1", "--samples", "60"],
    "image_classifier": ["--train", "12", "--test", "5", "--size", "16", "--iterations", "3"],
}


def without_times(text: str) -> list[str]:
    return [line for line in text.splitlines() if "ms a step" not in line]


def test_every_example_is_tested():
    assert {path.stem for path in EXAMPLES.glob("*.py")} == set(SMALL)


@pytest.mark.parametrize("name", SMALL)
def test_it_prints_the_same_on_every_backend(name):
    if name == "digits":
        pytest.importorskip("sklearn")
    texts = {backend: without_times(run(name, *SMALL[name], backend=backend)) for backend in backends.NAMES}
    assert texts["python"]
    assert texts["c"] == texts["python"]
    assert texts["cffi"] == texts["python"]


def test_the_notebook_draws(tmp_path):
    out = run("notebook", "--steps", "1", "--pictures", str(tmp_path))
    for name in ("expression.svg", "neuron.svg", "network.svg"):
        assert f"drew {tmp_path / name}" in out
        assert (tmp_path / name).read_text(encoding="utf-8").startswith(("<svg", "<?xml"))


def test_moons_draws_its_boundary(tmp_path):
    pytest.importorskip("matplotlib")
    out = run("moons", "--steps", "2", "--samples", "20", "--picture", "moons.png", cwd=tmp_path)
    assert "drew moons.png" in out
    assert (tmp_path / "moons.png").read_bytes().startswith(b"\x89PNG")


def test_linear_regression_finds_least_squares():
    out = run("linear_regression")
    assert float(out.split("largest difference")[1]) < 1e-9


def test_xor_gives_the_known_numbers():
    out = run("xor", "--training", "40")
    assert "bias 0.49109442668900" in out
    assert "weights 0.0075080246374137" in out
    assert "loss 0.500000000000000" in out
    assert "loss 0.2500301383592" in out
    assert "outputs 0.000000  1.000000  1.000000  0.000000" in out
    assert float(out.split("accuracy ")[1].rstrip("%\n")) > 95


def test_digits_learns_saves_and_draws(tmp_path):
    pytest.importorskip("sklearn")
    pytest.importorskip("matplotlib")
    out = run("digits", "--epochs", "30", "--save", "digits.npz", "--picture", "curves.png", cwd=tmp_path)
    assert float(out.split("has not seen: ")[1].split("%")[0]) > 95
    assert "loaded with equal bits: digits.npz" in out
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_the_image_classifier_learns_and_draws(tmp_path):
    """Smaller pictures and a larger rate than its own, so that it takes seconds."""
    pytest.importorskip("matplotlib")
    options = ["--size", "32", "--iterations", "800", "--rate", "0.015", "--picture", "grid.png"]
    out = run("image_classifier", *options, cwd=tmp_path)
    assert "Linear 3072 -> 20" in out
    costs = [float(line.split(": ")[1]) for line in out.splitlines() if line.startswith("cost")]
    assert len(costs) == 9
    assert costs[-1] < 0.1 < costs[0]
    assert float(out.split("209 pictures to train with: ")[1].split("%")[0]) > 95
    assert float(out.split("50 pictures to test with: ")[1].split("%")[0]) > 70
    assert (tmp_path / "grid.png").read_bytes().startswith(b"\x89PNG")


def test_the_image_classifier_of_digits():
    pytest.importorskip("sklearn")
    out = run("image_classifier", "--digits", "--iterations", "500")
    assert "Linear 64 -> 20" in out
    assert float(out.split("360 pictures to test with: ")[1].split("%")[0]) > 90
