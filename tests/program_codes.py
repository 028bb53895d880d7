"""Programs as Code, written as text or random, and their gradients as the graph engine adds them up.

Chains of additions and products are drawn as such, or no pass would find any. Knows nothing of passes.
"""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np
from hypothesis import strategies as st

from pygrad import _ieee
from pygrad.ops import OPS
from pygrad.programs.code import EFFECTS, LEAVES, Code
from pygrad.programs.interpret import run

INPUTS, PARAMETERS, SHARED, INDICES, SAMPLES = 4, 3, 2, 1, 3
CONSTANTS = [0.0, -0.0, 1.0, -1.0, 2.0, float("inf"), float("nan")]
UNARY = [name for name, op in OPS.items() if op.kind == "unary"]
CONSTANT = [name for name, op in OPS.items() if op.kind == "constant"]
BINARY = [name for name, op in OPS.items() if op.kind == "binary"]
MANY = ["sum", "dot", "logsumexp"]

NAMES = {("input", k): f"x{k}" for k in range(9)} | {("parameter", k): f"w{k}" for k in range(9)}
"""Of leaves, in listings and in code_of()."""

numbers = st.one_of(st.floats(-4.0, 4.0), st.floats(-4.0, 4.0), st.floats(), st.sampled_from(CONSTANTS))
indices = st.lists(st.integers(0, 5), min_size=SAMPLES, max_size=SAMPLES)


def code_of(text: str) -> Code:
    """'a = op b c', a line an instruction, 'return a b'. x0: input 0, w0: parameter 0; numbers are constants; a last
    number after a ';' is k. Leaves are made where they are first used."""
    code, names = Code(), {}

    def value(name: str) -> int:
        if name not in names:
            if name[0] in "xw":
                names[name] = code.add("input" if name[0] == "x" else "parameter", (), int(name[1:]))
            else:
                names[name] = code.add("constant", (), float(name))
        return names[name]

    for line in text.strip().splitlines():
        words = line.split()
        if words[0] == "return":
            code.outputs = [value(name) for name in words[1:]]
            continue
        k = float(words.pop()) if ";" in words else None
        operands = tuple(value(name) for name in words[3:] if name != ";")
        names[words[0]] = code.add(words[2], operands, k)
    return code


@st.composite
def codes(draw: Any, derivatives: bool = False) -> Code:
    """Code of all ops but 'pick' of different widths; with derivative instructions and effects if `derivatives`."""
    code = Code()
    for op, count in (("input", INPUTS), ("parameter", PARAMETERS), ("shared", SHARED)):
        for k in range(count):
            code.add(op, (), k)
    for k in draw(st.lists(st.one_of(st.sampled_from(CONSTANTS), st.floats()), max_size=4)):
        code.add("constant", (), k)
    effects = []
    random = draw(st.randoms(use_true_random=False))

    def some() -> int:
        """Any value: often a leaf, often a late one."""
        n = len(code)
        return random.choice([random.randrange(n), random.randrange(min(n, 9)), n - 1 - random.randrange(min(n, 4))])

    for _ in range(draw(st.integers(1, 12))):
        kind = random.choice(["unary", "constant", "binary", "many", "chain", "chain", "products", "products", "same"])
        if derivatives and random.random() < 0.3:
            kind = random.choice(["derivative", "effect", "seed"])
        if kind == "unary":
            code.add(random.choice(UNARY), (some(),))
        elif kind == "constant":
            code.add(random.choice(CONSTANT), (some(),), random.choice([1.0, 2.0, 0.5, 0.0, -0.0, -1.0]))
        elif kind == "binary":
            code.add(random.choice(BINARY), (some(), some()))
        elif kind == "many":
            code.add(random.choice(MANY), tuple(some() for _ in range(random.randint(0, 5))))
            code.add("pick", tuple(some() for _ in range(6)), 0)
        elif kind == "same":
            i = random.randrange(len(code))
            if code.ops[i] in LEAVES and not derivatives:  # gradients() has one instruction a leaf
                continue
            code.add(code.ops[i], code.args[i], code.ks[i])
            if code.ops[i] in EFFECTS:
                effects.append(len(code) - 1)
        elif kind == "derivative":
            name = random.choice(UNARY + CONSTANT + BINARY)
            op = random.choice(["d0:", "d1:"]) if name in BINARY else "d0:"
            k = random.choice([1.0, 2.0, -0.5]) if name in CONSTANT else None
            code.add(op + name, tuple(some() for _ in range(4 if name in BINARY else 3)), k)
            code.add("dpick", (some(),), (0, random.randrange(6)))
        elif kind == "seed":
            code.add("seed")
        elif kind == "effect":
            valued = [i for i, op in enumerate(code.ops) if op not in EFFECTS]
            i, j = random.choice(valued), random.choice(valued)
            effects.append(code.add("outer", (i, j, i), (0, 2)))
            effects.append(code.add("accumulate", (j,), 1))
        else:
            total = some()
            early = [code.add("mul", (some(), some())) for _ in range(random.choice([0, 0, 2]))]
            for _ in range(random.randint(1, 6)):
                i = some()
                if kind == "products":
                    i = early.pop() if early else code.add("mul", (i, some()))
                if random.random() < 0.1:
                    code.add(random.choice(["neg", "relu"]), (some(),))
                pair = (total, i)
                total = code.add("add", pair if random.random() < 0.8 else pair[::-1])
    _without_effects_as_operands(code)
    valued = [i for i, op in enumerate(code.ops) if op not in EFFECTS]
    chosen = [valued[-1], *(random.choice(valued) for _ in range(random.choice([0, 0, 1, 3])))]
    code.outputs = chosen + effects
    return code


