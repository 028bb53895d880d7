"""gradcheck and gradgradcheck: the derivatives that backward() gives, held against central differences.

Finds a wrong derivative of a user-defined op, and says for every number that f is differentiated by what both gave; of
second derivatives likewise. Proves nothing: it looks at the inputs that it is given, and no others.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import Any, NamedTuple

from . import _checks
from . import backends as _backends
from ._check_inputs import Leaf, bits_of, convert, copied, entries, graph_of, outputs_of
from ._check_rounding import EPSILON, rounding
from ._lazy import arrays
from .derivatives import grad


class Mismatch(NamedTuple):
    """A derivative that differs: of f's output number `output`, with respect to name[index]."""

    name: str
    """'inputs[0]' for the first argument, 'parameters[3]', or a parameter's label."""
    index: tuple[int, ...]  # type: ignore[assignment]  # hides tuple.index, which nobody needs here
    """Where in a nested argument; () for an argument that is a number, and for a parameter."""
    analytic: float
    """What backward() gave."""
    numeric: float
    """What central differences gave."""
    error: float
    """Their distance."""
    output: int
    """0 where f returns one Value."""

    def __str__(self) -> str:
        where = self.name + "".join(f"[{i}]" for i in self.index)
        of = f" of output {self.output}" if self.output else ""
        return f"{where}{of}: backward() gives {self.analytic!r}, differences {self.numeric!r}, {self.error:.3g} apart"


class GradientReport(NamedTuple):
    """What gradcheck found. True in a condition if nothing differs."""

    mismatches: list[Mismatch]
    checked: int
    """How many derivatives were compared."""
    blurred: int
    """How many of them differences give with a rounding error above a thousandth of max(1, |derivative|), because f is
    huge, or the sum of huge terms, beside its change. Of these the check says little."""

    @property
    def ok(self) -> bool:
        """Whether nothing differs."""
        return not self.mismatches

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        note = f"\n(rounding hides errors above 0.1 % of {self.blurred} derivatives)" if self.blurred else ""
        if self.ok:
            return f"all {self.checked} derivatives agree with central differences{note}"
        lines = [f"{len(self.mismatches)} of {self.checked} derivatives differ from central differences:"]
        return "\n  ".join(lines + [str(x) for x in self.mismatches]) + note


class GradientError(AssertionError):
    """Derivatives differ from central differences; the message lists every one. `report` is the GradientReport."""

    def __init__(self, report: GradientReport) -> None:
        super().__init__(str(report))
        self.report = report


_STEPS = 12  # how many are tried, each a tenth of the one before


def _numbers(outputs: Iterable[Any]) -> list[float]:
    """Every number of some Values, in C order."""
    return [number for out in outputs for number in (out.data.ravel().tolist() if out.shape else [out.data])]


def _scalars(outputs: Iterable[Any]) -> list[Any]:
    """Every entry of some Values as a scalar Value."""
    return [out[e.entry] if e.entry else out for out in outputs for e in entries("", out)]


class _Function:
    """f with its arguments, which are leaves that can be moved."""

    def __init__(self, f: Callable[..., Any], arguments: list[Any], value_type: Any) -> None:
        self.f = f
        self.arguments = arguments
        self.value_type = value_type

    def outputs(self) -> list[Any]:
        """f's Values here: what backward() is to differentiate."""
        advice = "make Values with the type of the arguments, or give backend="
        return outputs_of(self.f(*copied(self.arguments)), self.value_type, advice)

    def numbers(self) -> list[float]:
        """The numbers that they hold, as differences take them."""
        return _numbers(self.outputs())

    def numbers_of(self, outputs: list[Any]) -> list[float]:
        """numbers() where outputs() are known."""
        return _numbers(outputs)

    def moved(self, leaf: Leaf, number: float) -> list[float]:
        """The numbers with one leaf moved."""
        before = leaf.number
        leaf.move(number)
        try:
            with arrays.quiet():  # beyond a domain arrays are nan, with a warning
                return self.numbers()
        finally:
            leaf.move(before)

    def derivatives(self, coordinates: list[Leaf]) -> list[tuple[list[float], float]]:
        """For each number: its derivatives from backward(), and the rounding error of its value."""
        outputs = self.outputs()
        values, again = self.numbers_of(outputs), self.numbers()
        if list(map(bits_of, again)) != list(map(bits_of, values)):
            raise ValueError(
                f"f gave {values} and then {again} for the same inputs: to be checked it must be deterministic (seed "
                f"random numbers inside it; change nothing that it reads)"
            )
        for i, value in enumerate(values):
            if not math.isfinite(value):
                raise ValueError(f"output {i} of f is {value!r}: choose inputs at which f is finite")
        order = graph_of(outputs)
        leaves = list({id(c.value): c.value for c in coordinates}.values())
        gradients = [v.grad for v in order]
        rows = []
        try:
            for out in _scalars(outputs):
                for v in order + leaves:
                    v.grad = 0.0
                out.backward()
                rows.append(([c.derivative for c in coordinates], rounding(order)))
        finally:
            for v, gradient in zip(order, gradients):
                v.grad = gradient
        return rows


