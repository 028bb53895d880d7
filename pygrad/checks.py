"""Checks of code that uses Values: gradcheck and gradgradcheck, of derivatives; compare_backends, of the backends.

The public names, and no code: that stands in _check_gradients.py and _check_backends.py.
"""

from ._check_backends import BackendReport, Difference, compare_backends
from ._check_gradients import GradientError, GradientReport, Mismatch, gradcheck, gradgradcheck

__all__ = [
    "BackendReport",
    "Difference",
    "GradientError",
    "GradientReport",
    "Mismatch",
    "compare_backends",
    "gradcheck",
    "gradgradcheck",
]
