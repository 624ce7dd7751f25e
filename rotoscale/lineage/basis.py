"""A common residual basis for two models: the map between their embeddings (docs/methods.md, section 5)."""

from __future__ import annotations

import torch

from rotoscale.errors import MatrixError
from rotoscale.linalg import as_matrix, product, symmetric_eigen

_SMALLEST = 1e-6
"""Directions whose singular value is below this share of the largest have no counterpart that could be told."""


def residual_map(E_a: torch.Tensor, E_b: torch.Tensor) -> torch.Tensor:
    """The polar factor Q (d_a x d_b, float64) of `E_a^T E_b`, so that `E_a Q` is as near to `E_b` as rotations get.

    E_a (t x d_a) and E_b (t x d_b) hold the embeddings of the same tokens, row by row. If one model is the other with
    its residual basis rotated by R, Q is R. Directions that the tokens do not fill have none and are mapped to zero.
    docs/methods.md, section 5.

    Raises MatrixError when the numbers of tokens differ, or an embedding is not finite or zero.
    """
    E_a, E_b = as_matrix(E_a), as_matrix(E_b)
    if len(E_a) != len(E_b):
        raise MatrixError(
            f"{len(E_a)} tokens in one embedding, {len(E_b)} in the other; give the rows of shared tokens"
        )
    M = product(E_a.T, E_b)
    turned = M.shape[0] < M.shape[1]
    if turned:
        M = M.T.contiguous()
    squares, V = symmetric_eigen(product(M.T, M))
    kept = squares > _SMALLEST**2 * squares[-1]
    if not bool(squares[-1] > 0):
        raise MatrixError("the embeddings of the shared tokens are zero; there is no map between them")
    V = V[:, kept]
    Q = product(product(M, V) / squares[kept].sqrt(), V.T)
    return Q.T.contiguous() if turned else Q
