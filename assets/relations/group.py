"""Group `relations`: every two models of a family beside each other, stored under the pair's own name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from assets.groups import Group, SharedAsset
from assets.relations.tables import TABLES
from resources.families import ModelEntry, pair_key, pairs_of
from resources.lineage.tokens import TOKENIZER
from resources.workspace import Workspace, content_of_folder, hash_of_file
from rotoscale import versions

Pair = tuple[ModelEntry, ModelEntry]


def pairs(space: Workspace) -> dict[str, Pair]:
    """Pairs of models of one family whose checkpoints were read, by the name that their rows are stored under."""
    ready = [entry for entry in space.registry.models.values() if space.status(entry.id) == "ready"]
    return {pair_key(a.id, b.id): (a, b) for a, b in pairs_of(ready)}


def _inputs(space: Workspace, pair: Pair) -> Any:
    """The weights of both models, what their tokens are, and the seed of ties."""
    return [[_content(space, entry) for entry in pair], space.settings.seed]


def _content(space: Workspace, entry: ModelEntry) -> tuple[str, ...]:
    facts = space.facts(entry.id)
    tokens = hash_of_file(entry.path / TOKENIZER) if entry.path else facts["revision"]
    return entry.id, facts["content_hash"], tokens


@dataclass(frozen=True)
class Siblings:
    """Two descendants of one base; `later` says that the second was trained from the first."""

    base: ModelEntry
    a: ModelEntry
    b: ModelEntry
    later: bool


def siblings(space: Workspace) -> dict[str, Siblings]:
    """Pairs of descendants of one base that was read too, by the name that their rows are stored under."""
    found = {}
    known = pairs(space)
    ready = {entry.id for pair in known.values() for entry in pair}
    for key, (a, b) in known.items():
        base = _origin(space, a)
        if not a.role == b.role == "descendant" or base is not _origin(space, b) or base.id not in ready:
            continue
        first, second = (b, a) if b.id in a.all_references else (a, b)
        found[key] = Siblings(base, first, second, later=first.id in second.all_references)
    return found


def lines(space: Workspace) -> dict[str, Pair]:
    """Pairs between which a straight line is scored: descendants of one base, and a base with each model set beside it.

    A line from the base to an unrelated model shows what a barrier is.
    """
    found = {key: (pair.a, pair.b) for key, pair in siblings(space).items()}
    for key, (a, b) in pairs(space).items():
        if a.role == "base" and _origin(space, b) is a:
            found[key] = (a, b)
    return found


def _origin(space: Workspace, entry: ModelEntry) -> ModelEntry:
    """The base at the beginning of a model's chain of stages."""
    seen = {entry.id}
    while entry.role != "base" and entry.base and entry.base not in seen:
        entry = space.registry.model(entry.base)
        seen.add(entry.id)
    return entry


def _siblings_inputs(space: Workspace, found: Siblings) -> Any:
    """The weights of the three models, which of the two comes first, and the seed of sign flips."""
    content = [space.facts(entry.id)["content_hash"] for entry in (found.base, found.a, found.b)]
    return [content, found.a.id, found.later, space.settings.seed]


def _lines_inputs(space: Workspace, pair: Pair) -> Any:
    """The weights of both ends, and the documents that the line is scored on."""
    from resources.evaluation.harness import Harness
    from resources.evaluation.subjects import model_dtype
    from resources.relations.lines import documents_of

    a, b = pair
    evaluation = space.registry.families[a.family].evaluation
    tasks = [evaluation.tasks, content_of_folder(evaluation.include_path), documents_of(space, a.id)]
    content = [[entry.id, space.facts(entry.id)["content_hash"]] for entry in (a, b)]
    return [content, tasks, Harness.version(), space.settings.seed, model_dtype(space.settings.device)]


GROUP = Group(
    "relations",
    shared=(
        SharedAsset(
            "lineage", versions.LINEAGE, after=("checkpoints",), subjects=pairs, inputs=_inputs, page="relations"
        ),
        SharedAsset(
            "descendant_relations",
            versions.TWO_CHANGES,
            after=("checkpoints",),
            subjects=siblings,
            inputs=_siblings_inputs,
            page="relations",
        ),
        SharedAsset(
            "straight_lines",
            versions.STRAIGHT_LINES,
            after=("checkpoints",),
            subjects=lines,
            inputs=_lines_inputs,
            page="relations",
        ),
    ),
    tables=TABLES,
)
