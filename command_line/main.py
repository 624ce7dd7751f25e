"""The `rotoscale` command itself: its subcommands, and how it fails.

An error about the user's input ends in one sentence on standard error and exit code 1; wrong usage in 2; an
interruption in 130. Tracebacks are for our own mistakes only.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import sys
from typing import Any

import click

from command_line import commands
from rotoscale.errors import RotoscaleError


class _Commands(click.Group):
    """The commands found in command_line/commands; each imports what is heavy only when it runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(found.name for found in pkgutil.iter_modules(commands.__path__))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        return getattr(importlib.import_module(f"command_line.commands.{cmd_name}"), cmd_name)


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
