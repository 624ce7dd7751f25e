"""Verdicts on the papers' claims, the stored sentences, and the rows that a verdict rests on."""

from __future__ import annotations

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
