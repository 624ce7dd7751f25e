"""Pieces that every page is made of: the source, figures and tables that can be taken along, provenance."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

from dashboard import downloads as taken
from dashboard import pages, queries, state, text
from dashboard.source import Source

if TYPE_CHECKING:
    import pandas as pd
    from pandas.io.formats.style import Styler

    from dashboard.figures.frame import Chart
    from dashboard.quantities import Quantity


IMAGE_FORMATS = ("png", "svg")


# ------------------------------------------------------------------------------------------------ where numbers are


@st.cache_resource(max_entries=3, show_spinner=False)
def open_source(path: str) -> Source:
    """One connection per published file, shared by all sessions."""
    return Source(Path(path))


def source() -> Source:
    """The published file that this page is drawn from."""
    return open_source(st.session_state["published_path"])


def meaning(column: str, table: str | None = None) -> str | None:
    """The published file's text of a column, for hovering; of the first table that has it unless one is named."""
    return source().catalogue.meaning(column, table)


def meanings(table: str, *columns: str) -> str:
    """The texts of several columns of a table, a sentence each, with the column's name."""
    return " ".join(f"{text.title(c)}: {text.sentence(meaning(c, table))}" for c in columns)


def asset_link(table: str, model_id: str) -> str:
    """Address of a model's partition of the asset that makes a table."""
    return asset_links([(table, model_id)])[0]


def asset_links(partitions: Iterable[tuple[str, str]]) -> list[str]:
    """The same of several (table, model)."""
    catalogue = source().catalogue
    return text.asset_links((catalogue.asset_of(table), model) for table, model in partitions)


# ---------------------------------------------------------------------------------------------- figures and tables


def theme() -> str:
    """`light` or `dark`, as the browser shows it."""
    return "dark" if getattr(st.context.theme, "type", None) == "dark" else "light"


def figure(
    chart: Chart,
    name: str,
    data: pd.DataFrame,
    *,
    alt: str,
    on_pick: Any = None,
    key: str | None = None,
    of: str | None = None,
) -> None:
    """A figure with its download menu: the picture from its own toolbar, the data behind it from a button.

    `of` names the table of the warehouse that the data are from.
    """
    config = {
        "displaylogo": False,
        "modeBarButtonsToRemove": ["lasso2d", "select2d", "autoScale2d"],
        "toImageButtonOptions": {"format": image_format(), "filename": f"rotoscale-{name}", "scale": 2},
    }
    picking: dict[str, Any] = {"on_select": on_pick, "selection_mode": "points"} if on_pick else {}
    with st.container(gap=None):
        st.plotly_chart(chart, key=key or f"figure_{name}", config=config, alt=alt, **picking)
        downloads(data, name, "Data of the figure", of)


def image_format() -> str:
    """The format in which a figure's camera button saves it."""
    return str(state.chosen("image", IMAGE_FORMATS, IMAGE_FORMATS[0]))


def table(
    data: pd.DataFrame,
    name: str,
    *,
    columns: Mapping[str, Any] | None = None,
    order: Sequence[str] | None = None,
    of: str | None = None,
    height: Any = "auto",
    selectable: bool = False,
    digits: int = 4,
    style: tuple[Callable[[object], str], Sequence[str]] | None = None,
) -> list[int]:
    """A table whose headings explain themselves on hover, with downloads; the rows picked, when it is selectable.

    `of` names the table of the warehouse that the columns are from, where their names alone would not say. `style`
    gives the cells of some columns the look of what they say. Numbers stand with `digits` significant digits, counts
    and columns with a format of their own aside, p values in the words of `text.p_value`.
    """
    shown = [column for column in order or data.columns if column in data]
    p_values = [column for column in shown if text.is_p_value(column) and _are_numbers(data[column])]
    config: dict[str, Any] = {}
    for column in order or data.columns:
        plain = (
            functools.partial(st.column_config.NumberColumn, format=f"%.{digits}g")
            if column in data and column not in p_values and _measured(data[column])
            else st.column_config.Column
        )
        config[column] = (columns or {}).get(column) or plain(text.title(column), help=meaning(column, of))
    options: dict[str, Any] = {"on_select": "rerun", "selection_mode": "single-row"} if selectable else {}
    with st.container(gap=None, key=f"box_{name}"):
        event = st.dataframe(
            _styled(data[shown], style, p_values) if style or p_values else data,
            hide_index=True,
            column_config=config,
            column_order=order,
            height=height,
            key=f"table_{name}",
            placeholder="–",
            **options,
        )
        downloads(data, name, "The table", of)
    return list(event.selection.rows) if selectable else []


