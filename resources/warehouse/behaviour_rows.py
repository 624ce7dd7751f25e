"""What the scores of a model and of its edits say, in sentences made of stored rows.

One function makes the sentences, once: they are stored in `findings`, and the command line, the report, the pages and
DuckDB read them there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rotoscale import findings
from rotoscale.recipes import RECIPES

Row = Mapping[str, Any]
Outcomes = Mapping[tuple[str, str], findings.TaskOutcomes]
"""What each comparison shows, by subject and reference."""

TABLES = (
    "edited_checkpoints",
    "evaluation_scores",
    "evaluation_contrasts",
    "recovered_gain",
    "equivalence",
    "control_tests",
    "attention_temperature",
)
"""The tables that the sentences are made of; of `evaluation_scores` the base's rows too."""


def behaviour_sentences(model: str, base: str, tables: Mapping[str, Sequence[Row]]) -> list[str]:
    """One sentence per finding: of training, of the edits in their recipes' order, of noise, and of temperature.

    Rows as stored, by table (TABLES); none where the model was not scored, or is a base with nothing to compare.
    """
    scores = [row for row in tables["evaluation_scores"] if row["is_primary"]]
    if model == base or not scores:
        return []
    edits = in_order(row for row in tables["edited_checkpoints"] if row["status"] == "ready")
    outcomes = _outcomes(scores, tables["evaluation_contrasts"])
    gains, equivalences, mirrors = _gains(tables), _equivalences(tables), _mirrors(tables)
    found: list[str] = []
    if (model, base) in outcomes:
        found.append(findings.finding_on_training(model, base, outcomes[model, base]))
    for edit in edits:
        name, label, recipe = edit["edit_id"], edit["label"], RECIPES.get(edit["recipe"])
        if recipe is None or (edit["is_control"] and not recipe.is_control):
            continue
        compared = findings.Comparisons(
            post=outcomes.get((name, model)),
            base=outcomes.get((name, base)),
            gains=gains[name],
            equivalence=equivalences[name],
            mirror=mirrors[label],
        )
        sentence = findings.finding_on_edit(recipe, label, compared)
        if sentence:  # of noise in a scope, which is what its label says beyond the recipe's name
            found.append(f"{label}: {sentence}" if recipe.is_control and label != recipe.name else sentence)
    temperature = sorted(tables["attention_temperature"], key=lambda row: (row["layer"], row["head"]))
    on_temperature = findings.finding_on_temperature(row for row in temperature if row["base_id"] == base)
    return [*found, on_temperature] if on_temperature else found


def in_order(edits: Iterable[Row]) -> list[Row]:
    """Rows of `edited_checkpoints`: edits before controls, in the order of their recipes, then by label."""
    places = {name: place for place, name in enumerate(RECIPES)}
    return sorted(
        edits, key=lambda row: (bool(row["is_control"]), places.get(row["recipe"], len(places)), row["label"])
    )


def _outcomes(scores: Sequence[Row], contrasts: Sequence[Row]) -> Outcomes:
    values = {(row["subject_id"], row["task"]): row["value"] for row in scores if row["value"] is not None}
    up = {row["task"]: row["higher_is_better"] is not False for row in scores if row["value"] is not None}
    groups: dict[tuple[str, str], list[findings.TaskContrast]] = defaultdict(list)
    for row in sorted(contrasts, key=lambda row: row["task"]):
        task = row["task"]
        subject, reference = (values.get((row[name], task)) for name in ("subject_id", "reference_id"))
        if row["is_primary"] and subject is not None and reference is not None:
            contrast = findings.TaskContrast(task, subject, reference, row["p_value"], up[task])
            groups[row["subject_id"], row["reference_id"]].append(contrast)
    return {pair: findings.outcomes(found) for pair, found in groups.items()}


def _gains(tables: Mapping[str, Sequence[Row]]) -> dict[str, list[findings.Gain]]:
    """What each edit recovers, by the edit's id."""
    found: dict[str, list[findings.Gain]] = defaultdict(list)
    for row in sorted(tables["recovered_gain"], key=lambda row: row["task"]):
        gain = findings.Gain(
            task=row["task"],
            gain=row["gain"],
            low=row["ci_low"],
            high=row["ci_high"],
            line=row["straight_line"],
            line_high=row["straight_line_high"],
            trained=bool(row["trained"]),
        )
        found[row["edit_id"]].append(gain)
    return found


def _equivalences(tables: Mapping[str, Sequence[Row]]) -> dict[str, list[findings.Equivalence]]:
    """What was shown to be unchanged, by the edit's id."""
    found: dict[str, list[findings.Equivalence]] = defaultdict(list)
    for row in sorted(tables["equivalence"], key=lambda row: (row["task"], row["metric"])):
        if row["p_value"] is not None and row["power"] is not None:
            test = findings.Equivalence(row["task"], row["metric"], row["p_value"], row["power"])
            found[row["edit_id"]].append(test)
    return found


def _mirrors(tables: Mapping[str, Sequence[Row]]) -> dict[str, list[findings.ControlTest]]:
    """Each disruptive edit against its mirror control, by the edit's label."""
    found: dict[str, list[findings.ControlTest]] = defaultdict(list)
    for row in sorted(tables["control_tests"], key=lambda row: row["task"]):
        if row["control"] == "mirror":
            test = findings.ControlTest(
                task=row["task"],
                loss=row["loss"],
                control_loss=row["control_loss"],
                q_value=row["q_difference"],
                q_no_worse=row["q_no_worse"],
                draws=row["draws"],
                note=row["note"] or "",
            )
            found[row["recipe"]].append(test)
    return found
