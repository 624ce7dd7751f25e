"""`rotoscale lineage`: the verdict first, its row as JSON, every two of a family, a sentence for what does not fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from command_line.cli import cli
from rotoscale.errors import RotoscaleError
from rotoscale.lineage.result import Lineage
from tests.attacks import all_at_once, load, save


def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, families: Path, *arguments: Any) -> Result:
    for name in ("ROTOSCALE_DATA", "ROTOSCALE_DEVICE", "ROTOSCALE_WORKERS", "DAGSTER_HOME"):
        monkeypatch.setenv(name, "")  # what the command sets is undone after the test
    monkeypatch.setenv("ROTOSCALE_FAMILIES", str(families))
    return CliRunner().invoke(cli, ["lineage", *map(str, arguments), "--data", str(tmp_path / "data")])


def test_two_models_a_registered_one_and_a_folder(
    tmp_path: Path, checkpoints: Path, families: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden = save(all_at_once(load(checkpoints / "tuned")), tmp_path / "hidden", checkpoints / "tuned")
    file = tmp_path / "row.json"
    result = run(tmp_path, monkeypatch, families, "base", hidden, "--json", file)
    assert result.exit_code == 0, result.exception
    said = " ".join(result.stdout.split())  # folds removed
    assert said.startswith(f"base and {hidden}: related")
    for words in ("another order", "p_exact", "p_match", "calibrated, not exact", "Hint of degree"):
        assert words in said
    row = json.loads(file.read_text())
    assert set(row) == {"model_a", "model_b", *Lineage.__dataclass_fields__}
    assert (row["model_a"], row["model_b"], row["verdict"]) == ("base", str(hidden), "related")
    assert row["p_match"] < 1e-6 < row["p_exact"]
    assert not (tmp_path / "data" / "tables").exists()


def test_a_family(tmp_path: Path, families: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "rows.json"
    for _ in range(2):  # the second time from what is stored
        result = run(tmp_path, monkeypatch, families, "tiny", "--json", file)
        assert result.exit_code == 0, result.exception
        found = {(row["model_a"], row["model_b"]): row["verdict"] for row in json.loads(file.read_text())}
        assert found == {
            ("base", "tuned"): "related",
            ("base", "unrelated"): "unrelated",
            ("tuned", "unrelated"): "unrelated",
        }
        assert "Lineage in the family tiny" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["tiny-family"], 'no family "tiny-family" is registered'),
        (["base", "nowhere"], "no folder here, no registered model"),
        (["base", "tuned", "unrelated"], "two models, or one family"),
    ],
)
def test_what_does_not_fit_is_said(
    tmp_path: Path, families: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], complaint: str
) -> None:
    result = run(tmp_path, monkeypatch, families, *arguments)
    assert result.exit_code == 1
    with pytest.raises(RotoscaleError, match=complaint):
        raise result.exception or AssertionError(result.output)
