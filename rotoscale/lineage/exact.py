"""p_exact: whether the neurons of two models stand in the same order (docs/methods.md, section 5).

After Zhu et al., *Independence Tests for Language Models* (arXiv 2502.12292). A network is trained the same way
whatever the order of its neurons, so that of two models initialised independently any order of one beside the other
is as likely as any other. A matching of their neurons that agrees with the order they stand in can then only be chance.
"""

from __future__ import annotations

import numpy as np
import torch

from rotoscale.lineage.matching import match_rows
from rotoscale.lineage.ranks import RankTest, rank_test

MOST_ROWS = 1024
"""Neurons of a layer that are looked at."""


def order_test(A: torch.Tensor, B: torch.Tensor, seed: int = 0) -> RankTest | None:
    """One layer's test: A and B (k x n) hold the same chosen rows (`spread`) of the two models' `up` matrices.

    Rows are matched by the absolute cosine, because turning a neuron's sign in `up` and `down` changes nothing, and the
    matching is correlated with the order. None where too few rows are not zero. docs/methods.md, section 5.
    """
    order = match_rows(A, B, np.random.default_rng(seed), signed=False)
    return None if order is None else rank_test(order, np.arange(len(order)))
