"""Making a repository's checkpoint a local folder: from the cache if it is there, otherwise by the official client."""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from resources.hub.budget import Lease, lease, note_downloaded, note_used
from resources.hub.cache import check_room, complete_snapshot, is_cached, remember, storage_of, sweep
from resources.hub.client import install
from resources.hub.errors import (
    HubDamagedError,
    HubError,
    HubInterruptedError,
    HubLimitError,
    HubOfflineError,
    explained,
)
from resources.hub.listing import ask, wanted
from resources.hub.names import COMMIT, check_names

log = logging.getLogger(__name__)

_SHA256_DIGITS = 64


@dataclass(frozen=True)
class Snapshot:
    """A checkpoint in the local cache: its folder, and the commit that its files are of.

    Whoever keeps the object keeps the files from being removed for want of room.
    """

    path: Path
    commit: str
    lease: Lease | None = field(default=None, compare=False, repr=False)


def resolve(
    repo_id: str,
    revision: str = "main",
    cache_dir: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
    make_room: Callable[[int], None] | None = None,
) -> Snapshot:
    """Make a model repository's checkpoint available as a local folder.

    Args:
        repo_id: `org/name`.
        revision: branch, tag or commit.
        cache_dir: the client's cache; by default the one that all Hugging Face tools share.
        progress: called with bytes done and bytes in all while downloading, from several threads but never at once.
        make_room: called before a download with its bytes, to remove what is not needed any more.

    Raises:
        HubNameError: `repo_id` or `revision` is none.
        HubNotFoundError, HubGatedError: the Hub does not give it.
        HubFormatError: no safetensors weights; nothing was downloaded.
        HubOfflineError: no network and not in the cache.
        HubInterruptedError: the download broke off; calling again goes on.
        HubLimitError: the Hub asks to wait for longer than a run waits; complete files are kept.
        HubDamagedError: a file arrived that is not what the Hub says it is; it is not kept.
        HubDiskError: not enough room (nothing was downloaded), or the disk filled up, or it cannot be written to.
    """
    check_names(repo_id, revision)
    from huggingface_hub import constants

    cache = Path(cache_dir or constants.HF_HUB_CACHE).expanduser().absolute()
    held = lease(cache, repo_id)
    if COMMIT.fullmatch(revision) and (found := complete_snapshot(repo_id, revision, cache)):
        note_used(cache, repo_id, found.name)
        return Snapshot(found, found.name, held)
    try:
        info = ask(repo_id, revision)
    except (HubOfflineError, HubLimitError) as error:
        if not (found := complete_snapshot(repo_id, revision, cache)):
            raise
        log.warning("%s Using the copy of %s in the cache, commit %s.", error, repo_id, found.name)
        note_used(cache, repo_id, found.name)
        return Snapshot(found, found.name, held)

    commit = info.sha or ""
    if not COMMIT.fullmatch(commit):
        raise HubError(f"The server did not name the commit of {repo_id}@{revision}; check HF_ENDPOINT.")
    files = wanted(info, repo_id, commit)
    storage = storage_of(cache, repo_id)
    new = [file for file in files if not is_cached(storage, commit, file[0], file[1])]
    missing = sum(size for _, _, size in new)
    if make_room and missing:
        make_room(missing)
    check_room(cache, missing, repo_id)
    sweep(storage)
    if missing:  # before the download: a part of one is this program's too
        note_downloaded(cache, repo_id, commit)
    snapshot = _download(repo_id, commit, cache, [name for name, _, _ in files], missing, progress)
    for name, blob, _ in new:
        _check_arrived(snapshot / name, blob, repo_id)
    note_used(cache, repo_id, commit)
    remember(storage, revision, commit)
    return Snapshot(snapshot, commit, held)


def _download(
    repo_id: str,
    commit: str,
    cache: Path,
    names: list[str],
    total: int,
    progress: Callable[[int, int], None] | None,
) -> Path:
    from huggingface_hub import snapshot_download

    install()
    try:
        path = snapshot_download(
            repo_id,
            revision=commit,
            cache_dir=cache,
            allow_patterns=names,
            library_name="rotoscale",
            tqdm_class=_bar(total, progress),
        )
    except Exception as error:
        raise explained(error, repo_id, commit, HubInterruptedError) from error
    if progress:
        progress(total, total)
    return Path(path)


def _check_arrived(file: Path, blob: str | None, repo_id: str) -> None:
    """Compare a file that has just arrived with the hash that the Hub states of it; the client compares its size only.

    Raises HubDamagedError; what the cache holds of the file is gone then, so that the next download fetches it again.
    """
    if blob is None or len(blob) != _SHA256_DIGITS:
        return  # a small file that is known by its Git name only
    with open(file, "rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != blob:
        file.resolve().unlink(missing_ok=True)
        file.unlink(missing_ok=True)
        raise HubDamagedError(
            f"{file.name} of {repo_id} arrived with the hash {found[:12]}..., the Hub states {blob[:12]}...; it was "
            "deleted, start again. If it happens again, the repository or the way to it is damaged."
        )


def _bar(total: int, progress: Callable[[int, int], None] | None) -> type[Any]:
    """Return a progress-bar class that draws nothing and reports bytes to `progress`.

    The client makes several bars of it: one counts files, one counts bytes written and, in newer versions, one counts
    bytes received. The second is the one that is wanted.
    """
    from tqdm.std import tqdm

    lock = threading.Lock()
    done = 0

    class Bar(tqdm):
        def __init__(self, *args: Any, **kwargs: Any):
            self.counts = kwargs.get("unit") == "B" and kwargs.get("desc") != "Downloading bytes"
            kwargs.pop("name", None)
            super().__init__(*args, **{**kwargs, "disable": True})

        def update(self, n: float | None = 1) -> bool | None:
            nonlocal done
            if self.counts and progress:
                with lock:
                    done += int(n or 0)
                    progress(max(0, min(done, total)), total)
            return None

    return Bar
