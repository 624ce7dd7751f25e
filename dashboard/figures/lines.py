"""Lines along the layers: small multiples with common axes, and one figure with one line set off from the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from dashboard import colours, text
from dashboard.figures.frame import (
    Chart,
    across,
    beyond,
    framed,
    heading,
    layer_axis,
    log_ticks,
    number_of,
    plain,
    rounded,
    tile_step,
)
from resources.warehouse.summaries import in_order

Style = Mapping[str, tuple[str, str, str]]
"""Colour, marker and dash of each series by name."""


def multiples(
    data: pd.DataFrame,
    *,
    series: str,
    styles: Style,
    y_title: str,
    row: str | None = None,
    x: str = "layer",
    x_title: str = "layer",
    centre: float | None = None,
    tile_height: int = 170,
    log_y: bool = False,
    limits: tuple[float, float] | None = None,
) -> Chart:
    """Small multiples of `value` along the layers: a column per matrix type, a row per value of `row`, one axis scale.

    `series` names the column that tells the lines of one tile apart. The tiles of a row are stretches of one axis, and
    a line is one trace through all of them with gaps between: a browser draws that many times faster than an axis and
    a trace for every tile. What lies beyond `limits` of the y axis is marked at its edge.
    """
    matrices = in_order(data["matrix"].unique().tolist())
    rows = data[row].unique().tolist() if row else [""]
    span = max(1.0, float(data[x].max()))
    gap = max(0.12 * span, 1.0)  # the last number of a tile and the first of the next stay apart
    offset = {matrix: round(number * (span + gap), 3) for number, matrix in enumerate(matrices)}
    points = pd.DataFrame(
        {
            "row": data[row] if row else "", "line": data[series], "matrix": data["matrix"],
            "x": data["matrix"].map(offset).astype(float) + data[x], "y": rounded(data["value"]),
            "words": data["matrix"].map({m: f"{text.label(m, 24)}, layer " for m in matrices})
            + data["layer"].astype(str),
        }
    )  # fmt: skip
    chart = Chart()
    edges: list[dict[str, Any]] = []
    shown: set[str] = set()
    for (name, line), of_line in points.groupby(["row", "line"], sort=False):
        colour, _, dash = styles[line]
        axis = f"y{number_of(rows.index(name))}"
        if limits and (marks := beyond(of_line["x"].tolist(), plain(of_line["y"]), limits, colour, yaxis=axis)):
            marks["hovertemplate"] = f"<b>{text.label(line)}</b><br>{marks['hovertemplate']}"
            edges.append(marks)
        chart.add(
            {
                "type": "scatter", "mode": "lines", **_stretches(of_line), "yaxis": axis,
                "name": text.label(line, 32), "legendgroup": str(line), "showlegend": line not in shown,
                "line": {"color": colour, "dash": dash, "width": 1.6}, "connectgaps": False,
                "hovertemplate": f"<b>{text.label(line)}</b><br>%{{customdata}}: %{{y:.4g}}<extra></extra>",
            }
        )  # fmt: skip
        shown.add(line)
    legend_lines = -(-len(shown) // 4)  # as many names as fit beside each other on paper
    height = 80 + tile_height * len(rows) + 20 * legend_lines
    framed(chart, height, **_rows([text.label(name, 24) for name in rows], y_title), hovermode="closest")
    chart.arrange(
        legend={"y": 1.0, "yref": "container", "yanchor": "top"},
        margin={"t": 34 + 20 * legend_lines, "r": 28 if row else 8},
        xaxis=_tiled(matrices, offset, span, x_title),
        annotations=[heading(text.label(m, 12), offset[m] + span / 2, 1, xref="x") for m in matrices],
    )
    for marks in edges:
        chart.add(marks)
    for i in range(len(rows)):
        axis = number_of(i)
        if centre is not None:
            chart.arrange(shapes=across(centre, axis=axis, along="x")["shapes"])
        if limits:
            chart.arrange(**{f"yaxis{axis}": {"range": list(limits)}})
        if log_y:
            chart.arrange(**{f"yaxis{axis}": log_ticks(data["value"])})
    return chart


def _stretches(points: pd.DataFrame) -> dict[str, list[Any]]:
    """One line through the tiles: its places, values and hover words, interrupted between tiles."""
    points = points.sort_values("x", kind="stable")
    matrix = points["matrix"].to_numpy()
    ends = [*(np.flatnonzero(matrix[1:] != matrix[:-1]) + 1), len(matrix)]
    stretches: dict[str, list[Any]] = {"x": [], "y": [], "customdata": []}
    for key, column in zip(stretches, ("x", "y", "words"), strict=True):
        values, start = points[column].tolist(), 0
        for end in ends:
            stretches[key] += [*values[start:end], None]
            start = end
    stretches["y"] = plain(stretches["y"])
    return stretches


def _tiled(matrices: Sequence[str], offset: Mapping[str, float], span: float, title: str) -> dict[str, Any]:
    """The x axis that all tiles of all rows share: it starts anew for every matrix type."""
    step = tile_step(span if title != "layer" else max(2.0, span))
    ticks = [step * i for i in range(int(span / step) + 1)]
    return {
        "tickmode": "array", "tickvals": [offset[m] + t for m in matrices for t in ticks],
        "ticktext": [f"{t:g}" for _ in matrices for t in ticks], "title": {"text": title},
        "range": [-0.03 * span, offset[matrices[-1]] + 1.03 * span], "showgrid": False, "zeroline": False,
        "tickangle": 0,
    }  # fmt: skip


def _rows(names: Sequence[str], y_title: str) -> dict[str, Any]:
    """Rows of tiles under each other, with their names at the right end."""
    gap = 0.05 / len(names)
    high = (1 - gap * (len(names) - 1)) / len(names)
    layout: dict[str, Any] = {"annotations": []}
    for i, name in enumerate(names):
        top = 1 - i * (high + gap)
        layout[f"yaxis{number_of(i)}"] = {
            "domain": [max(0.0, top - high), top], "anchor": "x", "title": {"text": y_title}, "nticks": 5,
            "zeroline": False, **({"matches": "y"} if i else {}),
        }  # fmt: skip
        if name:
            layout["annotations"].append({**heading(name, 1, top - high / 2), "textangle": 90, "xshift": 4})
            layout["annotations"][-1] |= {"xanchor": "left", "yanchor": "middle"}
    layout["xaxis"] = {"anchor": f"y{number_of(len(names) - 1)}"}
    return layout


def by_type(data: pd.DataFrame, *, strong: str, y_title: str, centre: float | None = None) -> Chart:
    """`value` by layer, one line per matrix type, `strong` set off from the rest: is one type out of line?"""
    chart = Chart()
    matrices = in_order(list(dict.fromkeys(data["matrix"])))
    for matrix in sorted(matrices, key=lambda m: m == strong):
        points = data[data["matrix"] == matrix]
        is_strong = matrix == strong
        chart.add(
            {
                "type": "scatter", "mode": "lines+markers" if is_strong else "lines", "name": text.label(matrix, 16),
                "x": points["layer"].tolist(), "y": plain(points["value"]),
                "line": {"color": colours.of_matrix(matrix), "width": 3.5 if is_strong else 1.3},
                "opacity": 1 if is_strong else 0.6, "marker": {"size": 6},
                "hovertemplate": f"{text.label(matrix)}, layer %{{x}}: %{{y:.4f}}<extra></extra>",
            }
        )  # fmt: skip
    if centre is not None:
        chart.arrange(**across(centre))
    layers = layer_axis(int(data["layer"].min()), int(data["layer"].max()))
    chart.arrange(yaxis={"title": {"text": y_title}}, xaxis=layers)
    return framed(chart, 340)


def spread(data: pd.DataFrame, *, strong: str, y_title: str, centre: float | None = None) -> Chart:
    """All layers' `value` of each matrix type as a box, `strong` filled; with points while they can be told apart."""
    chart = Chart()
    points_shown = "all" if data["layer"].nunique() <= 40 else "outliers"
    for matrix in in_order(list(dict.fromkeys(data["matrix"]))):
        points = data[data["matrix"] == matrix]
        colour = colours.of_matrix(matrix)
        chart.add(
            {
                "type": "box", "name": text.label(matrix, 12), "y": plain(points["value"]), "boxpoints": points_shown,
                "jitter": 0.4, "pointpos": 0, "showlegend": False, "marker": {"color": colour, "size": 4},
                "line": {"color": colour, "width": 2.5 if matrix == strong else 1.2},
                "fillcolor": colour if matrix == strong else "rgba(0,0,0,0)", "opacity": 0.9,
                "text": [f"layer {v}" for v in points["layer"]], "hovertemplate": "%{text}: %{y:.4f}<extra></extra>",
                "hoveron": "points",
            }
        )  # fmt: skip
    if centre is not None:
        chart.arrange(**across(centre))
    chart.arrange(yaxis={"title": {"text": y_title}})
    return framed(chart, 340, bottom=30).each_axis("x", automargin=True)


