"""Memory that runs out, and threads: errors instead of crashes, and nothing half done."""

from __future__ import annotations

import gc
import subprocess
import sys
import textwrap
import threading

import pytest

from pygrad import backends
from pygrad._ffi import lib
from pygrad.data import make_moons
from pygrad.demo import moons_loss
from pygrad.nn import MLP

from .conftest import bits


@pytest.fixture(autouse=True)
def _no_failure_afterwards():
    yield
    lib.pg_fail_allocation(0)


def test_every_allocation_of_a_training_step_may_fail(engine, live):
    X, y = make_moons(250)  # enough to make every array grow
    model = MLP(2, [16, 1], backend=engine._pygrad_backend)
    extra = engine(1.0, label="kept") * 2
    start, before = live(), [bits(p.data) for p in model.parameters()]
    failures = 0
    while True:
        assert failures < 500, "the step never succeeds"
        gc.collect()
        engine._trim()
        for p in model.parameters():
            p.grad = 0.25
        lib.pg_fail_allocation(failures + 1)
        try:
            loss, _ = moons_loss(model, X, y)
            model.zero_grad()
            grads = [bits(p.grad) for p in model.parameters()]
            try:
                loss.backward()
            except MemoryError:
                assert [bits(p.grad) for p in model.parameters()] == grads, "backward failed halfway"
                raise
            break
        except MemoryError:
            failures += 1
            loss = None
        gc.collect()  # the traceback is gone now, and what it held
        assert live() == start
        assert [bits(p.data) for p in model.parameters()] == before
        assert (extra.data, extra.operands[0].label) == (2.0, "kept")
    lib.pg_fail_allocation(0)
    assert failures >= 4, "the hook was not reached"  # more where the arrays start small
    expected = MLP(2, [16, 1], backend="python")
    for p, q in zip(model.parameters(), expected.parameters(), strict=True):
        q.data = p.data
    reference_loss, _ = moons_loss(expected, X, y)
    reference_loss.backward()
    assert bits(loss.data) == bits(reference_loss.data)
    assert [bits(p.grad) for p in model.parameters()] == [bits(p.grad) for p in expected.parameters()]


def test_each_kind_of_operation_survives_a_failing_allocation(engine, live):
    a, b = engine(2.0), engine(3.0)
    many = [a, b] * 600
    for operate in [
        lambda: engine.sum(many),
        lambda: engine.dot(many, many, a),
        lambda: engine(1.0, many, "user"),
        lambda: (a * b).backward(),
    ]:
        for n in range(1, 50):
            engine._trim()
            lib.pg_fail_allocation(n)
            try:
                operate()
                break
            except MemoryError:
                pass
            assert live() == 2
        else:
            pytest.fail("never succeeds")
        lib.pg_fail_allocation(0)
        a.grad = b.grad = 0.0


SCRIPT = """
    import gc, sys
    import _testcapi
    from pygrad import backends
    V = backends.load("c")
    a, b = V(2.0, label="a"), V(3.0)
    c = a * b
    many = [a, b, c] * 40

    hook = [].clear  # made beforehand: CPython 3.13.0 itself crashes when it makes a function without memory

    def hooked():
        v = V(1.0, (a, b), "mine")
        v._backward = hook
        (v * 2).backward()

    def restored():
        return V._restore("user", (a, b), 0.0, 1.0, 0.0, "mine", "label")

    operations = [
        lambda: a * b, lambda: a + 1, lambda: 2.5 - a, lambda: a ** 2, lambda: a.tanh(), lambda: V(1), lambda: V(1.0),
        lambda: V(1.0, (a, b), "op", "label"), lambda: V.dot(many, many, 1.0), lambda: V.sum(many + [1, 2]),
        lambda: c.backward(), lambda: c.operands, lambda: c._prev, lambda: c._op, lambda: (a ** 2)._op, lambda: repr(a),
        lambda: setattr(b, "label", "b"), lambda: a.label, lambda: a._backward(), lambda: a.elu(alpha=2), hooked,
        restored, lambda: a < b, lambda: a.data, lambda: setattr(a, "data", 7), lambda: c._state(), lambda: a / 0,
    ]
    gc.collect()
    before = V._stats()[0]
    failures = 0
    for operate in operations:
        for n in range(300):
            _testcapi.set_nomemory(n, n + 1)
            try:
                operate()
            except MemoryError:
                failed = True
            except ArithmeticError:
                failed = False
            else:
                failed = False
            finally:
                _testcapi.remove_mem_hooks()
            failures += failed
    gc.collect()
    assert V._stats()[0] == before, (V._stats()[0], before)
    assert (a.operands, c.data, (a * b).data) == ((), 6.0, a.data * b.data)
    print("failures:", failures)
"""


