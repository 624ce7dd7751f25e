"""`rotoscale report NAME --out FILE.html`: figures and tables as one file to send to somebody."""

from __future__ import annotations

from pathlib import Path

import click

from command_line import completing
from command_line.options import workspace_options


@click.command()
@click.argument("name", shell_complete=completing.models_and_families)
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="HTML file to write; an existing one is replaced.",
)
@workspace_options
def report(name: str, out: Path) -> None:
    """Write what is published about the model or family NAME as one self-contained HTML file.

    \b
    Examples:
      rotoscale report demo --out demo.html
      rotoscale report demo-math-lora --out lora.html
    """
    from command_line import show
    from command_line.running import open_workspace
    from dashboard.report import write_report

    written = write_report(name, out.absolute(), open_workspace().settings.published)
    show.say(show.output(), f"{written} ({written.stat().st_size / 1e6:.1f} MB)")
