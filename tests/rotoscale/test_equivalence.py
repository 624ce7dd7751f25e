"""Tests of equivalence against formulas, a search for the constrained maximum, and simulated error rates."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import minimize_scalar

from rotoscale.equivalence import (
    ACCURACY_MARGIN,
    PERPLEXITY_MARGIN,
    EquivalenceError,
    accuracy_power,
    difference_power,
    equivalent_accuracy,
    equivalent_mean,
)


def answers(won: int, lost: int, both: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    subject = np.repeat([1.0, 0.0, 1.0, 0.0], [won, lost, both, neither])
    reference = np.repeat([0.0, 1.0, 1.0, 0.0], [won, lost, both, neither])
    return subject, reference


def score_by_search(won: int, lost: int, n: int, limit: float) -> float:
    """The score statistic with the chance of losing found by maximizing the likelihood numerically."""

    def minus_log_likelihood(lose: float) -> float:
        win, rest = lose + limit, 1 - 2 * lose - limit
        if min(win, lose, rest) <= 0:
            return math.inf
        return -(won * math.log(win) + lost * math.log(lose) + (n - won - lost) * math.log(rest))

    low, high = max(0.0, -limit), (1 - limit) / 2
    lose = minimize_scalar(minus_log_likelihood, bounds=(low, high), method="bounded", options={"xatol": 1e-12}).x
    return (won - lost - n * limit) / math.sqrt(n * (2 * lose + limit - limit**2))


@pytest.mark.parametrize(("won", "lost", "both", "neither"), [(20, 28, 300, 152), (3, 1, 400, 96), (60, 40, 900, 1000)])
def test_the_halves_are_score_tests_at_the_margins(won: int, lost: int, both: int, neither: int) -> None:
    n = won + lost + both + neither
    found = equivalent_accuracy(*answers(won, lost, both, neither))
    lower, upper = (score_by_search(won, lost, n, limit) for limit in (-ACCURACY_MARGIN, ACCURACY_MARGIN))
    assert found.p_not_worse == pytest.approx(stats.norm.sf(lower), rel=1e-3)
    assert found.p_value == pytest.approx(max(stats.norm.sf(lower), stats.norm.cdf(upper)), rel=1e-3)
    assert found.p_worse == pytest.approx(1 - found.p_not_worse)
    # At no difference Tango's score is McNemar's.
    assert found.p_better == pytest.approx(stats.norm.sf((won - lost) / math.sqrt(won + lost)), rel=1e-6)


def test_it_is_equivalent_exactly_when_the_interval_lies_within_the_margins() -> None:
    random = np.random.default_rng(0)
    seen = set()
    for _ in range(150):
        n, share = int(random.integers(300, 3000)), random.uniform(0.002, 0.1)
        won, lost = random.binomial(n, share / 2, size=2)
        found = equivalent_accuracy(*answers(int(won), int(lost), n - int(won) - int(lost), 0))
        within = -found.margin < found.low and found.high < found.margin
        assert within == (found.p_value < 0.05)
        assert found.low <= found.difference <= found.high
        seen.add(within)
    assert seen == {True, False}


def test_false_equivalence_is_as_rare_as_the_level_says_and_power_is_what_is_promised() -> None:
    random = np.random.default_rng(1)
    n = 1000

    def rate(win: float, lose: float) -> float:
        counts = random.multinomial(n, [win, lose, 0.5, 0.5 - win - lose], size=300)
        return float(np.mean([equivalent_accuracy(*answers(*map(int, c))).p_value < 0.05 for c in counts]))

    assert rate(0.02, 0.04) < 0.075  # the truth is the margin itself
    assert rate(0.0, 0.02) < 0.075
    assert rate(0.02, 0.02) == pytest.approx(accuracy_power(n, 0.04), abs=0.07)
    assert rate(0.005, 0.005) == pytest.approx(accuracy_power(n, 0.01), abs=0.05)


def test_power_is_that_of_the_specification() -> None:
    """docs/methods.md, section 3: two points and 10 % discordance take about 2,100 documents for 80 %."""
    assert accuracy_power(2100, 0.1) == pytest.approx(0.8, abs=0.02)
    assert accuracy_power(200, 0.1) == 0
    assert accuracy_power(500, 0.0) == 1
    assert difference_power(0.01, 0.0) == pytest.approx(0.05)
    assert difference_power(1.0, 1.959964 + 0.841621) == pytest.approx(0.8, abs=1e-3)
    assert difference_power(0.0, 0.1) == 1


def test_few_or_equal_documents() -> None:
    same = equivalent_accuracy(np.ones(20), np.ones(20))
    assert same.p_value > 0.05  # twenty documents do not show two points
    assert same.difference == 0
    assert same.stderr > 0
    assert equivalent_accuracy(np.ones(500), np.ones(500)).p_value < 0.01
    worse = equivalent_accuracy(np.zeros(100), np.ones(100))
    assert worse.p_worse < 1e-6
    assert worse.p_value > 0.99


def test_means_are_two_t_tests() -> None:
    random = np.random.default_rng(2)
    a = random.normal(-2, 1, size=400)
    b = a + random.normal(0.001, 0.05, size=400)
    found = equivalent_mean(b, a)
    lower = stats.ttest_1samp(b - a, -PERPLEXITY_MARGIN, alternative="greater").pvalue
    upper = stats.ttest_1samp(b - a, PERPLEXITY_MARGIN, alternative="less").pvalue
    assert found.p_value == pytest.approx(max(lower, upper))
    assert found.p_better == pytest.approx(stats.ttest_1samp(b - a, 0, alternative="greater").pvalue)
    interval = stats.ttest_1samp(b - a, 0).confidence_interval(0.9)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    with pytest.raises(EquivalenceError, match="0 or 1"):
        equivalent_accuracy(a, b)
    with pytest.raises(EquivalenceError, match="not paired"):
        equivalent_mean(a, b[:-1])
    with pytest.raises(EquivalenceError, match="finite"):
        equivalent_mean([0.0, -math.inf], [0.0, 0.0])


def test_weighted_means_are_ratios() -> None:
    random = np.random.default_rng(3)
    weights = random.integers(20, 60, size=300).astype(float)
    a = -weights * random.gamma(4, 0.2, size=300)
    b = a + weights * random.normal(0.002, 0.02, size=300)
    found = equivalent_mean(b, a, weights=weights)
    assert found.difference == pytest.approx((b.sum() - a.sum()) / weights.sum())
    drawn = []
    for _ in range(2000):
        chosen = random.integers(0, 300, 300)
        drawn.append((b - a)[chosen].sum() / weights[chosen].sum())
    assert found.stderr == pytest.approx(np.std(drawn), rel=0.06)
    even = equivalent_mean(b, a, weights=np.full(300, 7.0))
    assert even.stderr == pytest.approx(equivalent_mean(b / 7, a / 7).stderr)


def test_means_hold_their_level_and_power() -> None:
    random = np.random.default_rng(4)
    noise = random.normal(0, 0.1, size=(600, 300))
    at_margin = [equivalent_mean(row - PERPLEXITY_MARGIN, np.zeros(300)) for row in noise]
    assert np.mean([f.p_not_worse < 0.05 for f in at_margin]) == pytest.approx(0.05, abs=0.02)
    assert np.mean([f.p_value < 0.05 for f in at_margin]) < 0.07
    none = [equivalent_mean(row, np.zeros(300)) for row in noise * 0.7]
    assert np.mean([f.p_value < 0.05 for f in none]) == pytest.approx(np.mean([f.power for f in none]), abs=0.05)
