"""Bytes to tensors, a few megabytes at a time.

A principal matrix is read into one float32 tensor of its final shape; beside it only one chunk of the file is ever in
memory, whatever the fusing, stacking or transposition. No page of the file is mapped.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch

from resources.checkpoints.errors import CheckpointError, NonFiniteWeights, QuantizedFormat, shown
from resources.checkpoints.files import opened, read_exactly
from resources.checkpoints.header import DTYPES, TensorEntry
from resources.checkpoints.parts import Part

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


@dataclass(frozen=True)
class Scale:
    """The scales of one fp8 tensor: a whole tensor in memory (they are small), and elements per scale on each axis."""

    values: torch.Tensor  # one axis for each axis of the weight
    block: tuple[int, ...]  # weight elements that share one scale, on each axis

    def apply(self, chunk: torch.Tensor, first_row: int, slab: int | None) -> torch.Tensor:
        """Rows ``first_row`` onward of (slab ``slab`` of) the weight, times their scales, in float32."""
        values = self.values
        if values.dim() == 3:
            values = values[(slab or 0) // self.block[0]]
        rows = torch.arange(first_row, first_row + chunk.shape[0]) // self.block[-2]
        columns = torch.arange(chunk.shape[1]) // self.block[-1]
        return chunk.float() * values.index_select(0, rows).index_select(1, columns)


class Elements(Protocol):
    """The elements of one tensor, wherever they are."""

    @property
    def dtype(self) -> torch.dtype:
        """The stored dtype."""

    def elements(self, first: int, count: int) -> torch.Tensor:
        """``count`` elements from element ``first`` on, as stored."""


@dataclass(frozen=True)
class Loaded:
    """Elements in memory: those of a tensor from element ``first`` on."""

    values: torch.Tensor
    first: int

    @property
    def dtype(self) -> torch.dtype:
        """The stored dtype."""
        return self.values.dtype

    def elements(self, first: int, count: int) -> torch.Tensor:
        """``count`` elements from element ``first`` of the tensor on; a view."""
        return self.values[first - self.first : first - self.first + count]


class TensorReader:
    """Reads element ranges of one tensor; holds the file open while it is used as a context."""

    def __init__(self, entry: TensorEntry) -> None:
        self.entry = entry
        self.dtype = torch_dtype(entry)

    def __enter__(self) -> TensorReader:
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
    with TensorReader(part.entry) as reader:
        return take_part(part, scale, what, reader)


def take_part(part: Part, scale: Scale | None, what: str, source: Elements) -> torch.Tensor:
    """``read_part`` from elements that may be in memory already."""
    out_features, in_features = part.shape
    matrix = torch.empty(out_features, in_features, dtype=torch.float32)
    first_of_slab, stored_rows, columns = part.slab
    bad = 0
    if part.transposed:
        chunk_rows = max(1, CHUNK // columns)
        for first in range(0, stored_rows, chunk_rows):
            rows = min(chunk_rows, stored_rows - first)
            chunk = source.elements(first_of_slab + first * columns, rows * columns).view(rows, columns)
            if scale is not None:
                chunk = scale.apply(chunk, first, part.expert)
            taken = chunk.view(rows, part.groups, part.stride)[:, :, part.start : part.start + part.size]
            target = matrix[:, first : first + rows]
            target.copy_(taken.reshape(rows, out_features).t())
            bad += count_bad(target)
    else:
        done = 0
        for first, rows, groups, offset, size in _spans(part, columns, source.dtype.itemsize):
            chunk = source.elements(first_of_slab + first * columns, rows * columns).view(rows, columns)
            if scale is not None:
                chunk = scale.apply(chunk, first, part.expert)
            taken = chunk.view(groups, rows // groups, columns)[:, offset : offset + size]
            target = matrix[done : done + groups * size]
            target.view(groups, size, columns).copy_(taken)
            bad += count_bad(target)
            done += groups * size
    if bad:
        raise non_finite(what, part.entry, bad, matrix.numel())
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
    with TensorReader(entry) as reader:
        tensor = reader.elements(0, entry.numel).view(entry.shape)
    if is_float(entry):
        flat = tensor.view(-1)
        bad = sum(count_bad(flat[first : first + CHUNK].float()) for first in range(0, flat.numel(), CHUNK))
        if bad:
            raise non_finite(what or shown(entry.name), entry, bad, entry.numel)
    return tensor.to(dtype)


def _as_matrix(entry: TensorEntry, rows: int, columns: int) -> TensorEntry:
    return TensorEntry(entry.name, entry.dtype, (rows, columns), entry.path, entry.start, entry.end)
