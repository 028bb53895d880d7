"""Neurons, layers and multi-layer perceptrons on scalar Values, as in micrograd.nn; one code for every backend.

Same constructors, reprs, parameter order and random draws as micrograd. A neuron's weighted sum is one node
(`Value.dot`), with the additions in micrograd's order, so with its bits.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from typing import Any

from . import _checks, backends


class Module:
    """Something with parameters."""

    def zero_grad(self) -> None:
        """Sets the gradient of every parameter to 0."""
        for p in self.parameters():
            p.grad = 0.0

    def parameters(self) -> list[Any]:
        """The parameters, a new list of Values."""
        return []


def _check_inputs(x: Any, nin: int, what: str) -> None:
    """Raises the error for inputs that a neuron cannot take: no sequence, or a wrong count."""
    try:
        count = len(x)
    except TypeError:
        raise TypeError(f"{what} takes a sequence of {nin} inputs, not {type(x).__name__}") from None
    if count != nin:
        raise _checks.bad_count(what, nin, count)


class Neuron(Module):
    """relu(w . x + b), or w . x + b where nonlin is false.

    nin: number of inputs. Weights are drawn from U(-1, 1) with `random.uniform`, the bias is 0.
    backend: 'c', 'cffi' or 'python'; by default the one in use.

    Raises ValueError if nin is negative or the backend unknown; when called, ValueError naming both numbers
    if there are not nin inputs.
    """

    def __init__(self, nin: int, nonlin: bool = True, *, backend: str | None = None) -> None:
        value_type = backends.value_type(backend)
        self.w: list[Any] = [value_type(random.uniform(-1, 1)) for _ in range(_checks.size(nin, "nin"))]
        self.b: Any = value_type(0.0)
        self.nonlin = nonlin

    def __call__(self, x: Sequence[Any]) -> Any:
        try:
            act = self.b.dot(self.w, x, self.b)
        except (TypeError, ValueError):
            _check_inputs(x, len(self.w), repr(self))
            raise
        return act.relu() if self.nonlin else act

    def parameters(self) -> list[Any]:
        return [*self.w, self.b]

    def __repr__(self) -> str:
        return f"{'ReLU' if self.nonlin else 'Linear'}Neuron({len(self.w)})"


class Layer(Module):
    """nout neurons on the same nin inputs. Gives a list of Values, or the one Value where nout is 1.

    Further arguments go to each Neuron.
    """

    def __init__(self, nin: int, nout: int, **kwargs: Any) -> None:
        self.neurons = [Neuron(nin, **kwargs) for _ in range(_checks.size(nout, "nout"))]

    def __call__(self, x: Any) -> Any:
        """x: nin Values or numbers; or one Value, which is what a layer of one neuron gives."""
        if self.neurons:
            first = self.neurons[0]
            if not isinstance(x, (list, tuple)) and isinstance(x, backends.type_of(first.b)):
                x = [x]
            _check_inputs(x, len(first.w), repr(first))
            x = first.b._as_operands(repr(first), x)  # a number becomes one leaf, not one a neuron
        out = [n(x) for n in self.neurons]
        return out[0] if len(out) == 1 else out

    def parameters(self) -> list[Any]:
        return [p for n in self.neurons for p in n.parameters()]

    def __repr__(self) -> str:
        return f"Layer of [{', '.join(str(n) for n in self.neurons)}]"


class MLP(Module):
    """A multi-layer perceptron: relu on every layer but the last.

    nin: number of inputs; nouts: the sizes of the layers. MLP(2, [16, 16, 1]) has 337 parameters.
    backend: as for Neuron.
    """

    def __init__(self, nin: int, nouts: Sequence[int], *, backend: str | None = None) -> None:
        if not isinstance(nouts, Iterable):
            raise TypeError(f"nouts must be a sequence of layer sizes, not {type(nouts).__name__}")
        sizes = [nin, *nouts]
        last = len(sizes) - 2
        self.layers = [
            Layer(sizes[i], sizes[i + 1], nonlin=i != last, backend=backend) for i in range(len(sizes) - 1)
        ]

    def __call__(self, x: Any) -> Any:
        for layer in self.layers:
            x = layer(x)
        return x

    def parameters(self) -> list[Any]:
        return [p for layer in self.layers for p in layer.parameters()]

    def __repr__(self) -> str:
        return f"MLP of [{', '.join(str(layer) for layer in self.layers)}]"
