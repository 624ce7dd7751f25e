"""Rules and controls of circuits on numbers that can be worked out by hand."""

from __future__ import annotations

import math
import random

import pytest
import torch

from rotoscale.circuits.controls import against, matched_circuit, matched_heads
from rotoscale.circuits.faithfulness import areas, normalized, ratio, sizes
from rotoscale.circuits.heads import CircuitError, Component, Head, components
from rotoscale.circuits.overlap import bootstrap_jaccard, overlap
from rotoscale.circuits.scores import Measured, logit_change, measure, relative_change, score_interval
from rotoscale.circuits.screening import audit, auroc, rank_correlation, to_verify
from rotoscale.circuits.selection import candidates, minimality


def test_scores_are_those_of_probabilities() -> None:
    before = torch.tensor([[2.0, 0.0, 1.0, -1.0]])
    after = torch.tensor([[1.0, 0.0, 1.0, 3.0]])
    answers, objects = torch.tensor([0]), torch.tensor([[0, 1, 2]])
    clean, patched = measure(before, answers, objects), measure(after, answers, objects)
    p, q = after.softmax(-1)[0, 0], before.softmax(-1)[0, 0]
    assert float(relative_change(patched, clean)) == pytest.approx(float((p - q) / q))
    assert float(logit_change(patched, clean)) == pytest.approx((1.0 - 0.5) - (2.0 - 0.5))
    assert patched.predicted.tolist() == [3]


def test_measures_keep_the_leading_shape() -> None:
    logits = torch.randn(3, 2, 5, generator=torch.Generator().manual_seed(0))
    answers, objects = torch.tensor([1, 4]), torch.tensor([[1, 0], [3, 4]])
    whole = measure(logits, answers, objects)
    for row in range(3):
        one = measure(logits[row], answers, objects)
        assert isinstance(one, Measured)
        torch.testing.assert_close(whole.log_probability[row], one.log_probability)
        torch.testing.assert_close(whole.logit_difference[row], one.logit_difference)


@pytest.mark.parametrize("n", [5, 20, 200])
def test_score_interval_solves_its_equation(n: int) -> None:
    """Its ends are the shares at which the observed one is 1.96 standard errors away."""
    for k in range(n + 1):
        low, high = score_interval(k, n)
        for end in (low, high):
            if 0 < end < 1:
                assert abs(k / n - end) / math.sqrt(end * (1 - end) / n) == pytest.approx(1.96, abs=1e-3)
        assert high > low


def test_candidates_must_be_strong_and_sure() -> None:
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(50, 40, generator=generator)
    scores = 0.01 * noise
    scores[3] -= 0.5
    scores[7] -= 0.1
    scores[9] = 3 * noise[9] - 0.3  # strong in the mean, but one cannot be sure of it
    assert candidates(scores).tolist() == [3, 7]
    assert candidates(scores, largest=1).tolist() == [3]
    assert candidates(scores[:0]).tolist() == []


def _circuit(worth):  # type: ignore[no-untyped-def]
    """Evaluate sets of removed heads by a function of what is left."""
    group = [Head(0, 0), Head(0, 1), Head(0, 2), Head(0, 3)]

    def evaluate(sets):  # type: ignore[no-untyped-def]
        return [worth({head.head for head in group} - {head.head for head in out}) for out in sets]

    return group, evaluate


def test_minimality_keeps_a_pair_of_which_one_is_enough() -> None:
    group, evaluate = _circuit(lambda left: 1.0 if left & {0, 1} else 0.1)
    found = minimality(group, evaluate)
    assert [head.head for head, need in found.items() if need.kept] == [0, 1]
    assert found[group[0]].partners == (group[1],)


def test_minimality_keeps_heads_that_are_needed_together() -> None:
    """Without either of two heads nothing works: neither stands in for the other."""
    group, evaluate = _circuit(lambda left: 1.0 if left >= {0, 1} else 0.0)
    found = minimality(group, evaluate)
    assert [head.head for head, need in found.items() if need.kept] == [0, 1]
    assert found[group[0]].partners == ()


def test_minimality_drops_what_does_nothing() -> None:
    group, evaluate = _circuit(lambda left: 0.8)
    assert not any(need.kept for need in minimality(group, evaluate).values())
    group, evaluate = _circuit(lambda left: 0.0)
    assert not any(need.kept for need in minimality(group, evaluate).values())
    assert minimality([], evaluate) == {}


