"""One document of a task to read: its prompt, the right answer, and what base, post model and edit made of it."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard import parts, queries, state, text
from dashboard.parts import meaning

ROLES = {"base": "Base", "post": "Post model", "edit": "Edit"}
NO_ANSWER = "(none: the task asks how likely the right answer is)"


def read(model: str, edit: str, task: str, scored: pd.DataFrame) -> None:
    """Draw one document of those whose texts are kept. `scored`: rows of `queries.documents`, most lost first."""
    kept = queries.document_answers(parts.source(), model, edit, task)
    data = scored.merge(kept, on="doc_id")
    if data.empty:
        parts.nothing("No texts of this task", "Materialize `evaluation_scores`; groups of tasks have none.")
        return
    rows = {int(row["doc_id"]): row for row in data.to_dict("records")}
    document = state.select(
        "Read a document",
        list(rows),
        "document",
        names=lambda d: _name(rows[d]),
        help=meaning("chosen", "document_answers"),
    )
    row = rows[document]
    st.caption("Prompt")
    parts.verbatim(_written(row["prompt"], "(none: the document itself is scored)"))
    right, *others = st.columns(1 + len(ROLES))
    with right:
        st.markdown("**Right answer**" if row["prompt"] else "**Document**")
        parts.verbatim(_written(row["right_answer"], "(none)"))
    for column, (role, title) in zip(others, ROLES.items(), strict=True):
        with column:
            score = float(row[f"{role}_score"])
            digits = 0 if score.is_integer() else 4  # right or wrong is 1 or 0
            st.markdown(f"**{title}**: {text.code(row['metric'])} {text.number(score, digits)}")
            parts.verbatim(_written(row[f"{role}_answer"], NO_ANSWER))


def _name(row: dict[str, object]) -> str:
    why = "changed" if row["chosen"] == "changed" else "drawn"
    return f"{row['doc_id']} ({why}): {text.short(_written(row['prompt'] or row['right_answer'], ''), 60)}"


def _written(value: object, nothing: str) -> str:
    return value if isinstance(value, str) and value else nothing
