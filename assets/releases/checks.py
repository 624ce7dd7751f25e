"""Checks of the watching: that every watched family was asked about, and that no release waits for too long."""

import datetime

import dagster as dg

from assets.materializing import WorkspaceResource
from assets.releases.polling import anything_watched, watching
from assets.trying import failure
from resources.releases.book import POLLS, RELEASES
from resources.warehouse.lateness import late_polls, late_releases
from resources.workspace import Workspace
from rotoscale.errors import RotoscaleError


@dg.multi_asset_check(
    specs=[
        dg.AssetCheckSpec("polled_in_time", asset="release_candidates", description="Every watched family answers."),
        dg.AssetCheckSpec("results_in_time", asset="release_candidates", description="No release waits for too long."),
    ],
    name="releases_in_time",
)
def releases_in_time(workspace: WorkspaceResource):
    """Warn, naming them, of families that were not asked about and of releases that have waited too long."""
    try:
        space, now = workspace.open(), datetime.datetime.now(datetime.UTC)
        families = watching(workspace)
    except RotoscaleError as error:
        raise failure(error) from error
    never = [f"{family}: watched, and was never asked about" for family in families if not _rows(space, POLLS, family)]
    polls = [row for family in families for row in _rows(space, POLLS, family)]
    releases = [row for family in space.tables.models(RELEASES) for row in _rows(space, RELEASES, family)]
    for check, late in (
        ("polled_in_time", never + late_polls(polls, now)),
        ("results_in_time", late_releases(releases, now)),
    ):
        yield dg.AssetCheckResult(
            check_name=check,
            asset_key="release_candidates",
            passed=not late,
            severity=dg.AssetCheckSeverity.WARN,
            description=None if families else "Compared nothing: no family watches anything.",
            metadata={"late": late, "watched_families": len(families)},
        )


def _rows(space: Workspace, table: str, family: str):
    return space.tables.read(table, family)


check_releases_job = dg.define_asset_job(
    "check_releases",
    selection=dg.AssetSelection.checks(releases_in_time),
    description="Warns where a watched family was not asked about in time, or a release waits for too long. Nothing is "
    "asked of the Hub.",
)

check_releases = dg.ScheduleDefinition(
    name="check_releases",
    job=check_releases_job,
    # By itself, because a check that came with the polling would say nothing when the polling stops.
    cron_schedule="37 */6 * * *",
    default_status=(dg.DefaultScheduleStatus.RUNNING if anything_watched() else dg.DefaultScheduleStatus.STOPPED),
    description="Warns of watched families that were not asked about, and of releases that wait for too long.",
)
