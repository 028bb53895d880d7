"""`python -m pygrad train` and `predict`: a network for the user's own CSV file, from the command line.

Arguments and reports only: the file is read by _csv.py, what its columns mean is decided in _recipe.py, training is
`fit`. Errors in the data are one line that names file, line and column; status 1. A wrong command line: status 2.
"""

from __future__ import annotations

import argparse
import csv
import io
import math
import os
import random
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from . import _csv
from ._atomic import replacing
from ._csv import CsvFile, DataError
from ._recipe import REGRESSION, Recipe, Target, columns_in, mean_and_scale
from ._tasks import TASKS, plain

OPTIMIZERS = ("sgd", "adam", "adamw", "rmsprop")

INTERRUPTED = 130
"""The exit status after Ctrl-C, as of a shell."""


# ---- arguments ----


def _whole(least: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        number = int(text)
        if number < least:
            raise argparse.ArgumentTypeError(f"must be at least {least}, not {number}")
        return number

    parse.__name__ = "whole number"
    return parse


def _sizes(text: str) -> list[int]:
    try:
        sizes = [int(part) for part in text.split(",")] if text.strip() not in ("", "none") else []
    except ValueError:
        sizes = [0]
    if any(n < 1 for n in sizes):
        raise argparse.ArgumentTypeError(f"must be sizes of layers, such as 16,16, or 'none', not {text!r}")
    return sizes


def _rate(text: str) -> float:
    number = float(text)
    if not 0.0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"must be above 0, not {text}")
    return number


def _share(text: str) -> float:
    number = float(text)
    if not 0.0 <= number < 1.0:
        raise argparse.ArgumentTypeError(f"must be at least 0 and below 1, not {text}")
    return number


