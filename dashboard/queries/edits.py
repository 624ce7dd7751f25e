"""The edits of a model, what they and their controls score, and what they write."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dashboard.source import Source, remembered
from resources.warehouse.summaries.measures import FORGOTTEN

if TYPE_CHECKING:
    import pandas as pd

_LABEL = "coalesce(twin.label, e.label, e.recipe)"
_NAME = "coalesce(twin.label || ', on noise', e.label, e.recipe)"
_TWINS = "(SELECT control_id, min(label) AS label FROM edited_checkpoints WHERE control_id <> '' GROUP BY control_id)"
"""Which edit a control belongs to."""


@remembered
def evaluated(source: Source) -> pd.DataFrame:
    """Models that have edits or scores: how many of each."""
    return source.frame(
        """
        SELECT model_id, any_value(m.family) AS family, any_value(m.base_id) AS base_id, any_value(m.role) AS role,
               any_value(m.method) AS method, sum(edits)::INTEGER AS edits, sum(scores)::INTEGER AS scores
        FROM (SELECT model_id, count(*) AS edits, 0 AS scores FROM edited_checkpoints GROUP BY model_id
              UNION ALL SELECT model_id, 0, count(*) FROM evaluation_scores GROUP BY model_id)
        LEFT JOIN models m USING (model_id)
        WHERE m.status IS DISTINCT FROM $forgotten
        GROUP BY model_id
        ORDER BY any_value(m.family), any_value(m.role) = 'base', any_value(m.role) <> 'descendant', model_id
        """,
        {"forgotten": FORGOTTEN},
    )


@remembered
def edits(source: Source, model_id: str) -> pd.DataFrame:
    """The edited checkpoints of a model, controls included."""
    return source.frame(
        "SELECT * FROM edited_checkpoints WHERE model_id = ? ORDER BY is_control, recipe, edit_id", [model_id]
    )


@remembered
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


@remembered
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


@remembered
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


@remembered
def temperature(source: Source, model_id: str, base_id: str) -> pd.DataFrame:
    """Attention temperature and entropy of every head."""
    return source.frame(
        "SELECT layer, head, predicted, applicability, entropy_base, entropy_post, entropy_stderr, n_prompts, "
        "run_id, code_version, materialized_at FROM attention_temperature "
        "WHERE model_id = ? AND base_id = ? ORDER BY layer, head",
        [model_id, base_id],
    )


@remembered
def similarity(source: Source, model_id: str) -> pd.DataFrame:
    """CKA of a model and its edits with their references, by layer."""
    return source.frame(
        f"SELECT r.subject_id, r.reference_id, {_NAME} AS label, r.layer, r.cka, r.n_tokens "
        "FROM representation_similarity r LEFT JOIN edited_checkpoints e ON e.edit_id = r.subject_id "
        f"LEFT JOIN {_TWINS} twin ON twin.control_id = r.subject_id WHERE r.model_id = ? "
        "ORDER BY r.subject_id <> r.model_id, e.is_control, label, r.subject_id, r.reference_id, r.layer",
        [model_id],
    )


@remembered
def control_losses(source: Source, model_id: str) -> pd.DataFrame:
    """What each disruptive edit and each draw of its controls lost on each task: nats per document, below 0 a loss.

    Columns recipe, control (edit, mirror, noise), draw, task, loss, weight_error; the edit comes last of its line.
    """
    if "control_draws" not in source.catalogue.tables:
        return source.frame("SELECT '' AS recipe, '' AS control, '' AS task, 0.0 AS loss WHERE false")
    return source.frame(
        "SELECT recipe, control, draw, task, mean_log_likelihood - start_log_likelihood AS loss, weight_error "
        "FROM control_draws WHERE model_id = ? ORDER BY task, recipe, control = 'edit', control = 'mirror', draw",
        [model_id],
    )


@remembered
def control_tests(source: Source, model_id: str) -> pd.DataFrame:
    """Every disruptive edit held against its controls; the mirror control, which decides, first."""
    if "control_tests" not in source.catalogue.tables:
        return source.frame("SELECT '' AS recipe WHERE false")
    return source.frame(
        "SELECT * FROM control_tests WHERE model_id = ? ORDER BY control <> 'mirror', recipe, task", [model_id]
    )
