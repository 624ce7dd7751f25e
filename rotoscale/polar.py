"""Polar factors by the Newton-Schulz iteration, and NF without any singular vectors (docs/methods.md, section 2).

The polar factor of W = U diag(s) V^T is P = U V^T: of all matrices with orthonormal columns (rows) the nearest, so that
of a square overlap it is the rotation that orthogonal Procrustes asks for. Newton and Schulz's iteration reaches it
with products only, which is what accelerators do best.
"""

from __future__ import annotations

import torch

from rotoscale.errors import MatrixError
from rotoscale.linalg import as_matrix, full_svd, product

_MOST_STEPS = 80
"""Reaches a condition of 1e13; in 100 the rounding of a lost direction can grow to one as well."""

_MOST_STEPS_OF_OVERLAPS = {torch.float32: 14, torch.float64: 40}
"""A direction with cosine c takes about log(1/c) / log(1.5) steps: beyond these an SVD costs less."""

_EXACT = 1e-6
"""Error before a step that leaves 3/4 of its square: after one from here, the matrix is orthogonal to 1e-12."""

_CLOSE = 1e-3
"""The same of single precision, per component; what float32 can reach."""

_CLOSE_DOUBLE = 3.6e-4
"""The same of the double precision steps that follow single ones: orthogonal to 1e-7."""


def newton_schulz(X: torch.Tensor, *, settled: float, most_steps: int, correction: torch.dtype | None = None) -> bool:
    """Drive a tall X (m x n, |X|_2 < sqrt(3)) to its polar factor in place; whether it settled.

    A step is `X <- X (3 I - X^T X) / 2`. Singular values below one grow by up to 1.5 a step and settle quadratically:
    the step from an error `|X^T X - I|_F` of e leaves one of 3/4 e^2. The last step is the first from an error below
    `settled`. What a step subtracts is computed in the dtype `correction`, that of X unless given: a narrower one
    rounds it in proportion to the error.
    """
    correction = correction or X.dtype
    for _ in range(most_steps):
        error = product(X.T, X)
        error.diagonal().sub_(1.0)
        X.sub_(product(X.to(correction), error.to(correction)), alpha=0.5)
        if float(torch.linalg.vector_norm(error)) < settled:
            return True
    return False


def polar_factor(W: torch.Tensor) -> torch.Tensor:
    """The polar factor `U V^T` (m x n, float64) of `W` (m x n), from matrix products alone.

    The iteration runs on the tall orientation, started at `W / |W|_2`; a condition number c takes about
    `log(c) / log(1.5)` steps and then a few quadratic ones.

    Raises MatrixError when W is rank-deficient to working precision: its polar factor is then not unique.
    """
    W = as_matrix(W)
    wide = W.shape[0] < W.shape[1]
    X = W.T.contiguous() if wide else W.clone()
    scale = _spectral_norm_bound(X)
    if scale == 0:
        raise MatrixError("a zero matrix has no polar factor; leave it out")
    X /= scale
    if newton_schulz(X, settled=_EXACT, most_steps=_MOST_STEPS):
        return X.T.contiguous() if wide else X
    raise MatrixError(
        f"the polar factor did not settle in {_MOST_STEPS} steps: the matrix is rank-deficient to working precision; "
        "compare it through `decompose`, which leaves out components without defined vectors"
    )


def nearest_rotation(X: torch.Tensor, *, bound: float = 1.0, single: bool = False) -> torch.Tensor:
    """The orthogonal matrix (r x r, float64) nearest to X (r x r, |X|_2 <= bound), its polar factor.

    Overlaps of orthonormal vectors have no singular value above one, and on the shorter side of a matrix, where the
    vectors are a whole basis, they are orthogonal already: a few steps do, and where some direction is all but lost an
    SVD takes over. Where a singular value is zero the factor is not unique and one of them is returned. With `single`
    the first steps are done in float32, good to about 1e-7.
    """
    if X.numel() == 0:
        return X
    if single:
        Y = (X / bound).float()
        if newton_schulz(Y, settled=_CLOSE * Y.shape[0] ** 0.5, most_steps=_MOST_STEPS_OF_OVERLAPS[Y.dtype]):
            Q = Y.double()
            newton_schulz(Q, settled=_CLOSE_DOUBLE, most_steps=2, correction=torch.float32)
            return Q
    else:
        Q = X / bound
        if newton_schulz(Q, settled=_EXACT, most_steps=_MOST_STEPS_OF_OVERLAPS[Q.dtype]):
            return Q
    U, _, V = full_svd(X)
    return product(U, V.T)


def nf_without_svd(W_base: torch.Tensor, W_post: torch.Tensor) -> float:
    """NF of two full-rank matrices (m x n) from their polar factors alone (docs/methods.md, section 2).

    No singular vectors are needed: `|I_orth - I|_F^2 = |P_b P_p^T|_F^2 - 2 <P_b, P_p> + r` with the shorter side first.

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
