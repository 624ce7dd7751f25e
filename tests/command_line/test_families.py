"""`rotoscale families`: forgotten models are listed when asked for."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from command_line.commands.families import families as command
from tests.synthetic import open_store


def test_forgotten_models_are_listed_only_when_asked_for(
    tmp_path: Path, families: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROTOSCALE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("ROTOSCALE_FAMILIES", str(families))
    monkeypatch.setenv("COLUMNS", "200")
    row = {"model_id": "tuned", "base_id": "base", "status": "forgotten"}
    open_store(tmp_path / "data").write("models", "tuned", [row], run_id="", code_version="")
    listed, all_of_them = (CliRunner().invoke(command, more) for more in ([], ["--forgotten"]))
    assert listed.exit_code == all_of_them.exit_code == 0, (listed.output, all_of_them.output)
    assert not any(line.split()[:1] == ["tuned"] for line in listed.output.splitlines())
    (line,) = [line for line in all_of_them.output.splitlines() if line.split()[:1] == ["tuned"]]
    assert "forgotten" in line
