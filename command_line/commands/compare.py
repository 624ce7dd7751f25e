"""`rotoscale compare BASE POST`: any two checkpoints, from the files to a reading."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from command_line import completing
from command_line.options import depth_option, workspace_options


@click.command()
@click.argument("base", shell_complete=completing.checkpoints)
@click.argument("post", shell_complete=completing.checkpoints)
@workspace_options
@click.option(
    "--json",
    "json_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also write the rows of scale_statistics, rotation_statistics and agreement to this file.",
)
@click.option("--wide", is_flag=True, help="Also print every table: scale, rotation, agreement, energy, outliers.")
@depth_option
def compare(base: str, post: str, json_file: Path | None, wide: bool) -> None:
    """Compare the checkpoint POST with the BASE it was trained from.

    Each is a local folder or a Hugging Face id (org/name or org/name@revision); POST may be a PEFT LoRA adapter.

    \b
    The output, from top to bottom:
      verdicts on the papers' claims that weights alone can support or refute
      a reading: how much changed and where, scale, agreement, what is not known
      one table by matrix type

    \b
    With --wide also:
      total change, and the most changed tensors outside the principal matrices
      scale       how singular values were scaled, per matrix type
      rotation    He and Cao's NF per matrix type (full depth)
      the five matrices that stand out
      agreement   whether left and right changed together, and where the
                  energy of the change lies

    \b
    Examples:
      rotoscale compare demo/checkpoints/demo-base demo/checkpoints/demo-math
      rotoscale compare Qwen/Qwen2.5-1.5B Qwen/Qwen2.5-1.5B-Instruct --device auto
      rotoscale compare base/ adapter/ --json rows.json
      rotoscale compare base-7b/ tuned-7b/ --depth standard

    The same pair again takes seconds; a killed run goes on where it stopped.
    """
    from command_line import show, show_pair
    from command_line.running import compare_pair, open_workspace
    from resources.families import register_local
    from resources.warehouse import read
    from resources.warehouse.pair_rows import pair_sentences, read_pair_rows
    from resources.warehouse.summaries import sentences, sentences_on, summarize
    from rotoscale.claims import NOT_TESTED
    from rotoscale.claims.sentences import PAIR_PAGE

    space = open_workspace()
    registration = register_local(space.settings.local_families, base, post, shipped=[space.settings.families])
    base_entry, post_entry = registration
    space.refresh()
    compare_pair(space, registration, show.errors())
    with read(space.settings.published) as connection:
        summary = summarize(connection, post_entry.id, base_entry.id)
        rows = {
            name: _rows(connection, name, post_entry.id, base_entry.id)
            for name in ("scale_statistics", "rotation_statistics", "agreement")
            if json_file
        }
        found = read_pair_rows(connection, post_entry.id, base_entry.id)
        is_its_base = post_entry.base == base_entry.id != post_entry.id
        verdicts = [row for row in sentences(connection) if row["model_id"] == post_entry.id and is_its_base]
        # Stored of every model against its base; one against itself, or another reference, is read here and now.
        reading = sentences_on(connection, post_entry.id, PAIR_PAGE) if is_its_base else pair_sentences(found)
    console = show.output()
    show.say(console, f"{post_entry.id} against {base_entry.id}", style="bold")
    for row in verdicts:
        if row["verdict"] != NOT_TESTED:
            show.say(console, row["sentence"], "- ")
    show_pair.reading(console, reading)
    show_pair.short(console, found)
    if wide:
        show.comparison(console, summary)
        show_pair.agreement(console, found)
    else:
        console.print("--wide prints every table.", style="dim")
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
