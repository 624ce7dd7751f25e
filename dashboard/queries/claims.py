"""Verdicts on the papers' claims, the stored sentences, and the rows that a verdict rests on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dashboard.source import Source, remembered
from resources.warehouse import summaries

if TYPE_CHECKING:
    import pandas as pd

MOST_ROWS = 500
"""Rows of one table that a page shows under a verdict."""


@remembered
def verdicts(source: Source) -> pd.DataFrame:
    """Every verdict with its numbers and its rule, families in order; none of a file from before there were any."""
    if "claims" not in source.catalogue.tables:
        return source.frame("SELECT '' AS family, '' AS model_id, '' AS claim, '' AS verdict WHERE false")
    return summaries.verdicts(source.connection)


@remembered
def sentences(source: Source) -> list[dict[str, Any]]:
    """The stored sentences on verdicts: family, model_id, claim, verdict, sentence."""
    there = {"claims", "findings"} <= source.catalogue.tables.keys()
    return summaries.sentences(source.connection) if there else []


@remembered
def findings(source: Source, model_id: str, page: str) -> list[str]:
    """The stored sentences about a model that belong to `claims` or `pair`."""
    if "findings" not in source.catalogue.tables:
        return []
    found = source.frame(
        "SELECT sentence FROM findings WHERE model_id = ? AND page = ? ORDER BY rank", [model_id, page]
    )
    return [str(sentence) for sentence in found["sentence"]]


@remembered
def findings_about(source: Source, model_id: str) -> list[dict[str, Any]]:
    """Every stored sentence about a model: page, rank, sentence, rests_on (tables and conditions), family, model_id.

    Sentences on a verdict also have `claim` and `verdict`; the pages' own order is that in which they are stored.
    """
    if "findings" not in source.catalogue.tables:
        return []
    verdicts = {row["sentence"]: row for row in sentences(source) if row["model_id"] == model_id}
    found = source.frame(
        "SELECT family, model_id, page, rank, sentence, rests_on FROM findings WHERE model_id = ? "
        "ORDER BY page = 'claims' DESC, page, rank",
        [model_id],
    )
    return [
        row | {"rests_on": read_rests_on(row["rests_on"])} | _claim(verdicts.get(row["sentence"]))
        for row in found.to_dict("records")
    ]


def _claim(verdict: dict[str, Any] | None) -> dict[str, Any]:
    return {name: verdict[name] for name in ("claim", "verdict")} if verdict else {}


def read_rests_on(stored: Any) -> list[dict[str, Any]]:
    """Tables and conditions as stored, {table, where}; nothing of what cannot be read."""
    try:
        listed = json.loads(stored) if isinstance(stored, str) else []
        return [{"table": str(o["table"]), "where": {str(k): str(v) for k, v in o["where"].items()}} for o in listed]
    except (ValueError, TypeError, KeyError, AttributeError):
        return []


def rests_on(source: Source, table: str, where: Mapping[str, str]) -> pd.DataFrame | None:
    """The rows of a table that a verdict was read from, without arrays; None where the file has no such table.

    Names are taken from the file's own catalogue, so that what stands in a row reaches the database as values only.
    """
    found = source.catalogue.tables.get(table)
    if found is None or not where.keys() <= found.columns.keys():
        return None
    shown = ", ".join(f'"{column}"' for column in found.single_values)
    conditions = " AND ".join(f'"{column}" = ?' for column in where)
    return source.frame(
        f'SELECT {shown} FROM "{table}" WHERE {conditions or "true"} ORDER BY ALL LIMIT {MOST_ROWS}',
        [str(value) for value in where.values()],
    )
