"""Which layers get a simulated null."""

from __future__ import annotations

import pytest

from resources.structure import layers_with_null

SMALL, LARGE = [(64, 64)] * 7, [(9000, 1500)] * 100


@pytest.mark.parametrize(
    ("n_layers", "shapes", "setting", "expected"),
    [
        (5, SMALL, None, {0, 1, 2, 3, 4}),
        (32, LARGE, None, {4, 12, 20, 28}),
        (4, LARGE, None, {2}),
        (4, LARGE, 2, {1, 3}),
        (4, SMALL, 0, set()),
        (3, LARGE, 10**9, {0, 1, 2}),
    ],
)
def test_layers_are_spread_evenly(
    n_layers: int, shapes: list[tuple[int, int]], setting: int | None, expected: set[int]
) -> None:
    assert layers_with_null(n_layers, shapes, setting) == expected
