"""Which downloaded checkpoints are still needed, and removing the others when they take more room than they may."""

from __future__ import annotations

import logging
from collections.abc import Callable

from assets.backlog import backlog
from resources.hub import trim
from resources.workspace import Workspace

_log = logging.getLogger(__name__)


def make_room(space: Workspace, bytes_wanted: int = 0) -> None:
    """Remove finished checkpoints until the downloads and the bytes wanted fit into ROTOSCALE_HUB_GB.

    What waits for its turn, what it is compared with, and what is in use stays, even if that is too much: an analysis
    that waited for room that only it could give would wait for ever.
    """
    limit = space.settings.hub_gigabytes * 1e9
    if not limit:
        return
    done = trim(max(0.0, limit - bytes_wanted), _may_go(space))
    if done.removed:
        _log.info("removed from the cache of the Hub: %s", ", ".join(done.removed))
    if done.remaining + bytes_wanted > limit:
        _log.warning(
            "downloads take %.1f GB, more than ROTOSCALE_HUB_GB=%g: all of them are in use or wait for their turn",
            (done.remaining + bytes_wanted) / 1e9,
            space.settings.hub_gigabytes,
        )


def _may_go(space: Workspace) -> Callable[[str, str], bool]:
    """Whether a commit of a repository is needed by nothing that is made without being named."""
    needed: dict[str, set[str]] = {}
    for entry in space.registry.closure([one.model for one in backlog(space) if one.assets]):
        if entry.hub:
            rows = space.tables.read("models", entry.id)
            # Of a model that was not read yet it is not known which commit it is: all of them stay.
            needed.setdefault(entry.hub, set()).add((rows[0]["revision"] if rows else "") or "")
    return lambda repo_id, commit: not {commit, ""} & needed.get(repo_id, set())
