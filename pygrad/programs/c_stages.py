"""Stages of a program as C statements for one lane at a time: another back end of the words that the C machine runs.

Every operation is the machine's, in its order. What is regular (layers, neighbours, strides) becomes loops, what is not
goes through tables of constants. Which functions the statements stand in is to_c.py's.

Names in the statements: s slots; parameters, v what is computed from them for all samples; gradient, g the gradients of
those; seed, outputs, loss; t, m sums and the largest; i, j, l loops.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from .._ffi import OP_NAMES
from .c_formulas import Functions
from .c_words import StageWords, Words
from .encode import MOVES, NO_SLOT, OTHER

_OTHERS = {code: name for name, code in OTHER.items()}
_MOVES = {code: name for name, code in MOVES.items()}
_WRITTEN_OUT = 6
"""Terms of a sum that are written one by one; more become a loop."""


def number(x: float) -> str:
    """A double in C, exactly; small whole numbers in decimal. The macros of math.h are floats."""
    if math.isnan(x):
        return "(double)NAN"
    if math.isinf(x):
        return "(double)INFINITY" if x > 0 else "-(double)INFINITY"
    return repr(x) if x == int(x) and abs(x) < 1e6 else x.hex()


def added(base: int, text: str) -> str:
    """base + text as an index."""
    return f"{base} + {text}" if base else text


def loop(variable: str, n: int, start: int = 0) -> str:
    return f"for (size_t {variable} = {start}; {variable} < {n}; {variable}++)"


class Tables:
    """Constant arrays of one C file, each once."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self._names: dict[tuple[str, tuple[object, ...]], str] = {}
        self.text: list[str] = []

    def _table(self, c_type: str, numbers: Sequence[object], written: Sequence[str]) -> str:
        key = c_type, tuple(written)
        if key not in self._names:
            self._names[key] = name = f"{self.prefix}_table{len(self._names)}"
            self.text.append(f"static const {c_type} {name}[{len(numbers)}] = {{\n{wrapped(written)}\n}};")
        return self._names[key]

    def indices(self, numbers: Sequence[int]) -> str:
        """The name of a table of these."""
        most = max(numbers)
        bits = 8 if most < 1 << 8 else 16 if most < 1 << 16 else 32
        return self._table(f"uint{bits}_t", numbers, [str(i) for i in numbers])

    def doubles(self, numbers: Sequence[float]) -> str:
        """The name of a table of these."""
        return self._table("double", numbers, [number(x) for x in numbers])

    def index(self, numbers: Sequence[int], variable: str) -> str:
        """numbers[variable], as an expression."""
        first = numbers[0]
        step = numbers[1] - first if len(numbers) > 1 else 0
        for at, x in enumerate(numbers):
            if x != first + at * step:
                return f"{self.indices(numbers)}[{variable}]"
        if step == 0:
            return str(first)
        if step < 0:
            return f"{first} - {variable}" if step == -1 else f"{first} - {-step} * {variable}"
        return added(first, variable if step == 1 else f"{step} * {variable}")


def wrapped(items: Sequence[str], width: int = 116) -> str:
    """Items of an initialiser in lines."""
    lines, line = [], "   "
    for item in items:
        if len(line) + len(item) + 2 > width:
            lines.append(line)
            line = "   "
        line += f" {item},"
    return "\n".join([*lines, line])


