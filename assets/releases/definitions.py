"""Dagster definitions of the group `releases`."""

import dagster as dg

from assets.releases.candidates import release_candidates
from assets.releases.checks import check_releases, check_releases_job, releases_in_time
from assets.releases.polling import poll_releases, poll_releases_job

defs = dg.Definitions(
    assets=[release_candidates],
    asset_checks=[releases_in_time],
    jobs=[poll_releases_job, check_releases_job],
    schedules=[poll_releases, check_releases],
)
