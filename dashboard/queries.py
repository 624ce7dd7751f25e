"""Every question the dashboard asks, and the only SQL in it.

Each function takes a `Source` and plain values and returns a data frame with no more rows than are drawn. Values
reach the database as parameters. Column names and expressions come from the contract or from `quantities.py`,
never from a caller. Rows that compare a checkpoint with itself (the numerical floor) are left out of comparisons
unless the pair is named.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dashboard.quantities import QUANTITIES
from resources.warehouse import TABLES

if TYPE_CHECKING:
    import pandas as pd

    from dashboard.source import Source

POINTS = 400
"""Components of a spectrum that are sent to the browser: more than its figure has pixels to tell apart."""


# ------------------------------------------------------------------------------------------ the file and its models


def published(source: Source) -> pd.DataFrame:
    """One row: version and time of the published file."""
    return source.frame("SELECT version, published_at FROM published")


def models(source: Source) -> pd.DataFrame:
    """Every registered checkpoint."""
    return source.frame("SELECT * FROM models ORDER BY family, role <> 'base', model_id")


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
        GROUP BY p.model_id, p.base_id
        ORDER BY any_value(m.family), is_floor, any_value(m.role) <> 'descendant', p.model_id, NOT is_main, p.base_id
        """
    )


def materialized(source: Source) -> pd.DataFrame:
    """What is there of each model: table, rows, and the run, code version and time of the newest row."""
    parts = [
        f"SELECT '{name}' AS \"table\", model_id, count(*) AS rows, "
        "max(materialized_at) AS materialized_at, arg_max(run_id, materialized_at) AS run_id, "
        f'arg_max(code_version, materialized_at) AS code_version FROM "{name}" GROUP BY ALL'
        for name in TABLES
    ]
    return source.frame(" UNION ALL ".join(parts))


def coverage(source: Source, model_id: str) -> pd.DataFrame:
    """How many tensors and parameters of a model were analysed or not, by reason."""
    return source.frame(
        "SELECT base_id, state, reason, count(*) AS tensors, sum(parameters) AS parameters FROM coverage "
        "WHERE model_id = ? GROUP BY ALL ORDER BY base_id, parameters DESC LIMIT 200",
        [model_id],
    )


def most_changed(source: Source, model_id: str, limit: int = 20) -> pd.DataFrame:
    """The tensors of a model that moved furthest, principal or not."""
    return source.frame(
        "SELECT tensor, base_id, principal, relative_change, cosine, identical_share, largest_change "
        "FROM tensor_changes WHERE model_id = ? AND model_id <> base_id "
        "ORDER BY isfinite(relative_change) DESC, relative_change DESC NULLS LAST, tensor LIMIT ?",
        [model_id, limit],
    )


# ----------------------------------------------------------------------------------------------- families at a glance


def summary(source: Source) -> pd.DataFrame:
    """Per comparison and matrix type, over layers and experts: medians of scale and rotation, and relative change."""
    return _medians(source, "matrix")


def overall(source: Source) -> pd.DataFrame:
    """Per comparison, over all its matrices: how many, medians of scale and rotation, and relative change."""
    return _medians(source, "count(*) AS matrices")


def _medians(source: Source, column: str) -> pd.DataFrame:
    """Median alpha, its unevenness, NF over null, NF and unrelated level, by comparison and by `column` if it is one.

    `relative_change` is the root mean square over the matrices.
    """
    return source.frame(
        f"""
        SELECT model_id, base_id, {column},
               median(s.alpha_median) FILTER (isfinite(s.alpha_median)) AS alpha,
               median(s.ratio_cv) FILTER (isfinite(s.ratio_cv)) AS ratio_cv,
               median(r.nf_over_null) FILTER (isfinite(r.nf_over_null)) AS nf_over_null,
               median(r.nf) FILTER (isfinite(r.nf)) AS nf,
               median(r.nf_unrelated) FILTER (isfinite(r.nf_unrelated)) AS nf_unrelated,
               sqrt(avg(r.relative_change ** 2) FILTER (isfinite(r.relative_change))) AS relative_change
        FROM {_thin("scale_statistics", "alpha_median, ratio_cv")} s
        FULL JOIN {_thin("rotation_statistics", "nf_over_null, nf, nf_unrelated, relative_change")} r
             USING (model_id, base_id, layer, matrix, expert)
        WHERE model_id <> base_id
        GROUP BY ALL ORDER BY ALL
        """
    )


def by_layer(source: Source, quantity: str, families: list[str]) -> pd.DataFrame:
    """A quantity by layer and matrix type for every descendant of some families; experts by their median."""
    q = QUANTITIES[quantity]
    return source.frame(
        f"""
        SELECT m.family, t.model_id, t.base_id, m.method, t.layer, t.matrix,
               median(t.value) FILTER (isfinite(t.value)) AS value
        FROM (SELECT model_id, base_id, layer, matrix, {q.expression} AS value FROM "{q.table}") t
        JOIN models m ON m.model_id = t.model_id AND m.base_id = t.base_id
        WHERE t.model_id <> t.base_id AND m.family IN (SELECT unnest(?::VARCHAR[]))
        GROUP BY ALL ORDER BY m.family, t.model_id, t.matrix, t.layer
        """,
        [families],
    )


