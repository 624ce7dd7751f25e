"""Rows of `document_answers`: a few documents of every task as texts, with what base, post model and edit answered.

A bounded number of them, because prompts and answers are long: those on which an edit and the post model differ most,
and some drawn by the seed, the same for every edit, which show what the others look like.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from resources.evaluation.harness import HarnessError

if TYPE_CHECKING:
    from resources.evaluation.harness import Harness
    from resources.evaluation.scores import Samples
    from resources.evaluation.scoring import Results
    from resources.evaluation.texts import Text
    from resources.families import Task

CHANGED = 20
"""Documents of a task on which the edit's score differs most from the post model's, if it differs at all."""

DRAWN = 20
"""Documents of a task drawn by chance, whatever their scores."""

MOST_CHARACTERS = 2000
"""Of a prompt the end is kept, where the question stands; of an answer the beginning."""


def document_answer_rows(
    harness: Harness, results: Mapping[str, Results], tasks: Iterable[Task], *, base: str, post: str, seed: int
) -> Iterator[dict[str, Any]]:
    """Rows of `document_answers` of all edits and controls among the results, without model_id.

    A task that cannot be loaded, or whose documents are those of several tasks, gives none.
    """
    for task in tasks:
        chosen = {
            name: chosen
            for name, found in results.items()
            if name not in (base, post) and (chosen := _chosen(results[post], found, task.name, seed))
        }
        if not chosen:
            continue
        try:
            texts = harness.texts(task, 1 + max(max(documents) for documents in chosen.values()))
        except HarnessError:
            continue  # its score says why
        said = {name: _answers(results[name], task.name) for name in (base, post, *chosen) if name in results}
        for edit, documents in chosen.items():
            for document, why in documents.items():
                if document < len(texts):
                    answers = {role: said.get(name, {}).get(document) for role, name in
                               (("base", base), ("post", post), ("edit", edit))}  # fmt: skip
                    yield {
                        "edit_id": edit,
                        "task": task.name,
                        "doc_id": document,
                        "chosen": why,
                        **_texts(texts[document]),
                        **{f"{role}_answer": text for role, text in answers.items()},
                    }


def _chosen(post: Results, edit: Results, task: str, seed: int) -> dict[int, str]:
    """Documents and why they were chosen, in their order; none where the two share no document."""
    import numpy as np

    ours, theirs = _primary(edit, task), _primary(post, task)
    if ours is None or theirs is None:
        return {}
    mine = dict(zip(ours.documents, ours.single().tolist(), strict=True))
    others = dict(zip(theirs.documents, theirs.single().tolist(), strict=True))
    common = sorted(mine.keys() & others.keys())
    differences = {document: abs(mine[document] - others[document]) for document in common}
    most = sorted((d for d in common if differences[d] > 0), key=lambda d: (-differences[d], d))[:CHANGED]
    order = np.random.default_rng(seed).permutation(len(common))
    chosen = dict.fromkeys((common[i] for i in order[:DRAWN]), "drawn")
    return dict(sorted((chosen | dict.fromkeys(most, "changed")).items()))


def _primary(found: Results, task: str) -> Samples | None:
    """Scores of the single documents under a task's first metric; none of a group of tasks."""
    scores = found.scores.get(task)
    first = next((row for row in scores.rows if row["is_primary"]), None) if scores else None
    if scores is None or first is None:
        return None
    place = (task, first["metric"], first["filter"])
    return next((s for s in scores.samples if (s.task, s.metric, s.filter) == place), None)


def _answers(found: Results, task: str) -> dict[int, str]:
    scores = found.scores.get(task)
    known: Sequence[Any] = scores.answers if scores else ()
    return {d: text for one in known if one.task == task for d, text in zip(one.documents, one.texts, strict=True)}


def _texts(text: Text) -> dict[str, str]:
    prompt = text.prompt if len(text.prompt) <= MOST_CHARACTERS else f"…{text.prompt[-MOST_CHARACTERS:]}"
    return {"prompt": prompt, "right_answer": text.answer[:MOST_CHARACTERS]}
