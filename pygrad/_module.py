"""Module: what has parameters, found in its attributes; their names, arrays, and modes. The base of pygrad.nn.

Values here are only looked at and set; what a module computes is the business of its class.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import product
from os import PathLike
from typing import TYPE_CHECKING, Any

from ._checks import is_array_value, is_value
from ._parameters import data_of, number_of, set_data

if TYPE_CHECKING:
    import numpy as np  # imported where it is used: a micrograd script does without, and starts sooner

    from .history import History

# ---- finding parameters ----


def _is_parameter(x: Any) -> bool:
    return is_value(x) and not x._op and not x.operands


def _items(x: Any) -> Iterator[tuple[str, Any]]:
    """What a module or a container holds, with names, in order. Names with a leading underscore are private."""
    if isinstance(x, Module):
        # a copy: another thread may make a module forget what it prepared
        yield from ((name, item) for name, item in list(vars(x).items()) if not name.startswith("_"))
    elif isinstance(x, (list, tuple)):
        yield from ((str(i), item) for i, item in enumerate(x))
    elif isinstance(x, dict):
        yield from ((str(key), item) for key, item in x.items())
    elif _is_object_array(x):
        yield from ((".".join(map(str, index)), x[index]) for index in product(*map(range, x.shape)))


def _is_object_array(x: Any) -> bool:
    return hasattr(x, "shape") and getattr(getattr(x, "dtype", None), "kind", "") == "O"


def _is_searched(x: Any) -> bool:
    return isinstance(x, (Module, list, tuple, dict)) or _is_object_array(x)


def _has_own_parameters(x: Any) -> bool:
    """Whether x is a module of a class that defines parameters() itself."""
    return isinstance(x, Module) and type(x).parameters is not Module.parameters


def _joined(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name


def _find(x: Any, prefix: str, seen: set[int], found: list[tuple[str, Any]], ask: bool = True) -> None:
    """Adds the parameters under x to `found`, each once. Goes through modules and containers, not through graphs.

    ask: whether modules that define parameters() themselves are asked for them, and not searched.
    """
    seen.add(id(x))
    for name, item in _items(x):
        if id(item) in seen:
            continue
        where = _joined(prefix, name)
        if is_value(item):
            if _is_parameter(item):
                seen.add(id(item))
                found.append((where, item))
        elif ask and _has_own_parameters(item):
            seen.add(id(item))
            for i, p in enumerate(item.parameters()):
                if id(p) not in seen:
                    seen.add(id(p))
                    found.append((f"{where}.parameters.{i}", p))
        elif _is_searched(item):
            _find(item, where, seen, found, ask)


# ---- parameters as arrays ----


def regular_shape(x: Any) -> tuple[int, ...] | None:
    """The shape of nested lists whose innermost items are scalar Values: () for one itself. None if they are ragged or
    hold anything else, an array Value too."""
    if is_value(x):
        return None if x._holds_array else ()
    if _is_object_array(x):
        x = x.tolist()
    if not isinstance(x, (list, tuple)):
        return None
    shapes = {regular_shape(item) for item in x} or {()}
    inner = shapes.pop()
    return None if shapes or inner is None else (len(x), *inner)


def flattened(x: Any) -> list[Any]:
    """The items of nested lists, in order."""
    if _is_object_array(x):
        return list(x.flat)
    return [v for item in x for v in flattened(item)] if isinstance(x, (list, tuple)) else [x]


def _collect(x: Any, prefix: str, wanted: set[int], left: set[int], seen: set[int], arrays: dict[str, Any]) -> None:
    """Adds regular nested lists of parameters under x, and array Values, to `arrays`, until each has been in one.

    wanted: the ids of the parameters; left: of those that are in no array yet.
    """

    def add(name: str, array: Any) -> bool:
        ids = {id(p) for p in flattened(array)}
        if not ids <= wanted or (regular_shape(array) is None and not is_array_value(array)):
            return False
        if ids & left:
            if name in arrays:
                raise ValueError(f"two parameters are called {name!r}, which a state cannot tell apart: rename one")
            arrays[name] = array
            left.difference_update(ids)
        return True

    seen.add(id(x))
    if isinstance(x, Module):
        for name, array in x._compact().items():
            add(_joined(prefix, name), array)
    for name, item in _items(x):
        where = _joined(prefix, name)
        if id(item) not in seen and not add(where, item) and _is_searched(item):
            _collect(item, where, wanted, left, seen, arrays)
    if _has_own_parameters(x):
        listed = [(i, p) for i, p in enumerate(x.parameters()) if id(p) in left]
        add(_joined(prefix, "parameters"), [p for _, p in listed if not is_array_value(p)])
        for i, p in listed:
            if is_array_value(p):
                add(_joined(prefix, f"parameters.{i}"), p)


def _numbers(given: Any, name: str, shape: tuple[int, ...]) -> Any:
    """What a state gives for a name, as an array; not necessarily a copy."""
    import numpy as np

    ragged = ValueError(f"{name} must have shape {shape}, but its rows differ in length")
    try:
        array = np.asarray(given)
    except (ValueError, UserWarning):  # what NumPy before 1.24 warns of
        raise ragged from None
    if array.dtype == object and any(isinstance(item, (list, tuple)) for item in array.flat):
        raise ragged
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} must be numbers, not an array of {array.dtype}")
    if array.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, not {array.shape}")
    return array


class Module:
    """Something with parameters: the Values among its attributes, scalars and arrays, and those of the Modules, lists,
    tuples, dicts and NumPy arrays of Values there.

    Derive from it, keep Values and other Modules as attributes, and define __call__. Attributes whose name begins with
    an underscore are not searched, nor are Values that were computed from others. A class may instead define
    parameters() itself, as in micrograd; the other methods follow it.
    """

    training: bool = True
    """Whether modules that behave differently in training (Dropout) are to do so. See train() and eval()."""

    _loss: str | None = None
    """The name of the loss that it was last trained with; None for a function of the user's."""

    def parameters(self) -> list[Any]:
        """The parameters, a new list of Values, each once, in the order in which the attributes were made."""
        return [p for _, p in self._found("")]

    def _found(self, prefix: str, ask: bool = True) -> list[tuple[str, Any]]:
        found: list[tuple[str, Any]] = []
        _find(self, prefix, set(), found, ask)
        return found

    def named_parameters(self, prefix: str = "") -> list[tuple[str, Any]]:
        """The parameters with their names, which are paths of attributes: ('layers.0.neurons.1.w.0', Value).

        The order is that of parameters(). One that only a module's own parameters() knows is called by its place there,
        'parameters.0' or 'encoder.parameters.0'.
        """
        names = {id(p): name for name, p in self._found(prefix, ask=False)}
        listed = self._found(prefix)
        if _has_own_parameters(self):
            listed = [(_joined(prefix, f"parameters.{i}"), p) for i, p in enumerate(self.parameters())]
        return [(names.get(id(p), name), p) for name, p in listed]

    def zero_grad(self) -> None:
        """Sets the gradient of every parameter to 0."""
        for p in self.parameters():
            p.grad = 0.0

    # ---- modules inside modules ----

    def modules(self) -> list[Module]:
        """This module and those inside it, each once, outermost first."""
        found: dict[int, Module] = {}
        waiting: list[Any] = [self]
        seen: set[int] = set()
        while waiting:
            x = waiting.pop()
            if id(x) in seen:
                continue
            seen.add(id(x))
            if isinstance(x, Module):
                found[id(x)] = x
            waiting += [item for _, item in _items(x) if _is_searched(item)][::-1]
        return list(found.values())

    def train(self, mode: bool = True) -> Any:
        """Puts this module and those inside it into training mode, or with False out of it. Gives the module back."""
        for module in self.modules():
            module.training = bool(mode)
        return self

    def eval(self) -> Any:
        """Puts this module and those inside it into evaluation mode: Dropout does nothing."""
        return self.train(False)

    # ---- arrays ----

    def _compact(self) -> dict[str, Any]:
        """Arrays of parameters that a class names itself, as Layer its weight and bias."""
        return {}

    def _arrays(self) -> dict[str, Any]:
        """The parameters as named nested lists of scalar Values, each regular, and named array Values.

        Raises ValueError if two have one name.
        """
        arrays: dict[str, Any] = {}
        wanted = {id(p) for p in self.parameters()}
        _collect(self, "", wanted, set(wanted), set(), arrays)
        return arrays

    def state_dict(self) -> dict[str, np.ndarray[Any, Any]]:
        """The parameters' data as arrays by name, copied. Of scalar Values arrays of float64: 'layers.0.weight' of
        shape (nout, nin), 'layers.0.bias' of shape (nout,); a list of Values is one array, a single Value an array of
        shape (). Of an array Value an array of its own shape and dtype. What is shared stands under its first name."""
        import numpy as np

        return {
            name: data_of(array)
            if is_array_value(array)
            else np.array([p.data for p in flattened(array)], dtype=np.float64).reshape(regular_shape(array) or ())
            for name, array in self._arrays().items()
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Sets the parameters' data from arrays as state_dict gives them; of array Values in place, where they can be
        written, with their dtype. Nothing is changed on error.

        Raises KeyError naming what is missing or not known here, ValueError for a wrong shape, stating both, TypeError
        for what are no numbers.
        """
        if not isinstance(state, Mapping):
            raise TypeError(f"a state is a dict of arrays by name, not {type(state).__name__}")
        arrays = self._arrays()
        problems = {
            "missing": [name for name in arrays if name not in state],
            "not known": [str(name) for name in state if name not in arrays],
        }
        if any(problems.values()):
            details = "; ".join(f"{problem}: {', '.join(names)}" for problem, names in problems.items() if names)
            raise KeyError(f"the state does not fit {type(self).__name__}; {details}")
        updates: list[tuple[Any, Any]] = []
        for name, array in arrays.items():
            if is_array_value(array):
                updates.append((array, _numbers(state[name], name, array.data.shape).astype(array.data.dtype)))
            else:
                numbers = _numbers(state[name], name, regular_shape(array) or ()).astype(float)
                updates += zip(flattened(array), numbers.ravel().tolist())
        for p, data in updates:
            set_data(p, data)

    # ---- training and use ----

    def fit(
        self,
        X: Any,
        y: Any,
        *,
        loss: str | Callable[[Any, Any], Any] | None = None,
        optimizer: Any = None,
        lr: Any = None,
        epochs: int = 100,
        batch_size: int | None = 32,
        shuffle: bool = True,
        seed: int | None = 0,
        validation: Any = None,
        callbacks: Any = (),
        progress: bool | None = None,
        penalty: Any = None,
        clip_value: float | None = None,
        clip_norm: float | None = None,
        on_nan: str = "warn",
        resume: History | None = None,
        path: str = "auto",
        compile: bool | None = None,  # noqa: A002  # as pygrad.compile
    ) -> History:
        """Trains this module on samples, from the parameters it has; gives the History of the training.

        X: the samples, of shape (samples, inputs), or (samples,) where the module takes one number; a module of arrays
        takes samples of any shape. y: the targets, of shape (samples,) or (samples, outputs), as the loss wants them.
        loss: a name of pygrad.losses.LOSSES, or a function (outputs, targets) -> Value of a batch's outputs: a list of
        what the module gave, or on arrays its array Value. None: the named loss of the fit before; a first fit needs
        one, nothing is guessed.
        optimizer: 'sgd', 'adam', 'adamw', 'rmsprop' (with the rate or schedule lr, or its own default), or one of
        pygrad.optim, or any object with step() and zero_grad(). None: Adam.
        epochs: how many; with resume, the number of the last one.
        batch_size: samples a step, the last batch of an epoch being what is left; None: all.
        shuffle, seed: the samples' order in an epoch is drawn from the seed and the epoch's number, nothing else. A
        seed of None is drawn itself, and kept in history.settings.
        validation: (X, y), or a fraction of the samples to hold out, drawn by the seed.
        callbacks: pygrad.callbacks.Callback objects, or functions called with the Run after each epoch.
        progress: True for a tqdm bar, False for none; None: where stderr is a terminal and tqdm is installed.
        penalty: added to the loss of each batch: a weight for the sum of the parameters' squares, or a function of
        the module giving a Value. It is part of the History's 'loss', not of 'validation_loss'.
        clip_value, clip_norm: limits to each gradient, and to the norm of all, before each step.
        on_nan: what to do at a loss that is nan or infinite: 'warn' (once, naming epoch and batch, and go on),
        'raise' (before the step) or 'ignore'.
        resume: the History of an interrupted or shorter fit, which is extended. With the same data and arguments the
        result is that of an uninterrupted fit, bit for bit (but for Dropout, whose draws go on); with its own
        optimizer, or, if the History is from a file, the one that was loaded with it.

        path: 'scalars' calls the module with one sample at a time, a list of floats; 'arrays' with a batch, an array
        of shape (samples, ...), for which it must give an array Value of shape (samples, outputs); 'program' once, on
        Values that stand for any sample, to record a compiled program (see pygrad.compile) that runs in place of it:
        for scalar parameters and a named loss. 'auto': arrays for modules with array parameters; otherwise a program
        where the module can be recorded, on the backends 'c' and 'cffi'; or arrays for networks of pygrad's own
        neurons with a named loss; whichever is faster, which is decided from the sizes alone (pygrad._paths). A resumed
        fit keeps its path. It is in history.path. All give the same but for rounding; scalars to the bit what the
        samples give one by one, on every machine, while the last bits of arrays are those of NumPy's BLAS. In a program
        no operation raises: where Python would, as for an exp beyond the floats, the loss is inf or nan.
        compile: False for no program where path is 'auto'; True for path='program', where what cannot be recorded is an
        error. What a module decides by Python's means is recorded as it is when an epoch begins; if a callback made of
        it what is no program, the other epochs do without, unless one was asked for.

        'loss' in the History is the mean over the epoch's samples of the losses as they were met, each before its step.
        'accuracy' likewise: there is one for the losses that have labels (see predict). Modules are in training mode,
        for validation in evaluation mode, and then as they were before.

        Ctrl-C (KeyboardInterrupt) ends the training after the step that is being taken; fit returns as usual, with
        history.interrupted True.

        Raises, before the first step, TypeError or ValueError naming the sample that does not fit, or the argument;
        where a program was asked for and cannot be made, pygrad.TraceError naming the line;
        FloatingPointError naming epoch and batch for a loss beyond the floats, and if on_nan='raise'.
        """
        from . import training

        return training.fit(
            self, X, y, loss=loss, optimizer=optimizer, lr=lr, epochs=epochs, batch_size=batch_size, shuffle=shuffle,
            seed=seed, validation=validation, callbacks=callbacks, progress=progress, penalty=penalty,
            clip_value=clip_value, clip_norm=clip_norm, on_nan=on_nan, resume=resume, path=path, compile=compile,
        )  # fmt: skip

    def predict(self, X: Any, *, outputs: bool = False, loss: str | None = None) -> np.ndarray[Any, Any]:
        """The labels of samples, where the loss has labels; the module's outputs otherwise, or with outputs=True.

        X: samples as for fit. loss: the named loss whose labels are meant; by default that of the last fit.

        Labels are integers of shape (samples,): the class with the largest output for 'cross_entropy' and
        'multiclass_hinge', -1 or 1 for 'hinge', 0 or 1 for the binary cross-entropies (1 where the probability is
        above 1/2; of shape (samples, outputs) where there are several outputs). Outputs are float64 of shape
        (samples,), or (samples, outputs). Modules are in evaluation mode; no graph is kept.

        Raises ValueError for an unknown loss or samples of differing lengths, TypeError for what is no number.
        """
        from . import prediction

        return prediction.predict(self, X, outputs=outputs, loss=loss)

    def predict_proba(self, X: Any, *, loss: str | None = None) -> np.ndarray[Any, Any]:
        """Probabilities: for 'cross_entropy' the softmax of the outputs, of shape (samples, classes); for the binary
        cross-entropies that of label 1, of shape (samples,), or (samples, outputs).

        X, loss: as for predict. Raises ValueError for a loss that has no probabilities, or none known.
        """
        from . import prediction

        return prediction.predict_proba(self, X, loss=loss)

    def score(self, X: Any, y: Any, *, loss: str | None = None) -> float:
        """How good it is on samples, as in scikit-learn: the accuracy, where the loss has labels (all labels of a
        sample right); otherwise the coefficient of determination R**2, averaged over the outputs.

        X, y, loss: as for fit and predict. Raises what they raise; ValueError if the loss is not known, or for R**2 of
        fewer than two samples.
        """
        from . import prediction

        return prediction.score(self, X, y, loss=loss)

    def save(
        self, path: str | PathLike[str], *, optimizer: Any = None, history: Any = None, extra: Any = None
    ) -> None:
        """Writes this module to a file that pygrad.load reads. The arguments are those of pygrad.saving.save."""
        from .saving import save

        save(self, path, optimizer=optimizer, history=history, extra=extra)

    # ---- what it is ----

    def architecture(self) -> dict[str, Any]:
        """What this module is, apart from its parameters' data: a dict that JSON can hold.

        Raises TypeError if it cannot be said, because a class or function of the user's is part of it.
        """
        raise TypeError(
            f"{type(self).__name__} is a Module of your own: pygrad can save its parameters, but not its code"
        )

    def _rows(self) -> list[tuple[str, str, int]]:
        """The lines of summary(): name, what it is with its shape, how many numbers its parameters are."""
        rows: list[tuple[str, str, int]] = []
        for name, item in _items(self):
            parts = [(name, item)]
            if isinstance(item, (list, tuple)) and any(isinstance(x, Module) for x in item):
                parts = [(f"{name}.{i}", x) for i, x in enumerate(item)]
            for where, part in parts:
                if isinstance(part, Module):
                    rows.append((where, part._described(), number_of(part.parameters())))
                elif (found := Holder(part).parameters()):
                    rows.append((where, _titled(part, found), number_of(found)))
        return rows

    def _described(self) -> str:
        return type(self).__name__

    def summary(self) -> str:
        """A table: each part, what it is, how many parameters it has (of an array Value each number is one); and the
        total."""
        rows = [(name, what, f"{count:,}") for name, what, count in self._rows()]
        total = number_of(self.parameters())
        rows = [("", type(self).__name__, "parameters"), *rows, ("total", "", f"{total:,}")]
        widths = [max(len(row[i]) for row in rows) for i in range(3)]
        lines = [f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c:>{widths[2]}}".rstrip() for a, b, c in rows]
        rule = "-" * max(map(len, lines))
        return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])


def _titled(part: Any, parameters: list[Any]) -> str:
    """What an attribute is that holds these parameters: 'Value', 'Values (3, 2)', 'Value of float32 (3, 2)'."""
    arrays = [p.data for p in parameters if is_array_value(p)]
    title = "Value" if len(parameters) == 1 and is_value(part) else "Values"
    if not arrays:
        shape = regular_shape(part)
        return f"Values {shape}" if shape else "Value"
    dtypes = {str(array.dtype) for array in arrays} - {"float64"}
    shapes = [str(p.data.shape) if is_array_value(p) else "()" for p in parameters]
    shown = ", ".join(shapes[:3] + ["..."] * (len(shapes) > 3))
    return f"{title} of {', '.join(sorted(dtypes))} {shown}" if dtypes else f"{title} {shown}"


class Holder(Module):
    """A module that is only what it is given to hold."""

    def __init__(self, held: Any) -> None:
        self.held = held


def nested(given: Any, shape: tuple[int, ...], what: str) -> Any:
    """Nested lists of numbers or Values, of that shape, from lists, tuples or arrays.

    Raises ValueError that states both shapes, TypeError for what is no sequence where one is needed.
    """
    def measured(x: Any) -> tuple[int, ...] | None:
        """None for ragged lists."""
        if is_value(x) or not hasattr(x, "__len__") or isinstance(x, (str, bytes)) or getattr(x, "ndim", 1) == 0:
            return ()
        shapes = {measured(item) for item in x} or {()}
        inner = shapes.pop()
        return None if shapes or inner is None else (len(x), *inner)

    def listed(x: Any, depth: int) -> Any:
        return [listed(item, depth - 1) for item in x] if depth else x

    found = measured(given)
    if found is None:
        raise ValueError(f"{what} must have shape {shape}, but its rows differ in length")
    if found != shape and not (0 in found and found == shape[: len(found)]):
        raise ValueError(f"{what} must have shape {shape}, not {found}")
    return listed(given, len(shape))
