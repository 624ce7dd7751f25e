"""Polar factors from matrix products alone, and NF without any singular vectors (METHODS 2).

The polar factor of W = U diag(s) V^T is P = U V^T. Newton and Schulz's iteration reaches it with products only,
which is what accelerators do best; it is the basis for comparisons that need no vectors.
"""

from __future__ import annotations

import torch

from rotoscale.errors import MatrixError
from rotoscale.linalg import as_matrix, product

_MOST_STEPS = 100


def polar_factor(W: torch.Tensor, tolerance: float = 1e-12) -> torch.Tensor:
    """The polar factor `U V^T` (m x n, float64) of `W` (m x n), by the Newton-Schulz iteration.

    Each step is `X <- X (3 I - X^T X) / 2` on the tall orientation, started at `W / |W|_2`. Small singular values
    grow by 1.5 a step, so a condition number c takes about `log(c) / log(1.5)` steps and then a few quadratic ones.

    Raises MatrixError when W is rank-deficient to working precision: its polar factor is then not unique.
    """
    W = as_matrix(W)
    wide = W.shape[0] < W.shape[1]
    X = W.T.contiguous() if wide else W.clone()
    scale = _spectral_norm_bound(X)
    if scale == 0:
        raise MatrixError("a zero matrix has no polar factor; leave it out")
    X /= scale
    identity = torch.eye(X.shape[1], dtype=X.dtype, device=X.device)
    for _ in range(_MOST_STEPS):
        gram = product(X.T, X)
        if float((gram - identity).abs().max()) <= tolerance:
            return X.T.contiguous() if wide else X
        X = product(X, 1.5 * identity - 0.5 * gram)
    raise MatrixError(
        f"the polar factor did not settle in {_MOST_STEPS} steps: the matrix is rank-deficient to working precision; "
        "compare it through `decompose`, which leaves out components without defined vectors"
    )


def nf_without_svd(W_base: torch.Tensor, W_post: torch.Tensor) -> float:
    """NF of two full-rank matrices (m x n) from their polar factors alone (METHODS 2, SVD-free identity).

    `|I_orth - I|_F^2 = |P_b P_p^T|_F^2 - 2 <P_b, P_p> + r` with the shorter side first.

    Raises MatrixError when the shapes differ or either matrix is rank-deficient.
    """
    if W_base.shape != W_post.shape:
        raise MatrixError(f"shapes {tuple(W_base.shape)} and {tuple(W_post.shape)} differ")
    P_b, P_p = polar_factor(W_base), polar_factor(W_post)
    if P_b.shape[0] > P_b.shape[1]:
        P_b, P_p = P_b.T.contiguous(), P_p.T.contiguous()
    r = P_b.shape[0]
    square = float(product(P_b, P_p.T).square().sum()) - 2 * float((P_b * P_p).sum()) + r
    return (max(square, 0.0) / r) ** 0.5


def _spectral_norm_bound(X: torch.Tensor) -> float:
    """An upper bound of |X|_2 within a factor sqrt(r): the tighter of |X|_F and sqrt(|X|_1 |X|_inf)."""
    columns, rows = float(X.abs().sum(0).max()), float(X.abs().sum(1).max())
    return min(float(torch.linalg.vector_norm(X)), (columns * rows) ** 0.5)
