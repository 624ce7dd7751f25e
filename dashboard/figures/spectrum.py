"""One matrix along its spectrum: singular values, their ratio, and how far each singular vector rotated."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from dashboard import colours
from dashboard.figures.frame import Chart, across, framed, log_ticks, plain

if TYPE_CHECKING:
    import pandas as pd


def values(data: pd.DataFrame) -> Chart:
    """Singular values of base and post on logarithmic axes."""
    chart = Chart()
    for column, colour, dash, width in (("base", colours.BASE, "solid", 3), ("post", colours.POST, "dash", 1.8)):
        chart.add(_line(data, column, colour, column, dash, width))
    chart.arrange(
        xaxis={**log_ticks(data["component"]), "title": {"text": "component, largest first"}},
        yaxis={**log_ticks([*data["base"], *data["post"]]), "title": {"text": "singular value"}},
    )
    return framed(chart, 340)


def ratio(data: pd.DataFrame, *, alpha: float | None, low: float | None, high: float | None) -> Chart:
    """s_post / s_base along the spectrum, with its median, its 5th to 95th percentile, and what decay alone leaves."""
    chart = Chart()
    chart.add(_line(data, "ratio", colours.POST, "s post / s base", "solid", 1.5))
    if low is not None and high is not None and low <= high:
        band = {"type": "rect", "xref": "x domain", "x0": 0, "x1": 1, "y0": low, "y1": high, "layer": "below"}
        chart.arrange(shapes=[{**band, "fillcolor": colours.POST, "opacity": 0.12, "line": {"width": 0}}])
    chart.arrange(**across(1.0, " unchanged", dash="dot", outside=True))
    if alpha is not None and math.isfinite(alpha):
        chart.arrange(**across(alpha, " median", colour=colours.EDIT, outside=True))
    chart.arrange(xaxis={"title": {"text": "component, largest first"}}, yaxis={"title": {"text": "ratio"}})
    return framed(chart, 340).arrange(margin={"r": 76})


def decay(data: pd.DataFrame, alpha: float) -> Chart:
    """The picked matrix beside what plain weight decay to the same median would have left: one flat line."""
    chart = Chart()
    ends = [data["component"].min(), data["component"].max()]
    chart.add(_line(data, "ratio", colours.POST, "this matrix", "solid", 1.5))
    chart.add(
        {"type": "scatter", "mode": "lines", "x": ends, "y": [alpha, alpha], "name": "weight decay alone, same α",
         "line": {"color": colours.EDIT, "width": 3, "dash": "dash"}, "hoverinfo": "skip"}
    )  # fmt: skip
    chart.arrange(xaxis={"title": {"text": "component, largest first"}}, yaxis={"title": {"text": "ratio"}})
    return framed(chart, 280)


def rotated(data: pd.DataFrame) -> Chart:
    """|diag A| and |diag B| along the spectrum: 1 where a vector stayed, 0 where it became another."""
    chart = Chart()
    chart.add(_line(data, "left", colours.CATEGORIES[0], "|diag A|, left vectors", "solid", 1.6))
    chart.add(_line(data, "right", colours.CATEGORIES[1], "|diag B|, right vectors", "solid", 1.6))
    chart.arrange(**across(1.0, dash="dot"))
    chart.arrange(
        xaxis={"title": {"text": "component, largest first"}},
        yaxis={"title": {"text": "|cosine| with its own base vector"}, "range": [-0.02, 1.05]},
    )
    return framed(chart, 360)


def picture(data: pd.DataFrame) -> Chart:
    """I_orth reduced to blocks: the identity when both sides rotated by one shared rotation."""
    side = int(data["row"].max()) + 1
    cells: list[list[float | None]] = [[None] * side for _ in range(side)]
    for row, column, value in zip(data["row"], data["column"], data["value"], strict=True):
        cells[int(row)][int(column)] = float(value) if abs(value) < float("inf") else None
    chart = Chart(
        {
            "type": "heatmap", "z": cells, "colorscale": colours.AMOUNT, "zmin": 0, "zmax": 1,
            "colorbar": {"thickness": 12, "outlinewidth": 0, "title": {"text": "energy per row", "side": "right"}},
            "hovertemplate": "base block %{y}, post block %{x}: %{z:.3f}<extra></extra>",
        }
    )  # fmt: skip
    bare = {"constrain": "domain", "showgrid": False, "showticklabels": False, "zeroline": False}
    chart.arrange(
        yaxis={**bare, "autorange": "reversed", "scaleanchor": "x", "title": {"text": "base component"}},
        xaxis={**bare, "title": {"text": "post component"}},
    )
    return framed(chart, 360, left=34, bottom=34)


def standing(row: dict[str, Any]) -> Chart:
    """One matrix's NF on a line with its nulls and the unrelated level."""
    marks = (
        ("nf_unrelated", "unrelated", colours.REFERENCE, "line-ns-open", 22),
        ("nf_null", "null, first-order", colours.CATEGORIES[3], "diamond-open", 12),
        ("nf_null_simulated", "null, simulated", colours.CATEGORIES[2], "diamond", 12),
        ("nf", "NF of this matrix", colours.POST, "circle", 14),
    )
    chart = Chart()
    for column, name, colour, mark, size in marks:
        value = row.get(column)
        if value is None or not abs(value) < float("inf"):
            continue
        chart.add(
            {"type": "scatter", "mode": "markers", "x": [value], "y": [0], "name": name,
             "marker": {"color": colour, "symbol": mark, "size": size, "line": {"width": 2}},
             **(_reach(row) if column == "nf_null_simulated" else {}),
             "hovertemplate": f"{name}: %{{x:.4f}}<extra></extra>"}
        )  # fmt: skip
    chart.arrange(
        yaxis={"visible": False, "range": [-1, 1]},
        xaxis={"title": {"text": "NF"}, **log_ticks(row.get(column) for column, *_ in marks)},
    )
    return framed(chart, 150, left=16)


def _reach(row: dict[str, Any]) -> dict[str, Any]:
    """From the smallest to the largest draw of the simulated null, where there were several."""
    low, value, high = plain([row.get(name) for name in ("nf_null_low", "nf_null_simulated", "nf_null_high")])
    if low is None or value is None or high is None:
        return {}
    return {"error_x": {"type": "data", "symmetric": False, "array": [high - value], "arrayminus": [value - low]}}


def _line(data: pd.DataFrame, column: str, colour: str, name: str, dash: str, width: float) -> dict[str, Any]:
    return {
        "type": "scatter", "mode": "lines", "x": data["component"].tolist(), "y": plain(data[column]),
        "name": name,
        "line": {"color": colour, "dash": dash, "width": width},
        "hovertemplate": f"{name}<br>component %{{x}}: %{{y:.5g}}<extra></extra>",
    }  # fmt: skip
