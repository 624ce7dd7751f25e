"""Every question that the dashboard asks, and the only SQL in it.

Each function takes a `Source` and plain values and returns a data frame with no more rows than are drawn; each Source
keeps the answers. Values reach the database as parameters. Column names and expressions come from the published file's
own catalogue or from `quantities.py`, never from a caller. Rows that compare a checkpoint with itself (the numerical
floor) are left out of comparisons unless the pair is named, and forgotten models out of every list but `models`.
"""

from dashboard.queries.circuits import (
    by_box,
    circuit_edges,
    circuit_heads,
    circuit_steps,
    exchanges,
    faithfulness,
    faithfulness_curves,
    followed_edges,
    in_circuits,
    knockouts,
    masks,
    overlaps,
    stability,
)
from dashboard.queries.claims import findings, rests_on, sentences, verdicts
from dashboard.queries.edits import contrasts, edits, evaluated, generations, scores, similarity, temperature
from dashboard.queries.families import by_layer, model_scores, overall, summary
from dashboard.queries.matrices import (
    BANDS,
    POINTS,
    bands,
    cell,
    diagonals,
    experts,
    grid,
    levels,
    picture,
    spectra,
)
from dashboard.queries.registry import coverage, materialized, models, most_changed, pairs, published
from resources.warehouse.summaries import WORDS

__all__ = [
    "BANDS",
    "POINTS",
    "WORDS",
    "bands",
    "by_box",
    "by_layer",
    "cell",
    "circuit_edges",
    "circuit_heads",
    "circuit_steps",
    "contrasts",
    "coverage",
    "diagonals",
    "edits",
    "evaluated",
    "exchanges",
    "experts",
    "faithfulness",
    "faithfulness_curves",
    "findings",
    "followed_edges",
    "generations",
    "grid",
    "in_circuits",
    "knockouts",
    "levels",
    "masks",
    "materialized",
    "model_scores",
    "models",
    "most_changed",
    "overall",
    "overlaps",
    "pairs",
    "picture",
    "published",
    "rests_on",
    "scores",
    "sentences",
    "similarity",
    "spectra",
    "stability",
    "summary",
    "temperature",
    "verdicts",
]
