"""`rotoscale publish`: the finished tables as the next DuckDB file."""

from __future__ import annotations

import click

from command_line.options import workspace_options


@click.command()
@workspace_options
def publish() -> None:
    """Publish all finished tables as the next DuckDB file. `run` and `compare` do this by themselves."""
    from assets.publishing import publish as publish_workspace
    from command_line import show
    from command_line.running import open_workspace

    published = publish_workspace(open_workspace())
    counts = ", ".join(f"{rows} {table}" for table, rows in published.rows.items() if rows)
    show.say(show.output(), f"{published.path}: {counts or 'no rows yet'}")
