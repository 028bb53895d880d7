"""Neurons, layers and multi-layer perceptrons on scalar Values, as in micrograd.nn; one code for every backend.

Same constructors, reprs, parameter order and random draws as micrograd, and more options. A neuron's weighted sum is
one node (`Value.dot`), with the additions in micrograd's order, so with its bits. Where the backend can, layers are
prepared once and computed by one call into C; what that gives is what the neurons give one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from . import _checks, backends, functions
from ._checks import is_array_value, is_value
from ._module import Module, nested
from ._nn_arrays import Flatten, Linear
from ._nn_parts import ELU, GELU, Dropout, LeakyReLU, ReLU, Sequential, Sigmoid, SiLU, Softmax, Softplus, Tanh
from ._prepared import Prepared, Watched, all_watched, guarded
from .init import Initialiser, generator, initialiser
from .ops import OPS

__all__ = [
    "ACTIVATIONS", "ELU", "GELU", "MLP", "Dropout", "Flatten", "Layer", "LeakyReLU", "Linear", "Module", "Neuron",
    "ReLU", "Sequential", "SiLU", "Sigmoid", "Softmax", "Softplus", "Tanh",
]  # fmt: skip

ACTIVATIONS = ("relu", "tanh", "sigmoid", "leaky_relu", "elu", "silu", "gelu", "softplus", "linear")
"""The activations by name. Each but 'linear', which is none, is the method of Value of that name."""

Activation = str | Callable[[Any], Any]

_TITLES = {"relu": "ReLU", "leaky_relu": "LeakyReLU", "elu": "ELU", "silu": "SiLU", "gelu": "GELU"}


def _activation(given: Any, what: str) -> Activation:
    """A known name, or a function of a Value. Raises ValueError or TypeError naming `what`."""
    if isinstance(given, str):
        if given not in ACTIVATIONS:
            raise ValueError(f"unknown {what}={given!r}: choose one of {', '.join(ACTIVATIONS)}, or give a function")
        return given
    if not callable(given):
        raise TypeError(f"{what} must be a name or a function of a Value, not {type(given).__name__}")
    function: Callable[[Any], Any] = given
    return function


def _activated(v: Any, activation: Activation) -> Any:
    if activation == "linear":
        return v
    return getattr(v, activation)() if isinstance(activation, str) else activation(v)


def _check_inputs(x: Any, nin: int, what: str) -> None:
    """Raises the error for inputs that a neuron cannot take: no sequence, or a wrong count."""
    try:
        count = len(x)
    except TypeError:
        inputs = f"{nin} input{'s' if nin != 1 else ''}"
        raise TypeError(f"{what} takes a sequence of {inputs}, not {type(x).__name__}") from None
    if count != nin:
        raise _checks.bad_count(what, nin, count)


def _plain_inputs(x: Any) -> Any:
    """A one-dimensional array as a list of what it holds; anything else as it is."""
    return x.tolist() if getattr(x, "ndim", 0) == 1 and hasattr(x, "tolist") else x


class Neuron(Prepared):
    """activation(w . x + b), the activation relu unless told otherwise.

    nin: number of inputs.
    nonlin: False for no activation, as in micrograd.
    activation: a name of ACTIVATIONS, or a function of a Value; takes the place of nonlin.
    weights: nin numbers (or Values, which are then used themselves); bias: a number (or Value).
    init, bias_init: where those are not given, how they are drawn, weights first: a name or function of pygrad.init.
    By default the weights are U(-1, 1) and the bias is 0, as in micrograd.
    seed: of a generator for this neuron; or rng: the generator itself; by default Python's `random`.
    backend: 'c', 'cffi' or 'python'; by default the one in use.

    Raises ValueError if nin is negative, a name unknown or a shape wrong, TypeError for a wrong type; when called,
    ValueError naming both numbers if there are not nin inputs.
    """

    _read = ("w", "b", "activation")

    def __init__(
        self,
        nin: int,
        nonlin: bool = True,
        *,
        activation: Activation | None = None,
        weights: Any = None,
        bias: Any = None,
        init: str | Initialiser = "uniform",
        bias_init: str | Initialiser = "zeros",
        seed: int | None = None,
        rng: Any = None,
        backend: str | None = None,
        _nout: int = 1,
    ) -> None:
        value_type = backends.value_type(backend)
        count = _checks.size(nin, "nin")
        if activation is None:
            activation = "relu" if nonlin else "linear"
        self.activation = _activation(activation, "activation")
        draw, draw_bias = initialiser(init, "init"), initialiser(bias_init, "bias_init")
        source = generator(seed, rng)
        if weights is None:
            weights = [draw(source, count, _nout) for _ in range(count)]
        else:
            weights = nested(weights, (count,), f"weights of Neuron({count})")
        if bias is None:
            bias = draw_bias(source, count, _nout)
        self.w: list[Any] = Watched(_checks.as_operand("weights", w, value_type) for w in weights)
        self.b: Any = _checks.as_operand("bias", bias, value_type)

    @property
    def nonlin(self) -> bool:
        """Whether there is an activation. Setting it gives relu, or takes the activation away."""
        return self.activation != "linear"

    @nonlin.setter
    def nonlin(self, nonlin: bool) -> None:
        if bool(nonlin) != self.nonlin:
            self.activation = "relu" if nonlin else "linear"

    def __call__(self, x: Sequence[Any]) -> Any:
        b = self.b
        try:
            act = b._dot(self.w, x, b) if is_value(b) else functions.dot(self.w, x, b)
        except (TypeError, ValueError):
            _check_inputs(x, len(self.w), repr(self))
            raise
        return _activated(act, self.activation)

    def parameters(self) -> list[Any]:
        return [*self.w, self.b]

    def _compact(self) -> dict[str, Any]:
        return {"weight": self.w, "bias": self.b}

    def architecture(self) -> dict[str, Any]:
        if not isinstance(self.activation, str):
            raise TypeError(f"{self!r} has an activation of your own ({self.activation!r}), which cannot be described")
        return {"type": "Neuron", "nin": len(self.w), "activation": self.activation}

    def _title(self) -> str:
        if not isinstance(self.activation, str):
            return getattr(self.activation, "__name__", type(self.activation).__name__)
        return _TITLES.get(self.activation, self.activation.capitalize())

    def __repr__(self) -> str:
        return f"{self._title()}Neuron({len(self.w)})"


class Layer(Prepared):
    """nout neurons on the same nin inputs. Gives a list of Values, or the one Value where nout is 1; of a batch, an
    array of shape (samples, nin), an array Value of shape (samples, nout).

    weights: of shape (nout, nin); biases: of shape (nout,). The other options are those of Neuron.

    Raises what Neuron raises.
    """

    _read = ("neurons",)

    def __init__(
        self,
        nin: int,
        nout: int,
        nonlin: bool = True,
        *,
        activation: Activation | None = None,
        weights: Any = None,
        biases: Any = None,
        seed: int | None = None,
        rng: Any = None,
        **options: Any,
    ) -> None:
        count, width = _checks.size(nout, "nout"), _checks.size(nin, "nin")
        what = f"Layer({width}, {count})"
        rows = [None] * count if weights is None else nested(weights, (count, width), f"weights of {what}")
        bias_of = [None] * count if biases is None else nested(biases, (count,), f"biases of {what}")
        source = generator(seed, rng)
        self.neurons: list[Neuron] = Watched(
            Neuron(
                width, nonlin, activation=activation, weights=row, bias=b, rng=source, _nout=count, **options
            )
            for row, b in zip(rows, bias_of)
        )

    def __call__(self, x: Any) -> Any:
        """x: nin Values or numbers, in a list, tuple or array; or one Value, as a layer of one neuron gives it.

        Or a batch, an ndarray or array Value whose last axis has nin entries (of one sample: an array Value).
        """
        if _is_batch(x):
            return self._of_batch(x)
        if is_value(x):
            x = [x]
        compute = self._compute
        if compute is None:
            compute = self._keep("_compute", lambda: _function((self,)))
        out = compute(_plain_inputs(x))
        return self._one_by_one(x) if out is NotImplemented else out

    def _one_by_one(self, x: Any) -> Any:
        if self.neurons and type(self.neurons[0]).__call__ is Neuron.__call__:
            first = self.neurons[0]
            _check_inputs(x, len(first.w), repr(first))
            x = first.b._as_operands(repr(first), x)  # a number becomes one leaf, not one a neuron
        out = [n(x) for n in self.neurons]
        return out[0] if len(out) == 1 else out

    def _of_batch(self, x: Any) -> Any:
        """An array Value of shape (..., nout) from one of shape (..., nin)."""
        compute = self._batch
        if compute is None:
            compute = self._keep("_batch", self._batch_function)
        out = compute(x)
        return self._row_by_row(x) if out is NotImplemented else out

    def _batch_function(self) -> Callable[[Any], Any]:
        description = self._described_to_engine()
        if description is None or not description[0]:
            return _not_in_one_call
        from ._packed import layer_function

        parameters, nin, nout, activation, _ = description
        value_type = backends.type_of(parameters[0])
        if not all(isinstance(p, value_type) for p in parameters):
            return _not_in_one_call
        affine = layer_function(parameters, nin, nout)

        def function(x: Any) -> Any:
            if x.shape[-1] != nin:
                raise _checks.bad_count(self._described(), nin, x.shape[-1])
            return _activated(affine(x), activation)

        return guarded(function, [self.neurons, *_lists([self])]) or _not_in_one_call

    def _row_by_row(self, x: Any) -> Any:
        """For neurons that compute in ways of their own: sample by sample, as scalars."""
        from .arrays import stack

        if x.ndim > 1:
            return stack([self._row_by_row(row) if is_value(row) else self._stacked(row.tolist()) for row in x])
        return self._stacked(list(x))

    def _stacked(self, x: list[Any]) -> Any:
        from .arrays import stack

        out = self._one_by_one(x)
        return stack(out if isinstance(out, list) else [out])

    @property
    def weight(self) -> Any:
        """All neurons' weights as one array Value of shape (nout, nin), computed from them: its data is read-only.
        Assigning an array of that shape changes the neurons' data. Their gradients as an array: weight_grad."""
        return self._computed_array("weight")

    @weight.setter
    def weight(self, numbers: Any) -> None:
        self._read_array("weight").write(numbers)

    @property
    def bias(self) -> Any:
        """All neurons' biases as one array Value of shape (nout,), as weight."""
        return self._computed_array("bias")

    @bias.setter
    def bias(self, numbers: Any) -> None:
        self._read_array("bias").write(numbers)

    @property
    def weight_grad(self) -> Any:
        """The gradients of all weights, a new array of shape (nout, nin)."""
        return self._read_array("weight").read("grad")

    @property
    def bias_grad(self) -> Any:
        """The gradients of all biases, a new array of shape (nout,)."""
        return self._read_array("bias").read("grad")

    def _computed_array(self, name: str) -> Any:
        v = self._read_array(name)()
        v.data.flags.writeable = False  # what is written there would not reach the neurons
        return v

    def _read_array(self, name: str) -> Any:
        from ._packed import Packed

        values = self._compact().get(name)
        if not values:
            raise TypeError(f"{self!r} has no array of {name}s: it is made of neurons of your own, or of none")
        if name == "bias":
            return Packed(values, (len(values),))
        return Packed([w for row in values for w in row], (len(values), len(values[0])))

    def _described_to_engine(self) -> tuple[list[Any], int, int, str, float] | None:
        """What Value._layers takes. None if some neuron is not as the first, or computes in a way of its own."""
        if not self.neurons or type(self).__call__ is not _LAYER_CALL:
            return None
        if not all(isinstance(n, Neuron) and type(n).__call__ is _NEURON_CALL for n in self.neurons):
            return None
        if not all(part._is_read_plainly() for part in (self, *self.neurons)):
            return None
        nin, activation = len(self.neurons[0].w), self.neurons[0].activation
        if not isinstance(activation, str):
            return None
        parameters: list[Any] = []
        for n in self.neurons:
            if len(n.w) != nin or n.activation != activation:
                return None
            parameters += [*n.w, n.b]
        constant = 0.0 if activation == "linear" else OPS[activation].constant
        return parameters, nin, len(self.neurons), activation, constant

    def parameters(self) -> list[Any]:
        return [p for n in self.neurons for p in n.parameters()]

    def _compact(self) -> dict[str, Any]:
        if not all(isinstance(n, Neuron) for n in self.neurons):
            return {}
        return {"weight": [n.w for n in self.neurons], "bias": [n.b for n in self.neurons]}

    def architecture(self) -> dict[str, Any]:
        neurons = [n.architecture() for n in self.neurons]
        nin = neurons[0]["nin"] if neurons else 0
        if any(n["type"] != "Neuron" or n["nin"] != nin for n in neurons):
            raise TypeError(f"{self!r} has neurons that differ in their inputs, which cannot be described")
        return {"type": "Layer", "nin": nin, "nout": len(neurons), "activations": [n["activation"] for n in neurons]}

    def _described(self) -> str:
        if not self.neurons:
            return "Layer without neurons"
        first = self.neurons[0]
        if not all(isinstance(n, Neuron) for n in self.neurons):
            return f"Layer of {len(self.neurons)}"
        activations = {n.activation if isinstance(n.activation, str) else n._title() for n in self.neurons}
        return f"Layer {len(first.w)} -> {len(self.neurons)}, {', '.join(sorted(activations))}"

    def __repr__(self) -> str:
        return f"Layer of [{', '.join(str(n) for n in self.neurons)}]"


