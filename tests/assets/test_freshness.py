"""One rule of freshness: what the command line makes is what the automation requests and what Dagster calls stale."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.instance_for_test import instance_for_test
from dagster._core.loader import LoadingContextForTest

from assets.definitions import defs
from assets.freshness import pending
from assets.groups import model_assets, open_workspace, structural_assets
from assets.materializing import WorkspaceResource
from assets.structure import comparison
from resources.families import register_local
from resources.settings import Settings
from resources.warehouse import TableStore
from resources.workspace import Workspace
from tests.materialize import materialize
from tests.tiny import write_family

EVERYTHING = tuple(model_assets())
TASKS = "evaluation: {tasks: [no_such_task]}\n"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, checkpoints: Path) -> Path:
    """A folder with checkpoints of its own, a family file over them, and everything of base and tuned materialized."""
    folder = tmp_path_factory.mktemp("made")
    for name in ("base", "tuned", "unrelated"):
        shutil.copytree(checkpoints / name, folder / "models" / name)
    write_family(folder / "families", folder / "models", "recipes: [interpolate]\n")
    for model in ("base", "tuned"):
        assert materialize(folder / "data", folder / "families", model, *EVERYTHING).success
    return folder


@pytest.fixture
def family(tmp_path: Path, made: Path) -> Path:
    """A copy of it to be changed; that nothing is pending has its files hashed, as those of the original were."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    write_family(tmp_path / "families", tmp_path / "models", "recipes: [interpolate]\n")
    assert [pending(space_of(tmp_path), model) for model in ("base", "tuned")] == [[], []]
    return tmp_path


def space_of(folder: Path) -> Workspace:
    return WorkspaceResource(data=str(folder / "data"), families=str(folder / "families")).open()


def requested(folder: Path, monkeypatch: pytest.MonkeyPatch, told: Sequence[str] = EVERYTHING) -> dict[str, set[str]]:
    """What the automation asks for, by model; Dagster was told of some assets' rows."""
    monkeypatch.setenv("ROTOSCALE_DATA", str(folder / "data"))
    monkeypatch.setenv("ROTOSCALE_FAMILIES", str(folder / "families"))
    models = ["base", "tuned"]
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("models", models)
        for asset in told:
            for model in models:
                instance.report_runless_asset_event(dg.AssetMaterialization(asset, partition=model))
        result = dg.evaluate_automation_conditions(defs=defs, instance=instance)
        found = {asset: result.get_requested_partitions(dg.AssetKey(asset)) for asset in EVERYTHING}
    return {model: {asset for asset, keys in found.items() if model in keys} for model in models}


def agreed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, set[str]]:
    """What is to be done, which the command line and the automation must agree about."""
    space = space_of(folder)
    by_command = {model: set(pending(space, model)) for model in ("base", "tuned")}
    assert requested(folder, monkeypatch) == by_command
    return by_command


