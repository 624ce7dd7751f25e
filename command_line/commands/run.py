"""`rotoscale run [MODEL ...]`: materialize what is missing."""

from __future__ import annotations

import click

from command_line import completing
from command_line.options import workspace_options


@click.command()
@click.argument("models", nargs=-1, shell_complete=completing.models)
@workspace_options
def run(models: tuple[str, ...]) -> None:
    """Materialize what is missing for MODELS, or for every model of the automatic families.

    What a model is compared with is brought up to date first. Models that are up to date cost nothing; one that
    fails is quarantined with its reason and the others go on. `rotoscale families` lists the names.
    """
    from command_line import show
    from command_line.running import materialize, open_workspace
    from command_line.show_claims import claims
    from command_line.show_pair import reading
    from command_line.show_scores import scores
    from resources.warehouse import read
    from resources.warehouse.pair_rows import read_pair_rows
    from resources.warehouse.summaries import summarize

    space = open_workspace()
    wanted = list(models) or [entry.id for entry in space.wanted()]
    outcome = materialize(space, wanted, show.errors())
    console = show.output()
    with read(space.settings.published) as connection:
        pairs = [
            summarize(connection, model, reference)
            for model in wanted
            if model not in outcome.failed
            for reference in space.registry.model(model).dependencies
        ]
        compared = [pair for pair in pairs if pair.matrices]
        readings = [read_pair_rows(connection, pair.model, pair.base) for pair in compared]
        for model in wanted:
            if scores(console, connection, model):
                console.print()
    show.overview(console, compared)
    for rows in readings:
        console.print(f"\n{rows.model} against {rows.base}", markup=False)
        reading(console, rows)
    with read(space.settings.published) as connection:
        console.print()
        claims(console, connection, {space.registry.model(model).family for model in wanted})
    console.print(
        f"\n{len(outcome.done)} models brought up to date, {len(outcome.fresh)} already were, "
        f"{len(outcome.failed)} failed."
    )
    for model, reason in outcome.failed.items():
        show.errors().print(f"{model}: {reason}", markup=False, soft_wrap=True)
    console.print(f"Published in {space.settings.published}", soft_wrap=True)
    console.print("Next: `make ui` for the dashboard and the Dagster UI, `rotoscale compare BASE POST` for any pair.")
    if outcome.failed:
        raise click.exceptions.Exit(1)
