"""Families: which descendant changed its base how, at a glance, and several families side by side."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from dashboard import assemble, colours, pages, parts, queries, sentences, state, text
from dashboard.figures import lines, score
from dashboard.figures.frame import bulk
from dashboard.quantities import shown
from resources.warehouse.summaries.measures import RELATIVE_CHANGE_TEXT, WHERE_TEXT

TITLE = "Families"
ICON = ":material/account_tree:"
ORDER = 10
URL = "families"
TABLES = ("models",)

SORTS = {
    "relative_change": "Relative change",
    "registry": "Registry order",
    "scale": "Distance of α from 1",
    "tau": "Agreement τ, largest first",
    "gain": "Gain on the first task",
}
# Families shown before any is picked; every further one is a click away.
FIRST_SHOWN = 4
CARD_LINES = 8

_IN_OVERVIEW = [
    "family", "model_id", "base_id", "method", "alpha", "tau", "together", "with_tau", "nf_over_null",
    "relative_change",
]  # fmt: skip


def show() -> None:
    """Draw the page."""
    st.header("Families", anchor=False)
    st.markdown(
        "What post-training did to each base: how far it **moved** the weights, |post − base| / |base|, and where; "
        "**α** how far singular values were scaled (1 = not at all), **τ** whether left and right singular vectors "
        "changed together (1 is He and Cao's one rotation, 0 is noise)."
    )
    models = assemble.listed(queries.models(parts.source()))
    rows = assemble.descendants(
        models, queries.overall(parts.source()), queries.summary(parts.source()), queries.where_changed(parts.source())
    )
    scores = assemble.main_scores(queries.model_scores(parts.source()))
    families, failed = _apart(queries.newest_first(parts.source()), models)
    picked, rows, chosen, tasks = _filters(families, rows, scores)
    _failed(failed, models)
    if not picked:
        parts.nothing("No family is picked", "Pick one or more families above.")
        return
    sentences.of_families(picked, URL)
    _cards(picked, models, rows)
    if chosen.empty:
        parts.nothing("No descendant fits the filters", "Widen the filters above.")
        return
    _glance(chosen, scores, tasks)
    _table(chosen, scores, tasks)
    _compare(picked, chosen)


def _apart(families: list[str], models: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Families, and those of which nothing but a base can be used: comparisons that failed."""
    bad = models["status"].fillna("") == "quarantined"
    others = models["role"] != "base"
    family = models["family"].fillna("")
    failed = [f for f in families if bad[(family == f)].any() and not (~bad & others)[family == f].any()]
    return [f for f in families if f not in failed], failed


def _failed(failed: list[str], models: pd.DataFrame) -> None:
    if not failed:
        return
    with st.expander(f"{len(failed)} families of which no descendant can be used"):
        rows = models[models["family"].fillna("").isin(failed) & (models["status"].fillna("") == "quarantined")]
        parts.table(rows, "failed-families", of="models", order=["family", "model_id", "status", "status_reason"])


def _filters(
    families: list[str], rows: pd.DataFrame, scores: pd.DataFrame
) -> tuple[list[str], pd.DataFrame, pd.DataFrame, list[str]]:
    """What is picked, all rows in the order picked, those of them that fit, and the tasks."""
    one, two, three, four, five = st.columns([2.4, 1.6, 1.5, 3.4, 2])
    picked = state.several(
        "Families, newest first", families, "families", default=families[:FIRST_SHOWN], names=text.short, where=one,
        help="Type to search all of them.",
    )  # fmt: skip
    methods = state.several(
        "Methods", sorted(rows["method"].dropna().unique()), "methods", placeholder="all", names=text.short, where=two
    )
    status = state.select("Status", ["any", *sorted(rows["status"].dropna().unique())], "status", where=three)
    known = list(dict.fromkeys(scores["task"]))
    tasks = state.several(
        "Tasks", known, "tasks", default=known[: 2 if len(families) == 1 else 1], names=text.short, where=four
    )
    sort = state.select("Sort by", list(SORTS), "sort", names=lambda key: SORTS[key], where=five)
    rows = _sorted(rows, sort, scores, tasks)
    chosen = rows[rows["family"].fillna("").isin(picked)]
    if methods:
        chosen = chosen[chosen["method"].isin(methods)]
    if status != "any":
        chosen = chosen[chosen["status"] == status]
    return picked, rows, chosen, tasks


