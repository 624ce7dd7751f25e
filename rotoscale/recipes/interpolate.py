"""`interpolate`: a point on the line between the two models (linear mode connectivity, docs/methods.md, section 6)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rotoscale.recipes.registry import Parameter, recipe

if TYPE_CHECKING:
    import torch

    from rotoscale.pair import MatrixPair

_T = Parameter("t", "number", "0 is the base's matrix, 1 the post's; beyond them it extrapolates", default=0.5)


def _beyond(values: Mapping[str, Any]) -> str:
    t = values["t"]
    return "" if 0 <= t <= 1 else f"t = {t:g} lies beyond the two models: this extrapolates the change"


@recipe(
    "interpolate",
    "(1 - t) W_b + t W_p",
    question="How much of the change is needed?",
    order=60,
    around="post",
    parameters=[_T],
    uses_factors=False,
    note=_beyond,
)
def interpolate(pair: MatrixPair, *, t: float = 0.5) -> torch.Tensor:
    """A point on the straight line from the base's matrix to the post's.

    docs/methods.md, section 6. `pair` of m x n, result m x n float64.
    """
    import torch

    from rotoscale.pair import row_blocks

    between = torch.empty(pair.shape, dtype=torch.float64, device=pair.given[0].device)
    for rows, base, post in row_blocks(between, *pair.given):
        torch.add((1 - t) * base.double(), post.double(), alpha=t, out=rows)
    return between
