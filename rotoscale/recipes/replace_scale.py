"""`replace-scale`: the post model with the base's scale put back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rotoscale.recipes.alpha import ALPHA
from rotoscale.recipes.registry import recipe

if TYPE_CHECKING:
    import torch

    from rotoscale.pair import MatrixPair


@recipe(
    "replace-scale",
    "U_p (alpha S_b) V_p^T",
    question="Does the post model's own spectrum matter?",
    order=10,
    around="post",
    about="scale",
    parameters=[ALPHA],
    expects_no_change=True,
    by_default=({"alpha": "matrix"}, {"alpha": "one"}),
)
def replace_scale(pair: MatrixPair, *, alpha: float) -> torch.Tensor:
    """The post model's vectors with the base's singular values times one factor.

    docs/methods.md, section 3. `pair` of m x n, result m x n float64.
    """
    _, s_base, _ = pair.of_base
    U_post, _, V_post = pair.of_post
    return pair.composed(U_post, alpha * s_base, V_post, pair.rest_of_post)
