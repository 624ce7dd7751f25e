"""`rotoscale dashboard`: the dashboard alone."""

from __future__ import annotations

import os

import click

from command_line.options import workspace_options


@click.command()
@workspace_options
@click.option("--port", default=8501, show_default=True, help="Port, on 127.0.0.1.")
def dashboard(port: int) -> None:
    """Start the dashboard over the published file; stop it with Ctrl-C."""
    from command_line import show
    from command_line.services import Service, require_free, serve
    from dashboard import launch
    from resources import addresses
    from resources.settings import PROJECT, load_settings

    require_free(port, "--port")
    data = load_settings().data
    os.environ["ROTOSCALE_DATA"] = str(data)
    addresses.note(data, dashboard=launch.address(port))
    log = data / "logs" / "dashboard.log"
    show.say(show.output(), f"Dashboard: {launch.address(port)} (log in {log}); Ctrl-C stops it")
    serve([Service("dashboard", launch.command(port), launch.environment(), log)], PROJECT)
