"""Deciding: what filters leave, what is looked into, and what is registered with its exact commit."""

from __future__ import annotations

import datetime

from resources.families import Family, register_release
from resources.families.source import Source
from resources.hub import HubError, HubFormatError, HubGatedError, HubLimitError, HubNotFoundError
from resources.hub.descendants import config_at, files_at, look
from resources.releases.book import (
    GATED,
    HUB,
    LEFT,
    NOT_LOOKED_INTO,
    REGISTERED,
    REVISION,
    TAKEN,
    WAITING,
    Book,
    Row,
    decide,
)
from resources.releases.filters import refused
from resources.releases.looking import describe, shapes
from resources.workspace import Workspace, fingerprint

GATED_AGAIN = datetime.timedelta(days=1)
FAILED_AGAIN = datetime.timedelta(hours=1)
_ENOUGH = 2
"""So many refusals for want of patience in a row end the looking of a pass: the limit is not of one model."""


class Judging:
    """The decisions about one family's releases on the Hub in one pass, made at the time `at`."""

    def __init__(self, space: Workspace, family: Family, book: Book, at: datetime.datetime) -> None:
        assert family.watch is not None
        self.space, self.family, self.watch, self.book, self.at = space, family, family.watch, book, at

    def run(self, until: datetime.datetime | None = None) -> list[str]:
        """Decide whatever is undecided; returns ids of newly registered models.

        `until` is when the Hub may be asked again, where it may not be asked now.
        """
        queue = [row for row in self.book.rows if self._open(row)]
        queue.sort(key=lambda row: row["created_at"] or row["found_at"], reverse=True)
        registered, limits = [], 0
        for place, row in enumerate(queue):
            if until is not None:
                reason = f"The Hub is asked again at {until:%Y-%m-%d %H:%M:%S} UTC."
                decide(row, WAITING, reason, self.at, retry_at=until)
                continue
            if place >= self.watch.cap:
                reason = f"{NOT_LOOKED_INTO}: at most {self.watch.cap} in one poll, newest first."
                decide(row, WAITING, reason, self.at)
                continue
            try:
                self._look(row)
                limits = 0
            except HubLimitError as error:
                decide(row, WAITING, str(error), self.at, retry_at=error.until)
                limits += 1
                until = error.until if limits >= _ENOUGH else None
            if row["decision"] == TAKEN:
                registered.append(row["model_id"])
        return registered

    def _open(self, row: Row) -> bool:
        """Whether a row has to be looked into; what filters leave is decided on the way."""
        if row["source"] != HUB or row["decision"] == TAKEN or row["looked_at"] is not None:
            return False
        if row["kind"] != REVISION and (reason := refused(self.watch, row)):
            decide(row, LEFT, reason, self.at)
            return False
        return row.get("retry_at") is None or row["retry_at"] <= self.at

    def _look(self, row: Row) -> None:
        """Look into one release and decide. Raises HubLimitError only."""
        try:
            try:
                self._decide(row)
            except HubNotFoundError as error:
                self._gone(row, error)
        except HubLimitError:
            raise
        except HubGatedError as error:
            decide(row, GATED, str(error), self.at, retry_at=self.at + GATED_AGAIN)
        except HubFormatError as error:
            decide(row, LEFT, str(error), self.at, looked_at=self.at)
        except HubError as error:
            decide(row, WAITING, str(error), self.at, retry_at=self.at + FAILED_AGAIN)

    def _gone(self, row: Row, error: HubNotFoundError) -> None:
        """The commit or the repository is not there any more: the newest commit is looked into in its place."""
        try:
            newest = look(row["model"]).commit
        except HubNotFoundError:
            decide(row, LEFT, f"Deleted or made private: {error}", self.at, looked_at=self.at)
            return
        if newest == row["revision"]:
            raise error
        row["revision"] = newest
        self._decide(row)

    def _decide(self, row: Row) -> None:
        model, commit = row["model"], row["revision"]
        files = files_at(model, commit)
        row["weights"] = fingerprint(files.contents)
        if (same := self._same_weights(row)) is not None:
            if same["model"] == model:  # a commit that changed the card or other files that are not read
                same["latest"] = commit
                self.book.drop(row)
                return
            reason = f"Its files are those of {same['model']}, registered as {same['model_id']}: renamed, or a copy."
            decide(row, LEFT, reason, self.at, looked_at=self.at)
            return
        if row["kind"] == REVISION and not self.watch.follow:
            reason = "A further commit with other weights; the family does not say `follow: true`."
            decide(row, LEFT, reason, self.at, looked_at=self.at)
            return
        config = config_at(model, files)
        describe(row, files, config)
        if row["kind"] != REVISION and (reason := refused(self.watch, row)):
            decide(row, LEFT, reason, self.at)
            return
        row["shapes"] = shapes(self.space, row["base_id"], config)
        if row["shapes"] not in (None, "same"):
            reason = f"It cannot be compared with {row['base_id']}: {row['shapes']}."
            decide(row, LEFT, reason, self.at, looked_at=self.at)
            return
        adapter = "model_type" not in config
        self._register(row, "adapter" if adapter else "merge" if row["relation"] == "merge" else "unspecified")

    def _same_weights(self, row: Row) -> Row | None:
        """A registered release that has the very same files; of the same repository first."""
        for other in self.book.about(HUB, row["model"]):
            if other["kind"] == REGISTERED and other.get("weights") is None:
                other["weights"] = fingerprint(files_at(other["model"], other["revision"]).contents)
        own = [
            other for other in self.book.about(HUB, row["model"]) if other["looked_at"] or other["kind"] == REGISTERED
        ]
        others = (other for other in (*own, *self.book.taken) if other is not row)
        return next((other for other in others if other.get("weights") == row["weights"]), None)

    def _register(self, row: Row, method: str) -> None:
        settings = self.space.settings
        entry = register_release(
            settings.local_families,
            self.family.name,
            row["base_id"],
            Source(hub=row["model"], revision=row["revision"]),
            method,
            shipped=[settings.families],
        )
        self.space.refresh()
        what = "A further commit with other weights" if row["kind"] == REVISION else "Passed every filter"
        reason = f"{what}; registered at commit {row['revision'][:12]}."
        decide(row, TAKEN, reason, self.at, model_id=entry.id, looked_at=self.at)
