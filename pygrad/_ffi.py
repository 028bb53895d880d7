"""The cffi module: loading it, its constants as Python ints, its errors. The other modules that touch `lib` are
_handle.py and _handle_updates.py (the cffi handle) and _native.py (the native one).

Raises ImportError naming the remedy.
"""

from __future__ import annotations

from . import backends

try:
    from ._pygrad import ffi, lib  # type: ignore[import-not-found]  # built by setup.py
except ImportError as error:
    raise backends.missing("c", error) from None

__all__ = [
    "NO_NODE", "OP_CODES", "OP_KINDS", "OP_NAMES", "RESULT_TRACED", "build_info", "ffi", "lib", "op_infos", "raise_if",
]  # fmt: skip

NO_NODE = 0  # PG_NONE
RESULT_TRACED = 1 << 32  # PG_RESULT_TRACED


def op_infos() -> list[dict[str, object]]:
    """The op table of the C library: one dict an op, by code."""
    kinds = ["structural", "unary", "constant", "binary", "nary"]
    rows: list[dict[str, object]] = []
    for code in range(lib.pg_op_count()):
        info = lib.pg_op_describe(code)
        rows.append(
            {
                "code": code,
                "name": ffi.string(info.name).decode(),
                "symbol": ffi.string(info.symbol).decode(),
                "doc": ffi.string(info.doc).decode(),
                "parameter": ffi.string(info.parameter).decode(),
                "kind": kinds[info.kind],
                "constant": info.constant,
            }
        )
    return rows


OP_NAMES: list[str] = [str(row["name"]) for row in op_infos()]
OP_CODES: dict[str, int] = {name: code for code, name in enumerate(OP_NAMES)}
OP_KINDS: dict[str, str] = {str(row["name"]): str(row["kind"]) for row in op_infos()}


def raise_if(status: int) -> int:
    """The result of a call that can only fail for want of memory, or through a defect in pygrad."""
    if status >= 0:
        return status
    if status == lib.PG_ERR_NOMEM:
        raise MemoryError
    text = ffi.string(lib.pg_status_text(status)).decode()
    raise MemoryError(text) if status == lib.PG_ERR_FULL else RuntimeError(f"pygrad: {text}")


def build_info() -> dict[str, str]:
    """Compiler and instruction set the C library was built with, and what the processor offers."""
    names = {"compiler": lib.pg_build_compiler, "built for": lib.pg_build_isa, "processor": lib.pg_cpu_isa}
    return {name: ffi.string(text()).decode() for name, text in names.items()}
