"""What rotation a random perturbation of the same size would have shown (docs/methods.md, section 2, null model).

Any small change of a matrix rotates its left and right singular vectors together, because the shared part of the
rotation is divided by a difference of singular values and the mismatch only by their sum. NF alone therefore proves
nothing. Beside it stands the NF of Gaussian noise of the same Frobenius norm, by formula here, and by simulation in the
base's own basis (`noise_null`) where asked for.
"""

from __future__ import annotations

import torch

_ROWS_AT_A_TIME = 1024


def unrelated_nf(shape: tuple[int, int], rank: int) -> float:
    """NF of two unrelated matrices (m x n) of numerical rank r: `sqrt(1 + r^2 / (m n))`.

    1.414 for square ones of full rank, 1.225 for 2:1, 1.118 for 4:1.
    """
    m, n = shape
    return (1 + rank**2 / (m * n)) ** 0.5


def null_nf(s_base: torch.Tensor, change_norm: float, shape: tuple[int, int]) -> float:
    """NF expected of Gaussian noise with Frobenius norm `change_norm`, by first-order theory.

    `sqrt((2 e^2 / r) sum_{i != j} (s_i + s_j)^-2)` with `e^2 = |dW|_F^2 / (m n)`; s_base (r,) holds the base's
    singular values. Capped at the unrelated level, which first-order theory does not know of. Good to a few per cent
    where s_min / s_max > 0.1; up to 2.2 times too high for badly conditioned matrices, about a fifth too low for
    small rectangular ones.
    """
    r = s_base.numel()
    cap = unrelated_nf(shape, r)
    if change_norm == 0 or r == 0:
        return 0.0
    largest = float(s_base[0])
    if largest == 0:
        return cap
    s = s_base.to(torch.float64) / largest  # so that no square leaves the range of numbers, however small the norm
    total = 0.0
    for i, rows in enumerate(s.split(_ROWS_AT_A_TIME)):  # never r x r at once: r is tens of thousands at most
        terms = (rows[:, None] + s).pow(-2)
        terms.diagonal(i * _ROWS_AT_A_TIME).zero_()
        total += float(terms.sum())
    m, n = shape
    return min((2 * total / (r * m * n)) ** 0.5 * (change_norm / largest), cap)


def gaussian_perturbation(W_base: torch.Tensor, change_norm: float, seed: int) -> torch.Tensor:
    """`W_base + G` (m x n, float64), G Gaussian with `|G|_F = change_norm`; drawn on the CPU from `seed`."""
    generator = torch.Generator().manual_seed(seed)
    G = torch.randn(W_base.shape, generator=generator, dtype=torch.float64)
    G *= change_norm / float(torch.linalg.vector_norm(G))
    return G.to(W_base.device).add_(W_base)
