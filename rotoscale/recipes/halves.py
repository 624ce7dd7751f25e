"""`rotate-only` and `scale-only`: the base given one half of what the post model changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rotoscale.recipes.registry import recipe

if TYPE_CHECKING:
    import torch

    from rotoscale.pair import MatrixPair


@recipe(
    "rotate-only",
    "U_p S_b V_p^T in the base",
    question="Does the rotation alone do it?",
    order=50,
    around="base",
    about="rotation",
    by_default=({},),
)
def rotate_only(pair: MatrixPair) -> torch.Tensor:
    """The base with the post model's vectors and its own singular values.

    The weight of `replace-scale` with factor one, but inside the base. `pair` of m x n, result m x n float64.
    """
    _, s_base, _ = pair.of_base
    U_post, _, V_post = pair.of_post
    return pair.composed(U_post, s_base, V_post, pair.rest_of_base)


@recipe(
    "scale-only",
    "U_b S_p V_b^T in the base",
    question="Does the scale alone do it?",
    order=51,
    around="base",
    about="scale",
    by_default=({},),
)
def scale_only(pair: MatrixPair) -> torch.Tensor:
    """The base with its own vectors and the post model's singular values.

    `pair` of m x n, result m x n float64.
    """
    U_base, _, V_base = pair.of_base
    _, s_post, _ = pair.of_post
    return pair.composed(U_base, s_post, V_base, pair.rest_of_base)
