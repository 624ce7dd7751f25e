"""What the rank correlation of two orders is worth, and several such tests together (docs/methods.md, section 5)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

SMALLEST = 1e-300
"""Where p values are clipped."""

DRAWS = 9_999
"""Random orders that a correlation is counted among."""

_WELL_COUNTED = 10
"""With fewer draws than this beyond a correlation, its p is read from the tail's approximation."""


@dataclass(frozen=True)
class RankTest:
    """Spearman's correlation of two orders of n things, and its one-sided p under random orders.

    counted: whether p was counted among random orders; else it is the approximation of the tail.
    """

    rho: float
    p: float
    n: int
    counted: bool


def rank_test(first: np.ndarray, second: np.ndarray) -> RankTest:
    """Whether two orders (integers (n,), without repetitions) agree more than random ones do.

    p is counted among `DRAWS` random orders. Where fewer than ten of them are beyond the correlation it is Student's t
    with n - 2 degrees of freedom, never below 1/n!, what all orders together can count, nor below `SMALLEST`.
    Spearman's correlation and its t as Zhu et al. use them (arXiv 2502.12292); docs/methods.md, section 5.
    """
    from scipy.stats import t as student

    n = len(first)
    rho = _rho(np.argsort(np.argsort(first)), np.argsort(np.argsort(second)))
    beyond = int((_null(n) >= rho).sum())
    counted = (1 + beyond) / (1 + DRAWS)
    if beyond >= _WELL_COUNTED:
        return RankTest(rho, counted, n, True)
    left = max(1 - rho * rho, 0.0)
    tail = float(student.sf(rho * math.sqrt((n - 2) / left), n - 2)) if left else 0.0
    fewest = max(math.exp(-math.lgamma(n + 1)), SMALLEST)
    return RankTest(rho, min(max(tail, fewest), counted), n, False)


def fisher(p_values: Sequence[float]) -> float | None:
    """Fisher's p of independent p values together, clipped at `SMALLEST`; None of none."""
    from scipy.stats import chi2

    if not p_values:
        return None
    statistic = -2 * sum(math.log(p) for p in p_values)
    return max(float(chi2.sf(statistic, 2 * len(p_values))), SMALLEST)


def _rho(first: np.ndarray, second: np.ndarray) -> float:
    """Spearman's correlation of two rankings (n,) from 0."""
    n = len(first)
    squares = float(np.square(first - second, dtype=np.float64).sum())
    return 1 - 6 * squares / (n * (n * n - 1.0))


@lru_cache(maxsize=16)
def _null(n: int) -> np.ndarray:
    """Correlations of `DRAWS` random orders of n things with the order itself; the same ones every time."""
    random = np.random.default_rng(n)
    straight, found = np.arange(n), np.empty(DRAWS)
    for start in range(0, DRAWS, 1_000):  # in parts, so that memory stays small
        some = min(1_000, DRAWS - start)
        orders = random.permuted(np.broadcast_to(straight, (some, n)), axis=1)
        squares = np.square(orders - straight, dtype=np.float64).sum(1)
        found[start : start + some] = 1 - 6 * squares / (n * (n * n - 1.0))
    return found
