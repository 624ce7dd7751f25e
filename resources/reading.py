"""Reading one stored tensor of a checkpoint through, here or in a worker process."""

from __future__ import annotations

from dataclasses import dataclass

from resources.checkpoints import StoredTensor, TensorHashes
from resources.location import Location


@dataclass(frozen=True)
class ReadingTask:
    """One tensor of one checkpoint."""

    location: Location
    tensor: StoredTensor


def read_tensor(task: ReadingTask) -> TensorHashes:
    """Its hashes; the CheckpointError of what is wrong with it."""
    return task.location.open().verify_tensor(task.tensor)
