"""What the numbers say of the papers' claims: one table, claims by models, then the sentences on what was tested."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from command_line.show import say
from resources.warehouse.summaries.claims import sentences

if TYPE_CHECKING:
    import duckdb
    from rich.console import Console

TITLE = "What the papers claim, and what these models say of it"
UNSURE = "undecided"
STYLES = {"supported": "green", "refuted": "red", "undecided": "yellow", "not tested": "dim"}

MOST_LINES = 14
"""Lines of sentences printed: with the table, about what fits on a screen. Verdicts come before what is undecided."""

RULES = "Rules, controls and what would refute each claim: docs/claims.md."


def claims(console: Console, connection: duckdb.DuckDBPyConnection, families: Collection[str]) -> bool:
    """Print the verdicts on some families from a published file; False when there are none."""
    found = [row for row in sentences(connection) if row["family"] in families]
    if not found:
        return False
    if not _table(console, found):
        _lines(console, found)
    tested = sorted((row for row in found if row["verdict"] != "not tested"), key=lambda row: row["verdict"] == UNSURE)
    told, lines = 0, 0
    for row in tested:
        lines += math.ceil((len(row["sentence"]) + 2) / console.width)
        if told and lines > MOST_LINES:
            break
        say(console, row["sentence"], "- ")
        told += 1
    if len(found) > told:
        say(
            console,
            f"{len(found) - told} more sentences, among them why the rest was not tested: on the first page of "
            "the dashboard, in `rotoscale report` and in the table findings.",
        )
    return True


def _table(console: Console, found: Sequence[dict[str, Any]]) -> bool:
    """Claims by models, if that fits the width without breaking a name."""
    from rich.markup import escape
    from rich.table import Table

    subjects = list(dict.fromkeys((row["family"], row["model_id"]) for row in found))
    words = {(row["family"], row["model_id"], row["claim"]): row["verdict"] for row in found}
    names = [_name(*subject) for subject in subjects]
    widths = [max(len(name), *map(len, STYLES)) for name in names]
    if len("claim") + sum(2 + width for width in widths) > console.width:
        return False
    table = Table(
        title=TITLE, title_justify="left", caption=RULES, caption_justify="left", box=None, padding=(0, 2, 0, 0),
        pad_edge=False,
    )  # fmt: skip
    table.add_column("claim", no_wrap=True)
    for name in names:
        table.add_column(escape(name), no_wrap=True)
    for claim in _claims(found):
        cells = [words.get((*subject, claim), "") for subject in subjects]
        table.add_row(claim, *map(_styled, cells))
    console.print(table)
    return True


def _lines(console: Console, found: Sequence[dict[str, Any]]) -> None:
    """The same for many models: each claim with its verdicts and whose they are."""
    console.print(TITLE)
    for claim in _claims(found):
        for word in STYLES:
            names = [
                _name(row["family"], row["model_id"])
                for row in found
                if (row["claim"], row["verdict"]) == (claim, word)
            ]
            if names:
                say(console, f"{claim}  {word}: {', '.join(names)}", style=STYLES[word])
    console.print(RULES)


def _claims(found: Sequence[dict[str, Any]]) -> list[str]:
    """In the order of the stored rows, which is the papers'."""
    return sorted({row["claim"] for row in found}, key=lambda name: (not name.startswith("HC"), name))


def _name(family: str, model: str) -> str:
    return model or f"family {family}"


def _styled(word: str) -> str:
    from rich.markup import escape

    return f"[{STYLES[word]}]{word}[/]" if word in STYLES else escape(word)
