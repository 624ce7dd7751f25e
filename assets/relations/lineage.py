"""The asset `lineage`: one row for every two models of a family, of those whose weights are new."""

import dagster as dg

from assets.materializing import WorkspaceResource
from assets.materializing_shared import materializing_shared, shared_spec


@dg.multi_asset(
    specs=[
        shared_spec("lineage", "relations", "Whether two models of a family share an initialisation, and how surely.")
    ]
)
def lineage(context: dg.AssetExecutionContext, workspace: WorkspaceResource) -> dg.MaterializeResult:
    """Test the pairs that were not tested yet."""
    from resources.lineage.rows import lineage_row

    found: dict[str, int] = {}
    with materializing_shared(context, workspace, "lineage") as run:
        gone = run.remove_others()
        for key in run.pending:
            made_from = run.fingerprint(key)
            row = lineage_row(run.space, *run.subjects[key])
            run.write(key, {"lineage": [row]}, made_from)
            found[row["verdict"]] = found.get(row["verdict"], 0) + 1
    return run.result({"tested": len(run.pending), "removed": len(gone), **found})