def _without_effects_as_operands(code: Code) -> None:
    for i, args in enumerate(code.args):
        code.args[i] = tuple(0 if code.ops[a] in EFFECTS else a for a in args)


@st.composite
def samples(draw: Any) -> dict[str, Any]:
    """What run() takes beside the code."""
    columns = [[draw(numbers) for _ in range(SAMPLES)] for _ in range(INPUTS)]
    return {
        "columns": columns,
        "parameters": [draw(numbers) for _ in range(PARAMETERS)],
        "shared": [draw(numbers) for _ in range(SHARED)],
        "indices": [draw(indices) for _ in range(INDICES)],
        "seed": [draw(numbers) for _ in range(SAMPLES)],
    }


def gradients(code: Code, root: int, given: dict[str, Any]) -> dict[tuple[str, int], list[float]]:
    """The gradient of value `root` by each leaf, for each sample.

    As the graph engine sweeps: instructions from the last to the first; each adds to its operands' gradients from the
    first to the last, but a dot product to its weights, then its start, then its inputs.
    """
    found, _ = run(Code(code.ops, code.args, code.ks, list(range(len(code)))), **given)
    leaves = {(code.ops[i], code.ks[i]): i for i, op in enumerate(code.ops) if op in ("input", "parameter", "shared")}
    by_leaf: dict[tuple[str, int], list[float]] = {leaf: [] for leaf in leaves}
    for s in range(SAMPLES):
        values = [float(column[s]) for column in found]
        grad = _sweep(code, values, root, given["indices"][0][s])
        for leaf, i in leaves.items():
            by_leaf[leaf].append(grad[i])
    return by_leaf


def _sweep(code: Code, values: list[float], root: int, index: int) -> list[float]:
    grad = [0.0] * len(code)
    grad[root] = 1.0
    reached = {root}
    for i in range(root, -1, -1):
        op, args, k, g = code.ops[i], code.args[i], code.ks[i], grad[i]
        if i not in reached or not args:
            continue
        reached.update(args)
        if op == "sum":
            adds = [(a, g) for a in args]
        elif op == "logsumexp":
            adds = [(a, g * _ieee.exp(values[a] - values[i])) for a in args]
        elif op == "pick":
            adds = [(args[index], g)]
        elif op == "dot":
            first = len(args) % 2
            pairs = list(zip(args[first::2], args[first + 1 :: 2], strict=True))
            adds = [(w, g * values[x]) for w, x in pairs]
            adds += [(a, g) for a in args[:first]]
            adds += [(x, g * values[w]) for w, x in pairs]
        else:
            row = OPS[op]
            x, y = values[args[0]], k if row.kind == "constant" else values[args[-1]]
            adds = [(a, float(d(_ieee, g, x, y, values[i]))) for a, d in zip(args, row.derivatives, strict=True)]
        for a, contribution in adds:
            grad[a] += contribution
    return grad


