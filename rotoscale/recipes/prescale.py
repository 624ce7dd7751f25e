"""`prescale`: one matrix type of the base scaled before any training (He and Cao's proposal for `o`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rotoscale.recipes.registry import Parameter, recipe

if TYPE_CHECKING:
    import torch

    from rotoscale.pair import MatrixPair

_FACTOR = Parameter("factor", "number", "what the base's matrices are multiplied with", required=True)


@recipe(
    "prescale",
    "factor W_b",
    question="Is a scaled base a better start for training?",
    order=80,
    around="base",
    about="scale",
    parameters=[_FACTOR],
    uses_factors=False,
    matrices=("o",),
)
def prescale(pair: MatrixPair, *, factor: float) -> torch.Tensor:
    """The base with one matrix type (o, unless others are named) multiplied by a factor.

    docs/methods.md, section 6. `pair` of m x n, result m x n float64.
    """
    return factor * pair.base
