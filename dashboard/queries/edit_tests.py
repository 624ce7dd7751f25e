"""Edits against the post model and against their controls, and single documents."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dashboard.source import Source, remembered
from resources.warehouse import summaries

if TYPE_CHECKING:
    import pandas as pd

MOST_DOCUMENTS = 500
"""Documents that a page lists, those first on which an edit lost most."""


@remembered
def edit_verdicts(source: Source, model_id: str) -> pd.DataFrame:
    """Edits against the post model, task by task; see `summaries.edit_verdicts`."""
    return summaries.edit_verdicts(source.connection, model_id)


@remembered
def documents(source: Source, model_id: str, base_id: str, edit_id: str, task: str) -> pd.DataFrame:
    """Single documents of a task: scores of base, post model and edit on its primary metric, the edit's loss first.

    `lost` is the post model's score minus the edit's, larger is worse for the edit whatever the metric's direction.
    """
    return source.frame(
        """
        WITH wanted AS (
            SELECT metric, filter, bool_and(coalesce(higher_is_better, true)) AS higher FROM evaluation_scores
            WHERE subject_id = $edit AND task = $task AND is_primary GROUP BY ALL LIMIT 1
        ), scored AS (
            SELECT doc_id, any_value(metric) AS metric, any_value(higher) AS higher,
                   max(score) FILTER (subject_id = $base) AS base_score,
                   max(score) FILTER (subject_id = $model) AS post_score,
                   max(score) FILTER (subject_id = $edit) AS edit_score
            FROM evaluation_samples JOIN wanted USING (metric, filter)
            WHERE task = $task AND subject_id IN ($base, $model, $edit) GROUP BY doc_id
        )
        SELECT doc_id, metric, base_score, post_score, edit_score,
               CASE WHEN higher THEN post_score - edit_score ELSE edit_score - post_score END AS lost
        FROM scored WHERE edit_score IS NOT NULL AND post_score IS NOT NULL
        ORDER BY lost DESC NULLS LAST, doc_id
        """,
        {"model": model_id, "base": base_id, "edit": edit_id, "task": task},
    )


@remembered
def document_answers(source: Source, model_id: str, edit_id: str, task: str) -> pd.DataFrame:
    """Prompt, right answer and the answers of base, post model and edit, of the documents kept as texts."""
    if "document_answers" not in source.catalogue.tables:
        return source.frame("SELECT 0 AS doc_id, '' AS chosen WHERE false")
    return source.frame(
        "SELECT doc_id, chosen, prompt, right_answer, base_answer, post_answer, edit_answer FROM document_answers "
        "WHERE model_id = ? AND edit_id = ? AND task = ? ORDER BY doc_id",
        [model_id, edit_id, task],
    )


@remembered
def temperature_test(source: Source, model_id: str, base_id: str) -> pd.DataFrame:
    """The test of predicted temperature against measured entropy: one row or none."""
    return source.frame(
        "SELECT spearman, ci_low, ci_high, p_value, n_layers, note FROM temperature_test "
        "WHERE model_id = ? AND base_id = ?",
        [model_id, base_id],
    )
