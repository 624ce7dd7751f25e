"""Score intervals against the tests that they invert, scipy, published examples, and simulated coverage."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import brentq

from rotoscale.intervals import IntervalError, normal_quantile, paired_difference, wilson


@pytest.mark.parametrize(("right", "n"), [(0, 20), (1, 500), (7, 9), (300, 500), (500, 500)])
def test_wilson_is_scipy_s_and_has_a_width_everywhere(right: int, n: int) -> None:
    found = wilson(right, n)
    theirs = stats.binomtest(right, n).proportion_ci(0.95, method="wilson")
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
    assert found.low <= found.estimate == right / n <= found.high
    assert found.high - found.low > 0


def test_wilson_ends_where_the_score_test_rejects() -> None:
    def z(p: float) -> float:
        return (0.3 - p) / (p * (1 - p) / 40) ** 0.5

    found = wilson(12, 40, 0.9)
    assert found.low == pytest.approx(brentq(lambda p: z(p) - stats.norm.ppf(0.95), 0.01, 0.3))
    assert found.high == pytest.approx(brentq(lambda p: z(p) + stats.norm.ppf(0.95), 0.3, 0.99))


def test_newcombe_s_published_example() -> None:
    """Newcombe 1998, interval estimation for paired proportions, method 10."""
    found = paired_difference(36, 12, 2, 0)
    assert found.estimate == pytest.approx(0.2)
    assert (found.low, found.high) == pytest.approx((0.0569, 0.3404), abs=1e-4)


def test_the_paired_interval_covers_the_truth_as_often_as_it_says() -> None:
    random = np.random.default_rng(0)
    for chances in ([0.7, 0.1, 0.05, 0.15], [0.9, 0.02, 0.0, 0.08], [0.2, 0.1, 0.1, 0.6]):
        truth = chances[1] - chances[2]
        tables = random.multinomial(300, chances, size=800)
        held = np.mean([i.low <= truth <= i.high for i in (paired_difference(*map(int, t)) for t in tables)])
        assert 0.925 < held <= 1.0


def test_no_disagreement_still_has_a_width_and_order_is_a_sign() -> None:
    for both in (0, 250, 500):
        found = paired_difference(both, 0, 0, 500 - both)
        assert found.low < 0 < found.high
    one, other = paired_difference(30, 12, 3, 5), paired_difference(30, 3, 12, 5)
    assert (one.low, one.high) == pytest.approx((-other.high, -other.low))


def test_what_is_no_count() -> None:
    assert normal_quantile(0.95) == pytest.approx(1.959964, abs=1e-6)
    for right, n in ((1, 0), (-1, 5), (6, 5)):
        with pytest.raises(IntervalError, match="no proportion"):
            wilson(right, n)
    with pytest.raises(IntervalError, match="no table"):
        paired_difference(0, 0, 0, 0)
