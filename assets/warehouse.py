"""Group `families`: the published DuckDB file that the dashboard, the command line and notebooks read."""

import dagster as dg

from assets.common import CODE_VERSION, WorkspaceResource, failure
from rotoscale.errors import RotoscaleError

UPSTREAM = (
    "checkpoints",
    "decompositions",
    "scale_statistics",
    "rotation_statistics",
    "tensor_changes",
    "edited_checkpoints",
    "evaluation_scores",
)


@dg.asset(
    group_name="families",
    kinds={"duckdb"},
    deps=[dg.AssetDep(name, partition_mapping=dg.AllPartitionMapping()) for name in UPSTREAM],
    code_version=CODE_VERSION,
    automation_condition=dg.AutomationCondition.any_deps_updated() & ~dg.AutomationCondition.in_progress(),
    pool="warehouse",
)
def warehouse(context: dg.AssetExecutionContext, workspace: WorkspaceResource) -> dg.MaterializeResult:
    """All tables published together as one read-only DuckDB file under a new name."""
    try:
        published = workspace.open().publish()
    except RotoscaleError as error:
        raise failure(error) from error
    return dg.MaterializeResult(
        metadata={
            "version": published.version,
            "path": dg.MetadataValue.path(published.path),
            "bytes": published.path.stat().st_size,
            **{f"rows_{table}": rows for table, rows in published.rows.items() if rows},
        }
    )
