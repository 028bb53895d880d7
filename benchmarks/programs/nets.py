"""How each engine trains the networks: value and gradient in one call, one step a call, and the loop inside.

Each engine is a function that gives a Runner for a Net, and imports its package only then; ImportError where it is not
installed. Parameters are flat in micrograd's order. Nothing is timed or checked here.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from . import native
from .problems import Net


@dataclass
class Runner:
    """One engine ready to run one network.

    gradient: the loss and the flat gradient, whatever form the engine has them in. flat: makes a pair of a float and a
    flat array of it. reset: back to the first weights. step: one training step; the loss before it. loop: so many steps
    in one call; the losses before each.
    """

    gradient: Callable[[], Any]
    flat: Callable[[Any], tuple[float, Any]] = lambda pair: pair
    reset: Callable[[], None] | None = None
    step: Callable[[], float] | None = None
    loop: Callable[[int], Any] | None = None


# ---- NumPy ----


def _split(net: Net, flat: Any) -> list[Any]:
    """Views of a flat array: for each layer (nout, nin + 1), the biases last."""
    out, used = [], 0
    for nin, nout in zip(net.sizes, net.sizes[1:]):
        out.append(flat[used : used + nout * (nin + 1)].reshape(nout, nin + 1))
        used += nout * (nin + 1)
    return out


def _joined(parameters: list[Any]) -> Any:
    """The flat array of w (nin, nout) and b (nout,) of each layer in turn."""
    import numpy as np

    pairs = zip(parameters[::2], parameters[1::2])
    return np.concatenate([np.column_stack([np.asarray(w).T, np.asarray(b)]).ravel() for w, b in pairs])


def _arrays(net: Net) -> list[Any]:
    """w (nin, nout) and b (nout,) of each layer in turn."""
    import numpy as np

    return [np.ascontiguousarray(x) for m in _split(net, net.flat()) for x in (m[:, :-1].T, m[:, -1])]


def numpy_runner(net: Net, folder: Path) -> Runner:
    """Forward and backward written out, with BLAS for the products."""
    import numpy as np

    parameters = _arrays(net)
    weights, biases = parameters[::2], parameters[1::2]
    X, y = net.data()
    last, count = len(weights) - 1, net.samples
    column, everyone = y[:, None], np.arange(count)

    def loss_of(scores: Any) -> tuple[float, Any]:
        if net.loss == "cross_entropy":
            scores -= scores.max(axis=1, keepdims=True)
            e = np.exp(scores)
            total = e.sum(axis=1, keepdims=True)
            loss = (np.log(total).sum() - scores[everyone, y].sum()) / count
            e /= total
            e[everyone, y] -= 1.0
            e /= count
            return loss, e
        if net.loss == "squares":
            error = scores - column
            return np.vdot(error, error) / count, error * (2.0 / count)
        margins = 1.0 - column * scores
        inside = margins > 0.0
        return margins.sum(where=inside) / count, inside * (column * (-1.0 / count))

    def gradient() -> tuple[float, list[Any]]:
        layers = [X]
        for i, (w, b) in enumerate(zip(weights, biases)):
            h = layers[i] @ w
            h += b
            if i < last:
                np.tanh(h, out=h) if net.activation == "tanh" else np.maximum(h, 0.0, out=h)
            layers.append(h)
        loss, g = loss_of(layers.pop())
        out: list[Any] = []
        for i in range(last, -1, -1):
            w, b, h = weights[i], biases[i], layers[i]
            out[:0] = (h.T @ g, g.sum(axis=0))
            if i:
                g = g @ w.T
                g *= (1.0 - h * h) if net.activation == "tanh" else h > 0.0
        if net.penalty:
            for p, d in zip(parameters, out):
                loss += net.penalty * np.vdot(p, p)
                d += (2.0 * net.penalty) * p
        return loss, out

    def step() -> float:
        loss, derivatives = gradient()
        for p, d in zip(parameters, derivatives):
            d *= net.rate
            p -= d
        return float(loss)

    def reset() -> None:
        for p, first in zip(parameters, _arrays(net)):
            p[...] = first

    return Runner(gradient, lambda pair: (float(pair[0]), _joined(pair[1])), reset, step)


def products(net: Net, folder: Path) -> Runner:
    """Nothing but the matrix products of one gradient, into arrays that are there: the rate of NumPy's BLAS."""
    import numpy as np

    weights = _arrays(net)[::2]
    values = [np.random.default_rng(k).random((net.samples, size)) for k, size in enumerate(net.sizes)]
    by_weights = [np.empty_like(w) for w in weights]
    outs = [np.empty_like(v) for v in values]

    def gradient() -> None:
        for k, w in enumerate(weights):
            np.matmul(values[k], w, out=outs[k + 1])
            np.matmul(values[k].T, values[k + 1], out=by_weights[k])
            if k:
                np.matmul(values[k + 1], w.T, out=outs[k])

    return Runner(gradient)