def model_scores(source: Source) -> pd.DataFrame:
    """Scores of whole models (not edits) per task and metric, with standard errors."""
    return source.frame(
        "SELECT subject_id AS model_id, task, metric, filter, value, stderr, n_samples, is_primary, higher_is_better, "
        "status "
        "FROM evaluation_scores WHERE subject_kind = 'model' ORDER BY task, metric, filter, subject_id"
    )


# ---------------------------------------------------------------------------------------------- one model, one matrix


def grid(source: Source, quantity: str, model_id: str, base_id: str) -> pd.DataFrame:
    """A quantity of one comparison by layer and matrix type; experts by their median, with their number."""
    q = QUANTITIES[quantity]
    return source.frame(
        f"""
        SELECT layer, matrix, coalesce(median(value) FILTER (isfinite(value)), any_value(value)) AS value,
               count(*) AS matrices
        FROM (SELECT layer, matrix, {q.expression} AS value FROM "{q.table}" WHERE model_id = ? AND base_id = ?)
        GROUP BY ALL ORDER BY layer, matrix
        """,
        [model_id, base_id],
    )


def experts(source: Source, model_id: str, base_id: str, layer: int, matrix: str) -> list[int]:
    """The experts that a cell of the grid stands for; [-1] outside mixture-of-experts blocks."""
    frame = source.frame(
        "SELECT DISTINCT expert FROM scale_statistics WHERE model_id = $model AND base_id = $base AND layer = $layer "
        "AND matrix = $matrix UNION SELECT expert FROM rotation_statistics WHERE model_id = $model "
        "AND base_id = $base AND layer = $layer AND matrix = $matrix ORDER BY 1",
        {"model": model_id, "base": base_id, "layer": layer, "matrix": matrix},
    )
    return [int(e) for e in frame["expert"]]


def cell(source: Source, table: str, model_id: str, base_id: str, layer: int, matrix: str, expert: int) -> pd.DataFrame:
    """Every single number of one matrix in one table, without its arrays; one row or none."""
    columns = ", ".join(f'"{c.name}"' for c in TABLES[table].columns if not c.type.endswith("[]"))
    return source.frame(
        f'SELECT {columns} FROM "{table}" WHERE {_MATRIX}', _key(model_id, base_id, layer, matrix, expert)
    )


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


def bands(source: Source, model_id: str, base_id: str) -> pd.DataFrame:
    """Scale factor and NF of the top, middle and bottom of the spectrum, by layer and matrix type."""
    where = "WHERE model_id = $model AND base_id = $base GROUP BY layer, matrix"
    scale = ", ".join(f"median(alpha_{b}) FILTER (isfinite(alpha_{b})) AS alpha_{b}" for b in BANDS)
    rotation = ", ".join(f"median(nf_{b}) FILTER (isfinite(nf_{b})) AS nf_{b}" for b in BANDS)
    return source.frame(
        f"""
        SELECT * FROM (SELECT layer, matrix, {scale} FROM scale_statistics {where})
        FULL JOIN (SELECT layer, matrix, {rotation} FROM rotation_statistics {where}) USING (layer, matrix)
        ORDER BY layer, matrix
        """,
        {"model": model_id, "base": base_id},
    )


def levels(source: Source, model_id: str, base_id: str) -> pd.DataFrame:
    """NF by layer and matrix type beside its two nulls and the unrelated level; experts by their median."""
    names = ("nf", "nf_null", "nf_null_simulated", "nf_unrelated")
    columns = ", ".join(f"median({n}) FILTER (isfinite({n})) AS {n}" for n in names)
    return source.frame(
        f"SELECT layer, matrix, {columns} FROM rotation_statistics WHERE model_id = ? AND base_id = ? "
        "GROUP BY ALL ORDER BY layer, matrix",
        [model_id, base_id],
    )


# ------------------------------------------------------------------------------------------------- edits and scores


def evaluated(source: Source) -> pd.DataFrame:
    """Models that have edits or scores: how many of each."""
    return source.frame(
        """
        SELECT model_id, any_value(m.family) AS family, any_value(m.base_id) AS base_id, any_value(m.role) AS role,
               any_value(m.method) AS method, sum(edits)::INTEGER AS edits, sum(scores)::INTEGER AS scores
        FROM (SELECT model_id, count(*) AS edits, 0 AS scores FROM edited_checkpoints GROUP BY model_id
              UNION ALL SELECT model_id, 0, count(*) FROM evaluation_scores GROUP BY model_id)
        LEFT JOIN models m USING (model_id)
        GROUP BY model_id
        ORDER BY any_value(m.family), any_value(m.role) = 'base', any_value(m.role) <> 'descendant', model_id
        """
    )


def edits(source: Source, model_id: str) -> pd.DataFrame:
    """The edited checkpoints of a model, controls included."""
    return source.frame(
        "SELECT * FROM edited_checkpoints WHERE model_id = ? ORDER BY is_control, recipe, edit_id", [model_id]
    )


