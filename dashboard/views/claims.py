"""Claims: what the two papers say, and what every model says of it; the numbers and rows behind each verdict."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from dashboard import assemble, colours, parts, sentences, state, text
from dashboard.queries import claims as queries
from resources.warehouse.summaries import WORDS

TITLE = "Claims"
ICON = ":material/gavel:"
ORDER = 5
URL = "claims"
TABLES = ("claims",)

OF_FAMILY = "family "
"""Before a family's name where models are listed: its own claims stand in a column of their own."""

# Columns shown before any family is picked; every further one is a click away.
FIRST_SHOWN = 4

LETTER, EDGES, WIDEST = 5.6, 20, 700
"""Width of a letter of a sentence in a table, about, of a cell's edges, and of the widest column, in pixels."""


def show() -> None:
    """Draw the page."""
    st.header("Claims", anchor=False)
    st.markdown(
        "What two papers say of post-training, as claims that a model can support or refute, by rules that were "
        "written down before the numbers were looked at. Pick a cell for the numbers and rows that it rests on."
    )
    found = queries.verdicts(parts.source())
    if found.empty:
        parts.nothing(
            "No claim is judged yet",
            "Materialize `claims`, or run `rotoscale run`: every descendant that was measured is judged.",
        )
        return
    found = found.assign(subject=_subjects(found))
    chosen = _filters(found)
    if chosen.empty:
        parts.nothing("No verdict fits the filters", "Widen the filters above.")
        return
    _found(chosen)
    _matrix(chosen)
    _one(chosen)


def _found(chosen: pd.DataFrame) -> None:
    """What was found about the model whose verdict is open, or about the families shown."""
    subject = state.chosen("of", list(dict.fromkeys(chosen["subject"])), chosen["subject"].iloc[0])
    if subject in set(chosen["model_id"]):
        sentences.about(URL, subject, most=3)
    else:
        sentences.of_families(list(dict.fromkeys(chosen["family"].fillna(""))), URL)


def _subjects(found: pd.DataFrame) -> pd.Series:
    """What each verdict is about: a model, or a family by its name."""
    families = OF_FAMILY + found["family"].fillna("").astype(str)
    return found["model_id"].where(found["model_id"].fillna("") != "", families)


def _filters(found: pd.DataFrame) -> pd.DataFrame:
    one, two, three = st.columns([3, 2, 3])
    families = list(dict.fromkeys(found["family"].fillna("")))
    picked = state.several(
        "Families", families, "families", default=families[:FIRST_SHOWN], names=text.short, where=one
    )
    words = [word for word in WORDS if word in set(found["verdict"])]
    verdicts = state.several("Verdicts", words, "verdicts", placeholder="all", where=two)
    claims = state.several(
        "Claims", list(dict.fromkeys(found["claim"])), "claims", placeholder="all", names=text.short, where=three
    )
    chosen = found[found["family"].fillna("").isin(picked)]
    if verdicts:
        chosen = chosen[chosen["verdict"].isin(verdicts)]
    return chosen[chosen["claim"].isin(claims)] if claims else chosen


def _matrix(chosen: pd.DataFrame) -> None:
    """Claims by models: the word in its colour."""
    wide = assemble.claims_by_model(chosen)
    subjects = [column for column in wide.columns if column.startswith(assemble.OF)]
    longest = int(wide["sentence"].fillna("").str.len().max())
    columns: dict[str, Any] = {
        "claim": st.column_config.TextColumn("Claim", width=60, pinned=True),
        "sentence": st.column_config.TextColumn(
            "What the paper says",
            width=min(EDGES + int(LETTER * longest), WIDEST),
            help=parts.meaning("sentence", "claims"),
        ),
    }
    columns |= {
        name: st.column_config.TextColumn(
            text.short(name.removeprefix(assemble.OF), 34),
            width=EDGES + max(75, int(6.4 * len(text.short(name.removeprefix(assemble.OF), 34)))),
            help=parts.meaning("verdict", "claims"),
        )
        for name in subjects
    }
    styled = wide.style.map(colours.of_verdict, subset=subjects)
    event = st.dataframe(
        styled,
        hide_index=True,
        column_config=columns,
        height=35 * (len(wide) + 1) + 3,
        key="table_claims",
        on_select="rerun",
        selection_mode="single-cell",
        placeholder="–",
    )
    parts.downloads(chosen.drop(columns="subject"), "claims", "The verdicts with their numbers and rules")
    cells = event.selection.cells
    if cells != st.session_state.get("claims_cells"):  # what is picked still must not win over later choices
        st.session_state["claims_cells"] = cells
        for number, column in cells:
            if number < len(wide) and column in subjects and isinstance(wide[column].iloc[number], str):
                state.put(claim=wide["claim"].iloc[number], of=column.removeprefix(assemble.OF))


