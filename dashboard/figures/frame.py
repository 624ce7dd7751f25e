"""What all figures share: margins, fonts, a toolbar out of the way, and grids of small figures with common axes."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from plotly.basedatatypes import BaseFigure

from dashboard.colours import REFERENCE

if TYPE_CHECKING:
    import pandas as pd

Layout = dict[str, Any]


class Chart(BaseFigure):
    """A figure as plain data: traces and a layout in Plotly's own words.

    Plotly's Python objects check every attribute, which for a page of small multiples takes longer than all its
    queries. A Chart is taken as it is by Streamlit and by `plotly.io`; the tests put every one through the check.
    """

    def __init__(self, *traces: dict[str, Any]) -> None:
        self._traces = list(traces)
        self._settings: dict[str, Any] = {"xaxis": {}, "yaxis": {}, "shapes": [], "annotations": []}

    def add(self, trace: dict[str, Any]) -> Chart:
        """Add one trace."""
        self._traces.append(trace)
        return self

    def arrange(self, **layout: Any) -> Chart:
        """Merge settings into the layout: dictionaries deeply, shapes and annotations at their end."""
        _merge(self._settings, layout)
        return self

    def each_axis(self, letter: str, **settings: Any) -> Chart:
        """Merge settings into every x or y axis."""
        for name, axis in self._settings.items():
            if name.startswith(f"{letter}axis"):
                _merge(axis, settings)
        return self

    def to_dict(self) -> dict[str, Any]:
        """The figure as Plotly's JSON."""
        return {"data": self._traces, "layout": self._settings}


def _merge(into: dict[str, Any], more: dict[str, Any]) -> None:
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        elif isinstance(value, list) and key in ("shapes", "annotations"):
            into[key] = [*into.get(key, []), *value]
        else:
            into[key] = value


def framed(chart: Chart, height: int, *, left: float = 72, bottom: float = 46, **layout: Any) -> Chart:
    """A chart with the margins of all figures, legend above, and no title of its own (the page has one).

    `left` and `bottom` are the pixels that ticks and titles get beside and below: enough for numbers with a title
    unless a caller knows better. Plotly could find out for itself, as Streamlit's theme tells it to, by drawing every
    figure twice and measuring each number; that takes longer than all the rest.
    """
    chart.arrange(
        height=height,
        margin={"l": left, "r": 20, "t": 34, "b": bottom, "autoexpand": True},
        legend={"orientation": "h", "x": 0, "y": 1.0, "yanchor": "bottom", "xanchor": "left"},
        hoverlabel={"align": "left"},
        font={"size": 13},
        **layout,
    )
    for letter in "xy":
        chart.each_axis(letter, automargin=False, ticklabeloverflow="allow")
    return chart


def beside(labels: Iterable[str]) -> float:
    """Pixels that the longest of several tick labels takes."""
    return 16 + 7.4 * max((len(html.unescape(label)) for label in labels), default=0)


def across(
    value: float,
    words: str = "",
    *,
    axis: str = "",
    along: str = "",
    dash: str = "dash",
    colour: str = REFERENCE,
    outside: bool = False,
) -> Layout:
    """Layout of a line over the whole width at `value`, with a few words at its right end or `outside` beyond it.

    It belongs to the axes of number `axis`, or to y axis `axis` over the x axis called `along`.
    """
    line = {
        "type": "line", "xref": f"{along or 'x' + axis} domain", "yref": f"y{axis}", "x0": 0, "x1": 1,
        "y0": value, "y1": value,
        "line": {"color": colour, "dash": dash, "width": 1.5}, "layer": "below",
    }  # fmt: skip
    note = {
        "text": words, "xref": f"x{axis} domain", "x": 1, "yref": f"y{axis}", "y": value,
        "xanchor": "left" if outside else "right", "yanchor": "middle" if outside else "bottom",
        "showarrow": False, "font": {"color": colour, "size": 11},
    }  # fmt: skip
    return {"shapes": [line], "annotations": [note] if words else []}


