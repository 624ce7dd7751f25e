"""`rotoscale run [MODEL ...]`: materialize what is missing."""

from __future__ import annotations

import click

from command_line.options import workspace_options


@click.command()
@click.argument("models", nargs=-1)
@workspace_options
def run(models: tuple[str, ...]) -> None:
    """Materialize what is missing for MODELS, or for every model of the automatic families.

    What a model is compared with is brought up to date first. Models that are up to date cost nothing; one that
    fails is quarantined with its reason and the others go on. `rotoscale families` lists the names.
    """
    from command_line import show
    from command_line.running import materialize, open_workspace
    from resources.warehouse import read
    from resources.warehouse.summary import summarize

    space = open_workspace()
    wanted = list(models) or [entry.id for entry in space.registry.automatic()]
    outcome = materialize(space, wanted, show.errors())
    console = show.output()
    with read(space.settings.published) as connection:
        summaries = [
            summarize(connection, model, reference)
            for model in wanted
            if model not in outcome.failed
            for reference in space.registry.model(model).dependencies
        ]
    if summaries:
        show.overview(console, summaries)
    console.print(
        f"\n{len(outcome.done)} models brought up to date, {len(outcome.fresh)} already were, "
        f"{len(outcome.failed)} failed."
    )
    for model, reason in outcome.failed.items():
        show.errors().print(f"[bold]{model}[/bold]: {reason}", markup=True)
    console.print(
        f"Published: {space.settings.published}\n"
        "Next: `rotoscale compare BASE POST` for any pair, `make ui` for the Dagster UI."
    )
    if outcome.failed:
        raise click.exceptions.Exit(1)
