"""The `rotoscale` command and its subcommands, each in a module of its own that is loaded on use."""

from __future__ import annotations

import importlib

import click

# Loaded on use: `rotoscale --help` should not wait for Dagster.
_COMMANDS = {
    "compare": "Compare any two checkpoints: scale, rotation against its null, where to look.",
    "edit": "Write one edited checkpoint: a change put back, broken, or taken alone.",
    "run": "Materialize what is missing for the registered models.",
    "families": "List the registered models and how far each one is.",
    "report": "Write one self-contained HTML file about a model or a family.",
    "publish": "Publish all finished tables as the next DuckDB file.",
    "doctor": "Check the installation, the device, the folders and every file in them.",
    "ui": "Start the Dagster UI and the dashboard.",
    "dashboard": "Start the dashboard alone.",
}


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        return getattr(importlib.import_module(f"command_line.{cmd_name}"), cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="rotoscale")
def cli() -> None:
    """What did post-training do to a language model?

    Start with two checkpoints, each a local folder or a Hugging Face id:

        rotoscale compare path/to/base path/to/fine-tune

    Results land in the folder ROTOSCALE_DATA (default: data/ in the project), in tables that the dashboard, the
    Dagster UI and any DuckDB client can read.
    """
