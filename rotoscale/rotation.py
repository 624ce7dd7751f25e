"""How post-training turned the singular vectors of one matrix, and whether both sides turned together (METHODS 2).

He and Cao's claim is `U_p ~ U_b Q` and `V_p ~ V_b Q` with one shared orthogonal Q. Then `I_orth = A^T B`, with
`A = U_b^T U_p` and `B = V_b^T V_p`, is the identity, and NF measures how far it is from that.
"""

from __future__ import annotations

import torch

from rotoscale.linalg import full_svd, product
from rotoscale.null import unrelated_nf
from rotoscale.overlap import Overlaps
from rotoscale.scale import band_slices
from rotoscale.statistics import RotationStatistics

PICTURE_SIZE = 64
_POLAR_STEPS = 14
_SETTLED = 1e-3
_LAST_STEP = 3.6e-4
"""A step leaves 3/4 of the square of the error before it: after one from here, Q is orthogonal to 1e-7."""
INTRUDER_TOP = 10
INTRUDER_COSINE = 0.5


def rotation_statistics(overlap: Overlaps, alpha: float | None) -> RotationStatistics:
    """Rotation statistics from the overlaps of two decompositions (METHODS 2, and intruders of METHODS 6).

    `alpha` is the least-squares scale factor that the formula `(U_b Q)(alpha S_b)(V_b Q)^T` is given.
    """
    r = overlap.rank
    unrelated = unrelated_nf(overlap.shape, r)
    if r == 0:
        return _no_vectors(unrelated)
    A, B = overlap.A, overlap.B
    # First, so that the formula's matrices and I_orth do not lie in memory together.
    error = None if alpha is None else formula_error(overlap, alpha)
    I_orth = product(A.T, B)
    distance = _distance_to_identity(I_orth)
    bands = band_slices(r, max(8, r // 10))
    left, right = A.diagonal().abs(), B.diagonal().abs()
    nf_of_band = [_distance_to_identity(I_orth[band, band]) / (band.stop - band.start) ** 0.5 for band in bands]
    left_mean, right_mean = ([float(cosines[band].mean()) for band in bands] for cosines in (left, right))
    m, n = overlap.shape
    leaking = B if m < n else A
    picture = reduced_picture(I_orth)
    return RotationStatistics(
        numerical_rank=r,
        nf=distance / r**0.5,
        orth_distance=distance,
        nf_unrelated=unrelated,
        nf_top=nf_of_band[0],
        nf_middle=nf_of_band[1],
        nf_bottom=nf_of_band[2],
        left_top=left_mean[0],
        left_middle=left_mean[1],
        left_bottom=left_mean[2],
        right_top=right_mean[0],
        right_middle=right_mean[1],
        right_bottom=right_mean[2],
        left_diagonal=left.tolist(),
        right_diagonal=right.tolist(),
        leak=0.0 if m == n else 1 - float(leaking.square().sum()) / r,
        formula_error=error,
        intruders=intruder_dimensions(A),
        picture=picture.flatten().tolist(),
        picture_size=picture.shape[0],
    )


def unturned(shape: tuple[int, int], rank: int) -> RotationStatistics:
    """Statistics of a matrix against itself, without any arithmetic: exactly zero, whatever the matrix."""
    unrelated = unrelated_nf(shape, rank)
    if rank == 0:
        return _no_vectors(unrelated)
    size = min(PICTURE_SIZE, rank)
    return RotationStatistics(
        numerical_rank=rank,
        nf=0.0,
        orth_distance=0.0,
        nf_unrelated=unrelated,
        nf_top=0.0,
        nf_middle=0.0,
        nf_bottom=0.0,
        left_top=1.0,
        left_middle=1.0,
        left_bottom=1.0,
        right_top=1.0,
        right_middle=1.0,
        right_bottom=1.0,
        left_diagonal=[1.0] * rank,
        right_diagonal=[1.0] * rank,
        leak=0.0,
        formula_error=0.0,
        intruders=0,
        picture=torch.eye(size).flatten().tolist(),
        picture_size=size,
    )


def _no_vectors(unrelated: float) -> RotationStatistics:
    """Statistics of a zero matrix, which has no singular vectors."""
    return RotationStatistics(numerical_rank=0, nf_unrelated=unrelated, picture_size=0)


def nf_of(overlap: Overlaps) -> float:
    """NF alone, for a simulated null: `|A^T B - I|_F / sqrt(r)`."""
    return _distance_to_identity(product(overlap.A.T, overlap.B)) / overlap.rank**0.5


def _distance_to_identity(X: torch.Tensor) -> float:
    """|X - I|_F."""
    difference = X.clone()
    difference.diagonal().sub_(1.0)
    return float(torch.linalg.vector_norm(difference))


def orthogonal_polar(X: torch.Tensor) -> torch.Tensor:
    """The orthogonal polar factor `U V^T` of a square X (r x r), the nearest orthogonal matrix (Procrustes).

    Newton and Schulz's iteration in float32, finished by one or two steps in float64; where X is too close to
    singular for it to settle soon, a float64 SVD.
    """
    Y = (X / 2).float()  # X is a sum of two overlaps: its singular values lie between 0 and 2
    for _ in range(_POLAR_STEPS):
        error = _step(Y)
        if error < _SETTLED * Y.shape[0] ** 0.5:
            Q = Y.double()
            for _ in range(2):
                if _step(Q) < _LAST_STEP:
                    break
            return Q
    U, _, V = full_svd(X)
    return product(U, V.T)


def _step(Q: torch.Tensor) -> float:
    """One step of the iteration, `Q <- Q (3 I - Q^T Q) / 2` in place; returns `|Q^T Q - I|_F` before it."""
    error = product(Q.T, Q)
    error.diagonal().sub_(1.0)
    Q.sub_(product(Q, error), alpha=0.5)
    return float(torch.linalg.vector_norm(error))


def formula_error(overlap: Overlaps, alpha: float) -> float | None:
    """`|W_hat - W_p|_F / |W_p|_F` of He and Cao's formula `W_hat = (U_b Q)(alpha S_b)(V_b Q)^T`, Q = polar(A + B).

    Computed among the r x r factors: with `X = alpha Q S_b Q^T` and `Y = A S_p B^T` (the post matrix seen in the
    base's vectors), `|W_hat - W_p|^2 = |X - Y|^2 + |W_p|^2 - |Y|^2`, exact and without forming any m x n matrix.
    Where A + B is singular (a square matrix one of whose components changed its relative sign), Q is not unique and
    the error is that of one of the equally good choices.
    """
    norm = float(torch.linalg.vector_norm(overlap.s_post))
    if norm == 0:
        return None
    Q = orthogonal_polar(overlap.A + overlap.B)
    Y = product(overlap.A * overlap.s_post, overlap.B.T)
    Q *= overlap.s_base.sqrt()
    X = product(Q, Q.T).mul_(alpha)  # a matrix with its own transpose: half the work
    complete = overlap.rank == max(overlap.shape)
    # What of W_p lies outside the base's vectors; a square matrix of full rank has no outside, only rounding.
    outside = 0.0 if complete else max(norm**2 - float(Y.square().sum()), 0.0)
    return float(X.sub_(Y).square_().sum() + outside) ** 0.5 / norm


def intruder_dimensions(A: torch.Tensor) -> int:
    """How many of the post model's top 10 left vectors have |cos| < 0.5 with every base vector (arXiv 2410.21228)."""
    return int((A[:, :INTRUDER_TOP].abs().amax(0) < INTRUDER_COSINE).sum())


def reduced_picture(I_orth: torch.Tensor, size: int = PICTURE_SIZE) -> torch.Tensor:
    """I_orth (r x r) reduced to at most size x size blocks, each the root of its energy per row.

    The identity stays the identity at any reduction, and noise keeps its root-mean-square weight per row.
    """
    r = I_orth.shape[0]
    size = min(size, r)
    edges = torch.linspace(0, r, size + 1).round().long()
    block = torch.bucketize(torch.arange(r), edges[1:], right=True).to(I_orth.device)
    one_hot = torch.nn.functional.one_hot(block, size).to(I_orth.dtype)
    counts = one_hot.sum(0)
    energy = one_hot.T @ I_orth.square() @ one_hot
    return (energy / torch.minimum(counts[:, None], counts)).sqrt()
