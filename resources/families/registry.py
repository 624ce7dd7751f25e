"""The registry that all family files make together, in an order in which every model follows what it names."""

from __future__ import annotations

import difflib
import graphlib
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from pydantic import ValidationError

from resources.families.entries import Family, ModelEntry, family_schema
from resources.families.file import FamilyFile, meant, read_file
from rotoscale.errors import RotoscaleError

RELEASES = "releases"
"""Folder below a folder of family files, with a file for each release that was found."""


class UnknownModel(RotoscaleError):  # noqa: N818 (reads as what it says)
    """No model of that id is registered."""


class UnknownFamily(RotoscaleError):  # noqa: N818 (reads as what it says)
    """No family of that name is registered."""


@dataclass(frozen=True)
class Registry:
    """All families together. `models` is in an order in which every model follows its base and references.

    releases: ids of models that joined a family as releases that were found for it.
    """

    families: dict[str, Family] = field(default_factory=dict)
    models: dict[str, ModelEntry] = field(default_factory=dict)
    folders: tuple[Path, ...] = ()
    releases: frozenset[str] = frozenset()

    def model(self, model_id: str) -> ModelEntry:
        """Return the entry of that id.

        Raises:
            UnknownModel: with the closest registered ids.
        """
        if model_id in self.models:
            return self.models[model_id]
        close = difflib.get_close_matches(model_id, self.models, n=5, cutoff=0.5)
        if close:
            hint = "Did you mean " + " or ".join(f'"{c}"' for c in close) + "?"
        elif self.models:
            hint = "Registered are: " + _some(self.models) + "."
        else:
            hint = f"No family file was found in {_some(map(str, self.folders))}."
        raise UnknownModel(f'No model "{model_id}" is registered. {hint}')

    def family_of(self, model_id: str) -> Family:
        """Return the family of a model; raises UnknownModel."""
        return self.families[self.model(model_id).family]

    def family(self, name: str) -> Family:
        """Return the family of that name.

        Raises:
            UnknownFamily: with those that there are.
        """
        if name not in self.families:
            raise UnknownFamily(f'No family "{name}" is registered. Registered are: {_some(self.families)}.')
        return self.families[name]

    def automatic(self) -> tuple[ModelEntry, ...]:
        """Return the models that run without being named, in order: those of automatic families."""
        return tuple(m for m in self.models.values() if self.families[m.family].automatic)

    def closure(self, model_ids: Iterable[str]) -> tuple[ModelEntry, ...]:
        """Return the named models and all that they are compared with, in order; raises UnknownModel."""
        wanted: set[str] = set()
        waiting = [self.model(i) for i in model_ids]
        while waiting:
            entry = waiting.pop()
            if entry.id not in wanted:
                wanted.add(entry.id)
                waiting += [self.model(i) for i in entry.dependencies]
        return tuple(m for m in self.models.values() if m.id in wanted)


def _some(words: Iterable[str], most: int = 12) -> str:
    """Join words with commas, cut short."""
    listed = list(words)
    return ", ".join(listed[:most]) + (f" and {len(listed) - most} more" if len(listed) > most else "")


def load_family(file: Path) -> Family:
    """Read one family file.

    Raises:
        FamilyFileError: naming the file, line and key of a typo. Ids of other models are not looked up.
    """
    return _load(Path(file))[0]


def _load(file: Path) -> tuple[Family, FamilyFile]:
    return _parsed(Path(os.path.abspath(file)), read_file(file))


@lru_cache(maxsize=1024)
def _parsed(file: Path, raw: bytes) -> tuple[Family, FamilyFile]:
    """The family in these bytes. Kept, because one command asks for the registry many times and PyYAML is slow."""
    source = FamilyFile(file, raw)
    values = source.values
    if source.is_ours and isinstance(values, dict):
        values = {**values, "automatic": False}  # a one-off comparison runs only when named
    name = values.get("family") if isinstance(values, dict) else None
    try:
        family = Family.model_validate(values, context={"family": name, "file": file})
    except ValidationError as error:
        raise source.explained(error, family_schema()) from None
    return family, source


def load_registry(*folders: Path) -> Registry:
    """Read every family file (`*.yaml`, `*.yml`) of the folders and check them together.

    A folder that does not exist has no families: a user's own is there only once something was registered.

    Raises:
        FamilyFileError: a typo in a file; a model id or family name registered twice (ids that differ only in
            case count as the same, because they become file names); a base or reference that no file registers;
            a cycle.
    """
    loaded: list[tuple[Family, FamilyFile]] = []
    unique = tuple(dict.fromkeys(Path(os.path.abspath(f)) for f in folders))
    for folder in unique:
        loaded += [_load(file) for file in _files(folder)]

    families: dict[str, Family] = {}
    placed: dict[str, tuple[ModelEntry, FamilyFile, int]] = {}
    for family, source in loaded:
        if family.name in families:
            message = f'"{family.name}" is also the family of {families[family.name].file}; rename one.'
            raise source.error(("family",), message)
        families[family.name] = family
        for i, entry in enumerate(family.models):
            if other := placed.get(entry.id.casefold()):
                line = other[1].lines["models", other[2], "id"]
                message = f'"{entry.id}" is registered already in {other[0].file}, line {line}; rename one.'
                raise source.error(("models", i, "id"), message)
            placed[entry.id.casefold()] = (entry, source, i)

    releases = _join_releases(unique, families, placed)
    entries = {entry.id: entry for entry, _, _ in placed.values()}
    for entry, source, i in placed.values():
        for other_id, at in entry.named():
            if other_id not in entries:
                hint = meant(other_id, entries) or f" Registered are: {_some(entries)}."
                message = f'names "{other_id}", which no family file registers.{hint}'
                raise source.error(("models", i, *at), message)
    graph = {m.id: m.dependencies for m in entries.values()}
    try:
        order = list(graphlib.TopologicalSorter(graph).static_order())
    except graphlib.CycleError as error:
        ring = error.args[1]
        _, source, i = placed[ring[0].casefold()]
        circle = " -> ".join(reversed(ring))
        message = f"closes a circle of bases and references ({circle}); remove one of them."
        raise source.error(("models", i), message) from None
    return Registry(families, {model_id: entries[model_id] for model_id in order}, unique, releases)


def _files(folder: Path) -> list[Path]:
    return sorted(f for f in folder.glob("*") if f.suffix in (".yaml", ".yml") and not f.name.startswith("."))


def _join_releases(
    folders: Iterable[Path], families: dict[str, Family], placed: dict[str, tuple[ModelEntry, FamilyFile, int]]
) -> frozenset[str]:
    """Add the releases to the families that they name; one whose family or base is gone or id is taken is left out."""
    joined: dict[str, list[ModelEntry]] = {}
    for file in (file for folder in folders for file in _files(folder / RELEASES)):
        release, source = _load(file)
        for i, entry in enumerate(release.models):
            known = all(other.casefold() in placed for other, _ in entry.named())
            if release.name in families and known and entry.id.casefold() not in placed:
                placed[entry.id.casefold()] = (entry, source, i)
                joined.setdefault(release.name, []).append(entry)
    for name, entries in joined.items():
        family = families[name]
        families[name] = family.model_copy(update={"models": (*family.models, *entries)})
    return frozenset(entry.id for entries in joined.values() for entry in entries)
