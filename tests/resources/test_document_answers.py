"""Which documents are kept as texts, what is kept of them, and what counts as a model's answer."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from resources.evaluation.document_answers import CHANGED, DRAWN, MOST_CHARACTERS, document_answer_rows
from resources.evaluation.harness import HarnessError
from resources.evaluation.harness_results import answers
from resources.evaluation.scores import Answers, Samples, Scores
from resources.evaluation.scoring import Results
from resources.evaluation.texts import Text
from resources.families import Task

N = 200
LOST = (3, 50, 199)
TASKS = [Task("sums"), Task("gone")]


class Tasks:
    """Stands for the harness: N documents of `sums`; `gone` cannot be loaded."""

    def texts(self, task: Task, limit: int) -> list[Text]:
        if task.name != "sums":
            raise HarnessError("no data")
        return [Text(f"{'x' * MOST_CHARACTERS}{i} + 1 =", f" {i + 1}") for i in range(min(limit, N))]


def results(name: str, scores: list[float], documents: range, said: str | None) -> Results:
    samples = [
        Samples(task, "acc", "none", "mean", list(documents), [[scores[i]] for i in documents])
        for task in ("sums", "gone")
    ]
    rows = [{"metric": "acc", "filter": "none", "is_primary": True}]
    written = [Answers("sums", list(documents), [f"{said} {i}" for i in documents])] if said else []
    found = Results(SimpleNamespace(id=name))  # type: ignore[arg-type]
    found.scores = {task: Scores(rows, samples, written) for task in ("sums", "gone")}
    return found


def rows_of(seed: int = 0, lost: tuple[int, ...] = LOST) -> list[dict[str, Any]]:
    post = [1.0] * N
    edited = [0.0 if i in lost else 1.0 for i in range(N)]
    found = {
        "base": results("base", [0.0] * N, range(N), None),
        "post": results("post", post, range(N), "post"),
        "edit": results("edit", edited, range(N), "edit"),
        "other": results("other", post, range(N), "other"),
    }
    return list(document_answer_rows(Tasks(), found, TASKS, base="base", post="post", seed=seed))  # type: ignore[arg-type]


def test_documents_that_changed_and_some_drawn_are_kept() -> None:
    rows = rows_of()
    assert {row["task"] for row in rows} == {"sums"}
    assert {row["edit_id"] for row in rows} == {"edit", "other"}
    chosen = {row["doc_id"]: row["chosen"] for row in rows if row["edit_id"] == "edit"}
    assert {document for document, why in chosen.items() if why == "changed"} == set(LOST)
    drawn = {row["doc_id"] for row in rows if row["edit_id"] == "other"}
    assert len(drawn) == DRAWN
    assert drawn - set(LOST) == {document for document, why in chosen.items() if why == "drawn"}
    assert drawn != {row["doc_id"] for row in rows_of(seed=1) if row["edit_id"] == "other"}


def test_their_number_is_bounded() -> None:
    rows = [row for row in rows_of(lost=tuple(range(N))) if row["edit_id"] == "edit"]
    assert sum(row["chosen"] == "changed" for row in rows) == CHANGED
    assert len(rows) <= CHANGED + DRAWN


def test_texts_and_answers_are_those_of_the_document() -> None:
    row = next(row for row in rows_of() if (row["edit_id"], row["doc_id"]) == ("edit", 50))
    assert row["prompt"].startswith("…x")
    assert row["prompt"].endswith("x50 + 1 =")
    assert len(row["prompt"]) == MOST_CHARACTERS + 1
    assert row["right_answer"] == " 51"
    assert (row["base_answer"], row["post_answer"], row["edit_answer"]) == (None, "post 50", "edit 50")


@pytest.mark.parametrize(
    ("kind", "responses", "answer"),
    [
        ("generate_until", [["seven, I think"]], "seven, I think"),
        # Two choices, and behind them their likelihoods without the question.
        ("multiple_choice", [[(-3.0, False)], [(-1.0, True)], [(0.0, True)], [(0.0, True)]], "eight"),
        ("loglikelihood", [[(-3.0, False)]], None),
    ],
)
def test_an_answer_is_what_was_written_or_the_likeliest_choice(kind: str, responses: Any, answer: str | None) -> None:
    leaf = SimpleNamespace(OUTPUT_TYPE=kind, doc_to_choice=lambda doc: ["seven", "eight"])
    logged = [{"doc_id": 4, "doc": {}, "resps": responses}, {"doc_id": 4, "doc": {}, "resps": [["by another filter"]]}]
    assert answers(leaf, logged) == ({4: answer} if answer else {})
