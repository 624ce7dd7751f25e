"""Scores of one model, its base, its edits and their controls, and the sentences that they support."""

from __future__ import annotations

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
        "SELECT edit_id, label, recipe, is_control, weight_error, base_error "
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
    sentences = _sentences(model, base, edits, verdicts, _gains(connection, model), _mirrors(connection, model))
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


def _gains(connection: duckdb.DuckDBPyConnection, model: str) -> dict[str, list[findings.Gain]]:
    """What each edit recovers, by the edit's id."""
    found: dict[str, list[findings.Gain]] = defaultdict(list)
    for row in ask(
        connection,
        "SELECT edit_id, task, gain, ci_low, ci_high, straight_line, straight_line_high, "
        "coalesce(trained, false) AS trained FROM recovered_gain WHERE model_id = $model ORDER BY task",
        {"model": model},
    ):
        edit, *facts = row.values()
        found[edit].append(findings.Gain(*facts))
    return found


def _mirrors(connection: duckdb.DuckDBPyConnection, model: str) -> dict[str, list[findings.ControlTest]]:
    """Each disruptive edit against its mirror control, by the edit's label."""
    found: dict[str, list[findings.ControlTest]] = defaultdict(list)
    for row in ask(
        connection,
        "SELECT recipe, task, loss, control_loss, q_difference, draws, coalesce(note, '') AS note FROM control_tests "
        "WHERE model_id = $model AND control = 'mirror' ORDER BY task",
        {"model": model},
    ):
        label, *facts = row.values()
        found[label].append(findings.ControlTest(*facts))
    return found


def _sentences(
    model: str,
    base: str,
    edits: list[dict[str, Any]],
    verdicts: Verdicts,
    gains: Mapping[str, list[findings.Gain]],
    mirrors: Mapping[str, list[findings.ControlTest]],
) -> list[str]:
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
            gains=gains.get(name, []),
            mirror=mirrors.get(edit["label"], []),
        )
        sentence = findings.finding_on_edit(recipe, edit["label"], compared)
        if sentence:
            found.append(f"{edit['label']}: {sentence}" if recipe.is_control and edit["label"] != _NOISE else sentence)
    return found


_NOISE = "noise"
