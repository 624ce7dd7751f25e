"""`formula`: He and Cao's claim in full, one factor and one rotation for both sides."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rotoscale.recipes.alpha import ALPHA
from rotoscale.recipes.registry import recipe

if TYPE_CHECKING:
    import torch

    from rotoscale.pair import MatrixPair


@recipe(
    "formula",
    "(U_b Q)(alpha S_b)(V_b Q)^T, Q = polar(A + B)",
    question="Do one factor and one rotation make the post model?",
    order=40,
    around="post",
    parameters=[ALPHA],
    compares_with_line=True,
    by_default=({},),
)
def formula(pair: MatrixPair, *, alpha: float) -> torch.Tensor:
    """The base, uniformly scaled and rotated by one rotation on both sides.

    docs/methods.md, sections 2 and 3. `pair` of m x n, result m x n float64.
    """
    from rotoscale.linalg import product
    from rotoscale.polar import nearest_rotation

    U_base, s_base, V_base = pair.of_base
    Q = nearest_rotation(pair.A + pair.B, bound=2.0)
    return pair.composed(product(U_base, Q), alpha * s_base, product(V_base, Q), pair.rest_of_post)
