"""Random scalar programs for the differential tests: hypothesis draws them, any Value type runs them.

A program is a list of instructions on a growing list of Values. It knows nothing of how a backend works.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from pygrad.ops import OPS

from .conftest import bits

UNARY = [name for name, op in OPS.items() if op.kind == "unary"]
CONSTANT = [name for name, op in OPS.items() if op.kind == "constant"]
BINARY = [name for name, op in OPS.items() if op.kind == "binary"]
OPERATORS = {
    "add": lambda x, y: x + y, "sub": lambda x, y: x - y, "mul": lambda x, y: x * y, "div": lambda x, y: x / y,
    "pow": lambda x, y: x**y,
}  # fmt: skip

ordinary = st.floats(-4.0, 4.0)
anything = st.one_of(ordinary, ordinary, st.floats(), st.sampled_from([0.0, -0.0, 1.0, -1.0, 2.0, 0.5]))


@dataclass(frozen=True)
class Instruction:
    """kind: what to do; name: the op; i, j: operands as positions counted back from the newest; numbers."""

    kind: str
    name: str = ""
    picks: tuple[int, ...] = ()
    number: float = 0.0


positions = st.integers(0, 400)


def _instructions() -> st.SearchStrategy[Instruction]:
    def make(kind: str, names: list[str], picks: int, numbers: st.SearchStrategy[float] = ordinary) -> Any:
        chosen = st.sampled_from(names) if names else st.just("")
        return st.builds(Instruction, st.just(kind), chosen, st.tuples(*[positions] * picks), numbers)

    many = st.builds(
        Instruction,
        st.sampled_from(["sum", "dot", "logsumexp"]),
        st.just(""),
        st.lists(positions, max_size=9).map(tuple),
        ordinary,
    )
    return st.one_of(
        make("leaf", [], 0, anything),
        make("unary", UNARY, 1),
        make("constant", CONSTANT, 1, anything),
        make("binary", BINARY, 2),
        make("binary", ["add", "sub", "mul", "maximum"], 2),
        make("right", list(OPERATORS), 1, anything),
        make("left", list(OPERATORS), 1, anything),
        make("user", [], 2),
        many,
        make("mutate", [], 1, anything),
        make("backward", [], 1),
        make("zero", [], 1),
    )


programs = st.integers(20, 300).flatmap(lambda n: st.lists(_instructions(), min_size=n, max_size=n))


def _user_op(value_type: type, x: Any, y: Any) -> Any:
    """A user-defined op, x*y + y, as a micrograd user writes it."""
    out = value_type(x.data * y.data + y.data, (x, y), "mine")

    def _backward() -> None:
        x.grad += y.data * out.grad
        y.grad += (x.data + 1.0) * out.grad

    out._backward = _backward
    return out


def _many(value_type: Any, instruction: Instruction, at: Any) -> Any:
    chosen = [at(i) for i in instruction.picks]
    if instruction.kind in ("sum", "logsumexp"):
        return getattr(value_type, instruction.kind)([*chosen, instruction.number])
    half = len(chosen) // 2
    bias = chosen[-1] if len(chosen) % 2 else None
    return value_type.dot(chosen[:half], chosen[half : 2 * half], bias)


def run(value_type: Any, program: list[Instruction]) -> list[Any]:
    """Everything a program shows: the bits of every data and grad at the end, and each exception on the way."""
    values, trace = execute(value_type, program)
    values[-1].backward()
    trace.append([(v._op, bits(v.data), bits(v.grad), len(v.operands)) for v in values])
    return trace


def execute(value_type: Any, program: list[Instruction]) -> tuple[list[Any], list[Any]]:
    """The Values of a program, and each exception on the way."""
    values: list[Any] = [value_type(0.5), value_type(-1.5)]
    trace: list[Any] = []
    for instruction in program:

        def at(i: int) -> Any:
            return values[-1 - i % len(values)]

        picks, number = instruction.picks, instruction.number
        try:
            if instruction.kind == "leaf":
                values.append(value_type(number))
            elif instruction.kind == "unary":
                values.append(getattr(at(picks[0]), instruction.name)())
            elif instruction.kind == "constant":
                x = at(picks[0])
                values.append(x**number if instruction.name == "pow_const" else getattr(x, instruction.name)(number))
            elif instruction.kind == "binary":
                values.append(getattr(at(picks[0]), instruction.name)(at(picks[1])))
            elif instruction.kind == "right":
                values.append(OPERATORS[instruction.name](at(picks[0]), number))
            elif instruction.kind == "left":
                values.append(OPERATORS[instruction.name](number, at(picks[0])))
            elif instruction.kind == "user":
                values.append(_user_op(value_type, at(picks[0]), at(picks[1])))
            elif instruction.kind in ("sum", "dot", "logsumexp"):
                values.append(_many(value_type, instruction, at))
            elif instruction.kind == "mutate":
                at(picks[0]).data = number
            elif instruction.kind == "backward":
                at(picks[0]).backward()
            elif instruction.kind == "zero":
                at(picks[0]).grad = 0.0
        except (ArithmeticError, ValueError) as error:
            trace.append((type(error), str(error)))
    return values, trace
