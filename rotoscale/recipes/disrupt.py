"""`disrupt-left` and `disrupt-right`: the shared rotation broken on one side.

The trap (docs/methods.md, section 3): the two SVDs choose the sign of each component at random, so that putting one's
left beside the other's right vectors destroys a matrix even if nothing but noise lies between the two. So the base's
components are first given the post's signs. A component has one sign for both its vectors, and it is taken from the
left ones, `sign(diag A)`, whichever side is then replaced. The unaligned form shows how much the signs alone would
have done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rotoscale.recipes.registry import Parameter, recipe

if TYPE_CHECKING:
    import torch

    from rotoscale.pair import MatrixPair

_ALIGNED = Parameter(
    "aligned",
    "flag",
    "give the base's components the post's signs first, by sign(diag A)",
    default=True,
    opposite="unaligned",
)


def component_signs(pair: MatrixPair) -> torch.Tensor:
    """+1 or -1 for each compared component (r,): the sign of diag A, +1 where that is zero.

    See docs/methods.md, section 3.
    """
    import torch

    from rotoscale.pair import row_blocks

    diagonal = torch.zeros(pair.rank, dtype=torch.float64, device=pair.of_base.U.device)
    for base, post in row_blocks(pair.of_base.U, pair.of_post.U):
        diagonal += (base * post).sum(0)  # of A, without the rest of it
    return torch.where(diagonal < 0, -1.0, 1.0).to(torch.float64)


@recipe(
    "disrupt-left",
    "U_b S_p V_p^T",
    question="Is the model broken when the left vectors lose their rotation?",
    order=20,
    around="post",
    about="rotation",
    parameters=[_ALIGNED],
    needs_control=True,
    by_default=({},),
)
def disrupt_left(pair: MatrixPair, *, aligned: bool = True) -> torch.Tensor:
    """The post model with the base's left vectors, so that only the right side keeps its rotation.

    docs/methods.md, section 3. `pair` of m x n, result m x n float64.
    """
    U_base, _, _ = pair.of_base
    _, s_post, V_post = pair.of_post
    s = component_signs(pair) * s_post if aligned else s_post
    return pair.composed(U_base, s, V_post, pair.rest_of_post)


@recipe(
    "disrupt-right",
    "U_p S_p V_b^T",
    question="Is the model broken when the right vectors lose their rotation?",
    order=21,
    around="post",
    about="rotation",
    parameters=[_ALIGNED],
    needs_control=True,
    by_default=({},),
)
def disrupt_right(pair: MatrixPair, *, aligned: bool = True) -> torch.Tensor:
    """The post model with the base's right vectors, so that only the left side keeps its rotation.

    docs/methods.md, section 3. `pair` of m x n, result m x n float64.
    """
    _, _, V_base = pair.of_base
    U_post, s_post, _ = pair.of_post
    s = component_signs(pair) * s_post if aligned else s_post
    return pair.composed(U_post, s, V_base, pair.rest_of_post)
