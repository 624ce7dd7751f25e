"""Bytes to tensors, a few megabytes at a time.

A principal matrix is read into one float32 tensor of its final shape; beside it only one chunk of the file is ever in
memory, whatever the fusing, stacking or transposition. No page of the file is mapped.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import torch

from resources.checkpoints.errors import CheckpointError, NonFiniteWeights, QuantizedFormat, shown
from resources.checkpoints.files import opened, read_exactly
from resources.checkpoints.header import DTYPES, TensorEntry
from resources.checkpoints.quantization import Scale
from resources.checkpoints.structure import Part

#: Elements converted at a time: 8 MiB of float32.
CHUNK = 2**21

_FLOATS = ("F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2", "F8_E4M3FNUZ", "F8_E5M2FNUZ")
_SMALL_STRIPE = 64 * 1024  # bytes; below that, reading past unwanted rows is cheaper than one call for each stripe


def torch_dtype(entry: TensorEntry) -> torch.dtype:
    """The torch dtype of a tensor on disk; QuantizedFormat when torch has none or it packs several values."""
    dtype = getattr(torch, entry.torch_dtype, None)
    if DTYPES[entry.dtype][1] % 8 or not isinstance(dtype, torch.dtype):
        raise QuantizedFormat(
            f"{entry.path}: tensor {shown(entry.name)!r} is stored as {entry.dtype}, which cannot be read exactly. "
            "Use the unquantized checkpoint."
        )
    return dtype


def is_float(entry: TensorEntry) -> bool:
    """Floating point, so that NaN is possible and meaningful."""
    return entry.dtype in _FLOATS


class Reader:
    """Reads element ranges of one tensor; holds the file open while it is used as a context."""

    def __init__(self, entry: TensorEntry) -> None:
        self.entry = entry
        self.dtype = torch_dtype(entry)

    def __enter__(self) -> Reader:
        self._context = opened(self.entry.path)
        self._descriptor, status = self._context.__enter__()
        if status.st_size < self.entry.end:
            self._context.__exit__(None, None, None)
            raise CheckpointError(
                f"{self.entry.path}: expected at least {self.entry.end} bytes, found {status.st_size}: the file was "
                "replaced while it was in use. Start again."
            )
        return self

    def __exit__(self, *exc: object) -> None:
        self._context.__exit__(None, None, None)

    def elements(self, first: int, count: int) -> torch.Tensor:
        """``count`` elements from element ``first`` on, in the stored dtype (a fresh buffer)."""
        size = self.dtype.itemsize
        buffer = torch.empty(count * size, dtype=torch.uint8)
        if count:
            read_exactly(self.entry.path, self._descriptor, buffer.numpy().data, self.entry.start + first * size)
        return buffer.view(self.dtype)


def _spans(part: Part, columns: int, itemsize: int) -> Iterator[tuple[int, int, int, int, int]]:
    """How to walk an ``out_in`` part: (first row, rows, groups inside, offset, rows taken of each group)."""
    chunk_rows = max(1, CHUNK // max(1, columns))
    if part.whole:
        total = part.shape[0]
        for first in range(0, total, chunk_rows):
            rows = min(chunk_rows, total - first)
            yield first, rows, 1, 0, rows
    elif part.groups == 1 or part.size * columns * itemsize >= _SMALL_STRIPE:
        for group in range(part.groups):
            base = group * part.stride + part.start
            for first in range(0, part.size, chunk_rows):
                rows = min(chunk_rows, part.size - first)
                yield base + first, rows, 1, 0, rows
    else:
        together = max(1, chunk_rows // part.stride)
        for group in range(0, part.groups, together):
            count = min(together, part.groups - group)
            yield group * part.stride, count * part.stride, count, part.start, part.size


def read_part(part: Part, scale: Scale | None, what: str) -> torch.Tensor:
    """The matrix as float32, out_features x in_features, contiguous.

    Raises NonFiniteWeights naming ``what``, the file and the number of NaN and infinite values.
    """
    entry = part.entry
    out_features, in_features = part.shape
    matrix = torch.empty(out_features, in_features, dtype=torch.float32)
    full = part.groups * part.stride
    stored_rows, columns = (in_features, full) if part.transposed else (full, in_features)
    slab = (part.expert or 0) * stored_rows * columns
    bad = 0
    with Reader(entry) as reader:
        if part.transposed:
            chunk_rows = max(1, CHUNK // columns)
            for first in range(0, stored_rows, chunk_rows):
                rows = min(chunk_rows, stored_rows - first)
                chunk = reader.elements(slab + first * columns, rows * columns).view(rows, columns)
                if scale is not None:
                    chunk = scale.apply(chunk, first, part.expert)
                taken = chunk.view(rows, part.groups, part.stride)[:, :, part.start : part.start + part.size]
                target = matrix[:, first : first + rows]
                target.copy_(taken.reshape(rows, out_features).t())
                bad += count_bad(target)
        else:
            done = 0
            for first, rows, groups, offset, size in _spans(part, columns, reader.dtype.itemsize):
                chunk = reader.elements(slab + first * columns, rows * columns).view(rows, columns)
                if scale is not None:
                    chunk = scale.apply(chunk, first, part.expert)
                taken = chunk.view(groups, rows // groups, columns)[:, offset : offset + size]
                target = matrix[done : done + groups * size]
                target.view(groups, size, columns).copy_(taken)
                bad += count_bad(target)
                done += groups * size
    if bad:
        raise non_finite(what, entry, bad, matrix.numel())
    return matrix


def count_bad(values: torch.Tensor) -> int:
    """NaN and infinite values; the sum is finite exactly when nothing is wrong, nearly always, and much cheaper."""
    if values.numel() == 0 or bool(torch.isfinite(values.sum())):
        return 0
    return int(values.numel() - torch.isfinite(values).sum())


def non_finite(what: str, entry: TensorEntry, bad: int, total: int) -> NonFiniteWeights:
    """The error for NaN or infinity among weights."""
    return NonFiniteWeights(
        f"{entry.path}: {what} (tensor {shown(entry.name)!r}) holds {bad} NaN or infinite values of {total}. "
        "Download the file again; if it is so at the source, the model is broken."
    )


def check_merged(values: torch.Tensor, entry: TensorEntry, what: str) -> None:
    """NonFiniteWeights when a merge has left the range of float32."""
    bad = count_bad(values)
    if bad:
        raise non_finite(f"{what} after merging the adapter", entry, bad, values.numel())


def read_whole(entry: TensorEntry, scale: Scale | None = None, what: str | None = None) -> torch.Tensor:
    """A whole tensor in its stored dtype and shape (fp8 with its scale: float32); NaN and infinity are errors."""
    dtype = torch_dtype(entry)
    columns = entry.shape[-1] if entry.shape else 1
    if scale is not None:
        rows = entry.numel // max(1, columns)
        part = Part(_as_matrix(entry, rows, columns), (rows, columns), 1, rows, 0)
        if len(entry.shape) == 3:
            slabs = [
                read_part(Part(entry, entry.shape[1:], 1, entry.shape[1], 0, False, index), scale, what or entry.name)
                for index in range(entry.shape[0])
            ]
            return torch.stack(slabs)
        return read_part(part, scale, what or entry.name).view(entry.shape)
    with Reader(entry) as reader:
        tensor = reader.elements(0, entry.numel).view(entry.shape)
    if is_float(entry):
        flat = tensor.view(-1)
        bad = sum(count_bad(flat[first : first + CHUNK].float()) for first in range(0, flat.numel(), CHUNK))
        if bad:
            raise non_finite(what or shown(entry.name), entry, bad, entry.numel)
    return tensor.to(dtype)


def _as_matrix(entry: TensorEntry, rows: int, columns: int) -> TensorEntry:
    return TensorEntry(entry.name, entry.dtype, (rows, columns), entry.path, entry.start, entry.end)


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
    with Reader(entry) as reader:
        for first in range(0, entry.numel, CHUNK):
            chunk = reader.elements(first, min(CHUNK, entry.numel - first))
            digest.update(chunk.view(torch.uint8).numpy().data)
            if is_float(entry):
                bad += count_bad(chunk.float())
    return digest.hexdigest(), bad


def weight_hash(matrix: torch.Tensor) -> str:
    """sha256 of a matrix's shape and its float32 little-endian bytes: its identity, however it was stored."""
    digest = hashlib.sha256(("x".join(map(str, matrix.shape)) + ";").encode())
    for row in matrix.detach().cpu().split(max(1, CHUNK // max(1, matrix.shape[-1] if matrix.dim() else 1))):
        values = row.to(torch.float32).contiguous().numpy()
        digest.update(memoryview(values.astype("<f4", copy=False).reshape(-1).view("u1")))
    return digest.hexdigest()
