"""Everything in a data folder read through against its checksums, so that damage is found before it is needed.

Whatever is damaged is made again by the next run that needs it, or stops publishing with a sentence; this finds it all
at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from resources import factors
from resources.records import load_record
from resources.warehouse.tables import TableStore, WarehouseError, load_file
from rotoscale.errors import RotoscaleError

if TYPE_CHECKING:
    from resources.settings import Settings

_SHOWN = 5
"""Damaged files that are named; of more, the number."""


class Damage(RotoscaleError):  # noqa: N818 (reads as what it says)
    """Files of a data folder that are not what was written."""


@dataclass(frozen=True)
class Examination:
    """Some files of one kind, and how one of them is read through: it raises RotoscaleError or OSError if damaged."""

    name: str
    paths: Sequence[Path]
    read: Callable[[Path], object]
    slow: bool = False
    """Whether there may be gigabytes of them."""

    def run(self, report: Callable[[float, float], None] = lambda *_: None) -> str:
        """What was found, in a few words; `report(done, total)` hears of every file.

        Raises Damage naming the first damaged files.
        """
        damaged = []
        for number, path in enumerate(self.paths):
            try:
                self.read(path)
            except FileNotFoundError:  # trimmed or replaced meanwhile
                continue
            except (RotoscaleError, OSError) as error:
                damaged.append(str(error))
            report(number + 1, len(self.paths))
        if damaged:
            more = f"; and {len(damaged) - _SHOWN} more" if len(damaged) > _SHOWN else ""
            raise Damage(f"{len(damaged)} of {len(self.paths)}: {'; '.join(damaged[:_SHOWN])}{more}")
        return f"{len(self.paths)} whole"


def examinations(settings: Settings, tables: TableStore) -> list[Examination]:
    """One examination for each kind of file in the data folder."""
    table_of = {file: table for table in tables.contract for file in tables.files(table)}
    edits = {settings.edits / edit.edit_id: edit for edit in _kept_edits(settings, tables)}
    hashes = [settings.content_hashes, settings.factors / "hashes"]
    return [
        Examination("tables", list(table_of), lambda file: load_file(file, table_of[file])),
        Examination("pairs", _files(settings.pairs, "*/*.json"), _read_record),
        Examination("tries", _files(settings.tries, "*/*.json"), _read_record),
        Examination("evaluations", _files(settings.evaluations, "*/*.json"), _read_record),
        Examination("hashes", [file for folder in hashes for file in _files(folder, "*.json")], _read_record),
        Examination("factors", _files(settings.factors, "??/*.safetensors"), factors.check_file, slow=True),
        Examination("edits", list(edits), lambda folder: _read_edit(folder, edits[folder]), slow=True),
    ]


def _files(folder: Path, pattern: str) -> list[Path]:
    return sorted(folder.glob(pattern))


def _read_record(path: Path) -> None:
    try:
        load_record(path)
    except RotoscaleError as error:
        raise Damage(f"{error}; delete it, it is made again when it is needed") from error


@dataclass(frozen=True)
class _KeptEdit:
    edit_id: str
    model_id: str
    content_hash: str


def _kept_edits(settings: Settings, tables: TableStore) -> Iterator[_KeptEdit]:
    """Edits that lie on disk, with the hash that their row says; rows that are damaged are the tables' matter."""
    for model in tables.models("edited_checkpoints"):
        try:
            rows = tables.read("edited_checkpoints", model)
        except WarehouseError:
            continue
        for row in rows:
            if row["status"] == "ready" and (settings.edits / row["edit_id"]).is_dir():
                yield _KeptEdit(row["edit_id"], model, row["content_hash"])


def _read_edit(folder: Path, edit: _KeptEdit) -> None:
    from resources.checkpoints import open_checkpoint

    remedy = f"delete that folder and run `rotoscale run {edit.model_id}`, which makes it again"
    try:
        found = open_checkpoint(folder).content_hash()
    except RotoscaleError as error:
        raise Damage(f"{folder} cannot be read ({error}); {remedy}") from error
    if found != edit.content_hash:
        raise Damage(f"the weights in {folder} have the hash {found[:12]}, not {edit.content_hash[:12]}; {remedy}")
