"""Figures of the page Relations: verdicts by pair, the family tree, losses along straight lines, features halfway."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dashboard import colours, text
from dashboard.figures.frame import Chart, across, axis_of, beside, framed, heading, layer_axis, plain
from dashboard.relation_frames import Node, between

if TYPE_CHECKING:
    import pandas as pd

VERDICTS = {"related": "#009E73", "unrelated": "#D55E00", "undecided": "#E69F00"}
"""Bluish green, vermilion, orange; the word always stands with it."""

_NARROWEST = 1150
"""Pixels of a figure over the whole width of a small screen."""

_CODES = {"related": 0, "unrelated": 1, "undecided": 2}


def verdicts(lineage: pd.DataFrame, models: Sequence[str], theme: str) -> Chart:
    """Models by models: the verdict on every two of them as a coloured word, its p values on hovering."""
    rows, columns = list(models[1:]), list(models[:-1])
    z: list[list[int | None]] = []
    words: list[list[str]] = []
    hover: list[list[str]] = []
    for i, a in enumerate(rows):
        found = [between(lineage, a, b) if j <= i else None for j, b in enumerate(columns)]
        z.append([_CODES.get(str(one["verdict"])) if one else None for one in found])
        words.append([text.label(one["verdict"], 14) if one else "" for one in found])
        hover.append([_hover(a, b, one) if one else "" for b, one in zip(columns, found, strict=True)])
    steps = [VERDICTS[word] for word in _CODES]
    scale = [[edge, colour] for i, colour in enumerate(steps) for edge in (i / len(steps), (i + 1) / len(steps))]
    y_names, x_names = [text.label(m, 28) for m in rows], [text.label(m, 20) for m in columns]
    slanted = len(columns) * beside(x_names) > _NARROWEST - beside(y_names)
    chart = Chart(
        {
            "type": "heatmap", "x": list(range(len(columns))), "y": list(range(len(rows))), "z": z, "text": words,
            "texttemplate": "%{text}", "textfont": {"size": 12, "color": colours.ink(theme)},
            "customdata": hover, "zmin": -0.5, "zmax": 2.5,
            "hovertemplate": "%{customdata}<extra></extra>", "colorscale": scale, "showscale": False,
            "opacity": 0.55, "xgap": 2, "ygap": 2, "hoverongaps": False,
        }
    )  # fmt: skip
    chart.arrange(
        xaxis={"tickvals": list(range(len(columns))), "ticktext": x_names, "showgrid": False, "zeroline": False,
               "side": "bottom", "tickangle": -30 if slanted else 0},
        yaxis={"tickvals": list(range(len(rows))), "ticktext": y_names, "showgrid": False, "zeroline": False,
               "range": [len(rows) - 0.5, -0.5]},
    )  # fmt: skip
    bottom = beside(x_names) * 0.6 if slanted else 46
    return framed(chart, int(70 + bottom + 36 * len(rows)), left=beside(y_names), bottom=bottom, dragmode=False)


def _hover(a: str, b: str, row: dict[str, Any]) -> str:
    lines = [f"<b>{text.label(a)}</b> and <b>{text.label(b)}</b>", text.label(row["verdict"], 20)]
    lines += [f"p_exact {text.p_value(row['p_exact'])}", f"p_match {text.p_value(row['p_match'])}"]
    lines += [f"distance {text.number(row['distance'], 3)}"]
    return "<br>".join(lines)


def tree(nodes: Sequence[Node], theme: str) -> Chart:
    """The family from left to right: how far each model is from the base; unrelated ones stand apart, unconnected."""
    at = _places(nodes)
    chart = Chart()
    known = [node.distance for node in nodes if node.distance is not None and node.parent]
    reach = max(known, default=0.0) or 1.0
    for node in nodes:
        if node.parent in at:
            (x0, y0), (x1, y1) = at[node.parent], at[node.model]
            chart.add(
                {
                    "type": "scatter", "mode": "lines", "x": [x0, x0, x1], "y": [y0, y1, y1], "hoverinfo": "skip",
                    "line": {"color": colours.REFERENCE, "width": 2, "shape": "linear"}, "showlegend": False,
                }
            )  # fmt: skip
    for kind, some in _kinds(nodes).items():
        chart.add(
            {
                "type": "scatter", "mode": "markers+text", "name": kind, "showlegend": False,
                "x": [at[node.model][0] for node in some], "y": [at[node.model][1] for node in some],
                "marker": {"size": 13, "color": VERDICTS.get(kind, colours.BASE),
                           "symbol": [_symbol(node, reach) for node in some],
                           "line": {"width": 1, "color": colours.ink(theme)}},
                "text": [f"  <b>{text.label(node.model, 36)}</b>  {_note(node)}" for node in some],
                "textposition": "middle right", "cliponaxis": False,
                "hovertext": [f"{text.label(node.model)}<br>{text.label(node.words, 60)}" for node in some],
                "hovertemplate": "%{hovertext}<extra></extra>", "customdata": [[node.model] for node in some],
            }
        )  # fmt: skip
    last = max((x for x, _ in at.values()), default=1.0)
    chart.arrange(
        xaxis={"title": {"text": "distance from the base: |A − B| / |A| over rows of the matrices up"},
               "zeroline": False, "range": [-0.04 * reach, max(last, reach) * 1.9]},
        yaxis={"visible": False, "range": [len(nodes) - 0.4, -0.6]},
    )  # fmt: skip
    return framed(chart, 84 + 44 * len(nodes), left=20, bottom=54, hovermode="closest", dragmode=False)


def _places(nodes: Sequence[Node]) -> dict[str, tuple[float, float]]:
    """Across by distance, down in the order of the tree: every model below what it hangs on; those apart come last."""
    children: dict[str, list[Node]] = {}
    for node in nodes:
        children.setdefault(node.parent, []).append(node)
    roots = [node for node in children.get("", []) if not node.verdict]
    order: list[Node] = []

    def walk(node: Node) -> None:
        if node not in order:
            order.append(node)
            for child in children.get(node.model, []):
                walk(child)

    for root in roots:
        walk(root)
    order += [node for node in nodes if node not in order]
    reach = max((node.distance for node in order if node.distance is not None and node.parent), default=0.0) or 1.0
    found = {}
    for number, node in enumerate(order):
        x = node.distance if node.distance is not None else reach
        found[node.model] = (min(x, reach), float(number))
    return found


def _symbol(node: Node, reach: float) -> str:
    """An arrow beyond the axis, a cross for what is unrelated within it, else a point."""
    if node.distance is not None and node.distance > reach:
        return "triangle-right"
    return "x" if node.verdict == "unrelated" else "circle"


def _kinds(nodes: Sequence[Node]) -> dict[str, list[Node]]:
    found: dict[str, list[Node]] = {}
    for node in nodes:
        found.setdefault(node.verdict or "untested", []).append(node)
    return found


def _note(node: Node) -> str:
    if node.words == "the base":
        return "the base"
    far = f"{node.distance:.3f}, " if node.distance is not None else ""
    return far + text.label(node.words, 40)


def losses(data: pd.DataFrame) -> Chart:
    """Loss along one line, a tile per task: the points with the barrier's interval, and the chord."""
    tasks = list(dict.fromkeys(data["task"]))
    columns = min(3, len(tasks))
    rows = -(-len(tasks) // columns)
    chart = Chart()
    wide, high = (1 - 0.08 * (columns - 1)) / columns, (1 - 0.2 * (rows - 1)) / rows
    for number, task in enumerate(tasks):
        i, j = divmod(number, columns)
        axis = axis_of(i, j, columns)
        points = data[data["task"] == task].sort_values("t")
        left, top = j * (wide + 0.08), 1 - i * (high + 0.2)
        title = {"title": {"text": "t", "standoff": 4}} if i == rows - 1 else {}
        chart.arrange(
            **{
                f"xaxis{axis}": {"domain": [left, min(1.0, left + wide)], "anchor": f"y{axis}", "zeroline": False,
                                 "tickvals": [0, 0.5, 1], **title},
                f"yaxis{axis}": {"domain": [max(0.0, top - high), top], "anchor": f"x{axis}", "nticks": 5,
                                 "zeroline": False},
            },
            annotations=[heading(text.label(task, 30), left + wide / 2, top)],
        )  # fmt: skip
        ends = points["t"].tolist()
        places = {"xaxis": f"x{axis}", "yaxis": f"y{axis}"}
        chart.add(
            {
                "type": "scatter", "mode": "lines", "x": ends, "y": plain(points["chord"]), **places,
                "line": {"color": colours.REFERENCE, "dash": "dash", "width": 1.5}, "name": "chord",
                "showlegend": number == 0, "legendgroup": "chord", "hoverinfo": "skip",
            }
        )  # fmt: skip
        half = ((points["barrier_high"] - points["barrier_low"]) / 2).fillna(0)
        chart.add(
            {
                "type": "scatter", "mode": "lines+markers", "x": ends, "y": plain(points["loss"]), **places,
                "error_y": {"type": "data", "array": plain(half), "thickness": 1.5, "width": 4},
                "line": {"color": colours.POST, "width": 2}, "marker": {"size": 7}, "name": "loss, 95 % of its "
                "distance from the chord", "showlegend": number == 0, "legendgroup": "loss",
                "hovertemplate": f"{text.label(task)}<br>t = %{{x}}: %{{y:.4g}} nats<extra></extra>",
            }
        )  # fmt: skip
    framed(chart, 90 + 210 * rows, left=58)
    return chart.arrange(margin={"t": 64}, legend={"y": 1.0, "yref": "container", "yanchor": "top"})


def linearity(data: pd.DataFrame, apart: set[str]) -> Chart:
    """Error of linear features by layer, a line per pair; pairs with an unrelated model dashed."""
    pairs = list(dict.fromkeys(zip(data["model_a"], data["model_b"], strict=True)))
    styles = colours.assigned([f"{a}\n{b}" for a, b in pairs])
    chart = Chart()
    for a, b in pairs:
        colour, mark, _ = styles[f"{a}\n{b}"]
        mine = data[(data["model_a"] == a) & (data["model_b"] == b)].sort_values("layer")
        strange = a in apart or b in apart
        chart.add(
            {
                "type": "scatter", "mode": "lines+markers", "x": mine["layer"].tolist(), "y": plain(mine["error"]),
                "name": f"{text.label(a, 20)} – {text.label(b, 20)}",
                "line": {"color": colours.REFERENCE if strange else colour, "width": 1.8,
                         "dash": "dash" if strange else "solid"},
                "marker": {"symbol": mark, "size": 6},
                "error_y": {"type": "data", "array": plain(mine["stderr"].fillna(0)), "thickness": 1, "width": 2},
                "hovertemplate": f"{text.label(a)}<br>{text.label(b)}<br>layer %{{x}}: %{{y:.3f}}<extra></extra>",
            }
        )  # fmt: skip
    chart.arrange(**across(1.0, "as far off as the ends"))
    last = int(data["layer"].max())
    chart.arrange(
        xaxis={**layer_axis(0, last), "title": {"text": "layer (0: embedding)"}},
        yaxis={"title": {"text": "error"}, "rangemode": "tozero"},
    )
    return framed(chart, 340 + 20 * -(-len(pairs) // 3))
