"""Pictures and small tables for the materializations of circuits, so that the Dagster UI shows what was found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Rows = Sequence[Mapping[str, Any]]


def head_grid(rows: Rows) -> Figure:
    """Layer by head, a grid for each step of path patching, on one colour scale; heads of the circuit are marked."""
    # The object interface, not pyplot: runs may share a process, and pyplot keeps global state.
    from matplotlib.figure import Figure as NewFigure

    groups = list(dict.fromkeys(row["circuit_group"] for row in rows))
    layers, heads = (1 + max(row[name] for row in rows) for name in ("layer", "head"))
    reach = max((abs(row["score"]) for row in rows), default=0) or 1.0
    figure = NewFigure(figsize=(1.6 + 2.2 * len(groups), 2.6), layout="constrained")
    shown: Any = None
    panels = figure.subplots(1, len(groups), squeeze=False, sharey=True)[0]
    for axes, group in zip(panels, groups, strict=True):
        mine = [row for row in rows if row["circuit_group"] == group]
        grid = [[0.0] * layers for _ in range(heads)]
        for row in mine:
            grid[row["head"]][row["layer"]] = row["score"]
        shown = axes.imshow(grid, cmap="PuOr", vmin=-reach, vmax=reach, origin="lower", aspect="auto")
        kept = [(row["layer"], row["head"]) for row in mine if row["kept"]]
        axes.plot([layer for layer, _ in kept], [head for _, head in kept], "kx", markersize=5)
        axes.set_title(f"{group}: {len(kept)} kept", fontsize="small")
        axes.set_xlabel("layer")
        for axis in (axes.xaxis, axes.yaxis):
            axis.get_major_locator().set_params(integer=True)
    panels[0].set_ylabel("head")
    figure.colorbar(shown, ax=list(panels), label="relative change of probability")
    return figure


def curves(rows: Rows) -> Figure:
    """f against the number of heads kept, with the random band, for both ways to replace the others."""
    from matplotlib.figure import Figure as NewFigure

    figure = NewFigure(figsize=(6.4, 3.2), layout="constrained")
    axes = figure.subplots()
    for ablation, colour in (("mean", "#0072B2"), ("counterfactual", "#D55E00")):
        mine = [row for row in rows if row["ablation"] == ablation and row["f"] is not None]
        axes.plot([r["n_heads"] for r in mine], [r["f"] for r in mine], marker="o", label=ablation, color=colour)
        band = [row for row in mine if row["f_random_low"] is not None]
        axes.fill_between(
            [r["n_heads"] for r in band],
            [r["f_random_low"] for r in band],
            [r["f_random_high"] for r in band],
            alpha=0.2,
            color=colour,
            linewidth=0,
        )
    axes.axhline(1.0, color="grey", linestyle="--", linewidth=1)
    axes.set_xlabel("heads kept")
    axes.set_ylabel("f")
    axes.legend(frameon=False, fontsize="small")
    return figure


def group_table(tables: Mapping[str, Rows]) -> dg.MetadataValue:
    """One line per step: its heads, or the best rejected score of a step that found none."""
    lines = ["| group | heads | best score | reason |", "|---|---|---|---|"]
    for row in tables["circuit_screens"]:
        group = row["circuit_group"]
        kept = [h for h in tables["circuit_heads"] if h["circuit_group"] == group and h["kept"]]
        names = " ".join(f"{h['layer']}.{h['head']}" for h in sorted(kept, key=lambda h: h["score"]))
        best = "" if row["best_score"] is None else f"{row['best_score']:.3g}"
        lines.append(f"| {group} | {names or 'empty'} | {best} | {'' if kept else row['reason']} |")
    return dg.MetadataValue.md("\n".join(lines))


def mask_table(rows: Rows) -> dg.MetadataValue:
    """Accuracy of each group's mask by desideratum, the random masks' mean beside it."""
    names = list(dict.fromkeys(row["desideratum"] for row in rows))
    lines = ["| group | " + " | ".join(names) + " |", "|---|" + "---|" * len(names)]
    for group in dict.fromkeys(row["circuit_group"] for row in rows):
        found = {row["desideratum"]: row for row in rows if row["circuit_group"] == group}
        cells = [_beside(found[name]["accuracy"], found[name]["accuracy_random"]) for name in names]
        lines.append(f"| {group} | " + " | ".join(cells) + " |")
    return dg.MetadataValue.md("\n".join(lines))


def exchange_table(rows: Rows) -> dg.MetadataValue:
    """Accuracy of each recipient with each group of the donor's heads, random heads beside it."""
    lines = ["| recipient | donor | alone | group | patched (random) |", "|---|---|---|---|---|"]
    for row in rows:
        patched = _beside(row["accuracy_patched"], row["accuracy_random"])
        alone = f"{row['accuracy_recipient']:.2f}"
        lines.append(f"| {row['recipient_id']} | {row['donor_id']} | {alone} | {row['component']} | {patched} |")
    return dg.MetadataValue.md("\n".join(lines))


def _beside(value: float, control: float | None) -> str:
    return f"{value:.2f}" if control is None else f"{value:.2f} ({control:.2f})"
