"""One matrix along its spectrum: singular values, their ratio and density, and how far each vector rotated."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from dashboard import colours
from dashboard.figures.frame import Chart, across, beyond, bulk, framed, layer_axis, log_ticks, plain

if TYPE_CHECKING:
    import pandas as pd

_LEAST_POWER = -4
"""I_orth's blocks are drawn down to 1e-4."""


def values(data: pd.DataFrame) -> Chart:
    """Singular values of base and post on logarithmic axes; a few tiny ones are left below the axis."""
    chart = Chart()
    known = sorted(v for v in plain([*data["base"], *data["post"]]) if v is not None and v > 0)
    seen = [v for v in known if v >= known[len(known) // 50] / 3] if known else []
    for column, colour, dash, width in (("base", colours.BASE, "solid", 3), ("post", colours.POST, "dash", 1.8)):
        chart.add(_line(data, column, colour, column, dash, width))
    chart.arrange(
        xaxis={**log_ticks(data["component"]), "title": {"text": "component, largest first"}},
        yaxis={**log_ticks(seen), "title": {"text": "singular value"}, **_between(seen)},
    )
    return framed(chart, 340)


def _between(values: list[float]) -> dict[str, Any]:
    """The range of a logarithmic axis from the smallest to the largest of some positive values."""
    if not values or values[0] == values[-1]:
        return {}
    low, high = math.log10(values[0]), math.log10(values[-1])
    return {"range": [low - 0.05 * (high - low), high + 0.05 * (high - low)]}


def density(data: pd.DataFrame) -> Chart:
    """Density of the singular values, base and post, beside the law of a random matrix of this shape and norm.

    `data` has whose, value, density (per unit of ln), rows, cols and frobenius_norm, one row per bar.
    """
    chart = Chart()
    for whose, colour, dash, width in (("base", colours.BASE, "solid", 3), ("post", colours.POST, "solid", 1.8)):
        bars = data[data["whose"] == whose]
        if bars.empty:
            continue
        chart.add(
            {
                "type": "scatter", "mode": "lines", "x": bars["value"].tolist(), "y": plain(bars["density"]),
                "name": whose, "line": {"color": colour, "dash": dash, "width": width, "shape": "hvh"},
                "hovertemplate": f"{whose}<br>singular value %{{x:.4g}}: density %{{y:.3g}}<extra></extra>",
            }
        )  # fmt: skip
        if whose == "base" or not len(data[data["whose"] == "base"]):
            row = bars.iloc[0]
            x, y = marchenko_pastur(int(row["rows"]), int(row["cols"]), float(row["frobenius_norm"]))
            chart.add(
                {"type": "scatter", "mode": "lines", "x": x, "y": y, "name": "random matrix (Marchenko-Pastur)",
                 "line": {"color": colours.EDIT, "dash": "dash", "width": 1.8}, "hoverinfo": "skip"}
            )  # fmt: skip
    seen = sorted(plain(data["value"]), key=lambda v: v or 0.0)
    chart.arrange(
        xaxis={**log_ticks(seen), "title": {"text": "singular value"}, **_between([v for v in seen if v])},
        yaxis={"title": {"text": "share per unit of ln s"}, "rangemode": "tozero"},
    )
    return framed(chart, 340)


def marchenko_pastur(rows: int, cols: int, norm: float, points: int = 160) -> tuple[list[float], list[float]]:
    """Density per unit of ln s of the singular values of an m x n matrix of independent entries with Frobenius `norm`.

    Marchenko and Pastur 1967, for large matrices: with N the longer side, q = r / N and v = norm^2 / (m n), the values
    s^2 / N lie between v (1 - sqrt q)^2 and v (1 + sqrt q)^2. Returns s and the density; empty for a zero matrix.
    """
    longer, q, variance = max(rows, cols), min(rows, cols) / max(rows, cols), norm**2 / (rows * cols)
    if not (variance > 0 and math.isfinite(variance)):
        return [], []
    low, high = variance * (1 - math.sqrt(q)) ** 2, variance * (1 + math.sqrt(q)) ** 2
    start = max(math.sqrt(low), math.sqrt(high) / 3000)  # of a square matrix the law reaches down to 0
    x = [start * (math.sqrt(high) / start) ** (i / (points - 1)) for i in range(points)]
    y = [math.sqrt(max(0.0, (high - s * s) * (s * s - low))) / (math.pi * variance * q) for s in x]
    return [s * math.sqrt(longer) for s in x], y


def ratio_map(data: pd.DataFrame, *, reach: float, theme: str = "light", picked: int | None = None) -> Chart:
    """Ratio of singular values by place in the spectrum and layer; grey where noise alone would lie as far from 1.

    Grey: within two of the standard deviations (`noise`) that noise of the change's size gives the ratios.
    """
    layers = sorted({int(v) for v in data["layer"]})
    bins = int(data["bins"].max())
    found = {(int(r["layer"]), int(r["bin"])): r for r in data.to_dict("records")}
    values: list[list[float | None]] = []
    grey: list[list[int | None]] = []
    words: list[list[str]] = []
    for place in range(bins):
        cells = [found.get((layer, place)) for layer in layers]
        ratios = plain([None if cell is None else cell["ratio"] for cell in cells])
        noise = plain([None if cell is None else cell["noise"] for cell in cells])
        inside = [v is not None and e is not None and abs(v - 1) <= 2 * e for v, e in zip(ratios, noise, strict=True)]
        values.append([None if i else v for v, i in zip(ratios, inside, strict=True)])
        grey.append([1 if i else None for i in inside])
        words.append([_stretch(cell, v, e) for cell, v, e in zip(cells, ratios, noise, strict=True)])
    heights = [100 * (place + 0.5) / bins for place in range(bins)]
    common = {"type": "heatmap", "x": layers, "y": heights, "text": words, "xgap": 1,
              "hovertemplate": "layer %{x}, %{text}<extra></extra>"}  # fmt: skip
    tone = colours.UNDECIDED["dark" if theme == "dark" else "light"]
    chart = Chart(
        {**common, "z": values, "colorscale": colours.steep(theme, around=True), "zmin": 1 - reach, "zmax": 1 + reach,
         "colorbar": {"thickness": 12, "outlinewidth": 0, "title": {"text": "ratio", "side": "right"}}},
        {**common, "z": grey, "showscale": False, "colorscale": [[0, tone], [1, tone]]},
    )  # fmt: skip
    if picked in layers:
        box = {"type": "rect", "x0": picked - 0.5, "x1": picked + 0.5, "yref": "y domain", "y0": 0, "y1": 1}
        chart.arrange(shapes=[{**box, "line": {"color": c, "width": w}} for c, w in (("#111111", 3.5), ("#ffffff", 1))])
    chart.arrange(
        xaxis={**layer_axis(layers[0], layers[-1]), "showgrid": False},
        yaxis={"range": [100, 0], "title": {"text": "place in the spectrum, %"}, "showgrid": False, "zeroline": False},
    )
    return framed(chart, 360, bottom=54)


def _stretch(cell: dict[str, Any] | None, ratio: float | None, noise: float | None) -> str:
    if cell is None or ratio is None:
        return "not measured"
    beside = "" if noise is None else f"<br>noise ± {2 * noise:.4f}"
    return f"components {int(cell['first'])} to {int(cell['last'])}<br>ratio {ratio:.4f}{beside}"


def ratio(
    data: pd.DataFrame, *, alpha: float | None, low: float | None, high: float | None, noise: float | None = None
) -> Chart:
    """s_post / s_base along the spectrum, with its median, its 5th to 95th percentile, and what decay alone leaves.

    `noise` is the standard deviation that noise of the change's size gives the ratios: two of it on either side of 1
    are a band in grey.
    """
    chart = Chart()
    chart.add(_line(data, "ratio", colours.POST, "s post / s base", "solid", 1.5))
    limits = bulk(data["ratio"], 1.0)
    edge = beyond(data["component"].tolist(), plain(data["ratio"]), limits, colours.POST)
    if edge:
        chart.add(edge)
    if noise is not None and 0 < noise < math.inf:
        band = {"type": "rect", "xref": "x domain", "x0": 0, "x1": 1, "y0": 1 - 2 * noise, "y1": 1 + 2 * noise}
        chart.arrange(shapes=[{**band, "layer": "below", "fillcolor": colours.REFERENCE, "opacity": 0.2,
                               "line": {"width": 0}}])  # fmt: skip
    if low is not None and high is not None and low <= high:
        band = {"type": "rect", "xref": "x domain", "x0": 0, "x1": 1, "y0": low, "y1": high, "layer": "below"}
        chart.arrange(shapes=[{**band, "fillcolor": colours.POST, "opacity": 0.12, "line": {"width": 0}}])
    chart.arrange(**across(1.0, " unchanged", dash="dot", outside=True))
    if alpha is not None and math.isfinite(alpha):
        chart.arrange(**across(alpha, " median", colour=colours.EDIT, outside=True))
    chart.arrange(
        xaxis={"title": {"text": "component, largest first"}},
        yaxis={"title": {"text": "ratio"}, "range": list(limits)},
    )
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
    """I_orth reduced to blocks: its diagonal as a line above, and on a logarithmic scale what lies beside it.

    The identity when both sides rotated by one shared rotation: a line at 1 over nothing.
    """
    side = int(data["row"].max()) + 1
    diagonal: list[float | None] = [None] * side
    cells: list[list[float | None]] = [[None] * side for _ in range(side)]
    for row, column, value in zip(data["row"], data["column"], data["value"], strict=True):
        if row == column:
            diagonal[int(row)] = float(value) if abs(value) < math.inf else None
        elif 0 < value < math.inf:
            cells[int(row)][int(column)] = math.log10(value)
    sizes = [[None if v is None else f"{10**v:.2e}" for v in row] for row in cells]
    powers = range(_LEAST_POWER, 1)
    chart = Chart(
        {
            "type": "heatmap", "z": cells, "text": sizes, "colorscale": colours.AMOUNT, "zmin": _LEAST_POWER, "zmax": 0,
            "colorbar": {"thickness": 12, "outlinewidth": 0, "title": {"text": "off the diagonal", "side": "right"},
                         "tickvals": list(powers), "ticktext": [f"1e{p}" if p else "1" for p in powers],
                         "len": 0.8, "y": 0, "yanchor": "bottom"},
            "hovertemplate": "base block %{y}, post block %{x}: %{text}<extra></extra>",
        },
        {
            "type": "scatter", "mode": "lines", "x": list(range(side)), "y": diagonal, "yaxis": "y2",
            "line": {"color": colours.POST, "width": 1.6}, "showlegend": False,
            "hovertemplate": "block %{x} of the diagonal: %{y:.4f}<extra></extra>",
        },
    )  # fmt: skip
    top = {"domain": [0.84, 1], "anchor": "x", "range": [-0.05, 1.08], "tickvals": [0, 1], "zeroline": False}
    chart.arrange(yaxis2={**top, "title": {"text": "diagonal", "standoff": 2}}, yaxis={"domain": [0, 0.8]})
    bare = {"constrain": "domain", "showgrid": False, "showticklabels": False, "zeroline": False}
    chart.arrange(
        yaxis={**bare, "autorange": "reversed", "scaleanchor": "x", "title": {"text": "base component"}},
        xaxis={**bare, "title": {"text": "post component"}},
    )
    return framed(chart, 420, left=52, bottom=34)


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
