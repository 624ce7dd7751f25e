"""What is forgotten is gone from every store, says so, and comes back only when it is named."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from assets.freshness import pending
from assets.groups import model_assets
from assets.materializing import WorkspaceResource
from resources.forgetting import CannotForget, forget
from resources.warehouse import read
from resources.workspace import Workspace
from tests.materialize import materialize
from tests.tiny import write_family


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, checkpoints: Path) -> Path:
    """A family of which base and tuned were materialized, edits too."""
    folder = tmp_path_factory.mktemp("made")
    families = write_family(folder / "families", checkpoints, "recipes: [interpolate]\n")
    for model in ("base", "tuned"):
        assert materialize(folder / "data", families, model, *model_assets()).success
    return folder


@pytest.fixture
def space(tmp_path: Path, made: Path) -> Workspace:
    """A copy of it, to forget models of."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    space = WorkspaceResource(data=str(tmp_path / "data"), families=str(tmp_path / "families")).open()
    assert pending(space, "tuned") == []
    return space


def test_everything_of_a_forgotten_model_goes_and_the_rest_stays(space: Workspace, tmp_path: Path) -> None:
    factors = set(space.settings.factors.glob("??/*.safetensors"))
    (edit,) = space.settings.edits.glob("tuned--*")
    gone = forget(space, "tuned")
    assert not edit.exists()
    assert gone.edits == 1
    left = set(space.settings.factors.glob("??/*.safetensors"))
    assert left < factors
    assert {row["weight_hash"] for row in space.tables.read("decompositions", "base")} <= {
        path.name[:64] for path in left
    }
    assert gone.factors == len({row.name[:64] for row in factors - left})
    space.publish()
    with read(space.settings.published) as connection:
        assert connection.execute("SELECT status FROM models WHERE model_id = 'tuned'").fetchall() == [("forgotten",)]
        for table, definition in space.tables.contract.items():
            if table != "models" and "model_id" in definition.key:
                found = connection.execute(f"SELECT count(*) FROM {table} WHERE model_id = 'tuned'").fetchone()
                assert found == (0,), table


def test_a_forgotten_model_runs_only_when_it_is_named(space: Workspace, tmp_path: Path) -> None:
    forget(space, "tuned")
    assert [entry.id for entry in space.wanted()] == ["base", "unrelated"]
    assert pending(space, "tuned") == list(model_assets())
    assert materialize(tmp_path / "data", tmp_path / "families", "tuned", *model_assets()).success
    assert "tuned" in [entry.id for entry in space.wanted()]


def test_a_model_that_no_family_registers_any_more_can_be_forgotten(space: Workspace, tmp_path: Path) -> None:
    file = tmp_path / "families" / "tiny.yaml"
    kept = [line for line in file.read_text(encoding="utf-8").splitlines() if "id: tuned" not in line]
    file.write_text("\n".join(kept) + "\n", encoding="utf-8")
    elsewhere = WorkspaceResource(data=str(tmp_path / "data"), families=str(tmp_path / "families")).open()
    forget(elsewhere, "tuned")
    assert elsewhere.status("tuned") == "forgotten"
    assert elsewhere.tables.read("scale_statistics", "tuned") == []


def test_a_base_that_others_are_compared_with_is_not_forgotten(space: Workspace) -> None:
    with pytest.raises(CannotForget, match="tuned are compared with base"):
        forget(space, "base")
    forget(space, "tuned")
    forget(space, "base")
    with pytest.raises(CannotForget, match="nothing is stored of nobody"):
        forget(space, "nobody")
