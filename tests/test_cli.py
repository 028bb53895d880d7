"""The command line, each command in a process of its own, in an empty folder, as a user runs it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap

import pytest

import pygrad
from pygrad import backends


@pytest.fixture
def command(tmp_path):
    """Runs `python -m pygrad` with arguments in an empty folder."""

    def run(*arguments, script=None, **environment):
        if script is not None:
            (tmp_path / "script.py").write_text(textwrap.dedent(script))
        return subprocess.run(
            [sys.executable, "-m", "pygrad", *arguments],
            capture_output=True, text=True, cwd=tmp_path, env={**os.environ, **environment}, check=False,
        )  # fmt: skip

    return run


SCRIPT = """
    import sys
    from micrograd.engine import Value
    from micrograd.nn import MLP, Neuron, Layer, Module
    import micrograd
    import micrograd.nn as nn
    assert nn.MLP is MLP and micrograd.engine.Value is Value
    a = Value(-4.0)
    b = (a * 2 + 1).relu() - a
    b.backward()
    print(__name__, sys.argv, Value._pygrad_backend, b, a.grad)
    import helper
    print(helper.__file__.endswith("helper.py"))
"""


@pytest.mark.parametrize("installed", [True, False])
@pytest.mark.parametrize("name", [None, *backends.NAMES])
def test_run(command, tmp_path, name, installed):
    (tmp_path / "helper.py").write_text("")
    if not installed:
        (tmp_path / "micrograd").mkdir()  # a folder that would win over an installed micrograd, and breaks
        (tmp_path / "micrograd" / "__init__.py").write_text("raise ImportError('not this one')")
    option = ["--backend", name] if name else []
    out = command("run", *option, "script.py", "x", "--backend", "-h", script=SCRIPT)
    assert out.stderr == ""
    assert out.stdout == (
        f"__main__ ['script.py', 'x', '--backend', '-h'] {name or 'c'} Value(data=4.0, grad=1.0) -1.0\nTrue\n"
    )
    assert out.returncode == 0


def test_run_shows_the_scripts_own_traceback(command, tmp_path):
    script = """
        from micrograd.engine import Value

        def divide(a):
            return a / 0

        divide(Value(1))
    """
    out = command("run", "script.py", script=script)
    (tmp_path / "plain.py").write_text(textwrap.dedent(script).replace("from micrograd.engine", "from pygrad"))
    plain = subprocess.run([sys.executable, "plain.py"], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert out.returncode == plain.returncode == 1
    frames = [re.sub(r'"[^"]*(script|plain)\.py"', '"it"', text) for text in (out.stderr, plain.stderr)]
    assert frames[0] == frames[1]
    assert "__main__.py" not in out.stderr
    assert out.stderr.endswith("ZeroDivisionError: division by zero: 1.0 / 0.0\n")


def test_run_shows_chained_errors_and_syntax_errors(command):
    out = command("run", "script.py", script="try:\n    1 / 0\nexcept ZeroDivisionError:\n    {}['x']\n")
    assert "During handling of the above exception" in out.stderr
    assert "pygrad" not in out.stderr
    out = command("run", "script.py", script="x = (\n")
    assert out.returncode == 1
    assert out.stderr.startswith('  File "')
    assert "was never closed" in out.stderr


@pytest.mark.parametrize(
    ("body", "status"), [("sys.exit(7)", 7), ("sys.exit()", 0), ("sys.exit('no')", 1), ("raise KeyboardInterrupt", -2)]
)
def test_run_exits_as_the_script_does(command, body, status):
    out = command("run", "script.py", script=f"import sys\n{body}\n")
    assert out.returncode in (status, 130 if status == -2 else status)


def test_run_hands_on_a_double_dash(command):
    script = "import sys; print(sys.argv)"
    for arguments in (["--", "a", "--b"], ["a", "--", "--"]):
        out = command("run", "script.py", *arguments, script=script)
        assert out.stdout == f"{['script.py', *arguments]}\n"


def test_run_reads_the_environment(command):
    script = "import micrograd.engine as e; print(e.Value._pygrad_backend)"
    out = command("run", "script.py", script=script, PYGRAD_BACKEND="cffi")
    assert out.stdout == "cffi\n"


def test_run_of_a_missing_script(command, tmp_path):
    for name in ("nothing.py", "."):
        out = command("run", name)
        assert out.returncode == 2
        assert f"error: no such script: {name}" in out.stderr
    out = command("run")
    assert out.returncode == 2
    assert "SCRIPT" in out.stderr


def test_wrong_command_lines(command):
    for arguments, message in [
        (["fly"], "invalid choice"), (["demo", "--steps", "0"], "must be at least 1"),
        (["demo", "--steps", "x"], "an integer, not 'x'"), (["info", "--backend", "fast"], "invalid choice"),
        ([], "usage"),
    ]:  # fmt: skip
        out = command(*arguments)
        assert out.returncode == 2
        assert message in out.stderr + out.stdout
    assert "run an unmodified micrograd script" in command("--help").stdout
    assert "the script's own arguments" in command("run", "--help").stdout


@pytest.mark.parametrize("name", ["c", "cffi"])
def test_demo(command, name):
    out = command("demo", "--steps", "6", "--samples", "20", "--every", "2", "--backend", name)
    assert out.returncode == 0
    assert f"all 6 losses of python and {name}: equal, bit for bit" in out.stdout
    assert len(re.findall(r"^ +\d+ .* yes$", out.stdout, re.MULTILINE)) == 4  # steps 0, 2, 4, 5
    assert "times as fast as the reference, accuracy" in out.stdout


def test_demo_notices_a_difference(monkeypatch):
    from pygrad import demo

    real = demo.train_moons

    def wrong(backend, **options):
        run = real(backend, **options)
        return run._replace(losses=[x + (2**-50 if backend == "c" else 0) for x in run.losses])

    monkeypatch.setattr(demo, "train_moons", wrong)
    lines = []
    assert not demo.main(2, 10, 1, "c", 1, lines.append)
    assert any("DIFFERENT" in line for line in lines)
    assert any(line.endswith("NO") for line in lines)


def test_demo_of_the_reference_alone(command):
    out = command("demo", "--backend", "python", "--steps", "2", "--samples", "10")
    assert out.returncode == 0
    assert "accuracy" in out.stdout


def test_info(command):
    for name in backends.NAMES:
        out = command("info", "--backend", name)
        assert out.returncode == 0
        for line in (f"pygrad:      {pygrad.__version__}", f"backend:     {name}", "live nodes:  0"):
            assert line in out.stdout
        for row in ("compiler:", "built for:", "processor:", "bytes:"):
            assert row in out.stdout
    assert command("--version").stdout == f"pygrad {pygrad.__version__}\n"
