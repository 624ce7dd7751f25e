"""Models: every checkpoint, whether it could be read, what is there of it and which run made it."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard import assemble, parts, state, text

# Tables whose asset is certain; of the others the run is linked.
ASSETS = {
    "models": "checkpoints",
    "decompositions": "decompositions",
    "scale_statistics": "scale_statistics",
    "rotation_statistics": "rotation_statistics",
    "edited_checkpoints": "edited_checkpoints",
    "evaluation_scores": "evaluation_scores",
}

STRUCTURE = ("decompositions", "scale_statistics", "rotation_statistics")


def show() -> None:
    """Draw the page."""
    st.header("Models", anchor=False)
    models, made = parts.ask("models"), parts.ask("materialized")
    if models.empty:
        parts.nothing(
            "No checkpoint is registered yet", "Materialize `checkpoints`, or run `rotoscale compare BASE POST`."
        )
        return
    _quarantined(models)
    _table(models, made)
    _one(models, made)


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
            link = text.asset_link("checkpoints", row.model_id)
            st.markdown(f"**{text.code(row.model_id)}** · [in Dagster]({link})")
            st.code(reason, language=None, wrap_lines=True)
        if len(bad) > 10:
            st.caption(f"and {len(bad) - 10} more in the table")


@st.fragment
def _table(models: pd.DataFrame, made: pd.DataFrame) -> None:
    one, two, _ = st.columns([3, 2, 3])
    families = list(dict.fromkeys(models["family"].fillna("")))
    picked = state.several("Families", families, "only", placeholder="all", names=text.short, where=one)
    status = state.select("Status", ["any", *sorted(models["status"].dropna().unique())], "state", where=two)
    rows = models[models["family"].fillna("").isin(picked)] if picked else models
    if status != "any":
        rows = rows[rows["status"] == status]
    have = made[made["table"].isin(STRUCTURE)].groupby("model_id")["table"].nunique()
    rows = rows.assign(
        structure=[f"{have.get(m, 0)} of {len(STRUCTURE)}" for m in rows["model_id"]],
        run=[text.run_link(r) for r in rows["run_id"]],
        asset=[text.asset_link("checkpoints", m) for m in rows["model_id"]],
        size=rows["n_parameters"].map(text.big),
    )
    link = st.column_config.LinkColumn
    parts.table(
        rows, "models", source=None,
        order=["model_id", "family", "role", "method", "status", "structure", "architecture", "n_layers", "size",
               "dtype", "source", "run", "asset"],
        columns={
            "model_id": st.column_config.TextColumn("Model", pinned=True, help=text.meaning("model_id", "models")),
            "family": st.column_config.TextColumn("Family", width="small", help=text.meaning("family")),
            "source": st.column_config.TextColumn("Source", width="small", help=text.meaning("source")),
            "structure": st.column_config.TextColumn(
                "Structure", width="small", help="Structure tables that have rows: " + ", ".join(STRUCTURE)
            ),
            "size": st.column_config.TextColumn("Parameters", width="small", help=text.meaning("n_parameters")),
            "run": link("Run", display_text="open", width="small", help=text.meaning("run_id")),
            "asset": link("Asset", display_text="open", width="small", help="The checkpoint's partition in Dagster."),
        },
    )  # fmt: skip


@st.fragment
def _one(models: pd.DataFrame, made: pd.DataFrame) -> None:
    st.subheader("One checkpoint", anchor=False)
    model = state.select("Model", list(models["model_id"]), "model", names=lambda m: text.short(m, 80))
    row = models[models["model_id"] == model].iloc[0]
    left, right = st.columns([2, 3], gap="large")
    with left:
        fields = [c for c in models.columns if c not in ("run_id", "code_version", "materialized_at")]
        facts = pd.DataFrame(
            {"what": [text.title(c) for c in fields], "value": [_fact(c, row[c]) for c in fields]},
        )
        st.dataframe(facts, hide_index=True, height=35 * (len(fields) + 1) + 3, key="facts")
        parts.downloads(models[models["model_id"] == model], "model", "Registry entry")
        parts.provenance(row.to_dict())
    with right:
        st.markdown("**What is there of it**", help="Tables with rows of this checkpoint, and the run that made them.")
        mine = made[made["model_id"] == model].sort_values("table")
        mine = mine.assign(
            run=[text.run_link(r) for r in mine["run_id"]],
            asset=[text.asset_link(ASSETS[t], model) if t in ASSETS else None for t in mine["table"]],
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
        if row["status"] == "ready" and not set(STRUCTURE) <= set(mine["table"]):
            missing = [t for t in STRUCTURE if t not in set(mine["table"])]
            parts.nothing(
                assemble.UNMEASURED.capitalize(),
                "Waiting for " + ", ".join(f"`{t}`" for t in missing) + "; its run may still be going.",
                link=text.asset_link(missing[0], model),
            )
        coverage = parts.ask("coverage", model)
        if len(coverage):
            st.markdown("**Coverage of its tensors**", help=text.meaning("state"))
            parts.table(coverage, "coverage", source="coverage", columns={
                "tensors": st.column_config.NumberColumn("Tensors", help="How many tensors"),
            })  # fmt: skip
        changed = parts.ask("most_changed", model)
        if len(changed):
            st.markdown("**Tensors that moved furthest**", help=text.meaning("relative_change", "tensor_changes"))
            parts.table(changed, "most-changed", source="tensor_changes", height=320, order=[
                "tensor", "relative_change", "cosine", "identical_share", "principal", "base_id",
            ])  # fmt: skip


def _fact(column: str, value: object) -> str:
    if column == "n_parameters" and text.big(value) != "–":
        return f"{text.big(value)} ({int(float(str(value))):,})"
    return "–" if value is None or value == "" or value != value else str(value)


show()
