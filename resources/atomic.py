"""Writing so that nothing half-made is ever read: a temporary name in the same folder, then one rename.

A temporary name starts with a dot, ends in `.tmp` and says which process of which machine writes it, so that what a
killed process left behind can be swept at once. What another machine left is swept by age, because it may still be
writing.
"""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import re
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_ABANDONED_AFTER = 24 * 3600
_WRITER = re.compile(r"\.(?P<machine>[0-9a-f]{12})-(?P<pid>\d+)-[0-9a-f]{32}\.tmp")
_OWN_SUFFIXES = ("", ".wal")
"""What follows a temporary name: nothing, or the journal that DuckDB keeps beside a file that it writes."""


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """A temporary path beside `target`; on a clean exit it is synced to disk and becomes `target`, else removed."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.parent / f".{target.name}.{machine()}-{os.getpid()}-{uuid.uuid4().hex}.tmp"
    try:
        yield temporary
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        os.replace(temporary, target)
    finally:
        for suffix in _OWN_SUFFIXES:
            temporary.with_name(temporary.name + suffix).unlink(missing_ok=True)


def write_text(target: Path, text: str) -> None:
    """Replace `target` with `text`, atomically."""
    with replacing(target) as temporary:
        temporary.write_text(text, encoding="utf-8")


def leftovers(folder: Path, older_than: float = _ABANDONED_AFTER) -> list[Path]:
    """Temporary files under `folder` that nobody writes any more.

    Those of processes of this machine that have ended, and of all others those untouched for `older_than` seconds.
    """
    found = []
    for path in (path for suffix in _OWN_SUFFIXES for path in folder.rglob(f".*.tmp{suffix}")):
        writer = _WRITER.search(path.name)
        try:
            if not path.is_file():
                continue
            ended = writer is not None and writer["machine"] == machine() and not is_running(int(writer["pid"]))
            if ended or time.time() - path.stat().st_mtime > older_than:
                found.append(path)
        except FileNotFoundError:  # renamed or swept meanwhile
            continue
    return sorted(found)


def sweep(folder: Path, older_than: float = _ABANDONED_AFTER) -> int:
    """Remove `leftovers`; returns how many. One that cannot be removed (a read-only folder) stays."""
    swept = 0
    for path in leftovers(folder, older_than):
        try:
            path.unlink()
            swept += 1
        except OSError:
            continue
    return swept


def is_running(pid: int) -> bool:
    """Whether a process of this machine with this number runs now; of a number given to a later process, yes too."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


@functools.cache
def machine() -> str:
    """This machine since it was started, or this container: where a process number means one process (12 digits)."""
    facts = [platform.node()]
    with suppress(OSError):  # not Linux: the name alone
        facts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii"))
        facts.append(os.readlink("/proc/self/ns/pid"))
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:12]
