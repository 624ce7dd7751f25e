"""A night's backfill with poison and a kill in the middle: every good model's rows are there, once."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.night import Night


@pytest.mark.long
def test_a_short_night_is_killed_and_finished(tmp_path: Path, checkpoints: Path) -> None:
    summary = Night(tmp_path / "night", checkpoints, models=4, poison=1, tries=2).by_command()
    assert summary.problems == [], str(summary)
    assert 0 < summary.done_before < 3


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_a_night_of_thirty_models_by_command(tmp_path: Path, checkpoints: Path) -> None:
    summary = Night(tmp_path / "night", checkpoints, models=30, poison=3).by_command()
    assert summary.problems == [], str(summary)
    assert 0 < summary.done_before < 27


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_a_night_of_thirty_models_by_the_daemon(tmp_path: Path, checkpoints: Path) -> None:
    summary = Night(tmp_path / "night", checkpoints, models=30, poison=3).by_daemon()
    assert summary.problems == [], str(summary)
    assert 0 < summary.done_before < 27