def test_faithfulness() -> None:
    assert ratio(0.6, 0.8) == pytest.approx(0.75)
    assert ratio(0.0, 0.0) is None
    assert normalized(3.0, 5.0, 1.0) == 0.5
    assert normalized(5.0, 5.0, 1.0) == 1.0
    assert normalized(1.0, 1.0, 1.0) is None
    assert sizes(32, (1, 2, 50, 100)) == [1, 16, 32]


def test_areas_of_known_curves() -> None:
    flat = areas([1, 2, 4, 8], [1.0, 1.0, 1.0, 1.0])
    assert (flat.cpr_log, flat.cmd_log) == (1.0, 0.0)
    assert flat.cpr == pytest.approx(1 - 1 / 16)  # the triangle before the first head is missing
    assert flat.cmd == pytest.approx(1 / 16)
    line = areas([2, 4, 6, 8], [0.25, 0.5, 0.75, 1.0])
    assert (line.cpr, line.cmd) == (pytest.approx(0.5), pytest.approx(0.5))
    powers = areas([1, 2, 4, 8], [0.0, 1 / 3, 2 / 3, 1.0])
    assert (powers.cpr_log, powers.cmd_log) == (pytest.approx(0.5), pytest.approx(0.5))


def test_random_circuits_match_size_layer_and_position() -> None:
    groups = {"A": (Head(2, 0), Head(2, 1), Head(3, 0)), "B": (Head(1, 5),), "C": (), "D": (Head(0, 1),)}
    rng = random.Random(0)
    for _ in range(20):
        drawn = matched_circuit(groups, 8, rng)
        count = sorted((one.position, one.head.layer) for one in drawn)
        assert count == sorted((one.position, one.head.layer) for one in components(groups))
    assert len({matched_heads(groups["A"], 8, rng) for _ in range(20)}) > 10
    assert Component("last", Head(1, 5)) in components(groups)


def test_a_value_among_draws() -> None:
    placed = against(0.9, [0.1, 0.2, 0.3])
    assert placed is not None
    assert (placed.mean, placed.rank_p, placed.draws) == (pytest.approx(0.2), 0.25, 3)
    assert against(0.2, [0.1, 0.2, 0.3]).rank_p == 0.75  # type: ignore[union-attr]
    assert against(0.9, []) is None


def test_screening() -> None:
    estimates = torch.linspace(0, -1, 40)
    top, audited = to_verify(estimates, seed=1)
    assert top == list(range(32, 40))
    assert len(audited) == 2
    assert not set(top) & set(audited)
    exact = estimates.clone()
    found = audit(estimates, exact, top, audited, passing={39, audited[0]})
    assert found.rank_correlation == pytest.approx(1.0)
    assert found.estimated_misses == pytest.approx(0.5 * 30)


def test_rank_statistics() -> None:
    a = torch.tensor([1.0, 2.0, 3.0, 4.0])
    assert rank_correlation(a, a.exp()) == pytest.approx(1.0)
    assert rank_correlation(a, -a) == pytest.approx(-1.0)
    assert rank_correlation(a, torch.ones(4)) is None
    assert auroc(a, torch.tensor([False, False, True, True])) == 1.0
    assert auroc(torch.ones(4), torch.tensor([False, False, True, True])) == 0.5


def test_overlap() -> None:
    found = overlap({1, 2, 3}, {2, 3, 4, 5})
    assert (found.precision, found.recall, found.jaccard) == (pytest.approx(2 / 3), 0.5, 0.4)
    assert overlap(set(), set()).jaccard is None
    assert overlap(set(), {1}) == overlap(set(), {2})


def test_bootstrap_of_overlap() -> None:
    always = bootstrap_jaccard(lambda _: {1, 2}, lambda _: {1, 2, 3}, resamples=20)
    assert always.low == always.high == pytest.approx(2 / 3)
    unsure = bootstrap_jaccard(
        lambda generator: {int(torch.randint(2, (1,), generator=generator))}, lambda _: {1}, resamples=50
    )
    assert (unsure.low, unsure.high) == (0.0, 1.0)
    assert bootstrap_jaccard(lambda _: set(), lambda _: set(), resamples=10).low is None


def test_errors_are_for_the_user() -> None:
    from rotoscale.errors import RotoscaleError

    assert issubclass(CircuitError, RotoscaleError)
