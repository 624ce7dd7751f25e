"""What is scored is what was analysed, one model at a time, and a stored result of another shape is no result."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from assets.groups import contract
from resources.edits.shelf import Shelf
from resources.evaluation.assembling import Evaluation
from resources.evaluation.derived_rows import degeneration_rows, recovered_gain_rows
from resources.evaluation.documents import documents_for, uneven_documents
from resources.evaluation.harness import Harness
from resources.evaluation.scores import Scores
from resources.evaluation.scoring import Scorer
from resources.evaluation.store import ResultStore
from resources.evaluation.subjects import Subject, SubjectError, loaded, model_subject
from resources.evaluation.weights import content_hash
from resources.families import Task
from resources.location import Location
from resources.settings import Settings
from resources.workspace import Workspace
from tests.speakers import make_speakers, make_tasks, write_speakers

PROMPTS = ("a b c d e f g h", "m n o p q r")
TASKS = [Task("next_letter", limit=5)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("speakers")
    make_tasks(made / "tasks")
    return make_speakers(made)


def zeroed(file: Path) -> None:
    """Set all weights in a file to zero."""
    save_file({name: torch.zeros_like(weight) for name, weight in load_file(file).items()}, file, {"format": "pt"})


def test_a_pickle_beside_the_weights_is_never_scored(folder: Path, tmp_path: Path) -> None:
    """transformers prefers names that it knows to the one file of weights that there is."""
    odd = shutil.copytree(folder / "speaker", tmp_path / "odd")
    weights = (odd / "model.safetensors").rename(odd / "weights.safetensors")
    pickled = {name: torch.zeros_like(weight) for name, weight in load_file(weights).items()}
    torch.save(pickled, odd / "pytorch_model.bin")
    subject = Subject("odd", "model", "any", lambda: nullcontext(odd))
    with pytest.raises(SubjectError, match="odd cannot be loaded"), loaded(subject, "cpu"):
        pass


def test_a_model_whose_weights_changed_since_is_not_scored(folder: Path, tmp_path: Path) -> None:
    changed = shutil.copytree(folder / "speaker", tmp_path / "changed")
    subject = model_subject("changed", content_hash(changed), Location(changed), tmp_path)
    with loaded(subject, "cpu"):
        pass
    zeroed(changed / "model.safetensors")
    scorer = Scorer(Harness(folder / "tasks"), ResultStore(tmp_path / "store"), TASKS, PROMPTS)
    found = scorer.results(subject)
    assert found.scores == {}
    assert "no longer those that were analysed" in found.failures["next_letter"]


def test_an_adapter_is_known_by_its_base_too(folder: Path, tmp_path: Path) -> None:
    base = shutil.copytree(folder / "speaker", tmp_path / "base")
    location = Location(folder / "adapter", base)
    subject = model_subject("adapter", content_hash(folder / "adapter", base), location, tmp_path / "scratch")
    zeroed(base / "model.safetensors")
    with pytest.raises(SubjectError, match="no longer those"), loaded(subject, "cpu"):
        pass


@pytest.fixture(scope="module")
def space(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace that knows base and post model."""
    place = tmp_path_factory.mktemp("space")
    families = write_speakers(place / "families", folder, folder / "tasks", ["next_letter", "lines"], ["disrupt-left"])
    space = Workspace(Settings(data=place / "data", families=families), contract())
    for model in ("speaker", "fluent"):
        row = {"model_id": model, "status": "ready", "content_hash": content_hash(folder / model)}
        space.tables.write("models", model, [row], run_id="", code_version="")
    return space


def test_a_kept_edit_whose_weights_were_changed_is_made_again(space: Workspace) -> None:
    shelf = Shelf(space, "fluent")
    edit_id, plan = next(iter(shelf.plans().items()))
    row = shelf.make(edit_id, plan)
    untouched = Evaluation(space, shelf, [row]).run()
    assert untouched.rebuilt == {}
    shutil.rmtree(space.settings.evaluations)
    zeroed(Path(row["path"]) / "model.safetensors")
    evaluation = Evaluation(space, shelf, [row])
    evaluated = evaluation.run()
    assert "no longer those" in evaluated.rebuilt[edit_id]
    assert content_hash(Path(row["path"])) == row["content_hash"]
    assert evaluated.tables["evaluation_scores"]
    values = [
        {(r["subject_id"], r["metric"]): r["value"] for r in found.tables["evaluation_scores"]}
        for found in (untouched, evaluated)
    ]
    assert values[0] == values[1]
    (written,) = [r for r in degeneration_rows(evaluated.results.values()) if r["subject_id"] == edit_id]
    texts = [r for r in evaluated.tables["generations"] if r["subject_id"] == edit_id]
    assert (written["n_texts"], written["n_tokens"]) == (len(texts), sum(r["n_tokens"] for r in texts))
    assert 0 < written["vocabulary_share"] <= 1
    assert all("tokens" not in row for row in texts)


def test_what_an_edit_brings_back_is_measured_from_the_base(space: Workspace) -> None:
    shelf = Shelf(space, "fluent")
    rows = [shelf.make(edit_id, plan) for edit_id, plan in list(shelf.plans().items())[:1]]
    results = Evaluation(space, shelf, rows).run().results
    edit = rows[0]["edit_id"]
    subjects = {"base": "speaker", "post": "fluent"}
    arguments = {**subjects, "edits": [edit, "speaker", "fluent"], "straight_lines": {edit: "fluent"}}
    gain = {row["edit_id"]: row for row in recovered_gain_rows(results, [Task("lines")], **arguments)}
    mean = {
        name: np.mean([log / weight for log, weight in found.scores["lines"].samples[0].scores])
        for name, found in results.items()
    }
    expected = (mean[edit] - mean["speaker"]) / (mean["fluent"] - mean["speaker"])
    assert gain[edit]["gain"] == pytest.approx(expected)
    assert (gain["speaker"]["gain"], gain["fluent"]["gain"]) == pytest.approx((0, 1))
    assert gain[edit]["straight_line"] == pytest.approx(1)
    assert (gain[edit]["metric"], gain[edit]["n"]) == ("word_perplexity", 20)


