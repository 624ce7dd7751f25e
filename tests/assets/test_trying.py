"""A try: what passes is tried again soon and says nothing of the model; what does not is said once, and counted."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from assets import trying
from assets.materializing import WorkspaceResource
from assets.models import catalogue
from assets.models import checkpoints as module
from resources.hub import HubInterruptedError
from resources.tries import Tried
from resources.workspace import Workspace
from tests.materialize import materialize
from tests.tiny import truncated_copy, write_family


@pytest.fixture
def folder(tmp_path: Path, checkpoints: Path) -> Path:
    shutil.copytree(checkpoints / "base", tmp_path / "models" / "base")
    shutil.copytree(checkpoints / "unrelated", tmp_path / "models" / "unrelated")
    truncated_copy(checkpoints / "tuned", tmp_path / "models" / "tuned")
    write_family(tmp_path / "families", tmp_path / "models")
    return tmp_path


def space_of(folder: Path) -> Workspace:
    return WorkspaceResource(data=str(folder / "data"), families=str(folder / "families")).open()


def tried(folder: Path, model: str, asset: str) -> Tried | None:
    space = space_of(folder)
    return trying.tries_of(space, space.registry.model(model), asset)


def failing(monkeypatch: pytest.MonkeyPatch, error: Exception, times: int) -> list[int]:
    """Make the reading of checkpoints fail so many times; returns the list that grows with each try."""
    tried: list[int] = []

    def reading(space: Workspace, entry: object) -> object:
        tried.append(len(tried))
        if len(tried) <= times:
            raise error
        return catalogue.catalogue(space, entry)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "catalogue", reading)
    return tried


def test_what_passes_is_tried_again_in_the_same_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trying, "WAITS", (0.1, 0.1))
    tries = failing(monkeypatch, HubInterruptedError("The download broke off."), times=2)
    assert materialize(folder / "data", folder / "families", "base", "checkpoints").success
    assert len(tries) == 3
    assert tried(folder, "base", "checkpoints") is None
    assert space_of(folder).status("base") == "ready"


def test_what_does_not_pass_in_time_is_no_quarantine_and_is_not_counted(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trying, "WAITS", (0.1, 0.1))
    tries = failing(monkeypatch, HubInterruptedError("The download broke off."), times=99)
    result = materialize(folder / "data", folder / "families", "base", "checkpoints")
    assert not result.success
    assert len(tries) == 3
    (failed,) = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    assert failed.user_failure_data is not None
    assert failed.user_failure_data.description == "The download broke off."
    found = tried(folder, "base", "checkpoints")
    assert found is not None
    assert (found.count, found.passing, found.reason) == (0, True, "The download broke off.")
    assert space_of(folder).status("base") == ""


def test_an_assets_own_failure_is_said_once_and_counted(folder: Path) -> None:
    result = materialize(folder / "data", folder / "families", "tuned", "checkpoints")
    assert not result.success
    assert [event for event in result.all_events if event.is_step_up_for_retry] == []
    found = tried(folder, "tuned", "checkpoints")
    assert found is not None
    assert (found.count, found.passing) == (1, False)
    assert space_of(folder).status("tuned") == "quarantined"


def test_an_interruption_is_not_counted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, KeyboardInterrupt(), times=1)  # type: ignore[arg-type]
    result = materialize(folder / "data", folder / "families", "base", "checkpoints")
    assert not result.success
    assert tried(folder, "base", "checkpoints") is None


def test_what_is_made_from_a_model_that_changes_its_state_is_tried_anew(folder: Path, checkpoints: Path) -> None:
    """A descendant of a quarantined base fails for no fault of its own."""
    weights = folder / "models" / "base" / "model.safetensors"
    good = weights.read_bytes()
    weights.write_bytes(good[:-1000])
    families = folder / "families"
    assert not materialize(folder / "data", families, "base", "checkpoints").success
    assert materialize(folder / "data", families, "unrelated", "checkpoints", "decompositions").success
    for _ in range(3):
        assert not materialize(folder / "data", families, "unrelated", "scale_statistics").success
    space = space_of(folder)
    entry = space.registry.model("unrelated")
    assert "3 tries failed" in trying.held(space, entry, ["scale_statistics"])["scale_statistics"]
    weights.write_bytes(good)
    assert materialize(folder / "data", families, "base", "checkpoints").success
    assert trying.held(space_of(folder), entry, ["scale_statistics"]) == {}
