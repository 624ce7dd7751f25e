"""Keeping a store of files within its size: what was used longest ago goes first."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path


def mark_used(path: Path, at_most_every: float = 0.0) -> None:
    """Note that a file was used now, unless it was noted in the last `at_most_every` seconds.

    A file of somebody else, or in a store that is only read, keeps its time.
    """
    with suppress(OSError):
        if time.time() - path.stat().st_mtime >= at_most_every:
            os.utime(path)


def trim(files: Iterable[Path], limit_bytes: float) -> int:
    """Remove the least recently used of `files` until at most `limit_bytes` remain; returns how many went.

    What cannot be removed stays, and files that others remove meanwhile are theirs.
    """
    found = []
    for path in files:
        with suppress(OSError):
            facts = path.stat()
            found.append((facts.st_mtime, facts.st_size, path))
    total = sum(size for _, size, _ in found)
    removed = 0
    for _, size, path in sorted(found):
        if total <= limit_bytes:
            break
        with suppress(OSError):
            path.unlink()
            removed += 1
            total -= size
    return removed
