"""What is late of the watching for releases: a family that was not asked about, a release that waits for its results.

The asset checks and the dashboard say it by the same rule, over rows of `release_polls` and `releases`.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from typing import Any

POLLED_WITHIN = datetime.timedelta(hours=26)
"""A watched family should have answered within this: a day, the longest sensible interval, and two hours more."""

RESULTS_WITHIN = datetime.timedelta(hours=48)
"""A release that was taken should have its results within this: at the latest two nights."""

_ENDED = ("results", "quarantined", "forgotten")

Row = Mapping[str, Any]


def late_polls(polls: Iterable[Row], now: datetime.datetime) -> list[str]:
    """A sentence for everything watched whose last successful listing is too long ago."""
    said = []
    for poll in polls:
        at = poll["succeeded_at"]
        if at is None or now - at > POLLED_WITHIN:
            since = f"since {at:%Y-%m-%d %H:%M} UTC" if at is not None else "so far"
            message = f": {poll['message']}" if poll["message"] else ""
            said.append(f"{poll['family']}: {poll['watched']} ({poll['relation']}) gave no answer {since}{message}")
    return said


def late_releases(releases: Iterable[Row], now: datetime.datetime) -> list[str]:
    """A sentence for every release that was taken, did not fail, and has waited too long for its results."""
    said = []
    for row in releases:
        waits = row["decision"] == "taken" and row["state"] not in _ENDED
        if waits and row["found_at"] is not None and now - row["found_at"] > RESULTS_WITHIN:
            hours = (now - row["found_at"]).total_seconds() / 3600
            reason = f" ({row['state_reason']})" if row["state_reason"] else ""
            name = row["model_id"] or row["model"]
            said.append(f"{name} of {row['family']} waits {hours:.0f} hours for its results{reason}")
    return said
