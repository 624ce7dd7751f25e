"""Where a LoRA adapter starts from: a band of the base's own spectrum, taken out of the base so that the sum stays.

With U_K, s_K, V_K the components of a band, `B = U_K sqrt(s_K)` and `A = sqrt(s_K) V_K^T` are the adapter, and
`W - B A` is the residual base that it is trained on. The top band is PiSSA's start (arXiv 2404.02948), the bottom one
close to MiLoRA's (arXiv 2406.09044); the middle is He and Cao's proposal (docs/methods.md, section 6).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rotoscale.errors import MatrixError
from rotoscale.recipes.band import BANDS

if TYPE_CHECKING:
    import torch

    from rotoscale.decomposition import Decomposition

STARTS = (*BANDS, "random")
"""Bands that an adapter can start from; random: components drawn from the whole spectrum."""


@dataclass(frozen=True)
class AdapterStart:
    """The factors of one matrix's adapter, A (R x n) and B (m x R), and the residual (m x n), all float64.

    `residual + B A` is the matrix that was taken apart, up to float64 rounding.
    """

    A: torch.Tensor
    B: torch.Tensor
    residual: torch.Tensor


def adapter_start(W: torch.Tensor, factors: Decomposition, band: str, rank: int, seed: int) -> AdapterStart:
    """Take R = `rank` components of W (m x n) out as an adapter; `factors` are W's, `seed` draws the random band.

    docs/methods.md, section 6. B A is the projection of W on the band's vectors of the shorter side, so that no
    accuracy is lost where singular values are small.

    Raises MatrixError when the band is wider than the numerical rank.
    """
    import torch

    from rotoscale.linalg import as_matrix, product

    W = as_matrix(W, factors.short.device)
    chosen = _components(factors.numerical_rank, band, rank, seed)
    vectors = factors.short[:, chosen].contiguous()
    root = factors.singular_values[chosen].sqrt()
    tall = W.T.contiguous() if factors.wide else W
    long = product(tall, vectors)  # U_K s_K of the tall orientation
    taken = product(long, vectors.T.contiguous())
    if factors.wide:
        A, B, taken = (long / root).T.contiguous(), vectors * root, taken.T
    else:
        A, B = (vectors * root).T.contiguous(), long / root
    assert torch.isfinite(A).all()
    return AdapterStart(A, B, W - taken)


def _components(r: int, band: str, rank: int, seed: int) -> torch.Tensor:
    """Indices of the band's components among the first r."""
    import torch

    from rotoscale.scale import band_slices

    if rank > r:
        raise MatrixError(f"an adapter of rank {rank} is wider than the matrix's rank {r}; give a smaller --rank")
    if band == "random":
        drawn = torch.randperm(r, generator=torch.Generator().manual_seed(seed))[:rank]
        return drawn.sort().values
    if band not in BANDS:
        raise MatrixError(f"there is no band {band!r}; give one of {', '.join(STARTS)}")
    return torch.arange(r)[dict(zip(BANDS, band_slices(r, rank), strict=True))[band]]
