"""Left-right agreement and the energy of a change, by layer and matrix type."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dashboard.source import Source, remembered
from resources.warehouse.summaries.measures import APART, TOGETHER, median

if TYPE_CHECKING:
    import pandas as pd

PARTS = ("scale", "diagonal", "shared", "apart", "outside")
"""The parts that a change's energy is divided into; their shares sum to one."""


@remembered
def tau_grid(source: Source, model_id: str, base_id: str) -> pd.DataFrame:
    """Tau of one comparison by layer and matrix type with its verdict; experts by their median, and how many agree.

    Columns of `grid`, then `p` and `q` of the tail that tau lies in (the smallest of several experts), and `verdict`:
    together, apart, or undecided.
    """
    return source.frame(
        f"""
        SELECT layer, matrix, {median("tau")} AS value, count(*) AS matrices,
               CASE WHEN value < 0 THEN min(p_apart) ELSE min(p_together) END AS p,
               CASE WHEN value < 0 THEN min(q_apart) ELSE min(q_together) END AS q,
               CASE WHEN count(*) FILTER ({TOGETHER}) > 0 AND count(*) > 1
                         THEN 'together in ' || count(*) FILTER ({TOGETHER}) || ' of ' || count(*) || ' experts'
                    WHEN count(*) FILTER ({APART}) > 0 AND count(*) > 1
                         THEN 'apart in ' || count(*) FILTER ({APART}) || ' of ' || count(*) || ' experts'
                    WHEN count(*) FILTER ({TOGETHER}) > 0 THEN 'together'
                    WHEN count(*) FILTER ({APART}) > 0 THEN 'apart'
                    ELSE 'undecided' END AS verdict
        FROM agreement WHERE model_id = ? AND base_id = ? GROUP BY layer, matrix ORDER BY layer, matrix
        """,
        [model_id, base_id],
    )


@remembered
def energy(source: Source, model_id: str, base_id: str) -> pd.DataFrame:
    """Shares of the change's energy by layer and matrix type, and those of white noise; experts by their mean.

    Columns layer, matrix, matrices, and for each of PARTS `<part>` and `<part>_expected`. Means, because they still sum
    to one. Matrices that did not change are left out.
    """
    shares = ", ".join(f"avg(share_{part}) AS {part}, avg(share_{part}_expected) AS {part}_expected" for part in PARTS)
    return source.frame(
        f"SELECT layer, matrix, count(*) AS matrices, {shares} FROM agreement WHERE model_id = ? AND base_id = ? "
        "AND isfinite(share_shared) AND isfinite(share_apart) GROUP BY layer, matrix ORDER BY layer, matrix",
        [model_id, base_id],
    )


@remembered
def changes(source: Source, model_id: str, base_id: str) -> pd.DataFrame:
    """Every matrix: how far it changed, its NF, the NF of noise of that size and of unrelated matrices."""
    return source.frame(
        "SELECT layer, matrix, expert, relative_change, nf, nf_null, nf_unrelated FROM rotation_statistics "
        "WHERE model_id = ? AND base_id = ? AND relative_change > 0 AND isfinite(relative_change) AND nf > 0 "
        "AND isfinite(nf) ORDER BY matrix, layer, expert",
        [model_id, base_id],
    )
