"""`noise`: the control, a step of the same size in a random direction."""

from __future__ import annotations

import torch

from rotoscale.null import gaussian_step
from rotoscale.recipes.pair import MatrixPair
from rotoscale.recipes.registry import recipe


@recipe("noise", "W_b + G, |G|_F = |W_p - W_b|_F", around="base", uses_factors=False, seeded=True)
def noise(pair: MatrixPair, *, seed: int) -> torch.Tensor:
    """The base with Gaussian noise of the same norm as the post model's change: what any such step would do.

    METHODS 3. `pair` of m x n, result m x n float64, drawn on the CPU from `seed`. It has the precision of single
    floats, so that it can be stored, and decomposed by others, without becoming another matrix.
    """
    if pair.change_norm == 0:
        return pair.base
    return gaussian_step(pair.base, pair.change_norm, seed).to(torch.float32).to(torch.float64)
