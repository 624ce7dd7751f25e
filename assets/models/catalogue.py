"""Rows of `models`: a checkpoint read through once, every tensor checked, described and hashed."""

from __future__ import annotations

from typing import Any

from assets.freshness import CATALOGUE, asset_fingerprint
from assets.groups import model_assets
from resources import structure
from resources.families import ModelEntry
from resources.hub import HubLimitError
from resources.hub.client import now
from resources.workspace import WAITING, Workspace
from rotoscale.errors import RotoscaleError


class ChangedWhileRead(RotoscaleError):  # noqa: N818 (reads as what it says)
    """The files of a checkpoint were replaced while they were read."""


def catalogue(space: Workspace, entry: ModelEntry) -> dict[str, Any]:
    """Row of `models` for a checkpoint whose every tensor has just been read.

    Raises RotoscaleError when anything about it is unusable, or when its files changed meanwhile.
    """
    checkpoint = space.checkpoint(entry.id)
    checkpoint.matrices()
    with space.remembering(entry.id, checkpoint) as remember:
        verified = checkpoint.verify_and_hash(
            lambda tensors: space.over(structure.reading(space, entry.id, tensors), f"{entry.id}: reading")
        )
        remember(verified)
    if space.content_hash(entry.id) != verified.content_hash:
        raise ChangedWhileRead(f"the files of {entry.id} were replaced while they were read; run again")
    return {
        **registered(entry),
        "revision": space.revision(entry),
        "architecture": checkpoint.architecture,
        "dtype": checkpoint.dtype,
        "n_layers": checkpoint.n_layers,
        "hidden_size": checkpoint.hidden_size,
        "n_heads": checkpoint.n_heads,
        "n_kv_heads": checkpoint.n_kv_heads,
        "n_parameters": checkpoint.n_parameters,
        "content_hash": verified.content_hash,
        "status": "ready",
        "status_reason": "",
    }


def store(space: Workspace, entry: ModelEntry, row: dict[str, Any], run_id: str) -> str:
    """Write a model's row; returns what it was made from, which is empty for one that is not ready."""
    asset = model_assets()[CATALOGUE]
    made_from = asset_fingerprint(space, entry, asset) if row["status"] == "ready" else ""
    space.tables.write("models", entry.id, [row], run_id=run_id, code_version=asset.version, fingerprint=made_from)
    return made_from


def ensure_catalogued(space: Workspace, model_id: str, run_id: str) -> None:
    """Catalogue a model that was not read yet: automation may start a descendant's run before its base's.

    Writes the row that the model's own run would write. Raises NotReady when it is quarantined already or waits for
    the Hub, and the checkpoint's own error when it turns out bad now.
    """
    if not space.tables.read("models", model_id) or space.wait_is_over(model_id, now()):
        entry = space.registry.model(model_id)
        try:
            store(space, entry, catalogue(space, entry), run_id)
        except HubLimitError as error:
            wait(space, entry, error, run_id)
            raise
    space.facts(model_id)


def wait(space: Workspace, entry: ModelEntry, error: HubLimitError, run_id: str) -> None:
    """Write the row of a model that the Hub gives later."""
    row = {**registered(entry), "status": WAITING, "status_reason": str(error), "retry_at": error.until}
    store(space, entry, row, run_id)


def registered(entry: ModelEntry) -> dict[str, Any]:
    """What the registry alone knows of a model."""
    return {
        "model_id": entry.id,
        "family": entry.family,
        "role": entry.role,
        "base_id": entry.id if entry.role == "base" else entry.base,
        "method": entry.method,
        "source": entry.source,
    }
