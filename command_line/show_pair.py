"""The end of a comparison on a terminal: agreement and energy by matrix type, and the reading made of them."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import TYPE_CHECKING, Any

from command_line.show import table
from resources.warehouse.pair_rows import PairRows, energy_by_type, pair_sentences
from rotoscale.multiple import called_apart, called_together

if TYPE_CHECKING:
    from rich.console import Console

_ORDER = ("q", "k", "v", "o", "gate", "up", "down")
_PARTS = ("scale", "diagonal", "shared", "apart", "outside")


def agreement(console: Console, rows: PairRows) -> None:
    """Print how much changed and where, and whether left and right changed together; nothing of an unchanged pair."""
    by_type = _by_type(rows.matrices)
    where = energy_by_type(rows.matrices)
    if not where:
        return
    console.print(
        table(
            "Agreement: did left and right change together? Medians over layers",
            ["matrix", "n", "change", "identical", "tau", "largest", "of rounding", "together", "apart", "no tau"],
            [
                [
                    kind,
                    len(group),
                    _median(group, "relative_change"),
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
        )
    )
    console.print(
        table(
            "Energy of the change in %, and in brackets what noise would leave",
            ["matrix", "of all", *_PARTS, "leading / noise"],
            [
                [kind, f"{100 * where[kind]:.1f}", *(_share(group, part) for part in _PARTS), _leading(group)]
                for kind, group in by_type.items()
            ],
            caption="scale: one factor; diagonal: an uneven scale; shared, apart: both sides together, each in its own "
            "way; outside the base's spaces; leading: block of the base's leading tenth.",
        )
    )


def reading(console: Console, rows: PairRows) -> None:
    """Print the sentences of a pair, one to a line."""
    for sentence in pair_sentences(rows):
        console.print(sentence, style="bold", markup=False)


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
