"""What a text on the command line means: a folder, a registered model, or a Hub repository at a revision."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from resources.families.entries import ModelEntry
from resources.families.file import meant, quoted
from resources.families.registry import Registry
from resources.hub import REPO_ID_PATTERN, REVISION_PATTERN
from rotoscale.errors import RotoscaleError


class UnknownSource(RotoscaleError):  # noqa: N818
    """A text given for a checkpoint is no folder with a checkpoint, no registered id and no Hub id."""


@dataclass(frozen=True)
class Source:
    """A checkpoint that somebody pointed at: a folder, or a Hub repository at a revision."""

    path: Path | None = None
    hub: str | None = None
    revision: str | None = None

    def is_of(self, entry: ModelEntry) -> bool:
        """Whether a registered model is this checkpoint."""
        return (self.path, self.hub, self.revision) == (entry.path, entry.hub, entry.revision)

    @property
    def keys(self) -> dict[str, str]:
        """The keys of a family file that say this."""
        if self.path:
            return {"path": self.path.as_posix()}
        return {"hub": self.hub or "", "revision": self.revision or ""}

    @property
    def is_adapter(self) -> bool:
        """Whether it is a folder with an adapter in it."""
        return self.path is not None and (self.path / "adapter_config.json").is_file()

    def new_id(self, taken: Iterable[str], base: str = "") -> str:
        """Return a readable id: the folder's or repository's name; if that is taken, with a hash of source and base."""
        name = self.path.name if self.path else (self.hub or "").rpartition("/")[2]
        return self._free_id(name, taken, base)

    def release_id(self, taken: Iterable[str], base: str = "") -> str:
        """Return an id for one of many releases: also with the account, or the folder above."""
        if self.path:
            return self._free_id(f"{self.path.parent.name}--{self.path.name}", taken, base)
        return self._free_id((self.hub or "").replace("/", "--"), taken, base)

    def _free_id(self, name: str, taken: Iterable[str], base: str) -> str:
        used = {t.casefold() for t in taken}
        slug = re.sub(r"\.{2,}", ".", re.sub(r"[^A-Za-z0-9._-]+", "-", name)).strip("._-")[:80] or "model"
        digest = hashlib.sha256("\n".join([*self.keys.values(), base]).encode()).hexdigest()
        names = (slug if n == 0 else f"{slug}-{digest[:n]}" for n in (0, 8, 12, 16, 32))
        return next(n for n in names if n.casefold() not in used)


def find_source(text: str, registry: Registry) -> Source:
    """Tell what BASE or POST on a command line means: a folder first, then a registered id, then a Hub id.

    Raises:
        UnknownSource: it is none of those.
    """
    folder = os.path.expanduser(text)
    if os.path.isdir(folder):
        path = Path(folder).resolve()
        try:
            str(path).encode()
        except UnicodeEncodeError:
            raise UnknownSource(f"The name of the folder {str(path)!r} is not UTF-8; rename it.") from None
        return Source(path=path)
    if text in registry.models:
        entry = registry.models[text]
        return Source(entry.path, entry.hub, entry.revision)
    if os.path.exists(folder):
        raise UnknownSource(f'"{text}" is a file; give the folder that holds the checkpoint.')
    hub, at, revision = text.partition("@")
    revision = revision if at else "main"
    if "/" in hub and re.fullmatch(REPO_ID_PATTERN, hub) and re.fullmatch(REVISION_PATTERN, revision):
        return Source(hub=hub, revision=revision)
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
    source = find_source(text, registry)
    return ModelEntry.model_validate({"id": source.new_id(()), "role": "base", **source.keys})
