"""Edits against what they are held against: differences with intervals, and the spread of a control's draws."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dashboard import colours, text
from dashboard.figures.frame import Chart, beside, filled, framed, heading, near, number_of, plain, tiles

if TYPE_CHECKING:
    import pandas as pd

_WIDE = 3
_TO_95 = 1.96
_DRAWS = {"mirror": colours.MIRROR, "noise": colours.NOISE}


def differences(data: pd.DataFrame) -> Chart:
    """Edit minus post model with 95 % intervals: a tile per `panel`, a line per edit (`label`), coloured by verdict.

    `margin` is where a difference starts to count: a band around 0 where an edit was tested for being as good. Values
    far from the others stand at the edge as arrows with their number.
    """
    panels, names = list(dict.fromkeys(data["panel"])), list(dict.fromkeys(data["label"]))
    chart, shapes = Chart(), []
    axes: dict[str, Any] = {}
    for number, panel in enumerate(panels):
        axis = number_of(number)
        points = data[data["panel"] == panel]
        limits = near(points["difference"], points["stderr"] * _TO_95, 0.0)
        inside = points[points["difference"].between(*limits)]
        chart.add(
            {
                "type": "scatter", "mode": "markers", "x": plain(inside["difference"]), "xaxis": f"x{axis}",
                "y": [text.label(n, 36) for n in inside["label"]], "yaxis": f"y{axis}", "showlegend": False,
                "error_x": {"array": plain(inside["stderr"] * _TO_95), "thickness": 1.4, "width": 3,
                            "color": colours.REFERENCE},
                "marker": {"size": 9, "symbol": "square", "color": [colours.test_tone(v) for v in inside["verdict"]]},
                "customdata": [[v, text.p_value(q)] for v, q in inside[["verdict", "q_value"]].itertuples(index=False)],
                "hovertemplate": "<b>%{y}</b><br>%{x:+.4f} ± %{error_x.array:.4f}<br>%{customdata[0]}, "
                                 "q %{customdata[1]}<extra></extra>",
            }
        )  # fmt: skip
        for arrow in arrows(points, "difference", limits, axis):
            chart.add(arrow)
        margin = points["margin"].max()
        if margin > 0 and points["metric"].iloc[0] == "acc":
            shapes.append(_band(axis, -margin, margin))
        shapes.append(_zero(axis))
        axes[f"xaxis{axis}"] = {"range": list(limits), "zeroline": False}
    return _tiled(chart, panels, names, axes, shapes)


def controls(draws: pd.DataFrame) -> Chart:
    """Disruptive edits beside the draws of their controls: a tile per task, a line per edit and control.

    The change of log-likelihood that each makes, nats per document; a band spans all draws of a control.
    """
    tasks = list(dict.fromkeys(draws["task"]))
    kinds = [kind for kind in _DRAWS if kind in set(draws["control"])]
    lines = [(recipe, kind) for recipe in dict.fromkeys(draws["recipe"]) for kind in kinds]
    names = [f"{recipe} · {kind}" for recipe, kind in lines]
    chart, shapes = Chart(), []
    for number, task in enumerate(tasks):
        axis = number_of(number)
        of_task = draws[draws["task"] == task]
        for place, ((recipe, kind), name) in enumerate(zip(lines, names, strict=True)):
            of_recipe = of_task[of_task["recipe"] == recipe]
            known = [v for v in plain(of_recipe.loc[of_recipe["control"] == kind, "loss"]) if v is not None]
            row = len(names) - 1 - place
            if known:
                shapes.append(_band(axis, min(known), max(known), row - 0.32, row + 0.32))
            for values, tone, mark, size, words in (
                (known, colours.KINDS[_DRAWS[kind]], colours.KIND_MARKS[_DRAWS[kind]], 7, _DRAWS[kind]),
                (plain(of_recipe.loc[of_recipe["control"] == "edit", "loss"]), colours.EDIT, "square", 10, "edit"),
            ):
                chart.add(
                    {
                        "type": "scatter", "mode": "markers", "x": values, "y": [text.label(name, 40)] * len(values),
                        "xaxis": f"x{axis}", "yaxis": f"y{axis}", "name": words, "legendgroup": words,
                        "showlegend": number == 0 and place < len(kinds) and (words != "edit" or place == 0),
                        "marker": {"color": tone, "symbol": mark, "size": size, "line": {"width": 1.5}},
                        "hovertemplate": f"<b>{text.label(name, 40)}</b><br>{words}: %{{x:+.4g}} nats per document"
                                         "<extra></extra>",
                    }
                )  # fmt: skip
        shapes.append(_zero(axis))
    return _tiled(chart, tasks, names, {}, shapes)


def arrows(
    points: pd.DataFrame, column: str, limits: tuple[float, float], axis: str, name: str = "label"
) -> list[dict[str, Any]]:
    """Traces of arrows at either edge of a tile for values beyond it; each line's values stand beside its arrows."""
    low, high = limits
    found = []
    for side, beyond, edge in (("left", points[column] < low, low), ("right", points[column] > high, high)):
        out = points[beyond & (points[column].abs() < float("inf"))]
        if len(out):
            written = out[column].map(text.brief).groupby(out[name]).agg(", ".join)
            words = written[out[name]].where(~out[name].duplicated().to_numpy(), "").tolist()
            found.append(
                {
                    "type": "scatter", "mode": "markers+text", "x": [edge] * len(out), "xaxis": f"x{axis}",
                    "y": [text.label(n, 36) for n in out[name]], "yaxis": f"y{axis}", "showlegend": False,
                    "text": words, "textfont": {"size": 10}, "cliponaxis": False,
                    "textposition": "middle right" if side == "left" else "middle left",
                    "marker": {"size": 10, "symbol": f"triangle-{side}",
                               "color": [_colour(r) for r in out.itertuples()]},
                    "hovertemplate": "<b>%{y}</b><br>%{customdata:.5g}, beyond the axis<extra></extra>",
                    "customdata": plain(out[column]),
                }
            )  # fmt: skip
    return found


