"""Writing so that nothing half-made is ever read: a temporary name in the same folder, then one rename.

Temporary names start with a dot and end in `.tmp`; what a killed run left behind is swept by age, because a younger
one may belong to a run that is still writing.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_ABANDONED_AFTER = 24 * 3600


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """A temporary path beside `target`; on a clean exit it is synced to disk and becomes `target`, else removed."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.parent / f".{target.name}.{uuid.uuid4().hex}.tmp"
    try:
        yield temporary
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(target: Path, text: str) -> None:
    """Replace `target` with `text`, atomically."""
    with replacing(target) as temporary:
        temporary.write_text(text, encoding="utf-8")


def sweep(folder: Path, older_than: float = _ABANDONED_AFTER) -> int:
    """Remove temporary files under `folder` that killed runs left more than `older_than` seconds ago."""
    swept = 0
    for path in folder.rglob(".*.tmp"):
        try:
            if path.is_file() and time.time() - path.stat().st_mtime > older_than:
                path.unlink()
                swept += 1
        except FileNotFoundError:  # somebody else swept it first
            continue
    return swept