class MLP(Prepared):
    """A multi-layer perceptron: relu on every layer but the last, unless told otherwise.

    nin: number of inputs; nouts: the sizes of the layers, as one list or one by one. MLP(2, [16, 16, 1]) and
    MLP(2, 16, 16, 1) have 337 parameters.
    activation: of the hidden layers: a name of ACTIVATIONS or a function of a Value; or one a layer, the last included.
    output_activation: of the last layer.
    weights, biases: one entry a layer, of shape (nout, nin) and (nout,).
    dropout: probability with which, in training, each output of a hidden layer is set to 0 (see Dropout).
    init, bias_init, seed, rng, backend: as for Neuron. A seed gives the same weights on every backend.

    Raises what Neuron raises.
    """

    _read = ("layers", "dropout")

    def __init__(
        self,
        nin: int,
        *nouts: Any,
        activation: Activation | Sequence[Activation] = "relu",
        output_activation: Activation | None = None,
        weights: Sequence[Any] | None = None,
        biases: Sequence[Any] | None = None,
        init: str | Initialiser = "uniform",
        bias_init: str | Initialiser = "zeros",
        dropout: float = 0.0,
        seed: int | None = None,
        rng: Any = None,
        backend: str | None = None,
    ) -> None:
        sizes = [_checks.size(nin, "nin"), *_layer_sizes(nouts)]
        count = len(sizes) - 1
        activations = _activations(activation, output_activation, count)
        for given, what in ((weights, "weights"), (biases, "biases")):
            if given is not None and not hasattr(given, "__len__"):
                raise TypeError(f"{what} must be a list with one entry a layer, not {type(given).__name__}")
            if given is not None and len(given) != count:
                raise ValueError(f"{what} must have one entry a layer: {count}, not {len(given)}")
        source = generator(seed, rng)
        self.layers: list[Layer] = Watched(
            Layer(
                sizes[i],
                sizes[i + 1],
                activation=activations[i],
                weights=None if weights is None else weights[i],
                biases=None if biases is None else biases[i],
                init=init,
                bias_init=bias_init,
                rng=source,
                backend=backend,
            )
            for i in range(count)
        )
        self.dropout = Dropout(dropout, rng=source) if _checks.fraction(dropout, "dropout") else None

    def __call__(self, x: Any) -> Any:
        """x: nin Values or numbers, in a list, tuple or array. Gives a list of Values, or the one Value.

        Or a batch, an ndarray of shape (samples, nin) or an array Value: then it is computed with arrays, from the same
        parameters, and gives an array Value of shape (samples, nout).
        """
        compute = self._compute
        if compute is None:
            compute = self._keep("_compute", self._whole)
        out = compute(x)
        return self._one_by_one(_plain_inputs(x)) if out is NotImplemented else out

    def _whole(self) -> Callable[[Any], Any]:
        whole = self.dropout is None and self._is_read_plainly()
        return _function(self.layers if whole else ())

    def _one_by_one(self, x: Any) -> Any:
        for layer in self.layers[:-1]:
            x = layer(x)
            if self.dropout is not None:
                x = self.dropout(x)
        return self.layers[-1](x) if self.layers else x

    def parameters(self) -> list[Any]:
        known = self._known
        if known is None:
            known = self._keep("_known", self._known_parameters)
        return self._listed() if known is None else known.copy()

    def _listed(self) -> list[Any]:
        return [p for layer in self.layers for p in layer.parameters()]

    def _known_parameters(self) -> list[Any] | None:
        """None if they may change unnoticed."""
        own = self._is_read_plainly() and all(map(_is_pygrads_own, self.layers))
        return self._listed() if own and all_watched([self.layers, *_lists(self.layers)]) else None

    def zero_grad(self) -> None:
        """Sets the gradient of every parameter to 0: one call, where the parameters are known."""
        zero = self._zero
        if zero is None:
            zero = self._keep("_zero", self._zero_function)
        zero()

    def _zero_function(self) -> Callable[[], None]:
        parameters = self.parameters()
        known = type(self).parameters is MLP.parameters and self._known is not None
        if not known or not parameters or any(map(is_array_value, parameters)):
            return super().zero_grad
        value_type = backends.type_of(parameters[0])
        zero_grads, token = value_type._zero_grads, value_type._ids(parameters)

        def zero(held: Any = parameters) -> None:  # as long as they are held, the token is good
            del held
            zero_grads(token)

        return zero

    def architecture(self) -> dict[str, Any]:
        return {
            "type": "MLP",
            "layers": [layer.architecture() for layer in self.layers],
            "dropout": 0.0 if self.dropout is None else self.dropout.p,
        }

    def __repr__(self) -> str:
        return f"MLP of [{', '.join(str(layer) for layer in self.layers)}]"


