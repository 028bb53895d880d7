"""Saving and loading models: one file, .npz or .safetensors, with what the model is, its parameters, and if asked the
optimiser's state, the history and data of the caller's.

Reading a file executes nothing: what it says is compared with what can be there, and modules are made by a fixed table
(_architecture.py). The bits of every number are kept, so that a file is the same model on every backend. The checksum
in it detects damage; it is no signature, so it does not tell who wrote the file.
"""

from __future__ import annotations

import errno
import os
import stat
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from . import _architecture, _header
from ._atomic import replacing
from ._containers import container
from ._header import Array, FormatError
from ._module import Module
from .losses import LOSSES

__all__ = ["FormatError", "Saved", "load", "read", "save"]

LARGEST = 2**31
"""Bytes of a file at most. As scalar Values the same numbers take ten times that."""

Path = str | os.PathLike[str]


@dataclass(frozen=True)
class Saved:
    """What a file holds: all of it checked, nothing built."""

    path: str
    version: int
    """The version of the format."""
    pygrad: str
    """The version of pygrad that wrote the file."""
    class_name: str
    """The name of the model's class."""
    architecture: dict[str, Any] | None
    """Module.architecture(), or None if it could not be said."""
    undescribed: str | None
    """Why it could not."""
    loss: str | None
    """The named loss that the model was trained with by `fit`, which says what predict() gives."""
    parameters: dict[str, Array] = field(repr=False)
    """Module.state_dict()."""
    optimizer: dict[str, Any] | None = field(repr=False)
    """Optimizer.state_dict(), or None."""
    history: dict[str, Any] | None = field(repr=False)
    """History.to_dict(), or None."""
    extra: dict[str, Any] | None
    """What was given as extra, or None."""

    def model(self, *, backend: str | None = None) -> Any:
        """The model, new. Raises ValueError if its class is not one of pygrad's: load it with into=."""
        if self.architecture is None:
            raise ValueError(
                f"{self.path}: the file has the parameters of a {self.class_name}, but not how to make one"
                f" ({self.undescribed}): make it yourself, then load(path, into=model)"
            )
        model = _architecture.build(self.architecture, self.parameters, backend)
        model._loss = self.loss
        return model


# ---- saving ----


def save(
    model: Module,
    path: Path,
    *,
    optimizer: Any = None,
    history: Any = None,
    extra: Mapping[str, Any] | None = None,
) -> None:
    """Writes the model to `path`, a file that ends in .npz, or in .safetensors (which needs that package).

    model: a Module. Of one that pygrad cannot make (of a class of yours, or with a function of yours in it) the
    parameters are saved: load(path, into=model) reads them.
    optimizer: of just the model's parameters: its state is saved with them. history: what `fit` gave.
    extra: a dict of anything that JSON can hold, and float64 arrays; see read(path).extra.

    The file is there whole, or as it was before. The same model gives the same bytes.

    Raises TypeError or ValueError naming what cannot be saved, OSError if it cannot be written.
    """
    name = _text(path)
    kind = container(name)
    if not isinstance(model, Module):
        raise TypeError(f"only a Module can be saved, not {type(model).__name__}")
    if extra is not None and not isinstance(extra, Mapping):
        raise TypeError(f"extra must be a dict, not {type(extra).__name__}")
    state = model.state_dict()
    arrays: dict[str, Array] = {_header.array_name(key): array for key, array in state.items()}
    content: dict[str, Any] = {
        "pygrad": _own_version(),
        "class": type(model).__name__,
        **_described(model, state),
        "loss": model._loss if isinstance(model._loss, str) and model._loss in LOSSES else None,
    }
    for what, data in {
        "optimizer": None if optimizer is None else _optimizer_state(optimizer, model),
        "history": None if history is None else _history_dict(history),
        "extra": extra,
    }.items():
        content[what] = None if data is None else _header.packed(data, what, arrays, what)
    total = 0
    for array_name, array in arrays.items():
        if len(array_name) > 10_000:
            raise ValueError(f"the name {_header.shortened(array_name)} is too long for a file")
        total += array.nbytes + 2 * len(array_name) + 256
    header = _header.encoded(content, arrays)
    if total + 2 * len(header) > LARGEST:
        raise ValueError(f"the model has {total:,} bytes; at most {LARGEST:,} can be saved in a file")
    with replacing(name) as file:
        kind.write(file, header, arrays)


def check(path: Path, model: Module, optimizer: Any = None) -> None:
    """Raises what `save` would raise for this path's suffix, or for this optimizer. Writes nothing."""
    container(_text(path))
    if optimizer is not None:
        _optimizer_state(optimizer, model)


def _text(path: Path) -> str:
    try:
        return os.fsdecode(os.fspath(path))
    except TypeError:
        raise TypeError(f"path must be a str or os.PathLike, not {type(path).__name__}") from None


def _own_version() -> str:
    from . import __version__

    return __version__


def _described(model: Module, state: dict[str, Array]) -> dict[str, Any]:
    try:
        return {"architecture": _architecture.describe(model, state), "undescribed": None}
    except TypeError as error:
        return {"architecture": None, "undescribed": str(error)}


def _optimizers() -> dict[str, Any]:
    from . import optim

    return {cls.__name__: cls for cls in (optim.SGD, optim.Adam, optim.AdamW, optim.RMSprop)}


