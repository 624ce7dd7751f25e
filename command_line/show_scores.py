"""Scores of a model with its edits and controls, for people, and what the comparisons say."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from command_line.show import number, put, say, table
from resources.warehouse.summaries.scores import BehaviourSummary, Column, Score, behaviour_summary

if TYPE_CHECKING:
    import duckdb
    from rich.console import Console


def scores(console: Console, connection: duckdb.DuckDBPyConnection, model: str) -> bool:
    """Print the scores and findings of a model from a published file; False when there are none."""
    summary = behaviour_summary(connection, model)
    if summary is None:
        return False
    print_scores(console, summary)
    return True


def print_scores(console: Console, summary: BehaviourSummary) -> None:
    """Print the table (rows base, post, edits, controls; columns tasks), then one sentence per finding."""
    tasks = {column.task: _header(column) for column in summary.columns}
    rows = [
        [
            row.subject_id if row.kind in ("base", "post") else row.label,
            row.kind,
            row.weight_error,
            *(_cell(row.scores.get(task)) for task in tasks),
        ]
        for row in summary.rows
    ]
    put(
        console,
        table(
            f"What {summary.model} can do, and what edits of it can",
            ["subject", "kind", "weight error", *tasks.values()],
            rows,
            caption="Value ± standard error; n: documents, of which edits are often given the first ones alone. "
            "Weight error: relative distance to the post model over the edited matrices.",
            numbers=list(tasks.values()),
        ),
    )
    for sentence in summary.findings:
        say(console, sentence, "- ")
    reasons = {score.reason: None for row in summary.rows for score in row.scores.values() if score.reason}
    for reason in reasons:
        say(console, f"failed: {reason}")


def _header(column: Column) -> str:
    arrow = "↑" if column.higher_is_better else "↓"
    n = f"n {column.n_least}" + (f" to {column.n_most}" if column.n_most > column.n_least else "")
    return " ".join([column.task, column.metric, arrow, *([n] if column.n_most else [])])


def _cell(score: Score | None) -> str:
    if score is None:
        return ""
    if score.value is None:
        return "failed"
    if score.stderr is None:
        return number(score.value)
    if not 0 < score.stderr < 1e4:
        return f"{score.value:.2g} ± {score.stderr:.2g}"
    # As many decimals as two significant digits of the error have.
    decimals = max(0, 1 - math.floor(math.log10(score.stderr)))
    return f"{score.value:.{decimals}f} ± {score.stderr:.{decimals}f}"
