"""The asset `lineage`: every two models of a family, materialized by Dagster, and only what is new."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from assets.freshness import is_waiting, pending_keys
from assets.groups import open_workspace, shared_assets
from assets.relations.group import pairs
from resources.families import pair_key
from resources.forgetting import forget
from resources.settings import load_settings
from resources.workspace import Workspace
from tests.attacks import load, permuted_neurons, save
from tests.materialize import materialize
from tests.tiny import write_family

MORE = """\
  - {{id: other, base: base, method: code, path: {folder}/other}}
"""
ASSET = shared_assets()["lineage"]


def catalogue(space: Workspace, *models: str) -> None:
    for model in models:
        assert materialize(space.settings.data, space.settings.families, model, "checkpoints").success


@pytest.fixture
def space(tmp_path: Path, checkpoints: Path) -> Workspace:
    families = write_family(tmp_path / "families", checkpoints)
    found = open_workspace(load_settings(data=tmp_path / "data", families=families))
    catalogue(found, "base", "tuned", "unrelated")
    return found


def made(space: Workspace) -> dict[str, float]:
    result = materialize(space.settings.data, space.settings.families, None, "lineage")
    assert result.success
    (event,) = result.get_asset_materialization_events()
    return {name: value.value for name, value in event.materialization.metadata.items()}  # type: ignore[misc]


def verdicts(space: Workspace) -> dict[str, str]:
    return {key: space.tables.read("lineage", key)[0]["verdict"] for key in space.tables.models("lineage")}


def test_every_two_models_get_a_row_and_none_is_made_twice(space: Workspace) -> None:
    said = made(space)
    assert (said["tested"], said["related"], said["unrelated"]) == (3, 1, 2)
    assert verdicts(space) == {
        pair_key("base", "tuned"): "related",
        pair_key("base", "unrelated"): "unrelated",
        pair_key("unrelated", "tuned"): "unrelated",
    }
    (row,) = space.tables.read("lineage", pair_key("tuned", "base"))
    assert (row["model_a"], row["model_b"], row["layers"], row["rows"]) == ("base", "tuned", 3, 80)
    assert row["p_exact"] < 1e-6
    assert row["run_id"]
    assert not is_waiting(space, ASSET)
    assert made(space)["tested"] == 0


def test_a_later_sibling_leaves_older_pairs_alone(space: Workspace, checkpoints: Path, tmp_path: Path) -> None:
    made(space)
    before = {key: space.tables.path("lineage", key).stat().st_mtime_ns for key in space.tables.models("lineage")}
    save(permuted_neurons(load(checkpoints / "base")), tmp_path / "more" / "other", checkpoints / "base")
    write_family(space.settings.families, checkpoints, MORE.format(folder=tmp_path / "more"))
    space.refresh()
    assert set(pairs(space)) == set(before)  # not read yet
    catalogue(space, "other")
    assert len(pending_keys(space, ASSET)) == 3
    assert made(space)["tested"] == 3
    assert {key: space.tables.path("lineage", key).stat().st_mtime_ns for key in before} == before
    (row,) = space.tables.read("lineage", pair_key("base", "other"))
    assert (row["verdict"], "another order" in row["reason"]) == ("related", True)
    write_family(space.settings.families, checkpoints)
    assert made(space)["removed"] == 3
    assert set(verdicts(space)) == set(before)


def test_weights_that_changed_are_tested_again(tmp_path: Path, checkpoints: Path) -> None:
    shutil.copytree(checkpoints, tmp_path / "models")
    families = write_family(tmp_path / "families", tmp_path / "models")
    space = open_workspace(load_settings(data=tmp_path / "data", families=families))
    catalogue(space, "base", "tuned", "unrelated")
    made(space)
    shutil.copy(tmp_path / "models" / "base" / "model.safetensors", tmp_path / "models" / "tuned")
    catalogue(space, "tuned")
    assert made(space)["tested"] == 2
    (row,) = space.tables.read("lineage", pair_key("base", "tuned"))
    assert (row["verdict"], row["distance"], row["heavier_of"]) == ("related", 0, 0)


def test_a_model_that_cannot_be_compared_has_its_reason(space: Workspace, checkpoints: Path, tmp_path: Path) -> None:
    """Of another shape; the pairs beside it are tested all the same."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=96, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(tmp_path / "more" / "other")
    write_family(space.settings.families, checkpoints, MORE.format(folder=tmp_path / "more"))
    space.refresh()
    catalogue(space, "other")
    assert made(space)["tested"] == 6
    (row,) = space.tables.read("lineage", pair_key("base", "other"))
    assert row["verdict"] == "undecided"
    assert "no layer of one shape" in row["reason"]
    assert row["p_exact"] is row["p_match"] is None
    assert row["spectral_distance"] > 0


def test_claims_read_the_table(space: Workspace) -> None:
    """HC8 on rows that the asset made; without an unrelated model's it is not tested."""
    for asset in ("lineage", "claims"):
        assert materialize(space.settings.data, space.settings.families, None, asset).success
    (hc8,) = [row for row in space.tables.read("claims", "tuned") if row["claim"] == "HC8"]
    assert (hc8["verdict"], hc8["n"]) == ("supported", 2)
    assert hc8["p_value"] < 1e-6
    assert {table["table"] for table in json.loads(hc8["rests_on"])} == {"lineage"}
    space.tables.remove(pair_key("base", "unrelated"), ["lineage"])
    assert "tuned" in pending_keys(space, shared_assets()["claims"])
    assert materialize(space.settings.data, space.settings.families, None, "claims").success
    (hc8,) = [row for row in space.tables.read("claims", "tuned") if row["claim"] == "HC8"]
    assert (hc8["verdict"], "no unrelated model" in hc8["reason"]) == ("not tested", True)


def test_a_model_that_is_forgotten_leaves_no_pair(space: Workspace) -> None:
    made(space)
    forget(space, "unrelated")
    assert space.tables.models("lineage") == [pair_key("base", "tuned")]
    assert not is_waiting(space, ASSET)


def test_the_name_of_a_pair_is_a_folder_s_and_the_same_both_ways() -> None:
    assert pair_key("b", "a") == pair_key("a", "b") == "a@b"
    longest = pair_key("a" * 128, "b" * 128)
    assert len(f"model={longest}") <= 255
    assert longest != pair_key("a" * 127, "b" * 128)
