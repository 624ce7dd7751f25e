"""When each model was released, as far as it is known here."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from contextlib import suppress

from resources.families import ModelEntry
from resources.workspace import Workspace


def release_times(space: Workspace, entries: Iterable[ModelEntry]) -> dict[str, datetime.datetime]:
    """When each model was found by the watching, else when the newest file of its folder was written (UTC).

    A Hub model that a family file lists and nobody found has no time.
    """
    times: dict[str, datetime.datetime] = {}
    for entry in entries:
        if entry.path is not None:
            with suppress(OSError, ValueError):
                newest = max(file.stat().st_mtime for file in entry.path.iterdir())
                times[entry.id] = datetime.datetime.fromtimestamp(newest, datetime.UTC)
    return times
