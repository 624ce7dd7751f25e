"""The nightly backfill: what is missing or made by older code, newest releases first, so many models a night.

Each model is one run with a priority, which Dagster's queue keeps to; runs of one night have keys of that night, so
that a daemon that was killed in the middle asks for none twice.
"""

import dagster as dg

from assets.backlog import Waiting, backlog
from assets.groups import model_assets
from assets.materializing import WorkspaceResource
from assets.models.sensors import add_keys
from resources.settings import load_settings
from rotoscale.errors import RotoscaleError

_UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
_PARTITION = "dagster/partition"

models_job = dg.define_asset_job(
    "backfill_models",
    selection=dg.AssetSelection.assets(*model_assets()),
    description="Everything of one model, or what of it is out of date. The schedule `nightly_backfill` starts it, a "
    "run for each model whose turn it is; by hand, `everything_for_one_model` is the same.",
)


@dg.schedule(
    name="nightly_backfill",
    cron_schedule=load_settings().backfill_cron,
    job=models_job,
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Asks for what is missing or made by older code, newest releases first, at most "
    "ROTOSCALE_BACKFILL_MODELS models a night.",
)
def nightly_backfill(context: dg.ScheduleEvaluationContext, workspace: WorkspaceResource):
    """One run for each model whose turn it is."""
    try:
        space = workspace.open()
        waiting = backlog(space)
    except RotoscaleError as error:
        yield dg.SkipReason(str(error))
        return
    busy = _busy(context.instance)
    turn = [one for one in waiting if one.assets and one.model not in busy]
    taken = turn[: space.settings.backfill_models]
    context.log.info(summary(waiting, busy, taken))
    if not taken:
        yield dg.SkipReason(summary(waiting, busy, taken))
        return
    add_keys(context.instance, [one.model for one in taken])
    night = f"{context.scheduled_execution_time:%Y-%m-%dT%H:%M}"
    for place, one in enumerate(taken):
        yield dg.RunRequest(
            run_key=f"{night} {one.model}",
            partition_key=one.model,
            asset_selection=[dg.AssetKey(name) for name in one.assets],
            tags={"dagster/priority": str(len(taken) - place), "rotoscale/why": one.why},
        )


def summary(waiting: list[Waiting], busy: set[str], taken: list[Waiting]) -> str:
    """What a night does, in one sentence."""
    given_up = sum(not one.assets for one in waiting)
    running = sum(one.model in busy for one in waiting)
    return (
        f"{len(waiting)} models are not up to date: {len(taken)} are asked for now, {running} have runs already, "
        f"{given_up} are left out, the rest waits for another night"
    )


def _busy(instance: dg.DagsterInstance) -> set[str]:
    """Models that a run is there for already, waiting or going on."""
    runs = instance.get_runs(filters=dg.RunsFilter(statuses=_UNFINISHED))
    return {run.tags[_PARTITION] for run in runs if _PARTITION in run.tags}
