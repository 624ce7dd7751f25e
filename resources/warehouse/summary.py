"""What the published warehouse says of one post-trained model against one reference, in a few queries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import duckdb

_ORDER = "list_position(['q', 'k', 'v', 'o', 'gate', 'up', 'down'], matrix) NULLS LAST, matrix"
_PAIR = "model_id = $model AND base_id = $base"


@dataclass(frozen=True)
class Summary:
    """One comparison in short; every list holds plain dictionaries, one per line of a table."""

    model: str
    base: str
    relative_change: float | None
    """|post - base| / |base| over all tensors that both have."""
    parameters: int
    parameters_analysed: int
    matrices: int
    matrices_with_simulated_null: int
    scale: list[dict[str, Any]]
    rotation: list[dict[str, Any]]
    overall: dict[str, Any]
    outstanding: list[dict[str, Any]]
    others: list[dict[str, Any]]


def summarize(connection: duckdb.DuckDBPyConnection, model: str, base: str) -> Summary:
    """Summary of `model` against `base` from the published file.

    Medians over matrices stand with their 5th and 95th percentile, so that a spread is never hidden behind one number.
    """

    def rows(sql: str) -> list[dict[str, Any]]:
        cursor = connection.execute(sql, {"model": model, "base": base})
        names = [column[0] for column in cursor.description or []]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    change = rows(
        "SELECT sqrt(sum((relative_change * base_norm) ** 2) / nullif(sum(base_norm ** 2), 0)) AS value "
        f"FROM tensor_changes WHERE {_PAIR}"
    )[0]["value"]
    parameters = rows(
        "SELECT coalesce(sum(parameters), 0)::BIGINT AS total, "
        "coalesce(sum(parameters) FILTER (state = 'analysed'), 0)::BIGINT AS analysed "
        f"FROM coverage WHERE {_PAIR}"
    )[0]
    overall = rows(
        "SELECT median(s.alpha_median) AS alpha, quantile_cont(s.alpha_median, 0.05) AS alpha_p05, "
        "quantile_cont(s.alpha_median, 0.95) AS alpha_p95, median(s.ratio_cv) AS ratio_cv, "
        "median(r.relative_change) AS relative_change, max(r.relative_change) AS largest_change, "
        "median(r.nf) AS nf, median(r.nf / r.nf_unrelated) AS nf_over_unrelated, "
        "median(r.nf_over_null) AS nf_over_null, quantile_cont(r.nf_over_null, 0.05) AS nf_over_null_p05, "
        "quantile_cont(r.nf_over_null, 0.95) AS nf_over_null_p95, count(*) AS matrices, "
        "count(r.nf_null_simulated) AS simulated "
        "FROM scale_statistics s JOIN rotation_statistics r USING (model_id, base_id, layer, matrix, expert) "
        f"WHERE {_PAIR}"
    )[0]
    scale = rows(
        "SELECT matrix, count(*) AS n, median(alpha_median) AS alpha, quantile_cont(alpha_median, 0.05) AS p05, "
        "quantile_cont(alpha_median, 0.95) AS p95, median(alpha_least_squares) AS least_squares, "
        "median(ratio_cv) AS ratio_cv, median(unexplained) AS unexplained, median(alpha_top) AS top, "
        "median(alpha_middle) AS middle, median(alpha_bottom) AS bottom "
        f"FROM scale_statistics WHERE {_PAIR} GROUP BY matrix ORDER BY {_ORDER}"
    )
    rotation = rows(
        "SELECT matrix, count(*) AS n, count(nf_null_simulated) AS simulated, "
        "median(relative_change) AS relative_change, median(nf) AS nf, "
        "median(coalesce(nf_null_simulated, nf_null)) AS nf_null, median(nf_over_null) AS nf_over_null, "
        "quantile_cont(nf_over_null, 0.05) AS p05, quantile_cont(nf_over_null, 0.95) AS p95, "
        "median(nf_unrelated) AS nf_unrelated, median(formula_error) AS formula_error, "
        "median(base_error) AS base_error "
        f"FROM rotation_statistics WHERE {_PAIR} GROUP BY matrix ORDER BY {_ORDER}"
    )
    outstanding = rows(
        # How many times farther than the typical matrix (median absolute deviation) one lies from the median, in
        # the logarithm of scale and of NF over null; the farther of the two counts.
        "WITH pair AS (SELECT layer, matrix, expert, s.alpha_median, s.alpha_top, r.relative_change, r.nf, "
        "r.nf_over_null, ln(nullif(s.alpha_median, 0)) AS a, ln(nullif(r.nf_over_null, 0)) AS n "
        "FROM scale_statistics s JOIN rotation_statistics r USING (model_id, base_id, layer, matrix, expert) "
        f"WHERE {_PAIR}), "
        "typical AS (SELECT median(a) AS a0, mad(a) AS a1, median(n) AS n0, mad(n) AS n1 FROM pair) "
        "SELECT layer, matrix, expert, alpha_median, alpha_top, relative_change, nf, nf_over_null, "
        "greatest(coalesce(abs(a - a0) / nullif(a1, 0), 0), coalesce(abs(n - n0) / nullif(n1, 0), 0)) AS distance "
        "FROM pair, typical WHERE relative_change > 0 ORDER BY distance DESC, layer, matrix LIMIT 5"
    )
    others = rows(
        "SELECT tensor, shape, relative_change, cosine, identical_share FROM tensor_changes "
        f"WHERE {_PAIR} AND NOT principal ORDER BY relative_change DESC NULLS LAST, tensor LIMIT 5"
    )
    return Summary(
        model=model,
        base=base,
        relative_change=change,
        parameters=parameters["total"],
        parameters_analysed=parameters["analysed"],
        matrices=overall["matrices"],
        matrices_with_simulated_null=overall["simulated"],
        scale=scale,
        rotation=rotation,
        overall=overall,
        outstanding=outstanding,
        others=others,
    )
