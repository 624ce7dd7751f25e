"""`rotoscale releases`: what was found for watched families, what was taken or left, and why."""

from __future__ import annotations

import datetime
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from command_line.options import workspace_options

if TYPE_CHECKING:
    from rich.console import Console

    from resources.releases.book import Book


@click.command()
@click.argument("families", nargs=-1)
@workspace_options
@click.option("--poll", is_flag=True, help="Ask the Hub and the watched folders now.")
@click.option("--all", "every", is_flag=True, help="List what was left too, one by one.")
def releases(families: tuple[str, ...], poll: bool, every: bool) -> None:
    """Show what was found for FAMILIES that watch something (default: all), what was decided, and why.

    A family watches with a `watch:` block in its file; docs/releases.md says how. What was taken is registered, and
    materialized by `rotoscale run` or, while `rotoscale ui` runs, by itself.
    """
    from assets.groups import shared_assets
    from command_line import show
    from command_line.running import materialize_shared, open_workspace
    from resources.releases.book import Book
    from rotoscale.errors import RotoscaleError

    space = open_workspace()
    if poll:
        failure = materialize_shared(space, "release_candidates", show.errors())
        if failure:
            raise RotoscaleError(failure)
        space.refresh()
    known = list(shared_assets()["release_candidates"].subjects(space))
    for family in families:
        if family not in known:
            watched = f"These do: {', '.join(known)}." if known else "None does; docs/releases.md says how."
            raise RotoscaleError(f"The family {family} watches nothing. {watched}")
    console = show.output()
    for family in families or known:
        _family(console, Book.of(space, family), every)
    if not known:
        show.say(console, "No family watches anything: add a `watch:` block to a family file (docs/releases.md).")


def _family(console: Console, book: Book, every: bool) -> None:
    """Print one family: how the listings went, what was taken, waits or is gated, and what was left."""
    from command_line import show
    from resources.releases.book import NOT_LOOKED_INTO

    asked = [
        [p["watched"], p["relation"], _time(p["polled_at"]), _time(p["full_at"]), p["listed"], p["message"]]
        for p in book.polls
    ]
    if asked:
        title = f"{book.family}: what is watched"
        show.put(console, show.table(title, ["watched", "relation", "asked", "to its end", "listed", "message"], asked))
    else:
        show.say(console, f"{book.family}: not asked about yet; `rotoscale releases --poll` asks now.")
    order = {"taken": 0, "waiting": 1, "gated": 2, "left": 3}
    rows = sorted(book.rows, key=lambda row: (order[row["decision"]], -row["found_at"].timestamp(), row["model"]))
    listed: list[dict[str, Any]] = []
    counted: list[dict[str, Any]] = []
    for row in rows:
        in_short = not every and (row["decision"] == "left" or row["reason"].startswith(NOT_LOOKED_INTO))
        (counted if in_short else listed).append(row)
    cells = [[_name(row), row["relation"], _time(row["found_at"]), *_decision(row), row["reason"]] for row in listed]
    if cells:
        columns = ["model", "relation", "found", "decision", "state", "why"]
        show.put(console, show.table(f"{book.family}: releases", columns, cells))
    reasons = Counter(row["reason"] for row in counted)
    if reasons:
        most = [[reason, count] for reason, count in reasons.most_common(15)]
        caption = "`--all` lists them" + (f"; {len(reasons) - 15} further reasons" if len(reasons) > 15 else "")
        title = f"{book.family}: left, or to be looked into, by reason"
        show.put(console, show.table(title, ["why", "releases"], most, caption=caption))


def _name(row: dict[str, Any]) -> str:
    """The repository, or the folder from the watched one on."""
    if row["source"] == "hub":
        return row["model"]
    return str(Path(row["model"]).relative_to(Path(row["watched"]).parent))


def _decision(row: dict[str, Any]) -> list[str]:
    """The decision, and what became of it or when it is looked at again."""
    if row["decision"] == "taken":
        state = row["state"] or "registered"
        return [f"taken as {row['model_id']}", f"{state}: {row['state_reason']}" if row["state_reason"] else state]
    return [row["decision"], f"again at {_time(row['retry_at'])}" if row["retry_at"] else ""]


def _time(moment: datetime.datetime | None) -> str:
    return f"{moment.astimezone(datetime.UTC):%Y-%m-%d %H:%M}" if moment else ""
