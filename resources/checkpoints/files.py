"""Opening files that nobody vouches for: only regular files, only inside the allowed folder, only the bytes asked for.

A checkpoint folder comes from a download or from another user. So a name may not lead out of it (``../``, absolute, a
link to elsewhere), a named pipe must not hang us, and a file that claims to be huge must not be read into memory. The
Hub cache's own links (``snapshots/<revision>/file -> ../../blobs/<hash>``) stay inside ``models--owner--name`` and are
fine.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from resources.checkpoints.errors import (
    BadConfig,
    CheckpointError,
    TruncatedFile,
    UnsafePath,
    shown,
)

#: config.json of real models is below 1 MB; an index of 384 experts and 61 layers (140,000 tensors) is 15 MB.
MAX_CONFIG_BYTES = 8 * 2**20
MAX_INDEX_BYTES = 32 * 2**20

#: Marks (, : [ {) in a JSON file: about one for each key and value, which take up to a hundred bytes each once parsed.
MAX_CONFIG_MARKS = 2**18
MAX_INDEX_MARKS = 2 * 2**18  # 2 for each tensor

#: Folders that a checkpoint's links may lead into.
Roots = tuple[Path, ...]

_LARGEST_READ = 2**30  # one preadv moves at most 2 GiB - 4 KiB on Linux


def repository_root(folder: Path) -> Path:
    """The folder that links may point into: the Hub cache's repository for a snapshot, else the folder itself."""
    folder = folder.resolve()
    if folder.parent.name == "snapshots" and "--" in folder.parent.parent.name:
        return folder.parent.parent
    return folder


def safe_member(folder: Path, name: str, roots: Roots) -> Path:
    """The path of ``name`` inside ``folder``, refused when the name or a link leads out of all ``roots``.

    Raises UnsafePath for absolute names, ``..`` and links out of the repository. The file need not exist.
    """
    pure = PurePosixPath(name)
    odd = not name.isprintable() or "\\" in name or not 0 < len(name) < 1024
    if odd or pure.is_absolute() or ".." in pure.parts:
        raise UnsafePath(
            f"{folder}: the file name {shown(name)!r} leads out of the checkpoint folder. Download the checkpoint "
            "again from a source that you trust."
        )
    path = folder / name
    try:
        real = path.resolve()
    except (OSError, RuntimeError) as error:
        raise UnsafePath(
            f"{path}: the link cannot be followed ({error}). Copy the file itself into the folder."
        ) from None
    if not any(real.is_relative_to(root.resolve()) for root in roots):
        raise UnsafePath(
            f"{path}: the link points to {real}, outside {roots[0]}. Copy the file into the folder, or allow that one "
            "explicitly."
        )
    return path


@contextmanager
def opened(path: Path) -> Iterator[tuple[int, os.stat_result]]:
    """A file descriptor and its stat, for regular files only; closed afterwards."""
    try:
        # Without O_NONBLOCK opening a named pipe would wait for ever for its writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such file. Download the checkpoint again.") from None
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be opened ({error.strerror}). Check the permissions.") from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise CheckpointError(f"{path}: not a regular file. Replace it by the file itself.")
        yield descriptor, status
    finally:
        os.close(descriptor)


def read_exactly(path: Path, descriptor: int, buffer: memoryview, offset: int) -> None:
    """Fill ``buffer`` from ``offset`` of an open file; TruncatedFile when it ends before."""
    done = 0
    while done < len(buffer):
        block = buffer[done : done + _LARGEST_READ]
        try:
            count = _read_into(descriptor, block, offset + done)
        except OSError as error:
            raise CheckpointError(f"{path}: reading failed ({error.strerror}). Check the disk and try again.") from None
        if count == 0:
            raise TruncatedFile(
                f"{path}: expected at least {offset + len(buffer)} bytes, found {offset + done}: the file became "
                "shorter while it was read. Download it again."
            )
        done += count


def _read_into(descriptor: int, block: memoryview, offset: int) -> int:
    """``preadv``, or where the system has none (macOS) seek and read: a descriptor is never shared between threads."""
    if hasattr(os, "preadv"):
        return os.preadv(descriptor, [block], offset)
    os.lseek(descriptor, offset, os.SEEK_SET)
    return os.readv(descriptor, [block])


def parse_json(
    text: bytes | bytearray, path: Path, what: str, error_class: type[CheckpointError], most_marks: int
) -> dict[str, Any]:
    """A JSON object from untrusted bytes; duplicate keys, deep nesting and NaN are errors of ``error_class``.

    Text with more than ``most_marks`` of ``, : [ {`` is not parsed at all: three bytes of it can take sixty in memory.
    """
    marks = sum(map(text.count, (b",", b":", b"[", b"{")))
    if marks > most_marks:
        raise error_class(
            f"{path}: the {what} holds some {marks} keys and values in {len(text)} bytes, expected at most "
            f"{most_marks} for any checkpoint. Download the file again."
        )

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            seen: set[str] = set()
            twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
            raise ValueError(f"the key {shown(twice)!r} stands there twice")
        return found

    def no_constant(name: str) -> None:
        raise ValueError(f"{name} is not JSON")

    try:
        value = json.loads(text.decode("utf-8"), object_pairs_hook=unique, parse_constant=no_constant)
    except (ValueError, RecursionError) as error:
        raise error_class(f"{path}: the {what} is not valid JSON ({shown(error)}). Download the file again.") from None
    if not isinstance(value, dict):
        raise error_class(
            f"{path}: the {what} is a {type(value).__name__}, expected an object. Download the file again."
        )
    return value


def read_json(
    path: Path,
    limit: int,
    error_class: type[CheckpointError] = BadConfig,
    most_marks: int = MAX_CONFIG_MARKS,
) -> dict[str, Any]:
    """A JSON object from a file of at most ``limit`` bytes and ``most_marks`` keys and values."""
    with opened(path) as (descriptor, status):
        if status.st_size > limit:
            raise error_class(
                f"{path}: {status.st_size} bytes, expected at most {limit} for such a file. Download it again."
            )
        buffer = bytearray(status.st_size)
        read_exactly(path, descriptor, memoryview(buffer), 0)
    return parse_json(buffer, path, "file", error_class, most_marks)
