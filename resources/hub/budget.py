"""Keeping what was downloaded within a size: snapshots leave by the client's own tools, those used longest ago first.

Only what this program downloaded is ever removed: the cache is shared with other tools. A repository that is in use is
locked, shared by all who use it, and what cannot be locked alone stays. The locks die with their processes.
"""

from __future__ import annotations

import fcntl
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from resources.hub.cache import storage_of
from resources.trim import mark_used

_log = logging.getLogger(__name__)


class Lease:
    """The right to use a repository's files; whoever holds one keeps them from being removed, until it is dropped."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file  # closed with this object, which gives the lock back

    def drop(self) -> None:
        """Give the right back."""
        self._file.close()


def lease(cache: Path, repo_id: str) -> Lease | None:
    """A lease on a repository; None where there is no writing or locking, in which case nothing is removed either."""
    try:
        path = _lock(cache, repo_id)
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open(path, "ab")  # noqa: SIM115 (held by the lease)
        try:
            fcntl.flock(file, fcntl.LOCK_SH)
        except OSError:
            file.close()
            raise
    except OSError as error:
        _log.debug("no lease on %s: %s", repo_id, error)
        return None
    return Lease(file)


def note_downloaded(cache: Path, repo_id: str, commit: str) -> None:
    """Note that a snapshot was downloaded by this program, so that this program may remove it."""
    try:
        _mark(cache, repo_id, commit).touch()
    except OSError as error:
        _log.debug("%s@%s will not be removed: %s", repo_id, commit, error)


def note_used(cache: Path, repo_id: str, commit: str) -> None:
    """Note that a snapshot is used now, if it is one of this program's."""
    mark_used(_mark(cache, repo_id, commit))


@dataclass(frozen=True)
class Trimmed:
    """What was removed, as `org/name@commit`, and the bytes of this program's snapshots that remain."""

    removed: tuple[str, ...]
    remaining: int


def trim(limit_bytes: float, may_go: Callable[[str, str], bool], cache_dir: Path | None = None) -> Trimmed:
    """Remove snapshots that this program downloaded until at most `limit_bytes` of them remain.

    Those used longest ago go first; `may_go(repo_id, commit)` says which may. What is in use stays. A file that
    snapshots share is counted once, and goes with the last of them.
    """
    from huggingface_hub import constants, scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    cache = Path(cache_dir or constants.HF_HUB_CACHE).expanduser().absolute()
    try:
        found = scan_cache_dir(cache)
    except (CacheNotFound, ValueError):
        return Trimmed((), 0)
    ours = [
        (mark.stat().st_mtime, repo.repo_id, revision)
        for repo in found.repos
        if repo.repo_type == "model"
        for revision in repo.revisions
        if (mark := _mark(cache, repo.repo_id, revision.commit_hash)).exists()
    ]
    left = {(repo_id, revision.commit_hash): revision for _, repo_id, revision in ours}

    def remaining() -> int:
        blobs = {file.blob_path: file.size_on_disk for one in left.values() for file in one.files}
        return sum(blobs.values())

    removed = []
    for _, repo_id, revision in sorted(ours, key=lambda one: one[:2]):
        if remaining() <= limit_bytes:
            break
        commit = revision.commit_hash
        if may_go(repo_id, commit) and _remove(cache, repo_id, commit):
            del left[repo_id, commit]
            removed.append(f"{repo_id}@{commit}")
    return Trimmed(tuple(removed), remaining())


def _remove(cache: Path, repo_id: str, commit: str) -> bool:
    """Remove a snapshot unless its repository is in use; whether it is gone."""
    from huggingface_hub import scan_cache_dir

    try:
        with open(_lock(cache, repo_id), "ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Looked at anew under the lock: another commit of the repository may have been fetched since.
            scan_cache_dir(cache).delete_revisions(commit).execute()
            _mark(cache, repo_id, commit).unlink(missing_ok=True)
    except OSError as error:  # BlockingIOError: in use
        _log.debug("%s@%s stays: %s", repo_id, commit, error)
        return False
    return not (storage_of(cache, repo_id) / "snapshots" / commit).exists()


def _notes(cache: Path) -> Path:
    """Where locks and marks lie: beside the client's own locks, where its tools look for no repositories."""
    return cache / ".locks" / "rotoscale"


def _lock(cache: Path, repo_id: str) -> Path:
    return _notes(cache) / f"{storage_of(cache, repo_id).name}.lock"


def _mark(cache: Path, repo_id: str, commit: str) -> Path:
    return _notes(cache) / f"{storage_of(cache, repo_id).name}.{commit}"
