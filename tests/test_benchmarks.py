"""The benchmarks of compiled programs compute the same with NumPy by hand, eager Values and C by hand. No times.

The scripts of benchmarks/ are imported from their folder. What needs a C compiler fails without one, as the build does.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

import pygrad
from pygrad import losses, nn

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))

import run
from measure import Measurement
from programs import functions, native, nets, problems, tables, timing
from programs.engines import ENGINES

COMPILED = ("program", "program-exact", "program-2", "program-whole") if hasattr(pygrad, "compile") else ()
NETS = {name: problems.NETS[name].of_samples(samples) for name, samples in (("moons", 13), ("tanh", 8), ("tiny", 4))}
NETS["digits"] = problems.NETS["digits"].of_samples(10)
NETS["wide"] = problems.NETS["wide"].of_samples(3)


def eager(net):
    """Loss and gradient by scalar Values and pygrad's own losses."""
    layers = net.layers()
    model = nn.MLP(
        net.sizes[0],
        list(net.sizes[1:]),
        activation=net.activation,
        weights=[w for w, _ in layers],
        biases=[b for _, b in layers],
    )
    X, y = net.data()
    loss_of = {"hinge": losses.hinge, "cross_entropy": losses.cross_entropy, "squares": losses.mse}[net.loss]
    loss = loss_of([model(x) for x in X.tolist()], y.tolist()) + losses.l2_penalty(model, net.penalty)
    loss.backward()
    return loss.data, np.array([p.grad for p in model.parameters()])


@pytest.mark.parametrize("name", NETS)
def test_numpy_by_hand_gives_the_gradient_of_eager_values(name, tmp_path):
    net = NETS[name]
    judge = nets.numpy_runner(net, tmp_path)
    for x, y in zip(judge.flat(judge.gradient()), eager(net)):
        assert timing.agrees(x, y) is None


@pytest.mark.parametrize("engine", ["c-samples", "c-arrays", "c-lanes", *COMPILED])
@pytest.mark.parametrize("name", NETS)
def test_a_network_trains_alike(name, engine, tmp_path):
    net = NETS[name]
    runner = ENGINES[engine].net(net, tmp_path)
    assert timing.wrong(runner, nets.numpy_runner(net, tmp_path)) is None


@pytest.mark.parametrize("engine", ["c", "c-fast", "eager", *COMPILED[:1]])
@pytest.mark.parametrize("name", problems.FUNCTIONS)
def test_a_function_has_the_same_gradient(name, engine, tmp_path):
    function = problems.FUNCTIONS[name]
    runner = ENGINES[engine].function(function, tmp_path)
    assert timing.wrong(runner, functions.numpy_runner(function, tmp_path)) is None


@pytest.mark.parametrize("name", problems.FUNCTIONS)
def test_a_gradient_by_hand_is_that_of_differences(name, tmp_path):
    function = problems.FUNCTIONS[name]
    judge = functions.numpy_runner(function, tmp_path)
    _, gradient = judge.flat(judge.gradient())
    start = function.start()
    for k in (0, 7, function.variables - 1):
        above, below = list(start), list(start)
        above[k] += 1e-6
        below[k] -= 1e-6
        slope = (function.source(above) - function.source(below)) / 2e-6
        assert gradient[k] == pytest.approx(slope, rel=1e-5, abs=1e-3)


def test_what_differs_is_told():
    net = NETS["tiny"]
    judge = nets.numpy_runner(net, Path())
    off = nets.Runner(lambda: (judge.flat(judge.gradient())[0] * (1 + 1e-8), None))
    assert timing.wrong(off, judge).startswith("the value is ")
    loss, gradient = judge.flat(judge.gradient())
    off = nets.Runner(lambda: (loss, gradient[:-1]))
    assert timing.wrong(off, judge) == "the gradient is shape (40,), not (41,)"


def test_targets_are_reached_or_missed_by_their_ratios():
    def table(**seconds):
        keys = ("call", "step", "loop", "least-loop")
        rows = {name.replace("_", "-"): Measurement({}, {key: [x] for key in keys}) for name, x in seconds.items()}
        return tables.net_table(problems.NETS["moons"], rows)

    found = tables.targets({"programs-moons": table(program=1.1, c_arrays=1.0, c_lanes=0.5, jax=2.0)})
    verdicts = {t.name: t.verdict for t in found}
    assert verdicts["programs: moons, loop inside / C by hand, structure of arrays -Ofast <= 1.2 x"] == "reached"
    assert verdicts["programs: moons, loop inside / the same register-blocked <= 1.2 x"] == "MISSED"
    assert verdicts["programs: moons, a step a call / JAX jit <= 0.5 x"] == "MISSED"
    assert verdicts["programs: digits, a step a call / JAX jit <= 0.6 x"] == "not measured"
    assert tables.targets({}) == []


def test_every_workload_can_be_asked_for():
    assert set(run.RUN) == set(run.WORKLOADS)
    names = ["programs-moons", "programs-curves"]
    assert run.parser().parse_args(["--only", ",".join(names)]).only == names


def test_hand_written_c_leaves_small_numbers_alone(tmp_path):
    """A library linked with -Ofast would have this process flush them to zero."""
    native.scalar_functions(native.FAST, tmp_path)
    assert np.float64(5e-324) * 1.0 == 5e-324
    assert float.fromhex("0x1p-1022") / 2.0 > 0.0
