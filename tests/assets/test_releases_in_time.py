"""The checks of the watching warn of families that nobody asked about and of releases that wait too long."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from assets.materializing import WorkspaceResource
from assets.releases.checks import releases_in_time
from resources.workspace import Workspace
from tests.tiny import FAMILY

NOW = datetime.datetime.now(datetime.UTC)
STAMP = {"run_id": "r", "code_version": "1"}


@pytest.fixture
def space(tmp_path: Path, checkpoints: Path) -> Workspace:
    (tmp_path / "families").mkdir()
    text = FAMILY.format(checkpoints) + f"watch: {{folders: [{tmp_path}], base: base}}\n"
    (tmp_path / "families" / "tiny.yaml").write_text(text, encoding="utf-8")
    return WorkspaceResource(data=str(tmp_path / "data"), families=str(tmp_path / "families")).open()


def checked(space: Workspace) -> dict[str, tuple[bool, list[Any]]]:
    """Whether each check passed, and what is late."""
    resource = WorkspaceResource(data=str(space.settings.data), families=str(space.settings.families))
    results = {result.check_name: result for result in releases_in_time(workspace=resource)}
    assert {result.severity for result in results.values()} == {dg.AssetCheckSeverity.WARN}
    return {name: (result.passed, list(result.metadata["late"].value)) for name, result in results.items()}


def test_a_family_that_was_never_asked_about_is_late(space: Workspace) -> None:
    assert checked(space) == {
        "polled_in_time": (False, ["tiny: watched, and was never asked about"]),
        "results_in_time": (True, []),
    }


def test_what_answered_lately_passes_and_what_waits_is_named(space: Workspace) -> None:
    poll = {"family": "tiny", "watched": "w", "relation": "folder", "message": ""}
    space.tables.write("release_polls", "tiny", [{**poll, "succeeded_at": NOW}], **STAMP)
    old = NOW - datetime.timedelta(days=3)
    release = {"family": "tiny", "source": "folder", "revision": "", "found_at": old, "decision": "taken"}
    rows = [
        {**release, "model": "a", "model_id": "a", "state": "registered"},
        {**release, "model": "b", "model_id": "b", "state": "results"},
    ]
    space.tables.write("releases", "tiny", rows, **STAMP)
    assert checked(space)["polled_in_time"] == (True, [])
    passed, late = checked(space)["results_in_time"]
    assert not passed
    assert late == ["a of tiny waits 72 hours for its results"]
    space.tables.write("release_polls", "tiny", [{**poll, "succeeded_at": old, "message": "no answer"}], **STAMP)
    passed, late = checked(space)["polled_in_time"]
    assert not passed
    assert "w (folder) gave no answer since" in late[0]