def upright(value: float) -> Layout:
    """Layout of a line over the whole height at `value`."""
    line = {"color": REFERENCE, "dash": "dash", "width": 1.5}
    return {
        "shapes": [{"type": "line", "yref": "y domain", "y0": 0, "y1": 1, "x0": value, "x1": value,
                    "line": line, "layer": "below"}]
    }  # fmt: skip


def layer_axis(first: int, last: int) -> Layout:
    """An x axis of layers from half a layer before the first to half a layer after the last."""
    layers = last - first + 1
    step = 1 if layers <= 40 else 5 if layers <= 100 else 10  # ticks whose numbers do not run into each other
    return {
        "title": {"text": "layer", "standoff": 8},
        "dtick": step,
        "range": [first - 0.5, last + 0.5],
        "zeroline": False,
    }


def tile_step(span: float) -> float:
    """Units between two ticks of a small tile's x axis: whole layers, or halves of a relative depth."""
    if span <= 1:
        return 0.5 if span else 1
    return next((step for step in (1, 2, 5, 10, 20, 50) if span / step <= 5), 100)


def plain(values: Iterable[Any]) -> list[float | None]:
    """Numbers for a browser: what is not a finite number becomes a gap."""
    return [float(v) if isinstance(v, int | float) and abs(v) < math.inf else None for v in values]


def rounded(values: pd.Series) -> np.ndarray:
    """Numbers to six significant digits: what an eye can tell apart, in half the text."""
    numbers = values.to_numpy(dtype=float)
    with np.errstate(divide="ignore", invalid="ignore"):
        digits = 5 - np.floor(np.log10(np.abs(numbers)))
    digits = np.where(np.isfinite(digits), np.clip(digits, 0, 300), 0)
    return np.round(numbers * 10**digits) / 10**digits


def bulk(values: Iterable[Any], *within: float | None) -> tuple[float, float]:
    """The range in which all but a few values lie, with some room: one outlier does not flatten the rest.

    From the 2nd to the 98th percentile, widened by half of its width, and by the values `within` it; or the whole
    range, where that is no wider.
    """
    known = np.array([v for v in plain(values) if v is not None])
    if not len(known):
        return 0.0, 1.0
    also = plain(within)
    ends = [float(known.min()), float(known.max()), *(v for v in also if v is not None)]
    low, high = np.quantile(known, [0.02, 0.98])
    room = max(0.5 * (high - low), 1e-9)
    seen = [low - room, high + room, *(v for v in also if v is not None)]
    low, high = max(min(seen), min(ends)), min(max(seen), max(ends))
    edge = 0.05 * (high - low) or 0.01 * abs(high) or 0.01
    return float(low - edge), float(high + edge)


def near(values: pd.Series, errors: pd.Series, *kept: float | None) -> tuple[float, float]:
    """The range around most of the values, so that an edit that collapses does not hide small differences of others.

    From the median, ten times the typical distance from it (median absolute deviation, or the typical error where that
    is larger) to either side, and the values that must be `kept`; the whole range where nothing lies far outside.
    """
    known = np.array([v for v in plain(values) if v is not None])
    if not len(known):
        return -1.0, 1.0
    spread = [v for v in plain(errors) if v is not None]
    middle = float(np.median(known))
    typical = max(float(np.median(np.abs(known - middle))), float(np.median(spread)) if spread else 0.0)
    inside = known[np.abs(known - middle) <= 10 * typical] if typical > 0 else known
    ends = [*inside, *(v for v in plain(kept) if v is not None)]
    low, high = min(ends), max(ends)
    reach = min(max(spread, default=0.0), high - low)
    edge = max(0.08 * (high - low), 1.1 * reach) or 0.05 * abs(high) or 0.05
    least = min(known.min(), low)
    if least >= 0:  # what is never negative gets no negative ticks, only room for half a mark
        return float(max(low - edge, -0.03 * (high + edge))), float(high + edge)
    return float(low - edge), float(high + edge)