class _Gradient(_Function):
    """The gradient of f, as a function of the same arguments and of a weight for each number that f gives."""

    def __init__(self, function: _Function, coordinates: list[Leaf]) -> None:
        super().__init__(function.f, function.arguments, function.value_type)
        self.leaves = list({id(c.value): c.value for c in coordinates}.values())
        numbers = random.Random(1)
        self.weights = [self.value_type(numbers.uniform(0.5, 1.5)) for _ in function.numbers()]

    def _weighted(self) -> Any:
        scalars = _scalars(super().outputs())
        if len(scalars) != len(self.weights):
            raise TypeError(f"f gave {len(self.weights)} numbers at the inputs, but {len(scalars)} close by")
        return self.value_type.dot(self.weights, scalars)

    def outputs(self) -> list[Any]:
        found: list[Any] = grad(self._weighted(), self.leaves, create_graph=True, allow_unused=True)
        return found

    def numbers(self) -> list[float]:
        found = grad(self._weighted(), self.leaves, allow_unused=True)
        return [number for g in found for number in ([g] if type(g) is float else g.ravel().tolist())]

    def numbers_of(self, outputs: list[Any]) -> list[float]:
        return self.numbers()  # of backward(), not of the graph that is checked


class _Neighbours:
    """f's values on both sides of a coordinate, at distances that are worked out as they are asked for.

    count: of f's values. distances: falling. Raises ValueError in iteration if f has no values at any of them.
    """

    def __init__(self, function: _Function, count: int, coordinate: Leaf, distances: Iterable[float]) -> None:
        self.function = function
        self.count = count
        self.coordinate = coordinate
        self.distances = iter(distances)
        self.known: list[tuple[float, list[float], list[float]]] = []  # width, values below, values above

    def __iter__(self) -> Iterator[tuple[float, list[float], list[float]]]:
        i = 0
        while i < len(self.known) or self._further():
            yield self.known[i]
            i += 1

    def _further(self) -> bool:
        """Adds the next distance at which f has finite values; False if there is none."""
        leaf, refused = self.coordinate, None
        x = leaf.number
        for h in self.distances:
            low, high = x - h, x + h
            if not -math.inf < low < x < high < math.inf:
                continue
            try:
                below, above = self.function.moved(leaf, low), self.function.moved(leaf, high)
            except (ArithmeticError, ValueError) as error:  # outside f's domain: a shorter step may stay inside
                refused = error
                continue
            if not len(below) == len(above) == self.count:
                sizes = f"{self.count} numbers at {self.coordinate} = {x!r}, but {len(below)} and {len(above)}"
                raise ValueError(f"f gave {sizes} on both sides of it")
            if all(map(math.isfinite, below + above)):
                self.known.append((high - low, below, above))  # not 2 h: x + h is rounded
                return True
        if not self.known:
            raise ValueError(
                f"f has no finite values close to {self.coordinate} = {x!r} on both sides: choose inputs inside its "
                f"domain"
            ) from refused
        return False


