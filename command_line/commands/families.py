"""`rotoscale families`: what is registered, and how far it is."""

from __future__ import annotations

import click

from command_line.options import workspace_options


@click.command()
@click.option("--forgotten", is_flag=True, help="List forgotten models too.")
@click.option("--wide", is_flag=True, help="Also say where each comes from: its folder or its repository on the Hub.")
@workspace_options
def families(forgotten: bool, wide: bool) -> None:
    """List the registered models: what each is compared with, and how far it is.

    Families are YAML files in families/; models given to `rotoscale compare` are registered in the data folder.
    """
    from assets.freshness import pending
    from assets.groups import model_assets
    from command_line import show
    from command_line.running import open_workspace
    from resources.warehouse.summaries.measures import FORGOTTEN
    from resources.workspace import WAITING

    space = open_workspace()
    console = show.output()
    for number, family in enumerate(space.registry.families.values()):
        if number:
            console.print()
        rows = []
        for entry in family.models:
            facts = next(iter(space.tables.read("models", entry.id)), None)
            if facts and facts["status"] in ("quarantined", WAITING):
                state = f"{facts['status']}: {facts['status_reason']}"
            elif facts and facts["status"] == FORGOTTEN:
                if not forgotten:
                    continue
                state = "forgotten (runs only when named)"
            elif facts is None:
                state = "not started"
            elif entry.hub:
                state = "catalogued"  # asking whether a Hub model changed would ask the Hub
            else:
                left = pending(space, entry.id)
                state = f"{len(model_assets()) - len(left)} of {len(model_assets())} assets" if left else "up to date"
            source = [entry.source] if wide else []
            rows.append([entry.id, entry.method or "", ", ".join(entry.dependencies), state, *source])
        title = f"{family.name}: {family.title}" + ("" if family.automatic else " (runs only when named)")
        show.put(
            console,
            show.table(title, ["model", "method", "compared with", "state", *(["source"] if wide else [])], rows),
        )
