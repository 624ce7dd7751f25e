"""Dagster definitions of the group `releases`."""

import dagster as dg

from assets.releases.candidates import release_candidates
from assets.releases.polling import poll_releases, poll_releases_job

defs = dg.Definitions(assets=[release_candidates], jobs=[poll_releases_job], schedules=[poll_releases])
