"""Random counterparts of a set of heads, matched in size and layer, and where the real one stands among them."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from rotoscale.circuits.heads import POSITION_OF, Component, Groups, Head

MANY_DRAWS, FEW_DRAWS = 199, 19


def matched_heads(heads: Collection[Head], n_heads: int, rng: random.Random) -> tuple[Head, ...]:
    """As many heads of each layer, drawn from all `n_heads` of that layer."""
    by_layer = Counter(head.layer for head in heads)
    return tuple(Head(layer, head) for layer, n in sorted(by_layer.items()) for head in rng.sample(range(n_heads), n))


def matched_circuit(groups: Groups, n_heads: int, rng: random.Random) -> frozenset[Component]:
    """A random circuit with as many heads at each position in each layer."""
    by_position: dict[str, set[Head]] = {}
    for group, heads in groups.items():
        by_position.setdefault(POSITION_OF[group], set()).update(heads)
    return frozenset(
        Component(position, head)
        for position, heads in sorted(by_position.items())
        for head in matched_heads(heads, n_heads, rng)
    )


@dataclass(frozen=True)
class Against:
    """A value among its random draws."""

    mean: float
    low: float
    high: float
    """2.5th and 97.5th percentile of the draws (nearest rank)."""
    p_value: float
    """`(1 + draws at least as large) / (1 + draws)`."""
    draws: int


def against(value: float, drawn: Sequence[float]) -> Against | None:
    """Place a value among random draws; None without draws."""
    if not drawn:
        return None
    ordered = sorted(drawn)
    n = len(ordered)
    low, high = ordered[round(0.025 * (n - 1))], ordered[round(0.975 * (n - 1))]
    p = (1 + sum(one >= value for one in ordered)) / (1 + n)
    return Against(sum(ordered) / n, low, high, p, n)
