"""Summaries of one matrix's singular values."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Spectrum:
    """Norms and ranks of one matrix, all from its singular values s (r,)."""

    frobenius_norm: float
    spectral_norm: float
    nuclear_norm: float
    stable_rank: float | None
    """|W|_F^2 / s[0]^2; None for a zero matrix."""
    effective_rank: float | None
    """exp of the entropy of s / sum(s) (Roy and Vetterli 2007); None for a zero matrix."""


def spectrum(s: torch.Tensor) -> Spectrum:
    """Norms and ranks of a matrix with singular values `s` (r,), descending."""
    s = s.to(torch.float64)
    top, total = float(s[0]), float(s.sum())
    frobenius = float(torch.linalg.vector_norm(s))
    if top == 0:
        return Spectrum(0.0, 0.0, 0.0, None, None)
    share = s[s > 0] / total
    entropy = float(-(share * share.log()).sum())
    return Spectrum(frobenius, top, total, (frobenius / top) ** 2, float(torch.tensor(entropy).exp()))
