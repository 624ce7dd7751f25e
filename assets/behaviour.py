"""Group `behaviour`: edited checkpoints with their controls, and what model, edits and controls can do."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import dagster as dg

from assets.checkpoints import ensure_catalogued
from assets.common import CODE_VERSION, WorkspaceResource, dashboard_link, failure, fill_missing, models, write
from assets.freshness import edit_mark, evaluation_fingerprint
from resources import progress, workers
from resources.evaluation.behaviour import Behaviour
from resources.workspace import Workspace
from rotoscale.errors import RotoscaleError


class EditConfig(dg.Config):
    """Which edits to make now; the others stay as they are."""

    recipes: list[str] = []  # noqa: RUF012 (pydantic copies it)
    """Names of recipes, such as disrupt-left; empty means all that the family wants."""


class EvaluationConfig(dg.Config):
    """Which tasks to score now; results of the others are taken from earlier runs."""

    tasks: list[str] = []  # noqa: RUF012 (pydantic copies it)
    """Names of tasks of the family; empty means all."""


@dg.asset(
    partitions_def=models,
    group_name="behaviour",
    kinds={"safetensors", "parquet"},
    deps=["decompositions"],
    code_version=CODE_VERSION,
    automation_condition=fill_missing,
    check_specs=[
        dg.AssetCheckSpec(
            "restored_is_closer",
            asset="edited_checkpoints",
            description="What restores a side is nearer to the post model than what breaks it.",
            partitions_def=models,
        )
    ],
)
def edited_checkpoints(
    context: dg.AssetExecutionContext, config: EditConfig, workspace: WorkspaceResource
) -> dg.MaterializeResult:
    """Make the edited checkpoints of a descendant, with their noise controls; a base has none."""
    space, model = workspace.open(), context.partition_key
    try:
        with progress.logging_to(context.log.info):
            _catalogue_both(context, space, model)
            rows, complete = edit_model(space, model, config.recipes or None)
        mark = edit_mark(space, space.registry.model(model)) if complete else ""
        path = write(context, space, "edited_checkpoints", model, rows, mark)
    except RotoscaleError as error:
        raise failure(error) from error
    failed = [row for row in rows if row["status"] != "ready"]
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(rows),
            "failed": len(failed),
            "bytes_on_disk": sum(row.get("bytes") or 0 for row in rows if row["path"]),
            "edits": _edit_table(rows),
            "rows": dg.MetadataValue.path(path),
            "dashboard": dashboard_link("edits", model),
        },
        check_results=[_restored_is_closer(rows)],
    )


def edit_model(space: Workspace, model: str, recipes: Sequence[str] | None = None) -> tuple[list[dict[str, Any]], bool]:
    """Rows of `edited_checkpoints` of one model, and whether all that were wanted are among them."""
    from resources.edits.shelf import Shelf
    from resources.evaluation.behaviour import Evaluation, make_edits

    workers.release()  # edits are made in this process, which wants the memory
    shelf = Shelf(space, model)
    return make_edits(shelf, recipes, lambda rows: Evaluation(space, shelf, rows))


@dg.asset(
    partitions_def=models,
    group_name="behaviour",
    kinds={"torch", "parquet"},
    deps=["edited_checkpoints", "scale_statistics"],
    code_version=CODE_VERSION,
    automation_condition=fill_missing,
    check_specs=[
        dg.AssetCheckSpec(
            "same_documents",
            asset="evaluation_scores",
            description="Every subject of a task was scored on the same number of documents.",
            partitions_def=models,
        )
    ],
)
def evaluation_scores(
    context: dg.AssetExecutionContext, config: EvaluationConfig, workspace: WorkspaceResource
) -> dg.MaterializeResult:
    """Score a model, its edits and its controls, compare them document by document, and look at what they write."""
    space, model = workspace.open(), context.partition_key
    try:
        with progress.logging_to(context.log.info):
            _catalogue_both(context, space, model)
            found = evaluate_model(space, model, config.tasks or None)
        mark = evaluation_fingerprint(space, space.registry.model(model)) if found.complete else ""
        for table, rows in found.tables.items():
            write(context, space, table, model, rows, mark)
    except RotoscaleError as error:
        raise failure(error) from error
    scores = found.tables["evaluation_scores"]
    failed = [row for row in scores if row["status"] != "ready"]
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(scores),
            "failed": len(failed),
            "scores": _score_table(scores),
            "contrasts": len(found.tables["evaluation_contrasts"]),
            "dashboard": dashboard_link("edits", model),
            **({"first_failure": failed[0]["status_reason"]} if failed else {}),
            **({"without_probes": found.trouble} if found.trouble else {}),
        },
        check_results=[_same_documents(scores)],
    )


def evaluate_model(space: Workspace, model: str, tasks: Sequence[str] | None = None) -> Behaviour:
    """Rows of the behaviour tables of one model, and whether nothing failed or was left out."""
    from resources.edits.shelf import Shelf
    from resources.evaluation.behaviour import Evaluation

    workers.release()
    edits = space.tables.read("edited_checkpoints", model)
    return Evaluation(space, Shelf(space, model), edits, tasks).run()


def _catalogue_both(context: dg.AssetExecutionContext, space: Workspace, model: str) -> None:
    """Catalogue model and base: automation may start a descendant's run before its base's."""
    entry = space.registry.model(model)
    for name in dict.fromkeys((entry.base or model, model)):
        ensure_catalogued(context, space, name)


def _restored_is_closer(rows: Sequence[dict[str, Any]]) -> dg.AssetCheckResult:
    """Compare the weight errors of what restores with those of what breaks, in the same scope and without options."""
    error = {row["label"]: row["weight_error"] for row in rows if row.get("weight_error") is not None}
    pairs = [
        (error[name], error[broken])
        for name in error
        if name.startswith("restore") and (broken := name.replace("restore", "disrupt")) in error
    ]
    return dg.AssetCheckResult(
        check_name="restored_is_closer",
        asset_key="edited_checkpoints",
        passed=all(restored <= broken for restored, broken in pairs),
        severity=dg.AssetCheckSeverity.WARN,
        metadata={name: value for name, value in error.items() if "disrupt" in name or "restore" in name},
    )


def _same_documents(rows: Sequence[dict[str, Any]]) -> dg.AssetCheckResult:
    counts: dict[str, set[int]] = {}
    for row in rows:
        if row["status"] == "ready":
            counts.setdefault(row["task"], set()).add(row["n_samples"])
    uneven = {task: sorted(found) for task, found in counts.items() if len(found) > 1}
    return dg.AssetCheckResult(
        check_name="same_documents",
        asset_key="evaluation_scores",
        passed=not uneven,
        metadata={"tasks": len(counts), "uneven": str(uneven)},
    )


def _edit_table(rows: Sequence[dict[str, Any]]) -> dg.MetadataValue:
    lines = ["| edit | control | weight error | base error | state |", "|---|---|---|---|---|"]
    for row in rows:
        errors = [_number(row.get(name)) for name in ("weight_error", "base_error")]
        state = row["status_reason"] or ("kept" if row["path"] else "scored and deleted")
        lines.append(f"| {row['label']} | {'yes' if row['is_control'] else ''} | {' | '.join(errors)} | {state} |")
    return dg.MetadataValue.md("\n".join(lines))


def _score_table(rows: Sequence[dict[str, Any]]) -> dg.MetadataValue:
    primary = [row for row in rows if row["is_primary"]]
    tasks = list(Counter(row["task"] for row in primary))
    lines = ["| subject | " + " | ".join(tasks) + " |", "|---|" + "---|" * len(tasks)]
    for subject in dict.fromkeys(row["subject_id"] for row in primary):
        values = {row["task"]: row for row in primary if row["subject_id"] == subject}
        cells = [_score(values.get(task)) for task in tasks]
        lines.append(f"| {subject} | " + " | ".join(cells) + " |")
    return dg.MetadataValue.md("\n".join(lines))


def _score(row: dict[str, Any] | None) -> str:
    if row is None or row["status"] != "ready":
        return "failed" if row else ""
    return f"{row['value']:.4g} ± {row['stderr']:.2g}" if row["stderr"] is not None else f"{row['value']:.4g}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
