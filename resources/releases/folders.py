"""Watched folders: which checkpoints lie in them, and which of these are finished.

A checkpoint counts as finished when its headers and its index account for every byte, nothing that a copy or a
download leaves behind lies in it, and its files have looked the same for a while. Headers are read, never weights.
"""

from __future__ import annotations

import datetime
import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resources.checkpoints import BadConfig, BadIndex, CheckpointError, CorruptHeader, MissingShard, TruncatedFile
from resources.checkpoints.adapter_config import ADAPTER_CONFIG
from resources.checkpoints.checkpoint import CONFIG, is_adapter
from resources.checkpoints.files import MAX_CONFIG_BYTES, read_json, repository_root, safe_member
from resources.checkpoints.inventory import INDEX, SINGLE, read_adapter_weights, take_inventory
from resources.families import Family, register_release
from resources.families.source import Source
from resources.releases.book import FOLDER, LEFT, NEW, REGISTERED, TAKEN, WAITING, Book, Row, decide
from resources.releases.filters import refused
from resources.releases.looking import shapes
from resources.workspace import Workspace, fingerprint

SETTLED_AFTER = datetime.timedelta(seconds=60)
"""For so long files have to look the same before a checkpoint counts as finished."""

_DEPTH = 3
_MOST_FOLDERS = 5000
_LEFTOVER = re.compile(
    r".*\.(incomplete|part|partial|tmp|temp|crdownload|download|aria2|filepart|lock)$|\.[^/]+\.[A-Za-z0-9]{6}$"
)
"""What a copy or a download in progress is called; the last is rsync's way."""
_UNFINISHED = (BadConfig, BadIndex, CorruptHeader, MissingShard, TruncatedFile)


@dataclass(frozen=True)
class Seen:
    """A folder with a checkpoint in it, and how its files look: names, sizes and times as one fingerprint."""

    path: Path
    watched: Path
    looks: str
    modified_at: datetime.datetime


def checkpoints_in(folders: tuple[Path, ...]) -> Iterator[Seen]:
    """Every folder with weights or a config, up to three levels below the watched ones; links are not followed."""
    seen = 0
    for watched in folders:
        for place, inside, names in os.walk(watched):
            seen += 1
            if seen > _MOST_FOLDERS:
                return
            depth = len(Path(place).relative_to(watched).parts)
            if depth >= _DEPTH:
                inside.clear()
            inside[:] = sorted(name for name in inside if not name.startswith("."))
            if any(name in (CONFIG, ADAPTER_CONFIG) or name.endswith(".safetensors") for name in names):
                inside.clear()
                found = _seen(Path(place), watched)
                if found is not None:
                    yield found


def _seen(path: Path, watched: Path) -> Seen | None:
    try:
        files = sorted(file for file in path.rglob("*") if file.is_file())
        facts = [(str(f.relative_to(path)), s.st_size, s.st_mtime_ns) for f in files if (s := f.stat())]
    except OSError:
        return None  # changes under our eyes: it is looked at again
    newest = max((time for _, _, time in facts), default=0)
    return Seen(path, watched, fingerprint(facts), datetime.datetime.fromtimestamp(newest / 1e9, datetime.UTC))


def poll_folders(space: Workspace, family: Family, book: Book, at: datetime.datetime) -> list[str]:
    """Look at every checkpoint in the watched folders; returns the ids of those that are registered now."""
    assert family.watch is not None
    registered = []
    for watched in family.watch.folders:
        poll = book.poll(str(watched), FOLDER)
        found = list(checkpoints_in((watched,)))
        for seen in found:
            row = _row(space, family, book, seen, at)
            if row is not None and _judge(space, family, row, seen, at):
                registered.append(row["model_id"])
        message = "" if watched.is_dir() else "There is no such folder."
        poll.update(polled_at=at, succeeded_at=at, full_at=at, listed=len(found), message=message, retry_at=None)
    return registered


