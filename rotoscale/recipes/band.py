"""`band`: only a part of the post model's change, along some of the base's components (docs/methods.md, section 6).

The change is split along the base's own singular vectors of the shorter side, of which there are as many as rows (or
columns), so that nothing falls between: with P the projector on the band's k vectors,

    m < n:  W = W_b + P (W_p - W_b),  P = U_K U_K^T        m >= n:  W = W_b + (W_p - W_b) P,  P = V_K V_K^T

Bands that cover all components add up to the whole change, no part is larger than the whole, and the rank of a part is
at most k: it is what an adapter of rank k held to those vectors could have learned. (The post's i-th component minus
the base's i-th would be another reading; among close singular values, where the vectors rotate freely, that difference
is mostly the rotation itself and can be far larger than the change.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rotoscale.errors import MatrixError
from rotoscale.recipes.registry import Parameter, recipe

if TYPE_CHECKING:
    import torch

    from rotoscale.pair import MatrixPair

BANDS = ("top", "middle", "bottom")

_BAND = Parameter("band", "choice", "which of the base's components", default="top", choices=BANDS)
_K = Parameter("k", "count", "how many components; a tenth of them unless given")


@recipe(
    "band",
    "W_b + P_K (W_p - W_b)",
    question="Where in the base's spectrum is the effect?",
    order=70,
    around="base",
    parameters=[_BAND, _K],
)
def band(pair: MatrixPair, *, band: str = "top", k: int | None = None) -> torch.Tensor:
    """The base with the post's change only along the top, middle or bottom k of its components.

    docs/methods.md, section 6. `pair` of m x n, result m x n float64. Without `k` the band is a tenth of the
    components, as in docs/methods.md, section 1.

    Raises MatrixError when the band is wider than the base's numerical rank.
    """
    from rotoscale.linalg import product
    from rotoscale.scale import band_slices

    factors = pair.base_factors
    r = factors.numerical_rank
    wanted = min(r, max(1, r // 10)) if k is None else k
    if wanted > r:
        raise MatrixError(f"a band of {wanted} components is wider than the matrix's rank {r}; give a smaller k")
    chosen = dict(zip(BANDS, band_slices(r, wanted), strict=True))[band]
    vectors = factors.short[:, chosen].contiguous()
    change = pair.post - pair.base
    if factors.wide:
        return pair.base + product(vectors, product(vectors.T, change))
    return pair.base + product(product(change, vectors), vectors.T)
