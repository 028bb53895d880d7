"""What every backend checks and says in the same words: numbers, operands, arithmetic errors, op symbols.

Pure Python, knows no graph. The reference and the cffi handle call these functions; the native handle is given
them when it is installed, and calls them where something is rare or wrong.
"""

from __future__ import annotations

import enum
import numbers
import operator
from collections.abc import Iterable, Sequence
from typing import Any

from ._lazy import arrays


class Status(enum.IntEnum):
    """Why an operation has no value. The numbers are those of pg_status in csrc/pygrad.h."""

    ZERO_DIVISION = -5
    OVERFLOW = -6
    DOMAIN = -7
    COMPLEX = -8


def _backend_of(x: object) -> str | None:
    """The backend's name if x is a Value, of whichever backend."""
    name = getattr(type(x), "_pygrad_backend", None)
    return name if isinstance(name, str) else None


def is_value(x: object) -> bool:
    """Whether x is a Value, of whichever backend."""
    return hasattr(type(x), "_pygrad_backend")


def is_array_value(x: Any) -> bool:
    """Whether x is a Value, of whichever backend, that holds an array."""
    return is_value(x) and x._holds_array


def _is_number(x: object) -> bool:
    """Whether x is a real number: what has __float__, except text, complex numbers, Values, arrays of several."""
    if isinstance(x, (int, float)):
        return True
    if isinstance(x, (str, bytes, bytearray)) or not hasattr(type(x), "__float__") or _backend_of(x):
        return False
    if isinstance(x, numbers.Complex) and not isinstance(x, numbers.Real):
        return False
    if getattr(x, "ndim", 0) != 0:
        return False
    return getattr(getattr(x, "dtype", None), "kind", "f") not in "cmMSUOV"


def as_float(x: Any, what: str = "data") -> float:
    """The float of a plain number: int, bool, float, NumPy scalar or 0-d array, Fraction, Decimal.

    Raises TypeError that names `what` and the type of x; OverflowError for an int beyond the floats.
    """
    if _is_number(x):
        return float(x)
    if _backend_of(x):
        raise TypeError(f"{what} must be a number, not a Value: use .data for the number it holds")
    raise TypeError(f"{what} must be a number, not {_type_name(x)}")


def as_data(x: Any) -> Any:
    """What a Value is made of: the float of a number, or a new ndarray of an array-like.

    Raises TypeError or ValueError as as_float and pygrad._arrays.as_array do.
    """
    if _is_number(x) or _backend_of(x) or not _is_array_like(x):
        return as_float(x)
    return arrays.as_array(x)


def _is_array_like(x: object) -> bool:
    if isinstance(x, (list, tuple)):
        return True
    return not isinstance(x, type) and hasattr(type(x), "__array__") and getattr(x, "ndim", 1) != 0


def operand_float(x: Any, value_type: type) -> Any:
    """The float of an operand that is not of value_type, or NotImplemented if it is no number.

    Raises TypeError for a Value of another backend.
    """
    if type(x) is float:
        return x
    if _is_number(x):
        return float(x)
    other = _backend_of(x)
    if other:
        mine = getattr(value_type, "_pygrad_backend", "?")
        raise TypeError(
            f"a Value of backend {mine!r} and one of backend {other!r} cannot stand in one expression: "
            f"make both with the same backend (PYGRAD_BACKEND, or backend=)"
        )
    return NotImplemented


def bad_operand(name: str, x: object) -> TypeError:
    """The error for an operand that is neither a Value nor a number."""
    return TypeError(f"{name}: expected a Value or a number, not {_type_name(x)}")


def as_operand(name: str, x: Any, value_type: Any) -> Any:
    """x itself if it is a value_type, or a leaf of it for a number.

    Raises TypeError naming the operation for anything else.
    """
    if isinstance(x, value_type):
        return x
    number = operand_float(x, value_type)
    if number is NotImplemented:
        raise bad_operand(name, x)
    return value_type(number)


def as_children(children: Iterable[Any], value_type: Any) -> tuple[Any, ...]:
    """The operands of a user-defined op: Values of one backend, numbers not among them."""
    given = tuple(children)
    for x in given:
        if not isinstance(x, value_type):
            operand_float(x, value_type)  # a Value of another backend says so itself
            raise TypeError(f"_children must be Values, not {_type_name(x)}")
    return given