def _row(space: Workspace, family: Family, book: Book, seen: Seen, at: datetime.datetime) -> Row | None:
    """The row of a folder that is still undecided; None for one that is decided and looks as it did then."""
    rows = book.about(FOLDER, str(seen.path))
    if not rows:
        base = family.watch.base if family.watch else None
        identity = {"source": FOLDER, "model": str(seen.path), "revision": "", "watched": str(seen.watched)}
        facts = dict.fromkeys(("author", "licence", "dtype", "quantization", "parameters", "architecture"))
        row = book.add({**identity, **facts, "kind": NEW, "base_id": base or family.only_base, "found_at": at})
        row.update(relation=FOLDER, modified_at=seen.modified_at, weights=seen.looks, looked_at=None)
        by_hand = next((e for e in space.registry.models.values() if e.path == seen.path), None)
        if by_hand is not None:
            base_id = by_hand.base or by_hand.id
            row.update(kind=REGISTERED, model_id=by_hand.id, base_id=base_id)
            decide(row, TAKEN, f"Registered by hand in {by_hand.file.name}.", at)
            return None
        decide(row, WAITING, _SETTLING, at)
        return row
    (row,) = rows
    if row["decision"] == TAKEN or (row["decision"] == LEFT and row["weights"] == seen.looks):
        return None
    if row["weights"] != seen.looks:
        row.update(modified_at=seen.modified_at, weights=seen.looks, looked_at=None, checked_at=at)
        decide(row, WAITING, _SETTLING, at)
    return row


_SETTLING = f"Its files changed lately; it is taken when they have looked the same for {SETTLED_AFTER.seconds} seconds."


def is_settled(row: Row, looks: str, at: datetime.datetime) -> bool:
    """Whether a waiting folder has looked the same for long enough to be looked into."""
    return row["weights"] == looks and row["checked_at"] is not None and at - row["checked_at"] >= SETTLED_AFTER


def _judge(space: Workspace, family: Family, row: Row, seen: Seen, at: datetime.datetime) -> bool:
    """Decide about one folder; whether it was registered. Since when it looks as it does stays in `checked_at`."""
    since = row["checked_at"]
    assert family.watch is not None
    try:
        config = _describe(row, seen.path)
    except _UNFINISHED as error:
        row.update(decision=WAITING, reason=f"Not finished: {error}", checked_at=since)
        return False
    except CheckpointError as error:
        decide(row, LEFT, str(error), at, looked_at=at)
        return False
    if reason := refused(family.watch, row):
        decide(row, LEFT, reason, at, looked_at=at)
        return False
    row["shapes"] = shapes(space, row["base_id"], config)
    if row["shapes"] not in (None, "same"):
        decide(row, LEFT, f"It cannot be compared with {row['base_id']}: {row['shapes']}.", at, looked_at=at)
        return False
    if not is_settled(row, seen.looks, at):
        row.update(decision=WAITING, reason=_SETTLING, checked_at=since)
        return False
    settings = space.settings
    entry = register_release(
        settings.local_families,
        family.name,
        row["base_id"],
        Source(path=seen.path),
        "unspecified" if "model_type" in config else "adapter",
        shipped=[settings.families],
    )
    space.refresh()
    decide(row, TAKEN, "Finished, and passed every filter.", at, model_id=entry.id, looked_at=at)
    return True


def _describe(row: Row, path: Path) -> dict[str, Any]:
    """Fill in what headers and config say, and return the config.

    Raises the checkpoint's own error: of a half-copied folder one of `_UNFINISHED`.
    """
    leftovers = sorted(
        str(file.relative_to(path)) for file in path.rglob("*") if _LEFTOVER.fullmatch(file.name) and file.is_file()
    )
    if leftovers:
        raise MissingShard(f"{path}: {leftovers[0]} shows that it is still being copied or downloaded.")
    roots = (repository_root(path),)
    adapter = is_adapter(path)
    if not adapter and not any((path / name).exists() for name in (SINGLE, INDEX)) and _numbered(path):
        raise MissingShard(f"{path}: its shards are there without {INDEX}.")
    inventory = read_adapter_weights(path, roots) if adapter else take_inventory(path, roots)
    config = read_json(safe_member(path, ADAPTER_CONFIG if adapter else CONFIG, roots), MAX_CONFIG_BYTES)
    sizes: Counter[str] = Counter()
    for entry in inventory.tensors.values():
        sizes[entry.torch_dtype] += entry.numel
    row.update(
        dtype=sizes.most_common(1)[0][0],
        parameters=sum(sizes.values()),
        weight_bytes=sum(entry.nbytes for entry in inventory.tensors.values()),
        architecture=config.get("model_type") if isinstance(config.get("model_type"), str) else None,
    )
    return config


def _numbered(path: Path) -> bool:
    return any(re.search(r"-\d{5}-of-\d{5}\.safetensors$", file.name) for file in path.iterdir())
