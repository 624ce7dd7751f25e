"""Registering a pair that was named on the command line, in a family file of the user's own."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from resources.atomic import write_text
from resources.families.entries import Family, ModelEntry
from resources.families.file import WRITTEN_BY_US, FamilyFileError, read_file
from resources.families.registry import Registry, load_family, load_registry
from resources.families.source import find_source


@dataclass(frozen=True)
class Registration:
    """A registered pair; `base, post = registration` takes it apart."""

    base: ModelEntry
    post: ModelEntry
    folder: Path
    shipped: tuple[Path, ...] = ()
    added: tuple[str, ...] = ()
    """Ids that were not registered before."""

    def __iter__(self) -> Iterator[ModelEntry]:
        return iter((self.base, self.post))

    def undo(self) -> tuple[str, ...]:
        """Take back what this registration added, as after a comparison that failed, and return the ids removed.

        A model that another one names by now stays, and so does one in a file that is no longer ours to rewrite.

        Raises:
            FamilyFileError: a family file in the folders is broken, or cannot be written.
        """
        with alone_in(self.folder):
            removed = []
            for model_id in reversed(self.added):  # the post first: it names the base
                registry = load_registry(*self.shipped, self.folder)
                named = {i for m in registry.models.values() for i in m.dependencies}
                if model_id in registry.models and model_id not in named:
                    family = registry.family_of(model_id)
                    if _is_ours(family.file, self.folder):
                        # As the file has it: the registry's has releases in it that have files of their own.
                        _write(family.file, _without(load_family(family.file), model_id))
                        removed.append(model_id)
            return tuple(removed)


def register_local(folder: Path, base: str | Path, post: str | Path, *, shipped: Sequence[Path] = ()) -> Registration:
    """Make sure that a pair is registered and return its entries.

    What is registered already is used: any pair of entries of the same folders, or of the same Hub repositories and
    revisions. A new pair goes to `<folder>/local-<base id>.yaml`, one family per base, so that every pair is in the
    family of its own base: a post that is registered with another base gets a second id there. Such families never
    run unasked. The pair of a model with itself is one entry with the role base. Same arguments, same result; several
    processes may do it at once.

    Args:
        folder: the user's folder of family files; made if it is not there.
        base: a folder, a registered model id, or a Hub id `org/name` or `org/name@revision`.
        post: the same; a folder may hold an adapter.
        shipped: further folders of family files, read but never written.

    Raises:
        UnknownSource: `base` or `post` is none of those.
        FamilyFileError: a family file in the folders is broken, or cannot be written.
    """
    folder = Path(os.path.abspath(folder))
    with alone_in(folder):
        registry = load_registry(*shipped, folder)
        base_id, post_id, new = _entries(registry, str(base), str(post))
        if new:
            _add_models(folder, base_id, new)
            registry = load_registry(*shipped, folder)
        added = tuple(str(model["id"]) for model in new)
        return Registration(registry.model(base_id), registry.model(post_id), folder, tuple(shipped), added)


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, and say in a sentence why it cannot be had or written."""
    from filelock import FileLock, Timeout

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".registry.lock", timeout=60):
            yield
    except Timeout:
        message = "another process has held its lock for a minute; end that process, then try again."
        raise FamilyFileError(folder, None, message) from None
    except OSError as error:
        message = f"cannot be written ({error.strerror or error}); give a folder that can."
        raise FamilyFileError(folder, None, message) from None


def _entries(registry: Registry, base: str, post: str) -> tuple[str, str, list[dict[str, str]]]:
    """The ids of a pair, and what has to be added for them to be there."""
    base_source, post_source = find_source(base, registry), find_source(post, registry)
    bases = [m for m in registry.models.values() if base_source.is_of(m)]
    posts = [m for m in registry.models.values() if post_source.is_of(m)]
    # An id typed by hand means that very entry; otherwise any entry of the same source will do, bases first.
    bases.sort(key=lambda m: (m.id != base, m.role != "base"))
    posts.sort(key=lambda m: m.id != post)
    for b in bases:
        for p in posts:
            if b.id in p.all_references:
                return b.id, p.id, []

    new: list[dict[str, str]] = []
    if base_source == post_source or not bases:
        base_id = base_source.new_id(registry.models)
        new.append({"id": base_id, "role": "base", **base_source.keys})
    else:
        base_id = bases[0].id
    if base_source == post_source:
        return base_id, base_id, new
    post_id = post_source.new_id([*registry.models, base_id], base_id)
    method = {"method": "adapter"} if post_source.is_adapter else {}
    new.append({"id": post_id, "base": base_id, **method, **post_source.keys})
    return base_id, post_id, new


def _is_ours(file: Path, folder: Path) -> bool:
    """Tell whether `register_local` wrote the file: only then may it be rewritten, which loses comments."""
    return file.parent == folder and read_file(file).startswith(WRITTEN_BY_US.encode())


def _add_models(folder: Path, base_id: str, new: list[dict[str, str]]) -> None:
    """Append models to the base's family file, which is made if it is not there or not ours to rewrite."""
    file = folder / f"local-{base_id}.yaml"
    number = 1
    while file.exists() and not _is_ours(file, folder):
        number += 1
        file = folder / f"local-{base_id}-{number}.yaml"
    if file.exists():
        content = _content(load_family(file))
    else:
        content = {
            "family": file.stem,
            "title": f"Compared with {base_id}",
            "description": "Registered by `rotoscale compare`.",
            "automatic": False,
            "models": [],
        }
    _write(file, {**content, "models": [*content["models"], *new]})


def _content(family: Family) -> dict[str, Any]:
    """A family as its file has it."""
    return family.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude_none=True)


def _without(family: Family, model_id: str) -> dict[str, Any]:
    content = _content(family)
    return {**content, "models": [m for m in content["models"] if m["id"] != model_id]}


def _write(file: Path, content: dict[str, Any]) -> None:
    """Replace a family file in one step; one without models goes."""
    if not content["models"]:
        file.unlink(missing_ok=True)
        return
    order = ["family", "title", "description", "automatic", "models", "evaluation", "recipes", "watch"]
    content = {key: content[key] for key in order if key in content}
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=110)
    write_text(file, WRITTEN_BY_US + text)
