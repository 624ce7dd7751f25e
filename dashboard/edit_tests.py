"""The parts of Edits and scores that test: edits against the post model and their controls, and single documents."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from dashboard import assemble, colours, document_texts, parts, queries, state, text
from dashboard.figures import forest
from dashboard.parts import meaning

VERDICT_COLUMNS = ["verdict", "control_verdict"]
WHAT = {"lost": "lost by the edit", "gained": "gained by the edit", "all": "all"}
LISTED = 200
"""Documents listed; those that changed most come first."""


@state.fragment
def verdicts(model: str, base: str) -> None:
    """Draw what each edit costs on each task: a forest of differences, and the table with its verdicts."""
    data = queries.edit_verdicts(parts.source(), model)
    st.subheader("Edits against the post model", anchor="against-post", help=meaning("p_value", "evaluation_contrasts"))
    if data.empty:
        parts.nothing("No edit is compared yet", "It comes with `evaluation_scores`, from the same documents.")
        return
    lower = (data["higher_is_better"] == False).map({True: assemble.LOWER_IS_BETTER, False: ""})  # noqa: E712
    data = data.assign(panel=data["task"] + " · " + data["metric"] + lower)
    parts.figure(
        forest.differences(data), "edit-differences", data, of="evaluation_contrasts",
        alt="Edit minus post model with 95 % intervals, a tile per task",
    )  # fmt: skip
    st.caption(
        "Squares are edit minus post model on the same documents, with 95 % intervals: vermilion where the edit is "
        "worse, green where it is better or as good, grey where that is undecided, as in the table below. A grey band "
        "is the margin within which a difference counts as nothing, where that was tested. Arrows at the edge carry "
        "the value of an edit that lies far outside."
    )
    rows = data.assign(
        beyond=[_interval(r, "beyond_control") for r in data.to_dict("records")],
        recovered=[_interval(r, "gain") if r["trained"] is True else None for r in data.to_dict("records")],
    )
    number = st.column_config.NumberColumn
    words = st.column_config.TextColumn
    parts.table(
        rows.replace({"control_verdict": {"": None}}), "edit-verdicts", of="evaluation_contrasts",
        order=["label", "task", "difference", "stderr", "q_value", "verdict", "beyond", "q_control",
               "control_verdict", "recovered"],
        columns={
            "label": words("Edit", pinned=True, width="medium", help=meaning("label", "edited_checkpoints")),
            "difference": number("Edit − post", format="%+.3f", help=meaning("difference", "evaluation_contrasts")),
            "stderr": number("± Std. error", format="%.3f", help=meaning("stderr", "evaluation_contrasts")),
            "q_value": number(
                "q", help="p after Benjamini and Hochberg over all edits and tasks of this model."
            ),
            "task": words("Task", width="medium", help=meaning("task", "evaluation_contrasts")),
            "verdict": words("Verdict", help="Better or worse at q below 0.05; as good where the test of equivalence "
                             "has p below 0.05; else undecided."),
            "beyond": words("Beyond its control", help=meaning("difference", "control_tests")),
            "q_control": number("q, control", help=meaning("q_difference", "control_tests")),
            "control_verdict": words("Against its control", help="Worse than the mirror control, or no more than "
                                     "it, at q below 0.05; else undecided. Only disruptive edits have one."),
            "recovered": words("Recovered gain", help=meaning("gain", "recovered_gain")),
        },
        style=(colours.of_test, VERDICT_COLUMNS),
    )  # fmt: skip


def _interval(row: dict[str, Any], name: str) -> str | None:
    """A number with its interval in brackets; nothing without a number."""
    shown = text.number(row[name], 2)
    if shown == "–":
        return None
    low, high = (text.number(row[f"{name}_{end}"], 2) for end in ("low", "high"))
    return shown if "–" in (low, high) else f"{shown} ({low} to {high})"


def controls(model: str) -> None:
    """Draw disruptive edits beside the draws of their controls."""
    draws = queries.control_losses(parts.source(), model)
    st.subheader("Disruptive edits beside their controls", anchor="controls", help=meaning("control", "control_draws"))
    tests = queries.control_tests(parts.source(), model)
    if draws.empty or not (draws["control"] == "edit").any():
        reasons = sorted(set(tests["note"].dropna()) - {""}) if len(tests) else []
        said = "".join(f" Said of it: {text.code(reason)}." for reason in reasons)
        parts.nothing("No draws", f"Materialize `control_draws`.{said}")
        return
    parts.figure(
        forest.controls(draws), "control-draws", draws, of="control_draws",
        alt="Change of log-likelihood by each disruptive edit beside every draw of its controls, a tile per task",
    )  # fmt: skip
    st.caption(
        "Change of the log-likelihood of the right answer, nats per document; left of the dotted line is a loss. "
        "Circles and crosses are draws of a control, the band spans them all. The mirror control is the post model "
        "with the vectors of itself and of noise that damages its weights as much as the edit does; the noise control "
        "is the base with noise as large as the change, broken alike. An edit inside the band is no evidence of a "
        "rotation."
    )
    if len(tests):
        words = st.column_config.TextColumn
        parts.table(
            tests.assign(
                beyond=[_interval(r, "difference") for r in tests.to_dict("records")],
                errors=[
                    None if pd.isna(edit) else f"{text.number(edit, 2)} ({text.number(control, 2)})"
                    for edit, control in tests[["weight_error", "control_weight_error"]].itertuples(index=False)
                ],
            ),
            "control-tests", of="control_tests", digits=3,
            order=["recipe", "control", "task", "note", "loss", "control_loss", "beyond", "q_difference", "q_no_worse",
                   "errors"],
            columns={
                "errors": words("Weight error (control's)", help=meaning("weight_error", "control_tests")),
                "beyond": words("Beyond its control", help=meaning("difference", "control_tests")),
                "note": words("Note", width=280, help=meaning("note", "control_tests")),
            },
        )  # fmt: skip


@state.fragment
def documents(edits: pd.DataFrame, scores: pd.DataFrame, model: str, base: str) -> None:
    """Draw which documents an edit lost that the post model had right, or won."""
    st.subheader(
        "Single documents: what an edit broke", anchor="documents", help=meaning("score", "evaluation_samples")
    )
    scored = scores[scores["is_primary"].fillna(False).astype(bool) & scores["value"].notna()]
    known = edits[edits["edit_id"].isin(scored["subject_id"])]
    if known.empty:
        parts.nothing("No documents yet", "They come with `evaluation_scores`.")
        return
    names = dict(zip(known["edit_id"], known["label"].fillna(known["recipe"]), strict=True))
    one, two, three = st.columns(3)
    edit = state.select("Edit", list(names), "edit", names=lambda e: text.short(names[e], 50), where=one)
    tasks = list(dict.fromkeys(scored.loc[scored["subject_id"] == edit, "task"]))
    task = state.select("Task", tasks, "task", names=text.short, where=two)
    data = queries.documents(parts.source(), model, base, edit, task)
    if data.empty:
        parts.nothing("No documents of this task", "The edit and the post model share none.")
        return
    which = state.select("Documents", list(WHAT), "documents", names=lambda w: WHAT[w], where=three)
    lost, gained = data[data["lost"] > 0], data[data["lost"] < 0][::-1]
    st.caption(
        f"Of {len(data)} documents that both were scored on, {len(lost)} went worse with {text.code(names[edit], 40)} "
        f"than with the post model, and {len(gained)} better. The table holds the documents' numbers and scores; some "
        "can be read below it: those that the edit changed most, and some drawn by chance."
    )
    parts.table(
        {"lost": lost, "gained": gained, "all": data}[which].head(LISTED), "documents", of="evaluation_samples",
        order=["doc_id", "base_score", "post_score", "edit_score", "lost"], height=320,
        columns={
            "doc_id": st.column_config.NumberColumn(
                "Document", help=meaning("doc_id", "evaluation_samples"), format="%d"
            ),
            "base_score": st.column_config.NumberColumn("Base", format="%.4g"),
            "post_score": st.column_config.NumberColumn("Post", format="%.4g"),
            "edit_score": st.column_config.NumberColumn("Edit", format="%.4g"),
            "lost": st.column_config.NumberColumn("Lost", format="%+.4g", help="How much worse the edit did than the "
                                                  "post model, whatever the direction of the metric."),
        },
    )  # fmt: skip
    document_texts.read(model, edit, task, data)