def _delimiter(text: str) -> str:
    try:
        return _csv.delimiter(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def add_commands(command: Callable[[str, str], argparse.ArgumentParser]) -> None:
    """Adds both to the command line. command: makes a subparser of a name and a summary."""
    from .nn import ACTIVATIONS

    train = command("train", "train a network on a CSV file")
    train.add_argument("data", metavar="DATA.csv", help="numbers, and a target column; UTF-8")
    add = train.add_argument
    add("--target", required=True, metavar="COL", help="the column to predict: its name, or its number (1; -1: last)")
    add("--features", metavar="COLS", help="the columns to predict it from, with commas between (default: all others)")
    add("--task", choices=("auto", "regression", "classification"), default="auto", help="what the target is "
        "(default auto: classes if it is text, or a few whole numbers that repeat)")  # fmt: skip
    add("--hidden", type=_sizes, default=[16, 16], metavar="N,N", help="sizes of the hidden layers (default 16,16), "
        "or none")  # fmt: skip
    add("--activation", choices=ACTIVATIONS, default="relu", help="of the hidden layers (default relu)")
    add("--loss", choices=tuple(TASKS), help="what is minimised (default: mse for regression, "
        "binary_cross_entropy_with_logits for two classes, cross_entropy for more)")  # fmt: skip
    add("--optimizer", choices=OPTIMIZERS, default="adam", help="(default adam)")
    add("--lr", type=_rate, default=0.01, metavar="X", help="learning rate (default 0.01)")
    add("--epochs", type=_whole(1), default=100, metavar="N", help="(default 100)")
    add("--batch-size", type=_whole(1), default=32, metavar="N", help="rows a step (default 32)")
    add("--test", type=_share, default=0.2, metavar="SHARE", help="share of the rows that is held out, to test with "
        "(default 0.2)")  # fmt: skip
    add("--seed", type=int, default=0, metavar="N", help="of the weights, which rows are held out, and the "
        "rows' order (default 0)")  # fmt: skip
    add("--standardize", action=argparse.BooleanOptionalAction, default=True,
        help="bring every column to mean 0 and deviation 1 (default; kept with the model)")  # fmt: skip
    add("--no-compile", action="store_true", help="train on plain Values or arrays; by default the model is "
        "compiled to a program that runs in C, where that is faster (equal but for rounding)")  # fmt: skip
    add("--save", metavar="FILE", help="where to save the model: a .npz or .safetensors file")
    add("--quiet", action="store_true", help="no progress, only the report")
    _add_format(train, "the file's first line has the names of the columns (default)", ",", True)

    predict = command("predict", "predict the rows of a CSV file with a model that `train` saved")
    predict.add_argument("model", metavar="MODEL", help="the file that `train --save` wrote")
    predict.add_argument("data", metavar="DATA.csv", help="a file with the columns that the model was trained on")
    predict.add_argument("--output", metavar="FILE", help="a CSV file for the predictions (default: standard output)")
    _add_format(predict, "as for train (default: as the file that the model was trained on)", None, None)


def _add_format(parser: argparse.ArgumentParser, header: str, delimiter: str | None, default: bool | None) -> None:
    parser.add_argument("--delimiter", type=_delimiter, default=delimiter, metavar="C", help="between cells: one "
                        "character, or 'tab' (default: a comma)")  # fmt: skip
    parser.add_argument("--header", action=argparse.BooleanOptionalAction, default=default, help=header)


def main(options: argparse.Namespace) -> int:
    """Runs the command that was asked for; gives the exit status."""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(encoding="utf-8")  # as the files, whatever the locale
    try:
        return _train(options) if options.command == "train" else _predict(options)
    except DataError as error:
        return _failed(str(error), 1)
    except KeyboardInterrupt:
        return INTERRUPTED
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            # the reader went away (`| head`): nothing to say, and nothing may be flushed at exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        return _failed(f"{error.filename}: {error.strerror}" if error.filename else str(error), 1)


def _failed(message: str, status: int) -> int:
    print(f"error: {message}", file=sys.stderr)
    return status


@contextmanager
def _opened(path: str, delimiter: str, header: bool) -> Iterator[CsvFile]:
    file = CsvFile(path, delimiter, header)
    try:
        yield file
    finally:
        file.close()


# ---- train ----


def _train(options: argparse.Namespace) -> int:
    task = "auto" if options.loss is None else "regression" if options.loss in REGRESSION else "classification"
    if options.task == "auto":
        options.task = task
    elif task not in ("auto", options.task):
        return _failed(f"--loss {options.loss} is for {task}, not for --task {options.task}", 2)
    if options.save:
        from ._containers import container

        try:
            container(options.save)  # an impossible name is noticed before the work
        except (ValueError, ImportError) as error:
            return _failed(f"--save {options.save}: {error}", 2)
        folder = os.path.dirname(options.save) or "."
        if not os.path.isdir(folder):
            return _failed(f"--save {options.save}: there is no folder {folder}", 2)
    recipe, rows, targets = _read(options)
    return _Training(options, recipe, rows, targets).run()


def _read(options: argparse.Namespace) -> tuple[Recipe, list[list[float]], list[Any]]:
    """(recipe without scales, inputs, target or index of the class) of all rows of the file."""
    with _opened(options.data, options.delimiter, options.header) as file:
        column = file.index(options.target, "--target")
        if options.features is None:
            features = [i for i in range(len(file.columns)) if i != column]
        else:
            features = [file.index(name.strip(), "--features") for name in options.features.split(",")]
            for i in features:
                if i == column or features.count(i) > 1:
                    raise DataError(f"--features: column {file.columns[i]!r} is "
                                    f"{'the target' if i == column else 'named twice'}")  # fmt: skip
        if not features:
            raise DataError(f"{file.path}: there is no column but the target")
        target = Target(file, column, options.task)
        rows = []
        for row in file:
            rows.append(_inputs(file, row, features))
            target.add(row)
        if len(rows) < 2:
            raise DataError(f"{file.path}: {len(rows)} row{'s' if len(rows) != 1 else ''} of data is too little")
        classes, targets = target.decided()
        loss = _loss(options, classes, f"{file.path}, column {column + 1} ({file.columns[column]})")
        names = [file.columns[i] for i in features]
    recipe = Recipe(
        features=names, positions=features, columns=len(file.columns), header=options.header,
        delimiter=options.delimiter, target=file.columns[column], loss=loss, classes=classes,
        means=[0.0] * len(names), scales=[1.0] * len(names), target_mean=0.0, target_scale=1.0,
    )  # fmt: skip
    return recipe, rows, [recipe.target_of(y) for y in targets] if classes else targets


def _inputs(file: CsvFile, row: _csv.Row, features: list[int]) -> list[float]:
    try:
        return file.numbers(row, features)
    except DataError as error:
        raise DataError(f"{error}; --features chooses the columns that are used") from None


def _loss(options: argparse.Namespace, classes: list[str], where: str) -> str:
    """The name of the loss for the task. Raises DataError for one that does not fit."""
    given = options.loss
    if given is None:
        if not classes:
            return "mse"
        return "binary_cross_entropy_with_logits" if len(classes) == 2 else "cross_entropy"
    if given == "binary_cross_entropy":
        raise DataError(f"--loss {given} is for outputs that are probabilities: use {given}_with_logits")
    if len(classes) > 2 and not TASKS[given].of_classes:
        raise DataError(f"--loss {given} is for two classes, but {where} has {len(classes)}")
    return str(given)


class _Training:
    """One run of `train`, after the file was read."""

    def __init__(
        self, options: argparse.Namespace, recipe: Recipe, rows: list[list[float]], targets: list[Any]
    ) -> None:
        self.options, self.recipe = options, recipe
        order = list(range(len(rows)))
        random.Random(f"pygrad train {options.seed}").shuffle(order)
        held = min(max(round(options.test * len(rows)), 1), len(rows) - 1) if options.test else 0
        parts = {"train": sorted(order[held:]), "test": sorted(order[:held])}
        if options.standardize:
            own = [rows[i] for i in parts["train"]]
            recipe.means, recipe.scales = map(list, zip(*(mean_and_scale(column) for column in zip(*own))))
            if not recipe.classes:
                recipe.target_mean, recipe.target_scale = mean_and_scale([targets[i] for i in parts["train"]])
        self.parts: dict[str, tuple[list[list[float]], list[Any]]] = {
            name: ([recipe.scaled(rows[i]) for i in chosen], [self._scaled_target(targets[i]) for i in chosen])
            for name, chosen in parts.items()
            if chosen
        }

    def _scaled_target(self, y: Any) -> Any:
        return y if self.recipe.classes else (y - self.recipe.target_mean) / self.recipe.target_scale

    def run(self) -> int:
        from .nn import MLP

        options, recipe = self.options, self.recipe
        drawn = "xavier" if options.activation in ("tanh", "sigmoid", "softplus", "linear") else "he"
        model = MLP(
            len(recipe.features), [*options.hidden, recipe.outputs], activation=options.activation, init=drawn,
            seed=options.seed,
        )  # fmt: skip
        self._introduce(model)
        X, y = self.parts["train"]
        start = time.perf_counter()
        try:
            history = model.fit(
                X, y, loss=recipe.loss, optimizer=options.optimizer, lr=options.lr, epochs=options.epochs,
                batch_size=options.batch_size, seed=options.seed, on_nan="raise",
                progress=False if options.quiet else None,
                callbacks=[] if options.quiet or _bar_is_shown() else [self._show],
                compile=False if options.no_compile else None,
            )  # fmt: skip
            if not all(math.isfinite(p.data) for p in model.parameters()):
                raise FloatingPointError("after the last step the parameters are not finite")
            seconds = time.perf_counter() - start
            self._report(model)
        except ArithmeticError as error:
            return _failed(f"{error}. A smaller --lr (now {options.lr!r}) may help", 1)
        if history.interrupted:
            print(f"\n{history.stopped}; ", end="")
        path = "a compiled program" if history.path == "program" else history.path
        print(f"{'' if history.interrupted else chr(10)}trained in {seconds:.3g} s, on {path}", end="")
        if options.save:
            from . import saving

            saving.save(model, options.save, extra=recipe.to_dict())
            print(f"; saved to {options.save}")
            print(f"to use it:  python -m pygrad predict {shlex.quote(options.save)} DATA.csv")
            print(f"in Python:  pygrad.load_table({options.save!r}).predict(rows)")
        else:
            print("; not saved (--save FILE keeps the model)")
        return INTERRUPTED if history.interrupted else 0

    def _introduce(self, model: Any) -> None:
        recipe, options = self.recipe, self.options
        rows = {name: len(y) for name, (_, y) in self.parts.items()}
        sizes = " -> ".join(map(str, [len(recipe.features), *options.hidden, recipe.outputs]))
        task = f"classification, {len(recipe.classes)} classes" if recipe.classes else "regression"
        print(f"data:    {options.data}: {' + '.join(f'{n} rows to {name}' for name, n in rows.items())}")
        count = len(recipe.features)
        print(f"target:  {recipe.target!r} from {count} column{'s' if count != 1 else ''} ({task})")
        print(f"model:   {sizes}, {options.activation}, {len(model.parameters())} parameters")
        print(f"loss:    {recipe.loss}, {options.optimizer} with learning rate {options.lr!r}", flush=True)

    def _show(self, run: Any) -> None:
        """A line for every tenth of the epochs."""
        if run.epoch % max(1, run.epochs // 10) == 0 or run.epoch in (1, run.epochs):
            shown = {k: v for k, v in run.history[-1].items() if k in ("loss", "accuracy")}
            print(f"epoch {run.epoch:>{len(str(run.epochs))}}/{run.epochs}  "
                  f"{'  '.join(f'{k} {v:.4f}' for k, v in shown.items())}", flush=True)  # fmt: skip

    def _report(self, model: Any) -> None:
        """Loss and score of each part, as a table; which classes were taken for which."""
        from .losses import LOSSES
        from .prediction import score_of

        recipe = self.recipe
        table: dict[str, list[str]] = {}
        confusion = ""
        for name, (X, y) in self.parts.items():
            outputs = model.predict(X, outputs=True).tolist()
            table.setdefault("", []).append(name)
            table.setdefault("loss", []).append(f"{LOSSES[recipe.loss](outputs, y):.6g}")
            if recipe.classes:
                table.setdefault("accuracy", []).append(f"{score_of(recipe.loss, outputs, y):.2%}")
                confusion = self._confusion(outputs, y, name)
                continue
            square = 0.0
            for x, target in zip(outputs, y):
                square += (x - target) * (x - target) / len(y)
            table.setdefault("RMS error", []).append(f"{math.sqrt(square) * recipe.target_scale:.6g}")
            table.setdefault("R**2", []).append(f"{score_of(recipe.loss, outputs, y):.4f}" if len(y) > 1 else "-")
        print()
        for what, cells in table.items():
            print(f"{what:<10}" + "".join(f"{cell:>12}" for cell in cells))
        if recipe.target_scale != 1.0:
            print(f"(the loss is of {recipe.target!r} in units of its deviation, {recipe.target_scale:.6g})")
        print(confusion, end="")

    def _confusion(self, outputs: list[Any], targets: list[Any], part: str) -> str:
        """The confusion matrix of up to ten classes."""
        recipe, task = self.recipe, TASKS[self.recipe.loss]
        names = recipe.classes
        if len(names) > 10 or task.label is None:
            return ""
        counts = {(a, b): 0 for a in names for b in names}
        for output, target in zip(outputs, targets):
            counts[recipe.class_of(target), recipe.class_of(task.label(output))] += 1
        width = max(5, *(len(name[:16]) + 1 for name in names))
        lines = [f"\n{part} rows by class, and what was predicted:"]
        lines.append(" " * width + "".join(f"{b[:16]:>{width}}" for b in names))
        lines += [f"{a[:16]:<{width}}" + "".join(f"{counts[a, b]:>{width}}" for b in names) for a in names]
        return "\n".join(lines) + "\n"


def _bar_is_shown() -> bool:
    from importlib.util import find_spec

    return sys.stderr.isatty() and find_spec("tqdm") is not None


# ---- predict ----


def _predict(options: argparse.Namespace) -> int:
    from . import saving

    try:
        saved = saving.read(options.model)
        recipe = Recipe.from_dict(saved.extra)
        model = saved.model()
    except ValueError as error:
        text = str(error)
        return _failed(text if text.startswith(options.model) else f"{options.model}: {text}", 1)
    model.eval()
    header = recipe.header if options.header is None else options.header
    with _opened(options.data, options.delimiter or recipe.delimiter, header) as file:
        columns = columns_in(file, recipe)
        if options.output is None:
            _write(file, columns, recipe, model, sys.stdout)
            sys.stdout.flush()
            return 0
        if os.path.exists(options.output) and not os.path.isfile(options.output):
            return _failed(f"--output {options.output}: this is no regular file", 2)
        # after an error in the data there is no new file, and an old one is as it was
        with replacing(options.output) as raw:
            wrapped = io.TextIOWrapper(raw, encoding="utf-8", newline="", write_through=True)
            _write(file, columns, recipe, model, wrapped)
            wrapped.detach()
    return 0


def _write(file: CsvFile, columns: list[int], recipe: Recipe, model: Any, out: TextIO) -> None:
    """A row of predictions for each row of the file, one at a time."""
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(recipe.prediction_header())
    for row in file:
        writer.writerow(recipe.prediction(plain(model(recipe.scaled(file.numbers(row, columns))))))
