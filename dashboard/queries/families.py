"""Whole families at a glance, layer by layer, and the scores of their models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dashboard.quantities import QUANTITIES
from dashboard.queries import registry
from dashboard.source import Source, remembered
from resources.warehouse import summaries
from resources.warehouse.summaries.measures import FORGOTTEN, median

if TYPE_CHECKING:
    import pandas as pd

_SHOWN = (
    "matrices", "alpha", "ratio_cv", "relative_change", "tau", "with_tau", "together", "apart", "nf", "nf_over_null",
    "nf_unrelated",
)  # fmt: skip
"""The summaries that pages and reports show."""


@remembered
def summary(source: Source) -> pd.DataFrame:
    """Every comparison by matrix type; see `summaries.by_matrix_type`."""
    return summaries.by_matrix_type(source.connection, only=_SHOWN)


@remembered
def overall(source: Source) -> pd.DataFrame:
    """Every comparison over all its matrices; see `summaries.overall`."""
    return summaries.overall(source.connection, only=_SHOWN)


@remembered
def where_changed(source: Source) -> pd.DataFrame:
    """Where every comparison changed most; see `summaries.where_changed`."""
    return summaries.where_changed(source.connection)


@remembered
def newest_first(source: Source) -> list[str]:
    """Every family, the one with the newest row of any table first; families without a model that can be used last."""
    made = registry.materialized(source).groupby("model_id")["materialized_at"].max().to_dict()
    models = registry.models(source)
    found: dict[str, tuple[bool, float]] = {}
    for row in models[models["status"].fillna("") != FORGOTTEN].itertuples():
        family = row.family if isinstance(row.family, str) else ""
        usable, newest = found.get(family, (False, 0.0))
        when = made[row.model_id].timestamp() if row.model_id in made else 0.0
        found[family] = (usable or row.status != "quarantined", max(newest, when))
    return sorted(found, key=lambda family: found[family], reverse=True)


@remembered
def by_layer(source: Source, quantity: str, families: Sequence[str]) -> pd.DataFrame:
    """A quantity by layer and matrix type for every descendant of some families; experts by their median."""
    q = QUANTITIES[quantity]
    return source.frame(
        f"""
        SELECT m.family, t.model_id, t.base_id, m.method, t.layer, t.matrix,
               {median("t.value")} AS value
        FROM (SELECT model_id, base_id, layer, matrix, {q.expression} AS value FROM "{q.table}") t
        JOIN models m ON m.model_id = t.model_id AND m.base_id = t.base_id
        WHERE t.model_id <> t.base_id AND m.status IS DISTINCT FROM $forgotten
              AND m.family IN (SELECT unnest($families::VARCHAR[]))
        GROUP BY ALL ORDER BY m.family, t.model_id, t.matrix, t.layer
        """,
        {"families": list(families), "forgotten": FORGOTTEN},
    )


@remembered
def model_scores(source: Source) -> pd.DataFrame:
    """Scores of whole models (not edits) per task and metric, with standard errors."""
    return source.frame(
        "SELECT subject_id AS model_id, task, metric, filter, value, stderr, n_samples, is_primary, higher_is_better, "
        "status "
        "FROM evaluation_scores WHERE subject_kind = 'model' ORDER BY task, metric, filter, subject_id"
    )
