"""Which heads make a group: those whose patching lowers the answer, and of these the ones that the circuit needs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import torch

from rotoscale.circuits.heads import Head

LEAST_EFFECT = 0.02
"""A head is a candidate if patching it takes at least this share of the answer's probability (choice)."""
LARGEST_GROUP = 32
FALSE_CANDIDATES = 0.05
"""Chance of one false candidate in a step, shared among its senders (Bonferroni)."""
PARTNERS = 0.3
NEEDED = 0.01
"""EP's share of redundant partners, and the one threshold of minimality (docs/methods.md, section 4)."""


def mean_and_error(scores: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard error over prompts of scores (senders, prompts)."""
    n = scores.shape[-1]
    error = scores.std(-1, correction=1) / math.sqrt(n) if n > 1 and len(scores) else torch.zeros_like(scores[..., 0])
    return scores.mean(-1), error


def candidates(
    scores: torch.Tensor, *, least_effect: float = LEAST_EFFECT, largest: int = LARGEST_GROUP
) -> torch.Tensor:
    """Indices of the senders that a group is made of, strongest first, from scores (senders, prompts).

    A candidate's mean is at most `-least_effect`, its upper confidence bound (5 % shared among all senders) is below
    zero, and at most `largest` are taken (choice: EP names the sizes of its groups, not a rule).
    """
    if not len(scores):
        return torch.empty(0, dtype=torch.long)
    mean, error = mean_and_error(scores.double())
    z = NormalDist().inv_cdf(1 - FALSE_CANDIDATES / len(scores))
    passing = torch.nonzero((mean <= -least_effect) & (mean + z * error < 0))[:, 0]
    return passing[mean[passing].argsort(stable=True)][:largest]


@dataclass(frozen=True)
class Need:
    """How much of its group's circuit hangs on a head."""

    gain: float
    """`F(C \\ K) / F(C \\ (K + v)) - 1`; infinite where the circuit does nothing without it."""
    partners: tuple[Head, ...]
    """K, the heads that would stand in for it."""
    kept: bool


Evaluate = Callable[[Sequence[frozenset[Head]]], Sequence[float]]
"""Accuracies of the circuit without each of several sets of heads."""


def minimality(group: Sequence[Head], evaluate: Evaluate, *, needed: float = NEEDED) -> dict[Head, Need]:
    """Which heads of a group its circuit needs once their most redundant partners are out (EP section 4.3).

    Redundancy of partner u for head v is what v is worth without u, `F(C \\ u) - F(C \\ {u, v})` (choice). K is the
    30 % most redundant of the others, rounded up, of those without which v is worth more than with them (choice: a
    partner without which nothing works at all stands in for nobody). One rule for every group: v stays if the gain is
    at least `needed`. A head that does nothing even then (both accuracies zero included) goes.
    """
    group = list(group)
    nobody: frozenset[Head] = frozenset()
    pairs = [frozenset((u, v)) for i, u in enumerate(group) for v in group[i + 1 :]]
    asked = [nobody, *(frozenset((u,)) for u in group), *pairs]
    without = dict(zip(asked, evaluate(asked), strict=True))
    partners = {}
    for v in group:
        others = [u for u in group if u != v]
        with_all = without[nobody] - without[frozenset((v,))]
        worth = {u: without[frozenset((u,))] - without[frozenset((u, v))] for u in others}
        redundant = sorted((u for u in others if worth[u] > with_all), key=lambda u: (-worth[u], u))
        partners[v] = tuple(redundant[: math.ceil(PARTNERS * len(others))])
    asked = [frozenset(partners[v]) for v in group] + [frozenset((*partners[v], v)) for v in group]
    accuracies = list(evaluate(asked))
    found = {}
    for index, v in enumerate(group):
        rest, less = accuracies[index], accuracies[index + len(group)]
        gain = rest / less - 1 if less > 0 else (math.inf if rest > 0 else 0.0)
        found[v] = Need(gain, partners[v], gain >= needed)
    return found
