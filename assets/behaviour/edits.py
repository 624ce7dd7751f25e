"""The asset `edited_checkpoints`: one change put back or broken per edit, and the controls that go with it."""

from collections.abc import Sequence
from typing import Any

import dagster as dg

from assets.behaviour import scalars
from assets.materializing import WorkspaceResource, materializing, spec
from resources import workers
from resources.workspace import Workspace


class EditConfig(dg.Config):
    """Which edits to make now; the others stay as they are."""

    recipes: list[str] = []  # noqa: RUF012 (pydantic copies it)
    """Names of recipes, such as disrupt-left; empty means all that the family wants."""


@dg.multi_asset(
    specs=[
        spec(
            "edited_checkpoints",
            "behaviour",
            "Checkpoints of a descendant in which one change was put back, broken or taken alone, each with the "
            "noise control that it needs. They load with transformers; which stay on disk after they were scored, "
            "and how far each is from the post model, stands in its row. A base has none. Run config `recipes` "
            "narrows what is made.",
            "safetensors",
        )
    ],
)
def edited_checkpoints(
    context: dg.AssetExecutionContext, config: EditConfig, workspace: WorkspaceResource
) -> dg.MaterializeResult:
    """Make the edited checkpoints of one model."""
    with materializing(context, workspace, "edited_checkpoints") as run:
        rows, complete = edit_model(run.space, run.model, config.recipes or None)
        run.write({"edited_checkpoints": rows}, complete=complete)
    return run.result(
        "edited_checkpoints",
        {
            "dagster/row_count": len(rows),
            **scalars.edits(rows),
            "failed": sum(row["status"] != "ready" for row in rows),
            "bytes_on_disk": sum(row.get("bytes") or 0 for row in rows if row["path"]),
            "edits": _edit_table(rows),
            "rows": run.table_path("edited_checkpoints"),
        },
        complete=complete,
    )


def edit_model(space: Workspace, model: str, recipes: Sequence[str] | None = None) -> tuple[list[dict[str, Any]], bool]:
    """Rows of `edited_checkpoints` of one model, and whether all that were wanted are among them."""
    from resources.edits.making import make_edits
    from resources.edits.shelf import Shelf
    from resources.evaluation.assembling import Evaluation

    workers.release()  # edits are made in this process, which wants the memory
    shelf = Shelf(space, model)
    return make_edits(shelf, recipes, lambda rows: Evaluation(space, shelf, rows))


def _edit_table(rows: Sequence[dict[str, Any]]) -> dg.MetadataValue:
    lines = ["| edit | control | weight error | base error | distance from base | state |", "|---|---|---|---|---|---|"]
    for row in rows:
        errors = [_number(row.get(name)) for name in ("weight_error", "base_error", "base_distance")]
        state = row["status_reason"] or ("kept" if row["path"] else "scored and deleted")
        lines.append(f"| {row['label']} | {'yes' if row['is_control'] else ''} | {' | '.join(errors)} | {state} |")
    return dg.MetadataValue.md("\n".join(lines))


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
