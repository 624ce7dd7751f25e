"""Random counterparts of a group of heads: what they are, and how often they would let a random group pass."""

from __future__ import annotations

import random
from math import comb

import numpy as np
import pytest

from rotoscale.circuits.controls import against, other_circuits, other_sets
from rotoscale.circuits.heads import Head, components
from rotoscale.claims.arithmetic import beyond_random
from rotoscale.control_draws import prediction_test


@pytest.mark.parametrize(
    ("heads", "in_layers"), [(((1, 0),), False), (((1, 0), (1, 3)), True), (((0, 1), (2, 2)), True)]
)
def test_random_sets_are_others_and_all_different(heads: tuple[tuple[int, int], ...], in_layers: bool) -> None:
    """One head of eight has seven others in its layer: too few, so that the whole model is drawn from."""
    own = tuple(Head(*one) for one in heads)
    drawn, matched = other_sets(own, 4, 8, 19, random.Random(0))
    assert matched == in_layers
    assert len({frozenset(one) for one in (own, *drawn)}) == 20
    layers = {tuple(sorted(head.layer for head in one)) for one in drawn}
    assert layers == {tuple(head.layer for head in own)} if in_layers else len(layers) > 1


def test_no_more_sets_than_there_are() -> None:
    assert len(other_sets([Head(0, 0)], 2, 8, 199, random.Random(0))[0]) == 15
    assert other_sets([], 2, 8, 19, random.Random(0)) == ([], False)
    groups = {"A": (Head(1, 0), Head(1, 1)), "K": (Head(0, 3),)}
    drawn = other_circuits(groups, 4, 199, random.Random(0))
    assert len({components(groups), *drawn}) == comb(4, 2) * 4


def test_few_draws_are_held_against_a_prediction_and_many_against_their_rank() -> None:
    few = [0.60, 0.62, 0.58, 0.61, 0.59] * 4
    placed = against(0.7, few[:19])
    assert placed is not None
    assert (placed.rank_p, placed.draws) == (1 / 20, 19)
    assert placed.p_value == prediction_test(0.7, few[:19]).p_above < 1e-4
    many = against(0.7, [0.5 + 0.001 * i for i in range(199)])
    assert many is not None
    assert many.p_value == many.rank_p == 0.005
    equal = against(0.6 + 1 / 35, [0.6] * 19, 1 / 35)  # one prompt more than draws that are all alike is no certainty
    assert equal is not None
    assert 0.05 < equal.p_value < 0.5


def _world(rng: np.random.Generator, seed: int, special: float = 0.0) -> tuple[float, float]:
    """p and rank p of a group of one to three heads of 4 layers of 8; most heads do nothing, a few do much.

    The group is a random set unless its heads are made `special`. Accuracies are shares of 35 prompts.
    """
    effects = np.where(rng.random((4, 8)) < 0.93, 0.0, rng.uniform(0.2, 0.5, (4, 8)))
    layer = int(rng.integers(4))
    group = [Head(layer, int(head)) for head in rng.choice(8, int(rng.integers(1, 4)), replace=False)]
    for head in group:
        effects[head] += special / len(group)
    drawn, _ = other_sets(group, 4, 8, 19, random.Random(seed))

    def accuracy(heads: object) -> float:
        return float(rng.binomial(35, min(1.0, 0.2 + sum(effects[head] for head in heads)))) / 35  # type: ignore[attr-defined]

    placed = against(accuracy(group), [accuracy(one) for one in drawn], 1 / 35)
    assert placed is not None
    return placed.p_value, placed.rank_p


def test_a_random_group_passes_at_most_once_in_twenty() -> None:
    """Nothing distinguishes the group: by the t-test alone too many pass, with the rank beside it at most 5 %."""
    rng = np.random.default_rng(0)
    worlds = [_world(rng, seed) for seed in range(1500)]
    passed = np.mean([beyond_random(*one) for one in worlds])
    error = np.sqrt(0.05 * 0.95 / len(worlds))
    assert passed <= 0.05 + 2 * error
    assert np.mean([p < 0.05 for p, _ in worlds]) > 0.05 + 2 * error


def test_a_special_group_passes() -> None:
    rng = np.random.default_rng(1)
    assert np.mean([beyond_random(*_world(rng, seed, special=0.8)) for seed in range(200)]) > 0.7
