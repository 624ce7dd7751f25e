"""The registry that all family files make together: its entries, and how files become entries."""

from __future__ import annotations

import difflib
import graphlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from resources.families.reader import Reader, Where, meant
from rotoscale.errors import RotoscaleError


class UnknownModel(RotoscaleError):  # noqa: N818 (reads as what it says)
    """No model of that id is registered."""


@dataclass(frozen=True)
class ModelEntry:
    """One checkpoint of the registry. Exactly one of `path` (absolute) and `hub` (with `revision`) is set."""

    id: str
    family: str
    role: str
    base: str | None
    references: tuple[str, ...]
    method: str
    path: Path | None
    hub: str | None
    revision: str | None
    file: Path

    @property
    def source(self) -> str:
        """Where the checkpoint comes from, as text: the folder, or `org/name@revision`."""
        return str(self.path) if self.path else f"{self.hub}@{self.revision}"

    @property
    def all_references(self) -> tuple[str, ...]:
        """Ids of every model this one is compared with: its base (a base: itself), then the further ones."""
        first = self.id if self.role == "base" else self.base
        return tuple(i for i in (first, *self.references) if i)

    @property
    def dependencies(self) -> tuple[str, ...]:
        """Ids of the other models that have to be there before this one can be compared."""
        return tuple(i for i in self.all_references if i != self.id)


@dataclass(frozen=True)
class Task:
    """One lm-eval task; None leaves the number of shots or of samples to the task."""

    name: str
    num_fewshot: int | None = None
    limit: int | None = None


@dataclass(frozen=True)
class Evaluation:
    """What the models of a family are scored on. `include_path` is absolute."""

    tasks: tuple[Task, ...] = ()
    include_path: Path | None = None
    prompts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Family:
    """One family file. Recipes are kept as the file has them; who applies them checks them."""

    name: str
    title: str
    description: str
    automatic: bool
    models: tuple[ModelEntry, ...]
    evaluation: Evaluation
    recipes: tuple[str | dict[str, Any], ...]
    file: Path


@dataclass(frozen=True)
class Registry:
    """All families together. `models` is in an order in which every model follows its base and references."""

    families: dict[str, Family] = field(default_factory=dict)
    models: dict[str, ModelEntry] = field(default_factory=dict)
    folders: tuple[Path, ...] = ()

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


def _load(file: Path) -> tuple[Family, Reader]:
    reader = Reader(file)
    data = reader.read()
    where = Path(os.path.abspath(file))

    def beside(folder: str, *key: str | int) -> Path:
        """Return the absolute, link-free form of a folder given relative to the file."""
        try:
            return (where.parent / os.path.expanduser(folder)).resolve()
        except (OSError, RuntimeError, ValueError) as error:
            raise reader.fail(key, f"is no folder name ({error}); correct it.") from None

    models: list[ModelEntry] = []
    for i, raw in enumerate(data["models"]):
        _check_model(reader, raw, i)
        role = raw.get("role", "descendant")
        default_method = "base" if role == "base" else "unspecified"
        hub = raw.get("hub")
        models.append(
            ModelEntry(
                id=raw["id"],
                family=data["family"],
                role=role,
                base=raw.get("base"),
                references=tuple(raw.get("references", ())),
                method=raw.get("method", default_method),
                path=beside(raw["path"], "models", i, "path") if "path" in raw else None,
                hub=hub,
                revision=raw.get("revision", "main") if hub else None,
                file=where,
            )
        )
    scored = data.get("evaluation", {})
    tasks = scored.get("include_path")
    evaluation = Evaluation(
        tasks=tuple(Task(t) if isinstance(t, str) else Task(**t) for t in scored.get("tasks", ())),
        include_path=beside(tasks, "evaluation", "include_path") if tasks else None,
        prompts=tuple(scored.get("prompts", ())),
    )
    family = Family(
        name=data["family"],
        title=data.get("title", data["family"]),
        description=data.get("description", ""),
        automatic=data.get("automatic", True),
        models=tuple(models),
        evaluation=evaluation,
        recipes=tuple(data.get("recipes", ())),
        file=where,
    )
    return family, reader


