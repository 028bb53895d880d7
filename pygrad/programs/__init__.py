"""Programs: a function recorded once, optimised, and run over whole data sets in C.

`compile` is what makes one; `isa` and `use_isa` say which instruction set they run with. It changes no number.
"""

from .compiled import CompiledFunction, compile  # noqa: A004  # pygrad.compile
from .program import Program
from .record import TraceError
from .run import isa, use_isa

__all__ = ["CompiledFunction", "Program", "TraceError", "compile", "isa", "use_isa"]
