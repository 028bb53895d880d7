"""The engines by name: what each is called in the tables, which package it needs, and what it can run.

pygrad on its three backends and plain Python floats stand here; the adapters of other packages are in
peers.py. Listing the engines imports none of them.
"""

from __future__ import annotations

import gc
import math
import types
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import batches
import peers
from peers import Scalars, Step
from workloads import FUNCTION_NAMES, Problem, optimiser_settings

PEERS = ("micrograd", "torch", "jax", "casadi", "xad", "autograd")
"""The packages that --peers chooses from; also what they are called on PyPI."""


@dataclass(frozen=True)
class Fitted:
    """What training on a data set gave: seconds of each epoch, and the accuracy on the test set after the last."""

    seconds: list[float]
    accuracy: float


@dataclass(frozen=True)
class Engine:
    """One row of a table.

    name: in the JSON file. label: in the tables. needs: the peers without which it is left out.
    trainer: gives the step function of a problem. batches: whether it takes part in the tables of whole batches;
    samples: in the others, where a model may take one sample at a time.
    scalars: gives the engine for graphs of scalars. arrays: gives the type of its array Values.
    fit: trains on a data set, for so many epochs. optimiser: gives the step function of an optimiser.
    nn: whether training also needs micrograd, for its nn.py.
    most_ops: the largest graph of scalars to ask it for, by its speed and memory.
    """

    name: str
    label: str
    needs: tuple[str, ...] = ()
    trainer: Callable[[Problem], Step] | None = None
    batches: bool = False
    samples: bool = True
    scalars: Callable[[], Scalars] | None = None
    arrays: Callable[[], Any] | None = None
    fit: Callable[[int], Fitted] | None = None
    optimiser: Callable[[str, int], Callable[[], None]] | None = None
    nn: bool = False
    most_ops: int = 10_000_000


# ---- pygrad ----


def _pygrad_trainer(backend: str, problem: Problem) -> Step:
    from pygrad import nn

    return peers.scalar_trainer(types.SimpleNamespace(MLP=partial(nn.MLP, backend=backend)), problem)


def _micrograd_nn_trainer(backend: str, problem: Problem) -> Step:
    return peers.scalar_trainer(peers.micrograd_nn_on(_value_type(backend)), problem)


def _value_type(backend: str) -> Any:
    from pygrad import backends

    return backends.load(backend)


def _pygrad_scalars(backend: str) -> Scalars:
    value_type = _value_type(backend)
    return Scalars(
        leaves=lambda numbers: [value_type(x) for x in numbers],
        total=value_type.sum,
        one_sum=True,
        value=lambda v: v.data,
        backward=value_type.backward,
        gradient=lambda v: v.grad,
        release=lambda: None,
        table=[getattr(value_type, name) for name in FUNCTION_NAMES],
    )


def _pygrad_fit(backend: str, epochs: int) -> Fitted:
    """MLP(64, [32, 10]) on scikit-learn's digits, a fifth kept for the test, in batches of 32, with model.fit."""
    from pygrad import nn
    from pygrad.data import load_digits, train_test_split

    X, test_x, y, test_y = train_test_split(*load_digits(), test=0.2, seed=0)
    model = nn.MLP(64, [32, 10], init="he", seed=0, backend=backend)
    history = model.fit(
        X, y, loss="cross_entropy", optimizer="adam", lr=0.005, epochs=epochs, batch_size=32, seed=0, progress=False
    )
    return Fitted(list(history["seconds"]), model.score(test_x, test_y))


def _pygrad_optimiser(backend: str, kind: str, count: int) -> Callable[[], None]:
    """One step and zero_grad of that many parameters."""
    from pygrad import optim

    value_type = _value_type(backend)
    parameters = [value_type(1.0 / (i + 1)) for i in range(count)]
    for i, p in enumerate(parameters):
        p.grad = 1e-3 * (i % 7 - 3)
    name, settings = optimiser_settings(kind)
    optimizer = getattr(optim, name)(parameters, **settings)

    def step() -> None:
        optimizer.step()
        optimizer.zero_grad()

    return step


