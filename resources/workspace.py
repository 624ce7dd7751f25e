"""Everything a piece of work needs of the outside world, in one object: settings, registry, stores, checkpoints."""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from resources import machine, progress, workers
from resources.atomic import sweep
from resources.factors import FactorStore
from resources.families import ModelEntry, Registry, load_registry
from resources.feed import write_feeds
from resources.records import read_record, trim_records, write_record
from resources.settings import Settings
from resources.tries import Tries
from resources.warehouse import Contract, Published, TableStore, is_published, publish
from rotoscale.errors import RotoscaleError

if TYPE_CHECKING:
    from resources.checkpoints import Checkpoint
    from resources.checkpoints.keys import Verified
    from resources.hub import Snapshot
    from resources.location import Location
    from resources.workers import Batch


FORGOTTEN = "forgotten"
"""Status of a model whose rows were removed; it runs again only when it is named."""

WAITING = "waiting"
"""Status of a model that the Hub wants to be asked for later; `retry_at` of its row says when."""

Task = TypeVar("Task")
Result = TypeVar("Result")


class NotReady(RotoscaleError):  # noqa: N818 (reads as what it says)
    """Something was asked of a model whose checkpoint was not read yet, or is quarantined."""


class Workspace:
    """One project folder: its families, its stores, its warehouse with the tables of `contract`."""

    def __init__(self, settings: Settings, contract: Contract) -> None:
        self.settings = settings
        self.tables = TableStore(settings.tables, contract)
        self.content_hashes = ContentHashes(settings.content_hashes)
        self.tries = Tries(settings.tries)
        self._snapshots: dict[str, Snapshot] = {}
        self.make_room: Callable[[int], None] | None = None
        """What to do before bytes are downloaded: see assets/downloads.py."""
        self.factors = FactorStore(settings.factors, settings.factor_gigabytes * 1e9)

    @cached_property
    def registry(self) -> Registry:
        """All registered models, read once; `refresh` forgets it."""
        return load_registry(self.settings.families, self.settings.local_families)

    def refresh(self) -> None:
        """Read the family files again at the next use."""
        self.__dict__.pop("registry", None)

    def wanted(self) -> list[ModelEntry]:
        """Models that are brought up to date without being named: of automatic families, and not forgotten."""
        return [entry for entry in self.registry.automatic() if self.status(entry.id) != FORGOTTEN]

    def status(self, model_id: str) -> str:
        """ready, quarantined, waiting or forgotten; empty for a model that was not read yet."""
        rows = self.tables.read("models", model_id)
        return rows[0]["status"] if rows else ""

    def wait_is_over(self, model_id: str, at: datetime.datetime) -> bool:
        """Whether a model was waiting for the Hub, and the time has come to ask again."""
        rows = self.tables.read("models", model_id)
        return bool(rows) and rows[0]["status"] == WAITING and (rows[0]["retry_at"] or at) <= at

    def location(self, model_id: str) -> Location:
        """Where a model's checkpoint lies on disk, downloaded from the Hub if it comes from there."""
        from resources.location import Location

        entry = self.registry.model(model_id)
        folder = self.folder(entry)
        if (folder / "adapter_config.json").exists() and entry.base:
            return Location(folder, self.folder(self.registry.model(entry.base)))
        return Location(folder)

    def folder(self, entry: ModelEntry) -> Path:
        """The folder of an entry's checkpoint; a Hub model is resolved at its revision, once per workspace."""
        if entry.path is None:
            return self._snapshot(entry).path
        if not entry.path.is_dir():
            raise RotoscaleError(f"{entry.id}: there is no folder {entry.path}; correct {entry.file}")
        return entry.path

    def revision(self, entry: ModelEntry) -> str:
        """The commit that a Hub model's revision stands for; empty for a local folder."""
        return "" if entry.path else self._snapshot(entry).commit

    def _snapshot(self, entry: ModelEntry) -> Snapshot:
        from resources.hub import resolve

        if entry.id not in self._snapshots:
            assert entry.hub is not None  # a family file has exactly one of path and hub
            self._snapshots[entry.id] = resolve(
                entry.hub,
                entry.revision or "main",
                progress=lambda done, total: progress.report(f"{entry.id}: downloading", done, total),
                make_room=self.make_room,
            )
        return self._snapshots[entry.id]

    def checkpoint(self, model_id: str) -> Checkpoint:
        """The opened checkpoint of a model."""
        return self.location(model_id).open()

    def over(self, batch: Batch[Task, Result], label: str) -> list[Result]:
        """The function of a batch of every task in it, in worker processes as far as settings allow."""
        return workers.run(
            batch, report=lambda done, total: progress.report(label, done, total), **self._limits(batch.on_device)
        )

    def begin(self, batches: Sequence[Batch[Any, Any]]) -> None:
        """Begin batches that will be asked for, one after the other, where workers are being prepared."""
        workers.begin(batches, **self._limits(on_device=False))

    def _limits(self, on_device: bool) -> dict[str, Any]:
        """On an accelerator the work stays in this process: one device serves one process best."""
        limit = self.settings.memory_gigabytes
        return {
            "workers": 1 if on_device else self.settings.workers,
            "memory_bytes": limit * 1e9 if limit else machine.available_memory(),
        }

    def prepare_workers(self, model_ids: Iterable[str]) -> None:
        """Start loading what worker processes need, where one of these models is on disk and large enough for them."""
        if self.settings.device == "cpu" and self.settings.workers > 1:
            folders = [entry.path for entry in map(self.registry.model, model_ids) if entry.path]
            sizes = [sum(file.stat().st_size for file in folder.glob("*.safetensors")) for folder in folders]
            workers.prepare(max(sizes, default=0))

    def facts(self, model_id: str) -> dict[str, Any]:
        """The model's row of `models`.

        Raises NotReady, with the remedy, when there is none or it is quarantined or waits.
        """
        rows = self.tables.read("models", model_id)
        if not rows:
            raise NotReady(f"{model_id} was not read yet; materialize `checkpoints` for it first")
        if rows[0]["status"] != "ready":
            raise NotReady(f"{model_id} is {rows[0]['status']}: {rows[0]['status_reason']}")
        return rows[0]

    def content_hash(self, model_id: str, *, read: bool = True) -> str:
        """Hash of the weights that lie on disk now; remembered by the files' names, sizes and times.

        A Hub model is what was catalogued, its commit being pinned.

        Raises NotReady when the files changed and `read` forbids to hash them, the checkpoint's own error when they
        cannot be read.
        """
        from resources.checkpoints import open_checkpoint

        entry = self.registry.model(model_id)
        if entry.hub and (rows := self.tables.read("models", model_id)) and rows[0]["status"] == "ready":
            return rows[0]["content_hash"]
        if entry.hub and not read:
            raise NotReady(f"{model_id} was not read yet; materialize `checkpoints` for it first")
        signature = self.content_signature(model_id)
        found = self.content_hashes.find(signature)
        if found is None:
            if not read:
                raise NotReady(f"the files of {model_id} changed; materialize `checkpoints` for it")
            location = self.location(model_id)
            # Opened anew: one that this process opened before would refuse the files that replaced its own.
            found = open_checkpoint(location.path, base=location.base).content_hash()
            self.content_hashes.keep(signature, found)
        return found

    @contextmanager
    def remembering(self, model_id: str, checkpoint: Checkpoint) -> Iterator[Callable[[Verified], None]]:
        """Around a reading of a model's files: remembers the hashes given inside for the files as they were before."""
        from resources.weight_hashes import WeightHashes

        content = self.content_signature(model_id)
        matrices = WeightHashes(checkpoint, self.settings.factors)

        def remember(verified: Verified) -> None:
            self.content_hashes.keep(content, verified.content_hash)
            matrices.save(verified.matrix_hashes)

        yield remember

    def content_signature(self, model_id: str) -> list[tuple[str, int, int]]:
        """Path, size and time of every file of a model's folders: a cheap sign that nothing changed."""
        location = self.location(model_id)
        return file_signature([folder for folder in (location.path, location.base) if folder])

    def published_is_current(self) -> bool:
        """Whether everything that was written is published: a run may be killed between the two."""
        return is_published(self.tables, self.settings.published)

    def publish(self) -> Published:
        """Publish all tables as the next DuckDB file with its feeds, keep the stores within their limits, and sweep."""
        self.factors.trim()
        trim_records(self.settings.pairs)
        for folder in (self.settings.evaluations, self.settings.content_hashes):
            sweep(folder)
        published = publish(self.tables, self.settings.published)
        if {"models", "scale_statistics", "findings"} <= self.tables.contract.keys():
            write_feeds(self.settings.published)
        return published


