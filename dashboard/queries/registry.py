"""The file, its models, and what is there of each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dashboard.source import Source, remembered
from resources.warehouse.summaries.measures import FORGOTTEN

if TYPE_CHECKING:
    import pandas as pd

_NOTHING = "'' AS \"table\", '' AS model_id, 0 AS rows, now() AS materialized_at, '' AS run_id, '' AS code_version"


@remembered
def published(source: Source) -> pd.DataFrame:
    """One row: version and time of the published file."""
    return source.frame("SELECT version, published_at FROM published")


@remembered
def models(source: Source) -> pd.DataFrame:
    """Every registered checkpoint, forgotten ones included."""
    return source.frame("SELECT * FROM models ORDER BY family, role <> 'base', model_id")


@remembered
def pairs(source: Source) -> pd.DataFrame:
    """Every comparison there is: model, base, and what the registry says of the model."""
    return source.frame(
        """
        WITH measured AS (
            SELECT model_id, base_id, max(layer) + 1 AS layers FROM scale_statistics GROUP BY ALL
            UNION ALL BY NAME
            SELECT model_id, base_id, max(layer) + 1 AS layers FROM rotation_statistics GROUP BY ALL
        )
        SELECT p.model_id, p.base_id, max(p.layers) AS layers, any_value(m.family) AS family,
               any_value(m.method) AS method, any_value(m.role) AS role,
               p.model_id = p.base_id AS is_floor, p.base_id IS NOT DISTINCT FROM any_value(m.base_id) AS is_main
        FROM measured p LEFT JOIN models m USING (model_id)
        WHERE m.status IS DISTINCT FROM $forgotten
        GROUP BY p.model_id, p.base_id
        ORDER BY any_value(m.family), is_floor, any_value(m.role) <> 'descendant', p.model_id, NOT is_main, p.base_id
        """,
        {"forgotten": FORGOTTEN},
    )


@remembered
def materialized(source: Source) -> pd.DataFrame:
    """What is there of each model: table, rows, and the run, code version and time of the newest row."""
    parts = [
        f"SELECT '{name}' AS \"table\", model_id, count(*) AS rows, "
        "max(materialized_at) AS materialized_at, arg_max(run_id, materialized_at) AS run_id, "
        f'arg_max(code_version, materialized_at) AS code_version FROM "{name}" GROUP BY ALL'
        for name, table in source.catalogue.tables.items()
        if table.of_models
    ]
    if not parts:
        return source.frame(f"SELECT {_NOTHING} WHERE false")
    return source.frame(" UNION ALL ".join(parts))


@remembered
def coverage(source: Source, model_id: str) -> pd.DataFrame:
    """How many tensors and parameters of a model were analysed or not, by reason."""
    return source.frame(
        "SELECT base_id, state, reason, count(*) AS tensors, sum(parameters) AS parameters FROM coverage "
        "WHERE model_id = ? GROUP BY ALL ORDER BY base_id, parameters DESC LIMIT 200",
        [model_id],
    )


@remembered
def most_changed(source: Source, model_id: str, limit: int = 20) -> pd.DataFrame:
    """The tensors of a model that moved furthest, principal or not."""
    return source.frame(
        "SELECT tensor, base_id, principal, relative_change, cosine, identical_share, largest_change "
        "FROM tensor_changes WHERE model_id = ? AND model_id <> base_id "
        "ORDER BY isfinite(relative_change) DESC, relative_change DESC NULLS LAST, tensor LIMIT ?",
        [model_id, limit],
    )
