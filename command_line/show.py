"""Tables for people, on a terminal or in a pipe."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Sequence
from typing import Any

from rich.console import Console

from command_line.tabular import NARROWEST, Table, number, table
from resources.warehouse.summaries import PairSummary

NO_EXPERT = -1
"""In the column `expert` of a matrix that is none's."""

__all__ = ["comparison", "complain", "errors", "number", "output", "overview", "put", "say", "table"]

_OVERALL = (
    "relative_change alpha alpha_p05 alpha_p95 nf nf_over_null nf_over_null_p05 nf_over_null_p95 nf_over_unrelated"
)


_UNBROKEN = "\N{NO-BREAK SPACE}"

PIPE_WIDTH = 80
"""Columns of what is printed into a file or a pipe, unless COLUMNS says otherwise."""


def output() -> Console:
    """Standard output: as wide as the terminal or COLUMNS, else PIPE_WIDTH."""
    wide = None if sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdigit() else PIPE_WIDTH
    return Console(width=wide, highlight=False)


def errors() -> Console:
    """Standard error, for progress and complaints."""
    return Console(stderr=True, highlight=False)


def say(console: Console, sentence: str, bullet: str = "", style: str | None = None) -> None:
    """Print a sentence in lines that break between words only, and never between a number and its %."""
    text = textwrap.fill(
        sentence.replace(" %", f"{_UNBROKEN}%"),
        width=max(console.width, NARROWEST),
        initial_indent=bullet,
        subsequent_indent=" " * len(bullet),
        break_long_words=False,
        break_on_hyphens=False,
    )
    console.print(text.replace(_UNBROKEN, " "), style=style, markup=False, soft_wrap=True)


def code(console: Console, line: str) -> None:
    """Print a line to be copied: in one piece, whatever its length."""
    console.print(f"    {line}", markup=False, highlight=False, soft_wrap=True)


def complain(sentence: str) -> None:
    """Print what went wrong on standard error: wrapped on a terminal, elsewhere on one line, as logs are searched."""
    console = errors()
    if console.is_terminal:
        say(console, sentence)
    else:
        console.print(sentence, markup=False, soft_wrap=True)


def put(console: Console, made: Table) -> None:
    """Print a table with its title above and its caption below it, no line longer than the console is wide."""
    say(console, made.title, style="bold")
    for line in made.lines(max(console.width, NARROWEST)):
        console.print(line, markup=False, soft_wrap=True)
    if made.caption:
        say(console, made.caption, style="dim")


def _cells(rows: Sequence[dict[str, Any]], columns: str) -> list[list[Any]]:
    return [[row[column] for column in columns.split()] for row in rows]


def comparison(console: Console, summary: PairSummary) -> None:
    """Print all tables of one comparison: total change, others, scale, rotation (at full depth), what stands out."""
    share = summary.parameters_analysed / summary.parameters if summary.parameters else 0
    matrices, simulated = summary.matrices, summary.overall["simulated"]
    say(
        console,
        f"All tensors: relative change {number(summary.change_of_all_tensors)}; the {matrices} principal matrices: "
        f"{number(summary.overall['relative_change'])}. These hold {100 * share:.1f} % of {summary.parameters:,} "
        "parameters.",
    )
    if summary.others:
        put(
            console,
            table(
                "Most changed outside the principal matrices",
                ["tensor", "relative change", "cosine", "identical elements"],
                [(o["tensor"], o["relative_change"], o["cosine"], o["identical_share"]) for o in summary.others],
            ),
        )
    put(
        console,
        table(
            "Scale: s_post / s_base, median over layers",
            ["matrix", "n", "alpha", "5 %", "95 %", "least squares", "spread (cv)", "top", "middle", "bottom"],
            _cells(
                summary.by_matrix_type,
                "matrix matrices alpha alpha_p05 alpha_p95 alpha_least_squares ratio_cv "
                "alpha_top alpha_middle alpha_bottom",
            ),
            caption="A uniform alpha below 1 is also what plain weight decay leaves.",
        ),
    )
    if summary.overall["nf"] is not None:
        how = "simulated" if simulated else "by formula"
        put(
            console,
            table(
                "Rotation: He and Cao's NF, median over layers",
                ["matrix", "n", "change", "NF", "noise", "NF/noise", "5 %", "95 %", "unrelated", "formula", "base"],
                _cells(
                    summary.by_matrix_type,
                    "matrix matrices relative_change nf nf_null nf_over_null nf_over_null_p05 nf_over_null_p95 "
                    "nf_unrelated formula_error base_error",
                ),
                caption=f"NF of noise {how}. No verdict is read off NF: agreement below says what can be said. "
                "formula, base: errors of He and Cao's formula, and of doing nothing.",
            ),
        )
    if summary.outstanding:
        experts = any(row["expert"] != NO_EXPERT for row in summary.outstanding)
        names = {"layer": "layer", "matrix": "matrix", "expert": "expert", "alpha_median": "alpha"}
        names |= {"relative_change": "change", "nf": "NF", "nf_over_null": "NF/noise"}
        names |= {"distance": "deviations from typical"}
        shown = {column: name for column, name in names.items() if experts or column != "expert"}
        rows = _cells(summary.outstanding, " ".join(shown))
        put(console, table("Matrices that stand out", list(shown.values()), rows))


def overview(console: Console, summaries: Sequence[PairSummary]) -> None:
    """Print one line per comparison; nothing for none."""
    if not summaries:
        return
    put(
        console,
        table(
            "What post-training did",
            ["model", "against", "change", "alpha", "5 %", "95 %", "NF", "NF/noise", "5 %", "95 %", "of unrelated"],
            [[s.model, s.base, *_cells([s.overall], _OVERALL)[0]] for s in summaries],
            caption="Change: |post - base| / |base| over the principal matrices; else medians over them.",
        ),
    )
