"""The one Definitions object: wires assets, sensors and resources, and does nothing else."""

from __future__ import annotations

import dagster as dg

from assets.behaviour import edited_checkpoints, evaluation_scores
from assets.checkpoints import checkpoints
from assets.common import WorkspaceResource
from assets.sensors import registered_models
from assets.structure import comparison_statistics, decompositions
from assets.warehouse import warehouse

defs = dg.Definitions(
    assets=[checkpoints, decompositions, comparison_statistics, edited_checkpoints, evaluation_scores, warehouse],
    sensors=[
        registered_models,
        dg.AutomationConditionSensorDefinition(
            "fill_missing",
            target=dg.AssetSelection.all(),
            default_status=dg.DefaultSensorStatus.RUNNING,
            minimum_interval_seconds=30,
        ),
    ],
    resources={"workspace": WorkspaceResource()},
    # One step is one model's whole pass; processes per step would cost seconds each and share nothing.
    executor=dg.in_process_executor,
)
