"""p_match: whether two models' neurons agree whatever order they stand in (docs/methods.md, section 5).

A neuron has two vectors in the residual basis: its rows of `gate` and `up`, or, where there is no gate, its row of `up`
and its column of `down`. Matched separately between two unrelated models, the two say different things about which
neuron is which; between relatives they say the same, in whatever order the neurons stand, however they are scaled.
"""

from __future__ import annotations

import numpy as np
import torch

from rotoscale.lineage.matching import match_rows
from rotoscale.lineage.ranks import RankTest, rank_test

MOST_ROWS = 512
"""Neurons of a layer whose counterparts are looked for, among all of the other model's."""

GATED, UNGATED = ("gate", "up"), ("up", "down")
"""Where the two vectors of a neuron stand: rows of gate and up, or rows of up and columns of down."""


def in_basis(vectors: torch.Tensor, gain: torch.Tensor | None = None, Q: torch.Tensor | None = None) -> torch.Tensor:
    """Neurons' vectors (k x d) with the gain (d,) of the norm before them folded in, mapped by Q (d x d_b); float32."""
    if gain is not None:
        vectors = vectors.double() * gain.double()
    return (vectors if Q is None else vectors.double() @ Q).float()


def neuron_order(
    A: torch.Tensor, B: torch.Tensor, part: str, parts: tuple[str, str], seed: int = 0
) -> np.ndarray | None:
    """Which neuron of one model each of the other is by one of its two vectors, `part` of `parts`: integers (k,).

    A (k x d) and B (m x d, m >= k) are in one basis (`in_basis`). Of an `up` row beside a gate the sign means nothing:
    turned together with its column of `down` it changes nothing. None where too few vectors are not zero.
    """
    signed = not (part == "up" and parts == GATED)
    return match_rows(A, B, np.random.default_rng((seed, parts.index(part))), signed=signed)


def agreement_test(first: np.ndarray | None, second: np.ndarray | None) -> RankTest | None:
    """One layer's test: whether the orders by the two vectors agree. docs/methods.md, section 5.

    Calibrated, not exact: in trained models the two vectors of a neuron depend on each other, and neurons of one kind
    may find each other in unrelated models (see `control`). None where an order is missing.
    """
    return None if first is None or second is None else rank_test(first, second)