def size(n: Any, what: str, least: int = 0, instead: str = "") -> int:
    """n as a count. Raises TypeError if it is no integer, ValueError below `least`; instead: what else may be."""
    try:
        count = operator.index(n)
    except TypeError:
        raise TypeError(f"{what} must be an integer, not {_type_name(n)}") from None
    if count < least:
        raise ValueError(f"{what} must be at least {least}{instead}, not {count}")
    return count


def batch(batch_size: Any, samples: int) -> int:
    """How many samples a batch has; None: all. Raises TypeError or ValueError unless it is a positive integer."""
    if batch_size is None:
        return samples
    return min(size(batch_size, "batch_size", 1, ", or None for all samples"), samples)


def fraction(x: Any, what: str) -> float:
    """x as a float. Raises TypeError if it is no number, ValueError unless it is at least 0 and below 1."""
    number = as_float(x, what)
    if not 0.0 <= number < 1.0:
        raise ValueError(f"{what} must be at least 0 and below 1, not {number!r}")
    return number


def as_class(y: Any, what: str) -> int:
    """The class that an integer, or a whole float, stands for. Raises TypeError naming `what` for anything else."""
    if isinstance(y, float) and y.is_integer():
        return int(y)
    try:
        return operator.index(y)
    except TypeError:
        raise TypeError(f"{what} must be an integer class, not {y!r}") from None


def bad_count(what: str, expected: int, got: int) -> ValueError:
    """The error for a wrong number of inputs."""
    return ValueError(f"{what} takes {expected} input{'s' if expected != 1 else ''}, but got {got}")


def text(x: object, what: str) -> str:
    """x itself if it is a str, as an exact str. Raises TypeError naming `what`."""
    if not isinstance(x, str):
        raise TypeError(f"{what} must be a str, not {_type_name(x)}")
    return str.__str__(x)


def bad_hook(x: object) -> TypeError:
    """The error for a _backward that cannot be called."""
    return TypeError(f"_backward must be a function of no arguments, not {_type_name(x)}")


def bad_init() -> RuntimeError:
    """The error for a second __init__ that would change what a Value was computed from."""
    return RuntimeError("a Value that was computed, or is to be, cannot be initialised again: make a new one")


def op_symbol(symbol: str, constant: float) -> str:
    """The symbol of a power with a constant exponent: '**2', '**0.5'."""
    if constant.is_integer() and abs(constant) < 1e16:
        return f"{symbol}{int(constant)}"
    return f"{symbol}{constant!r}"


_DOMAINS = {
    "log": "a number above 0",
    "sqrt": "a number of at least 0",
    "sin": "a finite number",
    "cos": "a finite number",
}


def op_error(op: str, status: int, x: float, y: float) -> ArithmeticError | ValueError:
    """The exception for an op of the table that has no value at x (and y), as Python's own arithmetic raises it."""
    power = op in ("pow", "pow_const")
    call = f"{x!r} ** {y!r}" if power else f"{op}({x!r})"
    if status == Status.ZERO_DIVISION:
        if power:
            return ZeroDivisionError(f"{call}: zero cannot be raised to a negative power")
        return ZeroDivisionError(f"division by zero: {x!r} / {y!r}")
    if status == Status.OVERFLOW:
        return OverflowError(f"{call} is too large for a float")
    if status == Status.COMPLEX:
        return ValueError(f"{call} is a complex number: a negative base needs an integer exponent")
    return ValueError(f"math domain error: {call} needs {_DOMAINS.get(op, 'another operand')}")


def need_same_length(weights: Sequence[object], inputs: Sequence[object]) -> None:
    """Raises ValueError naming both lengths if they differ."""
    if len(weights) != len(inputs):
        raise ValueError(f"dot: {len(weights)} weights, but {len(inputs)} inputs")


def _type_name(x: object) -> str:
    kind = type(x)
    ndim = getattr(x, "ndim", 0)
    if ndim:
        return f"{kind.__name__} with {ndim} dimension{'s' if ndim != 1 else ''}"
    return kind.__name__
