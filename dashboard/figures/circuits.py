"""Figures of circuits: grids of heads side by side, the circuit as a graph, curves of faithfulness."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dashboard import colours, text
from dashboard.circuit_frames import GROUPS
from dashboard.figures.frame import Chart, across, axis_of, framed, heading, layer_axis, plain, tiles

if TYPE_CHECKING:
    import pandas as pd

    from dashboard.figures.lines import Style

PLACE = {"D": (0, 0), "C": (1, 0), "B": (2, 0), "A": (3, 0), "K": (1, 1), "V": (2, 1)}
"""Column of each group in the graph, information flowing to the right, and whether it stands in the lower row."""
_LOGITS = (4.0, 0.0)
_NAMED = {"previous_query_label": "letter told:", "query_label": "asked for:", "last": "answered:"}
"""What the rows of the named positions are marked by in an attention pattern."""
MOST_EDGES = 60
_BETWEEN = 66
"""Pixels between two rows of grids: numbers and title of the upper one, heading of the lower."""


def head_grids(data: pd.DataFrame, models: Sequence[str], theme: str = "light") -> Chart:
    """Scores by layer and head of one step: a tile for each model, one colour scale; kept heads carry a dot."""
    layers, heads = int(data["layer"].max()) + 1, int(data["head"].max()) + 1
    wide = min(6 if layers <= 8 else 4, len(models))
    rows = -(-len(models) // wide)
    tall = min(320, 19 * heads)
    known = [abs(v) for v in plain(data["score"]) if v is not None]
    reach = max([0.01, *known])
    chart, layout = Chart(), tiles(rows, wide, down=_BETWEEN / (rows * (tall + _BETWEEN) - _BETWEEN))
    notes = []
    for number, model in enumerate(models):
        mine = data[data["model_id"] == model]
        axis = axis_of(0, number, wide)
        found = dict(zip(zip(mine["layer"], mine["head"], strict=True), plain(mine["score"]), strict=True))
        z = [[found.get((layer, head)) for layer in range(layers)] for head in range(heads)]
        chart.add(
            {
                "type": "heatmap", "z": z, "xgap": 1, "ygap": 1, "zmin": -reach, "zmax": reach, "zmid": 0,
                "colorscale": colours.diverging(theme), "xaxis": f"x{axis}", "yaxis": f"y{axis}",
                "showscale": number == 0,
                "colorbar": {"thickness": 12, "outlinewidth": 0, "title": {"text": "score", "side": "right"}},
                "hovertemplate": f"<b>{text.label(model)}</b><br>head %{{x}}.%{{y}}: %{{z:.4f}}<extra></extra>",
            }
        )  # fmt: skip
        kept = mine[mine["kept"].fillna(False).astype(bool)]
        chart.add(
            {
                "type": "scatter", "mode": "markers", "x": kept["layer"].tolist(), "y": kept["head"].tolist(),
                "xaxis": f"x{axis}", "yaxis": f"y{axis}", "showlegend": False, "hoverinfo": "skip",
                "marker": {"color": colours.ink(theme), "size": 6},
            }
        )  # fmt: skip
        bare = {"showgrid": False, "zeroline": False}
        layout[f"xaxis{axis}"] |= {**layer_axis(0, layers - 1), **bare}
        layout[f"yaxis{axis}"] |= {**bare, "range": [-0.5, heads - 0.5], "dtick": 1 if heads <= 16 else 8}
        if number % wide == 0:
            layout[f"yaxis{axis}"]["title"] = {"text": "head", "standoff": 10}
        x, y = layout[f"xaxis{axis}"]["domain"], layout[f"yaxis{axis}"]["domain"]
        notes.append(heading(f"<b>{text.label(model, 30)}</b>", sum(x) / 2, y[1]))
    for number in range(len(models), rows * wide):
        layout.pop(f"xaxis{axis_of(0, number, wide)}")
        layout.pop(f"yaxis{axis_of(0, number, wide)}")
    height = 84 + rows * tall + (rows - 1) * _BETWEEN
    return framed(chart, height, left=56, bottom=50, **layout, annotations=notes, hovermode="closest")


def graph(heads: pd.DataFrame, edges: pd.DataFrame, theme: str = "light") -> Chart:
    """A circuit as a graph: its heads by group, edges as wide as they are strong, those that changed in colour.

    `heads` has circuit_group, layer, head; `edges` has the columns of `circuit_edges` and `change`, one of "same",
    "stronger", "weaker".
    """
    at = _places(heads)
    kinds = {"same": colours.REFERENCE, "stronger": colours.EDIT, "weaker": colours.POST}
    chart = Chart()
    strongest = max((abs(v) for v in plain(edges["probability_score"]) if v is not None), default=1.0) or 1.0
    shown: set[str] = set()
    drawn = edges.reindex(edges["probability_score"].abs().sort_values(ascending=False).index).head(MOST_EDGES)
    for row in drawn.to_dict("records"):
        ends = _ends(row, at)
        (score,) = plain([row["probability_score"]])
        if ends is None or score is None:
            continue
        change = row["change"]
        (x0, y0), (x1, y1) = ends
        chart.add(
            {
                "type": "scatter", "mode": "lines", "x": [x0, (x0 + x1) / 2, x1], "y": [y0, (y0 + y1) / 2, y1],
                "line": {"width": 1 + 7 * abs(score) / strongest, "color": kinds[change]}, "opacity": 0.75,
                "name": change, "legendgroup": change, "showlegend": change not in shown,
                "hovertemplate": _edge_words(row) + "<extra></extra>",
            }
        )  # fmt: skip
        shown.add(change)
    nodes = [*((f"{layer}.{head}", group, place) for (group, layer, head), place in at.items())]
    chart.add(
        {
            "type": "scatter", "mode": "markers+text", "showlegend": False, "cliponaxis": False,
            "x": [*(p[0] for _, _, p in nodes), _LOGITS[0]], "y": [*(p[1] for _, _, p in nodes), _LOGITS[1]],
            "text": [*(name for name, _, _ in nodes), "logits"], "textposition": "top center",
            "marker": {"size": 16, "color": colours.ink(theme)},
            "hovertext": [*(f"{group}: head {name}" for name, group, _ in nodes), "logits"], "hoverinfo": "text",
        }
    )  # fmt: skip
    notes = []
    for group in dict.fromkeys(group for _, group, _ in nodes):
        members = [p for _, g, p in nodes if g == group]
        top = max(p[1] for p in members)
        words = f"<b>{GROUPS.get(group, text.label(group))}</b>"
        notes.append({"text": words, "x": members[0][0], "y": top, "yshift": 34, "showarrow": False})
    bare = {"showgrid": False, "zeroline": False, "showticklabels": False, "fixedrange": True}
    lows = [p[1] for _, _, p in nodes] or [0.0]
    chart.arrange(
        xaxis={**bare, "range": [-0.4, 4.5]},
        yaxis={**bare, "range": [min(lows) - 0.8, max(lows) + 1.2]},
        annotations=notes,
    )
    rows = 1 + max(lows) - min(lows)
    return framed(chart, int(150 + min(520, 62 * rows)), left=10, bottom=10, hovermode="closest", showlegend=True)


def _places(heads: pd.DataFrame) -> dict[tuple[str, int, int], tuple[float, float]]:
    """Where each head of each group stands; the chain around the middle, direct groups below it."""
    at: dict[tuple[str, int, int], tuple[float, float]] = {}
    below = 0.0
    for lower in (0, 1):
        lowest = below
        for group, members in heads.groupby("circuit_group", sort=False):
            column, row = PLACE.get(str(group), (0, 1))
            if row != lower:
                continue
            names = [(int(r.layer), int(r.head)) for r in members.itertuples()]
            first = (len(names) - 1) / 2 if not lower else below - 1.7
            for i, (layer, head) in enumerate(names):
                at[str(group), layer, head] = (float(column), first - i)
                lowest = min(lowest, first - i)
        below = lowest
    return at


def _ends(
    row: Mapping[str, Any], at: Mapping[tuple[str, int, int], tuple[float, float]]
) -> tuple[tuple[float, float], tuple[float, float]] | None:
    sender = at.get((row["circuit_group"], int(row["sender_layer"]), int(row["sender_head"])))
    if row["via"] == "logits":
        return (sender, _LOGITS) if sender else None
    place = {"B": "A", "K": "A", "V": "A", "C": "B", "D": "C"}.get(row["circuit_group"], "")
    receiver = at.get((place, int(row["receiver_layer"]), int(row["receiver_head"])))
    return (sender, receiver) if sender and receiver else None


def _edge_words(row: Mapping[str, Any]) -> str:
    to = "logits" if row["via"] == "logits" else f"{row['receiver_layer']}.{row['receiver_head']} ({row['via']})"
    words = f"{row['sender_layer']}.{row['sender_head']} → {to}: {text.number(row['probability_score'], 4)}"
    before = row.get("before")
    return words if before is None or before != before else f"{words}<br>in the base {text.number(before, 4)}"


def curves(data: pd.DataFrame, styles: Style, band_of: str | None = None) -> Chart:
    """f against the number of heads kept, a line per model; the random band of one of them shaded."""
    chart = Chart()
    band = data[(data["model_id"] == band_of) & data["f_random_low"].notna() & data["f_random_high"].notna()]
    if len(band):
        counts = band["n_heads"].tolist()
        chart.add(
            {
                "type": "scatter", "x": [*counts, *reversed(counts)],
                "y": [*plain(band["f_random_high"]), *reversed(plain(band["f_random_low"]))], "fill": "toself",
                "mode": "lines", "line": {"width": 0}, "fillcolor": "rgba(138,143,152,0.3)", "hoverinfo": "skip",
                "name": "random heads",
            }
        )  # fmt: skip
    for model in dict.fromkeys(data["model_id"]):
        colour, mark, dash = styles[model]
        mine = data[data["model_id"] == model]
        chart.add(
            {
                "type": "scatter", "mode": "lines+markers", "x": mine["n_heads"].tolist(), "y": plain(mine["f"]),
                "name": text.label(model, 30), "line": {"color": colour, "dash": dash, "width": 1.8},
                "marker": {"symbol": mark, "size": 6},
                "hovertemplate": f"<b>{text.label(model)}</b><br>%{{x}} heads: f %{{y:.3f}}<extra></extra>",
            }
        )  # fmt: skip
    chart.arrange(**across(1.0, "the whole model"))
    chart.arrange(xaxis={"title": {"text": "heads kept"}, "rangemode": "tozero"}, yaxis={"title": {"text": "f"}})
    return framed(chart, 380)


def patterns(rows: Sequence[Mapping[str, Any]], theme: str = "light") -> Chart:
    """Attention of one head on one prompt, a tile per model: which token (down) looks at which (across).

    Each row has model_id, tokens, weights (the lower triangle, row by row), previous_query_label, query_label, last.
    """
    chart, layout = Chart(), tiles(1, len(rows))
    notes = []
    length = max(len(row["tokens"]) for row in rows)
    for number, row in enumerate(rows):
        axis = axis_of(0, number, len(rows))
        tokens = [text.label(token.strip() or token, 12) for token in row["tokens"]]
        places = list(range(len(tokens)))
        weights = iter(plain(np.asarray(row["weights"], dtype=float).tolist()))
        z = [[next(weights, None) if key <= query else None for key in places] for query in places]
        words = [[f"{tokens[query]} ({query}) sees {tokens[key]} ({key})" for key in places] for query in places]
        chart.add(
            {
                "type": "heatmap", "z": z, "zmin": 0, "zmax": 1, "colorscale": colours.amount(theme),
                "xaxis": f"x{axis}", "yaxis": f"y{axis}", "showscale": number == 0, "hoverongaps": False,
                "colorbar": {"thickness": 12, "outlinewidth": 0, "title": {"text": "attention", "side": "right"}},
                "customdata": words, "hovertemplate": "%{customdata}: %{z:.3f}<extra></extra>",
            }
        )  # fmt: skip
        marked = {int(row[name]): words for name, words in _NAMED.items()}
        beside = [f"<b>{marked[i]} {token}</b>" if i in marked else token for i, token in enumerate(tokens)]
        ticks = {"tickmode": "array", "tickvals": places, "tickfont": {"size": 9}, "ticks": ""}
        bare = {"showgrid": False, "zeroline": False, "fixedrange": True}
        across = {"ticktext": tokens, "tickangle": -90, "range": [-0.5, len(places) - 0.5]}
        layout[f"xaxis{axis}"] |= {**bare, **ticks, **across}
        layout[f"yaxis{axis}"] |= {**bare, **ticks, "ticktext": beside, "range": [len(places) - 0.5, -0.5]}
        x, y = layout[f"xaxis{axis}"]["domain"], layout[f"yaxis{axis}"]["domain"]
        notes.append(heading(f"<b>{text.label(row['model_id'], 30)}</b>", sum(x) / 2, y[1]))
    return framed(chart, 110 + 11 * length, left=112, bottom=66, **layout, annotations=notes, hovermode="closest")


def knockouts(data: pd.DataFrame, styles: Style) -> Chart:
    """What is lost by layer, a line for each pair of positions of which one may not see the other."""
    chart = Chart()
    for pair, points in data.groupby("pair", sort=False):
        colour, mark, dash = styles[pair]
        chart.add(
            {
                "type": "scatter", "mode": "lines+markers", "x": points["first_layer"].tolist(),
                "y": plain(points["probability_change"]), "name": text.label(pair, 60),
                "line": {"color": colour, "dash": dash, "width": 1.8}, "marker": {"symbol": mark, "size": 6},
                "hovertemplate": f"{text.label(pair, 60)}<br>from layer %{{x}}: %{{y:.3f}}<extra></extra>",
            }
        )  # fmt: skip
    last = int(data["last_layer"].max())
    chart.arrange(
        xaxis={**layer_axis(0, last), "title": {"text": "first layer of the window"}},
        yaxis={"title": {"text": "change of probability"}},
    )
    return framed(chart, 340)
