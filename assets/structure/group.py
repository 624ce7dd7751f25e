"""Group `structure`: decompositions, and what they say of a post-trained model against its references."""

from __future__ import annotations

from typing import Any

from assets.groups import Asset, Group, all_references
from assets.structure.tables import TABLES
from resources.families import ModelEntry
from resources.workspace import Workspace
from rotoscale import versions

COMPARED = {
    "scale_statistics": "scale",
    "rotation_statistics": "rotation",
    "agreement": "rotation",
    "tensor_changes": "models",
}
"""What comes of one pass over the pairs of matrices (read, compare, drop), and the page that shows each."""


def _depth(space: Workspace, entry: ModelEntry) -> Any:
    return space.settings.depth


def _comparison_settings(space: Workspace, entry: ModelEntry) -> Any:
    return [space.settings.depth, space.settings.null_draws, space.settings.seed]


_PAIR_VERSION = f"{versions.DECOMPOSITION} {versions.COMPARISON}"

GROUP = Group(
    "structure",
    assets=(
        Asset(
            "decompositions",
            versions.DECOMPOSITION,
            after=("checkpoints",),
            settings=_depth,
            settings_from="depth_setting",
            structural=True,
            page="scale",
        ),
        *(
            Asset(
                name,
                _PAIR_VERSION,
                after=("decompositions",),
                reads=all_references,
                settings=_comparison_settings,
                settings_from="comparison_settings",
                structural=True,
                page=page,
            )
            for name, page in COMPARED.items()
        ),
    ),
    tables=TABLES,
)
