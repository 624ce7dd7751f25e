"""What the numbers say of the papers' claims: one table, claims by models, then the sentences on what was tested."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from resources.warehouse.summaries.claims import sentences

if TYPE_CHECKING:
    import duckdb
    from rich.console import Console

STYLES = {"supported": "green", "refuted": "red", "undecided": "yellow", "not tested": "dim"}

MOST_SENTENCES = 12
"""Sentences printed: with the table, what fits on a screen; the rest is counted and named where it stands."""


def claims(console: Console, connection: duckdb.DuckDBPyConnection, families: Collection[str]) -> bool:
    """Print the verdicts on some families from a published file; False when there are none."""
    from rich.markup import escape
    from rich.table import Table

    found = [row for row in sentences(connection) if row["family"] in families]
    if not found:
        return False
    subjects = list(dict.fromkeys((row["family"], row["model_id"]) for row in found))
    words = {(row["family"], row["model_id"], row["claim"]): row["verdict"] for row in found}
    table = Table(
        title="What the papers claim, and what these models say of it",
        title_justify="left",
        caption="Rules, controls and what would refute each claim: docs/claims.md.",
        caption_justify="left",
    )
    table.add_column("claim", no_wrap=True)
    for family, model in subjects:
        table.add_column(escape(model or f"family {family}"), overflow="fold")
    for claim in dict.fromkeys(row["claim"] for row in found):
        cells = [words.get((*subject, claim), "") for subject in subjects]
        table.add_row(claim, *(f"[{STYLES[word]}]{word}[/]" if word in STYLES else escape(word) for word in cells))
    console.print(table)
    told = [row["sentence"] for row in found if row["verdict"] != "not tested"]
    for sentence in told[:MOST_SENTENCES]:
        console.print(f"- {sentence}", markup=False, soft_wrap=True)
    more = len(found) - min(len(told), MOST_SENTENCES)
    if more:
        console.print(
            f"{more} more, those on what was not tested and why among them: table findings, or the dashboard."
        )
    return True
