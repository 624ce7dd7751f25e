"""Tables for people, on a terminal or in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from resources.warehouse.summaries import PairSummary

_OVERALL = (
    "relative_change alpha alpha_p05 alpha_p95 nf nf_over_null nf_over_null_p05 nf_over_null_p95 nf_over_unrelated"
)


def output() -> Console:
    """Standard output; in a pipe wide enough that no table is cut."""
    return Console(width=None if sys.stdout.isatty() else 120, highlight=False)


def errors() -> Console:
    """Standard error, for progress and complaints."""
    return Console(stderr=True, highlight=False)


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], caption: str | None = None) -> Table:
    """A table whose numbers are aligned right."""
    made = Table(title=title, title_justify="left", caption=caption, caption_justify="left")
    for i, column in enumerate(columns):
        numeric = all(isinstance(row[i], int | float | None) for row in rows)
        made.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        made.add_row(*(number(cell) for cell in row))
    return made


def _cells(rows: Sequence[dict[str, Any]], columns: str) -> list[list[Any]]:
    return [[row[column] for column in columns.split()] for row in rows]


def number(value: Any) -> str:
    """A cell: four significant digits, nothing for a missing value, and text safe from markup."""
    from rich.markup import escape

    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, float):
        return escape(str(value))
    return f"{value:.4g}" if abs(value) < 1e-3 or abs(value) >= 1e4 else f"{value:.4f}"


def comparison(console: Console, summary: PairSummary) -> None:
    """Print one comparison: total change, others, scale, rotation (at full depth), what stands out."""
    share = summary.parameters_analysed / summary.parameters if summary.parameters else 0
    matrices, simulated = summary.matrices, summary.overall["simulated"]
    console.print(f"\n{summary.model} against {summary.base}", style="bold", markup=False)
    console.print(
        f"All tensors: relative change {number(summary.change_of_all_tensors)}; the {matrices} principal matrices: "
        f"{number(summary.overall['relative_change'])}. These hold {100 * share:.1f} % of {summary.parameters:,} "
        "parameters."
    )
    if summary.others:
        console.print(
            table(
                "Most changed outside the principal matrices",
                ["tensor", "relative change", "cosine", "identical elements"],
                [(o["tensor"], o["relative_change"], o["cosine"], o["identical_share"]) for o in summary.others],
            )
        )
    console.print(
        table(
            "Scale: s_post / s_base, median over layers",
            ["matrix", "n", "alpha", "5 %", "95 %", "least squares", "spread (cv)", "top", "middle", "bottom"],
            _cells(
                summary.by_matrix_type,
                "matrix matrices alpha alpha_p05 alpha_p95 alpha_least_squares ratio_cv "
                "alpha_top alpha_middle alpha_bottom",
            ),
            caption="A uniform alpha below 1 is also what plain weight decay leaves.",
        )
    )
    if summary.overall["nf"] is not None:
        how = "simulated" if simulated else "by formula"
        console.print(
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
            )
        )
    if summary.outstanding:
        console.print(
            table(
                "Matrices that stand out",
                ["layer", "matrix", "expert", "alpha", "change", "NF", "NF/null", "deviations from typical"],
                _cells(
                    summary.outstanding,
                    "layer matrix expert alpha_median relative_change nf nf_over_null distance",
                ),
            )
        )


def overview(console: Console, summaries: Sequence[PairSummary]) -> None:
    """Print one line per comparison; nothing for none."""
    if not summaries:
        return
    console.print(
        table(
            "What post-training did",
            ["model", "against", "change", "alpha", "5 %", "95 %", "NF", "NF/null", "5 %", "95 %", "of unrelated"],
            [[s.model, s.base, *_cells([s.overall], _OVERALL)[0]] for s in summaries],
            caption="Change: |post - base| / |base| over the principal matrices; else medians over them.",
        )
    )
