"""Jobs with the names that people look for on Dagster's home page; each is a selection of the same assets."""

import dagster as dg

from assets.groups import model_assets, structural_assets
from assets.materializing import models

PUBLISHED = ("claims", "findings", "warehouse")

jobs = [
    dg.define_asset_job(
        "everything_for_one_model",
        selection=dg.AssetSelection.assets(*model_assets()),
        partitions_def=models,
        description="All that is known about one checkpoint: choose the model as the partition. What it is compared "
        "with should be there already, or is read when it is needed. What is up to date is made again; "
        "`rotoscale run MODEL` makes only what is not.",
        tags={"rotoscale/scope": "model"},
    ),
    dg.define_asset_job(
        "structure_only",
        selection=dg.AssetSelection.assets(*structural_assets()),
        partitions_def=models,
        description="The comparison of weights of one checkpoint with its base: no edits, no model is run. Minutes for "
        "a model of 1.5 billion parameters.",
        tags={"rotoscale/scope": "model"},
    ),
    dg.define_asset_job(
        "check_stored_rows",
        # Checks alone: what is judged is what is stored. A job of checks has no partitions in Dagster, a run may.
        selection=dg.AssetSelection.all_asset_checks(),
        description="Every check of stored rows, of every model; with the run tag `dagster/partition` set to a model's "
        "name, of that model alone. Nothing is made again.",
        tags={"rotoscale/scope": "all"},
    ),
    dg.define_asset_job(
        "publish",
        selection=dg.AssetSelection.assets(*PUBLISHED),
        description="Verdicts and sentences, of those models whose evidence changed, and then all "
        "finished tables as the next DuckDB file, which the dashboard shows at once.",
        tags={"rotoscale/scope": "all"},
    ),
]
