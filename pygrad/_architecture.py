"""Modules from their architecture: the dicts that Module.architecture() gives, checked, and made into modules again.

What may be built stands in one table; nothing is looked up by a name from a file, imported or evaluated. `shapes` says,
without building anything, which parameters an architecture has, so that a claim can be compared with what is there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from . import _checks, backends, nn
from ._module import flattened
from ._prepared import Watched

Shapes = dict[str, tuple[int, ...]]
Arrays = Mapping[str, np.ndarray[Any, np.dtype[np.float64]]]

DEEPEST = 32
"""How deep modules may be nested in a file."""


def _field(described: dict[str, Any], name: str, kind: type) -> Any:
    """A field of exactly that type: a bool is no int."""
    value = described[name]
    if type(value) is not kind:
        raise ValueError(f"{name!r} of {described['type']} must be {kind.__name__}, not {type(value).__name__}")
    return value


def _size(described: dict[str, Any], name: str) -> int:
    n: int = _field(described, name, int)
    if n < 0:
        raise ValueError(f"{name!r} of {described['type']} must be at least 0, not {n}")
    return n


def _activation(name: Any) -> str:
    if type(name) is not str or name not in nn.ACTIVATIONS:
        raise ValueError(f"unknown activation {name!r}: known are {', '.join(nn.ACTIVATIONS)}")
    return name


# ---- one pair of functions a class: what its arrays are, and how it is made; `at` is the prefix of its names ----


def _neuron_shapes(described: dict[str, Any], at: str, depth: int) -> Shapes:
    _activation(described["activation"])
    nin = _size(described, "nin")
    return {f"{at}weight": (nin,), f"{at}bias": ()} if nin else {f"{at}bias": ()}


def _neuron(described: dict[str, Any], at: str, arrays: Arrays, backend: str | None) -> nn.Neuron:
    weights = arrays[f"{at}weight"].tolist() if described["nin"] else []
    return _filled(described["activation"], weights, arrays[f"{at}bias"].item(), backend)


def _filled(activation: str, weights: list[float], bias: float, backend: str | None) -> nn.Neuron:
    neuron = nn.Neuron(0, activation=activation, bias=bias, backend=backend)
    neuron.w = Watched(map(backends.value_type(backend), weights))
    return neuron


def _layer_shapes(described: dict[str, Any], at: str, depth: int) -> Shapes:
    nin, nout, activations = _size(described, "nin"), _size(described, "nout"), _field(described, "activations", list)
    if len(activations) != nout:
        raise ValueError(f"a Layer of {nout} neurons must have as many activations, not {len(activations)}")
    for name in activations:
        _activation(name)
    found = {f"{at}weight": (nout, nin), f"{at}bias": (nout,)}
    return {name: shape for name, shape in found.items() if 0 not in shape}


def _layer(described: dict[str, Any], at: str, arrays: Arrays, backend: str | None) -> nn.Layer:
    layer = nn.Layer(described["nin"], 0, backend=backend)
    activations = described["activations"]
    rows = arrays[f"{at}weight"].tolist() if described["nin"] and activations else [[]] * len(activations)
    biases = arrays[f"{at}bias"].tolist() if activations else []
    layer.neurons = Watched(_filled(name, row, bias, backend) for name, row, bias in zip(activations, rows, biases))
    return layer


def _mlp_shapes(described: dict[str, Any], at: str, depth: int) -> Shapes:
    _checks.fraction(_field(described, "dropout", float), "'dropout' of MLP")
    layers = _field(described, "layers", list)
    for layer in layers:
        if not isinstance(layer, dict) or layer.get("type") != "Layer":
            raise ValueError("the layers of an MLP must be of type Layer")
    return _shapes_of_all(layers, f"{at}layers.", depth)


def _mlp(described: dict[str, Any], at: str, arrays: Arrays, backend: str | None) -> nn.MLP:
    model = nn.MLP(0, dropout=described["dropout"], backend=backend)
    model.layers = Watched(
        _layer(layer, f"{at}layers.{i}.", arrays, backend) for i, layer in enumerate(described["layers"])
    )
    return model


def _dropout_shapes(described: dict[str, Any], at: str, depth: int) -> Shapes:
    _checks.fraction(_field(described, "p", float), "'p' of Dropout")
    return {}


def _dropout(described: dict[str, Any], at: str, arrays: Arrays, backend: str | None) -> nn.Dropout:
    return nn.Dropout(described["p"])


def _linear_shapes(described: dict[str, Any], at: str, depth: int) -> Shapes:
    nin, nout, axis = _size(described, "nin"), _size(described, "nout"), _field(described, "axis", int)
    if axis not in (-1, 0):
        raise ValueError(f"'axis' of Linear must be -1 or 0, not {axis}")
    if _field(described, "dtype", str) not in ("float64", "float32"):
        raise ValueError(f"'dtype' of Linear must be 'float64' or 'float32', not {described['dtype']!r}")
    found: Shapes = {f"{at}weight": (nin, nout) if axis else (nout, nin)}
    return {**found, f"{at}bias": (nout,)} if _field(described, "bias", bool) else found


def _linear(described: dict[str, Any], at: str, arrays: Arrays, backend: str | None) -> nn.Linear:
    return nn.Linear(
        described["nin"],
        described["nout"],
        arrays[f"{at}bias"] if described["bias"] else False,
        weight=arrays[f"{at}weight"],
        axis=described["axis"],
        dtype=described["dtype"],
        backend=backend,
    )


def _sequential_shapes(described: dict[str, Any], at: str, depth: int) -> Shapes:
    return _shapes_of_all(_field(described, "parts", list), f"{at}parts.", depth)


def _sequential(described: dict[str, Any], at: str, arrays: Arrays, backend: str | None) -> nn.Sequential:
    parts = enumerate(described["parts"])
    return nn.Sequential(*(_KINDS[part["type"]].make(part, f"{at}parts.{i}.", arrays, backend) for i, part in parts))


class _Kind:
    """A class that may stand in a file: it, its fields, its shapes, its making. Fields after a bar may be left out."""

    def __init__(
        self,
        cls: type[nn.Module],
        fields: str,
        shapes: Callable[[dict[str, Any], str, int], Shapes],
        make: Callable[[dict[str, Any], str, Arrays, str | None], Any],
    ) -> None:
        self.cls, self.shapes, self.make = cls, shapes, make
        always, _, sometimes = fields.partition("|")
        self.fields, self.optional = {"type", *always.split()}, set(sometimes.split())


def _plain(cls: type[nn.Module], fields: str, **types: type) -> _Kind:
    """Of a class without parameters, whose fields, of these types, are its arguments."""

    def shapes(described: dict[str, Any], at: str, depth: int) -> Shapes:
        given = {name: _field(described, name, kind) for name, kind in types.items() if name in described}
        cls(**given)  # for its errors
        return {}

    def make(described: dict[str, Any], at: str, arrays: Arrays, backend: str | None) -> nn.Module:
        return cls(**{name: described[name] for name in types if name in described})

    return _Kind(cls, fields, shapes, make)


_KINDS = {
    "Neuron": _Kind(nn.Neuron, "nin activation", _neuron_shapes, _neuron),
    "Layer": _Kind(nn.Layer, "nin nout activations", _layer_shapes, _layer),
    "MLP": _Kind(nn.MLP, "layers dropout", _mlp_shapes, _mlp),
    "Dropout": _Kind(nn.Dropout, "p", _dropout_shapes, _dropout),
    "Sequential": _Kind(nn.Sequential, "parts", _sequential_shapes, _sequential),
    "Linear": _Kind(nn.Linear, "nin nout bias axis dtype", _linear_shapes, _linear),
    "Softmax": _plain(nn.Softmax, "|axis", axis=int),
    "Flatten": _plain(nn.Flatten, "start_axis", start_axis=int),
    "LeakyReLU": _plain(nn.LeakyReLU, "negative_slope", negative_slope=float),
    "ELU": _plain(nn.ELU, "alpha", alpha=float),
    **{cls.__name__: _plain(cls, "") for cls in (nn.ReLU, nn.Sigmoid, nn.Tanh, nn.SiLU, nn.GELU, nn.Softplus)},
}


def _shapes_of_all(described: list[Any], at: str, depth: int) -> Shapes:
    found: Shapes = {}
    for i, part in enumerate(described):
        found.update(shapes(part, f"{at}{i}.", depth + 1))
    return found


def shapes(described: Any, at: str = "", depth: int = 0) -> Shapes:
    """The names of an architecture's parameters, as in state_dict(), with their shapes; of scalar parameters none of
    size 0. Costs no more than reading it.

    Raises ValueError for what is no architecture.
    """
    if depth > DEEPEST:
        raise ValueError(f"its modules are nested more than {DEEPEST} deep")
    if not isinstance(described, dict) or type(described.get("type")) is not str:
        raise ValueError("an architecture must be an object with a type")
    kind = _KINDS.get(described["type"])
    if kind is None:
        raise ValueError(f"unknown module type {described['type']!r}: known are {', '.join(_KINDS)}")
    if described.keys() - kind.optional != kind.fields:
        raise ValueError(f"{described['type']} must have the fields {', '.join(sorted(kind.fields))}")
    return kind.shapes(described, at, depth)


def build(described: dict[str, Any], arrays: Arrays, backend: str | None) -> Any:
    """The module of an architecture that `shapes` accepted, with those parameters. Draws no random number.

    arrays: as `shapes` says, which the caller has compared.
    """
    return _KINDS[described["type"]].make(described, "", arrays, backend)


def describe(model: nn.Module, arrays: Arrays) -> dict[str, Any]:
    """model.architecture(), if a module built from it would be the same.

    arrays: the model's state_dict(). Raises TypeError that says why it cannot be described.
    """
    for module in model.modules():
        if type(module) not in {kind.cls for kind in _KINDS.values()}:
            raise TypeError(f"{type(module).__name__} is a Module of your own, whose code is not saved")
    try:
        described = model.architecture()
        expected = shapes(described)
    except (ValueError, AttributeError) as error:
        raise TypeError(str(error)) from None
    if expected != {name: array.shape for name, array in arrays.items()}:
        raise TypeError(f"this {type(model).__name__} has other parameters than its class gives it")
    places = sum(len(flattened(array)) for array in model._arrays().values())
    if len({id(p) for p in model.parameters()}) != places:
        raise TypeError(f"parameters of this {type(model).__name__} are used in several places")
    return described
