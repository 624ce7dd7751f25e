"""What is missing or out of date, why, since when, and in which order it is made: newest releases first.

The same rule of freshness as for `rotoscale run` and the automation. What was tried in vain comes after what was not,
and what is given up is named and left out, so that no model keeps another waiting.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from assets.freshness import pending
from assets.groups import model_assets, tables_of
from assets.released import release_times
from assets.trying import held, tries_of
from resources.families import ModelEntry
from resources.workspace import FORGOTTEN, Workspace

MISSING, UNFINISHED, OLDER_CODE, CHANGED = "missing", "unfinished", "older code", "changed"
"""Why an asset waits: it has no rows; rows that do not count as whole, such as a quarantine's; rows of another version
of its method; or of other files, settings or rows."""


@dataclass(frozen=True)
class Waiting:
    """One model that is not up to date.

    released: when it was found or made, as far as known.
    assets: why each asset waits that is to be made, in order.
    held: why each asset is left out, as given up or not due yet.
    tries, reason: how often what waits was tried in vain at most, and why the last try failed.
    """

    model: str
    family: str
    released: datetime.datetime | None
    assets: dict[str, str]
    held: dict[str, str]
    tries: int
    reason: str

    @property
    def why(self) -> str:
        """Why it waits, in a word or two."""
        return " and ".join(dict.fromkeys(self.assets.values())) or "left out"


def backlog(
    space: Workspace,
    family: str | None = None,
    since: datetime.datetime | None = None,
    *,
    older_code: bool = False,
) -> list[Waiting]:
    """Models that wait, in the order in which they are made, those given up last; nothing is downloaded or hashed.

    Args:
        family: one family, which need not be automatic; otherwise all automatic ones.
        since: only models released then or later; those of unknown release are left out.
        older_code: only what has rows, made by another version of its method.
    """
    entries = _entries(space, family)
    times = release_times(space, entries)
    found = []
    for entry in entries:
        one = _waiting(space, entry, times.get(entry.id))
        if older_code:
            one = replace(one, assets={name: why for name, why in one.assets.items() if why == OLDER_CODE})
        if (one.assets or one.held) and (since is None or (one.released is not None and one.released >= since)):
            found.append(one)
    return _in_order(space, found)


def _entries(space: Workspace, family: str | None) -> Sequence[ModelEntry]:
    if family is None:
        return space.wanted()
    return [entry for entry in space.registry.family(family).models if space.status(entry.id) != FORGOTTEN]


def _waiting(space: Workspace, entry: ModelEntry, released: datetime.datetime | None) -> Waiting:
    names = pending(space, entry.id, read=False)
    given_up = held(space, entry, names)
    tried = [one for name in names if (one := tries_of(space, entry, name))] if space.tries.has(entry.id) else []
    last = max(tried, key=lambda one: one.at, default=None)
    return Waiting(
        entry.id,
        entry.family,
        released,
        {name: _why(space, entry, name) for name in names if name not in given_up},
        given_up,
        max((one.count for one in tried), default=0),
        last.reason if last else "",
    )


def _why(space: Workspace, entry: ModelEntry, asset: str) -> str:
    versions = [space.tables.code_version(table, entry.id) for table in tables_of(asset)]
    if all(version is None for version in versions):
        return MISSING
    if any(space.tables.fingerprint(table, entry.id) == "" for table in tables_of(asset)):
        return UNFINISHED
    return OLDER_CODE if any(version not in (None, model_assets()[asset].version) for version in versions) else CHANGED


def _in_order(space: Workspace, found: Iterable[Waiting]) -> list[Waiting]:
    """What was tried least first, then the newest; what others are compared with before the first of them."""
    oldest = datetime.datetime.min.replace(tzinfo=datetime.UTC)
    by_rank = sorted(found, key=lambda one: one.released or oldest, reverse=True)
    by_rank.sort(key=lambda one: (not one.assets, one.tries))
    waiting = {one.model: one for one in by_rank}
    order: dict[str, Waiting] = {}
    for one in by_rank:
        for entry in space.registry.closure([one.model]):
            if entry.id in waiting and (waiting[entry.id].assets or entry.id == one.model):
                order.setdefault(entry.id, waiting[entry.id])
    return list(order.values())