def as_wide_as(words: pd.Series) -> int:
    """Pixels of a column in which the longest of its words is not cut, within reason."""
    longest = max((len(word) for word in words if isinstance(word, str)), default=0)
    return min(max(20 + 7 * longest, 75), 320)


def _styled(
    data: pd.DataFrame, style: tuple[Callable[[object], str], Sequence[str]] | None, p_values: Sequence[str]
) -> Styler:
    """A table with the look of some cells, and with words in place of p values, which are sorted as numbers still."""
    looks = data.reset_index(drop=True).style.format({column: text.p_value for column in p_values})
    return looks if style is None else looks.map(style[0], subset=list(style[1]))


def _are_numbers(values: pd.Series) -> bool:
    return values.dtype.kind in "fi"


def _measured(values: pd.Series) -> bool:
    """Whether a column holds numbers that are no counts."""
    return values.dtype.kind == "f" and bool((values.dropna() % 1 != 0).any())


def verbatim(words: str) -> None:
    """Words exactly as a model wrote them. Not `st.code`, whose highlighter takes a browser longer than the figures."""
    with st.container(border=True):
        st.text(words)


def downloads(data: pd.DataFrame, name: str, what: str, of: str | None = None) -> None:
    """CSV and Parquet of a data frame, made only when asked for, with model, base, run, method version and units."""
    here, about = source(), st.session_state.get("pair_shown")

    def rows() -> pd.DataFrame:
        return taken.complete(data, here, table=of, about=about)

    with st.container(horizontal=True, horizontal_alignment="right", gap="xsmall", key=f"downloads_{name}"):
        for suffix, make, mime in (
            ("CSV", lambda: taken.csv(rows()), "text/csv"),
            ("Parquet", lambda: taken.parquet(rows()), "application/vnd.apache.parquet"),
        ):
            st.download_button(
                suffix, make, f"rotoscale-{name}.{suffix.lower()}", mime, key=f"{suffix}_{name}", type="tertiary",
                help=f"{what} as {suffix}",
                icon=":material/download:", on_click="ignore",
            )  # fmt: skip


# --------------------------------------------------------------------------------------------- provenance and notes


def provenance(row: Mapping[str, Any]) -> None:
    """Which run, code version and time a row comes from."""
    link = text.run_link(row.get("run_id"))
    run = f"[run {text.code(str(row['run_id'])[:8])}]({link})" if link else "no run named"
    st.caption(f"From {run}, code version {text.code(row.get('code_version'))}, {moment(row.get('materialized_at'))}.")


def moment(when: Any) -> str:
    """A time to the minute, in UTC."""
    try:
        return f"{when.tz_convert('UTC'):%Y-%m-%d %H:%M} UTC"
    except (AttributeError, TypeError, ValueError):
        return "at an unknown time"


def nothing(what: str, todo: str, *, link: str | None = None) -> None:
    """A place where there will be something: what, and what to run for it. `todo` is markdown of our own."""
    with st.container(border=True):
        st.markdown(f"**{what}**")
        st.markdown(todo)
        if link:
            st.link_button("Open in Dagster", link, icon=":material/open_in_new:")


def metrics(values: Sequence[tuple[str, str, str | None]]) -> None:
    """A row of numbers: (name, value, meaning on hover)."""
    with st.container(horizontal=True, gap="medium"):
        for name, value, help_text in values:
            st.metric(name, value, help=help_text, width="content")


def numbers(row: Mapping[str, Any], quantities: Mapping[str, Quantity]) -> None:
    """A row of one matrix's numbers, each with its meaning; those that it does not have are left out."""
    written = {
        q: text.p_value(row.get(q.column)) if text.is_p_value(q.column) else text.number(row.get(q.column), q.digits)
        for q in quantities.values()
    }
    metrics([(q.label, words, meaning(q.column, q.table)) for q, words in written.items() if words != "–"])


