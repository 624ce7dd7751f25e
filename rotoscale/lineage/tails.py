"""How heavy-tailed a matrix is: an indication of which of two relatives came first (docs/methods.md, section 5)."""

from __future__ import annotations

import torch

MAJORITY = 0.75
"""Share of the matrices that have to agree before one model is said to look like the earlier one."""


def excess_kurtosis(W: torch.Tensor) -> float | None:
    """Fourth moment of W's entries over the square of the second, less 3 (0 for a Gaussian); None of a constant.

    Horwitz et al. (arXiv 2405.18432) find it to fall from a model to what is fine-tuned from it. docs/methods.md,
    section 5.
    """
    mean = W.mean(dtype=torch.float64)
    second = fourth = 0.0
    for block in W.split(1024):  # in parts, so that one matrix in memory stays one
        squares = (block.double() - mean).square()
        second += float(squares.sum())
        fourth += float(squares.square().sum())
    return W.numel() * fourth / second**2 - 3 if second > 0 else None


def heavier(a: list[float | None], b: list[float | None]) -> tuple[int, int]:
    """In how many matrices a is the heavier-tailed one, and of how many that differ at all."""
    known = [(x, y) for x, y in zip(a, b, strict=True) if x is not None and y is not None and x != y]
    return sum(x > y for x, y in known), len(known)
