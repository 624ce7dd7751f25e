"""Publishing as every surface does it: with the list of what waits as it is now, and the feed of what is new."""

from __future__ import annotations

from assets.backlog import Waiting, backlog
from assets.downloads import make_room
from resources.warehouse import Published
from resources.workspace import Workspace, fingerprint
from rotoscale import versions
from rotoscale.errors import RotoscaleError

TABLE, KEY = "backlog", "all"


def publish(space: Workspace, run_id: str = "publish") -> Published:
    """Publish all finished tables as the next DuckDB file."""
    record_backlog(space, run_id)
    make_room(space)
    return space.publish()


def is_published(space: Workspace) -> bool:
    """Whether everything that was written, and every failure that was noted, is published."""
    return space.published_is_current() and not _noted_since(space)


def record_backlog(space: Workspace, run_id: str) -> None:
    """Write what waits; the file is left alone where it says so already, a damaged family file where it is."""
    before = space.tables.fingerprint(TABLE, KEY)
    noted = _noted_since(space)
    try:
        rows = [_row(place, one) for place, one in enumerate(backlog(space))]
    except RotoscaleError:
        return  # a family file with a typo must not keep finished rows from being published
    made_from = fingerprint(versions.BACKLOG, rows)
    if before != made_from or noted:
        space.tables.write(TABLE, KEY, rows, run_id=run_id, code_version=versions.BACKLOG, fingerprint=made_from)


def _noted_since(space: Workspace) -> bool:
    """Whether a failure, or the end of one, was noted after the list was written last."""
    path = space.tables.path(TABLE, KEY)
    return path.exists() and space.tries.latest() > path.stat().st_mtime


def _row(place: int, one: Waiting) -> dict[str, object]:
    return {
        "place": place,
        "model": one.model,
        "family": one.family,
        "released_at": one.released,
        "assets": list(one.assets),
        "why": one.why,
        "held": list(one.held),
        "held_reason": next(iter(one.held.values()), ""),
        "tries": one.tries,
        "last_failure": one.reason,
    }
