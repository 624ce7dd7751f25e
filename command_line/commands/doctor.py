"""`rotoscale doctor`: what is installed, where the data lie, and whether everything can be read."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
from collections.abc import Callable
from functools import partial

import click

from command_line.options import workspace_options

_PACKAGES = ("torch", "transformers", "peft", "safetensors", "dagster", "duckdb", "streamlit", "lm_eval")


@click.command()
@workspace_options
@click.option("--quick", is_flag=True, help="Leave out factors and kept edits, which may be many gigabytes.")
def doctor(quick: bool) -> None:
    """Check the installation, the device, the folders, and every stored file against its checksum.

    The exit code is 1 if anything is wrong. What is damaged is named with its remedy; nothing is changed.
    """
    from assets.backlog import backlog
    from assets.groups import contract, open_workspace
    from command_line import show
    from command_line.running import bar
    from resources import progress
    from resources.atomic import leftovers
    from resources.damage import examinations
    from resources.families import load_registry
    from resources.settings import load_settings, torch_device
    from resources.warehouse import TableStore, current
    from resources.warehouse.publish import check_published
    from rotoscale.errors import RotoscaleError

    settings = load_settings()
    console = show.output()
    rows: list[list[str]] = []
    wrong = False

    def check(name: str, ask: Callable[[], str]) -> None:
        nonlocal wrong
        try:
            rows.append([name, "ok", ask()])
        except (RotoscaleError, OSError, importlib.metadata.PackageNotFoundError) as error:
            wrong = True
            rows.append([name, "WRONG", str(error)])

    def published() -> str:
        if not settings.published.exists() or current(settings.published) is None:
            return "nothing published yet: `rotoscale run` or `rotoscale compare`"
        return f"version {check_published(settings.published)}"

    def registry() -> str:
        found = load_registry(settings.families, settings.local_families)
        return f"{len(found.models)} models in {len(found.families)} families"

    def waiting() -> str:
        waits = backlog(open_workspace(settings))
        given_up = [f"{one.model} ({reason})" for one in waits for reason in dict.fromkeys(one.held.values())]
        failing = [f"{one.model} {one.tries}" for one in waits if one.tries and not one.held]
        said = [f"{len(waits)} models are not up to date"]
        said += [f"tried in vain: {', '.join(failing)}"] if failing else []
        said += [f"given up: {'; '.join(given_up)}"] if given_up else []
        return "; ".join(said)

    def writable() -> str:
        settings.data.mkdir(parents=True, exist_ok=True)
        if not os.access(settings.data, os.W_OK):
            raise RotoscaleError(f"{settings.data} cannot be written; set ROTOSCALE_DATA to a folder that can")
        return f"{settings.data}, {shutil.disk_usage(settings.data).free / 1e9:.0f} GB free"

    check("python", platform.python_version)
    for package in _PACKAGES:
        check(package, lambda package=package: importlib.metadata.version(package))  # type: ignore[misc]
    check("device", lambda: torch_device(settings.device))
    check("workers", lambda: f"{settings.workers} of {os.cpu_count()} cores")
    check("data", writable)
    check("families", registry)
    check("backlog", waiting)
    with bar(show.errors()):
        for examination in examinations(settings, TableStore(settings.tables, contract())):
            if not (quick and examination.slow):
                report = partial(progress.report, f"reading {examination.name}")
                check(examination.name, partial(examination.run, report))
        check("published", published)
    check("leftovers", lambda: f"{len(leftovers(settings.data))} files of killed runs, swept by the next publishing")
    show.put(console, show.table("rotoscale doctor", ["what", "state", "found"], rows))
    if wrong:
        raise click.exceptions.Exit(1)
