"""Releases that were found, how the watching goes, and what waits to be made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dashboard.source import Source, remembered

if TYPE_CHECKING:
    import pandas as pd


@remembered
def releases(source: Source) -> pd.DataFrame:
    """Every release, newest found first, with the hours to its results; none of a file from before there were any."""
    if "releases" not in source.catalogue.tables:
        return source.frame("SELECT '' AS family, '' AS decision WHERE false")
    return source.frame(
        "SELECT *, date_diff('minute', found_at, results_at) / 60 AS hours FROM releases "
        "ORDER BY found_at DESC NULLS LAST, model"
    )


@remembered
def polls(source: Source) -> pd.DataFrame:
    """How the last listing of everything watched went."""
    if "release_polls" not in source.catalogue.tables:
        return source.frame("SELECT '' AS family WHERE false")
    return source.frame("SELECT * FROM release_polls ORDER BY family, watched, relation")


@remembered
def backlog(source: Source) -> pd.DataFrame:
    """What waits, in the order in which it is made."""
    if "backlog" not in source.catalogue.tables:
        return source.frame("SELECT '' AS model WHERE false")
    return source.frame(
        "SELECT *, array_to_string(assets, ', ') AS to_make, len(assets) > 0 AS has_turn FROM backlog ORDER BY place"
    )
