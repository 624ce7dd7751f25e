"""One post-trained model against one reference, as the command line prints it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from resources.warehouse.query import rows
from resources.warehouse.summaries.comparisons import MATRICES, by_matrix_type, change_of_all_tensors, overall

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

_PAIR = "model_id = $model AND base_id = $base"


@dataclass(frozen=True)
class PairSummary:
    """One comparison in short; every list holds plain dictionaries, one per line of a table."""

    model: str
    base: str
    change_of_all_tensors: float | None
    """|post - base| / |base| over all tensors that both have, principal or not."""
    parameters: int
    parameters_analysed: int
    overall: dict[str, Any]
    """Over all principal matrices, as `comparisons.overall` names them."""
    by_matrix_type: list[dict[str, Any]]
    outstanding: list[dict[str, Any]]
    """Matrices that lie furthest from the typical one in scale or in NF over null."""
    others: list[dict[str, Any]]
    """Tensors outside the principal matrices that moved furthest."""

    @property
    def matrices(self) -> int:
        """Principal matrices compared."""
        return int(self.overall["matrices"])


def summarize(connection: duckdb.DuckDBPyConnection, model: str, base: str) -> PairSummary:
    """Summary of `model` against `base` from the published file; without rows all its numbers are None or 0."""
    pair = {"model": model, "base": base}
    (parameters,) = rows(
        connection,
        "SELECT coalesce(sum(parameters), 0)::BIGINT AS total, "
        "coalesce(sum(parameters) FILTER (state = 'analysed'), 0)::BIGINT AS analysed "
        f"FROM coverage WHERE {_PAIR}",
        pair,
    )
    whole = overall(connection, model, base)
    return PairSummary(
        model=model,
        base=base,
        change_of_all_tensors=change_of_all_tensors(connection, model, base),
        parameters=parameters["total"],
        parameters_analysed=parameters["analysed"],
        overall=next(iter(_records(whole)), dict.fromkeys(whole.columns) | {"matrices": 0, "simulated": 0}),
        by_matrix_type=_records(by_matrix_type(connection, model, base)),
        outstanding=rows(connection, _OUTSTANDING, pair),
        others=rows(
            connection,
            "SELECT tensor, shape, relative_change, cosine, identical_share FROM tensor_changes "
            f"WHERE {_PAIR} AND NOT principal "
            "ORDER BY isfinite(relative_change) DESC NULLS LAST, relative_change DESC, tensor LIMIT 5",
            pair,
        ),
    )


# How many times farther than the typical matrix (median absolute deviation) one lies from the median, in the logarithm
# of scale and of NF over null; the farther of the two counts.
_OUTSTANDING = f"""
    WITH pair AS (SELECT *, CASE WHEN alpha_median > 0 AND isfinite(alpha_median) THEN ln(alpha_median) END AS a,
                         CASE WHEN nf_over_null > 0 AND isfinite(nf_over_null) THEN ln(nf_over_null) END AS n
                  FROM ({MATRICES}) WHERE {_PAIR}),
         typical AS (SELECT median(a) AS a0, mad(a) AS a1, median(n) AS n0, mad(n) AS n1 FROM pair)
    SELECT layer, matrix, expert, alpha_median, alpha_top, relative_change, nf, nf_over_null,
           greatest(coalesce(abs(a - a0) / nullif(a1, 0), 0), coalesce(abs(n - n0) / nullif(n1, 0), 0)) AS distance
    FROM pair, typical WHERE relative_change > 0
    ORDER BY distance DESC, layer, matrix, expert LIMIT 5
"""


def _records(data: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of a data frame with None for what is missing."""
    return [
        {str(name): None if value != value else value for name, value in row.items()} for row in data.to_dict("records")
    ]
