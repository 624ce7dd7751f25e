"""`rotoscale releases`: what was found and why it was left, also straight after asking."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from command_line.commands.releases import releases
from resources.releases import folders
from resources.warehouse import read


def test_releases_are_asked_for_and_listed(tmp_path: Path, checkpoints: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROTOSCALE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("ROTOSCALE_FAMILIES", str(tmp_path / "families"))
    monkeypatch.setenv("COLUMNS", "250")
    (tmp_path / "families").mkdir()
    family = tmp_path / "families" / "tiny.yaml"
    family.write_text(f"family: tiny\nmodels:\n- {{id: base, role: base, path: {checkpoints}/base}}\n")

    def ask(*arguments: str) -> Result:
        return CliRunner().invoke(releases, arguments)

    assert "No family watches anything" in ask().output
    family.write_text(family.read_text() + "watch: {folders: [../runs], skip_names: ['*-test']}\n")
    shutil.copytree(checkpoints / "tuned", tmp_path / "runs" / "tuned")
    shutil.copytree(checkpoints / "tuned", tmp_path / "runs" / "a-test")
    first = ask("--poll")
    assert first.exit_code == 0, first.output
    assert "waiting" in first.output
    assert "runs--tuned" not in first.output
    monkeypatch.setattr(folders, "SETTLED_AFTER", folders.SETTLED_AFTER * 0)
    second = ask("tiny", "--poll")
    assert second.exit_code == 0, second.output
    assert "taken as runs--tuned" in second.output
    assert "a-test" not in second.output
    assert "Its name is not among those that the family wants." in second.output
    assert "a-test" in ask("--all").output
    with read(tmp_path / "data" / "published") as connection:
        found = connection.execute("SELECT model_id, decision FROM releases WHERE decision = 'taken'").fetchall()
    assert found == [("runs--tuned", "taken")]
    unknown = ask("other")
    assert unknown.exit_code == 1
    assert "These do: tiny" in str(unknown.exception)
