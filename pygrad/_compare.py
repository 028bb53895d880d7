"""Running a script on the reference and on an engine, and comparing them: `python -m pygrad run --compare SCRIPT`.

Each run is a process of its own, with the same arguments, input, environment and hash seed. Compared are the lines on
standard output, byte for byte, and the exit status; timed is the script alone, without the start of Python and pygrad.
What a script writes elsewhere is not compared, and random numbers are not seeded: that is the script's to do.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from typing import IO, NamedTuple

from ._script import SECONDS_FILE

REFERENCE = "python"


class Run(NamedTuple):
    """What a script did on one backend."""

    backend: str
    status: int
    """The exit status; a negative number for the signal that ended the process."""
    seconds: float | None
    """From the script's first line to its last; None if it never started, or was stopped from outside."""


class _Input:
    """Standard input for one process after the other: each gets all of it, from the start.

    It is read as it comes, in a thread, so that a script which reads nothing need not wait for an end that may never
    come. A terminal counts as empty: what would be asked for there cannot be seen.
    """

    def __init__(self) -> None:
        self._read = bytearray()
        self._ended = False
        self._changed = threading.Condition()
        try:
            descriptor = sys.stdin.fileno()
        except (AttributeError, OSError, ValueError):  # None, closed, or no file
            self._ended = True
            return
        if os.isatty(descriptor):
            self._ended = True
        else:
            threading.Thread(target=self._fill, args=(descriptor,), daemon=True).start()

    def _fill(self, descriptor: int) -> None:
        more = True
        while more:
            try:
                block = os.read(descriptor, 1 << 16)
            except OSError:
                block = b""
            more = bool(block)
            with self._changed:
                self._read += block
                self._ended = not more
                self._changed.notify_all()

    def feed(self, process: subprocess.Popen[bytes]) -> None:
        """Writes all input to a process, until it ends or closes its standard input."""
        given = 0
        assert process.stdin is not None
        try:
            with process.stdin as pipe:
                while True:
                    with self._changed:
                        while len(self._read) == given and not self._ended and process.returncode is None:
                            self._changed.wait()
                        block = bytes(self._read[given:])
                    if not block:
                        return
                    pipe.write(block)
                    pipe.flush()
                    given += len(block)
        except OSError:  # the process has closed its end
            return

    def wake(self) -> None:
        """To be called when a process has ended."""
        with self._changed:
            self._changed.notify_all()


def _run(backend: str, script: str, arguments: list[str], stdin: _Input, stdout: IO[bytes]) -> Run:
    with tempfile.TemporaryDirectory(prefix="pygrad-") as folder:
        seconds_file = os.path.join(folder, "seconds")
        environment = {**os.environ, "PYGRAD_BACKEND": backend, SECONDS_FILE: seconds_file}
        if environment.get("PYTHONHASHSEED", "random") == "random":
            environment["PYTHONHASHSEED"] = "0"  # else the order of sets of strings, and so of sums, differs
        command = [sys.executable, "-m", "pygrad", "run", "--backend", backend, script, *arguments]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=stdout, env=environment) as process:
            feeder = threading.Thread(target=stdin.feed, args=(process,), daemon=True)
            feeder.start()
            process.wait()
            stdin.wake()
            feeder.join()
        try:
            with open(seconds_file, encoding="ascii") as file:
                seconds = float(file.read())
        except (OSError, ValueError):
            return Run(backend, process.returncode, None)
        return Run(backend, process.returncode, seconds)


class Output(NamedTuple):
    """How two outputs compare."""

    lines: int
    """Compared in the first output."""
    ignored: int
    """Left out of the first output."""
    first_difference: tuple[tuple[int, bytes | None], tuple[int, bytes | None]] | None
    """For each output the number of the line, from 1, and the line, None for its end."""


def _numbered(file: IO[bytes], ignore: re.Pattern[str] | None) -> Iterator[tuple[int, bytes]]:
    for number, line in enumerate(file, 1):
        if ignore is None or not ignore.search(line.decode("utf-8", "backslashreplace")):
            yield number, line


