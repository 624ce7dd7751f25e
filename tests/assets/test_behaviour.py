"""The behaviour assets, really materialized on a tiny family that can do something."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import numpy as np
import pytest
from safetensors.torch import load_file

from assets.freshness import pending
from assets.groups import structural_assets
from assets.materializing import WorkspaceResource
from command_line import show
from command_line.show_scores import print_scores
from resources.edits.shelf import Shelf
from resources.evaluation.assembling import Evaluation
from resources.evaluation.control_draws import control_draws
from resources.evaluation.drawn_controls import NO_SCORE
from resources.settings import load_settings
from resources.warehouse import read
from resources.warehouse.summaries.scores import behaviour_summary
from resources.workspace import Workspace
from tests.materialize import materialize
from tests.speakers import make_speakers, make_tasks, write_speakers

STRUCTURE = structural_assets()
BEHAVIOUR = ("edited_checkpoints", "control_draws", "evaluation_scores")
MADE = (*STRUCTURE, *BEHAVIOUR)
TASKS = ["next_letter", "lines", "no_data"]
DRAWS = 4
SINGLE = {"recipe": "disrupt-left", "of": "noise"}
"""The control as a checkpoint, which comes by itself only where there are no draws of it."""

RECIPES = ["replace-scale", "disrupt-left", SINGLE, "noise", "restore-left", {"recipe": "band", "k": 999}]


class Project:
    """A data folder and a family file, driven through Dagster."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data, self.families = folder / "data", folder / "families"

    @property
    def space(self) -> Workspace:
        return WorkspaceResource(data=str(self.data), families=str(self.families)).open()

    def materialize(self, model: str | None, *assets: str, config: dict | None = None) -> dg.ExecuteInProcessResult:
        return materialize(self.data, self.families, model, *assets, config=config)

    def rows(self, table: str, model: str) -> list[dict]:
        return self.space.tables.read(table, model)


