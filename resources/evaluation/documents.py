"""How many documents of a task a subject is scored on.

Models, and the edits of which it is asked whether *nothing* was lost, need as many as there are: a test of
equivalence at two points of accuracy takes about two thousand documents (docs/methods.md, section 3). All other edits
are asked whether something was lost, for which the first few hundred do; comparisons pair the common documents.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from resources.families import Task

if TYPE_CHECKING:
    from resources.evaluation.subjects import Subject

EDIT_DOCUMENTS = 500
"""Documents of a task that an edit is scored on, unless it is to be shown equivalent."""

EQUIVALENCE_RECIPES = ("replace-scale",)
"""Recipes of which it is claimed that they change nothing."""


def documents_for(subject: Subject, task: Task) -> Task:
    """The task with the limit that holds for this subject."""
    if subject.kind == "model" or (subject.kind == "edit" and subject.recipe in EQUIVALENCE_RECIPES):
        return task
    return replace(task, limit=EDIT_DOCUMENTS if task.limit is None else min(task.limit, EDIT_DOCUMENTS))