# ---- C by hand ----


def c_runner(kind: str, options: tuple[str, ...], net: Net, folder: Path) -> Runner:
    """The gradient in one call through ctypes; the training loop in C, of one step or of many."""
    import numpy as np

    library = native.network(net, kind, options, folder)
    X, y = (np.ascontiguousarray(a, dtype=np.float64) for a in net.data())
    library.prepare(native.doubles(X), native.doubles(y))
    parameters, derivatives = net.flat(), np.empty(net.count)
    p, d = native.doubles(parameters), native.doubles(derivatives)
    losses = np.empty(100_000)
    written = native.doubles(losses)

    def loop(steps: int) -> Any:
        library.train(p, net.rate, steps, written)
        return losses[:steps]

    def reset() -> None:
        parameters[:] = net.flat()

    def step() -> float:
        library.train(p, net.rate, 1, written)
        return float(losses[0])

    def gradient(keep: Any = (X, y)) -> tuple[float, Any]:
        return library.value_and_grad(p, d), derivatives

    return Runner(gradient, lambda pair: pair, reset, step, loop)


# ---- torch ----


def torch_runner(compiled: bool, net: Net, folder: Path) -> Runner:
    """All samples as one batch. Compiled: the loss, by torch.compile, with its gradient."""
    if compiled:
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(folder / "torch"))
    import torch

    torch.set_num_threads(1)
    parameters: list[Any] = [torch.from_numpy(x).requires_grad_() for x in _arrays(net)]
    X, y = map(torch.from_numpy, net.data())
    column = y[:, None]
    activation = torch.tanh if net.activation == "tanh" else torch.relu

    def plain(*parameters: Any) -> Any:
        h = X
        for i in range(0, len(parameters), 2):
            h = torch.addmm(parameters[i + 1], h, parameters[i])
            if i < len(parameters) - 2:
                h = activation(h)
        if net.loss == "cross_entropy":
            loss = torch.nn.functional.cross_entropy(h, y)
        elif net.loss == "squares":
            loss = ((h - column) ** 2).mean()
        else:
            loss = torch.relu(1.0 - column * h).mean()
        if net.penalty:
            loss = loss + net.penalty * sum((p * p).sum() for p in parameters)
        return loss

    loss_of: Any = torch.compile(plain) if compiled else plain

    def gradient() -> tuple[Any, list[Any]]:
        loss = loss_of(*parameters)
        return loss, torch.autograd.grad(loss, parameters)

    def step() -> float:
        loss, derivatives = gradient()
        with torch.no_grad():
            torch._foreach_add_(parameters, derivatives, alpha=-net.rate)
        return loss.item()

    def reset() -> None:
        with torch.no_grad():
            for p, first in zip(parameters, _arrays(net)):
                p.copy_(torch.from_numpy(first))

    return Runner(gradient, lambda pair: (pair[0].item(), _joined(pair[1])), reset, step)


# ---- JAX ----


