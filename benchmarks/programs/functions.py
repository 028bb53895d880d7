"""How each engine computes a scalar function of many variables with its gradient, one call after the other.

Each engine is a function that gives a Runner for a Function, and imports its package only then. Engines of scalars are
given the source in problems.py; for engines of arrays it is written in arrays here. Nothing is timed or checked.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Any

from . import native
from .nets import Runner, casadi_buffers, casadi_compiled
from .problems import Function, masses_of


def numpy_runner(function: Function, folder: Path) -> Runner:
    """The gradient written out, in arrays."""
    import numpy as np

    x = np.array(function.start())
    masses = np.array(masses_of(len(x) // 3))
    i, j = np.triu_indices(len(masses), 1)
    both = masses[i] * masses[j]

    def rosenbrock() -> tuple[float, Any]:
        a, b = x[1:] - x[:-1] ** 2, 1.0 - x[:-1]
        g = np.zeros_like(x)
        g[1:] = 200.0 * a
        g[:-1] -= 400.0 * a * x[:-1] + 2.0 * b
        return float(100.0 * (a @ a) + b @ b), g

    def bodies() -> tuple[float, Any]:
        at = x.reshape(-1, 3)
        apart = at[i] - at[j]
        square = (apart * apart).sum(axis=1)
        energy = both / np.sqrt(square)
        pull = (energy / square)[:, None] * apart
        g = np.zeros_like(at)
        np.add.at(g, i, pull)
        np.subtract.at(g, j, pull)
        return -float(energy.sum()), g.reshape(-1)

    return Runner({"rosenbrock": rosenbrock, "bodies": bodies}[function.name])


def c_runner(options: tuple[str, ...], function: Function, folder: Path) -> Runner:
    """hand/functions.c, called through ctypes."""
    import numpy as np

    library = native.scalar_functions(options, folder)
    x = np.array(function.start())
    masses = np.array(masses_of(len(x) // 3))
    g = np.empty_like(x)
    px, pm, pg = (native.doubles(a) for a in (x, masses, g))
    count = ctypes.c_int(len(masses) if function.name == "bodies" else len(x))

    def gradient(keep: Any = (x, masses)) -> tuple[float, Any]:
        if function.name == "bodies":
            return library.bodies(count, pm, px, pg), g
        return library.rosenbrock(count, px, pg), g

    return Runner(gradient)


def _in_arrays(function: Function, xp: Any, x: Any) -> Any:
    """The function in operations of arrays, for torch and JAX. xp: the module that has sqrt and sum."""
    if function.name == "rosenbrock":
        return (100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2).sum()
    import numpy as np

    masses = np.array(masses_of(function.variables // 3))
    i, j = np.triu_indices(len(masses), 1)
    both = masses[i] * masses[j]
    at = x.reshape(-1, 3)
    apart = at[i] - at[j]
    as_array = getattr(xp, "from_numpy", getattr(xp, "asarray", None))
    assert as_array is not None  # both modules have one of them
    return -(as_array(both) / xp.sqrt((apart * apart).sum(1))).sum()


def torch_runner(compiled: bool, function: Function, folder: Path) -> Runner:
    if compiled:
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(folder / "torch"))
    import torch

    torch.set_num_threads(1)
    x = torch.tensor(function.start(), dtype=torch.float64, requires_grad=True)

    def plain(x: Any) -> Any:
        return _in_arrays(function, torch, x)

    loss_of: Any = torch.compile(plain) if compiled else plain

    def gradient() -> tuple[Any, Any]:
        loss = loss_of(x)
        return loss, torch.autograd.grad(loss, [x])

    return Runner(gradient, lambda pair: (pair[0].item(), pair[1][0].numpy()))


def jax_runner(function: Function, folder: Path) -> Runner:
    import jax
    import jax.numpy as jnp

    config: Any = jax.config
    config.update("jax_enable_x64", True)
    x = jnp.asarray(function.start())
    derivative: Any = jax.jit(jax.value_and_grad(lambda x: _in_arrays(function, jnp, x)))
    return Runner(lambda: jax.block_until_ready(derivative(x)), lambda pair: (float(pair[0]), jax.device_get(pair[1])))


def casadi_runner(generated: bool, function: Function, folder: Path) -> Runner:
    """In scalars (SX), by the virtual machine, or generated as C and compiled."""
    import casadi as ca
    import numpy as np

    symbols = ca.SX.sym("x", function.variables)
    value = function.source([symbols[k] for k in range(function.variables)])
    both = ca.Function("both", [symbols], [value, ca.gradient(value, symbols)])
    if generated:
        both = casadi_compiled(both, folder, f"{function.name}{function.variables}-casadi")
    x = np.array(function.start())
    loss, g = np.zeros(1), np.zeros(function.variables)
    run = casadi_buffers(both, [x], [loss, g])

    def gradient() -> tuple[float, Any]:
        run()
        return float(loss[0]), g

    return Runner(gradient)


def eager_runner(function: Function, folder: Path) -> Runner:
    """pygrad's eager engine: the graph is built, differentiated and freed at every call."""
    from pygrad import Value

    x = [Value(number) for number in function.start()]

    def gradient() -> tuple[float, Any]:
        for v in x:
            v.grad = 0.0
        total = function.source(x)
        total.backward()
        return total.data, [v.grad for v in x]

    return Runner(gradient)


def pygrad_runner(function: Function, folder: Path) -> Runner:
    """`pygrad.compile` of the function without arguments: its variables are parameters. As for the others, the numbers
    are an array: `fun` takes one."""
    import numpy as np

    import pygrad

    start = function.start()
    x = [pygrad.Value(number) for number in start]
    compiled: Any = pygrad.compile
    of_numbers: Any = compiled(lambda: function.source(x)).fun()
    theta = np.array(start)

    def gradient() -> tuple[float, Any]:
        pair: tuple[float, Any] = of_numbers(theta)
        return pair

    return Runner(gradient)
