"""`run --compare`, as a user runs it: what is equal, what differs, what a script reads, and how it ends."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
import textwrap

import pytest

from pygrad import backends
from pygrad._compare import Run, compare_output, report


@pytest.fixture
def compare(tmp_path):
    """Runs `python -m pygrad run --compare` on a script in an empty folder."""

    def run(script, *arguments, options=(), **more):
        (tmp_path / "script.py").write_text(textwrap.dedent(script), encoding="utf-8")
        command = [sys.executable, "-m", "pygrad", "run", "--compare", *options, "script.py", *arguments]
        if "stdin" not in more:
            more.setdefault("input", "")
        environment = {**os.environ, "PYTHONIOENCODING": "utf-8", **more.pop("environment", {})}
        return subprocess.run(
            command, capture_output=True, encoding="utf-8", cwd=tmp_path, check=False, timeout=60, env=environment,
            **more,
        )  # fmt: skip

    return run


TRAINING = """
    import random
    from micrograd.engine import Value
    from micrograd.nn import MLP
    random.seed(1)
    model = MLP(2, [4, 1])
    for k in range(5):
        loss = (model([0.5, -1.0]) - 1) ** 2
        model.zero_grad()
        loss.backward()
        for p in model.parameters():
            p.data -= 0.01 * p.grad
        print(k, loss.data)
