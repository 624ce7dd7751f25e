"""Tables of the group `relations`. Section numbers refer to docs/methods.md."""

from __future__ import annotations

from resources.warehouse import table
from rotoscale.lineage.result import Lineage

_PAIR = """
model_a VARCHAR One model: of a base and another model the base.
model_b VARCHAR The other model.
"""

TABLES = (
    table(
        "lineage",
        "lineage",
        "model_a model_b",
        "Whether two models of a family share an initialisation, and what the tests can show (methods, section 5).",
        _PAIR,
        Lineage,
    ),
)
