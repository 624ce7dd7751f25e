"""The little arithmetic that several claims share: medians with intervals, shares against a coin, corrected tests."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rotoscale.claims.claim import LEVEL

RESAMPLES = 4000
_ROUNDING = 1e-9
SEED = 0


def median_interval(values: Sequence[float], confidence: float = 0.95, seed: int = SEED) -> tuple[float, float, float]:
    """Median of values (n,) with its percentile bootstrap interval: (median, low, high); seeded."""
    import numpy as np

    x = np.asarray(values, dtype=np.float64)
    generator = np.random.default_rng(seed)
    drawn = np.concatenate(
        [np.median(x[generator.integers(0, len(x), (RESAMPLES // 8, len(x)))], axis=1) for _ in range(8)]
    )
    low, high = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(np.median(x)), float(low), float(high)


def beyond_random(p: float | None, rank_p: float | None) -> bool:
    """Whether a value is larger than random draws: p below 0.05, and a rank p of at most 0.05.

    Of 19 draws the rank says: above all of them. The prediction t-test alone would not do (choice): most heads do
    nothing and a few do much, and by chance one meets the few more often than among normal draws. The rank bounds that
    chance at 0.05 however the draws scatter.
    """
    return p is not None and rank_p is not None and p < LEVEL and rank_p <= LEVEL + _ROUNDING


def coin_p(count: int, n: int) -> float:
    """Two-sided exact p of `count` of n under a fair coin."""
    rarer = sum(math.comb(n, i) for i in range(min(count, n - count) + 1))
    return min(1.0, 2 * rarer / 2**n)  # whole numbers, and scipy.stats takes most of a second to load


def share_power(n: int, share: float = 0.75) -> float:
    """Chance that the score interval of a share of n lies above one half, if the share is truly `share`."""
    from rotoscale.intervals import wilson

    enough = [count for count in range(n + 1) if wilson(count, n).low > 0.5] if n else []
    # Term by term, since scipy.special takes half a second to load.
    return math.fsum(math.exp(_log_binomial(n, count, share)) for count in enough)


def _log_binomial(n: int, count: int, share: float) -> float:
    ways = math.lgamma(n + 1) - math.lgamma(count + 1) - math.lgamma(n - count + 1)
    return ways + count * math.log(share) + (n - count) * math.log1p(-share)


def p_above(differences: Sequence[float]) -> float:
    """One-sided p that paired differences (n,) lie above zero, by Wilcoxon's signed ranks; 1 where all are zero."""
    from scipy.stats import wilcoxon

    known = [value for value in differences if value != 0]
    return float(wilcoxon(known, alternative="greater").pvalue) if known else 1.0


def p_of_interval(estimate: float, low: float, high: float, limit: float) -> float:
    """One-sided p that what has this 95 % interval lies below `limit`, by a normal approximation."""
    from scipy.stats import norm

    spread = (high - low) / (2 * 1.959964)
    if spread <= 0:
        return 0.0 if estimate < limit else 1.0
    return float(norm.cdf((estimate - limit) / spread))


def shown(value: float | None, digits: int = 3) -> str:
    """A number as sentences have it."""
    if value is None:
        return "unknown"
    return f"{value:.{digits}f}" if value == 0 or 10**-digits <= abs(value) < 1e4 else f"{value:.2g}"
