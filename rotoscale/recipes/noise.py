"""`noise`: the control, a step of the same size in a random direction."""

from __future__ import annotations

import torch

from rotoscale.null import gaussian_perturbation
from rotoscale.pair import MatrixPair
from rotoscale.recipes.registry import recipe


@recipe("noise", "W_b + G, |G|_F = |W_p - W_b|_F", around="base", uses_factors=False, seeded=True)
def noise(pair: MatrixPair, *, seed: int) -> torch.Tensor:
    """The base with Gaussian noise of the same norm as the post model's change: what any such step would do.

    METHODS 3. `pair` of m x n, result m x n float32, drawn on the CPU from `seed`: in the precision in which it can be
    stored, and decomposed by others, without becoming another matrix.
    """
    base = pair.given[0]
    if pair.change_norm == 0:
        return base
    return gaussian_perturbation(base, pair.change_norm, seed).float()
