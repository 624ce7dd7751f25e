"""Screen, then verify: which heads a gradient's estimate sends to exact patching, and how often it would have erred."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

import torch

TOP_SHARE, AUDIT_SHARE = 0.2, 0.05


def to_verify(estimates: torch.Tensor, seed: int = 0) -> tuple[list[int], list[int]]:
    """Indices of estimates (senders,) to be patched exactly: the most negative fifth, and a random 5 % of the rest."""
    order = estimates.argsort(stable=True).tolist()
    top = order[: math.ceil(TOP_SHARE * len(order))]
    rest = sorted(order[len(top) :])
    n = min(len(rest), math.ceil(AUDIT_SHARE * len(order)))
    return sorted(top), sorted(random.Random(f"audit {seed}").sample(rest, n))


@dataclass(frozen=True)
class Audit:
    """What exact patching of the screened heads says about the screen."""

    n_senders: int
    n_exact: int
    n_audited: int
    rank_correlation: float | None
    """Spearman's, between estimates and exact scores over all that were patched exactly."""
    estimated_misses: float
    """Share of the audited heads that pass as candidates, times the heads that nobody looked at."""


def audit(estimates: torch.Tensor, exact: torch.Tensor, top: list[int], audited: list[int], passing: set[int]) -> Audit:
    """Audit a screen: estimates and exact scores (senders,), of which those in `top` and `audited` are known exactly.

    `passing` are the indices that the exact scores make candidates.
    """
    known = [*top, *audited]
    unseen = len(estimates) - len(known)
    missed = len(passing & set(audited)) / len(audited) * unseen if audited else 0.0
    return Audit(len(estimates), len(known), len(audited), rank_correlation(estimates[known], exact[known]), missed)


def rank_correlation(a: torch.Tensor, b: torch.Tensor) -> float | None:
    """Spearman's rank correlation of two vectors, ties by mean rank; None where one of them is constant."""
    ranks = torch.stack([_ranks(a), _ranks(b)])
    ranks = ranks - ranks.mean(1, keepdim=True)
    norm = ranks.norm(dim=1).prod()
    return float((ranks[0] @ ranks[1]) / norm) if norm > 0 else None


def auroc(scores: torch.Tensor, positive: torch.Tensor) -> float:
    """Chance that a positive item's score is above a negative one's, ties counting half (area under the ROC curve)."""
    inside, outside = scores[positive], scores[~positive]
    above = (inside[:, None] > outside).double() + 0.5 * (inside[:, None] == outside).double()
    return float(above.mean())


def _ranks(values: torch.Tensor) -> torch.Tensor:
    values = values.double()
    return (values[:, None] > values).double().sum(1) + ((values[:, None] == values).double().sum(1) - 1) / 2
