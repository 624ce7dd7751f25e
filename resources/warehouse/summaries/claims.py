"""Verdicts on the papers' claims, and the stored sentences, as command line, report and dashboard read them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from resources.warehouse.query import frame, rows
from resources.warehouse.summaries.measures import FORGOTTEN

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

WORDS = ("supported", "refuted", "undecided", "not tested")
"""The verdicts, in the order in which they are listed."""

_ORDER = "c.family, c.model_id = '', c.model_id, NOT starts_with(c.claim, 'HC'), c.claim"
"""Families, in each its models and at the end its own claims; He and Cao's before the others."""

_SHOWN = f"NOT EXISTS (FROM models m WHERE m.model_id = c.model_id AND m.status = '{FORGOTTEN}')"


def verdicts(connection: duckdb.DuckDBPyConnection) -> pd.DataFrame:
    """Every row of `claims`, in order; those of forgotten models are left out."""
    return frame(connection, f"SELECT c.* FROM claims c WHERE {_SHOWN} ORDER BY {_ORDER}")


def sentences(connection: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    """The stored sentences on verdicts: family, model_id, claim, verdict, sentence; in the order of `verdicts`."""
    return rows(
        connection,
        f"""
        SELECT c.family, c.model_id, c.claim, c.verdict, f.sentence
        FROM claims c JOIN findings f ON f.family = c.family AND f.model_id = c.model_id AND f.page = 'claims'
             AND contains(f.sentence, ', ' || c.claim || ' ' || c.verdict || ': ')
        WHERE {_SHOWN} ORDER BY {_ORDER}
        """,
    )


def sentences_on(connection: duckdb.DuckDBPyConnection, model: str, page: str) -> list[str]:
    """The stored sentences about a model that belong to a page: `claims`, `pair` or `edits`; in order."""
    found = rows(
        connection,
        "SELECT sentence FROM findings WHERE model_id = $model AND page = $page ORDER BY rank",
        {"model": model, "page": page},
    )
    return [str(row["sentence"]) for row in found]
