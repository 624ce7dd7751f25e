"""Random counterparts of a set of heads, matched in size and layer, and where the real one stands among them."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from rotoscale.circuits.heads import POSITION_OF, Component, Groups, Head, components
from rotoscale.control_draws import FEWEST_DRAWS, prediction_test

MANY_DRAWS, FEW_DRAWS = 199, 19

T = TypeVar("T")


def matched_heads(heads: Collection[Head], n_heads: int, rng: random.Random) -> tuple[Head, ...]:
    """As many heads of each layer, drawn from all `n_heads` of that layer."""
    by_layer = Counter(head.layer for head in heads)
    return tuple(Head(layer, head) for layer, n in sorted(by_layer.items()) for head in rng.sample(range(n_heads), n))


def other_sets(
    heads: Collection[Head], n_layers: int, n_heads: int, draws: int, rng: random.Random
) -> tuple[list[tuple[Head, ...]], bool]:
    """Distinct random sets of as many heads, none of them the given one, and whether they share its layers.

    They are drawn from the same layers where these hold at least 19 other sets, else from the whole model (choice): one
    head of eight has seven others, among which it cannot rank below 1 / 8. Where the given set is itself a random one,
    it and they are equally likely in any order, so that its rank p holds.
    """
    own = frozenset(heads)
    by_layer = Counter(head.layer for head in own)
    possible = math.prod(math.comb(n_heads, n) for n in by_layer.values()) - 1
    in_layers = possible >= FEW_DRAWS
    every = [Head(layer, head) for layer in range(n_layers) for head in range(n_heads)]
    if not in_layers:
        possible = math.comb(len(every), len(own)) - 1

    def draw() -> frozenset[Head]:
        return frozenset(matched_heads(own, n_heads, rng) if in_layers else rng.sample(every, len(own)))

    return [tuple(sorted(one)) for one in _distinct(draw, own, min(draws, possible))], in_layers


def other_circuits(groups: Groups, n_heads: int, draws: int, rng: random.Random) -> list[frozenset[Component]]:
    """Distinct random circuits with as many heads at each position in each layer, none of them the given one."""
    own = components(groups)
    by_layer = Counter((one.position, one.head.layer) for one in own)
    possible = math.prod(math.comb(n_heads, n) for n in by_layer.values()) - 1
    return list(_distinct(lambda: matched_circuit(groups, n_heads, rng), own, min(draws, possible)))


def _distinct(draw: Callable[[], frozenset[T]], own: frozenset[T], wanted: int) -> Iterator[frozenset[T]]:
    seen = {own}
    while len(seen) <= wanted:
        one = draw()
        if one not in seen:
            seen.add(one)
            yield one


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
    """One-sided, a random one would be as large: the rank p of many draws, the prediction t-test of few."""
    rank_p: float
    """`(1 + draws at least as large) / (1 + draws)`, which assumes nothing about how draws scatter."""
    draws: int


def against(value: float, drawn: Sequence[float], resolution: float = 0.0) -> Against | None:
    """Place a value among random draws; None without draws (docs/methods.md, section 4).

    `resolution` is the smallest difference that the values can show: 1 / n of an accuracy on n prompts.
    """
    if not drawn:
        return None
    ordered = sorted(drawn)
    n = len(ordered)
    low, high = ordered[round(0.025 * (n - 1))], ordered[round(0.975 * (n - 1))]
    rank = (1 + sum(one >= value for one in ordered)) / (1 + n)
    few = FEWEST_DRAWS <= n < MANY_DRAWS
    p = prediction_test(value, ordered, least_spread=resolution).p_above if few else rank
    return Against(sum(ordered) / n, low, high, p, rank, n)
