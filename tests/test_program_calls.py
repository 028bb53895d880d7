"""Calls of programs: parameters that died, several threads, instruction sets, memory that runs out."""

from __future__ import annotations

import gc
import os
import threading

import numpy as np
import pytest

from pygrad.programs import compile as compiled
from pygrad.programs import isa, use_isa

from .program_cases import Case, same


def test_parameters_are_kept_alive(live, engine):
    def made():
        a = engine(3.0)
        return compiled(lambda x: a * x, backend=engine._pygrad_backend)

    f = made()
    f([1.0])
    program = f.program
    del f
    gc.collect()
    assert program([1.0, 2.0]).tolist() == [3.0, 6.0]
    program.minimize([1.0], lr=1.0)
    assert program([1.0]).tolist() == [2.0]
    assert live() == 1
    del program


def test_two_threads_at_once(engine):
    case = Case(engine, samples=3000)
    expected = [case.compiled(case.X, case.y), *case.compiled.value_and_grad(case.X, case.y)]
    wrong = []

    def work():
        for _ in range(30):
            found = [case.compiled(case.X, case.y), *case.compiled.value_and_grad(case.X, case.y)]
            if not all(np.array_equal(x, y) for x, y in zip(found, expected)):
                wrong.append(found)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_of_a_process_with_threads(engine):
    case = Case(engine, samples=3000)
    program = compiled(case.f, exact=True, backend=engine._pygrad_backend, threads=4)
    expected = case.compiled.value_and_grad(case.X, case.y)[1].tolist()
    for _ in range(3):
        assert program.value_and_grad(case.X, case.y)[1].tolist() == expected
        child = os.fork()
        if child == 0:
            try:
                os._exit(0 if program.value_and_grad(case.X, case.y)[1].tolist() == expected else 1)
            except BaseException:
                os._exit(2)
        assert program.value_and_grad(case.X, case.y)[1].tolist() == expected
        assert os.waitpid(child, 0)[1] == 0


def test_backward_in_several_threads_loses_nothing(engine):
    a = engine(1.0)
    f = compiled(lambda x: a * x, backend=engine._pygrad_backend)
    f([1.0])
    threads = [threading.Thread(target=lambda: [f.backward([1.0]) for _ in range(200)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert a.grad == 800.0


def test_the_bits_depend_on_no_thread_count_and_no_instruction_set(engine):
    case = Case(engine, samples=9000)
    expected = case.compiled.value_and_grad(case.X, case.y)
    name = isa()
    try:
        for other in ("baseline", name, None):
            use_isa(other)
            for threads in (1, 2, 5):
                f = compiled(case.f, exact=True, threads=threads, backend=engine._pygrad_backend)
                found = f.value_and_grad(case.X, case.y)
                assert found[0] == expected[0]
                same(found[1], expected[1])
    finally:
        use_isa(None)
    assert isa() == name
    with pytest.raises(ValueError, match=r"no instruction set 'sse9' on this processor: choose one of .*baseline"):
        use_isa("sse9")


def test_memory_that_runs_out_changes_nothing(engine):
    from pygrad._ffi import lib

    case = Case(engine)
    case.compiled.record(case.X, case.y)
    calls = {
        "value": lambda: case.compiled(case.X, case.y),
        "gradient": lambda: case.compiled.backward(case.X, case.y),
        "training": lambda: case.compiled.minimize(case.X, case.y, epochs=3, lr=0.1),
    }
    for name, call in calls.items():
        failures = 0
        for n in range(1, 200):
            before = [case.a.data, case.b.data, case.a.grad, case.b.grad]
            lib.pg_fail_allocation(n)
            try:
                call()
            except MemoryError:
                failures += 1
                assert [case.a.data, case.b.data, case.a.grad, case.b.grad] == before, name
            else:
                break
            finally:
                lib.pg_fail_allocation(0)
        assert 0 < failures < 199, name
