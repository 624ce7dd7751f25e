"""The asset, the sensor and the schedule of releases, as Dagster runs them; over watched folders, without a network."""

from __future__ import annotations

import datetime
import shutil
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from assets.definitions import defs
from assets.freshness import is_waiting
from assets.groups import shared_assets
from assets.materializing import WorkspaceResource
from assets.models import sensors
from assets.models.catalogue import wait
from assets.models.sensors import registered_models
from assets.releases import polling
from resources.hub import HubLimitError
from resources.releases import folders
from resources.releases.book import Book
from resources.workspace import Workspace
from tests.materialize import materialize

FAMILY = """\
family: tiny
automatic: {1}
models:
  - {{id: base, role: base, path: {0}/base}}
"""
WATCH = "watch: {folders: [../runs]}\n"


class House:
    """A family that watches a folder."""

    def __init__(self, folder: Path, checkpoints: Path) -> None:
        self.data, self.families, self.runs = folder / "data", folder / "families", folder / "runs"
        self.checkpoints = checkpoints
        for made in (self.families, self.runs):
            made.mkdir()
        self.write()

    def write(self, automatic: str = "true", watch: str = WATCH) -> None:
        (self.families / "tiny.yaml").write_text(FAMILY.format(self.checkpoints, automatic) + watch)

    @property
    def resource(self) -> WorkspaceResource:
        return WorkspaceResource(data=str(self.data), families=str(self.families))

    def space(self) -> Workspace:
        return self.resource.open()

    def is_waiting(self) -> bool:
        return is_waiting(self.space(), shared_assets()["release_candidates"])

    def materialize(self, model: str | None, *assets: str) -> dg.ExecuteInProcessResult:
        return materialize(self.data, self.families, model, *assets)

    def rows(self) -> dict[str, dict[str, Any]]:
        return {Path(row["model"]).name: row for row in self.space().tables.read("releases", "tiny")}