def test_nothing_is_left_to_do_after_everything_was_made(family: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert agreed(family, monkeypatch) == {"base": set(), "tuned": set()}


def test_a_model_without_rows_is_not_hashed_to_find_that_out(family: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(*_: object, **__: object) -> str:
        raise AssertionError("weights were read")

    monkeypatch.setattr(Workspace, "content_hash", read)
    space = space_of(family)
    space.tables.remove("tuned")
    assert pending(space, "tuned") == list(model_assets())


def test_other_recipes_or_tasks_in_the_family_file_are_noticed(family: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_family(family / "families", family / "models", "recipes: [interpolate, noise]\n")
    assert agreed(family, monkeypatch)["tuned"] == {"edited_checkpoints"}
    write_family(family / "families", family / "models", "recipes: [interpolate]\n" + TASKS)
    assert agreed(family, monkeypatch) == {"base": {"evaluation_scores"}, "tuned": {"evaluation_scores"}}


def test_another_version_of_a_method_is_noticed(family: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TableStore, "fingerprint", _only_of_another_version(TableStore.fingerprint))
    assert agreed(family, monkeypatch)["base"] == {"decompositions"}


def test_rows_that_a_killed_process_did_not_report_hold_nothing_up(
    tmp_path: Path, checkpoints: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are not made again, and what is made from them is made."""
    write_family(tmp_path / "families", checkpoints, "recipes: []\n")
    made = ("checkpoints", "decompositions")
    assert materialize(tmp_path / "data", tmp_path / "families", "base", *made).success
    asked = requested(tmp_path, monkeypatch, told=["checkpoints"])
    assert asked["base"] == set(EVERYTHING) - set(made)
    assert asked["tuned"] == set(EVERYTHING)


def _only_of_another_version(real: Callable[..., str | None]) -> Callable[..., str | None]:
    return lambda store, table, model: "older" if table == "decompositions" else real(store, table, model)


def test_what_is_compared_once_is_left_alone_unless_it_is_named(
    tmp_path: Path, checkpoints: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A one-off comparison has a partition, and neither the automation nor a plain run makes edits or scores of it."""
    settings = Settings(data=tmp_path / "data", families=tmp_path / "none")
    base, post = register_local(settings.local_families, str(checkpoints / "base"), str(checkpoints / "tuned"))
    space = open_workspace(settings)
    assert space.wanted() == []
    monkeypatch.setenv("ROTOSCALE_DATA", str(settings.data))
    monkeypatch.setenv("ROTOSCALE_FAMILIES", str(settings.families))
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("models", [base.id, post.id])
        result = dg.evaluate_automation_conditions(defs=defs, instance=instance)
        assert not any(result.get_requested_partitions(dg.AssetKey(asset)) for asset in EVERYTHING)
    assert pending(space, post.id) == list(EVERYTHING)


def test_a_copy_with_the_same_bytes_is_up_to_date_and_other_bytes_are_not(
    family: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("clone")
    shutil.copytree(family, elsewhere, dirs_exist_ok=True, copy_function=shutil.copyfile)
    write_family(elsewhere / "families", elsewhere / "models", "recipes: [interpolate]\n")
    assert [pending(space_of(elsewhere), model) for model in ("base", "tuned")] == [[], []]
    shutil.copy(elsewhere / "models" / "unrelated" / "model.safetensors", elsewhere / "models" / "tuned")
    assert pending(space_of(elsewhere), "tuned") == list(EVERYTHING)
    assert pending(space_of(elsewhere), "base") == []


def test_the_automation_leaves_a_changed_file_to_a_run_and_does_not_hash_it(family: Path) -> None:
    os.utime(family / "models" / "tuned" / "model.safetensors", (1, 1))
    assert pending(space_of(family), "tuned", read=False) == list(EVERYTHING)
    assert pending(space_of(family), "tuned") == []
    assert pending(space_of(family), "tuned", read=False) == []


def test_weights_replaced_while_they_are_compared_leave_no_rows(
    family: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = comparison.compare_model

    def replaced_meanwhile(space: Workspace, model: str) -> dict:
        rows = real(space, model)
        shutil.copy(family / "models" / "unrelated" / "model.safetensors", family / "models" / "tuned")
        return rows

    space = space_of(family)
    space.tables.remove("tuned", ["scale_statistics"])
    monkeypatch.setattr(comparison, "compare_model", replaced_meanwhile)
    result = materialize(family / "data", family / "families", "tuned", *structural_assets()[1:])
    assert not result.success
    assert "changed" in str([event.step_failure_data for event in result.all_events if event.is_step_failure])
    assert space.tables.read("scale_statistics", "tuned") == []
    assert "scale_statistics" in pending(space_of(family), "tuned")


def test_a_part_of_a_step_can_be_made_alone(family: Path) -> None:
    space = space_of(family)
    space.tables.remove("tuned", ["rotation_statistics"])
    assert pending(space, "tuned") == ["rotation_statistics"]
    assert materialize(family / "data", family / "families", "tuned", "rotation_statistics").success
    assert pending(space_of(family), "tuned") == []


def test_dagster_itself_shows_as_stale_what_is_out_of_date(family: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sensor observes family file and checkpoints; Dagster's own status of an asset follows from its versions."""
    resource = WorkspaceResource(data=str(family / "data"), families=str(family / "families"))
    sensor = defs.get_sensor_def("registered_models")
    job = defs.resolve_implicit_global_asset_job_def()

    def observe(instance: dg.DagsterInstance, cursor: str | None) -> str | None:
        result = sensor(dg.build_sensor_context(instance=instance, resources={"workspace": resource}, cursor=cursor))
        for event in result.asset_events:
            instance.report_runless_asset_event(event)
        return result.cursor or cursor

    def status(instance: dg.DagsterInstance, asset: str) -> StaleStatus:
        graph = defs.get_repository_def().asset_graph
        return CachingStaleStatusResolver(instance, graph, LoadingContextForTest(instance)).get_status(
            dg.AssetKey(asset), "tuned"
        )

    monkeypatch.setenv("ROTOSCALE_DATA", str(family / "data"))
    monkeypatch.setenv("ROTOSCALE_FAMILIES", str(family / "families"))
    with instance_for_test() as instance:
        instance.add_dynamic_partitions("models", ["base", "tuned", "unrelated"])
        cursor = observe(instance, None)
        for model in ("base", "tuned"):
            assert job.execute_in_process(
                instance=instance,
                partition_key=model,
                asset_selection=[dg.AssetKey(name) for name in EVERYTHING],
                run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            ).success
        assert {status(instance, asset) for asset in EVERYTHING} == {StaleStatus.FRESH}
        cursor = observe(instance, cursor)
        assert {status(instance, asset) for asset in EVERYTHING} == {StaleStatus.FRESH}
        write_family(family / "families", family / "models", "recipes: [interpolate, noise]\n")
        observe(instance, cursor)
        assert status(instance, "edited_checkpoints") == StaleStatus.STALE
        assert status(instance, "rotation_statistics") == StaleStatus.FRESH
