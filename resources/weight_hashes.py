"""Hashes of a checkpoint's matrices, remembered by the files that hold them.

Factors and finished pairs are found by the hashes of matrices, and hashing a checkpoint takes several times as long as
copying it. As long as its files have the same names, sizes and times, they are taken to hold the same numbers.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resources.checkpoints import MatrixKey, weight_hash
from resources.records import read_record, write_record

if TYPE_CHECKING:
    import torch

    from resources.checkpoints import Checkpoint

_VERSION = "weight-hash-1"


def signature(checkpoint: Checkpoint) -> str:
    """A hash of the names, sizes and times of a checkpoint's weight files, and of how an adapter is merged.

    Raises OSError when a file is gone.
    """
    stats = [(str(file.resolve()), file.stat()) for file in checkpoint.files()]
    adapter = checkpoint.adapter.identity() if checkpoint.adapter is not None else None
    facts = [[(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats], adapter]
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()


class WeightHashes:
    """The hashes of one checkpoint's matrices, kept in one small record beside the factor store `factors`.

    What was learnt is kept by `save`, which adds to what others have saved meanwhile.
    """

    def __init__(self, checkpoint: Checkpoint, factors: Path) -> None:
        self.checkpoint = checkpoint
        self._signature = signature(checkpoint)
        self.file = factors / "hashes" / f"{self._signature}.json"
        self._known: dict[str, str] = self._stored()
        self._new: dict[str, str] = {}

    def find(self, key: MatrixKey) -> str | None:
        """The hash of a matrix, without reading it; None when it is not known."""
        return self._known.get(str(key))

    def of(self, key: MatrixKey, matrix: torch.Tensor) -> str:
        """The hash of a matrix that was just read."""
        name = str(key)
        if name not in self._known:
            self._known[name] = self._new[name] = weight_hash(matrix)
        return self._known[name]

    def save(self, hashes: Mapping[MatrixKey, str] | None = None) -> None:
        """Keep what was hashed, and `hashes` that are known from elsewhere; a full disk costs the keeping only."""
        self._new |= {str(key): value for key, value in (hashes or {}).items()}
        with suppress(OSError):
            # Files that changed under our hands: their old time must not vouch for what was read after it.
            if self._new and signature(self.checkpoint) == self._signature:
                self._known = self._stored() | self._known | self._new
                write_record(self.file, self._known, version=_VERSION)
        self._new = {}

    def _stored(self) -> dict[str, str]:
        return read_record(self.file, version=_VERSION, check=_are_hashes) or {}


def _are_hashes(value: Any) -> bool:
    return all(len(word) == 64 for word in value.values())
