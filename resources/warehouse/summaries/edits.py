"""What each edit of a model costs on each task, and what its tests say: one row for each edit and task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from resources.warehouse.query import frame
from rotoscale.multiple import LEVEL, benjamini_hochberg

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

_EDITS = """
    SELECT c.model_id, e.base_id, c.subject_id AS edit_id, coalesce(e.label, e.recipe) AS label, e.recipe, c.task,
           c.metric, c.higher_is_better, c.difference, c.stderr, c.p_value, c.n, s.p_value AS p_equivalent, s.margin,
           t.difference AS beyond_control, t.difference_low AS beyond_control_low,
           t.difference_high AS beyond_control_high, t.q_difference AS q_control, t.q_no_worse, t.draws,
           t.note,
           g.gain, g.ci_low AS gain_low, g.ci_high AS gain_high, g.trained, e.weight_error, c.run_id, c.code_version
    FROM evaluation_contrasts c JOIN edited_checkpoints e ON e.edit_id = c.subject_id AND NOT e.is_control
    LEFT JOIN equivalence s ON s.edit_id = c.subject_id AND s.task = c.task AND s.metric = c.metric
    LEFT JOIN control_tests t ON t.model_id = c.model_id AND t.recipe = e.label AND t.task = c.task
                              AND t.control = 'mirror'
    LEFT JOIN recovered_gain g ON g.edit_id = c.subject_id AND g.task = c.task
    WHERE c.model_id = $model AND c.reference_id = $model AND c.is_primary
    ORDER BY c.task, e.recipe, label
"""


def edit_verdicts(connection: duckdb.DuckDBPyConnection, model: str) -> pd.DataFrame:
    """Edits of `model` against it, task by task, on each task's primary metric; no rows where nothing was compared.

    Beside the contrast (difference, stderr, p_value) stand `q_value`, after Benjamini and Hochberg over all rows;
    `verdict`, see `_against_post`; and for disruptive edits how much more they lose than their mirror control
    (`beyond_control` with its interval and `q_control`, nats per document) with `control_verdict`.
    """
    rows = frame(connection, _EDITS, {"model": model})
    known = [None if p != p else p for p in rows["p_value"]]
    rows["q_value"] = [float("nan") if q is None else q for q in benjamini_hochberg(known)]
    rows["verdict"] = [_against_post(row) for row in rows.to_dict("records")]
    rows["control_verdict"] = [_against_control(row) for row in rows.to_dict("records")]
    return rows


def _against_post(row: dict[str, Any]) -> str:
    """Better or worse: q < 0.05. As good: the test of equivalence has p < 0.05. Both: within the margin."""
    change = row["difference"] if row["higher_is_better"] is not False else -row["difference"]
    different = row["q_value"] < LEVEL and change != 0
    word = ("better" if change > 0 else "worse") if different else ""
    if row["p_equivalent"] < LEVEL:
        return f"{word}, within the margin" if word else "as good"
    return word or "undecided"


def _against_control(row: dict[str, Any]) -> str:
    """Of an edit with control draws: shown to lose more than they do, or no more, at q < 0.05; else undecided."""
    if row["q_control"] != row["q_control"]:
        return ""
    if row["q_control"] < LEVEL:
        return "worse than its control"
    return "no more than its control" if row["q_no_worse"] < LEVEL else "undecided"
