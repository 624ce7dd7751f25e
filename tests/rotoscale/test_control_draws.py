"""Predictions, differences of differences and recovered gains against scipy, enumeration and simulated error rates."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from rotoscale.control_draws import (
    AS_BAD,
    ControlError,
    difference_of_differences,
    prediction_test,
    recovered_gain,
)


def test_the_prediction_is_a_two_sample_t_test_with_one_value_on_one_side() -> None:
    draws = np.random.default_rng(0).normal(3, 2, size=19)
    found = prediction_test(-1.5, draws)
    theirs = stats.ttest_ind([-1.5], draws)  # the pooled spread is that of the draws alone
    assert found.t == pytest.approx(theirs.statistic)
    assert found.p_two_sided == pytest.approx(theirs.pvalue)
    assert found.p_below + found.p_above == pytest.approx(1)
    edge = prediction_test(found.low, draws)
    assert edge.p_two_sided == pytest.approx(0.05)


def test_ranks_are_counts() -> None:
    draws = [1.0, 2.0, 2.0, 5.0]
    assert prediction_test(2.0, draws).rank_below == (1 + 3) / 5
    assert prediction_test(2.0, draws).rank_above == (1 + 3) / 5
    assert prediction_test(0.0, draws).rank_below == 1 / 5
    equal = prediction_test(1.0, [1.0, 1.0, 1.0])
    assert (equal.t, equal.p_two_sided) == (0.0, 1.0)
    assert prediction_test(0.0, [1.0, 1.0, 1.0]).p_below == 0.0
    for value, bad in ((0.0, [1.0, 2.0]), (math.nan, [1.0] * 5), (0.0, [1.0, math.inf, 2.0])):
        with pytest.raises(ControlError, match="draws give no distribution"):
            prediction_test(value, bad)


def test_a_further_draw_is_rejected_as_often_as_the_level_says() -> None:
    random = np.random.default_rng(1)
    found = [prediction_test(row[0], row[1:]) for row in random.normal(size=(2000, 20))]
    for name in ("p_below", "p_above", "p_two_sided", "rank_below"):
        assert np.mean([getattr(f, name) <= 0.05 for f in found]) == pytest.approx(0.05, abs=0.016), name
    assert np.mean([f.low <= f.value <= f.high for f in found]) == pytest.approx(0.95, abs=0.016)


def losses(random: np.random.Generator, extra: float, B: int = 19, n: int = 40) -> tuple[np.ndarray, ...]:
    """Start, edit and controls: documents differ, draws differ, and both together."""
    start = random.normal(-2, 1, size=n)
    hurt = random.gamma(2, 0.5, size=n)  # some documents suffer more from anything

    def damaged(more: float) -> np.ndarray:
        return start - hurt * (1 + random.normal(0, 0.3)) - more + random.normal(0, 0.2, size=n)

    return damaged(extra), start, np.stack([damaged(0.0) for _ in range(B)]), start


def test_difference_of_differences_is_what_its_name_says() -> None:
    edit, start, controls, control_start = losses(np.random.default_rng(2), 0.5)
    found = difference_of_differences(edit, start, controls, control_start)
    expected = (edit - start).mean() - (controls - control_start).mean()
    assert found.difference == pytest.approx(expected)
    shifted = difference_of_differences(edit + 3, start + 3, controls, control_start)
    assert shifted.difference == pytest.approx(expected)
    assert shifted.stderr == pytest.approx(found.stderr)
    repeated = difference_of_differences(edit, start, controls, np.tile(control_start, (19, 1)))
    assert repeated == found
    assert found.low < found.difference < found.high
    assert (found.n, found.draws) == (40, 19)


def test_it_holds_its_level_and_finds_what_is_there() -> None:
    random = np.random.default_rng(3)
    none = [difference_of_differences(*losses(random, 0.0)) for _ in range(600)]
    assert np.mean([f.p_worse < 0.05 for f in none]) < 0.075
    assert np.mean([f.p_two_sided < 0.05 for f in none]) < 0.075
    assert np.mean([f.low <= 0 <= f.high for f in none]) > 0.925
    there = [difference_of_differences(*losses(random, 1.5)) for _ in range(100)]
    assert np.mean([f.p_worse < 0.05 for f in there]) > 0.9


def test_no_worse_is_shown_by_a_test_of_the_margin() -> None:
    """Held at its level where the control loses exactly four fifths as much; not the failure to find a difference."""
    random = np.random.default_rng(7)

    def found(share: float, n: int = 40, draws: int = 19, spread: float = 0.05) -> float:
        start = np.zeros(n)
        hurt = random.gamma(4, 1, size=n)
        edit = -hurt * (1 + random.normal(0, spread))
        controls = np.stack([-share * hurt * (1 + random.normal(0, spread)) for _ in range(draws)])
        noise = random.normal(0, 0.2, size=controls.shape)
        return difference_of_differences(edit, start, controls + noise, start).p_no_worse

    assert np.mean([found(AS_BAD) < 0.05 for _ in range(600)]) < 0.075
    assert np.mean([found(1.0) < 0.05 for _ in range(100)]) > 0.9
    assert np.mean([found(0.5) < 0.05 for _ in range(100)]) == 0
    # Draws that scatter too widely to say so, though it is true.
    assert np.mean([found(1.0, spread=0.5) < 0.05 for _ in range(100)]) < 0.2


def test_equal_and_unpaired_losses() -> None:
    zeros, controls = np.zeros(5), np.zeros((3, 5))
    equal = difference_of_differences(zeros, zeros, controls, zeros)
    assert (equal.difference, equal.p_two_sided) == (0.0, 1.0)
    worse = difference_of_differences(zeros - 1, zeros, controls, zeros)
    assert (worse.p_worse, worse.p_two_sided) == (0.0, 0.0)
    with pytest.raises(ControlError, match="not paired"):
        difference_of_differences(zeros, zeros, np.zeros((3, 4)), zeros)
    with pytest.raises(ControlError, match="not finite"):
        difference_of_differences(zeros - math.inf, zeros, controls, zeros)


def test_gain_is_the_part_of_the_way_and_its_interval_inverts_a_t_test() -> None:
    random = np.random.default_rng(4)
    base = (random.random(500) < 0.2).astype(float)
    post = np.maximum(base, random.random(500) < 0.6)
    edit = np.where(random.random(500) < 0.7, post, base)
    found = recovered_gain(edit, base, post)
    assert found.gain == pytest.approx((edit.mean() - base.mean()) / (post.mean() - base.mean()))
    for end in (found.low, found.high):
        left = (edit - base) - end * (post - base)
        assert stats.ttest_1samp(left, 0).pvalue == pytest.approx(0.05)
    assert found.low < found.gain < found.high
    assert found.p_denominator == pytest.approx(stats.ttest_rel(post, base).pvalue)


def test_gain_of_base_post_and_of_nothing_to_gain() -> None:
    random = np.random.default_rng(5)
    base = random.normal(size=200)
    post = base + random.normal(1, 1, size=200)
    for edit, expected in ((base, 0.0), (post, 1.0)):
        found = recovered_gain(edit, base, post)
        assert (found.gain, found.low, found.high) == pytest.approx((expected, expected, expected), abs=1e-6)
    alike = recovered_gain(base + random.normal(size=200), base, base + random.normal(0, 1, size=200) * 0.01)
    assert (alike.low, alike.high) == (-math.inf, math.inf) or alike.p_denominator < 0.05
    same = recovered_gain(post, base, base)
    assert (same.gain, same.low, same.high, same.p_denominator) == (None, -math.inf, math.inf, 1.0)
    with pytest.raises(ControlError, match="not paired"):
        recovered_gain(base, base, base[:-1])


def test_the_interval_of_the_gain_covers_the_truth() -> None:
    random = np.random.default_rng(6)
    held = []
    for _ in range(800):
        base = random.normal(size=80)
        post = base + 0.5 + random.normal(0, 1, size=80)
        edit = base + 0.15 + 0.3 * (post - base - 0.5) + random.normal(0, 0.5, size=80)
        found = recovered_gain(edit, base, post)
        held.append(found.low <= 0.3 <= found.high)
    assert np.mean(held) == pytest.approx(0.95, abs=0.02)
