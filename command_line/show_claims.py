"""What the numbers say of the papers' claims: one table, claims by models, then the sentences on what was tested."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import TYPE_CHECKING

from resources.warehouse.summaries.claims import sentences

if TYPE_CHECKING:
    import duckdb
    from rich.console import Console

UNSURE = "undecided"
STYLES = {"supported": "green", "refuted": "red", "undecided": "yellow", "not tested": "dim"}

MOST_LINES = 14
"""Lines of sentences printed: with the table, about what fits on a screen. Verdicts come before what is undecided."""


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
    for claim in sorted({row["claim"] for row in found}, key=lambda name: (not name.startswith("HC"), name)):
        cells = [words.get((*subject, claim), "") for subject in subjects]
        table.add_row(claim, *(f"[{STYLES[word]}]{word}[/]" if word in STYLES else escape(word) for word in cells))
    console.print(table)
    tested = sorted((row for row in found if row["verdict"] != "not tested"), key=lambda row: row["verdict"] == UNSURE)
    told, lines = 0, 0
    for row in tested:
        lines += math.ceil((len(row["sentence"]) + 2) / console.width)
        if lines > MOST_LINES:
            break
        console.print(f"- {row['sentence']}", markup=False, soft_wrap=True)
        told += 1
    if len(found) > told:
        console.print(
            f"{len(found) - told} more sentences, among them why the rest was not tested: on the first page of "
            "the dashboard, in `rotoscale report` and in the table findings."
        )
    return True
