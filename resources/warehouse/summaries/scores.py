"""Scores of one model, its base, its edits and their controls, and the stored sentences on them."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from resources.warehouse.query import rows as ask
from resources.warehouse.summaries.claims import sentences_on
from rotoscale.claims.sentences import EDITS_PAGE
from rotoscale.recipes import RECIPES

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True)
class Score:
    """One cell of the table: a value with its error, or the reason why there is none."""

    value: float | None
    stderr: float | None
    reason: str = ""


@dataclass(frozen=True)
class Row:
    """One subject: base, post, an edit or a control."""

    subject_id: str
    label: str
    kind: str
    weight_error: float | None
    scores: dict[str, Score]


@dataclass(frozen=True)
class Column:
    """One task with the metric shown."""

    task: str
    metric: str
    higher_is_better: bool
    n_least: int
    n_most: int
    """Documents that a subject was scored on: edits often on the first ones alone."""


@dataclass(frozen=True)
class BehaviourSummary:
    """The table of one model, and the stored sentences on what it shows."""

    model: str
    base: str
    columns: list[Column]
    rows: list[Row]
    findings: list[str]


def behaviour_summary(connection: duckdb.DuckDBPyConnection, model: str) -> BehaviourSummary | None:
    """Scores and findings of `model`; None when it was not scored, or is a base with nothing to compare."""

    facts = ask(connection, "SELECT base_id FROM models WHERE model_id = $model", {"model": model})
    base = facts[0]["base_id"] if facts else None
    if base is None or base == model:
        return None
    pair = {"model": model, "base": base}
    scores = ask(
        connection,
        "SELECT subject_id, task, metric, value, stderr, higher_is_better, n_samples, status, status_reason "
        "FROM evaluation_scores WHERE is_primary AND (model_id = $model OR subject_id = $base) "
        "ORDER BY task, metric",
        pair,
    )
    if not scores:
        return None
    edits = ask(
        connection,
        "SELECT edit_id, label, recipe, is_control, weight_error, base_error "
        "FROM edited_checkpoints WHERE model_id = $model AND status = 'ready' "
        f"ORDER BY is_control, list_position({list(RECIPES)!r}, recipe) NULLS LAST, label",
        {"model": model},
    )
    columns = _columns(scores)
    cells: dict[str, dict[str, Score]] = defaultdict(dict)
    for row in scores:
        failed = row["status"] != "ready"
        cells[row["subject_id"]][row["task"]] = Score(
            row["value"], row["stderr"], (row["status_reason"] or "failed") if failed else ""
        )
    base_error = next((edit["base_error"] for edit in edits if edit["base_error"] is not None), None)
    rows = [Row(base, "base", "base", base_error, cells[base]), Row(model, "post", "post", 0.0, cells[model])]
    for edit in edits:
        kind = "control" if edit["is_control"] else "edit"
        rows.append(Row(edit["edit_id"], edit["label"], kind, edit["weight_error"], cells[edit["edit_id"]]))
    return BehaviourSummary(model, base, columns, rows, sentences_on(connection, model, EDITS_PAGE))


def _columns(scores: list[dict[str, Any]]) -> list[Column]:
    columns: dict[str, Column] = {}
    for row in (row for row in scores if row["status"] == "ready"):
        task, n = row["task"], row["n_samples"] or 0
        known = columns.get(task) or Column(task, row["metric"], row["higher_is_better"] is not False, n, n)
        columns[task] = replace(known, n_least=min(known.n_least, n), n_most=max(known.n_most, n))
    for row in scores:
        columns.setdefault(row["task"], Column(row["task"], "failed", True, 0, 0))
    return list(columns.values())
