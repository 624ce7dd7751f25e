"""`rotoscale run [MODEL ...]`: materialize what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from command_line import completing
from command_line.options import workspace_options

if TYPE_CHECKING:
    import duckdb
    from rich.console import Console

    from resources.workspace import Workspace


@click.command()
@click.argument("models", nargs=-1, shell_complete=completing.models)
@click.option("--verbose", is_flag=True, help="First print every score, comparison and reading.")
@workspace_options
def run(models: tuple[str, ...], verbose: bool) -> None:
    """Materialize what is missing for MODELS, or for every model of the automatic families.

    What a model is compared with is brought up to date first. Models that are up to date cost nothing; one that
    fails is quarantined with its reason and the others go on. `rotoscale families` lists the names. It ends with the
    verdicts on the papers' claims.
    """
    from command_line import show
    from command_line.running import materialize, open_workspace
    from command_line.show_claims import claims
    from resources.warehouse import read

    space = open_workspace()
    wanted = list(models) or [entry.id for entry in space.wanted()]
    outcome = materialize(space, wanted, show.errors())
    console = show.output()
    with read(space.settings.published) as connection:
        if verbose:
            _details(console, connection, space, [model for model in wanted if model not in outcome.failed])
        claims(console, connection, {space.registry.model(model).family for model in wanted})
    show.say(
        console,
        f"{len(outcome.done)} models brought up to date, {len(outcome.fresh)} already were, "
        f"{len(outcome.failed)} failed.",
    )
    for model, reason in outcome.failed.items():
        show.complain(f"{model}: {reason}")
    show.say(console, f"Published in {space.settings.published}")
    show.say(
        console,
        "Next: `make ui` for the dashboard and the Dagster UI, `rotoscale run --verbose` for every score and reading, "
        "`rotoscale compare BASE POST` for any pair.",
    )
    if outcome.failed:
        raise click.exceptions.Exit(1)


def _details(console: Console, connection: duckdb.DuckDBPyConnection, space: Workspace, models: Sequence[str]) -> None:
    """Scores with their sentences, all comparisons in a line each, and the reading of every model against its base."""
    from command_line import show
    from command_line.show_pair import reading
    from command_line.show_scores import scores
    from resources.warehouse.summaries import sentences_on, summarize
    from rotoscale.claims.sentences import PAIR_PAGE

    for model in models:
        if scores(console, connection, model):
            console.print()
    pairs = [summarize(connection, m, other) for m in models for other in space.registry.model(m).dependencies]
    show.overview(console, [pair for pair in pairs if pair.matrices])
    for model in models:
        found = sentences_on(connection, model, PAIR_PAGE)
        if found:
            console.print()
            show.say(console, f"{model} against {space.registry.model(model).base}", style="bold")
            reading(console, found)
    console.print()
