"""The command line: `python -m pygrad run`, `demo`, `train`, `predict`, `info`.

Parses arguments; the work is done elsewhere.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import sys

from . import _commands
from .backends import NAMES


def _positive(text: str) -> int:
    number = int(text) if text.isascii() and text.lstrip("+-").isdigit() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1 and an integer, not {text!r}")
    return number


def _regex(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no regular expression: {error}") from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pygrad", description="The fast engine for micrograd-style Python."
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")

    def command(name: str, summary: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
        sub.add_argument(
            "--backend",
            choices=NAMES,
            default=None,
            help="the engine: c (native handles, the default), cffi, or python (the reference)",
        )
        return sub

    run = command("run", "run an unmodified micrograd script on pygrad")
    run.add_argument(
        "--compare",
        action="store_true",
        help="run the script on the reference as well, and report both times and whether all that is printed is equal",
    )
    run.add_argument(
        "--ignore", metavar="REGEX", type=_regex, help="with --compare: leave out lines that match, such as times"
    )
    run.add_argument("script", metavar="SCRIPT", help="a Python file; `import micrograd` in it gives pygrad")
    run.add_argument("arguments", metavar="ARGS", nargs=argparse.REMAINDER, help="the script's own arguments")

    demo = command("demo", "train micrograd's moons demo on the reference and on the engine, and compare them")
    demo.add_argument("--steps", type=_positive, default=100, metavar="N", help="training steps (default 100)")
    demo.add_argument("--samples", type=_positive, default=100, metavar="N", help="points (default 100)")
    demo.add_argument("--seed", type=int, default=1337, metavar="N", help="of the data and weights (default 1337)")
    demo.add_argument("--every", type=_positive, default=10, metavar="N", help="show every N-th step (default 10)")

    _commands.add_commands(command)

    command("info", "print version, backend, compiler, instruction set, live nodes and bytes")
    return parser


def _info() -> None:
    import pygrad

    rows = {
        "pygrad": pygrad.__version__,
        "backend": pygrad.backend,
        "Python": f"{platform.python_implementation()} {platform.python_version()} on {platform.machine()}",
    }
    try:
        from ._ffi import build_info

        rows.update(build_info())
    except ImportError as error:
        rows["C library"] = str(error)
    nodes, size = pygrad.Value._stats()
    rows["live nodes"] = str(nodes)
    rows["bytes"] = str(size)
    for name, value in rows.items():
        print(f"{name + ':':12} {value}")


def _write(line: str) -> None:
    encoding = sys.stdout.encoding or "utf-8"  # a script's line may hold what this terminal cannot show
    print(line.encode(encoding, "backslashreplace").decode(encoding), flush=True)


def _compared(options: argparse.Namespace) -> int:
    from . import _compare, backends

    backend = options.backend or backends.current
    backends.load(backend)  # a missing backend is reported before the slow part
    return _compare.main(options.script, options.arguments, backend, options.ignore, _write)


def main(argv: list[str] | None = None) -> int:
    """Runs a command; returns the exit status. 2 for a wrong command line."""
    parser = _parser()
    arguments = sys.argv[1:] if argv is None else argv
    options = parser.parse_args(arguments)
    if options.command == "run" and "--" in arguments:
        # argparse drops a "--"; to the script it is an argument like any other
        options.arguments = arguments[arguments.index(options.script, arguments.index("run") + 1) + 1 :]
    if options.version:
        import pygrad

        print(f"pygrad {pygrad.__version__}")
        return 0
    if options.command is None:
        parser.print_help()
        return 2
    if options.command == "run":
        if not os.path.isfile(options.script):
            parser.error(f"no such script: {options.script}")
        if options.ignore and not options.compare:
            parser.error("--ignore is for --compare")
        if options.compare:
            return _compared(options)
    if options.backend:
        import pygrad

        pygrad.use(options.backend)
    if options.command == "run":
        from . import _script

        _script.run(options.script, options.arguments)
        return 0
    if options.command == "demo":
        from . import backends, demo

        same = demo.main(options.steps, options.samples, options.seed, backends.current, options.every, _write)
        return 0 if same else 1
    if options.command in ("train", "predict"):
        return _commands.main(options)
    _info()
    return 0


if __name__ == "__main__":
    sys.exit(main())
