"""Everything that is measured of one pair of matrices, in two depths (docs/methods.md, sections 1, 2, 2b and 6).

Standard depth needs the base's vectors and the post model's singular values: change, scale, agreement and the energy
budget. Full depth adds what follows from the post model's own vectors.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, replace

import torch

from rotoscale.agreement import agreement_of, full_agreement
from rotoscale.agreement_statistics import FULL, STANDARD, AgreementStatistics
from rotoscale.change_in_base import ChangeInBase, change_in_base
from rotoscale.decomposition import Decomposition, OnlyValues
from rotoscale.energy_budget import leading
from rotoscale.noise_null import noise_nf, scale_under_noise
from rotoscale.null import null_nf, unrelated_nf
from rotoscale.pair import MatrixPair
from rotoscale.rotation import no_rotation, rotation_statistics
from rotoscale.scale import scale_statistics
from rotoscale.statistics import RotationStatistics, ScaleStatistics, TensorChange


@dataclass(frozen=True, kw_only=True)
class PairStatistics:
    """What is known of one pair of matrices; `agreement.depth` says how deep it was looked at."""

    scale: ScaleStatistics
    agreement: AgreementStatistics
    rotation: RotationStatistics
    change: TensorChange


def pair_statistics(
    base: torch.Tensor,
    post: torch.Tensor,
    base_factors: Decomposition,
    post_factors: Decomposition,
    *,
    seed: int = 0,
    null_draws: int = 0,
) -> PairStatistics:
    """Statistics of `base` and `post` (both m x n) at full depth, with their decompositions.

    `seed`: of sign flips and noise. `null_draws`: draws of a simulated null of NF, each an r x r eigenproblem; without,
    the null is the analytic one. The q values of agreement need all matrices of a model (`multiple.corrected`).

    Raises MatrixError when the shapes differ or an entry is not finite.
    """
    change = change_in_base(base_factors, base, post)
    found = standard_statistics(base, post, base_factors, post_factors, seed=seed, change=change)
    return full_statistics(
        found, base, post, base_factors, post_factors, seed=seed, null_draws=null_draws, change=change
    )


def standard_statistics(
    base: torch.Tensor,
    post: torch.Tensor,
    base_factors: Decomposition,
    post_values: OnlyValues | Decomposition,
    *,
    seed: int = 0,
    change: ChangeInBase | None = None,
) -> PairStatistics:
    """Statistics of `base` and `post` (both m x n) at standard depth: the base's factors, the post model's values.

    `change` is that in the base's vectors where it is known already. What the post model's vectors would say is missing
    in `rotation`.

    Raises MatrixError when the shapes differ or an entry is not finite.
    """
    if change is None:
        change = change_in_base(base_factors, base, post)
    moved = change.moved.whole
    if moved.norm == 0:
        return replace(unchanged_statistics(base_factors), change=moved)
    scale = scale_statistics(base_factors.singular_values, post_values.singular_values)
    if base_factors.numerical_rank:
        noise = scale_under_noise(base_factors, moved.norm, seed, base)
        names = ("ratio_cv", "unexplained", "alpha_top", "alpha_bottom")
        scale = replace(scale, **{f"{name}_noise": getattr(noise, name) for name in names})
    rank = min(base_factors.numerical_rank, post_values.numerical_rank)
    post_norm = float(torch.linalg.vector_norm(post_values.singular_values))
    rotation = RotationStatistics(
        numerical_rank=rank,
        nf_unrelated=unrelated_nf(base_factors.shape, rank),
        relative_change=moved.relative_change,
        base_error=moved.norm / post_norm if post_norm else None,
        **vars(change.moved.rows),
    )
    return PairStatistics(scale=scale, agreement=agreement_of(change, seed=seed), rotation=rotation, change=moved)


def full_statistics(
    standard: PairStatistics,
    base: torch.Tensor,
    post: torch.Tensor,
    base_factors: Decomposition,
    post_factors: Decomposition,
    *,
    seed: int = 0,
    null_draws: int = 0,
    change: ChangeInBase | None = None,
) -> PairStatistics:
    """The statistics of standard depth with what the post model's vectors add; as `pair_statistics`."""
    if standard.change.norm == 0:
        return replace(unchanged_statistics(base_factors, FULL), change=standard.change)
    pair = MatrixPair(base, post, base_factors, post_factors, change)
    rotation = rotation_statistics(pair, standard.scale.alpha_least_squares)
    of_overlaps = {name: value for name, value in vars(rotation).items() if value not in (None, [])}
    rotation = replace(standard.rotation, **of_overlaps)
    norm = standard.change.norm
    s = base_factors.singular_values[: base_factors.numerical_rank]
    null = null_nf(s, norm, base_factors.shape)
    rotation = replace(rotation, nf_null=null, nf_over_null=_over(rotation.nf, null))
    if null_draws:
        rotation = _with_simulated_null(rotation, base, base_factors, norm, seed, null_draws)
    return replace(standard, rotation=rotation, agreement=full_agreement(standard.agreement, pair))


def unchanged_statistics(factors: Decomposition, depth: str = STANDARD) -> PairStatistics:
    """Statistics of a matrix beside itself: exact zeros and ones, whatever the arithmetic, and no arithmetic."""
    s, rank = factors.singular_values, factors.numerical_rank
    norm = float(torch.linalg.vector_norm(s))
    there, full = bool(norm), depth == FULL
    rotation = no_rotation(rank, factors.shape) if full else RotationStatistics(numerical_rank=rank)
    k = leading(rank)
    return PairStatistics(
        scale=scale_statistics(s, s),
        agreement=AgreementStatistics(
            depth=depth, numerical_rank=rank, principal_k=k, principal_angle=0.0 if full and k else None
        ),
        rotation=replace(
            rotation,
            nf_unrelated=unrelated_nf(factors.shape, rank),
            nf_null=0.0 if full else None,
            relative_change=0.0 if there else None,
            base_error=0.0 if there else None,
            row_norm_ratio=1.0 if there else None,
            row_cosine=1.0 if there else None,
        ),
        change=TensorChange(
            relative_change=0.0 if there else None,
            cosine=1.0 if there else None,
            identical_share=1.0,
            largest_change=0.0,
            base_norm=norm,
        ),
    )


def _with_simulated_null(
    rotation: RotationStatistics,
    base: torch.Tensor,
    factors: Decomposition,
    norm: float,
    seed: int,
    draws: int,
) -> RotationStatistics:
    """Beside NF of the base with noise of the change's norm, simulated from `seed` on; nothing for a zero base."""
    simulated = [noise_nf(factors, norm, seed + draw, base) for draw in range(draws)]
    known = [min(nf, unrelated_nf(factors.shape, factors.numerical_rank)) for nf in simulated if nf is not None]
    if not known:
        return rotation
    median = statistics.median(known)
    return replace(
        rotation,
        nf_null_simulated=median,
        nf_null_low=min(known) if draws > 1 else None,
        nf_null_high=max(known) if draws > 1 else None,
        null_draws=draws,
        null_seed=seed,
        nf_over_null=_over(rotation.nf, median),
    )


def _over(nf: float | None, null: float | None) -> float | None:
    return nf / null if null and nf is not None else None
