"""Matching the neurons of two matrices: the assignment of rows with the largest sum of cosines."""

from __future__ import annotations

import numpy as np
import torch

FEWEST_ROWS = 20
"""Fewer rows than this say too little about an order; a test on them is not made."""

_DECIMALS = 5
"""Of a cosine: what lies beyond is rounding, and would tell apart rows that are equal."""


def spread(total: int, most: int) -> torch.Tensor:
    """Indices of at most `most` of `total` rows, evenly spread: chosen before any row is looked at."""
    if total <= most:
        return torch.arange(total)
    return torch.linspace(0, total - 1, most, dtype=torch.float64).round().long()


def unit_rows(W: torch.Tensor) -> torch.Tensor:
    """The rows of W (m x n) at length one, float32; rows of zeros stay zeros."""
    W = W.float()
    return W / torch.linalg.vector_norm(W, dim=1, keepdim=True).clamp_min(torch.finfo(torch.float32).tiny)


def usable(W: torch.Tensor) -> torch.Tensor:
    """Which rows of W (m x n) have a direction: boolean (m,)."""
    return torch.linalg.vector_norm(W.float(), dim=1) > 0


def match_rows(
    A: torch.Tensor, B: torch.Tensor, random: np.random.Generator, *, signed: bool = True
) -> np.ndarray | None:
    """The row of B (m x n) that each row of A (k x n, k <= m) is matched with: integers (k,), each at most once.

    The assignment with the largest sum of cosines; of absolute cosines unless `signed`. Ties are broken at random: the
    solver alone would break them by position, and matrices of equal rows (zeros, rank one) would look like copies of
    each other. None where either side has fewer than `FEWEST_ROWS` rows that are not zero.
    """
    from scipy.optimize import linear_sum_assignment

    if min(int(usable(A).sum()), int(usable(B).sum())) < FEWEST_ROWS:
        return None
    rows, columns = random.permutation(len(A)), random.permutation(len(B))
    cosines = (unit_rows(A)[rows] @ unit_rows(B)[columns].T).cpu().numpy()
    if not signed:
        np.abs(cosines, out=cosines)
    np.round(cosines, _DECIMALS, out=cosines)
    _, found = linear_sum_assignment(cosines, maximize=True)
    order = np.empty(len(A), dtype=np.int64)
    order[rows] = columns[found]
    return order


def matched_cosine(A: torch.Tensor, B: torch.Tensor, order: np.ndarray | None = None) -> float:
    """Median absolute cosine of the rows of A (k x n) with their matches in B, or with the rows at the same place."""
    other = B[: len(A)] if order is None else B[torch.from_numpy(order)]
    return float((unit_rows(A) * unit_rows(other)).sum(1).abs().median())
