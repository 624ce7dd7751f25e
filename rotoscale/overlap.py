"""Overlaps of the singular vectors of two matrices: `A = U_b^T U_p` and `B = V_b^T V_p` (METHODS, notation)."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from rotoscale.decomposition import Decomposition, tall
from rotoscale.errors import MatrixError
from rotoscale.linalg import as_matrix, product


@dataclass(frozen=True)
class Overlaps:
    """Overlaps of two decompositions, r x r each, r = the smaller numerical rank.

    A: left vectors of the base (rows) against those of the post model (columns). B: the same for right vectors.
    """

    A: torch.Tensor
    B: torch.Tensor
    s_base: torch.Tensor
    s_post: torch.Tensor
    shape: tuple[int, int]

    @property
    def rank(self) -> int:
        """Number of components compared."""
        return int(self.s_base.numel())


def overlaps(W_base: torch.Tensor, base: Decomposition, W_post: torch.Tensor, post: Decomposition) -> Overlaps:
    """Overlaps of the singular vectors of `W_base` and `W_post` (both m x n).

    The long side needs no explicit vectors: with T the tall orientation, its overlap is
    `diag(1/s_b) S_b^T (T_b^T T_p) S_p diag(1/s_p)`, one long product instead of three. Identical weights give the
    identity exactly, whatever the arithmetic. Components beyond the smaller numerical rank are left out.

    Raises MatrixError when the shapes differ.
    """
    if base.shape != post.shape:
        raise MatrixError(f"shapes {base.shape} and {post.shape} differ; only matrices of equal shape are compared")
    r = min(base.numerical_rank, post.numerical_rank)
    s_base, s_post = base.singular_values[:r], post.singular_values[:r]
    if base is post or torch.equal(W_base, W_post):
        identity = torch.eye(r, dtype=torch.float64, device=s_base.device)
        return Overlaps(identity, identity.clone(), s_base, s_base, base.shape)
    short = product(base.short[:, :r].T.contiguous(), post.short[:, :r].contiguous())
    if base.long is None and post.long is None:
        device = base.short.device
        cross = product(tall(as_matrix(W_base, device)).T, tall(as_matrix(W_post, device)))
        long = product(product(base.short[:, :r].T, cross), post.short[:, :r]) / s_base[:, None] / s_post
    else:
        long = product(base.long_vectors(W_base)[:, :r].T, post.long_vectors(W_post)[:, :r])
    A, B = (short, long) if base.wide else (long, short)
    return Overlaps(A, B, s_base, s_post, base.shape)
