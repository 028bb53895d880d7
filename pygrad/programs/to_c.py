"""Programs as C99: one file with the values and the gradient of a function, for use without pygrad and without Python.

Made from the same words that pygrad's own machine runs, for one lane: c_stages.py turns them into statements, here are
the functions around them, their arguments, and what the file says of itself. Nothing is optimised here.
"""

from __future__ import annotations

import re
import textwrap
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .build import build
from .c_formulas import Functions
from .c_stages import StageText, Tables, loop, number, wrapped
from .c_words import StageWords, Words, read
from .listing import counted

if TYPE_CHECKING:
    from .program import Program

_IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z", re.ASCII)
_TAKEN = frozenset(
    re.findall(
        r"\w+",
        """
        auto bool break case catch char class complex const constexpr continue default delete do double else enum extern
        false far float for friend goto if imaginary inline int interrupt long namespace near new nullptr operator
        private protected public register restrict return short signed sizeof static struct switch template this throw
        true try typedef typename typeof union unsigned using virtual void volatile wchar_t while asm linux unix errno
        NULL NAN INFINITY HUGE_VAL I PI EOF FP_NAN FP_INFINITE FP_ZERO FP_NORMAL FP_SUBNORMAL FP_FAST_FMA M_PI M_E
        size_t ptrdiff_t int8_t int16_t int32_t int64_t uint8_t uint16_t uint32_t uint64_t
        acos asin atan atan2 ceil cos cosh erf erfc exp exp2 expm1 fabs fdim floor fma fmax fmin fmod frexp hypot
        isfinite isinf isnan isnormal ldexp log log10 log1p log2 modf pow round signbit sin sinh sqrt tan tanh tgamma
        trunc parameters gradient outputs seed loss total samples s v g t m i j l k n
        """,
    )
)
"""Names that arguments do not keep: those of C and C++, of what the file includes, and of its own."""
_ELSE = ". Else what depends on it is NaN, and a gradient is of no use"
_USE = (
    "",
    "Nothing is allocated, and nothing but outputs and gradient is written; they overlap none of the others. Working "
    "memory: {bytes} bytes of stack. With -D{p}_STORAGE=static it is static: then only one thread may call at a time.",
    "",
    "For the declarations alone, as in a header: #define {p}_DECLARATIONS, then #include this file.",
    "",
    "Numbers are those of pygrad's exact=True to the last bit, if the C library is the same, arithmetic is in double "
    "precision and the compiler leaves formulas as they are: cc -std=c99 -O2 -ffp-contract=off -fno-builtin, and -lm "
    "to link. (Without -fno-builtin compilers replace calls: pow(x, 2.0) by x * x, which is faster, and may "
    "differ in the last bit.) Only gradients of several samples, or of parts of a function that repeat, are added "
    "in another order where a sample, or such a part, uses a parameter in several places, or where there are 1024 "
    "samples or more. Not with -ffast-math: the functions rely on NaN and infinities.",
)
"""The end of the comment that a file begins with."""
_LABELS = 100
"""Labelled parameters that a file lists; of more it lists none."""
_PARAMETERS, _GRADIENT = "const double *restrict parameters", "double *restrict gradient"


def to_c(program: Program, name: str | None = None) -> str:
    """See Program.to_c."""
    return _File(program, _prefix(program.name) if name is None else _checked(name)).text()


def _checked(name: str) -> str:
    if not isinstance(name, str):
        raise TypeError(f"to_c: name must be a string, not {type(name).__name__}")
    if not _IDENTIFIER.match(name):
        raise ValueError(
            f"to_c: name={name!r} can't begin names in C: use letters a to z, digits and _, beginning with a letter"
        )
    return name


def _prefix(qualified: str) -> str:
    """What the names in C begin with, of a function called so."""
    found = re.sub(r"[^A-Za-z0-9_]", "_", qualified.rpartition(".")[2]).strip("_") or "function"
    return found if found[0].isalpha() else f"f_{found}"


def said(text: str) -> str:
    """Text from elsewhere, as it may stand in a comment."""
    return re.sub(r"[^A-Za-z0-9_.,()\[\]<>=: -]", "_", text)[:80]


