"""Group `models`: every checkpoint resolved, validated and catalogued, or quarantined with its reason."""

from __future__ import annotations

from typing import Any

from assets.groups import Asset, Group
from assets.models.tables import TABLES
from resources.families import ModelEntry
from resources.workspace import Workspace, hash_of_file
from rotoscale import versions


def _registered_as(space: Workspace, entry: ModelEntry) -> Any:
    """What the registry and the config say of a model; a folder may move, a Hub revision is part of what it is."""
    registered = [entry.family, entry.role, entry.base, entry.method, entry.hub and entry.source]
    configs = [] if entry.path is None else [entry.path / name for name in ("config.json", "adapter_config.json")]
    return [registered, [hash_of_file(file) for file in configs]]


GROUP = Group(
    "models",
    assets=(
        Asset(
            "checkpoints",
            versions.CHECKPOINT,
            settings=_registered_as,
            settings_from="checkpoint_files",
            structural=True,
            page="models",
        ),
    ),
    tables=TABLES,
)