def _colour(row: Any) -> str:
    return colours.test_tone(row.verdict) if hasattr(row, "verdict") else colours.KINDS.get(row.kind, colours.EDIT)


def _zero(axis: str) -> dict[str, Any]:
    return {"type": "line", "xref": f"x{axis}", "yref": f"y{axis} domain", "x0": 0, "x1": 0, "y0": 0, "y1": 1,
            "layer": "below", "line": {"color": colours.REFERENCE, "width": 1.2, "dash": "dot"}}  # fmt: skip


def _band(axis: str, x0: float, x1: float, y0: float | None = None, y1: float | None = None) -> dict[str, Any]:
    """A grey band from x0 to x1: over the whole height of a tile, or between two places on its lines."""
    whole = y0 is None
    return {"type": "rect", "xref": f"x{axis}", "yref": f"y{axis} domain" if whole else f"y{axis}", "x0": x0, "x1": x1,
            "y0": 0 if whole else y0, "y1": 1 if whole else y1, "layer": "below", "opacity": 0.25,
            "fillcolor": colours.REFERENCE, "line": {"width": 0}}  # fmt: skip


def _tiled(
    chart: Chart, tasks: Sequence[str], names: Sequence[str], axes: dict[str, Any], shapes: list[dict[str, Any]]
) -> Chart:
    wide = filled(len(tasks), _WIDE)
    rows = -(-len(tasks) // wide)
    layout = tiles(rows, wide, down=50 / (rows * (58 + 22 * len(names))))
    labels = [text.label(n, 40) for n in reversed(names)]
    notes = []
    for number, task in enumerate(tasks):
        axis = number_of(number)
        layout[f"yaxis{axis}"] |= {"type": "category", "categoryorder": "array", "categoryarray": labels,
                                   "nticks": len(names) + 1, "range": [-0.7, len(names) - 0.3]}  # fmt: skip
        layout[f"xaxis{axis}"] |= axes.get(f"xaxis{axis}", {"zeroline": False})
        x, y = layout[f"xaxis{axis}"]["domain"], layout[f"yaxis{axis}"]["domain"]
        notes.append(heading(f"<b>{text.label(task, 38)}</b>", sum(x) / 2, y[1]))
    for number in range(len(tasks), rows * wide):
        layout.pop(f"xaxis{number_of(number)}")
        layout.pop(f"yaxis{number_of(number)}")
    framed(chart, 84 + rows * (58 + 22 * len(names)), left=beside(labels), bottom=30, **layout, shapes=shapes,
           annotations=notes, hovermode="closest")  # fmt: skip
    return chart.arrange(legend={"y": 1.0, "yref": "container", "yanchor": "top"}, margin={"t": 56})
