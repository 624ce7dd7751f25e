"""The asset `warehouse`: the published DuckDB file that the dashboard, the command line and notebooks read."""

import dagster as dg

from assets.automation import publish_what_is_new
from assets.groups import model_assets, shared_assets
from assets.materializing import OWNERS, WorkspaceResource, dashboard_page
from assets.publishing import publish
from assets.trying import failure
from rotoscale.errors import RotoscaleError


@dg.asset(
    group_name="families",
    kinds={"duckdb"},
    owners=OWNERS,
    tags={"rotoscale/scope": "all"},
    metadata=dashboard_page("claims"),
    deps=[
        *(dg.AssetDep(name, partition_mapping=dg.AllPartitionMapping()) for name in model_assets()),
        *shared_assets(),
    ],
    code_version="warehouse-1",
    automation_condition=publish_what_is_new(),
    pool="warehouse",
)
def warehouse(context: dg.AssetExecutionContext, workspace: WorkspaceResource) -> dg.MaterializeResult:
    """All finished tables together as one read-only DuckDB file under a new name, which `current` then points to.

    Dashboard, reports, command line and notebooks read it, as long as they like: the next publication is another file.
    Its tables `table_texts` and `column_texts` explain every column. A model's unfinished rows are left out.
    """
    try:
        published = publish(workspace.open(), context.run_id)
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
