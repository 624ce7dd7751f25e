"""The heat map of one quantity by layer and matrix type: the picture to find a matrix in."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from dashboard import colours, text
from dashboard.figures.frame import Chart, beside, framed, layer_axis
from dashboard.quantities import Quantity
from resources.warehouse.summaries import in_order

if TYPE_CHECKING:
    import pandas as pd

UNDECIDED = "undecided"
"""The verdict of a cell whose test decides nothing."""

_LEAST_SPAN = 0.01
"""A diverging scale reaches at least this far from its centre, so that rounding does not look like a finding."""


def layer_map(
    data: pd.DataFrame,
    quantity: Quantity,
    *,
    theme: str = "light",
    picked: tuple[int, str] | None = None,
    reach: float | None = None,
    free: bool = False,
) -> Chart:
    """Heat map of `value` by `layer` and `matrix`, the picked cell outlined.

    Colours run over the quantity's own scale, the same for every model; `free` fits them to the values shown, and
    `reach` fixes how far they go from the centre. Where there is a column `verdict`, cells whose test decides nothing
    are grey. Plotly cannot select cells of a heat map, so each cell also holds a point without any mark, which answers
    clicks and hovering; its `customdata` is [layer, matrix, value in words].
    """
    layers = sorted({int(v) for v in data["layer"]})
    names = in_order(list(dict.fromkeys(data["matrix"])))
    found = {(int(r["layer"]), r["matrix"]): r for r in data.to_dict("records")}
    values = [[_finite(found.get((layer, name), {}).get("value")) for layer in layers] for name in names]
    grey = [[found.get((layer, name), {}).get("verdict") == UNDECIDED for layer in layers] for name in names]
    z = [[None if g else v for v, g in zip(*row, strict=True)] for row in zip(values, grey, strict=True)]
    written = [["" if v is None else f"{v:.{min(3, quantity.digits)}f}" for v in row] for row in values]
    in_words = {"text": written, "texttemplate": "%{text}", "textfont": {"size": 11}} if len(layers) <= 16 else {}
    rows = [text.label(name, 16) for name in names]
    step = 34 if len(names) <= 8 else 26
    chart = Chart()
    chart.add(
        {
            "type": "heatmap", "x": layers, "y": rows, "z": z, "hoverinfo": "skip", "xgap": 1, "ygap": 1,
            "colorbar": {"title": {"text": text.label(quantity.label), "side": "right"}, "thickness": 12,
                         "len": 1, "outlinewidth": 0, "tickformat": "~g"},
            **_scale([v for row in values for v in row if v is not None], quantity, theme, reach, free), **in_words,
        }
    )  # fmt: skip
    points = [(layer, name, row) for name, row in zip(names, rows, strict=True) for layer in layers]
    chart.add(
        {
            "type": "scatter", "mode": "text", "text": "", "showlegend": False,
            "x": [p[0] for p in points], "y": [p[2] for p in points],
            "customdata": [[p[0], p[1], _words(found.get((p[0], p[1])), quantity.digits)] for p in points],
            "hovertemplate": f"<b>layer %{{x}}, %{{y}}</b><br>{text.label(quantity.label)} "
                             "%{customdata[2]}<extra></extra>",
        }
    )  # fmt: skip
    if any(any(row) for row in grey):
        tone = colours.UNDECIDED["dark" if theme == "dark" else "light"]
        chart.add(
            {
                "type": "heatmap", "x": layers, "y": rows, "z": [[1 if g else None for g in row] for row in grey],
                "hoverinfo": "skip", "showscale": False, "colorscale": [[0, tone], [1, tone]], "xgap": 1, "ygap": 1,
                **in_words,
            }
        )  # fmt: skip
    if picked and picked[0] in layers and picked[1] in names:
        row = names.index(picked[1])
        box = {"x0": picked[0] - 0.5, "x1": picked[0] + 0.5, "y0": row - 0.5, "y1": row + 0.5}
        chart.arrange(  # dark inside light inside dark: one of them stands out on any colour
            shapes=[
                {"type": "rect", **box, "line": {"color": colour, "width": width}}
                for colour, width in (("#111111", 6), ("#ffffff", 3.5), ("#111111", 1.2))
            ]
        )
    chart.arrange(
        yaxis={"range": [len(names) - 0.5, -0.5], "type": "category", "showgrid": False, "fixedrange": True},
        xaxis={**layer_axis(layers[0], layers[-1]), "showgrid": False},
    )
    return framed(
        chart,
        104 + step * len(names),
        left=beside(rows),
        bottom=54,
        hovermode="closest",
        hoverdistance=-1,
        dragmode=False,
    )


def reach_of(values: list[float], centre: float) -> float:
    """How far the bulk of the values lies from the centre: the 99th percentile of the distance."""
    distances = sorted(abs(v - centre) for v in values)
    if not distances:
        return _LEAST_SPAN
    return max(_LEAST_SPAN, distances[min(len(distances) - 1, int(0.99 * len(distances)))])


def _scale(
    values: list[float], quantity: Quantity, theme: str, reach: float | None, free: bool
) -> dict[str, Any]:  # fmt: skip
    if not free and reach is None:
        low = 0.0 if quantity.centre is None else quantity.centre - quantity.reach
        return {
            "colorscale": colours.steep(theme, around=quantity.centre is not None),
            "zmin": low, "zmax": (quantity.centre or 0.0) + quantity.reach,
        }  # fmt: skip
    if quantity.centre is None:
        return {"colorscale": colours.AMOUNT, "zmin": min([0.0, *values]), "zmax": max(values, default=1.0) or 1.0}
    span = reach or reach_of(values, quantity.centre)
    return {
        "colorscale": colours.diverging(theme), "zmid": quantity.centre,
        "zmin": quantity.centre - span, "zmax": quantity.centre + span,
    }  # fmt: skip


def _words(row: dict[str, Any] | None, digits: int) -> str:
    """A cell's value, its test where it has one, and how many experts it stands for."""
    if row is None:
        return "not measured"
    lines = [text.number(row["value"], digits)]
    if "verdict" in row and _finite(row["value"]) is not None:
        lines += [f"p {text.number(row['p'])}, q {text.number(row['q'])}", str(row["verdict"])]
    if row["matrices"] > 1:
        lines.append(f"median of {int(row['matrices'])} experts")
    return "<br>".join(lines)


def _finite(value: Any) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None