def scores(source: Source, model_id: str, base_id: str) -> pd.DataFrame:
    """Scores of a model, its base, its edits and controls; failed ones included.

    `label` is the recipe and what differs from its defaults; a control has that of the edit it belongs to.
    """
    return source.frame(
        f"""
        SELECT s.*, e.recipe, e.weight_error, {_LABEL} AS label,
               CASE WHEN s.subject_id = $base THEN 'base' WHEN s.subject_id = $model THEN 'post'
                    ELSE s.subject_kind END AS kind
        FROM evaluation_scores s LEFT JOIN edited_checkpoints e ON e.edit_id = s.subject_id
             LEFT JOIN {_TWINS} twin ON twin.control_id = s.subject_id
        WHERE s.model_id = $model OR s.subject_id IN ($base, $model)
        QUALIFY row_number() OVER (PARTITION BY s.subject_id, s.task, s.metric, s.filter
                                   ORDER BY s.materialized_at DESC) = 1
        ORDER BY s.task, s.metric, s.filter, kind <> 'base', kind <> 'post', label,
                 kind = 'control', s.subject_id
        """,
        {"model": model_id, "base": base_id},
    )


def contrasts(source: Source, model_id: str) -> pd.DataFrame:
    """Paired comparisons of a model's edits and controls, with p-values."""
    return source.frame(
        f"SELECT {_NAME} AS label, {_NAME.replace('e.', 'f.').replace('twin.', 'other.')} AS reference_label, c.* "
        f"FROM evaluation_contrasts c LEFT JOIN edited_checkpoints e "
        f"ON e.edit_id = c.subject_id LEFT JOIN {_TWINS} twin ON twin.control_id = c.subject_id "
        f"LEFT JOIN edited_checkpoints f ON f.edit_id = c.reference_id "
        f"LEFT JOIN {_TWINS} other ON other.control_id = c.reference_id "
        "WHERE c.model_id = ? ORDER BY c.relation LIKE 'control%', c.relation LIKE 'edit%', c.relation, c.task, "
        "c.metric, c.filter, c.p_value, c.subject_id",
        [model_id],
    )


def generations(source: Source, model_id: str, base_id: str) -> pd.DataFrame:
    """What a model, its base and its edits wrote after the fixed prompts."""
    return source.frame(
        f"SELECT g.prompt_id, g.prompt, g.subject_id, {_NAME} AS label, g.text, g.n_tokens FROM generations g "
        f"LEFT JOIN edited_checkpoints e ON e.edit_id = g.subject_id LEFT JOIN {_TWINS} twin "
        "ON twin.control_id = g.subject_id WHERE g.model_id = $model OR g.subject_id IN ($base, $model) "
        "QUALIFY row_number() OVER (PARTITION BY g.subject_id, g.prompt_id ORDER BY g.materialized_at DESC) = 1 "
        "ORDER BY g.prompt_id, g.subject_id <> $base, g.subject_id <> $model, e.is_control, label, g.subject_id",
        {"model": model_id, "base": base_id},
    )


def temperature(source: Source, model_id: str, base_id: str) -> pd.DataFrame:
    """Attention temperature and entropy of every head."""
    return source.frame(
        "SELECT layer, head, predicted, applicability, entropy_base, entropy_post, entropy_stderr, n_prompts, "
        "run_id, code_version, materialized_at FROM attention_temperature "
        "WHERE model_id = ? AND base_id = ? ORDER BY layer, head",
        [model_id, base_id],
    )


def similarity(source: Source, model_id: str) -> pd.DataFrame:
    """CKA of a model and its edits with their references, by layer."""
    return source.frame(
        f"SELECT r.subject_id, r.reference_id, {_NAME} AS label, r.layer, r.cka, r.n_tokens "
        "FROM representation_similarity r LEFT JOIN edited_checkpoints e ON e.edit_id = r.subject_id "
        f"LEFT JOIN {_TWINS} twin ON twin.control_id = r.subject_id WHERE r.model_id = ? "
        "ORDER BY r.subject_id <> r.model_id, e.is_control, label, r.subject_id, r.reference_id, r.layer",
        [model_id],
    )


# ----------------------------------------------------------------------------------------------------------- helpers

BANDS = ("top", "middle", "bottom")

_LABEL = "coalesce(twin.label, e.label, e.recipe)"
_NAME = "coalesce(twin.label || ', on noise', e.label, e.recipe)"
_TWINS = "(SELECT control_id, min(label) AS label FROM edited_checkpoints WHERE control_id <> '' GROUP BY control_id)"
"""Which edit a control belongs to."""

_MATRIX = "model_id = $model AND base_id = $base AND layer = $layer AND matrix = $matrix AND expert = $expert"


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


def _thin(table: str, columns: str) -> str:
    """A subquery with a comparison's key and a few columns, so that arrays stay where they are."""
    return f'(SELECT model_id, base_id, layer, matrix, expert, {columns} FROM "{table}")'
