"""Confidence intervals of proportions that keep a width at 0 and 1, where Wald's have none."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

from rotoscale.errors import RotoscaleError


class IntervalError(RotoscaleError):
    """Counts that no interval can be made of."""


@dataclass(frozen=True)
class Interval:
    """An estimate with the two ends of its confidence interval."""

    estimate: float
    low: float
    high: float


def wilson(right: int, n: int, confidence: float = 0.95) -> Interval:
    """Score interval of a proportion `right / n` (Wilson 1927): all p that a score test would not reject.

    Raises IntervalError unless 0 <= right <= n and n > 0.
    """
    if not 0 <= right <= n or n == 0:
        raise IntervalError(f"{right} of {n} is no proportion; count documents of at least one")
    z = normal_quantile(confidence)
    p, shrink = right / n, z * z / n
    centre = (p + shrink / 2) / (1 + shrink)
    half = z / (1 + shrink) * math.sqrt(p * (1 - p) / n + shrink / (4 * n))
    # Exact where rounding would leave the end a hair inside.
    low = 0.0 if right == 0 else max(0.0, centre - half)
    high = 1.0 if right == n else min(1.0, centre + half)
    return Interval(p, low, high)


def paired_difference(both: int, first: int, second: int, neither: int, confidence: float = 0.95) -> Interval:
    """Interval of the difference of two proportions on the same documents (Newcombe 1998, method 10).

    Counts of documents: both right, only the first, only the second, neither; the difference is first minus second.
    The two Wilson intervals are combined with the correlation of the answers, as squares around the estimate.

    Raises IntervalError for negative counts or no documents.
    """
    n = both + first + second + neither
    if min(both, first, second, neither) < 0 or n == 0:
        raise IntervalError(f"counts {both}, {first}, {second}, {neither} are no table of paired answers")
    one, two = wilson(both + first, n, confidence), wilson(both + second, n, confidence)
    phi = _correlation(both, first, second, neither)
    difference = (first - second) / n
    below = _combined(one.estimate - one.low, two.high - two.estimate, phi)
    above = _combined(one.high - one.estimate, two.estimate - two.low, phi)
    return Interval(difference, max(-1.0, difference - below), min(1.0, difference + above))


def normal_quantile(confidence: float) -> float:
    """z with P(|Z| < z) = confidence for a standard normal Z."""
    return NormalDist().inv_cdf((1 + confidence) / 2)  # scipy.stats takes most of a second to load


def _correlation(a: int, b: int, c: int, d: int) -> float:
    """Phi of the paired table; positive ones with Newcombe's continuity correction, 0 where a margin is empty."""
    margins = (a + b) * (c + d) * (a + c) * (b + d)
    if margins == 0:
        return 0.0
    product = a * d - b * c
    corrected = max(0.0, product - (a + b + c + d) / 2) if product > 0 else float(product)
    return corrected / math.sqrt(margins)


def _combined(x: float, y: float, phi: float) -> float:
    return math.sqrt(max(0.0, x * x - 2 * phi * x * y + y * y))
