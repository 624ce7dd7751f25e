"""`rotoscale dashboard`: the dashboard alone."""

from __future__ import annotations

import click

from command_line.options import workspace_options


@click.command()
@workspace_options
@click.option("--port", default=8501, show_default=True, help="Port, on 127.0.0.1.")
def dashboard(port: int) -> None:
    """Start the dashboard over the published file; stop it with Ctrl-C."""
    from command_line import show
    from command_line.services import Service, serve
    from dashboard import launch
    from resources.settings import PROJECT

    show.output().print(f"Dashboard: {launch.address(port)}; Ctrl-C stops it")
    code = serve([Service("dashboard", launch.command(port), launch.environment())], PROJECT)
    raise click.exceptions.Exit(code)
