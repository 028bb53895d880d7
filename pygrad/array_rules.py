"""The rules of arrays: value and derivatives of every op on array Values, one table that all backends share.

First the op table's own rows, elementwise, see _rules_elementwise; then what only arrays have: _rules_reductions,
_rules_products, _rules_shapes and _rules_losses. No Value is made here; nothing here checks what NumPy checks.
"""

from __future__ import annotations

from . import _rules_elementwise, _rules_losses, _rules_products, _rules_reductions, _rules_shapes
from ._rule import Rule

__all__ = ["RULES", "Rule"]

RULES: dict[str, Rule] = {
    rule.name: rule
    for rule in [
        *_rules_elementwise.ROWS,
        *_rules_reductions.ROWS,
        *_rules_products.ROWS,
        *_rules_shapes.ROWS,
        *_rules_losses.ROWS,
    ]
}
