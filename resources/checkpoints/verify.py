"""The one pass over all bytes: every value finite, the hash that is the checkpoint's identity, and each matrix's own.

Tensor by tensor, so that processes can share it: sha256 costs more than reading and converting together. A tensor (of
stacked experts, one expert) is read once; the matrices in it are taken out of memory.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import torch

from resources.checkpoints.errors import shown
from resources.checkpoints.files import opened, read_exactly
from resources.checkpoints.header import DTYPES, TensorEntry
from resources.checkpoints.identity import identity
from resources.checkpoints.keys import MatrixKey, TensorHashes
from resources.checkpoints.tensors import CHUNK, Loaded, TensorReader, count_bad, is_float, non_finite, take_part

if TYPE_CHECKING:
    from resources.checkpoints.adapter import Adapter
    from resources.checkpoints.inventory import Inventory
    from resources.checkpoints.parts import Part, Structure
    from resources.checkpoints.tensors import Scale

_READERS = 2
"""Threads that hash, each with a few megabytes of a file."""


def verify_matrices(
    structure: Structure, adapter: Adapter | None, scale: Scale | None, entry: TensorEntry
) -> TensorHashes:
    """Read a tensor with principal matrices in it, slab by slab; an adapter's change is added to them.

    Raises NonFiniteWeights. The small tensors of the adapter are read again for every tensor that they change.
    """
    digest, matrices = hashlib.sha256(), {}
    for together in _slabs(structure.by_tensor[entry.name]):
        slab = _load(next(iter(together.values())))
        digest.update(_bytes(slab.values))
        for key, part in together.items():
            matrix = take_part(part, scale, str(key), slab)
            if adapter is not None:
                adapter.add_to_matrix(matrix, part, structure.layout.canonical(entry.name), str(key))
            matrices[key] = weight_hash(matrix)
    return TensorHashes(digest.hexdigest(), matrices)


def verify_other(entry: TensorEntry) -> TensorHashes:
    """Read a tensor without principal matrices. Raises NonFiniteWeights."""
    digest, bad = scan(entry)
    if bad:
        raise non_finite(shown(entry.name), entry, bad, entry.numel)
    return TensorHashes(digest, {})


def content_hash(inventory: Inventory, adapter: Adapter | None) -> str:
    """sha256 over the sorted (name, dtype, shape, sha256 of bytes) of all tensors; with an adapter, of both."""
    inventories = [inventory, *([adapter.inventory] if adapter else [])]
    with ThreadPoolExecutor(_READERS) as pool:
        found = [
            dict(zip(one.tensors, pool.map(lambda entry: scan(entry)[0], one.tensors.values()), strict=True))
            for one in inventories
        ]
    return identity(inventory, adapter, *found)


def _slabs(parts: dict[MatrixKey, Part]) -> Iterator[dict[MatrixKey, Part]]:
    """The parts of one tensor, expert by expert in the order of their bytes."""
    slabs: dict[int, dict[MatrixKey, Part]] = defaultdict(dict)
    for key, part in parts.items():
        slabs[part.expert or 0][key] = part
    return (slabs[number] for number in sorted(slabs))


def _load(part: Part) -> Loaded:
    """The whole slab that a part lies in, as stored."""
    first, rows, columns = part.slab
    with TensorReader(part.entry) as reader:
        return Loaded(reader.elements(first, rows * columns), first)


def _bytes(values: torch.Tensor) -> memoryview:
    return values.view(torch.uint8).numpy().data


def scan(entry: TensorEntry) -> tuple[str, int]:
    """sha256 of the tensor's bytes and the number of NaN and infinite values, in one pass over the file."""
    digest, bad = hashlib.sha256(), 0
    bits = DTYPES[entry.dtype][1]
    if bits % 8:  # packed formats have no NaN to look for
        with opened(entry.path) as (descriptor, _):
            for first in range(entry.start, entry.end, 4 * CHUNK):
                block = bytearray(min(4 * CHUNK, entry.end - first))
                read_exactly(entry.path, descriptor, memoryview(block), first)
                digest.update(block)
        return digest.hexdigest(), 0
    with TensorReader(entry) as reader:
        for first in range(0, entry.numel, CHUNK):
            chunk = reader.elements(first, min(CHUNK, entry.numel - first))
            digest.update(chunk.view(torch.uint8).numpy().data)
            if is_float(entry):
                bad += count_bad(chunk.float())
    return digest.hexdigest(), bad


def weight_hash(matrix: torch.Tensor) -> str:
    """sha256 of a matrix's shape and its float32 little-endian bytes: its identity, however it was stored.

    It is taken of bits, as ``content_hash`` is: 0.0 and -0.0, equal as numbers, are different weights here.
    """
    digest = hashlib.sha256(("x".join(map(str, matrix.shape)) + ";").encode())
    for row in matrix.detach().cpu().split(max(1, CHUNK // max(1, matrix.shape[-1] if matrix.dim() else 1))):
        values = row.to(torch.float32).contiguous().numpy()
        digest.update(memoryview(values.astype("<f4", copy=False).reshape(-1).view("u1")))
    return digest.hexdigest()
