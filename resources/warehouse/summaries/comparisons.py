"""Comparisons in short: one row per pair of checkpoints, or per pair and matrix type, over layers and experts."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from resources.warehouse.query import frame
from resources.warehouse.summaries.measures import (
    APART,
    ORDER_OF_TYPES,
    RELATIVE_CHANGE,
    TOGETHER,
    largest,
    median,
    quantile,
)
from rotoscale.agreement_reading import UNEVEN, percent

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

_MOVED = "relative_change"

_NULL = "coalesce(nf_null_simulated, nf_null)"
"""The null that `nf_over_null` was taken against."""

_SUMMARIES = {
    "matrices": "count(*)",
    "simulated": "count(nf_null_simulated)",
    "alpha": median("alpha_median"),
    "alpha_p05": quantile("alpha_median", 0.05),
    "alpha_p95": quantile("alpha_median", 0.95),
    "alpha_least_squares": median("alpha_least_squares"),
    "alpha_top": median("alpha_top"),
    "alpha_middle": median("alpha_middle"),
    "alpha_bottom": median("alpha_bottom"),
    "ratio_cv": median("ratio_cv"),
    "relative_change": RELATIVE_CHANGE,
    "largest_change": largest("relative_change"),
    "tau": median("tau"),
    "with_tau": "count(tau)",
    "together": f"count(*) FILTER ({TOGETHER})",
    "apart": f"count(*) FILTER ({APART})",
    "nf": median("nf"),
    "nf_null": median(_NULL),
    "nf_over_null": median("nf_over_null"),
    "nf_over_null_p05": quantile("nf_over_null", 0.05),
    "nf_over_null_p95": quantile("nf_over_null", 0.95),
    "nf_unrelated": median("nf_unrelated"),
    "nf_over_unrelated": median("nf / nullif(nf_unrelated, 0)"),
    "formula_error": median("formula_error"),
    "base_error": median("base_error"),
}
"""What is said of several matrices at once. A median over matrices stands with its 5th and 95th percentile, so that a
spread is never hidden behind one number."""


def by_matrix_type(
    connection: duckdb.DuckDBPyConnection,
    model: str | None = None,
    base: str | None = None,
    only: Collection[str] = tuple(_SUMMARIES),
) -> pd.DataFrame:
    """Columns model_id, base_id, matrix and the summaries, by comparison and matrix type in the order of a block.

    Without `model` and `base`: every comparison but those of a checkpoint with itself. `only` names the summaries
    wanted, which for a large warehouse takes half the time of all.
    """
    order = f"model_id, base_id, {ORDER_OF_TYPES}"
    return _summaries(connection, "model_id, base_id, matrix", order, model, base, only)


def overall(
    connection: duckdb.DuckDBPyConnection,
    model: str | None = None,
    base: str | None = None,
    only: Collection[str] = tuple(_SUMMARIES),
) -> pd.DataFrame:
    """Columns model_id, base_id and the summaries over all principal matrices, by comparison; see by_matrix_type."""
    return _summaries(connection, "model_id, base_id", "model_id, base_id", model, base, only)


def where_changed(connection: duckdb.DuckDBPyConnection) -> pd.DataFrame:
    """Where each comparison changed most: one row for each with columns model_id, base_id and, for `matrix` (its types)
    and `layer`, `most_<part>`, `most_<part>_change`, `least_<part>_change` and `uneven_<part>`.

    A type's or a layer's change is that of all its matrices taken as one vector, as everywhere. It is uneven where the
    largest is more than UNEVEN times the smallest; of several that changed alike the first in order is named.
    """
    pair = ["model_id", "base_id"]
    found = []
    for part, order in (("matrix", ORDER_OF_TYPES), ("layer", "layer")):
        data = _summaries(connection, f"model_id, base_id, {part}", f"model_id, base_id, {order}", None, None, [_MOVED])
        data = data.dropna(subset=[_MOVED]).reset_index(drop=True)
        of_pair = data.groupby(pair)[_MOVED]
        most = data.loc[of_pair.idxmax()].rename(columns={part: f"most_{part}", _MOVED: f"most_{part}_change"})
        most = most.set_index(pair)
        most[f"least_{part}_change"] = of_pair.min()
        most[f"uneven_{part}"] = most[f"most_{part}_change"] > UNEVEN * most[f"least_{part}_change"]
        found.append(most)
    return found[0].join(found[1]).reset_index()


def where_in_words(row: Mapping[str, Any]) -> str:
    """A row of `where_changed` as words, such as `most in down (23.4 %) and layer 3 (21.9 %)`."""
    said = [
        f"{name} ({percent(row[f'most_{part}_change'])})"
        for part, name in (("matrix", row["most_matrix"]), ("layer", f"layer {row['most_layer']}"))
        if row[f"uneven_{part}"]
    ]
    return f"most in {' and '.join(said)}" if said else "alike in all types and layers"


def change_of_all_tensors(connection: duckdb.DuckDBPyConnection, model: str, base: str) -> float | None:
    """Relative change over every tensor that both checkpoints have, principal or not; None where none is known."""
    found = frame(
        connection,
        f"SELECT {RELATIVE_CHANGE} AS value FROM tensor_changes WHERE model_id = $model AND base_id = $base",
        {"model": model, "base": base},
    )["value"]
    return None if found.isna().all() else float(found.iloc[0])


def _summaries(
    connection: duckdb.DuckDBPyConnection,
    groups: str,
    order: str,
    model: str | None,
    base: str | None,
    only: Collection[str],
) -> pd.DataFrame:
    columns = ", ".join(f"{expression} AS {name}" for name, expression in _SUMMARIES.items() if name in only)
    one_pair = model is not None or base is not None
    where = "model_id = $model AND base_id = $base" if one_pair else "model_id <> base_id"
    return frame(
        connection,
        f"SELECT {groups}, {columns} FROM ({MATRICES}) WHERE {where} GROUP BY {groups} ORDER BY {order}",
        {"model": model, "base": base} if one_pair else (),
    )


# The base's norm comes from the post model's own rows: those of the base may not be there, or not any more. Only the
# columns named are read; arrays stay where they are.
MATRICES = """
    SELECT *, frobenius_norm / nullif(alpha_frobenius, 0) AS base_norm
    FROM (SELECT model_id, base_id, layer, matrix, expert, alpha_median, alpha_least_squares, alpha_frobenius,
                 alpha_top, alpha_middle, alpha_bottom, ratio_cv FROM scale_statistics)
    FULL JOIN (SELECT model_id, base_id, layer, matrix, expert, relative_change, nf, nf_null, nf_null_simulated,
                      nf_over_null, nf_unrelated, formula_error, base_error FROM rotation_statistics)
         USING (model_id, base_id, layer, matrix, expert)
    LEFT JOIN (SELECT model_id, base_id, layer, matrix, expert, tau, q_together, q_apart FROM agreement)
         USING (model_id, base_id, layer, matrix, expert)
    LEFT JOIN (SELECT model_id, layer, matrix, expert, frobenius_norm FROM decompositions)
         USING (model_id, layer, matrix, expert)
"""
"""One row per comparison and matrix: its numbers of scale, rotation and agreement, and the base's Frobenius norm."""
