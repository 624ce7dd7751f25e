"""Control draws made in memory against edits written to disk, a plain SVD, and a second run; divergence by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from assets.groups import contract
from resources.edits import shelf
from resources.edits.shelf import Shelf
from resources.evaluation import control_draws as making
from resources.evaluation.assembling import Evaluation
from resources.evaluation.control_draws import control_draws
from resources.evaluation.divergence import DivergenceError, divergence, predictions
from resources.evaluation.divergence_rows import divergence_rows
from resources.evaluation.drawn_controls import MIRROR, NOISE, ControlDraws
from resources.evaluation.subjects import Subject, loaded
from resources.evaluation.weights import content_hash
from resources.settings import Settings
from resources.workspace import Workspace
from tests.speakers import make_speakers, make_tasks, write_speakers

RECIPES = ["disrupt-left", {"recipe": "disrupt-right", "matrices": ["q", "down"]}, "scale-only"]
DRAWS, DOCUMENTS = 4, 15


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    place = tmp_path_factory.mktemp("space")
    make_tasks(place / "tasks")
    folder = make_speakers(place / "models")
    families = write_speakers(place / "families", folder, place / "tasks", ["next_letter", "lines"], RECIPES)
    space = Workspace(Settings(data=place / "data", families=families), contract())
    for model in ("speaker", "fluent", "lora"):
        location = space.location(model)
        row = {"model_id": model, "status": "ready", "content_hash": content_hash(location.path, location.base)}
        space.tables.write("models", model, [row], run_id="", code_version="")
    return space


def evaluation(space: Workspace, model: str = "fluent") -> Evaluation:
    return Evaluation(space, Shelf(space, model), [])


@pytest.fixture(scope="module")
def drawn(space: Workspace) -> ControlDraws:
    return control_draws(evaluation(space), draws=DRAWS, documents=DOCUMENTS)


def test_there_are_as_many_draws_as_were_asked_for_each_with_its_scores(drawn: ControlDraws) -> None:
    labels = {"disrupt-left", "disrupt-right-q+down"}
    assert set(drawn.edits) == labels
    assert set(drawn.draws) == {(label, control) for label in labels for control in (NOISE, MIRROR)}
    rows = drawn.rows()
    keys = [(row["recipe"], row["control"], row["draw"], row["task"]) for row in rows]
    assert len(set(keys)) == len(keys) == 2 * (1 + 2 * DRAWS) * 2
    assert {row["n"] for row in rows} == {DOCUMENTS}
    assert all(row["weight_error"] > 0 and row["mean_log_likelihood"] < 0 for row in rows)
    noise = [row for row in rows if row["control"] == NOISE and row["recipe"] == "disrupt-left"]
    assert len({row["mean_log_likelihood"] for row in noise}) == len(noise)
    # A mirror control starts from the post model's own level, a noise control from each noisy base's.
    starts = {row["start_log_likelihood"] for row in rows if (row["control"], row["task"]) == (MIRROR, "lines")}
    assert starts == {drawn.post["lines"].mean()}
    assert len({row["start_log_likelihood"] for row in noise}) == len(noise)


def test_the_edit_in_memory_scores_as_the_edit_on_disk(space: Workspace, drawn: ControlDraws) -> None:
    own = Shelf(space, "fluent")
    rows = [own.make(edit_id, plan) for edit_id, plan in own.plans().items() if plan.recipe != "scale-only"]
    found = Evaluation(space, own, rows).run()
    for row in rows:
        if row["is_control"]:
            continue
        samples = found.results[row["edit_id"]].scores["next_letter"].samples
        written = next(s for s in samples if s.metric == "perplexity")
        assert drawn.edits[row["label"]].values["next_letter"] == pytest.approx(
            [score for (score,) in written.scores[:DOCUMENTS]], abs=1e-3
        )
        assert drawn.edits[row["label"]].weight_error == pytest.approx(row["weight_error"], rel=1e-4)
    for subject, values in (("speaker", drawn.base), ("fluent", drawn.post)):
        written = next(s for s in found.results[subject].scores["next_letter"].samples if s.metric == "perplexity")
        assert values["next_letter"] == pytest.approx([s for (s,) in written.scores[:DOCUMENTS]], abs=1e-3)


def test_a_mirror_control_is_the_post_model_with_the_vectors_of_its_noisy_self(space: Workspace) -> None:
    made = making._Making(evaluation(space), 1, 5)
    plan = made.plans[0]
    made.scales = made._matched_scales()
    assert set(made.scales) == set(made.keys)
    for key in made.keys[:7]:
        pair = made._pair(key, MIRROR, 0)
        noisy, post = pair.given
        base = made.base.read(key)
        assert float((noisy - post).norm()) == pytest.approx(made.scales[key] * float((post - base).norm()), rel=1e-4)
        matrices, error = made._disrupted(plan, {key: pair})
        U, _, _ = np.linalg.svd(noisy.double().numpy(), full_matrices=False)
        V, s, W = np.linalg.svd(post.double().numpy(), full_matrices=False)
        signs = np.sign((U * V).sum(0))
        expected = (U * signs * s) @ W
        assert np.allclose(matrices[key].numpy(), expected, atol=1e-5)
        assert error == pytest.approx(np.linalg.norm(expected - post.numpy()) / np.linalg.norm(s), rel=1e-3)
    # Another draw is other noise, of the same size.
    first, second = (made._pair(made.keys[0], MIRROR, i).given[0] for i in range(2))
    assert not torch.allclose(first, second)


def test_the_damage_of_the_mirror_is_that_of_the_edits(drawn: ControlDraws) -> None:
    for label, edit in drawn.edits.items():
        errors = [draw.weight_error for draw in drawn.draws[label, MIRROR]]
        assert np.mean(errors) == pytest.approx(edit.weight_error, rel=0.1)


def test_a_second_run_loads_no_model(space: Workspace, drawn: ControlDraws, tmp_path: Path) -> None:
    again = evaluation(space)
    for name in ("base", "model"):
        subject: Subject = getattr(again, name)
        gone = Subject(subject.id, subject.kind, subject.content_hash, lambda: (_ for _ in ()).throw(AssertionError))
        setattr(again, name, gone)
    assert control_draws(again, draws=DRAWS, documents=DOCUMENTS).rows() == drawn.rows()
    fewer = control_draws(again, draws=DRAWS - 1, documents=DOCUMENTS)
    assert len(fewer.rows()) == len(drawn.rows()) - 2 * 2 * 2


def test_an_adapter_has_draws_and_a_base_has_none(space: Workspace) -> None:
    lora = control_draws(evaluation(space, "lora"), draws=3, documents=4)
    assert len(lora.draws["disrupt-left", MIRROR]) == 3
    nothing = control_draws(Evaluation(space, Shelf(space, "speaker"), []))
    assert nothing.rows() == nothing.tests() == []
    assert "no disruptive edit" in nothing.reason


def test_tests_hold_the_edit_against_its_controls(drawn: ControlDraws) -> None:
    tests = drawn.tests()
    assert {(t["recipe"], t["control"], t["task"]) for t in tests} == {
        (label, control, task)
        for label in drawn.edits
        for control in (NOISE, MIRROR)
        for task in ("next_letter", "lines")
    }
    for t in tests:
        own = drawn.edits[t["recipe"]]
        assert t["loss"] == pytest.approx((own.values[t["task"]] - drawn.post[t["task"]]).mean())
        assert t["difference"] == pytest.approx(t["loss"] - t["control_loss"])
        assert 1 / (DRAWS + 1) <= t["rank_p_worse"] <= 1
        assert 0 <= t["p_worse"] <= 1
        assert 0 <= t["p_no_worse"] <= t["q_no_worse"] <= 1
        assert t["weight_error"] > 0 < t["control_weight_error"]


def test_large_models_have_draws_only_when_asked(space: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelf, "CHEAP_WORK", 1.0)
    assert "ROTOSCALE_CONTROL_DRAWS" in control_draws(evaluation(space)).reason


def test_single_controls_are_made_only_where_no_draws_are(space: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Shelf(space, "fluent")
    assert [plan.label for plan in made.plans().values()] == ["disrupt-left", "disrupt-right-q+down", "scale-only"]
    plan = next(plan for plan in made.plans().values() if plan.control)
    assert made.make(made.id_of(plan), plan)["control_id"] == ""
    monkeypatch.setattr(shelf, "CHEAP_WORK", 1.0)
    large = Shelf(space, "fluent").plans()
    assert [plan.label for plan in large.values() if plan.is_control] == [
        "disrupt-left-of-noise",
        "noise",
        "disrupt-right-q+down-of-noise",
        "noise-q+down",
    ]


def test_what_could_not_be_tested_says_why(space: Workspace) -> None:
    for draws, reason in ((0, "asks for no control draws"), (2, "2 draws are no distribution")):
        tests = control_draws(evaluation(space), draws=draws, documents=4).tests()
        assert {(t["recipe"], t["task"]) for t in tests} == {
            (label, task) for label in ("disrupt-left", "disrupt-right-q+down") for task in ("next_letter", "lines")
        }
        assert all(reason in t["note"] and t["q_difference"] is None and "loss" not in t for t in tests)


def test_log_likelihoods_that_are_not_finite_are_no_test(drawn: ControlDraws) -> None:
    """One broken draw takes its own tests away and leaves the others their correction."""
    broken = replace(drawn, draws={key: list(draws) for key, draws in drawn.draws.items()})
    first = broken.draws["disrupt-left", MIRROR][0]
    values = {**first.values, "lines": np.full(DOCUMENTS, np.nan)}
    broken.draws["disrupt-left", MIRROR][0] = replace(first, values=values)
    tests = {(t["recipe"], t["control"], t["task"]): t for t in broken.tests()}
    assert "finite" in tests["disrupt-left", MIRROR, "lines"]["note"]
    assert tests["disrupt-left", MIRROR, "lines"]["q_difference"] is None
    assert tests["disrupt-left", MIRROR, "next_letter"]["q_difference"] is not None


# --------------------------------------------------------------------------------------------------------- divergence


def test_divergence_is_the_mean_of_token_divergences(space: Workspace) -> None:
    texts = ["a b c d e f", "x y z", "m n o p q r s t"]
    models, found = [], []
    for name in ("base", "model"):
        with loaded(getattr(evaluation(space), name), "cpu") as (model, tokenizer):
            found.append(predictions(model, tokenizer, texts))
            models.append(model)
    values = []
    for text in texts:
        ids = tokenizer(text, return_tensors="pt").input_ids
        with torch.inference_mode():
            p, q = (model(ids).logits[0].double().log_softmax(1) for model in models)
        values.append(float((p.exp() * (p - q)).sum(1).mean()))
    result = divergence(*found)
    assert result.kl == pytest.approx(np.mean(values), rel=1e-5)
    assert result.stderr == pytest.approx(np.std(values, ddof=1) / 3**0.5, rel=1e-5)
    assert result.n == 3
    assert divergence(found[0], found[0]).kl == pytest.approx(0, abs=1e-12)
    # With little memory fewer positions are kept, the last one of each text among them.
    with loaded(evaluation(space).base, "cpu") as (model, tokenizer):
        few = predictions(model, tokenizer, texts, memory=2 * 4 * 32 * 3)
    assert [len(positions) for positions in few.positions] == [2, 2, 2]
    assert [positions[-1] for positions in few.positions] == [len(tokens) - 1 for tokens in few.tokens]
    with pytest.raises(DivergenceError, match="one tokenizer"):
        divergence(found[0], few)


def test_threads_change_nothing(space: Workspace) -> None:
    texts = ["a b c d e f", "x y z", "m n o p q r s t", "b c"]
    with loaded(evaluation(space).base, "cpu") as (model, tokenizer):
        alone, beside = (predictions(model, tokenizer, texts, threads=threads) for threads in (1, 3))
    assert all(map(torch.equal, alone.log_probabilities, beside.log_probabilities))


def test_rows_of_divergence_are_stored(space: Workspace) -> None:
    found = evaluation(space)
    rows = divergence_rows(found.scorer, found.base, found.model)
    assert [row["task"] for row in rows] == ["next_letter", "lines"]
    assert all(row["kl"] > 0 and row["stderr"] > 0 and row["model_id"] == "fluent" for row in rows)
    again = evaluation(space)
    again.base = again.model = Subject("gone", "model", again.model.content_hash, again.model.folder)
    of_base = Evaluation(space, Shelf(space, "speaker"), [])
    assert divergence_rows(of_base.scorer, of_base.base, of_base.model) == []
    again = evaluation(space)
    assert divergence_rows(again.scorer, again.base, again.model) == rows