def _uncollected_scalars(backend: str) -> Scalars:
    gc.disable()
    return _pygrad_scalars(backend)


# ---- plain floats ----


def _float_scalars() -> Scalars:
    return Scalars(
        leaves=list,
        total=math.fsum,
        one_sum=True,
        value=float,
        backward=None,
        gradient=float,
        release=lambda: None,
        table=[getattr(math, name) for name in FUNCTION_NAMES],
    )


# ---- all of them, in the order of the tables ----


def _batch_engine(name: str, label: str, trainer: Callable[[Problem], Step]) -> Engine:
    return Engine(name, label, trainer=trainer, batches=True, samples=False)


ENGINES = {
    engine.name: engine
    for engine in (
        Engine("floats", "plain Python floats (forward only)", scalars=_float_scalars),
        Engine(
            "micrograd",
            "micrograd",
            ("micrograd",),
            trainer=peers.micrograd_trainer,
            scalars=peers.micrograd_scalars,
            most_ops=100_000,
        ),
        Engine(
            "micrograd-uncollected",
            "micrograd, collector off, one collect",
            ("micrograd",),
            trainer=peers.micrograd_uncollected_trainer,
            scalars=peers.micrograd_uncollected_scalars,
            most_ops=100_000,
        ),
        Engine(
            "c",
            "pygrad c",
            trainer=partial(_pygrad_trainer, "c"),
            scalars=partial(_pygrad_scalars, "c"),
            arrays=partial(_value_type, "c"),
            fit=partial(_pygrad_fit, "c"),
            optimiser=partial(_pygrad_optimiser, "c"),
        ),
        Engine(
            "c+micrograd-nn",
            "pygrad c, micrograd's own nn.py",
            trainer=partial(_micrograd_nn_trainer, "c"),
            nn=True,
        ),
        Engine(
            "cffi",
            "pygrad cffi",
            trainer=partial(_pygrad_trainer, "cffi"),
            scalars=partial(_pygrad_scalars, "cffi"),
            arrays=partial(_value_type, "cffi"),
            fit=partial(_pygrad_fit, "cffi"),
            optimiser=partial(_pygrad_optimiser, "cffi"),
        ),
        Engine("cffi-uncollected", "pygrad cffi, collector off", scalars=partial(_uncollected_scalars, "cffi")),
        Engine(
            "python",
            "pygrad python (reference)",
            trainer=partial(_pygrad_trainer, "python"),
            scalars=partial(_pygrad_scalars, "python"),
            arrays=partial(_value_type, "python"),
            most_ops=1_000_000,
        ),
        Engine(
            "xad",
            "XAD, scalar tape",
            ("xad",),
            trainer=peers.xad_trainer,
            scalars=peers.xad_scalars,
            nn=True,
        ),
        _batch_engine("numpy", "NumPy by hand", batches.numpy_trainer),
        Engine(
            "torch",
            "torch eager (tensors)",
            ("torch",),
            trainer=peers.torch_trainer,
            batches=True,
            scalars=peers.torch_scalars,
            optimiser=peers.torch_optimiser,
            most_ops=10_000,
        ),
        Engine(
            "torch-nn",
            "torch eager, nn.Linear, optim.SGD",
            ("torch",),
            trainer=peers.torch_nn_trainer,
            batches=True,
            samples=False,
        ),
        Engine("jax", "JAX jit, a call a step (tensors)", ("jax",), trainer=peers.jax_trainer, batches=True),
        Engine("casadi", "CasADi SX map, VM (compiled once)", ("casadi",), trainer=peers.casadi_trainer),
        Engine("autograd", "autograd (HIPS; tensors)", ("autograd",), trainer=peers.autograd_trainer, batches=True),
        _batch_engine("c-mlp", "pygrad c, MLP", partial(batches.mlp_trainer, "c")),
        *(
            _batch_engine(f"{backend}-{form}", f"pygrad {backend}, {what}", partial(trainer, backend))
            for backend in ("c", "cffi", "python")
            for form, what, trainer in (
                ("linear", "Linear layers", batches.linear_trainer),
                ("expressions", "expressions", batches.expressions_trainer),
            )
        ),
    )
}