def beyond(
    x: Sequence[Any], y: Sequence[float | None], limits: tuple[float, float], colour: str, **more: Any
) -> dict[str, Any] | None:
    """A trace of triangles at the edge for values outside the limits, which say where they are; None for none."""
    low, high = limits
    out = [(a, b) for a, b in zip(x, y, strict=True) if b is not None and not low <= b <= high]
    if not out:
        return None
    return {
        "type": "scatter", "mode": "markers", "x": [a for a, _ in out],
        "y": [high if b > high else low for _, b in out], "customdata": [b for _, b in out],
        "showlegend": False, "cliponaxis": False,
        "marker": {"color": colour, "size": 9, "line": {"width": 1, "color": "#ffffff"},
                   "symbol": ["triangle-up" if b > high else "triangle-down" for _, b in out]},
        "hovertemplate": "beyond the axis: %{customdata:.5g}<extra></extra>", **more,
    }  # fmt: skip


def log_ticks(values: Iterable[Any]) -> Layout:
    """A logarithmic axis whose ticks are 1, 2 and 5 times powers of ten, written out; linear if it cannot be one."""
    known = [float(v) for v in values if v is not None and abs(v) < math.inf]
    if not known or min(known) <= 0:
        return {"rangemode": "tozero"}
    low, high = math.log10(min(known)), math.log10(max(known))
    steps = (1, 2, 5) if high - low < 2.5 else (1,)
    every = max(1, round((high - low) / 6))
    powers = range(math.floor(low) - 1, math.ceil(high) + 2, every)
    ticks = [float(f"{step}e{power}") for power in powers for step in steps]
    return {"type": "log", "tickmode": "array", "tickvals": ticks, "ticktext": [f"{t:g}" for t in ticks]}


def tiles(rows: int, columns: int, gap: float = 18.0, width: float = 1100.0, down: float | None = None) -> Layout:
    """Axes of a grid of small figures, y axes shared: Plotly's make_subplots by hand, which takes far longer.

    `down` is the share of the height between two rows. The axes of cell (i, j) are `axis_of(i, j, columns)`.
    """
    layout: Layout = {}
    apart, down = gap / width, 0.05 / max(1, rows) if down is None else down
    wide, high = (1 - apart * (columns - 1)) / columns, (1 - down * (rows - 1)) / rows
    for i in range(rows):
        top = 1 - i * (high + down)
        for j in range(columns):
            name, left = axis_of(i, j, columns), j * (wide + apart)
            layout[f"xaxis{name}"] = {"domain": [left, min(1, left + wide)], "anchor": f"y{name}", "nticks": 5}
            layout[f"yaxis{name}"] = {"domain": [max(0, top - high), top], "anchor": f"x{name}"}
            layout[f"yaxis{name}"] |= {"showticklabels": j == 0, **({"matches": "y"} if (i, j) != (0, 0) else {})}
    return layout


def filled(tiles: int, most: int) -> int:
    """Columns of a grid of that many tiles with at most `most` columns, so that no tile stands alone in a row."""
    return -(-tiles // max(1, -(-tiles // most)))


def axis_of(row: int, column: int, columns: int) -> str:
    """The suffix of a tile's axes: nothing for the first, then 2, 3, ..."""
    return number_of(row * columns + column)


def number_of(place: int) -> str:
    """The suffix of an axis by its place: nothing for the first, then 2, 3, ..."""
    return "" if place == 0 else str(place + 1)


def heading(words: str, x: float, y: float, xref: str = "paper") -> dict[str, Any]:
    """A few words above the point (x, y) of the paper, centred."""
    return {
        "text": words, "x": x, "y": y, "xref": xref, "yref": "paper", "xanchor": "center", "yanchor": "bottom",
        "showarrow": False, "font": {"size": 12},
    }  # fmt: skip
