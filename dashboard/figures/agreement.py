"""Where the energy of a change lies, and how far the two sides came apart for its size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dashboard import colours, text
from dashboard.figures.frame import Chart, framed, heading, log_ticks, plain, tile_step
from resources.warehouse.summaries import in_order

if TYPE_CHECKING:
    import pandas as pd

PARTS = {
    "scale": "one uniform scale", "diagonal": "rest of the diagonal", "shared": "both sides together",
    "apart": "the sides apart", "outside": "outside the base's spaces",
}  # fmt: skip
"""Parts of the energy in words, in the order in which they are stacked."""

ENERGY_TEXT = (
    "Each bar is one matrix. The hatched bar is what white noise of this shape would give, and dotted lines carry its "
    "borders across. He and Cao's formula would put everything off the diagonal into *both sides together*, and "
    "nothing into *the sides apart*."
)
"""What `energy` shows, in sentences."""

_APART = 2.6
"""Layers of room between two tiles, in which the noise's bar stands too."""


def energy(data: pd.DataFrame, theme: str = "light") -> Chart:
    """Stacked bars of the shares, a tile per matrix type and a bar per layer; noise's own bar first, hatched.

    Dotted lines carry the borders of the noise's bar across the tile, so that an excess is seen against it.
    """
    matrices = in_order(list(dict.fromkeys(data["matrix"])))
    first, last = int(data["layer"].min()), int(data["layer"].max())
    offset = {m: i * (last - first + 1 + _APART) - first for i, m in enumerate(matrices)}
    noise = data.groupby("matrix")[[f"{part}_expected" for part in PARTS]].mean()
    chart = Chart()
    for part, words in PARTS.items():
        chart.add(
            {
                "type": "bar", "y": plain(data[part]), "name": words, "width": 0.92, "legendgroup": part,
                "x": [offset[m] + layer for m, layer in zip(data["matrix"], data["layer"], strict=True)],
                "customdata": [
                    [f"{text.label(m, 24)}, layer {layer}", text.number(100 * expected, 2)]
                    for m, layer, expected in data[["matrix", "layer", f"{part}_expected"]].itertuples(index=False)
                ],
                "marker": {"color": colours.SHARES[part], "line": {"width": 0}},
                "hovertemplate": f"<b>%{{customdata[0]}}</b><br>{words}: %{{y:.2%}} (noise %{{customdata[1]}} %)"
                                 "<extra></extra>",
            }
        )  # fmt: skip
        chart.add(
            {
                "type": "bar", "x": [offset[m] + first - 1.3 for m in matrices], "width": 0.92, "legendgroup": part,
                "y": plain(noise.loc[matrices, f"{part}_expected"]), "showlegend": False,
                "customdata": [text.label(m, 24) for m in matrices],
                "marker": {"color": colours.SHARES[part], "line": {"width": 0},
                           "pattern": {"shape": "/", "solidity": 0.4, "fillmode": "replace"}},
                "hovertemplate": f"<b>%{{customdata}}, white noise</b><br>{words}: %{{y:.2%}}<extra></extra>",
            }
        )  # fmt: skip
    chart.add(_borders(noise, offset, first, last, colours.ink(theme)))
    step = tile_step(max(1.0, float(last - first)))
    ticks = [(offset[m] + layer, f"{layer:g}") for m in matrices for layer in _steps(first, last, step)]
    chart.arrange(
        barmode="stack", bargap=0,
        xaxis={"tickmode": "array", "tickvals": [t[0] for t in ticks], "ticktext": [t[1] for t in ticks],
               "range": [-2.1, offset[matrices[-1]] + last + 0.8], "showgrid": False, "zeroline": False,
               "title": {"text": "layer"}, "tickangle": 0},
        yaxis={"title": {"text": "share of |ΔW|²"}, "range": [0, 1], "tickformat": ".0%", "zeroline": False},
        annotations=[heading(text.label(m, 12), offset[m] + (first + last) / 2, 1, xref="x") for m in matrices],
    )  # fmt: skip
    framed(chart, 400, hovermode="closest")
    return chart.arrange(legend={"y": 1.0, "yref": "container", "yanchor": "top"}, margin={"t": 84})


def _borders(noise: pd.DataFrame, offset: dict[str, float], first: int, last: int, ink: str) -> dict[str, Any]:
    x: list[float | None] = []
    y: list[float | None] = []
    for matrix, left in offset.items():
        height = 0.0
        for part in list(PARTS)[:-1]:
            height += float(noise.loc[matrix, f"{part}_expected"])
            x += [left + first - 1.8, left + last + 0.5, None]
            y += [height, height, None]
    line = {"color": ink, "width": 1.2, "dash": "dot"}
    return {
        "type": "scatter", "mode": "lines", "x": x, "y": plain(y), "line": line, "hoverinfo": "skip",
        "name": "white noise", "connectgaps": False,
    }  # fmt: skip


def _steps(first: int, last: int, step: float) -> list[float]:
    return [first + step * i for i in range(int((last - first) / step) + 1)]


def change_against_nf(data: pd.DataFrame, picked: tuple[int, str] | None = None) -> Chart:
    """Every matrix by the size of its change and its NF, and for each type the NF that noise of that size has.

    Of noise NF is in proportion to the change, up to that of unrelated matrices; the factor depends on the spectrum,
    and is the median over the matrices of the type.
    """
    chart = Chart()
    low, high = float(data["relative_change"].min()), float(data["relative_change"].max())
    for matrix in in_order(list(dict.fromkeys(data["matrix"]))):
        points = data[data["matrix"] == matrix]
        colour = colours.of_matrix(matrix)
        factor = (points["nf_null"] / points["relative_change"]).median()
        name = text.label(matrix, 16)
        if factor > 0 and abs(factor) < float("inf"):
            at = [low * (high / low) ** (i / 20) for i in range(21)] if high > low else [low * 0.9, low * 1.1]
            unrelated = points["nf_unrelated"].median()
            curve = [min(factor * x, unrelated) if unrelated > 0 else factor * x for x in at]
            chart.add(
                {"type": "scatter", "mode": "lines", "x": at, "y": curve, "legendgroup": matrix, "showlegend": False,
                 "line": {"color": colour, "width": 1.4, "dash": "dash"}, "opacity": 0.8, "hoverinfo": "skip"}
            )  # fmt: skip
        where = [(int(r.layer), str(r.matrix)) == picked for r in points.itertuples()]
        chart.add(
            {
                "type": "scatter", "mode": "markers", "x": plain(points["relative_change"]), "y": plain(points["nf"]),
                "name": name, "legendgroup": matrix,
                "customdata": [[int(r.layer), str(r.matrix), text.number(r.nf_null, 4)] for r in points.itertuples()],
                "marker": {"color": colour, "size": [14 if w else 8 for w in where], "opacity": 0.9,
                           "line": {"color": "#111111", "width": [2.5 if w else 0 for w in where]}},
                "hovertemplate": f"<b>{name}, layer %{{customdata[0]}}</b><br>change %{{x:.4g}}, NF %{{y:.4g}}"
                                 "<br>NF of noise of this size %{customdata[2]}<extra></extra>",
            }
        )  # fmt: skip
    chart.arrange(
        xaxis={**log_ticks(data["relative_change"]), "title": {"text": "relative change |ΔW| / |W base|"}},
        yaxis={**log_ticks([*data["nf"], *data["nf_null"]]), "title": {"text": "NF"}},
    )
    return framed(chart, 400, hovermode="closest", left=76)