# --------------------------------------------------------------------------------------------- around every page


def welcome() -> None:
    """What stands in every page's place before anything was published."""
    st.header("Nothing is published yet", anchor=False)
    st.markdown(
        "Rotoscale shows what post-training did to a language model, once a base and a descendant have been measured. "
        "Any of these fills this page; it appears here by itself when the first results are published."
    )
    left, right = st.columns(2)
    with left.container(border=True):
        st.markdown("**The small family that ships with the project**")
        st.code("make demo", language=None)
        st.caption("Six checkpoints, under 30 MB, a few minutes on a laptop.")
    with right.container(border=True):
        st.markdown("**Your own base and fine-tune**")
        st.code("rotoscale compare BASE POST", language=None)
        st.caption("Folders with safetensors, or Hub names such as org/name.")


def broken(message: str) -> None:
    """What stands in every page's place when the published file cannot be used."""
    st.header("The published file cannot be read", anchor=False)
    st.code(message, language=None, wrap_lines=True)


def footer() -> None:
    """Which file the page is drawn from, and how figures are saved."""
    row = queries.published(source()).iloc[0]
    st.divider()
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(
            f"Published version {int(row['version'])}, {moment(row['published_at'])}. Every number on this page is a "
            f"query over {code_name()}. How to cite it: `CITATION.cff`; what to name beside it: `docs/citing.md`. "
            f"[Dagster UI]({text.dagster()})"
        )
        state.segments(
            "Figures are saved as", IMAGE_FORMATS, "image", names=str.upper,
            help="The camera button of each figure saves in this format.",
        )  # fmt: skip


def code_name() -> str:
    """The published file's name as markdown."""
    return text.code(Path(st.session_state["published_path"]).name)


def model_links(row: Mapping[str, Any]) -> None:
    """Links to every page that shows one model, with this one chosen."""
    query = {"family": row["family"] or "", "model": row["model_id"], "base": row["base_id"]}
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(text.code(row["model_id"]), width="content")
        for page in pages.discover():
            if page.opens_model:
                st.page_link(page.streamlit(), label=page.title, icon=":material/arrow_forward:", query_params=query)


def opened(figure: str, models: pd.DataFrame) -> None:
    """Links to every page of the one of `models` whose point is picked in a figure, which has its id in its data."""
    picked = st.session_state.get(figure)
    named = [word for point in (picked.selection.points if picked else []) for word in point.get("customdata") or ()]
    row = models[models["model_id"].isin(named)]
    if len(row):
        model_links(row.iloc[0].to_dict())


def choose_pair(pairs: pd.DataFrame, *, offer_floor: bool = True) -> tuple[str, str] | None:
    """The selection boxes for one comparison: family, model, what it is compared with; None when there is none."""
    floor = offer_floor and state.chosen("floor", [False, True], False)
    shown = pairs if floor else pairs[~pairs["is_floor"]]
    if shown.empty:
        return None
    families = list(dict.fromkeys(shown["family"].fillna("")))
    wanted = (state.named("model") or [st.session_state.get("kept_choices", {}).get("model")])[-1]
    home = shown.loc[shown["model_id"] == wanted, "family"]
    left, middle, right, end = st.columns([2, 3, 3, 1.6], vertical_alignment="bottom")
    default = home.iloc[0] if len(home) else families[0]
    family = state.select("Family", families, "family", default=default, names=text.short, where=left)
    of_family = shown[shown["family"].fillna("") == family]
    method = dict(zip(of_family["model_id"], of_family["method"].fillna(""), strict=True))
    model = state.select(
        "Model", list(method), "model", names=lambda m: f"{text.short(m, 60)} · {method[m]}", where=middle
    )
    bases = of_family.loc[of_family["model_id"] == model, "base_id"].tolist()
    base = state.select("Compared with", bases, "base", names=lambda b: text.short(b, 60), where=right)
    st.session_state["pair_shown"] = (model, base)
    if offer_floor:
        state.switch(
            "Numerical floor", "floor", where=end,
            help="Also offer each base compared with itself: what rounding alone gives (α 1, NF 0).",
        )  # fmt: skip
    return (model, base)
