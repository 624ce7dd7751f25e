"""Scores of one model, its base, its edits and their controls, and the sentences that they support."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from resources.warehouse.query import rows as ask
from rotoscale import findings
from rotoscale.recipes import RECIPES

if TYPE_CHECKING:
    import duckdb

Verdicts = Mapping[tuple[str, str], findings.Verdict]
"""What each comparison shows, by subject and reference."""


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
    n_samples: int


@dataclass(frozen=True)
class BehaviourSummary:
    """The table of one model, and the sentences that its contrasts support or do not support."""

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
        "SELECT edit_id, label, recipe, is_control, control_id, parameters, weight_error, base_error "
        "FROM edited_checkpoints WHERE model_id = $model AND status = 'ready' "
        f"ORDER BY is_control, list_position({list(RECIPES)!r}, recipe) NULLS LAST, label",
        {"model": model},
    )
    contrasts = ask(
        connection,
        "SELECT subject_id, reference_id, task, p_value FROM evaluation_contrasts "
        "WHERE is_primary AND model_id = $model ORDER BY task",
        {"model": model},
    )
    temperature = ask(
        connection,
        "SELECT predicted, entropy_base, entropy_post FROM attention_temperature "
        "WHERE model_id = $model AND base_id = $base ORDER BY layer, head",
        pair,
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
    verdicts = _verdicts(columns, cells, contrasts)
    sentences = _sentences(model, base, edits, verdicts)
    on_temperature = findings.finding_on_temperature(temperature)
    return BehaviourSummary(model, base, columns, rows, sentences + ([on_temperature] if on_temperature else []))


def _columns(scores: list[dict[str, Any]]) -> list[Column]:
    columns: dict[str, Column] = {}
    for row in scores:
        if row["status"] == "ready":
            columns.setdefault(
                row["task"], Column(row["task"], row["metric"], row["higher_is_better"] is not False, row["n_samples"])
            )
    for row in scores:
        columns.setdefault(row["task"], Column(row["task"], "failed", True, 0))
    return list(columns.values())


def _verdicts(columns: list[Column], cells: dict[str, dict[str, Score]], contrasts: list[dict[str, Any]]) -> Verdicts:
    directions = {column.task: column.higher_is_better for column in columns}
    groups: dict[tuple[str, str], list[findings.TaskContrast]] = defaultdict(list)
    for row in contrasts:
        pair = [cells[row[name]].get(row["task"]) for name in ("subject_id", "reference_id")]
        values = [score.value for score in pair if score is not None and score.value is not None]
        if len(values) == 2:
            groups[row["subject_id"], row["reference_id"]].append(
                findings.TaskContrast(row["task"], values[0], values[1], row["p_value"], directions[row["task"]])
            )
    return {pair: findings.judge(found) for pair, found in groups.items()}


def _sentences(model: str, base: str, edits: list[dict[str, Any]], verdicts: Verdicts) -> list[str]:
    """One sentence per finding: of training, then of the edits in their recipes' order, of noise at the end."""
    found: list[str] = []
    if (model, base) in verdicts:
        found.append(findings.finding_on_training(model, base, verdicts[model, base]))
    for edit in edits:
        name, recipe = edit["edit_id"], RECIPES.get(edit["recipe"])
        if recipe is None or (edit["is_control"] and not recipe.is_control):
            continue
        compared = findings.Comparisons(
            post=verdicts.get((name, model)),
            base=verdicts.get((name, base)),
            undone=_against(name, recipe.undoes, edit, edits, verdicts) if recipe.undoes else None,
            control=_against(edit["control_id"], _NOISE, edit, edits, verdicts) if edit["control_id"] else None,
        )
        sentence = findings.finding_on_edit(recipe, edit["label"], compared)
        if sentence:
            found.append(f"{edit['label']}: {sentence}" if recipe.is_control and edit["label"] != _NOISE else sentence)
    return found


_NOISE = "noise"


def _against(
    subject: str, recipe: str, edit: dict[str, Any], edits: list[dict[str, Any]], verdicts: Verdicts
) -> findings.Verdict | None:
    """The comparison of a subject with what a recipe made in the same scope as an edit; None without one."""
    scope = _scope(edit)
    references = [e["edit_id"] for e in edits if e["recipe"] == recipe and _scope(e) == scope]
    return next((verdicts[subject, r] for r in references if (subject, r) in verdicts), None)


def _scope(edit: dict[str, Any]) -> tuple[str, str]:
    """Matrices and layers of an edit, as comparable texts."""
    found = edit["parameters"]
    parameters = json.loads(found) if isinstance(found, str) else found or {}
    return json.dumps(parameters.get("matrices")), json.dumps(parameters.get("layers"))
