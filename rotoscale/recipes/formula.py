"""`formula`: He and Cao's claim in full, one factor and one rotation for both sides."""

from __future__ import annotations

import torch

from rotoscale.linalg import product
from rotoscale.pair import MatrixPair, compose
from rotoscale.polar import nearest_rotation
from rotoscale.recipes.alpha import ALPHA
from rotoscale.recipes.registry import recipe


@recipe("formula", "(U_b Q)(alpha S_b)(V_b Q)^T, Q = polar(A + B)", around="post", parameters=[ALPHA])
def formula(pair: MatrixPair, *, alpha: float) -> torch.Tensor:
    """The base, uniformly scaled and turned by one rotation on both sides: does that make the post model?

    METHODS 2 and 3. `pair` of m x n, result m x n float64.
    """
    U_base, s_base, V_base = pair.of_base
    Q = nearest_rotation(pair.A + pair.B, bound=2.0)
    return compose(product(U_base, Q), alpha * s_base, product(V_base, Q), pair.rest_of_post)
