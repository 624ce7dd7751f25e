"""`interpolate`: a point on the line between the two models (linear mode connectivity, METHODS 6)."""

from __future__ import annotations

import torch

from rotoscale.pair import MatrixPair, row_blocks
from rotoscale.recipes.registry import Parameter, recipe

_T = Parameter("t", "number", "0 is the base's matrix, 1 the post's; beyond them it extrapolates", default=0.5)


@recipe("interpolate", "(1 - t) W_b + t W_p", around="post", parameters=[_T], uses_factors=False)
def interpolate(pair: MatrixPair, *, t: float = 0.5) -> torch.Tensor:
    """A point on the straight line from the base's matrix to the post's: how much of the change is needed?

    METHODS 6. `pair` of m x n, result m x n float64.
    """
    between = torch.empty(pair.shape, dtype=torch.float64, device=pair.given[0].device)
    for rows, base, post in row_blocks(between, *pair.given):
        torch.add((1 - t) * base.double(), post.double(), alpha=t, out=rows)
    return between
