"""Every question that the dashboard asks, and the only SQL in it.

Each function takes a `Source` and plain values and returns a data frame with no more rows than are drawn; each Source
keeps the answers. Values reach the database as parameters. Column names and expressions come from the published file's
own catalogue or from `quantities.py`, never from a caller. Rows that compare a checkpoint with itself (the numerical
floor) are left out of comparisons unless the pair is named, and forgotten models out of every list but `models`.
"""

from dashboard.queries.agreement import PARTS, changes, energy
from dashboard.queries.edit_tests import document_answers, documents, edit_verdicts, temperature_test
from dashboard.queries.edits import (
    contrasts,
    control_losses,
    control_tests,
    edits,
    evaluated,
    generations,
    scores,
    similarity,
    temperature,
)
from dashboard.queries.families import by_layer, model_scores, newest_first, overall, summary, where_changed
from dashboard.queries.matrices import (
    BANDS,
    POINTS,
    bands,
    cell,
    densities,
    diagonals,
    experts,
    grid,
    known,
    levels,
    picture,
    ratios,
    spectra,
)
from dashboard.queries.registry import coverage, materialized, models, most_changed, pairs, published

__all__ = [
    "BANDS",
    "PARTS",
    "POINTS",
    "bands",
    "by_layer",
    "cell",
    "changes",
    "contrasts",
    "control_losses",
    "control_tests",
    "coverage",
    "densities",
    "diagonals",
    "document_answers",
    "documents",
    "edit_verdicts",
    "edits",
    "energy",
    "evaluated",
    "experts",
    "generations",
    "grid",
    "known",
    "levels",
    "materialized",
    "model_scores",
    "models",
    "most_changed",
    "newest_first",
    "overall",
    "pairs",
    "picture",
    "published",
    "ratios",
    "scores",
    "similarity",
    "spectra",
    "summary",
    "temperature",
    "temperature_test",
    "where_changed",
]
