"""Models: every checkpoint, whether it could be read, what is there of it and which run made it."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard import assemble, parts, queries, sentences, state, text
from dashboard.parts import meaning
from dashboard.queries import releases
from resources.warehouse.summaries.measures import FORGOTTEN

TITLE = "Models"
ICON = ":material/inventory_2:"
ORDER = 90
URL = "models"
TABLES = ("models", "coverage", "tensor_changes")

LISTED = "listed"
"""The status filter that is on unless another is picked: every model but the forgotten ones."""


def show() -> None:
    """Draw the page."""
    st.header("Models", anchor=False)
    models, made = queries.models(parts.source()), queries.materialized(parts.source())
    if models.empty:
        parts.nothing(
            "No checkpoint is registered yet", "Materialize `checkpoints`, or run `rotoscale compare BASE POST`."
        )
        return
    _quarantined(models)
    _in_vain()
    rows = _table(models, made)
    _one(rows if state.chosen("state", _statuses(models), LISTED) == FORGOTTEN else assemble.listed(models), made)


def _statuses(models: pd.DataFrame) -> list[str]:
    return [LISTED, *sorted(models["status"].dropna().unique())]


def _quarantined(models: pd.DataFrame) -> None:
    bad = models[models["status"].fillna("") == "quarantined"]
    if bad.empty:
        return
    with st.container(border=True):
        st.markdown(
            f":red-badge[quarantined] {len(bad)} of {len(models)} checkpoints could not be used; the rest go on."
        )
        for row in bad.head(10).itertuples():
            reason = (
                row.status_reason if isinstance(row.status_reason, str) and row.status_reason else "no reason given"
            )
            link = parts.asset_link("models", row.model_id)
            st.markdown(f"**{text.code(row.model_id)}** · [in Dagster]({link})")
            st.code(reason, language=None, wrap_lines=True)
        if len(bad) > 10:
            st.caption(f"and {len(bad) - 10} more in the table")


def _in_vain() -> None:
    """Models that were tried in vain: how often, why, and whether they are left out now."""
    waiting = releases.backlog(parts.source())
    failing = waiting[waiting["tries"] > 0] if len(waiting) else waiting
    if failing.empty:
        return
    with st.container(border=True):
        st.markdown(
            f":orange-badge[tried in vain] {len(failing)} models failed; they come last, and are left out in the end.",
            help=meaning("held", "backlog"),
        )
        parts.table(failing, "in-vain", of="backlog", order=["model", "family", "tries", "last_failure", "held_reason"])


def _table(models: pd.DataFrame, made: pd.DataFrame) -> pd.DataFrame:
    """The models that fit the filters, with how much there is of each; returns them."""
    one, two, _ = st.columns([3, 2, 3])
    families = list(dict.fromkeys(models["family"].fillna("")))
    picked = state.several("Families", families, "only", placeholder="all", names=text.short, where=one)
    forgotten = int((models["status"] == FORGOTTEN).sum())
    every = f"all but {forgotten} forgotten" if forgotten else "any"
    status = state.select("Status", _statuses(models), "state", names=lambda s: every if s == LISTED else s, where=two)
    rows = assemble.listed(models) if status == LISTED else models[models["status"] == status]
    if picked:
        rows = rows[rows["family"].fillna("").isin(picked)]
    catalogue = parts.source().catalogue
    groups = {name: assets for name, assets in catalogue.groups().items() if name != catalogue.group_of("models")}
    present = made.assign(asset=made["table"].map(catalogue.asset_of)).groupby("model_id")["asset"].agg(set)
    have = [present.get(model, set()) for model in rows["model_id"]]
    counts = {
        f"group {name}": [f"{len(assets.keys() & known)} of {len(assets)}" for known in have]
        for name, assets in groups.items()
    }
    nowhere = [name for name, assets in groups.items() if not any(assets.keys() & known for known in have)]
    for name in nowhere:
        del counts[f"group {name}"]
    rows = rows.assign(
        **counts,
        place=rows["source"].map(text.place),
        run=text.run_links(rows["run_id"]),
        asset=parts.asset_links(("models", model) for model in rows["model_id"]),
        size=rows["n_parameters"].map(text.big),
    )
    link = st.column_config.LinkColumn
    parts.table(
        rows, "models",
        order=["model_id", "family", "role", "method", "status", *counts, "architecture", "n_layers", "size",
               "dtype", "place", "run", "asset"],
        columns={
            "model_id": st.column_config.TextColumn("Model", pinned=True, help=meaning("model_id", "models")),
            "family": st.column_config.TextColumn("Family", width="small", help=meaning("family", "models")),
            "place": st.column_config.TextColumn(
                "Source", width=parts.as_wide_as(rows["place"]),
                help=f"Of a local folder its name. {meaning('source', 'models')}",
            ),
            **{
                f"group {name}": st.column_config.TextColumn(
                    name.capitalize(), width="small", help="Assets with rows of the model, of " + ", ".join(assets)
                )
                for name, assets in groups.items()
            },
            "size": st.column_config.TextColumn("Parameters", width="small", help=meaning("n_parameters", "models")),
            "run": link("Run", display_text="open", width="small", help=meaning("run_id")),
            "asset": link("Asset", display_text="open", width="small", help="The checkpoint's partition in Dagster."),
        },
    )  # fmt: skip
    if nowhere and len(counts):
        st.caption(f"None of these models has rows of the group {' or '.join(map(text.plain, nowhere))}.")
    return rows.drop(columns="place")


@state.fragment
def _one(models: pd.DataFrame, made: pd.DataFrame) -> None:
    st.subheader("One checkpoint", anchor=False)
    first = [*models.loc[models["role"] != "base", "model_id"], *models["model_id"]][:1]  # a base has little to say
    model = state.select(
        "Model",
        list(models["model_id"]),
        "model",
        default=next(iter(first), None),
        names=lambda m: text.short(m, 80),
        where=st.columns(2)[0],
    )
    if model is None:
        parts.nothing("No checkpoint fits the filters", "Widen the filters above.")
        return
    row = models[models["model_id"] == model].iloc[0]
    parts.model_links(row.to_dict())
    sentences.about(URL, model)
    left, right = st.columns([2, 3], gap="large")
    with left:
        fields = [c for c in models.columns if c not in ("run_id", "code_version", "materialized_at")]
        facts = pd.DataFrame(
            {"What": [text.title(c) for c in fields], "Value": [_fact(c, row[c]) for c in fields]},
        )
        widths = {
            "What": st.column_config.TextColumn(width=parts.as_wide_as(facts["What"])),
            "Value": st.column_config.TextColumn(width="large"),
        }
        st.dataframe(facts, hide_index=True, height=35 * (len(fields) + 1) + 3, key="facts", column_config=widths)
        parts.downloads(models[models["model_id"] == model], "model", "Registry entry")
        parts.provenance(row.to_dict())
    with right:
        st.markdown("**What is there of it**", help="Tables with rows of this checkpoint, and the run that made them.")
        mine = made[made["model_id"] == model].sort_values("table")
        mine = mine.assign(
            run=text.run_links(mine["run_id"]),
            asset=parts.asset_links((table, model) for table in mine["table"]),
        )
        link = st.column_config.LinkColumn
        parts.table(
            mine, "materialized", order=["table", "rows", "materialized_at", "code_version", "run", "asset"],
            columns={
                "table": st.column_config.TextColumn("Table"),
                "rows": st.column_config.NumberColumn("Rows"),
                "materialized_at": st.column_config.DatetimeColumn("Made at (UTC)", format="YYYY-MM-DD HH:mm"),
                "run": link("Run", display_text="open", width="small"),
                "asset": link("Asset", display_text="open", width="small"),
            },
        )  # fmt: skip
        _missing(model, str(row["status"]), set(mine["table"]))
        coverage = queries.coverage(parts.source(), model)
        if len(coverage):
            st.markdown("**Coverage of its tensors**", help=meaning("state", "coverage"))
            parts.table(coverage, "coverage", of="coverage", columns={
                "tensors": st.column_config.NumberColumn("Tensors", help="How many tensors"),
            })  # fmt: skip
        changed = queries.most_changed(parts.source(), model)
        if len(changed):
            st.markdown("**Tensors that moved furthest**", help=meaning("relative_change", "tensor_changes"))
            parts.table(changed, "most-changed", of="tensor_changes", height=320, digits=3, order=[
                "tensor", "relative_change", "cosine", "identical_share", "principal", "base_id",
            ])  # fmt: skip


def _missing(model: str, status: str, tables: set[str]) -> None:
    """Which assets have no rows of a checkpoint that could be read."""
    catalogue = parts.source().catalogue
    groups = catalogue.groups()
    waiting = [a for assets in groups.values() for a, names in assets.items() if not tables & set(names)]
    if status != "ready" or not waiting:
        return
    names = ", ".join(f"`{asset}`" for asset in waiting)
    registered = {name for names in groups.get(catalogue.group_of("models"), {}).values() for name in names}
    if tables <= registered:
        parts.nothing(
            assemble.UNMEASURED.capitalize(),
            f"Waiting for {names}; its run may still be going.",
            link=text.asset_link(waiting[0], model),
        )
    else:
        st.caption(f"No rows of {names}: not materialized yet, or not for this model (a base has no edits).")


def _fact(column: str, value: object) -> str:
    if column == "n_parameters" and text.big(value) != "–":
        return f"{text.big(value)} ({int(float(str(value))):,})"
    return "–" if value is None or value == "" or value != value else str(value)