def _agrees(
    analytic: float, output: int, rounding: float, neighbours: _Neighbours, rtol: float, atol: float
) -> tuple[bool, float, bool]:
    """Whether a derivative agrees with the differences over one of the distances; the difference, and whether it is
    blurred. Where none agrees, the difference that changed least from one distance to the next."""
    tried: list[float] = []
    blurred = False
    for width, below, above in neighbours:
        numeric = (above[output] - below[output]) / width
        tolerance = atol + rtol * max(abs(analytic), abs(numeric))
        noise = 4.0 * rounding / width  # of two values; twice, because first order is not all
        if tried and not noise <= tolerance:
            break  # shorter distances would excuse a wrong derivative as rounding
        tried.append(numeric)
        blurred = noise > 1e-3 * max(1.0, abs(numeric))
        if math.isfinite(analytic) and abs(analytic - numeric) <= tolerance + noise:
            return True, numeric, blurred
    changes = [(abs(b - a), i) for i, (a, b) in enumerate(pairwise(tried), 1)]
    return False, tried[min(changes)[1] if changes else 0], blurred


def _coordinates(inputs: Any, parameters: Any, value_type: Any) -> tuple[list[Any], list[Leaf]]:
    """f's arguments, and every leaf that is to be moved."""
    if isinstance(inputs, (int, float)) or _checks.is_value(inputs) or hasattr(inputs, "dtype"):
        inputs = [inputs]
    if not isinstance(inputs, (list, tuple)):
        raise TypeError(f"inputs must be a list with one entry for each argument of f, not {type(inputs).__name__}")
    arguments: list[Any] = []
    coordinates: list[Leaf] = []
    for i, x in enumerate(inputs):
        arguments.append(convert(x, f"inputs[{i}]", value_type, coordinates))
    for i, p in enumerate(parameters):
        if not isinstance(p, value_type):
            name = getattr(type(p), "_pygrad_backend", type(p).__name__)
            raise TypeError(f"parameters[{i}] must be a Value of backend {value_type._pygrad_backend!r}, not {name}")
        coordinates += entries(p.label or f"parameters[{i}]", p)
    for c in coordinates:
        if c.entry and c.value.data.itemsize < 8:
            raise ValueError(f"{c.name} is an array of float32, too coarse for differences: give it as float64")
        if not math.isfinite(c.number):
            raise ValueError(f"{c} is {c.number!r}: derivatives are checked at finite numbers")
    if not coordinates:
        raise ValueError("nothing to differentiate by: inputs and parameters hold no numbers")
    return arguments, coordinates


def gradcheck(
    f: Callable[..., Any],
    inputs: Any = (),
    *,
    step: float | None = None,
    rtol: float = 1e-6,
    atol: float = 1e-8,
    parameters: Any = None,
    backend: str | None = None,
    raise_exception: bool = True,
) -> GradientReport:
    """Compares the derivatives that backward() gives with central differences, (f(x + h) - f(x - h)) / 2h.

    f: takes Values, returns a Value or a list of Values, of which each number is checked. Called twice, then at
        least twice for every number that it is differentiated by. It must be deterministic.
    inputs: a list with one entry for each argument of f: a number or an ndarray, which f gets as a Value, or a list
        (nested, if it likes) of these, which f gets as the same lists of Values. A Value stands for its data. A single
        number, array or Value stands for a list of it.
    step: h = step * max(1, |x|), and no other. By default h = epsilon**(1/3) * max(1, |x|), where the errors of
        truncation and of rounding balance (Press et al., Numerical Recipes, 3rd edition, section 5.7, with
        max(1, |x|) for the scale over which f curves); and where that disagrees, as for f that curves more sharply, or
        whose domain ends close by, steps of a tenth, a hundredth, ..., as long as rounding stays below the tolerance.
    rtol, atol: a derivative agrees if it differs by at most atol + rtol * |derivative|, plus the rounding error of
        the difference, estimated from the values and adjoints of all nodes.
    parameters: Values that exist, or a Module; checked as well. Afterwards, data and grad are what they were.
    backend: of the inputs; by default that of the parameters, or of the first Value in inputs, or the one in use.

    Where f has a kink, such as relu at 0, no derivative exists: differences give the mean of both sides, and
    backward() one of them. That is reported as a mismatch; so is, for most f, a kink nearer than about 1e-9. Choose
    other inputs.
    Derivatives below atol are not told from 0: scale f, or give a smaller atol.

    Returns a GradientReport. Raises GradientError (an AssertionError) listing every mismatch with both numbers,
    unless raise_exception is false; ValueError if f is not deterministic or not finite, here or on either side;
    TypeError if it returns something else than Values.

    >>> from pygrad import gradcheck
    >>> print(gradcheck(lambda x, w: (x[0] * w + x[1]).tanh(), [[0.5, -0.25], 2.0]))
    all 3 derivatives agree with central differences
    """
    return _checked(_Function, f, inputs, parameters, backend, _Tolerances(step, rtol, atol), raise_exception)


