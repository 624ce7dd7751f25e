"""Summaries of one matrix's singular values."""

from __future__ import annotations

import math

import torch

from rotoscale.statistics import Spectrum


def spectrum(s: torch.Tensor) -> Spectrum:
    """Norms and ranks of a matrix with singular values `s` (r,), descending.

    The effective rank is exp of the entropy of s / sum(s) (Roy and Vetterli 2007). A zero matrix has no ranks.
    """
    s = s.to(torch.float64)
    top, total = float(s[0]), float(s.sum())
    frobenius = float(torch.linalg.vector_norm(s))
    if top == 0:
        return Spectrum(frobenius_norm=0.0, spectral_norm=0.0, nuclear_norm=0.0)
    share = s[s > 0] / total
    entropy = float(-(share * share.log()).sum())
    return Spectrum(
        frobenius_norm=frobenius,
        spectral_norm=top,
        nuclear_norm=total,
        stable_rank=(frobenius / top) ** 2,
        effective_rank=math.exp(entropy),
    )
