"""Group `structure`: decompositions, and what they say of a post-trained model against its references."""

from __future__ import annotations

from typing import Any

from assets.groups import Asset, Group, all_references
from assets.structure.tables import TABLES
from resources.families import ModelEntry
from resources.workspace import Workspace
from rotoscale import versions

COMPARED = ("scale_statistics", "rotation_statistics", "tensor_changes")
"""What comes of one pass over the pairs of matrices: read, compare, drop."""


def _null_settings(space: Workspace, entry: ModelEntry) -> Any:
    return [space.settings.null_layers, space.settings.seed]


_PAIR_VERSION = f"{versions.DECOMPOSITION} {versions.COMPARISON}"

GROUP = Group(
    "structure",
    assets=(
        Asset("decompositions", versions.DECOMPOSITION, after=("checkpoints",), structural=True),
        *(
            Asset(
                name,
                _PAIR_VERSION,
                after=("decompositions",),
                reads=all_references,
                settings=_null_settings,
                settings_from="comparison_settings",
                structural=True,
            )
            for name in COMPARED
        ),
    ),
    tables=TABLES,
)
