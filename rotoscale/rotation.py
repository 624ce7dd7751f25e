"""How post-training rotated a matrix's singular vectors, and whether both sides agree (docs/methods.md, section 2).

He and Cao's claim is `U_p ~ U_b Q` and `V_p ~ V_b Q` with one shared orthogonal Q. Then `I_orth = A^T B`, with
`A = U_b^T U_p` and `B = V_b^T V_p`, is the identity, and NF measures how far it is from that.
"""

from __future__ import annotations

import torch

from rotoscale.linalg import product
from rotoscale.null import unrelated_nf
from rotoscale.pair import MatrixPair
from rotoscale.polar import nearest_rotation
from rotoscale.scale import band_slices
from rotoscale.statistics import RotationStatistics

PICTURE_SIZE = 64
_SMALL_CHANGE = 1e-2
"""Relative change below which the formula's Q is computed in float64: A + B is then nearly orthogonal, so that few
steps do, and the rounding of float32 ones would show in an error as small as the change."""

INTRUDER_TOP = 10
INTRUDER_COSINE = 0.5


def rotation_statistics(pair: MatrixPair, alpha: float | None) -> RotationStatistics:
    """Rotation statistics of a pair with factors (docs/methods.md, section 2, and intruders of section 6).

    `alpha` is the least-squares scale factor that the formula `(U_b Q)(alpha S_b)(V_b Q)^T` is given. A matrix beside
    itself has exact zeros and ones, whatever the arithmetic. The change's size, its rows and the nulls are left out.
    """
    r = pair.rank
    unrelated = unrelated_nf(pair.shape, r)
    if r == 0 or (pair.is_unchanged and alpha in (None, 1.0)):
        return no_rotation(r, pair.shape)
    A, B = pair.A, pair.B
    # First, so that the formula's matrices and I_orth do not lie in memory together.
    error = None if alpha is None else formula_error(pair, alpha)
    I_orth = product(A.T, B)
    distance = _distance_to_identity(I_orth)
    bands = band_slices(r, max(8, r // 10))
    left, right = A.diagonal().abs(), B.diagonal().abs()
    nf_of_band = [_distance_to_identity(I_orth[band, band]) / (band.stop - band.start) ** 0.5 for band in bands]
    left_mean, right_mean = ([float(cosines[band].mean()) for band in bands] for cosines in (left, right))
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
        leak=leak(pair),
        formula_error=error,
        intruders=intruder_dimensions(A),
        picture=picture.flatten().tolist(),
        picture_size=picture.shape[0],
    )


def no_rotation(rank: int, shape: tuple[int, int]) -> RotationStatistics:
    """Statistics of a matrix (m x n) beside itself; of rank 0, nothing."""
    if rank == 0:
        return RotationStatistics(numerical_rank=0, nf_unrelated=unrelated_nf(shape, 0), picture_size=0)
    size = min(PICTURE_SIZE, rank)
    return RotationStatistics(
        numerical_rank=rank,
        nf=0.0,
        orth_distance=0.0,
        nf_unrelated=unrelated_nf(shape, rank),
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


def nf_of(pair: MatrixPair) -> float:
    """NF alone: `|A^T B - I|_F / sqrt(r)`."""
    return _distance_to_identity(product(pair.A.T, pair.B)) / pair.rank**0.5


def _distance_to_identity(X: torch.Tensor) -> float:
    """|X - I|_F."""
    difference = X.clone()
    difference.diagonal().sub_(1.0)
    return float(torch.linalg.vector_norm(difference))


def leak(pair: MatrixPair) -> float:
    """Share of the post's long singular space that left the base's: `1 - |L_b^T L_p|_F^2 / r`, 0 for square matrices.

    What leaves the base's space is a part of the change. Of a small one it is summed as such: a difference of two
    numbers next to one would have lost it.
    """
    m, n = pair.shape
    if m == n:
        return 0.0
    if not pair.is_small_change:
        return max(0.0, 1 - float(pair.long_overlap.square().sum()) / pair.rank)
    short, gram = pair.post_factors.short, pair.change_gram
    whole = (short * product(gram, short.to(gram.dtype))).sum(0)  # |dT S_p|^2, column by column
    inside = pair.change_between.square().sum(0)
    return max(0.0, float(((whole - inside) / pair.s_post.square()).mean()))


def formula_error(pair: MatrixPair, alpha: float) -> float | None:
    """`|W_hat - W_p|_F / |W_p|_F` of He and Cao's formula `W_hat = (U_b Q)(alpha S_b)(V_b Q)^T`, Q = polar(A + B).

    Computed among the r x r factors: with `X = alpha Q S_b Q^T` and `Y = A S_p B^T` (the post matrix seen in the
    base's vectors), `|W_hat - W_p|^2 = |X - Y|^2 + |W_p|^2 - |Y|^2`, exact and without forming any m x n matrix.
    Where A + B is singular (a square matrix one of whose components changed its relative sign), Q is not unique and
    the error is that of one of the equally good choices.
    """
    norm = float(torch.linalg.vector_norm(pair.s_post))
    if norm == 0:
        return None
    Q = nearest_rotation(pair.A + pair.B, bound=2.0, single=pair.change_norm > _SMALL_CHANGE * norm)
    Y = pair.post_in_base
    outside = _energy_outside(pair, norm, Y)
    Q *= pair.s_base.sqrt()
    X = product(Q, Q.T).mul_(alpha)  # a matrix with its own transpose: half the work
    return float(X.sub_(Y).square_().sum() + outside) ** 0.5 / norm


def _energy_outside(pair: MatrixPair, norm: float, Y: torch.Tensor) -> float:
    """`|W_p|^2 - |Y|^2`: what of W_p lies outside the base's vectors, of a small change, from the change alone."""
    if pair.rank == max(pair.shape):
        return 0.0  # a square matrix of full rank has no outside, only rounding
    if not pair.is_small_change:
        return max(norm**2 - float(Y.square().sum()), 0.0)
    inside = float(torch.linalg.vector_norm(pair.change_between))  # S_p is a whole basis: it keeps the norm
    return max(pair.change_norm**2 - inside**2, 0.0)


def intruder_dimensions(A: torch.Tensor) -> int:
    """How many of the post model's top 10 left vectors have |cos| < 0.5 with every base vector (arXiv 2410.21228)."""
    return int(are_intruders(A).sum())


def are_intruders(A: torch.Tensor) -> torch.Tensor:
    """Which of the post model's top ten left vectors are far from every one of the base's, of A (r x r): (<= 10,)."""
    return A[:, :INTRUDER_TOP].abs().amax(0) < INTRUDER_COSINE


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
