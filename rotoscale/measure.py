"""Everything that is measured of one pair of matrices, in one call: change, scale, rotation and nulls."""

from __future__ import annotations

import math
import statistics
from dataclasses import asdict, dataclass, replace

import torch

from rotoscale.change import row_change, tensor_change
from rotoscale.decomposition import Decomposition, decompose
from rotoscale.null import gaussian_perturbation, null_draws, null_nf
from rotoscale.pair import MatrixPair
from rotoscale.rotation import nf_of, rotation_statistics
from rotoscale.scale import scale_statistics
from rotoscale.statistics import RotationStatistics, ScaleStatistics, TensorChange


@dataclass(frozen=True, kw_only=True)
class PairStatistics:
    """What is known of one pair of matrices."""

    scale: ScaleStatistics
    rotation: RotationStatistics
    change: TensorChange


def pair_statistics(
    base: torch.Tensor, post: torch.Tensor, base_factors: Decomposition, post_factors: Decomposition
) -> PairStatistics:
    """Statistics of `base` and `post` (both m x n) with their decompositions (docs/methods.md, sections 1, 2 and 6).

    The null is the analytic one; `with_simulated_null` adds the other.

    Raises MatrixError when the shapes differ.
    """
    change = tensor_change(base, post)
    scale = scale_statistics(base_factors.singular_values, post_factors.singular_values)
    pair = MatrixPair(base, post, base_factors, post_factors)
    rotation = rotation_statistics(pair, scale.alpha_least_squares)
    rotation = replace(rotation, **asdict(row_change(base, post)))
    if pair.is_unchanged:
        rotation = replace(rotation, base_error=0.0, relative_change=0.0, nf_null=0.0)
    else:
        post_norm = float(post_factors.singular_values.norm())
        null = null_nf(base_factors.singular_values[: base_factors.numerical_rank], change.norm, base_factors.shape)
        rotation = replace(
            rotation,
            base_error=change.norm / post_norm if post_norm else None,
            relative_change=change.relative_change,
            nf_null=null,
            nf_over_null=_over(rotation.nf, null),
        )
    return PairStatistics(scale=scale, rotation=rotation, change=change)


def with_simulated_null(found: PairStatistics, base: torch.Tensor, factors: Decomposition, seed: int) -> PairStatistics:
    """The same beside NF of `base` (m x n) with Gaussian noise of the change's norm added to it, drawn from `seed` on.

    Each draw costs a decomposition. Of an unchanged or a zero base there is nothing to simulate.
    """
    if found.change.norm == 0 or factors.numerical_rank == 0:
        return found
    draws = null_draws(factors.shape)
    cap = math.inf if found.rotation.nf_unrelated is None else found.rotation.nf_unrelated
    simulated = [min(_nf_of_noise(base, factors, found.change.norm, seed + draw), cap) for draw in range(draws)]
    median = statistics.median(simulated)
    rotation = replace(
        found.rotation,
        nf_null_simulated=median,
        nf_null_low=min(simulated) if draws > 1 else None,
        nf_null_high=max(simulated) if draws > 1 else None,
        null_draws=draws,
        null_seed=seed,
        nf_over_null=_over(found.rotation.nf, median or found.rotation.nf_null),
    )
    return replace(found, rotation=rotation)


def _over(nf: float | None, null: float | None) -> float | None:
    return nf / null if null and nf is not None else None


def _nf_of_noise(base: torch.Tensor, factors: Decomposition, norm: float, seed: int) -> float:
    noisy = gaussian_perturbation(base, norm, seed)
    return nf_of(MatrixPair(base, noisy, factors, decompose(noisy, factors.short.device)))
