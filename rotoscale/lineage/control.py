"""What the two tests are held against: pairs that are known to be unrelated, and ones that are known to be related.

Unrelated: layers at different depths. They were initialised independently, in one model as in two, and they have
the shape, the training and the residual basis of the pair at hand. Related: the pair itself with one model's neurons
added to the other's, a half-and-half merge; a test that does not find it could not have found anything. Formulas and
rules: docs/methods.md, section 5.
"""

from __future__ import annotations

import torch

from rotoscale.lineage.matching import unit_rows

ROTATIONS = 12
"""Controls of models with one layer, which has no other beside it: the layer in so many random residual bases."""


def merged(A: torch.Tensor, B: torch.Tensor) -> torch.Tensor:
    """B (m x n) with the rows of A (k x n) added to its first k, each at equal length: cosine about 0.7 to either."""
    both = unit_rows(B)
    both[: len(A)] += unit_rows(A)
    return both


def random_basis(d: int, draw: int) -> torch.Tensor:
    """A random rotation (d x d, float32): neurons in that basis are in no relation to any other model's."""
    generator = torch.Generator().manual_seed(draw)
    return torch.linalg.qr(torch.randn(d, d, generator=generator, dtype=torch.float64))[0].float()
