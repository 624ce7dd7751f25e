"""One comparison by layer and matrix type, and one matrix of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dashboard.quantities import QUANTITIES
from dashboard.queries.agreement import tau_grid
from dashboard.source import Source, remembered
from resources.warehouse.summaries.measures import median

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

POINTS = 400
"""Components of a spectrum that are sent to the browser: more than its figure has pixels to tell apart."""

BINS, BARS = 64, 60
"""Stretches of a spectrum that a map of ratios shows, and bars of a spectral density."""

BANDS = ("top", "middle", "bottom")

_MATRIX = "model_id = $model AND base_id = $base AND layer = $layer AND matrix = $matrix AND expert = $expert"


@remembered
def grid(source: Source, quantity: str, model_id: str, base_id: str) -> pd.DataFrame:
    """A quantity of one comparison by layer and matrix type; experts by their median, with their number.

    Tau comes with its verdict, p and q; see `tau_grid`.
    """
    if quantity == "tau":
        return tau_grid(source, model_id, base_id)
    q = QUANTITIES[quantity]
    return source.frame(
        f"""
        SELECT layer, matrix, coalesce({median("value")}, any_value(value)) AS value,
               count(*) AS matrices
        FROM (SELECT layer, matrix, {q.expression} AS value FROM "{q.table}" WHERE model_id = ? AND base_id = ?)
        GROUP BY ALL ORDER BY layer, matrix
        """,
        [model_id, base_id],
    )


@remembered
def experts(source: Source, model_id: str, base_id: str, layer: int, matrix: str) -> list[int]:
    """The experts that a cell of the grid stands for; [-1] outside mixture-of-experts blocks."""
    frame = source.frame(
        "SELECT DISTINCT expert FROM scale_statistics WHERE model_id = $model AND base_id = $base AND layer = $layer "
        "AND matrix = $matrix UNION SELECT expert FROM rotation_statistics WHERE model_id = $model "
        "AND base_id = $base AND layer = $layer AND matrix = $matrix ORDER BY 1",
        {"model": model_id, "base": base_id, "layer": layer, "matrix": matrix},
    )
    return [int(e) for e in frame["expert"]]


@remembered
def cell(source: Source, table: str, model_id: str, base_id: str, layer: int, matrix: str, expert: int) -> pd.DataFrame:
    """Every single number of one matrix in one table, without its arrays; one row or none."""
    columns = ", ".join(f'"{name}"' for name in source.catalogue.tables[table].single_values)
    return source.frame(
        f'SELECT {columns} FROM "{table}" WHERE {_MATRIX}', _key(model_id, base_id, layer, matrix, expert)
    )


@remembered
def spectra(source: Source, model_id: str, base_id: str, layer: int, matrix: str, expert: int) -> pd.DataFrame:
    """Singular values of both checkpoints and their ratio, component by component (counted from 1), thinned."""
    return source.frame(
        f"""
        WITH post AS (SELECT singular_values AS s FROM decompositions
                      WHERE model_id = $model AND layer = $layer AND matrix = $matrix AND expert = $expert),
             base AS (SELECT singular_values AS s FROM decompositions
                      WHERE model_id = $base AND layer = $layer AND matrix = $matrix AND expert = $expert),
             ratios AS (SELECT ratio AS s FROM scale_statistics WHERE {_MATRIX}),
             {_thinned("SELECT s FROM post UNION ALL SELECT s FROM base UNION ALL SELECT s FROM ratios")}
        SELECT component, (SELECT s FROM base)[component] AS base, (SELECT s FROM post)[component] AS post,
               (SELECT s FROM ratios)[component] AS ratio
        FROM picked ORDER BY component
        """,
        _key(model_id, base_id, layer, matrix, expert) | {"points": POINTS},
    )


@remembered
def diagonals(source: Source, model_id: str, base_id: str, layer: int, matrix: str, expert: int) -> pd.DataFrame:
    """|diag A| and |diag B| (left and right vectors against the base's own), by component from 1, thinned."""
    return source.frame(
        f"""
        WITH both_sides AS (SELECT left_diagonal, right_diagonal FROM rotation_statistics WHERE {_MATRIX}),
             {_thinned("SELECT left_diagonal AS s FROM both_sides UNION ALL SELECT right_diagonal FROM both_sides")}
        SELECT component, (SELECT left_diagonal FROM both_sides)[component] AS "left",
               (SELECT right_diagonal FROM both_sides)[component] AS "right"
        FROM picked ORDER BY component
        """,
        _key(model_id, base_id, layer, matrix, expert) | {"points": POINTS},
    )


@remembered
def known(source: Source, quantities: Sequence[str], model_id: str, base_id: str) -> list[str]:
    """Those of the quantities that have any value in a comparison: NF has none at standard depth."""
    found = set()
    for table in sorted({QUANTITIES[key].table for key in quantities}):
        keys = [key for key in quantities if QUANTITIES[key].table == table]
        counts = ", ".join(f"count({QUANTITIES[key].expression})" for key in keys)
        row = source.frame(
            f'SELECT {counts} FROM "{table}" WHERE model_id = ? AND base_id = ?', [model_id, base_id]
        ).iloc[0]
        found |= {key for key, count in zip(keys, row, strict=True) if count}
    return [key for key in quantities if key in found]


@remembered
def ratios(source: Source, model_id: str, base_id: str, matrix: str, expert: int) -> pd.DataFrame:
    """Median ratio of singular values in up to BINS stretches of the spectrum, layer by layer, of one matrix type.

    Columns layer, bin (from 0, largest values first), bins, first and last component (from 1), ratio, noise: the
    standard deviation that noise of the change's size gives the ratios of that matrix (one draw).
    """
    return source.frame(
        f"""
        WITH spread AS (
            SELECT layer, len(ratio) AS n, least(len(ratio), {BINS}) AS bins, alpha_median, ratio_cv_noise,
                   unnest(ratio) AS r, unnest(range(1, len(ratio) + 1)) AS component
            FROM scale_statistics
            WHERE model_id = $model AND base_id = $base AND matrix = $matrix AND expert = $expert
        )
        SELECT layer, ((component - 1) * bins // n)::INTEGER AS bin, any_value(bins) AS bins, min(component) AS first,
               max(component) AS last, {median("r")} AS ratio, any_value(ratio_cv_noise) AS noise
        FROM spread GROUP BY layer, bin ORDER BY layer, bin
        """,
        {"model": model_id, "base": base_id, "matrix": matrix, "expert": expert},
    )


@remembered
def densities(source: Source, model_id: str, base_id: str, layer: int, matrix: str, expert: int) -> pd.DataFrame:
    """How densely the singular values lie, base and post: up to BARS bars of equal width in the logarithm.

    Columns whose, value (middle of the bar, geometric), density (share of the singular values per unit of ln), rows,
    cols, frobenius_norm. Below a ten-thousandth of the largest value nothing is counted.
    """
    return source.frame(
        f"""
        WITH both_models AS (
            SELECT model_id = $model AS is_post, rows, cols, frobenius_norm, singular_values AS s FROM decompositions
            WHERE model_id IN ($model, $base) AND layer = $layer AND matrix = $matrix AND expert = $expert
        ), values AS (SELECT is_post, rows, cols, frobenius_norm, len(s) AS n, unnest(s) AS v FROM both_models),
        reach AS (SELECT ln(max(v)) AS high, greatest(ln(min(v) FILTER (v > 0)), ln(max(v)) - 9.2) AS low FROM values),
        bars AS (SELECT is_post, rows, cols, frobenius_norm, n, v, low, least({BARS}, ceil(sqrt(n))) AS bars,
                        (high - low) / bars AS width, least(bars - 1, floor((ln(v) - low) / nullif(width, 0))) AS bar
                 FROM values, reach WHERE v > 0 AND ln(v) >= low)
        SELECT CASE WHEN is_post THEN 'post' ELSE 'base' END AS whose,
               exp(any_value(low) + (bar + 0.5) * any_value(width)) AS value,
               count(*) / any_value(n) / any_value(width) AS density, any_value(rows) AS "rows",
               any_value(cols) AS "cols", any_value(frobenius_norm) AS frobenius_norm
        FROM bars WHERE bar IS NOT NULL GROUP BY is_post, bar ORDER BY whose, value
        """,
        {"model": model_id, "base": base_id, "layer": layer, "matrix": matrix, "expert": expert},
    )


@remembered
def picture(source: Source, model_id: str, base_id: str, layer: int, matrix: str, expert: int) -> pd.DataFrame:
    """I_orth reduced to blocks: one row per block (`row`, `column` from 0); empty when it was not stored whole."""
    return source.frame(
        f"""
        SELECT (i - 1) // picture_size AS "row", (i - 1) % picture_size AS "column", picture[i] AS value
        FROM (SELECT picture, picture_size, unnest(range(1, len(picture) + 1)) AS i FROM rotation_statistics
              WHERE {_MATRIX} AND len(picture) = picture_size * picture_size)
        ORDER BY i
        """,
        _key(model_id, base_id, layer, matrix, expert),
    )


@remembered
def bands(source: Source, model_id: str, base_id: str) -> pd.DataFrame:
    """Scale factor and NF of the top, middle and bottom of the spectrum, by layer and matrix type."""
    where = "WHERE model_id = $model AND base_id = $base GROUP BY layer, matrix"
    scale = ", ".join(f"{median(f'alpha_{b}')} AS alpha_{b}" for b in BANDS)
    rotation = ", ".join(f"{median(f'nf_{b}')} AS nf_{b}" for b in BANDS)
    return source.frame(
        f"""
        SELECT * FROM (SELECT layer, matrix, {scale} FROM scale_statistics {where})
        FULL JOIN (SELECT layer, matrix, {rotation} FROM rotation_statistics {where}) USING (layer, matrix)
        ORDER BY layer, matrix
        """,
        {"model": model_id, "base": base_id},
    )


@remembered
def levels(source: Source, model_id: str, base_id: str) -> pd.DataFrame:
    """NF by layer and matrix type beside its two nulls and the unrelated level; experts by their median."""
    names = ("nf", "nf_null", "nf_null_simulated", "nf_unrelated")
    columns = ", ".join(f"{median(n)} AS {n}" for n in names)
    return source.frame(
        f"SELECT layer, matrix, {columns} FROM rotation_statistics WHERE model_id = ? AND base_id = ? "
        "GROUP BY ALL ORDER BY layer, matrix",
        [model_id, base_id],
    )


def _key(model_id: str, base_id: str, layer: int, matrix: str, expert: int) -> dict[str, str | int]:
    return {"model": model_id, "base": base_id, "layer": layer, "matrix": matrix, "expert": expert}


def _thinned(arrays: str) -> str:
    """CTEs ending in `picked`: up to 2 x $points components of the longest array `s`, dense at the head.

    Half are evenly spaced and half geometrically, so that linear and logarithmic axes both look whole.
    """
    return f"""
        longest AS (SELECT coalesce(max(len(s)), 0) AS n FROM ({arrays})),
        picked AS (SELECT DISTINCT unnest([1 + round(f * (n - 1))::INTEGER, round(pow(n, f))::INTEGER]) AS component
                   FROM longest, (SELECT i / $points AS f FROM range(0, $points + 1) AS t(i)) WHERE n > 0)
    """
