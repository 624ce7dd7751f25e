"""What became of registered releases: read from the tables of other assets."""

from __future__ import annotations

import datetime
from typing import Any

from resources.families import pair_key
from resources.releases.book import FOLDER, REGISTERED, Book, Row
from resources.releases.folders import checkpoints_in, is_settled
from resources.workspace import Workspace

_RESULTS = "scale_statistics"
"""The table whose rows of a model are its first results."""

_LINEAGE = "lineage"


def refresh(space: Workspace, book: Book) -> None:
    """Bring the states of all registered releases up to date."""
    for row in book.taken:
        model = row["model_id"]
        found = space.tables.read("models", model)
        if not found:
            row.update(state="registered", state_reason="")
            continue
        row.update(state=found[0]["status"], state_reason=found[0]["status_reason"])
        if row["kind"] == REGISTERED:
            _follow_branch(book, row, found[0]["revision"])
        if row["state"] != "ready":
            continue
        if row.get("results_at") is None:
            row["results_at"] = _results_at(space, model)
        if row["results_at"] is not None:
            row["state"] = "results"
        row["lineage"] = _lineage(space, row)


def _follow_branch(book: Book, row: Row, commit: str | None) -> None:
    """Note the commit that a model was read at which a family file names by a branch; one row a commit."""
    others = (other["revision"] for other in book.about(row["source"], row["model"]) if other is not row)
    if commit and commit != row["revision"] and commit not in others:
        row.update(revision=commit, weights=None)


def _lineage(space: Workspace, row: Row) -> str | None:
    """What the weights say of the descent that the Hub states; None while they were not tested."""
    found = space.tables.read(_LINEAGE, pair_key(row["base_id"], row["model_id"]))
    return f"{found[0]['verdict']}: {found[0]['reason']}" if found else None


def _results_at(space: Workspace, model: str) -> datetime.datetime | None:
    rows = space.tables.read(_RESULTS, model, lists=False)
    return rows[0]["materialized_at"] if rows else None


def seen_from(space: Workspace, family: str) -> Any:
    """What a family's rows depend on beside the Hub: what it watches, its folders, the states of its releases."""
    book = Book.of(space, family)
    found = space.registry.families.get(family)
    watch = found.watch if found else None
    models = [(row["model_id"], _stage(space, row)) for row in book.taken]
    return [watch and watch.model_dump(mode="json"), models, _folders(book, watch.folders if watch else ())]


def _stage(space: Workspace, row: Row) -> Any:
    found = space.tables.read("models", row["model_id"])
    return [
        found and (found[0]["status"], found[0]["status_reason"], found[0]["revision"]),
        space.tables.path(_RESULTS, row["model_id"]).exists(),
        space.tables.fingerprint(_LINEAGE, pair_key(row["base_id"], row["model_id"])),
    ]


def _folders(book: Book, folders: tuple[Any, ...]) -> list[Any]:
    """Folders that are not decided yet or look other than they did, and whether they can be looked into now."""
    now = datetime.datetime.now(datetime.UTC)
    found = []
    for seen in checkpoints_in(folders):
        rows = book.about(FOLDER, str(seen.path))
        if not rows or rows[0]["decision"] not in ("taken", "left") or rows[0]["weights"] != seen.looks:
            if rows and rows[0]["decision"] == "taken":
                continue
            found.append((str(seen.path), seen.looks, bool(rows) and is_settled(rows[0], seen.looks, now)))
    return found