def gradgradcheck(
    f: Callable[..., Any],
    inputs: Any = (),
    *,
    step: float | None = None,
    rtol: float = 1e-6,
    atol: float = 1e-8,
    parameters: Any = None,
    backend: str | None = None,
    raise_exception: bool = True,
) -> GradientReport:
    """Compares second derivatives, by differentiating a gradient that grad(create_graph=True) gave, with central
    differences of the gradient that backward() gives.

    Arguments, result and errors are those of gradcheck. Each number that f gives gets a weight, a Value; a derivative
    by each input of the weighted sum is an output in the report, and is differentiated by inputs, parameters and
    weights, which are called weights[0] ... there.

    >>> from pygrad import gradgradcheck
    >>> print(gradgradcheck(lambda x, y: x * y.exp(), [2.0, 0.5]))
    all 6 derivatives agree with central differences
    """
    return _checked(_Gradient, f, inputs, parameters, backend, _Tolerances(step, rtol, atol), raise_exception)


class _Tolerances:
    """Steps and tolerances as they were given. Raises ValueError for what is no positive number."""

    def __init__(self, step: float | None, rtol: float, atol: float) -> None:
        for name, number in (("rtol", rtol), ("atol", atol), ("step", 1.0 if step is None else step)):
            if not 0.0 <= _checks.as_float(number, name) < math.inf or (name == "step" and number == 0):
                raise ValueError(f"{name} must be a positive number, not {number!r}")
        self.step, self.rtol, self.atol = step, rtol, atol

    def distances(self, x: float) -> list[float]:
        """The steps to be tried at x."""
        first = max(1.0, abs(x)) * (EPSILON ** (1 / 3) if self.step is None else self.step)
        return [first / 10.0**n for n in range(_STEPS if self.step is None else 1)]


def _checked(
    kind: type[_Function],
    f: Callable[..., Any],
    inputs: Any,
    parameters: Any,
    backend: str | None,
    tolerances: _Tolerances,
    raise_exception: bool,
) -> GradientReport:
    if not callable(f):
        raise TypeError(f"f must be a function of Values, not {type(f).__name__}")
    given = parameters.parameters() if hasattr(parameters, "parameters") else parameters
    leaves = [] if given is None else list(given)
    values = [x for x in [*leaves, *(inputs if isinstance(inputs, (list, tuple)) else [inputs])] if _checks.is_value(x)]
    value_type = _backends.type_of(values[0]) if values and backend is None else _backends.value_type(backend)
    arguments, coordinates = _coordinates(inputs, leaves, value_type)
    before = [(c, c.number, c.value, c.value.grad) for c in coordinates]
    mismatches, blurred = [], 0
    try:
        function = _Function(f, arguments, value_type)
        if kind is _Gradient:
            function = _Gradient(function, coordinates)
            coordinates += [Leaf(f"weights[{i}]", (), w) for i, w in enumerate(function.weights)]
        rows = function.derivatives(coordinates)
        for k, c in enumerate(coordinates):
            neighbours = _Neighbours(function, len(rows), c, tolerances.distances(c.number))
            for output, (gradients, rounding) in enumerate(rows):
                agrees, numeric, vague = _agrees(
                    gradients[k], output, rounding, neighbours, tolerances.rtol, tolerances.atol
                )
                blurred += vague
                if not agrees:
                    error = abs(gradients[k] - numeric)
                    mismatches.append(Mismatch(c.name, c.path, gradients[k], numeric, error, output))
    finally:
        for c, number, value, gradient in before:
            c.move(number)
            value.grad = gradient
    report = GradientReport(mismatches, len(rows) * len(coordinates), blurred)
    if raise_exception and not report.ok:
        raise GradientError(report)
    return report
