"""Rotation: did left and right singular vectors turn together, beyond what noise of the same size would do?"""

from __future__ import annotations

from typing import Any

import streamlit as st

from dashboard import assemble, colours, matrix, parts, text
from dashboard.figures import lines, spectrum
from dashboard.quantities import ROTATION


def show() -> None:
    """Draw the page."""
    st.header("Rotation", anchor=False)
    pair = matrix.choose(ROTATION, "rotation")
    if pair is None:
        return
    model, base = pair
    matrix.details(_matrix, ROTATION, "rotation", model, base)
    _levels(model, base)


def _matrix(cell: matrix.Cell) -> None:
    st.subheader(f"Layer {cell.layer}, {text.code(cell.matrix)}", anchor=False)
    found = parts.ask("cell", "rotation_statistics", *cell.key)
    if found.empty:
        parts.nothing("No rotation statistics of this matrix", "It was not decomposed; see Models for the coverage.")
        return
    row = found.iloc[0].to_dict()
    names = ("nf", "nf_over_null", "relative_change", "leak", "formula_error", "base_error", "intruders")
    parts.metrics([(text.title(n), _shown(n, row[n]), text.meaning(n)) for n in names])
    parts.figure(
        spectrum.standing(row), f"standing-{cell.name}", found, alt="NF of the matrix, its nulls, the unrelated level"
    )
    data = parts.ask("diagonals", *cell.key)
    left, right = st.columns([3, 2], gap="large")
    with left:
        st.markdown("**How far each singular vector turned**", help=text.meaning("left_diagonal"))
        if data.empty:
            parts.nothing("No vectors stored", "This row has no diagonals.")
        else:
            parts.figure(
                spectrum.turned(data), f"turned-{cell.name}", data, alt="|diag A| and |diag B| along the spectrum"
            )
    with right:
        st.markdown("**I_orth = AᵀB, in blocks**", help=text.meaning("picture"))
        blocks = parts.ask("picture", *cell.key)
        if blocks.empty:
            parts.nothing("No picture stored", "This row has no picture of I_orth.")
        else:
            parts.figure(
                spectrum.picture(blocks), f"picture-{cell.name}", blocks,
                alt="I_orth reduced to blocks: the identity when both sides turned together",
            )  # fmt: skip
    st.caption("A clean diagonal is one rotation shared by both sides; a blurred one is two sides that came apart.")
    parts.provenance(row)


def _shown(name: str, value: Any) -> str:
    return text.number(value, 0 if name == "intruders" else 2 if name == "nf_over_null" else 4)


def _levels(model: str, base: str) -> None:
    st.subheader("Against noise, and against strangers", anchor=False, help=text.meaning("nf_null_simulated"))
    wide = parts.ask("levels", model, base)
    data = assemble.long_levels(wide, list(colours.LEVELS)).dropna(subset=["value"])
    if data.empty:
        parts.nothing("No levels", "Every NF of this model is missing.")
        return
    styles = {text.title(name): style for name, style in colours.LEVELS.items()}
    data = data.assign(series=data["series"].map(text.title))
    parts.figure(
        lines.multiples(
            data, series="series", styles=styles, y_title="NF", tile_height=240, log_y=True
        ),
        "levels", wide, alt="NF by layer and matrix type, with its nulls and the unrelated level",
    )  # fmt: skip
    st.caption(
        f"{text.meaning('nf_null')} {text.meaning('nf_null_simulated')} {text.meaning('nf_unrelated')} "
        "Below 0.003 call a matrix unchanged: storing it in bf16 alone moves it that far."
    )


show()
