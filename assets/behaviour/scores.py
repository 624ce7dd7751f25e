"""The asset `evaluation_scores`: what a model, its edits and their controls can do, document by document."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import dagster as dg

from assets.behaviour import scalars
from assets.materializing import WorkspaceResource, materializing, spec
from resources import workers
from resources.evaluation.assembling import Evaluated
from resources.workspace import Workspace


class EvaluationConfig(dg.Config):
    """Which tasks to score now; results of the others are taken from earlier runs."""

    tasks: list[str] = []  # noqa: RUF012 (pydantic copies it)
    """Names of tasks of the family; empty means all."""


@dg.multi_asset(
    specs=[
        spec(
            "evaluation_scores",
            "behaviour",
            "Scores of a model, its edits and its controls by lm-eval on the family's tasks, compared on the same "
            "documents: exact McNemar for accuracies, a paired bootstrap for the rest. With them what of a gain an "
            "edit recovers, whether nothing was lost where nothing should be, how far the model's predictions moved "
            "from its base's, and what every subject writes. Run config `tasks` narrows what is scored.",
            "torch",
        )
    ],
)
def evaluation_scores(
    context: dg.AssetExecutionContext, config: EvaluationConfig, workspace: WorkspaceResource
) -> dg.MaterializeResult:
    """Score one model with its edits and controls."""
    with materializing(context, workspace, "evaluation_scores") as run:
        found = evaluate_model(run.space, run.model, config.tasks or None)
        run.write(found.tables, complete=found.complete)
    scores = found.tables["evaluation_scores"]
    failed = [row for row in scores if row["status"] != "ready"]
    return run.result(
        "evaluation_scores",
        {
            "dagster/row_count": len(scores),
            "failed": len(failed),
            **scalars.scores(scores, run.model),
            **scalars.gains(found.tables["recovered_gain"]),
            "scores": _score_table(scores),
            "contrasts": len(found.tables["evaluation_contrasts"]),
            "rows": run.table_path("evaluation_scores"),
            **({"first_failure": failed[0]["status_reason"]} if failed else {}),
            **({"without_probes": found.probe_errors} if found.probe_errors else {}),
        },
        complete=found.complete,
    )


def evaluate_model(space: Workspace, model: str, tasks: Sequence[str] | None = None) -> Evaluated:
    """Rows of the behaviour tables of one model, and whether nothing failed or was left out."""
    from resources.edits.shelf import Shelf
    from resources.evaluation.assembling import Evaluation

    workers.release()
    edits = space.tables.read("edited_checkpoints", model)
    return Evaluation(space, Shelf(space, model), edits, tasks).run()


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
