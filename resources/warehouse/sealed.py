"""Parquet files that notice every flipped bit: a SHA-256 of the whole file stands inside it.

Parquet's own page checksums leave out the page headers, the footer and the metadata, and most readers, DuckDB among
them, do not verify them. So the digest of everything (data, footer, metadata) is put between the last column and the
footer, where the format allows bytes that no column points to: any Parquet reader reads the file as ever.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

_MARK = b"rotoscale sha256"
_SEAL = len(_MARK) + hashlib.sha256().digest_size
_TAIL = 8
"""Bytes after the footer: its length (4 bytes, little-endian) and the word PAR1."""


class DamagedFile(ValueError):  # noqa: N818 (reads as what it says)
    """A file that is not, to the bit, what was written."""


def write_sealed(table: pa.Table, path: Path) -> None:
    """Write `table` as a sealed Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = pa.BufferOutputStream()
    pq.write_table(table, buffer, compression="zstd", write_page_checksum=True)
    content = memoryview(buffer.getvalue())
    footer = _footer(content)
    with open(path, "wb") as file:
        file.write(content[:footer])
        file.write(_MARK + hashlib.sha256(content).digest())
        file.write(content[footer:])


def read_sealed(path: Path) -> pa.Table:
    """The table in a sealed file, its schema's metadata included.

    Raises DamagedFile with the reason when one bit of the file is not as it was written; OSError when it cannot be
    read. What is verified is what is read: the file's bytes are taken into memory once.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    return pq.read_table(pa.BufferReader(_verified(path)))


def read_metadata(path: Path) -> dict[bytes, bytes]:
    """The metadata of a sealed file's schema, verified with all the rest of the file; raises as `read_sealed`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    return pq.read_schema(pa.BufferReader(_verified(path))).metadata or {}


def _verified(path: Path) -> bytes:
    content = path.read_bytes()
    _verify(memoryview(content))
    return content


def _verify(content: memoryview) -> None:
    footer = _footer(content)
    seal = bytes(content[max(0, footer - _SEAL) : footer])
    if not seal.startswith(_MARK):
        raise DamagedFile("it carries no checksum: it is damaged, or was not written by this version of rotoscale")
    found = hashlib.sha256(content[: footer - _SEAL])
    found.update(content[footer:])
    if found.digest() != seal[len(_MARK) :]:
        raise DamagedFile("its content does not match its checksum")


def _footer(content: memoryview) -> int:
    """Where the footer begins."""
    if len(content) < _TAIL or content[-4:] != b"PAR1":
        raise DamagedFile("it is cut short, or is no Parquet file")
    begin = len(content) - _TAIL - int.from_bytes(content[-_TAIL:-4], "little")
    if begin < 4:
        raise DamagedFile("its footer is damaged")
    return begin
