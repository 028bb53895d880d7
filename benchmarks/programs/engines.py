"""The engines that compiled programs are measured beside: names, labels, what they need. Listing them imports none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from . import functions, native, nets
from .nets import Runner
from .problems import Function, Net


@dataclass(frozen=True)
class Engine:
    """One row. needs: the peers without which it is left out. net, function: give it ready to run, if it can.

    most: the largest number of parameters of a network to ask it for. compiles: keeps what it compiled, so that only
    its first answer in a run counts. slow: takes seconds to do so, and has one round. agrees: computes the same. ours:
    pygrad's.
    """

    name: str
    label: str
    needs: tuple[str, ...] = ()
    net: Callable[[Net, Path], Runner] | None = None
    function: Callable[[Function, Path], Runner] | None = None
    most: int = 10**9
    compiles: bool = False
    slow: bool = False
    agrees: bool = True
    ours: bool = False


ENGINES = {
    engine.name: engine
    for engine in (
        Engine("numpy", "NumPy by hand", net=nets.numpy_runner, function=functions.numpy_runner),
        Engine("products", "NumPy, the matrix products alone", net=nets.products, agrees=False),
        Engine(
            "c-samples",
            "C by hand, sample by sample, -O3",
            net=partial(nets.c_runner, "samples", native.PLAIN),
            compiles=True,
        ),
        Engine(
            "c-arrays",
            "C by hand, structure of arrays, -Ofast",
            net=partial(nets.c_runner, "arrays", native.FAST),
            compiles=True,
        ),
        Engine(
            "c-lanes",
            "C by hand, the same register-blocked, -Ofast",
            net=partial(nets.c_runner, "lanes", native.FAST),
            compiles=True,
        ),
        Engine(
            "c-strict",
            "C by hand, the same, -O3, no contraction",
            net=partial(nets.c_runner, "lanes", native.STRICT),
            compiles=True,
        ),
        Engine("c", "C by hand, -O3", function=partial(functions.c_runner, native.PLAIN), compiles=True),
        Engine("c-fast", "C by hand, -Ofast", function=partial(functions.c_runner, native.FAST), compiles=True),
        Engine(
            "torch",
            "torch eager",
            ("torch",),
            net=partial(nets.torch_runner, False),
            function=partial(functions.torch_runner, False),
        ),
        Engine(
            "torch-compiled",
            "torch.compile",
            ("torch",),
            net=partial(nets.torch_runner, True),
            function=partial(functions.torch_runner, True),
            compiles=True,
            slow=True,
        ),
        Engine("jax", "JAX jit", ("jax",), net=nets.jax_runner, function=functions.jax_runner),
        Engine(
            "casadi",
            "CasADi SX, VM",
            ("casadi",),
            net=partial(nets.casadi_runner, False),
            function=partial(functions.casadi_runner, False),
            most=10_000,
        ),
        Engine(
            "casadi-c",
            "CasADi SX, generated C, -O3",
            ("casadi",),
            net=partial(nets.casadi_runner, True),
            function=partial(functions.casadi_runner, True),
            most=10_000,
            compiles=True,
            slow=True,
        ),
        Engine("eager", "pygrad c, eager", function=functions.eager_runner, ours=True),
        Engine(
            "program",
            "pygrad.compile",
            net=nets.pygrad_runner,
            function=functions.pygrad_runner,
            ours=True,
        ),
        Engine("program-exact", "pygrad.compile, exact=True", net=partial(nets.pygrad_runner, exact=True), ours=True),
        Engine("program-whole", "pygrad.compile, the loop over samples recorded", net=nets.whole_runner, ours=True),
        Engine("program-2", "pygrad.compile, two threads", net=partial(nets.pygrad_runner, threads=2), ours=True),
    )
}
