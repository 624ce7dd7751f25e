"""Slots of pools: whoever was killed holds none, and whoever waits says for what."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from filelock import FileLock

from assets.slots import free_dead_slots, process_tag, watched
from resources.atomic import leftovers, machine
from resources.warehouse import read

PROJECT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "command_line"]


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "dagster.yaml").write_text(
        "concurrency: {pools: {default_limit: 1}}\ntelemetry: {enabled: false}\n"
    )
    with dg.DagsterInstance.from_config(str(tmp_path / "home")) as opened:
        opened.event_log_storage.initialize_concurrency_limit_to_default("pool")
        yield opened


def started(instance: dg.DagsterInstance, tags: dict[str, str]) -> dg.DagsterRun:
    @dg.job
    def nothing() -> None:
        pass

    return instance.create_run_for_job(nothing, tags=tags, status=dg.DagsterRunStatus.STARTED)


def claim(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    return instance.event_log_storage.claim_concurrency_slot("pool", run.run_id, "step").is_claimed


def ended_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def status(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dg.DagsterRunStatus:
    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    return found.status


def test_the_slot_of_a_dead_process_goes_to_who_waits_for_it(instance: dg.DagsterInstance) -> None:
    dead = started(instance, {"rotoscale/process": f"{machine()}:{ended_process()}"})
    waiting = started(instance, process_tag())
    assert claim(instance, dead)
    assert not claim(instance, waiting)
    said = free_dead_slots(instance)
    assert len(said) == 2
    assert all(dead.run_id[:8] in sentence for sentence in said)
    assert status(instance, dead) == dg.DagsterRunStatus.CANCELED
    assert status(instance, waiting) == dg.DagsterRunStatus.STARTED
    assert claim(instance, waiting)
    assert free_dead_slots(instance) == []


def test_living_runs_and_those_of_other_machines_keep_their_slots(instance: dg.DagsterInstance) -> None:
    for tags in (process_tag(), {"rotoscale/process": f"{'0' * 12}:{ended_process()}"}, {}):
        run = started(instance, tags)
        assert claim(instance, run)
        assert free_dead_slots(instance) == []
        assert status(instance, run) == dg.DagsterRunStatus.STARTED
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)


def test_a_process_number_given_to_a_later_process_is_not_taken_for_the_run(instance: dg.DagsterInstance) -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        run = started(instance, {"rotoscale/process": f"{machine()}:{process.pid}"})
        assert free_dead_slots(instance) == []
        time.sleep(2.5)  # more than clocks are allowed to differ
        process.communicate(b"\n")
        assert [sentence for sentence in free_dead_slots(instance) if run.run_id[:8] in sentence]
    finally:
        process.kill()
        process.wait()


def test_runs_of_the_daemon_are_known_by_their_log(instance: dg.DagsterInstance) -> None:
    from dagster._core.events import EngineEventData

    living, dead = started(instance, {}), started(instance, {})
    instance.report_engine_event("Started process for run.", living, EngineEventData.in_process(os.getpid()))
    instance.report_engine_event("Started process for run.", dead, EngineEventData.in_process(ended_process()))
    free_dead_slots(instance)
    assert status(instance, living) == dg.DagsterRunStatus.STARTED
    assert status(instance, dead) == dg.DagsterRunStatus.CANCELED


def test_a_slot_of_a_finished_run_is_freed(instance: dg.DagsterInstance) -> None:
    run = started(instance, {})
    assert claim(instance, run)
    instance.report_run_failed(run)
    assert len(free_dead_slots(instance)) == 1
    assert instance.event_log_storage.get_concurrency_info("pool").claimed_slots == []


def test_who_waits_says_for_what_and_a_holder_killed_meanwhile_is_noticed(instance: dg.DagsterInstance) -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    holder = started(instance, {"rotoscale/process": f"{machine()}:{process.pid}"})
    waiting = started(instance, process_tag())
    assert claim(instance, holder)
    assert not claim(instance, waiting)
    said: list[str] = []
    with watched(instance, said.append, every=0.05):
        until(lambda: said)
        process.kill()
        process.wait()
        until(lambda: claim(instance, waiting))
    assert (
        said[0] == f"step waits for a slot of the pool pool, held by run {holder.run_id[:8]} of process {process.pid}"
    )


def until(condition) -> None:  # type: ignore[no-untyped-def]
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_run_killed_while_publishing_does_not_stop_the_next(tmp_path: Path, checkpoints: Path) -> None:
    """Killed for good (-9) with the pool's slot in its hand and a half-written file; the next run ends well."""
    data = tmp_path / "data"
    command = [*COMMAND, "compare", str(checkpoints / "base"), str(checkpoints / "base")]
    environment = {**os.environ, "ROTOSCALE_DATA": str(data), "ROTOSCALE_FAMILIES": str(data), "COLUMNS": "200"}
    (data / "published").mkdir(parents=True)
    with FileLock(data / "published" / ".lock"):  # so that publishing goes on for as long as we want
        process = subprocess.Popen(command, cwd=PROJECT, env=environment, start_new_session=True)
        until(lambda: list(data.glob("tables/coverage/*/rows.parquet")))  # and so Dagster's folder is made
        with dg.DagsterInstance.from_config(str(data / "dagster")) as opened:
            until(lambda: opened.event_log_storage.get_concurrency_info("warehouse").claimed_slots)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    again = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=300)
    assert again.returncode == 0, again.stderr
    assert "is free again" in again.stderr
    with read(data / "published") as connection:
        assert connection.execute("SELECT count(*) FROM models").fetchone() == (1,)
    with dg.DagsterInstance.from_config(str(data / "dagster")) as opened:
        assert opened.event_log_storage.get_concurrency_info("warehouse").claimed_slots == []
        assert opened.get_runs(filters=dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])) == []
    assert leftovers(data) == []


OPEN = """
import sys, time
from assets.groups import open_workspace
from command_line.running import open_instance
from resources.settings import load_settings
import dagster
print("ready", flush=True)
sys.stdin.readline()
with open_instance(open_workspace(load_settings())) as instance:
    instance.get_dynamic_partitions("models")
"""


def test_two_first_runs_at_once_make_one_sound_instance(tmp_path: Path) -> None:
    environment = {**os.environ, "ROTOSCALE_DATA": str(tmp_path / "data")}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", OPEN],
            cwd=PROJECT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        _, complaint = process.communicate(timeout=200)
        assert process.returncode == 0, complaint
    with dg.DagsterInstance.from_config(str(tmp_path / "data" / "dagster")) as opened:
        assert opened.get_runs() == []