@pytest.fixture(scope="module", autouse=True)
def few_draws() -> Iterator[None]:
    """Enough for a distribution, and no more."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROTOSCALE_CONTROL_DRAWS", str(DRAWS))
        patch.setenv("ROTOSCALE_CONTROL_DOCUMENTS", "12")
        yield


@pytest.fixture(scope="module")
def speakers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("speakers")
    make_tasks(folder / "tasks")
    return make_speakers(folder)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, speakers: Path) -> Project:
    """The family, materialized whole and published."""
    made = Project(tmp_path_factory.mktemp("project"))
    write_speakers(made.families, speakers, speakers / "tasks", TASKS, RECIPES)
    for model in ("speaker", "fluent", "lora"):
        assert made.materialize(model, *STRUCTURE, *BEHAVIOUR).success
    for shared in ("claims", "findings", "warehouse"):
        assert made.materialize(None, shared).success
    return made


def test_edits_have_their_rows_folders_and_controls(project: Project) -> None:
    rows = {row["label"]: row for row in project.rows("edited_checkpoints", "fluent")}
    (line,) = [row for row in rows.values() if row["recipe"] == "interpolate"]
    assert set(rows) == {
        line["label"],
        "replace-scale-matrix",
        "disrupt-left",
        "disrupt-left-of-noise",
        "noise",
        "restore-left",
        "band-top-k999",
    }
    failed = rows.pop("band-top-k999")
    assert failed["status"] == "failed"
    assert "wider than the matrix's rank" in failed["status_reason"]
    for row in rows.values():
        assert row["status"] == "ready"
        assert (Path(row["path"]) / "model.safetensors").is_file()
        assert row["weight_error"] > 0
        assert row["edit_id"].startswith(f"fluent--{row['label']}-")
    assert rows["disrupt-left"]["control_id"] == rows["disrupt-left-of-noise"]["edit_id"]
    assert [row["label"] for row in rows.values() if row["is_control"]] == ["disrupt-left-of-noise", "noise"]
    assert rows["restore-left"]["weight_error"] < rows["disrupt-left"]["weight_error"]
    assert project.rows("edited_checkpoints", "speaker") == []
    # The straight line stands at the distance from the base that the restoring edit has.
    assert rows["restore-left"]["line_id"] == line["edit_id"]
    base, post, edit, between = (
        _matrices(folder)
        for folder in (*checkpoints_of(project), Path(rows["restore-left"]["path"]), Path(line["path"]))
    )
    distance = np.linalg.norm(edit - base) / np.linalg.norm(post - base)
    assert rows["restore-left"]["base_distance"] == pytest.approx(distance, rel=1e-5)
    assert np.linalg.norm(between - base) / np.linalg.norm(post - base) == pytest.approx(distance, abs=1e-4)


def checkpoints_of(project: Project) -> list[Path]:
    return [project.space.location(model).path for model in ("speaker", "fluent")]


def _matrices(folder: Path) -> np.ndarray:
    """All projections of a checkpoint as one vector."""
    weights = load_file(folder / "model.safetensors")
    return np.concatenate([weights[name].double().numpy().ravel() for name in sorted(weights) if "_proj" in name])


def test_every_subject_is_scored_and_failures_have_reasons(project: Project) -> None:
    scores = project.rows("evaluation_scores", "fluent")
    ready = {row["edit_id"] for row in project.rows("edited_checkpoints", "fluent") if row["status"] == "ready"}
    subjects = {row["subject_id"] for row in scores}
    assert subjects == {"fluent", *ready}
    for subject in subjects:
        own = {row["task"]: row for row in scores if row["subject_id"] == subject and row["is_primary"]}
        assert set(own) == set(TASKS)
        assert own["next_letter"]["metric"] == "acc"
        assert (own["next_letter"]["n_samples"], own["next_letter"]["status"]) == (60, "ready")
        assert own["no_data"]["status"] == "failed"
        assert "gone.jsonl" in own["no_data"]["status_reason"]
    samples = project.rows("evaluation_samples", "fluent")
    accuracy = [row["score"] for row in samples if row["subject_id"] == "fluent" and row["metric"] == "acc"]
    value = next(r["value"] for r in scores if r["subject_id"] == "fluent" and r["metric"] == "acc")
    assert sum(accuracy) / 60 == pytest.approx(value)
    assert {row["subject_id"] for row in project.rows("evaluation_scores", "speaker")} == {"speaker"}
    assert project.rows("evaluation_contrasts", "speaker") == []


def test_comparisons_are_those_that_answer_the_questions(project: Project) -> None:
    label = {
        row["edit_id"]: "line" if row["recipe"] == "interpolate" else row["label"]
        for row in project.rows("edited_checkpoints", "fluent")
    }
    found = {
        (label.get(row["subject_id"], row["subject_id"]), label.get(row["reference_id"], row["reference_id"]))
        for row in project.rows("evaluation_contrasts", "fluent")
    }
    assert found == {
        ("fluent", "speaker"),
        ("replace-scale-matrix", "fluent"),
        ("disrupt-left", "fluent"),
        ("restore-left", "fluent"),
        ("noise", "fluent"),
        ("disrupt-left-of-noise", "fluent"),
        ("replace-scale-matrix", "speaker"),
        ("disrupt-left", "speaker"),
        ("restore-left", "speaker"),
        ("noise", "speaker"),
        ("disrupt-left-of-noise", "speaker"),
        ("disrupt-left-of-noise", "noise"),
        ("disrupt-left", "disrupt-left-of-noise"),
        ("restore-left", "disrupt-left"),
        ("restore-left", "line"),
        ("line", "fluent"),
        ("line", "speaker"),
    }


def test_what_restores_is_measured_from_the_base_beside_the_straight_line(project: Project) -> None:
    edits = {row["edit_id"]: row for row in project.rows("edited_checkpoints", "fluent") if row["status"] == "ready"}
    gains = {(row["edit_id"], row["task"]): row for row in project.rows("recovered_gain", "fluent")}
    assert {edit for edit, _ in gains} == {name for name, row in edits.items() if not row["is_control"]}
    documents: dict[tuple[str, int], float] = {
        (row["subject_id"], row["doc_id"]): -np.log(row["score"])  # a document's perplexity: nats per word
        for model in ("fluent", "speaker")
        for row in project.rows("evaluation_samples", model)
        if (row["task"], row["metric"]) == ("lines", "word_perplexity")
    }

    def level(subject: str) -> float:
        return float(np.mean([score for (found, _), score in documents.items() if found == subject]))

    for name, row in edits.items():
        if row["is_control"]:
            continue
        gain = gains[name, "lines"]
        base, post = level("speaker"), level("fluent")
        assert gain["gain"] == pytest.approx((level(name) - base) / (post - base))
        assert gain["recipe"] == row["recipe"]
        assert (gain["base_value"], gain["post_value"]) == pytest.approx((base, post))
        assert not gain["trained"] or (post > base and gain["p_gain"] < 0.05)
        if row["line_id"]:
            assert gain["straight_line"] == pytest.approx(gains[row["line_id"], "lines"]["gain"])
        else:
            assert gain["straight_line"] is None


def test_tasks_on_which_neither_model_scores_anything_are_left_to_the_models(project: Project) -> None:
    made = Evaluation(project.space, Shelf(project.space, "fluent"), [])
    assert made.at_floor == frozenset()
    for found in made.of_models.values():
        for row in found.scores["next_letter"].rows:
            row["value"] = 0.0 if row["is_primary"] else row["value"]
    del made.at_floor
    assert made.at_floor == {"next_letter"}
    row = next(row for row in project.rows("edited_checkpoints", "fluent") if row["label"] == "disrupt-left")
    scored = made.score_edit(row)
    assert set(scored.scores) == {"lines"}
    drawn = control_draws(made, draws=1, documents=4)
    assert drawn.left_out == ["next_letter"]
    notes = {(test["task"], test["note"]) for test in drawn.tests()}
    assert ("next_letter", NO_SCORE) in notes


def test_equivalence_is_tested_where_nothing_should_happen(project: Project) -> None:
    rows = project.rows("equivalence", "fluent")
    assert {(row["recipe"], row["task"], row["metric"]) for row in rows} == {
        ("replace-scale", "next_letter", "acc"),
        ("replace-scale", "next_letter", "perplexity"),
        ("replace-scale", "lines", "word_perplexity"),
    }
    contrasts = {
        (row["subject_id"], row["metric"]): row["difference"]
        for row in project.rows("evaluation_contrasts", "fluent")
        if row["reference_id"] == "fluent"
    }
    for row in rows:
        assert row["margin"] == pytest.approx(0.02 if row["metric"] == "acc" else np.log(1.01))
        assert row["low"] <= row["difference"] <= row["high"]
        assert (row["p_value"] < 0.05) == (-row["margin"] < row["low"] and row["high"] < row["margin"])
        if row["metric"] == "acc":
            assert row["difference"] == pytest.approx(contrasts[row["edit_id"], "acc"])


def test_controls_are_drawn_and_held_against_the_edit(project: Project) -> None:
    tests = project.rows("control_tests", "fluent")
    assert {(row["recipe"], row["control"], row["task"]) for row in tests} == {
        ("disrupt-left", control, task) for control in ("noise", "mirror") for task in ("next_letter", "lines")
    }
    for control in ("noise", "mirror"):
        own = [row for row in tests if row["control"] == control]
        # Benjamini and Hochberg of two tests: the smaller doubled, or the larger, whichever is less.
        low, high = sorted(row["p_difference"] for row in own)
        assert sorted(row["q_difference"] for row in own) == pytest.approx([min(2 * low, high), high])
        assert {row["draws"] for row in own} == {DRAWS}
    draws = project.rows("control_draws", "fluent")
    assert len(draws) == 2 * (1 + 2 * DRAWS)
    assert project.rows("control_tests", "speaker") == []


def test_texts_and_prompts_have_their_measures(project: Project) -> None:
    written = {row["subject_id"]: row for row in project.rows("degeneration", "fluent")}
    assert set(written) == {row["subject_id"] for row in project.rows("generations", "fluent")}
    assert all(0 < row["distinct_1"] <= 1 and row["model_id"] == "fluent" for row in written.values())
    assert {row["task"] for row in project.rows("divergence", "fluent")} == {"next_letter", "lines"}
    assert project.rows("divergence", "speaker") == []
    (test,) = project.rows("temperature_test", "fluent")
    assert (test["n_layers"], test["base_id"]) == (2, "speaker")
    assert "too few" in test["note"]


def test_texts_attention_and_likeness(project: Project) -> None:
    texts = project.rows("generations", "fluent")
    assert {row["prompt_id"] for row in texts} == {0, 1, 2}
    assert next(row["text"] for row in texts if row["subject_id"] == "fluent" and not row["prompt_id"]).startswith(
        "i j"
    )
    heat = project.rows("attention_temperature", "fluent")
    assert {(row["layer"], row["head"]) for row in heat} == {(i, j) for i in range(2) for j in range(4)}
    scale = {
        (row["layer"], row["matrix"]): row["alpha_least_squares"] for row in project.rows("scale_statistics", "fluent")
    }
    for row in heat:
        assert row["predicted"] == pytest.approx(1 / (scale[row["layer"], "q"] * scale[row["layer"], "k"]))
        assert (row["applicability"], row["n_prompts"]) == ("exact", 3)
        assert 0 < row["entropy_base"] < 3
    likeness = project.rows("representation_similarity", "fluent")
    assert {row["layer"] for row in likeness} == {0, 1, 2}
    assert {row["reference_id"] for row in likeness} == {"speaker", "fluent"}
    own = [row["cka"] for row in likeness if (row["subject_id"], row["reference_id"]) == ("fluent", "speaker")]
    assert all(0 < value <= 1 for value in own)


def test_an_adapter_is_edited_and_scored_like_any_other(project: Project) -> None:
    assert {row["status"] for row in project.rows("edited_checkpoints", "lora")} == {"ready", "failed"}
    scores = project.rows("evaluation_scores", "lora")
    assert [r["status"] for r in scores if r["subject_id"] == "lora" and r["task"] == "lines"] == ["ready"]


def test_the_table_and_its_sentences(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    with read(project.data / "published") as connection:
        summary = behaviour_summary(connection, "fluent")
        assert behaviour_summary(connection, "speaker") is None
        assert behaviour_summary(connection, "nobody") is None
    assert summary is not None
    assert [(row.label, row.kind) for row in summary.rows] == [
        ("base", "base"),
        ("post", "post"),
        ("replace-scale-matrix", "edit"),
        ("disrupt-left", "edit"),
        ("restore-left", "edit"),
        (next(row.label for row in summary.rows if row.label.startswith("interpolate")), "edit"),
        ("disrupt-left-of-noise", "control"),
        ("noise", "control"),
    ]
    stored = [row["sentence"] for row in project.rows("findings", "fluent") if row["page"] == "edits"]
    assert summary.findings == stored
    text = " ".join(stored)
    for word in ("fluent against speaker", "replace-scale-matrix", "disrupt-left", "restore-left", "Noise of the same"):
        assert word in text
    print_scores(show.output(), summary)
    printed = capsys.readouterr().out
    assert "next_letter" in printed
    assert "gone.jsonl" in printed


# ------------------------------------------------------------------------------------------------------------ re-runs


def fresh(project: Project, tmp_path: Path, tasks: list[str], recipes: list) -> Project:
    """A copy of the materialized project with other tasks or recipes."""
    made = Project(tmp_path)
    shutil.copytree(project.data, made.data)
    text = (project.families / "speakers.yaml").read_text()
    made.families.mkdir()
    text = text.replace(json.dumps(TASKS), json.dumps(tasks)).replace(json.dumps(RECIPES), json.dumps(recipes))
    (made.families / "speakers.yaml").write_text(text)
    return made


def test_what_is_there_is_not_done_again(project: Project, tmp_path: Path) -> None:
    # With the failing task everything but the failure is up to date, and only that is tried again.
    assert pending(project.space, "fluent", MADE) == ["evaluation_scores"]
    made = fresh(project, tmp_path, ["next_letter", "lines"], RECIPES)
    before = {path: path.stat().st_mtime_ns for path in (made.data / "evaluations").rglob("*.json")}
    folders = {path: path.stat().st_mtime_ns for path in (made.data / "edits").rglob("*.safetensors")}
    assert made.materialize("fluent", *BEHAVIOUR).success
    assert {path: path.stat().st_mtime_ns for path in (made.data / "evaluations").rglob("*.json")} == before
    assert {path: path.stat().st_mtime_ns for path in (made.data / "edits").rglob("*.safetensors")} == folders
    assert pending(made.space, "fluent", MADE) == []
    assert {row["status"] for row in made.rows("evaluation_scores", "fluent")} == {"ready"}
    # An edit taken off the disk by hand is made again, with the same weights.
    row = next(row for row in made.rows("edited_checkpoints", "fluent") if row["label"] == "restore-left")
    shutil.rmtree(made.data / "edits" / row["edit_id"])
    assert "edited_checkpoints" in pending(made.space, "fluent", MADE)
    assert made.materialize("fluent", "edited_checkpoints").success
    again = next(r for r in made.rows("edited_checkpoints", "fluent") if r["label"] == "restore-left")
    assert again["content_hash"] == row["content_hash"]
    assert pending(made.space, "fluent", MADE) == []


def test_other_recipes_add_and_remove_edits(project: Project, tmp_path: Path) -> None:
    made = fresh(project, tmp_path, ["lines"], ["replace-scale", "scale-only"])
    assert made.materialize("fluent", *BEHAVIOUR).success
    labels = {row["label"] for row in made.rows("edited_checkpoints", "fluent")}
    assert labels == {"replace-scale-matrix", "scale-only"}
    mine = {path.name for path in (made.data / "edits").glob("fluent--*")}
    assert mine == {row["edit_id"] for row in made.rows("edited_checkpoints", "fluent")}
    assert list((made.data / "edits").glob("lora--*"))


def test_run_config_narrows_what_is_done(project: Project, tmp_path: Path) -> None:
    made = Project(tmp_path)
    made.families = project.families
    config = {"edited_checkpoints": {"recipes": ["replace-scale"]}, "evaluation_scores": {"tasks": ["lines"]}}
    result = made.materialize("fluent", *STRUCTURE, *BEHAVIOUR, config=config)
    assert result.success
    for asset in ("edited_checkpoints", "evaluation_scores"):
        (shown,) = result.asset_materializations_for_node(asset)
        assert str(shown.metadata["dashboard"].value).endswith("/edits?model=fluent")
    assert [row["label"] for row in made.rows("edited_checkpoints", "fluent")] == ["replace-scale-matrix"]
    # The control draws have scored both models on every task by now; of the edits only what was asked for is scored.
    scores = [row for row in made.rows("evaluation_scores", "fluent") if row["status"] == "ready"]
    assert {row["task"] for row in scores if row["subject_kind"] == "edit"} == {"lines"}
    assert pending(made.space, "fluent", MADE) == ["edited_checkpoints", "evaluation_scores"]


def test_edits_that_are_not_kept_leave_their_scores(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROTOSCALE_KEEP_EDITS", "restore-left")
    assert load_settings().keep_edits == "restore-left"
    made = Project(tmp_path)
    made.families = tmp_path / "families"
    speakers = (project.families / "speakers.yaml").read_text()
    made.families.mkdir()
    (made.families / "speakers.yaml").write_text(speakers.replace(json.dumps(TASKS), '["lines"]'))
    assert made.materialize("fluent", *STRUCTURE, "edited_checkpoints").success
    kept = [path.name for path in (made.data / "edits").iterdir() if not path.name.startswith(".")]
    assert [name.split("--")[1].rsplit("-", 1)[0] for name in kept] == ["restore-left"]
    before = {path: path.stat().st_mtime_ns for path in (made.data / "evaluations").rglob("*.json")}
    assert made.materialize("fluent", "evaluation_scores").success
    rows = {row["label"]: row for row in made.rows("edited_checkpoints", "fluent") if row["status"] == "ready"}
    whole = {row["label"]: row for row in project.rows("edited_checkpoints", "fluent")}
    for label, row in rows.items():
        assert bool(row["path"]) == (label == "restore-left")
        assert row["content_hash"] == whole[label]["content_hash"]
    scored = {row["subject_id"] for row in made.rows("evaluation_scores", "fluent") if row["status"] == "ready"}
    assert {row["edit_id"] for row in rows.values()} <= scored
    after = {path: path.stat().st_mtime_ns for path in (made.data / "evaluations").rglob("*.json")}
    assert all(after[path] == stamp for path, stamp in before.items())
    # A task that comes later needs the weights again: they are made, checked against the row's hash, and removed.
    text = (made.families / "speakers.yaml").read_text()
    (made.families / "speakers.yaml").write_text(text.replace('["lines"]', '["lines", "next_letter"]'))
    assert made.materialize("fluent", "evaluation_scores").success
    tasks = {r["task"] for r in made.rows("evaluation_scores", "fluent") if r["subject_kind"] == "control"}
    assert tasks == {"lines", "next_letter"}
    assert sorted(path.name for path in (made.data / "edits").iterdir()) == sorted(kept)


def test_a_broken_model_fails_alone(project: Project, speakers: Path, tmp_path: Path) -> None:
    made = Project(tmp_path)
    more = f"  - {{id: broken, base: speaker, method: math, path: {speakers}/broken}}\n"
    write_speakers(made.families, speakers, speakers / "tasks", ["lines"], ["scale-only"], more)
    assert made.materialize("broken", *STRUCTURE, *BEHAVIOUR).success
    scores = {row["subject_id"]: row for row in made.rows("evaluation_scores", "broken")}
    assert scores["broken"]["status"] == "failed"
    assert "NaN or infinity" in scores["broken"]["status_reason"]
    assert len(scores) == 2
    assert made.materialize("speaker", *STRUCTURE, *BEHAVIOUR).success


def test_a_wrong_recipe_in_the_family_file_is_named(project: Project, tmp_path: Path) -> None:
    made = fresh(project, tmp_path, ["lines"], ["disrupt-up"])
    result = made.materialize("fluent", "edited_checkpoints")
    assert not result.success
    (event,) = [event for event in result.all_events if event.is_step_failure]
    assert "there is no recipe 'disrupt-up'" in str(event.step_failure_data.user_failure_data)
