"""The one Definitions object: merges the groups that lie beside it, and does nothing else."""

import dagster as dg

from assets.automation import automation_sensors
from assets.groups import definitions_of_groups
from assets.jobs import jobs
from assets.materializing import WorkspaceResource, settings_specs
from assets.nightly import nightly_backfill
from assets.starts import dead_starts

defs = dg.Definitions.merge(
    *definitions_of_groups(),
    dg.Definitions(
        assets=settings_specs(),
        jobs=jobs,
        sensors=[*automation_sensors(), dead_starts],
        schedules=[nightly_backfill],
        resources={"workspace": WorkspaceResource()},
        # One step is one model's whole pass; processes per step would cost seconds each and share nothing.
        executor=dg.in_process_executor,
    ),
)
