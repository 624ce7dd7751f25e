"""`rotoscale forget MODEL`: take a model's results away, and keep it from running by itself."""

from __future__ import annotations

import click

from command_line import completing
from command_line.options import workspace_options


@click.command()
@click.argument("model", shell_complete=completing.models)
@workspace_options
def forget(model: str) -> None:
    """Remove the rows, factors and edits of MODEL, registered still or no longer.

    It stays listed as forgotten, and runs again only when `rotoscale run` names it. Its checkpoint is not touched.
    """
    from assets.publishing import publish
    from command_line import show
    from command_line.running import open_workspace
    from resources.forgetting import forget as take_away

    space = open_workspace()
    gone = take_away(space, model)
    publish(space)
    show.say(
        show.output(),
        f"{model} is forgotten: rows of {gone.tables} tables, {gone.factors} factors and {gone.edits} edits removed.",
    )
