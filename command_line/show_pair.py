"""A pair on a terminal: the sentences on it, one short table, and all that there is on agreement and energy."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import TYPE_CHECKING, Any

from command_line.show import put, say, table
from resources.warehouse.pair_rows import PairRows, energy_by_type
from rotoscale.multiple import called_apart, called_together
from rotoscale.pair_summary import whole_change

if TYPE_CHECKING:
    from rich.console import Console

_ORDER = ("q", "k", "v", "o", "gate", "up", "down")
_PARTS = ("scale", "diagonal", "shared", "apart", "outside")


def short(console: Console, rows: PairRows) -> None:
    """Print one table of a pair, a line for each matrix type; nothing of an unchanged pair."""
    where = energy_by_type(rows.matrices)
    if not where:
        return
    with_nf = any(row["nf"] is not None for row in rows.matrices)
    put(
        console,
        table(
            "By matrix type",
            ["matrix", "n", "change", "of all, %", "alpha", "tau", "together", "apart", *(["NF/noise"] * with_nf)],
            [
                [
                    kind,
                    len(group),
                    whole_change(group),
                    f"{100 * where[kind]:.1f}",
                    _median(group, "alpha_median"),
                    _median(group, "tau"),
                    sum(called_together(row["tau"], row["q_together"]) for row in group),
                    sum(called_apart(row["tau"], row["q_apart"]) for row in group),
                    *([_median(group, "nf_over_null")] * with_nf),
                ]
                for kind, group in _by_type(rows.matrices).items()
            ],
            caption="change: |post - base| / |base| of the n matrices, else medians over layers; alpha: 1 is unscaled; "
            "tau: 0 is noise; together, apart: in how many of the n" + ("; NF/noise: 1 is noise." if with_nf else "."),
            numbers=["of all, %"],
        ),
    )


def agreement(console: Console, rows: PairRows) -> None:
    """Print how much changed and where, and whether left and right changed together; nothing of an unchanged pair."""
    by_type = _by_type(rows.matrices)
    where = energy_by_type(rows.matrices)
    if not where:
        return
    put(
        console,
        table(
            "Agreement: did left and right change together? Medians over layers",
            ["matrix", "n", "change", "identical", "tau", "largest", "of rounding", "together", "apart", "no tau"],
            [
                [
                    kind,
                    len(group),
                    whole_change(group),
                    _median(group, "identical_share"),
                    _median(group, "tau"),
                    max((row["tau"] for row in group if row["tau"] is not None), default=None),
                    _median(group, "tau_rounding"),
                    sum(called_together(row["tau"], row["q_together"]) for row in group),
                    sum(called_apart(row["tau"], row["q_apart"]) for row in group),
                    sum(row["tau"] is None for row in group),
                ]
                for kind, group in by_type.items()
            ],
            caption="tau: 1 is He and Cao's formula, 0 noise, below 0 the sides apart. Called at |tau| and q of 0.05.",
        ),
    )
    put(
        console,
        table(
            "Energy of the change in %, and in brackets what noise would leave",
            ["matrix", "of all", *_PARTS, "leading / noise"],
            [
                [kind, f"{100 * where[kind]:.1f}", *(_share(group, part) for part in _PARTS), _leading(group)]
                for kind, group in by_type.items()
            ],
            numbers=["of all", *_PARTS],
            caption="scale: one factor; diagonal: an uneven scale; shared, apart: both sides together, each in its own "
            "way; outside the base's spaces; leading: block of the base's leading tenth.",
        ),
    )


def reading(console: Console, sentences: Sequence[str]) -> None:
    """Print the sentences on a pair, each on lines of its own."""
    for sentence in sentences:
        say(console, sentence)


def _by_type(rows: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(row["matrix"], []).append(row)
    order = [kind for kind in _ORDER if kind in groups]
    return {kind: groups[kind] for kind in (*order, *sorted(groups.keys() - set(order)))}


def _median(rows: Sequence[dict[str, Any]], name: str) -> float | None:
    known = [row[name] for row in rows if row[name] is not None]
    return median(known) if known else None


def _leading(rows: Sequence[dict[str, Any]]) -> float | None:
    known = [
        row["principal_share"] / row["principal_share_expected"] for row in rows if row["principal_share_expected"]
    ]
    return round(median(known), 2) if known else None


def _share(rows: Sequence[dict[str, Any]], part: str) -> str:
    share, expected = _median(rows, f"share_{part}"), _median(rows, f"share_{part}_expected")
    return "" if share is None or expected is None else f"{100 * share:.1f} ({100 * expected:.1f})"