def check_that_allocations_may_fail(script):
    """In a process of its own: CPython's test module makes the n-th allocation of the interpreter fail."""
    pytest.importorskip("_testcapi", reason="this Python comes without its test module")
    code = textwrap.dedent(script)
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert out.returncode == 0, out.stderr
    assert int(out.stdout.split()[-1]) > 30


def test_pythons_own_allocations_may_fail_in_the_native_handle():
    check_that_allocations_may_fail(SCRIPT)


def test_threads_build_graphs_at_once(Value):
    """More threads than cores, each with its own graph; all share one leaf's node, but not its gradient."""
    shared = Value(0.5)
    results: dict[int, list[int]] = {}
    errors: list[BaseException] = []

    def work(number: int) -> None:
        try:
            seen = []
            for k in range(60):
                a, b = Value(number + 0.25), Value(k - 1.5)
                x = a
                for i in range(50):
                    x = (x * b).tanh() + a * shared - i * 0.01
                    if i % 10 == 0:
                        x.label = f"{number} {i}"
                y = Value.dot([x, a, b], [a, b, x], x) + Value.sum([x, a, 1.0])
                y.backward()
                assert y.operands[0].operands[0] is x
                seen += [bits(y.data), bits(a.grad), bits(b.grad)]
            results[number] = seen
        except BaseException as error:  # handed to the main thread
            errors.append(error)

    switch = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=work, args=(number % 2,), name=str(number)) for number in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
    finally:
        sys.setswitchinterval(switch)
    assert not errors
    alone: dict[int, list[int]] = dict(results)
    for number in (0, 1):
        results.clear()
        work(number)
        assert alone[number] == results[number]


def test_counts_return_after_threads(engine, live):
    def work() -> None:
        for _ in range(200):
            x = engine(1.0)
            for _ in range(30):
                x = x * 0.5 + x
            x.backward()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert live() == 0


def test_the_c_api_answers_bad_ids_and_ops_with_a_status():
    arena = lib.pg_arena_new(lib.PG_ARENA_LOCKED)
    x = lib.pg_leaf(arena, 1.0)
    for bad in (0, 77, 10**6, 2**32 - 1):
        assert lib.pg_unary(arena, 4, bad) == lib.PG_ERR_ID
        assert lib.pg_binary(arena, 5, x, bad) == lib.PG_ERR_ID
        assert lib.pg_release(arena, bad) == lib.PG_ERR_ID
        assert lib.pg_sum(arena, [x, bad], 2) == lib.PG_ERR_ID
    for op in (-1, 0, 1, 2, 3, 99):
        assert lib.pg_unary(arena, op, x) == lib.PG_ERR_OP
    lib.pg_arena_free(arena)


def test_a_missing_engine_names_the_remedy(tmp_path):
    """PYGRAD_BACKEND of a build without the extension: an ImportError, and the reference still works."""
    code = textwrap.dedent(
        """
        import os, sys
        sys.modules["pygrad._pygrad"] = None
        os.environ["PYGRAD_BACKEND"] = sys.argv[1]
        import pygrad
        print(pygrad.backend, pygrad.Value(2.0) * 3)
        """
    )
    for name in backends.NAMES:
        out = subprocess.run([sys.executable, "-c", code, name], capture_output=True, text=True, check=False)
        if name == "python":
            assert out.stdout == "python Value(data=6.0, grad=0.0)\n"
        else:
            assert "ImportError: the backend" in out.stderr
            assert "C compiler" in out.stderr
            assert "PYGRAD_BACKEND=python" in out.stderr


def test_an_unknown_backend_in_the_environment_is_an_import_error():
    code = "import os; os.environ['PYGRAD_BACKEND'] = 'turbo'; import pygrad"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "ImportError: PYGRAD_BACKEND='turbo' is no backend: choose one of 'c', 'cffi', 'python'" in out.stderr


@pytest.mark.parametrize("name", backends.NAMES)
def test_the_interpreter_ends_in_silence(name):
    """Handles that are alive when the interpreter shuts down, cycles among them, say nothing."""
    code = f"""
        from pygrad import backends
        V = backends.load({name!r})
        a = V(1.0, label="a")
        b = a * 2
        c = V(1.0, (b,), "op")
        c._backward = lambda: c
        d = c + 1
        import builtins
        builtins.kept = [a, d]
    """
    out = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False)
    assert (out.returncode, out.stdout, out.stderr) == (0, "", "")
