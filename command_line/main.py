"""The `rotoscale` command itself: its subcommands, and how it fails.

An error about the user's input ends in one sentence on standard error and exit code 1; wrong usage in 2; an
interruption in 130. Tracebacks are for our own mistakes only.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

import click

from rotoscale.errors import RotoscaleError

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


def main() -> None:
    """Entry point of the `rotoscale` command."""
    try:
        code: Any = cli.main(prog_name="rotoscale", standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.Abort:
        click.echo("interrupted; finished matrices are kept, run the same command again to go on", err=True)
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except RotoscaleError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)
    except BrokenPipeError:  # the reader of a pipe went away, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        click.echo(f"Error: {error.strerror or error}{where}; nothing half-written is kept, run again", err=True)
        sys.exit(1)
