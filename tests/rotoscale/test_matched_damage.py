"""Noise scaled to a damage: on damages of known shape, and where that damage cannot be had."""

from __future__ import annotations

import math

import pytest

from rotoscale.matched_damage import LARGEST_SCALE, TOLERANCE, matched_scale


@pytest.mark.parametrize("wanted", [0.05, 0.2, 0.47, 0.51, 1.0])
def test_the_scale_has_the_damage_asked_for_in_few_calls(wanted: float) -> None:
    calls = []

    def damage(scale: float) -> float:  # as measured: less than in proportion, until all vectors are mixed
        calls.append(scale)
        return 1.4 * math.tanh(0.36 * scale**0.7)

    found = matched_scale(damage, wanted)
    assert 1.4 * math.tanh(0.36 * found**0.7) == pytest.approx(wanted, rel=TOLERANCE)
    assert len(calls) <= 7


def test_what_cannot_be_matched_gets_the_nearest() -> None:
    assert matched_scale(lambda scale: min(scale, 1.4), 2.0) > 1.4
    assert matched_scale(lambda scale: 1.4, 2.0) == pytest.approx(1.0)
    assert 1 / LARGEST_SCALE <= matched_scale(lambda scale: 1e-3 * scale, 1.0) <= LARGEST_SCALE * 1.001
    assert matched_scale(lambda scale: scale, 0.0) == 1.0
