"""`rotoscale ui`: the Dagster UI with everything there to materialize, and the dashboard beside it."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from command_line.options import workspace_options

if TYPE_CHECKING:
    import dagster as dg

    from resources.workspace import Workspace

_LAUNCHED = ".dagster/grpc_info"
"""Tag of runs that Dagster's own daemon or UI launched; runs of `rotoscale run` beside it have none."""
_PARTITION = "dagster/partition"


@click.command()
@workspace_options
@click.option("--port", default=3000, show_default=True, help="Port of the Dagster UI, on 127.0.0.1.")
@click.option("--dashboard-port", default=8501, show_default=True, help="Port of the dashboard, on 127.0.0.1.")
def ui(port: int, dashboard_port: int) -> None:
    """Start the Dagster UI with its daemon, and the dashboard; stop all with Ctrl-C.

    The daemon materializes what is missing for every model of the automatic families, as soon as it runs.
    """
    from command_line import show
    from command_line.running import open_instance, open_workspace
    from command_line.services import Service, require_free, serve
    from dashboard import launch
    from resources import addresses
    from resources.settings import PROJECT

    require_free(port, "--port")
    require_free(dashboard_port, "--dashboard-port")
    space = open_workspace()
    from assets.models.sensors import add_keys, wanted_keys
    from assets.slots import watched

    # The servers run in the project's folder, so that relative paths would mean something else to them.
    os.environ["ROTOSCALE_DATA"] = str(space.settings.data)
    os.environ["ROTOSCALE_FAMILIES"] = str(space.settings.families)
    # Judging what waits reads every table's file once; of thousands of models that takes more than a minute.
    os.environ.setdefault("DAGSTER_SCHEDULE_GRPC_TIMEOUT_SECONDS", "600")
    addresses.note(space.settings.data, dagster=f"http://127.0.0.1:{port}", dashboard=launch.address(dashboard_port))
    dagster = [sys.executable, "-m", "dagster", "dev", "--host", "127.0.0.1", "--port", str(port)]
    logs = space.settings.data / "logs"
    console = show.output()
    # Watched all the while: a run of the daemon that is killed would stop all publishing.
    with open_instance(space) as instance, watched(instance, console.print, every=30.0):
        add_keys(instance, wanted_keys(space))
        release_runs(instance)
        console.print(f"Dagster UI: http://127.0.0.1:{port}\nDashboard:  {launch.address(dashboard_port)}")
        show.say(console, f"Data in {space.settings.data}, logs in {logs}; Ctrl-C stops both.")
        serve(
            [
                Service(
                    "Dagster UI",
                    [*dagster, "-w", str(PROJECT / "workspace.yaml")],
                    os.environ,
                    logs / "dagster.log",
                ),
                Service("dashboard", launch.command(dashboard_port), launch.environment(), logs / "dashboard.log"),
            ],
            PROJECT,
            before_stop=lambda: take_back_tries(space, release_runs(instance)),
        )


def take_back_tries(space: Workspace, models: list[str]) -> None:
    """What is stopped with the UI did not fail: its tries do not count."""
    for model in models:
        for asset in space.tries.begun(model):
            space.tries.interrupted(model, asset)


def release_runs(instance: dg.DagsterInstance) -> list[str]:
    """Mark the daemon's unfinished runs as cancelled: without their processes they would stay "started" for good.

    A run left as started holds a slot, and one that fails because it was stopped is not tried again by the
    automation; a cancelled one is, and finished matrices are kept either way. Returns the models of these runs.
    """
    import dagster as dg

    models = []

    unfinished = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.CANCELING]
    for run in instance.get_runs(filters=dg.RunsFilter(statuses=unfinished)):
        if _LAUNCHED in run.tags:
            instance.report_run_canceled(run, message="Stopped together with the UI; it starts again with it.")
            models += [run.tags[_PARTITION]] if _PARTITION in run.tags else []
    return models
