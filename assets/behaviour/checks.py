"""Asset checks of the group `behaviour`. One that compared nothing says so."""

from __future__ import annotations

import dagster as dg

from assets.checking import Rows, row_checks, verdict

WARN = dg.AssetCheckSeverity.WARN


def restored_is_closer(edits: Rows) -> dg.AssetCheckResult:
    """What restores a side is nearer to the post model than what breaks it, in the same scope, without options."""
    from rotoscale.recipes import RECIPES

    error = {row["label"]: row["weight_error"] for row in edits if row.get("weight_error") is not None}
    pairs = [
        (label, label.replace(name, recipe.undoes, 1))
        for name, recipe in RECIPES.items()
        for label in error
        if recipe.undoes and label.startswith(name) and label.replace(name, recipe.undoes, 1) in error
    ]
    return verdict(
        "restored_is_closer",
        "edited_checkpoints",
        all(error[restored] <= error[broken] for restored, broken in pairs),
        {label: error[label] for pair in pairs for label in pair},
        of=len(pairs),
        nothing="no edit that restores what another breaks",
        severity=WARN,
    )


def damage_is_matched(tests: Rows) -> dg.AssetCheckResult:
    """Mirror controls are as far from the post model as the edits, within a factor of two, or they control nothing."""
    from resources.evaluation.drawn_controls import MIRROR

    ratios = {
        row["recipe"]: row["weight_error"] / row["control_weight_error"]
        for row in tests
        if row["control"] == MIRROR and row.get("control_weight_error")
    }
    matched = all(0.5 <= ratio <= 2 for ratio in ratios.values())
    return verdict(
        "damage_is_matched", "control_draws", matched, ratios, of=len(ratios), nothing="no control draws", severity=WARN
    )


def same_documents(scores: Rows, edits: Rows) -> dg.AssetCheckResult:
    """Every subject of a task was scored on as many documents: models on all, edits on the first ones."""
    from resources.evaluation.documents import uneven_documents

    uneven = uneven_documents(scores, {row["edit_id"]: row["recipe"] for row in edits})
    tasks = {row["task"] for row in scores if row["status"] == "ready"}
    found = {"uneven": str(uneven)} if uneven else {}
    return verdict(
        "same_documents", "evaluation_scores", not uneven, found, of=len(tasks), nothing="no task was scored"
    )


CHECKS = [
    row_checks("edited_checkpoints", restored_is_closer),
    row_checks("control_draws", damage_is_matched, tables=("control_tests",)),
    row_checks("evaluation_scores", same_documents, tables=("evaluation_scores", "edited_checkpoints")),
]
