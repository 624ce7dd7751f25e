"""What is known of one family's releases: the rows of two tables, in memory for the length of one pass."""

from __future__ import annotations

import datetime
from typing import Any

from resources.workspace import Workspace

RELEASES, POLLS = "releases", "release_polls"
HUB, FOLDER = "hub", "folder"
TAKEN, LEFT, WAITING, GATED = "taken", "left", "waiting", "gated"
NEW, REGISTERED, REVISION = "new", "registered", "revision"

NOT_LOOKED_INTO = "Not looked into yet"
"""How the reason begins of what waits for nothing but its turn."""

Row = dict[str, Any]

_PROVENANCE = ("run_id", "code_version", "materialized_at")


class Book:
    """The releases and polls of one family. Rows are dictionaries named by the columns of the tables."""

    def __init__(self, family: str, rows: list[Row], polls: list[Row]) -> None:
        self.family = family
        self.rows = rows
        self.polls = polls
        self._by_model: dict[tuple[str, str], list[Row]] = {}
        for row in rows:
            self._by_model.setdefault((row["source"], row["model"].casefold()), []).append(row)

    @classmethod
    def of(cls, space: Workspace, family: str) -> Book:
        """As it was stored last; empty for a family that was never asked about."""
        tables = [space.tables.read(table, family) for table in (RELEASES, POLLS)]
        plain = [[{k: v for k, v in row.items() if k not in _PROVENANCE} for row in rows] for rows in tables]
        return cls(family, *plain)

    def store(self, space: Workspace, run_id: str, code_version: str, fingerprint: str = "") -> None:
        """Replace both tables' rows of the family."""
        for table, rows in ((RELEASES, self.rows), (POLLS, self.polls)):
            space.tables.write(
                table, self.family, rows, run_id=run_id, code_version=code_version, fingerprint=fingerprint
            )

    def about(self, source: str, model: str) -> list[Row]:
        """Every row of one repository or folder."""
        return self._by_model.get((source, model.casefold()), [])

    def add(self, row: Row) -> Row:
        """Add a row of a release that was not known."""
        row = {"family": self.family, **row}
        self.rows.append(row)
        self._by_model.setdefault((row["source"], row["model"].casefold()), []).append(row)
        return row

    def drop(self, row: Row) -> None:
        """Take a row out that turned out to be none of its own."""
        self.rows.remove(row)
        self._by_model[row["source"], row["model"].casefold()].remove(row)

    def poll(self, watched: str, relation: str) -> Row:
        """How the last listing of something watched went; a new row where it never was listed."""
        for row in self.polls:
            if (row["watched"], row["relation"]) == (watched, relation):
                return row
        row = {"family": self.family, "watched": watched, "relation": relation, "message": ""}
        self.polls.append(row)
        return row

    @property
    def taken(self) -> list[Row]:
        """Rows of registered models."""
        return [row for row in self.rows if row["decision"] == TAKEN]


def decide(row: Row, decision: str, reason: str, at: datetime.datetime, **more: Any) -> None:
    """Note a decision; one that is the same as before keeps its time."""
    if (row.get("decision"), row.get("reason")) != (decision, reason):
        row["checked_at"] = at
    row.update(decision=decision, reason=reason, **{"retry_at": None, **more})
