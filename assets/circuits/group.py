"""Group `circuits`: each model's entity-tracking circuit, and the base's circuit followed into its descendants."""

from __future__ import annotations

from typing import Any

from assets.circuits.tables import TABLES
from assets.groups import Asset, Group, its_base
from resources.families import ModelEntry
from resources.workspace import Workspace
from rotoscale import versions

FOLLOWING = ("circuit_faithfulness", "component_masks", "cross_model_patching")
"""Assets that follow the base's circuit into a model; they read the base's own weights, and its rows if they hold."""


def _size(space: Workspace, entry: ModelEntry) -> Any:
    """Role, prompts, seed, and the number format that models compute in."""
    from resources.evaluation.subjects import model_dtype

    return [entry.role, space.settings.circuit_prompts, space.settings.seed, model_dtype(space.settings.device)]


GROUP = Group(
    "circuits",
    assets=(
        Asset(
            "circuits",
            versions.CIRCUIT,
            after=("checkpoints",),
            settings=_size,
            settings_from="circuit_settings",
            page="circuits",
        ),
        *(
            Asset(
                name,
                versions.CIRCUIT,
                after=("circuits",),
                reads=its_base,
                settings=_size,
                settings_from="circuit_settings",
                page="circuits",
            )
            for name in FOLLOWING
        ),
    ),
    tables=TABLES,
)