class _Argument(NamedTuple):
    """An argument of the function: as a parameter of a C function for one sample and for many."""

    name: str
    width: int
    scalar: bool
    c_type: str

    def one(self) -> str:
        return f"{self.c_type} {self.name}" if self.scalar else f"const {self.c_type} *restrict {self.name}"

    def many(self) -> str:
        return f"const {self.c_type} *restrict {self.name}"

    def of_sample(self) -> str:
        return f"{self.name}[k]" if self.scalar else f"{self.name} + {self.width} * k"


class _Call(NamedTuple):
    """A stage's function, and what it is called with: names of what its callers have."""

    name: str
    arguments: list[str]
    of_samples: bool

    def with_(self, **others: str) -> str:
        """The call, some of the arguments being something else."""
        return f"{self.name}({', '.join(others.get(x, x) for x in self.arguments)})"


class _File:
    """One program's text."""

    def __init__(self, program: Program, prefix: str) -> None:
        self.program, self.prefix = program, prefix
        self.functions, self.tables = Functions(prefix), Tables(prefix)
        self.declarations: list[str] = []
        self.definitions: list[str] = []
        self.bytes = 0
        self._arguments()
        shapes = program.outputs.shapes
        self.has_loss = bool(shapes) and not shapes[0]
        self.parameters = program.source.total

    def _arguments(self) -> None:
        layout = self.program.layout
        used = set(_TAKEN)

        def unique(name: str, otherwise: str) -> str:
            if not _IDENTIFIER.match(name) or name.startswith(f"{self.prefix}_"):
                name = otherwise
            while name in used:
                name += "_"
            used.add(name)
            return name

        self.arguments: list[_Argument] = []
        self.notes: list[str] = []
        self.numbers: list[tuple[str, bool]] = []  # by argument: name, whether it is a single number
        by_argument: list[str] = []
        for i, (name, shape, width) in enumerate(zip(layout.names, layout.shapes, layout.widths)):
            classes = [c for c in layout.classes if c.argument == i]
            in_numbers = layout.numbers[i] or not classes
            c_name, of_classes = unique(name, f"argument{i}"), ""
            self.numbers.append((c_name, not shape))
            if in_numbers:
                self.arguments.append(_Argument(c_name, width, not shape, "double"))
                self._note(c_name, name, shape, width, "")
            if classes:
                of_classes = unique(f"{c_name}_class", "") if in_numbers else c_name
                self.arguments.append(_Argument(of_classes, width, not shape, "int64_t"))
                bounds = "; ".join(f"0 <= {of_classes}{f'[{c.column}]' if shape else ''} < {c.bound}" for c in classes)
                self._note(of_classes, name, shape, width, f"{bounds}{_ELSE}")
            by_argument.append(of_classes)
        self.classes = [
            by_argument[c.argument] + (f"[{c.column}]" if layout.shapes[c.argument] else "") for c in layout.classes
        ]

    def _note(self, c_name: str, name: str, shape: tuple[int, ...], width: int, classes: str) -> None:
        kind = "integer" if classes else "number"
        text = f"{c_name}: {counted(width, kind)}" if shape else f"{c_name}: the {kind} itself"
        if len(shape) > 1:
            text += f", {' x '.join(map(str, shape))} in row-major order"
        if c_name != name:
            text += f", the function's argument {said(name)}"
        self.notes.append(f"{text}; {classes}" if classes else text)

    # ---- functions ----

    def text(self) -> str:
        self._value()
        if self.has_loss:
            self._gradient()
        table = self._numbers()
        static = [*self.tables.text, *self.functions.text.values()]
        guard = f"{self.prefix}_DECLARED"
        return "\n".join(
            [
                *self._header(), "#include <math.h>", "#include <stddef.h>", "#include <stdint.h>", "",
                f"#ifndef {guard}", f"#define {guard}", "", "#ifdef __cplusplus", 'extern "C" {', "#endif", "",
                f"#define {self.prefix}_PARAMETERS {self.parameters}",
                f"#define {self.prefix}_GRADIENT {self.program.source.count}",
                f"#define {self.prefix}_OUTPUTS {self.outputs}", "",
                *self.declarations, "", "#ifdef __cplusplus", "}", "#endif", "", "#endif", "",
                f"#ifndef {self.prefix}_DECLARATIONS", "",
                "#if !defined(__GNUC__) || defined(__clang__)", "#pragma STDC FP_CONTRACT OFF", "#endif",
                f"#ifndef {self.prefix}_STORAGE", f"#define {self.prefix}_STORAGE", "#endif", "",
                *table, *static, *([""] if static else []), *self.definitions, "#endif", "",
            ]
        )  # fmt: skip

    @property
    def outputs(self) -> int:
        return sum(int(np.prod(shape)) for shape in self.program.outputs.shapes)

    def _numbers(self) -> list[str]:
        """The parameters as they are now."""
        if not self.parameters:
            return []
        declared = f"const double {self.prefix}_parameters[{self.parameters}]"
        self.declarations.insert(0, f"extern {declared};")
        now = np.frombuffer(self.program.source.numbers()).tolist()
        return [f"{declared} = {{", wrapped([number(x) for x in now]), "};", ""]

    def _words(self, question: str) -> Words:
        program = self.program
        return read(build(program.code, program.signature, question, exact=True)[0])

    def _stages(self, question: str) -> tuple[Words, list[_Call]]:
        """Defines a function for each stage; the calls of them."""
        words = self._words(question)
        calls = [
            self._stage(f"{self.prefix}_{question}{at}", words, stage, question == "gradient")
            for at, stage in enumerate(words.stages)
        ]
        return words, calls

    def _stage(self, name: str, words: Words, stage: StageWords, of_gradient: bool) -> _Call:
        text = StageText(words, stage, self.tables, self.functions, self.numbers, self.classes, of_gradient)
        lines = list(text.once)
        if stage.lanes > 1:
            lines += [f"{loop('l', stage.lanes)} {{", *(f"    {line}" for line in text.each), "}"]
        else:
            lines += text.each
        words_used = set(re.findall(r"\w+", "\n".join(lines)))
        returns = of_gradient and stage.lanes == 0
        possible = {
            "parameters": "const double *restrict parameters", "v": "double *restrict v",
            **{a.name: a.one() for a in self.arguments}, "seed": "double seed",
            "gradient": "double *restrict gradient", "g": "double *restrict g", "outputs": "double *restrict outputs",
        }  # fmt: skip
        used = [x for x in possible if x in words_used]
        declared = [f"double {x};" for x in ("t", "m", "loss") if x in words_used]
        if "s" in words_used:
            declared.insert(0, f"{self.prefix}_STORAGE double s[{stage.slots}];")
        self.bytes = max(self.bytes, 8 * (stage.slots + 2 * words.computed))
        if returns:
            lines.append("return loss;")
        self.definitions += [
            f"static {'double' if returns else 'void'} {name}({', '.join(possible[x] for x in used) or 'void'}) {{",
            *(f"    {line}" for line in [*declared, *lines]), "}", "",
        ]  # fmt: skip
        return _Call(name, used, stage.lanes == 0)

    def _define(self, declared: str, lines: list[str], names: list[str]) -> None:
        """A public function; names: its arguments."""
        used = set(re.findall(r"\w+", "\n".join(lines)))
        self.declarations.append(f"{declared.replace('restrict ', '')};")  # which C++ does not have
        unused = [f"(void){x};" for x in names if x not in used]
        self.definitions += [f"{declared} {{", *(f"    {x}" for x in [*unused, *lines]), "}", ""]

    def _space(self, words: Words, calls: list[_Call]) -> list[str]:
        """What the stages share: declarations, and zeros for gradients."""
        used = {x for call in calls for x in call.arguments}
        lines = [f"{self.prefix}_STORAGE double {x}[{words.computed}];" for x in ("v", "g") if x in used]
        return [*lines, f"{loop('i', words.computed)} g[i] = 0.0;"] if "g" in used else lines

    def _value(self) -> None:
        words, calls = self._stages("value")
        arguments = [_PARAMETERS, *(a.one() for a in self.arguments), "double *restrict outputs"]
        self._define(
            f"void {self.prefix}_value({', '.join(arguments)})",
            [*self._space(words, calls), *(f"{call.with_()};" for call in calls)],
            ["parameters", *(a.name for a in self.arguments), "outputs"],
        )

    def _gradient(self) -> None:
        words, calls = self._stages("gradient")
        names = ["parameters", *(a.name for a in self.arguments), "gradient"]
        at = next(at for at, call in enumerate(calls) if call.of_samples)
        before = [*self._space(words, calls), *(f"{call.with_()};" for call in calls[:at])]
        after = [f"{call.with_()};" for call in calls[at + 1 :]]
        arguments = [_PARAMETERS, *(a.one() for a in self.arguments), _GRADIENT]
        one = f"const double loss = {calls[at].with_(seed='1.0')};"
        self._define(
            f"double {self.prefix}_gradient({', '.join(arguments)})", [*before, one, *after, "return loss;"], names
        )
        if not self.arguments:
            return
        each = calls[at].with_(**{a.name: a.of_sample() for a in self.arguments})
        count = self.program.source.count
        arguments = [_PARAMETERS, "size_t n", *(a.many() for a in self.arguments), _GRADIENT]
        self._define(
            f"double {self.prefix}_loss({', '.join(arguments)})",
            [
                "double total = NAN;",
                *(["const double seed = 1.0 / (double)n;"] if "seed" in calls[at].arguments else []),
                *([f"{loop('k', count)} gradient[k] = 0.0;"] if count else []),
                *before,
                "for (size_t k = 0; k < n; k++) {", f"    const double loss = {each};",
                "    total = k ? total + loss : loss;", "}", *after, "return total / (double)n;",
            ],
            names,
        )  # fmt: skip

    # ---- the comment ----

    def _header(self) -> list[str]:
        """What the file is, what its functions take and give, and how to compile it."""
        from .. import __version__

        p, count = self.prefix, self.program.source.count
        sizes = [int(np.prod(shape)) for shape in self.program.outputs.shapes]
        listed = ", ".join(map(str, sizes))
        several = f": {len(sizes)} outputs, of {listed}, one after the other" if len(sizes) > 1 else ""
        names = "".join(f", {a.name}" for a in self.arguments)
        now = f", as {p}_parameters has them from when this was made" if self.parameters else ""
        lines = [
            f"{said(self.program.name)} in C99. Made by pygrad {__version__} (Program.to_c).",
            "",
            f"{p}_value(parameters{names}, outputs): the outputs of one sample, {counted(self.outputs, 'number')}"
            f"{several}.",
            *self._of_gradients(names, " (the first output)" if len(sizes) > 1 else ""),
            "",
            f"parameters: {counted(self.parameters, 'number')}{now}.",
        ]
        if count != self.parameters:
            lines.append(f"The first {count} are those of the gradient; the others are read only.")
        if self.has_loss:
            lines.append(f"gradient: {counted(count, 'number')}, one a parameter, in their order.")
        lines += [*self.notes, *self._labels(), *(line.format(p=p, bytes=self.bytes) for line in _USE)]
        return ["/*", *(f" * {line}".rstrip() for text in lines for line in _lines(text)), " */"]

    def _of_gradients(self, names: str, first: str) -> list[str]:
        p = self.prefix
        if not self.has_loss:
            return ["There is no gradient: the first output is not one number."]
        lines = [
            f"{p}_gradient(parameters{names}, gradient): adds the gradient of one sample's loss to gradient, which is "
            f"zeros at first, and gives the loss{first}."
        ]
        if self.arguments:
            lines.append(
                f"{p}_loss(parameters, n{names}, gradient): the mean loss of n samples, and its gradient, which "
                f"replaces what is in gradient. Of each argument it takes n, one sample after the other. Sums go from "
                f"the first sample to the last. Of no samples the mean is NaN, and the gradient zeros."
            )
        return lines

    def _labels(self) -> list[str]:
        """The labels of the parameters that have one, if these are few."""
        labels = [(i, label) for i, label in enumerate(self.program.source.labels()) if label]
        return [f"parameters[{i}]: {said(label)}" for i, label in labels] if len(labels) <= _LABELS else []


def _lines(text: str, width: int = 116) -> list[str]:
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False) or [""]
