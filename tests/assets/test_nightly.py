"""The nightly backfill: a run for each model whose turn it is, newest first, so many a night, none asked for twice."""

from __future__ import annotations

import datetime
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from assets.definitions import defs
from assets.groups import model_assets
from assets.materializing import WorkspaceResource
from tests.materialize import materialize
from tests.tiny import truncated_copy, write_family

NIGHT = datetime.datetime(2026, 5, 5, 2, 0, tzinfo=datetime.UTC)


@pytest.fixture
def folder(tmp_path: Path, checkpoints: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Ages: base, then broken, tuned, unrelated the newest."""
    for name in ("base", "tuned", "unrelated"):
        shutil.copytree(checkpoints / name, tmp_path / "models" / name)
    truncated_copy(checkpoints / "tuned", tmp_path / "models" / "broken")
    for day, name in enumerate(("base", "broken", "tuned", "unrelated"), start=1):
        for file in (tmp_path / "models" / name).iterdir():
            os.utime(file, (day * 1e8, day * 1e8))
    more = f"  - {{id: broken, base: base, path: {tmp_path}/models/broken}}\n"
    write_family(tmp_path / "families", tmp_path / "models", more)
    monkeypatch.setenv("ROTOSCALE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("ROTOSCALE_FAMILIES", str(tmp_path / "families"))
    return tmp_path


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    with dg.DagsterInstance.from_config(str(tmp_path / "home")) as opened:
        yield opened


def night(instance: dg.DagsterInstance) -> tuple[list[dg.RunRequest], str]:
    """What the schedule asks for, as the daemon has it evaluated, and why if it asks for nothing."""
    repository = defs.get_repository_def()
    schedule = repository.get_schedule_def("nightly_backfill")
    resources = {"workspace": WorkspaceResource()}
    with dg.build_schedule_context(
        instance, scheduled_execution_time=NIGHT, repository_def=repository, resources=resources
    ) as context:
        found = schedule.evaluate_tick(context)
    return list(found.run_requests or []), found.skip_message or ""


def test_the_newest_first_and_no_more_than_the_cap(
    folder: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, _ = night(instance)
    assert [request.partition_key for request in asked] == ["base", "unrelated", "tuned", "broken"]
    priorities = [int(request.tags["dagster/priority"]) for request in asked]
    assert priorities == sorted(priorities, reverse=True)
    assert len(set(priorities)) == 4
    assert {key.to_user_string() for key in asked[0].asset_selection or ()} == set(model_assets())
    assert set(instance.get_dynamic_partitions("models")) == {"base", "unrelated", "tuned", "broken"}
    monkeypatch.setenv("ROTOSCALE_BACKFILL_MODELS", "2")
    asked, _ = night(instance)
    assert [request.partition_key for request in asked] == ["base", "unrelated"]
    assert len({request.run_key for request in asked}) == 2
    assert all("2026-05-05T02:00" in str(request.run_key) for request in asked)


def test_only_what_is_out_of_date_is_asked_for_and_not_what_goes_on(folder: Path, instance: dg.DagsterInstance) -> None:
    assert materialize(folder / "data", folder / "families", "base", *model_assets()).success
    assert materialize(folder / "data", folder / "families", "tuned", "checkpoints").success
    waiting = instance.create_run_for_job(
        defs.resolve_implicit_global_asset_job_def(),
        tags={"dagster/partition": "unrelated"},
        status=dg.DagsterRunStatus.STARTED,
    )
    asked, _ = night(instance)
    assert [request.partition_key for request in asked] == ["tuned", "broken"]
    assert "checkpoints" not in {key.to_user_string() for key in asked[0].asset_selection or ()}
    instance.report_run_canceled(waiting)
    asked, _ = night(instance)
    assert [request.partition_key for request in asked] == ["unrelated", "tuned", "broken"]


def test_what_failed_too_often_is_left_out_and_said(
    folder: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROTOSCALE_TRIES", "1")
    assert not materialize(folder / "data", folder / "families", "broken", "checkpoints").success
    asked, _ = night(instance)
    assert [request.partition_key for request in asked] == ["base", "unrelated", "tuned"]
    for model in ("base", "unrelated", "tuned"):
        shutil.rmtree(folder / "models" / model)
        (folder / "models" / model).mkdir()
        assert not materialize(folder / "data", folder / "families", model, "checkpoints").success
    asked, why = night(instance)
    assert asked == []
    assert "4 are left out" in why


def test_a_typo_in_a_family_file_is_the_reason_to_skip(folder: Path, instance: dg.DagsterInstance) -> None:
    (folder / "families" / "tiny.yaml").write_text("family: tiny\nmodells: []\n")
    asked, why = night(instance)
    assert asked == []
    assert "modells" in why
