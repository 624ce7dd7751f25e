"""One pass over a family: ask, decide, register, follow up, and write what was found at every stage."""

from __future__ import annotations

import datetime
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from resources.hub import HubLimitError, HubOfflineError
from resources.releases import states
from resources.releases.book import Book
from resources.releases.folders import poll_folders
from resources.releases.judging import FAILED_AGAIN, Judging
from resources.releases.listing import Listing
from resources.workspace import Workspace

_log = logging.getLogger(__name__)

NOT_AGAIN_WITHIN = datetime.timedelta(seconds=50)
"""The Hub is not asked twice within this time, whoever starts a pass."""


@dataclass
class Passed:
    """What one pass did: ids that it registered, decisions by word, and when the Hub may be asked again, if not now."""

    registered: list[str] = field(default_factory=list)
    decisions: dict[str, int] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)
    until: datetime.datetime | None = None


def one_pass(
    space: Workspace,
    family: str,
    fingerprint: Callable[[], str],
    run_id: str,
    code_version: str,
    until: datetime.datetime | None = None,
    at: datetime.datetime | None = None,
) -> Passed:
    """Ask what is new for a family, decide, register, follow up, and write its rows.

    Args:
        space: the project's folders.
        family: its name; of one that watches nothing any more, only the states are brought up to date.
        fingerprint: what the rows are made from, taken after the decisions and before the states are read.
        run_id: who writes.
        code_version: of the method.
        until: when the Hub may be asked again, where it said so before: see `held_until`.
        at: the time of the pass; now, if it is not given.
    """
    at = at or datetime.datetime.now(datetime.UTC)
    book = Book.of(space, family)
    found = space.registry.families.get(family)
    passed = Passed(until=until)

    def store(made_from: str = "") -> None:
        book.store(space, run_id, code_version, made_from)

    if found is not None and found.watch is not None:
        if found.watch.on_hub and not _asked_lately(book, at):
            passed.until = _wait(book, at) or passed.until
            if passed.until is None:
                passed.until = _list(Listing(space, found, book, at))
            store()
            passed.registered += Judging(space, found, book, at).run(passed.until)
        passed.registered += poll_folders(space, found, book, at)
        store()
    made_from = fingerprint()
    states.refresh(space, book)
    store(made_from)
    for row in book.rows:
        passed.decisions[row["decision"]] = passed.decisions.get(row["decision"], 0) + 1
    passed.messages = [
        f"{poll['watched']} ({poll['relation']}): {poll['message']}" for poll in book.polls if poll["message"]
    ]
    for message in passed.messages:
        _log.warning("%s", message)
    return passed


def _list(listing: Listing) -> datetime.datetime | None:
    """List everything; when the Hub may be asked again, where it does not answer now."""
    try:
        listing.run()
    except HubLimitError as error:
        return error.until
    except HubOfflineError:
        return listing.at + FAILED_AGAIN
    return None


def _asked_lately(book: Book, at: datetime.datetime) -> bool:
    times = [poll["polled_at"] for poll in book.polls if poll["relation"] != "folder" and poll.get("polled_at")]
    return bool(times) and at - max(times) < NOT_AGAIN_WITHIN


def held_until(space: Workspace, families: Iterable[str]) -> datetime.datetime | None:
    """When the Hub wants to be asked again, as it said at an earlier pass of any family; None when it may be now."""
    now = datetime.datetime.now(datetime.UTC)
    return max((time for family in families if (time := _wait(Book.of(space, family), now))), default=None)


def _wait(book: Book, at: datetime.datetime) -> datetime.datetime | None:
    times = [poll["retry_at"] for poll in book.polls if poll.get("retry_at")]
    return max((time for time in times if time > at), default=None)