def compare_output(first: IO[bytes], second: IO[bytes], ignore: re.Pattern[str] | None) -> Output:
    """Compares two outputs line by line, without the lines in which `ignore` is found."""
    a, b = _numbered(first, ignore), _numbered(second, ignore)
    compared = last = 0
    while True:
        x, y = next(a, None), next(b, None)
        if x is None and y is None:
            return Output(compared, _count(first) - compared, None)
        if x is None or y is None or x[1] != y[1]:
            return Output(compared, last - compared, (x or (_count(first) + 1, None), y or (_count(second) + 1, None)))
        compared += 1
        last = x[0]


def _count(file: IO[bytes]) -> int:
    file.seek(0)
    return sum(1 for _ in file)


def _shown(line: bytes | None, start: int, width: int = 100) -> str:
    """A line as it is reported, from a column on, cut to a width. One that the script did not end lacks its \\n."""
    if line is None:
        return "nothing more"
    text = line[start : start + width].decode("utf-8", "backslashreplace")
    return f"{'… ' if start else ''}{text!r}{' …' if start + width < len(line) else ''}"


def _window(x: bytes | None, y: bytes | None) -> int:
    """The column from which two lines are shown, so that the place where they part is seen."""
    pairs = enumerate(zip(x or b"", y or b""))
    common = next((i for i, (a, b) in pairs if a != b), min(len(x or b""), len(y or b"")))
    return max(0, common - 40) if common > 60 else 0


def _ended(run: Run) -> str:
    return f"was ended by signal {-run.status}" if run.status < 0 else f"ended with status {run.status}"


def report(reference: Run, engine: Run, output: Output) -> Iterator[str]:
    """The lines of the report."""
    width = max(len(reference.backend), len(engine.backend))
    for run in (reference, engine):
        if run.seconds is None:
            yield f"{run.backend:>{width}}: not timed"
            continue
        ratio = ""
        if run is engine and reference.seconds is not None and run.seconds > 0:
            ratio = f", {reference.seconds / run.seconds:.1f} times as fast as the reference"
        yield f"{run.backend:>{width}}: {run.seconds:9.3f} s{ratio}"
    yield ""
    if reference.status != engine.status:
        yield "exit status: DIFFERENT"
        for run in (reference, engine):
            yield f"{run.backend:>{width}}: the script {_ended(run)}"
    elif reference.status:
        yield f"the script failed: on both backends it {_ended(reference)}"
    ignored = f" ({output.ignored} ignored)" if output.ignored else ""
    if output.first_difference is None:
        yield f"printed: {output.lines} lines, equal on both{ignored}"
        return
    (n, x), (m, y) = output.first_difference
    yield f"printed: DIFFERENT after {output.lines} equal lines{ignored}"
    start = _window(x, y)
    for run, number, line in ((reference, n, x), (engine, m, y)):
        yield f"{run.backend:>{width}}, line {number}: {_shown(line, start)}"
    yield ""
    yield "(A script that draws random numbers must seed them; lines with times can be left out with --ignore REGEX.)"


def main(
    script: str, arguments: list[str], backend: str, ignore: re.Pattern[str] | None, write: Callable[[str], None]
) -> int:
    """Runs the script on the reference and on `backend`, and writes the report.

    Returns an exit status: 1 if what was printed or the exit statuses differ, otherwise the script's own, which is 0
    if it succeeded, and 128 + n if signal n ended it.
    """
    stdin = _Input()
    with tempfile.TemporaryFile() as first, tempfile.TemporaryFile() as second:
        write(f"running {script} on backend {REFERENCE!r} ...")
        reference = _run(REFERENCE, script, arguments, stdin, first)
        write(f"running {script} on backend {backend!r} ...")
        engine = _run(backend, script, arguments, stdin, second)
        first.seek(0)
        second.seek(0)
        output = compare_output(first, second, ignore)
    write("")
    for line in report(reference, engine, output):
        write(line)
    if output.first_difference is not None or reference.status != engine.status:
        return 1
    return 128 - engine.status if engine.status < 0 else engine.status
