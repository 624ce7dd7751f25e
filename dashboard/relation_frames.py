"""What the page Relations says and draws, worked out of its rows: sentences, the tree, barriers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pandas as pd

from dashboard import text

MIDDLE = 0.5


@dataclass(frozen=True)
class Node:
    """A model in the drawn tree; `parent` is empty at the root and of models that are not known to be related."""

    model: str
    parent: str
    distance: float | None
    verdict: str
    words: str


def tree(members: pd.DataFrame, lineage: pd.DataFrame, pairs: pd.DataFrame) -> list[Node]:
    """The family as it was declared, each model with its distance from the base and what the tests say of the two.

    A model hangs on its base, or on the stage that it was trained from, where the family file names one. A model that
    is not found to be related to the base hangs nowhere.
    """
    bases = [row.model_id for row in members.itertuples() if row.role == "base"]
    stages = {row.model_b: row.model_a for row in pairs.itertuples() if _known(row.undone)}
    nodes = [Node(base, "", 0.0, "", "the base") for base in bases]
    for row in members.itertuples():
        if row.role == "base" or row.base_id not in bases:
            continue
        found = between(lineage, row.base_id, row.model_id)
        verdict = str(found["verdict"]) if found is not None else ""
        related = verdict == "related" or (not verdict and row.role == "descendant")
        parent = stages.get(row.model_id, row.base_id) if related else ""
        distance = found["distance"] if found is not None and _known(found["distance"]) else None
        nodes.append(Node(row.model_id, parent, distance, verdict, _tested(found)))
    return nodes


def between(lineage: pd.DataFrame, first: str, second: str) -> dict[str, Any] | None:
    """The row of `lineage` about two models, whichever is named first."""
    for a, b in ((first, second), (second, first)):
        found = lineage[(lineage["model_a"] == a) & (lineage["model_b"] == b)]
        if len(found):
            return dict(found.iloc[0])
    return None


def smallest_p(row: dict[str, Any]) -> float | None:
    """The smaller p of a pair's two tests."""
    known = [row[name] for name in ("p_exact", "p_match") if _known(row.get(name))]
    return min(known) if known else None


def p_words(p: float | None) -> str:
    """A p value in words."""
    if p is None:
        return "not tested"
    said = text.p_value(p)
    return f"p {said}" if said.startswith("<") else f"p = {said}"


def lineage_sentence(members: pd.DataFrame, lineage: pd.DataFrame) -> str:
    """How many pairs are related and how many not, and whether that agrees with the family file."""
    if lineage.empty:
        return "No pair of these models was tested for a shared initialisation yet."
    counts = lineage["verdict"].value_counts()
    parts = [
        f"{counts[word]} {'is' if counts[word] == 1 else 'are'} {word}"
        for word in ("related", "unrelated", "undecided")
        if word in counts
    ]
    said = f"Of {len(lineage)} pairs of models {_listed(parts)}."
    roles = dict(zip(members["model_id"], members["role"], strict=True))
    wrong = []
    for row in lineage.itertuples():
        stranger = "unrelated" in (roles.get(row.model_a), roles.get(row.model_b))
        if row.verdict == ("related" if stranger else "unrelated"):
            wrong.append(f"{text.code(row.model_a)} and {text.code(row.model_b)}")
    if wrong:
        return f"{said} Against what the family file says: {_listed(wrong[:3])}."
    return f"{said} None of them contradicts the family file."


def alike_sentence(pairs: pd.DataFrame) -> str:
    """Which two descendants moved most alike, beside chance; and what a later stage undid."""
    known = pairs[pairs["cosine"].notna() & pairs["cosine_chance"].notna()] if len(pairs) else pairs
    if known.empty:
        return "No two descendants of one base were compared yet."
    row = known.loc[known["cosine"].idxmax()]
    said = (
        f"Most alike are the changes of {text.code(row['model_a'])} and {text.code(row['model_b'])}: cosine "
        f"{row['cosine']:.3f} over all matrices (chance: 0 ± {row['cosine_chance']:.3f}), beyond chance in "
        f"{int(row['matrices_beyond_chance'])} of {int(row['matrices'])}."
    )
    stages = known[known["undone"].notna() & known["undone_chance"].notna()]
    undone = stages[stages["undone"] > 2 * stages["undone_chance"]]
    if len(undone):
        first = undone.loc[undone["undone"].idxmax()]
        said += (
            f" {text.code(first['model_b'])} took back {100 * first['undone']:.1f} % of what "
            f"{text.code(first['model_a'])} had changed (chance: 0 ± {100 * first['undone_chance']:.1f})."
        )
    return said


def barriers(lines: pd.DataFrame) -> pd.DataFrame:
    """One row per line: tasks, those with a barrier in the middle (interval above 0), and the largest such barrier."""
    middle = lines[(lines["t"] == MIDDLE) & lines["barrier"].notna()]
    rows = []
    for (a, b), found in middle.groupby(["model_a", "model_b"], sort=False):
        above = found[found["barrier_low"] > 0]
        worst = above.loc[above["barrier"].idxmax()] if len(above) else None
        rows.append(
            {"model_a": a, "model_b": b, "tasks": len(found), "tasks_with_barrier": len(above),
             "largest_barrier": None if worst is None else worst["barrier"],
             "task": "" if worst is None else worst["task"]}
        )  # fmt: skip
    return pd.DataFrame(rows, columns=["model_a", "model_b", "tasks", "tasks_with_barrier", "largest_barrier", "task"])


def line_sentence(members: pd.DataFrame, lines: pd.DataFrame) -> str:
    """Barriers between relatives, beside those on the lines to unrelated models."""
    found = barriers(lines)
    if found.empty:
        return "No straight line between two models was scored yet."
    strangers = set(members.loc[members["role"] == "unrelated", "model_id"])
    apart = found["model_a"].isin(strangers) | found["model_b"].isin(strangers)
    parts = []
    for some, of in ((found[~apart], "between relatives"), (found[apart], "to an unrelated model")):
        if len(some):
            with_one, tasks = int(some["tasks_with_barrier"].sum()), int(some["tasks"].sum())
            parts.append(f"in {with_one} of {tasks} tasks {of}")
    words = " and ".join(parts)
    return f"Halfway along straight lines the loss lies above the chord {words} (by chance alone in 2.5 %)."


def _tested(found: dict[str, Any] | None) -> str:
    if found is None:
        return "not tested"
    return f"{found['verdict']}, {p_words(smallest_p(found))}"


def _known(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _listed(words: list[str]) -> str:
    return ", ".join(words[:-1]) + (" and " if len(words) > 1 else "") + words[-1] if words else ""
