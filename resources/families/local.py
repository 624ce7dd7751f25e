"""Registering a pair that was named on the command line, in a family file of the user's own."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from resources.families.reader import FamilyFileError, Reader, meant, quoted
from resources.families.registry import ModelEntry, Registry, load_registry
from resources.families.schema import family_schema
from resources.hub import REPO_ID_PATTERN, REVISION_PATTERN
from rotoscale.errors import RotoscaleError

_WRITTEN_BY_US = "# Written by `rotoscale compare`; entries may be changed by hand, comments are not kept.\n"


class UnknownSource(RotoscaleError):  # noqa: N818
    """A text given for a checkpoint is no folder with a checkpoint, no registered id and no Hub id."""


@dataclass(frozen=True)
class _Source:
    """A checkpoint that somebody pointed at: a folder, or a Hub repository at a revision."""

    path: Path | None = None
    hub: str | None = None
    revision: str | None = None

    def is_of(self, entry: ModelEntry) -> bool:
        return (self.path, self.hub, self.revision) == (entry.path, entry.hub, entry.revision)

    def as_keys(self) -> dict[str, str]:
        """Return the keys of the family file that say this."""
        if self.path:
            return {"path": self.path.as_posix()}
        return {"hub": self.hub or "", "revision": self.revision or ""}

    def new_id(self, taken: Iterable[str]) -> str:
        """Return a readable id: the folder's or repository's name, and a hash of the source if that is taken."""
        used = {t.casefold() for t in taken}
        name = self.path.name if self.path else (self.hub or "").rpartition("/")[2]
        slug = re.sub(r"\.{2,}", ".", re.sub(r"[^A-Za-z0-9._-]+", "-", name)).strip("._-")[:80] or "model"
        digest = hashlib.sha256("\n".join(self.as_keys().values()).encode()).hexdigest()
        names = (slug if n == 0 else f"{slug}-{digest[:n]}" for n in (0, 8, 12, 16, 32))
        return next(n for n in names if n.casefold() not in used)


def _source(text: str, registry: Registry) -> _Source:
    """Tell what BASE or POST on a command line means: a folder first, then a registered id, then a Hub id."""
    folder = os.path.expanduser(text)
    if os.path.isdir(folder):
        path = Path(folder).resolve()
        try:
            str(path).encode()
        except UnicodeEncodeError:
            raise UnknownSource(f"The name of the folder {str(path)!r} is not UTF-8; rename it.") from None
        return _Source(path=path)
    if text in registry.models:
        entry = registry.models[text]
        return _Source(entry.path, entry.hub, entry.revision)
    if os.path.exists(folder):
        raise UnknownSource(f'"{text}" is a file; give the folder that holds the checkpoint.')
    hub, at, revision = text.partition("@")
    revision = revision if at else "main"
    if "/" in hub and re.fullmatch(REPO_ID_PATTERN, hub) and re.fullmatch(REVISION_PATTERN, revision):
        return _Source(hub=hub, revision=revision)
    raise UnknownSource(
        f"{quoted(text)} is no folder here, no registered model and no Hub id.{meant(text, registry.models)} "
        "Give a folder that holds a checkpoint, an id that `rotoscale families` lists, or a Hub id like "
        "org/name or org/name@revision."
    )


def unregistered(text: str, registry: Registry) -> ModelEntry:
    """Return an entry for a checkpoint that somebody points at, a registered one's own, without registering it.

    Args:
        text: a folder, a registered model id, or a Hub id `org/name` or `org/name@revision`.
        registry: what is registered.

    Raises:
        UnknownSource: it is none of those.
    """
    if text in registry.models and not os.path.isdir(os.path.expanduser(text)):
        return registry.models[text]
    source = _source(text, registry)
    name = source.new_id(())
    return ModelEntry(name, "", "base", None, (), "", source.path, source.hub, source.revision, Path())


def register_local(
    folder: Path, base: str | Path, post: str | Path, *, shipped: Sequence[Path] = ()
) -> tuple[ModelEntry, ModelEntry]:
    """Make sure that a pair is registered and return its entries.

    What is registered already is used: any entry of the same folder, or of the same Hub repository and revision.
    The rest goes to `<folder>/local-<base id>.yaml`, one file per base. A post that this function registered
    earlier with another base gets `base` as a further reference; one of a shipped or hand-written file, which
    stays as it is, gets a second id. The pair of a model with itself is one entry with the role base. Same
    arguments, same result; several processes may do it at once.

    Args:
        folder: the user's folder of family files; made if it is not there.
        base: a folder, a registered model id, or a Hub id `org/name` or `org/name@revision`.
        post: the same; a folder may hold an adapter.
        shipped: further folders of family files, read but never written.

    Raises:
        UnknownSource: `base` or `post` is none of those.
        FamilyFileError: a family file in the folders is broken, or cannot be written.
    """
    from filelock import FileLock, Timeout

    folder = Path(os.path.abspath(folder))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".registry.lock", timeout=60):
            return _register(folder, str(base), str(post), shipped)
    except Timeout:
        message = "another process has held its lock for a minute; end that process, then try again."
        raise FamilyFileError(folder, None, message) from None
    except OSError as error:
        message = f"cannot be written ({error.strerror or error}); give a folder that can."
        raise FamilyFileError(folder, None, message) from None


def _register(folder: Path, base: str, post: str, shipped: Sequence[Path]) -> tuple[ModelEntry, ModelEntry]:
    registry = load_registry(*shipped, folder)
    base_source, post_source = _source(base, registry), _source(post, registry)
    bases = [m for m in registry.models.values() if base_source.is_of(m)]
    posts = [m for m in registry.models.values() if post_source.is_of(m)]
    # An id typed by hand means that very entry; otherwise any entry of the same source will do, bases first.
    bases.sort(key=lambda m: (m.id != base, m.role != "base"))
    posts.sort(key=lambda m: m.id != post)
    for b in bases:
        for p in posts:
            if b.id in p.all_references:
                return b, p

    taken = set(registry.models)
    new: list[dict[str, Any]] = []
    if base_source == post_source or not bases:
        base_id = base_source.new_id(taken)
        taken.add(base_id)
        new.append({"id": base_id, "role": "base", **base_source.as_keys()})
    else:
        base_id = bases[0].id
    post_id = base_id
    if base_source != post_source:
        ours = [p for p in posts if _is_ours(p.file, folder) and not _reaches(registry, base_id, p.id)]
        if ours:
            post_id = ours[0].id
            if new:
                _add_models(folder, base_id, new)
            _add_reference(ours[0], base_id)
            new = []
        else:
            post_id = post_source.new_id(taken)
            is_adapter = post_source.path is not None and (post_source.path / "adapter_config.json").is_file()
            method = {"method": "adapter"} if is_adapter else {}
            new.append({"id": post_id, "base": base_id, **method, **post_source.as_keys()})
    if new:
        _add_models(folder, base_id, new)
    registry = load_registry(*shipped, folder)
    return registry.model(base_id), registry.model(post_id)


def _is_ours(file: Path, folder: Path) -> bool:
    """Tell whether `register_local` wrote the file: only then may it be rewritten, which loses comments."""
    return file.parent == folder and file.read_bytes().startswith(_WRITTEN_BY_US.encode())


def _reaches(registry: Registry, start: str, goal: str) -> bool:
    """Tell whether `start` is compared, directly or through others, with `goal`: the reverse would be a cycle."""
    return start in registry.models and any(m.id == goal for m in registry.closure([start]))


def _add_models(folder: Path, base_id: str, new: list[dict[str, Any]]) -> None:
    """Append models to the base's family file, which is made if it is not there or not ours to rewrite."""
    file = folder / f"local-{base_id}.yaml"
    number = 1
    while file.exists() and not _is_ours(file, folder):
        number += 1
        file = folder / f"local-{base_id}-{number}.yaml"
    if file.exists():
        data = Reader(file).read()
        data["models"] += new
    else:
        data = {
            "family": file.stem,
            "title": f"Compared with {base_id}",
            "description": "Registered by `rotoscale compare`.",
            "models": new,
        }
    # Nothing is downloaded unasked: a family with a Hub model in it runs only when named.
    data["automatic"] = data.get("automatic", True) and not any("hub" in m for m in data["models"])
    _write(file, data)


def _add_reference(entry: ModelEntry, base_id: str) -> None:
    data = Reader(entry.file).read()
    for model in data["models"]:
        if model["id"] == entry.id:
            model["references"] = [*model.get("references", ()), base_id]
    _write(entry.file, data)


def _write(file: Path, data: dict[str, Any]) -> None:
    """Write a family file under a temporary name and put it in place in one step."""
    ordered = {key: data[key] for key in family_schema()["properties"] if key in data}
    text = yaml.safe_dump(ordered, sort_keys=False, allow_unicode=True, width=110)
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.stem[:80]}-", suffix=".tmp")
    try:
        with open(handle, "w", encoding="utf-8") as stream:
            stream.write(_WRITTEN_BY_US + text)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(name, 0o644)
        os.replace(name, file)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
