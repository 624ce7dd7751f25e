"""The orthogonal matrix nearest to an overlap of singular vectors (orthogonal Procrustes), mostly without an SVD.

Overlaps of orthonormal vectors have no singular value above one, and on the shorter side of a matrix, where the
vectors are a whole basis, they are orthogonal already. So Newton and Schulz's iteration needs no scaling and few
steps, each two matrix products; only where some direction is all but lost does an SVD take over.
"""

from __future__ import annotations

import torch

from rotoscale.linalg import product
from rotoscale.rotation import orthogonal_polar

_TOLERANCE = 1e-12
_MOST_STEPS = 40
"""A direction with cosine c takes about log(1/c) / log(1.5) steps: beyond forty, c is below 1e-6 and an SVD cheaper."""


def shared_rotation(X: torch.Tensor, bound: float = 1.0) -> torch.Tensor:
    """The orthogonal polar factor of X (r x r), whose spectral norm is at most `bound`.

    With `X = U diag(c) V^T` it is `U V^T`, the orthogonal Q that minimises |X - Q|_F. Where some c is zero it is not
    unique and one of them is returned.
    """
    if X.numel() == 0:
        return X
    Y = X / bound
    identity = torch.eye(X.shape[0], dtype=X.dtype, device=X.device)
    for _ in range(_MOST_STEPS):
        gram = product(Y.T, Y)
        if float((gram - identity).abs().max()) <= _TOLERANCE:
            return Y
        Y = product(Y, 1.5 * identity - 0.5 * gram)
    return orthogonal_polar(X)
