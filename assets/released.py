"""When each model was released, as far as it is known here."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from contextlib import suppress

from resources.families import ModelEntry
from resources.workspace import Workspace


def release_times(space: Workspace, entries: Iterable[ModelEntry]) -> dict[str, datetime.datetime]:
    """When each model was released (UTC): as the Hub states it or when it was found, of what the watching found.

    Of any other, when the newest file of its folder was written. A Hub model that a family file lists and no watching
    came upon has no time.
    """
    found = _found(space)
    times: dict[str, datetime.datetime] = {}
    for entry in entries:
        if entry.id in found:
            times[entry.id] = found[entry.id]
        elif entry.path is not None:
            with suppress(OSError, ValueError):
                newest = max(file.stat().st_mtime for file in entry.path.iterdir())
                times[entry.id] = datetime.datetime.fromtimestamp(newest, datetime.UTC)
    return times


def _found(space: Workspace) -> dict[str, datetime.datetime]:
    rows = [row for family in space.tables.models("releases") for row in space.tables.read("releases", family)]
    return {row["model_id"]: row["created_at"] or row["found_at"] for row in rows if row["model_id"]}
