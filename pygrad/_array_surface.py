"""The surface of a Value for arrays: shape and size, indexing, reductions as methods, and what NumPy asks of it.

Every Value has it, on every backend; a scalar Value is an array of shape (). The methods only call the functions of
pygrad.arrays, where options are checked. NumPy is not imported before an array, or NumPy itself, needs it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import MethodType
from typing import TYPE_CHECKING, Any

from . import _checks
from ._lazy import array_functions, array_protocols, arrays


class _ClassOrInstance:
    """A name with two uses: on the class the op of many operands, `Value.sum(values)`, found under `many`; on an
    instance a method of arrays, `v.sum(axis=0)`."""

    __slots__ = ("_many", "_method")

    def __init__(self, many: str, method: Callable[..., Any]) -> None:
        self._many = many
        self._method = method

    def __get__(self, value: Any, owner: Any) -> Any:
        return getattr(owner, self._many) if value is None else MethodType(self._method, value)


def _lists_operands(self: Any, x: Any) -> bool:
    """Whether x is not the axes to reduce along, but an iterable of operands."""
    return hasattr(type(x), "__iter__") and not isinstance(x, str) and not _names_axes(self, x)


def _names_axes(self: Any, x: Any) -> bool:
    """Whether x says along which axes to reduce; it lists operands otherwise. Of a scalar Value a list always does."""
    if type(x) is tuple or (type(x) is list and x and self._holds_array):
        return all(_is_axis(item) for item in x)
    return _is_axis(x)


def _is_axis(x: Any) -> bool:
    return x is None or hasattr(type(x), "__index__")


def _sum(self: Any, axis: Any = None, *, keepdims: bool = False, **options: Any) -> Any:
    """v.sum(axis=None, keepdims=False): the sum over an axis, several, or all. v.sum(values): as Value.sum(values)."""
    if axis is not None and type(axis) is not int and _lists_operands(self, axis):
        return self._sum(axis)
    return array_functions.reduced("sum", self, axis, keepdims, options)


def _logsumexp(self: Any, axis: Any = None, *, keepdims: bool = False, **options: Any) -> Any:
    """v.logsumexp(axis=None, keepdims=False): log(sum(e ** v)) over an axis, several, or all, without overflow.
    v.logsumexp(values): as Value.logsumexp(values)."""
    if axis is not None and type(axis) is not int and _lists_operands(self, axis):
        return self._logsumexp(axis)
    return array_functions.reduced("logsumexp", self, axis, keepdims, options)


def _dot(self: Any, *operands: Any, **named: Any) -> Any:
    """v.dot(other): the dot product, as np.dot. v.dot(weights, inputs, bias=None): as Value.dot."""
    if len(operands) == 1 and not named:
        return array_functions.dot(self, operands[0])
    return self._dot(*operands, **named)


class ArraySurface:
    """What all Values share for arrays."""

    __slots__ = ()

    if TYPE_CHECKING:

        @property
        def data(self) -> Any: ...
        @property
        def _holds_array(self) -> bool: ...

    # ---- shape ----

    @property
    def shape(self) -> tuple[int, ...]:
        """The lengths of the axes; () for a scalar Value."""
        shape: tuple[int, ...] = self.data.shape if self._holds_array else ()
        return shape

    @property
    def ndim(self) -> int:
        """How many axes there are; 0 for a scalar Value."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """How many numbers it holds; 1 for a scalar Value."""
        return self.data.size if self._holds_array else 1

    @property
    def dtype(self) -> Any:
        """NumPy's dtype of an array Value: float64 or float32. A scalar Value has none, or np.mean of an object array
        of Values would make a plain number of its result."""
        if not self._holds_array:
            raise AttributeError("a scalar Value has no dtype: it holds a Python float")
        return self.data.dtype

    @property
    def T(self) -> Any:
        """With the axes in reverse order."""
        if not self._holds_array:
            return self
        ndim = self.data.ndim
        return arrays.apply("transpose", (self,), (1, 0) if ndim == 2 else tuple(range(ndim - 1, -1, -1)))

    def __len__(self) -> int:
        if not self._holds_array:
            raise TypeError("len() of a scalar Value: it has no axes")
        return len(self.data)

    def __bool__(self) -> bool:
        return True  # as micrograd; without this, len() would be asked

    # ---- entries ----

    def __getitem__(self, key: Any) -> Any:
        return array_functions.getitem(self, key)

    def __setitem__(self, key: Any, x: Any) -> None:
        raise _no_change_in_place()

    def __delitem__(self, key: Any) -> None:
        raise _no_change_in_place()

    def __iter__(self) -> Iterator[Any]:
        if not self._holds_array:
            raise TypeError("iteration over a scalar Value: it has no axes")
        return (self[i] for i in range(len(self.data)))

    def __reversed__(self) -> Iterator[Any]:
        return (self[i] for i in reversed(range(len(self))))

    def __contains__(self, x: Any) -> bool:
        if not self._holds_array:
            raise TypeError("a scalar Value contains nothing: it has no axes")
        return (x.data if _checks.is_value(x) else x) in self.data

    def item(self, *index: Any) -> float:
        """The number it holds, as a Python float; of several the one at an index. Raises ValueError without one."""
        data = self.data
        number: float = data if type(data) is float and not index else array_functions.item(data, index)
        return number

    # ---- products ----

    def __matmul__(self, other: Any) -> Any:
        if not self._holds_array and not _is_array(other):
            return NotImplemented
        return arrays.binary("matmul", self, other)

    def __rmatmul__(self, other: Any) -> Any:
        return arrays.binary("matmul", other, self) if self._holds_array else NotImplemented

    # On the class these are ops of many operands; see _ClassOrInstance.
    sum = _ClassOrInstance("_sum", _sum)
    dot = _ClassOrInstance("_dot", _dot)
    logsumexp = _ClassOrInstance("_logsumexp", _logsumexp)

    # ---- reductions ----

    def mean(self, axis: Any = None, *, keepdims: bool = False, **options: Any) -> Any:
        """The mean over an axis, several, or all."""
        return array_functions.reduced("mean", self, axis, keepdims, options)

    def max(self, axis: Any = None, *, keepdims: bool = False, **options: Any) -> Any:
        """The largest entry; entries that tie share the gradient."""
        return array_functions.reduced("max", self, axis, keepdims, options)

    def min(self, axis: Any = None, *, keepdims: bool = False, **options: Any) -> Any:
        """The smallest entry; entries that tie share the gradient."""
        return array_functions.reduced("min", self, axis, keepdims, options)

    def prod(self, axis: Any = None, *, keepdims: bool = False, **options: Any) -> Any:
        """The product over an axis, several, or all."""
        return array_functions.reduced("prod", self, axis, keepdims, options)

    def var(self, axis: Any = None, *, ddof: float = 0, keepdims: bool = False, **options: Any) -> Any:
        """The variance: the sum of squared distances from the mean, divided by n - ddof."""
        return array_functions.var(self, axis, ddof=ddof, keepdims=keepdims, **options)

    def std(self, axis: Any = None, *, ddof: float = 0, keepdims: bool = False, **options: Any) -> Any:
        """The standard deviation, the root of var."""
        return array_functions.std(self, axis, ddof=ddof, keepdims=keepdims, **options)

    def norm(self, ord: Any = None, axis: Any = None, *, keepdims: bool = False) -> Any:  # noqa: A002  # as NumPy's
        """The Euclidean norm, or another `ord`; see pygrad.arrays.norm."""
        return array_functions.norm(self, ord, axis, keepdims=keepdims)

    def cumsum(self, axis: Any = None, **options: Any) -> Any:
        """The sums of all entries so far along an axis; of the flattened array for None."""
        return array_functions.cumsum(self, axis, **options)

    def softmax(self, axis: Any = -1) -> Any:
        """e ** v divided by its sum along the axis, without overflow."""
        return array_functions.softmax(self, axis)

    def log_softmax(self, axis: Any = -1) -> Any:
        """The logarithm of softmax(axis), more accurate than log of it."""
        return array_functions.log_softmax(self, axis)

    # ---- other shapes ----

    def reshape(self, *shape: Any, **options: Any) -> Any:
        """The same entries in another shape, as ints or one tuple; one -1 is worked out."""
        return array_functions.reshape(self, shape[0] if len(shape) == 1 else shape, **options)

    def ravel(self, **options: Any) -> Any:
        """With one axis."""
        return array_functions.ravel(self, **options)

    flatten = ravel

    def transpose(self, *axes: Any) -> Any:
        """With the axes in another order, as ints or one tuple; without any, reversed."""
        return array_functions.transpose(self, axes[0] if len(axes) == 1 else axes or None)

    def swapaxes(self, axis1: Any, axis2: Any) -> Any:
        """With two axes exchanged."""
        return array_functions.swapaxes(self, axis1, axis2)

    def squeeze(self, axis: Any = None) -> Any:
        """Without an axis of length 1, several of them, or all."""
        return array_functions.squeeze(self, axis)

    def clip(self, min: Any = None, max: Any = None) -> Any:  # noqa: A002  # as NumPy's
        """With entries below min raised to it, those above max lowered to it."""
        return array_functions.clip(self, min, max)

    # ---- what NumPy asks ----

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        return array_protocols.ufunc(self, ufunc, method, inputs, options)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        return array_protocols.function(function, args, kwargs)

    @property
    def __array__(self) -> Any:
        """Of an array Value, a function that raises TypeError: the graph would be lost. A scalar Value has none, so
        that np.array([v]) is an object array."""
        if not self._holds_array:
            raise AttributeError("a scalar Value has no __array__")
        return array_protocols.refuse_conversion


def _no_change_in_place() -> TypeError:
    return TypeError(
        "an array Value cannot be changed in place: change its numbers, v.data[...] = x, or make a new Value, as "
        "pygrad.where and pygrad.concatenate do"
    )


def _is_array(x: Any) -> bool:
    return _checks.is_value(x) and x._holds_array


# What the native handle takes from here: all but what it has in C.
SHARED = tuple(
    name
    for name in vars(ArraySurface)
    if name not in ("__array__", "__bool__", "__getitem__", "__len__", "__doc__", "__module__", "__slots__")
)