def along(
    data: pd.DataFrame, *, series: Sequence[str], styles: Style, y_title: str, same: float | None = None
) -> Chart:
    """`value` by layer, one line per value of the column `series`.

    With `same` the values are distances on a logarithmic axis; those below it count as none and stand at its lower
    edge as triangles.
    """
    chart = Chart()
    apart = data.loc[data["value"] > same, "value"] if same is not None else data["value"]
    edge = float(apart.min()) / 2 if len(apart) else same
    for name in series:
        colour, mark, dash = styles[name]
        points = data[data["series"] == name]
        none = points["value"] <= same if same is not None else pd.Series(False, points.index)
        chart.add(
            {
                "type": "scatter", "mode": "lines+markers", "x": points["layer"].tolist(),
                "y": plain(points["value"].mask(none, edge)), "customdata": plain(points["value"]),
                "name": text.label(name, 40), "line": {"color": colour, "dash": dash, "width": 1.8},
                "marker": {"symbol": ["triangle-down" if at_edge else mark for at_edge in none], "size": 6},
                "hovertemplate": f"<b>{text.label(name)}</b><br>layer %{{x}}: %{{customdata:.3g}}<extra></extra>",
            }
        )  # fmt: skip
    axis = log_ticks([*apart, edge]) if same is not None else {}
    chart.arrange(
        yaxis={"title": {"text": y_title}, **axis},
        xaxis=layer_axis(int(data["layer"].min()), int(data["layer"].max())),
    )
    return framed(chart, 320)
