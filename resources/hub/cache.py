"""The client's cache on disk: what is complete in it, what fits beside it, what killed downloads left behind."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import time
import uuid
from pathlib import Path

from resources.hub.errors import HubDiskError

log = logging.getLogger(__name__)

_MARGIN = 64 * 2**20  # for the file system's own needs
_ABANDONED_AFTER = 24 * 3600  # seconds
_CONFIGS = ("config.json", "adapter_config.json")


def storage_of(cache: Path, repo_id: str) -> Path:
    """Where the cache keeps a repository: its blobs, its snapshots, and which commit a branch is."""
    return cache / ("models--" + repo_id.replace("/", "--"))


def check_room(cache: Path, missing: int, repo_id: str) -> None:
    """Refuse a download that does not fit."""
    there = next(folder for folder in (cache, *cache.parents) if folder.exists())
    free = shutil.disk_usage(there).free
    if missing and missing + _MARGIN > free:
        raise HubDiskError(
            f"{repo_id} needs {_size(missing)} more on disk and {there} has {_size(free)} free; "
            "free some room, or set HF_HOME to a folder on a larger disk."
        )


def is_cached(storage: Path, commit: str, name: str, blob: str | None) -> bool:
    """Tell whether the cache has a file, be it through another commit with the same content."""
    return (storage / "snapshots" / commit / name).exists() or bool(blob and (storage / "blobs" / blob).exists())


def sweep(storage: Path) -> None:
    """Delete what killed downloads left: the client gives each try its own file and never comes back to it."""
    for file in (storage / "blobs").glob("*.incomplete"):
        try:
            if time.time() - file.stat().st_mtime > _ABANDONED_AFTER:
                file.unlink()
        except OSError:
            continue  # finished or deleted meanwhile by its owner


def remember(storage: Path, revision: str, commit: str) -> None:
    """Note which commit a branch or tag is, where the cache keeps it, so that it is found without a network.

    The client would do so if it were given the branch, but then the branch could move between our question and its.
    """
    if revision == commit:
        return
    ref = storage / "refs" / revision
    temporary = ref.with_name(f".{ref.name}.{uuid.uuid4().hex}.tmp")
    try:
        ref.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(commit)
        os.replace(temporary, ref)
    except OSError as error:
        log.warning(
            "Could not note the commit of %s in %s (%s); offline use will need the commit.", revision, ref, error
        )
        temporary.unlink(missing_ok=True)


def complete_snapshot(repo_id: str, revision: str, cache: Path) -> Path | None:
    """The folder of a revision whose weights are all in the cache, or None. Its name is the commit."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        # Weights are judged below: which of them are needed, their names do not say.
        found = snapshot_download(
            repo_id, revision=revision, cache_dir=cache, local_files_only=True, allow_patterns=list(_CONFIGS)
        )
    except LocalEntryNotFoundError:
        return None
    folder = Path(found)
    return folder if _has_config_and_weights(folder) else None


def _has_config_and_weights(folder: Path) -> bool:
    """Tell whether what will be read is there: other tools put single files of a repository into the same cache.

    Judged in the order in which weights are read (resources/checkpoints/inventory.py); an index beside those that
    are read, of which only some tool knows what it is for, does not matter.
    """
    files = {f.name for f in folder.iterdir() if f.exists()}  # a link whose blob is gone does not exist
    if files.isdisjoint(_CONFIGS):
        return False
    if "adapter_config.json" in files and "adapter_model.safetensors" in files:
        return True
    if "model.safetensors" in files:
        return True
    if "model.safetensors.index.json" in files:
        try:
            shards = json.loads((folder / "model.safetensors.index.json").read_bytes())["weight_map"].values()
            return set(shards) <= files
        except (ValueError, KeyError, AttributeError, TypeError):
            return False
    numbered = [m for n in files if (m := re.fullmatch(r"(.+)-\d{5}-of-(\d{5})\.safetensors", n))]
    if numbered:
        return all(sum(o[1] == m[1] for o in numbered) == int(m[2]) for m in numbered)
    return any(n.endswith(".safetensors") for n in files)


def _size(n: int) -> str:
    return f"{n / 1e9:.1f} GB" if n >= 1e8 else f"{n / 1e6:.1f} MB"
