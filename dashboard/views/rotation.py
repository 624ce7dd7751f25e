"""Rotation: did left and right singular vectors change together, where the change lies, and how far they came apart."""

from __future__ import annotations

import streamlit as st

from dashboard import assemble, colours, matrix, parts, queries, state, text
from dashboard.figures import agreement, lines, spectrum
from dashboard.quantities import shown

TITLE = "Rotation"
ICON = ":material/rotate_right:"
ORDER = 30
URL = "rotation"
OPENS_MODEL = True
TABLES = ("agreement", "rotation_statistics")


def show() -> None:
    """Draw the page."""
    st.header("Rotation", anchor=False)
    quantities = shown("map", "rotation")
    pair = matrix.choose(quantities, "rotation")
    if pair is None:
        return
    _energy(*pair)
    matrix.details(_matrix, quantities, "rotation", *pair)
    _changes(*pair)
    _levels(*pair)


def _energy(model: str, base: str) -> None:
    data = queries.energy(parts.source(), model, base)
    st.subheader("Where the change's energy lies", anchor=False, help=parts.meaning("share_shared", "agreement"))
    if data.empty:
        parts.nothing("No energy to divide", "The model's matrices are those of its base, or `agreement` is not made.")
        return
    parts.figure(
        agreement.energy(data, parts.theme()), "energy", data, of="agreement",
        alt="Shares of the change's energy by matrix type and layer, beside those of white noise",
    )  # fmt: skip
    st.caption(agreement.ENERGY_TEXT)


def _matrix(cell: matrix.Cell) -> None:
    st.subheader(f"Layer {cell.layer}, {text.code(cell.matrix)}", anchor=False)
    found = queries.cell(parts.source(), "rotation_statistics", *cell.key)
    agreed = queries.cell(parts.source(), "agreement", *cell.key)
    if found.empty and agreed.empty:
        parts.nothing("No rotation statistics of this matrix", "It was not decomposed; see Models for the coverage.")
        return
    row = {k: v for data in (agreed, found) for k, v in next(iter(data.to_dict("records")), {}).items()}
    parts.numbers(row, shown("matrix", "rotation"))
    if text.number(row.get("nf")) != "–":
        parts.figure(
            spectrum.standing(row), f"standing-{cell.name}", found, of="rotation_statistics",
            alt="NF of the matrix, its nulls, the unrelated level",
        )  # fmt: skip
    data = queries.diagonals(parts.source(), *cell.key)
    left, right = st.columns([3, 2], gap="large")
    with left:
        st.markdown(
            "**|A| and |B| on their diagonals: how far each singular vector rotated**",
            help=parts.meaning("left_diagonal", "rotation_statistics"),
        )
        if data.empty:
            parts.nothing("No vectors stored", "At standard depth the post model's vectors are not computed.")
        else:
            parts.figure(
                spectrum.rotated(data), f"rotated-{cell.name}", data, of="rotation_statistics",
                alt="|diag A| and |diag B| along the spectrum",
            )  # fmt: skip
    with right:
        st.markdown("**I_orth = AᵀB, in blocks**", help=parts.meaning("picture", "rotation_statistics"))
        blocks = queries.picture(parts.source(), *cell.key)
        if blocks.empty:
            parts.nothing("No picture stored", "At standard depth the post model's vectors are not computed.")
        else:
            parts.figure(
                spectrum.picture(blocks), f"picture-{cell.name}", blocks, of="rotation_statistics",
                alt="I_orth reduced to blocks: the identity when both sides rotated together",
            )  # fmt: skip
    if len(data):
        st.caption(
            "The diagonal of I_orth stands above its other blocks, which are drawn on a logarithmic scale. One "
            "rotation shared by both sides leaves a diagonal of 1 over nothing; two sides that came apart blur it."
        )
    parts.provenance(row)


@state.fragment
def _changes(model: str, base: str) -> None:
    data = queries.changes(parts.source(), model, base)
    if data.empty:
        return
    st.subheader("Size of the change against NF", anchor=False, help=parts.meaning("nf_null", "rotation_statistics"))
    parts.figure(
        agreement.change_against_nf(data), "change-against-nf", data, of="rotation_statistics",
        alt="Every matrix by its relative change and its NF, with the NF of noise of that size",
    )  # fmt: skip
    st.caption(
        "Each point is one matrix. Dashed lines are the NF of Gaussian noise of the same size, one for each matrix "
        "type, because it depends on the spectrum. NF mixes where a change lies with whether the sides agree, and "
        "small singular values rule it: it decides nothing, τ does."
    )


def _levels(model: str, base: str) -> None:
    wide = queries.levels(parts.source(), model, base)
    data = assemble.long_levels(wide, list(colours.LEVELS)).dropna(subset=["value"])
    st.subheader(
        "NF against noise, and against unrelated matrices",
        anchor=False,
        help=parts.meaning("nf_null", "rotation_statistics"),
    )
    if data.empty or wide["nf"].isna().all():
        parts.nothing(
            "No NF", "At standard depth only tau and the energy are computed; `ROTOSCALE_DEPTH=full` adds NF."
        )
        return
    styles = {text.title(name): style for name, style in colours.LEVELS.items()}
    data = data.assign(series=data["series"].map(text.title))
    parts.figure(
        lines.multiples(
            data, series="series", styles=styles, y_title="NF", tile_height=240, log_y=True
        ),
        "levels", wide, of="rotation_statistics",
        alt="NF by layer and matrix type, with its nulls and the unrelated level",
    )  # fmt: skip
    known = [name for name in ("nf_null", "nf_null_simulated", "nf_unrelated") if wide[name].notna().any()]
    st.caption(
        f"{parts.meanings('rotation_statistics', *known)} "
        "Below 0.003 call a matrix unchanged: storing it in bf16 alone moves it that far."
    )
