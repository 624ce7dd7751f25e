"""The part that Scale and Rotation share: the heat map, the cell picked in it, and the boxes that pick it too."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from dashboard import parts, queries, sentences, state, text
from dashboard.figures import heat
from dashboard.quantities import Quantity
from resources.warehouse.summaries import in_order

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pandas as pd


_MAP, _DETAILS = "map", "details"
"""Keys of the two fragments, which a choice of another cell draws again."""


COLOURS = ("fixed", "free")


@dataclass(frozen=True)
class Cell:
    """One matrix of one comparison."""

    model: str
    base: str
    layer: int
    matrix: str
    expert: int

    @property
    def key(self) -> tuple[str, str, int, str, int]:
        """What the queries about a single matrix ask for."""
        return (self.model, self.base, self.layer, self.matrix, self.expert)

    @property
    def name(self) -> str:
        """The matrix as a file name."""
        expert = "" if self.expert < 0 else f"-expert-{self.expert}"
        return f"layer-{self.layer}-{letters(self.matrix)}{expert}"


def choose(quantities: Mapping[str, Quantity], key: str) -> tuple[str, str] | None:
    """Draw what chooses a comparison, what was found of it, and its heat map, which chooses a cell.

    Returns (model, base), or None without data. `key` is the page's address, and the name of the choice of a quantity.
    """
    table = next(iter(quantities.values())).table
    asset = parts.source().catalogue.asset_of(table)
    pair = parts.choose_pair(queries.pairs(parts.source()))
    if pair is None:
        parts.nothing(
            "No comparison is measured yet",
            f"Materialize `{asset}` in Dagster, or run `rotoscale compare BASE POST`.",
            link=text.dagster(),
        )
    elif not (known := offered(quantities, *pair)) or _picked_cell(known, key, *pair) is None:
        parts.nothing(
            f"The {key} of this model is not measured yet",
            f"Its run may still be going, or `{asset}` waits to be materialized.",
            link=parts.asset_link(table, pair[0]),
        )
    else:
        sentences.about(key, *pair)
        _heat_map(known, key, *pair)
        return pair
    return None


def offered(quantities: Mapping[str, Quantity], model: str, base: str) -> dict[str, Quantity]:
    """The quantities that have a value in a comparison."""
    return {key: quantities[key] for key in queries.known(parts.source(), list(quantities), model, base)}


@functools.partial(state.fragment, key=_MAP)
def _heat_map(quantities: Mapping[str, Quantity], key: str, model: str, base: str) -> None:
    """A fragment of its own: another quantity draws this again, another cell this and the details, nothing the page."""
    cell = _picked_cell(quantities, key, model, base)
    if cell is None:
        return
    one, two, three, four, five = st.columns([1, 1.4, 1, 4, 1.4], vertical_alignment="bottom")
    grid = queries.grid(
        parts.source(), next(iter(quantities)), model, base
    )  # all quantities of a page have the same cells
    layers, matrices = _layers(grid), _matrices(grid)
    state.select("Layer", layers, "layer", default=cell.layer, where=one, then=_show_cell)
    state.select(
        "Matrix", matrices, "matrix", default=cell.matrix, names=lambda m: text.short(m, 24), where=two, then=_show_cell
    )
    if cell.expert >= 0:
        experts = queries.experts(parts.source(), model, base, cell.layer, cell.matrix)
        state.select("Expert", experts, "expert", where=three, then=_show_cell)
    (four if cell.expert >= 0 else three).caption("or click a cell")
    chosen = state.segments("Shown", list(quantities), key, names=lambda k: quantities[k].label)
    free = state.segments(
        "Colours", COLOURS, "colours", where=five,
        help="Fixed: the same colour is the same value in every model. Free: the colours are fitted to this one.",
    ) == COLOURS[1]  # fmt: skip
    quantity = quantities[chosen]
    st.caption(explained(quantity))
    data = queries.grid(parts.source(), quantity.key, model, base)
    chart = heat.layer_map(data, quantity, theme=parts.theme(), picked=(cell.layer, cell.matrix), free=free)
    # Another cell is another widget: a click on a cell that was clicked before would count as taking the click back.
    widget = f"map_{cell.layer}_{matrices.index(cell.matrix)}"
    parts.figure(
        chart, quantity.key, data, key=widget, of=quantity.table, on_pick=lambda: _clicked(widget),
        alt=f"Heat map of {quantity.label} by layer and matrix type; click a cell to open the matrix",
    )  # fmt: skip


@functools.partial(state.fragment, key=_DETAILS)
def details(draw: Callable[[Cell], None], quantities: Mapping[str, Quantity], key: str, model: str, base: str) -> None:
    """What a page says about the picked cell, drawn again for another one."""
    known = offered(quantities, model, base)
    cell = _picked_cell(known, key, model, base) if known else None
    if cell is not None:
        draw(cell)


def _picked_cell(quantities: Mapping[str, Quantity], key: str, model: str, base: str) -> Cell | None:
    """The cell that the address names, else the one that stands out; None without data."""
    quantity = quantities[state.chosen(key, list(quantities), next(iter(quantities)))]
    data = queries.grid(parts.source(), quantity.key, model, base)
    if data.empty:
        return None
    layer, matrix = _outstanding(data, quantity)
    layer = state.chosen("layer", _layers(data), layer)
    matrix = state.chosen("matrix", _matrices(data), matrix)
    experts = queries.experts(parts.source(), model, base, layer, matrix)
    is_mixture = bool(experts) and experts != [-1]
    return Cell(model, base, layer, matrix, state.chosen("expert", experts, experts[0]) if is_mixture else -1)


def explained(quantity: Quantity) -> str:
    """What a quantity's heat map shows, in sentences."""
    tested = (
        "Grey cells are undecided: q is not below 0.05 after Benjamini and Hochberg over the model's matrices, or |τ| "
        "is not above 0.05."
        if quantity.key == "tau"
        else ""
    )
    meaning = text.sentence(parts.meaning(quantity.column, quantity.table))
    return " ".join(filter(None, [f"**{quantity.label}**: {meaning}", quantity.note, tested]))


def _clicked(widget: str) -> None:
    """A click in the heat map is a choice of layer and matrix like any other."""
    points = st.session_state[widget].selection.points
    if points:
        layer, matrix = points[0]["customdata"][:2]
        state.put(layer=int(layer), matrix=str(matrix))
        _show_cell()


def _show_cell() -> None:
    st.rerun([_MAP, _DETAILS])


def _layers(data: pd.DataFrame) -> list[int]:
    return sorted({int(v) for v in data["layer"]})


def _matrices(data: pd.DataFrame) -> list[str]:
    return in_order(data["matrix"].unique().tolist())


def _outstanding(data: pd.DataFrame, quantity: Quantity) -> tuple[int, str]:
    """The cell furthest from where nothing happened: what is open before anything is picked."""
    distance = (data["value"] - (quantity.centre or 0)).abs().replace(float("inf"), float("nan"))
    row = data.loc[distance.idxmax()] if distance.notna().any() else data.iloc[0]
    return int(row["layer"]), str(row["matrix"])


def letters(name: str) -> str:
    """A name as part of a file name."""
    return "".join(c if c.isalnum() else "-" for c in name)[:40] or "matrix"
