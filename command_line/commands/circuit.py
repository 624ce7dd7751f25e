"""`rotoscale circuit MODEL`: the entity-tracking circuit of any model, and what became of it in others."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from command_line import completing
from command_line.options import workspace_options

if TYPE_CHECKING:
    from rich.console import Console

    from resources.location import Location
    from resources.workspace import Workspace

Tables = dict[str, list[dict[str, Any]]]


@click.command()
@click.argument("model", shell_complete=completing.checkpoints)
@click.option("--in", "others", metavar="MODEL", multiple=True, help="Follow the circuit into this model; repeatable.")
@click.option(
    "--json",
    "json_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also write all rows to this file, by table; every head's score of every step among them.",
)
@click.option(
    "--prompts",
    type=click.IntRange(min=8),
    help="Prompts for path patching: a quick look below 105, in full from there (default: $ROTOSCALE_CIRCUIT_PROMPTS, "
    "else 35).",
)
@click.option("--boxes", type=click.IntRange(min=2, max=8), default=7, show_default=True, help="Boxes in each prompt.")
@workspace_options
def circuit(model: str, others: tuple[str, ...], json_file: Path | None, prompts: int | None, boxes: int) -> None:
    """Find the attention heads of MODEL that do entity tracking.

    MODEL is a registered model, a local folder or a Hugging Face id (org/name or org/name@revision); so is each model
    given by --in, which may be a PEFT LoRA adapter on MODEL. Nothing is registered or stored.

    \b
    The output:
      groups        the heads of each step, or the best rejected score of a
                    step that found none
      faithfulness  what the circuit does alone, beside random circuits of
                    the same size
      with --in     the same inside the other model, and each group of heads
                    exchanged between the two

    \b
    Examples:
      rotoscale circuit demo-base --in demo-math --in demo-instruct
      rotoscale circuit path/to/model --json rows.json --prompts 105
    """
    from dataclasses import replace

    from command_line import show
    from command_line.running import bar, open_workspace
    from resources.circuits.finding import find_circuit
    from resources.circuits.following import follow_circuit
    from resources.circuits.opening import require_alike, require_task
    from resources.circuits.sizes import circuit_settings

    space = open_workspace()
    known = circuit_settings(prompts or space.settings.circuit_prompts, space.settings.seed)
    settings = replace(known, n_boxes=boxes)
    (name, location), *followed = _locate_all(space, [model, *others])
    require_task(name, location, settings)
    for other in followed:  # what shows without reading weights, before long work
        require_task(*other, settings)
        require_alike((name, location), other)
    tables: Tables = {}
    with bar(show.errors()), _open(space, name, location, settings) as base:
        found = find_circuit(base, settings=settings)
        _add(tables, found.tables)
        for other_name, other_location in followed:
            with _open(space, other_name, other_location, settings) as opened:
                own = find_circuit(opened, settings=settings, tables=("circuit_faithfulness", "circuit_checks"))
                _add(tables, own.tables)
                rows = follow_circuit(found, base, opened, settings, own=own).tables
            rows["followed_edges"] = rows.pop("circuit_edges")
            rows["cross_model_patching"] = [{"model_id": other_name, **row} for row in rows["cross_model_patching"]]
            _add(tables, rows)
    console = show.output()
    _print(console, tables, found.reason)
    if json_file:
        from resources.atomic import write_text

        write_text(json_file.absolute(), json.dumps(_plain(tables), indent=1, allow_nan=False) + "\n")


def _locate_all(space: Workspace, texts: list[str]) -> list[tuple[str, Location]]:
    """Names and places of the models, all of them different; the first is the one that adapters stand on."""
    from rotoscale.errors import RotoscaleError

    found = [_locate(space, texts[0], None)]
    for text in texts[1:]:
        name, location = _locate(space, text, found[0][1])
        if any(location == other for _, other in found):
            raise RotoscaleError(f"{text} is the model itself or stands there twice; give --in other models")
        used = {known for known, _ in found}
        number = 2
        unique = name
        while unique in used:
            unique, number = f"{name}-{number}", number + 1
        found.append((unique, location))
    return found


def _locate(space: Workspace, text: str, base: Location | None) -> tuple[str, Location]:
    """A model's name and where it lies; an adapter that is not registered stands on the base given."""
    from resources.families import unregistered
    from resources.location import Location

    entry = unregistered(text, space.registry)
    if entry.id in space.registry.models and space.registry.models[entry.id] is entry:
        return entry.id, space.location(entry.id)
    folder = space.folder(entry)
    is_adapter = (folder / "adapter_config.json").exists()
    return entry.id, Location(folder, base.path if is_adapter and base else None)


def _open(space: Workspace, name: str, location: Location, settings: Any) -> Any:
    from resources.circuits.opening import opened
    from resources.evaluation.weights import content_hash

    return opened(space, name, location, content_hash(location.path, location.base), settings)


def _add(tables: Tables, more: Tables) -> None:
    for table, rows in more.items():
        tables.setdefault(table, []).extend(rows)


def _plain(value: Any) -> Any:
    """Values as JSON has them: no NaN and no infinity; scores prompt by prompt are left to the warehouse."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items() if key != "prompt_scores"}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _print(console: Console, tables: Tables, reason: str) -> None:
    from command_line import show

    groups = []
    for step in tables["circuit_screens"]:
        mine = [
            row
            for row in tables["circuit_heads"]
            if (row["model_id"], row["circuit_group"]) == (step["model_id"], step["circuit_group"]) and row["kept"]
        ]
        heads = " ".join(f"{row['layer']}.{row['head']}" for row in sorted(mine, key=lambda row: row["score"]))
        groups.append((step["model_id"], step["circuit_group"], heads or "empty", step["best_score"]))
    show.put(
        console,
        show.table(
            "Circuits by group: heads as layer.head, strongest first",
            ["model", "group", "heads", "best score"],
            groups,
            caption="Best score: relative change of the right object's probability; of an empty group, rejected.",
        ),
    )
    if reason:
        show.say(console, f"Note: {reason}.")
    columns = "model_id circuit_model_id accuracy_full accuracy_circuit accuracy_random p_value faithfulness f n_heads"
    show.put(
        console,
        show.table(
            "Faithfulness: the circuit alone, all other heads replaced by their means",
            ["in", "circuit of", "model", "circuit", "random", "p", "faithfulness", "f", "heads"],
            [[row[column] for column in columns.split()] for row in tables["circuit_faithfulness"]],
        ),
    )
    columns = "recipient_id donor_id component accuracy_recipient accuracy_donor accuracy_patched accuracy_random"
    if tables.get("cross_model_patching"):
        show.put(
            console,
            show.table(
                "Heads exchanged: accuracy of the recipient with the donor's heads",
                ["recipient", "donor", "group", "recipient", "donor", "patched", "random heads"],
                [[row[column] for column in columns.split()] for row in tables["cross_model_patching"]],
            ),
        )
    failed = [f"{row['model_id']}: {row['check']} (error {row['error']:.2g})" for row in tables["circuit_checks"]
              if not row["passed"]]  # fmt: skip
    for line in failed:
        show.say(console, f"Check failed: {line}", style="bold red")
