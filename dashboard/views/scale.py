"""Scale: how far, and how evenly, the singular values of each matrix were scaled."""

from __future__ import annotations

import streamlit as st

from dashboard import colours, matrix, parts, queries, state, text
from dashboard.figures import lines, spectrum
from dashboard.figures.frame import bulk
from dashboard.quantities import QUANTITIES, shown
from resources.warehouse.summaries import in_order

TITLE = "Scale"
ICON = ":material/straighten:"
ORDER = 20
URL = "scale"
OPENS_MODEL = True
TABLES = ("scale_statistics", "decompositions")

BANDS = {f"alpha_{band}": band for band in queries.BANDS}


def show() -> None:
    """Draw the page."""
    st.header("Scale", anchor=False)
    quantities = shown("map", "scale")
    pair = matrix.choose(quantities, "scale")
    if pair is None:
        return
    model, base = pair
    st.caption(text.DECAY)
    matrix.details(_matrix, quantities, "scale", model, base)
    _bands(model, base)
    _types(model, base)


def _matrix(cell: matrix.Cell) -> None:
    st.subheader(f"Layer {cell.layer}, {text.code(cell.matrix)}", anchor=False)
    found = queries.cell(parts.source(), "scale_statistics", *cell.key)
    if found.empty:
        parts.nothing("No scale statistics of this matrix", "It was not decomposed; see Models for the coverage.")
        return
    row = found.iloc[0].to_dict()
    parts.numbers(row, shown("matrix", "scale"))
    data = queries.spectra(parts.source(), *cell.key)
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown("**Ratio spectrum**", help=parts.meaning("ratio", "scale_statistics"))
        if data["ratio"].notna().any():
            low, high = row["ratio_p05"], row["ratio_p95"]
            parts.figure(
                spectrum.ratio(data, alpha=row["alpha_median"], low=low, high=high, noise=row["ratio_cv_noise"]),
                f"ratio-{cell.name}", data[["component", "ratio"]], of="scale_statistics",
                alt="Ratio of singular values by component",
            )  # fmt: skip
            st.caption(
                "The blue band holds the 5th to 95th percentile, the grey one what noise of the change's size would "
                "leave around 1, two standard deviations on either side. Triangles at the edge lie beyond the axis."
            )
    with right:
        st.markdown("**Base and post spectra**", help=parts.meaning("singular_values", "decompositions"))
        if data["base"].notna().any() or data["post"].notna().any():
            parts.figure(
                spectrum.values(data), f"spectra-{cell.name}", data[["component", "base", "post"]], of="decompositions",
                alt="Singular values of base and post on logarithmic axes",
            )  # fmt: skip
            st.caption("Two parallel lines are a uniform scaling; lines that part at one end are not.")
    _along(cell)
    parts.provenance(row)
    with st.expander("What plain weight decay would look like", key="decay", on_change="rerun") as decay:
        st.markdown(
            f"{text.DECAY} Decay multiplies the whole matrix by one number, so every singular value by the same, and "
            "rotates no vector. A median below 1 says something about training only as far as the line is *not* flat, "
            "differs between matrix types, or comes with a rotation."
        )
        if decay.open and data["ratio"].notna().any() and text.number(row["alpha_median"]) != "–":
            parts.figure(
                spectrum.decay(data, row["alpha_median"]), f"decay-{cell.name}", data[["component", "ratio"]],
                of="scale_statistics",
                alt="This matrix beside the flat line of weight decay",
            )  # fmt: skip


def _along(cell: matrix.Cell) -> None:
    """All layers of the cell's matrix type along their spectra, and how densely the cell's own values lie."""
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown(
            f"**Ratio of {text.code(cell.matrix, 24)} along the spectrum, layer by layer**",
            help=parts.meaning("ratio", "scale_statistics"),
        )
        data = queries.ratios(parts.source(), cell.model, cell.base, cell.matrix, cell.expert)
        if data["ratio"].notna().any():
            parts.figure(
                spectrum.ratio_map(
                    data, reach=QUANTITIES["alpha_median"].reach, theme=parts.theme(), picked=cell.layer
                ),
                f"ratios-{matrix.letters(cell.matrix)}", data, of="scale_statistics",
                alt="Ratio of singular values by place in the spectrum and layer",
            )  # fmt: skip
            st.caption(
                "The largest singular values stand at the top. Grey lies within two standard deviations of what noise "
                "of the change's size gives the ratios of that matrix (one draw)."
            )
        else:
            parts.nothing("No ratios", "None of this matrix type's ratios is a number.")
    with right:
        st.markdown("**Spectral density**", help=parts.meaning("singular_values", "decompositions"))
        bars = queries.densities(parts.source(), *cell.key)
        if bars.empty:
            parts.nothing("No spectrum", "None of this matrix's singular values is stored.")
        else:
            parts.figure(
                spectrum.density(bars), f"density-{cell.name}", bars, of="decompositions",
                alt="Density of the singular values beside the Marchenko-Pastur law",
            )  # fmt: skip
            st.caption(
                "The dashed line is the law of Marchenko and Pastur: a matrix of this shape and norm with independent "
                "entries. Values beyond its right end are structure that such a matrix does not have."
            )


def _bands(model: str, base: str) -> None:
    st.subheader("Bands of the spectrum", anchor=False, help="Is it the largest singular values that grew, or all?")
    wide = queries.bands(parts.source(), model, base).rename(columns=BANDS)
    data = wide.melt(["layer", "matrix"], list(BANDS.values()), "band", "value").dropna(subset=["value"])
    if data.empty:
        parts.nothing("No bands", "Every value of this model's bands is missing.")
        return
    parts.figure(
        lines.multiples(
            data.sort_values(["matrix", "band", "layer"]), series="band", styles=colours.BANDS, y_title="α", centre=1,
            tile_height=230, limits=bulk(data["value"], 1.0),
        ),
        "bands", data, of="scale_statistics",
        alt="Scale factor of the top, middle and bottom tenth of the spectrum, by layer and matrix",
    )  # fmt: skip
    st.caption(parts.meanings("scale_statistics", "alpha_top", "alpha_middle", "alpha_bottom"))


@state.fragment
def _types(model: str, base: str) -> None:
    st.subheader(
        "Is one matrix type out of line?",
        anchor=False,
        help="He and Cao report an unusually high scale of o in models distilled on long reasoning.",
    )
    data = queries.grid(parts.source(), "alpha_median", model, base)
    data = data[data["value"].notna()]
    if data.empty:
        return
    names = in_order(list(dict.fromkeys(data["matrix"])))
    strong = state.select(
        "Set off",
        names,
        "strong",
        default="o" if "o" in names else names[0],
        names=lambda m: text.short(m, 24),
        where=st.columns(6)[0],
    )
    left, right = st.columns([3, 2], gap="large")
    with left:
        parts.figure(
            lines.by_type(data, strong=strong, y_title="α median", centre=1),
            "types-by-layer", data, of="scale_statistics", alt="Scale factor by layer, one line per matrix type",
        )  # fmt: skip
    with right:
        parts.figure(
            lines.spread(data, strong=strong, y_title="α median", centre=1),
            "types-spread", data, of="scale_statistics", alt="Scale factor of each matrix type over all layers",
        )  # fmt: skip
    inside, outside = data[data["matrix"] == strong]["value"].median(), data[data["matrix"] != strong]["value"].median()
    st.caption(
        f"Median α of {text.code(strong)} {text.number(inside, 4)}, of all other types {text.number(outside, 4)}. "
        + text.DECAY
    )
