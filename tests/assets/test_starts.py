"""Runs that never began: ended when their worker is gone, left alone while they only wait."""

from __future__ import annotations

from collections.abc import Callable

import dagster as dg
import pytest
from dagster._core.launcher import RunLauncher, WorkerStatus
from dagster._core.launcher.base import CheckRunHealthResult

from assets.definitions import defs
from assets.starts import fail_dead_starts

Meanwhile = Callable[[dg.DagsterInstance, dg.DagsterRun], None]


class Launcher(RunLauncher):
    """One that knows how the workers of its runs are."""

    supports_check_run_worker_health = True

    def __init__(self, status: WorkerStatus, meanwhile: Meanwhile = lambda *_: None) -> None:
        super().__init__()
        self.status, self.meanwhile = status, meanwhile

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        self.meanwhile(self._instance, run)
        return CheckRunHealthResult(self.status, "the actor died")

    def launch_run(self, context: object) -> None:
        raise AssertionError("nothing is launched here")

    def terminate(self, run_id: str) -> bool:
        raise AssertionError("nothing is ended here")


@pytest.fixture
def instance() -> dg.DagsterInstance:
    return dg.DagsterInstance.ephemeral()


def launched_with(instance: dg.DagsterInstance, launcher: RunLauncher, monkeypatch: pytest.MonkeyPatch) -> None:
    launcher.register_instance(instance)
    monkeypatch.setattr(dg.DagsterInstance, "run_launcher", property(lambda _: launcher))


def a_run(instance: dg.DagsterInstance, status: dg.DagsterRunStatus) -> dg.DagsterRun:
    return instance.create_run_for_job(dg.GraphDefinition("nothing").to_job(), status=status)


def status_of(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dg.DagsterRunStatus:
    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    return found.status


def test_a_run_that_lost_its_worker_fails_with_the_reason(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    launched_with(instance, Launcher(WorkerStatus.FAILED), monkeypatch)
    lost, begun = (a_run(instance, status) for status in (dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED))
    (said,) = fail_dead_starts(instance)
    assert lost.run_id[:8] in said
    assert status_of(instance, lost) == dg.DagsterRunStatus.FAILURE
    assert status_of(instance, begun) == dg.DagsterRunStatus.STARTED, "Dagster's own monitoring looks after these"
    assert any("the actor died" in str(entry.dagster_event) for entry in instance.all_logs(lost.run_id))


@pytest.mark.parametrize("status", [WorkerStatus.RUNNING, WorkerStatus.UNKNOWN, WorkerStatus.SUCCESS])
def test_a_run_that_waits_is_left_alone(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, status: WorkerStatus
) -> None:
    launched_with(instance, Launcher(status), monkeypatch)
    waits = a_run(instance, dg.DagsterRunStatus.STARTING)
    assert fail_dead_starts(instance) == []
    assert status_of(instance, waits) == dg.DagsterRunStatus.STARTING


def test_a_run_that_ended_while_it_was_asked_after_is_left_alone(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cancel(instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
        instance.report_run_canceled(run)

    launched_with(instance, Launcher(WorkerStatus.FAILED, cancel), monkeypatch)
    run = a_run(instance, dg.DagsterRunStatus.STARTING)
    assert fail_dead_starts(instance) == []
    assert status_of(instance, run) == dg.DagsterRunStatus.CANCELED


def test_the_sensor_is_there_and_asks_nothing_of_one_machine(instance: dg.DagsterInstance) -> None:
    run = a_run(instance, dg.DagsterRunStatus.STARTING)
    sensor = defs.get_sensor_def("dead_starts")
    assert sensor.default_status == dg.DefaultSensorStatus.RUNNING
    said = sensor(dg.build_sensor_context(instance=instance))
    assert said == dg.SkipReason("no run lost its worker before it began")
    assert status_of(instance, run) == dg.DagsterRunStatus.STARTING
