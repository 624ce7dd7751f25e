"""The one pass over all bytes: every value finite, and the hash that is the checkpoint's identity."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import TYPE_CHECKING

from resources.checkpoints.errors import shown
from resources.checkpoints.tensors import non_finite, scan

if TYPE_CHECKING:
    from resources.checkpoints.checkpoint import Checkpoint
    from resources.checkpoints.inventory import Inventory


def hash_tensors(checkpoint: Checkpoint, progress: Callable[[int, int], None] | None, *, check: bool) -> str:
    """sha256 over the sorted (name, dtype, shape, sha256 of bytes) of all tensors; with an adapter, of both.

    With ``check`` the structure is built (all principal matrices present, shapes as configured, every fp8 tensor with
    its scale) and NaN or infinity in any tensor is an error.
    """
    if check:
        structure = checkpoint.structure
        for name in {part.entry.name for part in structure.parts.values()} | {
            e.name for e in structure.others.values()
        }:
            checkpoint.fp8_scale(checkpoint.inventory.tensors[name])
    inventories = [checkpoint.inventory]
    if checkpoint.adapter is not None:
        inventories.append(checkpoint.adapter.inventory)
    total = sum(entry.nbytes for inventory in inventories for entry in inventory.tensors.values())
    done = 0
    hashes = []
    for inventory in inventories:
        digest, done = _hash_inventory(inventory, progress, done, total, check)
        hashes.append(digest)
    if checkpoint.adapter is None:
        return hashes[0]
    settings = json.dumps(checkpoint.adapter.identity(), sort_keys=True)
    return hashlib.sha256("\n".join([*hashes, settings]).encode()).hexdigest()


def _hash_inventory(
    inventory: Inventory, progress: Callable[[int, int], None] | None, done: int, total: int, check: bool
) -> tuple[str, int]:
    digest = hashlib.sha256()
    for name in sorted(inventory.tensors):
        entry = inventory.tensors[name]
        content, bad = scan(entry)
        if bad and check:
            raise non_finite(shown(name), entry, bad, entry.numel)
        line = json.dumps([name, entry.dtype, list(entry.shape), content], ensure_ascii=True)
        digest.update(line.encode() + b"\n")
        done += entry.nbytes
        if progress is not None:
            progress(done, total)
    return digest.hexdigest(), done
