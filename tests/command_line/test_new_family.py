"""`rotoscale new-family` writes a file that is valid as it stands, and again with every comment taken away."""

from __future__ import annotations

import re
from pathlib import Path

import jsonschema
import pytest
import yaml
from click.testing import CliRunner, Result

from command_line.commands.new_family import new_family
from resources.families import load_family, load_registry
from resources.families.schema import editor_schema


@pytest.fixture
def folder(tmp_path: Path, families: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ROTOSCALE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("ROTOSCALE_FAMILIES", str(families))
    return families


def written(*arguments: str | Path) -> Result:
    return CliRunner().invoke(new_family, [str(one) for one in arguments])


def test_the_file_registers_what_was_given_and_runs_nothing_by_itself(folder: Path, checkpoints: Path) -> None:
    result = written("mine", checkpoints / "base", checkpoints / "tuned", "org/model@v1")
    assert result.exit_code == 0, result.output
    family = load_family(folder / "mine.yaml")
    assert not family.automatic
    base, tuned, hub = family.models
    assert (base.role, base.path) == ("base", checkpoints / "base")
    assert (tuned.base, tuned.path) == (base.id, checkpoints / "tuned")
    assert (hub.base, hub.source) == (base.id, "org/model@v1")
    registry = load_registry(folder)
    assert {base.id, tuned.id, hub.id, "base", "tuned"} <= set(registry.models), "an id was given a second time"


def test_what_is_commented_out_is_valid_too(folder: Path, checkpoints: Path) -> None:
    """Everything that is suggested: lines of explanation go, all others lose their sign."""
    assert written("mine", checkpoints / "base", checkpoints / "tuned").exit_code == 0
    lines = (folder / "mine.yaml").read_text(encoding="utf-8").splitlines()
    shown = [line for line in lines if not re.match(r"\s*#\s+# |# yaml-language-server|\s*# An unrelated", line)]
    text = "\n".join(re.sub(r"^(\s*)# ?", r"\1", line) for line in shown)
    data = yaml.safe_load(text)
    jsonschema.Draft202012Validator(editor_schema()).validate(data)
    assert {"title", "description", "evaluation", "recipes"} <= data.keys()
    assert {"tasks", "include_path", "prompts"} == data["evaluation"].keys()
    assert data["models"][-1]["role"] == "unrelated"
    assert max(map(len, lines)) <= 120


def test_nothing_that_exists_is_replaced(folder: Path, checkpoints: Path) -> None:
    before = {file: file.read_text() for file in folder.iterdir()}
    (name,) = load_registry(folder).families
    for taken in (name, next(iter(before)).stem):
        failed = written(taken, checkpoints / "base", checkpoints / "tuned")
        assert "give another name" in str(failed.exception)
    assert "is no folder here" in str(written("mine", "nowhere", checkpoints / "tuned").exception)
    assert "must be a family name" in str(written("a b", checkpoints / "base", checkpoints / "tuned").exception)
    assert {file: file.read_text() for file in folder.iterdir()} == before