def _sorted(rows: pd.DataFrame, sort: str, scores: pd.DataFrame, tasks: list[str]) -> pd.DataFrame:
    """Rows by what is picked, the largest first; an unrelated model, which is a control, comes after the others."""
    if sort == "registry":
        return rows
    if sort == "gain":
        by = assemble.gain(rows, scores, tasks[0]) if tasks else pd.Series(0.0, rows.index)
    else:
        by = (rows["alpha"] - 1).abs() if sort == "scale" else rows[sort]
    order = pd.DataFrame({"control": rows["role"] == "unrelated", "by": by})
    return rows.loc[order.sort_values(["control", "by"], ascending=[True, False], kind="stable").index]


def _cards(picked: list[str], models: pd.DataFrame, rows: pd.DataFrame) -> None:
    across = min(4, len(picked))
    columns = st.columns(across)
    for number, family in enumerate(picked):
        of_family = rows[rows["family"].fillna("") == family]
        bases = models[(models["family"].fillna("") == family) & (models["role"] == "base")]
        with columns[number % across].container(border=True, gap="xsmall", key=f"card_{number}"):
            # A lone family has the whole width: its bases stand beside its descendants, not above them.
            head, body = st.columns([1, 2]) if across == 1 else (st.container(gap="xsmall"), st.container())
            head.markdown(f"**{text.code(family, 40)}**")
            for base in bases.head(2).itertuples():
                head.caption(
                    f"{text.code(base.model_id, 40)} · {text.number(base.n_layers, 0)} layers · "
                    f"{text.big(base.n_parameters)} parameters"
                )
            with body.container(gap=None):
                for row in of_family.head(CARD_LINES).to_dict("records"):
                    _line(row)
                if len(of_family) > CARD_LINES:
                    st.markdown(f"and {len(of_family) - CARD_LINES} more in the table")
                if of_family.empty:
                    st.markdown("no descendants yet")


def _line(row: dict[str, Any]) -> None:
    """A descendant: its name, which opens its page, and its overall numbers."""
    page = next(page for page in pages.discover() if page.url == ("rotation" if row["status"] == "ready" else "models"))
    query = {"family": row["family"] or "", "model": row["model_id"], "base": row["base_id"]}
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
        name = text.plain(text.short(row["model_id"], 34))
        st.page_link(page.streamlit(), label=name, icon=None, query_params=query, width="content")
        st.markdown(_said(row), width="content")


def _said(row: dict[str, Any]) -> str:
    status = str(row["status"])
    if status != "ready":
        return f"{':red-badge' if status == 'quarantined' else ':gray-badge'}[{_word(status)}]"
    where = f"{text.plain(row['where'])}, " if isinstance(row["where"], str) else ""
    matrices = text.number(row["with_tau"], 0)
    unrelated = ":gray-badge[unrelated] " if row["role"] == "unrelated" else ""
    return (
        f"{unrelated}moved {text.percent(row['relative_change'])}, {where}"
        f"α\u00a0{text.number(row['alpha'])}, τ\u00a0{text.number(row['tau'])}"
        + (f" (together in {text.number(row['together'], 0)} of {matrices})" if matrices != "–" else "")
    )


def _word(status: str) -> str:
    """A status as a badge may show it: letters only, since badges obey markup."""
    return "".join(c for c in status if c.isalnum() or c == " ") or "unknown"


def _glance(chosen: pd.DataFrame, scores: pd.DataFrame, tasks: list[str]) -> None:
    measured = chosen[chosen["alpha"].notna() | chosen["tau"].notna()]
    measured = measured.assign(family=measured["family"].fillna(""), line=_line_names(measured))
    left, right = st.columns(2, gap="large")
    with left:
        st.subheader("Scale and agreement at a glance", anchor=False, help=parts.meaning("tau", "agreement"))
        if measured.empty:
            parts.nothing("Nothing is measured yet", "Materialize `scale_statistics` and `agreement`.")
        else:
            parts.figure(
                score.overview(measured, _styles(measured)), "overview", measured[_IN_OVERVIEW], of="agreement",
                alt="Descendants by overall alpha and agreement tau", on_pick="rerun",
            )  # fmt: skip
            parts.opened("figure_overview", measured)
            st.caption(
                f"An unrelated model far from the others stands at the edge as an arrow. {text.DECAY} Click a point to "
                "open its model."
            )
    with right:
        st.subheader("Scores", anchor=False, help=parts.meaning("stderr", "evaluation_scores"))
        ids = [*dict.fromkeys(chosen["base_id"].dropna()), *chosen["model_id"]]
        found = scores[scores["task"].isin(tasks) & scores["model_id"].isin(ids)]
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
            score.dots(found, guides=len(bases) == 1), "scores", found, of="evaluation_scores",
            alt="Scores of the models with standard errors",
        )  # fmt: skip


