"""Links between Dagster and the dashboard go to where each was started, unless the user says otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest

from resources.addresses import address, note


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ROTOSCALE_DAGSTER_URL", "ROTOSCALE_DASHBOARD_URL"):
        monkeypatch.delenv(name, raising=False)


def test_the_usual_ports_until_something_was_started(tmp_path: Path) -> None:
    assert address(tmp_path, "dagster") == "http://127.0.0.1:3000"
    assert address(tmp_path, "dashboard") == "http://127.0.0.1:8501"


def test_what_was_started_last_counts_and_leaves_the_other_alone(tmp_path: Path) -> None:
    note(tmp_path, dagster="http://127.0.0.1:3055", dashboard="http://127.0.0.1:8555")
    note(tmp_path, dashboard="http://127.0.0.1:8600/")
    assert address(tmp_path, "dagster") == "http://127.0.0.1:3055"
    assert address(tmp_path, "dashboard") == "http://127.0.0.1:8600"


def test_the_environment_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    note(tmp_path, dagster="http://127.0.0.1:3055")
    monkeypatch.setenv("ROTOSCALE_DAGSTER_URL", "https://dagster.example/")
    assert address(tmp_path, "dagster") == "https://dagster.example"


@pytest.mark.parametrize("content", ["", "[]", '{"dagster": 3}', '{"dagster": "javascript:alert(1)"}'])
def test_a_file_that_cannot_be_used_is_as_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "addresses.json").write_text(content)
    assert address(tmp_path, "dagster") == "http://127.0.0.1:3000"
