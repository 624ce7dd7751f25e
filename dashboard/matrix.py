"""The part that Scale and Rotation share: the heat map, the cell picked in it, and the boxes that pick it too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from dashboard import parts, state, text
from dashboard.figures import heat
from dashboard.quantities import Quantity, in_order

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd


_WAS_PICKED = "cell_was_picked"


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
        return f"layer-{self.layer}-{_letters(self.matrix)}{expert}"


def pick(quantities: Mapping[str, Quantity], key: str, model: str, base: str) -> Cell | None:
    """Draw the heat map of one of several quantities, with its buttons and boxes; the cell picked, None without data.

    `key` names the choice of the quantity in the address.
    """
    quantity = quantities[state.chosen(key, list(quantities), next(iter(quantities)))]
    data = parts.ask("grid", quantity.key, model, base)
    if data.empty:
        return None
    layers, matrices = sorted({int(v) for v in data["layer"]}), in_order(list(dict.fromkeys(data["matrix"])))
    first = _outstanding(data, quantity)
    one, two, three, four = st.columns([1, 1.4, 1, 6], vertical_alignment="bottom")
    layer = state.select("Layer", layers, "layer", default=first[0], where=one)
    matrix = state.select("Matrix", matrices, "matrix", default=first[1], names=lambda m: text.short(m, 24), where=two)
    experts = parts.ask("experts", model, base, layer, matrix)
    is_mixture = bool(experts) and experts != [-1]
    expert = state.select("Expert", experts, "expert", where=three) if is_mixture else -1
    (four if is_mixture else three).caption("or click a cell")
    cell = Cell(model, base, layer, matrix, expert)
    _heat_map(quantities, key, cell)
    return cell


@st.fragment
def _heat_map(quantities: Mapping[str, Quantity], key: str, cell: Cell) -> None:
    """The heat map and the buttons that choose what it shows: another quantity draws this again, not the page."""
    if st.session_state.pop(_WAS_PICKED, False):
        st.rerun()
    chosen = state.segments("Shown", list(quantities), key, names=lambda k: quantities[k].label)
    quantity = quantities[chosen]
    st.caption(f"**{quantity.label}.** {text.meaning(quantity.column, quantity.table) or ''} {quantity.note}")
    data = parts.ask("grid", quantity.key, cell.model, cell.base)
    chart = heat.layer_map(data, quantity, theme=parts.theme(), picked=(cell.layer, cell.matrix))
    widget = f"map_{cell.layer}_{in_order(list(dict.fromkeys(data['matrix']))).index(cell.matrix)}"
    parts.figure(
        chart, quantity.key, data, key=widget, on_pick=lambda: _picked(widget),
        alt=f"Heat map of {quantity.label} by layer and matrix type; click a cell to open the matrix",
    )  # fmt: skip


def _picked(widget: str) -> None:
    """A click in the heat map is a choice of layer and matrix like any other; it concerns the whole page."""
    points = st.session_state[widget].selection.points
    if points:
        layer, matrix = points[0]["customdata"][:2]
        state.put(layer=int(layer), matrix=str(matrix))
        st.session_state[_WAS_PICKED] = True


def _outstanding(data: pd.DataFrame, quantity: Quantity) -> tuple[int, str]:
    """The cell furthest from where nothing happened: what is open before anything is picked."""
    distance = (data["value"] - (quantity.centre or 0)).abs().replace(float("inf"), float("nan"))
    row = data.loc[distance.idxmax()] if distance.notna().any() else data.iloc[0]
    return int(row["layer"]), str(row["matrix"])


def _letters(name: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in name)[:40] or "matrix"
