"""What full depth adds to a change: its own spectrum, and how far the leading directions moved."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from rotoscale.linalg import eigenvalues, product
from rotoscale.pair import MatrixPair

HELD = 0.9


@dataclass(frozen=True)
class ChangeSpectrum:
    """Shape of a change's own spectrum; a low-rank adapter and a merge are read off it."""

    stable_rank: float
    """|dW|_F^2 / |dW|_2^2."""
    rank_90: int
    """Components that hold 90 % of |dW|^2."""
    top_energy: float
    """Share of |dW|^2 in the leading k."""


def change_spectrum(gram: torch.Tensor, k: int) -> ChangeSpectrum | None:
    """Spectrum of a change from its Gram matrix (r x r), values only; None where nothing changed.

    Energies are the eigenvalues of the Gram matrix, of which no small one needs to be accurate.
    """
    energy = eigenvalues(gram).flip(0).clamp_(min=0).double()
    total = float(energy.sum())
    if not total:
        return None
    held = (energy.cumsum(0) / total).clamp_(max=1.0)
    rank_90 = int((held < HELD - 1e-12).sum()) + 1
    return ChangeSpectrum(total / float(energy[0]), rank_90, float(held[min(k, len(held)) - 1]))


def principal_angle(pair: MatrixPair, k: int) -> float | None:
    """Sine of the largest angle between the two models' leading k singular vectors, the larger of left and right.

    It is the largest singular value of what of the post model's k vectors lies outside the base's k: their components
    along the base's other vectors, and on the longer side what has left the base's space. 0 for equal spaces, 1 where
    one direction left altogether. None where a matrix has fewer than k components.
    """
    if not 0 < k <= pair.rank:
        return None
    if pair.is_unchanged:
        return 0.0
    others = pair.base_factors.short[:, k:]  # those of singular value 0 too: the shorter side's are a whole basis
    short = _energy(product(others.T.contiguous(), pair.post_factors.short[:, :k].contiguous()))
    long = _energy(pair.long_overlap[k:, :k]) + pair.left_behind(k)
    return max(_sine(short), _sine(long))


def _energy(X: torch.Tensor) -> torch.Tensor:
    return product(X.T.contiguous(), X.contiguous())


def _sine(outside: torch.Tensor) -> float:
    """Root of the largest eigenvalue of a Gram matrix (k x k)."""
    return min(float(eigenvalues(outside)[-1].clamp(min=0).sqrt()), 1.0)
