"""A dozen kills at seeded moments; benchmarks/kill_campaign.py makes hundreds of them, over all commands."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.kill_campaign import Campaign


@pytest.mark.long
def test_after_a_dozen_kills_all_is_as_if_nothing_had_happened(tmp_path: Path, checkpoints: Path) -> None:
    campaign = Campaign(tmp_path / "campaign", checkpoints, ["compare", "publish"], seed=3)
    summary = campaign.run(kills=12, kills_per_folder=12)
    assert summary.problems == [], str(summary)
    assert summary.kills.total() == 12
