"""Group `releases`: what the Hub and watched folders offer, and what was decided of it."""

from __future__ import annotations

from typing import Any

from assets.groups import Group, SharedAsset, named
from assets.releases.tables import TABLES
from resources import releases
from resources.workspace import Workspace
from rotoscale import versions


def _keys(space: Workspace) -> list[str]:
    """Families that watch something, and those that did: what was found stays."""
    watching = [family.name for family in space.registry.families.values() if family.watch]
    return list(dict.fromkeys([*watching, *space.tables.models("releases"), *space.tables.models("release_polls")]))


def _inputs(space: Workspace, family: str) -> Any:
    return releases.seen_from(space, family)


GROUP = Group(
    "releases",
    # After no other asset: what it reads of them, the state of its own releases, may lag behind for a while.
    shared=(
        SharedAsset(
            "release_candidates", versions.RELEASES, after=(), subjects=named(_keys), inputs=_inputs, page="releases"
        ),
    ),
    tables=TABLES,
)
