"""Overlaps of the singular vectors of two matrices: `A = U_b^T U_p` and `B = V_b^T V_p` (METHODS, notation)."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from rotoscale.decomposition import SINGLE_PRECISION_CONDITION, Decomposition, tall
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

    Identical weights give the identity exactly, whatever the arithmetic. Components beyond the smaller numerical
    rank are left out. Raises MatrixError when the shapes differ.
    """
    if base.shape != post.shape:
        raise MatrixError(f"shapes {base.shape} and {post.shape} differ; only matrices of equal shape are compared")
    r = min(base.numerical_rank, post.numerical_rank)
    s_base, s_post = base.singular_values[:r], post.singular_values[:r]
    if base is post or torch.equal(W_base, W_post):
        identity = torch.eye(r, dtype=torch.float64, device=s_base.device)
        return Overlaps(identity, identity.clone(), s_base, s_base, base.shape)
    short = product(base.short[:, :r].T, post.short[:, :r])
    long = _long_overlap(W_base, base, W_post, post, r)
    A, B = (short, long) if base.wide else (long, short)
    return Overlaps(A, B, s_base, s_post, base.shape)


def _long_overlap(
    W_base: torch.Tensor, base: Decomposition, W_post: torch.Tensor, post: Decomposition, r: int
) -> torch.Tensor:
    """Overlap of the longer side's vectors (r x r, float64) without forming the post model's.

    Where the base's long vectors L are kept (a base serves many descendants), it is `L^T (T_p S_p) / s_p`. The error
    of that product is the rounding times the post's condition, so that float32 does for well conditioned matrices.
    Where they are not, `diag(1/s_b) S_b^T (T_b^T T_p) S_p diag(1/s_p)` needs none; its error grows with the
    conditions of both, so that it is always done in float64.
    """
    device = base.short.device
    s_base, s_post = base.singular_values[:r], post.singular_values[:r]
    if post.long is not None:
        return product(base.long_vectors(W_base)[:, :r].double().T, post.long[:, :r].double())
    if base.long is not None:
        single = max(base.condition, post.condition) <= SINGLE_PRECISION_CONDITION
        dtype = torch.float32 if single else torch.float64
        seen = product(base.long[:, :r].to(dtype).T, tall(W_post.detach().to(device, dtype)))
        return product(seen, post.short[:, :r].to(dtype)).double() / s_post
    cross = product(tall(as_matrix(W_base, device)).T, tall(as_matrix(W_post, device)))
    return product(product(base.short[:, :r].T, cross), post.short[:, :r]) / s_base[:, None] / s_post
