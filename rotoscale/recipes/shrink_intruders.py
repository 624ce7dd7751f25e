"""`shrink-intruders`: the post model's new top directions made smaller (intruder dimensions, Shuttleworth et al. 2024).

An intruder is one of the post model's top ten left vectors whose cosine with every left vector of the base is below
0.5 in magnitude. What the model forgot is said to sit there, more than what it learned. A matrix without intruders
stays as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rotoscale.recipes.registry import Parameter, recipe

if TYPE_CHECKING:
    import torch

    from rotoscale.pair import MatrixPair

_SCALE = Parameter("intruder_scale", "number", "what the intruders' singular values are multiplied with", default=0.5)


@recipe(
    "shrink-intruders",
    "W_p - (1 - c) sum_i s_i u_i v_i^T over intruders i",
    question="Do the post model's new top directions matter, and for what?",
    order=75,
    around="post",
    parameters=[_SCALE],
)
def shrink_intruders(pair: MatrixPair, *, intruder_scale: float = 0.5) -> torch.Tensor:
    """The post model with its intruder dimensions shrunk.

    docs/methods.md, section 3. `pair` of m x n, result m x n float64.
    """
    import torch

    from rotoscale.linalg import product
    from rotoscale.rotation import are_intruders

    chosen = torch.nonzero(are_intruders(pair.A))[:, 0]
    if not len(chosen):
        return pair.post.clone()
    U, s, V = (X[..., chosen] for X in pair.of_post)
    return pair.post - product(U * ((1 - intruder_scale) * s), V.T.contiguous())
