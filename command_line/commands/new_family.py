"""`rotoscale new-family NAME BASE POST ...`: a commented family file to fill in."""

from __future__ import annotations

from pathlib import Path

import click

from command_line.completing import checkpoints
from command_line.options import workspace_options


@click.command("new-family")
@click.argument("name")
@click.argument("base", shell_complete=checkpoints)
@click.argument("posts", metavar="POST ...", nargs=-1, required=True, shell_complete=checkpoints)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to write (default: NAME.yaml in $ROTOSCALE_FAMILIES, else families/ in the project).",
)
@workspace_options
def new_family(name: str, base: str, posts: tuple[str, ...], out: Path | None) -> None:
    """Write a family file for BASE and what was trained from it, with every further key explained in comments.

    Each is a local folder or a Hugging Face id (org/name or org/name@revision). Nothing that exists is replaced, and
    nothing runs by itself: the file says `automatic: false` until you change it.

    \b
    Example:
      rotoscale new-family mine path/to/base path/to/instruct path/to/adapter
    """
    from command_line import show
    from command_line.running import open_workspace
    from resources.families.template import write_template

    space = open_workspace()
    file = (out or space.settings.families / f"{name}.yaml").absolute()
    family = write_template(file, name, base, posts, space.registry)
    models = ", ".join(entry.id for entry in family.models)
    console = show.output()
    show.say(console, f"{file} registers {models}.")
    last = family.models[-1].id
    show.say(console, f"Next: fill it in; `rotoscale run {last}` takes a model through everything.")