def sums(random: Random) -> Code:
    """Code of little but additions and products, whose operands are few: each has many uses, at many places."""
    code = Code()
    for op, count in (("input", random.randint(1, 4)), ("parameter", random.randint(1, 3))):
        for k in range(count):
            code.add(op, (), k)
    leaves = len(code)
    code.add("constant", (), 0.0)
    new: list[int] = []  # values without a use

    def some() -> int:
        if new and random.random() < 0.75:
            return new.pop(-1 if random.random() < 0.7 else random.randrange(len(new)))
        return random.randrange(len(code))

    for _ in range(random.randint(3, 25)):
        op = random.choices(["mul", "add", "sum", "dot", "relu"], [45, 45, 3, 2, 5])[0]
        if op == "mul":
            operands = [random.randrange(leaves + 1) if random.random() < 0.8 else some() for _ in range(2)]
        else:
            operands = [some() for _ in range({"add": 2, "relu": 1}.get(op, random.randint(1, 4)))]
            random.shuffle(operands)
        new.append(code.add(op, tuple(operands)))
    code.outputs = [len(code) - 1, *(random.randrange(len(code)) for _ in range(random.choice([0, 0, 1, 2])))]
    return code


def orders(code: Code, root: int) -> dict[tuple[str, int], int]:
    """For each leaf a number that stands for what is added to its gradient, in which order: for code of sums().

    As gradients() computes them, but with symbols for numbers: no two terms, and no two orders, give the same.
    """
    values: list[int] = []
    for op, args, k in zip(code.ops, code.args, code.ks, strict=True):
        xs = [values[a] for a in args]
        if op == "dot":
            first = len(args) % 2
            xs = xs[:first] + [_either(w, x) for w, x in zip(xs[first::2], xs[first + 1 :: 2], strict=True)]
        if op in ("add", "sum", "dot"):
            value = xs[0]
            for x in xs[1:]:
                value = hash(("sum", min(value, x), max(value, x)))
        else:
            value = _either(*xs) if op == "mul" else hash((op, k, *xs))
        values.append(value)
    grad: dict[int, int] = {root: 1}
    for i in range(root, -1, -1):
        op, args = code.ops[i], code.args[i]
        if i not in grad:
            continue
        g = grad[i]
        if op in ("mul", "dot"):
            first = len(args) % 2
            pairs = list(zip(args[first::2], args[first + 1 :: 2], strict=True))
            adds = [(w, _either(g, values[x])) for w, x in pairs] + [(a, g) for a in args[:first]]
            adds += [(x, _either(g, values[w])) for w, x in pairs]
        else:
            adds = [(a, g if op != "relu" else hash((g, values[i]))) for a in args]
        for a, contribution in adds:
            grad[a] = hash((grad[a], contribution)) if a in grad else contribution
    leaves = [i for i, op in enumerate(code.ops) if op in ("input", "parameter")]
    return {(code.ops[i], code.ks[i]): grad[i] for i in leaves if i in grad}


def _either(x: int, y: int) -> int:
    return hash(("product", min(x, y), max(x, y)))


def same_bits(xs: Any, ys: Any, signs_of_zeros: bool = True) -> bool:
    """Whether two arrays are equal to the last bit, all nans being one."""
    x, y = np.array(xs, dtype=np.float64), np.array(ys, dtype=np.float64)
    equal = (x == y) | (np.isnan(x) & np.isnan(y))
    if signs_of_zeros:
        equal &= (np.signbit(x) == np.signbit(y)) | np.isnan(x)
    return bool(equal.all())