def _one(chosen: pd.DataFrame) -> None:
    """One verdict: sentence, numbers, rule, and the rows that it rests on."""
    left, right = st.columns(2)
    subject = state.select(
        "Model or family", list(dict.fromkeys(chosen["subject"])), "of", names=lambda s: text.short(s, 60), where=left
    )
    of_subject = chosen[chosen["subject"] == subject]
    claim = state.select(
        "One claim", list(dict.fromkeys(of_subject["claim"])), "claim", names=lambda c: text.short(c, 60), where=right
    )
    row: dict[str, Any] = of_subject[of_subject["claim"] == claim].iloc[0].to_dict()
    st.subheader(f"{text.code(claim)} of {text.code(subject)}", anchor=False)
    word = row["verdict"] if row["verdict"] in colours.VERDICTS else "unknown"
    st.markdown(f":{colours.BADGES.get(word, 'gray')}-badge[{word}]")
    parts.verbatim(text.sentence(str(row["reason"] or "no reason given")))
    parts.metrics(_numbers(row))
    if isinstance(row["statistic"], str) and row["statistic"]:
        st.caption(f"Estimate: {text.plain(text.sentence(row['statistic']))}")
    lines = [f"| **{title}** | {text.plain(row[column] or '–')} |" for title, column in _RULE]
    st.markdown("\n".join(["| | The rule, written down before the numbers |", "|:--|:--|", *lines]))
    st.caption(f"Rule version {text.code(row['rule_version'])}.")
    _rows(row["rests_on"])
    parts.provenance(row)


_RULE = (
    ("The paper says", "sentence"), ("Evidence", "evidence"), ("Control", "controlled_by"),
    ("Supported by", "supported_by"), ("Refuted by", "refuted_by"), ("Otherwise", "otherwise"),
)  # fmt: skip


def _numbers(row: dict[str, Any]) -> list[tuple[str, str, str | None]]:
    """Its numbers with their meanings: the estimate with the digits that its interval leaves known."""
    low, high = (row[end] for end in ("ci_low", "ci_high"))
    known = text.number(low) != "–" != text.number(high)
    digits = text.decimals((high - low) / 20) if known else 3
    interval = f"{text.number(low, digits)} to {text.number(high, digits)}" if known else "–"
    shown = {
        "Estimate": ("estimate", text.number(row["estimate"], digits)),
        "Interval": ("ci_low", interval),
        "Control": ("control", text.number(row["control"], digits)),
        "p": ("p_value", text.p_value(row["p_value"])),
        "q": ("q_value", text.p_value(row["q_value"])),
        "n": ("n", text.number(row["n"], 0)),
        "Power": ("power", text.number(row["power"], 2)),
    }
    return [(name, value, parts.meaning(column, "claims")) for name, (column, value) in shown.items()]


def _rows(stored: Any) -> None:
    """The tables that a verdict rests on, folded until they are opened."""
    st.markdown("**What it rests on**", help=parts.meaning("rests_on", "claims"))
    drawn = 0
    for number, one in enumerate(queries.read_rests_on(stored)):
        table, where = one["table"], one["where"]
        found = queries.rests_on(parts.source(), table, where)
        if found is None:
            continue
        drawn += 1
        with st.expander(f"{text.code(table)}, {len(found)} rows"):
            parts.table(found, f"rests_on_{number}", of=table)
    if not drawn:
        st.caption("On no table that is published.")