class StageText:
    """The statements of one stage: `once`, before its lanes, and `each` of a lane.

    tables, functions: those of the file. arguments: of each float argument its name, and whether it is one number and
    no array. classes: of each class argument the expression that is it. gives_loss: the only output is the loss.
    """

    def __init__(
        self,
        words: Words,
        stage: StageWords,
        tables: Tables,
        functions: Functions,
        arguments: Sequence[tuple[str, bool]],
        classes: Sequence[str],
        gives_loss: bool,
    ) -> None:
        self.words, self.stage, self.tables, self.functions = words, stage, tables, functions
        self.arguments, self.classes, self.gives_loss = arguments, classes, gives_loss
        self.lines: list[str] = []
        for instruction in stage.prologue:
            self.instruction(instruction)
        self.once, self.lines = self.lines, []
        for move in stage.inputs:
            getattr(self, "load_" + _MOVES[move[0]])(*move[1:5])
        for instruction in stage.instructions:
            self.instruction(instruction)
        for move in stage.outputs:
            getattr(self, "store_" + _MOVES[move[0]])(*move[1:5])
        self.each = self.lines

    def say(self, *lines: str) -> None:
        self.lines += lines

    def neighbours(self, width: int, statement: str) -> None:
        """The statement for i < width; it says `[i]` only if width is not 1."""
        self.say(f"{loop('i', width)} {statement}" if width != 1 else statement)

    @staticmethod
    def slot(first: int, width: int = 2, variable: str = "i") -> str:
        return f"s[{first}]" if width == 1 else f"s[{added(first, variable)}]"

    # ---- V and G ----

    def shared(self, places: Sequence[int], variable: str) -> str:
        """V[places[variable]]; of one place: V[places[0]]."""
        return self.shared_table(places, [0], variable, "")

    def shared_table(self, rows: Sequence[int], cols: Sequence[int], r: str, j: str) -> str:
        """V[rows[r] + cols[j]]."""
        words = self.words
        least, most = min(rows) + min(cols), max(rows) + max(cols)
        end = words.parameters + words.computed
        if most < words.parameters:
            return f"parameters[{self.sum_of(rows, cols, 0, r, j)}]"
        if least >= words.parameters and most < end:
            return f"v[{self.sum_of(rows, cols, words.parameters, r, j)}]"
        if least >= end:
            if least == most:
                return number(words.constants[least - end])
            return f"{self.tables.doubles(words.constants)}[{self.sum_of(rows, cols, end, r, j)}]"
        self.functions.text.setdefault(
            name := f"{self.tables.prefix}_shared",
            f"static double {name}(const double *parameters, size_t n, const double *v, size_t m, "
            f"const double *constants, size_t i) {{\n"
            f"    return i < n ? parameters[i] : i < n + m ? v[i - n] : constants[i - n - m];\n}}",
        )
        places = {row + col for row in rows for col in cols}
        v = "v" if any(words.parameters <= at < end for at in places) else "NULL"
        constants = self.tables.doubles(words.constants) if max(places) >= end else "NULL"
        place = self.sum_of(rows, cols, 0, r, j)
        return f"{name}(parameters, {words.parameters}, {v}, {words.computed}, {constants}, {place})"

    def target(self, rows: Sequence[int], cols: Sequence[int], r: str, j: str) -> str:
        """G[rows[r] + cols[j]]."""
        parameters = self.words.parameters
        if max(rows) + max(cols) < parameters:
            return f"gradient[{self.sum_of(rows, cols, 0, r, j)}]"
        if min(rows) + min(cols) >= parameters:
            return f"g[{self.sum_of(rows, cols, parameters, r, j)}]"
        self.functions.text.setdefault(
            name := f"{self.tables.prefix}_target",
            f"static double *{name}(double *gradient, double *g, size_t i) {{\n"
            f"    return i < {parameters} ? gradient + i : g + (i - {parameters});\n}}",
        )
        return f"*{name}(gradient, g, {self.sum_of(rows, cols, 0, r, j)})"

    def sum_of(self, rows: Sequence[int], cols: Sequence[int], less: int, r: str, j: str) -> str:
        """rows[r] + cols[j] - less, where that is never negative."""
        least = min(rows)
        if len(cols) == 1:
            return self.tables.index([x + cols[0] - less for x in rows], r)
        row = self.tables.index([x - least for x in rows], r)
        col = self.tables.index([x + least - less for x in cols], j)
        return col if row == "0" else f"{row} + {col}"

    # ---- moves ----

    def load_argument(self, slot: int, count: int, source: int, at: int) -> None:
        name, single = self.arguments[source]
        if single:
            self.neighbours(count, f"{self.slot(slot, count)} = {name};")
        elif count:
            self.neighbours(count, f"{self.slot(slot, count)} = {name}[{at if count == 1 else added(at, 'i')}];")

    def load_seed(self, slot: int, count: int, source: int, at: int) -> None:
        self.say(f"s[{slot}] = seed;")

    def load_rows(self, slot: int, count: int, source: int, at: int) -> None:
        lanes = self.stage.lanes
        for k in range(count):
            row = self.stage.rows[(at + k) * lanes : (at + k + 1) * lanes]
            text = number(row[0]) if lanes == 1 else f"{self.tables.doubles(row)}[l]"
            self.say(f"s[{slot + k}] = {text};")

    def load_gather(self, slot: int, count: int, source: int, at: int) -> None:
        self.say(f"s[{slot}] = {self.shared(self.stage.pool[at : at + self.stage.lanes], 'l')};")

    def load_gather_g(self, slot: int, count: int, source: int, at: int) -> None:
        self.say(f"s[{slot}] = {self.target(self.stage.pool[at : at + self.stage.lanes], [0], 'l', '')};")

    def store_output(self, slot: int, count: int, source: int, at: int) -> None:
        if self.gives_loss:
            self.say(f"loss = s[{slot}];")
            return
        first = sum(self.words.groups[:source]) + at
        self.neighbours(count, f"outputs[{first if count == 1 else added(first, 'i')}] = {self.slot(slot, count)};")

    def store_scatter(self, slot: int, count: int, source: int, at: int) -> None:
        first = at - self.words.parameters
        self.say(f"v[{first if self.stage.lanes == 1 else added(first, 'l')}] = s[{slot}];")

    def store_add_g(self, slot: int, count: int, source: int, at: int) -> None:
        self.say(f"{self.target(self.stage.pool[at : at + self.stage.lanes], [0], 'l', '')} += s[{slot}];")

    # ---- instructions ----

    def instruction(self, instruction: Sequence[int]) -> None:
        code, z, a, b, c, d, width, at = instruction
        repeat, form, op = code >> 16, code >> 8 & 0xFF, code & 0xFF
        if form == 3:
            getattr(self, "do_" + _OTHERS[op])(z, a, b, c, d, width, at)
            return
        places = [self.slot(slot, 1 if repeat >> i & 1 else width) for i, slot in enumerate((a, b, c, d))]
        self.map(OP_NAMES[op], form, z, dict(zip("xy" if form == 0 else "gxyz", places)), width, at)

    def map(self, op: str, form: int, z: int, operands: dict[str, str], width: int, at: int) -> None:
        if op in ("pow_const", "leaky_relu", "elu"):
            operands["k"] = self.shared([at], "0")
        self.neighbours(width, f"{self.slot(z, width)} = {self.functions.expression(op, form, operands)};")

    def do_fill(self, z: int, a: int, b: int, c: int, d: int, width: int, at: int) -> None:
        """Part by part of V, which it may cross."""
        words = self.words
        end = words.parameters + words.computed
        first = a
        while first < a + width:
            behind = words.parameters if first < words.parameters else end if first < end else first + 1
            behind = min(behind, a + width)
            text = self.shared(range(first, behind), "i")
            self.neighbours(behind - first, f"{self.slot(z + first - a, behind - first)} = {text};")
            first = behind

    def do_copy(self, z: int, a: int, b: int, c: int, d: int, width: int, at: int) -> None:
        self.neighbours(width, f"{self.slot(z, width)} = {self.slot(a, width)};")

    def listed(self, numbers: Sequence[int], variable: str) -> str:
        return f"s[{self.tables.index(numbers, variable)}]"

    def do_sum(self, z: int, a: int, b: int, c: int, d: int, width: int, at: int) -> None:
        terms = self.stage.pool[at : at + c]
        if c <= _WRITTEN_OUT:
            self.say(f"s[{z}] = {' + '.join(f's[{i}]' for i in terms) or '0.0'};")
            return
        self.say(f"t = s[{terms[0]}];", f"{loop('i', c - 1)} t += {self.listed(terms[1:], 'i')};", f"s[{z}] = t;")

    def do_dot(self, z: int, a: int, b: int, c: int, d: int, width: int, at: int) -> None:
        w, x = self.stage.pool[at : at + 2 * c : 2], self.stage.pool[at + 1 : at + 2 * c : 2]
        start = [] if a == NO_SLOT else [f"s[{a}]"]
        if c <= _WRITTEN_OUT:
            products = [f"s[{i}] * s[{j}]" for i, j in zip(w, x)]
            self.say(f"s[{z}] = {' + '.join(start + products) or '0.0'};")
            return
        if not start:
            start = [f"s[{w.pop(0)}] * s[{x.pop(0)}]"]
        self.say(
            f"t = {start[0]};", f"{loop('i', len(w))} t += {self.listed(w, 'i')} * {self.listed(x, 'i')};",
            f"s[{z}] = t;",
        )  # fmt: skip

    def do_logsumexp(self, z: int, a: int, b: int, c: int, d: int, width: int, at: int) -> None:
        """The largest first: a nan wins."""
        terms = self.stage.pool[at : at + c]
        if not c:
            self.say(f"s[{z}] = -INFINITY;")
            return
        term = self.listed(terms, "i")
        self.say(
            "m = -INFINITY;", f"{loop('i', c)} m = {term} <= m || isnan(m) ? m : {term};",
            "t = 0.0;", f"{loop('i', c)} t += exp({term} - m);", f"s[{z}] = isinf(m) ? m : m + log(t);",
        )  # fmt: skip

    def do_pick(self, z: int, a: int, b: int, c: int, d: int, width: int, at: int) -> None:
        index = self.classes[b]
        self.say(f"s[{z}] = {index} >= 0 && {index} < {c} ? s[{added(a, f'(size_t){index}')}] : (double)NAN;")

    def do_dpick(self, z: int, a: int, b: int, c: int, d: int, width: int, at: int) -> None:
        i = "0" if width == 1 else "(int64_t)i"
        self.neighbours(width, f"{self.slot(z, width)} = {self.classes[b]} == {i} ? s[{a}] : 0.0;")

    def do_dense(self, z: int, a: int, b: int, c: int, d: int, width: int, at: int, down: bool = False) -> None:
        pool = self.stage.pool
        rows, cols = pool[at : at + width], pool[at + width : at + width + c]
        starts = pool[at + width + c : at + 2 * width + c]
        x = [a - j if down else a + j for j in range(c)]
        term = f"{self.shared_table(rows, cols, 'i', 'j')} * {self.listed(x, 'j')}"
        form, op = d >> 8, d & 0xFF
        apart = bool(op) and form == 0 and b != z  # the sums are kept, too
        result = "t"
        if form:
            values = self.slot(b, width)
            result = self.functions.expression(OP_NAMES[op], form, {"g": "t", "x": values, "z": values})
        elif op and not apart:
            result = self.functions.expression(OP_NAMES[op], form, {"x": "t"})
        self.rows_of(
            width,
            f"t = {self.shared(starts, 'i')};", f"{loop('j', c)} t += {term};", f"{self.slot(z, width)} = {result};",
        )  # fmt: skip
        if apart:
            self.map(OP_NAMES[op], 0, b, {"x": self.slot(z, width)}, width, 0)

    def do_dense_down(self, z: int, a: int, b: int, c: int, d: int, width: int, at: int) -> None:
        self.do_dense(z, a, b, c, d, width, at, down=True)

    def rows_of(self, width: int, *statements: str) -> None:
        if width == 1:
            self.say(*statements)
        else:
            self.say(f"{loop('i', width)} {{", *(f"    {line}" for line in statements), "}")

    def do_outer(self, z: int, a: int, b: int, c: int, d: int, width: int, at: int) -> None:
        pool = self.stage.pool
        rows, cols, last = pool[at : at + width], pool[at + width : at + width + c], at + width + c
        product = f"{self.target(rows, cols, 'i', 'j')} += {self.slot(a, width)} * {self.slot(b, c, 'j')};"
        self.rows_of(width, f"{loop('j', c)} {product}" if c != 1 else product)
        if d:
            self.neighbours(width, f"{self.target(rows, pool[last : last + 1], 'i', '')} += {self.slot(a, width)};")

    def do_accumulate(self, z: int, a: int, b: int, c: int, d: int, width: int, at: int) -> None:
        places = self.stage.pool[at : at + width]
        self.neighbours(width, f"{self.target(places, [0], 'i', '')} += {self.slot(a, width)};")
