"""Decomposing one matrix of one checkpoint: read, computed, stored, in worker processes or one ahead of a device.

A matrix whose hash and factors are stored is not read again. A descendant at standard depth is decomposed into its
singular values alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resources.checkpoints import MatrixKey
from resources.factors import FactorStore, StoredFactors, StoredValues
from resources.location import Location
from resources.staged import Staged
from resources.weight_hashes import WeightHashes
from rotoscale.statistics import DecompositionQuality, SingularValues

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class DecompositionTask:
    """Decompose one matrix of one checkpoint."""

    location: Location
    key: MatrixKey
    factors: Path
    device: str
    vectors: bool = True
    """Whether its singular vectors are wanted; without, the values are enough."""


@dataclass(frozen=True)
class Hashed:
    """A matrix's hash, and its weight (m x n) where it had to be read."""

    hash: str
    weight: torch.Tensor | None


def hashed_matrix(location: Location, key: MatrixKey, factors: Path) -> Hashed:
    """The hash of one matrix: remembered, or found by reading it, which is then remembered."""
    checkpoint = location.open()
    hashes = WeightHashes(checkpoint, factors)
    known = hashes.find(key)
    if known is not None:
        return Hashed(known, None)
    weight = checkpoint.read(key)
    found = Hashed(hashes.of(key, weight), weight)
    hashes.save()
    return found


Stored = StoredFactors | StoredValues


def _load(task: DecompositionTask) -> tuple[Hashed, Stored | None]:
    hashed = hashed_matrix(task.location, task.key, task.factors)
    store = FactorStore(task.factors)
    stored = (store.find if task.vectors else store.find_values)(hashed.hash, task.device)
    if stored is None:
        hashed = Hashed(hashed.hash, read_matrix(task.location, task.key, hashed))
    return hashed, stored


def read_matrix(location: Location, key: MatrixKey, hashed: Hashed) -> torch.Tensor:
    """The weight (m x n) whose hash was asked for, read unless that took a reading."""
    return location.open().read(key) if hashed.weight is None else hashed.weight


def _compute(task: DecompositionTask, loaded: tuple[Hashed, Stored | None]) -> tuple[str, Stored]:
    hashed, stored = loaded
    if stored is None:
        assert hashed.weight is not None  # read where no factors were found
        store = FactorStore(task.factors)
        make = store.get if task.vectors else store.get_values
        stored = make(hashed.hash, hashed.weight, task.device)
    return hashed.hash, stored


def _row(task: DecompositionTask, computed: tuple[str, Stored]) -> dict[str, Any]:
    from rotoscale.spectra import spectrum

    weight_hash, stored = computed
    decomposition = stored.decomposition
    size = SingularValues(
        rows=decomposition.shape[0],
        cols=decomposition.shape[1],
        rank=decomposition.numerical_rank,
        singular_values=decomposition.singular_values.tolist(),
    )
    quality = DecompositionQuality(
        residual=getattr(decomposition, "residual", None),
        orthogonality_error=getattr(decomposition, "orthogonality_error", None),
        kernel=decomposition.kernel,
        weight_hash=weight_hash,
        seconds=stored.seconds,
    )
    return place(task.key) | vars(size) | vars(spectrum(decomposition.singular_values)) | vars(quality)


decompose_matrix = Staged(_load, _compute, _row)
"""Row of `decompositions` for one matrix; its factors end in the factor store."""


def place(key: MatrixKey) -> dict[str, Any]:
    """The columns that say which matrix a row is about."""
    return {"layer": key.layer, "matrix": key.matrix, "expert": key.expert}
