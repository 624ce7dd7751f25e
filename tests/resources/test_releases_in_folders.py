"""Watched folders: finished checkpoints are registered, half-copied ones wait and say why."""

from __future__ import annotations

import datetime
import shutil
from pathlib import Path
from typing import Any

import pytest

from assets.groups import open_workspace
from resources.releases import one_pass
from resources.settings import Settings
from resources.workspace import Workspace

FAMILY = """\
family: tiny
models:
  - {{id: base, role: base, path: {0}/base}}
watch: {{folders: [../runs]{1}}}
"""


class Place:
    """A watched folder and the family that watches it."""

    def __init__(self, folder: Path, checkpoints: Path) -> None:
        self.runs, self.families, self.checkpoints = folder / "runs", folder / "families", checkpoints
        self.settings = Settings(data=folder / "data", families=self.families)
        self.now = datetime.datetime.now(datetime.UTC)
        for made in (self.runs, self.families):
            made.mkdir()
        self.watch()

    def watch(self, more: str = "") -> None:
        (self.families / "tiny.yaml").write_text(FAMILY.format(self.checkpoints, more))

    def space(self) -> Workspace:
        return open_workspace(self.settings)

    def look(self, after: float = 0) -> dict[str, dict[str, Any]]:
        """One pass so many seconds later; the rows by the folder's name."""
        self.now += datetime.timedelta(seconds=after)
        space = self.space()
        one_pass(space, "tiny", lambda: "", "run", "releases-1", at=self.now)
        return {Path(row["model"]).name: row for row in space.tables.read("releases", "tiny")}


@pytest.fixture
def place(tmp_path: Path, checkpoints: Path) -> Place:
    return Place(tmp_path, checkpoints)


def test_a_finished_folder_is_registered_once_it_has_looked_the_same_for_a_minute(place: Place) -> None:
    shutil.copytree(place.checkpoints / "tuned", place.runs / "july" / "step-5")
    row = place.look()["step-5"]
    assert (row["decision"], row["model_id"]) == ("waiting", None)
    assert "60 seconds" in row["reason"]
    assert place.look(after=59)["step-5"]["decision"] == "waiting"
    row = place.look(after=2)["step-5"]
    assert (row["decision"], row["model_id"], row["base_id"]) == ("taken", "july--step-5", "base")
    assert (row["dtype"], row["architecture"]) == ("float32", "llama")
    entry = place.space().registry.model("july--step-5")
    assert entry.path == place.runs / "july" / "step-5"
    assert [m.id for m in place.space().registry.automatic()] == ["base", "july--step-5"]
    later = place.look(after=600)["step-5"]
    assert later == {**row, "materialized_at": later["materialized_at"]}


def test_a_half_copied_folder_waits_and_says_so_and_is_taken_when_it_is_whole(place: Place) -> None:
    whole, copied = place.checkpoints / "tuned", place.runs / "copied"
    copied.mkdir()
    shutil.copy(whole / "config.json", copied)
    assert "Not finished" in place.look()["copied"]["reason"]
    content = (whole / "model.safetensors").read_bytes()
    for size in (0, 100, len(content) // 2, len(content) - 1):
        (copied / "model.safetensors").write_bytes(content[:size])
        row = place.look(after=3600)["copied"]
        assert row["decision"] == "waiting", size
        assert "Not finished" in row["reason"]
    (copied / "model.safetensors").write_bytes(content)
    assert place.look(after=3600)["copied"]["decision"] == "waiting"  # it looks other than an hour ago
    assert place.look(after=61)["copied"]["decision"] == "taken"


@pytest.mark.parametrize(
    "leftover",
    [
        "model-00002-of-00002.safetensors.incomplete",
        ".model.safetensors.Ab3x9Q",
        "model.safetensors.part",
        ".cache/huggingface/download/x.incomplete",
        "model.safetensors.aria2",
    ],
)
def test_what_a_download_leaves_behind_shows_that_it_goes_on(place: Place, leftover: str) -> None:
    folder = place.runs / "loading"
    shutil.copytree(place.checkpoints / "tuned", folder)
    (folder / leftover).parent.mkdir(parents=True, exist_ok=True)
    (folder / leftover).write_bytes(b"half")
    place.look()
    row = place.look(after=3600)["loading"]
    assert row["decision"] == "waiting"
    assert leftover in row["reason"]
    (folder / leftover).unlink()
    place.look(after=10)
    assert place.look(after=61)["loading"]["decision"] == "taken"


def test_a_missing_shard_waits(place: Place) -> None:
    from transformers import LlamaForCausalLM

    folder = place.runs / "sharded"
    LlamaForCausalLM.from_pretrained(place.checkpoints / "tuned").save_pretrained(folder, max_shard_size="50KB")
    shards = sorted(folder.glob("model-*.safetensors"))
    assert len(shards) > 2
    kept = shards[-1].read_bytes()
    shards[-1].unlink()
    place.look()
    row = place.look(after=61)["sharded"]
    assert row["decision"] == "waiting"
    assert shards[-1].name in row["reason"]
    shards[-1].write_bytes(kept)
    place.look(after=10)
    assert place.look(after=61)["sharded"]["decision"] == "taken"


def test_what_is_not_wanted_is_left_with_its_reason(place: Place) -> None:
    place.watch(", names: ['*-good'], dtypes: [float32]")
    shutil.copytree(place.checkpoints / "tuned", place.runs / "a-good")
    shutil.copytree(place.checkpoints / "tuned", place.runs / "a-bad")
    shutil.copytree(place.checkpoints / "unrelated", place.runs / "b-good")  # bfloat16
    (place.runs / "c-good").mkdir()
    (place.runs / "c-good" / "config.json").write_text("{}")
    (place.runs / "c-good" / "pytorch_model.bin").write_bytes(b"pickle")
    place.look()
    rows = place.look(after=61)
    assert {name: row["decision"] for name, row in rows.items()} == {
        "a-good": "taken",
        "a-bad": "left",
        "b-good": "left",
        "c-good": "left",
    }
    assert "name" in rows["a-bad"]["reason"]
    assert "bfloat16" in rows["b-good"]["reason"]
    assert "pickle" in rows["c-good"]["reason"]


def test_a_folder_that_a_family_file_names_is_not_registered_again(place: Place) -> None:
    shutil.copytree(place.checkpoints / "tuned", place.runs / "mine")
    file = place.families / "tiny.yaml"
    file.write_text(
        file.read_text().replace("watch:", f"  - {{id: mine, base: base, path: {place.runs}/mine}}\nwatch:")
    )
    row = place.look()["mine"]
    assert (row["decision"], row["kind"], row["model_id"]) == ("taken", "registered", "mine")
    assert place.space().registry.releases == frozenset()


def test_an_adapter_is_registered_as_one(place: Place) -> None:
    import peft
    from transformers import LlamaForCausalLM

    model = LlamaForCausalLM.from_pretrained(place.checkpoints / "base")
    made = peft.get_peft_model(model, peft.LoraConfig(r=2, target_modules=["q_proj"]))
    made.save_pretrained(place.runs / "adapter")
    place.look()
    row = place.look(after=61)["adapter"]
    assert row["decision"] == "taken"
    assert place.space().registry.model(row["model_id"]).method == "adapter"


def test_a_watched_folder_that_is_not_there_is_said(place: Place) -> None:
    place.runs.rmdir()
    place.look()
    (poll,) = place.space().tables.read("release_polls", "tiny")
    assert poll["message"] == "There is no such folder."
