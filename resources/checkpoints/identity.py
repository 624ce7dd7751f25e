"""A checkpoint's identity, from the hashes of its tensors: no tensor is read here, and torch is not loaded."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from resources.checkpoints.adapter import Adapter
    from resources.checkpoints.inventory import Inventory


def identity(
    inventory: Inventory,
    adapter: Adapter | None,
    hashes: Mapping[str, str],
    adapter_hashes: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """sha256 over the sorted (name, dtype, shape, sha256 of bytes) of all tensors.

    With an adapter: over that of the base's tensors, that of the adapter's, and the settings that decide the merge.
    """
    of_tensors = _hash_inventory(inventory, hashes)
    if adapter is None:
        return of_tensors
    settings = json.dumps(adapter.identity(), sort_keys=True)
    lines = [of_tensors, _hash_inventory(adapter.inventory, adapter_hashes), settings]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _hash_inventory(inventory: Inventory, hashes: Mapping[str, str]) -> str:
    digest = hashlib.sha256()
    for name in sorted(inventory.tensors):
        entry = inventory.tensors[name]
        line = json.dumps([name, entry.dtype, list(entry.shape), hashes[name]], ensure_ascii=True)
        digest.update(line.encode() + b"\n")
    return digest.hexdigest()
