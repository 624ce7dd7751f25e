"""`restore-left` and `restore-right`: the broken side put back by the rotation that the other side shows.

If both sides turned by one shared rotation, the other side's is as good as the post model's own vectors.
"""

from __future__ import annotations

import torch

from rotoscale.linalg import product
from rotoscale.pair import MatrixPair, compose
from rotoscale.polar import nearest_rotation
from rotoscale.recipes.registry import recipe


@recipe("restore-left", "(U_b Q) S_p V_p^T, Q = polar(B)", around="post")
def restore_left(pair: MatrixPair) -> torch.Tensor:
    """The base's left vectors turned by the rotation found on the right: is one rotation enough for both sides?

    METHODS 3, Q the orthogonal polar factor of B = V_b^T V_p. `pair` of m x n, result m x n float64.
    """
    U_base, _, _ = pair.of_base
    _, s_post, V_post = pair.of_post
    Q = nearest_rotation(pair.B)
    return compose(product(U_base, Q), s_post, V_post, pair.rest_of_post)


@recipe("restore-right", "U_p S_p (V_b Q)^T, Q = polar(A)", around="post")
def restore_right(pair: MatrixPair) -> torch.Tensor:
    """The base's right vectors turned by the rotation found on the left: is one rotation enough for both sides?

    METHODS 3, Q the orthogonal polar factor of A = U_b^T U_p. `pair` of m x n, result m x n float64.
    """
    _, _, V_base = pair.of_base
    U_post, s_post, _ = pair.of_post
    Q = nearest_rotation(pair.A)
    return compose(U_post, s_post, product(V_base, Q), pair.rest_of_post)
