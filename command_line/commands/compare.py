"""`rotoscale compare BASE POST`: any two checkpoints, from the files to a reading."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from command_line.options import depth_option, workspace_options


@click.command()
@click.argument("base")
@click.argument("post")
@workspace_options
@click.option(
    "--json",
    "json_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also write the rows of scale_statistics, rotation_statistics and agreement to this file.",
)
@depth_option
def compare(base: str, post: str, json_file: Path | None) -> None:
    """Compare the checkpoint POST with the BASE it was trained from.

    Each is a local folder or a Hugging Face id (org/name or org/name@revision); POST may be a PEFT LoRA adapter.

    \b
    The output, from top to bottom:
      total change, and the most changed tensors outside the principal matrices
      scale       how singular values were scaled, per matrix type
      rotation    He and Cao's NF per matrix type (full depth)
      the five matrices that stand out
      agreement   whether left and right changed together, and where the energy of the change lies
      a reading of all this, with what is not known

    \b
    Examples:
      rotoscale compare demo/checkpoints/demo-base demo/checkpoints/demo-math
      rotoscale compare Qwen/Qwen2.5-1.5B Qwen/Qwen2.5-1.5B-Instruct --device auto
      rotoscale compare base/ adapter/ --json rows.json
      rotoscale compare base-7b/ tuned-7b/ --depth standard

    The same pair again takes seconds; a killed run goes on where it stopped.
    """
    from assets.groups import structural_assets
    from command_line import show, show_pair
    from command_line.running import materialize, materialize_pair, open_workspace
    from resources.families import pair_key, register_local
    from resources.warehouse import read
    from resources.warehouse.pair_rows import read_pair_rows
    from resources.warehouse.summaries import summarize
    from rotoscale.errors import RotoscaleError

    space = open_workspace()
    base_entry, post_entry = register_local(
        space.settings.local_families, base, post, shipped=[space.settings.families]
    )
    space.refresh()
    outcome = materialize(space, [post_entry.id], show.errors(), structural_assets())
    if outcome.failed:
        raise RotoscaleError("; ".join(f"{model}: {reason}" for model, reason in outcome.failed.items()))
    with read(space.settings.published) as connection:
        summary = summarize(connection, post_entry.id, base_entry.id)
        rows = {
            name: _rows(connection, name, post_entry.id, base_entry.id)
            for name in ("scale_statistics", "rotation_statistics", "agreement")
            if json_file
        }
        found = read_pair_rows(connection, post_entry.id, base_entry.id)
    if found.lineage is None and found.summary.looks_unrelated:
        failure = materialize_pair(space, "lineage", pair_key(base_entry.id, post_entry.id), show.errors())
        if failure:
            raise RotoscaleError(failure)
        with read(space.settings.published) as connection:
            found = read_pair_rows(connection, post_entry.id, base_entry.id)
    console = show.output()
    show.comparison(console, summary)
    show_pair.agreement(console, found)
    show_pair.reading(console, found)
    if json_file:
        _write(json_file, rows)


def _rows(connection: Any, table: str, model: str, base: str) -> list[dict[str, Any]]:
    cursor = connection.execute(
        f"SELECT * FROM {table} WHERE model_id = ? AND base_id = ? ORDER BY layer, matrix, expert", [model, base]
    )
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _write(file: Path, rows: dict[str, list[dict[str, Any]]]) -> None:
    from resources.atomic import write_text

    write_text(file.absolute(), json.dumps(rows, default=str, indent=1) + "\n")
