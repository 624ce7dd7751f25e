"""Is nothing lost? Two one-sided tests (TOST) of a paired difference against a margin, and their power.

A test that finds no difference has not shown that there is none. Here the null is a difference of at least the margin
in either direction; both halves have to be rejected (Schuirmann 1987). docs/methods.md, section 3, fixes the margins:
two points of accuracy, one per cent of perplexity.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rotoscale.errors import RotoscaleError

ACCURACY_MARGIN = 0.02
"""Two points of accuracy."""

PERPLEXITY_MARGIN = math.log(1.01)
"""One per cent of perplexity, in nats per document (or per weight)."""

_FLOOR = 0.5
"""Disagreements added where two models never disagree, so that few documents do not prove equivalence."""


class EquivalenceError(RotoscaleError):
    """Scores that cannot be tested for equivalence."""


@dataclass(frozen=True)
class Equivalence:
    """Outcome of a TOST at level alpha; the difference is subject minus reference, larger is better."""

    difference: float
    stderr: float
    low: float
    """Of the 1 - 2 alpha interval that lies within the margins exactly when the test rejects."""
    high: float
    margin: float
    p_value: float
    """The larger of the two one-sided p-values: equivalent below alpha."""
    p_not_worse: float
    """Of the lower half alone: not worse by the margin below alpha."""
    p_worse: float
    """Of the test that the difference lies below minus the margin: worse beyond the margin below alpha."""
    p_better: float
    """Of the test that the difference lies above zero."""
    power: float
    """Chance to find equivalence if there is no difference at all, with this spread and n."""
    n: int


def equivalent_accuracy(
    subject: Sequence[float] | npt.NDArray[np.float64],
    reference: Sequence[float] | npt.NDArray[np.float64],
    *,
    margin: float = ACCURACY_MARGIN,
    alpha: float = 0.05,
) -> Equivalence:
    """TOST of the difference of two accuracies on the same documents, scores (n,) of 0 or 1.

    Each half is the score test of a paired difference (Nam 1997, the discordance estimated under the null's own
    difference as in Tango 1998): unlike Wald's it holds its level where the two rarely disagree.

    Raises EquivalenceError for unpaired scores or scores that are not 0 or 1.
    """
    a, b = _paired(subject, reference)
    if not (np.isin(a, (0.0, 1.0)).all() and np.isin(b, (0.0, 1.0)).all()):
        raise EquivalenceError("accuracies are of scores that are 0 or 1; test other scores as log-likelihoods")
    n = len(a)
    won, lost = int(((a == 1) & (b == 0)).sum()), int(((a == 0) & (b == 1)).sum())
    difference = (won - lost) / n
    p_low, p_high = 1 - _normal(_tango(won, lost, n, -margin)), _normal(_tango(won, lost, n, margin))
    stderr = math.sqrt(max(won + lost, _FLOOR) / n - difference**2) / math.sqrt(n)
    low, high = (_score_bound(won, lost, n, tail, alpha) for tail in (-1, 1))
    return Equivalence(
        difference=difference,
        stderr=stderr,
        low=low,
        high=high,
        margin=margin,
        p_value=max(p_low, p_high),
        p_not_worse=p_low,
        p_worse=1 - p_low,
        p_better=1 - _normal(_tango(won, lost, n, 0.0)),
        power=accuracy_power(n, max(won + lost, _FLOOR) / n, margin=margin, alpha=alpha),
        n=n,
    )


def equivalent_mean(
    subject: Sequence[float] | npt.NDArray[np.float64],
    reference: Sequence[float] | npt.NDArray[np.float64],
    *,
    margin: float = PERPLEXITY_MARGIN,
    alpha: float = 0.05,
    weights: Sequence[float] | npt.NDArray[np.float64] | None = None,
) -> Equivalence:
    """TOST of the paired difference of mean log-likelihoods, scores (n,), by two one-sided t-tests.

    With `weights` (n,), words or bytes of each document, scores are log-likelihoods of whole documents and the mean is
    `sum(scores) / sum(weights)`; its standard error is that of a ratio (linearized). A difference of -log(1.01) is one
    per cent of perplexity lost.

    Raises EquivalenceError for unpaired or too few scores, or scores that are not finite.
    """
    from scipy.stats import t as student

    a, b = _paired(subject, reference)
    n = len(a)
    w = np.ones(n) if weights is None else np.asarray(weights, dtype=np.float64)
    if n < 2 or w.shape != a.shape or not (np.isfinite(a).all() and np.isfinite(b).all() and (w > 0).all()):
        raise EquivalenceError(f"{n} scores give no test; give finite scores of at least two documents")
    d = a - b
    difference = float(d.sum() / w.sum())
    residuals = d - difference * w
    stderr = math.sqrt(float((residuals**2).sum()) * n / (n - 1)) / float(w.sum())
    df = n - 1

    def above(limit: float) -> float:
        """p of the test that the difference lies above `limit`."""
        if stderr == 0:
            return 0.0 if difference > limit else 1.0
        return float(student.sf((difference - limit) / stderr, df))

    half = float(student.ppf(1 - alpha, df)) * stderr
    p_low, p_high = above(-margin), 1 - above(margin)
    return Equivalence(
        difference=difference,
        stderr=stderr,
        low=difference - half,
        high=difference + half,
        margin=margin,
        p_value=max(p_low, p_high),
        p_not_worse=p_low,
        p_worse=1 - p_low,
        p_better=above(0.0),
        power=mean_power(stderr, n, margin=margin, alpha=alpha),
        n=n,
    )


def accuracy_power(n: int, discordance: float, *, margin: float = ACCURACY_MARGIN, alpha: float = 0.05) -> float:
    """Chance that TOST finds two equally accurate models equivalent, which disagree on a share of the documents.

    About 2,100 documents give 0.8 at 2 points and a discordance of 0.1.
    """
    return _tost_power(margin / math.sqrt(discordance / n), alpha) if discordance > 0 else 1.0


def mean_power(stderr: float, n: int, *, margin: float = PERPLEXITY_MARGIN, alpha: float = 0.05) -> float:
    """The same for means with this standard error of their difference."""
    from scipy.stats import t as student

    if stderr == 0:
        return 1.0
    return max(0.0, 2 * float(student.cdf(margin / stderr - student.ppf(1 - alpha, n - 1), n - 1)) - 1)


def difference_power(stderr: float, difference: float, alpha: float = 0.05) -> float:
    """Chance that a two-sided test would have shown a true `difference`, by a normal approximation: what stands beside
    every "no difference shown"."""
    from scipy.stats import norm

    if stderr == 0:
        return 1.0
    z, shift = float(norm.ppf(1 - alpha / 2)), abs(difference) / stderr
    return float(norm.sf(z - shift) + norm.cdf(-z - shift))


def _tost_power(shift: float, alpha: float) -> float:
    from scipy.stats import norm

    return max(0.0, 2 * float(norm.cdf(shift - norm.ppf(1 - alpha))) - 1)


def _tango(won: float, lost: float, n: int, limit: float) -> float:
    """Score statistic of a paired difference against `limit` (Tango 1998), standard normal if that is the truth.

    The chance of losing is the maximum-likelihood one among all pairs of chances whose difference is `limit`.
    """
    a = 2.0 * n
    b = -(won + lost) + (2 * n - won + lost) * limit
    c = -lost * limit * (1 - limit)
    lose = max(0.0, (math.sqrt(max(0.0, b * b - 4 * a * c)) - b) / (2 * a))
    variance = n * (2 * lose + limit * (1 - limit))
    distance = won - lost - n * limit
    if variance <= 0:
        return 0.0 if distance == 0 else math.copysign(math.inf, distance)
    return distance / math.sqrt(variance)


def _score_bound(won: int, lost: int, n: int, tail: int, alpha: float) -> float:
    """The end of the 1 - 2 alpha score interval on one side, by bisection."""
    from scipy.optimize import brentq
    from scipy.stats import norm

    z = float(norm.ppf(1 - alpha))
    difference = (won - lost) / n
    end = math.nextafter(float(tail), 0)
    if abs(difference) == 1 and difference == tail:
        return difference

    def excess(limit: float) -> float:
        return abs(_tango(won, lost, n, limit)) - z

    if excess(end) < 0:
        return float(tail)
    return float(brentq(excess, difference + tail * 1e-12, end, xtol=1e-10)) if excess(difference) < 0 else difference


def _normal(z: float) -> float:
    from scipy.stats import norm

    return float(norm.cdf(z))


def _paired(subject: object, reference: object) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    a, b = (np.asarray(scores, dtype=np.float64) for scores in (subject, reference))
    if a.ndim != 1 or a.shape != b.shape or not len(a):
        raise EquivalenceError(f"scores of shapes {a.shape} and {b.shape} are not paired; score the same documents")
    return a, b
