"""`restore-left` and `restore-right`: the broken side put back by the rotation that the other side shows.

If both sides were rotated by one shared rotation, the other side's is as good as the post model's own vectors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rotoscale.recipes.registry import recipe

if TYPE_CHECKING:
    import torch

    from rotoscale.pair import MatrixPair


@recipe(
    "restore-left",
    "(U_b Q) S_p V_p^T, Q = polar(B)",
    question="Is one rotation enough for both sides?",
    order=30,
    around="post",
    about="rotation",
    undoes="disrupt-left",
    compares_with_line=True,
    by_default=({},),
)
def restore_left(pair: MatrixPair) -> torch.Tensor:
    """The base's left vectors, rotated as the right ones were.

    docs/methods.md, section 3, Q the orthogonal polar factor of B = V_b^T V_p. `pair` of m x n, result m x n float64.
    """
    from rotoscale.linalg import product
    from rotoscale.polar import nearest_rotation

    U_base, _, _ = pair.of_base
    _, s_post, V_post = pair.of_post
    return pair.composed(product(U_base, nearest_rotation(pair.B)), s_post, V_post, pair.rest_of_post)


@recipe(
    "restore-right",
    "U_p S_p (V_b Q)^T, Q = polar(A)",
    question="Is one rotation enough for both sides?",
    order=31,
    around="post",
    about="rotation",
    undoes="disrupt-right",
    compares_with_line=True,
    by_default=({},),
)
def restore_right(pair: MatrixPair) -> torch.Tensor:
    """The base's right vectors, rotated as the left ones were.

    docs/methods.md, section 3, Q the orthogonal polar factor of A = U_b^T U_p. `pair` of m x n, result m x n float64.
    """
    from rotoscale.linalg import product
    from rotoscale.polar import nearest_rotation

    _, _, V_base = pair.of_base
    U_post, s_post, _ = pair.of_post
    return pair.composed(U_post, s_post, product(V_base, nearest_rotation(pair.A)), pair.rest_of_post)
