"""Edits and scores: what it costs to put one change back or to break it, and what the models then write."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard import assemble, colours, edit_tests, parts, queries, sentences, state, text
from dashboard.figures import lines, score
from dashboard.parts import meaning

TITLE = "Edits and scores"
ICON = ":material/science:"
ORDER = 40
URL = "edits"
OPENS_MODEL = True
TABLES = (
    "evaluation_scores", "evaluation_contrasts", "evaluation_samples", "document_answers", "control_tests",
    "control_draws",
    "recovered_gain", "equivalence", "edited_checkpoints", "generations", "degeneration", "divergence",
    "attention_temperature", "temperature_test", "representation_similarity",
)  # fmt: skip

SECTIONS = {
    "scores": "Scores", "against-post": "Against the post model", "controls": "Against controls",
    "documents": "Single documents", "texts": "What they write", "checkpoints": "Edited checkpoints",
    "temperature": "Attention temperature", "contrasts": "All contrasts", "similarity": "Representations",
}  # fmt: skip
"""The page's index: each section's anchor and name."""

NO_BREAK = "\u00a0"
# Continuations shown beside each other before the reader picks others.
SIDE_BY_SIDE = 4

INDISTINGUISHABLE = 1e-6
"""1 - CKA below which two representations are drawn as equal: what arithmetic in single precision leaves."""


def show() -> None:
    """Draw the page; each part with choices of its own is a fragment, so that a choice redraws that part alone."""
    st.header("Edits and scores", anchor=False)
    known = queries.evaluated(parts.source())
    known = known[known["role"] != "base"].assign(is_floor=False)
    pair = parts.choose_pair(known, offer_floor=False)
    if pair is None:
        parts.nothing(
            "No edits and no scores yet",
            "Materialize `edited_checkpoints`, `control_draws` and `evaluation_scores`: edits put the scale back, "
            "disrupt or restore the singular vectors; what disrupts stands beside the same done to noise.",
            link=text.dagster(),
        )
        return
    model, base = pair
    sentences.about(URL, model, base)
    st.markdown(" · ".join(f"[{name.replace(' ', NO_BREAK)}](#{anchor})" for anchor, name in SECTIONS.items()))
    scores = queries.scores(parts.source(), model, base)
    edits = queries.edits(parts.source(), model)
    if scores.empty:
        parts.nothing(
            "Not scored yet",
            "Its run may still be going, or `evaluation_scores` waits to be materialized.",
            link=parts.asset_link("evaluation_scores", model),
        )
    else:
        _scores(scores, model, base)
        edit_tests.verdicts(model, base)
        edit_tests.controls(model)
        edit_tests.documents(edits[~edits["is_control"].fillna(False).astype(bool)], scores, model, base)
    _generations(model, base)
    _edits(edits, model)
    _attention(model, base)
    if len(scores):
        _contrasts(model, base)
    _similarity(model, base)


@state.fragment
def _scores(scores: pd.DataFrame, model: str, base: str) -> None:
    st.subheader("Scores", anchor="scores", help=meaning("value", "evaluation_scores"))
    scores = scores.assign(
        panel=assemble.panels(scores), name=assemble.subject_names(scores, model, base).map(text.short)
    )
    main = list(dict.fromkeys(assemble.primary(scores)["panel"]))
    known = [*main, *(p for p in dict.fromkeys(scores["panel"]) if p not in main)]
    left, right = st.columns([4, 1], vertical_alignment="bottom")
    picked = state.several("Tasks", known, "panels", default=(main or known)[:4], names=text.short, where=left)
    controls = state.switch(
        "Controls", "controls", default=True, help=meaning("is_control", "edited_checkpoints"), where=right
    )
    shown = scores[scores["panel"].isin(picked) & scores["value"].notna()]
    if not controls:
        shown = shown[shown["kind"] != "control"]
    if shown.empty:
        parts.nothing("No score to draw", "Pick a task above.")
    else:
        parts.figure(
            score.dots(shown), "edit-scores", shown.drop(columns=["panel", "name"]), of="evaluation_scores",
            alt="Scores of base, post model, edits and controls with standard errors, a tile per task",
        )  # fmt: skip
        single = "A control is the same edit done to noise of the same size, and stands on the line of its edit. "
        st.caption(
            f"{single if (shown['kind'] == 'control').any() else ''}"
            "Whiskers are one standard error. ↓ marks metrics of which lower is better. "
            "Dotted lines carry the base's and the post model's score across. Arrows at the edge carry the score of "
            "what lies far outside, so that small differences of the others can be seen."
        )
    failed = scores[scores["status"].fillna("ready") != "ready"]
    if len(failed):
        with st.expander(f"{len(failed)} scores failed"):
            parts.table(
                failed, "failed-scores", of="evaluation_scores", order=["subject_id", "task", "metric", "status_reason"]
            )
    parts.provenance(scores.sort_values("materialized_at").iloc[-1].to_dict())


@state.fragment
def _contrasts(model: str, base: str) -> None:
    data = queries.contrasts(parts.source(), model)
    st.subheader("All paired contrasts", anchor="contrasts", help=meaning("p_value", "evaluation_contrasts"))
    if data.empty:
        parts.nothing("No contrasts yet", "They are made with `evaluation_scores` from the same documents.")
        return
    number = st.column_config.NumberColumn
    left, right = st.columns([4, 1], vertical_alignment="bottom")
    relations = sorted(data["relation"].dropna().unique())
    picked = state.several("Relations", relations, "relations", placeholder="all", names=text.short, where=left)
    if not state.switch(
        "Secondary metrics", "secondary", help=meaning("is_primary", "evaluation_contrasts"), where=right
    ):
        data = assemble.primary(data)
    if picked:
        data = data[data["relation"].isin(picked)]
    data = data.assign(
        subject=assemble.subject_names(data, model, base), reference=assemble.reference_names(data, model, base)
    )
    parts.table(
        data, "contrasts", of="evaluation_contrasts",
        order=["relation", "subject", "reference", "task", "metric", "difference", "stderr", "p_value", "test", "n"],
        columns={
            "subject": st.column_config.TextColumn("Subject", help=meaning("label", "edited_checkpoints")),
            "metric": st.column_config.TextColumn("Metric", width=parts.as_wide_as(data["metric"])),
            "difference": number("Difference", format="%+.3f", help=meaning("difference", "evaluation_contrasts")),
            "stderr": number("± Std. error", format="%.3f", help=meaning("stderr", "evaluation_contrasts")),
        },
    )  # fmt: skip


@state.fragment
def _generations(model: str, base: str) -> None:
    data = queries.generations(parts.source(), model, base)
    st.subheader("What they write", anchor="texts", help=meaning("text", "generations"))
    if data.empty:
        parts.nothing("No continuations yet", "They are written with `evaluation_scores`.")
        return
    prompts = dict(data.drop_duplicates("prompt_id")[["prompt_id", "prompt"]].itertuples(index=False))
    subjects = list(dict.fromkeys(data["subject_id"]))
    names = dict(zip(subjects, assemble.subject_names(data.drop_duplicates("subject_id"), model, base), strict=True))
    left, right = st.columns(2)
    prompt = state.select(
        "Prompt", list(prompts), "prompt", names=lambda i: f"{i}: {text.short(_written(prompts[i]), 70)}", where=left
    )
    first = [s for s in (base, model) if s in subjects]
    first += [s for s in subjects if s not in first and "disrupt" in s][:1]
    first += [s for s in subjects if s not in first][: SIDE_BY_SIDE - len(first)]
    picked = state.several(
        "Side by side", subjects, "writers", default=first, names=lambda s: text.short(names[s]), where=right
    )
    st.caption("Prompt")
    parts.verbatim(_written(prompts[prompt]))
    of_prompt = data[data["prompt_id"] == prompt].set_index("subject_id")
    for start in range(0, len(picked), SIDE_BY_SIDE):
        row = picked[start : start + SIDE_BY_SIDE]
        for column, subject in zip(st.columns(len(row)), row, strict=True):
            with column:
                st.markdown(f"**{text.code(names[subject], 40)}**")
                parts.verbatim(_written(of_prompt["text"].get(subject)))
    parts.downloads(data, "generations", "All continuations", "generations")


def _written(value: object) -> str:
    return value if isinstance(value, str) and value else "(none)"


def _edits(edits: pd.DataFrame, model: str) -> None:
    st.subheader("Edited checkpoints", anchor="checkpoints")
    if edits.empty:
        parts.nothing(
            "No edits yet", "Materialize `edited_checkpoints`.", link=parts.asset_link("edited_checkpoints", model)
        )
        return
    data = edits.assign(run=text.run_links(edits["run_id"]))
    columns = {
        "weight_error": st.column_config.NumberColumn(
            "Weight error", format="%.4f", help=meaning("weight_error", "edited_checkpoints")
        ),
        "base_error": st.column_config.NumberColumn(
            "Base error", format="%.4f", help=meaning("base_error", "edited_checkpoints")
        ),
        "label": st.column_config.TextColumn("Recipe", help=meaning("label", "edited_checkpoints")),
        "run": st.column_config.LinkColumn("Run", display_text="open", width="small", help=meaning("run_id")),
        "edit_id": st.column_config.TextColumn("Edit", help=meaning("edit_id", "edited_checkpoints")),
    }
    parts.table(
        data, "edits", columns=columns, of="edited_checkpoints",
        order=["label", "is_control", "edit_id", "other_tensors_of", "weight_error", "base_error", "status",
               "status_reason", "run"],
    )  # fmt: skip


def _attention(model: str, base: str) -> None:
    data = queries.temperature(parts.source(), model, base)
    st.subheader("Attention temperature", anchor="temperature", help=meaning("predicted", "attention_temperature"))
    if data.empty:
        parts.nothing("Not measured yet", "It comes with `evaluation_scores`.")
        return
    applicable = sorted({str(v) for v in data["applicability"].dropna()})
    possible = meaning("applicability", "attention_temperature") or ""
    st.caption(f"The prediction is {' or '.join(map(text.plain, applicable))} here; it can be {possible} {text.DECAY}")
    data = data.assign(change=data["entropy_post"] - data["entropy_base"])
    if (data["predicted"].notna() & data["change"].notna()).any():
        parts.figure(
            score.temperature(data, parts.theme()), "temperature-scatter", data, of="attention_temperature",
            alt="Predicted attention temperature against the measured change of entropy, a point per head",
        )  # fmt: skip
        st.caption(_tested(model, base))
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown("**Predicted from scale, T = 1 / (α_q α_k)**", help=meaning("predicted", "attention_temperature"))
        if data["predicted"].notna().any():
            parts.figure(
                score.heads(data, "predicted", "T", 1.0, parts.theme()), "temperature", data,
                of="attention_temperature",
                alt="Predicted attention temperature by layer and head",
            )  # fmt: skip
        else:
            parts.nothing("Not applicable", "The model normalises q and k, so their scale cancels.")
    with right:
        st.markdown(
            "**Measured change of attention entropy, nats**",
            help=meaning("entropy_post", "attention_temperature"),
        )
        if data["change"].notna().any():
            parts.figure(
                score.heads(data, "change", "post − base", 0.0, parts.theme()), "entropy", data,
                of="attention_temperature",
                alt="Change of attention entropy by layer and head",
            )  # fmt: skip
        else:
            parts.nothing("Not measured", "No entropies are stored for this model.")


def _tested(model: str, base: str) -> str:
    """What the test of the prediction says, as a sentence."""
    shown = (
        "Heads are small points, the mean of each layer is a large one. A temperature above 1 predicts more entropy."
    )
    test = queries.temperature_test(parts.source(), model, base)
    if test.empty or text.number(test["spearman"].iloc[0]) == "–":
        return shown
    row = test.iloc[0]
    note = text.sentence(str(row["note"])) if isinstance(row["note"], str) and row["note"] else ""
    return (
        f"{shown} Rank correlation over {text.number(row['n_layers'], 0)} layers: {text.number(row['spearman'], 2)} "
        f"({text.number(row['ci_low'], 2)} to {text.number(row['ci_high'], 2)}), permutation "
        f"p {text.p_value(row['p_value'])}. {text.plain(note)}"
    )


@state.fragment
def _similarity(model: str, base: str) -> None:
    data = queries.similarity(parts.source(), model)
    st.subheader("Representations, CKA by layer", anchor="similarity", help=meaning("cka", "representation_similarity"))
    data = data[data["cka"].notna()]
    if data.empty:
        parts.nothing("Not measured yet", "It comes with `evaluation_scores`.")
        return
    references = list(dict.fromkeys(data["reference_id"]))
    reference = state.select(
        "Reference", references, "reference", names=lambda r: text.short(r, 60), where=st.columns(3)[0]
    )
    of_reference = data[data["reference_id"] == reference]
    of_reference = of_reference.assign(
        series=assemble.subject_names(of_reference, model, base), value=1 - of_reference["cka"]
    )
    series = list(dict.fromkeys(of_reference["series"]))
    parts.figure(
        lines.along(
            of_reference, series=series, styles=colours.assigned(series), y_title="1 − CKA", same=INDISTINGUISHABLE,
        ),
        "similarity", of_reference[["subject_id", "reference_id", "layer", "cka", "n_tokens"]],
        of="representation_similarity",
        alt="How far CKA with the reference is from 1 by layer, a line per subject",
    )  # fmt: skip
    st.caption(
        "Drawn is 1 − CKA on a logarithmic scale, so that differences between CKAs near 1 can be seen: the lower, the "
        "more alike. Triangles at the lower edge are representations that are equal up to rotation and scale. "
        f"{text.sentence(meaning('layer', 'representation_similarity'))}"
    )
