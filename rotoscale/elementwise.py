"""The left-right agreement that rounding fakes (docs/methods.md, section 2b).

Rounding errors are independent from element to element but large where the weights are large, and the weights are
made of the very vectors that D is seen in: `E sum D_ij D_ji = sum_ab v_ab ((sum_i U_ai V_bi)^2 - sum_i U_ai^2 V_bi^2)`
for independent errors of variance v_ab, which is above zero where v follows the squared weights. It shifts tau of a
Gaussian matrix by about 1.4 / r, one standard deviation of it. So a change is held against the tau that its own
elements' sizes would give with independent signs, `v_ab = dW_ab^2`: for a change that is rounding, to whatever format,
that is the tau of the rounding, and no simulation's scatter enters.
"""

from __future__ import annotations

import torch

from rotoscale.change_in_base import ChangeInBase, long_rows
from rotoscale.linalg import product

SAMPLED_ROWS = 256
"""Rows of the long side that are looked at (all of them up to this many); the expectation is then good to about 1 %."""


def elementwise_tau(change: ChangeInBase, seed: int) -> float | None:
    """Tau expected of the change with independent random signs of its elements; None where there are no elements.

    Both expectations, of the numerator and the denominator of tau, are sums over rows; rows are drawn with
    probability proportional to their share of the change, so that a change of few rows is not missed.
    """
    rest = change.rest
    size = torch.linalg.vector_norm(rest, dim=1).double().square_()
    total = float(size.sum())
    if not total or change.rank < 2:
        return None
    if len(size) <= SAMPLED_ROWS:
        rows, weights = torch.arange(len(size), device=size.device), torch.ones_like(size)
    else:
        generator = torch.Generator().manual_seed(seed)
        rows = torch.multinomial(size.cpu(), SAMPLED_ROWS, replacement=True, generator=generator).to(size.device)
        weights = total / (SAMPLED_ROWS * size[rows])
    L, S = long_rows(change, rows), change.base.short[:, : change.rank].to(rest.dtype)
    variance = rest[rows].square() * weights[:, None].to(rest.dtype)
    same = product(L.square(), S.square().T)
    crossed = product(L, S.T).square_()
    lengths = torch.outer(L.square().sum(1), S.square().sum(1))
    numerator = float((variance * (crossed - same)).sum(dtype=torch.float64))
    denominator = float((variance * (lengths - same)).sum(dtype=torch.float64))
    return numerator / denominator if denominator > 0 else None
