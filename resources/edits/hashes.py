"""Hashes of a checkpoint's matrices, remembered by the files that hold them.

Factors are found by a matrix's hash, and hashing a checkpoint takes several times as long as copying it. As long as
its files have the same size and time, they are taken to hold the same numbers.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from resources.atomic import write_text
from resources.checkpoints import MatrixKey, weight_hash

if TYPE_CHECKING:
    import torch

    from resources.checkpoints import Checkpoint


class WeightHashes:
    """The hashes of one checkpoint, kept in one small file under `folder`."""

    def __init__(self, checkpoint: Checkpoint, folder: Path) -> None:
        stats = [(str(file.resolve()), file.stat()) for file in checkpoint.files()]
        adapter = checkpoint.adapter.identity() if checkpoint.adapter is not None else None
        facts = [[(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats], adapter]
        name = hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()
        self.file = folder / f"{name}.json"
        self._changed = False
        self._known: dict[str, str] = {}
        with suppress(OSError, ValueError, TypeError):  # not there yet, or damaged by hand: hashed again
            self._known = dict(json.loads(self.file.read_text(encoding="utf-8")))

    def of(self, key: MatrixKey, matrix: torch.Tensor) -> str:
        """The hash of a matrix that was just read."""
        name = str(key)
        if name not in self._known:
            self._known[name] = weight_hash(matrix)
            self._changed = True
        return self._known[name]

    def save(self) -> None:
        """Remember what was hashed; a full disk costs the remembering only."""
        if not self._changed:
            return
        try:
            write_text(self.file, json.dumps(self._known))
            self._changed = False
        except OSError:
            return