def test_one_model_is_loaded_at_a_time_also_when_a_run_goes_on(folder: Path, tmp_path: Path) -> None:
    in_use: list[str] = []
    most = 0

    def counted(name: str) -> Subject:
        @contextmanager
        def given() -> Iterator[Path]:
            nonlocal most
            in_use.append(name)
            most = max(most, len(in_use))
            yield folder / name
            in_use.remove(name)

        return Subject(name, "model", f"hash of {name}", given)

    store, references = ResultStore(tmp_path), [counted("speaker"), counted("fluent")]

    def scorer() -> Scorer:
        return Scorer(Harness(folder / "tasks"), store, TASKS, PROMPTS, references=references)

    scorer().results(references[0])  # the run ends here; the next one knows nothing of the hidden states
    found = scorer().results(references[1])
    assert found.similarities["speaker"]
    assert most == 1
    assert in_use == []


GOOD: dict[str, Any] = {
    "rows": [
        {
            "task": "t",
            "metric": "acc",
            "filter": "none",
            "value": 0.5,
            "stderr": None,
            "is_primary": True,
            "n_samples": 2,
            "n_shot": 0,
        }
    ],
    "samples": [
        {
            "task": "t",
            "metric": "acc",
            "filter": "none",
            "statistic": "mean",
            "documents": [0, 1],
            "scores": [[0.0], [1.0]],
        }
    ],
}


@pytest.mark.parametrize(
    "stored",
    [
        {},
        [],
        "text",
        None,
        3,
        {"rows": []},
        {"rows": {}, "samples": []},
        {"rows": ["text"], "samples": []},
        {"rows": [{"task": "t"}], "samples": []},
        {**GOOD, "samples": [{"task": "t"}]},
        {**GOOD, "samples": [{**GOOD["samples"][0], "documents": [0]}]},
        {**GOOD, "samples": [{**GOOD["samples"][0], "scores": [0.0, 1.0]}]},
        {**GOOD, "samples": [{**GOOD["samples"][0], "scores": [["0"], ["1"]]}]},
        {**GOOD, "rows": [{**GOOD["rows"][0], "value": "0.5"}]},
        {**GOOD, "answers": [{"task": "t", "documents": [0], "texts": []}]},
        {**GOOD, "answers": [{"task": "t", "documents": [0], "texts": [5]}]},
        {**GOOD, "other": []},
    ],
)
def test_a_stored_result_of_another_shape_is_scored_again(folder: Path, tmp_path: Path, stored: Any) -> None:
    answered = {**GOOD, "answers": [{"task": "t", "documents": [0, 7], "texts": ["a", "b"]}]}
    for good in (GOOD, answered):
        assert Scores.from_json(good).as_json() == good
    with pytest.raises(ValueError, match="not the result of a task"):
        Scores.from_json(stored)


def test_what_is_damaged_in_the_store_is_scored_again(folder: Path, tmp_path: Path) -> None:
    store, harness = ResultStore(tmp_path), Harness(folder / "tasks")
    subject = model_subject("speaker", content_hash(folder / "speaker"), Location(folder / "speaker"), tmp_path)
    scorer = Scorer(harness, store, TASKS, PROMPTS)
    first = scorer.results(subject)
    key = scorer._score_key(subject, harness.identity(TASKS[0]))
    for bad in ({}, ["list"], "text"):
        store.keep(bad, *key)
        assert scorer.results(subject).scores["next_letter"].samples == first.scores["next_letter"].samples


def test_edits_are_scored_on_fewer_documents_unless_they_are_to_change_nothing() -> None:
    def limit(kind: str, recipe: str, task: Task) -> int | None:
        subject = Subject("x", kind, "", lambda: nullcontext(Path()), recipe)
        return documents_for(subject, task).limit

    whole, short = Task("t"), Task("t", limit=20)
    assert limit("model", "", whole) is None
    assert limit("edit", "replace-scale", whole) is None
    assert limit("edit", "disrupt-left", whole) == 500
    assert limit("control", "noise", whole) == 500
    assert limit("edit", "disrupt-left", short) == limit("model", "", short) == 20


def test_uneven_documents_are_found() -> None:
    def row(subject: str, kind: str, n: int) -> dict[str, Any]:
        return {"subject_id": subject, "subject_kind": kind, "task": "t", "n_samples": n, "status": "ready"}

    recipes = {"same": "replace-scale", "broken": "disrupt-left", "noisy": "noise"}
    rows = [
        row("m", "model", 2000),
        row("same", "edit", 2000),
        row("broken", "edit", 500),
        row("noisy", "control", 500),
    ]
    assert uneven_documents(rows, recipes) == {}
    assert uneven_documents([*rows, row("same", "edit", 500)], recipes) == {"t": [500, 2000]}
    assert uneven_documents([*rows, row("broken", "edit", 499)], recipes) == {"t": [499, 500, 2000]}
    assert uneven_documents([row("m", "model", 100), row("noisy", "control", 200)], recipes) == {"t": [100, 200]}
