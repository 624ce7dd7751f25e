"""The folder that an edited checkpoint is written to: beside its place, then moved there as a whole, or not at all."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from resources.checkpoints.errors import CheckpointError, WriteError
from resources.checkpoints.files import MAX_CONFIG_BYTES, Roots, read_json, repository_root, safe_member

if TYPE_CHECKING:
    from resources.checkpoints.checkpoint import Checkpoint

#: What is carried over beside the weights. Never pickles, never code.
_CARRIED = (".json", ".txt", ".model", ".jinja", ".tiktoken")
_LICENCES = ("LICENSE", "LICENCE", "NOTICE")
_LEFT = (
    "adapter_config.json",
    "edit.json",
    "README.md",
    "training_args.json",
    "trainer_state.json",
    "requirements.txt",
)
_TEMPLATES = "additional_chat_templates"
_PARTIAL = ".partial-"
_ASIDE = "-old"
_TEMPORARY = re.compile(rf"\.(?P<name>.+){re.escape(_PARTIAL)}[0-9a-f]+(?P<aside>{_ASIDE})?", re.DOTALL)
_ABANDONED_AFTER = 3600
"""Seconds after which what a killed run left beside another place is taken to be nobody's."""


def carried_files(source: Checkpoint) -> dict[str, Path]:
    """Configuration, tokenizer, templates and licence of the source, by their name in the new folder.

    Of an adapter: those of its base, and the tokenizer files that the adapter brings itself.
    """
    folder = source.inventory.folder
    found = _carried_from(folder, source.roots)
    if source.adapter is not None:
        own = _carried_from(source.path, (repository_root(source.path), *source.roots))
        found |= {name: path for name, path in own.items() if name not in ("config.json", "generation_config.json")}
    if source.inventory.index is not None:
        found[source.inventory.index.name] = source.inventory.index
    return found


def _carried_from(folder: Path, roots: Roots) -> dict[str, Path]:
    found = {}
    for path in sorted([*folder.iterdir(), *folder.glob(f"{_TEMPLATES}/*.jinja")]):
        name = path.relative_to(folder).as_posix()
        wanted = path.suffix in _CARRIED or (path.name.startswith(_LICENCES) and path.suffix in ("", ".md", ".txt"))
        if wanted and name not in _LEFT and not name.endswith(".index.json") and path.is_file():
            found[name] = safe_member(folder, name, roots)
    return found


@contextmanager
def replacing(out: Path, mark: str, size: int, sources: list[Path]) -> Iterator[Path]:
    """A temporary folder beside ``out`` that takes its place when the body ends well, and disappears when it does not.

    ``mark`` is the file by which a folder is known as one that was written here; only such a folder, or an empty one,
    is replaced. Raises WriteError for a folder that is taken, too little room (``size`` bytes are needed) and every
    failure of the file system.
    """
    _refuse_taken(out, mark, sources)
    made = [parent for parent in out.parents if not parent.exists()]
    folder, lock = out.parent / f".{out.name}{_PARTIAL}{secrets.token_hex(6)}", None
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        _clear_leftovers(out)
        free = shutil.disk_usage(out.parent).free
        if free < size:
            raise WriteError(
                f"{out}: the disk is full: {size} bytes are needed, {free} are free. Make room and start again."
            )
        folder.mkdir()
        lock = _lock(folder)
        yield folder
        _sync(folder)
        _move(folder, out, mark)
    except OSError as error:
        raise _failed(out, error, size) from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            os.close(lock)
        with suppress(OSError):  # one that holds something stays, and so do those above it
            for parent in made:
                parent.rmdir()


def _failed(out: Path, error: OSError, size: int) -> WriteError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return WriteError(
            f"{out}: the disk is full ({error.strerror}): some {size} bytes are needed. Nothing was left behind. "
            "Make room and start again."
        )
    return WriteError(
        f"{out}: writing failed ({error.strerror or error}). Check the folder's permissions and the disk."
    )


def _written_here(folder: Path, mark: str) -> bool:
    if not (folder / mark).is_file():
        return False
    with suppress(CheckpointError):
        return read_json(folder / mark, MAX_CONFIG_BYTES).get("format") == "rotoscale edit"
    return False


def _refuse_taken(out: Path, mark: str, sources: list[Path]) -> None:
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise WriteError(f"{out}: exists and is no folder. Choose another place.")
    if out.is_dir():
        inside = [path for path in sources if path.resolve().is_relative_to(out.resolve())]
        if inside:
            raise WriteError(f"{out}: holds the source of the edit ({inside[0].name}). Choose another place.")
        if any(out.iterdir()) and not _written_here(out, mark):
            raise WriteError(f"{out}: exists, is not empty and was not written by Rotoscale. Choose another place.")


def _lock(folder: Path) -> int | None:
    """Hold the folder while it is written; where the file system has no such locks, leftovers are not cleared there."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _clear_leftovers(out: Path) -> None:
    """Remove what killed runs left in the folder of ``out``; what a living run still holds is left alone.

    A run killed between the two renames of ``_move`` left the earlier folder aside: it is put back. Of other places,
    whose runs may be about to take their lock, only what is old goes, and never the one earlier folder that there is.
    """
    for folder in list(out.parent.glob(f".*{_PARTIAL}*")):
        name = _TEMPORARY.fullmatch(folder.name)
        if name is None or folder.is_symlink() or not folder.is_dir():
            continue
        with suppress(OSError):
            if name["name"] == out.name:
                if name["aside"] and not out.exists():
                    folder.rename(out)
                    continue
            elif (name["aside"] and not (out.parent / name["name"]).exists()) or _is_young(folder):
                continue
            lock = _lock(folder)
            if lock is not None:
                shutil.rmtree(folder, ignore_errors=True)
                os.close(lock)


def _is_young(folder: Path) -> bool:
    return time.time() - folder.stat().st_mtime < _ABANDONED_AFTER


def _sync(folder: Path) -> None:
    for path in [folder, *(p for p in folder.rglob("*") if p.is_dir())]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _move(folder: Path, out: Path, mark: str) -> None:
    """Put the finished folder in its place; an earlier one of ours is moved aside first and then removed."""
    aside = out.parent / f"{folder.name}{_ASIDE}"
    _refuse_taken(out, mark, [])
    if out.exists():
        out.rename(aside)
    folder.rename(out)
    shutil.rmtree(aside, ignore_errors=True)
    descriptor = os.open(out.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
