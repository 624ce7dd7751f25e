"""`rotoscale lineage A B`: whether two models share an initialisation; `rotoscale lineage FAMILY`: its every two."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from command_line.options import workspace_options

if TYPE_CHECKING:
    from rich.console import Console

    from resources.location import Location
    from resources.workspace import Workspace

Row = dict[str, Any]


@click.command()
@click.argument("models", nargs=-1, required=True, metavar="A B | FAMILY")
@click.option(
    "--json",
    "json_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also write the row of the pair, or the rows of the family, to this file.",
)
@workspace_options
def lineage(models: tuple[str, ...], json_file: Path | None) -> None:
    """Say whether two models share an initialisation, from their weights alone.

    A and B are each a registered model, a local folder or a Hugging Face id (org/name or org/name@revision); either may
    be a PEFT LoRA adapter. Nothing is registered or stored. FAMILY is a registered family: each two of its models, the
    rows of the table `lineage`, of which those that are missing are made.

    \b
    The verdict, which comes first:
      related     the two share an initialisation: one descends from the
                  other, both from a third, or the same seed started both
      unrelated   no test shows anything, and each would have found a
                  half-and-half merge of these very models
      undecided   anything else, and why

    Below it the two tests with what they rest on, and hints, so named: how near the two are, and which came first.

    \b
    Examples:
      rotoscale lineage demo-base demo-math
      rotoscale lineage path/to/model org/name --json row.json
      rotoscale lineage demo
    """
    from command_line import show
    from command_line.running import open_workspace
    from rotoscale.errors import RotoscaleError

    space = open_workspace()
    if len(models) > 2:
        raise RotoscaleError("give two models, or one family; `rotoscale families` lists what is registered")
    console = show.output()
    if len(models) == 2:
        row = _pair(space, *models)
        _print_pair(console, row)
        written: Any = row
    else:
        written = _family(space, models[0])
        _print_family(console, models[0], written)
    if json_file:
        from resources.atomic import write_text

        write_text(json_file.absolute(), json.dumps(_plain(written), indent=1, default=str, allow_nan=False) + "\n")


def _pair(space: Workspace, first: str, second: str) -> Row:
    """The row of two models, computed here and not stored."""
    from command_line import show
    from command_line.running import bar
    from resources import progress
    from resources.lineage.comparing import lineage

    with bar(show.errors()):
        a = _locate(space, first, None)
        b = _locate(space, second, a)
        names = (first, second)
        found = lineage(
            a.open(),
            b.open(),
            names=names,
            seed=space.settings.seed,
            report=lambda done, total: progress.report("lineage", done, total),
        )
    return {"model_a": first, "model_b": second, **vars(found)}


def _locate(space: Workspace, text: str, base: Location | None) -> Location:
    """Where a model lies; an adapter that is not registered stands on the base given, else on the one that it names."""
    from resources.families import unregistered
    from resources.location import Location

    entry = unregistered(text, space.registry)
    registered = space.registry.models.get(entry.id)
    if registered is entry:
        return space.location(entry.id)
    folder = space.folder(entry)
    is_adapter = (folder / "adapter_config.json").exists()
    return Location(folder, base.path if is_adapter and base and base.base is None else None)


def _family(space: Workspace, family: str) -> list[Row]:
    """The stored rows of a family's pairs and of its models with their bases; those that were missing are made."""
    from command_line import show
    from command_line.running import materialize
    from resources.families import pair_key, pairs_of
    from rotoscale.errors import RotoscaleError

    if family not in space.registry.families:
        known = ", ".join(space.registry.families) or "none"
        raise RotoscaleError(f'no family "{family}" is registered; there are: {known}. For two models give both')
    members = [entry.id for entry in space.registry.models.values() if entry.family == family]
    entries = space.registry.closure(members)
    pairs = [(a, b) for a, b in pairs_of(entries) if family in (a.family, b.family)]
    keys = [pair_key(a.id, b.id) for a, b in pairs]
    outcome = materialize(space, members, show.errors(), ["checkpoints"], {"lineage": keys})
    for model, reason in outcome.failed.items():
        show.complain(f"{model}: {reason}")
    return [row for key in keys for row in space.tables.read("lineage", key)]


def _print_pair(console: Console, row: Row) -> None:
    from command_line import show

    show.say(console, f"{row['model_a']} and {row['model_b']}: {row['verdict']}", style="bold")
    show.say(console, row["reason"])
    if row["p_exact"] is not None or row["p_match"] is not None:
        _print_tests(console, row)
    for line in hints(row):
        show.say(console, line)


def _print_tests(console: Console, row: Row) -> None:
    from command_line import show

    p = "the approximation of a tail" if row["approximate"] else "counted among random orders"
    show.put(
        console,
        show.table(
            "Two tests of shared initialisation",
            ["test", "p", "neurons", "layers", "of a half-and-half merge"],
            [
                ["p_exact: neurons in the same order", row["p_exact"], row["rows"], row["layers"],
                 row["merged_p_exact"]],
                ["p_match: in whatever order", row["p_match"], row["rows_matched"], row["layers"],
                 row["merged_p_match"]],
            ],
            caption=f"The smaller p is {p}. p_match is calibrated, not exact: {_control(row)}.",
        ),
    )  # fmt: skip


def _control(row: Row) -> str:
    if not row["control_pairs"]:
        return "here without a control"
    return f"in {row['control_pairs']} unrelated pairs of layers it was {row['control_smallest_p']:.2g} at least"


def hints(row: Row) -> list[str]:
    """What hints at more than the verdict, in sentences."""
    lines = []
    if row["verdict"] == "related" and row["distance"] is not None:
        text = f"Hint of degree: rows of up differ by {100 * row['distance']:.2g} % of their norm as stored"
        if row["cosine_matched"] is not None:
            text += f"; matched rows have a cosine of {row['cosine_matched']:.3f} in the median"
        lines.append(f"{text}.")
    if row["verdict"] == "related" and row["heavier_of"]:
        n, of = row["heavier_a"], row["heavier_of"]
        text = f"Hint of direction: {row['model_a']} has the heavier tails in {n} of {of} matrices"
        lines.append(f"{text}; {row['earlier'] or 'neither'} looks the earlier one.")
    if row["spectral_distance"] is not None:
        text = f"Hint by spectra of attention products alone: distance {row['spectral_distance']:.3f} at equal depth"
        if row["spectral_distance_elsewhere"] is not None:
            text += f", {row['spectral_distance_elsewhere']:.3f} elsewhere"
        lines.append(f"{text}; models of one recipe look alike, so this is no verdict.")
    if row["note"]:
        lines.append(f"Note: {row['note']}.")
    return lines


def _print_family(console: Console, family: str, rows: list[Row]) -> None:
    from command_line import show

    show.put(
        console,
        show.table(
            f"Lineage in the family {family}",
            ["model", "and", "verdict", "p_exact", "p_match", "distance", "earlier, a hint"],
            [
                [row["model_a"], row["model_b"], row["verdict"], row["p_exact"], row["p_match"], row["distance"],
                 row["earlier"]]
                for row in rows
            ],
            caption="related: shared initialisation. Each p with its control and power: `rotoscale lineage A B`. "
            "Earlier: by heavier tails; of two descendants of a third the less changed one.",
        ),
    )  # fmt: skip
    for row in rows:
        if row["verdict"] == "undecided":
            show.say(console, f"{row['model_a']} and {row['model_b']}: {row['reason']}")


def _plain(value: Any) -> Any:
    """Values as JSON has them: no NaN and no infinity."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
