"""Families: which descendant changed its base how, at a glance, and several families side by side."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard import assemble, colours, parts, queries, state, text
from dashboard.figures import lines, score
from dashboard.quantities import shown
from resources.warehouse.summaries.measures import RELATIVE_CHANGE_TEXT

TITLE = "Families"
ICON = ":material/account_tree:"
ORDER = 10
URL = "families"

SORTS = {
    "registry": "Registry order",
    "relative_change": "Relative change",
    "scale": "Distance of α from 1",
    "nf_over_null": "NF / null, lowest first",
    "gain": "Gain on the first task",
}
# Families shown before any is picked; every further one is a click away.
FIRST_SHOWN = 4
CARD_LINES = 8


def show() -> None:
    """Draw the page."""
    st.header("Families", anchor=False)
    st.markdown(
        "What post-training did to each base: **α** is how far singular values were scaled (1 = not at all), "
        f"**NF / null** He and Cao's mismatch of left and right singular vectors, {text.NULL}"
    )
    models = assemble.listed(queries.models(parts.source()))
    rows = assemble.descendants(models, queries.overall(parts.source()), queries.summary(parts.source()))
    scores = queries.model_scores(parts.source())
    families = list(dict.fromkeys(models["family"].fillna("")))
    picked, chosen, tasks = _filters(families, rows, scores)
    if not picked:
        parts.nothing("No family is picked", "Pick one or more families above.")
        return
    _cards(picked, models, rows)
    if chosen.empty:
        parts.nothing("No descendant fits the filters", "Widen the filters above.")
        return
    _glance(chosen, scores, tasks)
    _table(chosen, scores, tasks)
    _compare(picked, chosen)


def _filters(
    families: list[str], rows: pd.DataFrame, scores: pd.DataFrame
) -> tuple[list[str], pd.DataFrame, list[str]]:
    one, two, three, four, five = st.columns([3, 2, 1.6, 2, 2])
    picked = state.several(
        "Families", families, "families", default=families[:FIRST_SHOWN], names=text.short, where=one
    )
    methods = state.several(
        "Methods", sorted(rows["method"].dropna().unique()), "methods", placeholder="all", names=text.short, where=two
    )
    status = state.select("Status", ["any", *sorted(rows["status"].dropna().unique())], "status", where=three)
    known = list(dict.fromkeys(scores["task"]))
    tasks = state.several(
        "Tasks", known, "tasks", default=known[: 2 if len(families) == 1 else 1], names=text.short, where=four
    )
    sort = state.select("Sort by", list(SORTS), "sort", names=lambda key: SORTS[key], where=five)
    chosen = rows[rows["family"].fillna("").isin(picked)]
    if methods:
        chosen = chosen[chosen["method"].isin(methods)]
    if status != "any":
        chosen = chosen[chosen["status"] == status]
    return picked, _sorted(chosen, sort, assemble.main_scores(scores), tasks), tasks


def _sorted(rows: pd.DataFrame, sort: str, scores: pd.DataFrame, tasks: list[str]) -> pd.DataFrame:
    if sort == "registry":
        return rows
    if sort == "nf_over_null":
        return rows.sort_values("nf_over_null", na_position="last")
    if sort == "gain":
        by = assemble.gain(rows, scores, tasks[0]) if tasks else pd.Series(0.0, rows.index)
    else:
        by = (rows["alpha"] - 1).abs() if sort == "scale" else rows["relative_change"]
    return rows.loc[by.sort_values(ascending=False, na_position="last").index]


def _cards(picked: list[str], models: pd.DataFrame, rows: pd.DataFrame) -> None:
    across = min(4, len(picked))
    columns = st.columns(across)
    for number, family in enumerate(picked):
        of_family = rows[rows["family"].fillna("") == family]
        bases = models[(models["family"].fillna("") == family) & (models["role"] == "base")]
        with columns[number % across].container(border=True, gap="xsmall"):
            # A lone family has the whole width: its bases stand beside its descendants, not above them.
            head, body = st.columns([1, 2]) if across == 1 else (st.container(gap="xsmall"), st.container())
            head.markdown(f"**{text.code(family, 40)}**")
            for base in bases.head(2).itertuples():
                head.caption(
                    f"{text.code(base.model_id, 40)} · {text.number(base.n_layers, 0)} layers · "
                    f"{text.big(base.n_parameters)} parameters"
                )
            lines_ = [_line(r) for r in of_family.head(CARD_LINES).itertuples()]
            if len(of_family) > CARD_LINES:
                lines_.append(f"and {len(of_family) - CARD_LINES} more in the table")
            body.markdown("  \n".join(lines_) or "no descendants yet")


def _line(row: object) -> str:
    name = text.code(getattr(row, "model_id", ""), 34)
    status = str(getattr(row, "status", ""))
    if status != "ready":
        return f"{name} {':red-badge' if status == 'quarantined' else ':gray-badge'}[{_word(status)}]"
    moved = getattr(row, "relative_change", None)
    return (
        f"{name} moved {text.number(None if moved is None else 100 * moved, 1)}\u00a0%, "
        f"α\u00a0{text.number(getattr(row, 'alpha', None))}, "
        f"NF\u00a0/\u00a0null\u00a0{text.number(getattr(row, 'nf_over_null', None), 2)}"
    )


def _word(status: str) -> str:
    """A status as a badge may show it: letters only, since badges obey markup."""
    return "".join(c for c in status if c.isalnum() or c == " ") or "unknown"


def _glance(chosen: pd.DataFrame, scores: pd.DataFrame, tasks: list[str]) -> None:
    measured = chosen[chosen["alpha"].notna() | chosen["nf_over_null"].notna()]
    measured = measured.assign(family=measured["family"].fillna(""), line=_line_names(measured))
    left, right = st.columns(2, gap="large")
    with left:
        st.subheader(
            "Scale and rotation at a glance", anchor=False, help=parts.meaning("nf_over_null", "rotation_statistics")
        )
        if measured.empty:
            parts.nothing("Nothing is measured yet", "Materialize `scale_statistics` and `rotation_statistics`.")
        else:
            parts.figure(
                score.overview(measured, colours.assigned(sorted(measured["line"].unique()))),
                "overview",
                measured[["family", "model_id", "base_id", "method", "alpha", "nf_over_null", "relative_change"]],
                alt="Descendants by overall alpha and NF over null",
            )
            st.caption(text.DECAY)
    with right:
        st.subheader("Scores", anchor=False, help=parts.meaning("stderr", "evaluation_scores"))
        ids = [*dict.fromkeys(chosen["base_id"].dropna()), *chosen["model_id"]]
        found = assemble.main_scores(scores[scores["task"].isin(tasks) & scores["model_id"].isin(ids)])
        found = found[found["value"].notna()].copy()
        if found.empty:
            parts.nothing("No scores yet", "Materialize `evaluation_scores` for these models, or pick a task above.")
            return
        bases = set(chosen["base_id"])
        found["kind"] = ["base" if m in bases else "post" for m in found["model_id"]]
        found["panel"], found["name"] = assemble.panels(found), found["model_id"]
        order = {m: i for i, m in enumerate(ids)}
        found = found.sort_values(["panel", "model_id"], key=lambda c: c.map(order) if c.name == "model_id" else c)
        parts.figure(
            score.dots(found, guides=len(bases) == 1), "scores", found, alt="Scores of the models with standard errors"
        )


def _table(chosen: pd.DataFrame, scores: pd.DataFrame, tasks: list[str]) -> None:
    st.subheader("Descendants", anchor=False)
    rows = assemble.score_columns(chosen, assemble.main_scores(scores), tasks).reset_index(drop=True)
    alphas = [c for c in rows.columns if c.startswith("alpha ")]
    columns = {
        "relative_change": st.column_config.NumberColumn(
            "Moved", format="percent", help=RELATIVE_CHANGE_TEXT, width="small"
        ),
        "nf_over_null": st.column_config.NumberColumn(
            "NF / null", format="%.2f", help=parts.meaning("nf_over_null", "rotation_statistics")
        ),
        "model_id": st.column_config.TextColumn("Model", width="medium", pinned=True),
        "family": st.column_config.TextColumn("Family", width="small"),
        "method": st.column_config.TextColumn("Method", width="small", help=parts.meaning("method", "models")),
        "status": st.column_config.TextColumn("Status", width="small", help=parts.meaning("status", "models")),
    }
    for name in alphas:
        columns[name] = st.column_config.NumberColumn(
            "α " + name.removeprefix("alpha "), format="%.3f", width=58,
            help=f"Median over layers. {parts.meaning('alpha_median', 'scale_statistics')}",
        )  # fmt: skip
    for task in tasks:
        columns[f"score {task}"] = st.column_config.TextColumn(
            text.short(task, 24), help="Base → post, each with its standard error."
        )
    order = ["model_id", "method", "relative_change", *alphas, "nf_over_null"]
    order += [f"score {t}" for t in tasks] + ["status"]
    if rows["family"].nunique() > 1:
        order.insert(0, "family")
    selected = parts.table(rows, "descendants", columns=columns, order=order, selectable=True)
    if selected and selected[0] < len(rows):
        parts.model_links(rows.iloc[selected[0]].to_dict())
    else:
        st.caption("Select a row to open a descendant.")


@st.fragment
def _compare(picked: list[str], chosen: pd.DataFrame) -> None:
    st.subheader("Side by side, layer by layer", anchor=False)
    depth = state.switch(
        "Relative depth",
        "depth",
        help="0 is the first block and 1 the last, so that models of different depth line up.",
    )
    for quantity, q in shown("family").items():
        data = queries.by_layer(parts.source(), quantity, tuple(picked))
        data = data[data["model_id"].isin(chosen["model_id"]) & data["value"].notna()]
        if data.empty:
            continue
        last = data.groupby("model_id")["layer"].transform("max").clip(lower=1)
        data = data.assign(depth=data["layer"] / last, line=_line_names(data))
        st.markdown(f"**{q.label}** by {'relative depth' if depth else 'layer'}", help=parts.meaning(q.column, q.table))
        parts.figure(
            lines.multiples(
                data, series="line", styles=colours.assigned(sorted(data["line"].unique())), y_title=q.label,
                row="family", x="depth" if depth else "layer", x_title="depth" if depth else "layer", centre=q.centre,
            ),
            f"compare-{quantity}", data, alt=f"{q.label} by layer and matrix type, a row per family",
        )  # fmt: skip
    st.caption(text.DECAY)


def _line_names(data: pd.DataFrame) -> pd.Series:
    """What a line is called: its method, where a family has each method once, so that colours agree across rows."""
    per_method = data.groupby(["family", "method"], dropna=False)["model_id"].nunique()
    return data["method"].fillna("unspecified") if (per_method <= 1).all() else data["model_id"]
