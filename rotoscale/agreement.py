"""Did the left and the right singular vectors change together? (docs/methods.md, section 2b)

He and Cao's formula `W_post = alpha (U Q) S (V Q)^T` makes `D = U^T dW V` exactly symmetric, at any angle of Q and any
alpha. So the agreement of the two sides is the correlation of D with its own transpose off the diagonal: tau is 1 for
their formula, 0 for noise and for unrelated models, and below 0 where one side alone rotated or both did differently.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from rotoscale.agreement_statistics import FULL, AgreementStatistics
from rotoscale.change_in_base import ChangeInBase, change_in_base, crossed, in_base, off_diagonal_energy
from rotoscale.change_spectrum import change_spectrum, principal_angle
from rotoscale.decomposition import Decomposition
from rotoscale.elementwise import elementwise_tau
from rotoscale.energy_budget import energy_budget, expected_budget, leading, principal_share
from rotoscale.gains import gains_tau, without_gains
from rotoscale.multiple import WORTH_SAYING
from rotoscale.pair import MatrixPair
from rotoscale.sign_flips import DRAWS, sign_flip_test

NOTHING_LEFT = 1e-8
"""Share of the off-diagonal energy below which gains have explained everything."""


def agreement(
    base: Decomposition,
    W_base: torch.Tensor,
    W_post: torch.Tensor,
    *,
    seed: int = 0,
    dtype: torch.dtype | None = None,
    gains: bool | None = None,
    draws: int = DRAWS,
) -> AgreementStatistics:
    """Agreement and energy budget of one matrix (m x n) at standard depth, from the base's vectors alone.

    `base` is the decomposition of W_base; the work is done where it lies. `dtype` is the post model's format where
    W_post was converted already. `gains`: whether to take tau a second time without gains of rows and columns, which
    costs as much again; None does it where there is something to explain, |tau| > WORTH_SAYING. The q values are
    filled in by `multiple.corrected`.

    Raises MatrixError when the shapes differ or an entry is not finite.
    """
    return agreement_of(change_in_base(base, W_base, W_post, dtype), seed=seed, gains=gains, draws=draws)


def agreement_of(
    change: ChangeInBase, *, seed: int = 0, gains: bool | None = None, draws: int = DRAWS
) -> AgreementStatistics:
    """As `agreement`, of a change that was brought into its base's vectors already."""
    k = leading(change.rank)
    row = AgreementStatistics(numerical_rank=change.rank, principal_k=k)
    budget = energy_budget(change)
    principal = principal_share(change)
    if budget is None or principal is None:
        return row
    expected = expected_budget(change.shape, change.rank)
    shares: dict[str, Any] = {f"share_{name}": value for name, value in vars(budget).items()}
    shares |= {f"share_{name}_expected": value for name, value in vars(expected).items()}
    row = replace(
        row,
        **shares,
        principal_share=principal[0],
        principal_share_expected=principal[1],
        p_principal=principal[2],
    )
    if change.rank < 2 or change.only_scale:
        return row
    tau_rounding = elementwise_tau(change, seed)
    energy = change.off_diagonal
    C = change.crossed / energy
    tau = float(C.sum())
    by_chance = tau_rounding or 0.0  # only ever held against a matrix: p is never below that of the plain flips
    test = sign_flip_test(C, seed, draws=draws, centres=(max(by_chance, 0.0), min(by_chance, 0.0)))
    row = replace(
        row,
        tau=tau,
        z=tau / (2**0.5 * float(torch.linalg.vector_norm(C))),
        p_together=test.p_together,
        p_apart=test.p_apart,
        tau_rounding=tau_rounding,
        n_flips=draws,
        seed=seed,
    )
    if gains is None:
        gains = abs(tau) > WORTH_SAYING
    return replace(row, **_beside_gains(change, energy, seed, draws)) if gains else row


def full_agreement(row: AgreementStatistics, pair: MatrixPair) -> AgreementStatistics:
    """A row of standard depth with what full depth adds: the post model's leading vectors and dW's own spectrum."""
    spectrum = None if pair.is_unchanged else change_spectrum(pair.change_gram, row.principal_k)
    return replace(
        row,
        depth=FULL,
        principal_angle=principal_angle(pair, row.principal_k),
        change_stable_rank=spectrum.stable_rank if spectrum else None,
        change_rank_90=spectrum.rank_90 if spectrum else None,
        change_top_energy=spectrum.top_energy if spectrum else None,
    )


def agreement_terms(D: torch.Tensor) -> torch.Tensor:
    """`C_ij = D_ij D_ji / sum_{i != j} D_ij^2` with an empty diagonal (r x r): its sum is tau."""
    return crossed(D).div_(off_diagonal_energy(D))


def tau_of(D: torch.Tensor) -> float:
    """`tau = sum_{i != j} D_ij D_ji / sum_{i != j} D_ij^2` of `D = U^T dW V` (r x r)."""
    return float(agreement_terms(D).sum())


def white_noise_p(tau: float, rank: int) -> float:
    """One-sided p of a tau this large under white noise: `(1 + tau) / 2 ~ Beta(N / 2, N / 2)`, N = r (r - 1) / 2.

    Wrong for updates of low rank or otherwise concentrated ones, which is why the default is `sign_flip_test`.
    """
    from scipy.special import betaincc

    half = rank * (rank - 1) / 4
    return float(betaincc(half, half, (1 + tau) / 2))


def _beside_gains(change: ChangeInBase, energy: float, seed: int, draws: int) -> dict[str, Any]:
    """tau, its expectation and p after the best gains of rows and columns are taken out."""
    left = without_gains(change)
    D = in_base(change.base, change.T, left).double()
    square = float(left.square().sum(dtype=torch.float64))
    found: dict[str, Any] = {"gains_share": max(0.0, 1 - square / change.norm**2)}
    if off_diagonal_energy(D) <= NOTHING_LEFT * energy:
        return found
    C, expected = agreement_terms(D), gains_tau(change, seed)
    test = sign_flip_test(C, seed, draws=draws, centres=(expected, expected))
    return found | {
        "tau_without_gains": float(C.sum()),
        "tau_without_gains_expected": expected,
        "p_without_gains": test.p_together,
    }
