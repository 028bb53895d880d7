"""pygrad: the fast engine for micrograd-style Python.

An ordinary `Value` object, operator overloading, `backward()`, Neuron, Layer and MLP, with the graph in C. A
script written for micrograd runs unchanged (`s/micrograd/pygrad/` on its imports); a pure-Python reference
with the same API gives the same numbers to the last bit.

>>> from pygrad import Value
>>> a = Value(2.0)
>>> b = (a * 3).tanh()
>>> b.backward()
>>> round(a.grad, 9)
7.373e-05
"""

import importlib
from typing import TYPE_CHECKING

from . import backends, engine, nn
from .engine import Value
from .functions import (
    abs,
    add,
    cos,
    div,
    dot,
    elu,
    erf,
    erfc,
    exp,
    gelu,
    leaky_relu,
    log,
    logsumexp,
    maximum,
    minimum,
    mul,
    neg,
    pick,
    pow,
    relu,
    sigmoid,
    silu,
    sin,
    softplus,
    sqrt,
    sub,
    sum,
    tanh,
)
from .nn import MLP, Layer, Module, Neuron

if TYPE_CHECKING:
    from . import (
        arrays,
        callbacks,
        checks,
        data,
        derivatives,
        init,
        losses,
        optim,
        plot,
        programs,
        saving,
        schedules,
        tables,
    )
    from ._draw import draw, draw_dot, trace
    from .arrays import (
        broadcast_to,
        clip,
        concatenate,
        cumsum,
        einsum,
        expand_dims,
        flip,
        hstack,
        linear,
        log_softmax,
        matmul,
        max,
        mean,
        min,
        moveaxis,
        norm,
        pad,
        prod,
        ravel,
        reshape,
        softmax,
        squeeze,
        stack,
        std,
        swapaxes,
        take_along_axis,
        transpose,
        var,
        vstack,
        where,
    )
    from .checks import compare_backends, gradcheck, gradgradcheck
    from .derivatives import grad, hessian, hvp, jacobian
    from .programs import TraceError, compile
    from .recording import enable_grad, no_grad
    from .saving import FormatError, load
    from .tables import load_table

__version__ = "0.1.0"

backend = backends.current
"""The name of the backend in use: 'c', 'cffi' or 'python'."""


def use(name: str) -> None:
    """Makes another backend the one in use, as PYGRAD_BACKEND would have: pygrad.Value, pygrad.engine.Value, and
    what pygrad.nn makes from now on. A Value type imported before stays what it was, so call this first.

    Raises ValueError for an unknown name; ImportError that names the remedy if the backend is not there.
    """
    global Value, backend
    Value = engine.Value = backends.load(name)  # type: ignore[misc]  # the types look alike by design
    backend = backends.current = name


# Loaded on first use, so that importing pygrad takes no longer for a script that needs none of them: modules, and
# names with the module they stand in.
_MODULES = (
    "arrays", "callbacks", "checks", "data", "derivatives", "init", "losses", "optim", "plot", "programs", "saving",
    "schedules", "tables",
)  # fmt: skip
_ARRAYS = (
    "broadcast_to", "clip", "concatenate", "cumsum", "einsum", "expand_dims", "flip", "hstack", "linear",
    "log_softmax", "matmul", "max", "mean", "min", "moveaxis", "norm", "pad", "prod", "ravel", "reshape", "softmax",
    "squeeze", "stack", "std", "swapaxes", "take_along_axis", "transpose", "var", "vstack", "where",
)  # fmt: skip
_NAMES = {
    **dict.fromkeys(_ARRAYS, "arrays"),
    "FormatError": "saving",
    "TraceError": "programs",
    "compare_backends": "checks",
    "compile": "programs",
    "draw": "_draw",
    "draw_dot": "_draw",
    "enable_grad": "recording",
    "grad": "derivatives",
    "gradcheck": "checks",
    "gradgradcheck": "checks",
    "hessian": "derivatives",
    "hvp": "derivatives",
    "jacobian": "derivatives",
    "load": "saving",
    "load_table": "tables",
    "no_grad": "recording",
    "trace": "_draw",
}


def __getattr__(name: str) -> object:
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name not in _NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return globals().setdefault(name, getattr(importlib.import_module(f"{__name__}.{_NAMES[name]}"), name))


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES, *_NAMES})


# without abs, compile, max, min, pow and sum, so that `from pygrad import *` leaves Python's own alone
__all__ = [
    "MLP",
    "FormatError",
    "Layer",
    "Module",
    "Neuron",
    "TraceError",
    "Value",
    "add",
    "arrays",
    "backend",
    "backends",
    "broadcast_to",
    "callbacks",
    "checks",
    "clip",
    "compare_backends",
    "concatenate",
    "cos",
    "cumsum",
    "data",
    "derivatives",
    "div",
    "dot",
    "draw",
    "draw_dot",
    "einsum",
    "elu",
    "enable_grad",
    "engine",
    "erf",
    "erfc",
    "exp",
    "expand_dims",
    "flip",
    "gelu",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "hessian",
    "hstack",
    "hvp",
    "init",
    "jacobian",
    "leaky_relu",
    "linear",
    "load",
    "load_table",
    "log",
    "log_softmax",
    "logsumexp",
    "losses",
    "matmul",
    "maximum",
    "mean",
    "minimum",
    "moveaxis",
    "mul",
    "neg",
    "nn",
    "no_grad",
    "norm",
    "optim",
    "pad",
    "pick",
    "plot",
    "prod",
    "ravel",
    "relu",
    "reshape",
    "saving",
    "schedules",
    "sigmoid",
    "silu",
    "sin",
    "softmax",
    "softplus",
    "sqrt",
    "squeeze",
    "stack",
    "std",
    "sub",
    "swapaxes",
    "tables",
    "take_along_axis",
    "tanh",
    "trace",
    "transpose",
    "use",
    "var",
    "vstack",
    "where",
]
