"""`rotoscale audit`: was this adapter merged into that checkpoint, and are two copies equal?"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from command_line.options import workspace_options

if TYPE_CHECKING:
    from rich.console import Console

    from rotoscale.audit import AuditRow, Summary

WRONG = 3
"""Exit code when something is not as it should be; 1 is an error, 2 wrong usage."""

_SHOWN = 12


@click.command()
@click.argument("first", metavar="BASE")
@click.argument("second", metavar="ADAPTER")
@click.argument("third", metavar="[MERGED]", required=False)
@click.option(
    "--json",
    "json_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also write verdicts, sentences and every tensor's numbers to this file.",
)
@workspace_options
def audit(first: str, second: str, third: str | None, json_file: Path | None) -> int:
    """Say whether MERGED is BASE with ADAPTER merged into it, and if not, what it is; or whether two copies are equal.

    Each is a registered model, a local folder or a Hugging Face id (org/name or org/name@revision); ADAPTER is a PEFT
    LoRA adapter. With two arguments, `rotoscale audit A B`, both are whole checkpoints that should hold the same
    numbers: after a conversion, resharding or change of number format.

    \b
    Verdicts on a merge, one or several, whose floor is the rounding of the
    stored number format:
      merged exactly; merged with another scale; merged and rounded;
      layers or parts missing; something else changed besides;
      norm right but values scrambled; not merged at all;
      made from another base, or trained further; too small a change to tell
    Of two copies: equal; equal up to rounding; different; and the scrambled ones.

    \b
    Examples:
      rotoscale audit base/ adapter/ merged/
      rotoscale audit original/ converted/ --json rows.json

    The exit code is 0 where nothing is wrong but rounding, and 3 otherwise.
    """
    from command_line import show
    from command_line.running import bar, open_workspace
    from resources import auditing
    from resources.families import unregistered
    from rotoscale.audit import summarize_copies, summarize_merge

    space = open_workspace()
    folders = [space.folder(unregistered(text, space.registry)) for text in (first, second, third) if text is not None]
    with bar(show.errors()):
        if third is None:
            rows = list(auditing.audit_copies(*auditing.open_copies(*folders)))
            summary = summarize_copies(rows)
        else:
            base, adapted, merged = auditing.open_merge(*folders)
            rows = list(auditing.audit_merge(base, adapted, merged))
            summary = summarize_merge(rows, auditing.scale_hints(adapted))
    _print(show.output(), rows, summary)
    if json_file:
        from resources.atomic import write_text

        write_text(json_file.absolute(), json.dumps(_as_json(rows, summary), indent=1, allow_nan=False) + "\n")
    return 0 if summary.is_right else WRONG


def _print(console: Console, rows: list[AuditRow], summary: Summary) -> None:
    from command_line import show

    show.say(console, "; ".join(summary.verdicts), style="bold")
    for sentence in summary.sentences:
        show.say(console, sentence)
    wrong = [row for row in rows if not row.is_right]
    if wrong:
        more = f"{len(wrong) - _SHOWN} more with --json" if len(wrong) > _SHOWN else None
        formats = sorted({row.verdict.format for row in wrong if row.verdict})
        title = "Not bit for bit as expected" + (f", stored in {' and '.join(formats)}" if formats else "")
        columns = ["tensor", "state", "scale", "elements off", "left over"]
        cells = [_cells(row) for row in wrong[:_SHOWN]]
        show.put(console, show.table(title, columns, cells, more, columns[2:]))


def _cells(row: AuditRow) -> list[Any]:
    v = row.verdict
    if v is None:
        return [row.tensor, row.presence, None, None, None]
    rest = v.rest if row.targeted else None
    state = str(v.state) if not v.outside else f"{v.state}, and more" if row.targeted else "changed"
    scale = None if v.scale_low is None or v.scale_high is None else f"{v.scale_low:.3g} to {v.scale_high:.3g}"
    return [row.tensor, state, scale, f"{v.outside} of {v.elements}", rest]


def _as_json(rows: list[AuditRow], summary: Summary) -> dict[str, Any]:
    return _plain({**asdict(summary), "tensors": [asdict(row) for row in rows]})


def _plain(value: Any) -> Any:
    """Values as JSON has them: no infinity, which is the limit of a scale that nothing bounds."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and value in (float("inf"), float("-inf")) else value