def jax_runner(net: Net, folder: Path) -> Runner:
    """jit of the gradient, of a step, and of a fori_loop over steps."""
    import jax
    import jax.numpy as jnp

    config: Any = jax.config
    config.update("jax_enable_x64", True)
    parameters = [jnp.asarray(x) for x in _arrays(net)]
    X, y = map(jnp.asarray, net.data())
    column = y[:, None]
    activation = jnp.tanh if net.activation == "tanh" else jax.nn.relu

    def loss_of(parameters: list[Any]) -> Any:
        h = X
        for i in range(0, len(parameters), 2):
            h = h @ parameters[i] + parameters[i + 1]
            if i < len(parameters) - 2:
                h = activation(h)
        if net.loss == "cross_entropy":
            loss = (jax.nn.logsumexp(h, 1) - jnp.take_along_axis(h, column, 1)[:, 0]).mean()
        elif net.loss == "squares":
            loss = ((h - column) ** 2).mean()
        else:
            loss = jax.nn.relu(1.0 - column * h).mean()
        if net.penalty:
            loss = loss + net.penalty * sum((p * p).sum() for p in parameters)
        return loss

    derivative: Any = jax.jit(jax.value_and_grad(loss_of))

    def moved(parameters: list[Any]) -> tuple[Any, list[Any]]:
        loss, derivatives = jax.value_and_grad(loss_of)(parameters)
        return loss, [p - net.rate * g for p, g in zip(parameters, derivatives)]

    def all_steps(parameters: list[Any], losses: Any) -> tuple[list[Any], Any]:
        def body(k: Any, state: Any) -> Any:
            loss, parameters = moved(state[0])
            return parameters, state[1].at[k].set(loss)

        return jax.lax.fori_loop(0, losses.shape[0], body, (parameters, losses))

    one_step: Any = jax.jit(moved)
    many_steps: Any = jax.jit(all_steps)

    def gradient() -> Any:
        return jax.block_until_ready(derivative(parameters))

    def step() -> float:
        nonlocal parameters
        loss, parameters = one_step(parameters)
        return float(loss)

    def loop(steps: int) -> Any:
        nonlocal parameters
        parameters, losses = many_steps(parameters, jnp.zeros(steps))
        return jax.device_get(losses)

    def reset() -> None:
        nonlocal parameters
        parameters = [jnp.asarray(x) for x in _arrays(net)]

    return Runner(gradient, lambda pair: (float(pair[0]), _joined(pair[1])), reset, step, loop)


# ---- CasADi ----


def casadi_runner(generated: bool, net: Net, folder: Path) -> Runner:
    """One sample's loss and gradient in scalars (SX), mapped over the samples; called without copies, by buffers.

    By its virtual machine, or generated as C, compiled, and loaded again.
    """
    import casadi as ca
    import numpy as np

    p, x, y = ca.SX.sym("p", net.count), ca.SX.sym("x", net.sizes[0]), ca.SX.sym("y")
    h, used = [x[i] for i in range(net.sizes[0])], 0
    for layer, (nin, nout) in enumerate(zip(net.sizes, net.sizes[1:])):
        out = []
        for _ in range(nout):
            score = p[used + nin]
            for i in range(nin):
                score = score + p[used + i] * h[i]
            hidden = layer < len(net.sizes) - 2
            out.append(score if not hidden else ca.tanh(score) if net.activation == "tanh" else ca.fmax(score, 0))
            used += nin + 1
        h = out
    if net.loss == "cross_entropy":
        chosen = sum(ca.if_else(y == k, score, 0) for k, score in enumerate(h))
        sample = (ca.log(sum(ca.exp(score) for score in h)) - chosen) / net.samples
    else:
        sample = (ca.fmax(1 - y * h[0], 0) if net.loss == "hinge" else (h[0] - y) ** 2) / net.samples
    one = ca.Function("sample", [p, x, y], [sample, ca.gradient(sample, p)])
    every = one.map("batch", "serial", net.samples, [0], [0, 1])  # the same p for all; losses and gradients added up
    if generated:
        every = casadi_compiled(every, folder, f"{net.name}-casadi")
    X, labels = (np.ascontiguousarray(a, dtype=np.float64) for a in net.data())
    parameters, loss, derivatives = net.flat(), np.zeros(1), np.zeros(net.count)
    run = casadi_buffers(every, [parameters, X, labels], [loss, derivatives])

    def gradient() -> tuple[float, Any]:
        run()
        total = float(loss[0])
        if net.penalty:
            total += net.penalty * float(parameters @ parameters)
            derivatives[:] += (2.0 * net.penalty) * parameters
        return total, derivatives

    def step() -> float:
        nonlocal parameters
        total, derivatives = gradient()
        parameters -= net.rate * derivatives
        return total

    def reset() -> None:
        parameters[:] = net.flat()

    return Runner(gradient, lambda pair: pair, reset, step)