def _optimizer_state(optimizer: Any, model: Module) -> dict[str, Any]:
    if type(optimizer) not in _optimizers().values():
        raise TypeError(f"optimizer must be one of {', '.join(_optimizers())}, not {type(optimizer).__name__}")
    if [id(p) for p in optimizer.parameters] != [id(p) for p in model.parameters()]:
        raise ValueError("the optimizer has other parameters than the model, so it cannot be saved with it")
    state: dict[str, Any] = optimizer.state_dict()
    if state["lr"] is None:
        raise TypeError(f"the optimizer's lr is {optimizer.lr!r}, which cannot be saved: use one of pygrad.schedules")
    return state


def _history_dict(history: Any) -> dict[str, Any]:
    from .history import History

    if not isinstance(history, History):
        raise TypeError(f"history must be a History, as fit gives it, not {type(history).__name__}")
    found: dict[str, Any] = history.to_dict()
    return found


# ---- loading ----


def read(path: Path) -> Saved:
    """What is in a file, without building the model: its class, architecture, arrays, and extra.

    Raises FormatError, which says what is wrong with the file, OSError if it cannot be read, ValueError for a suffix
    other than .npz and .safetensors.
    """
    name = _text(path)
    kind = container(name)
    status = os.stat(name)
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, "this is a folder, not a saved model", name)
    try:
        if not stat.S_ISREG(status.st_mode):
            raise FormatError("it is no regular file")
        if status.st_size == 0:
            raise FormatError("it is empty")
        if status.st_size > LARGEST:
            raise FormatError(f"it has {status.st_size:,} bytes, but at most {LARGEST:,} are read")
        with kind.read(name) as contents:
            header = _header.decoded(contents.header)
            listed = _header.listed(header)
            if listed.keys() != contents.names:
                raise FormatError(
                    f"its arrays are not those that its header lists: "
                    f"{_header.shortened(sorted(listed.keys() ^ contents.names))}"
                )
            _check_architecture(header, listed)
            if header["loss"] not in (None, *LOSSES):
                raise FormatError(f"its loss {_header.shortened(header['loss'])} is none that there is")
            arrays = {key: contents.array(key, entry) for key, entry in listed.items()}
        _header.verify(header, arrays)
        data = {what: _unpacked(header[what], arrays, what) for what in ("optimizer", "history", "extra")}
    except FormatError as error:
        raise FormatError(f"{name}: {error}") from None
    parameters = {_header.parameter_name(key): array for key, array in arrays.items()}
    return Saved(
        path=name,
        version=header["version"],
        pygrad=header["pygrad"],
        class_name=header["class"],
        architecture=header["architecture"],
        undescribed=header["undescribed"],
        loss=header["loss"],
        parameters={key: array for key, array in parameters.items() if key is not None},
        **data,
    )


def _check_architecture(header: dict[str, Any], listed: dict[str, _header.Listed]) -> None:
    """Raises FormatError unless the architecture's parameters are the arrays in the file."""
    if header["architecture"] is None:
        return
    try:
        expected = _architecture.shapes(header["architecture"])
    except ValueError as error:
        raise FormatError(f"its architecture cannot be made: {error}") from None
    found = {_header.parameter_name(key): entry.shape for key, entry in listed.items()}
    found.pop(None, None)
    if expected != found:
        raise FormatError("its architecture has other parameters than are in the file")


def _unpacked(packed: Any, arrays: Mapping[str, Array], what: str) -> dict[str, Any] | None:
    if packed is None:
        return None
    found = _header.unpacked(packed, arrays)
    if not isinstance(found, dict):
        raise FormatError(f"its {what} is malformed")
    return found


def load(path: Path, *, backend: str | None = None, into: Module | None = None, training: bool = False) -> Any:
    """The model in a file that `save` wrote; with training=True the tuple (model, optimizer, history), where what was
    not saved is None.

    backend: 'c', 'cffi' or 'python', by default the one in use; whichever it was saved on, all bits are equal.
    A model that `python -m pygrad train` saved takes scaled columns: a warning says to use pygrad.load_table.
    into: a module that there is, of whatever class: its parameters are set, and it is what is given back.

    Raises FormatError (a ValueError) that says what is wrong with the file; ValueError if the parameters do not fit
    `into`, which is then unchanged; OSError if the file cannot be read.
    """
    saved = read(path)
    if into is None:
        model = saved.model(backend=backend)
        if isinstance(saved.extra, dict) and "recipe" in saved.extra:
            warnings.warn(
                f"{saved.path}: this model takes scaled columns of a table; pygrad.load_table gives it with them",
                UserWarning,
                stacklevel=2,
            )
    else:
        if backend is not None:
            raise ValueError("give backend= or into=, not both: a module that there is has its backend")
        if not isinstance(into, Module):
            raise TypeError(f"into must be a Module, not {type(into).__name__}")
        model = into
        try:
            into.load_state_dict(saved.parameters)
        except (KeyError, ValueError) as error:
            raise ValueError(f"{saved.path}: {error.args[0]}") from None
        if saved.loss is not None:
            into._loss = saved.loss
    return (model, _optimizer(saved, model), _history(saved)) if training else model


def _optimizer(saved: Saved, model: Module) -> Any:
    if saved.optimizer is None:
        return None
    try:
        optimizer = _optimizers()[saved.optimizer["optimizer"]](model)
        optimizer.load_state_dict(saved.optimizer)
    except (TypeError, ValueError, LookupError, ArithmeticError) as error:
        raise FormatError(f"{saved.path}: its optimizer does not fit: {error}") from None
    return optimizer


def _history(saved: Saved) -> Any:
    if saved.history is None:
        return None
    from .history import History

    try:
        return History.from_dict(saved.history)
    except (TypeError, ValueError, LookupError, ArithmeticError) as error:
        raise FormatError(f"{saved.path}: its history is malformed: {error}") from None
