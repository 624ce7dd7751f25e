"""`rotoscale ui`: the Dagster UI with everything there to materialize."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import click

from command_line.options import workspace_options


@click.command()
@workspace_options
@click.option("--port", default=3000, show_default=True, help="Port of the Dagster UI, on 127.0.0.1.")
def ui(port: int) -> None:
    """Start the Dagster UI and its daemon; stop both with Ctrl-C."""
    from command_line import show
    from command_line.running import open_workspace, prepare_home
    from resources.settings import PROJECT

    space = open_workspace()
    prepare_home(space)
    import dagster as dg

    from assets.sensors import add_keys, automatic_keys

    with dg.DagsterInstance.get() as instance:
        add_keys(instance, automatic_keys(space))
    show.output().print(f"Dagster UI: http://127.0.0.1:{port} (data in {space.settings.data}); Ctrl-C stops it")
    arguments = ["dev", "--host", "127.0.0.1", "--port", str(port), "-w", str(PROJECT / "workspace.yaml")]
    # A session of its own: `dagster dev` starts children that a signal to the parent alone would leave behind.
    process = subprocess.Popen(
        [sys.executable, "-m", "dagster", *arguments], cwd=PROJECT, env=dict(os.environ), start_new_session=True
    )
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: os.killpg(process.pid, signal.SIGTERM))
    code = process.wait()
    raise click.exceptions.Exit(0 if code in (0, -signal.SIGTERM) else 1)
