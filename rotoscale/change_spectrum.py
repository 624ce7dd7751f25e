"""What full depth adds to a change: its own spectrum, and how far the leading directions moved."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from rotoscale.decomposition import Decomposition, tall
from rotoscale.linalg import as_matrix, eigenvalues, product

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


def change_gram(W_base: torch.Tensor, W_post: torch.Tensor, device: str | torch.device = "cpu") -> torch.Tensor:
    """`dT^T dT` (r x r, float64) of the change dT in the tall orientation, r = min(m, n)."""
    T = tall(as_matrix(W_post, device) - as_matrix(W_base, device))
    return product(T.T, T)


def change_spectrum(gram: torch.Tensor, k: int) -> ChangeSpectrum | None:
    """Spectrum of a change from its Gram matrix (r x r), values only; None where nothing changed.

    Energies are the eigenvalues of the Gram matrix, of which no small one needs to be accurate.
    """
    energy = eigenvalues(gram).flip(0).clamp_(min=0)
    total = float(energy.sum())
    if not total:
        return None
    held = (energy.cumsum(0) / total).clamp_(max=1.0)
    rank_90 = int((held < HELD - 1e-12).sum()) + 1
    return ChangeSpectrum(total / float(energy[0]), rank_90, float(held[min(k, len(held)) - 1]))


def principal_angle(
    base: Decomposition, W_base: torch.Tensor, post: Decomposition, W_post: torch.Tensor, k: int
) -> float | None:
    """Sine of the largest angle between the two models' leading k singular vectors, the larger of left and right.

    It is the largest singular value of what of the post model's k vectors lies outside the base's; 0 for equal
    spaces, 1 where one direction left altogether. None where either matrix has fewer than k components.
    """
    if not 0 < k <= min(base.numerical_rank, post.numerical_rank):
        return None
    return max(
        _sine(x, y) for x, y in zip(leading_vectors(base, W_base, k), leading_vectors(post, W_post, k), strict=True)
    )


def leading_vectors(decomposition: Decomposition, W: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The shorter and the longer side's first k singular vectors, as columns, in float64."""
    short = decomposition.short[:, :k].contiguous()
    if decomposition.long is not None:
        return short, decomposition.long[:, :k].double()
    T = tall(as_matrix(W, short.device))
    return short, product(T, short) / decomposition.singular_values[:k]


def _sine(X: torch.Tensor, Y: torch.Tensor) -> float:
    outside = Y - product(X, product(X.T, Y))
    return min(float(eigenvalues(product(outside.T, outside))[-1].clamp(min=0).sqrt()), 1.0)
