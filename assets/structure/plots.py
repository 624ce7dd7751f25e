"""Small pictures and tables for the materializations, so that the Dagster UI shows what was found."""

from __future__ import annotations

import base64
import io
import statistics
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ORDER = ("q", "k", "v", "o", "gate", "up", "down")
# Okabe and Ito's colours, told apart by colour-blind readers too.
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000")

_BARS = "▁▂▃▄▅▆▇█"
_MOST_BARS = 24


def by_matrix(rows: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Rows grouped by matrix type, the seven principal ones first."""
    groups = defaultdict(list)
    for row in rows:
        groups[row["matrix"]].append(row)
    return {name: groups[name] for name in sorted(groups, key=lambda n: (ORDER.index(n) if n in ORDER else 99, n))}


def median(values: Sequence[float | None]) -> float | None:
    """Median of the values that there are."""
    present = [value for value in values if value is not None]
    return statistics.median(present) if present else None


def table(rows: Sequence[dict[str, Any]], columns: Sequence[str], drawn: str = "") -> dg.MetadataValue:
    """Median over layers of some columns, one line per matrix type; the column `drawn` also as bars, layer by layer.

    Bars of characters, because Dagster's UI shows Markdown of less than 1,000 characters without a click, and no image
    is as short as that. All bars have one scale, which stands in the heading.
    """
    values = [row[drawn] for row in rows if row[drawn] is not None] if drawn else []
    bars = [f"{drawn} by layer, {min(values):.3g} to {max(values):.3g}"] if values else []
    lines = ["| matrix | n | " + " | ".join([*columns, *bars]) + " |", "|" + "---|" * (len(columns) + len(bars) + 2)]
    for matrix, group in by_matrix(rows).items():
        cells = [_number(median([row[column] for row in group])) for column in columns]
        cells += [_bars(group, drawn, min(values), max(values))] if bars else []
        lines.append(f"| {matrix} | {len(group)} | " + " | ".join(cells) + " |")
    return dg.MetadataValue.md("\n".join(lines))


def _bars(rows: Sequence[dict[str, Any]], column: str, low: float, high: float) -> str:
    """A character for each layer, or for as many layers in a row as keep it short; a dot where there is no value."""
    by_layer = defaultdict(list)
    for row in rows:
        by_layer[row["layer"]].append(row[column])
    layers = [median(by_layer[layer]) for layer in sorted(by_layer)]
    width = -(-len(layers) // _MOST_BARS)
    levels = [median(layers[start : start + width]) for start in range(0, len(layers), width)]
    step = (high - low) / (len(_BARS) - 1) or 1.0
    return "".join("·" if level is None else _BARS[round((level - low) / step)] for level in levels)


def most_changed(rows: Sequence[dict[str, Any]], most: int = 10) -> dg.MetadataValue:
    """The tensors outside the principal matrices that moved most."""
    others = [row for row in rows if not row["principal"] and row["relative_change"] is not None]
    others.sort(key=lambda row: -row["relative_change"])
    lines = ["| tensor | relative change | cosine | identical |", "|---|---|---|---|"]
    for row in others[:most]:
        cells = [_number(row["relative_change"]), _number(row["cosine"]), f"{100 * row['identical_share']:.1f} %"]
        lines.append(f"| `{row['tensor']}` | " + " | ".join(cells) + " |")
    return dg.MetadataValue.md("\n".join(lines))


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def image(figure: Figure) -> dg.MetadataValue:
    """A figure as an image inside the materialization's metadata."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=80)
    return dg.MetadataValue.md(f"![plot](data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()})")


def by_layer(rows: Sequence[dict[str, Any]], column: str, label: str, line: float) -> Figure:
    """One line per matrix type of `column` over the layers, with a reference line."""
    figure, axes = _figure("layer", label)
    for (matrix, group), colour in zip(by_matrix(rows).items(), _colours(), strict=False):
        points: dict[int, list[float | None]] = defaultdict(list)
        for row in group:
            points[row["layer"]].append(row[column])
        drawn = [(layer, value) for layer, values in sorted(points.items()) if (value := median(values)) is not None]
        if drawn:
            axes.plot(*zip(*drawn, strict=True), marker="o", markersize=3, label=matrix, color=colour)
    axes.axhline(line, color="grey", linestyle="--", linewidth=1)
    axes.xaxis.get_major_locator().set_params(integer=True)
    return _finished(figure)


def ratio_spectra(rows: Sequence[dict[str, Any]]) -> Figure:
    """Median ratio of singular values along the spectrum, one line per matrix type."""
    figure, axes = _figure("position in the spectrum (0 = largest)", "s_post / s_base")
    for (matrix, group), colour in zip(by_matrix(rows).items(), _colours(), strict=False):
        grid = [i / 49 for i in range(50)]
        curves = [[r["ratio"][round(x * (len(r["ratio"]) - 1))] for x in grid] for r in group if r["ratio"]]
        middle = [median(values) for values in zip(*curves, strict=True)]
        drawn = [(x, y) for x, y in zip(grid, middle, strict=False) if y is not None]
        if drawn:
            axes.plot(*zip(*drawn, strict=True), label=matrix, color=colour)
    axes.axhline(1.0, color="grey", linestyle="--", linewidth=1)
    return _finished(figure)


def spectra(rows: Sequence[dict[str, Any]]) -> Figure:
    """Singular values of the middle layer, relative to the largest, on a logarithmic axis."""
    figure, axes = _figure("component", "s / s[0]")
    layers = sorted({row["layer"] for row in rows})
    middle = [row for row in rows if row["layer"] == layers[len(layers) // 2] and row["expert"] <= 0]
    for row, colour in zip(middle, _colours(), strict=False):
        s = row["singular_values"]
        if s and s[0] > 0:
            axes.plot([value / s[0] for value in s], label=row["matrix"], color=colour)
    axes.set_yscale("log")
    return _finished(figure)


def _colours() -> list[str]:
    return list(_COLOURS) * 4


def _figure(x: str, y: str) -> tuple[Figure, Any]:
    # The object interface, not pyplot: runs may share a process, and pyplot keeps global state.
    from matplotlib.figure import Figure as NewFigure

    figure = NewFigure(figsize=(6.4, 3.2))  # fixed margins: a layout that measures itself takes longer than drawing
    axes = figure.add_axes((0.12, 0.15, 0.7, 0.8))
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    return figure, axes


def _finished(figure: Figure) -> Figure:
    handles, _ = figure.axes[0].get_legend_handles_labels()
    if handles:
        figure.legend(loc="upper right", fontsize="small", frameon=False)
    return figure
