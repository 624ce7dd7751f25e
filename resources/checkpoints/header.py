"""The safetensors header, parsed and checked by ourselves.

A safetensors file is eight bytes of length, a JSON header and the tensors' bytes. We parse it ourselves for two
reasons: exact ranges can then be read with ``pread``, so that no mapped page counts against us and a slice costs its
own bytes only; and every lie gets a sentence of its own instead of one "invalid header" for all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resources.checkpoints.errors import CorruptHeader, TruncatedFile, shown
from resources.checkpoints.files import opened, parse_json, read_exactly

#: The format allows 100 MB; 94,000 tensors (256 experts, 61 layers, fp8 with scales) in one file take 14 MB, with 12
#: marks of JSON for each.
MAX_HEADER_BYTES = 32 * 2**20
MAX_HEADER_MARKS = 12 * 2**17

#: A header beyond this size must describe at least as many bytes of data as it has itself. (One line takes some 150
#: bytes; real tensors of models with many of them take thousands.)
SMALL_HEADER_BYTES = 2**20

#: Real names stay below 200 characters; patterns are matched against them, so their length is bounded.
MAX_NAME = 512

#: dtype word in the header -> (name as torch says it, bits per element)
DTYPES: dict[str, tuple[str, int]] = {
    "BOOL": ("bool", 8),
    "U8": ("uint8", 8),
    "I8": ("int8", 8),
    "U16": ("uint16", 16),
    "I16": ("int16", 16),
    "U32": ("uint32", 32),
    "I32": ("int32", 32),
    "U64": ("uint64", 64),
    "I64": ("int64", 64),
    "F8_E4M3": ("float8_e4m3fn", 8),
    "F8_E5M2": ("float8_e5m2", 8),
    "F8_E4M3FNUZ": ("float8_e4m3fnuz", 8),
    "F8_E5M2FNUZ": ("float8_e5m2fnuz", 8),
    "F8_E8M0": ("float8_e8m0fnu", 8),
    "F6_E2M3": ("float6_e2m3", 6),
    "F6_E3M2": ("float6_e3m2", 6),
    "F4": ("float4_e2m1", 4),
    "F16": ("float16", 16),
    "BF16": ("bfloat16", 16),
    "F32": ("float32", 32),
    "F64": ("float64", 64),
    "C64": ("complex64", 64),
}

#: What a principal matrix may be stored as: plain floating point, or fp8 with scales beside it.
FP8 = ("F8_E4M3", "F8_E5M2")
PLAIN = ("F64", "F32", "F16", "BF16")

AGAIN = "Download the file again."


@dataclass(frozen=True)
class TensorEntry:
    """One tensor on disk: where its bytes lie and what they are. ``start`` and ``end`` are offsets in the file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    path: Path
    start: int
    end: int

    @property
    def numel(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Number of bytes on disk."""
        return self.end - self.start

    @property
    def torch_dtype(self) -> str:
        """The dtype as torch names it, e.g. ``bfloat16``."""
        return DTYPES[self.dtype][0]


@dataclass(frozen=True)
class Header:
    """A whole file: its tensors in the order of their bytes, and where the bytes begin."""

    path: Path
    tensors: tuple[TensorEntry, ...]
    data_start: int
    file_size: int
    modified_ns: int


def read_header(path: Path) -> Header:
    """Read and check the header of one file, without reading any tensor.

    Raises TruncatedFile when sizes disagree and CorruptHeader for everything else that is wrong with it.
    """
    with opened(path) as (descriptor, status):
        size = status.st_size
        if size < 8:
            found = "an empty file" if size == 0 else f"{size} bytes"
            raise TruncatedFile(f"{path}: expected a safetensors file of at least 8 bytes, found {found}. {AGAIN}")
        prefix = bytearray(8)
        read_exactly(path, descriptor, memoryview(prefix), 0)
        length = int.from_bytes(prefix, "little")
        if length > MAX_HEADER_BYTES:
            raise CorruptHeader(
                f"{path}: the header claims {length} bytes, expected at most {MAX_HEADER_BYTES} for any checkpoint; "
                f"the file has {size}. It is no safetensors file, or damaged. {AGAIN}"
            )
        if 8 + length > size:
            raise TruncatedFile(f"{path}: expected {8 + length} bytes for the header alone, found {size}. {AGAIN}")
        if length > max(SMALL_HEADER_BYTES, size - 8 - length):
            raise CorruptHeader(
                f"{path}: a header of {length} bytes for {size - 8 - length} bytes of tensors, expected less header "
                f"than tensors. {AGAIN}"
            )
        text = bytearray(length)
        read_exactly(path, descriptor, memoryview(text), 8)
    content = parse_json(text, path, "safetensors header", CorruptHeader, MAX_HEADER_MARKS)
    metadata = content.pop("__metadata__", None) or {}
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise CorruptHeader(f"{path}: __metadata__ in the header is not a table of strings. {AGAIN}")
    data_start = 8 + length
    entries = sorted(
        (_entry(path, name, value, data_start) for name, value in content.items()),
        key=lambda entry: (entry.start, entry.end),
    )
    _check_cover(path, entries, data_start, size)
    return Header(path, tuple(entries), data_start, size, status.st_mtime_ns)


def _whole(value: Any) -> bool:
    """A non-negative integer of sane size (``True`` is an int in Python, but no size)."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**62


def _entry(path: Path, name: str, value: Any, data_start: int) -> TensorEntry:
    """One header line, checked on its own."""
    where = f"{path}: tensor {shown(name)!r}"
    if len(name) > MAX_NAME:
        raise CorruptHeader(f"{where}: a name of {len(name)} characters, expected at most {MAX_NAME}. {AGAIN}")
    if not isinstance(value, dict) or set(value) != {"dtype", "shape", "data_offsets"}:
        raise CorruptHeader(f"{where}: expected dtype, shape and data_offsets, found {shown(value)}. {AGAIN}")
    dtype, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise CorruptHeader(f"{where}: expected a dtype of {', '.join(DTYPES)}, found {shown(dtype)!r}. {AGAIN}")
    if not isinstance(shape, list) or len(shape) > 16 or not all(_whole(n) for n in shape):
        raise CorruptHeader(f"{where}: expected a shape of whole numbers, found {shown(shape)}. {AGAIN}")
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(_whole(n) for n in offsets):
        raise CorruptHeader(f"{where}: expected two offsets, found {shown(offsets)}. {AGAIN}")
    start, end = offsets
    bits = math.prod(shape) * DTYPES[dtype][1]
    if end < start or bits != 8 * (end - start):
        raise CorruptHeader(
            f"{where}: {dtype} of shape {shown(shape)} takes {bits // 8} bytes, its offsets {shown(offsets)} span "
            f"{end - start}. {AGAIN}"
        )
    return TensorEntry(name, dtype, tuple(shape), path, data_start + start, data_start + end)


def _check_cover(path: Path, entries: list[TensorEntry], data_start: int, size: int) -> None:
    """The tensors must fill the file without overlap and without holes, as the format demands."""
    cut = next((entry for entry in entries if entry.end > size), None)
    if cut is not None:
        expected = max(entry.end for entry in entries)
        raise TruncatedFile(
            f"{path}: expected {expected} bytes, found {size}: the file is cut short at tensor {shown(cut.name)!r} "
            f"(bytes {cut.start} to {cut.end}). {AGAIN}"
        )
    position, before = data_start, "the header"
    for entry in entries:
        if entry.start != position:
            kind = "overlaps" if entry.start < position else "leaves a hole after"
            raise CorruptHeader(
                f"{path}: tensor {shown(entry.name)!r} {kind} {shown(before)!r}: expected it at byte {position}, found "
                f"{entry.start}. {AGAIN}"
            )
        position, before = entry.end, entry.name
    if position != size:
        raise TruncatedFile(
            f"{path}: expected {position} bytes from the header, found {size}: {size - position} bytes belong to no "
            f"tensor. {AGAIN}"
        )
