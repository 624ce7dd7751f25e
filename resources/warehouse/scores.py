"""What the published warehouse says of one model's behaviour: scores of it, its base, its edits and their controls."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rotoscale import findings

if TYPE_CHECKING:
    import duckdb

_ORDER = ("replace-scale", "disrupt-left", "disrupt-right", "restore-left", "restore-right", "formula", "noise")
"""Recipes in the order of docs/methods.md, section 3; the others follow by name."""


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

    def query(sql: str, **values: Any) -> list[dict[str, Any]]:
        cursor = connection.execute(sql, values)
        names = [column[0] for column in cursor.description or []]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    facts = query("SELECT base_id FROM models WHERE model_id = $model", model=model)
    base = facts[0]["base_id"] if facts else None
    if base is None or base == model:
        return None
    scores = query(
        "SELECT subject_id, task, metric, value, stderr, higher_is_better, n_samples, status, status_reason "
        "FROM evaluation_scores WHERE is_primary AND (model_id = $model OR subject_id = $base) "
        "ORDER BY task, metric",
        model=model,
        base=base,
    )
    if not scores:
        return None
    edits = query(
        "SELECT edit_id, label, recipe, is_control, control_id, weight_error, base_error FROM edited_checkpoints "
        "WHERE model_id = $model AND status = 'ready' "
        f"ORDER BY is_control, list_position({list(_ORDER)!r}, recipe) NULLS LAST, label",
        model=model,
    )
    contrasts = query(
        "SELECT subject_id, reference_id, task, p_value FROM evaluation_contrasts "
        "WHERE is_primary AND model_id = $model ORDER BY task",
        model=model,
    )
    temperature = query(
        "SELECT predicted, entropy_base, entropy_post FROM attention_temperature "
        "WHERE model_id = $model AND base_id = $base ORDER BY layer, head",
        model=model,
        base=base,
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
    warmth = findings.finding_on_temperature(temperature)
    return BehaviourSummary(model, base, columns, rows, sentences + ([warmth] if warmth else []))


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


def _verdicts(
    columns: list[Column], cells: dict[str, dict[str, Score]], contrasts: list[dict[str, Any]]
) -> dict[tuple[str, str], findings.Verdict]:
    """What each comparison shows, by subject and reference."""
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


def _sentences(
    model: str, base: str, edits: list[dict[str, Any]], verdicts: dict[tuple[str, str], findings.Verdict]
) -> list[str]:
    """One sentence per finding, in the order of the questions."""
    by_label = {edit["label"]: edit["edit_id"] for edit in edits}
    noise = by_label.get("noise", "")
    found: dict[str, list[str]] = defaultdict(list)
    if (model, base) in verdicts:
        found["training"].append(findings.finding_on_training(model, base, verdicts[model, base]))
    if (noise, base) in verdicts:
        found["noise"].append(findings.finding_on_noise(verdicts[noise, base]))
    for edit in edits:
        name, label, recipe = edit["edit_id"], edit["label"], edit["recipe"]
        against_post = verdicts.get((name, model))
        if edit["is_control"] or against_post is None:
            continue
        if recipe == "replace-scale":
            found["scale"].append(findings.finding_on_scale(label, against_post))
        elif recipe.startswith("disrupt"):
            control = verdicts.get((edit["control_id"], noise))
            found["disrupt"].append(findings.finding_on_disruption(label, against_post, control))
        elif recipe.startswith("restore"):
            broken = by_label.get(label.replace("restore", "disrupt"), "")
            against_broken = verdicts.get((name, broken))
            found["restore"].append(findings.finding_on_restoration(label, against_broken, against_post))
        elif (name, base) in verdicts:
            found["other"].append(findings.finding_on_halves(label, verdicts[name, base], against_post))
        else:
            found["other"].append(f"{label}: against the post model {against_post.sentence}.")
    order = ("training", "scale", "disrupt", "restore", "other", "noise")
    return [sentence for topic in order for sentence in found[topic]]
