"""Scores with their error bars: whole models side by side, and a model beside its base, edits and controls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dashboard import colours, text
from dashboard.figures.frame import (
    Chart,
    across,
    axis_of,
    beside,
    framed,
    heading,
    layer_axis,
    log_ticks,
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
    With `guides` the scores of the one base and the one post model run through each tile as lines.
    """
    panels = list(dict.fromkeys(data["panel"]))
    names = list(dict.fromkeys(data["name"]))
    wide = min(len(panels), 4)
    rows = -(-len(panels) // wide)
    chart = Chart()
    shown: set[str] = set()
    shapes = []
    for number, panel in enumerate(panels):
        axis = axis_of(0, number, wide)
        for kind, points in data[data["panel"] == panel].groupby("kind", sort=False):
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
    layout = tiles(rows, wide)
    layout["annotations"] = []
    categories = [text.label(n, 36) for n in reversed(names)]
    for number, panel in enumerate(panels):
        axis = axis_of(0, number, wide)
        layout[f"yaxis{axis}"] |= {
            "type": "category", "categoryorder": "array", "categoryarray": categories, "nticks": len(names) + 1,
            "range": [-0.7, len(names) - 0.3],
        }  # fmt: skip
        reached = [v for v in plain(data.loc[data["panel"] == panel, "value"]) if v is not None]
        if reached and min(reached) > 0 and max(reached) > max(2, 20 * min(reached)):  # a perplexity that exploded
            layout[f"xaxis{axis}"] |= log_ticks(reached)
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
    """Each descendant as a point: overall alpha across, NF over null up, colour by `line`, mark by family."""
    chart = Chart()
    families = list(dict.fromkeys(data["family"]))
    marks = {family: colours.MARKS[i % len(colours.MARKS)] for i, family in enumerate(families)}
    room = _with_room(data)
    for line, points in data.groupby("line", sort=False):
        colour = styles[line][0]
        chart.add(
            {
                "type": "scatter", "mode": "markers+text",
                "x": plain(points["alpha"]),
                "y": plain(points["nf_over_null"]), "name": text.label(line, 28),
                "text": [text.label(m, 26) if m in room else "" for m in points["model_id"]], 
                "textposition": "top center",
                "customdata": points[["model_id", "base_id"]].to_numpy().tolist(), "textfont": {"size": 11},
                "marker": {"color": colour, "symbol": [marks[f] for f in points["family"]], "size": 11},
                "cliponaxis": False,
                "hovertext": [text.label(m) for m in points["model_id"]],
                "hovertemplate": "<b>%{hovertext}</b><br>α %{x:.4f}, NF / null %{y:.3f}<extra></extra>",
            }
        )  # fmt: skip
    for family in families if len(families) > 1 else ():
        chart.add(
            {"type": "scatter", "mode": "markers", "x": [None], "y": [None], "name": text.label(family, 28),
             "marker": {"color": colours.REFERENCE, "symbol": marks[family], "size": 9}}
        )  # fmt: skip
    chart.arrange(**across(1.0)).arrange(**upright(1.0))
    known = [v for v in plain(data["alpha"]) if v is not None] + [1.0]
    room_for_names = max(0.2 * (max(known) - min(known)), 0.001)
    chart.arrange(
        xaxis={
            "title": {"text": "α, median over matrices (1 = unscaled)"},
            "tickformat": "~g",
            "zeroline": False,
            "range": [min(known) - room_for_names, max(known) + room_for_names],
        },
        yaxis={"title": {"text": "NF / null (1 = noise of the same size)"}, "rangemode": "tozero"},
    )
    return framed(chart, 380, hovermode="closest", showlegend=True)


def _with_room(data: pd.DataFrame) -> set[str]:
    """The models whose names can stand beside their points without running into another name."""
    width = (data["alpha"].max() - data["alpha"].min()) or 1.0
    height = max(data["nf_over_null"].max(), 1.0)
    named: dict[str, tuple[float, float]] = {}
    for model, x, y in data[["model_id", "alpha", "nf_over_null"]].itertuples(index=False):
        here = (x / width, y / height)
        if all(abs(here[0] - there[0]) > 0.3 or abs(here[1] - there[1]) > 0.07 for there in named.values()):
            named[model] = here
    return set(named)


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