@pytest.fixture
def house(tmp_path: Path, checkpoints: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    monkeypatch.setattr(folders, "SETTLED_AFTER", datetime.timedelta(0))
    monkeypatch.setenv("ROTOSCALE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("ROTOSCALE_FAMILIES", str(tmp_path / "families"))
    return House(tmp_path, checkpoints)


def test_a_release_is_found_registered_given_a_partition_and_followed_to_its_results(house: House) -> None:
    assert house.is_waiting()
    shutil.copytree(house.checkpoints / "tuned", house.runs / "tuned")
    assert house.materialize(None, "release_candidates").success
    row = house.rows()["tuned"]
    assert (row["decision"], row["state"], row["results_at"]) == ("taken", "registered", None)
    model = row["model_id"]
    assert not house.is_waiting()
    with dg.DagsterInstance.ephemeral() as instance:
        context = dg.build_sensor_context(instance=instance, resources={"workspace": house.resource})
        (request,) = registered_models(context).dynamic_partitions_requests
    assert set(request.partition_keys) == {"base", model}
    for one in ("base", model):
        assets = ("checkpoints", "decompositions", "scale_statistics", "rotation_statistics", "agreement")
        assert house.materialize(one, *assets).success
    assert house.is_waiting()  # its state changed
    result = house.materialize(None, "release_candidates")
    assert result.success
    row = house.rows()["tuned"]
    assert (row["state"], row["shapes"]) == ("results", None)  # the base had not been read when it was taken
    assert row["results_at"] is not None
    assert row["lineage"] is None
    assert not house.is_waiting()
    assert house.materialize(None, "lineage").success
    assert house.is_waiting()
    assert house.materialize(None, "release_candidates").success
    assert house.rows()["tuned"]["lineage"].startswith("related: ")
    (event,) = result.get_asset_materialization_events()
    assert event.materialization.metadata["taken"].value == 1


def test_another_shape_than_that_of_the_base_is_left(house: House, tmp_path: Path) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    assert house.materialize("base", "checkpoints").success
    sizes = {"vocab_size": 96, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2}
    config = LlamaConfig(**sizes, num_attention_heads=4, num_key_value_heads=2)
    LlamaForCausalLM(config).save_pretrained(house.runs / "other")
    shutil.copytree(house.checkpoints / "tuned", house.runs / "tuned")
    assert house.materialize(None, "release_candidates").success
    rows = house.rows()
    assert rows["other"]["decision"] == "left"
    assert "layers 2 against 3" in rows["other"]["reason"]
    assert "hidden size 16 against 32" in rows["other"]["reason"]
    assert (rows["tuned"]["decision"], rows["tuned"]["shapes"]) == ("taken", "same")


def test_a_folder_that_changes_makes_the_asset_wait_and_a_settled_one_too(house: House) -> None:
    assert house.materialize(None, "release_candidates").success
    assert not house.is_waiting()
    (house.runs / "copied").mkdir()
    shutil.copy(house.checkpoints / "tuned" / "config.json", house.runs / "copied")
    assert house.is_waiting()
    assert house.materialize(None, "release_candidates").success
    assert house.rows()["copied"]["decision"] == "waiting"
    house.write(watch="watch: {folders: [../runs], follow: true}\n")
    assert house.is_waiting()


def test_partitions_come_in_chunks_and_forgotten_ones_do_not_come_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sensors, "_AT_ONCE", 2)
    for name in ("a", "b", "c"):
        shutil.copytree(house.checkpoints / "tuned", house.runs / name)
    house.write(automatic="false")
    assert house.materialize(None, "release_candidates").success
    space = house.space()
    models = sorted(row["model_id"] for row in house.rows().values())
    row = {"model_id": models[0], "base_id": "base", "status": "forgotten", "status_reason": "on request"}
    space.tables.write("models", models[0], [row], run_id="", code_version="")
    assert space.wanted() == []  # not automatic: it has partitions and does not run by itself
    given: list[str] = []
    with dg.DagsterInstance.ephemeral() as instance:
        for _ in range(3):
            context = dg.build_sensor_context(instance=instance, resources={"workspace": house.resource})
            result = registered_models(context)
            assert result.run_requests in (None, [])
            for request in result.dynamic_partitions_requests or []:
                assert len(request.partition_keys) <= 2
                given += request.partition_keys
                instance.add_dynamic_partitions("models", list(request.partition_keys))
    assert sorted(given) == models[1:]
    assert house.materialize(None, "release_candidates").success
    assert next(row for row in house.rows().values() if row["model_id"] == models[0])["state"] == "forgotten"
    assert len(house.space().registry.releases) == 3


def test_nothing_is_polled_where_nothing_is_watched(house: House) -> None:
    assert polling.watching() == ["tiny"]
    context = dg.build_schedule_context(resources={"workspace": house.resource})
    request = polling.poll_releases(context)
    assert isinstance(request, dg.RunRequest)
    assert request.run_key is None
    house.write(watch="")
    assert polling.watching() == []
    context = dg.build_schedule_context(resources={"workspace": house.resource})
    assert isinstance(polling.poll_releases(context), dg.SkipReason)
    assert not house.is_waiting()
    schedule = defs.get_repository_def().get_schedule_def("poll_releases")
    assert schedule.default_status == dg.DefaultScheduleStatus.STOPPED  # of the families that ship none watches


def test_what_a_family_found_stays_when_it_watches_no_longer(house: House) -> None:
    shutil.copytree(house.checkpoints / "tuned", house.runs / "tuned")
    assert house.materialize(None, "release_candidates").success
    house.write(watch="")
    assert house.is_waiting()
    assert house.materialize(None, "release_candidates").success
    assert house.rows()["tuned"]["decision"] == "taken"
    assert not house.is_waiting()


@pytest.mark.parametrize(("read_at", "noted"), [("c3", "c3"), ("c2", "c1")])
def test_a_branch_that_moved_keeps_one_row_a_commit(house: House, read_at: str, noted: str) -> None:
    """A model registered by hand at `main` was read again at another commit, which may have a row of its own."""
    house.write(watch="")
    space, now = house.space(), datetime.datetime.now(datetime.UTC)
    rows = Book("tiny", [], [])
    common = {"source": "hub", "model": "lab/base", "found_at": now, "decision": "taken", "base_id": "base"}
    rows.add({**common, "revision": "c1", "kind": "registered", "model_id": "base"})
    rows.add({**common, "revision": "c2", "kind": "revision", "model_id": "lab--base"})
    rows.store(space, "run", "releases-1")
    read = {"model_id": "base", "base_id": "base", "status": "ready", "status_reason": "", "revision": read_at}
    space.tables.write("models", "base", [read], run_id="", code_version="")
    assert house.materialize(None, "release_candidates").success
    found = {row["kind"]: row["revision"] for row in house.space().tables.read("releases", "tiny")}
    assert found == {"registered": noted, "revision": "c2"}


@pytest.mark.parametrize(("minutes", "asked"), [(60, False), (-1, True)])
def test_a_model_that_the_hub_gives_later_is_asked_for_when_its_time_has_come(
    house: House, minutes: int, asked: bool
) -> None:
    house.write(watch="")
    space = house.space()
    (house.families / "tiny.yaml").write_text("family: tiny\nmodels:\n- {id: base, role: base, hub: lab/base}\n")
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("models", ["base"])
        job = defs.resolve_implicit_global_asset_job_def()
        failed = job.execute_in_process(
            instance=instance,
            partition_key="base",
            asset_selection=[dg.AssetKey("checkpoints")],
            raise_on_error=False,
        )
        assert not failed.success  # offline
        space.refresh()
        until = datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=minutes)
        wait(space, space.registry.model("base"), HubLimitError(until, 429, "lab/base"), "run")
        (row,) = space.tables.read("models", "base")
        assert (row["status"], row["retry_at"]) == ("waiting", until)
        result = dg.evaluate_automation_conditions(defs=defs, instance=instance)
        assert bool(result.get_requested_partitions(dg.AssetKey("checkpoints"))) is asked
