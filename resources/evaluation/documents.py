"""How many documents of a task a subject is scored on.

Models, and the edits of which it is asked whether *nothing* was lost, need as many as there are: a test of
equivalence at two points of accuracy takes about two thousand documents (docs/methods.md, section 3). All other edits
are asked whether something was lost, for which the first few hundred do; comparisons pair the common documents.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from resources.families import Task
from rotoscale.recipes import RECIPES

if TYPE_CHECKING:
    from resources.evaluation.subjects import Subject

EDIT_DOCUMENTS = 500
"""Documents of a task that an edit is scored on, unless it is to be shown equivalent."""


def has_all(kind: str, recipe: str) -> bool:
    """Whether a subject (model, edit or control, edited by a recipe) is scored on all documents of a task."""
    return kind == "model" or (kind == "edit" and recipe in RECIPES and RECIPES[recipe].expects_no_change)


def documents_for(subject: Subject, task: Task) -> Task:
    """The task with the limit that holds for this subject."""
    if has_all(subject.kind, subject.recipe):
        return task
    return replace(task, limit=EDIT_DOCUMENTS if task.limit is None else min(task.limit, EDIT_DOCUMENTS))


def uneven_documents(rows: Iterable[Mapping[str, Any]], recipes: Mapping[str, str]) -> dict[str, list[int]]:
    """Tasks whose subjects were not all scored on the documents they should have been, with the numbers found.

    rows: of `evaluation_scores`. recipes: recipe by edit. Subjects that are scored on all documents must agree, and so
    must those that are scored on the first ones, which are never more.
    """
    found: dict[str, tuple[set[int], set[int]]] = {}
    for row in rows:
        if row["status"] == "ready":
            everything = has_all(row["subject_kind"], recipes.get(row["subject_id"], ""))
            found.setdefault(row["task"], (set(), set()))[everything].add(row["n_samples"])
    return {
        task: sorted(first | everything)
        for task, (first, everything) in found.items()
        if len(first) > 1 or len(everything) > 1 or max(first, default=0) > min(everything, default=sys.maxsize)
    }
