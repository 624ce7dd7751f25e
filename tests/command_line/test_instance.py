"""Dagster's instance is set up by one file: the repository's, or the one that a variable names."""

from __future__ import annotations

from pathlib import Path

import pytest

from assets.groups import open_workspace
from command_line.running import open_instance
from resources.settings import PROJECT, SettingsError, load_settings


def test_the_repositorys_file_is_what_the_instance_goes_by(tmp_path: Path) -> None:
    space = open_workspace(load_settings(data=tmp_path / "data"))
    with open_instance(space) as instance:
        assert instance.run_monitoring_enabled
        assert instance.run_monitoring_settings["free_slots_after_run_end_seconds"] > 0
        assert (instance.run_retries_enabled, instance.run_retries_max_retries) == (True, 2)
        assert not instance.run_retries_retry_on_asset_or_op_failure
        assert not instance.telemetry_enabled
        queue = instance.get_concurrency_config().run_queue_config
        assert queue is not None
        assert queue.max_concurrent_runs == 2
        assert instance.get_concurrency_config().pool_config.default_pool_limit == 1
    assert (tmp_path / "data" / "dagster" / "dagster.yaml").read_text() == (PROJECT / "dagster.yaml").read_text()


def test_a_change_of_the_file_arrives_at_the_next_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = tmp_path / "mine.yaml"
    monkeypatch.setenv("ROTOSCALE_DAGSTER_YAML", str(mine))
    space = open_workspace(load_settings(data=tmp_path / "data"))
    with pytest.raises(SettingsError, match=r"mine\.yaml cannot be read .* ROTOSCALE_DAGSTER_YAML"):
        open_instance(space)
    for retries in (1, 5):
        mine.write_text(f"telemetry: {{enabled: false}}\nrun_retries: {{enabled: true, max_retries: {retries}}}\n")
        with open_instance(space) as instance:
            assert instance.run_retries_max_retries == retries
