"""Tables of the group `relations`. Section numbers refer to docs/methods.md."""

from __future__ import annotations

from resources.warehouse import table
from rotoscale.lineage.result import Lineage
from rotoscale.straight_line_result import FeatureLinearity, PointOnLine
from rotoscale.two_changes.result import TwoChanges

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
    table(
        "descendant_relations",
        "descendant_relations",
        "model_a model_b layer matrix expert",
        "How two descendants of one base changed each matrix, beside what chance gives (methods, section 5b).",
        """
        model_a VARCHAR One descendant: where one was trained from the other, the earlier one.
        model_b VARCHAR The other.
        base_id VARCHAR The base that both changed.
        layer INTEGER Block, counted from 0.
        matrix VARCHAR Which principal matrix.
        expert INTEGER Expert inside a mixture-of-experts block, else -1.
        """,
        TwoChanges,
    ),
    table(
        "straight_lines",
        "straight_lines",
        "model_a model_b task t",
        "Loss on the family's tasks at points of the straight line between two models' weights (methods, section 5b).",
        """
        model_a VARCHAR The model at t = 0: of a base and another model the base.
        model_b VARCHAR The model at t = 1.
        task VARCHAR Task whose documents are scored.
        t DOUBLE Weight of model_b: the weights are (1 - t) of model_a and t of model_b.
        """,
        PointOnLine,
    ),
    table(
        "feature_linearity",
        "straight_lines",
        "model_a model_b layer",
        "Whether features halfway between two models are the mean of theirs, by layer (methods, section 5b).",
        """
        model_a VARCHAR The model at one end.
        model_b VARCHAR The model at the other end.
        layer INTEGER Hidden state: 0 is the embedding, l the output of block l.
        """,
        FeatureLinearity,
    ),
)
