"""`replace-scale`: the post model with the base's scale put back."""

from __future__ import annotations

import torch

from rotoscale.pair import MatrixPair, compose
from rotoscale.recipes.alpha import ALPHA
from rotoscale.recipes.registry import recipe


@recipe("replace-scale", "U_p (alpha' S_b) V_p^T", around="post", parameters=[ALPHA])
def replace_scale(pair: MatrixPair, *, alpha: float) -> torch.Tensor:
    """The post model's vectors with the base's singular values times one factor: does its own spectrum matter?

    METHODS 3. `pair` of m x n, result m x n float64.
    """
    _, s_base, _ = pair.of_base
    U_post, _, V_post = pair.of_post
    return compose(U_post, alpha * s_base, V_post, pair.rest_of_post)
