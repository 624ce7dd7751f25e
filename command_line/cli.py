"""The `rotoscale` command and its subcommands, each in a module of its own that is loaded on use."""

from __future__ import annotations

import importlib
import pkgutil

import click

from command_line import commands


class _Commands(click.Group):
    """The commands found in command_line/commands; each imports what is heavy only when it runs.

    The module of a command whose name has a dash has an underscore in its place.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(found.name.replace("_", "-") for found in pkgutil.iter_modules(commands.__path__))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        module = cmd_name.replace("-", "_")
        return getattr(importlib.import_module(f"command_line.commands.{module}"), module)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="rotoscale")
def cli() -> None:
    """What did post-training do to a language model?

    Start with two checkpoints, each a local folder or a Hugging Face id:

        rotoscale compare path/to/base path/to/fine-tune

    Results land in the folder ROTOSCALE_DATA (default: data/ in the project), in tables that the dashboard, the
    Dagster UI and any DuckDB client can read.
    """