def fingerprint(*parts: Any) -> str:
    """A short hash of what something was made from."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:32]


def file_signature(folders: Iterable[Path]) -> list[tuple[str, int, int]]:
    """Path, size and modification time of every file of some folders: a cheap sign that nothing changed."""
    return [
        (str(path), facts.st_size, facts.st_mtime_ns)
        for folder in folders
        for path in sorted(folder.iterdir())
        if path.is_file() and (facts := path.stat())
    ]


def hash_of_file(file: Path) -> str:
    """SHA-256 of a small file, read once in this process as long as it looks the same; empty where there is none."""
    if not file.is_file():
        return ""
    facts = file.stat()
    return _hash_of(file, facts.st_ino, facts.st_size, facts.st_mtime_ns)


@lru_cache(maxsize=1024)
def _hash_of(file: Path, *looks: int) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def content_of_folder(folder: Path | None) -> list[tuple[str, str]]:
    """Name and hash of every file under a folder of small files, such as task files; nothing for None."""
    if folder is None:
        return []
    files = sorted(path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return [(path.relative_to(folder).as_posix(), hash_of_file(path)) for path in files]


class ContentHashes:
    """Content hashes of checkpoints by the names, sizes and times of their files, so that none is hashed twice."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find(self, signature: Any) -> str | None:
        """The hash of a checkpoint whose files look like this; None when it was never taken."""
        found = read_record(self._file(signature), check=lambda value: isinstance(value["content_hash"], str))
        return found and found["content_hash"]

    def keep(self, signature: Any, content_hash: str) -> None:
        """Remember a hash; a full disk costs the remembering only."""
        with suppress(OSError):
            write_record(self._file(signature), {"content_hash": content_hash})

    def _file(self, signature: Any) -> Path:
        return self.folder / f"{fingerprint(signature)}.json"
