"""Runs whose worker died before they began, ended in Dagster's books so that they are started again.

Dagster's own monitoring asks only after runs that have begun, and gives up the others by time alone. On a cluster a
run may wait for hours until there is room, so that time says nothing; whether its worker is gone, the launcher knows.
"""

import dagster as dg
from dagster._core.launcher import WorkerStatus


def fail_dead_starts(instance: dg.DagsterInstance) -> list[str]:
    """Fail the runs that have not begun and whose worker has failed; a sentence for each.

    Dagster starts them again as far as `run_retries` allows. Launchers that cannot tell, as the one of a single
    machine, are not asked.
    """
    launcher = instance.run_launcher
    if not launcher.supports_check_run_worker_health:
        return []
    said = []
    for run in instance.get_runs(filters=dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTING])):
        health = launcher.check_run_worker_health(run)
        if health.status != WorkerStatus.FAILED:
            continue
        now = instance.get_run_by_id(run.run_id)
        if now is not None and now.status == dg.DagsterRunStatus.STARTING:  # it has not begun or ended meanwhile
            instance.report_run_failed(now, f"The worker of this run failed before it began: {health.msg}")
            said.append(f"run {run.run_id.partition('-')[0]} lost its worker before it began")
    return said


@dg.sensor(
    name="dead_starts",
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="On a cluster: ends runs whose worker died before they began, so that they are started again.",
)
def dead_starts(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Look after the runs that have not begun yet."""
    return dg.SkipReason("; ".join(fail_dead_starts(context.instance)) or "no run lost its worker before it began")
