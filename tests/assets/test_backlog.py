"""What waits: by the rule of freshness, newest first, with what failed too often left out until something changes."""

from __future__ import annotations

import datetime
import os
import shutil
from pathlib import Path

import dagster as dg
import pytest

from assets.backlog import CHANGED, MISSING, OLDER_CODE, UNFINISHED, backlog
from assets.definitions import defs
from assets.freshness import pending
from assets.groups import model_assets
from assets.materializing import WorkspaceResource
from assets.publishing import is_published, publish
from resources.warehouse import read
from resources.workspace import Workspace
from tests.materialize import materialize
from tests.tiny import truncated_copy, write_family

EVERYTHING = tuple(model_assets())


@pytest.fixture
def folder(tmp_path: Path, checkpoints: Path) -> Path:
    """Checkpoints with ages of their own: `unrelated` is the newest, then tuned; base the oldest. And a broken one."""
    for name in ("base", "tuned", "unrelated"):
        shutil.copytree(checkpoints / name, tmp_path / "models" / name)
    truncated_copy(checkpoints / "tuned", tmp_path / "models" / "broken")
    for day, name in enumerate(("base", "broken", "tuned", "unrelated"), start=1):
        moment = datetime.datetime(2026, 1, day, tzinfo=datetime.UTC).timestamp()
        for file in (tmp_path / "models" / name).iterdir():
            os.utime(file, (moment, moment))
    more = f"  - {{id: broken, base: base, path: {tmp_path}/models/broken}}\n"
    write_family(tmp_path / "families", tmp_path / "models", more)
    return tmp_path


def space_of(folder: Path) -> Workspace:
    return WorkspaceResource(data=str(folder / "data"), families=str(folder / "families")).open()


def made(folder: Path, model: str, *assets: str) -> bool:
    return materialize(folder / "data", folder / "families", model, *assets).success


def test_all_is_missing_and_the_newest_comes_first_after_its_base(folder: Path) -> None:
    waiting = backlog(space_of(folder))
    assert [one.model for one in waiting] == ["base", "unrelated", "tuned", "broken"]
    assert {one.why for one in waiting} == {MISSING}
    assert all(list(one.assets) == list(EVERYTHING) for one in waiting)
    day = datetime.datetime(2026, 1, 3, tzinfo=datetime.UTC)
    assert [one.model for one in backlog(space_of(folder), since=day)] == ["unrelated", "tuned"]


def test_it_is_what_the_rule_of_freshness_says(folder: Path) -> None:
    assert made(folder, "base", *EVERYTHING)
    assert made(folder, "tuned", "checkpoints", "decompositions")
    space = space_of(folder)
    waiting = {one.model: one for one in backlog(space)}
    assert "base" not in waiting
    assert list(waiting["tuned"].assets) == pending(space, "tuned")
    assert backlog(space, older_code=True) == []
    for model in ("base", "tuned"):
        rows = space.tables.read("decompositions", model)
        older = {"run_id": "r", "code_version": "svd-0", "fingerprint": "made by older code"}
        plain = [
            {k: v for k, v in row.items() if k not in ("run_id", "code_version", "materialized_at")} for row in rows
        ]
        space.tables.write("decompositions", model, plain, **older)
    found = {one.model: one.assets for one in backlog(space, older_code=True)}
    assert found == {name: {"decompositions": OLDER_CODE} for name in ("base", "tuned")}
    os.utime(folder / "models" / "base" / "model.safetensors", (1, 1))
    base = {one.model: one.assets for one in backlog(space_of(folder))}["base"]
    assert base == {name: OLDER_CODE if name == "decompositions" else CHANGED for name in EVERYTHING}


def test_a_family_that_is_not_automatic_is_filled_only_when_named(folder: Path) -> None:
    file = folder / "families" / "tiny.yaml"
    file.write_text(file.read_text().replace("title: Tiny family", "title: Tiny family\nautomatic: false"))
    assert backlog(space_of(folder)) == []
    assert [one.model for one in backlog(space_of(folder), family="tiny")][:2] == ["base", "unrelated"]


def test_what_failed_comes_last_and_is_given_up_until_its_files_change(
    folder: Path, checkpoints: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    day = datetime.datetime(2027, 1, 1, tzinfo=datetime.UTC).timestamp()
    for file in (folder / "models" / "broken").iterdir():
        os.utime(file, (day, day))  # the newest of all now
    assert [one.model for one in backlog(space_of(folder))][:2] == ["base", "broken"]
    for number in (1, 2, 3):
        assert not made(folder, "broken", "checkpoints")
        waiting = backlog(space_of(folder))
        assert waiting[-1].model == "broken"
        assert waiting[-1].tries == number
        assert "model.safetensors" in waiting[-1].reason
        assert bool(waiting[-1].held) == (number == 3)
    assert waiting[-1].assets == {}
    assert set(waiting[-1].held) == set(EVERYTHING)  # all else is made from the checkpoint
    assert waiting[-1].held["decompositions"] == "needs checkpoints"
    assert "broken" not in requested(folder, monkeypatch)
    shutil.copy(checkpoints / "tuned" / "model.safetensors", folder / "models" / "broken")
    found = {one.model: one for one in backlog(space_of(folder))}["broken"]
    assert (found.held, found.tries) == ({}, 0)
    assert found.assets["checkpoints"] == UNFINISHED
    assert "broken" in requested(folder, monkeypatch)
    assert made(folder, "broken", "checkpoints")
    assert "checkpoints" not in {one.model: one for one in backlog(space_of(folder))}["broken"].assets


def requested(folder: Path, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Models whose checkpoint the automation asks for."""
    monkeypatch.setenv("ROTOSCALE_DATA", str(folder / "data"))
    monkeypatch.setenv("ROTOSCALE_FAMILIES", str(folder / "families"))
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("models", ["base", "broken"])
        result = dg.evaluate_automation_conditions(defs=defs, instance=instance)
        return set(result.get_requested_partitions(dg.AssetKey("checkpoints")))


def test_the_list_is_published_and_a_further_failure_is_news(folder: Path) -> None:
    assert made(folder, "base", "checkpoints")
    space = space_of(folder)
    publish(space)
    assert is_published(space)
    with read(space.settings.published) as connection:
        rows = connection.execute("SELECT model, tries, len(held) FROM backlog ORDER BY place").fetchall()
    assert rows == [("base", 0, 0), ("unrelated", 0, 0), ("tuned", 0, 0), ("broken", 0, 0)]
    assert not made(folder, "broken", "checkpoints")
    space.tables.remove("broken", ["models"])  # what is left is the failure alone
    assert not is_published(space)
    publish(space)
    assert is_published(space)
    with read(space.settings.published) as connection:
        found = connection.execute("SELECT tries, last_failure FROM backlog WHERE model = 'broken'").fetchone()
    assert found is not None
    assert found[0] == 1
    assert "model.safetensors" in found[1]
