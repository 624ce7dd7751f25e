"""The asset `straight_lines`: models halfway between two others, of the pairs that were not scored yet."""

import dagster as dg

from assets.materializing import WorkspaceResource
from assets.materializing_shared import materializing_shared, shared_spec
from rotoscale.errors import RotoscaleError


@dg.multi_asset(
    specs=[
        shared_spec(
            "straight_lines",
            "relations",
            "Loss along the straight line between two models' weights, and whether features in its middle are linear.",
            "torch",
        )
    ]
)
def straight_lines(context: dg.AssetExecutionContext, workspace: WorkspaceResource) -> dg.MaterializeResult:
    """Score the lines that were not scored yet; one that cannot be has no rows, and the others go on."""
    from resources import workers
    from resources.relations.lines import line_rows

    scored, reasons = 0, []
    with materializing_shared(context, workspace, "straight_lines") as run:
        gone = run.remove_others()
        workers.release()
        for key in run.pending:
            made_from = run.fingerprint(key)
            a, b = run.subjects[key]
            try:
                tables, reason = line_rows(run.space, a, b)
            except RotoscaleError as error:
                tables, reason = {}, str(error)
            if reason:
                reasons.append(f"{a.id} to {b.id}: {reason}")
            run.write(key, tables, made_from)
            scored += not reason
    notes = {"not scored": "; ".join(reasons)} if reasons else {}
    return run.result({"pairs": len(run.pending), "scored": scored, "removed": len(gone), **notes})
