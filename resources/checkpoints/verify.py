"""The one pass over all bytes: every value finite, the hash that is the checkpoint's identity, and each matrix's own.

A tensor (of stacked experts, one expert) is read once. While its bytes go into the identity in one thread, the matrices
in it are taken out and hashed in another: sha256 costs more than reading and converting together, and frees the GIL.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import TYPE_CHECKING

import torch

from resources.checkpoints.errors import shown
from resources.checkpoints.files import opened, read_exactly
from resources.checkpoints.header import DTYPES, TensorEntry
from resources.checkpoints.keys import MatrixKey, Verified
from resources.checkpoints.tensors import CHUNK, Loaded, TensorReader, count_bad, is_float, non_finite, take_part

if TYPE_CHECKING:
    from resources.checkpoints.adapter import Adapter
    from resources.checkpoints.inventory import Inventory
    from resources.checkpoints.parts import Part, Structure
    from resources.checkpoints.tensors import Scale

Progress = Callable[[int, int], None]

_READERS = 2
"""Threads that hash, each with a few megabytes of a file."""


def verify_tensors(
    structure: Structure,
    adapter: Adapter | None,
    scale_of: Callable[[TensorEntry], Scale | None],
    progress: Progress | None,
) -> Verified:
    """Read every tensor once; ``progress(bytes done, bytes in all)``.

    Raises NonFiniteWeights, and QuantizedFormat or ShapeMismatch where the scale of an fp8 tensor is at fault. The
    small tensors of an adapter and the scales are read again where they are merged in.
    """
    for name in [*structure.by_tensor, *{entry.name for entry in structure.others.values()}]:
        scale_of(structure.inventory.tensors[name])  # small: what is wrong with one is said before the long pass
    with ThreadPoolExecutor(1) as pool:
        reading = _Pass(structure, adapter, scale_of, progress, pool)
        hashes = [_hash_inventory(structure.inventory, reading.tensor)]
        if adapter is not None:
            hashes.append(_hash_inventory(adapter.inventory, reading.other))
    return Verified(_identity(hashes, adapter), {key: reading.matrix_hashes[key] for key in structure.parts})


class _Pass:
    """The pass under way: gives each tensor's sha256 and keeps those of the matrices."""

    def __init__(
        self,
        structure: Structure,
        adapter: Adapter | None,
        scale_of: Callable[[TensorEntry], Scale | None],
        progress: Progress | None,
        pool: Executor,
    ) -> None:
        self.structure, self.adapter, self.scale_of = structure, adapter, scale_of
        self.progress, self.pool = progress, pool
        self.matrix_hashes: dict[MatrixKey, str] = {}
        inventories = [structure.inventory, *([adapter.inventory] if adapter else [])]
        self.total = sum(entry.nbytes for inventory in inventories for entry in inventory.tensors.values())
        self.done = 0

    def tensor(self, entry: TensorEntry) -> str:
        """sha256 of a tensor's bytes, slab by slab if there are principal matrices in it."""
        parts = self.structure.by_tensor.get(entry.name)
        if parts is None:
            return self.other(entry)
        digest, scale = hashlib.sha256(), self.scale_of(entry)
        for together in _slabs(parts):
            slab = _load(next(iter(together.values())))
            hashed = self.pool.submit(digest.update, _bytes(slab.values))
            for key, part in together.items():
                matrix = take_part(part, scale, str(key), slab)
                if self.adapter is not None:
                    canonical = self.structure.layout.canonical(entry.name)
                    self.adapter.add_to_matrix(matrix, part, canonical, str(key))
                self.matrix_hashes[key] = weight_hash(matrix)
            hashed.result()
            self._count(slab.values.nbytes)
        return digest.hexdigest()

    def other(self, entry: TensorEntry) -> str:
        """sha256 of the bytes of a tensor without principal matrices."""
        digest, bad = scan(entry)
        if bad:
            raise non_finite(shown(entry.name), entry, bad, entry.numel)
        self._count(entry.nbytes)
        return digest

    def _count(self, size: int) -> None:
        self.done += size
        if self.progress is not None:
            self.progress(self.done, self.total)


def content_hash(inventory: Inventory, adapter: Adapter | None) -> str:
    """sha256 over the sorted (name, dtype, shape, sha256 of bytes) of all tensors; with an adapter, of both."""
    inventories = [inventory, *([adapter.inventory] if adapter else [])]
    with ThreadPoolExecutor(_READERS) as pool:
        return _identity([_hash_in_threads(tensors, pool) for tensors in inventories], adapter)


def _hash_in_threads(inventory: Inventory, pool: Executor) -> str:
    entries = inventory.tensors.values()
    found = dict(zip(inventory.tensors, pool.map(lambda entry: scan(entry)[0], entries), strict=True))
    return _hash_inventory(inventory, lambda entry: found[entry.name])


def _hash_inventory(inventory: Inventory, hash_of: Callable[[TensorEntry], str]) -> str:
    digest = hashlib.sha256()
    for name in sorted(inventory.tensors):
        entry = inventory.tensors[name]
        line = json.dumps([name, entry.dtype, list(entry.shape), hash_of(entry)], ensure_ascii=True)
        digest.update(line.encode() + b"\n")
    return digest.hexdigest()


def _identity(hashes: list[str], adapter: Adapter | None) -> str:
    """The hash of the tensors; with an adapter, of the base's, the adapter's and the settings that decide the merge."""
    if adapter is None:
        return hashes[0]
    settings = json.dumps(adapter.identity(), sort_keys=True)
    return hashlib.sha256("\n".join([*hashes, settings]).encode()).hexdigest()


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