_NEURON_CALL, _LAYER_CALL = Neuron.__call__, Layer.__call__


def _is_batch(x: Any) -> bool:
    """An array Value, or an ndarray of at least two dimensions; a plain one of one dimension is a sample of numbers."""
    dimensions = getattr(x, "ndim", 0)
    return dimensions > 1 or (dimensions == 1 and is_value(x))


def _lists(layers: Iterable[Any]) -> list[Any]:
    """The lists in layers that decide what their parameters are."""
    layers = list(layers)
    return [layer.neurons for layer in layers] + [n.w for layer in layers for n in layer.neurons]


def _is_pygrads_own(layer: Any) -> bool:
    return type(layer) is Layer and all(type(n) is Neuron for n in layer.neurons)


def _not_in_one_call(x: Any) -> Any:
    return NotImplemented


def _function(layers: Sequence[Any]) -> Callable[[Any], Any]:
    """The layers as one function of a list of Values and floats. It gives NotImplemented for inputs, and for layers,
    that must be computed neuron by neuron."""
    descriptions: list[Any] = []
    for layer in layers:
        description = layer._described_to_engine() if isinstance(layer, Layer) else None
        if description is None or (descriptions and description[1] != descriptions[-1][2]):
            return _not_in_one_call
        descriptions.append(description)
    if not descriptions:
        return _not_in_one_call
    value_type = backends.type_of(descriptions[0][0][0])
    if not all(isinstance(p, value_type) for parameters, *_ in descriptions for p in parameters):
        return _not_in_one_call
    function = value_type._layers(descriptions)
    return (function and guarded(function, [layers, *_lists(layers)])) or _not_in_one_call


def _layer_sizes(nouts: tuple[Any, ...]) -> list[Any]:
    if len(nouts) == 1 and isinstance(nouts[0], Iterable) and not isinstance(nouts[0], str):
        return list(nouts[0])
    if any(isinstance(n, Iterable) and not isinstance(n, str) for n in nouts):
        raise TypeError("MLP takes the sizes of its layers as one list, or one by one; not both")
    return list(nouts)


def _activations(given: Any, output: Any, count: int) -> list[Activation]:
    """One activation a layer."""
    if isinstance(given, (list, tuple)):
        if len(given) != count:
            raise ValueError(f"activation must have one entry a layer: {count}, not {len(given)}")
        if output is not None:
            raise ValueError("give output_activation=, or activation= with one entry a layer; not both")
        return [_activation(a, "activation") for a in given]
    last = "linear" if output is None else _activation(output, "output_activation")
    return [_activation(given, "activation")] * (count - 1) + [last] * (count > 0)