def _styles(data: pd.DataFrame) -> dict[str, tuple[str, str, str]]:
    """Colour, marker and dash of each line: those of its method."""
    lines_ = data.drop_duplicates("line").sort_values("line")
    return colours.of_methods(dict(zip(lines_["line"], lines_["method"].fillna(""), strict=True)))


def _table(chosen: pd.DataFrame, scores: pd.DataFrame, tasks: list[str]) -> None:
    st.subheader("Descendants", anchor=False)
    rows = assemble.score_columns(chosen, scores, tasks).reset_index(drop=True)
    rows["where"] = [words.removeprefix("most in ") if isinstance(words, str) else None for words in rows["where"]]
    alphas = [c for c in rows.columns if c.startswith("alpha ")]
    columns = {
        "relative_change": st.column_config.NumberColumn(
            "Moved", format="percent", help=RELATIVE_CHANGE_TEXT, width="small"
        ),
        "tau": st.column_config.NumberColumn("τ", format="%.3f", help=parts.meaning("tau", "agreement"), width=58),
        "together": st.column_config.TextColumn(
            "Together", width="small", help="Matrices in which left and right changed together, of those with a τ."
        ),
        "nf_over_null": st.column_config.NumberColumn(
            "NF / null", format="%.2f", help=parts.meaning("nf_over_null", "rotation_statistics")
        ),
        "where": st.column_config.TextColumn("Most in", width=parts.as_wide_as(rows["where"]), help=WHERE_TEXT),
        "model_id": st.column_config.TextColumn("Model", width=parts.as_wide_as(rows["model_id"]), pinned=True),
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
    rows["together"] = [
        None if pd.isna(n) else f"{int(t)} of {int(n)}"
        for t, n in rows[["together", "with_tau"]].itertuples(index=False)
    ]
    order = ["model_id", "method", "relative_change", "where", *alphas, "tau", "together", "nf_over_null"]
    order += [f"score {t}" for t in tasks] + ["status"]
    if rows["family"].nunique() > 1:
        order.insert(0, "family")
    selected = parts.table(
        rows, "descendants", of="scale_statistics", columns=columns, order=order, selectable=True
    )  # fmt: skip
    if selected and selected[0] < len(rows):
        parts.model_links(rows.iloc[selected[0]].to_dict())
    else:
        st.caption("Select a row to open a descendant.")


@state.fragment
def _compare(picked: list[str], chosen: pd.DataFrame) -> None:
    st.subheader("Side by side, layer by layer", anchor=False)
    depth = state.switch(
        "Relative depth",
        "depth",
        help="0 is the first block and 1 the last, so that models of different depth line up.",
    )
    compared = shown("family")
    for quantity in sorted(compared, key=lambda key: key != "relative_change"):  # how much, before how
        q = compared[quantity]
        data = queries.by_layer(parts.source(), quantity, tuple(picked))
        data = data[data["model_id"].isin(chosen["model_id"]) & data["value"].notna()]
        if data.empty:
            continue
        related = data["model_id"].isin(chosen.loc[chosen["role"] != "unrelated", "model_id"])
        last = data.groupby("model_id")["layer"].transform("max").clip(lower=1)
        data = data.assign(depth=data["layer"] / last, line=_line_names(data))
        st.markdown(f"**{q.label}** by {'relative depth' if depth else 'layer'}", help=parts.meaning(q.column, q.table))
        parts.figure(
            lines.multiples(
                data, series="line", styles=_styles(data), y_title=q.label, row="family",
                x="depth" if depth else "layer", x_title="depth" if depth else "layer", centre=q.centre,
                limits=bulk(data.loc[related if related.any() else data.index, "value"], q.centre),
            ),
            f"compare-{quantity}", data, of=q.table, alt=f"{q.label} by layer and matrix type, a row per family",
        )  # fmt: skip
    st.caption(f"Triangles at the edge are values beyond the axis, which holds the descendants. {text.DECAY}")


def _line_names(data: pd.DataFrame) -> pd.Series:
    """What a line is called: its method, where a family has each method once, so that colours agree across rows."""
    per_method = data.groupby(["family", "method"], dropna=False)["model_id"].nunique()
    return data["method"].fillna("unspecified") if (per_method <= 1).all() else data["model_id"]
