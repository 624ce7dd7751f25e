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

_LEAST_SPAN = 0.01
"""A diverging scale reaches at least this far from its centre, so that rounding does not look like a finding."""


def layer_map(
    data: pd.DataFrame,
    quantity: Quantity,
    *,
    theme: str = "light",
    picked: tuple[int, str] | None = None,
    reach: float | None = None,
) -> Chart:
    """Heat map of `value` by `layer` and `matrix`, the picked cell outlined.

    Plotly cannot select cells of a heat map, so each cell also holds a point without any mark, which answers clicks
    and hovering; its `customdata` is [layer, matrix, value in words]. `reach` fixes how far the scale goes from the
    centre.
    """
    layers = sorted({int(v) for v in data["layer"]})
    names = in_order(list(dict.fromkeys(data["matrix"])))
    found = {(int(r.layer), r.matrix): (r.value, int(r.matrices)) for r in data.itertuples()}
    z = [[_finite(found.get((layer, name), (None, 0))[0]) for layer in layers] for name in names]
    rows = [text.label(name, 16) for name in names]
    step = 34 if len(names) <= 8 else 26
    chart = Chart()
    chart.add(
        {
            "type": "heatmap", "x": layers, "y": rows, "z": z, "hoverinfo": "skip", "xgap": 1, "ygap": 1,
            "colorbar": {"title": {"text": text.label(quantity.label), "side": "right"}, "thickness": 12,
                         "len": 1, "outlinewidth": 0, "tickformat": "~g"},
            **_scale([v for row in z for v in row if v is not None], quantity, theme, reach),
            **({"texttemplate": "%{z:.3f}", "textfont": {"size": 11}} if len(layers) <= 16 else {}),
        }
    )  # fmt: skip
    points = [(layer, name, row) for name, row in zip(names, rows, strict=True) for layer in layers]
    chart.add(
        {
            "type": "scatter", "mode": "text", "text": "", "showlegend": False,
            "x": [p[0] for p in points], "y": [p[2] for p in points],
            "customdata": [[p[0], p[1], _words(found.get((p[0], p[1])))] for p in points],
            "hovertemplate": f"<b>layer %{{x}}, %{{y}}</b><br>{text.label(quantity.label)} "
                             "%{customdata[2]}<extra></extra>",
        }
    )  # fmt: skip
    if picked and picked[0] in layers and picked[1] in names:
        row = names.index(picked[1])
        box = {"x0": picked[0] - 0.5, "x1": picked[0] + 0.5, "y0": row - 0.5, "y1": row + 0.5}
        chart.arrange(shapes=[{"type": "rect", **box, "line": {"color": colours.ink(theme), "width": 2.5}}])
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


def _scale(values: list[float], quantity: Quantity, theme: str, reach: float | None) -> dict[str, Any]:
    if quantity.centre is None:
        return {"colorscale": colours.AMOUNT, "zmin": min([0.0, *values]), "zmax": max(values, default=1.0) or 1.0}
    span = reach or reach_of(values, quantity.centre)
    return {
        "colorscale": colours.diverging(theme), "zmid": quantity.centre,
        "zmin": quantity.centre - span, "zmax": quantity.centre + span,
    }  # fmt: skip


def _words(value: tuple[Any, int] | None) -> str:
    if value is None:
        return "not measured"
    return text.number(value[0], 4) + (f"<br>median of {value[1]} experts" if value[1] > 1 else "")


def _finite(value: Any) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None
