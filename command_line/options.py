"""Options that several commands share. They set environment variables, which worker processes inherit."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])


def _into(variable: str) -> Callable[[click.Context, click.Parameter, Any], Any]:
    def callback(ctx: click.Context, parameter: click.Parameter, value: Any) -> Any:
        if value is not None:
            os.environ[variable] = str(Path(value).expanduser().absolute()) if isinstance(value, Path) else str(value)
        return value

    return callback


def depth_option(command: Command) -> Command:
    """Add --depth."""
    option = click.option(
        "--depth",
        type=click.Choice(["auto", "standard", "full"]),
        callback=_into("ROTOSCALE_DEPTH"),
        expose_value=False,
        help="standard (scale, agreement, energy, changes), full (also NF, formula, intruders), or auto: by size.",
    )
    return option(command)


def workspace_options(command: Command) -> Command:
    """Add --data, --device and --workers."""
    for option in (
        click.option(
            "--workers",
            type=click.IntRange(min=1),
            callback=_into("ROTOSCALE_WORKERS"),
            expose_value=False,
            help="Worker processes for large models (default: one per core, as far as memory allows).",
        ),
        click.option(
            "--device",
            callback=_into("ROTOSCALE_DEVICE"),
            expose_value=False,
            help="cpu (default), cuda, cuda:N, mps, or auto.",
        ),
        click.option(
            "--data",
            type=click.Path(path_type=Path, file_okay=False),
            callback=_into("ROTOSCALE_DATA"),
            expose_value=False,
            help="Folder for results (default: $ROTOSCALE_DATA, else data/ in the project).",
        ),
    ):
        command = option(command)
    return command
