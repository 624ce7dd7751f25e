"""Pairs of descendants and the lines between them, materialized by Dagster, and only what is new."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from assets.freshness import is_waiting, pending_keys
from assets.groups import open_workspace, shared_assets
from assets.relations.group import lines, siblings
from resources.families import pair_key
from resources.settings import load_settings
from resources.workspace import Workspace
from tests import speakers as family
from tests.materialize import materialize

torch.set_num_threads(1)

MORE = """\
  - {{id: stage, base: speaker, references: [fluent], method: rl, path: {0}/stage}}
  - {{id: stranger, base: speaker, role: unrelated, method: scratch, path: {0}/stranger}}
"""
DESCENDANTS, LINES = (shared_assets()[name] for name in ("descendant_relations", "straight_lines"))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """speaker, fluent and lora; `stage`, which goes back half way from fluent; and one from another start."""
    from safetensors.torch import load_file, save_file
    from transformers import AutoModelForCausalLM

    folder = tmp_path_factory.mktemp("relations")
    family.make_tasks(folder / "tasks")
    family.make_speakers(folder)
    family.copy_with(folder / "fluent", folder / "stage")
    base, fluent = (load_file(folder / name / "model.safetensors") for name in ("speaker", "fluent"))
    half = {name: (base[name] + tensor) / 2 for name, tensor in fluent.items()}
    save_file(half, folder / "stage" / "model.safetensors", {"format": "pt"})
    stranger = AutoModelForCausalLM.from_pretrained(folder / "speaker", dtype=torch.float32)
    torch.manual_seed(7)
    with torch.no_grad():
        for weight in stranger.parameters():
            if weight.ndim == 2:
                weight.normal_(std=0.15)
    family._train(stranger, steps=45, rate=1e-2, seed=3)
    family._save(stranger, folder / "stranger")
    return folder


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Workspace:
    """Everything catalogued and both assets made."""
    folder = tmp_path_factory.mktemp("project")
    family.write_speakers(
        folder / "families", models, models / "tasks", ["next_letter", "lines"], [], MORE.format(models)
    )
    found = open_workspace(load_settings(data=folder / "data", families=folder / "families"))
    for model in ("speaker", "fluent", "lora", "stage", "stranger"):
        assert materialize(found.settings.data, found.settings.families, model, "checkpoints").success
    assert made(found, "descendant_relations") == {"pairs": 3, "rows": 42, "removed": 0}
    assert made(found, "straight_lines") == {"pairs": 7, "scored": 7, "removed": 0}
    return found


def made(space: Workspace, asset: str) -> dict[str, float]:
    result = materialize(space.settings.data, space.settings.families, None, asset)
    assert result.success
    (event,) = result.get_asset_materialization_events()
    return {name: value.value for name, value in event.materialization.metadata.items()}  # type: ignore[misc]


def test_pairs_are_descendants_of_one_base_and_lines_also_go_from_the_base(space: Workspace) -> None:
    pairs = {pair_key(*pair) for pair in (("fluent", "lora"), ("fluent", "stage"), ("lora", "stage"))}
    assert set(siblings(space)) == pairs
    from_base = {pair_key("speaker", model) for model in ("fluent", "lora", "stage", "stranger")}
    assert set(lines(space)) == pairs | from_base
    assert all(a.id == "speaker" for key, (a, _) in lines(space).items() if key in from_base)


def test_a_stage_that_goes_back_half_way_undoes_half(space: Workspace) -> None:
    rows = space.tables.read("descendant_relations", pair_key("fluent", "stage"))
    assert {(row["model_a"], row["model_b"], row["base_id"]) for row in rows} == {("fluent", "stage", "speaker")}
    for row in rows:
        assert row["undone"] == pytest.approx(0.5, abs=1e-3)
        assert row["undone"] > 5 * row["undone_chance"]
        assert row["cosine"] == pytest.approx(1, abs=1e-3)
        assert row["cosine_q"] < 0.05


def test_an_adapter_and_a_fine_tune_on_other_seeds_did_not_move_alike(space: Workspace) -> None:
    rows = space.tables.read("descendant_relations", pair_key("fluent", "lora"))
    assert all(row["undone"] is None for row in rows)
    moved = [row for row in rows if row["cosine"] is not None]
    assert {row["matrix"] for row in moved} == {"q", "v", "down"}  # what the adapter changes
    assert {row["k"] for row in moved} == {2}  # its rank
    assert all(abs(row["cosine"]) < 5 * row["cosine_chance"] for row in moved)
    still = [row for row in rows if row["matrix"] == "gate"]
    assert all((row["norm_b"], row["changed_b"], row["changed_both"]) == (0, 0, 0) for row in still)


def test_points_of_a_line_end_in_the_models_themselves(space: Workspace) -> None:
    ends = {}
    for key in lines(space):
        rows = space.tables.read("straight_lines", key)
        assert sorted({row["t"] for row in rows}) == [0, 0.25, 0.5, 0.75, 1]
        assert {row["task"] for row in rows} == {"next_letter", "lines"}
        for row in rows:
            if row["t"] in (0, 1):
                assert row["barrier"] == 0
                assert row["barrier_low"] is None
                model = row["model_b"] if row["t"] else row["model_a"]
                ends.setdefault((model, row["task"]), set()).add(round(row["loss"], 9))
            else:
                assert row["barrier_low"] <= row["barrier"] <= row["barrier_high"]
                assert row["loss"] - row["chord"] == pytest.approx(row["barrier"], abs=1e-9)
    assert all(len(values) == 1 for values in ends.values())  # an end is the same on every line
    assert len(ends) == 2 * 5


def test_the_middle_of_a_line_is_the_model_that_lies_there(space: Workspace) -> None:
    """`stage` is the middle between speaker and fluent."""
    middle = {row["task"]: row["loss"] for row in space.tables.read("straight_lines", pair_key("speaker", "fluent"))
              if row["t"] == 0.5}  # fmt: skip
    stage = {row["task"]: row["loss"] for row in space.tables.read("straight_lines", pair_key("speaker", "stage"))
             if row["t"] == 1}  # fmt: skip
    assert middle == pytest.approx(stage, rel=1e-5)


def test_an_unrelated_model_has_a_barrier_and_a_descendant_none(space: Workspace) -> None:
    def barrier(model: str) -> float:
        rows = space.tables.read("straight_lines", pair_key("speaker", model))
        return max(row["barrier_low"] for row in rows if row["t"] == 0.5)

    assert barrier("stranger") > 0.5
    assert barrier("fluent") < 0.1

    def error(model: str) -> float:
        rows = space.tables.read("feature_linearity", pair_key("speaker", model))
        return max(row["error"] for row in rows if row["error"] is not None)

    assert error("fluent") < 0.5 < error("stranger")


def test_only_what_is_new_is_made(space: Workspace, models: Path) -> None:
    assert not is_waiting(space, DESCENDANTS)
    assert not is_waiting(space, LINES)
    before = {key: space.tables.path("straight_lines", key).stat().st_mtime_ns for key in lines(space)}
    space.tables.remove(pair_key("fluent", "lora"), ["straight_lines"])
    assert pending_keys(space, LINES) == [pair_key("fluent", "lora")]
    assert made(space, "straight_lines")["scored"] == 1
    after = {key: space.tables.path("straight_lines", key).stat().st_mtime_ns for key in lines(space)}
    assert {key for key in after if after[key] != before[key]} == {pair_key("fluent", "lora")}


def test_documents_follow_the_size_and_the_setting(space: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    from resources.relations import lines as module

    assert module.documents_of(space, "speaker") == module.DOCUMENTS
    monkeypatch.setattr(module, "LARGEST", 1)
    assert module.documents_of(space, "speaker") == 0
    monkeypatch.setenv("ROTOSCALE_LINE_DOCUMENTS", "5")
    asked = open_workspace(load_settings(data=space.settings.data, families=space.settings.families))
    assert module.documents_of(asked, "speaker") == 5


def test_models_of_other_shapes_have_no_rows_and_a_reason(space: Workspace, models: Path, tmp_path: Path) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    wide = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=32, hidden_size=48, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, max_position_embeddings=32,
        )
    )  # fmt: skip
    family._save(wide, tmp_path / "wide")
    more = f"  - {{id: wide, base: speaker, method: math, path: {tmp_path}/wide}}\n"
    family.write_speakers(tmp_path / "families", models, models / "tasks", ["lines"], [], more)
    found = open_workspace(load_settings(data=tmp_path / "data", families=tmp_path / "families"))
    for model in ("speaker", "fluent", "wide"):
        assert materialize(found.settings.data, found.settings.families, model, "checkpoints").success
    said = made(found, "descendant_relations")
    assert (said["pairs"], said["rows"]) == (1, 0)
    assert "cannot be compared" in str(said["not compared"])
    said = made(found, "straight_lines")
    assert (said["pairs"], said["scored"]) == (3, 1)
    assert "parameters of other names or shapes" in str(said["not scored"])
