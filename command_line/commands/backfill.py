"""`rotoscale backfill`: what is missing or out of date, newest releases first."""

from __future__ import annotations

import datetime

import click

from command_line.options import workspace_options


@click.command()
@click.option("--family", help="Only this family, which may be one that runs only when named (default: all automatic).")
@click.option(
    "--since",
    type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M"]),
    help="Only models released then or later (UTC); those of unknown release are left out.",
)
@click.option("--older-code", is_flag=True, help="Only what has rows, made by an older version of its method.")
@click.option("--limit", type=click.IntRange(min=1), help="At most so many models (default: all that wait).")
@click.option("--dry-run", is_flag=True, help="Say what would be done and why, and do nothing.")
@workspace_options
def backfill(
    family: str | None, since: datetime.datetime | None, older_code: bool, limit: int | None, dry_run: bool
) -> None:
    """Materialize what is missing or out of date, newest releases first; the nightly backfill does the same.

    What was tried in vain comes last, and what failed too often (ROTOSCALE_TRIES) is left out until its files, its
    settings or the code change; `rotoscale run MODEL` tries it all the same. A killed backfill is simply started again.
    """
    from assets.backlog import backlog
    from command_line import show
    from command_line.running import materialize, open_workspace

    space = open_workspace()
    start = since.replace(tzinfo=datetime.UTC) if since else None
    waiting = backlog(space, family, start, older_code=older_code)
    turn = [one for one in waiting if one.assets][:limit]
    console = show.output()
    if dry_run:
        listed = [*turn, *(one for one in waiting if not one.assets)]
        rows = [
            [
                one.model,
                one.family,
                f"{one.released:%Y-%m-%d}" if one.released else "unknown",
                "; ".join(filter(None, [one.why if one.assets else "", *dict.fromkeys(one.held.values())])),
                ", ".join(one.assets),
                str(one.tries),
            ]
            for one in listed
        ]
        if rows:
            columns = ["model", "family", "released", "why", "would be made", "tries in vain"]
            show.put(console, show.table("rotoscale backfill", columns, rows))
        later = sum(bool(one.assets) for one in waiting) - len(turn)
        said = f"{len(turn)} models would be brought up to date, {later} more wait; nothing was done."
        show.say(console, said)
        return
    # Narrowed to older code, the other assets of these models are left as they are.
    assets = list({name: None for one in turn for name in one.assets}) if older_code else None
    outcome = materialize(space, [one.model for one in turn], show.errors(), assets)
    show.say(
        console,
        f"{len(outcome.done)} models brought up to date, {len(outcome.fresh)} already were, "
        f"{len(outcome.failed)} failed.",
    )
    for model, reason in outcome.failed.items():
        show.complain(f"{model}: {reason}")
    for one in waiting:
        for asset, reason in one.held.items():
            show.complain(f"{one.model}: {asset} was left out, {reason}")
    if outcome.failed:
        raise click.exceptions.Exit(1)