"""


@pytest.mark.parametrize("options", [[], ["--backend", "cffi"], ["--backend", "python"]])
def test_an_equal_script(compare, options):
    out = compare(TRAINING, options=options)
    engine = options[-1] if options else backends.current
    assert (out.returncode, out.stderr) == (0, "")
    assert re.fullmatch(
        rf"running script.py on backend 'python' ...\nrunning script.py on backend '{engine}' ...\n\n"
        rf" *python: +\d+\.\d{{3}} s\n +{engine}: +\d+\.\d{{3}} s, \d+\.\d times as fast as the reference\n\n"
        r"printed: 5 lines, equal on both\n",
        out.stdout.replace("\npython:", "\n python:").replace(f"\n{engine}:", f"\n {engine}:"),
    )


def test_each_run_has_its_backend_and_nothing_else_differs(compare, tmp_path):
    script = """
        import os, sys
        from micrograd.engine import Value
        backend = Value._pygrad_backend
        with open(backend, "w") as file:
            print(sys.argv, sys.flags.hash_randomization, hash("a"), sorted(os.environ), file=file)
        assert os.environ["PYGRAD_BACKEND"] == backend
        print("ä", {"a", "b", "c", "d"}, sys.argv, sorted(os.environ))
    """
    out = compare(script, "x", "--", "--compare", environment={"PYTHONHASHSEED": "random"})
    assert out.returncode == 0, out.stdout + out.stderr
    seen = [(tmp_path / name).read_text() for name in ("python", "c")]
    assert seen[0] == seen[1]
    assert "['script.py', 'x', '--', '--compare']" in seen[0]
    assert "SECONDS" not in seen[0]
    compare(script, environment={"PYTHONHASHSEED": "7"})
    expected = subprocess.run([sys.executable, "-c", "print(hash('a'))"], capture_output=True, text=True, check=True,
                              env={**os.environ, "PYTHONHASHSEED": "7"}).stdout.strip()  # fmt: skip
    assert f" {expected} " in (tmp_path / "c").read_text()


BACKEND = "from micrograd.engine import Value\nname = Value._pygrad_backend\n"


def test_the_first_difference_is_shown(compare):
    out = compare(BACKEND + "print('same')\nprint('on', name)\nprint('more', name)\n")
    assert out.returncode == 1
    assert out.stdout.splitlines()[6:] == [
        "printed: DIFFERENT after 1 equal lines",
        "python, line 2: 'on python\\n'",
        "     c, line 2: 'on c\\n'",
        "",
        "(A script that draws random numbers must seed them; lines with times can be left out with --ignore REGEX.)",
    ]


def test_lines_that_the_terminal_cannot_show(compare):
    script = BACKEND + "import sys\nsys.stdout.buffer.write(('ж' * 70 + name).encode())\n"
    out = compare(script, environment={"PYTHONIOENCODING": "ascii"})
    assert (out.returncode, out.stderr) == (1, "")
    assert "\\u0436python'\n" in out.stdout
    out = compare(script)
    assert "жpython'\n" in out.stdout


def test_ignored_lines(compare):
    script = BACKEND + "print('same')\nprint('took', name)\nif name == 'c': print('took too')\nprint('end')\n"
    out = compare(script, options=["--ignore", "^took"])
    assert out.returncode == 0
    assert out.stdout.endswith("printed: 2 lines, equal on both (1 ignored)\n")
    assert compare(script, options=["--ignore", "took$"]).returncode == 1


def test_an_output_that_ends_early(compare):
    out = compare(BACKEND + "print('same')\nif name == 'python': print('more')\n")
    assert out.returncode == 1
    assert "python, line 2: 'more\\n'\n     c, line 2: nothing more\n" in out.stdout


def test_standard_input_is_the_same_for_both(compare):
    script = "import sys\nfor line in sys.stdin: print(len(line))\n"
    text = "first\n" + "long " * 100_000 + "\nlast"
    out = compare(script, input=text)
    assert out.returncode == 0
    assert "printed: 3 lines, equal on both" in out.stdout
    # a script that reads a little of it, or nothing
    assert compare("print(input())\n", input=text).returncode == 0
    assert compare("print(1)\n", input=text).returncode == 0


def test_standard_input_that_never_ends(compare):
    read, write = os.pipe()
    try:
        os.write(write, b"a line\n")
        out = compare("print(input())\n", stdin=read)
    finally:
        os.close(read)
        os.close(write)
    assert out.returncode == 0
    assert "printed: 1 lines, equal on both" in out.stdout


def test_a_script_that_fails_alike(compare):
    out = compare("print(1)\nimport sys\nprint('oops', file=sys.stderr)\nsys.exit(7)\n")
    assert out.returncode == 7
    assert out.stderr == "oops\noops\n"
    assert "the script failed: on both backends it ended with status 7\nprinted: 1 lines, equal on both" in out.stdout
    out = compare("x = (\n")
    assert out.returncode == 1
    assert "python: not timed\n" in out.stdout
    assert out.stderr.count("was never closed") == 2


def test_a_script_that_fails_on_one(compare):
    out = compare(BACKEND + "assert name == 'python'\n")
    assert out.returncode == 1
    assert out.stderr.count("AssertionError") == 1
    assert out.stdout.splitlines()[6:] == [
        "exit status: DIFFERENT",
        "python: the script ended with status 0",
        "     c: the script ended with status 1",
        "printed: 0 lines, equal on both",
    ]
    out = compare(BACKEND + "assert name == 'c'\n")
    assert out.returncode == 1
    assert "python: the script ended with status 1\n     c: the script ended with status 0\n" in out.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="there are no signals")
def test_a_script_that_is_killed(compare):
    out = compare("import os\nprint(1, flush=True)\nos.kill(os.getpid(), 9)\n")
    assert out.returncode == 128 + signal.SIGKILL
    assert "the script failed: on both backends it was ended by signal 9" in out.stdout
    assert "c: not timed" in out.stdout


def test_the_time_is_measured_in_the_script(compare):
    out = compare("import time\nnow = time.perf_counter()\ntime.perf_counter = lambda: now + 3600\n")
    assert len(re.findall(r"^ *(?:python|c): +3600\.\d+ s", out.stdout, re.MULTILINE)) == 2
    out = compare("import sys, time\nnow = time.perf_counter()\ntime.perf_counter = lambda: now + 60\nsys.exit(3)\n")
    assert len(re.findall(r"^ *(?:python|c): +60\.\d+ s", out.stdout, re.MULTILINE)) == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_fork_reports_no_time(compare):
    out = compare("import os\nif os.fork() == 0: raise SystemExit\nos.wait()\nos._exit(0)\n")
    assert out.stdout.count("not timed") == 2


def test_wrong_command_lines(compare):
    out = compare("", options=["--ignore", "("])
    assert out.returncode == 2
    assert "'(' is no regular expression: missing ), unterminated subpattern" in out.stderr
    out = compare("", options=["--backend", "fast"])
    assert out.returncode == 2
    command = [sys.executable, "-m", "pygrad", "run"]
    out = subprocess.run([*command, "--ignore", "x", __file__], capture_output=True, text=True, check=False)
    assert out.returncode == 2
    assert "--ignore is for --compare" in out.stderr
    out = subprocess.run([*command, "--compare", "nothing.py"], capture_output=True, text=True, check=False)
    assert out.returncode == 2
    assert "no such script: nothing.py" in out.stderr


# ---- the parts ----


@pytest.mark.parametrize(
    ("first", "second", "lines", "ignored", "difference"),
    [
        (b"", b"", 0, 0, None),
        (b"a\nb\n", b"a\nb\n", 2, 0, None),
        (b"a\n#\nb\n#\n", b"#\na\nb\n", 2, 2, None),
        (b"a\n", b"a", 0, 0, ((1, b"a\n"), (1, b"a"))),
        (b"a\n#\nb\n", b"a\nc\n", 1, 0, ((3, b"b\n"), (2, b"c\n"))),
        (b"a\n", b"#\na\nb\n", 1, 0, ((2, None), (3, b"b\n"))),
        (b"\xff#\n\xfe\n", b"\xfe\n", 1, 1, None),
        (b"a\r\n", b"a\n", 0, 0, ((1, b"a\r\n"), (1, b"a\n"))),
    ],
)
def test_outputs_are_compared(first, second, lines, ignored, difference):
    found = compare_output(io.BytesIO(first), io.BytesIO(second), re.compile("#"))
    assert found == (lines, ignored, difference)


def test_long_lines_are_shown_where_they_part():
    x, y = b"0" * 500 + b"1" + b"2" * 500, b"0" * 500 + b"3"
    output = compare_output(io.BytesIO(x), io.BytesIO(y), None)
    lines = list(report(Run("python", 0, 2.0), Run("c", 0, 0.5), output))
    assert lines[1] == "     c:     0.500 s, 4.0 times as fast as the reference"
    assert f"python, line 1: … '{'0' * 40}1{'2' * 59}' …" in lines
    assert f"     c, line 1: … '{'0' * 40}3'" in lines
