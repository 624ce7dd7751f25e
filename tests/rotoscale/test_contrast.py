"""Paired tests against enumeration, scipy and theory; findings say what the tests say and no more."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from rotoscale.contrast import ContrastError, bootstrap_stderr, contrast, holm, paired_bootstrap, statistic
from rotoscale.findings import (
    Comparisons,
    ControlTest,
    Equivalence,
    Gain,
    TaskContrast,
    finding_on_disruption,
    finding_on_edit,
    finding_on_halves,
    finding_on_noise,
    finding_on_restoration,
    finding_on_scale,
    finding_on_temperature,
    outcomes,
)
from rotoscale.recipes import find_recipe


def test_mcnemar_is_the_exact_enumeration_over_disagreements() -> None:
    subject = [1, 1, 1, 0, 1, 1, 0, 1, 0, 1]
    reference = [0, 0, 1, 0, 0, 1, 1, 0, 0, 0]
    found = contrast(subject, reference)
    won = sum(a > b for a, b in zip(subject, reference, strict=True))
    lost = sum(a < b for a, b in zip(subject, reference, strict=True))
    outcomes = [sum(flips) for flips in itertools.product((0, 1), repeat=won + lost)]
    centre = (won + lost) / 2
    p = np.mean([abs(x - centre) >= abs(won - centre) for x in outcomes])
    assert found.test == "exact McNemar"
    assert found.p_value == pytest.approx(p)
    assert found.difference == pytest.approx((won - lost) / 10)
    paired = np.subtract(subject, reference)
    assert found.stderr == pytest.approx(paired.std(ddof=1) / 10**0.5)


def test_no_disagreement_and_single_documents() -> None:
    same = contrast([1, 0, 1], [1, 0, 1])
    assert (same.difference, same.p_value, same.stderr) == (0, 1, 0)
    assert contrast([1], [0]).stderr is None
    graded = contrast([0.5, 0.25], [0.5, 0.25])
    assert (graded.difference, graded.p_value) == (0, 1)
    assert bootstrap_stderr([0.3]) is None
    for bad in (([1, 0], [1]), ([], [])):
        with pytest.raises(ContrastError, match="cannot be paired"):
            contrast(*bad)
    with pytest.raises(ContrastError, match="no statistic 'median'; there are: mean"):
        statistic([1.0], "median")


def test_bootstrap_agrees_with_the_t_test_where_that_holds() -> None:
    random = np.random.default_rng(0)
    a = random.normal(size=400)
    b = a + random.normal(0.05, 0.5, size=400)
    found = contrast(a, b)
    theory = stats.ttest_rel(a, b)
    assert found.test == "paired bootstrap"
    assert found.difference == pytest.approx((a - b).mean())
    assert found.stderr == pytest.approx((a - b).std(ddof=1) / 20, rel=0.03)
    assert found.p_value == pytest.approx(theory.pvalue, abs=0.015)
    assert contrast(a, b, seed=1).p_value != found.p_value
    assert contrast(a, b) == found
    far = contrast(a + 1, a)
    assert far.p_value == pytest.approx(2 / 10_001)


def test_false_alarms_are_as_rare_as_the_level_says() -> None:
    random = np.random.default_rng(1)
    p = []
    for _ in range(200):
        a = random.normal(size=60)
        p.append(contrast(a, a + random.normal(0, 0.3, size=60), resamples=400).p_value)
    assert 0.01 < np.mean(np.array(p) < 0.05) < 0.11


def test_statistics_are_those_of_the_harness() -> None:
    random = np.random.default_rng(2)
    logs = -random.gamma(2.0, size=50)
    weights = random.integers(5, 30, size=50).astype(float)
    pairs = np.stack([logs * weights, weights], 1)
    assert statistic(logs, "perplexity") == pytest.approx(math.exp(-logs.mean()))
    assert statistic(pairs, "weighted_perplexity") == pytest.approx(math.exp(-(logs * weights).sum() / weights.sum()))
    assert statistic(pairs, "bits_per_byte") == pytest.approx(-(logs * weights).sum() / weights.sum() / math.log(2))
    draws = []
    for _ in range(3000):
        chosen = random.integers(0, 50, 50)
        draws.append(statistic(pairs[chosen], "weighted_perplexity"))
    assert bootstrap_stderr(pairs, statistic="weighted_perplexity") == pytest.approx(np.std(draws), rel=0.1)
    assert bootstrap_stderr(logs) == pytest.approx(logs.std(ddof=1) / 50**0.5)
    worse = paired_bootstrap(pairs * [2, 1], pairs, statistic="weighted_perplexity")
    assert worse.difference > 0
    assert worse.p_value < 0.001
    broken = pairs.copy()
    broken[3, 0] = -math.inf
    with pytest.raises(ContrastError, match="not finite"):
        paired_bootstrap(broken, pairs, statistic="weighted_perplexity")


def test_holm() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def made(task: str, subject: float, reference: float, p: float, up: bool = True) -> TaskContrast:
    return TaskContrast(task, subject, reference, p, up)


def test_outcomes_correct_for_many_tasks_and_know_the_direction() -> None:
    found = outcomes([made("a", 0.1, 0.9, 0.001), made("b", 2.5, 2.0, 0.001, up=False), made("c", 0.5, 0.6, 0.03)])
    assert [c.task for c in found.worse] == ["a", "b", "c"]
    found = outcomes([made("a", 0.1, 0.9, 0.02), made("b", 0.5, 0.6, 0.04), made("c", 1.5, 2.0, 0.0001, up=False)])
    assert ([c.task for c in found.better], [c.task for c in found.worse]) == (["c"], ["a", "b"])
    found = outcomes([made("a", 0.1, 0.9, 0.03), made("b", 0.5, 0.6, 0.03)])
    assert (found.better, found.worse, found.n) == ((), (), 2)
    assert found.sentence == "no difference shown on any task"
    assert made("a", 2.0836, 2.0840, 0.0).words == "a 2.0840 -> 2.0836"


def mirror(task: str, q: float | None, note: str = "", no_worse: float | None = 1.0) -> ControlTest:
    return ControlTest(task, -3.0, -1.0, q, None if q is None else no_worse, 19, note)


def gain(task: str, low: float, high: float, line_high: float = 0.2, trained: bool = True) -> Gain:
    return Gain(task, (low + high) / 2, low, high, 0.1, line_high, trained)


def test_a_collapse_is_read_beside_the_draws_of_its_mirror_control() -> None:
    collapse = outcomes([made("a", 0.0, 0.8, 1e-6), made("b", 0.5, 0.5, 1.0)])

    def said(*tests: ControlTest) -> str:
        return finding_on_disruption("disrupt-left", collapse, tests)

    # That it is not shown to lose more is not that it loses no more: only a test of the margin says so.
    neither = said(mirror("a", 0.2), mirror("b", 0.9))
    assert "neither is shown on a -3.00 against -1.00 nats, b" in neither
    assert "no evidence" not in neither
    assert "no evidence of a rotation" in said(mirror("a", 0.2, no_worse=0.01), mirror("b", 0.9))
    more = said(mirror("a", 0.01), mirror("b", 0.9))
    assert "19 draws" in more
    assert "on 2 tasks: it loses more than the control on a -3.00 against -1.00 nats; neither" in more
    floor = said(mirror("a", 0.01, "both below"), mirror("b", 0.2, "both below", 0.01))
    assert "tasks: at a floor on a, b (both below)." in floor
    assert "proves nothing" in finding_on_disruption("disrupt-left", collapse, [])
    assert "proves nothing (large)" in finding_on_disruption("disrupt-left", collapse, [mirror("a", None, "large")])
    harmless = outcomes([made("a", 0.8, 0.8, 1.0)])
    assert "not supported that it breaks" in finding_on_disruption("disrupt-left", harmless, [mirror("a", 0.01)])


def test_a_model_is_brought_back_only_by_the_interval_of_what_it_recovers() -> None:
    post = outcomes([made("a", 0.8, 0.8, 1.0)])

    def said(*gains: Gain) -> str:
        return finding_on_restoration("restore-left", gains, post)

    assert said(gain("a", 0.6, 0.9)) == (
        "restore-left brings the model back: recovered gain a 0.75 (0.60 to 0.90; straight line 0.10)."
    )
    assert "restore-left does not bring" in said(gain("a", 0.6, 0.9), gain("b", -0.1, 0.1))
    assert "not decided" in said(gain("a", 0.6, 0.9), gain("b", 0.4, 0.7))
    # A task that was not trained decides nothing, and the straight line may do as well.
    assert "restore-left brings" in said(gain("a", 0.6, 0.9), gain("b", -5, 5, trained=False))
    assert "not shown to be more than the straight line" in said(gain("a", 0.6, 0.9, line_high=0.7))
    assert "not tested" in said(gain("a", -5, 5, trained=False))
    assert "not tested" in said()


def test_what_is_said_of_an_edit_follows_from_what_its_recipe_declares() -> None:
    same, worse, better = (outcomes([made("a", value, 0.8, 1e-6)]) for value in (0.8, 0.1, 0.9))

    def said(name: str, label: str = "", **of: Any) -> str | None:
        return finding_on_edit(find_recipe(name), label or name, Comparisons(**of))

    tests, gains = [mirror("a", 0.3)], [gain("a", 0.0, 0.2)]
    scoped = said("disrupt-left", "disrupt-left-q-layers0-3", post=worse, mirror=tests)
    assert scoped == finding_on_disruption("disrupt-left-q-layers0-3", worse, tests)
    assert said("disrupt-right", post=worse) == finding_on_disruption("disrupt-right", worse, [])
    for name in ("restore-left", "formula"):
        assert said(name, post=same, gains=gains) == finding_on_restoration(name, gains, same)
    assert said("replace-scale", post=same) == finding_on_scale("replace-scale", same)
    assert said("scale-only", post=worse, base=better) == finding_on_halves("scale-only", better, worse)
    assert said("noise", base=worse, post=worse) == finding_on_noise(worse)
    assert said("interpolate", post=worse) == f"interpolate: against the post model {worse.sentence}."
    assert said("formula") is said("noise") is None


def test_other_findings() -> None:
    same, worse = outcomes([made("a", 0.8, 0.8, 1.0)]), outcomes([made("a", 0.5, 0.8, 1e-6)])
    alike = finding_on_scale(
        "replace-scale", same, [Equivalence("a", "acc", 0.01, 0.9), Equivalence("b", "acc", 0.2, 0.3)]
    )
    assert "is not shown to matter (no difference shown on any task)" in alike
    assert "Equivalent to the post model within the margins on a (acc)." in alike
    assert "Equivalence is not shown on b (acc), power 0.30." in alike
    assert "quivalen" not in finding_on_scale("replace-scale", same)
    assert "makes a difference" in finding_on_scale("replace-scale", worse)
    heads = [{"predicted": 0.9, "entropy_base": 2.0, "entropy_post": 1.9}] * 3
    heads += [{"predicted": 1.1, "entropy_base": 2.0, "entropy_post": 1.9}]
    assert "in 3 of 4 heads" in (finding_on_temperature(heads) or "")
    assert finding_on_temperature([{"predicted": None, "entropy_base": 1.0, "entropy_post": 1.0}]) is None
