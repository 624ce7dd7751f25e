"""Where a checkpoint lies: what a task carries to a worker process in place of the checkpoint itself."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from resources.checkpoints import open_checkpoint

if TYPE_CHECKING:
    from resources.checkpoints import Checkpoint


@dataclass(frozen=True)
class Location:
    """The folder of a checkpoint, and for an adapter the folder of its base."""

    path: Path
    base: Path | None = None

    def open(self) -> Checkpoint:
        """The checkpoint, opened once per process."""
        return _opened(self)


@functools.lru_cache(maxsize=4)
def _opened(location: Location) -> Checkpoint:
    return open_checkpoint(location.path, base=location.base)