def _check_model(reader: Reader, raw: Mapping[str, Any], index: int) -> None:
    """Check what keys of one model say about each other."""
    at: Where = ("models", index)
    name = f'(model "{raw["id"]}")'
    if ("path" in raw) == ("hub" in raw):
        both = "both; keep one of them" if "path" in raw else "neither; add one of them"
        raise reader.fail(at, f"{name} must have exactly one of path and hub, and has {both}.")
    if "revision" in raw and "path" in raw:
        raise reader.fail((*at, "revision"), f"{name} belongs to hub; remove it, a folder has no revision.")
    if "role" not in raw and "base" not in raw:
        message = f"{name} has neither role nor base; write `role: base`, or the id it descends from as `base`."
        raise reader.fail(at, message)
    role = raw.get("role", "descendant")
    if role == "base" and "base" in raw:
        message = f"{name} cannot stand beside role: base; remove one of them, or list it under references."
        raise reader.fail((*at, "base"), message)
    if role != "base" and "base" not in raw:
        message = f'{name} has the role {role} and lacks the key "base": the id of the model to compare with.'
        raise reader.fail(at, message)
    named = [(raw.get("base"), (*at, "base"))]
    for i, reference in enumerate(raw.get("references", ())):
        named.append((reference, (*at, "references", i)))
    seen = {raw["id"]: "the model itself"}
    for other, where in named:
        if other in seen:
            raise reader.fail(where, f'{name} names "{other}", which is {seen[other]}; remove it.')
        if other:
            seen[other] = "named already"


def load_registry(*folders: Path) -> Registry:
    """Read every family file (`*.yaml`, `*.yml`) of the folders and check them together.

    A folder that does not exist has no families: a user's own is there only once something was registered.

    Raises:
        FamilyFileError: a typo in a file; a model id or family name registered twice (ids that differ only in
            case count as the same, because they become file names); a base or reference that no file registers;
            a cycle.
    """
    loaded: list[tuple[Family, Reader]] = []
    unique = tuple(dict.fromkeys(Path(os.path.abspath(f)) for f in folders))
    for folder in unique:
        files = [f for f in folder.glob("*") if f.suffix in (".yaml", ".yml") and not f.name.startswith(".")]
        loaded += [_load(file) for file in sorted(files)]

    families: dict[str, Family] = {}
    placed: dict[str, tuple[ModelEntry, Reader, int]] = {}
    for family, reader in loaded:
        if family.name in families:
            message = f'"{family.name}" is also the family of {families[family.name].file}; rename one.'
            raise reader.fail(("family",), message)
        families[family.name] = family
        for i, entry in enumerate(family.models):
            if other := placed.get(entry.id.casefold()):
                line = other[1].lines["models", other[2], "id"]
                message = f'"{entry.id}" is registered already in {other[0].file}, line {line}; rename one.'
                raise reader.fail(("models", i, "id"), message)
            placed[entry.id.casefold()] = (entry, reader, i)

    entries = {entry.id: entry for entry, _, _ in placed.values()}
    for entry, reader, i in placed.values():
        named: list[tuple[str | None, Where]] = [(entry.base, ("base",))]
        named += [(reference, ("references", n)) for n, reference in enumerate(entry.references)]
        for other_id, key in named:
            if other_id and other_id not in entries:
                hint = meant(other_id, entries) or f" Registered are: {_some(entries)}."
                message = f'names "{other_id}", which no family file registers.{hint}'
                raise reader.fail(("models", i, *key), message)
    graph = {m.id: m.dependencies for m in entries.values()}
    try:
        order = list(graphlib.TopologicalSorter(graph).static_order())
    except graphlib.CycleError as error:
        ring = error.args[1]
        entry, reader, i = placed[ring[0].casefold()]
        circle = " -> ".join(reversed(ring))
        message = f"closes a circle of bases and references ({circle}); remove one of them."
        raise reader.fail(("models", i), message) from None
    return Registry(families, {model_id: entries[model_id] for model_id in order}, unique)
