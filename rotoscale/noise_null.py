"""What noise of a change's size would do to NF and to the singular values, simulated in the base's own basis.

Gaussian noise is the same in every basis. In the base's singular vectors, tall orientation, `W_base + G` is
`diag(s) + G_1` over the r x r block, and the rows outside the base's space enter only through `G_2^T G_2`, a Wishart
matrix with `max(m, n) - r` degrees of freedom, which Bartlett's triangular factor gives directly (Bartlett 1933). So
a draw needs no m x n work at all: one r x r eigenproblem, or its values alone. It has the law of the full simulation.

That holds for bases of full rank. A deficient one gets the full simulation, `decompose(W_base + G)`, because its
numerical rank, and with it the vectors that are compared, changes with the noise (docs/methods.md, section 2).
"""

from __future__ import annotations

import numpy as np
import torch

from rotoscale.decomposition import Decomposition, decompose, only_values
from rotoscale.linalg import as_matrix, eigenvalues, product, symmetric_eigen
from rotoscale.scale import ScaleStatistics, scale_statistics

_SMALL = 0.1
"""Noise up to this share of the base has its own products in float32: they are that much smaller than the base's."""


def noise_nf(base: Decomposition, change_norm: float, seed: int, W_base: torch.Tensor) -> float | None:
    """NF between W_base (m x n) and `W_base + G`, G one Gaussian draw with `|G|_F = change_norm`.

    None for a zero matrix. W_base itself is only looked at where its numerical rank is below min(m, n).
    """
    if base.numerical_rank < min(base.shape):
        return _full_nf(base, W_base, change_norm, seed)
    inside, outside = noise_in_base(base, change_norm, seed)
    return nf_in_base(inside, outside)


def noise_singular_values(base: Decomposition, change_norm: float, seed: int, W_base: torch.Tensor) -> torch.Tensor:
    """Singular values (r,), descending, of `W_base + G`, G one Gaussian draw with `|G|_F = change_norm`."""
    if base.numerical_rank < min(base.shape):
        return only_values(_noisy(W_base, change_norm, seed), base.short.device).singular_values
    s = base.singular_values
    G, R = _draw(base, change_norm, seed)
    small = change_norm <= _SMALL * float(torch.linalg.vector_norm(s))
    noise = _gram(*(X.float() for X in (G, R))).double() if small else _gram(G, R)
    crossed = G.mul_(s[:, None])
    noise.add_(crossed).add_(crossed.T).diagonal().add_(s.square())  # diag(s)^2 + diag(s) G + G^T diag(s) + noise
    return eigenvalues(noise).flip(0).clamp_(min=0).sqrt()


def scale_under_noise(base: Decomposition, change_norm: float, seed: int, W_base: torch.Tensor) -> ScaleStatistics:
    """The ratio spectrum's statistics if the change were noise: its spread is the control of "scaling is uniform"."""
    return scale_statistics(base.singular_values, noise_singular_values(base, change_norm, seed, W_base))


def noise_in_base(base: Decomposition, change_norm: float, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """`diag(s) + G_1` (r x r) and a triangular factor R of `R^T R = G_2^T G_2` (at most r x r) of one draw.

    Drawn on the CPU from `seed`, and scaled so that `|G_1|^2 + |R|^2 = change_norm^2`.
    """
    G, R = _draw(base, change_norm, seed)
    G.diagonal().add_(base.singular_values)
    return G, R


def _draw(base: Decomposition, change_norm: float, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """G_1 and R of one draw."""
    r = len(base.singular_values)
    generator = np.random.default_rng(seed)
    inside = generator.standard_normal((r, r))
    freedom = max(base.shape) - r
    outside = generator.standard_normal((min(freedom, r), r))
    torch.from_numpy(outside).triu_(1)
    np.fill_diagonal(outside, np.sqrt(generator.chisquare(freedom - np.arange(len(outside)))))
    size = change_norm / float(np.vdot(inside, inside) + np.vdot(outside, outside)) ** 0.5
    return tuple(torch.from_numpy(X).mul_(size).to(base.short.device) for X in (inside, outside))  # type: ignore[return-value]


def nf_in_base(inside: torch.Tensor, outside: torch.Tensor) -> float:
    """NF of a base diag(s), zero below, and the noisy matrix `[inside; outside]` ((r + k) x r) in its vectors.

    There B = V' (r x r) and `A = inside V' / s'`, so that `|A^T B - I|^2 = |A|^2 - 2 <A, B> + r`.
    """
    values, V = symmetric_eigen(_gram(inside, outside))
    A = product(inside, V).div_(values.clamp(min=torch.finfo(values.dtype).tiny).sqrt())
    r = len(values)
    square = float(A.square().sum()) - 2 * float((A * V).sum()) + r
    return (max(square, 0.0) / r) ** 0.5


def _gram(inside: torch.Tensor, outside: torch.Tensor) -> torch.Tensor:
    gram = product(inside.T, inside)
    return gram.add_(product(outside.T, outside)) if len(outside) else gram


def _noisy(W_base: torch.Tensor, change_norm: float, seed: int) -> torch.Tensor:
    G = torch.from_numpy(np.random.default_rng(seed).standard_normal(tuple(W_base.shape)))
    return as_matrix(W_base).cpu() + G.mul_(change_norm / float(torch.linalg.vector_norm(G)))


def _full_nf(base: Decomposition, W_base: torch.Tensor, change_norm: float, seed: int) -> float | None:
    X = _noisy(W_base, change_norm, seed)
    noisy = decompose(X, base.short.device)
    r = min(base.numerical_rank, noisy.numerical_rank)
    if not r:
        return None
    left, right = (
        product(x[:, :r].double().T, y[:, :r].double())
        for x, y in ((base.left(W_base), noisy.left(X)), (base.right(W_base), noisy.right(X)))
    )
    I_orth = product(left.T, right)
    I_orth.diagonal().sub_(1.0)
    return float(torch.linalg.vector_norm(I_orth)) / r**0.5
