"""Rotation: did left and right singular vectors rotate together, beyond what noise of the same size would do?"""

from __future__ import annotations

import streamlit as st

from dashboard import assemble, colours, matrix, parts, queries, text
from dashboard.figures import lines, spectrum
from dashboard.quantities import shown
from resources.warehouse.summaries import PAIR_PAGE

TITLE = "Rotation"
ICON = ":material/rotate_right:"
ORDER = 30
URL = "rotation"
OPENS_MODEL = True


def show() -> None:
    """Draw the page."""
    st.header("Rotation", anchor=False)
    quantities = shown("map", "rotation")
    pair = matrix.choose(quantities, "rotation")
    if pair is None:
        return
    model, base = pair
    models = queries.models(parts.source())
    if base in set(models.loc[models["model_id"] == model, "base_id"]):  # sentences are on a model and its own base
        parts.in_short(model, PAIR_PAGE)
    matrix.details(_matrix, quantities, "rotation", model, base)
    _levels(model, base)


def _matrix(cell: matrix.Cell) -> None:
    st.subheader(f"Layer {cell.layer}, {text.code(cell.matrix)}", anchor=False)
    found = queries.cell(parts.source(), "rotation_statistics", *cell.key)
    if found.empty:
        parts.nothing("No rotation statistics of this matrix", "It was not decomposed; see Models for the coverage.")
        return
    row = found.iloc[0].to_dict()
    parts.numbers(row, shown("matrix", "rotation"))
    parts.figure(
        spectrum.standing(row),
        f"standing-{cell.name}",
        found,
        alt="NF of the matrix, that of noise, the unrelated level",
    )
    data = queries.diagonals(parts.source(), *cell.key)
    left, right = st.columns([3, 2], gap="large")
    with left:
        st.markdown(
            "**How far each singular vector rotated**", help=parts.meaning("left_diagonal", "rotation_statistics")
        )
        if data.empty:
            parts.nothing("No vectors stored", "This row has no diagonals.")
        else:
            parts.figure(
                spectrum.rotated(data), f"rotated-{cell.name}", data, alt="|diag A| and |diag B| along the spectrum"
            )
    with right:
        st.markdown("**I_orth = AᵀB, in blocks**", help=parts.meaning("picture", "rotation_statistics"))
        blocks = queries.picture(parts.source(), *cell.key)
        if blocks.empty:
            parts.nothing("No picture stored", "This row has no picture of I_orth.")
        else:
            parts.figure(
                spectrum.picture(blocks), f"picture-{cell.name}", blocks,
                alt="I_orth reduced to blocks: the identity when both sides rotated together",
            )  # fmt: skip
    st.caption("A clean diagonal is one rotation shared by both sides; a blurred one is two sides that came apart.")
    parts.provenance(row)


def _levels(model: str, base: str) -> None:
    st.subheader(
        "Against noise, and against unrelated matrices",
        anchor=False,
        help=parts.meaning("nf_null", "rotation_statistics"),
    )
    wide = queries.levels(parts.source(), model, base)
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
        "levels", wide, alt="NF by layer and matrix type, with that of noise and the unrelated level",
    )  # fmt: skip
    levels = [name for name in colours.LEVELS if name != "nf" and wide[name].notna().any()]
    st.caption(
        f"{parts.meanings('rotation_statistics', *levels)} No verdict is read off NF. "
        "Below 0.003 call a matrix unchanged: storing it in bf16 alone moves it that far."
    )
