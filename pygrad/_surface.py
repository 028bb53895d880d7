"""The surface of a Value: its operators and methods, in terms of a few operations that each backend supplies.

The reference and the cffi handle inherit it. The native handle has the operators in C and takes the rest from
here, so that all three look alike. No arithmetic is done here.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from . import _graph, _tracing
from ._array_surface import ArraySurface
from ._lazy import arrays

if TYPE_CHECKING:
    from typing_extensions import Self


class Surface(ArraySurface):
    """What all Values of the reference and the cffi handle share."""

    __slots__ = ()

    _pygrad_backend: str

    # ---- supplied by the backend ----

    if TYPE_CHECKING:

        def _unary(self, name: str) -> Self: ...
        def _with_constant(self, name: str, k: Any) -> Self: ...
        def _binary(self, name: str, other: Any) -> Any: ...
        def _reflected(self, name: str, other: Any) -> Any: ...
        def _power(self, other: Any) -> Any: ...
        def _compare(self, other: Any, order: Callable[[Any, Any], Any]) -> Any: ...
        def _operand_error(self, name: str, other: Any) -> TypeError: ...

    def _named(self, name: str, result: Any, other: Any) -> Any:
        """The result of a binary op called as a method: there is no other operand to ask."""
        if result is NotImplemented:
            raise self._operand_error(name, other)
        return result

    # ---- operators ----

    def __neg__(self) -> Self:
        return self._unary("neg")

    def __pos__(self) -> Self:
        return self

    def __abs__(self) -> Self:
        return self._unary("abs")

    def __add__(self, other: Any) -> Any:
        return self._binary("add", other)

    def __radd__(self, other: Any) -> Any:
        return self._reflected("add", other)

    def __sub__(self, other: Any) -> Any:
        return self._binary("sub", other)

    def __rsub__(self, other: Any) -> Any:
        return self._reflected("sub", other)

    def __mul__(self, other: Any) -> Any:
        return self._binary("mul", other)

    def __rmul__(self, other: Any) -> Any:
        return self._reflected("mul", other)

    def __truediv__(self, other: Any) -> Any:
        return self._binary("div", other)

    def __rtruediv__(self, other: Any) -> Any:
        return self._reflected("div", other)

    def __pow__(self, other: Any, modulus: Any = None) -> Any:
        return NotImplemented if modulus is not None else self._power(other)

    def __rpow__(self, other: Any, modulus: Any = None) -> Any:
        return NotImplemented if modulus is not None else self._reflected("pow", other)

    # ---- the same by name ----

    def neg(self) -> Self:
        """-x"""
        return self._unary("neg")

    def add(self, other: Any, /) -> Any:
        """x + y"""
        return self._named("add", self._binary("add", other), other)

    def sub(self, other: Any, /) -> Any:
        """x - y"""
        return self._named("sub", self._binary("sub", other), other)

    def mul(self, other: Any, /) -> Any:
        """x * y"""
        return self._named("mul", self._binary("mul", other), other)

    def div(self, other: Any, /) -> Any:
        """x / y"""
        return self._named("div", self._binary("div", other), other)

    def pow(self, other: Any, /) -> Any:
        """x ** y"""
        return self._named("pow", self._power(other), other)

    # ---- functions ----

    def exp(self) -> Self:
        """e ** x. Raises OverflowError from about 709.8 on."""
        return self._unary("exp")

    def log(self) -> Self:
        """Natural logarithm. Raises ValueError for x <= 0."""
        return self._unary("log")

    def sqrt(self) -> Self:
        """Square root. Raises ValueError for x < 0. The gradient at 0 is inf."""
        return self._unary("sqrt")

    def sin(self) -> Self:
        """Sine, x in radians. Raises ValueError for an infinite x."""
        return self._unary("sin")

    def cos(self) -> Self:
        """Cosine, x in radians. Raises ValueError for an infinite x."""
        return self._unary("cos")

    def tanh(self) -> Self:
        """Hyperbolic tangent."""
        return self._unary("tanh")

    def sigmoid(self) -> Self:
        """1 / (1 + e ** -x), without overflow."""
        return self._unary("sigmoid")

    def softplus(self) -> Self:
        """log(1 + e ** x), without overflow."""
        return self._unary("softplus")

    def relu(self) -> Self:
        """max(x, 0). The gradient at 0 is 0."""
        return self._unary("relu")

    def leaky_relu(self, negative_slope: Any = 0.01) -> Self:
        """x where x > 0, else negative_slope * x."""
        return self._with_constant("leaky_relu", negative_slope)

    def elu(self, alpha: Any = 1.0) -> Self:
        """x where x > 0, else alpha * (e ** x - 1)."""
        return self._with_constant("elu", alpha)

    def silu(self) -> Self:
        """x * sigmoid(x), also called swish."""
        return self._unary("silu")

    def gelu(self) -> Self:
        """x * Phi(x), Phi the standard normal distribution function (the erf form)."""
        return self._unary("gelu")

    def erf(self) -> Self:
        """The error function: 2 / sqrt(pi) times the integral of e ** -t**2 from 0 to x."""
        return self._unary("erf")

    def erfc(self) -> Self:
        """1 - erf(x), without cancellation."""
        return self._unary("erfc")

    def abs(self) -> Self:
        """Absolute value. The gradient at 0 is 0."""
        return self._unary("abs")

    def maximum(self, other: Any, /) -> Any:
        """The larger of both; a nan wins; a tie shares the gradient."""
        return self._named("maximum", self._binary("maximum", other), other)

    def minimum(self, other: Any, /) -> Any:
        """The smaller of both; a nan wins; a tie shares the gradient."""
        return self._named("minimum", self._binary("minimum", other), other)

    # ---- the rest of the object ----

    def __float__(self) -> float:
        if _tracing.active:
            _tracing.looked(self, "float()")
        data = self.data
        number: float = data if type(data) is float else arrays.no_float(self)
        return number

    def __lt__(self, other: Any) -> Any:
        return self._compare(other, operator.lt)

    def __le__(self, other: Any) -> Any:
        return self._compare(other, operator.le)

    def __gt__(self, other: Any) -> Any:
        return self._compare(other, operator.gt)

    def __ge__(self, other: Any) -> Any:
        return self._compare(other, operator.ge)

    def __format__(self, spec: str) -> str:
        if _tracing.active:
            _tracing.looked(self, "a text")
        if not spec:
            return str(self)
        data = self.data
        text: str = format(data, spec) if type(data) is float else arrays.formatted(data, spec)
        return text

    def __copy__(self) -> Any:
        return _graph.copy_value(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return _graph.deepcopy_value(self, memo)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return _graph.reduce_value(self, protocol)


# What the native handle takes from here.
SHARED = ("__format__", "__copy__", "__deepcopy__", "__reduce_ex__")
