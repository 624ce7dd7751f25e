"""What each asset's rows are made from, as one fingerprint: equal fingerprints mean that nothing is left to do.

The fingerprint of `checkpoints` is taken over the files' names, sizes and times, which costs nothing; everything
downstream is fingerprinted over the weights' own hash, so that a touched or moved file alone recomputes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from assets.common import CODE_VERSION
from resources.families import ModelEntry
from resources.workspace import NotReady, Workspace, file_signature, fingerprint
from rotoscale import versions
from rotoscale.errors import RotoscaleError


def checkpoint_fingerprint(workspace: Workspace, entry: ModelEntry) -> str:
    """Files of the checkpoint (and of an adapter's base), and what the registry says of it."""
    location = workspace.location(entry.id)
    folders = [folder for folder in (location.path, location.base) if folder]
    facts = [entry.family, entry.role, entry.base, entry.method, entry.source]
    return fingerprint("checkpoints", CODE_VERSION, file_signature(folders), facts)


def decomposition_fingerprint(workspace: Workspace, entry: ModelEntry) -> str:
    """Weights of the checkpoint and version of the method."""
    return fingerprint(
        "decompositions", CODE_VERSION, versions.DECOMPOSITION, workspace.facts(entry.id)["content_hash"]
    )


def comparison_fingerprint(workspace: Workspace, entry: ModelEntry) -> str:
    """Weights of the checkpoint and of everything it is compared with, method versions, null settings."""
    hashes = [(model, workspace.facts(model)["content_hash"]) for model in (entry.id, *entry.all_references)]
    settings = [workspace.settings.null_layers, workspace.settings.seed]
    return fingerprint("comparison", CODE_VERSION, versions.DECOMPOSITION, versions.COMPARISON, hashes, settings)


FINGERPRINTS: dict[str, tuple[Callable[[Workspace, ModelEntry], str], tuple[str, ...]]] = {
    "checkpoints": (checkpoint_fingerprint, ("models",)),
    "decompositions": (decomposition_fingerprint, ("decompositions",)),
    "scale_statistics": (comparison_fingerprint, ("scale_statistics",)),
    "rotation_statistics": (comparison_fingerprint, ("rotation_statistics",)),
    "tensor_changes": (comparison_fingerprint, ("tensor_changes", "coverage")),
}
"""Per partitioned asset: how its fingerprint is taken, and the tables that carry it."""


def pending(workspace: Workspace, model_id: str, assets: Iterable[str] = FINGERPRINTS) -> list[str]:
    """Assets of a model that are missing or out of date, in order. One that cannot be judged yet counts as such."""
    entry = workspace.registry.model(model_id)
    waiting = []
    for asset in assets:
        take, tables = FINGERPRINTS[asset]
        try:
            wanted = None if "checkpoints" in waiting else take(workspace, entry)
        except (NotReady, RotoscaleError):
            wanted = None
        if wanted is None or any(workspace.tables.fingerprint(table, model_id) != wanted for table in tables):
            waiting.append(asset)
    return waiting
