"""`rotoscale ui`: the Dagster UI with everything there to materialize, and the dashboard beside it."""

from __future__ import annotations

import os
import sys

import click

from command_line.options import workspace_options


@click.command()
@workspace_options
@click.option("--port", default=3000, show_default=True, help="Port of the Dagster UI, on 127.0.0.1.")
@click.option("--dashboard-port", default=8501, show_default=True, help="Port of the dashboard, on 127.0.0.1.")
def ui(port: int, dashboard_port: int) -> None:
    """Start the Dagster UI with its daemon, and the dashboard; stop all with Ctrl-C.

    The daemon materializes what is missing for every model of the automatic families, as soon as it runs.
    """
    from command_line import show
    from command_line.running import open_workspace, prepare_home
    from command_line.services import Service, serve
    from dashboard import launch
    from resources.settings import PROJECT

    space = open_workspace()
    prepare_home(space)
    import dagster as dg

    from assets.sensors import add_keys, automatic_keys

    with dg.DagsterInstance.get() as instance:
        add_keys(instance, automatic_keys(space))
    os.environ["ROTOSCALE_DATA"] = str(space.settings.data)
    os.environ["ROTOSCALE_DAGSTER_URL"] = f"http://127.0.0.1:{port}"
    dagster = [sys.executable, "-m", "dagster", "dev", "--host", "127.0.0.1", "--port", str(port)]
    console = show.output()
    console.print(f"Dagster UI: http://127.0.0.1:{port}\nDashboard:  {launch.address(dashboard_port)}")
    console.print(f"Data in {space.settings.data}; Ctrl-C stops both.")
    code = serve(
        [
            Service("Dagster UI", [*dagster, "-w", str(PROJECT / "workspace.yaml")], os.environ),
            Service("dashboard", launch.command(dashboard_port), launch.environment()),
        ],
        PROJECT,
    )
    raise click.exceptions.Exit(code)
