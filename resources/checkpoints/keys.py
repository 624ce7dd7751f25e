"""The small records that everything else speaks in: which matrix, what became of each tensor, which hashes."""

from __future__ import annotations

from dataclasses import dataclass

ANALYSED = "analysed"
SKIPPED = "skipped"

#: Reason of a tensor that no rule of the layout accounts for. Never silently fine: coverage checks fail on it.
UNEXPLAINED = "unexplained"


@dataclass(frozen=True, order=True)
class MatrixKey:
    """One principal matrix: its layer, its part and, inside a mixture-of-experts block, its expert (else -1)."""

    layer: int
    matrix: str
    expert: int = -1

    def __str__(self) -> str:
        middle = f"expert.{self.expert}." if self.expert >= 0 else ""
        return f"layers.{self.layer}.{middle}{self.matrix}"


@dataclass(frozen=True)
class TensorCoverage:
    """What became of one tensor on disk: ``analysed``, or ``skipped`` with the reason."""

    name: str
    state: str
    reason: str
    parameters: int


@dataclass(frozen=True)
class StoredTensor:
    """A tensor as it lies in a file: of the checkpoint, or ``of_adapter``; ``held`` bytes are in memory at a time."""

    name: str
    of_adapter: bool
    nbytes: int
    held: int


@dataclass(frozen=True)
class TensorHashes:
    """What reading one stored tensor gives: the sha256 of its bytes and the ``weight_hash`` of each matrix in it."""

    content: str
    matrices: dict[MatrixKey, str]


@dataclass(frozen=True)
class Verified:
    """What one pass over a checkpoint without fault gives: its ``content_hash``, and every matrix's ``weight_hash``.

    The matrices are those of ``matrices()`` in that order, as ``read`` gives them.
    """

    content_hash: str
    matrix_hashes: dict[MatrixKey, str]
