"""Passes: functions from Code to Code, each of which keeps every bit of every output, whatever the operands.

Bits of nans aside: IEEE 754 leaves a nan's sign and payload open. A pass never changes the Code it is given. Where one
may run depends on the derivatives that are still to be taken, for their order of addition must be the eager engine's:

  before differentiation   add_negated, dead_code, fold_constants, gather_products, gather_sums
  after it, or without it  those, and common_subexpressions, drop_identities
"""

from .chains import add_negated
from .common import common_subexpressions
from .dead import dead_code
from .fold import fold_constants
from .gather import gather_products, gather_sums
from .identities import drop_identities

__all__ = [
    "add_negated",
    "common_subexpressions",
    "dead_code",
    "drop_identities",
    "fold_constants",
    "gather_products",
    "gather_sums",
]
