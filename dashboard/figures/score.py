"""Scores with their error bars: whole models side by side, and a model beside its base, edits and controls."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from dashboard import colours, text
from dashboard.figures.forest import arrows
from dashboard.figures.frame import (
    Chart,
    across,
    axis_of,
    beside,
    filled,
    framed,
    heading,
    layer_axis,
    near,
    plain,
    tiles,
    upright,
)
from dashboard.figures.lines import Style

if TYPE_CHECKING:
    import pandas as pd


def dots(data: pd.DataFrame, *, guides: bool = True) -> Chart:
    """Dot plot: a tile per task (`panel`), a line per subject (`name`), the mark by `kind`.

    Whiskers are `stderr`, or reach from `low` to `high` where the data have these; without either there are none.
    With `guides` the scores of the one base and the one post model run through each tile as lines. A tile shows whole
    intervals where the data have them, else the range of most scores: an edit that collapsed stands at its edge as an
    arrow with its score written beside it.
    """
    panels = list(dict.fromkeys(data["panel"]))
    names = list(dict.fromkeys(data["name"]))
    wide = filled(len(panels), 4)
    rows = -(-len(panels) // wide)
    chart = Chart()
    shown: set[str] = set()
    limits: dict[str, tuple[float, float]] = {}
    shapes = []
    for number, panel in enumerate(panels):
        axis = axis_of(0, number, wide)
        of_panel = data[data["panel"] == panel]
        held = of_panel.loc[of_panel["kind"].isin(("base", "post")), "value"] if guides else ()
        limits[axis] = _limits(of_panel, held)
        for arrow in arrows(of_panel, "value", limits[axis], axis, name="name"):
            chart.add(arrow)
        for kind, points in of_panel[of_panel["value"].between(*limits[axis])].groupby("kind", sort=False):
            chart.add(
                {
                    "type": "scatter", "mode": "markers", "x": plain(points["value"]),
                    "y": [text.label(n, 36) for n in points["name"]], "xaxis": f"x{axis}", "yaxis": f"y{axis}",
                    "error_x": {**_whiskers(points), "thickness": 1.4, "width": 3},
                    "marker": {"color": colours.KINDS.get(kind, colours.EDIT), "size": 9,
                               "symbol": colours.KIND_MARKS.get(kind, "circle")},
                    "name": text.label(kind), "legendgroup": str(kind), "showlegend": kind not in shown,
                    "hovertemplate": "<b>%{y}</b><br>%{x:.4f} %{customdata}<extra></extra>",
                    "customdata": _spans(points),
                }
            )  # fmt: skip
            shown.add(kind)
            (at,) = plain(points["value"]) if len(points) == 1 else (None,)
            if guides and kind in ("base", "post") and at is not None:
                shapes.append(
                    {"type": "line", "xref": f"x{axis}", "yref": f"y{axis} domain", "x0": at, "x1": at,
                     "y0": 0, "y1": 1, "layer": "below",
                     "line": {"color": colours.KINDS[kind], "dash": "dot", "width": 1}}
                )  # fmt: skip
    layout = tiles(rows, wide, down=46 / (rows * (50 + 24 * len(names))))  # room for ticks and the next heading
    layout["annotations"] = []
    categories = [text.label(n, 36) for n in reversed(names)]
    for number, panel in enumerate(panels):
        axis = axis_of(0, number, wide)
        layout[f"yaxis{axis}"] |= {
            "type": "category", "categoryorder": "array", "categoryarray": categories, "nticks": len(names) + 1,
            "range": [-0.7, len(names) - 0.3],
        }  # fmt: skip
        layout[f"xaxis{axis}"] |= {"range": list(limits[axis])}
        x, y = layout[f"xaxis{axis}"]["domain"], layout[f"yaxis{axis}"]["domain"]
        layout["annotations"].append(heading(f"<b>{text.label(panel, 38)}</b>", sum(x) / 2, y[1]))
    for number in range(len(panels), rows * wide):
        layout.pop(f"xaxis{axis_of(0, number, wide)}")
        layout.pop(f"yaxis{axis_of(0, number, wide)}")
    framed(
        chart, 90 + rows * (50 + 24 * len(names)), left=beside(categories), bottom=30, **layout, shapes=shapes,
        hovermode="closest",
    )  # fmt: skip
    chart.arrange(legend={"y": 1.0, "yref": "container", "yanchor": "top"}, margin={"t": 56})
    return chart


def _limits(points: pd.DataFrame, held: Iterable[float | None]) -> tuple[float, float]:
    """The range of a tile: from the lowest end of an interval to the highest, or around most of the scores."""
    if "low" not in points:
        return near(points["value"], points["stderr"] if "stderr" in points else points["value"].iloc[:0], *held)
    ends = [v for v in plain([*points["value"], *points["low"], *points["high"]]) if v is not None]
    low, high = min(ends, default=0.0), max(ends, default=1.0)
    edge = 0.05 * (high - low) or 0.05
    return low - edge, high + edge


def _whiskers(points: pd.DataFrame) -> dict[str, Any]:
    if "stderr" not in points and "low" not in points:
        return {}
    if "low" not in points:
        return {"array": plain(points["stderr"])}
    up, down = points["high"] - points["value"], points["value"] - points["low"]
    return {"symmetric": False, "array": plain(up.clip(lower=0)), "arrayminus": plain(down.clip(lower=0))}


def _spans(points: pd.DataFrame) -> list[str]:
    """What stands behind each value on hovering."""
    if "stderr" not in points and "low" not in points:
        return [""] * len(points)
    if "low" not in points:
        return [f"± {text.number(error, 4)}" for error in points["stderr"]]
    ends = zip(points["low"], points["high"], strict=True)
    return [f"({text.number(low, 4)} to {text.number(high, 4)})" for low, high in ends]


def overview(data: pd.DataFrame, styles: Style) -> Chart:
    """Each descendant as a point: overall alpha across, agreement tau up, colour by `line`, mark by family.

    The axes hold the descendants; an unrelated model far from them stands at the edge as an arrow.
    """
    chart = Chart()
    families = list(dict.fromkeys(data["family"]))
    marks = {family: colours.MARKS[i % len(colours.MARKS)] for i, family in enumerate(families)}
    related = data[data["role"] != "unrelated"]
    inside = related if len(related) else data
    across_x, up_y = _room(inside["alpha"], 1.0, 0.002), _room(inside["tau"], 0.0, 0.02)
    shown = data.assign(x=data["alpha"].clip(*across_x), y=data["tau"].clip(*up_y))
    places = _places(shown, across_x, up_y)
    for line, points in shown.groupby("line", sort=False):
        colour = styles[line][0]
        symbols = [_arrow(r.alpha, r.tau, across_x, up_y) or marks[r.family] for r in points.itertuples()]
        chart.add(
            {
                "type": "scatter", "mode": "markers+text", "x": plain(points["x"]), "y": plain(points["y"]),
                "name": text.label(line, 28), "text": [text.label(m, 26) for m in points["model_id"]],
                "textposition": [places[m] for m in points["model_id"]], "textfont": {"size": 11},
                "marker": {"color": colour, "symbol": symbols, "size": 12, "line": {"width": 1, "color": "#ffffff"}},
                "cliponaxis": False,
                "customdata": [
                    [text.label(r.model_id), text.number(r.alpha, 4), text.number(r.tau, 3), int(r.together or 0),
                     int(r.with_tau or 0), text.number(r.nf_over_null, 2), str(r.model_id), str(r.base_id)]
                    for r in points.itertuples()
                ],
                "hovertemplate": "<b>%{customdata[0]}</b><br>α %{customdata[1]}, τ %{customdata[2]}<br>together in "
                                 "%{customdata[3]} of %{customdata[4]} matrices<br>NF / null %{customdata[5]}"
                                 "<extra></extra>",
            }
        )  # fmt: skip
    for family in families if len(families) > 1 else ():
        chart.add(
            {"type": "scatter", "mode": "markers", "x": [None], "y": [None], "name": text.label(family, 28),
             "marker": {"color": colours.REFERENCE, "symbol": marks[family], "size": 9}}
        )  # fmt: skip
    chart.arrange(**across(0.0, "noise")).arrange(**upright(1.0))
    chart.arrange(
        xaxis={"title": {"text": "α, median over matrices (1 = unscaled)"}, "tickformat": "~g", "zeroline": False,
               "range": _wider(across_x)},
        yaxis={"title": {"text": "agreement τ, median over matrices"}, "zeroline": False, "range": _wider(up_y)},
    )  # fmt: skip
    return framed(chart, 400, hovermode="closest", showlegend=True)


def _room(values: pd.Series, centre: float, least: float) -> tuple[float, float]:
    """From the smallest to the largest of the values and the centre, and no less than `least` around it."""
    known = [v for v in plain(values) if v is not None] + [centre - least, centre + least]
    return min(known), max(known)


def _wider(limits: tuple[float, float]) -> list[float]:
    room = 0.16 * (limits[1] - limits[0])
    return [limits[0] - room, limits[1] + room]


def _arrow(x: float, y: float, across_x: tuple[float, float], up_y: tuple[float, float]) -> str:
    """The arrow of a point beyond an axis; nothing of one inside."""
    for value, (low, high), ends in ((x, across_x, ("left", "right")), (y, up_y, ("down", "up"))):
        if value < low or value > high:
            return f"triangle-{ends[0] if value < low else ends[1]}"
    return ""


def _places(data: pd.DataFrame, across_x: tuple[float, float], up_y: tuple[float, float]) -> dict[str, str]:
    """On which side of its point each model's name stands: where the fewest other points and names are.

    Names are taken to be 0.22 of the axes wide and 0.06 high; ties go to the first side.
    """
    sides = {"top center": (0.0, 0.06), "bottom center": (0.0, -0.06), "middle right": (0.16, 0.0),
             "middle left": (-0.16, 0.0)}  # fmt: skip
    width, height = across_x[1] - across_x[0] or 1.0, up_y[1] - up_y[0] or 1.0
    at = {
        m: ((x - across_x[0]) / width, (y - up_y[0]) / height)
        for m, x, y in data[["model_id", "x", "y"]].itertuples(index=False)
    }
    taken: list[tuple[float, float]] = [point for point in at.values() if point == point]
    chosen: dict[str, str] = {}
    for model, (x, y) in at.items():

        def crowd(side: str, x: float = x, y: float = y) -> int:
            middle = (x + sides[side][0], y + sides[side][1])
            return sum(abs(middle[0] - a) < 0.22 and abs(middle[1] - b) < 0.06 for a, b in taken)

        chosen[model] = min(sides, key=crowd)
        taken.append((x + sides[chosen[model]][0], y + sides[chosen[model]][1]))
    return chosen


def temperature(data: pd.DataFrame, theme: str = "light") -> Chart:
    """Predicted temperature against the measured change of attention entropy: heads small, means of layers large."""
    chart = Chart()
    of_layer = data.groupby("layer")[["predicted", "change"]].mean().reset_index()
    for points, size, alpha, what in ((data, 6, 0.45, "heads"), (of_layer, 14, 1.0, "mean of a layer")):
        chart.add(
            {
                "type": "scatter", "mode": "markers", "x": plain(points["predicted"]), "y": plain(points["change"]),
                "name": what, "opacity": alpha,
                "customdata": [f"layer {int(v)}" for v in points["layer"]],
                "marker": {"size": size, "color": [int(v) for v in points["layer"]],
                           "colorscale": colours.in_sight(theme),
                           "line": {"width": 0.5, "color": "#ffffff"}, "showscale": what != "heads",
                           "colorbar": {"title": {"text": "layer", "side": "right"}, "thickness": 12,
                                        "outlinewidth": 0, "nticks": 6, "tickformat": "d"}},
                "hovertemplate": "<b>%{customdata}</b><br>T %{x:.4f}, entropy %{y:+.4f} nats<extra></extra>",
            }
        )  # fmt: skip
    chart.arrange(**across(0.0)).arrange(**upright(1.0))
    chart.arrange(
        xaxis={"title": {"text": "predicted temperature T = 1 / (α_q α_k)"}, "zeroline": False},
        yaxis={"title": {"text": "change of entropy, nats"}, "zeroline": False},
    )
    return framed(chart, 360, hovermode="closest")


def heads(data: pd.DataFrame, column: str, title: str, centre: float | None, theme: str = "light") -> Chart:
    """Heat map of one number per attention head, by layer."""
    layers = sorted({int(v) for v in data["layer"]})
    numbers = sorted({int(v) for v in data["head"]})
    found = {(int(r.layer), int(r.head)): getattr(r, column) for r in data.itertuples()}
    z = [plain(found.get((layer, head)) for layer in layers) for head in numbers]
    flat = [v for row in z for v in row if v is not None]
    span = max([abs(v - centre) for v in flat], default=0.0) if centre is not None else 0.0
    span = max(span, 0.01)
    limits = (
        {"colorscale": colours.diverging(theme), "zmin": centre - span, "zmax": centre + span, "zmid": centre}
        if centre is not None
        else {"colorscale": colours.AMOUNT}
    )
    chart = Chart(
        {
            "type": "heatmap", "x": layers, "y": numbers, "z": z, "xgap": 1, "ygap": 1, **limits,
            "colorbar": {"thickness": 12, "outlinewidth": 0, "title": {"text": title, "side": "right"}},
            "hovertemplate": "layer %{x}, head %{y}: %{z:.4f}<extra></extra>",
        }
    )  # fmt: skip
    bare = {"showgrid": False, "zeroline": False}
    chart.arrange(
        xaxis={**layer_axis(layers[0], layers[-1]), **bare},
        yaxis={**bare, "title": {"text": "head"}, "dtick": 1 if len(numbers) <= 16 else 8},
    )
    return framed(chart, min(460, 128 + 24 * len(numbers)), bottom=54)