def casadi_buffers(function: Any, inputs: list[Any], outputs: list[Any]) -> Callable[[], None]:
    """What evaluates a CasADi function on arrays, read and written where they are; they must stay alive."""
    buffer, run = function.buffer()
    for k, array in enumerate(inputs):
        buffer.set_arg(k, memoryview(array.reshape(-1)))
    for k, array in enumerate(outputs):
        buffer.set_res(k, memoryview(array))

    def call(keep: Any = (buffer, inputs, outputs)) -> None:
        run()

    return call


def casadi_compiled(function: Any, folder: Path, name: str) -> Any:
    """The function as C generated by CasADi, compiled with -O3."""
    import casadi as ca

    target = folder / f"{name}.so"
    if not target.exists():
        here = Path.cwd()
        os.chdir(folder)  # the generator takes a name without a folder
        try:
            function.generate(f"{name.replace('-', '_')}.c")
        finally:
            os.chdir(here)
        native.compiled(folder / f"{name.replace('-', '_')}.c", target, native.PLAIN)
    return ca.external(function.name(), str(target))


# ---- pygrad ----


def pygrad_loss(net: Net) -> tuple[Any, Any]:
    """The model, and the loss of one sample in scalar Values, as a user writes it."""
    import pygrad
    from pygrad import nn

    layers = net.layers()
    model = nn.MLP(
        net.sizes[0],
        list(net.sizes[1:]),
        activation=net.activation,
        weights=[w for w, _ in layers],
        biases=[b for _, b in layers],
    )

    def loss(x: Any, y: Any) -> Any:
        scores = model(x)
        if net.loss == "cross_entropy":
            return pygrad.logsumexp(scores) - pygrad.pick(scores, y)
        out = (1 - y * scores).relu() if net.loss == "hinge" else (scores - y) ** 2
        if net.penalty:
            out = out + net.penalty * sum(p * p for p in model.parameters())
        return out

    return model, loss


def pygrad_runner(net: Net, folder: Path, threads: int = 1, exact: bool = False) -> Runner:
    """`pygrad.compile` of the loss of one sample; a step by itself on an array of parameters, as one would in NumPy."""
    import pygrad

    model, loss = pygrad_loss(net)
    compile_: Any = pygrad.compile
    program = compile_(loss, threads=threads, exact=exact)
    X, y = net.data()
    parameters = model.parameters()
    theta = net.flat()
    value_and_grad = program.fun(X, y)

    def step() -> float:
        nonlocal theta
        total, gradient = value_and_grad(theta)
        theta -= net.rate * gradient
        return float(total)

    def loop(steps: int) -> Any:
        return program.minimize(X, y, optimizer="sgd", lr=net.rate, epochs=steps, batch_size=None, shuffle=False).losses

    def reset() -> None:
        theta[:] = net.flat()
        for p, x in zip(parameters, theta.tolist()):
            p.data = x

    return Runner(lambda: program.value_and_grad(X, y), lambda pair: (float(pair[0]), pair[1]), reset, step, loop)


def whole_runner(net: Net, folder: Path) -> Runner:
    """`pygrad.compile` of a function that loops over the data set itself, as micrograd's demo does."""
    import pygrad

    model, loss = pygrad_loss(replace(net, penalty=0.0))
    X, y = net.data()
    rows, labels = X.tolist(), y.tolist()

    def total_loss() -> Any:
        total = sum(loss(x, label) for x, label in zip(rows, labels)) * (1.0 / len(rows))
        return total + net.penalty * sum(p * p for p in model.parameters()) if net.penalty else total

    compile_: Any = pygrad.compile
    program = compile_(total_loss)
    return Runner(program.value_and_grad, lambda pair: (float(pair[0]), pair[1]))
