"""Asking the Hub what descends from what a family watches, and noting every answer in the family's book.

Each listing is newest first. An ordinary one goes 48 hours further back than the last that succeeded, because weights
and relations can come later than the repository; once a week everything is listed, because a private repository that
is made public is as old as it always was. A listing that breaks off is kept as far as it came; one of everything goes
on there at the next poll, after what is new.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections import Counter
from collections.abc import Iterator
from typing import Any

from resources.families import Family
from resources.hub import HubCursorError, HubError, HubLimitError, HubOfflineError
from resources.hub.descendants import CHANGED, Listed, descendants, look
from resources.releases.book import HUB, LEFT, NEW, NOT_LOOKED_INTO, REGISTERED, REVISION, TAKEN, WAITING, Book, Row
from resources.releases.filters import quantized_by
from resources.releases.looking import torch_name
from resources.workspace import Workspace

OVERLAP = datetime.timedelta(hours=48)
FULL_EVERY = datetime.timedelta(days=7)
QUANTIZED = "quantized"
CHANGES = "changes"
BASE = "base"


class Listing:
    """The listings of one family in one pass, made at the time `at`."""

    def __init__(self, space: Workspace, family: Family, book: Book, at: datetime.datetime) -> None:
        assert family.watch is not None
        self.space, self.family, self.watch, self.book, self.at = space, family, family.watch, book, at
        self.by_hand = {
            entry.hub.casefold(): entry
            for entry in space.registry.models.values()
            if entry.hub and entry.id not in space.registry.releases
        }

    def run(self) -> None:
        """List everything that the family watches on the Hub.

        Raises HubLimitError or HubOfflineError, after noting it, when there is no use in asking anything further.
        """
        for repository, base in self.family.watched_repositories.items():
            self._base(repository, base)
            for relation in (*dict.fromkeys(self.watch.relations), QUANTIZED):
                self._list(repository, base, relation)
            self._changes(repository, base)

    def _base(self, repository: str, base: str) -> None:
        """The watched repository itself: whether it was renamed, and whether there is a further commit."""
        poll = self.book.poll(repository, BASE)
        try:
            found = look(repository)
        except HubError as error:
            self._failed(poll, error)
            return
        message = "" if found.model == repository else f"It is called {found.model} now; correct the family file."
        self._succeeded(poll, 1, message)
        self._note(dataclasses.replace(found, model=repository), BASE, repository, base)

    def _list(self, repository: str, base: str, relation: str) -> None:
        """What descends by one relation: what is new, and once a week everything."""
        poll = self.book.poll(repository, relation)
        full_at, succeeded_at = poll.get("full_at"), poll.get("succeeded_at")
        unfinished = poll.get("full_since") if poll.get("full_cursor") else None
        everything = bool(unfinished) or full_at is None or self.at - full_at >= FULL_EVERY
        if everything:
            poll["full_since"] = unfinished or self.at
        new_since = unfinished if everything else succeeded_at
        listed = 0
        try:
            if new_since:
                for found in self._newer(repository, relation, new_since - OVERLAP):
                    listed += 1
                    self._note(found, relation, repository, base)
            if everything:
                for found in self._everything(repository, relation, poll):
                    listed += 1
                    self._note(found, relation, repository, base)
        except HubError as error:
            self._failed(poll, error, listed)
            return
        self._succeeded(poll, listed)

    def _newer(self, repository: str, relation: str, horizon: datetime.datetime) -> Iterator[Listed]:
        """What was made since."""
        for page in descendants(repository, relation):
            for found in page.listed:
                if found.created_at and found.created_at < horizon:
                    return
                yield found

    def _everything(self, repository: str, relation: str, poll: Row) -> Iterator[Listed]:
        """All there is, from where an unfinished listing broke off; the poll says how far it has come."""
        try:
            for page in descendants(repository, relation, cursor=poll.get("full_cursor") or ""):
                yield from page.listed
                dates = [found.created_at for found in page.listed if found.created_at]
                poll["full_from"] = dates[-1] if dates else poll.get("full_from")
                poll["full_cursor"] = page.cursor or None
        except HubCursorError:
            poll.update(full_since=self.at, full_from=None, full_cursor=None)
            yield from self._everything(repository, relation, poll)
            return
        poll.update(full_at=poll["full_since"], full_since=None, full_from=None, full_cursor=None)

    def _changes(self, repository: str, base: str) -> None:
        """What was modified lately, however old it is: further commits, and weights that came late."""
        poll = self.book.poll(repository, CHANGES)
        last, listed = poll.get("succeeded_at"), 0
        try:
            if last is not None:
                horizon = last - OVERLAP
                for found in (one for page in descendants(repository, "", sort=CHANGED) for one in page.listed):
                    if found.modified_at and found.modified_at < horizon:
                        break
                    listed += 1
                    self._note(found, _relation(found, repository), repository, base)
        except HubError as error:
            self._failed(poll, error, listed)
            return
        self._succeeded(poll, listed)

    def _succeeded(self, poll: Row, listed: int, message: str = "") -> None:
        poll.update(polled_at=self.at, succeeded_at=self.at, listed=listed, message=message, retry_at=None)

    def _failed(self, poll: Row, error: HubError, listed: int = 0) -> None:
        then = "goes on from there" if poll.get("full_cursor") else "lists it again"
        kept = f" {listed} entries were kept; the next poll {then}." if listed else ""
        until = error.until if isinstance(error, HubLimitError) else None
        poll.update(polled_at=self.at, listed=listed, message=f"{error}{kept}", retry_at=until)
        if isinstance(error, HubLimitError | HubOfflineError):
            raise error

    def _note(self, found: Listed, relation: str, watched: str, base: str) -> None:
        """Enter one listed repository: a new row, a further commit of a registered model, or facts that changed."""
        rows = self.book.about(HUB, found.model)
        facts = _facts(found, relation)
        if not rows:
            identity = {"source": HUB, "model": found.model, "watched": watched, "base_id": base, "relation": relation}
            self.book.add({**identity, **facts, **self._first(found), "revision": found.commit, "found_at": self.at})
            return
        registered = [row for row in rows if row["decision"] == TAKEN]
        for row in rows:
            row.update({name: facts[name] for name in ("downloads", "likes", "licence", "modified_at")})
        if not registered:
            (row,) = rows[-1:]
            if row["revision"] != found.commit:
                row.update({**facts, "revision": found.commit, "looked_at": None, "weights": None})
                if row["decision"] != LEFT:
                    row["retry_at"] = None
            return
        if found.commit in {commit for row in rows for commit in (row["revision"], row.get("latest"))}:
            return
        identity = {name: registered[0][name] for name in ("source", "model", "watched", "base_id", "relation")}
        waiting = {"kind": REVISION, "decision": WAITING, "reason": f"{NOT_LOOKED_INTO}.", "checked_at": self.at}
        undecided = [row for row in rows if row["kind"] == REVISION and row["looked_at"] is None]
        for row in undecided:  # an even newer commit has come before this one was looked into
            self.book.drop(row)
        self.book.add({**identity, **facts, **waiting, "revision": found.commit, "found_at": self.at})

    def _first(self, found: Listed) -> Row:
        """What is decided of a repository at first sight: that it waits, or was registered by hand before."""
        entry = self.by_hand.get(found.model.casefold())
        if entry is None:
            return {"kind": NEW, "decision": WAITING, "reason": f"{NOT_LOOKED_INTO}.", "checked_at": self.at}
        reason = f"Registered by hand in {entry.file.name}."
        return {
            **{"kind": REGISTERED, "decision": TAKEN, "reason": reason, "checked_at": self.at},
            **{"model_id": entry.id, "base_id": entry.base or entry.id},
        }


def _relation(found: Listed, repository: str) -> str:
    """The relation that a repository's tags state to another; finetune where they state only that there is one."""
    for tag in found.tags:
        word, _, of = tag.removeprefix("base_model:").partition(":")
        if of.casefold() == repository.casefold():
            return word
    return "finetune"


def _facts(found: Listed, relation: str) -> dict[str, Any]:
    """The columns of `releases` that a listing fills."""
    counts = Counter(found.parameters)
    dtype = torch_name(counts.most_common(1)[0][0]) if counts else None
    model_type = found.config.get("model_type")
    return {
        "author": found.author,
        "licence": found.licence,
        "downloads": found.downloads,
        "likes": found.likes,
        "created_at": found.created_at,
        "modified_at": found.modified_at,
        "parameters": sum(counts.values()) or None,
        "dtype": dtype,
        "quantization": quantized_by(relation, found.tags, dtype),
        "architecture": model_type if isinstance(model_type, str) else None,
        "looked_at": None,
        "weights": None,
        "latest": None,
    }
