"""`noise`: the control, a perturbation of the same size in a random direction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rotoscale.recipes.registry import recipe

if TYPE_CHECKING:
    import torch

    from rotoscale.pair import MatrixPair


@recipe(
    "noise",
    "W_b + G, |G|_F = |W_p - W_b|_F",
    question="What would any perturbation of that size have done?",
    order=90,
    around="base",
    about="control",
    uses_factors=False,
    seeded=True,
    by_default=({},),
)
def noise(pair: MatrixPair, *, seed: int) -> torch.Tensor:
    """The base with Gaussian noise of the same norm as the post model's change.

    docs/methods.md, section 3. `pair` of m x n, result m x n float32, drawn on the CPU from `seed`: in the precision
    in which it can be stored, and decomposed by others, without becoming another matrix.
    """
    from rotoscale.null import gaussian_perturbation

    base = pair.given[0]
    if pair.change_norm == 0:
        return base
    return gaussian_perturbation(base, pair.change_norm, seed).float()
