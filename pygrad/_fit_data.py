"""What fit is given to learn from, X, y and validation: checked, parted, and converted for the path it takes.

Errors name the sample. Nothing is trained here, and no optimizer or callback is known.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from . import _checks, _paths, _samples
from ._modes import in_mode
from ._tasks import TASKS

Data = _paths.Scalars | _paths.Arrays  # Programs are Arrays
Both = tuple[Data, Data | None]
"""The samples to train on, and those held out."""


def _split(fraction: float, samples: int, seed: int) -> tuple[list[int], list[int]]:
    """The indices to train on and to hold out, drawn by the seed, each in ascending order."""
    if not 0.0 < fraction < 1.0:
        raise ValueError(f"validation must be (X, y), or a fraction between 0 and 1, not {fraction!r}")
    held = round(fraction * samples)
    if not 0 < held < samples:
        raise ValueError(f"validation={fraction!r} of {samples} samples leaves none to hold out or to train on")
    order = list(range(samples))
    random.Random(f"pygrad validation {seed}").shuffle(order)
    return sorted(order[held:]), sorted(order[:held])


def parted(validation: Any, samples: int, seed: int) -> tuple[list[int], list[int]] | None:
    """The indices to train on and to hold out, where validation is a fraction; None otherwise."""
    if validation is None or (isinstance(validation, (list, tuple)) and len(validation) == 2):
        return None
    if isinstance(validation, str) or not hasattr(type(validation), "__float__"):
        raise TypeError(f"validation must be (X, y), or a fraction between 0 and 1, not {validation!r:.100}")
    return _split(_checks.as_float(validation, "validation"), samples, seed)


def checked_targets(loss: str | None, targets: list[Any], outputs: int | None, what: str) -> list[Any]:
    """The targets as a named loss takes them; those of a function of the user's as they are.

    Raises TypeError or ValueError naming the first sample whose target does not fit.
    """
    if loss is None:
        return targets
    task = TASKS[loss]
    if outputs is None or task.of_classes:
        targets = _samples.without_columns(targets)
    elif outputs == 1:
        targets = [y if isinstance(y, list) else [y] for y in targets]
    for i, y in enumerate(targets):
        task.check(y, outputs, f"{what}[{i}]")
    return targets


def prepared(
    path: str, model: Any, loss: str | None, X: Any, targets: list[Any], validation: Any,
    parts: tuple[list[int], list[int]] | None, size: int, programs: bool, watched: bool,
) -> tuple[Both, Callable[[], Both] | None]:  # fmt: skip
    """The samples, converted and checked, as a path wants them; their .path says which. And what gives them again for
    an ordinary path, where a program was taken that was not asked for.

    size: of a batch. programs: whether 'auto' means a compiled program, where one can be made. watched: whether
    somebody may change the model between epochs.
    """

    def ordinary() -> Both:
        chosen = _paths.chosen(path, model, size, loss is not None and _samples.are_rows(X))
        kind = _paths.Arrays if chosen == "arrays" else _paths.Scalars
        return _converted(kind, model, loss, X, targets, validation, parts)

    if path == "program" or (path == "auto" and programs):
        try:
            from . import _fit_program  # which needs the C extension

            named = _fit_program.askable(loss, model)
            data, held = _converted(_fit_program.Programs, model, named, X, targets, validation, parts)
            _fit_program.give_programs(model, named, data, held, watched)
            return (data, held), None if path == "program" else ordinary
        except Exception:  # whatever the model says of Values in place of numbers
            if path == "program":
                raise
    return ordinary(), None


def _converted(
    kind: Any, model: Any, loss: str | None, X: Any, targets: list[Any], validation: Any,
    parts: tuple[list[int], list[int]] | None,
) -> tuple[Any, Any]:  # fmt: skip
    """The samples as one of the kinds of _paths, or as Programs."""
    dtype = _paths.number_type(model)
    integers = loss is None or TASKS[loss].of_classes
    rows = kind.converted(X, "X", dtype)
    with in_mode(model, False):
        outputs = kind.outputs_each(model, rows, "X[0]")
    data = kind(rows, kind.wanted(checked_targets(loss, targets, outputs, "y"), dtype, integers, "y"))
    if parts is not None:
        return data.taken(parts[0]), data.taken(parts[1])
    if validation is None:
        return data, None
    theirs = kind.converted(validation[0], "validation X", dtype, rows)
    wanted = _samples.as_targets(validation[1], len(theirs), "validation y", "validation X")
    wanted = checked_targets(loss, wanted, outputs, "validation y")
    return data, kind(theirs, kind.wanted(wanted, dtype, integers, "validation y"))
