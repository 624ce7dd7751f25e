"""`rotoscale doctor`: what is installed, where the data lie, and whether everything can be read."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
from collections.abc import Callable

import click

from command_line.options import workspace_options

_PACKAGES = ("torch", "transformers", "peft", "safetensors", "dagster", "duckdb", "streamlit", "lm_eval")


@click.command()
@workspace_options
def doctor() -> None:
    """Check the installation, the device, the folders and every table file; exit code 1 if anything is wrong."""
    from assets.groups import contract
    from command_line import show
    from resources.families import load_registry
    from resources.settings import load_settings, torch_device
    from resources.warehouse import TableStore, read
    from resources.warehouse.tables import load_file
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

    def table_files() -> str:
        store = TableStore(settings.tables, contract())
        files = [(file, table) for table in contract() for file in store.files(table)]
        for file, table in files:
            load_file(file, table)
        return f"{len(files)} files readable"

    def published() -> str:
        if not settings.published.exists():
            return "nothing published yet: `rotoscale run` or `rotoscale compare`"
        with read(settings.published) as connection:
            (version,) = connection.execute("SELECT version FROM published").fetchone() or (0,)
        return f"version {version}"

    def registry() -> str:
        found = load_registry(settings.families, settings.local_families)
        return f"{len(found.models)} models in {len(found.families)} families"

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
    check("tables", table_files)
    check("published", published)
    console.print(show.table("rotoscale doctor", ["what", "state", "found"], rows))
    if wrong:
        raise click.exceptions.Exit(1)
