"""`rotoscale backfill`: says what waits and why, makes it newest first, and goes on past what fails."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from command_line.commands.backfill import backfill
from command_line.commands.doctor import doctor
from resources.warehouse import read
from tests.tiny import truncated_copy


@pytest.fixture
def data(tmp_path: Path, checkpoints: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A base, a descendant, and a newer one that is broken."""
    truncated_copy(checkpoints / "tuned", tmp_path / "broken")
    lines = ["family: tiny", "recipes: []", "models:", f"- {{id: base, role: base, path: {checkpoints}/base}}"]
    lines += [
        f"- {{id: {path.name}, base: base, path: {path}}}" for path in (checkpoints / "tuned", tmp_path / "broken")
    ]
    (tmp_path / "families").mkdir()
    (tmp_path / "families" / "tiny.yaml").write_text("\n".join(lines))
    monkeypatch.setenv("ROTOSCALE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("ROTOSCALE_FAMILIES", str(tmp_path / "families"))
    monkeypatch.setenv("ROTOSCALE_TRIES", "1")
    monkeypatch.setenv("COLUMNS", "300")
    return tmp_path / "data"


def ran(*arguments: str) -> Result:
    return CliRunner().invoke(backfill, arguments, catch_exceptions=False)


def test_a_dry_run_says_what_and_why_and_does_nothing(data: Path) -> None:
    said = ran("--dry-run")
    assert said.exit_code == 0
    assert "3 models would be brought up to date, 0 more wait; nothing was done." in said.output
    assert said.output.count("missing") == 3
    assert not (data / "tables").exists()
    limited = ran("--dry-run", "--limit", "1")
    assert "1 models would be brought up to date, 2 more wait" in limited.output
    assert "0 models would" in ran("--dry-run", "--since", "2100-01-01").output
    assert "0 models would" in ran("--dry-run", "--older-code").output


def test_it_fills_what_waits_and_leaves_out_what_failed(data: Path) -> None:
    first = ran("--limit", "2")  # the broken one is the newest, its base comes before it
    assert first.exit_code == 1
    assert "1 models brought up to date, 0 already were, 1 failed." in first.output
    second = ran()
    assert second.exit_code == 0
    assert "1 models brought up to date, 1 already were, 0 failed." in second.output
    assert "broken: checkpoints was left out, 1 tries failed" in second.output
    with read(data / "published") as connection:
        rows = connection.execute("SELECT model_id, count(*) FROM tensor_changes GROUP BY 1 ORDER BY 1").fetchall()
        waiting = connection.execute("SELECT model, tries, len(assets) FROM backlog").fetchall()
    assert [model for model, _ in rows] == ["base", "tuned"]
    assert waiting == [("broken", 1, 0)]
    dry = ran("--dry-run")
    assert "0 models would be brought up to date" in dry.output
    assert "1 tries failed" in dry.output
    examined = CliRunner().invoke(doctor, ["--quick"], catch_exceptions=False)
    assert "given up: broken" in " ".join(examined.output.split())
    assert "1 models are not up to date" in examined.output


def test_an_unknown_family_is_named_with_those_there_are(data: Path) -> None:
    from rotoscale.errors import RotoscaleError

    with pytest.raises(RotoscaleError, match=r'No family "nobody" is registered\. Registered are: tiny'):
        ran("--family", "nobody", "--dry-run")
