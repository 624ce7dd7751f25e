"""How far two circuits are the same: precision, recall and Jaccard of their heads or edges, with their uncertainty."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Overlap:
    """Of a set against a reference set; None where there is nothing to divide by."""

    precision: float | None
    """Share of the set that the reference has."""
    recall: float | None
    """Share of the reference that the set has."""
    jaccard: float | None
    """Common items over all items."""


def overlap(found: Collection[Hashable], reference: Collection[Hashable]) -> Overlap:
    """Compare two sets."""
    a, b = set(found), set(reference)
    common = len(a & b)
    return Overlap(
        common / len(a) if a else None,
        common / len(b) if b else None,
        common / len(a | b) if a | b else None,
    )


@dataclass(frozen=True)
class Interval:
    """95 % bootstrap interval of a Jaccard index; None where most resamples have no items at all."""

    low: float | None
    high: float | None


def resample(n: int, generator: torch.Generator) -> torch.Tensor:
    """Indices (n,) of prompts drawn with replacement."""
    return torch.randint(n, (n,), generator=generator)


def bootstrap_jaccard(
    found: Callable[[torch.Generator], Collection[Hashable]],
    reference: Callable[[torch.Generator], Collection[Hashable]],
    *,
    resamples: int = 200,
    seed: int = 0,
) -> Interval:
    """Bootstrap over prompts: both sets are chosen anew from prompts that they resample with the generator."""
    generator = torch.Generator().manual_seed(seed)
    values = (overlap(found(generator), reference(generator)).jaccard for _ in range(resamples))
    drawn = sorted(value for value in values if value is not None)
    if len(drawn) * 2 < resamples:
        return Interval(None, None)
    return Interval(drawn[round(0.025 * (len(drawn) - 1))], drawn[round(0.975 * (len(drawn) - 1))])
