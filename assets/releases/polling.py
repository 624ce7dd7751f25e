"""The schedule by which watched families are asked about. A sensor's 60 seconds would be too few for deep listings."""

import dagster as dg

from assets.groups import open_workspace
from assets.materializing import WorkspaceResource
from resources.settings import load_settings
from rotoscale.errors import RotoscaleError


def watching(workspace: WorkspaceResource | None = None) -> list[str]:
    """Families that watch something. Raises RotoscaleError for a family file with a mistake."""
    space = workspace.open() if workspace else open_workspace(load_settings())
    return [family.name for family in space.registry.families.values() if family.watch]


def anything_watched() -> bool:
    """Whether a family watches something now."""
    try:
        return bool(watching())
    except RotoscaleError:
        return False  # the sensor of registered models reports it


poll_releases_job = dg.define_asset_job(
    "poll_releases",
    selection=dg.AssetSelection.assets("release_candidates"),
    description="Asks the Hub and watched folders for new releases now, registers what passes the filters, and follows "
    "up what was registered before; `rotoscale releases --poll` does the same.",
)


@dg.schedule(
    job=poll_releases_job,
    cron_schedule=load_settings().watch_cron,
    name="poll_releases",
    # Switched on where a family watches something when the code location is loaded.
    default_status=dg.DefaultScheduleStatus.RUNNING if anything_watched() else dg.DefaultScheduleStatus.STOPPED,
    description="Asks the Hub and watched folders for new releases of the families that have a `watch:` block.",
)
def poll_releases(workspace: WorkspaceResource) -> dg.RunRequest | dg.SkipReason:
    """Request one pass; without a run key, because every pass asks anew."""
    try:
        families = watching(workspace)
    except RotoscaleError as error:
        return dg.SkipReason(str(error))
    return dg.RunRequest() if families else dg.SkipReason("no family watches anything")
