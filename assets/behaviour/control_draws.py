"""The asset `control_draws`: controls of disruptive edits as distributions, and the tests against them."""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from assets.behaviour import scalars
from assets.materializing import WorkspaceResource, materializing, spec
from resources import workers
from resources.workspace import Workspace


@dg.multi_asset(
    specs=[
        spec(
            "control_draws",
            "behaviour",
            "Many draws of the noise and mirror controls of every disruptive edit, made in memory and judged by the "
            "log-likelihood of right answers, and the edit held against them: does it hurt more than the same "
            "operation does where there was no post-training? The mirror control, which starts from the post model, "
            "decides.",
            "torch",
        )
    ],
)
def control_draws(context: dg.AssetExecutionContext, workspace: WorkspaceResource) -> dg.MaterializeResult:
    """Draw the controls of one model."""
    with materializing(context, workspace, "control_draws") as run:
        tables = draw_controls(run.space, run.model)
        run.write(tables)
    tests = tables["control_tests"]
    notes = sorted({row["note"] for row in tests if row["note"]})
    return run.result(
        "control_draws",
        {
            "dagster/row_count": len(tables["control_draws"]),
            "tests": len(tests),
            **scalars.controls(tests),
            "table": _test_table(tests),
            **({"notes": "; ".join(notes)} if notes else {}),
            "rows": run.table_path("control_tests"),
        },
    )


def draw_controls(space: Workspace, model: str) -> dict[str, list[dict[str, Any]]]:
    """Rows of `control_draws` and `control_tests` of one model; none of a base or an unrelated model."""
    from resources.edits.shelf import Shelf
    from resources.evaluation.assembling import Evaluation
    from resources.evaluation.control_draws import control_draws

    shelf, settings = Shelf(space, model), space.settings
    if not any(plan.control for plan in shelf.plans().values()):
        return {"control_draws": [], "control_tests": []}
    workers.release()
    drawn = control_draws(
        Evaluation(space, shelf, []), draws=settings.control_draws, documents=settings.control_documents
    )
    return {"control_draws": drawn.rows(), "control_tests": drawn.tests()}


def _test_table(tests: Sequence[Mapping[str, Any]]) -> dg.MetadataValue:
    lines = [
        "| edit | control | task | loss | control's loss | spread | q | note |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in tests:
        names = ("loss", "control_loss", "control_spread", "q_difference")
        numbers = ["" if row.get(name) is None else f"{row[name]:.3g}" for name in names]
        lines.append(f"| {row['recipe']} | {row['control']} | {row['task']} | {' | '.join(numbers)} | {row['note']} |")
    return dg.MetadataValue.md("\n".join(lines))
