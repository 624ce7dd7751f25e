"""Compare: any two comparisons beside each other, on one scale."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard import assemble, colours, matrix, parts, queries, sentences, state, text
from dashboard.figures import agreement, heat, lines, score
from dashboard.figures.frame import bulk
from dashboard.quantities import QUANTITIES, shown
from resources.warehouse.summaries import where_in_words
from resources.warehouse.summaries.measures import RELATIVE_CHANGE_TEXT, WHERE_TEXT

TITLE = "Compare"
ICON = ":material/compare_arrows:"
ORDER = 35
URL = "compare"

SIDES = ("left", "right")
STRUCTURE = frozenset({"agreement", "scale_statistics", "rotation_statistics"})
Pair = tuple[str, str]


def show() -> None:
    """Draw the page: what is chosen of either side stands in the address, as `left` and `right`."""
    st.header("Compare", anchor=False)
    pairs = queries.pairs(parts.source())
    pairs = pairs[~pairs["is_floor"]]
    if pairs.empty:
        parts.nothing("Nothing to compare yet", "Two models have to be measured; run `rotoscale compare BASE POST`.")
        return
    chosen = _choose(pairs)
    st.session_state["pair_shown"] = None
    _numbers(chosen)
    _maps(chosen)
    _lines(chosen)
    _energy(chosen)
    _scores(chosen)


def _choose(pairs: pd.DataFrame) -> list[Pair]:
    """A comparison for each side: `model`, or `model against base` where it is compared with several."""
    rows = list(pairs[["model_id", "base_id", "is_main"]].itertuples(index=False))
    known = {m if main else f"{m} against {b}": (m, b) for m, b, main in rows}
    names = list(known)
    chosen = []
    for number, (side, column) in enumerate(zip(SIDES, st.columns(2, gap="large"), strict=True)):
        default = names[min(number, len(names) - 1)]
        name = state.select(
            side.capitalize(), names, side, default=default, names=lambda n: text.short(n, 70), where=column
        )
        chosen.append(known[name])
    return chosen


def _numbers(chosen: list[Pair]) -> None:
    """The overall numbers of either side, those of Families and the command line."""
    overall = queries.overall(parts.source()).set_index(["model_id", "base_id"])
    places = queries.where_changed(parts.source()).set_index(["model_id", "base_id"])
    for side, pair, column in zip(SIDES, chosen, st.columns(2, gap="large"), strict=True):
        with column:
            if pair not in overall.index:
                parts.nothing("Not measured yet", "Its run may still be going.")
                continue
            sentences.about(URL, *pair, most=3, where=side, tables=STRUCTURE)
            row = overall.loc[pair]
            parts.metrics(
                [
                    ("Moved", text.percent(row["relative_change"]), RELATIVE_CHANGE_TEXT),
                    ("α", text.number(row["alpha"], 4), parts.meaning("alpha_median", "scale_statistics")),
                    ("τ", text.number(row["tau"], 3), parts.meaning("tau", "agreement")),
                    (
                        "Together",
                        f"{int(row['together'])} of {int(row['with_tau'])}",
                        "Matrices that changed together.",
                    ),
                    ("NF / null", text.number(row["nf_over_null"], 2), parts.meaning("nf_over_null")),
                ]
            )
            if pair in places.index:
                words = where_in_words(places.loc[pair].to_dict())
                st.markdown(f"It changed {text.plain(words)}.", help=WHERE_TEXT)


@state.fragment
def _maps(chosen: list[Pair]) -> None:
    st.subheader("Matrix by matrix", anchor=False)
    known = [key for key in shown("map") if any(queries.known(parts.source(), (key,), *pair) for pair in chosen)]
    if not known:
        parts.nothing("Nothing to show", "Neither of the two is measured yet.")
        return
    key = state.select(
        "Shown", known, "shown", names=lambda k: QUANTITIES[k].label, default="tau" if "tau" in known else known[0],
        where=st.columns(4)[0],
    )  # fmt: skip
    quantity = QUANTITIES[key]
    st.caption(matrix.explained(quantity) + " Both maps have the same colours for the same values.")
    for side, pair, column in zip(SIDES, chosen, st.columns(2, gap="large"), strict=True):
        data = queries.grid(parts.source(), key, *pair)
        with column:
            if data.empty:
                parts.nothing("Not measured", f"There is no {quantity.label} of this model.")
                continue
            parts.figure(
                heat.layer_map(data, quantity, theme=parts.theme()), f"{side}-{key}", _named(data, pair),
                of=quantity.table, key=f"map_of_{side}", alt=f"Heat map of {quantity.label} of {pair[0]}",
            )  # fmt: skip


def _lines(chosen: list[Pair]) -> None:
    """Both in one figure, layer by layer."""
    names = [f"{side}: {text.short(model, 40)}" for side, (model, _) in zip(SIDES, chosen, strict=True)]
    methods = dict(queries.pairs(parts.source())[["model_id", "method"]].itertuples(index=False))
    styles = colours.of_methods({name: methods[pair[0]] or "" for name, pair in zip(names, chosen, strict=True)})
    for key in ("alpha_median", "tau"):
        q = QUANTITIES[key]
        data = pd.concat(
            [_named(queries.grid(parts.source(), key, *pair), pair).assign(side=name)
             for name, pair in zip(names, chosen, strict=True)]
        ).dropna(subset=["value"])  # fmt: skip
        if data.empty:
            continue
        st.markdown(f"**{q.label}** by layer and matrix type", help=parts.meaning(q.column, q.table))
        parts.figure(
            lines.multiples(
                data, series="side", styles=styles, y_title=q.label, centre=q.centre,
                limits=bulk(data["value"], q.centre),
            ),
            f"compared-{key}", data, of=q.table, alt=f"{q.label} of both models by layer and matrix type",
        )  # fmt: skip


def _energy(chosen: list[Pair]) -> None:
    found = [queries.energy(parts.source(), *pair) for pair in chosen]
    if all(data.empty for data in found):
        return
    st.subheader("Where the change's energy lies", anchor=False, help=parts.meaning("share_shared", "agreement"))
    for side, pair, data, column in zip(SIDES, chosen, found, st.columns(2, gap="large"), strict=True):
        with column:
            if data.empty:
                parts.nothing("No energy to divide", "Nothing changed, or it is not measured.")
                continue
            parts.figure(
                agreement.energy(data, parts.theme()), f"energy-{side}", _named(data, pair), of="agreement",
                alt=f"Shares of the energy of the change of {pair[0]}",
            )  # fmt: skip
    st.caption(agreement.ENERGY_TEXT)


def _scores(chosen: list[Pair]) -> None:
    """Base and post model of both sides on every task that either was scored on."""
    scores = assemble.main_scores(queries.model_scores(parts.source()))
    models = list(dict.fromkeys(m for model, base in chosen for m in (base, model)))
    scores = scores[scores["model_id"].isin(models) & scores["value"].notna()]
    if scores.empty:
        return
    st.subheader("Scores", anchor=False, help=parts.meaning("stderr", "evaluation_scores"))
    bases = {base for _, base in chosen}
    scores = scores.assign(
        kind=["base" if m in bases else "post" for m in scores["model_id"]],
        panel=assemble.panels(scores), name=scores["model_id"],
    )  # fmt: skip
    order = {m: i for i, m in enumerate(models)}
    scores = scores.sort_values(["panel", "model_id"], key=lambda c: c.map(order) if c.name == "model_id" else c)
    parts.figure(
        score.dots(scores, guides=len(bases) == 1), "compared-scores", scores, of="evaluation_scores",
        alt="Scores of both models and their bases with standard errors",
    )  # fmt: skip


def _named(data: pd.DataFrame, pair: Pair) -> pd.DataFrame:
    return data.assign(model_id=pair[0], base_id=pair[1])
