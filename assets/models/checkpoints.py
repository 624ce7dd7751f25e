"""The asset `checkpoints`: every checkpoint resolved, validated and catalogued, or quarantined with its reason."""

import dagster as dg

from assets.groups import model_assets
from assets.materializing import WorkspaceResource, dashboard_page, model_of_run, spec
from assets.models.catalogue import catalogue, registered, store, wait
from assets.trying import trying
from resources import progress
from resources.hub import HubLimitError
from rotoscale.errors import RotoscaleError


@dg.multi_asset(
    specs=[
        spec(
            "checkpoints",
            "models",
            "A checkpoint, be it a local folder, a Hub snapshot at a pinned commit or an adapter on its base, "
            "resolved, read through once, verified and catalogued. One that cannot be used is quarantined: its row "
            "says why, with file, tensor and remedy, and all other models go on.",
            "safetensors",
        )
    ],
)
def checkpoints(context: dg.AssetExecutionContext, workspace: WorkspaceResource) -> dg.MaterializeResult:
    """Catalogue one checkpoint; one that cannot be used is quarantined with its reason.

    One that the Hub gives later only waits, with the time, and the automation asks again then. What passes by itself
    says nothing of the checkpoint.
    """
    space, entry = model_of_run(context, workspace)
    with trying(context, space, entry, ["checkpoints"]):
        try:
            with progress.logging_to(context.log.info):
                row = catalogue(space, entry)
            made_from = store(space, entry, row, context.run_id)
        except HubLimitError as error:
            wait(space, entry, error, context.run_id)
            raise
        except RotoscaleError as error:
            if not error.passes:
                row = {**registered(entry), "status": "quarantined", "status_reason": str(error)}
                store(space, entry, row, context.run_id)
            raise
    return dg.MaterializeResult(
        asset_key="checkpoints",
        data_version=dg.DataVersion(made_from),
        metadata={
            "parameters": row["n_parameters"],
            "architecture": row["architecture"],
            "dtype": row["dtype"],
            "layers": row["n_layers"],
            "source": row["source"],
            "revision": row["revision"] or "local",
            "content_hash": row["content_hash"],
            **dashboard_page(model_assets()["checkpoints"].page, entry.id, name="dashboard"),
        },
    )
