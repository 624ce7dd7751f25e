"""The asset `descendant_relations`: how every two descendants of one base changed it, made where weights are new."""

import dagster as dg

from assets.materializing import WorkspaceResource
from assets.materializing_shared import materializing_shared, shared_spec
from rotoscale.errors import RotoscaleError


@dg.multi_asset(
    specs=[
        shared_spec(
            "descendant_relations",
            "relations",
            "Whether two descendants moved each matrix of their base the same way, beside what chance gives.",
            "torch",
        )
    ]
)
def descendant_relations(context: dg.AssetExecutionContext, workspace: WorkspaceResource) -> dg.MaterializeResult:
    """Compare the pairs that were not compared yet; one that cannot be has no rows, and the others go on."""
    from resources.relations.descendants import descendant_rows

    rows, reasons = 0, []
    with materializing_shared(context, workspace, "descendant_relations") as run:
        gone = run.remove_others()
        for key in run.pending:
            made_from = run.fingerprint(key)
            pair = run.subjects[key]
            try:
                found = descendant_rows(run.space, pair.base.id, pair.a.id, pair.b.id, pair.later)
            except RotoscaleError as error:
                found = []
                reasons.append(f"{pair.a.id} and {pair.b.id}: {error}")
            run.write(key, {"descendant_relations": found}, made_from)
            rows += len(found)
    notes = {"not compared": "; ".join(reasons)} if reasons else {}
    return run.result({"pairs": len(run.pending), "rows": rows, "removed": len(gone), **notes})
