"""Group `relations`: every two models of a family beside each other, stored under the pair's own name."""

from __future__ import annotations

from typing import Any

from assets.groups import Group, SharedAsset
from assets.relations.tables import TABLES
from resources.families import ModelEntry, pair_key, pairs_of
from resources.lineage.tokens import TOKENIZER
from resources.workspace import Workspace, hash_of_file
from rotoscale import versions


def pairs(space: Workspace) -> dict[str, tuple[ModelEntry, ModelEntry]]:
    """Pairs of models of one family whose checkpoints were read, by the name that their rows are stored under."""
    ready = [entry for entry in space.registry.models.values() if space.status(entry.id) == "ready"]
    return {pair_key(a.id, b.id): (a, b) for a, b in pairs_of(ready)}


def _keys(space: Workspace) -> list[str]:
    return list(pairs(space))


def _inputs(space: Workspace, key: str) -> Any:
    """The weights of both models, what their tokens are, and the seed of ties."""
    return [[_content(space, entry) for entry in pairs(space)[key]], space.settings.seed]


def _content(space: Workspace, entry: ModelEntry) -> tuple[str, ...]:
    facts = space.facts(entry.id)
    tokens = hash_of_file(entry.path / TOKENIZER) if entry.path else facts["revision"]
    return entry.id, facts["content_hash"], tokens


GROUP = Group(
    "relations",
    shared=(SharedAsset("lineage", versions.LINEAGE, after=("checkpoints",), keys=_keys, inputs=_inputs),),
    tables=TABLES,
)
